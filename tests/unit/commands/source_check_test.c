#include "commands/source_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The problems of the sources in a configuration as text; NULL when it is right. */
static char *check(const char *text, bool dev)
{
    char path[] = "/tmp/answerd-sources-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct config *config;
    struct error e;
    if (config_load(path, dev, &config, &e))
        fail_msg("%s", e.text);
    json_t *problems = json_array();
    bool correct = sources_check(config, problems);
    assert_int_equal(correct, json_array_size(problems) == 0);
    struct buf out;
    buf_init(&out, 10000);
    for (size_t i = 0; i < json_array_size(problems); i++)
        config_add_problem_text(&out, json_array_get(problems, i));
    json_decref(problems);
    config_free(config);
    unlink(path);
    return buf_take(&out);
}

static void expect(const char *text, bool dev, const char *expected)
{
    char *problems = check(text, dev);
    if (!expected && problems && *problems)
        fail_msg("%s\ngave %s", text, problems);
    if (expected && (!problems || !strstr(problems, expected)))
        fail_msg("%s\ngave %s\nexpected %s", text, problems ? problems : "nothing", expected);
    free(problems);
}

static void right_sources(void **state)
{
    (void)state;
    expect("source 'w' { kind = 'whatsapp', app_secret = 's', verify_token = 'v', access_token = 'a', phone_number_id "
           "= '1' }",
           false, NULL);
    expect("source 'w' { kind = 'whatsapp', app_secrets = { 's', 't' }, verify_token = 'v' }", false, NULL);
    expect("source 's' { kind = 'stripe', signing_secrets = 'whsec_x', tolerance = '5m', per_second = 3 }", false,
           NULL);
    expect("source 's' { kind = 'stripe', signing_secrets = { 'a', 'b' } }", false, NULL);
    expect("source 't' { kind = 'telegram', secret_token = 's', bot_token = '' }", false, NULL);
    expect("source 't' { kind = 'telegram', secret_token = string.rep('aZ-_', 64), api_url = 'HTTP://127.0.0.1:8090' }",
           false, NULL);
    expect("source 't' { kind = 'telegram', secret_token = '0', api_url = '' }", false, NULL);
}

static void wrong_sources(void **state)
{
    (void)state;
    expect("source 'w' { kind = 'whatsap' }", false, "unknown kind 'whatsap'\nHINT: did you mean 'whatsapp'?");
    expect("source 'w' { kind = 'whatsapp', verify_token = 'v' }", false, "app_secret is missing");
    expect("source 'w' { kind = 'whatsapp', app_secret = '', verify_token = 'v' }", false, "app_secret is empty");
    expect("source 's' { kind = 'stripe' }", false, "signing_secrets is missing");
    expect("source 's' { kind = 'stripe', signing_secrets = {} }", false, "signing_secrets must be");
    expect("source 's' { kind = 'stripe', signing_secrets = { 'a', '' } }", false, "signing_secrets must be");
    expect("source 's' { kind = 'stripe', signing_secrets = 5 }", false, "signing_secrets must be");
    expect("source 's' { kind = 'stripe', signing_secretz = 'a' }", false, "did you mean 'signing_secrets'?");
    expect("source 's' { kind = 'stripe', signing_secrets = 'a', tolerance = 300 }", false,
           "tolerance must be a duration");
    expect("source 's' { kind = 'stripe', signing_secrets = 'a', per_second = 'x' }", false,
           "per_second must be a number");
    expect("source 't' { kind = 'telegram', secret_token = 'not this one' }", false,
           "Telegram does not take this secret_token\nHINT: a secret token has 1 to 256 letters");
    expect("source 't' { kind = 'telegram', secret_tokens = { 'good', 'b\\195\\164d' } }", false,
           "does not take this secret_token");
    expect("source 't' { kind = 'telegram', secret_token = string.rep('a', 257) }", false,
           "does not take this secret_token");
    expect("source 't' { kind = 'telegram', secret_token = 's', api_url = 'ftp://127.0.0.1' }", false,
           "source \"t\": api_url must be a URL that begins with https:// or http://");
    expect("source 't' { kind = 'telegram', secret_token = 's', api_url = 'https://' }", false,
           "api_url must be a URL");
    expect("source 'w' { kind = 'whatsapp', app_secret = 's', verify_token = 'v', api_url = 'graph.facebook.com' }",
           false, "api_url must be a URL");
    expect("\n\nsource 's' {\n  kind = 'stripe',\n  signing_secret = 'a' }", false, ":5: error: ");
}

static void no_unverified_sources(void **state)
{
    (void)state;
    expect("source 's' { kind = 'stripe', signing_secrets = 'a', unverified = true }", false, "refused");
    expect("source 's' { kind = 'stripe', unverified = true }", false, "refused");
    expect("source 's' { kind = 'stripe', unverified = true }", true, NULL);
    expect("source 's' { kind = 'stripe', unverified = false }", true, "signing_secrets is missing");
    expect("source 's' { kind = 'stripe' }", true, "signing_secrets is missing");
}

static void manual(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 100000);
    sources_print_manual(&out);
    assert_false(out.overflowed);
    assert_non_null(strstr(out.ptr, "kind = \"whatsapp\""));
    assert_non_null(strstr(out.ptr, "signing_secrets"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_sources),
        cmocka_unit_test(wrong_sources),
        cmocka_unit_test(no_unverified_sources),
        cmocka_unit_test(manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
