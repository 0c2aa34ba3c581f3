/* A server on a thread of its own, and a client that sends what it is told, through a raw socket: a client library
 * would not send such things. It answers with what it was asked, `/held` when the case says so, and `/big` with 16 MiB.
 */
#ifndef TESTS_IO_HTTP_STAGE_H
#define TESTS_IO_HTTP_STAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* For who includes patience.h too: what ends by a short time is closed before PATIENCE_MS, what ends by a long one is
 * not. */
#define SHORT_MS 600
#define LONG_MS (4 * PATIENCE_MS)
#define MAX_CONNECTIONS 50

extern int stage_port;
extern atomic_int stage_handled; /* requests that came to the handler */
extern atomic_bool stage_was_drained;

/* Set-up and tear-down of each case. Nothing ends by itself, unless it is said. With a short deadline a client that is
 * halted before it sends its request may find itself closed. */
int stage_start_server(void **state);
int stage_start_server_with_short_deadline(void **state);
int stage_start_server_with_short_idle_time(void **state);
int stage_start_server_with_short_times(void **state); /* both */
int stage_stop_server(void **state);

/* As the server's thread sees it. */
long count_connections(void);
long count_receiving_bytes(void);
/* These are done when they return. */
void answer_held(void);
void begin_to_drain(void); /* stage_was_drained tells when it is at its end */

int open_client(void);
void send_text(int fd, const char *text);
/* Reads until `count` whole answers are here. False: the server closed before, or PATIENCE_MS are over. */
bool read_answers(int fd, int count, char *into, size_t size);
/* Reads until the server closes. False: PATIENCE_MS are over. */
bool read_until_closed(int fd, char *into, size_t size);
int count_answers(const char *text);

#endif
