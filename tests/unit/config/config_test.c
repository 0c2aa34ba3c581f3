#include "config/config.h"

#include "config/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/answerd config XXXXXX";
static char path[200];

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof(path), "%s/answerd.lua", directory);
    setenv("CONFIG_TEST_SET", "value", 1);
    setenv("CONFIG_TEST_EMPTY", "", 1);
    setenv("CONFIG_TEST_LINE", "value\r\n", 1);
    setenv("CONFIG_TEST_BLANK", "\n", 1);
    unsetenv("CONFIG_TEST_UNSET");
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    char secret[220];
    snprintf(secret, sizeof(secret), "%s/secret", directory);
    unlink(secret);
    unlink(path);
    return rmdir(directory);
}

static void write_file(const char *name, const char *text)
{
    char full[220];
    snprintf(full, sizeof(full), "%s/%s", directory, name);
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static struct config *load(const char *text)
{
    struct config *config = NULL;
    struct error e;
    write_file("answerd.lua", text);
    if (config_load(path, false, &config, &e))
        fail_msg("%s", e.text);
    return config;
}

/* The problems of a file as text, one a line. */
static char *problems_of(const char *text)
{
    struct config *config = NULL;
    struct error e;
    struct buf out;
    json_t *problems = json_array();
    write_file("answerd.lua", text);
    err_t err = config_read(path, false, problems, &config, &e);
    assert_non_null(config);
    config_free(config);
    assert_int_equal(err != ERR_NONE, json_array_size(problems) > 0);
    buf_init(&out, 100000);
    for (size_t i = 0; i < json_array_size(problems); i++)
        config_add_problem_text(&out, json_array_get(problems, i));
    json_decref(problems);
    char *result = buf_take(&out);
    return result ? result : strdup("");
}

static void expect_problem(const char *text, int line, const char *expected)
{
    char *problems = problems_of(text);
    char place[260];
    snprintf(place, sizeof(place), "%s:%d: error: ", path, line);
    if (!strstr(problems, expected) || !strstr(problems, place))
        fail_msg("%s\ngave:\n%sexpected line %d: %s", text, problems, line, expected);
    free(problems);
}

static void a_loop_makes_a_mistake_once(void **state)
{
    (void)state;
    char *problems = problems_of("for i = 1, 3 do sorce('a' .. i) end\nsorce('b')");
    const char *first = strstr(problems, "'sorce' is not defined");
    const char *second = first ? strstr(first + 1, "'sorce' is not defined") : NULL;
    if (!second || strstr(second + 1, "'sorce' is not defined"))
        fail_msg("%s", problems); /* one for each line */
    free(problems);
}

static void standard_values(void **state)
{
    (void)state;
    struct config *config = load("");
    assert_string_equal(config->http.listen, "0.0.0.0:8080");
    assert_string_equal(config->http.admin_listen, "127.0.0.1:8081");
    assert_int_equal(config->http.max_body_bytes, 4 * 1024 * 1024);
    assert_int_equal(config->http.read_deadline_ms, 10000);
    assert_string_equal(config->database.url, "");
    assert_int_equal(config->rules.max_instructions, 1000000);
    assert_false(config->deliver.allow_private_addresses);
    assert_int_equal(config->log.level, LOG_INFO);
    assert_int_equal(config->source_count, 0);
    char expected[220];
    snprintf(expected, sizeof(expected), "%s/rules", directory);
    assert_string_equal(config->rules.directory, expected);
    config_free(config);
}

/* A value that was made with `echo` ends with a line end; a secret with one matches nothing. */
static void line_ends_of_the_environment(void **state)
{
    (void)state;
    struct config *config = load("database { url = env \"CONFIG_TEST_LINE\" }");
    assert_string_equal(config->database.url, "value");
    config_free(config);
}

static void all_kinds_of_values(void **state)
{
    (void)state;
    write_file("secret", "top secret\n");
    struct config *config =
        load("local function listen(port) return '127.0.0.1:' .. port end\n"
             "http { listen = listen(9000), max_body = '64KiB', idle = '1m30s', max_connections = 7,\n"
             "       max_header = 2048, tls = { certificate = 'a.pem', key = '/b.pem' } }\n"
             "database { url = env('CONFIG_TEST_UNSET', 'postgres:///x') }\n"
             "engine { threads = '3' }\n"
             "deliver { allow_private_addresses = true, allowed_networks = { '10.1.0.0/16', '::1' } }\n"
             "rules { directory = '/srv/rules', max_memory = '128MiB' }\n"
             "retention { months = 13 }\n"
             "log { level = 'debug', json = true }\n"
             "source 'a' { kind = 'stripe', signing_secrets = { env 'CONFIG_TEST_SET', file 'secret' } }\n"
             "source \"b-2\" { kind = env('CONFIG_TEST_EMPTY', 'hmac'), nested = { x = 1, y = {} } }\n");
    assert_string_equal(config->http.listen, "127.0.0.1:9000");
    assert_int_equal(config->http.max_body_bytes, 65536);
    assert_int_equal(config->http.max_header_bytes, 2048);
    assert_int_equal(config->http.idle_ms, 90000);
    assert_int_equal(config->http.max_connections, 7);
    assert_string_equal(json_string_value(json_at(config->http.tls_keys, "0")), "/b.pem");
    assert_string_equal(strrchr(json_string_value(json_at(config->http.tls_certificates, "0")), '/'), "/a.pem");
    assert_string_equal(config->database.url, "postgres:///x");
    assert_int_equal(config->engine.threads, 3);
    assert_true(config->deliver.allow_private_addresses);
    assert_int_equal(config->deliver.allowed.count, 2);
    assert_int_equal(config->deliver.allowed.list[0].bits, 112);
    assert_string_equal(config->rules.directory, "/srv/rules");
    assert_int_equal(config->rules.max_memory_bytes, 128 * 1024 * 1024);
    assert_int_equal(config->retention.months, 13);
    assert_int_equal(config->log.level, LOG_DEBUG);
    assert_true(config->log.json);
    assert_int_equal(config->source_count, 2);
    const struct source_config *a = config_source(config, "a");
    assert_string_equal(a->kind, "stripe");
    assert_int_equal(a->line, 10);
    assert_string_equal(json_string_value(json_at(a->settings, "signing_secrets.0")), "value");
    assert_string_equal(json_string_value(json_at(a->settings, "signing_secrets.1")), "top secret");
    assert_non_null(config_source(config, "b-2"));
    assert_null(config_source(config, "c"));
    config_free(config);
}

static void addresses_of_the_database(void **state)
{
    (void)state;
    static const char *const readable[] = { "", "answerd", "postgres:///x",
                                            "postgresql://u:p%40w@h1:5432,h2:5433/name?sslmode=require",
                                            "host=/run/postgresql dbname=a password=\\'x y\\'" };
    static const char *const unreadable[] = { "postgress://user:sesame@host/name",
                                              "postgresql://user:ses@me@host/name",
                                              "postgresql://user:ses/ame@host/name",
                                              "postgresql://host/name?sslmod=require",
                                              "host=x pasword=sesame",
                                              "host=x password=ses ame" };
    char text[256];
    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++) {
        snprintf(text, sizeof(text), "database { url = '%s' }", readable[i]);
        config_free(load(text));
    }
    for (size_t i = 0; i < sizeof(unreadable) / sizeof(unreadable[0]); i++) {
        snprintf(text, sizeof(text), "http { public_url = '' }\ndatabase {\n  url = '%s' }", unreadable[i]);
        expect_problem(
            text, 3,
            "the address of the database cannot be read; it is not shown, for it may hold a password\nHINT: write");
    }
}

static void certificates_and_proxies(void **state)
{
    (void)state;
    struct config *config = load("http { tls = { certificate = { '/a.pem', '/b.pem' }, key = { '/a.key', '/b.key' },\n"
                                 "       minimum = '1.3' }, trusted_proxies = { '10.0.0.0/8', '::1' },\n"
                                 "       require_https = true }\n");
    assert_int_equal(json_array_size(config->http.tls_certificates), 2);
    assert_string_equal(json_string_value(json_at(config->http.tls_keys, "1")), "/b.key");
    assert_string_equal(config->http.tls_minimum, "1.3");
    assert_int_equal(config->http.proxies.count, 2);
    struct http_address address;
    assert_true(http_address_parse(bytes_of("10.1.2.3"), &address));
    assert_true(http_networks_have(&config->http.proxies, &address));
    assert_true(config->http.require_https);
    config_free(config);
    config = load("http { trusted_proxies = '192.0.2.7' }");
    assert_int_equal(config->http.proxies.count, 1);
    config_free(config);

    expect_problem("http { tls = { certificate = { 'a', 'b' }, key = 'x' } }", 1, "2 certificates and 1 key\nHINT");
    expect_problem("http { tls = { certificate = { 'a', 7 }, key = 'x' } }", 1, "a text, or a list of texts");
    expect_problem("http { tls = { minimum = '1.1' } }", 1, "http.tls.minimum must be 1.2 or 1.3");
    expect_problem("http {\n trusted_proxies = { '10.0.0.1/8' } }", 2, "bits after its prefix");
    expect_problem("http {\n trusted_proxies = { 'localhost' } }", 2, "no address or network");
    expect_problem("http { require_https = true }", 1, "would refuse everything");
}

static void problems_have_places(void **state)
{
    (void)state;
    expect_problem("http {\n  listen = '0.0.0.0:1',\n  max_bdy = '1MiB',\n}", 3,
                   "unknown setting http.max_bdy\nHINT: did you mean 'max_body'?");
    expect_problem("\nhttp { tls = { cert = 'x' } }", 2, "unknown setting http.tls.cert");
    expect_problem("http { tls = 'x' }", 1, "http.tls must be a table");
    expect_problem("http { tls = { key = 'x' } }", 1, "both a certificate and a key");
    expect_problem("htpp {}", 1, "'htpp' is not defined\nHINT: did you mean 'http'?");
    expect_problem("htpp { listen = 5 }\nsorce \"a\" { kind = \"stripe\" }\nengine { threads = 0 }", 3,
                   "engine.threads is out of range");
    expect_problem("engine { threads = 0 }\nsorce \"a\" { kind = \"stripe\" }", 2,
                   "'sorce' is not defined\nHINT: did you mean 'source'?");
    expect_problem("database { url = env \"CONFIG_TEST_BLANK\" }", 1,
                   "the environment variable CONFIG_TEST_BLANK is empty");
    expect_problem("http {}\nhttp {}", 2, "http was set before, in line 1");
    expect_problem("http 'x'", 1, "http takes a table");
    expect_problem("http { 'x' }", 1, "names and values");
    expect_problem("http { listen = 8080 }", 1, "http.listen must be a text");
    expect_problem("http { listen = '8080' }", 1, "http.listen must be an address and a port");
    expect_problem("http { listen = 'localhost:99999' }", 1, "must be an address and a port");
    expect_problem("http { public_url = 'hooks.example.com' }", 1, "must begin with https://");
    expect_problem("http { max_body = '1MB' }", 1, "must be a size");
    expect_problem("http { max_body = '1GiB' }", 1, "it may be from 1KiB to 64MiB");
    expect_problem("http { max_body = -1 }", 1, "out of range");
    expect_problem("http { idle = 10 }", 1, "must be a duration");
    expect_problem("http { idle = '10' }", 1, "must be a duration");
    expect_problem("http { idle = '100h' }", 1, "out of range");
    expect_problem("engine { threads = 0 }", 1, "it may be from 1 to 64");
    expect_problem("engine { threads = 1.5 }", 1, "must be a whole number");
    expect_problem("engine { threads = '2x' }", 1, "must be a whole number");
    expect_problem("deliver { allowed_networks = '10.0.0.1/8' }", 1, "has bits after its prefix");
    expect_problem("deliver { allow_private_addresses = 'yes' }", 1, "must be true or false");
    expect_problem("log { level = 'loud' }", 1, "must be debug, info, warn or error");
    expect_problem("retention { months = 1 }", 1, "at least 3");
    expect_problem("database { url = env 'CONFIG_TEST_UNSET' }", 1, "CONFIG_TEST_UNSET is not set");
    expect_problem("database { url = env 'CONFIG_TEST_EMPTY' }", 1, "CONFIG_TEST_EMPTY is empty");
    expect_problem("database { url = file '/nowhere/secret' }", 1, "cannot read '/nowhere/secret'");
    expect_problem("database { url = file '/' }", 1, "no ordinary file");
    expect_problem("source 'x' { }", 1, "has no kind");
    expect_problem("source 'x' 'y'", 1, "takes a table");
    expect_problem("\nsource 'x'\n", 2, "source \"x\" has no settings");
    expect_problem("source 'x' { kind = 'stripe' }\nsource 'x' { kind = 'stripe' }", 2,
                   "was declared before, in line 1");
    expect_problem("source 'A b' { kind = 'stripe' }", 1, "no name for a source");
    expect_problem("source '' { kind = 'stripe' }", 1, "no name for a source");
    expect_problem("source 'x' { kind = 'stripe', f = print }", 1, "a function cannot be stored");
    expect_problem("local x = = 1", 1, "unexpected symbol");
    expect_problem("local x = nil\nx.y = 1", 2, "attempt to index");
    expect_problem("x = 1", 1, "undeclared variable 'x'");
    expect_problem("io.open('x')", 1, "'io' is not available here");
    expect_problem("while true do end", 1, "budget");
    expect_problem("\n\nerror('no')", 3, "no");
}

/* What may be written for each kind, up to its bounds, which are said in its own unit. */
static void values_and_their_bounds(void **state)
{
    (void)state;
    struct config *config = load("http { max_body = '90KiB', max_header = '1048576B', require_https = false }\n"
                                 "ingest { batch_rows = 4096 }\n"
                                 "deliver { allow_private_addresses = 'false', poll = '10ms' }\n"
                                 "rules { watch = 'true', max_memory = '4GiB' }\n");
    assert_int_equal(config->http.max_body_bytes, 90 * 1024);
    assert_int_equal(config->http.max_header_bytes, 1024 * 1024);
    assert_int_equal(config->ingest.batch_rows, 4096);
    assert_int_equal(config->deliver.poll_ms, 10);
    assert_true(config->rules.max_memory_bytes == (size_t)4 << 30);
    assert_false(config->http.require_https || config->deliver.allow_private_addresses);
    assert_true(config->rules.watch);
    config_free(config);

    expect_problem("http { max_receiving = '65GiB' }", 1,
                   "http.max_receiving is out of range\nHINT: it may be from 1MiB to 64GiB");
    expect_problem("http { max_header = '1023' }", 1, "it may be from 1KiB to 1MiB");
    expect_problem("ingest { batch_rows = 4097 }", 1, "it may be from 1 to 4096");
    expect_problem("engine { poll = '9ms' }", 1, "it may be from 10ms to 1m");
    expect_problem("engine { threads = '2KiB' }", 1, "must be a whole number");
    expect_problem("http { max_body = '9007199254740992GiB' }", 1, "must be a size");
    expect_problem("http { require_https = 1 }", 1, "must be true or false");
    expect_problem("log { level = 5 }", 1, "must be debug, info, warn or error");
    expect_problem("http { trusted_proxies = { '::1', '' } }", 1, "a text, or a list of texts");

    struct buf many CLEANUP(buf_done);
    buf_init(&many, 10000);
    buf_add_text(&many, "http { trusted_proxies = {");
    for (int i = 0; i < 64; i++)
        buf_addf(&many, " '10.0.0.%d',", i);
    size_t full = many.len;
    buf_add_text(&many, "} }");
    config = load(many.ptr);
    assert_int_equal(config->http.proxies.count, 64);
    config_free(config);
    many.len = full;
    buf_add_text(&many, " '::1' } }");
    expect_problem(many.ptr, 1, "a text, or a list of texts");
}

static void names_that_nearly_fit_are_suggested(void **state)
{
    (void)state;
    expect_problem("http { tsl = {} }", 1, "unknown setting http.tsl\nHINT: did you mean 'tls'?");
    expect_problem("http { tls = { certificat = 'x' } }", 1,
                   "unknown setting http.tls.certificat\nHINT: did you mean 'certificate'?");
    expect_problem("http { tls = { idel = '1s' } }", 1, "unknown setting http.tls.idel");
    expect_problem("engine { pol = '1s' }", 1, "unknown setting engine.pol\nHINT: did you mean 'poll'?");
    expect_problem("process { staled_after = '1s' }", 1, "did you mean 'stalled_after'?");
}

static void all_problems_are_told(void **state)
{
    (void)state;
    char *problems =
        problems_of("http { listn = 'x', idle = 'y' }\nsource 'a' { kind = 'x', s = env 'CONFIG_TEST_UNSET' }\n"
                    "source 'b' { kind = 'x', s = env 'CONFIG_TEST_EMPTY' }\nerror('end')");
    assert_non_null(strstr(problems, "listn"));
    assert_non_null(strstr(problems, "http.idle"));
    assert_non_null(strstr(problems, "CONFIG_TEST_UNSET"));
    assert_non_null(strstr(problems, "CONFIG_TEST_EMPTY"));
    assert_non_null(strstr(problems, ":4: error: end"));
    free(problems);
    struct buf many;
    struct error e;
    struct config *config;
    buf_init(&many, 100000);
    for (int i = 0; i < 300; i++)
        buf_addf(&many, "source 'x%d' { kind = 'y', s = env 'CONFIG_TEST_UNSET' }\n", i);
    write_file("answerd.lua", many.ptr);
    assert_int_equal(config_load(path, false, &config, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "`answerd check` lists all"));
    buf_done(&many);
}

static void missing_files(void **state)
{
    (void)state;
    struct config *config;
    struct error e;
    assert_int_equal(config_load("/nowhere/answerd.lua", false, &config, &e), ERR_NOT_FOUND);
    assert_int_equal(config_load("/", false, &config, &e), ERR_INVALID);
}

static void sizes(void **state)
{
    (void)state;
    int64_t bytes = 0;
    assert_true(setting_read_size(BYTES_LITERAL("4MiB"), &bytes));
    assert_int_equal(bytes, 4 * 1024 * 1024);
    assert_true(setting_read_size(BYTES_LITERAL("17"), &bytes));
    assert_int_equal(bytes, 17);
    static const char *const wrong[] = {
        "", "MiB", "-1", "1 MiB", "1mb", "1.5MiB", "9999999999GiB", "99999999999999999999"
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(setting_read_size(bytes_of(wrong[i]), &bytes));
}

static void manual_names_every_setting(void **state)
{
    (void)state;
    struct buf manual;
    buf_init(&manual, 100000);
    config_print_manual(&manual);
    for (const struct setting *setting = settings; setting->section; setting++) {
        assert_non_null(strstr(manual.ptr, setting->name));
        assert_non_null(strstr(manual.ptr, setting->help));
    }
    buf_done(&manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_values),
        cmocka_unit_test(a_loop_makes_a_mistake_once),
        cmocka_unit_test(all_kinds_of_values),
        cmocka_unit_test(line_ends_of_the_environment),
        cmocka_unit_test(addresses_of_the_database),
        cmocka_unit_test(certificates_and_proxies),
        cmocka_unit_test(problems_have_places),
        cmocka_unit_test(values_and_their_bounds),
        cmocka_unit_test(names_that_nearly_fit_are_suggested),
        cmocka_unit_test(all_problems_are_told),
        cmocka_unit_test(missing_files),
        cmocka_unit_test(sizes),
        cmocka_unit_test(manual_names_every_setting),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
