/* One request: what it says, and its answer. */
#include "io/http_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <event2/bufferevent_struct.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

#include "base/memory.h"
#include "base/text.h"

void http_request_free(struct http_request *r)
{
    for (size_t i = 0; i < r->query_count; i++) {
        free(r->query[i].name);
        free(r->query[i].value);
    }
    free(r->query);
    free(r->path);
    free(r);
}

/* The path as text, or NULL when it is missing, escaped wrongly or hides a NUL. */
static char *decoded_path(struct evhttp_request *request)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *raw = uri ? evhttp_uri_get_path(uri) : NULL;
    if (!raw)
        return NULL;
    if (!strchr(raw, '%'))
        return text_is_utf8(bytes_of(raw)) ? memory_text(raw) : NULL;
    struct buf path;
    buf_init(&path, strlen(raw));
    /* In a path '+' is a plus. */
    struct bytes rest = bytes_of(raw);
    bool valid = true;
    while (valid && rest.ptr) {
        const char *plus = rest.len > 0 ? memchr(rest.ptr, '+', rest.len) : NULL;
        valid = text_decode_percent(text_next_field(&rest, '+'), &path);
        if (plus)
            buf_add_char(&path, '+');
    }
    if (!valid || memchr(path.ptr, '\0', path.len) || !text_is_utf8(buf_bytes(&path))) {
        buf_done(&path);
        return NULL;
    }
    return buf_take(&path);
}

#define MAX_QUERY_FIELDS 32

static char *decoded_field(struct bytes raw)
{
    struct buf text;
    buf_init(&text, raw.len);
    if (!text_decode_percent(raw, &text) || memchr(text.ptr, '\0', text.len)) {
        buf_done(&text);
        return NULL;
    }
    return buf_take(&text);
}

static void read_query(struct http_request *r)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r->evhttp);
    struct bytes rest = bytes_of(uri ? evhttp_uri_get_query(uri) : NULL);
    r->query = memory_new(MAX_QUERY_FIELDS * sizeof(*r->query));
    while (rest.len > 0) {
        if (r->query_count == MAX_QUERY_FIELDS) {
            r->query_problem = "there are too many parameters";
            return;
        }
        struct bytes field = text_next_field(&rest, '&');
        char *name = decoded_field(text_next_field(&field, '='));
        char *value = decoded_field(field);
        if (name && value) {
            r->query[r->query_count].name = name;
            r->query[r->query_count++].value = value;
        } else {
            r->query_problem = "a parameter is escaped wrongly, or hides a NUL";
            free(name);
            free(value);
        }
    }
}

/* All lines of a header as one list. */
static void join_header(struct evhttp_request *request, const char *name, struct buf *out)
{
    const struct evkeyval *header;
    for (header = evhttp_request_get_input_headers(request)->tqh_first; header; header = header->next.tqe_next) {
        if (strcasecmp(header->key, name) != 0)
            continue;
        if (out->len > 0)
            buf_add_char(out, ',');
        buf_add_text(out, header->value);
    }
}

/* evhttp knows only a `Connection` that is nothing but "close"; it may be one of a list of options. */
static bool wants_to_close(struct evhttp_request *request)
{
    struct buf options CLEANUP(buf_done);
    buf_init(&options, SIZE_MAX); /* the head has a limit */
    join_header(request, "Connection", &options);
    struct bytes rest = buf_bytes(&options);
    while (rest.len > 0)
        if (text_equal_ignore_case(text_trim(text_next_field(&rest, ',')), BYTES_LITERAL("close")))
            return true;
    return false;
}

/* Of a connection it stays the same, so that it is read and printed once. */
static void read_peer(struct connection *c, struct evhttp_connection *evcon)
{
    char *text = NULL;
    ev_uint16_t port;
    evhttp_connection_get_peer(evcon, &text, &port);
    c->has_peer = text && http_address_parse(bytes_of(text), &c->peer);
    if (c->has_peer)
        http_address_print(&c->peer, c->peer_text);
    else
        snprintf(c->peer_text, sizeof(c->peer_text), "?");
}

/* Who sent this, and by what way? */
static void find_client(const struct http_server *server, struct http_request *r, struct evhttp_connection *evcon)
{
    struct connection *c = r->connection;
    if (c->peer_text[0] == '\0')
        read_peer(c, evcon);
    r->https = server->tls != NULL;
    if (!c->has_peer || !http_networks_have(server->proxies, &c->peer)) {
        memcpy(r->peer, c->peer_text, sizeof(r->peer));
        return;
    }
    struct buf list CLEANUP(buf_done);
    buf_init(&list, server->limits.max_header_bytes);
    join_header(r->evhttp, "X-Forwarded-Proto", &list);
    r->https = list.len > 0 ? http_forwarded_is_https(buf_bytes(&list)) : r->https;
    buf_clear(&list);
    join_header(r->evhttp, "X-Forwarded-For", &list);
    struct http_address client = http_forwarded_client(server->proxies, &c->peer, buf_bytes(&list));
    http_address_print(&client, r->peer);
}

/* The whole request is here. */
void http_request_received(struct evhttp_request *request, void *arg)
{
    struct http_server *server = arg;
    struct evhttp_connection *evcon = evhttp_request_get_connection(request);
    struct connection *c = http_connection_of(server, evhttp_connection_get_bufferevent(evcon));
    assert(c);
    evhttp_connection_set_closecb(evcon, http_connection_closed, server);
    c->state = CONNECTION_ANSWERING;
    c->deadline = 0;
    c->requests++;

    struct http_request *r = memory_new(sizeof(*r));
    r->connection = c;
    r->evhttp = request;
    c->request = r;
    find_client(server, r, evcon);
    r->path = decoded_path(request);

    static const char *const close_headers[] = { "Connection", "close", NULL };
    if (!r->path)
        http_answer(r, 400, "text/plain", BYTES_LITERAL("malformed target"), close_headers);
    else
        server->handler(r, server->arg);
}

/* The last byte of the answer went to the kernel. */
static void answer_sent(struct evhttp_request *request, void *arg)
{
    struct http_server *server = arg;
    struct evhttp_connection *evcon = evhttp_request_get_connection(request);
    struct connection *c = evcon ? http_connection_of(server, evhttp_connection_get_bufferevent(evcon)) : NULL;
    if (!c || c->state != CONNECTION_SENDING)
        return;
    if (http_refusal_follows(c)) /* it came while this answer was on its way: evhttp looks here whether to go on */
        evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
    bool next_is_here = evbuffer_get_length(bufferevent_get_input(c->bufferevent)) > 0;
    c->state = next_is_here ? CONNECTION_RECEIVING : CONNECTION_IDLE;
    c->deadline = clock_steady() + (next_is_here ? server->limits.read_deadline_ms : server->limits.idle_ms);
}

const char *http_reason_phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Status";
    }
}

/* The text for the Date header, made once a second and not for each answer. */
static const char *date_of_now(struct http_server *server)
{
    time_t now = (time_t)(clock_now() / 1000);
    if (now != server->date_at) {
        struct tm utc;
        gmtime_r(&now, &utc);
        evutil_date_rfc1123(server->date, sizeof(server->date), &utc);
        server->date_at = now;
    }
    return server->date;
}

static void add_length(struct evkeyvalq *headers, size_t length)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%zu", length);
    evhttp_add_header(headers, "Content-Length", text);
}

/* Has what was added to the output written in this round of the loop. Otherwise the kernel would be asked first whether
 * it takes it: two changes of the epoll set and a round more for each answer. What it does not take waits as always.
 * TLS has its own way of writing. */
static void write_soon(const struct http_server *server, struct bufferevent *bufferevent)
{
    if (!server->tls && event_pending(&bufferevent->ev_write, EV_WRITE, NULL))
        event_active(&bufferevent->ev_write, EV_WRITE, 0);
}

void http_answer(struct http_request *request, int status, const char *content_type, struct bytes body,
                 const char *const *headers)
{
    struct connection *c = request->connection;
    struct evhttp_request *evhttp = request->evhttp;
    http_request_free(request);
    if (!c) {
        /* The client left. evhttp let go of the request when it closed the connection, and this frees it. */
        evhttp_send_reply(evhttp, status, http_reason_phrase(status), NULL);
        return;
    }
    struct http_server *server = c->server;
    c->request = NULL;
    c->state = CONNECTION_SENDING;
    c->deadline = clock_steady() + server->limits.read_deadline_ms; /* a client that does not read */

    struct evkeyvalq *output = evhttp_request_get_output_headers(evhttp);
    if (content_type)
        evhttp_add_header(output, "Content-Type", content_type);
    for (size_t i = 0; headers && headers[i] && headers[i + 1]; i += 2)
        evhttp_add_header(output, headers[i], headers[i + 1]);
    if ((server->draining || http_refusal_follows(c) || wants_to_close(evhttp)) &&
        !evhttp_find_header(output, "Connection"))
        evhttp_add_header(output, "Connection", "close");
    evhttp_add_header(output, "Date", date_of_now(server));
    struct evbuffer *content = evbuffer_new();
    if (!content)
        abort();
    if (evhttp_request_get_command(evhttp) == EVHTTP_REQ_HEAD)
        add_length(output, body.len); /* evhttp would send the body too, and the client read it as the next answer */
    else if (evbuffer_add(content, body.ptr, body.len) != 0)
        abort();
    evhttp_request_set_on_complete_cb(evhttp, answer_sent, server);
    evhttp_send_reply(evhttp, status, http_reason_phrase(status), content);
    evbuffer_free(content);
    write_soon(server, c->bufferevent);
}

const char *http_method(const struct http_request *request)
{
    switch (evhttp_request_get_command(request->evhttp)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_TRACE:
        return "TRACE";
    case EVHTTP_REQ_CONNECT:
        return "CONNECT";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    default:
        return "UNKNOWN";
    }
}

const char *http_path(const struct http_request *request)
{
    return request->path;
}

/* Most requests have none, or nobody asks; so it is read when somebody does. */
static void have_query(const struct http_request *request)
{
    if (!request->query)
        read_query((struct http_request *)(uintptr_t)request);
}

const char *http_query(const struct http_request *request, const char *name)
{
    have_query(request);
    for (size_t i = 0; i < request->query_count; i++)
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    return NULL;
}

const char *http_query_problem(const struct http_request *request)
{
    have_query(request);
    return request->query_problem;
}

void http_each_query(const struct http_request *request, void (*each)(const char *name, const char *value, void *arg),
                     void *arg)
{
    have_query(request);
    for (size_t i = 0; i < request->query_count; i++)
        each(request->query[i].name, request->query[i].value, arg);
}

const char *http_header(const struct http_request *request, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(request->evhttp), name);
}

void http_each_header(const struct http_request *request, void (*each)(const char *name, const char *value, void *arg),
                      void *arg)
{
    const struct evkeyval *header = evhttp_request_get_input_headers(request->evhttp)->tqh_first;
    for (; header; header = header->next.tqe_next)
        each(header->key, header->value, arg);
}

struct bytes http_body(const struct http_request *request)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request->evhttp);
    size_t length = evbuffer_get_length(input);
    if (length == 0)
        return (struct bytes){ "", 0 };
    return (struct bytes){ (const char *)evbuffer_pullup(input, -1), length };
}

const char *http_peer(const struct http_request *request)
{
    return request->peer;
}

bool http_is_https(const struct http_request *request)
{
    return request->https;
}
