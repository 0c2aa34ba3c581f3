/* A server on a thread of its own, and a client that sends what it is told, through a raw socket: a client library would
 * not send such things. It answers with what it was asked, `/slow` after 1.5 s, and `/big` with 16 MiB. */
#ifndef TESTS_IO_HTTP_STAGE_H
#define TESTS_IO_HTTP_STAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define DEADLINE_MS 600
#define IDLE_MS 1200

extern int stage_port;
extern atomic_int stage_handled; /* requests that came to the handler */
extern atomic_bool stage_was_drained;

/* Set-up and tear-down of each case. */
int stage_start_server(void **state);
int stage_stop_server(void **state);

int open_client(void);
void send_text(int fd, const char *text);
/* Reads until the server closes or `wait_ms` pass without a byte. True: it closed. */
bool read_all(int fd, int wait_ms, char *into, size_t size);
int count_answers(const char *text);
/* Milliseconds until the server closes the connection. */
long close_time(int fd, long patience_ms);
/* As the server's thread sees it. */
long count_connections(void);
/* Begins to drain the server; stage_was_drained tells when it is. */
void drain_server(void);

#endif
