/* Transfers by libcurl.
 *
 * libcurl sends a request again by itself when a kept connection turns out to be dead. For a message that would be a
 * blind second send: the other side may have acted on the first one. The body is therefore read through a callback that
 * cannot be rewound: once a byte of it left, libcurl gives up with CURLE_SEND_FAIL_REWIND, and the outcome is unknown.
 *
 * The deadlines are ours: libcurl looks at its own before it reads, and would call an answer late that had come in time
 * and waited for a thread that was held up. So answers are taken first, and what nobody looked at costs no time.
 */
#include "io/http_client.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/heartbeat.h"
#include "base/macros.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/http_address.h"
#include "io/http_forwarded.h"

#define DEFAULT_TIMEOUT_MS 15000
#define CONNECT_TIMEOUT_MS 10000
#define MAX_SPARE_HANDLES 64
#define IDLE_MOST_S 3L /* of a connection that is used again; libcurl counts whole seconds, so nearly four */
/* Between two looks there is less, unless the thread was held up. */
#define HELD_UP_US 100000

struct transfer {
    struct http_client *client;
    CURL *easy;
    struct transfer *previous;
    struct transfer *next;
    struct curl_slist *headers;
    struct buf body;
    size_t body_sent;
    struct buf answer;
    http_client_done *done;
    void *arg;
    int64_t started_us;  /* steady clock */
    int64_t deadline_us; /* steady clock */
    msec_t retry_after_ms;
    bool forbid_private_addresses;
    const struct http_networks *allowed_networks;
    bool refused_address;
    bool not_started; /* libcurl did not take it */
};

struct http_client {
    struct http_client_settings settings;
    CURLM *multi;
    struct transfer *transfers;
    struct transfer *not_started; /* completed by the next wait; linked by `next` only */
    size_t count;
    int64_t looked_us; /* steady clock; when the transfers were looked at last */
    CURL *spare[MAX_SPARE_HANDLES];
    size_t spare_count;
};

/* --- libcurl's callbacks ---------------------------------------------------------------------------------------- */

static size_t read_body(char *into, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t room = size * count;
    size_t left = t->body.len - t->body_sent;
    size_t length = left < room ? left : room;
    memcpy(into, t->body.ptr + t->body_sent, length);
    t->body_sent += length;
    return length;
}

static size_t write_answer(char *ptr, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    buf_add(&t->answer, ptr, size * count);
    return t->answer.overflowed ? 0 : size * count; /* less than it gave makes libcurl stop */
}

static msec_t read_retry_after(struct bytes value)
{
    static const msec_t longest_ms = 7 * 86400000LL; /* beyond a week it is a mistake of the other side */
    uint64_t seconds;
    if (text_to_u64(value, &seconds))
        return seconds > (uint64_t)longest_ms / 1000 ? longest_ms : (msec_t)seconds * 1000;
    char *date = memory_text_n(value.ptr, value.len);
    time_t at = curl_getdate(date, NULL);
    free(date);
    if (at < 0)
        return -1;
    msec_t wait = (msec_t)at * 1000 - clock_now();
    return wait < 0 ? 0 : wait > longest_ms ? longest_ms : wait;
}

static size_t read_header(char *line, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    struct bytes rest = { line, size * count };
    struct bytes name = text_next_field(&rest, ':');
    if (text_equal_ignore_case(name, BYTES_LITERAL("retry-after"))) {
        while (rest.len > 0 && (rest.ptr[rest.len - 1] == '\n' || rest.ptr[rest.len - 1] == '\r'))
            rest.len--;
        t->retry_after_ms = read_retry_after(text_trim(rest));
    }
    return size * count;
}

static bool may_reach(const struct transfer *t, const struct sockaddr *address)
{
    struct http_address plain;
    return http_address_is_public(address) ||
           (http_address_of(address, &plain) && http_networks_have(t->allowed_networks, &plain));
}

/* After the name was looked up: a name that leads to a private address cannot get around the check. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = arg;
    if (purpose == CURLSOCKTYPE_IPCXN && t->forbid_private_addresses && !may_reach(t, &address->addr)) {
        t->refused_address = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* --- transfers -------------------------------------------------------------------------------------------------- */

static bool has_header(const struct http_client_request *request, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; request->headers && request->headers[i]; i++)
        if (strncasecmp(request->headers[i], name, length) == 0 && request->headers[i][length] == ':')
            return true;
    return false;
}

static void add_header(struct transfer *t, const char *line)
{
    struct curl_slist *headers = curl_slist_append(t->headers, line);
    if (!headers)
        abort();
    t->headers = headers;
}

static void set_method(struct transfer *t, const struct http_client_request *request)
{
    const char *method = request->method ? request->method : "POST";
    if (request->body.len > 0 || strcmp(method, "POST") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, read_body);
        curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
        if (!has_header(request, "Content-Type"))
            add_header(t, "Content-Type: application/json");
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    } else {
        curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, method);
}

static CURLcode set_options(struct transfer *t, const struct http_client_request *request)
{
    CURL *easy = t->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "answerd/" ANSWERD_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    /* Many servers close what was idle for five seconds. What is sent at that moment may have been read or not. */
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_MOST_S);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, read_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
    if (t->forbid_private_addresses) {
        /* A proxy would connect for us, and a kept connection was not checked. */
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }
    set_method(t, request);
    /* No wait for "100 Continue", which many servers never send. */
    add_header(t, "Expect:");
    for (size_t i = 0; request->headers && request->headers[i]; i++)
        add_header(t, request->headers[i]);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    return curl_easy_setopt(easy, CURLOPT_URL, request->url);
}

static void unlink_transfer(struct transfer *t)
{
    if (t->previous)
        t->previous->next = t->next;
    else
        t->client->transfers = t->next;
    if (t->next)
        t->next->previous = t->previous;
}

static void transfer_free(struct transfer *t)
{
    struct http_client *client = t->client;
    if (client->spare_count < MAX_SPARE_HANDLES) {
        curl_easy_reset(t->easy);
        client->spare[client->spare_count++] = t->easy;
    } else {
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    buf_done(&t->body);
    buf_done(&t->answer);
    free(t);
}

static enum http_outcome outcome_of(const struct transfer *t, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return HTTP_ANSWERED;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_PROXY:
        return HTTP_NOT_SENT;
    default: {
        /* The time when the request was about to be sent; 0 says that it never came so far. */
        curl_off_t about_to_send = 0;
        curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &about_to_send);
        return about_to_send == 0 && t->body_sent == 0 ? HTTP_NOT_SENT : HTTP_UNKNOWN;
    }
    }
}

/* Where a kept connection ends without an answer, libcurl would send the request again by itself. It cannot, because
 * the body is read once, and says so in words of its own. */
static const char *reason_of(CURLcode code)
{
    return code == CURLE_SEND_FAIL_REWIND ? "the connection ended before an answer came" : curl_easy_strerror(code);
}

static void complete(struct transfer *t, CURLcode code)
{
    struct http_exchange exchange = {
        .outcome = t->not_started ? HTTP_NOT_SENT : outcome_of(t, code),
        .retry_after_ms = t->retry_after_ms,
        .duration_ms = (clock_steady_us() - t->started_us) / 1000,
    };
    if (exchange.outcome == HTTP_ANSWERED) {
        long status = 0;
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        exchange.status = (int)status;
        exchange.body = buf_bytes(&t->answer);
    } else if (t->refused_address) {
        exchange.refused_address = true;
        snprintf(exchange.error, sizeof(exchange.error), "the address is not public");
    } else if (t->answer.overflowed) {
        snprintf(exchange.error, sizeof(exchange.error), "the answer is larger than %zu bytes", t->answer.max);
    } else {
        /* Not libcurl's error buffer: it may quote the URL, and with it a token. */
        snprintf(exchange.error, sizeof(exchange.error), "%s", reason_of(code));
    }
    t->client->count--;
    t->done(&exchange, t->arg);
    transfer_free(t);
}

void http_client_send(struct http_client *client, const struct http_client_request *request, http_client_done *done,
                      void *arg)
{
    struct transfer *t = memory_new(sizeof(*t));
    t->client = client;
    t->easy = client->spare_count > 0 ? client->spare[--client->spare_count] : curl_easy_init();
    if (!t->easy)
        abort();
    t->done = done;
    t->arg = arg;
    t->started_us = clock_steady_us();
    t->deadline_us = t->started_us + (request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS) * 1000;
    t->retry_after_ms = -1;
    t->forbid_private_addresses = request->forbid_private_addresses || client->settings.forbid_private_addresses;
    t->allowed_networks = request->allowed_networks;
    buf_init(&t->body, request->body.len);
    buf_add_bytes(&t->body, request->body);
    buf_init(&t->answer, client->settings.max_answer_bytes);
    client->count++;
    if (set_options(t, request) != CURLE_OK || curl_multi_add_handle(client->multi, t->easy) != CURLM_OK) {
        t->not_started = true;
        t->next = client->not_started;
        client->not_started = t;
        return;
    }
    t->next = client->transfers;
    if (t->next)
        t->next->previous = t;
    client->transfers = t;
}

/* --- the client ------------------------------------------------------------------------------------------------- */

void http_client_start(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

struct http_client *http_client_new(const struct http_client_settings *settings)
{
    struct http_client *client = memory_new(sizeof(*client));
    if (settings)
        client->settings = *settings;
    struct http_client_settings *s = &client->settings;
    if (s->max_connections == 0)
        s->max_connections = 64;
    if (s->max_host_connections == 0)
        s->max_host_connections = 16;
    if (s->max_answer_bytes == 0)
        s->max_answer_bytes = (size_t)64 * 1024;
    client->multi = curl_multi_init();
    if (!client->multi)
        abort();
    /* Otherwise one slow host takes every socket. */
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)s->max_connections);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)s->max_host_connections);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)s->max_connections);
    return client;
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    while (client->transfers) {
        struct transfer *t = client->transfers;
        unlink_transfer(t); /* NOLINT(clang-analyzer-unix.Malloc): the list goes on with the next */
        curl_multi_remove_handle(client->multi, t->easy);
        transfer_free(t);
    }
    while (client->not_started) {
        struct transfer *t = client->not_started;
        client->not_started = t->next;
        transfer_free(t);
    }
    for (size_t i = 0; i < client->spare_count; i++)
        curl_easy_cleanup(client->spare[i]);
    curl_multi_cleanup(client->multi);
    free(client);
}

size_t http_client_in_flight(const struct http_client *client)
{
    return client->count;
}

/* Delivers what has ended; true when there was something. A completion may start new transfers. */
static bool deliver(struct http_client *client)
{
    bool delivered = false;
    struct transfer *failed = client->not_started;
    client->not_started = NULL;
    while (failed) {
        struct transfer *t = failed;
        failed = t->next;
        complete(t, CURLE_URL_MALFORMAT);
        delivered = true;
    }
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* the message is gone when the handle is removed */
        CURL *easy = message->easy_handle;
        char *private = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        struct transfer *t = (struct transfer *)(void *)private;
        unlink_transfer(t);
        curl_multi_remove_handle(client->multi, easy);
        complete(t, code);
        delivered = true;
    }
    return delivered;
}

/* The time in which nobody looked is given back to those that were waiting then. */
static void forgive_absence(struct http_client *client)
{
    int64_t absence = clock_steady_us() - client->looked_us;
    if (absence < HELD_UP_US)
        return;
    for (struct transfer *t = client->transfers; t; t = t->next)
        if (t->started_us <= client->looked_us)
            t->deadline_us += absence;
}

/* Ends those whose time is over; true when there was one. */
static bool end_late_ones(struct http_client *client)
{
    bool ended = false;
    int64_t now = clock_steady_us();
    struct transfer *next;
    for (struct transfer *t = client->transfers; t; t = next) {
        next = t->next;
        if (t->deadline_us > now)
            continue;
        unlink_transfer(t);
        curl_multi_remove_handle(client->multi, t->easy);
        complete(t, CURLE_OPERATION_TIMEDOUT);
        ended = true;
    }
    return ended;
}

/* What can go on does; true when something ended. */
static bool look(struct http_client *client)
{
    int running = 0;
    forgive_absence(client);
    curl_multi_perform(client->multi, &running);
    bool delivered = deliver(client);
    bool ended = end_late_ones(client);
    client->looked_us = clock_steady_us();
    return delivered || ended;
}

static msec_t next_deadline_ms(const struct http_client *client, msec_t at_most)
{
    int64_t now = clock_steady_us();
    for (const struct transfer *t = client->transfers; t; t = t->next) {
        msec_t left = t->deadline_us > now ? (t->deadline_us - now) / 1000 + 1 : 0;
        at_most = left < at_most ? left : at_most;
    }
    return at_most;
}

void http_client_wait(struct http_client *client, msec_t timeout_ms)
{
    if (look(client))
        return;
    msec_t sleep_ms = next_deadline_ms(client, timeout_ms < 60000 ? timeout_ms : 60000);
    int64_t awake_us = client->looked_us + sleep_ms * 1000;
    heartbeat_rest();
    if (sleep_ms > 0)
        curl_multi_poll(client->multi, NULL, 0, (int)sleep_ms, NULL);
    heartbeat_beat();
    int64_t now = clock_steady_us();
    client->looked_us = now < awake_us ? now : awake_us; /* a process that was stopped sleeps for longer */
    look(client);
}

void http_client_wake(struct http_client *client)
{
    curl_multi_wakeup(client->multi);
}
