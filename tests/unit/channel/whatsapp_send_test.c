#include "channel/channel_support.h"

#define SETTINGS                                                                                                       \
    "{\"access_token\":\"T\",\"phone_number_id\":\"42\",\"api_url\":\"http://sim\",\"api_version\":\"v30.0\"}"
#define TO "\"to\":{\"recipient\":\"15550100\",\"identity\":\"whatsapp:15550100\"},\"echo\":\"77\","

static json_t *rendered(bool approved, const char *request)
{
    return body_of("whatsapp", SETTINGS, approved, request, NULL);
}

static void addresses_by_number_or_by_user_id(void **state)
{
    (void)state;
    char *url = NULL;
    json_t *body = body_of("whatsapp", SETTINGS, false, "{" TO "\"free\":{\"text\":\"hi\"}}", &url);
    assert_string_equal(url, "http://sim/v30.0/42/messages");
    free(url);
    expect_at(body, "messaging_product", "whatsapp");
    expect_at(body, "to", "+15550100");
    expect_at(body, "recipient", "-");
    expect_at(body, "biz_opaque_callback_data", "77");
    expect_at(body, "type", "text");
    expect_at(body, "text.body", "hi");
    json_decref(body);

    body = rendered(
        false, "{\"to\":{\"recipient\":\"US.1349\"},\"free\":{\"text\":\"see https://x.y\",\"reply_to\":\"wamid.Q\"}}");
    expect_at(body, "to", "-");
    expect_at(body, "recipient", "US.1349");
    expect_at(body, "text.preview_url", "true");
    expect_at(body, "context.message_id", "wamid.Q");
    json_decref(body);

    body = rendered(false, "{\"to\":{\"identity\":\"whatsapp:+1 (555) 0100\"},\"free\":{\"text\":\"hi\"}}");
    expect_at(body, "to", "+15550100");
    json_decref(body);
    expect_not_rendered("whatsapp", SETTINGS, false,
                        "{\"to\":{\"identity\":\"email:a@b.c\"},\"free\":{\"text\":\"hi\"}}", "recipient");
    expect_not_rendered("whatsapp", SETTINGS, false, "{\"to\":{\"recipient\":\"ada\"},\"free\":{\"text\":\"hi\"}}",
                        "phone number");
}

static void renders_media(void **state)
{
    (void)state;
    json_t *body = rendered(false, "{" TO "\"free\":{\"media\":{\"kind\":\"document\",\"url\":\"https://x/"
                                   "a.pdf\",\"caption\":\"c\",\"file_name\":\"a.pdf\"}}}");
    expect_at(body, "document", "{\"link\":\"https://x/a.pdf\",\"filename\":\"a.pdf\",\"caption\":\"c\"}");
    json_decref(body);
    body = rendered(false, "{" TO "\"free\":{\"text\":\"look\",\"media\":{\"kind\":\"image\",\"id\":\"9\"}}}");
    expect_at(body, "image", "{\"id\":\"9\",\"caption\":\"look\"}");
    json_decref(body);
    expect_not_rendered("whatsapp", SETTINGS, false,
                        "{" TO "\"free\":{\"text\":\"x\",\"media\":{\"kind\":\"audio\",\"id\":\"9\"}}}", "text");
    expect_not_rendered("whatsapp", SETTINGS, false,
                        "{" TO "\"free\":{\"media\":{\"kind\":\"image\",\"url\":\"file:///etc/passwd\"}}}", "URL");
    expect_not_rendered("whatsapp", SETTINGS, false,
                        "{" TO "\"free\":{\"media\":{\"kind\":\"hologram\",\"id\":\"9\"}}}", "hologram");
}

#define BUTTON(id) "{\"id\":\"" id "\",\"text\":\"" id "\"}"

static void renders_buttons_lists_and_links(void **state)
{
    (void)state;
    json_t *body = rendered(
        false,
        "{" TO
        "\"free\":{\"text\":\"ok?\",\"buttons\":[{\"id\":\"y\",\"text\":\"Yes\"},{\"id\":\"n\",\"text\":\"No\"}]}}");
    expect_at(body, "type", "interactive");
    expect_at(body, "interactive.type", "button");
    expect_at(body, "interactive.body.text", "ok?");
    expect_at(body, "interactive.action.buttons.1", "{\"type\":\"reply\",\"reply\":{\"id\":\"n\",\"title\":\"No\"}}");
    json_decref(body);

    body = rendered(false, "{" TO "\"free\":{\"text\":\"rate\",\"buttons\":[" BUTTON("1") "," BUTTON("2") "," BUTTON(
                               "3") "," BUTTON("4") "," BUTTON("5") "]}}");
    expect_at(body, "interactive.type", "list");
    expect_at(body, "interactive.action.button", "Options");
    expect_at(body, "interactive.action.sections.0.rows.4", "{\"id\":\"5\",\"title\":\"5\"}");
    json_decref(body);

    body = rendered(false,
                    "{" TO "\"free\":{\"text\":\"pay\",\"buttons\":[{\"text\":\"Pay now\",\"url\":\"https://p/1\"}]}}");
    expect_at(body, "interactive.type", "cta_url");
    expect_at(body, "interactive.action",
              "{\"name\":\"cta_url\",\"parameters\":{\"display_text\":\"Pay now\",\"url\":\"https://p/1\"}}");
    json_decref(body);

    body = rendered(false,
                    "{" TO "\"free\":{\"text\":\"pay\",\"buttons\":[{\"text\":\"Pay\",\"url\":\"https://p/1\"}," BUTTON(
                        "later") "]}}");
    expect_at(body, "interactive.type", "button");
    expect_at(body, "interactive.body.text", "pay\nPay: https://p/1");
    expect_at(body, "interactive.action.buttons.1", "-");
    json_decref(body);

    body = rendered(false, "{" TO "\"free\":{\"text\":\"go\",\"buttons\":[{\"text\":\"A\",\"url\":\"https://"
                           "a\"},{\"text\":\"B\",\"url\":\"https://b\"}]}}");
    expect_at(body, "type", "text");
    expect_at(body, "text.body", "go\nA: https://a\nB: https://b");
    json_decref(body);

    body = rendered(
        false,
        "{" TO "\"free\":{\"text\":\"x\",\"media\":{\"kind\":\"image\",\"id\":\"9\"},\"buttons\":[" BUTTON("a") "]}}");
    expect_at(body, "interactive.header", "{\"type\":\"image\",\"image\":{\"id\":\"9\"}}");
    json_decref(body);
}

static void keeps_the_limits(void **state)
{
    (void)state;
    static char request[16384];
    char text[4200];
    memset(text, 'a', sizeof(text));
    text[4097] = '\0';
    snprintf(request, sizeof(request), "{" TO "\"free\":{\"text\":\"%s\"}}", text);
    expect_not_rendered("whatsapp", SETTINGS, false, request, "4097 characters, whatsapp allows 4096");
    text[4096] = '\0';
    snprintf(request, sizeof(request), "{" TO "\"free\":{\"text\":\"%s\"}}", text);
    json_t *body = rendered(false, request);
    json_decref(body);
    text[1025] = '\0';
    snprintf(request, sizeof(request), "{" TO "\"free\":{\"text\":\"%s\",\"buttons\":[" BUTTON("a") "]}}", text);
    body = rendered(false, request);
    expect_at(body, "interactive.type", "list"); /* whose text may be longer */
    json_decref(body);
    snprintf(request, sizeof(request),
             "{" TO "\"free\":{\"media\":{\"kind\":\"image\",\"id\":\"9\",\"caption\":\"%s\"}}}", text);
    expect_not_rendered("whatsapp", SETTINGS, false, request, "caption");

    expect_not_rendered("whatsapp", SETTINGS, false,
                        "{" TO
                        "\"free\":{\"text\":\"x\",\"buttons\":[{\"id\":\"a\",\"text\":\"a text of 21 letters.\"}]}}",
                        "text of a button");
    expect_not_rendered("whatsapp", SETTINGS, false,
                        "{" TO "\"free\":{\"text\":\"x\",\"buttons\":[" BUTTON("a") "," BUTTON("a") "]}}", "same id");
    expect_not_rendered("whatsapp", SETTINGS, false,
                        "{" TO "\"free\":{\"text\":\"x\",\"buttons\":[" BUTTON("a") ",{\"id\":\"b\",\"text\":\"a\"}]}}",
                        "same text");
    expect_not_rendered("whatsapp", SETTINGS, false, "{" TO "\"free\":{\"text\":\"x\",\"buttons\":[{\"id\":\"a\"}]}}",
                        "no text");
    expect_not_rendered("whatsapp", SETTINGS, false,
                        "{" TO "\"free\":{\"text\":\"x\",\"buttons\":[{\"text\":\"a\",\"url\":\"javascript:x\"}]}}",
                        "URL");
    expect_not_rendered(
        "whatsapp", SETTINGS, false,
        "{" TO
        "\"free\":{\"text\":\"x\",\"buttons\":[" BUTTON("1") "," BUTTON("2") "," BUTTON("3") "," BUTTON("4") "," BUTTON(
            "5") "," BUTTON("6") "," BUTTON("7") "," BUTTON("8") "," BUTTON("9") "," BUTTON("10") "," BUTTON("11") "]}"
                                                                                                                   "}",
        "11 buttons");
    expect_not_rendered("whatsapp", SETTINGS, false, "{" TO "\"free\":{\"text\":\"\"}}", "neither");
    expect_not_rendered("whatsapp", "{\"phone_number_id\":\"42\"}", false, "{" TO "\"free\":{\"text\":\"x\"}}",
                        "access_token");
    expect_not_rendered("whatsapp", "{\"access_token\":\"T\"}", false, "{" TO "\"free\":{\"text\":\"x\"}}",
                        "phone_number_id");
}

#define APPROVED(content) "{" TO "\"approved\":{\"name\":\"t\",\"language\":\"de\"," content "}}"

static void renders_every_kind_of_header_and_button(void **state)
{
    (void)state;
    static const struct {
        const char *content, *component;
    } cases[] = {
        { "\"header\":[{\"kind\":\"location\",\"latitude\":\"47.5\",\"longitude\":8,\"name\":\"Shop\",\"address\":\"A "
          "1\"}]",
          "{\"type\":\"header\",\"parameters\":[{\"type\":\"location\",\"location\":{\"latitude\":47.5,\"longitude\":8,"
          "\"name\":\"Shop\",\"address\":\"A 1\"}}]}" },
        { "\"header\":[{\"kind\":\"image\",\"id\":\"9\"}]",
          "{\"type\":\"header\",\"parameters\":[{\"type\":\"image\",\"image\":{\"id\":\"9\"}}]}" },
        { "\"header\":[{\"kind\":\"text\",\"name\":\"who\",\"text\":\"Ada\"}]",
          "{\"type\":\"header\",\"parameters\":[{\"type\":\"text\",\"parameter_name\":\"who\",\"text\":\"Ada\"}]}" },
        { "\"buttons\":[{\"index\":2,\"kind\":\"copy_code\",\"value\":\"250FF\"}]",
          "{\"type\":\"button\",\"sub_type\":\"copy_code\",\"index\":\"2\",\"parameters\":[{\"type\":\"coupon_code\","
          "\"coupon_code\":\"250FF\"}]}" },
        { "\"buttons\":[{\"index\":0,\"kind\":\"flow\",\"value\":\"tok\",\"data\":{\"a\":1}}]",
          "{\"type\":\"button\",\"sub_type\":\"flow\",\"index\":\"0\",\"parameters\":[{\"type\":\"action\",\"action\":{"
          "\"flow_token\":\"tok\",\"flow_action_data\":{\"a\":1}}}]}" },
        { "\"buttons\":[{\"index\":0,\"kind\":\"catalog\",\"value\":\"p1\"}]",
          "{\"type\":\"button\",\"sub_type\":\"catalog\",\"index\":\"0\",\"parameters\":[{\"type\":\"action\",\"action\":{"
          "\"thumbnail_product_retailer_id\":\"p1\"}}]}" },
        { "\"buttons\":[{\"index\":0,\"kind\":\"mpm\",\"value\":\"p1\",\"sections\":[{\"title\":\"S\",\"products\":[\"p1\","
          "\"p2\"]}]}]",
          "{\"type\":\"button\",\"sub_type\":\"mpm\",\"index\":\"0\",\"parameters\":[{\"type\":\"action\",\"action\":{"
          "\"thumbnail_product_retailer_id\":\"p1\",\"sections\":[{\"title\":\"S\",\"product_items\":[{"
          "\"product_retailer_id\":\"p1\"},{\"product_retailer_id\":\"p2\"}]}]}}]}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char request[1024];
        snprintf(request, sizeof(request), "{" TO "\"approved\":{\"name\":\"t\",\"language\":\"de\",%s}}",
                 cases[i].content);
        json_t *body = rendered(true, request);
        expect_at(body, "template.components.0", cases[i].component);
        json_decref(body);
    }
    expect_not_rendered("whatsapp", SETTINGS, true, APPROVED("\"header\":[{\"kind\":\"location\",\"latitude\":1}]"),
                        "no latitude and longitude");
    expect_not_rendered("whatsapp", SETTINGS, true, APPROVED("\"header\":[{\"kind\":\"video\"}]"), "neither a url nor");
    expect_not_rendered("whatsapp", SETTINGS, true, APPROVED("\"header\":[{\"kind\":\"dance\"}]"), "kind 'dance'");
    expect_not_rendered("whatsapp", SETTINGS, true, APPROVED("\"buttons\":[{\"index\":0,\"kind\":\"mpm\"}]"),
                        "no sections");
    expect_not_rendered("whatsapp", SETTINGS, true, APPROVED("\"buttons\":[{\"index\":0,\"kind\":\"copy_code\"}]"),
                        "no value");
}

static void renders_templates(void **state)
{
    (void)state;
    json_t *body =
        rendered(true, "{" TO "\"approved\":{\"name\":\"payment_failed_v1\",\"language\":\"en_US\","
                       "\"body\":[{\"text\":\"Ada\"},{\"text\":\"line\\nbreak      here\"}],"
                       "\"header\":[{\"kind\":\"document\",\"url\":\"https://x/a.pdf\",\"file_name\":\"a.pdf\"}],"
                       "\"buttons\":[{\"index\":0,\"kind\":\"quick_reply\",\"value\":\"p\"},{\"index\":1,\"kind\":"
                       "\"url\",\"value\":\"in_1\"}]}}");
    expect_at(body, "type", "template");
    expect_at(body, "template.name", "payment_failed_v1");
    expect_at(body, "template.language.code", "en_US");
    expect_at(body, "template.components.0",
              "{\"type\":\"header\",\"parameters\":[{\"type\":\"document\",\"document\":{\"link\":\"https://x/"
              "a.pdf\",\"filename\":\"a.pdf\"}}]}");
    expect_at(body, "template.components.1.parameters",
              "[{\"type\":\"text\",\"text\":\"Ada\"},{\"type\":\"text\",\"text\":\"line break here\"}]");
    expect_at(body, "template.components.2",
              "{\"type\":\"button\",\"sub_type\":\"quick_reply\",\"index\":\"0\",\"parameters\":[{\"type\":\"payload\","
              "\"payload\":\"p\"}]}");
    expect_at(body, "template.components.3.parameters.0", "{\"type\":\"text\",\"text\":\"in_1\"}");
    expect_at(body, "biz_opaque_callback_data", "77");
    json_decref(body);

    body = rendered(
        true,
        "{" TO "\"approved\":{\"name\":\"t\",\"language\":\"de\",\"body\":[{\"name\":\"first\",\"text\":\"Ada\"}]}}");
    expect_at(body, "template.components.0.parameters.0",
              "{\"type\":\"text\",\"parameter_name\":\"first\",\"text\":\"Ada\"}");
    json_decref(body);
    body = rendered(true, "{" TO "\"approved\":{\"name\":\"t\",\"language\":\"de\"}}");
    expect_at(body, "template.components", "-");
    json_decref(body);
    expect_not_rendered("whatsapp", SETTINGS, true,
                        "{" TO "\"approved\":{\"name\":\"t\",\"language\":\"de\",\"body\":[{\"name\":\"a\",\"text\":"
                        "\"x\"},{\"text\":\"y\"}]}}",
                        "positional");
    expect_not_rendered("whatsapp", SETTINGS, true,
                        "{" TO "\"approved\":{\"name\":\"t\",\"language\":\"de\",\"body\":[{\"text\":\"\"}]}}",
                        "empty");
    expect_not_rendered("whatsapp", SETTINGS, true, "{" TO "\"approved\":{\"name\":\"t\"}}", "language");
    expect_not_rendered("whatsapp", SETTINGS, true, "{" TO "\"free\":{\"text\":\"x\"}}", "approved template");
}

#define ERROR(code) "{\"error\":{\"message\":\"m\",\"code\":" code ",\"error_data\":{\"details\":\"why\"}}}"

static void judges_answers(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum send_verdict verdict;
        msec_t retry_after_ms;
        const char *code;
    } cases[] = {
        { 200, "{\"messages\":[{\"id\":\"wamid.X\"}]}", SEND_ACCEPTED, -1, "" },
        { 200, "{\"messages\":[]}", SEND_UNKNOWN, -1, "http_200" },
        { 200, "", SEND_UNKNOWN, -1, "http_200" },
        { 401, ERROR("190"), SEND_CHANNEL_DOWN, -1, "190" },
        { 401, ERROR("0"), SEND_CHANNEL_DOWN, -1, "0" },
        { 403, ERROR("230"), SEND_CHANNEL_DOWN, -1, "230" },
        { 400, ERROR("100"), SEND_REFUSED, -1, "100" },
        { 400, ERROR("130429"), SEND_RETRY, 5000, "130429" },
        { 400, ERROR("131056"), SEND_RETRY, 6000, "131056" },
        { 400, ERROR("80007"), SEND_RETRY, 3600000, "80007" },
        { 400, ERROR("131026"), SEND_UNREACHABLE, -1, "131026" },
        { 400, ERROR("131047"), SEND_REFUSED, -1, "131047" },
        { 400, ERROR("131049"), SEND_RETRY, 86400000, "131049" },
        { 400, ERROR("131050"), SEND_OPTED_OUT, -1, "131050" },
        { 404, ERROR("132001"), SEND_REFUSED, -1, "132001" },
        { 500, ERROR("131000"), SEND_RETRY, -1, "131000" },
        { 503, ERROR("2"), SEND_RETRY, -1, "2" },
        { 500, ERROR("999999"), SEND_RETRY, -1, "999999" },
        { 400, ERROR("999999"), SEND_REFUSED, -1, "999999" },
        { 429, "slow down", SEND_RETRY, -1, "http_429" },
        { 500, "<html>", SEND_UNKNOWN, -1, "http_500" },
        { 504, "", SEND_UNKNOWN, -1, "http_504" },
        { 404, "<html>", SEND_CHANNEL_DOWN, -1, "http_404" },
        { 302, "", SEND_CHANNEL_DOWN, -1, "http_302" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct send_result result = judged("whatsapp", cases[i].status, cases[i].body);
        if (result.verdict != cases[i].verdict) {
            print_error("case %zu: verdict %d\n", i, (int)result.verdict);
        }
        assert_int_equal(result.verdict, cases[i].verdict);
        assert_int_equal(result.retry_after_ms, cases[i].retry_after_ms);
        assert_string_equal(result.code, cases[i].code);
    }
    /* What limits the number or the account limits every message; the pair limit is this person's. */
    assert_int_equal(judged("whatsapp", 400, ERROR("130429")).pause_ms, 1000);
    assert_int_equal(judged("whatsapp", 400, ERROR("80007")).pause_ms, 300000);
    assert_int_equal(judged("whatsapp", 400, ERROR("131056")).pause_ms, 0);
    assert_int_equal(judged("whatsapp", 500, ERROR("131000")).pause_ms, 0);
    assert_true(judged("whatsapp", 400, ERROR("131048")).alarming);
    assert_false(judged("whatsapp", 400, ERROR("131049")).alarming);
    assert_string_equal(judged("whatsapp", 200, cases[0].body).provider_message_id, "wamid.X");
    assert_string_equal(judged("whatsapp", 400, ERROR("100")).reason, "why");

    struct http_exchange lost = { .outcome = HTTP_UNKNOWN, .retry_after_ms = -1, .error = "timed out" };
    struct send_result result;
    channel_find("whatsapp")->classify(&lost, &result);
    assert_int_equal(result.verdict, SEND_UNKNOWN);
    lost.outcome = HTTP_NOT_SENT;
    channel_find("whatsapp")->classify(&lost, &result);
    assert_int_equal(result.verdict, SEND_RETRY);
}

static void registers_a_callback(void **state)
{
    (void)state;
    json_t *settings CLEANUP(json_free) =
        json_loads("{\"access_token\":\"T\",\"verify_token\":\"V\",\"business_account_id\":\"99\"}", 0, NULL);
    struct outgoing_request out = { .headers = { NULL } };
    assert_int_equal(channel_find("whatsapp")->registration("https://a/webhooks/wa", settings, &out, NULL), ERR_NONE);
    assert_string_equal(out.url.ptr, "https://graph.facebook.com/v25.0/99/subscribed_apps");
    assert_string_equal(out.body.ptr, "{\"override_callback_uri\":\"https://a/webhooks/wa\",\"verify_token\":\"V\"}");
    assert_string_equal(out.headers[1], "Authorization: Bearer T");
    outgoing_request_done(&out);
    json_object_del(settings, "business_account_id");
    assert_int_equal(channel_find("whatsapp")->registration("https://a", settings, &out, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_by_number_or_by_user_id),
        cmocka_unit_test(renders_media),
        cmocka_unit_test(renders_buttons_lists_and_links),
        cmocka_unit_test(keeps_the_limits),
        cmocka_unit_test(renders_every_kind_of_header_and_button),
        cmocka_unit_test(renders_templates),
        cmocka_unit_test(judges_answers),
        cmocka_unit_test(registers_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
