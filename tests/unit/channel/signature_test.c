/* Verification and signing of the kinds with secrets: what passes, and above all what does not. */
#include "channel/signature_support.h"

#include <ctype.h>
#include <inttypes.h>

/* --- all kinds alike
 * -------------------------------------------------------------------------------------------------- */

static char *settings_with(const char *name, const char *first, const char *second)
{
    json_t *settings = json_object();
    json_t *list = json_array();
    if (first) {
        json_array_append_new(list, json_string(first));
    }
    if (second) {
        json_array_append_new(list, json_string(second));
    }
    json_put(settings, name, list);
    char *text = json_dump(settings);
    json_decref(settings);
    return text;
}

static void what_is_signed_is_valid_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(signing_kinds); i++) {
        const char *kind = signing_kinds[i].kind;
        const char *url = signing_kinds[i].url;
        char *signature = signed_header(kind, signing_kinds[i].secret, url, signing_kinds[i].header, TEST_NOW);
        char *right = settings_with(signing_kinds[i].setting, signing_kinds[i].secret, NULL);
        char *rotated = settings_with(signing_kinds[i].setting, "0123456789abcdef", signing_kinds[i].secret);
        char *wrong = settings_with(signing_kinds[i].setting, "0123456789abcdef", NULL);
        char *empty = settings_with(signing_kinds[i].setting, "", NULL);
        char upper[64];
        snprintf(upper, sizeof(upper), "%s", signing_kinds[i].header);
        for (char *c = upper; *c; c++) {
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        }

        VALID(.kind = kind, .settings = right, .url = url, .headers = { { signing_kinds[i].header, signature } });
        VALID(.kind = kind, .settings = right, .url = url, .headers = { { upper, signature } });
        VALID(.kind = kind, .settings = rotated, .url = url, .headers = { { signing_kinds[i].header, signature } });
        VALID(.kind = kind, .settings = right, .url = url,
              .headers = { { signing_kinds[i].header, "nonsense" }, { signing_kinds[i].header, signature } });
        INVALID("", .kind = kind, .settings = wrong, .url = url, .headers = { { signing_kinds[i].header, signature } });
        INVALID("no secret", .kind = kind, .settings = empty, .url = url,
                .headers = { { signing_kinds[i].header, signature } });
        INVALID("no secret", .kind = kind, .settings = "{}", .url = url,
                .headers = { { signing_kinds[i].header, signature } });
        INVALID("missing", .kind = kind, .settings = right, .url = url, .headers = { { "X-Other", signature } });
        INVALID("", .kind = kind, .settings = right, .url = url, .headers = { { signing_kinds[i].header, "" } });
        INVALID("", .kind = kind, .settings = right, .url = url, .body = BODY " ",
                .headers = { { signing_kinds[i].header, signature } });

        /* each character of the signature counts, except perhaps the bits after a base64 text's end */
        for (size_t at = 0; at + 2 < strlen(signature); at++) {
            char *changed = strdup(signature);
            changed[at] = changed[at] == '0' ? '1' : '0';
            struct attempt a = {
                .kind = kind, .settings = right, .url = url, .headers = { { signing_kinds[i].header, changed } }
            };
            if (verdict(&a) == NULL) {
                fail_msg("%s accepts %s for %s", kind, changed, signature);
            }
            free(changed);
        }
        for (size_t length = 0; length < strlen(signature); length++) {
            char *cut = strndup(signature, length);
            struct attempt a = {
                .kind = kind, .settings = right, .url = url, .headers = { { signing_kinds[i].header, cut } }
            };
            /* padding may go */
            assert_true(verdict(&a) != NULL || signature[length] == '=');
            free(cut);
        }
        free(signature);
        free(right);
        free(rotated);
        free(wrong);
        free(empty);
    }
}

static void nul_bytes_are_signed_as_well(void **state)
{
    (void)state;
    static const char body[] = "{\"a\":1}\0{\"b\":2}";
    /* HMAC-SHA256 of "{\"a\":1}" alone must not do for the longer body */
    unsigned char mac[SHA256_SIZE];
    struct bytes part = { body, 7 };
    crypto_hmac(HASH_SHA256, bytes_of("s"), &part, 1, mac);
    struct buf hex CLEANUP(buf_done);
    buf_init(&hex, 128);
    text_encode_hex((struct bytes){ (const char *)mac, sizeof(mac) }, &hex);
    VALID(.kind = "razorpay", .settings = "{\"signing_secrets\":\"s\"}", .body = body, .body_length = 7,
          .headers = { { "X-Razorpay-Signature", hex.ptr } });
    INVALID("matches", .kind = "razorpay", .settings = "{\"signing_secrets\":\"s\"}", .body = body,
            .body_length = sizeof(body) - 1, .headers = { { "X-Razorpay-Signature", hex.ptr } });
}

/* --- times
 * ------------------------------------------------------------------------------------------------------------ */

static void old_signatures_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *header;
        msec_t window_ms;
    } timed[] = { { "stripe", "Stripe-Signature", 300000 }, { "paddle", "Paddle-Signature", 5000 } };
    for (size_t i = 0; i < ARRAY_LEN(timed); i++) {
        const char *settings = "{\"signing_secrets\":\"whsec_s\"}";
        char *signature = signed_header(timed[i].kind, "whsec_s", "", timed[i].header, TEST_NOW);
        struct webhook_header header = { timed[i].header, signature };
        VALID(.kind = timed[i].kind, .settings = settings, .now = TEST_NOW + timed[i].window_ms, .headers = { header });
        VALID(.kind = timed[i].kind, .settings = settings, .now = TEST_NOW + timed[i].window_ms + 999,
              .headers = { header });
        INVALID("too old", .kind = timed[i].kind, .settings = settings, .now = TEST_NOW + timed[i].window_ms + 1000,
                .headers = { header });
        VALID(.kind = timed[i].kind, .settings = settings, .now = TEST_NOW - 3600000, .headers = { header });
        VALID(.kind = timed[i].kind, .settings = "{\"signing_secrets\":\"whsec_s\",\"tolerance\":\"1h\"}",
              .now = TEST_NOW + 3600000, .headers = { header });
        INVALID("tolerance", .kind = timed[i].kind, .settings = "{\"signing_secrets\":\"whsec_s\",\"tolerance\":\"-\"}",
                .headers = { header });
        INVALID("tolerance", .kind = timed[i].kind, .settings = "{\"signing_secrets\":\"whsec_s\",\"tolerance\":0}",
                .headers = { header });
        free(signature);
    }
}

static void stripe_headers_are_read_strictly(void **state)
{
    (void)state;
    const char *settings = "{\"signing_secrets\":\"whsec_s\"}";
    char *signature = signed_header("stripe", "whsec_s", "", "Stripe-Signature", TEST_NOW);
    char *hex = strstr(signature, "v1=") + 3;
    char header[512];

    snprintf(header, sizeof(header), "v1=%s,t=%" PRId64, hex, NOW_S);
    VALID(.kind = "stripe", .settings = settings, .headers = { { "Stripe-Signature", header } });
    snprintf(header, sizeof(header), "t=%" PRId64 ", v0=abc, v1=00, v1=%s, x", NOW_S, hex);
    VALID(.kind = "stripe", .settings = settings, .headers = { { "Stripe-Signature", header } });
    snprintf(header, sizeof(header), "t=%" PRId64 ",v0=%s", NOW_S, hex);
    INVALID("no v1", .kind = "stripe", .settings = settings, .headers = { { "Stripe-Signature", header } });
    snprintf(header, sizeof(header), "t=%" PRId64 ",v1=00,v0=%s", NOW_S, hex);
    INVALID("matches", .kind = "stripe", .settings = settings, .headers = { { "Stripe-Signature", header } });
    static const char *const times[] = { "t=,",
                                         "",
                                         "t=abc,",
                                         "t=+1795420800,",
                                         "t=1795420800.0,",
                                         "t=-1,",
                                         "t= ,",
                                         "t=99999999999999999999,",
                                         "t=0x6b04,",
                                         "T=1795420800," };
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        snprintf(header, sizeof(header), "%sv1=%s", times[i], hex);
        INVALID("timestamp", .kind = "stripe", .settings = settings, .headers = { { "Stripe-Signature", header } });
    }
    free(signature);
}

/* --- Standard Webhooks
 * ------------------------------------------------------------------------------------------------ */

/* The example of the documentation (docs.svix.com, npm standardwebhooks). */
#define EXAMPLE                                                                                                        \
    .settings = "{\"signing_secrets\":[\"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"]}",                                  \
    .body = "{\"email\":\"test@example.com\",\"username\":\"test_user\"}", .now = 1649367553000
#define EXAMPLE_SIGNATURE "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
#define EXAMPLE_ID "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"

static void standard_webhooks(void **state)
{
    (void)state;
#define HEADERS(id, time, signature)                                                                                   \
    .headers = { { "webhook-id", id }, { "webhook-timestamp", time }, { "webhook-signature", signature } }
    const char *kind = "standard_webhooks";
    VALID(.kind = kind, EXAMPLE, HEADERS(EXAMPLE_ID, "1649367553", EXAMPLE_SIGNATURE));
    VALID(.kind = "svix", EXAMPLE, HEADERS(EXAMPLE_ID, "1649367553", EXAMPLE_SIGNATURE));
    VALID(.kind = "polar", EXAMPLE, HEADERS(EXAMPLE_ID, "1649367553", EXAMPLE_SIGNATURE));
    VALID(.kind = kind, EXAMPLE, HEADERS(EXAMPLE_ID, "1649367553", "v2,x v1a,AAAA v1,AAAA " EXAMPLE_SIGNATURE));
    INVALID("matches", .kind = kind, EXAMPLE, HEADERS("msg_other", "1649367553", EXAMPLE_SIGNATURE));
    INVALID("matches", .kind = kind, EXAMPLE, HEADERS(EXAMPLE_ID, "1649367554", EXAMPLE_SIGNATURE));
    INVALID("matches", .kind = kind, EXAMPLE, HEADERS(EXAMPLE_ID, "1649367553", "v2" EXAMPLE_SIGNATURE));
    INVALID("matches", .kind = kind, EXAMPLE, HEADERS(EXAMPLE_ID, "1649367553", "v1"));
    INVALID("number", .kind = kind, EXAMPLE, HEADERS(EXAMPLE_ID, "1649367553.0", EXAMPLE_SIGNATURE));
    INVALID("missing", .kind = kind, EXAMPLE, HEADERS("", "1649367553", EXAMPLE_SIGNATURE));
    INVALID("missing", .kind = kind, EXAMPLE, .headers = { { "webhook-id", EXAMPLE_ID } });
    INVALID("too old", .kind = kind, EXAMPLE, HEADERS(EXAMPLE_ID, "1649367252", EXAMPLE_SIGNATURE));
    INVALID("future", .kind = kind, EXAMPLE, HEADERS(EXAMPLE_ID, "1649367854", EXAMPLE_SIGNATURE));
    VALID(.kind = "svix", EXAMPLE,
          .headers = { { "svix-id", EXAMPLE_ID },
                       { "svix-timestamp", "1649367553" },
                       { "svix-signature", EXAMPLE_SIGNATURE },
                       { "webhook-id", "other" },
                       { "webhook-timestamp", "1" },
                       { "webhook-signature", "v1,AAAA" } });
    INVALID("matches", .kind = "svix", EXAMPLE,
            .headers = { { "svix-id", "other" },
                         { "svix-timestamp", "1649367553" },
                         { "svix-signature", EXAMPLE_SIGNATURE },
                         { "webhook-id", EXAMPLE_ID },
                         { "webhook-timestamp", "1649367553" },
                         { "webhook-signature", EXAMPLE_SIGNATURE } });
    INVALID("usable", .kind = kind, .settings = "{\"signing_secrets\":\"whsec_\"}", .now = 1649367553000,
            HEADERS(EXAMPLE_ID, "1649367553", EXAMPLE_SIGNATURE));
    INVALID("usable", .kind = kind, .settings = "{\"signing_secrets\":\"whpk_AAAA\"}", .now = 1649367553000,
            HEADERS(EXAMPLE_ID, "1649367553", EXAMPLE_SIGNATURE));
    INVALID("usable", .kind = kind, .settings = "{\"signing_secrets\":\"polar_whs_not base64\"}", .now = 1649367553000,
            HEADERS(EXAMPLE_ID, "1649367553", EXAMPLE_SIGNATURE));
}

/* The key pair of RFC 8032, test 2; the signature of the example's content was made by Node's crypto. */
#define PUBLIC_KEY "whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="
#define OTHER_PUBLIC_KEY "whpk_QUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="
#define ED25519 "WHjsBnxYGAzT4ouNcEHVkIFB4V5sqMvGNEfbIzAeidMH5kRnfaveEv167/OQ9xXNboC36vYKangXhyprOiJMAg=="
#define ED25519_CUT "WHjsBnxYGAzT4ouNcEHVkIFB4V5sqMvGNEfbIzAeidMH5kRnfaveEv167/OQ9xXNboC36vYKangXhyprOiJM"
#define KEYS(list)                                                                                                     \
    .settings = "{\"signing_secrets\":[" list "]}",                                                                    \
    .body = "{\"email\":\"test@example.com\",\"username\":\"test_user\"}", .now = 1649367553000

static void standard_webhooks_with_public_keys(void **state)
{
    (void)state;
    const char *kind = "standard_webhooks";
    VALID(.kind = kind, KEYS("\"" PUBLIC_KEY "\""), HEADERS(EXAMPLE_ID, "1649367553", "v1a," ED25519));
    VALID(.kind = kind, KEYS("\"whsec_AAAA\",\"" OTHER_PUBLIC_KEY "\",\"" PUBLIC_KEY "\""),
          HEADERS(EXAMPLE_ID, "1649367553", "v1,AAAA v1a,AAAA, v1a," ED25519 ","));
    /* another content, another key, another kind of signature, another length */
    INVALID("matches", .kind = kind, KEYS("\"" PUBLIC_KEY "\""), HEADERS("msg_other", "1649367553", "v1a," ED25519));
    INVALID("matches", .kind = kind, KEYS("\"" OTHER_PUBLIC_KEY "\""),
            HEADERS(EXAMPLE_ID, "1649367553", "v1a," ED25519));
    INVALID("matches", .kind = kind, KEYS("\"" PUBLIC_KEY "\""), HEADERS(EXAMPLE_ID, "1649367553", "v1," ED25519));
    INVALID("matches", .kind = kind, KEYS("\"" PUBLIC_KEY "\""), HEADERS(EXAMPLE_ID, "1649367553", "v1b," ED25519));
    INVALID("matches", .kind = kind, KEYS("\"" PUBLIC_KEY "\""), HEADERS(EXAMPLE_ID, "1649367553", "v1a," ED25519_CUT));
    INVALID("matches", .kind = kind, KEYS("\"" PUBLIC_KEY "\""), HEADERS(EXAMPLE_ID, "1649367553", "v1a,"));
    /* Whoever knows the public key can make MACs with it: it is none of a secret's bytes. */
    struct bytes content =
        bytes_of(EXAMPLE_ID ".1649367553.{\"email\":\"test@example.com\",\"username\":\"test_user\"}");
    struct buf key CLEANUP(buf_done), forged CLEANUP(buf_done);
    buf_init(&key, 64);
    buf_init(&forged, 64);
    assert_true(text_decode_base64(bytes_of(PUBLIC_KEY + strlen("whpk_")), &key));
    unsigned char mac[SHA256_SIZE];
    crypto_hmac(HASH_SHA256, buf_bytes(&key), &content, 1, mac);
    buf_add_text(&forged, "v1,");
    text_encode_base64((struct bytes){ (const char *)mac, sizeof(mac) }, &forged);
    INVALID("matches", .kind = kind, KEYS("\"" PUBLIC_KEY "\""), HEADERS(EXAMPLE_ID, "1649367553", forged.ptr));
    /* Nor is a secret a public key. */
    INVALID("matches", .kind = kind, KEYS("\"whsec_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\""),
            HEADERS(EXAMPLE_ID, "1649367553", "v1a," ED25519));
    /* Polar's secret is the text itself. */
    VALID(.kind = "polar", KEYS("\"a key as text\""),
          HEADERS(EXAMPLE_ID, "1649367553", "v1,rCYK+I5SaCMo+n4Q71xp6HdpStObAHBTCcWy9lNa6+Y="));
    INVALID("usable", .kind = kind, KEYS("\"a key as text\""),
            HEADERS(EXAMPLE_ID, "1649367553", "v1,rCYK+I5SaCMo+n4Q71xp6HdpStObAHBTCcWy9lNa6+Y="));
}

/* --- others
 * ----------------------------------------------------------------------------------------------------------- */

#define ADYEN_ITEM(psp, reference, signature)                                                                          \
    "{\"NotificationRequestItem\":{\"pspReference\":\"" psp "\",\"originalReference\":\"\","                           \
    "\"merchantAccountCode\":\"TestMerchant\",\"merchantReference\":\"" reference "\","                                \
    "\"amount\":{\"value\":1130,\"currency\":\"EUR\"},\"eventCode\":\"AUTHORISATION\",\"success\":\"true\","           \
    "\"additionalData\":{\"hmacSignature\":\"" signature "\"}}}"
#define ADYEN_GOOD                                                                                                     \
    ADYEN_ITEM("7914073381342284", "TestPayment-1407325143704", "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=")
#define ADYEN_BODY(items) "{\"live\":\"false\",\"notificationItems\":[" items "]}"
#define ADYEN_KEY "{\"signing_secrets\":\"44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056\"}"

static void adyen_checks_each_item(void **state)
{
    (void)state;
    VALID(.kind = "adyen", .settings = ADYEN_KEY, .body = ADYEN_BODY(ADYEN_GOOD));
    VALID(.kind = "adyen", .settings = ADYEN_KEY, .body = ADYEN_BODY(ADYEN_GOOD "," ADYEN_GOOD));
    INVALID("item 2 does not match", .kind = "adyen", .settings = ADYEN_KEY,
            .body = ADYEN_BODY(ADYEN_GOOD "," ADYEN_ITEM("x", "y", "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=")));
    INVALID("item 2 is missing", .kind = "adyen", .settings = ADYEN_KEY,
            .body = ADYEN_BODY(ADYEN_GOOD ",{\"NotificationRequestItem\":{\"pspReference\":\"1\"}}"));
    INVALID("item 1", .kind = "adyen", .settings = ADYEN_KEY, .body = ADYEN_BODY("null"));
    INVALID("no notification item", .kind = "adyen", .settings = ADYEN_KEY, .body = ADYEN_BODY(""));
    INVALID("no notification item", .kind = "adyen", .settings = ADYEN_KEY, .body = "[]");
    /* More than Adyen sends is not read before it is proved. */
    struct buf large CLEANUP(buf_done);
    buf_init(&large, (size_t)1024 * 1024);
    buf_add_text(&large, ADYEN_BODY(ADYEN_GOOD));
    while (large.len < (size_t)256 * 1024) {
        buf_add_char(&large, ' ');
    }
    VALID(.kind = "adyen", .settings = ADYEN_KEY, .body = large.ptr);
    buf_add_char(&large, ' ');
    INVALID("larger than 256 KiB", .kind = "adyen", .settings = ADYEN_KEY, .body = large.ptr);
    INVALID("not JSON", .kind = "adyen", .settings = ADYEN_KEY, .body = "x");
    INVALID("hex", .kind = "adyen", .settings = "{\"signing_secrets\":\"no hex\"}", .body = ADYEN_BODY(ADYEN_GOOD));
    /* values joined as they are, and escaped */
    VALID(.kind = "adyen", .settings = ADYEN_KEY,
          .body = ADYEN_BODY(
              ADYEN_ITEM("7914073381342284", "inv:2026\\\\11:007", "vl8KEDbAxzuLyHiclvlVOs3gqUzHn2i2LEAnis0WDGQ=")));
    VALID(.kind = "adyen", .settings = ADYEN_KEY,
          .body = ADYEN_BODY(
              ADYEN_ITEM("7914073381342284", "inv:2026\\\\11:007", "Auoqd5dPcYs9XxVYbAJ7lmoOXFV+dfqDZxRcgnxBoDc=")));
    /* the header form is not satisfied by signed items */
    INVALID("matches", .kind = "adyen", .settings = ADYEN_KEY, .body = ADYEN_BODY(ADYEN_GOOD),
            .headers = { { "HmacSignature", "AAAA" } });
}

static void chargebee_wants_user_and_password(void **state)
{
    (void)state;
    const char *settings = "{\"user\":\"hookuser\",\"password\":[\"old\",\"pa:ss\"]}";
    VALID(.kind = "chargebee", .settings = settings, .headers = { { "authorization", "Basic aG9va3VzZXI6cGE6c3M=" } });
    VALID(.kind = "chargebee", .settings = settings, .headers = { { "Authorization", "basic aG9va3VzZXI6b2xk" } });
    INVALID("does not match", .kind = "chargebee", .settings = settings,
            .headers = { { "Authorization", "Bearer aG9va3VzZXI6cGE6c3M=" } });
    INVALID("does not match", .kind = "chargebee", .settings = settings,
            .headers = { { "Authorization", "Basic aG9va3VzZXI6cGE=" } });
    INVALID("does not match", .kind = "chargebee", .settings = settings, .headers = { { "Authorization", "Basic" } });
    INVALID("missing", .kind = "chargebee", .settings = settings, .headers = { { "X", "" } });
    INVALID("no user", .kind = "chargebee", .settings = "{\"password\":\"x\"}",
            .headers = { { "Authorization", "Basic Ong=" } });
    INVALID("no secret", .kind = "chargebee", .settings = "{\"user\":\"u\",\"password\":\"\"}",
            .headers = { { "Authorization", "Basic dTo=" } });
}

static void paypal_trusts_no_other_host(void **state)
{
    (void)state;
    static const char *const evil[] = {
        "http://api.paypal.com/cert",
        "https://paypal.com.evil.example/",
        "https://evilpaypal.com/c",
        "https://api.paypal.com:8443/c",
        "https://a@api.paypal.com/c",
        "https://evil.example/api.paypal.com",
        "https://api.paypal.com\\@evil.example",
        "https://evil.example#.paypal.com",
        "https://evil.example?.paypal.com/",
        "https://.paypal.com",
        "https://",
        "api.paypal.com/c",
        "https://evil.example%2f.paypal.com/",
        "//api.paypal.com/c",
    };
    for (size_t i = 0; i < ARRAY_LEN(evil); i++) {
        INVALID("not at paypal.com", .kind = "paypal", .settings = "{\"webhook_id\":\"W\",\"certificate\":\"x\"}",
                .headers = { { "PAYPAL-TRANSMISSION-ID", "1" },
                             { "PAYPAL-TRANSMISSION-TIME", "2" },
                             { "PAYPAL-TRANSMISSION-SIG", "AAAA" },
                             { "PAYPAL-CERT-URL", evil[i] } });
    }
    static const char *const good[] = { "https://api.paypal.com/c", "HTTPS://API.PayPal.com/c", "https://paypal.com" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        INVALID("does not match", .kind = "paypal", .settings = "{\"webhook_id\":\"W\",\"certificate\":\"x\"}",
                .headers = { { "PAYPAL-TRANSMISSION-ID", "1" },
                             { "PAYPAL-TRANSMISSION-TIME", "2" },
                             { "PAYPAL-TRANSMISSION-SIG", "AAAA" },
                             { "PAYPAL-CERT-URL", good[i] } });
    }
    INVALID("certificate", .kind = "paypal", .settings = "{\"webhook_id\":\"W\"}",
            .headers = { { "PAYPAL-TRANSMISSION-ID", "1" },
                         { "PAYPAL-TRANSMISSION-TIME", "2" },
                         { "PAYPAL-TRANSMISSION-SIG", "AAAA" },
                         { "PAYPAL-CERT-URL", good[0] } });
}

/* Behind a proxy only the configuration knows it. */
static void square_signs_its_own_url(void **state)
{
    (void)state;
    static const char header[] = "x-square-hmacsha256-signature";
    static const char with_url[] = "{\"signing_secrets\":\"s\",\"notification_url\":\"https://a.example/w\"}";
    static const char with_none[] = "{\"signing_secrets\":\"s\",\"notification_url\":\"\"}";
    char *signature = signed_header("square", "s", "https://a.example/w", header, TEST_NOW);
    VALID(.kind = "square", .settings = with_url, .url = "http://10.0.0.1/w", .headers = { { header, signature } });
    VALID(.kind = "square", .settings = with_url, .headers = { { header, signature } });
    VALID(.kind = "square", .settings = with_none, .url = "https://a.example/w", .headers = { { header, signature } });
    INVALID("matches", .kind = "square", .settings = with_none, .url = "http://10.0.0.1/w",
            .headers = { { header, signature } });
    INVALID("HINT: set notification_url", .kind = "square", .settings = with_none,
            .headers = { { header, signature } });
    free(signature);

    struct attempt nowhere = { .kind = "square" };
    struct webhook w = webhook_of(&nowhere);
    struct buf headers CLEANUP(buf_done);
    buf_init(&headers, 1024);
    struct error e = { .code = ERR_NONE };
    assert_int_equal(channel_find("square")->sign(&w, bytes_of("s"), &headers, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "there is none"));
    assert_int_equal(channel_find("square")->sign(&w, bytes_of(""), &headers, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "secret"));
    assert_int_equal(headers.len, 0);
}

static void classic_mollie_is_refused(void **state)
{
    (void)state;
    INVALID("classic", .kind = "mollie", .settings = "{\"signing_secrets\":\"s\"}", .body = "id=tr_1");
}

/* Whoever forwards a webhook may write the hex digits, and the name of the hash before them, in another case. */
static void hex_signatures_are_taken_in_any_case(void **state)
{
    (void)state;
    static const char *const kinds[] = { "stripe", "paddle", "razorpay", "mollie", "gocardless", "lemonsqueezy" };
    for (size_t k = 0; k < ARRAY_LEN(signing_kinds); k++) {
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            if (strcmp(kinds[i], signing_kinds[k].kind) != 0) {
                continue;
            }
            char settings[256];
            snprintf(settings, sizeof(settings), "{\"signing_secrets\":\"%s\"}", signing_kinds[k].secret);
            char *value = signed_header(kinds[i], signing_kinds[k].secret, "", signing_kinds[k].header, 0);
            /* after the last "=", which stands before the digits; all of it where there is none */
            char *digits = strrchr(value, '=');
            for (char *c = digits ? digits : value; *c; c++) {
                *c = (char)toupper((unsigned char)*c);
            }
            VALID(.kind = kinds[i], .settings = settings, .headers = { { signing_kinds[k].header, value } });
            free(value);
        }
    }
    char *value = signed_header("mollie", "s", "", "X-Mollie-Signature", 0);
    for (char *c = value; *c; c++) {
        *c = (char)toupper((unsigned char)*c);
    }
    assert_memory_equal(value, "SHA256=", 7);
    VALID(.kind = "mollie", .settings = "{\"signing_secrets\":\"s\"}", .headers = { { "X-Mollie-Signature", value } });
    INVALID("matches", .kind = "mollie", .settings = "{\"signing_secrets\":\"s\"}",
            .headers = { { "X-Mollie-Signature", value + 7 } });
    INVALID("matches", .kind = "mollie", .settings = "{\"signing_secrets\":\"s\"}",
            .headers = { { "X-Mollie-Signature", "SHA2" } });
    free(value);
}

/* A secret that is cut or of another kind is found when the configuration is checked, not at the first webhook. */
static void secrets_that_are_no_keys_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *settings, *words;
    } cases[] = {
        { "standard_webhooks", "{\"signing_secrets\":\"whsec_not!base64\"}", "secret 1" },
        { "standard_webhooks", "{\"signing_secrets\":[\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\",\"whsec_\"]}",
          "secret 2" },
        { "standard_webhooks", "{\"signing_secrets\":\"whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"}", "secret 1" },
        { "svix", "{\"signing_secrets\":\"***\"}", "secret 1" },
        { "svix", "{\"signing_secrets\":[\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]}", NULL },
        { "standard_webhooks", "{}", NULL },
        { "adyen", "{\"signing_secrets\":\"44782DEF5x\"}", "key 1" },
        { "adyen", "{\"signing_secrets\":[\"44782DEF\",\"whsec_x\"]}", "key 2" },
        { "adyen", "{\"signing_secrets\":\" 44782DEF \"}", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *settings CLEANUP(json_free) = json_loads(cases[i].settings, 0, NULL);
        assert_non_null(settings);
        struct error e = { .code = ERR_NONE };
        err_t err = channel_find(cases[i].kind)->check(settings, &e);
        if ((err != ERR_NONE) != (cases[i].words != NULL)) {
            fail_msg("case %zu: %d, %s", i, err, e.text);
        }
        if (cases[i].words && strstr(e.text, cases[i].words) == NULL) {
            fail_msg("'%s' does not say '%s'", e.text, cases[i].words);
        }
    }
}

static int start(void **state)
{
    (void)state;
    crypto_start();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_valid_and_nothing_else),
        cmocka_unit_test(nul_bytes_are_signed_as_well),
        cmocka_unit_test(old_signatures_are_refused),
        cmocka_unit_test(stripe_headers_are_read_strictly),
        cmocka_unit_test(standard_webhooks),
        cmocka_unit_test(standard_webhooks_with_public_keys),
        cmocka_unit_test(adyen_checks_each_item),
        cmocka_unit_test(chargebee_wants_user_and_password),
        cmocka_unit_test(paypal_trusts_no_other_host),
        cmocka_unit_test(square_signs_its_own_url),
        cmocka_unit_test(classic_mollie_is_refused),
        cmocka_unit_test(hex_signatures_are_taken_in_any_case),
        cmocka_unit_test(secrets_that_are_no_keys_are_found),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
