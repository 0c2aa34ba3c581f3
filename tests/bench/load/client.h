/* The senders' side: connections that are kept alive, each with one request on its way at most. */
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "load/traffic.h"

struct connection {
    int fd;
    char *request;
    size_t request_length;
    int64_t began_us; /* when the request was due */
    bool busy;
    char answer[4096];
    size_t answer_length;
    struct connection *next_idle;
};

/* Connects to 127.0.0.1 and adds the connection to the epoll; ends the program when nobody listens. */
struct connection *connection_new(int epoll, int port, const char *path, const struct traffic *traffic);
void connection_free(struct connection *c);

/* Sends the webhook at this place; the latency counts from `due_us`. */
void connection_send(struct connection *c, const struct traffic *traffic, uint64_t place, int64_t due_us);

/* Reads what is there. Returns the status when the answer is complete, 0 when it is not, -1 when the connection is
 * gone. */
int connection_read(struct connection *c);

#endif
