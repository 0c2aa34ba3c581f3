/* What providers send seldom: ids in other places, words that are missing, placeholders for what a customer did not
 * give. A payment must not be made up from it, fall on a stranger, or be taken for two. */
#include "channel/channel_support.h"

struct expectation {
    const char *path, *value;
};

static void check(const char *kind, const struct webhook_header *headers, size_t header_count, const char *body,
                  const struct expectation *expected, size_t count)
{
    struct webhook w = { .method = "POST",
                         .source = kind,
                         .url = "",
                         .headers = headers,
                         .header_count = header_count,
                         .body = bytes_of(body),
                         .now = TEST_NOW };
    json_t *events CLEANUP(json_free) = json_array();
    assert_int_equal(channel_find(kind)->parse(&w, NULL, events, NULL), ERR_NONE);
    assert_int_equal(json_array_size(events), 1);
    for (size_t i = 0; i < count; i++) {
        expect_at(json_array_get(events, 0), expected[i].path, expected[i].value);
    }
}
/* Whoever sends a genuine webhook once more can add headers that nobody signed: it stays the same event. */
static void an_id_that_was_not_signed_names_nothing(void **state)
{
    (void)state;
    static const struct webhook_header headers[] = { { "svix-id", "msg_other" },
                                                     { "webhook-id", "msg_1" },
                                                     { "webhook-timestamp", "1795420800" },
                                                     { "webhook-signature", "v1,AAAA" } };
    static const char *const kinds[] = { "standard_webhooks", "svix", "polar" };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        check(kinds[i], headers, ARRAY_LEN(headers), "{\"type\":\"x\"}", &(struct expectation){ "key", "msg_1" }, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_that_was_not_signed_names_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
