/* What evhttp 2.1 lacks is added around it here; what it does not check is in http_guard.c, and http_refusal.c answers
 * it. Who goes when there are too many is in http_room.c.
 *
 * A read deadline: its own time-out is for each read, so that a byte a second keeps a connection for ever. We make the
 * bufferevent of each connection ourselves, hold a reference to it, and look through the connections four times a
 * second. One whose time is over gets a time-out event, and evhttp closes it by its own path.
 */
#include "io/http_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/http_tls_internal.h"

#define SWEEP_MS 250
#define SWEEP_WHEN_PRESSED_MS 25 /* somebody waits for a connection to go */

/* --- connections ------------------------------------------------------------------------------------------------ */

static struct connection **bucket_of(const struct http_server *server, const struct bufferevent *bufferevent)
{
    return &server->buckets[((uintptr_t)bufferevent >> 6) & (server->bucket_count - 1)];
}

struct connection *http_connection_of(const struct http_server *server, const struct bufferevent *bufferevent)
{
    struct connection *c = *bucket_of(server, bufferevent);
    while (c && c->bufferevent != bufferevent)
        c = c->next_in_bucket;
    return c;
}

static void input_changed(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg);

/* Gives our reference back; with the last one the socket is closed. */
static void connection_release(struct connection *c)
{
    struct http_server *server = c->server;
    if (c->request)
        c->request->connection = NULL; /* it will be answered into the void */
    struct connection **at = bucket_of(server, c->bufferevent);
    while (*at != c)
        at = &(*at)->next_in_bucket;
    *at = c->next_in_bucket;
    if (c->previous)
        c->previous->next = c->next;
    else
        server->connections = c->next;
    if (c->next)
        c->next->previous = c->previous;
    server->connection_count--;
    server->receiving_bytes -= c->received;
    evbuffer_remove_cb(bufferevent_get_input(c->bufferevent), input_changed, c);
    bufferevent_decref(c->bufferevent);
    free(c);
    http_room_is_left(server);
}

void http_connection_close(struct connection *c)
{
    c->deadline = 0;
    bufferevent_trigger_event(c->bufferevent, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, BEV_TRIG_DEFER_CALLBACKS);
}

/* Bodies that nobody has verified yet take memory: when they are too much together, the largest one goes. */
static void close_largest(struct http_server *server)
{
    struct connection *largest = NULL;
    for (struct connection *c = server->connections; c; c = c->next)
        if (c->state == CONNECTION_RECEIVING && c->deadline != 0 && (!largest || c->received > largest->received))
            largest = c;
    if (largest)
        http_connection_close(largest);
}

/* The clock of a request starts with its first byte, the one of a connection when it is accepted. */
static void input_changed(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct connection *c = arg;
    c->received += info->n_added - info->n_deleted;
    c->server->receiving_bytes += info->n_added - info->n_deleted;
    if (info->n_added == 0)
        return;
    if (c->state == CONNECTION_REFUSED) {
        evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    if (c->state == CONNECTION_IDLE)
        c->deadline = clock_steady() + c->server->limits.read_deadline_ms;
    if (c->state == CONNECTION_IDLE || c->state == CONNECTION_NEW)
        c->state = CONNECTION_RECEIVING;
    http_refusal_look(c, input, info->n_added);
    if (c->server->receiving_bytes > c->server->limits.max_receiving_bytes)
        close_largest(c->server);
}

static struct bufferevent *connection_accepted(struct event_base *base, void *arg)
{
    struct http_server *server = arg;
    struct bufferevent *bufferevent;
    if (server->tls) {
        bufferevent = bufferevent_openssl_socket_new(base, -1, http_tls_accept(server->tls), BUFFEREVENT_SSL_ACCEPTING,
                                                     BEV_OPT_CLOSE_ON_FREE);
        /* Many clients close without saying so in TLS; nothing depends on it, because lengths are explicit. */
        if (bufferevent)
            bufferevent_openssl_set_allow_dirty_shutdown(bufferevent, 1);
    } else {
        /* Without CLOSE_ON_FREE evhttp would close the descriptor under our reference. */
        bufferevent = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    }
    if (!bufferevent)
        abort();
    struct connection *c = memory_new(sizeof(*c));
    c->server = server;
    c->bufferevent = bufferevent;
    bufferevent_incref(bufferevent);
    c->state = CONNECTION_NEW;
    http_guard_init(&c->guard, server->limits.max_header_bytes, server->limits.max_body_bytes);
    c->deadline = clock_steady() + server->limits.read_deadline_ms;
    evbuffer_add_cb(bufferevent_get_input(bufferevent), input_changed, c);
    c->next = server->connections;
    if (c->next)
        c->next->previous = c;
    server->connections = c;
    struct connection **bucket = bucket_of(server, bufferevent);
    c->next_in_bucket = *bucket;
    *bucket = c;
    if (++server->connection_count >= server->limits.max_connections) {
        http_room_is_full(server);
        loop_timer_set(server->sweep, SWEEP_WHEN_PRESSED_MS);
    }
    return bufferevent;
}

void http_connection_closed(struct evhttp_connection *evcon, void *arg)
{
    struct http_server *server = arg;
    struct connection *c = http_connection_of(server, evhttp_connection_get_bufferevent(evcon));
    if (c)
        connection_release(c);
}

/* evhttp gave up the connection: bufferevent_free() takes the callbacks off before it gives back its reference. Before
 * the first request this is the only sign; later http_connection_closed() comes first. */
static bool is_abandoned(const struct connection *c)
{
    bufferevent_data_cb on_read;
    bufferevent_data_cb on_write;
    bufferevent_event_cb on_event;
    void *arg;
    bufferevent_getcb(c->bufferevent, &on_read, &on_write, &on_event, &arg);
    return !on_read && !on_write && !on_event;
}

static bool is_busy(const struct connection *c)
{
    /* What the kernel has and we have not read yet counts: closing now would reset a request that was sent. */
    int unread = 0;
    if (c->state == CONNECTION_IDLE || c->state == CONNECTION_NEW)
        return ioctl(bufferevent_getfd(c->bufferevent), FIONREAD, &unread) == 0 && unread > 0;
    return c->state == CONNECTION_RECEIVING || c->state == CONNECTION_ANSWERING || c->state == CONNECTION_SENDING;
}

static void sweep(void *arg)
{
    struct http_server *server = arg;
    msec_t now = clock_steady();
    bool busy = false;
    struct connection *next;
    for (struct connection *c = server->connections; c; c = next) {
        next = c->next;
        if (is_abandoned(c)) {
            connection_release(c);
            continue;
        }
        bool in_use = server->draining && is_busy(c);
        if (c->deadline != 0 && (c->deadline <= now || (server->draining && !in_use)))
            http_connection_close(c);
        busy = busy || in_use;
    }
    http_room_sweep(server);
    if (server->drained && !busy) {
        void (*drained)(void *) = server->drained;
        server->drained = NULL;
        loop_timer_set(server->sweep, SWEEP_MS);
        drained(server->drained_arg); /* may free the server */
        return;
    }
    loop_timer_set(server->sweep, server->drained || server->paused ? SWEEP_WHEN_PRESSED_MS : SWEEP_MS);
}

/* --- the server ------------------------------------------------------------------------------------------------- */

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits, http_handler *handler,
                                    void *arg)
{
    struct http_server *server = memory_new(sizeof(*server));
    server->loop = loop;
    server->handler = handler;
    server->arg = arg;
    if (limits)
        server->limits = *limits;
    struct http_limits *l = &server->limits;
    if (l->max_header_bytes == 0)
        l->max_header_bytes = (size_t)16 * 1024;
    if (l->max_body_bytes == 0)
        l->max_body_bytes = (size_t)4 * 1024 * 1024;
    if (l->read_deadline_ms <= 0)
        l->read_deadline_ms = 10000;
    if (l->idle_ms <= 0)
        l->idle_ms = 60000;
    if (l->max_connections == 0)
        l->max_connections = 4096;
    if (l->max_receiving_bytes == 0)
        l->max_receiving_bytes = (size_t)256 * 1024 * 1024;
    /* One request alone must always fit. */
    if (l->max_receiving_bytes < l->max_body_bytes + l->max_header_bytes)
        l->max_receiving_bytes = l->max_body_bytes + l->max_header_bytes;
    server->bucket_count = 64;
    while (server->bucket_count < l->max_connections && server->bucket_count < 65536)
        server->bucket_count *= 2;
    server->buckets = memory_new(server->bucket_count * sizeof(struct connection *));
    server->evhttp = evhttp_new(loop_base(loop));
    if (!server->evhttp)
        abort();
    /* Behind the guard, which answers first. */
    evhttp_set_max_headers_size(server->evhttp, (ev_ssize_t)l->max_header_bytes + 1024);
    evhttp_set_max_body_size(server->evhttp, (ev_ssize_t)l->max_body_bytes);
    /* Behind our own deadlines; it is for one read or write. */
    evhttp_set_timeout(server->evhttp,
                       (int)((l->idle_ms > l->read_deadline_ms ? l->idle_ms : l->read_deadline_ms) / 1000 + 5));
    evhttp_set_allowed_methods(server->evhttp, 0xffff);
    evhttp_set_default_content_type(server->evhttp, NULL);
    evhttp_set_bevcb(server->evhttp, connection_accepted, server);
    evhttp_set_gencb(server->evhttp, http_request_received, server);
    server->sweep = loop_timer_new(loop, sweep, server);
    loop_timer_set(server->sweep, SWEEP_MS);
    return server;
}

void http_server_use_tls(struct http_server *server, struct http_tls *tls)
{
    server->tls = tls;
}

void http_server_trust_proxies(struct http_server *server, const struct http_networks *proxies)
{
    server->proxies = proxies;
}

/* Cuts "host:port" or "[host]:port". */
static bool split_address(const char *address, char *ret_host, size_t host_size, const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon[1] == '\0')
        return false;
    size_t length = (size_t)(colon - address);
    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    if (length >= host_size)
        return false;
    memcpy(ret_host, address, length);
    ret_host[length] = '\0';
    *ret_port = colon + 1;
    return true;
}

/* With SO_REUSEPORT a second program on the same port would silently get a part of the requests. Without it, the kernel
 * tells us of the first one. Returns 0 or errno. */
static int try_alone(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int problem = bind(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    close(fd);
    return problem;
}

/* What to do when the system does not let us listen. */
static const char *listen_hint(int problem)
{
    switch (problem) {
    case EADDRINUSE:
        return "\nHINT: another program listens there, perhaps an answerd that still runs: `ss -ltnp` names it;"
               " end it, or choose another port";
    case EACCES:
        return "\nHINT: ports below 1024 are for root or need CAP_NET_BIND_SERVICE; choose another port";
    case EADDRNOTAVAIL:
        return "\nHINT: no interface of this machine has the address (`ip address`); 0.0.0.0 means all of them";
    default:
        return "";
    }
}

static err_t listen_on(struct http_server *server, const char *address, bool alone, int *ret_port, struct error *reterr)
{
    char host[256];
    const char *port;
    if (server->listener_count == HTTP_MAX_LISTENERS)
        return fail(reterr, ERR_LIMIT, "more than %d addresses", HTTP_MAX_LISTENERS);
    if (!split_address(address, host, sizeof(host), &port))
        return fail(reterr, ERR_INVALID, "'%s' is no address\nHINT: write it like 0.0.0.0:8080 or [::1]:8080", address);
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    int problem = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    if (problem != 0)
        return fail(reterr, ERR_INVALID, "'%s' is no address: %s", address, gai_strerror(problem));
    int reason = alone ? try_alone(found) : 0;
    struct evconnlistener *listener = NULL;
    if (reason == 0) {
        listener = evconnlistener_new_bind(loop_base(server->loop), NULL, NULL,
                                           LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE |
                                               LEV_OPT_REUSEABLE_PORT,
                                           HTTP_BACKLOG, found->ai_addr, (int)found->ai_addrlen);
        reason = errno;
    }
    freeaddrinfo(found);
    if (!listener)
        return fail(reterr, ERR_INVALID, "cannot listen on '%s': %s%s", address, strerror(reason), listen_hint(reason));
    /* An answer behind another record that is not yet acknowledged (a TLS session ticket, an earlier answer) must not
     * wait for the client's delayed acknowledgement. What is accepted takes this on. */
    int on = 1;
    setsockopt(evconnlistener_get_fd(listener), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct evhttp_bound_socket *bound = evhttp_bind_listener(server->evhttp, listener);
    if (!bound)
        abort();
    evconnlistener_set_error_cb(listener, http_room_accept_failed);
    server->listeners[server->listener_count++] = bound;
    if (ret_port) {
        struct sockaddr_storage actual = { 0 };
        socklen_t size = sizeof(actual);
        getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&actual, &size);
        char digits[NI_MAXSERV] = "0";
        uint64_t number = 0;
        getnameinfo((struct sockaddr *)&actual, size, NULL, 0, digits, sizeof(digits), NI_NUMERICSERV);
        *ret_port = text_to_u64(bytes_of(digits), &number) ? (int)number : 0;
    }
    return ERR_NONE;
}

err_t http_server_listen(struct http_server *server, const char *address, int *ret_port, struct error *reterr)
{
    return listen_on(server, address, true, ret_port, reterr);
}

err_t http_server_listen_shared(struct http_server *server, const char *address, struct error *reterr)
{
    return listen_on(server, address, false, NULL, reterr);
}

void http_server_drain(struct http_server *server, void (*drained)(void *arg), void *arg)
{
    for (size_t i = 0; i < server->listener_count; i++)
        evhttp_del_accept_socket(server->evhttp, server->listeners[i]);
    server->listener_count = 0;
    server->paused = false;
    server->draining = true;
    server->drained = drained;
    server->drained_arg = arg;
    loop_timer_set(server->sweep, 0);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    server->paused = false;
    server->listener_count = 0;
    for (struct connection *c = server->connections; c; c = c->next) {
        if (c->request) {
            http_request_free(c->request);
            c->request = NULL;
        }
    }
    evhttp_free(server->evhttp);
    while (server->connections)
        connection_release(server->connections); /* NOLINT(clang-analyzer-unix.Malloc): takes it off the list */
    loop_timer_free(server->sweep);
    free(server->buckets);
    free(server);
}

size_t http_server_connections(const struct http_server *server)
{
    return server->connection_count;
}

size_t http_server_receiving_bytes(const struct http_server *server)
{
    return server->receiving_bytes;
}

struct http_pressure http_server_pressure(const struct http_server *server)
{
    return server->pressure;
}
