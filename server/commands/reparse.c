/* `answerd reparse`: derives the events of stored webhooks again, after a parser has learned something. */
#include "base/text.h"
#include "channel/channel.h"
#include "commands/rule_world.h"
#include "store/replay_store.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define MAX_HEADERS 128
#define IDS_AT_ONCE 1000

struct reparse_run {
    const struct config *config;
    struct pg *pg;
    bool dry;
    int64_t next_id;
    int64_t ids_left;

    int64_t webhooks;
    int64_t events;
    int64_t added;
    int64_t unreadable;
    int64_t unknown_source;
};

static err_t take_id(struct reparse_run *run, int64_t *ret_id, struct error *reterr)
{
    if (run->ids_left == 0) {
        err_t err = store_reserve_ids(run->pg, IDS_AT_ONCE, &run->next_id, reterr);
        if (err != ERR_NONE)
            return err;
        run->ids_left = IDS_AT_ONCE;
    }
    run->ids_left--;
    *ret_id = run->next_id++;
    return ERR_NONE;
}

/* As ingest does: the lane of the first identity, else of the source. */
static err_t number_events(struct reparse_run *run, const char *source, json_t *events, struct error *reterr)
{
    size_t index;
    json_t *event;
    json_array_foreach (events, index, event) {
        int64_t id = 0;
        err_t err = take_id(run, &id, reterr);
        if (err != ERR_NONE)
            return err;
        const char *identity = json_string_value(json_at(event, "contact.identities.0"));
        char of_source[300];
        snprintf(of_source, sizeof(of_source), "source:%s", source);
        json_put_int(event, "id", id);
        json_put_int(event, "lane", lane_of(identity ? identity : of_source));
    }
    return ERR_NONE;
}

static size_t list_headers(const json_t *headers, struct webhook_header *list)
{
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)headers, name, value) {
        if (count < MAX_HEADERS && json_is_string(value))
            list[count++] = (struct webhook_header){ name, json_string_value(value) };
    }
    return count;
}

static err_t reparse_one(struct reparse_run *run, const struct stored_webhook *stored,
                         const struct source_config *source, const struct channel_kind *kind, struct error *reterr)
{
    struct buf body CLEANUP(buf_done);
    buf_init(&body, BODY_MAX_BYTES);
    if (!text_decode_hex(stored->body_hex, &body) || body.overflowed)
        return fail(reterr, ERR_INTERNAL, "the body of webhook %" PRId64 " cannot be decoded", stored->id);
    struct webhook_header headers[MAX_HEADERS];
    const struct webhook webhook = {
        .method = "POST",
        .source = source->name,
        .url = "",
        .headers = headers,
        .header_count = list_headers(stored->headers, headers),
        .body = buf_bytes(&body),
        .now = stored->received_at,
    };
    struct error problem = { .code = ERR_NONE };
    json_t *events CLEANUP(json_free) = json_array();
    if (channel_parse(kind, &webhook, source->settings, events, &problem) != ERR_NONE) {
        json_array_clear(events);
        run->unreadable++;
    }
    run->webhooks++;
    run->events += (int64_t)json_array_size(events);
    const char *text = problem.code == ERR_NONE ? NULL : problem.text[0] ? problem.text : "cannot be parsed";
    err_t err = number_events(run, source->name, events, reterr);
    if (err == ERR_NONE && run->dry)
        err = pg_script(run->pg, "BEGIN", reterr);
    int64_t added = 0;
    if (err == ERR_NONE)
        err = replay_store_reparse(run->pg, stored->id, events, text, CHANNEL_PARSER_VERSION, &added, reterr);
    if (run->dry)
        engine_store_rollback(run->pg);
    run->added += added;
    return err;
}

static err_t reparse_page(struct reparse_run *run, const struct pg_result *page, int64_t *ret_last_id,
                          struct progress *progress, struct error *reterr)
{
    for (size_t row = 0; row < pg_rows(page); row++) {
        struct stored_webhook stored;
        err_t err = replay_store_webhook(page, row, &stored, reterr);
        if (err != ERR_NONE)
            return err;
        char name[256];
        snprintf(name, sizeof(name), "%.*s", (int)stored.source.len, stored.source.ptr);
        const struct source_config *source = config_source(run->config, name);
        const struct channel_kind *kind = source ? channel_find(source->kind) : NULL;
        if (kind && kind->parse)
            err = reparse_one(run, &stored, source, kind, reterr);
        else
            run->unknown_source++;
        *ret_last_id = stored.id;
        json_decref(stored.headers);
        if (err != ERR_NONE)
            return err;
        progress_step(progress);
    }
    return ERR_NONE;
}

static int reparse(const struct command *command, struct reparse_run *run, msec_t since, const char *source)
{
    struct error e;
    err_t err = store_check_schema(run->pg, &e);
    struct progress progress;
    progress_begin(&progress, "webhooks", 0);
    int64_t last_id = 0;
    for (bool more = true; more && err == ERR_NONE;) {
        struct pg_result *page = NULL;
        err = replay_store_webhooks(run->pg, since, source, last_id, &page, &e);
        if (err == ERR_NONE) {
            more = pg_rows(page) > 0;
            err = reparse_page(run, page, &last_id, &progress, &e);
        }
        pg_result_free(&page);
    }
    progress_end(&progress);
    if (err != ERR_NONE)
        return command_failed(command, &e);
    printf("%s, %s in them, %" PRId64 " %s new\n", text_counted(run->webhooks, "webhook").text,
           text_counted(run->events, "event").text, run->added,
           run->dry          ? "would be"
           : run->added == 1 ? "is"
                             : "are");
    if (run->unreadable > 0)
        printf("%s still cannot be read: SELECT * FROM webhook_log WHERE problem IS NOT NULL\n",
               text_counted(run->unreadable, "webhook").text);
    if (run->unknown_source > 0)
        printf("%s of sources that are no longer configured\n", text_counted(run->unknown_source, "webhook").text);
    return EXIT_OK;
}

static int run_reparse(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL, *since_text = NULL, *source = NULL;
    bool dry = false;
    void *const values[] = { &config_path, &since_text, &source, &dry };
    int operands, exit_code;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code))
        return exit_code;
    if (operands > 0)
        return command_usage_error(command, "takes no operand, got '%s'", argv[1]);
    msec_t since = 0;
    if (!since_text || !parse_moment(since_text, clock_now(), &since))
        return command_usage_error(command, "needs --since, a duration such as 7d or a time");
    struct config *config = NULL;
    exit_code = command_load_config(command, config_path, false, &config);
    if (exit_code != EXIT_OK)
        return exit_code;
    if (source && !config_source(config, source)) {
        config_free(config);
        return command_usage_error(command, "there is no source '%s'", source);
    }
    struct reparse_run run = { .config = config, .dry = dry };
    exit_code = command_open_database(command, config, "answerd reparse", &run.pg);
    if (exit_code == EXIT_OK)
        exit_code = reparse(command, &run, since, source);
    pg_close(run.pg);
    config_free(config);
    return exit_code;
}

static const struct command_option options[] = {
    OPTION_CONFIG,
    { "since", OPTION_TEXT, "TIME", "webhooks received since: 7d, or 2026-11-23T08:00:00Z" },
    { "source", OPTION_TEXT, "NAME", "only of this source" },
    { "dry", OPTION_FLAG, NULL, "only count" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_reparse = {
    .name = "reparse",
    .summary = "derive events again from stored webhooks",
    .usage = "--since TIME [--source NAME] [--dry]",
    .details =
        "For after an upgrade whose parsers know more. Events that are known stay as they are. New ones are appended once\n"
        "and handled as if they had just come in; so is what was stored as webhook.SOURCE because nobody could read it,\n"
        "when it is something now.",
    .options = options,
    .run = run_reparse,
};
