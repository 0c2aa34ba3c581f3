/* Verification by sources of the kind hmac: each setting is followed, and what proves nothing is refused. */
#include "channel/signature_support.h"

static void follows_its_settings(void **state)
{
    (void)state;
    static const char *const all[] = {
        "{\"signing_secrets\":\"s\"}",
        "{\"signing_secrets\":\"s\",\"algorithm\":\"sha1\",\"header\":\"X-Hub-Signature\",\"prefix\":\"sha1=\"}",
        "{\"signing_secrets\":\"s\",\"algorithm\":\"SHA512\",\"encoding\":\"base64\"}",
        "{\"signing_secrets\":\"s\",\"encoding\":\"base64url\"}",
        "{\"signing_secrets\":\"s\",\"timestamp_header\":\"X-Time\"}",
        "{\"signing_secrets\":\"s\",\"timestamp_header\":\"X-Time\",\"signed\":\"v0:{timestamp}:{body}\",\"prefix\":\"v0=\"}",
        "{\"signing_secrets\":\"s\",\"timestamp_header\":\"X-Time\",\"time_format\":\"iso\",\"signed\":\"{timestamp}{body}\"}",
        "{\"signing_secrets\":\"s\",\"id_header\":\"X-Id\",\"signed\":\"{id}|{url}|{body}\"}",
        "{\"signing_secrets\":\"00ff\",\"secret_encoding\":\"hex\"}",
        "{\"signing_secrets\":\"AP8=\",\"secret_encoding\":\"base64\"}",
    };
    const struct channel_kind *kind = channel_find("hmac");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        json_t *settings CLEANUP(json_free) = json_loads(all[i], 0, NULL);
        assert_int_equal(kind->check(settings, NULL), ERR_NONE);
        struct webhook w = { .source = "s", .url = "https://u", .body = bytes_of(BODY), .now = TEST_NOW };
        struct buf lines CLEANUP(buf_done);
        buf_init(&lines, 4096);
        assert_int_equal(
            kind->sign_as_configured(&w, settings, bytes_of(json_str(settings, "signing_secrets")), &lines, NULL),
            ERR_NONE);
        struct webhook_header headers[3];
        size_t count = 0;
        for (char *rest = lines.ptr, *line; (line = strsep(&rest, "\n")) && *line;) {
            char *value = strstr(line, ": ");
            *value = '\0';
            headers[count++] = (struct webhook_header){ line, value + 2 };
        }
        w.headers = headers;
        w.header_count = count;
        struct error e = { .code = ERR_NONE };
        if (kind->verify(&w, settings, &e) != ERR_NONE) {
            fail_msg("%s: %s", all[i], e.text);
        }
        w.body.len--;
        assert_int_equal(kind->verify(&w, settings, NULL), ERR_DENIED);
        w.body.len++;
        w.now += 301000;
        assert_int_equal(kind->verify(&w, settings, NULL), strstr(all[i], "X-Time") ? ERR_DENIED : ERR_NONE);
        w.now -= 602000;
        assert_int_equal(kind->verify(&w, settings, NULL), strstr(all[i], "X-Time") ? ERR_DENIED : ERR_NONE);
    }
}

/* By Node: createHmac('sha256', 's').update(body).digest('base64url'). */
static void reads_each_encoding_by_its_name_only(void **state)
{
    (void)state;
    static const char body[] = "{\"n\":13}";
    static const char url[] = "{\"signing_secrets\":\"s\",\"encoding\":\"base64url\"}";
    static const char standard[] = "{\"signing_secrets\":\"s\",\"encoding\":\"base64\"}";
    static const char of_url[] = "4ziecsv5R8106xv0JqZ-Tt_RVMoUuLyb_etE_5o_igw";
    static const char of_standard[] = "4ziecsv5R8106xv0JqZ+Tt/RVMoUuLyb/etE/5o/igw";
    char padded[64];
    snprintf(padded, sizeof(padded), "%s=", of_url);
    VALID(.kind = "hmac", .settings = url, .body = body, .headers = { { "X-Signature", of_url } });
    VALID(.kind = "hmac", .settings = url, .body = body, .headers = { { "X-Signature", padded } });
    VALID(.kind = "hmac", .settings = standard, .body = body, .headers = { { "X-Signature", of_standard } });
    INVALID("", .kind = "hmac", .settings = url, .body = body, .headers = { { "X-Signature", of_standard } });
    INVALID("", .kind = "hmac", .settings = standard, .body = body, .headers = { { "X-Signature", of_url } });
    padded[10] = 'x';
    INVALID("", .kind = "hmac", .settings = url, .body = body, .headers = { { "X-Signature", padded } });
}

static void refuses_settings_that_prove_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *words;
    } wrong[] = {
        { "{\"algorithm\":\"md5\"}", "sha1, sha256, sha512" },
        { "{\"algorithm\":5}", "not a text" },
        { "{\"encoding\":\"base32\"}", "hex, base64, base64url" },
        { "{\"secret_encoding\":\"x\"}", "text, hex, base64" },
        { "{\"signed\":\"{timestamp}\",\"timestamp_header\":\"T\"}", "no {body}" },
        { "{\"signed\":\"{body}\",\"timestamp_header\":\"T\"}", "proves nothing" },
        { "{\"signed\":\"{timestamp}{body}\"}", "timestamp_header is not set" },
        { "{\"signed\":\"{id}{body}\"}", "id_header is not set" },
        { "{\"signed\":\"{nonce}{body}\"}", "unknown placeholder" },
        { "{\"signed\":\"{body}{body}{body}{body}{body}{body}{body}{body}{body}\"}", "too many" },
        { "{\"header\":\"\"}", "header is empty" },
        { "{\"tolerance\":\"soon\"}", "tolerance" },
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        json_t *settings CLEANUP(json_free) = json_loads(wrong[i].settings, 0, NULL);
        struct error e = { .code = ERR_NONE };
        assert_int_equal(channel_find("hmac")->check(settings, &e), ERR_INTERNAL);
        if (strstr(e.text, wrong[i].words) == NULL) {
            fail_msg("'%s' does not say '%s'", e.text, wrong[i].words);
        }
        struct webhook w = { .source = "s", .body = bytes_of("") };
        assert_int_equal(channel_find("hmac")->verify(&w, settings, NULL), ERR_INTERNAL);
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
        cmocka_unit_test(follows_its_settings),
        cmocka_unit_test(reads_each_encoding_by_its_name_only),
        cmocka_unit_test(refuses_settings_that_prove_nothing),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
