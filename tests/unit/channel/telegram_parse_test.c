#include "channel/channel_support.h"

#define ADA                                                                                                            \
    "{\"id\":4711,\"is_bot\":false,\"first_name\":\"Ada\",\"last_name\":\"L\",\"username\":\"ada\",\"language_code\":" \
    "\"en\"}"
#define PRIVATE "{\"id\":4711,\"type\":\"private\",\"first_name\":\"Ada\"}"
#define GROUP "{\"id\":-1001234567890,\"type\":\"supergroup\",\"title\":\"G\"}"
#define UPDATE(kind, body) "{\"update_id\":9007199254740993,\"" kind "\":" body "}"
#define MESSAGE(content)                                                                                               \
    UPDATE("message", "{\"message_id\":5,\"date\":1795420700,\"from\":" ADA ",\"chat\":" PRIVATE "," content "}")

struct expectation {
    const char *path, *value;
};

static void check(const char *body, size_t events_expected, const struct expectation *expected, size_t count)
{
    json_t *events = events_of("telegram", NULL, body);
    assert_int_equal(json_array_size(events), events_expected);
    for (size_t i = 0; i < count; i++) {
        expect_at(json_array_get(events, 0), expected[i].path, expected[i].value);
    }
    json_decref(events);
}
#define CHECK(body, ...)                                                                                               \
    do {                                                                                                               \
        const struct expectation expected_[] = { __VA_ARGS__ };                                                        \
        check(body, 1, expected_, ARRAY_LEN(expected_));                                                               \
    } while (0)

static void reads_messages(void **state)
{
    (void)state;
    CHECK(MESSAGE("\"text\":\"hi\",\"reply_to_message\":{\"message_id\":4}"), { "type", "message.received" },
          { "key", "9007199254740993" }, { "occurred_at", "2026-11-23T07:58:20.000Z" }, { "message.id", "5" },
          { "message.kind", "text" }, { "message.text", "hi" }, { "message.reply_to", "4" }, { "message.chat", "-" },
          { "contact", "{\"identities\":[\"telegram:4711\"],\"name\":\"Ada "
                       "L\",\"username\":\"ada\",\"language\":\"en\",\"recipient\":\"4711\"}" });
    CHECK(UPDATE("message", "{\"message_id\":5,\"date\":1795420700,\"text\":\"hi\",\"chat\":" PRIVATE
                            ",\"from\":{\"id\":4711,\"is_bot\":false,\"first_name\":\" \",\"last_name\":\"\"}}"),
          { "contact.identities", "[\"telegram:4711\"]" }, { "contact.name", "-" }); /* so that e.contact.name or … */
    CHECK(MESSAGE("\"text\":\"/start@my_bot abc-1\""), { "message.command", "start" },
          { "message.command_arguments", "abc-1" });
    CHECK(MESSAGE("\"text\":\"/\""), { "message.command", "-" });
    char body[2000];
    snprintf(body, sizeof(body), "{\"update_id\":\"%01000d\"}", 1);
    json_t *odd = events_of("telegram", NULL, body);
    assert_int_equal(strncmp(json_str_or(json_array_get(odd, 0), "key", ""), "sha256:", 7), 0);
    json_decref(odd);
    CHECK("{\"update_id\":7.0,\"message\":{\"message_id\":5e0,\"date\":1795420700.0,\"text\":\"hi\",\"chat\":"
          "{\"id\":4711.0,\"type\":\"private\"},\"from\":{\"id\":4711.0,\"is_bot\":false}}}",
          { "type", "message.received" }, { "key", "7" }, { "message.id", "5" },
          { "contact.identities", "[\"telegram:4711\"]" }, { "occurred_at", "2026-11-23T07:58:20.000Z" });
    CHECK(MESSAGE("\"photo\":[{\"file_id\":\"s\",\"width\":90,\"height\":60},{\"file_id\":\"b\",\"width\":1280,"
                  "\"height\":960,\"file_size\":7},{\"file_id\":\"m\",\"width\":320,\"height\":240}],\"caption\":"
                  "\"pic\",\"media_group_id\":\"g\""),
          { "message.kind", "image" }, { "message.text", "pic" }, { "message.media.id", "b" },
          { "message.media.size", "7" }, { "message.album", "g" });
    CHECK(MESSAGE("\"animation\":{\"file_id\":\"a\"},\"document\":{\"file_id\":\"a\"}"), { "message.kind", "video" },
          { "message.media.animated", "true" });
    CHECK(MESSAGE("\"voice\":{\"file_id\":\"v\",\"duration\":3}"), { "message.kind", "audio" },
          { "message.media.voice", "true" });
    CHECK(MESSAGE("\"document\":{\"file_id\":\"d\",\"file_name\":\"a.pdf\",\"mime_type\":\"application/pdf\"}"),
          { "message.kind", "document" }, { "message.media.file_name", "a.pdf" });
    CHECK(MESSAGE("\"sticker\":{\"file_id\":\"s\",\"emoji\":\"x\"}"), { "message.kind", "sticker" },
          { "message.emoji", "x" });
    CHECK(MESSAGE("\"location\":{\"latitude\":1.5,\"longitude\":2}"), { "message.kind", "location" },
          { "message.location.latitude", "1.5" });
    CHECK(MESSAGE("\"venue\":{\"title\":\"T\",\"address\":\"A\",\"location\":{\"latitude\":1,\"longitude\":2}},"
                  "\"location\":{\"latitude\":1,\"longitude\":2}"),
          { "message.location.name", "T" }, { "message.location.address", "A" });
    CHECK(MESSAGE("\"poll\":{\"id\":\"1\",\"question\":\"q\"}"), { "message.kind", "poll" }, { "message.text", "q" });
    CHECK(MESSAGE("\"dice\":{\"emoji\":\"d\",\"value\":6}"), { "message.kind", "dice" }, { "message.dice.value", "6" });
    CHECK(MESSAGE("\"hologram\":{}"), { "type", "message.received" }, { "message.kind", "unsupported" });
    CHECK(MESSAGE("\"text\":\"fwd\",\"forward_origin\":{\"type\":\"user\"}"), { "message.forwarded", "true" });
}

static void a_shared_card_proves_a_number_only_when_it_is_ones_own(void **state)
{
    (void)state;
    CHECK(MESSAGE("\"contact\":{\"phone_number\":\"+48 600 100 200\",\"first_name\":\"Ada\",\"user_id\":4711}"),
          { "contact.identities", "[\"telegram:4711\",\"phone:48600100200\"]" }, { "message.kind", "contacts" },
          { "message.contacts.0.phones.0.phone", "+48 600 100 200" });
    CHECK(MESSAGE("\"contact\":{\"phone_number\":\"48600100200\",\"first_name\":\"Eve\",\"user_id\":666}"),
          { "contact.identities", "[\"telegram:4711\"]" });
    CHECK(MESSAGE("\"contact\":{\"phone_number\":\"48600100200\",\"first_name\":\"Eve\"}"),
          { "contact.identities", "[\"telegram:4711\"]" });
}

static void keeps_groups_and_people_apart(void **state)
{
    (void)state;
#define IN_GROUP(from, content)                                                                                        \
    UPDATE("message", "{\"message_id\":5,\"date\":1795420700,\"from\":" from ",\"chat\":" GROUP "," content "}")
    CHECK(IN_GROUP(ADA, "\"text\":\"hi\",\"message_thread_id\":3"), { "contact.identities", "[\"telegram:4711\"]" },
          { "contact.recipient", "4711" }, { "message.chat", "-1001234567890" }, { "message.chat_title", "G" },
          { "message.thread", "3" });
    CHECK(IN_GROUP("{\"id\":1,\"is_bot\":true}", "\"text\":\"beep\""), { "type", "webhook.telegram" },
          { "contact", "-" });
    CHECK(IN_GROUP(ADA, "\"text\":\"x\",\"sender_chat\":{\"id\":-5}"), { "type", "webhook.telegram" },
          { "contact", "-" });
    CHECK(IN_GROUP(ADA, "\"new_chat_members\":[]"), { "type", "webhook.telegram" },
          { "provider_type", "message.new_chat_members" });
    static const char *const notices[] = { "chat_owner_changed", "suggested_post_paid", "poll_option_added",
                                           "community_chat_joined", "gift_upgrade_sent" };
    for (size_t i = 0; i < ARRAY_LEN(notices); i++) {
        char update[400];
        snprintf(update, sizeof(update), IN_GROUP(ADA, "\"%s\":{}"), notices[i]);
        CHECK(update, { "type", "webhook.telegram" }, { "contact.identities", "[\"telegram:4711\"]" });
    }
    CHECK(UPDATE("business_message", "{\"message_id\":5,\"date\":1795420700,\"business_connection_id\":\"b\",\"from\":{"
                                     "\"id\":1,\"is_bot\":false},\"chat\":" PRIVATE ",\"text\":\"by the owner\"}"),
          { "type", "message.sent_elsewhere" }, { "contact.identities", "[\"telegram:4711\"]" },
          { "message.direction", "out" });
}

/* Who wrote to a business account is answered over its connection, wherever the answer comes from. */
static void keeps_the_business_connection(void **state)
{
    (void)state;
#define BY(who)                                                                                                        \
    "{\"message_id\":5,\"date\":1795420700,\"business_connection_id\":\"bC\",\"from\":" who ",\"chat\":" PRIVATE
    CHECK(UPDATE("business_message", BY(ADA) ",\"text\":\"hi\"}"), { "type", "message.received" },
          { "contact.recipient", "4711@bC" }, { "message.business_connection", "bC" });
    CHECK(UPDATE("business_message", BY("{\"id\":1,\"is_bot\":false}") ",\"text\":\"by the owner\"}"),
          { "type", "message.sent_elsewhere" }, { "contact.recipient", "4711@bC" });
    CHECK(UPDATE("edited_business_message", BY("{\"id\":1,\"is_bot\":false}") ",\"text\":\"better\"}"),
          { "type", "message.edited" }, { "message.direction", "out" }, { "contact.recipient", "4711@bC" });
    CHECK(UPDATE("edited_business_message", BY(ADA) ",\"text\":\"new\"}"), { "message.direction", "-" });
    CHECK(UPDATE("edited_business_message", BY(ADA) ",\"text\":\"new\"}"), { "type", "message.edited" },
          { "contact.recipient", "4711@bC" });
    CHECK(UPDATE("deleted_business_messages",
                 "{\"business_connection_id\":\"bC\",\"chat\":" PRIVATE ",\"message_ids\":[1]}"),
          { "type", "message.deleted" }, { "contact.recipient", "4711@bC" }, { "message.business_connection", "bC" });
    CHECK(UPDATE("callback_query",
                 "{\"id\":\"cb1\",\"from\":" ADA ",\"data\":\"y\",\"message\":" BY("{\"id\":1,\"is_bot\":false}") "}}"),
          { "type", "message.button" }, { "contact.recipient", "4711@bC" });
    /* What we sent in the owner's name comes back; it is no colleague's. */
    CHECK(UPDATE("business_message",
                 BY("{\"id\":1,\"is_bot\":false}") ",\"sender_business_bot\":{\"id\":42},\"text\":\"x\"}"),
          { "type", "webhook.telegram" });
}

static void reads_edits_taps_and_reactions(void **state)
{
    (void)state;
    CHECK(UPDATE("edited_message", "{\"message_id\":5,\"date\":1795420700,\"edit_date\":1795420750,\"from\":" ADA
                                   ",\"chat\":" PRIVATE ",\"text\":\"new\"}"),
          { "type", "message.edited" }, { "message.id", "5" }, { "message.text", "new" },
          { "occurred_at", "2026-11-23T07:59:10.000Z" });
    CHECK(UPDATE("callback_query",
                 "{\"id\":\"cb1\",\"from\":" ADA
                 ",\"chat_instance\":\"1\",\"data\":\"y:1\",\"message\":{\"message_id\":55,\"chat\":" PRIVATE
                 ",\"date\":0,"
                 "\"reply_markup\":{\"inline_keyboard\":[[{\"text\":\"No\",\"callback_data\":\"n:1\"}],[{\"text\":"
                 "\"Yes\",\"callback_data\":\"y:1\"}]]}}}"),
          { "type", "message.button" }, { "message.button", "{\"id\":\"y:1\",\"text\":\"Yes\"}" },
          { "message.callback_query_id", "cb1" }, { "message.reply_to", "55" },
          { "contact.identities.0", "telegram:4711" }, { "occurred_at", "2026-11-23T08:00:00.000Z" });
    CHECK(UPDATE("callback_query", "{\"id\":\"cb1\",\"from\":" ADA ",\"data\":\"d\",\"inline_message_id\":\"i\"}"),
          { "message.text", "d" });
    CHECK(UPDATE("message_reaction",
                 "{\"chat\":" PRIVATE ",\"message_id\":77,\"user\":" ADA
                 ",\"date\":1795420700,\"old_reaction\":[{\"type\":\"emoji\",\"emoji\":\"a\"}],"
                 "\"new_reaction\":[{\"type\":\"emoji\",\"emoji\":\"a\"},{\"type\":\"emoji\",\"emoji\":\"b\"}]}"),
          { "type", "message.reaction" }, { "message.reply_to", "77" }, { "message.emoji", "b" },
          { "message.removed", "-" });
    CHECK(UPDATE("message_reaction", "{\"chat\":" PRIVATE ",\"message_id\":77,\"user\":" ADA
                                     ",\"old_reaction\":[{\"type\":\"emoji\",\"emoji\":\"a\"}],\"new_reaction\":[]}"),
          { "message.emoji", "a" }, { "message.removed", "true" });
}

/* The body that answers the webhook; "" when the answer is empty. */
static void expect_answer(const char *body, const char *expected)
{
    json_t *events = events_of("telegram", NULL, body);
    struct buf answer CLEANUP(buf_done);
    buf_init(&answer, 4096);
    channel_find("telegram")->answer(events, &answer);
    assert_string_equal(answer.ptr ? answer.ptr : "", expected);
    json_decref(events);
}

static void a_tap_is_answered_in_the_answer(void **state)
{
    (void)state;
    expect_answer(UPDATE("callback_query", "{\"id\":\"cb1\",\"from\":" ADA ",\"data\":\"y\"}"),
                  "{\"method\":\"answerCallbackQuery\",\"callback_query_id\":\"cb1\"}");
    /* A button of a game has no data, and shows progress all the same. */
    expect_answer(UPDATE("callback_query", "{\"id\":\"cb2\",\"from\":" ADA ",\"game_short_name\":\"g\"}"),
                  "{\"method\":\"answerCallbackQuery\",\"callback_query_id\":\"cb2\"}");
    expect_answer(MESSAGE("\"text\":\"hi\""), "");
    expect_answer(UPDATE("callback_query", "{\"from\":" ADA ",\"data\":\"y\"}"), "");
}

static void a_block_stops_this_channel_only(void **state)
{
    (void)state;
#define MEMBER(chat, before, now)                                                                                      \
    UPDATE("my_chat_member",                                                                                           \
           "{\"chat\":" chat ",\"from\":" ADA ",\"date\":1795420700,\"old_chat_member\":{\"status\":\"" before         \
           "\"},\"new_chat_member\":{\"status\":\"" now "\"}}")
    CHECK(MEMBER(PRIVATE, "member", "kicked"), { "type", "contact.opted_out" }, { "topic", "channel" },
          { "provider_reason", "blocked" }, { "contact.identities.0", "telegram:4711" });
    CHECK(MEMBER(PRIVATE, "kicked", "member"), { "type", "contact.opted_in" }, { "topic", "channel" },
          { "provider_reason", "unblocked" });
    CHECK(MEMBER(GROUP, "member", "kicked"), { "type", "webhook.telegram" }, { "provider_type", "my_chat_member" });
}

static void keeps_every_other_update(void **state)
{
    (void)state;
    CHECK(UPDATE("poll_answer", "{\"poll_id\":\"1\",\"user\":" ADA ",\"option_ids\":[0,2]}"),
          { "type", "webhook.telegram" }, { "provider_type", "poll_answer" },
          { "contact.identities.0", "telegram:4711" }, { "body.option_ids", "[0,2]" });
    CHECK(UPDATE("pre_checkout_query", "{\"id\":\"1\",\"from\":" ADA "}"), { "provider_type", "pre_checkout_query" });
    CHECK(UPDATE("tomorrows_kind", "[1]"), { "provider_type", "tomorrows_kind" }, { "body", "[1]" });
    CHECK("{\"update_id\":7}", { "type", "webhook.telegram" }, { "key", "7" });
    CHECK("{\"message\":{\"message_id\":1,\"chat\":" PRIVATE ",\"from\":" ADA ",\"text\":\"x\"}}",
          { "type", "message.received" });
    CHECK(UPDATE("message", "{\"message_id\":[],\"chat\":7,\"from\":\"x\",\"text\":{}}"),
          { "type", "webhook.telegram" });
    CHECK(MESSAGE("\"successful_payment\":{\"currency\":\"USD\",\"total_amount\":1900,\"telegram_payment_charge_id\":"
                  "\"ch\"}"),
          { "type", "payment.succeeded" },
          { "payment", "{\"id\":\"ch\",\"amount\":1900,\"currency\":\"usd\",\"reference\":\"ch\"}" });

    const struct expectation deleted[] = { { "type", "message.deleted" },
                                           { "key", "9007199254740993" },
                                           { "message.id", "1" } };
    check(UPDATE("deleted_business_messages", "{\"chat\":" PRIVATE ",\"message_ids\":[1,2]}"), 2, deleted,
          ARRAY_LEN(deleted));
    json_t *events = events_of("telegram", NULL,
                               UPDATE("deleted_business_messages", "{\"chat\":" PRIVATE ",\"message_ids\":[1,2]}"));
    expect_at(events, "1.key", "9007199254740993:2");
    json_decref(events);
}

static void checks_the_token(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *token;
        err_t expected;
    } cases[] = {
        { "{\"secret_token\":\"Abc_1\"}", "Abc_1", ERR_NONE },
        { "{\"secret_token\":[\"old\",\"new\"]}", "new", ERR_NONE },
        { "{\"secret_token\":\"Abc_1\"}", "Abc_2", ERR_DENIED },
        { "{\"secret_token\":\"Abc_1\"}", "Abc_", ERR_DENIED },
        { "{\"secret_token\":\"Abc_1\"}", "", ERR_DENIED },
        { "{\"secret_token\":\"\"}", "", ERR_DENIED },
        { "{\"secret_token\":\"x\"}", NULL, ERR_DENIED },
        { "{}", "", ERR_DENIED },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *settings CLEANUP(json_free) = json_loads(cases[i].settings, 0, NULL);
        struct webhook_header header = { "x-telegram-bot-api-secret-token", cases[i].token };
        struct webhook w = { .headers = &header, .header_count = cases[i].token ? 1 : 0, .body = bytes_of("{}") };
        assert_int_equal(channel_find("telegram")->verify(&w, settings, NULL), cases[i].expected);
    }
}

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_messages),
        cmocka_unit_test(a_shared_card_proves_a_number_only_when_it_is_ones_own),
        cmocka_unit_test(keeps_groups_and_people_apart),
        cmocka_unit_test(keeps_the_business_connection),
        cmocka_unit_test(reads_edits_taps_and_reactions),
        cmocka_unit_test(a_tap_is_answered_in_the_answer),
        cmocka_unit_test(a_block_stops_this_channel_only),
        cmocka_unit_test(keeps_every_other_update),
        cmocka_unit_test(checks_the_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
