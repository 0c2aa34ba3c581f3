/* What it costs to refuse a request that brings many signatures: nobody has proved anything yet. */
#include "channel/signature_support.h"

#include <inttypes.h>

/* A header may come a hundred times in one request, and nothing is proved yet: that must not be a hundred times the
 * work. */
static void many_signatures_cost_no_more_than_few(void **state)
{
    (void)state;
    struct buf body CLEANUP(buf_done);
    buf_init(&body, SIZE_MAX);
    while (body.len < (size_t)1024 * 1024) {
        buf_add_text(&body, "\xc5\xbb and more ");
    }
    for (size_t i = 0; i < ARRAY_LEN(signing_kinds); i++) {
        char *signature = signed_header(signing_kinds[i].kind, signing_kinds[i].secret, signing_kinds[i].url,
                                        signing_kinds[i].header, TEST_NOW);
        json_t *settings CLEANUP(json_free) = json_object();
        json_put_str(settings, signing_kinds[i].setting, signing_kinds[i].secret);
        struct webhook_header headers[90];
        int64_t spent_us[2];
        for (size_t n = 0; n < ARRAY_LEN(headers); n++) {
            headers[n] = (struct webhook_header){ signing_kinds[i].header, signature };
        }
        for (size_t many = 0; many < 2; many++) {
            struct webhook w = { .method = "POST",
                                 .source = "test",
                                 .url = signing_kinds[i].url,
                                 .headers = headers,
                                 .header_count = many ? ARRAY_LEN(headers) : 1,
                                 .body = buf_bytes(&body),
                                 .now = TEST_NOW };
            int64_t started_us = clock_thread_us();
            assert_int_equal(channel_find(signing_kinds[i].kind)->verify(&w, settings, NULL), ERR_DENIED);
            spent_us[many] = clock_thread_us() - started_us;
        }
        if (spent_us[1] > 20 * spent_us[0]) {
            fail_msg("%s: one signature takes %" PRId64 " us, 90 take %" PRId64, signing_kinds[i].kind, spent_us[0],
                     spent_us[1]);
        }
        free(signature);
    }
}

#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void few_public_key_signatures_are_tried(void **state)
{
    (void)state;
    struct buf body CLEANUP(buf_done);
    struct buf list CLEANUP(buf_done);
    buf_init(&body, SIZE_MAX);
    buf_init(&list, SIZE_MAX);
    while (body.len < (size_t)1024 * 1024) {
        buf_add_text(&body, "more and ");
    }
    char seconds[32];
    snprintf(seconds, sizeof(seconds), "%" PRId64, NOW_S);
    /* RFC 8032's first public key */
    json_t *settings CLEANUP(json_free) =
        json_loads("{\"signing_secrets\":\"whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"}", 0, NULL);
    int64_t spent_us[2];
    for (size_t many = 0; many < 2; many++) {
        for (size_t n = 0; n < (many ? 170 : 1); n++) {
            buf_add_text(&list, "v1a," ZEROS "== "); /* a number that is too large would be refused unread */
        }
        const struct webhook_header headers[] = { { "webhook-id", "msg_1" },
                                                  { "webhook-timestamp", seconds },
                                                  { "webhook-signature", list.ptr } };
        struct webhook w = { .method = "POST",
                             .source = "test",
                             .headers = headers,
                             .header_count = ARRAY_LEN(headers),
                             .body = buf_bytes(&body),
                             .now = TEST_NOW };
        int64_t started_us = clock_thread_us();
        assert_int_equal(channel_find("standard_webhooks")->verify(&w, settings, NULL), ERR_DENIED);
        spent_us[many] = clock_thread_us() - started_us;
    }
    assert_in_range(spent_us[1], 0, 20 * spent_us[0]);
}

/* Where each costs a pass over the body, the first few are looked at. */
static void only_a_few_timestamps_are_tried(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *header;
    } timed[] = { { "stripe", "Stripe-Signature" }, { "paddle", "Paddle-Signature" } };
    const char *settings = "{\"signing_secrets\":\"whsec_s\"}";
    for (size_t i = 0; i < ARRAY_LEN(timed); i++) {
        const char *name = timed[i].header;
        char *right = signed_header(timed[i].kind, "whsec_s", "", name, TEST_NOW);
        char *wrong = signed_header(timed[i].kind, "whsec_other", "", name, TEST_NOW);
        VALID(.kind = timed[i].kind, .settings = settings,
              .headers = { { name, wrong }, { name, wrong }, { name, wrong }, { name, right } });
        INVALID("too often", .kind = timed[i].kind, .settings = settings,
                .headers = { { name, wrong }, { name, wrong }, { name, wrong }, { name, wrong }, { name, right } });
        free(right);
        free(wrong);
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
        cmocka_unit_test(many_signatures_cost_no_more_than_few),
        cmocka_unit_test(few_public_key_signatures_are_tried),
        cmocka_unit_test(only_a_few_timestamps_are_tried),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
