/* Telegram Bot API: the shared secret token, the subscription, the kind. Source: core.telegram.org/bots/api. */
#include "channel/telegram.h"

#include "channel/kinds.h"
#include "channel/message.h"
#include "channel/secrets.h"
#include "io/crypto.h"

#include <ctype.h>

#define TOKEN_HEADER "X-Telegram-Bot-Api-Secret-Token"

static const char *const secret_settings[] = { "secret_token", "secret_tokens", "secret", "secrets", NULL };

static bool token_matches(struct bytes value, void *arg)
{
    const struct secret_list *secrets = arg;
    for (size_t i = 0; i < secrets->count; i++) {
        if (crypto_equal(value, secrets->secrets[i])) {
            return true;
        }
    }
    return false;
}

/* There is no signature: the token itself comes along, and the body is as trustworthy as the TLS connection. */
static err_t verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    struct secret_list secrets;
    err_t err = secrets_read(settings, secret_settings, &secrets, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (webhook_header_value(w, TOKEN_HEADER) == NULL) {
        return fail(reterr, ERR_DENIED, "the header " TOKEN_HEADER " is missing");
    }
    if (!header_any(w, TOKEN_HEADER, token_matches, &secrets)) {
        return fail(reterr, ERR_DENIED, "the secret token does not match");
    }
    return ERR_NONE;
}

/* setWebhook takes 1 to 256 of A-Z a-z 0-9 _ -. */
static bool is_token(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!isalnum((unsigned char)text.ptr[i]) && text.ptr[i] != '_' && text.ptr[i] != '-') {
            return false;
        }
    }
    return text.len >= 1 && text.len <= 256;
}

#define TOKEN_FORM "a secret token has 1 to 256 letters (a to z, A to Z), digits, '_' and '-'"

static err_t check(const json_t *settings, struct error *reterr)
{
    struct secret_list secrets;
    if (secrets_read(settings, secret_settings, &secrets, NULL) != ERR_NONE) {
        return ERR_NONE; /* that there is none is said where all kinds are checked */
    }
    for (size_t i = 0; i < secrets.count; i++) {
        if (!is_token(secrets.secrets[i])) {
            return fail(reterr, ERR_INVALID, "Telegram does not take this secret_token\nHINT: " TOKEN_FORM);
        }
    }
    return ERR_NONE;
}

static err_t sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    (void)w;
    if (!is_token(secret)) {
        return fail(reterr, ERR_INVALID, TOKEN_FORM);
    }
    buf_add_text(headers, TOKEN_HEADER ": ");
    buf_add_bytes(headers, secret);
    buf_add_char(headers, '\n');
    return ERR_NONE;
}

/* The id of the tap that an event is about; NULL when it is about none. */
static const char *tap_of(const json_t *event)
{
    const char *id = json_str(json_object_at(event, "message"), "callback_query_id");
    if (id == NULL && strcmp(json_str_or(event, "provider_type", ""), "callback_query") == 0) {
        id = json_str(json_object_at(event, "body"), "id");
    }
    return id;
}

/* Telegram executes a method that the answer names; without this one the tapped button goes on showing a progress bar.
 * One method fits in an answer, and one update holds one tap. */
static void answer(const json_t *events, struct buf *body)
{
    size_t index;
    json_t *event;
    json_array_foreach (events, index, event) {
        const char *id = tap_of(event);
        if (id) {
            json_t *method CLEANUP(json_free) = json_object();
            json_put_str(method, "method", "answerCallbackQuery");
            json_put_str(method, "callback_query_id", id);
            json_add(body, method);
            return;
        }
    }
}

static err_t registration(const char *url, const json_t *settings, struct outgoing_request *out, struct error *reterr)
{
    struct secret_list secrets;
    err_t err = secrets_read(settings, secret_settings, &secrets, reterr);
    if (err == ERR_NONE) {
        err = check(settings, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }
    int64_t connections = json_int(settings, "max_connections", 40);
    if (connections < 1 || connections > 100) {
        return fail(reterr, ERR_INVALID, "max_connections is not between 1 and 100");
    }
    json_t *body CLEANUP(json_free) = json_object();
    json_t *kinds = json_array();
    /* An empty list would leave out reactions and chat members; so each is named. */
    for (size_t i = 0; telegram_update_kinds[i] != NULL; i++) {
        json_array_append_new(kinds, json_string(telegram_update_kinds[i]));
    }
    json_put_str(body, "url", url);
    json_put_bytes(body, "secret_token", secrets.secrets[0]);
    json_put(body, "allowed_updates", kinds);
    json_put_int(body, "max_connections", connections);
    return telegram_call(out, settings, "setWebhook", body, reterr);
}

static const struct channel_setting settings_of_telegram[] = {
    { "secret_token", SETTING_SECRETS, true, "the token that Telegram sends along, your own choice" },
    { "secret_tokens", SETTING_SECRETS, false, "more secret tokens that are accepted, while one is being replaced" },
    { "bot_token", SETTING_SECRET, false, "from @BotFather; without it this source only receives" },
    { "max_connections", SETTING_NUMBER, false, "how many webhooks Telegram may send at once; default 40" },
    { "api_url", SETTING_URL, false, "default https://api.telegram.org" },
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_telegram = {
    .name = TELEGRAM,
    .provider = TELEGRAM,
    .settings = settings_of_telegram,
    .verify = verify,
    .parse = telegram_parse,
    .sign = sign,
    .check = check,
    .answer = answer,
    /* About one message a second in one chat, 30 a second in all; short bursts pass. */
    .address_interval_ms = 1000,
    .address_burst = 3,
    .source_per_second = 30,
    .render = telegram_render,
    .classify = telegram_classify,
    .registration = registration,
};
