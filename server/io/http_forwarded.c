#include "io/http_forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool is_ipv4(const struct http_address *address)
{
    return memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
}

static bool parse_bare(struct bytes text, struct http_address *ret_address)
{
    char copy[INET6_ADDRSTRLEN + 1];
    const char *zone = text.len > 0 ? memchr(text.ptr, '%', text.len) : NULL;
    if (zone)
        text.len = (size_t)(zone - text.ptr);
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    struct http_address address;
    if (inet_pton(AF_INET6, copy, address.bytes) == 1) {
        *ret_address = address;
        return true;
    }
    memcpy(address.bytes, mapped, sizeof(mapped));
    if (zone || inet_pton(AF_INET, copy, address.bytes + sizeof(mapped)) != 1)
        return false;
    *ret_address = address;
    return true;
}

static bool is_port(struct bytes text)
{
    uint64_t port;
    return text_to_u64(text, &port) && port <= 65535;
}

bool http_address_parse(struct bytes text, struct http_address *ret_address)
{
    if (text.len > 0 && text.ptr[0] == '[') {
        const char *end = memchr(text.ptr, ']', text.len);
        if (!end)
            return false;
        struct bytes rest = { end + 1, text.len - (size_t)(end + 1 - text.ptr) };
        if (rest.len > 0 && (rest.ptr[0] != ':' || !is_port((struct bytes){ rest.ptr + 1, rest.len - 1 })))
            return false;
        return parse_bare((struct bytes){ text.ptr + 1, (size_t)(end - text.ptr) - 1 }, ret_address);
    }
    const char *colon = text.len > 0 ? memchr(text.ptr, ':', text.len) : NULL;
    size_t after = colon ? text.len - (size_t)(colon + 1 - text.ptr) : 0;
    /* One colon is an IPv4 address with its port, several are IPv6. */
    if (colon && !memchr(colon + 1, ':', after))
        return is_port((struct bytes){ colon + 1, after }) &&
               parse_bare((struct bytes){ text.ptr, (size_t)(colon - text.ptr) }, ret_address);
    return parse_bare(text, ret_address);
}

bool http_address_of(const struct sockaddr *address, struct http_address *ret_address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in ipv4;
        memcpy(&ipv4, address, sizeof(ipv4));
        memcpy(ret_address->bytes, mapped, sizeof(mapped));
        memcpy(ret_address->bytes + sizeof(mapped), &ipv4.sin_addr, sizeof(ipv4.sin_addr));
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 ipv6;
        memcpy(&ipv6, address, sizeof(ipv6));
        memcpy(ret_address->bytes, &ipv6.sin6_addr, sizeof(ipv6.sin6_addr));
        return true;
    }
    return false;
}

void http_address_print(const struct http_address *address, char ret_text[HTTP_ADDRESS_TEXT_SIZE])
{
    bool ipv4 = is_ipv4(address);
    if (!inet_ntop(ipv4 ? AF_INET : AF_INET6, address->bytes + (ipv4 ? sizeof(mapped) : 0), ret_text,
                   HTTP_ADDRESS_TEXT_SIZE))
        snprintf(ret_text, HTTP_ADDRESS_TEXT_SIZE, "?");
}

bool http_network_has(const struct http_network *network, const struct http_address *address)
{
    size_t whole = network->bits / 8;
    unsigned rest = network->bits % 8;
    if (memcmp(network->first.bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || (network->first.bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

err_t http_network_parse(struct bytes text, struct http_network *ret_network, struct error *reterr)
{
    static const char hint[] = "\nHINT: for example 10.0.0.0/8, 192.0.2.7 or fd00::/8";
    struct bytes rest = text;
    struct bytes first = text_next_field(&rest, '/');
    struct http_network network = { .bits = 128 };
    uint64_t bits;
    if (!parse_bare(first, &network.first))
        return fail(reterr, ERR_INVALID, "'%.*s' is no address or network%s", (int)(text.len < 80 ? text.len : 80),
                    text.ptr ? text.ptr : "", hint);
    if (first.len < text.len) {
        unsigned longest = is_ipv4(&network.first) ? 32 : 128;
        if (!text_to_u64(rest, &bits) || bits > longest)
            return fail(reterr, ERR_INVALID, "'%.*s' has no prefix length of 0 to %u%s",
                        (int)(text.len < 80 ? text.len : 80), text.ptr, longest, hint);
        network.bits = (unsigned)bits + 128 - longest;
    }
    for (unsigned bit = network.bits; bit < 128; bit++)
        if (network.first.bytes[bit / 8] & (0x80 >> bit % 8))
            return fail(reterr, ERR_INVALID, "'%.*s' has bits after its prefix%s", (int)(text.len < 80 ? text.len : 80),
                        text.ptr, hint);
    *ret_network = network;
    return ERR_NONE;
}

bool http_networks_have(const struct http_networks *networks, const struct http_address *address)
{
    for (size_t i = 0; networks && i < networks->count; i++)
        if (http_network_has(&networks->list[i], address))
            return true;
    return false;
}

/* Cuts the last element off a list. False when there is none. */
static bool take_last(struct bytes *list, struct bytes *ret_element)
{
    if (list->len == 0)
        return false;
    size_t start = list->len;
    while (start > 0 && list->ptr[start - 1] != ',')
        start--;
    *ret_element = text_trim((struct bytes){ list->ptr + start, list->len - start });
    list->len = start > 0 ? start - 1 : 0;
    return true;
}

struct http_address http_forwarded_client(const struct http_networks *proxies, const struct http_address *peer,
                                          struct bytes forwarded_for)
{
    struct http_address client = *peer;
    struct bytes element;
    struct http_address next;
    while (http_networks_have(proxies, &client) && take_last(&forwarded_for, &element)) {
        /* What cannot be read was not written by a proxy of ours; behind it all is hearsay. */
        if (!http_address_parse(element, &next))
            break;
        client = next;
    }
    return client;
}

bool http_forwarded_is_https(struct bytes forwarded_proto)
{
    struct bytes last;
    return take_last(&forwarded_proto, &last) && text_equal_ignore_case(last, BYTES_LITERAL("https"));
}
