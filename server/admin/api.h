/* The API under /api/v1: routes, authorization and the form of answers. Described by openapi.json beside it.
 *
 * A call lives on the API worker's thread from api_handle() until it is answered. Handlers fill `status` and `answer`,
 * or leave the call waiting for an event to be handled.
 */
#ifndef ADMIN_API_H
#define ADMIN_API_H

#include "admin/admin.h"
#include "io/json.h"
#include "io/pg.h"

#define API_PREFIX "/api/v1/"

struct http_request;

struct api_call {
    /* What the request says; own copies. */
    struct http_request *request; /* for the listener's thread only */
    char *method;
    char *path;
    char *authorization;   /* NULL when missing */
    char *idempotency_key; /* NULL when missing */
    json_t *query;         /* object of texts */
    char *body;
    size_t body_length;

    /* Filled while it is handled. */
    struct pg *pg;
    const struct config *config;
    const struct admin_host *host;
    json_t *input; /* the body, an object */
    json_t *token; /* {id, name, scopes} */
    int64_t id;    /* the number in the path */
    char *word;    /* the free word in the path */

    /* The answer. */
    int status;                 /* 0 while the call waits */
    const char *allowed_method; /* of a 405; a constant text */
    json_t *answer;
    const char *raw_answer; /* a constant JSON text that goes out instead */

    /* A call that waits until the engine has handled what it asked for. */
    int64_t waits_for_event;
    int64_t conversation_id; /* to show when it is done; 0: none */
    msec_t give_up_at;       /* steady clock */

    struct api_call *next; /* in one of the worker's lists */
};

void api_call_free(struct api_call *call);

/* Does what the call asks for, except when the connection is lost: then it returns false and nothing is answered. */
bool api_handle(struct api_call *call);

/* Looks whether what the call waits for has happened; fills the answer when it has, or when time is over. */
bool api_look_again(struct api_call *call);

/* --- for the handlers --- */

/* Answers with {"error": {code, message, hint}}; `hint` may be NULL. */
void api_refuse(struct api_call *call, int status, const char *code, const char *hint, const char *format, ...)
    PRINTF_LIKE(5, 6);
void api_answer(struct api_call *call, int status, json_t *answer); /* takes over `answer` */

/* Turns a failure of the database into an answer. False when the connection was lost. */
bool api_database_failed(struct api_call *call, const struct error *error);

/* True when the body has only keys of the NULL-terminated `known`; otherwise the call is answered. */
bool api_check_keys(struct api_call *call, const char *const *known);
/* The same of an object in the body, whose fields are called `prefix` and their name. `hint` is said of a name that is
 * near to none. */
bool api_check_names(struct api_call *call, const char *prefix, const json_t *object, const char *const *known,
                     const char *hint);
/* For calls that take nothing. */
bool api_has_no_fields(struct api_call *call);
/* True when a field of the body is not there, or null, or a text of 1 to `max_characters`; otherwise the call is
 * answered. */
bool api_check_text(struct api_call *call, const char *key, size_t max_characters);
/* A required text of 1 to `max_bytes` bytes, or NULL and the call is answered. */
const char *api_text(struct api_call *call, const char *key, size_t max_bytes);

/* A canonical event of the API with source, time and, for calls with an Idempotency-Key, its key: the same key of the
 * same token on the same path names the same thing. */
json_t *api_event_doc(struct api_call *call, const char *type);
/* Adds the event (taken over), nudges the engine and lets the call wait for it. False: the connection was lost. */
bool api_add_event(struct api_call *call, json_t *doc, int64_t conversation_id);

typedef bool api_handler(struct api_call *call); /* false: the connection was lost */

api_handler api_list_conversations, api_get_conversation, api_get_contact;
api_handler api_act_on_conversation;
api_handler api_post_event, api_get_event, api_retry_event, api_retry_delivery, api_resume_source, api_reload,
    api_get_openapi;

#endif
