#include "io/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"

/* IANA IPv4 Special-Purpose Address Registry, without the entries that are globally reachable. */
static bool ipv4_is_public(uint32_t address)
{
    static const struct {
        uint32_t network;
        unsigned bits;
    } special[] = {
        { 0x00000000, 8 },  /* 0.0.0.0/8 this network */
        { 0x0a000000, 8 },  /* 10.0.0.0/8 private */
        { 0x64400000, 10 }, /* 100.64.0.0/10 shared by carriers */
        { 0x7f000000, 8 },  /* 127.0.0.0/8 loopback */
        { 0xa9fe0000, 16 }, /* 169.254.0.0/16 link-local, metadata */
        { 0xac100000, 12 }, /* 172.16.0.0/12 private */
        { 0xc0000000, 24 }, /* 192.0.0.0/24 protocol assignments */
        { 0xc0000200, 24 }, /* 192.0.2.0/24 documentation */
        { 0xc0a80000, 16 }, /* 192.168.0.0/16 private */
        { 0xc6120000, 15 }, /* 198.18.0.0/15 benchmarks */
        { 0xc6336400, 24 }, /* 198.51.100.0/24 documentation */
        { 0xcb007100, 24 }, /* 203.0.113.0/24 documentation */
        { 0xe0000000, 3 },  /* 224.0.0.0/3 multicast, reserved, broadcast */
    };
    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        if ((address ^ special[i].network) >> (32 - special[i].bits) == 0)
            return false;
    return true;
}

static uint32_t ipv4_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool ipv6_is_public(const unsigned char *a)
{
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return ipv4_is_public(ipv4_at(a + 12));
    if (a[0] == 0x20 && a[1] == 0x02) /* 2002::/16, IPv4 in the next four bytes */
        return ipv4_is_public(ipv4_at(a + 2));
    /* All that is assigned for the Internet is in 2000::/3; documentation and Teredo are inside of it. */
    bool global = (a[0] & 0xe0) == 0x20;
    bool documentation = (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8) || /* 2001:db8::/32 */
                         (a[0] == 0x3f && a[1] == 0xff && (a[2] & 0xf0) == 0);             /* 3fff::/20 */
    bool teredo = a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x00 && a[3] == 0x00;
    return global && !documentation && !teredo;
}

bool http_address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in ipv4;
        memcpy(&ipv4, address, sizeof(ipv4));
        return ipv4_is_public(ntohl(ipv4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 ipv6;
        memcpy(&ipv6, address, sizeof(ipv6));
        return ipv6_is_public(ipv6.sin6_addr.s6_addr);
    }
    return false;
}
