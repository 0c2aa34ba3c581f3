/* Pure: networks, and what a proxy says of the client that it stands before.
 *
 * X-Forwarded-For and X-Forwarded-Proto are text that anybody can send. They count only when the TCP peer is a proxy of
 * ours, and of a list only the part that such proxies added: it is read from the right, until the first address that is
 * none of them.
 */
#ifndef IO_HTTP_FORWARDED_H
#define IO_HTTP_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

/* Any address in 16 bytes; IPv4 as IPv4-mapped IPv6, so that both ways of writing one are equal. */
struct http_address {
    unsigned char bytes[16];
};

struct http_network {
    struct http_address first;
    unsigned bits; /* of the 128 that must be equal */
};

#define HTTP_ADDRESS_TEXT_SIZE 48

struct sockaddr;

/* False when it is of another family than IPv4 and IPv6. */
bool http_address_of(const struct sockaddr *address, struct http_address *ret_address);

/* An IPv4 or IPv6 address; also "address:port", "[address]:port" and with a zone ("%eth0"), as proxies write them. */
bool http_address_parse(struct bytes text, struct http_address *ret_address);
void http_address_print(const struct http_address *address, char ret_text[HTTP_ADDRESS_TEXT_SIZE]);

/* "10.0.0.0/8", "fd00::/8", or one address. ERR_INVALID also when bits after the prefix are set. */
err_t http_network_parse(struct bytes text, struct http_network *ret_network, struct error *reterr) MUST_CHECK;
bool http_network_has(const struct http_network *network, const struct http_address *address);

struct http_networks {
    struct http_network *list;
    size_t count;
};
bool http_networks_have(const struct http_networks *networks, const struct http_address *address);

/* The client's address by the X-Forwarded-For of all header lines joined by commas (empty when there is none), when the
 * request came from `peer`. */
struct http_address http_forwarded_client(const struct http_networks *proxies, const struct http_address *peer,
                                          struct bytes forwarded_for);
/* Did the client come by HTTPS, by the X-Forwarded-Proto of a trusted peer? The last one of several counts. */
bool http_forwarded_is_https(struct bytes forwarded_proto);

#endif
