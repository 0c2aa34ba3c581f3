#include "simulate/poster.h"

#include "base/log.h"
#include "base/memory.h"
#include "channel/channel.h"
#include "io/crypto.h"
#include "io/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS 5
#define MOST_IN_FLIGHT 64
#define MOST_WAITING 200000
#define MOST_ATTEMPTS 20
#define FIRST_RETRY_MS 1000
#define LONGEST_RETRY_MS 60000
#define TIMEOUT_MS 10000

struct post {
    struct poster *poster;
    const struct source_config *source;
    struct buf body;
    char id[32]; /* the same at each attempt, for kinds that sign one */
    msec_t due;  /* on the steady clock */
    unsigned attempts;
    poster_done *done; /* NULL when nobody waits for the first attempt */
    void *arg;
    struct post *next;
};

struct poster {
    struct loop_timer *timer;
    struct http_client *client;
    char *target;
    poster_answer *answer;
    void *answer_arg;
    struct post *posts; /* waiting, by due time */
    size_t count;
    struct post *flying;
    size_t in_flight;
};

/* --- signing ------------------------------------------------------------------------------------------------------ */

static const char *first_text(const json_t *value)
{
    const char *text = json_string_value(json_is_array(value) ? json_array_get(value, 0) : value);
    return text && *text ? text : NULL;
}

/* The secret that the source verifies with: its first setting that holds secrets. */
static bool find_secret(const struct source_config *source, const struct channel_kind *kind, struct buf *secret)
{
    const char *user = json_str(source->settings, "user");
    const char *password = first_text(json_object_get(source->settings, "password"));
    if (user && password) {
        buf_addf(secret, "%s:%s", user, password);
        return true;
    }
    static const char *const common[] = { "signing_secrets", "signing_secret", "secrets", "secret" };
    const char *text = NULL;
    for (const struct channel_setting *s = kind->settings; s && s->name && !text; s++) {
        if (s->type == SETTING_SECRETS) {
            text = first_text(json_object_get(source->settings, s->name));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(common) && !text; i++) {
        text = first_text(json_object_get(source->settings, common[i]));
    }
    buf_add_text(secret, text ? text : "");
    return text != NULL;
}

static err_t sign(const struct post *post, struct buf *headers, struct error *reterr)
{
    const struct channel_kind *kind = channel_find(post->source->kind);
    struct buf secret CLEANUP(buf_done);
    struct buf url CLEANUP(buf_done);
    buf_init(&secret, 4096);
    buf_init(&url, 2048);
    buf_addf(&url, "%s/webhooks/%s", post->poster->target, post->source->name);
    const char *signed_url = json_str(post->source->settings, "notification_url");
    const struct webhook_header id = { "webhook-id", post->id };
    const struct webhook w = {
        .method = "POST",
        .source = post->source->name,
        .url = signed_url ? signed_url : url.ptr,
        .headers = &id,
        .header_count = 1,
        .body = buf_bytes(&post->body),
        .now = clock_now(),
    };
    if (kind == NULL || (kind->sign == NULL && kind->sign_as_configured == NULL)) {
        return fail(reterr, ERR_INVALID, "webhooks of the kind '%s' cannot be signed here", post->source->kind);
    }
    if (!find_secret(post->source, kind, &secret)) {
        return fail(reterr, ERR_INVALID, "the source '%s' has no secret to sign with", post->source->name);
    }
    return kind->sign_as_configured
               ? kind->sign_as_configured(&w, post->source->settings, buf_bytes(&secret), headers, reterr)
               : kind->sign(&w, buf_bytes(&secret), headers, reterr);
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

static void arm(struct poster *poster)
{
    if (poster->in_flight > 0) {
        loop_timer_set(poster->timer, TICK_MS);
    } else if (poster->posts) {
        msec_t wait = poster->posts->due - clock_steady();
        loop_timer_set(poster->timer, wait > 0 ? wait : 0);
    }
}

static void insert(struct poster *poster, struct post *post)
{
    struct post **at = &poster->posts;
    while (*at && (*at)->due <= post->due) {
        at = &(*at)->next;
    }
    post->next = *at;
    *at = post;
    poster->count++;
}

static void post_free(struct post *post)
{
    buf_done(&post->body);
    free(post);
}

static msec_t retry_delay(unsigned attempts)
{
    msec_t delay = FIRST_RETRY_MS;
    for (unsigned i = 1; i < attempts && delay < LONGEST_RETRY_MS; i++) {
        delay *= 2;
    }
    return delay < LONGEST_RETRY_MS ? delay : LONGEST_RETRY_MS;
}

static void finish_attempt(struct post *post, int status, const char *error)
{
    struct poster *poster = post->poster;
    bool is_taken = status >= 200 && status < 300;
    bool is_last = post->attempts >= MOST_ATTEMPTS;
    if (post->done) {
        poster_done *done = post->done;
        post->done = NULL;
        done(status, error, post->arg);
    }
    if (is_taken) {
        log_debug("webhook taken", "source=%s status=%d attempts=%u", post->source->name, status, post->attempts);
    } else {
        log_warn(is_last ? "webhook given up" : "webhook not taken", "source=%s status=%d attempts=%u error='%s'",
                 post->source->name, status, post->attempts, error);
    }
    if (is_taken || is_last) {
        post_free(post);
        return;
    }
    post->due = clock_steady() + retry_delay(post->attempts);
    insert(poster, post);
}

static void answered(const struct http_exchange *exchange, void *arg)
{
    struct post *post = arg;
    struct post **at = &post->poster->flying;
    while (*at != post) {
        at = &(*at)->next;
    }
    *at = post->next;
    post->poster->in_flight--;
    if (exchange->outcome == HTTP_ANSWERED && exchange->status >= 200 && exchange->status < 300 &&
        exchange->body.len > 0) {
        post->poster->answer(post->source, exchange->body, post->poster->answer_arg);
    }
    finish_attempt(post, exchange->outcome == HTTP_ANSWERED ? exchange->status : 0, exchange->error);
}

static void start(struct post *post)
{
    struct poster *poster = post->poster;
    struct buf url CLEANUP(buf_done);
    struct buf lines CLEANUP(buf_done);
    struct error e = { .code = ERR_NONE };
    buf_init(&url, 2048);
    buf_init(&lines, 65536);
    buf_addf(&url, "%s/webhooks/%s", poster->target, post->source->name);
    buf_add_text(&lines, "Content-Type: application/json\n");
    post->attempts++;
    if (sign(post, &lines, &e) != ERR_NONE) {
        finish_attempt(post, 0, e.text);
        return;
    }
    const char *headers[16] = { NULL };
    size_t count = 0;
    for (char *line = lines.ptr; *line && count + 1 < ARRAY_LEN(headers);) {
        char *end = strchr(line, '\n');
        headers[count++] = line;
        if (end == NULL) {
            break;
        }
        *end = '\0';
        line = end + 1;
    }
    const struct http_client_request request = {
        .method = "POST", .url = url.ptr, .headers = headers, .body = buf_bytes(&post->body), .timeout_ms = TIMEOUT_MS
    };
    post->next = poster->flying;
    poster->flying = post;
    poster->in_flight++;
    http_client_send(poster->client, &request, answered, post);
}

static void tick(void *arg)
{
    struct poster *poster = arg;
    msec_t now = clock_steady();
    while (poster->posts && poster->posts->due <= now && poster->in_flight < MOST_IN_FLIGHT) {
        struct post *post = poster->posts;
        poster->posts = post->next;
        poster->count--;
        start(post);
    }
    http_client_wait(poster->client, 0);
    arm(poster);
}

struct poster *poster_new(struct loop *loop, const char *target, poster_answer *answer, void *arg)
{
    struct poster *poster = memory_new(sizeof(*poster));
    const struct http_client_settings settings = { .max_connections = MOST_IN_FLIGHT,
                                                   .max_host_connections = MOST_IN_FLIGHT };
    size_t length = strlen(target);
    while (length > 0 && target[length - 1] == '/') {
        length--;
    }
    poster->target = memory_text_n(target, length);
    poster->client = http_client_new(&settings);
    poster->timer = loop_timer_new(loop, tick, poster);
    poster->answer = answer;
    poster->answer_arg = arg;
    return poster;
}

static void free_all(struct post *post)
{
    while (post) {
        struct post *next = post->next;
        post_free(post);
        post = next;
    }
}

void poster_free(struct poster *poster)
{
    if (poster == NULL) {
        return;
    }
    http_client_free(poster->client); /* first: its transfers refer to what flies */
    free_all(poster->posts);
    free_all(poster->flying);
    loop_timer_free(poster->timer);
    free(poster->target);
    free(poster);
}

err_t poster_add(struct poster *poster, const struct source_config *source, struct bytes body, msec_t after_ms,
                 poster_done *done, void *arg, struct error *reterr)
{
    if (poster->count >= MOST_WAITING) {
        return fail(reterr, ERR_BUSY, "too many webhooks wait to be posted");
    }
    struct post *post = memory_new(sizeof(*post));
    post->poster = poster;
    post->source = source;
    post->due = clock_steady() + (after_ms > 0 ? after_ms : 0);
    post->done = done;
    post->arg = arg;
    snprintf(post->id, sizeof(post->id), "msg_%08x%08x", crypto_random_u32(), crypto_random_u32());
    buf_init(&post->body, body.len);
    buf_add_bytes(&post->body, body);

    struct buf headers CLEANUP(buf_done);
    buf_init(&headers, 65536);
    err_t err = sign(post, &headers, reterr);
    if (err != ERR_NONE) {
        post_free(post);
        return err;
    }
    insert(poster, post);
    arm(poster);
    return ERR_NONE;
}

size_t poster_waiting(const struct poster *poster)
{
    return poster->count + poster->in_flight;
}

void poster_clear(struct poster *poster)
{
    struct post *kept = NULL;
    while (poster->posts) {
        struct post *post = poster->posts;
        poster->posts = post->next;
        poster->count--;
        if (post->done) {
            post->next = kept;
            kept = post;
        } else {
            post_free(post);
        }
    }
    while (kept) {
        struct post *post = kept;
        kept = post->next;
        insert(poster, post);
    }
}
