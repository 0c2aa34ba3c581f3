/* What a failed send means for the next one: every code that the channels know, and every way to get no answer at all.
 * Taken for too little, a message goes out twice or a dead channel is hammered; for too much, it is lost. */
#include "channel/channel_support.h"

#include "base/macros.h"

#define SECOND_MS ((msec_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)

struct code_case {
    const char *kind;
    int code, subcode;
    enum send_verdict verdict;
    msec_t retry_after_ms, pause_ms;
};

static const struct code_case meta_codes[] = {
    { "whatsapp", 0, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 1, 0, SEND_RETRY, -1, 0 },
    { "whatsapp", 2, 0, SEND_RETRY, -1, 0 },
    { "whatsapp", 3, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 4, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },
    { "whatsapp", 5, 0, SEND_REFUSED, -1, 0 },
    { "whatsapp", 10, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 33, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 190, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 199, 0, SEND_REFUSED, -1, 0 },
    { "whatsapp", 200, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 299, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 300, 0, SEND_REFUSED, -1, 0 },
    { "whatsapp", 368, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 80007, 0, SEND_RETRY, HOUR_MS, 5 * MINUTE_MS },
    { "whatsapp", 130429, 0, SEND_RETRY, 5 * SECOND_MS, SECOND_MS },
    { "whatsapp", 131000, 0, SEND_RETRY, -1, 0 },
    { "whatsapp", 131005, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 131016, 0, SEND_RETRY, -1, 0 },
    { "whatsapp", 131026, 0, SEND_UNREACHABLE, -1, 0 },
    { "whatsapp", 131031, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 131037, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 131042, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 131045, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 131047, 0, SEND_REFUSED, -1, 0 },
    { "whatsapp", 131048, 0, SEND_RETRY, 4 * HOUR_MS, 0 },
    { "whatsapp", 131049, 0, SEND_RETRY, 24 * HOUR_MS, 0 },
    { "whatsapp", 131050, 0, SEND_OPTED_OUT, -1, 0 },
    { "whatsapp", 131056, 0, SEND_RETRY, 6 * SECOND_MS, 0 },
    { "whatsapp", 131057, 0, SEND_RETRY, MINUTE_MS, 20 * SECOND_MS },
    { "whatsapp", 131064, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 132015, 0, SEND_RETRY, 3 * HOUR_MS, 0 },
    { "whatsapp", 132069, 0, SEND_RETRY, HOUR_MS, 0 },
    { "whatsapp", 133004, 0, SEND_RETRY, -1, 0 },
    { "whatsapp", 133010, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "whatsapp", 133016, 0, SEND_RETRY, HOUR_MS, 0 },
    { "whatsapp", 134011, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "messenger", 1, 0, SEND_RETRY, -1, 0 },
    { "messenger", 2, 0, SEND_RETRY, -1, 0 },
    { "messenger", 4, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },
    { "messenger", 10, 2018278, SEND_REFUSED, -1, 0 },
    { "instagram", 10, 2534022, SEND_REFUSED, -1, 0 },
    { "messenger", 10, 1, SEND_CHANNEL_DOWN, -1, 0 },
    { "messenger", 17, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },
    { "messenger", 32, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },
    { "messenger", 100, 0, SEND_REFUSED, -1, 0 },
    { "messenger", 190, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "messenger", 200, 1545041, SEND_UNREACHABLE, -1, 0 },
    { "messenger", 200, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "messenger", 299, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "messenger", 368, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { "messenger", 551, 0, SEND_UNREACHABLE, -1, 0 },
    { "messenger", 613, 0, SEND_RETRY, MINUTE_MS, 20 * SECOND_MS },
    { "messenger", 80000, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },
    { "messenger", 80014, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },
    { "messenger", 80015, 0, SEND_REFUSED, -1, 0 },
};

static void every_code_of_meta(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(meta_codes); i++) {
        const struct code_case *c = &meta_codes[i];
        char body[128];
        snprintf(body, sizeof(body), "{\"error\":{\"message\":\"m\",\"code\":%d,\"error_subcode\":%d}}", c->code,
                 c->subcode);
        struct send_result result = judged(c->kind, 400, body);
        if (result.verdict != c->verdict || result.retry_after_ms != c->retry_after_ms ||
            result.pause_ms != c->pause_ms) {
            fail_msg("%s %d: verdict %d, again after %lld ms, a pause of %lld ms", c->kind, c->code,
                     (int)result.verdict, (long long)result.retry_after_ms, (long long)result.pause_ms);
        }
        assert_string_equal(result.reason, "m");
        assert_int_equal(result.alarming, c->code == 131048);
    }
}

static struct send_result judged_after(const char *kind, enum http_outcome outcome, int status, const char *body,
                                       msec_t retry_after_ms)
{
    struct http_exchange exchange = {
        .outcome = outcome, .status = status, .body = bytes_of(body), .retry_after_ms = retry_after_ms
    };
    snprintf(exchange.error, sizeof(exchange.error), "timed out");
    struct send_result result;
    channel_find(kind)->classify(&exchange, &result);
    return result;
}

/* What may have left is never sent again by itself; what did not leave is. */
static void no_answer_is_unknown_unless_nothing_left(void **state)
{
    (void)state;
    static const char *const kinds[] = { "whatsapp", "messenger", "instagram", "telegram" };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct send_result lost = judged_after(kinds[i], HTTP_UNKNOWN, 0, "", -1);
        assert_int_equal(lost.verdict, SEND_UNKNOWN);
        assert_string_equal(lost.reason, "timed out");
        assert_int_equal(judged_after(kinds[i], HTTP_NOT_SENT, 0, "", -1).verdict, SEND_RETRY);
    }
}

/* Something between us and the provider answered, or the answer was cut off. */
static void an_answer_of_another_form_goes_by_its_status(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum send_verdict meta, telegram;
    } cases[] = {
        { 199, "", SEND_CHANNEL_DOWN, SEND_UNKNOWN },
        { 200, "<html>", SEND_UNKNOWN, SEND_UNKNOWN },
        { 200, "{}", SEND_UNKNOWN, SEND_UNKNOWN },
        { 299, "", SEND_UNKNOWN, SEND_UNKNOWN },
        { 300, "", SEND_CHANNEL_DOWN, SEND_CHANNEL_DOWN },
        { 400, "{}", SEND_REFUSED, SEND_CHANNEL_DOWN },
        { 403, "<html>", SEND_CHANNEL_DOWN, SEND_CHANNEL_DOWN },
        { 408, "", SEND_RETRY, SEND_RETRY },
        { 413, "", SEND_REFUSED, SEND_CHANNEL_DOWN },
        { 425, "", SEND_RETRY, SEND_CHANNEL_DOWN },
        { 429, "", SEND_RETRY, SEND_RETRY },
        { 499, "", SEND_CHANNEL_DOWN, SEND_CHANNEL_DOWN },
        { 500, "{}", SEND_UNKNOWN, SEND_UNKNOWN },
        { 502, "<html>", SEND_UNKNOWN, SEND_UNKNOWN },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum send_verdict meta = judged("whatsapp", cases[i].status, cases[i].body).verdict;
        enum send_verdict telegram = judged("telegram", cases[i].status, cases[i].body).verdict;
        if (meta != cases[i].meta || telegram != cases[i].telegram) {
            fail_msg("%d '%s': %d and %d", cases[i].status, cases[i].body, (int)meta, (int)telegram);
        }
    }
    /* The id is what statuses are found by: without one nothing is known, and with one only what was taken. */
    assert_int_equal(judged("whatsapp", 200, "{\"messages\":[{\"id\":\"\"}]}").verdict, SEND_UNKNOWN);
    assert_int_equal(judged("whatsapp", 500, "{\"messages\":[{\"id\":\"w\"}]}").verdict, SEND_UNKNOWN);
    assert_int_equal(judged("whatsapp", 199, "{\"messages\":[{\"id\":\"w\"}]}").verdict, SEND_CHANNEL_DOWN);
    assert_int_equal(judged("whatsapp", 300, "{\"messages\":[{\"id\":\"w\"}]}").verdict, SEND_CHANNEL_DOWN);
    /* People read why. */
    assert_string_equal(judged("whatsapp", 200, "{}").reason, "the answer does not say whether the message was taken");
    assert_string_equal(judged("whatsapp", 429, "").reason, "asked to try again later");
    assert_string_equal(judged("whatsapp", 413, "").reason, "refused without a reason");
    assert_non_null(strstr(judged("whatsapp", 404, "").reason, "check api_url and the credentials"));
}

static void a_code_that_nobody_knows_goes_by_its_status(void **state)
{
    (void)state;
    static const char body[] = "{\"error\":{\"code\":999999}}";
    assert_int_equal(judged("whatsapp", 400, body).verdict, SEND_REFUSED);
    assert_int_equal(judged("whatsapp", 401, body).verdict, SEND_CHANNEL_DOWN);
    assert_int_equal(judged("whatsapp", 429, body).verdict, SEND_RETRY);
    assert_int_equal(judged("whatsapp", 500, body).verdict, SEND_RETRY);
    assert_string_equal(judged("whatsapp", 400, body).reason, "no reason was given");
}

/* The longer of what the header asks for and what the code is known to need. */
static void what_the_provider_asks_for_is_kept(void **state)
{
    (void)state;
    static const char pair_rate[] = "{\"error\":{\"code\":131056}}";
    assert_int_equal(judged_after("whatsapp", HTTP_ANSWERED, 400, pair_rate, 60000).retry_after_ms, 60000);
    assert_int_equal(judged_after("whatsapp", HTTP_ANSWERED, 400, pair_rate, 1000).retry_after_ms, 6000);
    assert_int_equal(judged_after("whatsapp", HTTP_ANSWERED, 429, "", 7000).retry_after_ms, 7000);
    assert_int_equal(judged_after("telegram", HTTP_ANSWERED, 429, "", 7000).retry_after_ms, 7000);
}

#define SAYS(code, text) "{\"ok\":false,\"error_code\":" #code ",\"description\":\"" text "\"}"

static void what_telegram_says(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum send_verdict verdict;
        const char *code;
    } cases[] = {
        { 400, SAYS(400, "Bad Request: chat not found"), SEND_UNREACHABLE, "400" },
        { 400, SAYS(400, "Bad Request: CHAT NOT FOUND"), SEND_UNREACHABLE, "400" },
        { 400, SAYS(400, "Bad Request: user not found"), SEND_UNREACHABLE, "400" },
        { 400, SAYS(400, "Bad Request: user is deactivated"), SEND_UNREACHABLE, "400" },
        { 400, SAYS(400, "Bad Request: PEER_ID_INVALID"), SEND_UNREACHABLE, "400" },
        { 403, SAYS(403, "Forbidden: bot was blocked by the user"), SEND_UNREACHABLE, "403" },
        { 400, SAYS(400, "Bad Request: message is not modified"), SEND_ACCEPTED, "400" },
        { 400, SAYS(400, "Bad Request: query is too old"), SEND_ACCEPTED, "400" },
        { 400, SAYS(400, "Bad Request: can't parse entities"), SEND_REFUSED, "400" },
        { 409, SAYS(409, "Conflict"), SEND_RETRY, "409" },
        { 500, SAYS(500, "Internal Server Error"), SEND_RETRY, "500" },
        /* Its own code counts before the status; without one the status does. */
        { 200, SAYS(429, "Too Many Requests"), SEND_RETRY, "429" },
        { 401, "{\"ok\":false}", SEND_CHANNEL_DOWN, "401" },
        { 429, "{\"ok\":false}", SEND_RETRY, "429" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct send_result result = judged("telegram", cases[i].status, cases[i].body);
        if (result.verdict != cases[i].verdict) {
            fail_msg("%s: verdict %d", cases[i].body, (int)result.verdict);
        }
        assert_string_equal(result.code, cases[i].code);
    }
    assert_string_equal(judged("telegram", 409, cases[9].body).reason, "Conflict");
}

static void telegram_names_the_wait(void **state)
{
    (void)state;
#define WAIT(seconds) "{\"ok\":false,\"error_code\":429,\"parameters\":{\"retry_after\":" #seconds "}}"
    assert_int_equal(judged("telegram", 429, WAIT(0)).retry_after_ms, 0);
    assert_int_equal(judged("telegram", 429, WAIT(86399)).retry_after_ms, 86399000);
    /* Not a day or more, nor a time in the past: that is no answer, so the schedule counts. */
    assert_int_equal(judged("telegram", 429, WAIT(86400)).retry_after_ms, -1);
    assert_int_equal(judged("telegram", 429, WAIT(-5)).retry_after_ms, -1);
    /* A group has moved: at once to its new number, whatever the header says. */
    static const char moved[] = "{\"ok\":false,\"error_code\":400,\"parameters\":{\"migrate_to_chat_id\":-100}}";
    struct send_result result = judged_after("telegram", HTTP_ANSWERED, 400, moved, 9000);
    assert_int_equal(result.verdict, SEND_RETRY);
    assert_int_equal(result.retry_after_ms, 0);
    assert_string_equal(result.new_address, "-100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_of_meta),
        cmocka_unit_test(no_answer_is_unknown_unless_nothing_left),
        cmocka_unit_test(an_answer_of_another_form_goes_by_its_status),
        cmocka_unit_test(a_code_that_nobody_knows_goes_by_its_status),
        cmocka_unit_test(what_the_provider_asks_for_is_kept),
        cmocka_unit_test(what_telegram_says),
        cmocka_unit_test(telegram_names_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
