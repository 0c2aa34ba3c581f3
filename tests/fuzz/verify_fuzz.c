/* Every parser of signature headers. The input: the kind, settings as JSON (an empty line: usual ones), headers, an
 * empty line, the body. Where the body is signed as a whole, one byte that differs must not pass. */
#include "channel/channel.h"

#include "fuzz.h"
#include "io/crypto.h"

#define MAX_HEADERS 20
#define NOW_MS ((msec_t)1790000000 * 1000)

static const char usual_settings[] =
    "{\"signing_secrets\":[\"whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=\",\"second\"],\"app_secret\":\"app\",\"verify_token\":\"v\","
    "\"secret_token\":\"token\",\"user\":\"user\",\"password\":\"password\",\"webhook_id\":\"W\",\"certificate\":\"none\"}";
static const char adyen_settings[] =
    "{\"signing_secrets\":\"44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056\"}";

static bool signs_the_body(const char *kind)
{
    static const char *const kinds[] = { "stripe",   "standard_webhooks", "svix",         "polar",      "razorpay",
                                         "paddle",   "shopify",           "lemonsqueezy", "gocardless", "square",
                                         "whatsapp", "messenger",         "instagram",    "meta" };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

static const struct channel_kind *kind_of(const char *name)
{
    const struct channel_kind *kind = channel_find(name);
    if (kind)
        return kind;
    size_t count = 0;
    while (channel_all()[count])
        count++;
    return channel_all()[(unsigned char)name[0] % count];
}

static json_t *settings_of(const struct channel_kind *kind, const char *text)
{
    json_t *settings = NULL;
    if (text[0] && json_parse(bytes_of(text), &settings, NULL) == ERR_NONE && json_is_object(settings))
        return settings;
    json_decref(settings);
    const char *usual = strcmp(kind->name, "adyen") == 0 ? adyen_settings : usual_settings;
    MUST_HOLD(json_parse(bytes_of(usual), &settings, NULL) == ERR_NONE);
    return settings;
}

static void check_tampering(const struct channel_kind *kind, struct webhook *w, const json_t *settings)
{
    char *copy = memory_text_n(w->body.ptr, w->body.len);
    copy[w->body.len / 2] ^= 1;
    w->body.ptr = copy;
    struct error e;
    MUST_HOLD(kind->verify(w, settings, &e) == ERR_DENIED);
    free(copy);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static bool started;
    if (!started)
        crypto_start();
    started = true;
    struct bytes rest = { (const char *)data, size };
    char *name = fuzz_line(&rest);
    const struct channel_kind *kind = kind_of(name);
    char *settings_text = fuzz_line(&rest);
    json_t *settings = settings_of(kind, settings_text);
    struct webhook_header headers[MAX_HEADERS];
    char *lines[MAX_HEADERS];
    size_t count = 0;
    while (rest.len > 0 && count < MAX_HEADERS) {
        char *line = fuzz_line(&rest);
        char *colon = strchr(line, ':');
        if (!colon) {
            free(line);
            break;
        }
        *colon = '\0';
        headers[count] = (struct webhook_header){ line, colon[1] == ' ' ? colon + 2 : colon + 1 };
        lines[count++] = line;
    }
    struct webhook w = {
        .method = "POST",
        .source = "fuzz",
        .url = "https://hooks.example.com/webhooks/fuzz",
        .headers = headers,
        .header_count = count,
        .body = { rest.ptr ? rest.ptr : "", rest.len },
        .now = NOW_MS,
    };
    struct error e = { 0 };
    if (kind->check && kind->check(settings, &e) == ERR_NONE)
        e.text[0] = '\0';
    if (kind->verify) {
        err_t verdict = kind->verify(&w, settings, &e);
        MUST_HOLD(verdict == ERR_NONE || e.text[0]);
        if (verdict == ERR_NONE && w.body.len > 0 && signs_the_body(kind->name))
            check_tampering(kind, &w, settings);
    }
    if (kind->handshake) {
        struct buf answer;
        buf_init(&answer, 4096);
        kind->handshake(name, settings_text, count > 0 ? headers[0].value : "", settings, &answer);
        buf_done(&answer);
    }
    for (size_t i = 0; i < count; i++)
        free(lines[i]);
    json_decref(settings);
    free(settings_text);
    free(name);
    return 0;
}
