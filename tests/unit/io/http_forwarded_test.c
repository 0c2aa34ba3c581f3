/* Networks, and which client a proxy speaks for. */
#include "io/http_forwarded.h"

#include "support.h"

#include <stdio.h>
#include <string.h>

static struct http_network network(const char *text)
{
    struct http_network found;
    struct error e;
    if (http_network_parse(bytes_of(text), &found, &e) != ERR_NONE)
        fail_msg("%s: %s", text, e.text);
    return found;
}

static struct http_address address(const char *text)
{
    struct http_address found;
    if (!http_address_parse(bytes_of(text), &found))
        fail_msg("%s is no address", text);
    return found;
}

static void addresses_as_proxies_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *printed; /* NULL: refused */
    } cases[] = {
        { "192.0.2.7", "192.0.2.7" },
        { "192.0.2.7:8080", "192.0.2.7" },
        { "::ffff:192.0.2.7", "192.0.2.7" },
        { "2001:DB8::7", "2001:db8::7" },
        { "[2001:db8::7]", "2001:db8::7" },
        { "[2001:db8::7]:443", "2001:db8::7" },
        { "fe80::1%eth0", "fe80::1" },
        { "", NULL },
        { "unknown", NULL },
        { "_hidden", NULL },
        { "192.0.2", NULL },
        { "192.0.2.7:", NULL },
        { "192.0.2.7:http", NULL },
        { "192.0.2.7:65536", NULL },
        { "192.0.2.7%eth0", NULL },
        { "[::1", NULL },
        { "[::1]x", NULL },
        { "[]", NULL },
        { "1:2:3", NULL },
        { "0x7f.0.0.1", NULL },
        { "999999999999999999999999999999999999999999999999999999999999", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_address found;
        char printed[HTTP_ADDRESS_TEXT_SIZE];
        bool read = http_address_parse(bytes_of(cases[i].text), &found);
        if (read != (cases[i].printed != NULL))
            fail_msg("'%s' was %s", cases[i].text, read ? "taken" : "refused");
        if (!read)
            continue;
        http_address_print(&found, printed);
        assert_string_equal(printed, cases[i].printed);
    }
    struct http_address found;
    assert_false(http_address_parse((struct bytes){ "::1\0x", 5 }, &found));
}

static void networks(void **state)
{
    (void)state;
    static const struct {
        const char *network;
        const char *address;
        bool inside;
    } cases[] = {
        { "10.0.0.0/8", "10.255.255.255", true },
        { "10.0.0.0/8", "11.0.0.0", false },
        { "10.0.0.0/8", "::ffff:10.1.1.1", true },
        { "192.0.2.7", "192.0.2.7", true },
        { "192.0.2.7", "192.0.2.6", false },
        { "192.0.2.6/31", "192.0.2.7", true },
        { "0.0.0.0/0", "203.0.113.1", true },
        { "0.0.0.0/0", "2001:db8::1", false },
        { "::/0", "2001:db8::1", true },
        { "fd00::/8", "fd12:3456::1", true },
        { "fd00::/8", "fe00::1", false },
        { "2001:db8::/33", "2001:db8:7fff::1", true },
        { "2001:db8::/33", "2001:db8:8000::1", false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_network n = network(cases[i].network);
        struct http_address a = address(cases[i].address);
        if (http_network_has(&n, &a) != cases[i].inside)
            fail_msg("%s in %s", cases[i].address, cases[i].network);
    }
    static const char *const wrong[] = { "",           "/8",      "10.0.0.0/",    "10.0.0.0/33", "10.0.0.0/-1",
                                         "10.0.0.1/8", "::1/127", "10.0.0.0/8/8", "localhost",   "::/129",
                                         "10.0.0.0/8 " };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct http_network n;
        struct error e;
        if (http_network_parse(bytes_of(wrong[i]), &n, &e) != ERR_INVALID)
            fail_msg("'%s' was taken", wrong[i]);
        assert_non_null(strstr(e.text, "\nHINT: "));
    }
}

static void the_client_behind_proxies(void **state)
{
    (void)state;
    struct http_network list[] = { network("10.0.0.0/8"), network("2001:db8::1") };
    const struct http_networks proxies = { list, 2 };
    static const struct {
        const char *peer;
        const char *forwarded;
        const char *client;
    } cases[] = {
        { "203.0.113.9", "198.51.100.1", "203.0.113.9" }, /* no proxy of ours: what it says counts for nothing */
        { "10.0.0.1", "", "10.0.0.1" },
        { "10.0.0.1", "198.51.100.1", "198.51.100.1" },
        { "10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1" }, /* the client made up the first one */
        { "10.0.0.1", "1.2.3.4,198.51.100.1 , 10.0.0.2", "198.51.100.1" },
        { "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3" },
        { "10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1" },
        { "10.0.0.1", "198.51.100.1,", "10.0.0.1" },
        { "10.0.0.1", ",,,", "10.0.0.1" },
        { "2001:db8::1", "[2001:db8::9]:1234", "2001:db8::9" },
        { "2001:db8::2", "198.51.100.1", "2001:db8::2" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char printed[HTTP_ADDRESS_TEXT_SIZE];
        struct http_address peer = address(cases[i].peer);
        struct http_address client = http_forwarded_client(&proxies, &peer, bytes_of(cases[i].forwarded));
        http_address_print(&client, printed);
        if (strcmp(printed, cases[i].client) != 0)
            fail_msg("%s by %s: %s", cases[i].forwarded, cases[i].peer, printed);
    }
    struct http_address peer = address("10.0.0.1");
    struct http_address client = http_forwarded_client(NULL, &peer, bytes_of("198.51.100.1"));
    assert_memory_equal(&client, &peer, sizeof(peer));
}

static void the_way_it_came(void **state)
{
    (void)state;
    assert_true(http_forwarded_is_https(bytes_of("https")));
    assert_true(http_forwarded_is_https(bytes_of("HTTPS")));
    assert_true(http_forwarded_is_https(bytes_of("http, https")));
    assert_false(http_forwarded_is_https(bytes_of("https, http")));
    assert_false(http_forwarded_is_https(bytes_of("")));
    assert_false(http_forwarded_is_https(bytes_of("httpss")));
    assert_false(http_forwarded_is_https(bytes_of("https,")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_as_proxies_write_them),
        cmocka_unit_test(networks),
        cmocka_unit_test(the_client_behind_proxies),
        cmocka_unit_test(the_way_it_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
