/* Answers what the guard refuses.
 *
 * evhttp must not see it, so the connection is taken out of its hands: its callbacks are exchanged for ours, the answer
 * is written, and what else comes in is thrown away until the client has closed or a second is over; closing before
 * would reset the connection, and the answer might be lost. Then evhttp gets its callbacks back and closes by its own
 * path.
 */
#include "io/http_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "base/metrics.h"

#define LINGER_MS 1000

static void on_event(struct bufferevent *bufferevent, short what, void *arg)
{
    struct connection *c = arg;
    bufferevent_setcb(bufferevent, c->evhttp.read, c->evhttp.write, c->evhttp.event, c->evhttp.arg);
    c->evhttp.event(bufferevent, what, c->evhttp.arg); /* may free it */
}

/* The answer went to the kernel. */
static void on_written(struct bufferevent *bufferevent, void *arg)
{
    const struct connection *c = arg;
    if (!c->server->tls)
        shutdown(bufferevent_getfd(bufferevent), SHUT_WR);
}

static void count(int status)
{
    char label[32];
    snprintf(label, sizeof(label), "status=\"%d\"", status);
    metric_add(metric_counter("answerd_http_refused_total",
                              "Requests that were refused unread: ambiguous, malformed or too large.", label),
               1);
}

static void refuse(struct connection *c, struct evbuffer *input)
{
    const struct http_guard *guard = &c->guard;
    count(guard->status);
    c->state = CONNECTION_REFUSED;
    c->deadline = clock_steady() + LINGER_MS;
    bufferevent_getcb(c->bufferevent, &c->evhttp.read, &c->evhttp.write, &c->evhttp.event, &c->evhttp.arg);
    bufferevent_setcb(c->bufferevent, NULL, on_written, on_event, c);
    evbuffer_drain(input, evbuffer_get_length(input));
    evbuffer_add_printf(
        bufferevent_get_output(c->bufferevent),
        "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
        guard->status, http_reason_phrase(guard->status), strlen(guard->reason), guard->reason);
    bufferevent_enable(c->bufferevent, EV_READ | EV_WRITE);
}

bool http_refusal_follows(const struct connection *c)
{
    return c->guard.place == HTTP_GUARD_REFUSED;
}

void http_refusal_look(struct connection *c, struct evbuffer *input, size_t added)
{
    if (http_refusal_follows(c))
        return; /* evhttp closes with the answer that it owes; it does not come to these bytes */
    size_t skipped = http_guard_skip_body(&c->guard, added);
    bool fine = true;
    while (fine && skipped < added) {
        struct evbuffer_iovec parts[8];
        struct evbuffer_ptr at;
        size_t left = added - skipped;
        if (evbuffer_ptr_set(input, &at, evbuffer_get_length(input) - left, EVBUFFER_PTR_SET) != 0)
            abort();
        int count = evbuffer_peek(input, (ev_ssize_t)left, &at, parts, ARRAY_LEN(parts));
        for (int i = 0; i < count && i < (int)ARRAY_LEN(parts) && fine && left > 0; i++) {
            size_t length = parts[i].iov_len < left ? parts[i].iov_len : left;
            fine = http_guard_look(&c->guard, (struct bytes){ parts[i].iov_base, length });
            left -= length;
        }
        skipped = added - left;
    }
    /* A request that was let pass before is still with evhttp, or its answer on the way: that goes first, and then
     * evhttp closes. */
    bool owes_answer =
        c->guard.complete > c->requests || c->state == CONNECTION_ANSWERING || c->state == CONNECTION_SENDING;
    if (!fine && !owes_answer)
        refuse(c, input);
}
