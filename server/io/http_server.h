/* HTTP/1.1 server by evhttp: limits, read deadline, strict guard, one answer for each request, clean drain.
 *
 * Owned by one loop. Each thread opens its own server on the same address (SO_REUSEPORT).
 */
#ifndef IO_HTTP_SERVER_H
#define IO_HTTP_SERVER_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

struct loop;
struct http_server;
struct http_request;

struct http_limits {
    size_t max_header_bytes; /* default 16 KiB */
    size_t max_body_bytes;   /* default 4 MiB */
    msec_t read_deadline_ms; /* for a whole request, from its first byte or accept; default 10 s */
    msec_t idle_ms;          /* between requests of a connection; default 60 s */
    size_t max_connections;  /* default 4096 */
};

/* Must answer the request exactly once, now or later, with http_answer(). */
typedef void http_handler(struct http_request *request, void *arg);

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits, http_handler *handler, void *arg);
/* `address` is "host:port", "[::1]:port" or "host:0"; `ret_port` may be NULL. */
err_t http_server_listen(struct http_server *server, const char *address, int *ret_port, struct error *reterr) MUST_CHECK;
/* Stops accepting, answers what is in flight with `Connection: close`, then calls `drained` once. */
void http_server_drain(struct http_server *server, void (*drained)(void *arg), void *arg);
void http_server_free(struct http_server *server);

/* What the request says; borrowed until it is answered. */
const char *http_method(const struct http_request *request);      /* "GET", "POST", … */
const char *http_path(const struct http_request *request);        /* decoded, without the query */
const char *http_query(const struct http_request *request, const char *name); /* decoded value, or NULL */
const char *http_header(const struct http_request *request, const char *name); /* first one, or NULL */
/* Calls `each` for every header, duplicates included. */
void http_each_header(const struct http_request *request, void (*each)(const char *name, const char *value, void *arg), void *arg);
struct bytes http_body(const struct http_request *request);
const char *http_peer(const struct http_request *request); /* address of the TCP peer */

/* `headers` is NULL or pairs of name and value ending with NULL. The body is copied. */
void http_answer(struct http_request *request, int status, const char *content_type, struct bytes body, const char *const *headers);

#endif
