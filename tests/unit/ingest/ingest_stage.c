#include "ingest_stage.h"

#include "patience.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/crypto.h"
#include "store/store.h"

struct pg *pg;
struct ingest *ingest;
atomic_int nudges;
static const char *conninfo;
static struct config config;
static unsigned refusals_per_minute; /* of an address; 0: any number */
static bool require_https;

/* --- the actor -------------------------------------------------------------------------------------------------- */

static void stored(void *arg)
{
    (void)arg;
    atomic_fetch_add(&nudges, 1);
}

static struct source_config source_of(const char *name, const char *kind, const char *settings)
{
    struct source_config source = { .name = memory_text(name), .kind = memory_text(kind) };
    assert_int_equal(json_parse(bytes_of(settings), &source.settings, NULL), ERR_NONE);
    return source;
}

int connect_database(void **state)
{
    (void)state;
    conninfo = getenv("ANSWERD_TEST_DATABASE");
    if (!conninfo)
        return 0;
    const struct pg_settings settings = { .conninfo = conninfo, .application_name = "ingest_test" };
    struct error e;
    size_t migrations_applied;
    if (pg_open(&settings, &pg, &e) != ERR_NONE || store_migrate(pg, NULL, NULL, &migrations_applied, &e) != ERR_NONE ||
        store_make_partitions(pg, &e) != ERR_NONE) {
        print_error("%s\n", e.text);
        return -1;
    }
    return 0;
}

int disconnect_database(void **state)
{
    (void)state;
    pg_close(pg);
    return 0;
}

char hmac_name[SOURCE_NAME_BYTES];
char telegram_name[SOURCE_NAME_BYTES];
char whatsapp_name[SOURCE_NAME_BYTES];

int start_ingest(void **state)
{
    (void)state;
    if (!pg)
        return 0;
    static unsigned run;
    uint32_t random = crypto_random_u32();
    snprintf(hmac_name, sizeof(hmac_name), "hmac-%x-%u", random, run);
    snprintf(telegram_name, sizeof(telegram_name), "telegram-%x-%u", random, run);
    snprintf(whatsapp_name, sizeof(whatsapp_name), "whatsapp-%x-%u", random, run++);
    config = (struct config){ .path = NULL };
    config.http.listen = memory_text("127.0.0.1:0");
    config.http.public_url = memory_text("https://desk.example/");
    config.http.max_body_bytes = 100000;
    config.http.max_header_bytes = 16384;
    config.http.max_connections = 500;
    config.http.require_https = require_https;
    config.http.read_deadline_ms = 4 * PATIENCE_MS;
    config.http.idle_ms = 4 * PATIENCE_MS;
    config.database.url = memory_text(conninfo);
    config.ingest.threads = 2;
    config.ingest.batch_rows = 64;
    config.ingest.queue_rows = 1000;
    config.ingest.commit_deadline_ms = PATIENCE_MS;
    config.ingest.refusals_per_minute = refusals_per_minute;
    config.source_count = 3;
    config.sources = memory_new(3 * sizeof(*config.sources));
    config.sources[0] = source_of(hmac_name, "hmac", "{\"signing_secrets\":[\"" SECRET "\"],\"id\":\"id\"}");
    config.sources[1] =
        source_of(telegram_name, "telegram", "{\"secret_token\":\"tele-secret\",\"bot_token\":\"1:x\"}");
    config.sources[2] = source_of(whatsapp_name, "whatsapp", "{\"app_secret\":\"" SECRET "\",\"verify_token\":\"vt\"}");
    struct error e;
    if (ingest_new(&config, stored, NULL, &ingest, &e) != ERR_NONE) {
        print_error("%s\n", e.text);
        return -1;
    }
    ingest_admit(ingest);
    WAIT_UNTIL(ingest_is_healthy(ingest));
    return 0;
}

int start_limited_ingest(void **state)
{
    refusals_per_minute = 3;
    return start_ingest(state);
}

int start_strict_ingest(void **state)
{
    require_https = true;
    return start_ingest(state);
}

int stop_ingest(void **state)
{
    (void)state;
    refusals_per_minute = 0;
    require_https = false;
    if (!pg)
        return 0;
    ingest_free(ingest);
    for (size_t i = 0; i < config.source_count; i++) {
        free(config.sources[i].name);
        free(config.sources[i].kind);
        json_decref(config.sources[i].settings);
    }
    free(config.sources);
    free(config.http.listen);
    free(config.http.public_url);
    free(config.database.url);
    return 0;
}

/* --- requests --------------------------------------------------------------------------------------------------- */

int open_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)ingest_port(ingest)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int read_answer(int fd, char *answer, size_t size)
{
    size_t length = 0;
    for (;;) {
        answer[length] = '\0';
        const char *end = strstr(answer, "\r\n\r\n");
        if (end) {
            const char *header = strstr(answer, "Content-Length: ");
            size_t body = header ? (size_t)strtoul(header + 16, NULL, 10) : 0;
            if (length >= (size_t)(end - answer) + 4 + body)
                return (int)strtol(answer + 9, NULL, 10);
        }
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, 2 * PATIENCE_MS) <= 0)
            return 0;
        ssize_t got = recv(fd, answer + length, size - 1 - length, 0);
        if (got <= 0)
            return 0;
        length += (size_t)got;
    }
}

int ask(const char *request, char *answer, size_t size)
{
    int fd = open_client();
    assert_true(fd >= 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    int status = read_answer(fd, answer, size);
    close(fd);
    return status;
}

void signed_request(char *out, size_t size, const char *source, const char *secret, const char *body)
{
    unsigned char mac[SHA256_SIZE];
    const struct bytes part = bytes_of(body);
    crypto_hmac(HASH_SHA256, bytes_of(secret), &part, 1, mac);
    struct buf hex CLEANUP(buf_done);
    buf_init(&hex, 100);
    text_encode_hex((struct bytes){ (const char *)mac, sizeof(mac) }, &hex);
    snprintf(out, size,
             "POST /webhooks/%s HTTP/1.1\r\nHost: h\r\nX-Signature: %s\r\nX-Note: kept\r\nCookie: secret=1\r\n"
             "Authorization: Bearer abc\r\nContent-Length: %zu\r\n\r\n%s",
             source, hex.ptr, strlen(body), body);
}

int post(const char *source, const char *secret, const char *body)
{
    char request[16384];
    char answer[4096];
    signed_request(request, sizeof(request), source, secret, body);
    return ask(request, answer, sizeof(answer));
}

int64_t number(const char *sql, const char *source)
{
    const struct pg_value value = PG_VALUE_TEXT(source);
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    struct error e;
    if (pg_run(pg, sql, &value, 1, &r, &e) != ERR_NONE)
        fail_msg("%s: %s", sql, e.text);
    return pg_int8(r, 0, 0);
}

const char webhooks_sql[] = "SELECT count(*) FROM webhook WHERE source = $1";
const char events_sql[] = "SELECT count(*) FROM event WHERE source = $1";
const char work_sql[] = "SELECT count(*) FROM work JOIN event ON event.id = event_id WHERE source = $1";

void need_database(void)
{
    if (!pg)
        skip();
}
