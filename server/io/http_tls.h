/* Certificates of a server that speaks TLS, shared by its threads, and loaded again while connections go on.
 *
 * TLS 1.2 and later, with forward secrecy and authenticated encryption only. With several certificates the name that a
 * client asks for (SNI) chooses: the first one whose certificate holds that name; none, or no name: the first.
 */
#ifndef IO_HTTP_TLS_H
#define IO_HTTP_TLS_H

#include "base/clock.h"
#include "base/error.h"

struct http_tls;

struct http_tls_files {
    const char *certificate; /* PEM, the chain, the server's own first */
    const char *key;         /* PEM, without a passphrase */
};

#define HTTP_TLS_MAX_CERTIFICATES 64

/* `files` is copied; there is at least one. ERR_INVALID names the file that cannot be used. */
err_t http_tls_new(const struct http_tls_files *files, size_t count, bool only_1_3, struct http_tls **ret_tls,
                   struct error *reterr) MUST_CHECK;

/* Reads the files again, for the handshakes to come; connections that are open stay as they are. When one file cannot
 * be used, all certificates stay. Any thread. */
err_t http_tls_reload(struct http_tls *tls, struct error *reterr) MUST_CHECK;

/* When the certificate `index` (in the order given) ends to be valid; false beyond the last one. Any thread. */
bool http_tls_expires_at(struct http_tls *tls, size_t index, const char **ret_file, msec_t *ret_at);

void http_tls_free(struct http_tls *tls); /* NULL is fine; connections that are open keep what they need */

#endif
