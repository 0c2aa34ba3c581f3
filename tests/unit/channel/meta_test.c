#include "channel/channel_support.h"

#include "base/text.h"

static err_t verify(const char *settings, const char *body, const char *const *signatures, struct error *e)
{
    json_t *parsed CLEANUP(json_free) = json_loads(settings, 0, NULL);
    assert_non_null(parsed);
    struct webhook_header headers[4];
    size_t count = 0;
    for (; signatures[count]; count++) {
        headers[count] =
            (struct webhook_header){ count % 2 ? "x-hub-signature-256" : "X-Hub-Signature-256", signatures[count] };
    }
    struct webhook w = { .method = "POST", .headers = headers, .header_count = count, .body = bytes_of(body) };
    return channel_find("whatsapp")->verify(&w, parsed, e);
}

static char *signature_of(const char *secret, const char *body)
{
    struct webhook w = { .method = "POST", .body = bytes_of(body) };
    struct buf headers;
    buf_init(&headers, 1024);
    assert_int_equal(channel_find("meta")->sign(&w, bytes_of(secret), &headers, NULL), ERR_NONE);
    assert_memory_equal(headers.ptr, "X-Hub-Signature-256: sha256=", 28);
    headers.ptr[headers.len - 1] = '\0';
    char *value = strdup(headers.ptr + strlen("X-Hub-Signature-256: "));
    buf_done(&headers);
    return value;
}

/* RFC 4231, test case 2: a signature that this program did not compute. */
#define RFC_KEY "{\"app_secret\":\"Jefe\"}"
#define RFC_BODY "what do ya want for nothing?"
#define RFC_MAC "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
#define RFC_MAC_UPPER "5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843"
#define WRONG_MAC "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3844"

static void accepts_only_the_right_signature(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        const char *signatures[3];
        err_t expected;
    } cases[] = {
        { RFC_KEY, { "sha256=" RFC_MAC }, ERR_NONE },
        { RFC_KEY, { "sha256=" RFC_MAC_UPPER }, ERR_NONE },
        { RFC_KEY, { " sha256=" RFC_MAC " " }, ERR_NONE },
        { RFC_KEY, { "sha256=" WRONG_MAC, "sha256=" RFC_MAC }, ERR_NONE },
        { RFC_KEY, { "sha256=" WRONG_MAC ", sha256=" RFC_MAC }, ERR_NONE },
        { RFC_KEY, { "sha256=" RFC_MAC ",sha256=" WRONG_MAC }, ERR_NONE },
        { RFC_KEY, { "," }, ERR_DENIED },
        { "{\"app_secret\":[\"old\",\"Jefe\"]}", { "sha256=" RFC_MAC }, ERR_NONE },
        { "{\"app_secret\":\"new\",\"app_secrets\":[\"Jefe\"]}", { "sha256=" RFC_MAC }, ERR_NONE },
        { RFC_KEY, { "sha256=" WRONG_MAC }, ERR_DENIED },
        { RFC_KEY, { RFC_MAC }, ERR_DENIED },
        { RFC_KEY, { "sha1=" RFC_MAC }, ERR_DENIED },
        { RFC_KEY, { "sha256=" RFC_MAC "00" }, ERR_DENIED },
        { RFC_KEY, { "sha256=" }, ERR_DENIED },
        { RFC_KEY, { "" }, ERR_DENIED },
        { RFC_KEY, { NULL }, ERR_DENIED },
        { "{\"app_secret\":\"\"}", { "sha256=" RFC_MAC }, ERR_DENIED },
        { "{\"app_secret\":[]}", { "sha256=" RFC_MAC }, ERR_DENIED },
        { "{}", { "sha256=" RFC_MAC }, ERR_DENIED },
        { "{\"app_secret\":7}", { "sha256=" RFC_MAC }, ERR_DENIED },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = { .code = ERR_NONE };
        const char *const signatures[] = { cases[i].signatures[0], cases[i].signatures[1], NULL };
        err_t verdict = verify(cases[i].settings, RFC_BODY, signatures, &e);
        if (verdict != cases[i].expected) {
            print_error("case %zu: %s\n", i, e.text);
        }
        assert_int_equal(verdict, cases[i].expected);
    }
}

static void an_empty_secret_signs_and_verifies_nothing(void **state)
{
    (void)state;
    unsigned char mac[SHA256_SIZE];
    struct bytes body = bytes_of("{}");
    crypto_hmac(HASH_SHA256, bytes_of(""), &body, 1, mac);
    struct buf value CLEANUP(buf_done);
    buf_init(&value, 256);
    buf_add_text(&value, "sha256=");
    text_encode_hex((struct bytes){ (const char *)mac, sizeof(mac) }, &value);
    const char *const signatures[] = { value.ptr, NULL };
    assert_int_equal(verify("{\"app_secret\":\"\"}", "{}", signatures, NULL), ERR_DENIED);

    struct webhook w = { .body = body };
    struct buf headers CLEANUP(buf_done);
    buf_init(&headers, 256);
    assert_int_not_equal(channel_find("whatsapp")->sign(&w, bytes_of(""), &headers, NULL), ERR_NONE);
}

static void a_body_that_a_proxy_unescaped_still_verifies(void **state)
{
    (void)state;
    char *signature = signature_of("s", "{\"t\":\"na\\u00efve \\ud83d\\ude00\"}");
    const char *const signatures[] = { signature, NULL };
    assert_int_equal(verify("{\"app_secret\":\"s\"}", "{\"t\":\"na\xc3\xafve \xf0\x9f\x98\x80\"}", signatures, NULL),
                     ERR_NONE);
    assert_int_equal(verify("{\"app_secret\":\"s\"}", "{\"t\":\"na\xc3\xafve \xf0\x9f\x98\x81\"}", signatures, NULL),
                     ERR_DENIED);
    assert_int_equal(verify("{\"app_secret\":\"s\"}", "{\"t\":\"na\xffve\"}", signatures, NULL), ERR_DENIED);
    free(signature);
}

static err_t shake(const char *mode, const char *token, const char *challenge, struct buf *answer)
{
    json_t *settings CLEANUP(json_free) = json_loads("{\"verify_token\":\"a+b c\"}", 0, NULL);
    buf_init(answer, 1024);
    return channel_find("instagram")->handshake(mode, token, challenge, settings, answer);
}

static void the_handshake_answers_the_challenge(void **state)
{
    (void)state;
    char long_challenge[400];
    memset(long_challenge, '1', sizeof(long_challenge));
    long_challenge[sizeof(long_challenge) - 1] = '\0';
    struct buf answer;
    assert_int_equal(shake("subscribe", "a+b c", "1158201444", &answer), ERR_NONE);
    assert_string_equal(answer.ptr, "1158201444");
    buf_done(&answer);
    assert_int_equal(shake("subscribe", "a+b d", "1", &answer), ERR_DENIED);
    buf_done(&answer);
    assert_int_equal(shake("unsubscribe", "a+b c", "1", &answer), ERR_DENIED);
    buf_done(&answer);
    assert_int_equal(shake("subscribe", NULL, "1", &answer), ERR_DENIED);
    buf_done(&answer);
    assert_int_equal(shake("subscribe", "a+b c", NULL, &answer), ERR_DENIED);
    buf_done(&answer);
    assert_int_equal(shake("subscribe", "a+b c", long_challenge, &answer), ERR_DENIED);
    buf_done(&answer);
    json_t *empty CLEANUP(json_free) = json_loads("{\"verify_token\":\"\"}", 0, NULL);
    buf_init(&answer, 16);
    assert_int_equal(channel_find("whatsapp")->handshake("subscribe", "", "1", empty, &answer), ERR_DENIED);
    buf_done(&answer);
}

static void the_kind_meta_reads_all_three_products(void **state)
{
    (void)state;
    json_t *page = events_of(
        "meta", NULL,
        "{\"object\":\"page\",\"entry\":[{\"id\":\"1\",\"messaging\":[{\"sender\":{\"id\":\"7\"},"
        "\"recipient\":{\"id\":\"1\"},\"timestamp\":1795420799000,\"message\":{\"mid\":\"m\",\"text\":\"x\"}}]}]}");
    expect_at(page, "0.provider", "messenger");
    json_decref(page);
    json_t *instagram = events_of("meta", NULL,
                                  "{\"object\":\"instagram\",\"entry\":[{\"messaging\":[{\"sender\":{\"id\":\"7\"},"
                                  "\"message\":{\"mid\":\"m\"}}]}]}");
    expect_at(instagram, "0.contact.identities.0", "instagram:7");
    json_decref(instagram);
}

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_only_the_right_signature),
        cmocka_unit_test(an_empty_secret_signs_and_verifies_nothing),
        cmocka_unit_test(a_body_that_a_proxy_unescaped_still_verifies),
        cmocka_unit_test(the_handshake_answers_the_challenge),
        cmocka_unit_test(the_kind_meta_reads_all_three_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
