/* Outcomes of transfers, above all: may the other side have seen the request? The server is a raw socket that does what
 * the case tells it. */
#include "io/http_client.h"

#include "patience.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "io/http_address.h"
#include "io/http_forwarded.h"

/* Longer than a machine is halted: in this time a request comes to the server, wherever that happens. */
#define TIMEOUT_MS 2500
#define HELD_UP_MS 3000

/* --- a server that follows a script ----------------------------------------------------------------------------- */

static int listener;
static int port;
static pthread_t thread;
static atomic_int requests;
static atomic_int connections;
static atomic_int answered_late;
static sem_t may_answer;
static char last_request[8192];
static pthread_mutex_t last_request_lock = PTHREAD_MUTEX_INITIALIZER;

/* The number in the path says what to do: see serve_one(). */
static bool serve_one(int fd, int action)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static const char later[] = "HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    static const char moved[] = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    static const char large[] = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    char filler[100000];
    switch (action) {
    case 1:
        send(fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL);
        return true;
    case 2: /* close without an answer */
        return false;
    case 3:
        send(fd, later, sizeof(later) - 1, MSG_NOSIGNAL);
        return true;
    case 4:
        send(fd, moved, sizeof(moved) - 1, MSG_NOSIGNAL);
        return true;
    case 5:
        send(fd, half, sizeof(half) - 1, MSG_NOSIGNAL);
        return false;
    case 6:
        memset(filler, 'x', sizeof(filler));
        send(fd, large, sizeof(large) - 1, MSG_NOSIGNAL);
        send(fd, filler, sizeof(filler), MSG_NOSIGNAL);
        return true;
    case 8: /* when the case says so */
        while (sem_wait(&may_answer) != 0) {
        }
        send(fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL);
        atomic_fetch_add(&answered_late, 1);
        return true;
    default: /* no answer, but the connection stays until the client goes */
        recv(fd, filler, sizeof(filler), 0);
        return false;
    }
}

static void *serve_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    for (;;) {
        char request[8192];
        size_t length = 0;
        char *body = NULL;
        size_t body_length = 0;
        while (!body || length - (size_t)(body - request) < body_length) {
            ssize_t got = recv(fd, request + length, sizeof(request) - 1 - length, 0);
            if (got <= 0) {
                close(fd);
                return NULL;
            }
            length += (size_t)got;
            request[length] = '\0';
            body = strstr(request, "\r\n\r\n");
            if (body) {
                body += 4;
                const char *header = strstr(request, "Content-Length: ");
                body_length = header ? (size_t)strtoul(header + 16, NULL, 10) : 0;
            }
        }
        atomic_fetch_add(&requests, 1);
        pthread_mutex_lock(&last_request_lock);
        memcpy(last_request, request, length + 1);
        pthread_mutex_unlock(&last_request_lock);
        const char *slash = strchr(request, '/');
        if (!serve_one(fd, slash[1] - '0')) {
            close(fd);
            return NULL;
        }
    }
}

static void *serve(void *arg)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            return arg;
        atomic_fetch_add(&connections, 1);
        pthread_t connection;
        pthread_create(&connection, NULL, serve_connection, (void *)(intptr_t)fd);
        pthread_detach(connection);
    }
}

static int start_server(void **state)
{
    (void)state;
    http_client_start();
    sem_init(&may_answer, 0, 0);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 10) != 0)
        return -1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    port = ntohs(address.sin_port);
    return pthread_create(&thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    return 0;
}

/* --- one transfer ----------------------------------------------------------------------------------------------- */

struct seen {
    int calls;
    struct http_exchange exchange;
    char body[256];
};

static void done(const struct http_exchange *exchange, void *arg)
{
    struct seen *seen = arg;
    seen->calls++;
    seen->exchange = *exchange;
    size_t length = exchange->body.len < sizeof(seen->body) - 1 ? exchange->body.len : sizeof(seen->body) - 1;
    memcpy(seen->body, exchange->body.ptr ? exchange->body.ptr : "", length);
    seen->body[length] = '\0';
}

static void wait_for(struct http_client *client)
{
    msec_t started = clock_steady();
    while (http_client_in_flight(client) > 0 && clock_steady() - started < PATIENCE_MS)
        http_client_wait(client, 100);
}

static void transfer(struct http_client *client, const struct http_client_request *request, struct seen *seen)
{
    *seen = (struct seen){ 0 };
    http_client_send(client, request, done, seen);
    assert_int_equal(seen->calls, 0);
    wait_for(client);
    assert_int_equal(seen->calls, 1);
}

static const char *local_url(int action)
{
    static char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/%d", port, action);
    return url;
}

static void post(struct http_client *client, int action, struct seen *seen)
{
    const struct http_client_request request = { .url = local_url(action),
                                                 .body = BYTES_LITERAL("{\"a\":1}"),
                                                 .timeout_ms = action == 7 ? TIMEOUT_MS : PATIENCE_MS };
    transfer(client, &request, seen);
}

/* --- cases ------------------------------------------------------------------------------------------------------ */

static void test_answers(void **state)
{
    (void)state;
    struct http_client *client = http_client_new(NULL);
    struct seen seen;
    post(client, 1, &seen);
    assert_int_equal(seen.exchange.outcome, HTTP_ANSWERED);
    assert_int_equal(seen.exchange.status, 200);
    assert_string_equal(seen.body, "ok");
    assert_string_equal(seen.exchange.error, "");
    assert_int_equal(seen.exchange.retry_after_ms, -1);
    assert_non_null(strstr(last_request, "POST /1 HTTP/1.1\r\n"));
    assert_non_null(strstr(last_request, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(last_request, "User-Agent: answerd/"));
    assert_null(strstr(last_request, "Expect"));
    assert_non_null(strstr(last_request, "\r\n\r\n{\"a\":1}"));
    post(client, 3, &seen);
    assert_int_equal(seen.exchange.status, 429);
    assert_int_equal(seen.exchange.retry_after_ms, 7000);
    post(client, 4, &seen); /* redirects are answers */
    assert_int_equal(seen.exchange.status, 302);
    http_client_free(client);
}

static void test_methods_and_headers(void **state)
{
    (void)state;
    struct http_client *client = http_client_new(NULL);
    struct seen seen;
    static const char *const headers[] = { "Authorization: Bearer t", "Content-Type: text/x", NULL };
    struct http_client_request request = { .method = "GET", .url = local_url(1), .headers = headers };
    transfer(client, &request, &seen);
    assert_non_null(strstr(last_request, "GET /1 "));
    assert_non_null(strstr(last_request, "Authorization: Bearer t\r\n"));
    request = (struct http_client_request){
        .method = "PUT", .url = local_url(1), .headers = headers, .body = BYTES_LITERAL("x")
    };
    transfer(client, &request, &seen);
    assert_non_null(strstr(last_request, "PUT /1 "));
    assert_non_null(strstr(last_request, "Content-Type: text/x\r\n"));
    assert_null(strstr(last_request, "application/json"));
    request = (struct http_client_request){ .url = local_url(1) };
    transfer(client, &request, &seen);
    assert_non_null(strstr(last_request, "POST /1 "));
    assert_non_null(strstr(last_request, "Content-Length: 0\r\n"));
    http_client_free(client);
}

static void test_never_reached(void **state)
{
    (void)state;
    struct http_client *client = http_client_new(NULL);
    struct seen seen;
    static const char *const urls[] = { "http://127.0.0.1:1/secret",
                                        "http://nowhere.invalid/secret",
                                        "ftp://127.0.0.1/secret",
                                        "not a url secret",
                                        "http://[::1",
                                        "" };
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        const struct http_client_request request = { .url = urls[i], .body = BYTES_LITERAL("x"), .timeout_ms = 5000 };
        transfer(client, &request, &seen);
        if (seen.exchange.outcome != HTTP_NOT_SENT || !seen.exchange.error[0] || strstr(seen.exchange.error, "secret"))
            fail_msg("%s: outcome %d, '%s'", urls[i], seen.exchange.outcome, seen.exchange.error);
    }
    http_client_free(client);
}

static void test_unknown_outcomes(void **state)
{
    (void)state;
    struct http_client_settings settings = { .max_answer_bytes = 5000 };
    struct http_client *client = http_client_new(&settings);
    struct seen seen;
    static const int actions[] = { 2, 5, 6, 7 };
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        post(client, actions[i], &seen);
        if (seen.exchange.outcome != HTTP_UNKNOWN)
            fail_msg("action %d: outcome %d, '%s'", actions[i], seen.exchange.outcome, seen.exchange.error);
    }
    http_client_free(client);
}

static void test_no_blind_second_send(void **state)
{
    (void)state;
    struct http_client *client = http_client_new(NULL);
    struct seen seen;
    post(client, 1, &seen);
    assert_int_equal(seen.exchange.outcome, HTTP_ANSWERED);
    int before = atomic_load(&requests);
    /* On the connection that was kept: it is read by the server, which then dies. libcurl would send it again. */
    post(client, 2, &seen);
    assert_int_equal(atomic_load(&requests), before + 1);
    assert_int_equal(seen.exchange.outcome, HTTP_UNKNOWN);
    assert_string_equal(seen.exchange.error, "the connection ended before an answer came");
    http_client_free(client);
}

/* Five seconds are what Apache and Node.js have, unless somebody says otherwise. */
static void test_nothing_is_sent_when_the_server_is_about_to_close(void **state)
{
    (void)state;
    struct http_client *client = http_client_new(NULL);
    struct seen seen;
    post(client, 1, &seen);
    int before = atomic_load(&connections);
    post(client, 1, &seen);
    assert_int_equal(atomic_load(&connections), before);
    usleep(4500 * 1000);
    post(client, 1, &seen);
    assert_int_equal(seen.exchange.outcome, HTTP_ANSWERED);
    assert_int_equal(atomic_load(&connections), before + 1);
    http_client_free(client);
}

static void test_private_addresses(void **state)
{
    (void)state;
    struct http_client *client = http_client_new(NULL);
    struct seen seen;
    post(client, 1, &seen); /* a connection to it is kept, and must not be used */
    int before = atomic_load(&requests);
    const struct http_client_request request = { .url = local_url(1),
                                                 .body = BYTES_LITERAL("x"),
                                                 .forbid_private_addresses = true };
    transfer(client, &request, &seen);
    assert_int_equal(seen.exchange.outcome, HTTP_NOT_SENT);
    assert_string_equal(seen.exchange.error, "the address is not public");
    assert_int_equal(atomic_load(&requests), before);

    /* Unless it lies in a network that is named. */
    struct http_network network;
    struct error e;
    const struct http_networks allowed = { &network, 1 };
    struct http_client_request to_allowed = request;
    to_allowed.allowed_networks = &allowed;
    assert_int_equal(http_network_parse(BYTES_LITERAL("127.0.0.2"), &network, &e), ERR_NONE);
    transfer(client, &to_allowed, &seen);
    assert_string_equal(seen.exchange.error, "the address is not public");
    assert_int_equal(http_network_parse(BYTES_LITERAL("127.0.0.0/8"), &network, &e), ERR_NONE);
    transfer(client, &to_allowed, &seen);
    assert_int_equal(seen.exchange.outcome, HTTP_ANSWERED);
    assert_int_equal(atomic_load(&requests), before + 1);
    http_client_free(client);
}

static bool is_public(const char *text)
{
    struct sockaddr_in ipv4 = { .sin_family = AF_INET };
    struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6 };
    if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1)
        return http_address_is_public((struct sockaddr *)&ipv4);
    assert_int_equal(inet_pton(AF_INET6, text, &ipv6.sin6_addr), 1);
    return http_address_is_public((struct sockaddr *)&ipv6);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const public[] = { "1.1.1.1",         "11.0.0.1",    "172.32.0.1",     "172.15.255.255",
                                          "100.63.0.1",      "100.128.0.1", "169.253.1.1",    "223.255.255.255",
                                          "2606:4700::1111", "2a00::1",     "::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
                                          "2002:101:101::1" };
    static const char *const private[] = { "127.0.0.1",
                                           "0.0.0.0",
                                           "10.255.0.1",
                                           "172.16.0.1",
                                           "172.31.255.255",
                                           "192.168.1.1",
                                           "169.254.169.254",
                                           "100.64.0.1",
                                           "224.0.0.1",
                                           "255.255.255.255",
                                           "192.0.2.1",
                                           "198.19.0.1",
                                           "::1",
                                           "::",
                                           "fe80::1",
                                           "fc00::1",
                                           "fd00:ec2::254",
                                           "ff02::1",
                                           "::ffff:127.0.0.1",
                                           "::ffff:169.254.169.254",
                                           "64:ff9b::10.0.0.1",
                                           "2002:7f00:1::1",
                                           "2001:db8::1",
                                           "::127.0.0.1" };
    for (size_t i = 0; i < ARRAY_LEN(public); i++)
        if (!is_public(public[i]))
            fail_msg("%s is refused", public[i]);
    for (size_t i = 0; i < ARRAY_LEN(private); i++)
        if (is_public(private[i]))
            fail_msg("%s is let through", private[i]);
}

static void test_freed_in_flight(void **state)
{
    (void)state;
    struct http_client *client = http_client_new(NULL);
    struct seen seen = { 0 };
    const struct http_client_request request = { .url = local_url(9), .body = BYTES_LITERAL("x") };
    http_client_send(client, &request, done, &seen);
    const struct http_client_request wrong = { .url = "ftp://x/" };
    http_client_send(client, &wrong, done, &seen);
    assert_int_equal(http_client_in_flight(client), 2);
    http_client_free(client);
    assert_int_equal(seen.calls, 0);
}

static void *wake(void *arg)
{
    usleep(100 * 1000);
    http_client_wake(arg);
    return NULL;
}

static void test_can_be_woken(void **state)
{
    (void)state;
    struct http_client *client = http_client_new(NULL);
    pthread_t waker;
    msec_t started = clock_steady();
    pthread_create(&waker, NULL, wake, client);
    http_client_wait(client, 2 * PATIENCE_MS);
    assert_in_range(clock_steady() - started, 100, PATIENCE_MS);
    pthread_join(waker, NULL);
    http_client_free(client);
}

/* A thread that was held up elsewhere, by the database or by the machine, finds the answers that came meanwhile; one
 * that has not got its answer then has as long as it had left. */
static void test_held_up(void **state)
{
    (void)state;
    struct http_client *client = http_client_new(NULL);
    struct seen answered = { 0 };
    struct seen silent = { 0 };
    struct http_client_request request = { .url = local_url(8), .body = BYTES_LITERAL("{}"), .timeout_ms = TIMEOUT_MS };
    int before = atomic_load(&requests);
    http_client_send(client, &request, done, &answered);
    request.url = local_url(9);
    http_client_send(client, &request, done, &silent);
    while (atomic_load(&requests) < before + 2 && http_client_in_flight(client) == 2)
        http_client_wait(client, 1);
    sem_post(&may_answer);
    WAIT_UNTIL(atomic_load(&answered_late) == 1);
    usleep(HELD_UP_MS * 1000); /* it is the thread that was held up */
    while (answered.calls == 0)
        http_client_wait(client, 1);
    assert_int_equal(answered.exchange.outcome, HTTP_ANSWERED);
    assert_string_equal(answered.body, "ok");
    assert_int_equal(silent.calls, 0);
    wait_for(client);
    assert_int_equal(silent.exchange.outcome, HTTP_UNKNOWN);
    assert_in_range(silent.exchange.duration_ms, TIMEOUT_MS + HELD_UP_MS, 14000); /* and not by the usual 15 s */
    http_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_held_up),
        cmocka_unit_test(test_methods_and_headers),
        cmocka_unit_test(test_never_reached),
        cmocka_unit_test(test_unknown_outcomes),
        cmocka_unit_test(test_no_blind_second_send),
        cmocka_unit_test(test_nothing_is_sent_when_the_server_is_about_to_close),
        cmocka_unit_test(test_private_addresses),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_freed_in_flight),
        cmocka_unit_test(test_can_be_woken),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
