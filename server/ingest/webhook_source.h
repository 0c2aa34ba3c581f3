/* The configured sources as ingest needs them: looked up by name, with all that is the same for each request. */
#ifndef INGEST_WEBHOOK_SOURCE_H
#define INGEST_WEBHOOK_SOURCE_H

#include "channel/channel.h"
#include "config/config.h"
#include "ingest/rate_limit.h"

struct webhook_source {
    const char *name;
    const struct channel_kind *kind;
    const json_t *settings;
    struct bytes *secrets; /* the texts of all its settings that are secrets; they belong to `settings` */
    size_t secret_count;
    char *url; /* as senders know it, or "" when http.public_url is not set */
    bool unverified;
    struct metric *accepted;
    struct metric *unparsed;
    struct metric *refused;
    struct metric *busy;
    struct metric *failed;
    struct metric *handshakes;
    struct metric *limited;
    struct rate_limit *rate;
};

/* Read-only once made, but for the rates, which all threads take from. */
struct webhook_sources {
    struct webhook_source *list;
    size_t count;
};

void webhook_sources_init(struct webhook_sources *sources, const struct config *config);
void webhook_sources_done(struct webhook_sources *sources);
const struct webhook_source *webhook_sources_find(const struct webhook_sources *sources, const char *name);

/* The headers as a JSON object, names in lower case, without those that hold secrets: what proves who sent it must not
 * be readable by everyone who may read the webhooks. */
void webhook_source_add_headers(const struct webhook_source *source, const struct webhook *w, struct buf *out);

#endif
