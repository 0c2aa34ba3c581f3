/* Which addresses outgoing webhooks may reach: however a private one is written, it stays private. */
#include "io/http_address.h"

#include "support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool is_public(const char *text)
{
    struct sockaddr_in ipv4 = { .sin_family = AF_INET };
    struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6 };
    if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1)
        return http_address_is_public((const struct sockaddr *)&ipv4);
    assert_int_equal(inet_pton(AF_INET6, text, &ipv6.sin6_addr), 1);
    return http_address_is_public((const struct sockaddr *)&ipv6);
}

static void private_addresses(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.0.170",
        "192.0.2.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "2001:db8::1",
        "3fff::1",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001::1",
        "fec0::1",
        "100::1",
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        if (is_public(addresses[i]))
            fail_msg("%s passes for public", addresses[i]);
}

static void public_addresses(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "1.1.1.1",          "8.8.8.8",         "9.255.255.255",   "11.0.0.1",       "100.63.255.255", "100.128.0.1",
        "126.255.255.255",  "128.0.0.1",       "169.253.255.255", "172.15.255.255", "172.32.0.1",     "192.167.255.255",
        "198.17.255.255",   "198.20.0.1",      "223.255.255.255", "2606:4700::1",   "2a00:1450::1",   "::ffff:8.8.8.8",
        "64:ff9b::808:808", "2002:808:808::1", "3fff:1000::1",
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        if (!is_public(addresses[i]))
            fail_msg("%s passes for private", addresses[i]);
}

static void other_families(void **state)
{
    (void)state;
    struct sockaddr_storage other = { .ss_family = AF_UNIX };
    assert_false(http_address_is_public((const struct sockaddr *)&other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(private_addresses),
        cmocka_unit_test(public_addresses),
        cmocka_unit_test(other_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
