#include "io/http_stage.h"

#include "io/http_server.h"

#include "support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "io/loop.h"

/* --- a server on its own thread --------------------------------------------------------------------------------- */

static struct loop *loop;
static struct http_server *server;
static pthread_t thread;
int stage_port;
atomic_int stage_handled;
static atomic_bool drain_now;
atomic_bool stage_was_drained;
static atomic_long connections = -1; /* as the loop's thread last saw it */
static struct http_request *held;
static struct loop_timer *answer_held;

static void answer_later(void *arg)
{
    (void)arg;
    struct http_request *request = held;
    held = NULL;
    http_answer(request, 200, "text/plain", BYTES_LITERAL("late"), NULL);
}

static void handle(struct http_request *request, void *arg)
{
    (void)arg;
    atomic_fetch_add(&stage_handled, 1);
    if (strcmp(http_path(request), "/slow") == 0) {
        held = request;
        loop_timer_set(answer_held, 1500);
        return;
    }
    if (strcmp(http_path(request), "/big") == 0) {
        size_t size = (size_t)16 * 1024 * 1024;
        char *text = malloc(size);
        memset(text, 'x', size);
        http_answer(request, 200, "text/plain", (struct bytes){ text, size }, NULL);
        free(text);
        return;
    }
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 1024);
    const char *q = http_query(request, "q");
    buf_addf(&text, "%s %s q=%s body=%zu", http_method(request), http_path(request), q ? q : "-",
             http_body(request).len);
    http_answer(request, 200, "text/plain", buf_bytes(&text), NULL);
}

static void drained(void *arg)
{
    (void)arg;
    atomic_store(&stage_was_drained, true);
    loop_stop(loop);
}

static void nudged(void *arg)
{
    (void)arg;
    atomic_store(&connections, (long)http_server_connections(server));
    if (atomic_exchange(&drain_now, false))
        http_server_drain(server, drained, NULL);
}

static void *run(void *arg)
{
    (void)arg;
    loop_run(loop);
    http_server_free(server);
    loop_timer_free(answer_held);
    return NULL;
}

int stage_start_server(void **state)
{
    (void)state;
    const struct http_limits limits = {
        .max_header_bytes = 4096,
        .max_body_bytes = 65536,
        .read_deadline_ms = DEADLINE_MS,
        .idle_ms = IDLE_MS,
        .max_connections = 50,
    };
    struct error e;
    atomic_store(&stage_handled, 0);
    atomic_store(&stage_was_drained, false);
    loop = loop_new();
    server = http_server_new(loop, &limits, handle, NULL);
    answer_held = loop_timer_new(loop, answer_later, NULL);
    loop_on_nudge(loop, nudged, NULL);
    assert_int_equal(http_server_listen(server, "127.0.0.1:0", &stage_port, &e), ERR_NONE);
    assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
    return 0;
}

int stage_stop_server(void **state)
{
    (void)state;
    if (!atomic_load(&stage_was_drained))
        loop_stop(loop);
    pthread_join(thread, NULL);
    loop_free(loop);
    return 0;
}

/* --- a client that sends what it is told ------------------------------------------------------------------------ */

int open_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)stage_port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void send_text(int fd, const char *text)
{
    ssize_t sent = send(fd, text, strlen(text), MSG_NOSIGNAL);
    assert_int_equal(sent, (ssize_t)strlen(text));
}

bool read_all(int fd, int wait_ms, char *into, size_t size)
{
    size_t length = 0;
    bool closed = false;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, wait_ms) <= 0)
            break;
        ssize_t got = recv(fd, into + length, size - 1 - length, 0);
        if (got <= 0) {
            closed = true;
            break;
        }
        length += (size_t)got;
    }
    into[length] = '\0';
    return closed;
}

int count_answers(const char *text)
{
    int count = 0;
    while ((text = strstr(text, "HTTP/1."))) {
        count++;
        text++;
    }
    return count;
}

long close_time(int fd, long patience_ms)
{
    msec_t started = clock_steady();
    while (clock_steady() - started < patience_ms) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char byte[4096];
        if (poll(&p, 1, 20) > 0 && recv(fd, byte, sizeof(byte), 0) <= 0)
            break;
    }
    return (long)(clock_steady() - started);
}

long count_connections(void)
{
    atomic_store(&connections, -1);
    loop_nudge(loop);
    while (atomic_load(&connections) < 0)
        usleep(1000);
    return atomic_load(&connections);
}

void drain_server(void)
{
    atomic_store(&drain_now, true);
    loop_nudge(loop);
}
