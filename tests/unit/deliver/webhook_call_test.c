#include "deliver/webhook_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h> /* needs those above */

#include "base/text.h"
#include "io/crypto.h"

#define NOW ((msec_t)1614265330000)
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    assert_int_equal(json_parse(bytes_of(text), &json, NULL), ERR_NONE);
    return json;
}

/* The value of the header line that starts with `name`. */
static const char *header(const struct outgoing_request *call, const char *name)
{
    for (size_t i = 0; call->headers[i] != NULL; i++) {
        if (strncmp(call->headers[i], name, strlen(name)) == 0) {
            return call->headers[i] + strlen(name);
        }
    }
    return NULL;
}

static err_t render(const char *request_text, const char *endpoint_text, struct outgoing_request *call)
{
    json_t *request = parse(request_text);
    json_t *endpoint = parse(endpoint_text);
    memset(call, 0, sizeof(*call));
    err_t err = webhook_call_render(4711, request, endpoint, NOW, call, NULL);
    json_decref(request);
    json_decref(endpoint);
    return err;
}

static void add_expected_signature(struct buf *out, const char *base64_key, const struct outgoing_request *call)
{
    struct buf key;
    buf_init(&key, 100);
    assert_true(text_decode_base64(bytes_of(base64_key), &key));
    const struct bytes parts[] = { BYTES_LITERAL("msg_4711.1614265330."), buf_bytes(&call->body) };
    unsigned char mac[SHA256_SIZE];
    crypto_hmac(HASH_SHA256, buf_bytes(&key), parts, 2, mac);
    buf_add_text(out, " v1,");
    text_encode_base64((struct bytes){ (const char *)mac, sizeof(mac) }, out);
    buf_done(&key);
}

static void signs_with_every_secret(void **state)
{
    (void)state;
    struct outgoing_request call;
    assert_int_equal(render("{\"type\":\"ticket.opened\",\"body\":{\"id\":7}}",
                            "{\"url\":\"https://crm.example/hook\",\"secrets\":[\"" SECRET
                            "\",\"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"]}",
                            &call),
                     ERR_NONE);
    assert_string_equal(call.url.ptr, "https://crm.example/hook");
    assert_string_equal(call.body.ptr,
                        "{\"type\":\"ticket.opened\",\"timestamp\":\"2021-02-25T15:02:10.000Z\",\"data\":{\"id\":7}}");
    assert_string_equal(header(&call, "webhook-id: "), "msg_4711");
    assert_string_equal(header(&call, "webhook-timestamp: "), "1614265330");
    struct buf expected;
    buf_init(&expected, 500);
    add_expected_signature(&expected, SECRET + strlen("whsec_"), &call);
    add_expected_signature(&expected, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", &call);
    assert_string_equal(header(&call, "webhook-signature:"), expected.ptr);
    buf_done(&expected);
    outgoing_request_done(&call);
}

/* What does not say that it is base64 is the key itself. */
static void signs_with_a_secret_as_it_stands(void **state)
{
    (void)state;
    struct outgoing_request call;
    assert_int_equal(render("{}", "{\"url\":\"https://crm.example/\",\"secrets\":\"plain secret\"}", &call), ERR_NONE);
    struct buf expected;
    buf_init(&expected, 500);
    add_expected_signature(&expected, "cGxhaW4gc2VjcmV0", &call);
    assert_string_equal(header(&call, "webhook-signature:"), expected.ptr);
    assert_string_equal(header(&call, "Content-Type: "), "application/json");
    buf_done(&expected);
    outgoing_request_done(&call);
}

/* A part of a document would be signed as if it were all of it. */
static void refuses_what_is_too_large(void **state)
{
    (void)state;
    struct buf request;
    buf_init(&request, (size_t)512 * 1024);
    buf_add_text(&request, "{\"body\":{\"text\":\"");
    for (int i = 0; i < 256 * 1024; i++) {
        buf_add_char(&request, 'x');
    }
    buf_add_text(&request, "\"}}");
    struct outgoing_request call;
    assert_int_equal(render(request.ptr, "{\"url\":\"https://crm.example/\",\"secrets\":[\"" SECRET "\"]}", &call),
                     ERR_TOO_BIG);
    outgoing_request_done(&call);
    buf_done(&request);
}

static void refuses_what_it_cannot_sign(void **state)
{
    (void)state;
    struct outgoing_request call;
    assert_int_equal(render("{}", "{\"url\":\"https://crm.example/\"}", &call), ERR_INVALID);
    outgoing_request_done(&call);
    assert_int_equal(render("{}", "{\"secrets\":[\"" SECRET "\"]}", &call), ERR_INVALID);
    outgoing_request_done(&call);
    assert_int_equal(render("{}", "{\"url\":\"https://crm.example/\",\"secrets\":[\"whsec_!!\"]}", &call), ERR_INVALID);
    outgoing_request_done(&call);
    /* Anybody could sign with nothing. */
    assert_int_equal(render("{}", "{\"url\":\"https://crm.example/\",\"secrets\":[\"whsec_\"]}", &call), ERR_INVALID);
    outgoing_request_done(&call);
    assert_int_equal(render("{}", "{\"url\":\"https://crm.example/\",\"secrets\":\"\"}", &call), ERR_INVALID);
    outgoing_request_done(&call);
}

static void expect(struct http_exchange exchange, enum send_verdict verdict, bool gone, msec_t pause_ms)
{
    struct send_result result;
    bool is_gone = !gone;
    webhook_call_classify(&exchange, &result, &is_gone);
    assert_int_equal(result.verdict, verdict);
    assert_int_equal(is_gone, gone);
    assert_int_equal(result.pause_ms, pause_ms);
}
#define ANSWER(code, asked_ms)                                                                                         \
    (struct http_exchange)                                                                                             \
    {                                                                                                                  \
        .outcome = HTTP_ANSWERED, .status = (code), .retry_after_ms = (asked_ms)                                       \
    }

static void classifies_answers(void **state)
{
    (void)state;
    expect(ANSWER(204, -1), SEND_ACCEPTED, false, 0);
    expect(ANSWER(199, -1), SEND_RETRY, false, 0);
    expect(ANSWER(200, -1), SEND_ACCEPTED, false, 0);
    expect(ANSWER(300, -1), SEND_RETRY, false, 0);
    expect(ANSWER(505, -1), SEND_RETRY, false, 0);
    expect(ANSWER(302, -1), SEND_RETRY, false, 0);
    expect(ANSWER(400, -1), SEND_RETRY, false, 0);
    expect(ANSWER(500, -1), SEND_RETRY, false, 0); /* of this one: others may be taken */
    expect(ANSWER(410, -1), SEND_REFUSED, true, 0);
    static const int busy[] = { 429, 502, 503, 504 };
    for (size_t i = 0; i < ARRAY_LEN(busy); i++) {
        expect(ANSWER(busy[i], -1), SEND_RETRY, false, 5000);
    }
    expect(ANSWER(429, 1000), SEND_RETRY, false, 5000);
    expect(ANSWER(429, 90000), SEND_RETRY, false, 90000);
    expect(ANSWER(503, 86400000), SEND_RETRY, false, 300000);
    /* The receiver knows the id: a second delivery does no harm. */
    expect((struct http_exchange){ .outcome = HTTP_UNKNOWN }, SEND_RETRY, false, 5000);
    expect((struct http_exchange){ .outcome = HTTP_NOT_SENT }, SEND_RETRY, false, 5000);
}

static void tells_what_was_answered(void **state)
{
    (void)state;
    struct send_result result;
    bool gone;
    webhook_call_classify(&ANSWER(404, -1), &result, &gone);
    assert_string_equal(result.code, "404");
    assert_string_equal(result.reason, "the endpoint answered 404");
    struct http_exchange unanswered = { .outcome = HTTP_UNKNOWN, .error = "cut off" };
    webhook_call_classify(&unanswered, &result, &gone);
    assert_string_equal(result.code, "");
    assert_string_equal(result.reason, "cut off");
    unanswered.refused_address = true;
    webhook_call_classify(&unanswered, &result, &gone);
    assert_non_null(strstr(result.reason, "cut off\nHINT: deliver { allowed_networks = "));
}

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_with_every_secret),   cmocka_unit_test(signs_with_a_secret_as_it_stands),
        cmocka_unit_test(refuses_what_is_too_large), cmocka_unit_test(refuses_what_it_cannot_sign),
        cmocka_unit_test(classifies_answers),        cmocka_unit_test(tells_what_was_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
