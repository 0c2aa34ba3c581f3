#include "channel/channel_support.h"

#define SETTINGS "{\"bot_token\":\"42:abc\",\"secret_token\":\"Abc_1\",\"api_url\":\"http://sim\"}"
#define TO "\"to\":{\"recipient\":\"4711\",\"identity\":\"telegram:4711\"},"

static void renders_each_method(void **state)
{
    (void)state;
    static const struct {
        const char *form, *url, *body;
    } cases[] = {
        { "{\"text\":\"hi\",\"reply_to\":\"5\"}", "http://sim/bot42:abc/sendMessage",
          "{\"chat_id\":4711,\"reply_parameters\":{\"message_id\":5,\"allow_sending_without_reply\":true},\"text\":"
          "\"hi\"}" },
        { "{\"text\":\"look\",\"media\":{\"kind\":\"image\",\"url\":\"https://x/p.png\"}}",
          "http://sim/bot42:abc/sendPhoto", "{\"chat_id\":4711,\"photo\":\"https://x/p.png\",\"caption\":\"look\"}" },
        { "{\"media\":{\"kind\":\"document\",\"id\":\"F\"}}", "http://sim/bot42:abc/sendDocument",
          "{\"chat_id\":4711,\"document\":\"F\"}" },
        { "{\"media\":{\"kind\":\"audio\",\"voice\":true,\"id\":\"F\"}}", "http://sim/bot42:abc/sendVoice",
          "{\"chat_id\":4711,\"voice\":\"F\"}" },
        { "{\"text\":\"pay\",\"buttons\":[{\"text\":\"Pay\",\"url\":\"https://p\"},{\"id\":\"l\",\"text\":\"Later\"}]}",
          "http://sim/bot42:abc/sendMessage",
          "{\"chat_id\":4711,\"text\":\"pay\",\"reply_markup\":{\"inline_keyboard\":[[{\"text\":\"Pay\",\"url\":"
          "\"https://p\"}],[{\"text\":\"Later\",\"callback_data\":\"l\"}]]}}" },
        { "{\"text\":\"rate\",\"buttons\":[{\"id\":\"1\",\"text\":\"1\"},{\"id\":\"2\",\"text\":\"2\"}]}",
          "http://sim/bot42:abc/sendMessage",
          "{\"chat_id\":4711,\"text\":\"rate\",\"reply_markup\":{\"inline_keyboard\":[[{\"text\":\"1\",\"callback_"
          "data\":\"1\"},{\"text\":\"2\",\"callback_data\":\"2\"}]]}}" },
        { "{\"callback_query_id\":\"cb\",\"text\":\"Thanks\"}", "http://sim/bot42:abc/answerCallbackQuery",
          "{\"callback_query_id\":\"cb\",\"text\":\"Thanks\"}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char request[1024];
        snprintf(request, sizeof(request), "{" TO "\"free\":%s}", cases[i].form);
        char *url = NULL;
        json_t *body = body_of("telegram", SETTINGS, false, request, &url);
        assert_string_equal(url, cases[i].url);
        expect_at(body, "", cases[i].body);
        free(url);
        json_decref(body);
    }
}

static void answers_over_the_business_connection(void **state)
{
    (void)state;
    static const char *const bodies[][2] = {
        { "4711@bC_1", "{\"chat_id\":4711,\"business_connection_id\":\"bC_1\",\"text\":\"hi\"}" },
        { "@channel", "{\"chat_id\":\"@channel\",\"text\":\"hi\"}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        char request[300];
        char *url = NULL;
        snprintf(request, sizeof(request), "{\"to\":{\"recipient\":\"%s\"},\"free\":{\"text\":\"hi\"}}", bodies[i][0]);
        json_t *body = body_of("telegram", SETTINGS, false, request, &url);
        expect_at(body, "", bodies[i][1]);
        free(url);
        json_decref(body);
    }
}

static void keeps_the_limits(void **state)
{
    (void)state;
    static char request[16384];
    char text[4200];
    memset(text, 'a', sizeof(text));
    text[4097] = '\0';
    snprintf(request, sizeof(request), "{" TO "\"free\":{\"text\":\"%s\"}}", text);
    expect_not_rendered("telegram", SETTINGS, false, request, "4096");
    text[65] = '\0';
    snprintf(request, sizeof(request), "{" TO "\"free\":{\"text\":\"x\",\"buttons\":[{\"id\":\"%s\",\"text\":\"a\"}]}}",
             text);
    expect_not_rendered("telegram", SETTINGS, false, request, "65 bytes");
    expect_not_rendered("telegram", SETTINGS, true, "{" TO "\"approved\":{\"name\":\"t\"}}", "approved");
    expect_not_rendered("telegram", "{}", false, "{" TO "\"free\":{\"text\":\"x\"}}", "bot_token");
}

static void judges_answers(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum send_verdict verdict;
        msec_t retry_after_ms;
    } cases[] = {
        { 200, "{\"ok\":true,\"result\":{\"message_id\":99}}", SEND_ACCEPTED, -1 },
        { 200, "{\"ok\":true,\"result\":true}", SEND_ACCEPTED, -1 },
        { 429,
          "{\"ok\":false,\"error_code\":429,\"description\":\"Too Many Requests: retry after "
          "5\",\"parameters\":{\"retry_after\":5}}",
          SEND_RETRY, 5000 },
        { 403, "{\"ok\":false,\"error_code\":403,\"description\":\"Forbidden: bot was blocked by the user\"}",
          SEND_UNREACHABLE, -1 },
        { 400, "{\"ok\":false,\"error_code\":400,\"description\":\"Bad Request: chat not found\"}", SEND_UNREACHABLE,
          -1 },
        { 400, "{\"ok\":false,\"error_code\":400,\"description\":\"Bad Request: message text is empty\"}", SEND_REFUSED,
          -1 },
        { 400, "{\"ok\":false,\"error_code\":400,\"description\":\"Bad Request: query is too old\"}", SEND_ACCEPTED,
          -1 },
        { 401, "{\"ok\":false,\"error_code\":401,\"description\":\"Unauthorized\"}", SEND_CHANNEL_DOWN, -1 },
        { 404, "{\"ok\":false,\"error_code\":404,\"description\":\"Not Found\"}", SEND_CHANNEL_DOWN, -1 },
        { 500, "{\"ok\":false,\"error_code\":500,\"description\":\"Internal Server Error\"}", SEND_RETRY, -1 },
        { 502, "<html>", SEND_UNKNOWN, -1 },
        { 404, "<html>", SEND_CHANNEL_DOWN, -1 },
        { 200, "", SEND_UNKNOWN, -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct send_result result = judged("telegram", cases[i].status, cases[i].body);
        if (result.verdict != cases[i].verdict) {
            print_error("case %zu: verdict %d\n", i, (int)result.verdict);
        }
        assert_int_equal(result.verdict, cases[i].verdict);
        assert_int_equal(result.retry_after_ms, cases[i].retry_after_ms);
    }
    assert_int_equal(judged("telegram", 429, cases[2].body).pause_ms, 1000);
    assert_int_equal(judged("telegram", 500, cases[9].body).pause_ms, 0);
    assert_string_equal(judged("telegram", 200, cases[0].body).provider_message_id, "99");
    struct send_result moved = judged("telegram", 400,
                                      "{\"ok\":false,\"error_code\":400,\"description\":\"group chat was "
                                      "upgraded\",\"parameters\":{\"migrate_to_chat_id\":-1001234567890}}");
    assert_int_equal(moved.verdict, SEND_RETRY);
    assert_string_equal(moved.new_address, "-1001234567890");
}

static void registers_with_every_kind_of_update(void **state)
{
    (void)state;
    json_t *settings CLEANUP(json_free) = json_loads(SETTINGS, 0, NULL);
    struct outgoing_request out = { .headers = { NULL } };
    assert_int_equal(channel_find("telegram")->registration("https://a/webhooks/tg", settings, &out, NULL), ERR_NONE);
    assert_string_equal(out.url.ptr, "http://sim/bot42:abc/setWebhook");
    json_t *body CLEANUP(json_free) = json_loads(out.body.ptr, 0, NULL);
    expect_at(body, "url", "https://a/webhooks/tg");
    expect_at(body, "secret_token", "Abc_1");
    expect_at(body, "max_connections", "40");
    assert_non_null(strstr(out.body.ptr, "\"message_reaction\""));
    assert_non_null(strstr(out.body.ptr, "\"chat_member\""));
    outgoing_request_done(&out);

    json_t *bad CLEANUP(json_free) = json_loads("{\"bot_token\":\"x\",\"secret_token\":\"has space\"}", 0, NULL);
    assert_int_equal(channel_find("telegram")->registration("https://a", bad, &out, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_each_method),
        cmocka_unit_test(answers_over_the_business_connection),
        cmocka_unit_test(keeps_the_limits),
        cmocka_unit_test(judges_answers),
        cmocka_unit_test(registers_with_every_kind_of_update),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
