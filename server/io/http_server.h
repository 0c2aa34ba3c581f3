/* HTTP/1.1 server by evhttp: limits, read deadline, strict guard, one answer for each request, clean drain.
 *
 * Owned by one loop. For several threads, each opens its own server; the second and later ones join the address.
 */
#ifndef IO_HTTP_SERVER_H
#define IO_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

struct loop;
struct http_networks;
struct http_server;
struct http_request;
struct http_tls;

struct http_limits {
    size_t max_header_bytes;    /* default 16 KiB */
    size_t max_body_bytes;      /* default 4 MiB */
    msec_t read_deadline_ms;    /* for a whole request, from its first byte or accept; default 10 s */
    msec_t idle_ms;             /* between requests of a connection; default 60 s */
    size_t max_connections;     /* default 4096; then the silent, the idle and the slow make room, see http_room.c */
    size_t max_receiving_bytes; /* of requests that are not complete, together; the largest one goes; default 256 MiB */
};

/* Must answer the request exactly once, now or later, with http_answer(). Requests whose framing is ambiguous, and
 * those beyond the limits, were answered before and never get here. Methods we do not know are called "UNKNOWN". */
typedef void http_handler(struct http_request *request, void *arg);

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits, http_handler *handler,
                                    void *arg);
/* Speaks TLS on the addresses that are listened on afterwards; `tls` is borrowed and may be shared. Plain HTTP there is
 * told so (400) and closed. */
void http_server_use_tls(struct http_server *server, struct http_tls *tls);
/* Believes X-Forwarded-For and X-Forwarded-Proto of these peers (borrowed), and of no others. */
void http_server_trust_proxies(struct http_server *server, const struct http_networks *proxies);
/* `address` is "host:port", "[::1]:port" or "host:0"; `ret_port` may be NULL. */
err_t http_server_listen(struct http_server *server, const char *address, int *ret_port,
                         struct error *reterr) MUST_CHECK;
/* Joins another server of this process on an address that http_server_listen() took: the kernel spreads connections. */
err_t http_server_listen_shared(struct http_server *server, const char *address, struct error *reterr) MUST_CHECK;
/* Stops accepting, closes idle connections, answers what is in flight with `Connection: close`; when the last answer
 * has left (or its client has) calls `drained` once, later. A request that is being received may still come in. */
void http_server_drain(struct http_server *server, void (*drained)(void *arg), void *arg);
void http_server_free(struct http_server *server); /* requests that were not answered are dropped */
size_t http_server_connections(const struct http_server *server);
size_t http_server_receiving_bytes(const struct http_server *server); /* of requests that are not complete */

/* What it had to do for want of room, from its start on. */
struct http_pressure {
    uint64_t closed;         /* connections, for others to come in */
    uint64_t failed_accepts; /* there was no descriptor, or no memory, for one more */
};
struct http_pressure http_server_pressure(const struct http_server *server);

/* What the request says; borrowed until it is answered. */
const char *http_method(const struct http_request *request);                  /* "GET", "POST", … */
const char *http_path(const struct http_request *request);                    /* decoded, without the query */
const char *http_query(const struct http_request *request, const char *name); /* decoded value, or NULL */
/* Calls `each` for every parameter of the query, decoded, duplicates included. */
void http_each_query(const struct http_request *request, void (*each)(const char *name, const char *value, void *arg),
                     void *arg);
/* Why the two above do not show all of it: a constant text; NULL when they do. */
const char *http_query_problem(const struct http_request *request);
const char *http_header(const struct http_request *request, const char *name); /* first one, or NULL */
/* Calls `each` for every header, duplicates included. */
void http_each_header(const struct http_request *request, void (*each)(const char *name, const char *value, void *arg),
                      void *arg);
struct bytes http_body(const struct http_request *request);
/* Address of the client: of the TCP peer, or what proxies that are trusted say. */
const char *http_peer(const struct http_request *request);
/* Did the client come by HTTPS: by TLS to us, or to a proxy that is trusted? */
bool http_is_https(const struct http_request *request);

/* `headers` is NULL or pairs of name and value ending with NULL. The body is copied. */
void http_answer(struct http_request *request, int status, const char *content_type, struct bytes body,
                 const char *const *headers);

#endif
