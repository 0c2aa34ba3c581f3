/* The kinds "messenger" and "instagram". */
#include "channel/messenger.h"

#include "channel/kinds.h"
#include "channel/message.h"

static bool is_page_id(const char *text)
{
    return text != NULL && *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* An app has one callback URL for all its pages. What another page was sent must not be answered from this one, so it
 * is kept, with the reason for whoever configures the sources. The dashboard's tests are of page 0. */
static bool keep_of_other_page(const struct meta_entry *entry)
{
    const char *ours = json_str(entry->settings, "page_id");
    struct buf theirs CLEANUP(buf_done);
    buf_init(&theirs, 64);
    event_id_text(json_object_get(entry->entry, "id"), &theirs);
    if (theirs.overflowed || !is_page_id(theirs.ptr) || !is_page_id(ours) || strcmp(theirs.ptr, "0") == 0 ||
        strcmp(theirs.ptr, ours) == 0) {
        return false;
    }
    json_t *event = meta_add_unknown(entry, "messenger", "entry", entry->entry);
    json_put_str(event, "account", theirs.ptr);
    json_put(event, "problem", json_sprintf("it is for the page %.40s, and this source has %.40s", theirs.ptr, ours));
    return true;
}

static void parse_messenger_entry(const struct meta_entry *entry)
{
    if (!keep_of_other_page(entry)) {
        messenger_parse_entry(entry, "messenger");
    }
}

static err_t parse_messenger(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    return meta_parse(w, settings, "page", "messenger", events, parse_messenger_entry, reterr);
}

static void parse_instagram_entry(const struct meta_entry *entry)
{
    messenger_parse_entry(entry, "instagram");
}

static err_t parse_instagram(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    return meta_parse(w, settings, "instagram", "instagram", events, parse_instagram_entry, reterr);
}

static const struct channel_setting settings_of_messenger[] = {
    { "app_secret", SETTING_SECRETS, true, "the app secret of the Meta app that owns the subscription" },
    { "app_secrets", SETTING_SECRETS, false, "more app secrets that are accepted, while one is being replaced" },
    { "verify_token", SETTING_SECRET, true, "the token of the subscription handshake, your own choice" },
    { "access_token", SETTING_SECRET, false, "the page's token; without it this source only receives" },
    { "page_id", SETTING_TEXT, false,
      "the page that messages are sent from, default me; what another page receives is kept and not handled" },
    { "app_id", SETTING_TEXT, false, "our app, to tell echoes of our own messages from those of other tools" },
    { "api_url", SETTING_URL, false, "default https://graph.facebook.com" },
    { "api_version", SETTING_TEXT, false, "default " DEFAULT_GRAPH_VERSION },
    { NULL, SETTING_TEXT, false, NULL },
};

static const struct channel_setting settings_of_instagram[] = {
    { "app_secret", SETTING_SECRETS, true, "the app secret of the Meta or Instagram app that owns the subscription" },
    { "app_secrets", SETTING_SECRETS, false, "more app secrets that are accepted, while one is being replaced" },
    { "verify_token", SETTING_SECRET, true, "the token of the subscription handshake, your own choice" },
    { "access_token", SETTING_SECRET, false, "the account's token; without it this source only receives" },
    { "account_id", SETTING_TEXT, false, "the Instagram account that messages are sent from; default me" },
    { "app_id", SETTING_TEXT, false, "our app, to tell echoes of our own messages from those of other tools" },
    { "api_url", SETTING_URL, false,
      "default https://graph.instagram.com; https://graph.facebook.com with a page's token" },
    { "api_version", SETTING_TEXT, false, "default " DEFAULT_GRAPH_VERSION },
    { NULL, SETTING_TEXT, false, NULL },
};

/* Meta publishes no fixed rate for a page; these are far below what conversations need. */
#define MESSAGES_PER_SECOND 40

const struct channel_kind channel_messenger = {
    .name = "messenger",
    .provider = "messenger",
    .settings = settings_of_messenger,
    .verify = meta_verify,
    .handshake = meta_handshake,
    .parse = parse_messenger,
    .sign = meta_sign,
    .window_ms = META_WINDOW_MS,
    .address_interval_ms = 1000,
    .address_burst = 5,
    .source_per_second = MESSAGES_PER_SECOND,
    .render = messenger_render,
    .classify = messenger_classify,
};

const struct channel_kind channel_instagram = {
    .name = "instagram",
    .provider = "instagram",
    .settings = settings_of_instagram,
    .verify = meta_verify,
    .handshake = meta_handshake,
    .parse = parse_instagram,
    .sign = meta_sign,
    .window_ms = META_WINDOW_MS,
    .address_interval_ms = 1000,
    .address_burst = 5,
    .source_per_second = MESSAGES_PER_SECOND,
    .render = instagram_render,
    .classify = messenger_classify,
};
