#include "channel/channel_support.h"

/* An envelope with one change of the field "messages"; `value` is the inside of its value. */
#define ENVELOPE(value)                                                                                                \
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"1\",\"time\":1795420790,\"changes\":[{\"field\":"  \
    "\"messages\",\"value\":{\"messaging_product\":\"whatsapp\",\"metadata\":{\"phone_number_id\":\"42\"}," value      \
    "}}]}]}"
#define CARD                                                                                                           \
    "\"contacts\":[{\"profile\":{\"name\":\"Ada\",\"username\":\"@ada\"},\"wa_id\":\"15550100\",\"user_id\":\"US."     \
    "134a\"}]"
/* One message of Ada; `content` follows the common fields. */
#define FROM_ADA(content)                                                                                              \
    ENVELOPE(CARD ",\"messages\":[{\"from\":\"15550100\",\"id\":\"wamid.A\",\"timestamp\":\"1795420700\"," content "}" \
                  "]")

struct expectation {
    const char *path, *value;
};

static void check(const char *body, const struct expectation *expected, size_t count)
{
    json_t *events = events_of("whatsapp", NULL, body);
    if (json_array_size(events) != 1) {
        char *text = json_dump(events);
        print_error("%zu events: %s\n", json_array_size(events), text);
        free(text);
    }
    assert_int_equal(json_array_size(events), 1);
    for (size_t i = 0; i < count; i++) {
        expect_at(json_array_get(events, 0), expected[i].path, expected[i].value);
    }
    json_decref(events);
}
#define CHECK(body, ...)                                                                                               \
    do {                                                                                                               \
        const struct expectation expected_[] = { __VA_ARGS__ };                                                        \
        check(body, expected_, ARRAY_LEN(expected_));                                                                  \
    } while (0)

static void reads_each_kind_of_message(void **state)
{
    (void)state;
    CHECK(FROM_ADA("\"type\":\"text\",\"text\":{\"body\":\"hi\"},\"context\":{\"from\":\"1\",\"id\":\"wamid.Q\"}"),
          { "type", "message.received" }, { "key", "wamid.A" }, { "source", "whatsapp" }, { "account", "42" },
          { "occurred_at", "2026-11-23T07:58:20.000Z" }, { "message.id", "wamid.A" }, { "message.kind", "text" },
          { "message.text", "hi" }, { "message.reply_to", "wamid.Q" },
          { "contact.identities", "[\"whatsapp:US.134a\",\"whatsapp:15550100\",\"phone:15550100\"]" },
          { "contact.name", "Ada" }, { "contact.username", "ada" }, { "contact.recipient", "15550100" });
    CHECK(ENVELOPE("\"contacts\":[{\"profile\":{\"name\":\" \"},\"wa_id\":\"15550100\"}],\"messages\":[{\"from\":"
                   "\"15550100\",\"id\":\"wamid.A\",\"type\":\"text\",\"text\":{\"body\":\"hi\"}}]"),
          { "contact.recipient", "15550100" }, { "contact.name", "-" }); /* a name of blanks is none */
    CHECK(
        FROM_ADA("\"type\":\"image\",\"image\":{\"id\":\"9\",\"mime_type\":\"image/"
                 "jpeg\",\"sha256\":\"aa=\",\"caption\":\"look\",\"url\":\"https://x/y\"}"),
        { "message.kind", "image" }, { "message.text", "look" },
        { "message.media", "{\"id\":\"9\",\"url\":\"https://x/y\",\"mime_type\":\"image/jpeg\",\"sha256\":\"aa=\"}" });
    CHECK(FROM_ADA("\"type\":\"audio\",\"audio\":{\"id\":\"9\",\"voice\":true}"), { "message.kind", "audio" },
          { "message.media.voice", "true" });
    CHECK(FROM_ADA("\"type\":\"document\",\"document\":{\"id\":\"9\",\"filename\":\"a.pdf\"},\"context\":{\"frequently_"
                   "forwarded\":true}"),
          { "message.kind", "document" }, { "message.media.file_name", "a.pdf" }, { "message.forwarded", "true" });
    CHECK(FROM_ADA("\"type\":\"sticker\",\"sticker\":{\"id\":\"9\",\"animated\":true}"), { "message.kind", "sticker" });
    CHECK(FROM_ADA("\"type\":\"video\",\"video\":{\"id\":\"9\"}"), { "message.kind", "video" });
    CHECK(FROM_ADA("\"type\":\"location\",\"location\":{\"latitude\":1.5,\"longitude\":-2,\"name\":\"Home\"}"),
          { "message.location", "{\"latitude\":1.5,\"longitude\":-2,\"name\":\"Home\"}" });
    CHECK(FROM_ADA("\"type\":\"location\",\"location\":{\"latitude\":\"1.5\",\"longitude\":\"-2\",\"name\":null}"),
          { "message.location", "{\"latitude\":1.5,\"longitude\":-2}" });
    CHECK(FROM_ADA("\"type\":\"location\",\"location\":{\"latitude\":\"\",\"longitude\":\"[1]\"}"),
          { "message.location", "{}" });
    CHECK(FROM_ADA("\"type\":\"image\",\"image\":{\"id\":9007199254740993,\"mime_type\":\"image/png\"}"),
          { "message.media", "{\"id\":\"9007199254740993\",\"mime_type\":\"image/png\"}" });
    CHECK(FROM_ADA("\"type\":\"contacts\",\"contacts\":[{\"name\":{\"formatted_name\":\"B\"}}]"),
          { "message.kind", "contacts" }, { "message.contacts.0.name.formatted_name", "B" });
    CHECK(FROM_ADA("\"type\":\"order\",\"order\":{\"catalog_id\":\"c\",\"text\":\"pls\",\"product_items\":[{\"item_"
                   "price\":30.5}]}"),
          { "message.kind", "order" }, { "message.text", "pls" },
          { "message.order.product_items.0.item_price", "30.5" });
    CHECK(FROM_ADA("\"type\":\"unsupported\",\"errors\":[{\"code\":131051,\"title\":\"t\",\"error_data\":{\"details\":"
                   "\"d\"}}],\"unsupported\":{\"type\":\"poll\"}"),
          { "type", "message.received" }, { "message.kind", "unsupported" }, { "message.unsupported_type", "poll" },
          { "message.error", "{\"code\":\"131051\",\"title\":\"t\",\"detail\":\"d\"}" });
    CHECK(FROM_ADA("\"type\":\"hologram\",\"hologram\":{}"), { "type", "message.received" },
          { "message.kind", "unsupported" }, { "message.unsupported_type", "hologram" });
    CHECK(FROM_ADA(
              "\"type\":\"text\",\"text\":{\"body\":\"hi\"},\"referral\":{\"source_type\":\"ad\",\"ctwa_clid\":\"c\"}"),
          { "message.referral.ctwa_clid", "c" });
    CHECK(FROM_ADA("\"type\":\"text\",\"text\":{\"body\":\"hi\"},\"group_id\":\"g1\""), { "message.chat", "g1" });
}

static void reads_what_is_tapped_and_done(void **state)
{
    (void)state;
    CHECK(FROM_ADA("\"type\":\"interactive\",\"interactive\":{\"type\":\"button_reply\",\"button_reply\":{\"id\":"
                   "\"yes\",\"title\":\"Yes\"}}"),
          { "type", "message.button" }, { "message.kind", "button" },
          { "message.button", "{\"id\":\"yes\",\"text\":\"Yes\"}" }, { "message.text", "Yes" });
    CHECK(FROM_ADA("\"type\":\"interactive\",\"interactive\":{\"type\":\"list_reply\",\"list_reply\":{\"id\":\"4\","
                   "\"title\":\"Good\",\"description\":\"d\"}}"),
          { "type", "message.button" }, { "message.button.id", "4" }, { "message.button.description", "d" });
    CHECK(FROM_ADA(
              "\"type\":\"button\",\"button\":{\"payload\":\"p\",\"text\":\"Pay\"},\"context\":{\"id\":\"wamid.T\"}"),
          { "type", "message.button" }, { "message.button", "{\"id\":\"p\",\"text\":\"Pay\"}" },
          { "message.reply_to", "wamid.T" });
    CHECK(FROM_ADA("\"type\":\"interactive\",\"interactive\":{\"type\":\"nfm_reply\",\"nfm_reply\":{\"name\":\"flow\","
                   "\"body\":\"Sent\",\"response_json\":\"{\\\"a\\\":[1]}\"}}"),
          { "type", "message.received" }, { "message.kind", "flow" }, { "message.flow", "{\"a\":[1]}" },
          { "message.text", "Sent" });
    CHECK(FROM_ADA("\"type\":\"interactive\",\"interactive\":{\"type\":\"nfm_reply\",\"nfm_reply\":{\"response_json\":"
                   "\"{oops\"}}"),
          { "message.kind", "flow" }, { "message.flow", "-" }, { "message.flow_text", "{oops" });
    CHECK(FROM_ADA("\"type\":\"interactive\",\"interactive\":{\"type\":\"new_thing\",\"new_thing\":{}}"),
          { "type", "webhook.whatsapp" }, { "provider_type", "messages.interactive" }, { "key", "wamid.A" },
          { "contact.name", "Ada" });
    CHECK(FROM_ADA("\"type\":\"reaction\",\"reaction\":{\"message_id\":\"wamid.R\",\"emoji\":\"\\ud83d\\ude00\"}"),
          { "type", "message.reaction" }, { "message.reply_to", "wamid.R" }, { "message.emoji", "\xf0\x9f\x98\x80" },
          { "message.removed", "-" });
    CHECK(FROM_ADA("\"type\":\"reaction\",\"reaction\":{\"message_id\":\"wamid.R\",\"emoji\":\"\"}"),
          { "message.removed", "true" }, { "message.emoji", "-" });
    CHECK(FROM_ADA("\"type\":\"reaction\",\"reaction\":{\"message_id\":\"wamid.R\"}"), { "message.removed", "true" });
    CHECK(FROM_ADA("\"type\":\"reaction\",\"reaction\":null"), { "type", "webhook.whatsapp" },
          { "provider_type", "messages.reaction" }, { "key", "wamid.A" }, { "contact.name", "Ada" });
    CHECK(FROM_ADA("\"type\":\"revoke\",\"revoke\":{\"original_message_id\":\"wamid.O\"}"),
          { "type", "message.deleted" }, { "message.id", "wamid.O" }, { "key", "wamid.A" });
    CHECK(FROM_ADA("\"type\":\"edit\",\"edit\":{\"original_message_id\":\"wamid.O\",\"message\":{\"type\":\"text\","
                   "\"text\":{\"body\":\"new\"}}}"),
          { "type", "message.edited" }, { "message.id", "wamid.O" }, { "message.text", "new" },
          { "message.kind", "text" });
}

static void follows_people_who_change_their_ids(void **state)
{
    (void)state;
    CHECK(
        ENVELOPE(
            "\"messages\":[{\"from\":\"15550100\",\"id\":\"wamid.S\",\"timestamp\":\"1795420700\",\"type\":\"system\","
            "\"system\":{\"body\":\"changed\",\"type\":\"user_changed_number\",\"wa_id\":\"15550199\"}}]"),
        { "type", "contact.identity_changed" }, { "key", "wamid.S" }, { "message.kind", "system" },
        { "contact.identities", "[\"whatsapp:15550199\",\"phone:15550199\"]" },
        { "contact.former_identities", "[\"whatsapp:15550100\",\"phone:15550100\"]" });
    CHECK(ENVELOPE("\"messages\":[{\"from_user_id\":\"US.1\",\"from\":\"15550100\",\"id\":\"wamid.S\",\"timestamp\":"
                   "\"1795420700\","
                   "\"type\":\"system\",\"system\":{\"type\":\"user_changed_user_id\",\"user_id\":\"US.2\"}}]"),
          { "contact.identities", "[\"whatsapp:US.2\",\"whatsapp:15550100\",\"phone:15550100\"]" },
          { "contact.former_identities", "[\"whatsapp:US.1\"]" });
    CHECK(ENVELOPE(
              "\"messages\":[{\"id\":\"wamid.S\",\"timestamp\":\"1795420700\",\"type\":\"system\",\"system\":{\"type\":"
              "\"user_changed_user_id\",\"user_id\":\"MX.2\",\"previous_user_id\":\"CO.1\"}}]"),
          { "contact.identities", "[\"whatsapp:MX.2\"]" }, { "contact.former_identities", "[\"whatsapp:CO.1\"]" });
    CHECK("{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"field\":\"user_id_update\",\"value\":{"
          "\"user_id_update\":"
          "[{\"wa_id\":\"15550100\",\"user_id\":{\"previous\":\"US.1\",\"current\":\"US.2\"},\"timestamp\":1795420700}]"
          "}}]}]}",
          { "type", "contact.identity_changed" }, { "contact.former_identities", "[\"whatsapp:US.1\"]" },
          { "contact.identities.0", "whatsapp:US.2" });
    CHECK(FROM_ADA("\"type\":\"system\",\"system\":{\"type\":\"customer_identity_changed\"}"),
          { "type", "webhook.whatsapp" }, { "provider_type", "messages.system" }, { "contact.former_identities", "-" });
}

/* Who is not named is not whoever else is in the envelope. */
static void takes_a_single_card_for_a_single_element(void **state)
{
    (void)state;
#define NAMELESS "{\"id\":\"wamid.N\",\"timestamp\":\"1795420700\",\"type\":\"text\",\"text\":{\"body\":\"x\"}}"
    CHECK(ENVELOPE(CARD ",\"messages\":[" NAMELESS "]"), { "contact.identities.0", "whatsapp:US.134a" });
    static const char *const envelopes[] = {
        ENVELOPE(CARD ",\"messages\":[" NAMELESS
                      ",{\"from\":\"15550100\",\"id\":\"wamid.A\",\"timestamp\":\"1795420700\","
                      "\"type\":\"text\",\"text\":{\"body\":\"y\"}}]"),
        ENVELOPE(CARD ",\"messages\":[" NAMELESS
                      "],\"statuses\":[{\"id\":\"wamid.S\",\"status\":\"read\",\"timestamp\":"
                      "\"1795420700\",\"recipient_id\":\"15550100\"}]"),
    };
    for (size_t i = 0; i < ARRAY_LEN(envelopes); i++) {
        json_t *events CLEANUP(json_free) = events_of("whatsapp", NULL, envelopes[i]);
        assert_int_equal(json_array_size(events), 2);
        expect_at(events, "0.message.id", "wamid.N");
        expect_at(events, "0.contact.identities", "-");
        expect_at(events, "1.contact.identities.0", "whatsapp:US.134a");
    }
}

static void finds_each_senders_card(void **state)
{
    (void)state;
    json_t *events = events_of(
        "whatsapp", NULL,
        ENVELOPE("\"contacts\":[{\"profile\":{\"name\":\"Ada\"},\"wa_id\":\"15550100\"},{\"profile\":{\"name\":"
                 "\"Bob\"},\"wa_id\":\"15550101\",\"user_id\":\"US.2\"}],\"messages\":["
                 "{\"from\":\"15550101\",\"id\":\"w.1\",\"type\":\"text\"},{\"from\":\"+1 555 0100\",\"id\":\"w.2\","
                 "\"type\":\"text\"},{\"from\":\"15550102\",\"id\":\"w.3\",\"type\":\"text\"}]"));
    expect_at(events, "0.contact.name", "Bob");
    expect_at(events, "0.contact.identities.0", "whatsapp:US.2");
    expect_at(events, "1.contact.name", "Ada");
    expect_at(events, "1.contact.identities", "[\"whatsapp:15550100\",\"phone:15550100\"]");
    expect_at(events, "2.contact.name", "-");
    expect_at(events, "2.contact.identities.0", "whatsapp:15550102");
    json_decref(events);
}

static void reads_senders_without_a_number(void **state)
{
    (void)state;
    CHECK(
        ENVELOPE(
            "\"contacts\":[{\"profile\":{\"name\":\"Sheena\"},\"user_id\":\"US.134\",\"parent_user_id\":\"US.ENT.1\"}],"
            "\"messages\":[{\"from_user_id\":\"US.134\",\"id\":\"wamid.B\",\"timestamp\":\"1795420700\",\"type\":"
            "\"text\",\"text\":{\"body\":\"x\"}}]"),
        { "contact.identities", "[\"whatsapp:US.134\"]" }, { "contact.recipient", "US.134" },
        { "contact.name", "Sheena" });
    CHECK(ENVELOPE("\"contacts\":[{\"user_id\":\"US.134\"}],\"statuses\":[{\"id\":\"wamid.B\",\"status\":\"delivered\","
                   "\"timestamp\":\"1795420700\",\"recipient_user_id\":\"US.134\"}]"),
          { "key", "wamid.B:delivered" }, { "contact.identities", "[\"whatsapp:US.134\"]" });
}

static void reads_statuses(void **state)
{
    (void)state;
    CHECK(ENVELOPE("\"statuses\":[{\"id\":\"wamid.B\",\"status\":\"failed\",\"timestamp\":\"1795420700\",\"recipient_"
                   "id\":\"15550100\","
                   "\"biz_opaque_callback_data\":\"77\",\"errors\":[{\"code\":131047,\"title\":\"Re-engagement\","
                   "\"error_data\":{\"details\":\"24 hours\"}}],"
                   "\"pricing\":{\"billable\":false,\"category\":\"service\"}}]"),
          { "type", "message.status" }, { "key", "wamid.B:failed" }, { "status.message_id", "wamid.B" },
          { "status.state", "failed" }, { "status.echo", "77" },
          { "status.error", "{\"code\":\"131047\",\"title\":\"Re-engagement\",\"detail\":\"24 hours\"}" },
          { "status.pricing.category", "service" }, { "contact.identities.0", "whatsapp:15550100" });
    CHECK(ENVELOPE("\"statuses\":[{\"id\":\"wamid.B\",\"status\":\"read\",\"timestamp\":\"1795420700\",\"recipient_"
                   "type\":\"group\","
                   "\"recipient_id\":\"g1\",\"recipient_participant_id\":\"15550101\"}]"),
          { "key", "wamid.B:read:15550101" }, { "contact.identities.0", "whatsapp:15550101" });
    /* Each of a group reports on their own, whether we may know their number or not. */
    CHECK(ENVELOPE("\"statuses\":[{\"id\":\"wamid.B\",\"status\":\"read\",\"timestamp\":\"1795420700\",\"recipient_"
                   "type\":\"group\","
                   "\"recipient_id\":\"g1\",\"recipient_participant_user_id\":\"US.7\"}]"),
          { "key", "wamid.B:read:US.7" }, { "contact.identities", "[\"whatsapp:US.7\"]" },
          { "status.participant", "US.7" });
    /* A null is no list. */
    CHECK(ENVELOPE("\"contacts\":null,\"messages\":null,\"errors\":null,\"statuses\":[{\"id\":\"wamid.B\","
                   "\"status\":\"sent\"}]"),
          { "key", "wamid.B:sent" });
    CHECK(ENVELOPE("\"messages\":null,\"statuses\":null"), { "type", "webhook.whatsapp" },
          { "provider_type", "messages" }, { "body.value.metadata.phone_number_id", "42" });
    CHECK(ENVELOPE("\"statuses\":[{\"id\":\"wamid.B\",\"status\":\"played\",\"timestamp\":1795420700}]"),
          { "status.state", "played" }, { "contact", "-" });
    CHECK(ENVELOPE("\"statuses\":[{\"id\":\"wamid.B\",\"status\":\"teleported\"}]"), { "type", "webhook.whatsapp" },
          { "provider_type", "statuses" }, { "occurred_at", "2026-11-23T08:00:00.000Z" });
}

static void reads_what_is_about_the_account(void **state)
{
    (void)state;
#define CHANGE(field, value)                                                                                           \
    "{\"entry\":[{\"id\":\"1\",\"time\":1795420790,\"changes\":[{\"value\":" value ",\"field\":\"" field               \
    "\"}]}],\"object\":\"whatsapp_business_account\"}"
    CHECK(CHANGE("user_preferences", "{\"user_preferences\":[{\"wa_id\":\"15550100\",\"category\":\"marketing_"
                                     "messages\",\"value\":\"stop\",\"timestamp\":1795420700}]}"),
          { "type", "contact.opted_out" }, { "topic", "marketing" }, { "body.topic", "marketing" },
          { "contact.identities.0", "whatsapp:15550100" }, { "occurred_at", "2026-11-23T07:58:20.000Z" });
    CHECK(CHANGE("user_preferences",
                 "{\"user_preferences\":[{\"user_id\":\"US.1\",\"value\":\"resume\",\"timestamp\":1795420700}]}"),
          { "type", "contact.opted_in" }, { "topic", "marketing" });
    CHECK(
        CHANGE("message_template_status_update",
               "{\"event\":\"PAUSED\",\"message_template_id\":9007199254740993,\"message_template_name\":\"t\","
               "\"message_template_language\":\"en_US\",\"reason\":null,\"rejection_info\":{\"reason\":\"because\"}}"),
        { "type", "template.status" }, { "template.name", "t" }, { "template.status", "paused" },
        { "template.language", "en_US" }, { "template.id", "9007199254740993" }, { "template.detail", "because" });
    CHECK(CHANGE("account_update", "{\"event\":\"ACCOUNT_DELETED\"}"), { "type", "webhook.whatsapp" },
          { "provider_type", "account_update" }, { "body.value.event", "ACCOUNT_DELETED" },
          { "occurred_at", "2026-11-23T07:59:50.000Z" });
    CHECK(
        CHANGE(
            "smb_message_echoes",
            "{\"metadata\":{\"phone_number_id\":\"42\"},\"message_echoes\":[{\"from\":\"15550783\",\"to\":\"15550100\","
            "\"id\":\"wamid.E\",\"timestamp\":\"1795420700\",\"type\":\"text\",\"text\":{\"body\":\"by phone\"}}]}"),
        { "type", "message.sent_elsewhere" }, { "message.direction", "out" }, { "message.text", "by phone" },
        { "contact.identities.0", "whatsapp:15550100" });
    CHECK(ENVELOPE("\"errors\":[{\"code\":131000}]"), { "type", "webhook.whatsapp" }, { "provider_type", "errors" });
}

static void one_bad_element_does_not_harm_its_neighbours(void **state)
{
    (void)state;
    const char *body =
        "{\"object\":\"whatsapp_business_account\",\"entry\":[7,{\"changes\":\"x\"},{\"id\":\"1\",\"changes\":[null,{"
        "\"field\":\"messages\"},"
        "{\"field\":\"messages\",\"value\":{\"contacts\":[3,{\"wa_id\":5}],\"messages\":[42,{\"id\":9},{\"id\":\"wamid."
        "1\",\"type\":7,\"from\":[]},"
        "{\"id\":\"wamid.2\",\"from\":\"15550100\",\"type\":\"text\",\"text\":[\"no\"],\"timestamp\":\"soon\","
        "\"context\":3,\"errors\":{}},"
        "{\"id\":\"wamid.3\",\"from\":\"15550100\",\"type\":\"text\",\"text\":{\"body\":\"fine\"},\"timestamp\":"
        "\"1795420700\"}],"
        "\"statuses\":{\"not\":\"a "
        "list\"}}},{\"field\":\"messages\",\"value\":{\"statuses\":[{\"id\":\"wamid.4\",\"status\":\"sent\"}]}}]}]}";
    json_t *events = events_of("whatsapp", NULL, body);
    static const struct expectation expected[] = {
        { "0.provider_type", "entry" },
        { "1.provider_type", "entry" },
        { "2.type", "webhook.whatsapp" },
        { "3.type", "webhook.whatsapp" },
        { "4.body", "42" },
        { "5.provider_type", "messages" },
        { "6.key", "wamid.1" },
        { "6.message.kind", "unsupported" },
        { "7.key", "wamid.2" },
        { "7.message.kind", "text" },
        { "8.message.text", "fine" },
        { "9.provider_type", "statuses" },
        { "10.key", "wamid.4:sent" },
        { "11", "-" },
    };
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        expect_at(events, expected[i].path, expected[i].value);
    }
    json_decref(events);
}

/* An app with two numbers posts what both receive to one URL. */
static void what_another_number_receives_is_kept_and_not_handled(void **state)
{
    (void)state;
#define RECEIVED_BY(number, id)                                                                                        \
    "{\"field\":\"messages\",\"value\":{\"metadata\":{\"phone_number_id\":\"" number                                   \
    "\"},\"messages\":[{\"from\":\"15550100\",\"id\":\"" id                                                            \
    "\",\"timestamp\":\"1795420700\",\"type\":\"text\",\"text\":{\"body\":\"hi\"}}]}}"
    static const char body[] =
        "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"1\",\"changes\":[" RECEIVED_BY(
            "43", "wamid.other") "," RECEIVED_BY("42", "wamid.own") "]}]}";
    json_t *settings CLEANUP(json_free) = json_pack("{s:s}", "phone_number_id", "42");
    json_t *events CLEANUP(json_free) = events_of("whatsapp", settings, body);
    assert_int_equal(json_array_size(events), 2);
    expect_at(events, "0.type", "webhook.whatsapp");
    expect_at(events, "0.account", "43");
    expect_at(events, "0.contact", "-");
    expect_at(events, "0.problem", "it is for the phone number id 43, and this source has 42");
    expect_at(events, "0.body.value.messages.0.id", "wamid.other");
    expect_at(events, "1.type", "message.received");
    expect_at(events, "1.message.id", "wamid.own");
    expect_at(events, "1.problem", "-");
    /* A source that does not say which number it has takes all. */
    json_t *all CLEANUP(json_free) = events_of("whatsapp", NULL, body);
    expect_at(all, "0.type", "message.received");
}

static void keys_are_the_same_for_the_same_element(void **state)
{
    (void)state;
    const char *body = "{\"entry\":[{\"time\":1,\"changes\":[{\"field\":\"calls\",\"value\":{\"a\":1}},{\"field\":"
                       "\"calls\",\"value\":{\"a\":2}}]}]}";
    json_t *first = events_of("whatsapp", NULL, body);
    json_t *again = events_of("whatsapp", NULL, body);
    assert_string_equal(json_str(json_array_get(first, 0), "key"), json_str(json_array_get(again, 0), "key"));
    assert_string_not_equal(json_str(json_array_get(first, 0), "key"), json_str(json_array_get(first, 1), "key"));
    json_decref(first);
    json_decref(again);
}

static void refuses_what_is_no_envelope(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "", "{", "[]", "{}", "null", "{\"object\":\"page\",\"entry\":[]}", "{\"entry\":{}}"
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct webhook w = { .method = "POST", .source = "wa", .body = bytes_of(bodies[i]), .now = TEST_NOW };
        json_t *events CLEANUP(json_free) = json_array();
        struct error e = { .code = ERR_NONE };
        assert_int_equal(channel_find("whatsapp")->parse(&w, NULL, events, &e), ERR_INVALID);
        assert_int_equal(json_array_size(events), 0);
    }
}

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_kind_of_message),
        cmocka_unit_test(reads_what_is_tapped_and_done),
        cmocka_unit_test(follows_people_who_change_their_ids),
        cmocka_unit_test(takes_a_single_card_for_a_single_element),
        cmocka_unit_test(finds_each_senders_card),
        cmocka_unit_test(reads_senders_without_a_number),
        cmocka_unit_test(reads_statuses),
        cmocka_unit_test(reads_what_is_about_the_account),
        cmocka_unit_test(one_bad_element_does_not_harm_its_neighbours),
        cmocka_unit_test(what_another_number_receives_is_kept_and_not_handled),
        cmocka_unit_test(keys_are_the_same_for_the_same_element),
        cmocka_unit_test(refuses_what_is_no_envelope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
