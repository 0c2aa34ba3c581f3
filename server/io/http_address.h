/* Pure: which addresses may an outgoing webhook reach? */
#ifndef IO_HTTP_ADDRESS_H
#define IO_HTTP_ADDRESS_H

#include <stdbool.h>

struct sockaddr;

/* True for addresses of the public Internet. False for loopback, private, shared, link-local (cloud metadata lives
 * there), multicast and reserved ones, also when they are wrapped in IPv6. */
bool http_address_is_public(const struct sockaddr *address);

#endif
