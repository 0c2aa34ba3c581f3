/* For http_server.c and http_room.c alone. */
#ifndef IO_HTTP_TLS_INTERNAL_H
#define IO_HTTP_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "io/http_tls.h"

/* The server's side of a new connection, with the certificates of this moment. */
SSL *http_tls_accept(struct http_tls *tls);
/* Has the client sent the first byte of its handshake? */
bool http_tls_has_begun(SSL *ssl);

#endif
