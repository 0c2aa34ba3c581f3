/* What http_server.c, http_request.c, http_refusal.c and http_room.c share; for them alone. */
#ifndef IO_HTTP_INTERNAL_H
#define IO_HTTP_INTERNAL_H

#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "io/http_forwarded.h"
#include "io/http_guard.h"
#include "io/http_server.h"
#include "io/loop.h"

#define HTTP_MAX_LISTENERS 4
#define HTTP_BACKLOG 1024 /* clients that the kernel keeps while nobody accepts them */

enum connection_state {
    CONNECTION_NEW,       /* accepted, no byte yet */
    CONNECTION_RECEIVING, /* part of a request is here */
    CONNECTION_ANSWERING, /* with the handler, no deadline */
    CONNECTION_SENDING,   /* the answer is on its way out */
    CONNECTION_IDLE,      /* between requests */
    CONNECTION_REFUSED,   /* taken out of evhttp's hands */
};

struct connection {
    struct http_server *server;
    struct bufferevent *bufferevent; /* we hold a reference */
    enum connection_state state;
    msec_t deadline;              /* on the steady clock; 0 for none */
    size_t received;              /* bytes in its input, counted in the server's sum */
    struct http_request *request; /* while with the handler */
    struct http_guard guard;
    uint64_t requests; /* that evhttp has completed */
    bool has_peer;
    struct http_address peer;               /* when it has one */
    char peer_text[HTTP_ADDRESS_TEXT_SIZE]; /* "" until its first request, then its address or "?" */
    struct {
        bufferevent_data_cb read;
        bufferevent_data_cb write;
        bufferevent_event_cb event;
        void *arg;
    } evhttp; /* its callbacks, while it is refused */
    struct connection *previous;
    struct connection *next;
    struct connection *next_in_bucket;
};

struct http_server {
    struct loop *loop;
    struct http_limits limits;
    http_handler *handler;
    void *arg;
    struct evhttp *evhttp;
    struct evhttp_bound_socket *listeners[HTTP_MAX_LISTENERS];
    size_t listener_count;
    bool paused;             /* listeners are off because there is no room for a connection */
    unsigned failed_accepts; /* of this thread, of which it knows */
    struct http_pressure pressure;
    struct http_tls *tls;                /* borrowed; NULL for plain HTTP */
    const struct http_networks *proxies; /* borrowed; may be NULL */
    struct loop_timer *sweep;
    struct connection *connections; /* newest first */
    size_t connection_count;
    size_t receiving_bytes;      /* in the input of all connections */
    struct connection **buckets; /* by bufferevent */
    size_t bucket_count;         /* a power of two */
    time_t date_at;              /* the second that `date` says */
    char date[32];
    bool draining;
    void (*drained)(void *arg);
    void *drained_arg;
};

struct http_request {
    struct connection *connection; /* NULL when it closed before the answer */
    struct evhttp_request *evhttp;
    char *path;
    char peer[HTTP_ADDRESS_TEXT_SIZE];
    bool https;
    struct {
        char *name;
        char *value;
    } * query;
    size_t query_count;
    const char *query_problem;
};

/* The connection that a bufferevent belongs to; NULL when it was released. */
struct connection *http_connection_of(const struct http_server *server, const struct bufferevent *bufferevent);

/* Has evhttp close it, soon. */
void http_connection_close(struct connection *connection);

/* evhttp's callback when it closes a connection that has had a request. */
void http_connection_closed(struct evhttp_connection *evcon, void *server);

/* Shows the guard what was added to the input of a connection, and answers in evhttp's place what it refuses. */
void http_refusal_look(struct connection *connection, struct evbuffer *input, size_t added);
/* What was let pass is answered, and behind it comes what is refused: is this the last answer? */
bool http_refusal_follows(const struct connection *connection);

/* As many connections as may be are there: the listeners rest, and somebody goes. */
void http_room_is_full(struct http_server *server);
/* A connection went: the listeners begin again if they rested. */
void http_room_is_left(struct http_server *server);
/* With each sweep: looks whether accepting failed, and makes room while somebody may wait for it. */
void http_room_sweep(struct http_server *server);
/* libevent's callback when it cannot accept. */
void http_room_accept_failed(struct evconnlistener *listener, void *arg);

/* The standard text of a status. */
const char *http_reason_phrase(int status);

/* evhttp's callback for each complete request (http_request.c). */
void http_request_received(struct evhttp_request *request, void *server);
void http_request_free(struct http_request *request);

#endif
