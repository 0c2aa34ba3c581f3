/* PostgreSQL's own ceiling for what ingest stores: the same statement, with rows like those of a webhook that was
 * stored before, in batches of the same size, on as many connections, and nothing else around it. Prints one JSON
 * object.
 *
 *   bench_ceiling BATCH CONNECTIONS SECONDS FIRST
 *
 * The database (PG* variables) must hold at least one webhook of the load generator: it is the model of all rows. Its
 * twelve-digit number is replaced by others from FIRST on, wherever it is.
 */
#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#include "store/store.h"

#define DIGITS 12
#define MAX_MARKS 8
#define BYTEA_OID 17
#define INT8_OID 20
#define TEXT_OID 25
#define UUID_OID 2950
#define UUID_SIZE 16

/* A text of the model, with the places of the number in it. */
struct model {
    char *text;
    size_t length;
    size_t marks[MAX_MARKS];
    size_t mark_count;
};

/* One parameter: an array in binary format, whose elements differ in digits, or in a number. */
struct array {
    char *bytes;
    size_t length;
    size_t first; /* where the first element's value begins */
    size_t step;
    const struct model *model; /* NULL: int8 or uuid */
};

static int batch;
static double seconds;
static atomic_llong next_number;
static atomic_llong rows_done;
static struct model headers, body, key, doc, type, source;
static char *parser;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail_with(const char *what, const char *why)
{
    fprintf(stderr, "error: %s: %s\n", what, why);
    exit(2);
}

static void put_int32(char **at, uint32_t value)
{
    value = htobe32(value);
    memcpy(*at, &value, sizeof(value));
    *at += sizeof(value);
}

static void put_digits(char *to, long long value)
{
    for (int i = DIGITS; i > 0; i--, value /= 10)
        to[i - 1] = (char)('0' + value % 10);
}

static void read_model(struct model *m, PGresult *result, int column, const char *digits)
{
    m->length = (size_t)PQgetlength(result, 0, column);
    m->text = malloc(m->length + 1);
    if (!m->text)
        abort();
    memcpy(m->text, PQgetvalue(result, 0, column), m->length + 1);
    for (char *at = m->text; digits && (at = memmem(at, m->length - (size_t)(at - m->text), digits, DIGITS));
         at += DIGITS)
        if (m->mark_count < MAX_MARKS)
            m->marks[m->mark_count++] = (size_t)(at - m->text);
}

static struct array array_of(uint32_t oid, const struct model *model)
{
    size_t size = model ? model->length : oid == UUID_OID ? UUID_SIZE : sizeof(int64_t);
    struct array a = { .first = 24, .step = size + 4, .model = model };
    a.length = 20 + (size_t)batch * a.step;
    a.bytes = malloc(a.length);
    if (!a.bytes)
        abort();
    char *at = a.bytes;
    put_int32(&at, 1); /* dimensions, has nulls, type, length, first index */
    put_int32(&at, 0);
    put_int32(&at, oid);
    put_int32(&at, (uint32_t)batch);
    put_int32(&at, 1);
    for (int i = 0; i < batch; i++) {
        put_int32(&at, (uint32_t)size);
        if (model)
            memcpy(at, model->text, size);
        at += size;
    }
    return a;
}

/* As array_of(), with nothing but NULL. */
static struct array array_of_nulls(uint32_t oid)
{
    struct array a = { .length = 20 + (size_t)batch * 4, .step = 4 };
    a.bytes = malloc(a.length);
    if (!a.bytes)
        abort();
    char *at = a.bytes;
    put_int32(&at, 1);
    put_int32(&at, 1);
    put_int32(&at, oid);
    put_int32(&at, (uint32_t)batch);
    put_int32(&at, 1);
    for (int i = 0; i < batch; i++)
        put_int32(&at, UINT32_MAX);
    return a;
}

static void set_number(struct array *a, long long first)
{
    for (int i = 0; i < batch; i++) {
        char *value = a->bytes + a->first + (size_t)i * a->step;
        if (!a->model) {
            uint64_t number = htobe64((uint64_t)(first + i));
            memcpy(value, &number, sizeof(number));
        }
        for (size_t mark = 0; a->model && mark < a->model->mark_count; mark++)
            put_digits(value + a->model->marks[mark], first + i);
    }
}

/* A bijection that spreads numbers over all (the finalizer of MurmurHash3): lanes and digests are hashes, too. */
static uint64_t spread(uint64_t number)
{
    number = (number ^ (number >> 33)) * 0xff51afd7ed558ccdu;
    number = (number ^ (number >> 33)) * 0xc4ceb9fe1a85ec53u;
    return number ^ (number >> 33);
}

static void set_digests(struct array *a, long long first)
{
    for (int i = 0; i < batch; i++) {
        uint64_t digest[2] = { spread((uint64_t)(first + i)), (uint64_t)(first + i) };
        memcpy(a->bytes + a->first + (size_t)i * a->step, digest, sizeof(digest));
    }
}

static void set_lanes(struct array *a, long long first)
{
    for (int i = 0; i < batch; i++) {
        uint64_t lane = htobe64(spread((uint64_t)(first + i)) >> 34);
        memcpy(a->bytes + a->first + (size_t)i * a->step, &lane, sizeof(lane));
    }
}

static void *insert(void *arg)
{
    (void)arg;
    PGconn *connection = PQconnectdb("application_name=ceiling");
    if (PQstatus(connection) != CONNECTION_OK)
        fail_with("cannot connect", PQerrorMessage(connection));
    struct array arrays[INGEST_PARAMETERS] = {
        [INGEST_WEBHOOK_IDS] = array_of(INT8_OID, NULL),    [INGEST_SOURCES] = array_of(TEXT_OID, &source),
        [INGEST_HEADERS] = array_of(TEXT_OID, &headers),    [INGEST_BODIES] = array_of(BYTEA_OID, &body),
        [INGEST_PROBLEMS] = array_of_nulls(TEXT_OID),       [INGEST_EVENT_IDS] = array_of(INT8_OID, NULL),
        [INGEST_EVENT_WEBHOOKS] = array_of(INT8_OID, NULL), [INGEST_EVENT_SOURCES] = array_of(TEXT_OID, &source),
        [INGEST_TYPES] = array_of(TEXT_OID, &type),         [INGEST_KEYS] = array_of(TEXT_OID, &key),
        [INGEST_DIGESTS] = array_of(UUID_OID, NULL),        [INGEST_LANES] = array_of(INT8_OID, NULL),
        [INGEST_OCCURRED] = array_of_nulls(TEXT_OID),       [INGEST_DOCS] = array_of(TEXT_OID, &doc),
    };
    const char *values[INGEST_PARAMETERS];
    int lengths[INGEST_PARAMETERS];
    int formats[INGEST_PARAMETERS];
    for (int i = 0; i < INGEST_PARAMETERS; i++) {
        values[i] = i == INGEST_PARSER ? parser : arrays[i].bytes;
        lengths[i] = (int)arrays[i].length;
        formats[i] = i != INGEST_PARSER;
    }
    PQclear(PQprepare(connection, "append", ingest_statement, INGEST_PARAMETERS, NULL));
    double end = now() + seconds;
    while (now() < end) {
        long long first = atomic_fetch_add(&next_number, batch);
        set_number(&arrays[INGEST_WEBHOOK_IDS], first * 2);
        set_number(&arrays[INGEST_EVENT_WEBHOOKS], first * 2);
        set_number(&arrays[INGEST_EVENT_IDS], first * 2 + batch);
        set_number(&arrays[INGEST_BODIES], first);
        set_number(&arrays[INGEST_KEYS], first);
        set_number(&arrays[INGEST_DOCS], first);
        set_digests(&arrays[INGEST_DIGESTS], first);
        set_lanes(&arrays[INGEST_LANES], first);
        PGresult *result = PQexecPrepared(connection, "append", INGEST_PARAMETERS, values, lengths, formats, 0);
        if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
            strtol(PQgetvalue(result, 0, 0), NULL, 10) != batch)
            fail_with("the batch was not stored", PQerrorMessage(connection));
        PQclear(result);
        atomic_fetch_add(&rows_done, batch);
    }
    PQfinish(connection);
    return NULL;
}

static void read_models(void)
{
    PGconn *connection = PQconnectdb("application_name=ceiling");
    if (PQstatus(connection) != CONNECTION_OK)
        fail_with("cannot connect", PQerrorMessage(connection));
    PGresult *result = PQexec(
        connection, "SELECT substring(convert_from(w.body, 'UTF8') from 'My order is ([0-9]{12})'), w.headers::text,"
                    "       convert_from(w.body, 'UTF8'), e.key, e.doc::text, e.type, w.source, w.parser"
                    "  FROM webhook w JOIN event e ON e.webhook_id = w.id LIMIT 1");
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
        fail_with("no webhook to model rows on", PQerrorMessage(connection));
    const char *digits = PQgetvalue(result, 0, 0);
    read_model(&headers, result, 1, NULL);
    read_model(&body, result, 2, digits);
    read_model(&key, result, 3, digits);
    read_model(&doc, result, 4, digits);
    read_model(&type, result, 5, NULL);
    read_model(&source, result, 6, NULL);
    parser = strdup(PQgetvalue(result, 0, 7));
    if (key.mark_count == 0)
        fail_with("no number in the event's key", key.text);
    PQclear(result);
    PQfinish(connection);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: bench_ceiling BATCH CONNECTIONS SECONDS FIRST\n");
        return 2;
    }
    batch = (int)strtol(argv[1], NULL, 10);
    long connections = strtol(argv[2], NULL, 10);
    seconds = strtod(argv[3], NULL);
    next_number = strtoll(argv[4], NULL, 10);
    if (batch < 1 || batch > 4096 || connections < 1 || connections > 64 || seconds <= 0)
        fail_with("wrong arguments", "1 <= BATCH <= 4096, 1 <= CONNECTIONS <= 64, SECONDS > 0");
    read_models();
    pthread_t threads[64];
    double began = now();
    for (long i = 0; i < connections; i++)
        if (pthread_create(&threads[i], NULL, insert, NULL) != 0)
            fail_with("no thread", "");
    for (long i = 0; i < connections; i++)
        pthread_join(threads[i], NULL);
    double took = now() - began;
    printf("{\"rows\": %lld, \"seconds\": %.6f, \"per_second\": %.1f, \"batch\": %d}\n", (long long)rows_done, took,
           (double)rows_done / took, batch);
    return 0;
}
