/* What the tests of signatures share: one attempt to get past a kind's verification, and what signs rightly. */
#ifndef TESTS_SIGNATURE_SUPPORT_H
#define TESTS_SIGNATURE_SUPPORT_H

#include "base/text.h"
#include "channel/channel_support.h"

#define NOW_S (TEST_NOW / 1000)
#define BODY                                                                                                           \
    "{\"id\":\"evt_1\",\"type\":\"x\",\"event_type\":\"x\",\"event\":\"x\",\"name\":\"\xc5\xbb\xc3\xb3\xc5\x82w "      \
    "\xf0\x9f\x98\x80\"}\n"

struct attempt {
    const char *kind;
    const char *settings; /* JSON */
    const char *url;
    const char *body;
    size_t body_length; /* 0: the text's */
    msec_t now;         /* 0: TEST_NOW */
    struct webhook_header headers[6];
};

static inline struct webhook webhook_of(const struct attempt *a)
{
    size_t count = 0;
    while (count < ARRAY_LEN(a->headers) && a->headers[count].name) {
        count++;
    }
    const char *body = a->body ? a->body : BODY;
    return (struct webhook){ .method = "POST",
                             .source = "test",
                             .url = a->url ? a->url : "",
                             .headers = a->headers,
                             .header_count = count,
                             .body = { body, a->body_length ? a->body_length : strlen(body) },
                             .now = a->now ? a->now : TEST_NOW };
}

/* NULL when it is genuine, else the reason; valid until the next call. */
static inline const char *verdict(const struct attempt *a)
{
    static struct error e;
    e = (struct error){ .code = ERR_NONE };
    json_t *settings CLEANUP(json_free) = json_loads(a->settings, 0, NULL);
    assert_non_null(settings);
    struct webhook w = webhook_of(a);
    err_t err = channel_find(a->kind)->verify(&w, settings, &e);
    if (err == ERR_NONE) {
        return NULL;
    }
    assert_true(err == ERR_DENIED || err == ERR_INTERNAL);
    assert_int_equal(err, e.code);
    return e.text;
}

static inline void expect_valid_line(const struct attempt *a, int line)
{
    const char *reason = verdict(a);
    if (reason) {
        print_error("line %d: %s: %s\n", line, a->kind, reason);
        fail();
    }
}

static inline void expect_invalid_line(const struct attempt *a, const char *words, int line)
{
    const char *reason = verdict(a);
    if (reason == NULL || strstr(reason, words) == NULL) {
        print_error("line %d: %s: '%s' does not say '%s'\n", line, a->kind, reason ? reason : "valid", words);
        fail();
    }
}
#define VALID(...) expect_valid_line(&(struct attempt){ __VA_ARGS__ }, __LINE__)
#define INVALID(words, ...) expect_invalid_line(&(struct attempt){ __VA_ARGS__ }, words, __LINE__)

/* The value of one header that `sign` gives; the caller frees it. */
static inline char *signed_header(const char *kind, const char *secret, const char *url, const char *name, msec_t now)
{
    struct attempt a = { .kind = kind, .url = url, .now = now };
    struct webhook w = webhook_of(&a);
    struct buf headers CLEANUP(buf_done);
    buf_init(&headers, 65536);
    assert_int_equal(channel_find(kind)->sign(&w, bytes_of(secret), &headers, NULL), ERR_NONE);
    assert_int_equal(headers.ptr[headers.len - 1], '\n');
    struct bytes rest = buf_bytes(&headers);
    while (rest.len > 0) {
        struct bytes value = text_next_field(&rest, '\n');
        struct bytes found = text_next_field(&value, ':');
        if (text_equal_ignore_case(found, bytes_of(name))) {
            value = text_trim(value);
            return strndup(value.ptr, value.len);
        }
    }
    fail_msg("%s does not sign %s", kind, name);
    return NULL;
}

/* The kinds that are signed with one secret in one header. */
static const struct {
    const char *kind, *secret, *setting, *header, *url;
    bool binds_body;
} signing_kinds[] = {
    { "stripe", "whsec_test_secret", "signing_secrets", "Stripe-Signature", "", true },
    { "paddle", "pdl_ntfset_1_abc", "signing_secrets", "Paddle-Signature", "", true },
    { "razorpay", "rzp_secret", "signing_secrets", "X-Razorpay-Signature", "", true },
    { "adyen", "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056", "signing_secrets", "HmacSignature",
      "", true },
    { "square", "kS7UiGxmVRMYLuXVZJRIVQ", "signing_secrets", "x-square-hmacsha256-signature", "https://a.example/w",
      true },
    { "mollie", "mollie-secret", "signing_secrets", "X-Mollie-Signature", "", true },
    { "gocardless", "ED7D658C-D8EB", "signing_secrets", "Webhook-Signature", "", true },
    { "lemonsqueezy", "ls-secret", "signing_secrets", "X-Signature", "", true },
    { "shopify", "hush", "signing_secrets", "X-Shopify-Hmac-Sha256", "", true },
};

#endif
