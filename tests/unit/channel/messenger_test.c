#include "channel/channel_support.h"

#define ITEM(content)                                                                                                  \
    "{\"object\":\"page\",\"entry\":[{\"id\":\"1\",\"time\":1795420790000,\"messaging\":[{\"sender\":{\"id\":\"7\"},"  \
    "\"recipient\":{\"id\":\"1\"},\"timestamp\":1795420700000," content "}]}]}"

struct expectation {
    const char *path, *value;
};

static void check(const char *kind, const char *body, const struct expectation *expected, size_t count)
{
    json_t *events = events_of(kind, NULL, body);
    assert_int_equal(json_array_size(events), 1);
    for (size_t i = 0; i < count; i++) {
        expect_at(json_array_get(events, 0), expected[i].path, expected[i].value);
    }
    json_decref(events);
}
#define CHECK(body, ...)                                                                                               \
    do {                                                                                                               \
        const struct expectation expected_[] = { __VA_ARGS__ };                                                        \
        check("messenger", body, expected_, ARRAY_LEN(expected_));                                                     \
    } while (0)

static void reads_each_element(void **state)
{
    (void)state;
    CHECK(ITEM("\"message\":{\"mid\":\"m1\",\"text\":\"hi\",\"reply_to\":{\"mid\":\"m0\"}}"),
          { "type", "message.received" }, { "key", "m1" }, { "message.text", "hi" }, { "message.kind", "text" },
          { "message.reply_to", "m0" }, { "contact.identities", "[\"messenger:7\"]" }, { "contact.recipient", "7" },
          { "account", "1" }, { "occurred_at", "2026-11-23T07:58:20.000Z" });
    CHECK(ITEM("\"message\":{\"mid\":\"m1\",\"text\":\"Red\",\"quick_reply\":{\"payload\":\"R\"}}"),
          { "type", "message.button" }, { "message.button", "{\"id\":\"R\",\"text\":\"Red\"}" });
    CHECK(ITEM("\"message\":{\"mid\":\"m1\",\"attachments\":[{\"type\":\"image\",\"payload\":{\"url\":\"https://"
               "a\"}},{\"type\":\"file\",\"payload\":{\"url\":\"https://b\"}}]}"),
          { "message.kind", "image" }, { "message.media.url", "https://a" },
          { "message.attachments.1.kind", "document" });
    CHECK(
        ITEM(
            "\"message\":{\"mid\":\"m1\",\"attachments\":[{\"type\":\"fallback\",\"title\":\"T\",\"url\":\"https://p\","
            "\"payload\":null}]}"),
        { "message.kind", "share" }, { "message.media.url", "https://p" }, { "message.media.title", "T" });
    CHECK(ITEM("\"message\":{\"mid\":\"m1\",\"is_deleted\":true}"), { "type", "message.deleted" },
          { "message.id", "m1" }, { "key", "m1:deleted" });
    CHECK(ITEM("\"message\":{\"mid\":\"m1\",\"is_echo\":true,\"text\":\"t\",\"metadata\":\"77\"}"),
          { "type", "message.status" }, { "status", "{\"message_id\":\"m1\",\"state\":\"sent\",\"echo\":\"77\"}" },
          { "contact.identities", "[\"messenger:1\"]" });
    CHECK(ITEM("\"message\":{\"mid\":\"m1\",\"is_echo\":true,\"text\":\"t\"}"), { "type", "message.sent_elsewhere" },
          { "message.direction", "out" });
    CHECK(ITEM("\"postback\":{\"mid\":\"m2\",\"title\":\"Start\",\"payload\":\"GO\",\"referral\":{\"ref\":\"r\"}}"),
          { "type", "message.button" }, { "key", "m2" }, { "message.button.id", "GO" },
          { "message.referral.ref", "r" });
    CHECK(ITEM("\"reaction\":{\"reaction\":\"love\",\"emoji\":\"x\",\"action\":\"unreact\",\"mid\":\"m1\"}"),
          { "type", "message.reaction" }, { "message.reply_to", "m1" }, { "message.removed", "true" });
    CHECK(ITEM("\"message_edit\":{\"mid\":\"m1\",\"text\":\"new\",\"num_edit\":2}"), { "type", "message.edited" },
          { "key", "m1:edit:2" });
    CHECK(ITEM("\"read\":{\"watermark\":\"1795420600000\"}"), { "type", "message.status" }, { "status.state", "read" },
          { "status.up_to", "2026-11-23T07:56:40.000Z" });
    CHECK(ITEM("\"delivery\":{\"mids\":[\"m9\"],\"watermark\":1}"), { "key", "m9:delivered" },
          { "status.message_id", "m9" });
    CHECK(ITEM("\"optin\":{\"type\":\"x\"}"), { "type", "webhook.messenger" }, { "provider_type", "optin" },
          { "contact.identities.0", "messenger:7" });
    CHECK("{\"object\":\"page\",\"entry\":[{\"time\":1795420800000,\"standby\":[{\"sender\":{\"id\":\"7\"},"
          "\"timestamp\":1795420700000,\"message\":{\"mid\":\"m\"}}]}]}",
          { "provider_type", "standby" }, { "occurred_at", "2026-11-23T07:58:20.000Z" });
    CHECK("{\"object\":\"page\",\"entry\":[{\"changes\":[{\"field\":\"feed\",\"value\":{}}]}]}",
          { "provider_type", "feed" });
    CHECK("{\"field\":\"messages\",\"value\":{\"sender\":{\"id\":\"7\"},\"recipient\":{\"id\":\"1\"},\"message\":{"
          "\"mid\":\"m\",\"text\":\"test\"}}}",
          { "type", "message.received" }, { "message.text", "test" });
}

/* Nobody is their own customer: what the page did itself is about whom it did it to. */
static void the_page_is_no_contact(void **state)
{
    (void)state;
#define BY_US(list, content)                                                                                           \
    "{\"object\":\"page\",\"entry\":[{\"id\":\"1\",\"time\":1795420790000,\"" list "\":[{\"sender\":{\"id\":\"1\"},"   \
    "\"recipient\":{\"id\":\"7\"},\"timestamp\":1795420700000," content "}]}]}"
    static const struct {
        const char *body, *type, *direction;
    } cases[] = {
        { BY_US("messaging", "\"reaction\":{\"action\":\"react\",\"emoji\":\"x\",\"mid\":\"m1\"}"), "message.reaction",
          "out" },
        { BY_US("messaging", "\"message_edit\":{\"mid\":\"m1\",\"text\":\"new\",\"num_edit\":1}"), "message.edited",
          "out" },
        { BY_US("messaging", "\"message\":{\"mid\":\"m1\",\"is_deleted\":true}"), "message.deleted", "out" },
        { BY_US("messaging", "\"message\":{\"mid\":\"m1\",\"text\":\"t\"}"), "message.sent_elsewhere", "out" },
        { BY_US("messaging", "\"read\":{\"mid\":\"m1\"}"), "webhook.messenger", "-" },
        { BY_US("messaging", "\"new_thing\":{}"), "webhook.messenger", "-" },
        { BY_US("standby", "\"message\":{\"mid\":\"m1\",\"text\":\"t\",\"is_echo\":true}"), "webhook.messenger", "-" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CHECK(cases[i].body, { "type", cases[i].type }, { "message.direction", cases[i].direction },
              { "contact.identities", "[\"messenger:7\"]" }, { "contact.recipient", "7" });
    }
    CHECK(ITEM("\"reaction\":{\"action\":\"react\",\"emoji\":\"x\",\"mid\":\"m1\"}"), { "message.direction", "-" },
          { "contact.identities", "[\"messenger:7\"]" }, { "account", "1" });
}

/* A row: the source's page, the page that the webhook names, and whether the message is kept with a reason. */
static void keeps_what_is_of_another_page(void **state)
{
    (void)state;
    static const struct {
        const char *ours, *theirs;
        bool is_kept;
    } rows[] = {
        { "55", "\"id\":\"55\",", false },     { "55", "\"id\":55,", false },
        { "55", "\"id\":\"0\",", false },      { "55", "", false },
        { "me", "\"id\":\"66\",", false },     { "our.page", "\"id\":\"66\",", false },
        { "55", "\"id\":\"66\",", true },      { "55", "\"id\":66,", true },
        { "55", "\"id\":\"a page\",", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *settings CLEANUP(json_free) = json_pack("{s:s}", "page_id", rows[i].ours);
        char body[400];
        snprintf(body, sizeof(body),
                 "{\"object\":\"page\",\"entry\":[{%s\"time\":1795420790000,\"messaging\":[{\"sender\":{\"id\":\"7\"},"
                 "\"recipient\":{\"id\":\"1\"},\"message\":{\"mid\":\"m\",\"text\":\"hi\"}}]}]}",
                 rows[i].theirs);
        json_t *events CLEANUP(json_free) = events_of("messenger", settings, body);
        assert_int_equal(json_array_size(events), 1);
        expect_at(events, "0.type", rows[i].is_kept ? "webhook.messenger" : "message.received");
        expect_at(events, "0.problem", rows[i].is_kept ? "it is for the page 66, and this source has 55" : "-");
        expect_at(events, "0.body.messaging.0.message.text", rows[i].is_kept ? "hi" : "-");
        expect_at(events, "0.contact.identities.0", rows[i].is_kept ? "-" : "messenger:7");
    }
}

static void knows_echoes_of_its_own_app(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *message, *type;
    } rows[] = {
        { "{\"app_id\":\"9\"}", "\"app_id\":9,\"metadata\":\"77\"", "message.status" },
        { "{\"app_id\":\"9\"}", "\"app_id\":9", "message.status" }, /* Instagram keeps the metadata to itself */
        { "{\"app_id\":\"9\"}", "\"metadata\":\"77\"", "message.status" },
        { "{\"app_id\":\"9\"}", "\"app_id\":9,\"metadata\":\"an inbox's\"", "message.sent_elsewhere" },
        { "{\"app_id\":\"9\"}", "\"app_id\":8,\"metadata\":\"77\"", "message.sent_elsewhere" },
        { "{\"app_id\":\"9\"}", "\"text\":\"by hand\"", "message.sent_elsewhere" },
        { "{}", "\"app_id\":9,\"metadata\":\"77\"", "message.status" },
        { "{}", "\"app_id\":9", "message.sent_elsewhere" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *settings CLEANUP(json_free) = json_loads(rows[i].settings, 0, NULL);
        char body[512];
        snprintf(body, sizeof(body), ITEM("\"message\":{\"mid\":\"m1\",\"is_echo\":true,%s}"), rows[i].message);
        json_t *events CLEANUP(json_free) = events_of("messenger", settings, body);
        expect_at(events, "0.type", rows[i].type);
    }
}

static void reads_instagram(void **state)
{
    (void)state;
    const struct expectation story[] = { { "provider", "instagram" },
                                         { "contact.identities", "[\"instagram:S-1\"]" },
                                         { "message.story.url", "https://s" },
                                         { "occurred_at", "2021-09-08T06:34:04.000Z" } };
    check(
        "instagram",
        "{\"object\":\"instagram\",\"entry\":[{\"messaging\":[{\"sender\":{\"id\":\"S-1\"},\"recipient\":{\"id\":\"2\"}"
        ",\"timestamp\":\"2021-09-08T06:34:04+0000\","
        "\"message\":{\"mid\":\"m\",\"text\":\"t\",\"reply_to\":{\"story\":{\"id\":\"1\",\"url\":\"https://s\"}}}}]}]}",
        story, ARRAY_LEN(story));
    const struct expectation seen[] = { { "key", "m:read" }, { "status.state", "read" } };
    check(
        "instagram",
        "{\"object\":\"instagram\",\"entry\":[{\"messaging\":[{\"sender\":{\"id\":\"7\"},\"read\":{\"mid\":\"m\"}}]}]}",
        seen, ARRAY_LEN(seen));
}

#define SETTINGS "{\"access_token\":\"T\",\"api_url\":\"http://sim\",\"page_id\":\"55\",\"account_id\":\"66\"}"
#define TO "\"to\":{\"recipient\":\"7\"},\"echo\":\"77\","

static void renders_messages(void **state)
{
    (void)state;
    char *url = NULL;
    json_t *body = body_of("messenger", SETTINGS, false,
                           "{" TO "\"free\":{\"text\":\"hi\",\"buttons\":[{\"id\":\"a\",\"text\":\"A\"}]}}", &url);
    assert_string_equal(url, "http://sim/v25.0/55/messages");
    free(url);
    expect_at(body, "recipient.id", "7");
    expect_at(body, "messaging_type", "RESPONSE");
    expect_at(body, "message",
              "{\"text\":\"hi\",\"quick_replies\":[{\"content_type\":\"text\",\"title\":\"A\",\"payload\":\"a\"}],"
              "\"metadata\":\"77\"}");
    json_decref(body);
    body = body_of("messenger", SETTINGS, false,
                   "{" TO "\"free\":{\"text\":\"pay\",\"buttons\":[{\"text\":\"Pay\",\"url\":\"https://"
                   "p\"},{\"id\":\"l\",\"text\":\"Later\"}]}}",
                   NULL);
    expect_at(body, "message.attachment.payload.buttons",
              "[{\"type\":\"web_url\",\"title\":\"Pay\",\"url\":\"https://"
              "p\"},{\"type\":\"postback\",\"title\":\"Later\",\"payload\":\"l\"}]");
    expect_at(body, "message.quick_replies", "-");
    json_decref(body);
    body = body_of("instagram", SETTINGS, false,
                   "{" TO "\"free\":{\"text\":\"pay\",\"buttons\":[{\"text\":\"Pay\",\"url\":\"https://p\"}]}}", &url);
    assert_string_equal(url, "http://sim/v25.0/66/messages");
    free(url);
    expect_at(body, "message.text", "pay\nPay: https://p");
    expect_at(body, "messaging_type", "-");
    json_decref(body);
    expect_not_rendered("messenger", SETTINGS, false,
                        "{" TO "\"free\":{\"text\":\"x\",\"media\":{\"kind\":\"image\",\"url\":\"https://a\"}}}",
                        "text and media");
    expect_not_rendered("messenger", SETTINGS, true, "{" TO "\"approved\":{\"name\":\"t\"}}", "approved");

    assert_int_equal(judged("messenger", 200, "{\"recipient_id\":\"7\",\"message_id\":\"m1\"}").verdict, SEND_ACCEPTED);
    assert_int_equal(judged("messenger", 400, "{\"error\":{\"code\":10,\"error_subcode\":2018278}}").verdict,
                     SEND_REFUSED);
    assert_int_equal(judged("instagram", 403, "{\"error\":{\"code\":10,\"error_subcode\":2534022}}").verdict,
                     SEND_REFUSED);
    assert_int_equal(judged("messenger", 400, "{\"error\":{\"code\":10,\"error_subcode\":1893063}}").verdict,
                     SEND_CHANNEL_DOWN);
    assert_int_equal(judged("instagram", 400, "{\"error\":{\"code\":613}}").verdict, SEND_RETRY);
    assert_int_equal(judged("messenger", 400, "{\"error\":{\"code\":551}}").verdict, SEND_UNREACHABLE);
}

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_element),
        cmocka_unit_test(the_page_is_no_contact),
        cmocka_unit_test(keeps_what_is_of_another_page),
        cmocka_unit_test(knows_echoes_of_its_own_app),
        cmocka_unit_test(reads_instagram),
        cmocka_unit_test(renders_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
