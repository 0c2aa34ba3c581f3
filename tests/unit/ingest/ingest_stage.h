/* The ingest actor with three sources on a real PostgreSQL, named by ANSWERD_TEST_DATABASE and migrated when it is not;
 * and those who send to it.
 */
#ifndef TESTS_INGEST_STAGE_H
#define TESTS_INGEST_STAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "ingest/ingest.h"
#include "io/pg.h"

#define SECRET "hush-hush" /* of the hmac and the whatsapp source */
#define SOURCE_NAME_BYTES 64

extern struct pg *pg; /* for looking at the tables; NULL without a database */
extern struct ingest *ingest;
extern atomic_int nudges; /* of engines */
/* Names differ for each run, because keys and rows of former runs stay. */
extern char hmac_name[SOURCE_NAME_BYTES];
extern char telegram_name[SOURCE_NAME_BYTES];
extern char whatsapp_name[SOURCE_NAME_BYTES];

/* Set-up and tear-down of all cases, and of each. */
int connect_database(void **state);
int disconnect_database(void **state);
int start_ingest(void **state);
int start_limited_ingest(void **state); /* three refusals of an address in a minute */
int start_strict_ingest(void **state);  /* nothing but HTTPS */
int stop_ingest(void **state);
void need_database(void); /* skips the case without one */

int open_client(void); /* a connected socket, or -1 */
/* Reads one answer with its body; returns the status, or 0 when there is none. */
int read_answer(int fd, char *answer, size_t size);
/* Sends a request on a connection of its own; returns the status. */
int ask(const char *request, char *answer, size_t size);
/* The request of a webhook that is signed with `secret`, and sending it. */
void signed_request(char *out, size_t size, const char *source, const char *secret, const char *body);
int post(const char *source, const char *secret, const char *body);

/* The number that a query with a source's name as its parameter gives. */
int64_t number(const char *sql, const char *source);
extern const char webhooks_sql[];
extern const char events_sql[];
extern const char work_sql[];

#endif
