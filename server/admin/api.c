#include "admin/api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/crypto.h"
#include "store/api_store.h"

#define MAX_TOKEN_BYTES 256

/* One path of the API. "*" stands for an id, "!" for the last word, which the handler looks at. */
struct route {
    const char *method;
    const char *pattern;
    const char *scope; /* NULL: needs no token */
    api_handler *handler;
    const char *const *parameters; /* of the query, ending with NULL; NULL: it takes none */
};

static const char *const conversation_filters[] = { "state", "contact", "assignee", "tag", "limit", "cursor", NULL };

static const struct route routes[] = {
    { "GET", "openapi.json", NULL, api_get_openapi, NULL },
    { "GET", "conversations", "read", api_list_conversations, conversation_filters },
    { "GET", "conversations/*", "read", api_get_conversation, NULL },
    { "POST", "conversations/*/!", "write", api_act_on_conversation, NULL },
    { "GET", "contacts/*", "read", api_get_contact, NULL },
    { "POST", "events", "write", api_post_event, NULL },
    { "GET", "events/*", "read", api_get_event, NULL },
    { "POST", "events/*/retry", "write", api_retry_event, NULL },
    { "POST", "deliveries/*/retry", "write", api_retry_delivery, NULL },
    { "POST", "sources/!/resume", "admin", api_resume_source, NULL },
    { "POST", "reload", "admin", api_reload, NULL },
};

void api_call_free(struct api_call *call)
{
    if (call == NULL) {
        return;
    }
    json_decref(call->query);
    json_decref(call->input);
    json_decref(call->token);
    json_decref(call->answer);
    free(call->method);
    free(call->path);
    if (call->authorization != NULL) {
        crypto_wipe(call->authorization, strlen(call->authorization));
    }
    free(call->authorization);
    free(call->idempotency_key);
    free(call->word);
    free(call->body);
    free(call);
}

void api_answer(struct api_call *call, int status, json_t *answer)
{
    json_decref(call->answer);
    call->status = status;
    call->answer = answer;
}

void api_refuse(struct api_call *call, int status, const char *code, const char *hint, const char *format, ...)
{
    char message[512];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof(message), format, values);
    va_end(values);
    json_t *error = json_object();
    json_put_str(error, "code", code);
    json_put_bytes(error, "message", bytes_of(message));
    json_put_str(error, "hint", hint);
    json_t *answer = json_object();
    json_put(answer, "error", error);
    api_answer(call, status, answer);
}

bool api_database_failed(struct api_call *call, const struct error *error)
{
    switch (error->code) {
    case ERR_LOST:
    case ERR_BUSY:
    case ERR_TIMEOUT:
        return false;
    case ERR_NOT_FOUND:
        api_refuse(call, 404, "not_found", NULL, "%s", error->text);
        return true;
    case ERR_CONFLICT:
        api_refuse(call, 409, "conflict", NULL, "%s", error->text);
        return true;
    case ERR_INVALID:
        if (error->sqlstate[0] == '\0') {
            api_refuse(call, 400, "invalid", NULL, "%s", error->text);
            return true;
        }
        break;
    default:
        break;
    }
    log_error("a call of the api failed", "method=%s path='%s' reason='%s'", call->method, call->path, error->text);
    api_refuse(call, 500, "internal", "the log of the server says more", "the server could not do this");
    return true;
}

static bool is_known(const char *const *known, const char *word)
{
    for (size_t i = 0; known[i] != NULL; i++) {
        if (strcmp(known[i], word) == 0) {
            return true;
        }
    }
    return false;
}

bool api_check_names(struct api_call *call, const char *prefix, const json_t *object, const char *const *known,
                     const char *hint)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        if (!is_known(known, key)) {
            const char *nearest = text_nearest(key, known);
            char meant[120];
            snprintf(meant, sizeof(meant), "did you mean '%s'", nearest != NULL ? nearest : "");
            api_refuse(call, 400, "unknown_field", nearest != NULL ? meant : hint, "unknown field '%s%.100s'", prefix,
                       key);
            return false;
        }
    }
    return true;
}

bool api_check_keys(struct api_call *call, const char *const *known)
{
    return api_check_names(call, "", call->input, known,
                           known[0] != NULL ? "openapi.json lists the fields" : "this call takes none");
}

bool api_has_no_fields(struct api_call *call)
{
    static const char *const none[] = { NULL };
    return api_check_keys(call, none);
}

bool api_check_text(struct api_call *call, const char *key, size_t max_characters)
{
    const json_t *value = json_object_get(call->input, key);
    if (value == NULL || json_is_null(value)) {
        return true;
    }
    if (!json_is_string(value) || json_string_length(value) == 0) {
        api_refuse(call, 400, "invalid", NULL, "'%s' must be a text that is not empty", key);
        return false;
    }
    if (text_utf8_length(bytes_of(json_string_value(value))) > max_characters) {
        api_refuse(call, 400, "too_long", NULL, "'%s' is longer than %zu characters", key, max_characters);
        return false;
    }
    return true;
}

/* A filter that is misspelt must not be one that is not there: the answer would hold what was to be left out. */
static void check_query(struct api_call *call, const char *const *known)
{
    const char *name;
    json_t *value;
    json_object_foreach (call->query, name, value) {
        if (known != NULL && is_known(known, name)) {
            continue;
        }
        struct buf hint CLEANUP(buf_done);
        buf_init(&hint, 1024);
        const char *nearest = known != NULL ? text_nearest(name, known) : NULL;
        if (nearest != NULL) {
            buf_addf(&hint, "did you mean '%s'; ", nearest);
        }
        buf_add_text(&hint, known != NULL ? "there are " : "this path takes none");
        for (size_t i = 0; known != NULL && known[i] != NULL; i++) {
            buf_addf(&hint, "%s%s", i == 0 ? "" : known[i + 1] != NULL ? ", " : " and ", known[i]);
        }
        api_refuse(call, 400, "unknown_parameter", hint.ptr, "unknown parameter '%.100s'", name);
        return;
    }
}

const char *api_text(struct api_call *call, const char *key, size_t max_bytes)
{
    const char *text = json_str(call->input, key);
    if (text == NULL || text[0] == '\0') {
        api_refuse(call, 400, "missing_field", NULL, "'%s' must be a text that is not empty", key);
        return NULL;
    }
    if (strlen(text) > max_bytes) {
        api_refuse(call, 400, "too_long", NULL, "'%s' is longer than %zu bytes", key, max_bytes);
        return NULL;
    }
    return text;
}

/* Does `path` have the form of `pattern`? Fills id and word on the way. */
static bool path_matches(struct api_call *call, const char *pattern)
{
    struct bytes path = bytes_of(call->path + strlen(API_PREFIX));
    struct bytes rest = bytes_of(pattern);
    while (rest.len > 0 || path.len > 0) {
        struct bytes want = text_next_field(&rest, '/');
        struct bytes have = text_next_field(&path, '/');
        if (bytes_equal(want, BYTES_LITERAL("*"))) {
            if (!text_to_i64(have, &call->id) || call->id <= 0) {
                return false;
            }
        } else if (bytes_equal(want, BYTES_LITERAL("!"))) {
            if (have.len == 0 || have.len > 100) {
                return false;
            }
            free(call->word);
            call->word = memory_text_n(have.ptr, have.len);
        } else if (!bytes_equal(want, have)) {
            return false;
        }
    }
    return true;
}

static const struct route *find_route(struct api_call *call)
{
    const struct route *other_method = NULL;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!path_matches(call, routes[i].pattern)) {
            continue;
        }
        if (strcmp(routes[i].method, call->method) == 0) {
            return &routes[i];
        }
        other_method = &routes[i];
    }
    if (other_method != NULL) {
        call->allowed_method = other_method->method;
        api_refuse(call, 405, "wrong_method", NULL, "this path wants %s", other_method->method);
    } else {
        api_refuse(call, 404, "no_such_path", "GET " API_PREFIX "openapi.json lists the paths",
                   "there is no such path");
    }
    return NULL;
}

static bool has_scope(const json_t *token, const char *scope)
{
    size_t index;
    json_t *item;
    json_array_foreach (json_array_at(token, "scopes"), index, item) {
        const char *name = json_string_value(item);
        if (name != NULL && (strcmp(name, scope) == 0 || strcmp(name, "admin") == 0)) {
            return true;
        }
    }
    return false;
}

/* False: the connection was lost. Otherwise the call goes on only when it has no status yet. */
static bool authorize(struct api_call *call, const char *scope)
{
    struct bytes header = bytes_of(call->authorization);
    struct bytes word = text_next_field(&header, ' ');
    struct bytes secret = text_trim(header);
    if (!text_equal_ignore_case(word, BYTES_LITERAL("bearer")) || secret.len == 0 || secret.len > MAX_TOKEN_BYTES) {
        api_refuse(call, 401, "no_token", "Authorization: Bearer TOKEN, made by `answerd token create`",
                   "a bearer token is needed");
        return true;
    }
    unsigned char digest[SHA256_SIZE];
    crypto_hash(HASH_SHA256, &secret, 1, digest);
    struct error error;
    err_t err = api_store_token(call->pg, (struct bytes){ (const char *)digest, sizeof(digest) }, &call->token, &error);
    if (err == ERR_NOT_FOUND) {
        api_refuse(call, 401, "wrong_token", NULL, "the token is unknown or revoked");
        return true;
    }
    if (err != ERR_NONE) {
        return api_database_failed(call, &error);
    }
    if (!has_scope(call->token, scope)) {
        api_refuse(call, 403, "missing_scope", NULL, "the token has not the scope '%s'", scope);
    }
    return true;
}

static void read_input(struct api_call *call)
{
    if (strcmp(call->method, "POST") != 0) {
        return;
    }
    struct bytes body = text_trim((struct bytes){ call->body, call->body_length });
    if (body.len == 0) {
        call->input = json_object();
        return;
    }
    struct error error;
    if (json_parse(body, &call->input, &error) != ERR_NONE || !json_is_object(call->input)) {
        api_refuse(call, 400, "not_json", NULL, "the body must be a JSON object");
    }
}

bool api_handle(struct api_call *call)
{
    const struct route *route = find_route(call);
    if (route == NULL) {
        return true;
    }
    if (route->scope != NULL && !authorize(call, route->scope)) {
        return false;
    }
    if (call->status == 0) {
        check_query(call, route->parameters);
    }
    if (call->status == 0) {
        read_input(call);
    }
    return call->status != 0 || route->handler(call);
}
