/* HTTP client by curl's multi interface: many transfers on one thread, with bounds on everything.
 *
 * Owned by one thread. http_client_wait() is where the thread sleeps; any thread may wake it.
 */
#ifndef IO_HTTP_CLIENT_H
#define IO_HTTP_CLIENT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

struct http_client;
struct http_networks;

void http_client_start(void); /* once, from main, before threads */

struct http_client_settings {
    size_t max_connections;        /* in all; default 64 */
    size_t max_host_connections;   /* default 16 */
    size_t max_answer_bytes;       /* the rest is cut and the transfer fails; default 64 KiB */
    bool forbid_private_addresses; /* for outgoing webhooks: refuse loopback, private, link-local, metadata addresses */
};

struct http_client *http_client_new(const struct http_client_settings *settings);
void http_client_free(struct http_client *client); /* transfers in flight are dropped without completion */

/* How a transfer ended. What a caller may do next depends on whether the request can have reached the other side. */
enum http_outcome {
    HTTP_ANSWERED, /* `status` and `body` are the answer */
    HTTP_NOT_SENT, /* surely never reached the other side: resolve, connect or TLS failed, or the guard refused */
    HTTP_UNKNOWN,  /* sent, but no complete answer: time-out, reset, answer too large */
};

struct http_exchange {
    enum http_outcome outcome;
    int status;
    struct bytes body;     /* borrowed during the callback */
    msec_t retry_after_ms; /* from Retry-After (seconds or date); -1 when absent */
    msec_t duration_ms;
    char error[256];      /* for a person; empty when answered; never holds the URL */
    bool refused_address; /* nothing was sent, for `forbid_private_addresses` */
};

typedef void http_client_done(const struct http_exchange *exchange, void *arg);

struct http_client_request {
    const char *method;         /* "POST" when NULL */
    const char *url;            /* http or https; no redirects are followed */
    const char *const *headers; /* "Name: value" lines ending with NULL; NULL for none */
    struct bytes body;          /* copied */
    msec_t timeout_ms;          /* in all, while the thread waits for it; default 15 s */
    bool forbid_private_addresses;
    const struct http_networks *allowed_networks; /* of private addresses; borrowed until it is done; may be NULL */
};

/* Starts a transfer; `done` is called exactly once, from http_client_wait(). */
void http_client_send(struct http_client *client, const struct http_client_request *request, http_client_done *done,
                      void *arg);
size_t http_client_in_flight(const struct http_client *client);

/* Sleeps until something happens or `timeout_ms` passes, and delivers completions. */
void http_client_wait(struct http_client *client, msec_t timeout_ms);
void http_client_wake(struct http_client *client); /* any thread */

#endif
