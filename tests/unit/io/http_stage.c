#include "io/http_stage.h"

#include "io/http_server.h"

#include "patience.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
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
atomic_bool stage_was_drained;
static struct http_request *held;

static void handle(struct http_request *request, void *arg)
{
    (void)arg;
    atomic_fetch_add(&stage_handled, 1);
    if (strcmp(http_path(request), "/held") == 0) {
        held = request;
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

/* What the loop's thread is asked for. The case waits until it is done, so that one at a time is enough. */
static struct {
    enum { LOOK, ANSWER_HELD, DRAIN } order;
    long connections;
    long receiving_bytes;
    sem_t given;
    sem_t done;
} command;

static void nudged(void *arg)
{
    (void)arg;
    if (sem_trywait(&command.given) != 0)
        return;
    if (command.order == ANSWER_HELD) {
        http_answer(held, 200, "text/plain", BYTES_LITERAL("late"), NULL);
        held = NULL;
    } else if (command.order == DRAIN) {
        http_server_drain(server, drained, NULL);
    }
    command.connections = (long)http_server_connections(server);
    command.receiving_bytes = (long)http_server_receiving_bytes(server);
    sem_post(&command.done);
}

static void give(int order)
{
    command.order = order;
    sem_post(&command.given);
    loop_nudge(loop);
    while (sem_wait(&command.done) != 0) {
    }
}

long count_connections(void)
{
    give(LOOK);
    return command.connections;
}

long count_receiving_bytes(void)
{
    give(LOOK);
    return command.receiving_bytes;
}

void answer_held(void)
{
    give(ANSWER_HELD);
}

void begin_to_drain(void)
{
    give(DRAIN);
}

static void *run(void *arg)
{
    (void)arg;
    loop_run(loop);
    http_server_free(server);
    return NULL;
}

static int start_server(msec_t read_deadline_ms, msec_t idle_ms)
{
    const struct http_limits limits = {
        .max_header_bytes = 4096,
        .max_body_bytes = 65536,
        .read_deadline_ms = read_deadline_ms,
        .idle_ms = idle_ms,
        .max_connections = MAX_CONNECTIONS,
    };
    struct error e;
    atomic_store(&stage_handled, 0);
    atomic_store(&stage_was_drained, false);
    held = NULL;
    sem_init(&command.given, 0, 0);
    sem_init(&command.done, 0, 0);
    loop = loop_new();
    server = http_server_new(loop, &limits, handle, NULL);
    loop_on_nudge(loop, nudged, NULL);
    assert_int_equal(http_server_listen(server, "127.0.0.1:0", &stage_port, &e), ERR_NONE);
    assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
    return 0;
}

int stage_start_server(void **state)
{
    (void)state;
    return start_server(LONG_MS, LONG_MS);
}

int stage_start_server_with_short_deadline(void **state)
{
    (void)state;
    return start_server(SHORT_MS, LONG_MS);
}

int stage_start_server_with_short_idle_time(void **state)
{
    (void)state;
    return start_server(LONG_MS, SHORT_MS);
}

int stage_start_server_with_short_times(void **state)
{
    (void)state;
    return start_server(SHORT_MS, SHORT_MS);
}

int stage_stop_server(void **state)
{
    (void)state;
    if (!atomic_load(&stage_was_drained))
        loop_stop(loop);
    pthread_join(thread, NULL);
    loop_free(loop);
    sem_destroy(&command.given);
    sem_destroy(&command.done);
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

int count_answers(const char *text)
{
    int count = 0;
    while ((text = strstr(text, "HTTP/1."))) {
        count++;
        text++;
    }
    return count;
}

/* Are `count` answers here, the last one to its end? One without a length has no body. */
static bool are_whole(const char *text, int count)
{
    for (; count > 0; count--) {
        const char *end = strstr(text, "\r\n\r\n");
        if (!end)
            return false;
        const char *length = strstr(text, "Content-Length: ");
        size_t body = length && length < end ? strtoul(length + strlen("Content-Length: "), NULL, 10) : 0;
        text = end + 4;
        if (strlen(text) < body)
            return false;
        text += body;
    }
    return true;
}

/* Until the server closes, or `count` answers are here when it is not 0. */
static bool read_until(int fd, int count, char *into, size_t size, bool *ret_closed)
{
    msec_t began = clock_steady();
    size_t length = 0;
    into[0] = '\0';
    while (count == 0 || !are_whole(into, count)) {
        assert_true(length < size - 1);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, PATIENCE_MS) <= 0 || clock_steady() - began > PATIENCE_MS)
            return false;
        ssize_t got = recv(fd, into + length, size - 1 - length, 0);
        if (got <= 0) {
            *ret_closed = true;
            return false;
        }
        length += (size_t)got;
        into[length] = '\0';
    }
    return true;
}

bool read_answers(int fd, int count, char *into, size_t size)
{
    bool closed = false;
    return read_until(fd, count, into, size, &closed);
}

bool read_until_closed(int fd, char *into, size_t size)
{
    bool closed = false;
    read_until(fd, 0, into, size, &closed);
    return closed;
}
