/* Makes room for clients that wait: as many connections are open as may be, or the system has no descriptor for one
 * more.
 *
 * The listeners rest meanwhile, so that nothing spins, and the kernel keeps who comes. Who must go: first all that have
 * not said a word though there was time, then the one that is idle for longest, then the one that takes longest to say
 * what it wants. Whoever waits for an answer or is being answered stays.
 */
#include "io/http_internal.h"

#include <sys/ioctl.h>

#include <event2/bufferevent_ssl.h>

#include "io/http_tls_internal.h"

/* A client that connects has something to say. Of how long it may be silent depends when the last of those that the
 * kernel keeps gets its turn; their senders wait 10 to 20 seconds for an answer, so that few places change hands
 * faster. */
#define SILENT_AFTER_MS 1000
#define SILENT_AFTER_LEAST_MS 50
#define TURN_MS 5000

/* With its first byte, of the TLS handshake too, a client has this long, and then goes when nobody else does. */
#define SLOW_AFTER_MS 2000

/* The callback of libevent does not tell whose listener it is, only the thread: what it counts is looked at by every
 * server of the thread. */
static _Thread_local unsigned failed_accepts;

static void set_listening(struct http_server *server, bool on)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        struct evconnlistener *listener = evhttp_bound_socket_get_listener(server->listeners[i]);
        if (on)
            evconnlistener_enable(listener);
        else
            evconnlistener_disable(listener);
    }
    server->paused = !on;
}

static msec_t silence_allowed(const struct http_server *server)
{
    size_t places = server->limits.max_connections < HTTP_BACKLOG ? server->limits.max_connections : HTTP_BACKLOG;
    msec_t allowed = (msec_t)(places * TURN_MS / HTTP_BACKLOG);
    if (allowed > SILENT_AFTER_MS)
        return SILENT_AFTER_MS;
    return allowed < SILENT_AFTER_LEAST_MS ? SILENT_AFTER_LEAST_MS : allowed;
}

/* What the kernel has and we have not read yet: closing now would reset what was sent. */
static bool has_unread(const struct connection *c)
{
    int unread = 0;
    return ioctl(bufferevent_getfd(c->bufferevent), FIONREAD, &unread) != 0 || unread > 0;
}

/* Since it was let in, or since its request began. */
static msec_t age_of(const struct connection *c, msec_t now)
{
    return now - (c->deadline - c->server->limits.read_deadline_ms);
}

static bool is_silent(const struct connection *c, msec_t now)
{
    bool shakes_hands = c->server->tls && http_tls_has_begun(bufferevent_openssl_get_ssl(c->bufferevent));
    return age_of(c, now) >= (shakes_hands ? SILENT_AFTER_MS : silence_allowed(c->server)) && !has_unread(c);
}

static void close_for_room(struct connection *c)
{
    c->server->pressure.closed++;
    http_connection_close(c);
}

static void make_room(struct http_server *server)
{
    msec_t now = clock_steady();
    struct connection *idle = NULL;
    struct connection *slow = NULL;
    bool made = false;
    for (struct connection *c = server->connections; c; c = c->next) {
        if (c->deadline == 0)
            continue;
        if (c->state == CONNECTION_NEW && is_silent(c, now)) {
            close_for_room(c);
            made = true;
        } else if (c->state == CONNECTION_IDLE && (!idle || c->deadline < idle->deadline)) {
            idle = c;
        } else if (c->state == CONNECTION_RECEIVING && (!slow || c->deadline < slow->deadline) &&
                   age_of(c, now) >= SLOW_AFTER_MS) {
            slow = c;
        }
    }
    if (made)
        return;
    if (idle && !has_unread(idle)) /* otherwise its next request is here, and is read before the next look */
        close_for_room(idle);
    else if (!idle && slow)
        close_for_room(slow);
}

void http_room_is_full(struct http_server *server)
{
    set_listening(server, false);
    make_room(server);
}

void http_room_is_left(struct http_server *server)
{
    if (server->paused && server->connection_count < server->limits.max_connections)
        set_listening(server, true);
}

void http_room_accept_failed(struct evconnlistener *listener, void *arg)
{
    (void)arg;
    evconnlistener_disable(listener); /* it would be called again at once, and for ever; the sweep goes on with it */
    failed_accepts++;
}

void http_room_sweep(struct http_server *server)
{
    if (server->failed_accepts != failed_accepts) {
        server->pressure.failed_accepts += failed_accepts - server->failed_accepts;
        server->failed_accepts = failed_accepts;
        server->paused = true;
        make_room(server);
        return;
    }
    if (!server->paused)
        return;
    make_room(server);
    http_room_is_left(server); /* descriptors may be there again though none of ours went */
}
