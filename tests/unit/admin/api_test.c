#include "admin/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h> /* needs those above */

#include "base/memory.h"
#include "io/crypto.h"

/* None of these calls may reach a database: there is none. */
static struct api_call *call_new(const char *method, const char *path, const char *authorization, const char *body)
{
    struct api_call *call = memory_new(sizeof(*call));
    call->method = memory_text(method);
    call->path = memory_text(path);
    call->authorization = memory_text(authorization);
    call->body = memory_text(body);
    call->body_length = strlen(body);
    call->query = json_object();
    return call;
}

static void expect(const char *method, const char *path, const char *authorization, int status, const char *code)
{
    struct api_call *call = call_new(method, path, authorization, "");
    assert_true(api_handle(call));
    assert_int_equal(call->status, status);
    assert_string_equal(json_str(json_object_at(call->answer, "error"), "code"), code);
    assert_non_null(json_str(json_object_at(call->answer, "error"), "message"));
    api_call_free(call);
}

static void unknown_paths_and_methods(void **state)
{
    (void)state;
    expect("GET", "/api/v1/", NULL, 404, "no_such_path");
    expect("GET", "/api/v1/nothing", NULL, 404, "no_such_path");
    expect("GET", "/api/v1/conversations/abc", NULL, 404, "no_such_path");
    expect("GET", "/api/v1/conversations/0", NULL, 404, "no_such_path");
    expect("GET", "/api/v1/conversations/-5", NULL, 404, "no_such_path");
    expect("GET", "/api/v1/conversations/99999999999999999999", NULL, 404, "no_such_path");
    expect("POST", "/api/v1/conversations", NULL, 405, "wrong_method");
    expect("DELETE", "/api/v1/conversations/5", NULL, 405, "wrong_method");
    expect("GET", "/api/v1/conversations/5/reply", NULL, 405, "wrong_method");
    expect("POST", "/api/v1/conversations/5/reply/more", NULL, 404, "no_such_path");
}

static void nothing_without_a_token(void **state)
{
    (void)state;
    expect("GET", "/api/v1/conversations", NULL, 401, "no_token");
    expect("GET", "/api/v1/conversations", "", 401, "no_token");
    expect("GET", "/api/v1/conversations", "Bearer", 401, "no_token");
    expect("GET", "/api/v1/conversations", "Bearer  ", 401, "no_token");
    expect("GET", "/api/v1/contacts/5", "Basic YTpi", 401, "no_token");
    expect("POST", "/api/v1/conversations/5/reply", NULL, 401, "no_token");
    expect("POST", "/api/v1/events", NULL, 401, "no_token");
    expect("POST", "/api/v1/reload", NULL, 401, "no_token");
    char long_token[600] = "Bearer ";
    memset(long_token + 7, 'a', 500);
    expect("GET", "/api/v1/conversations", long_token, 401, "no_token");
}

static void the_description_needs_none(void **state)
{
    (void)state;
    struct api_call *call = call_new("GET", "/api/v1/openapi.json", NULL, "");
    assert_true(api_handle(call));
    assert_int_equal(call->status, 200);
    json_t *document = NULL;
    assert_int_equal(json_parse(bytes_of(call->raw_answer), &document, NULL), ERR_NONE);
    assert_non_null(json_str(document, "openapi"));
    /* Every action that the handlers know is described. */
    const char *const actions[] = { "reply",      "note",   "tag",     "untag", "assign",
                                    "prioritize", "snooze", "resolve", "survey" };
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        char path[100] = "/conversations/{id}/";
        strcat(path, actions[i]);
        assert_non_null(json_object_at(json_object_at(json_object_at(document, "paths"), path), "post"));
    }
    json_decref(document);
    api_call_free(call);
}

static void names_the_nearest_field(void **state)
{
    (void)state;
    static const char *const known[] = { "agent", "assignee", NULL };
    struct api_call *call = call_new("POST", "/api/v1/conversations/5/assign", NULL, "");
    call->input = json_object();
    json_put_str(call->input, "asignee", "ann");
    assert_false(api_check_keys(call, known));
    assert_int_equal(call->status, 400);
    assert_non_null(strstr(json_str(json_object_at(call->answer, "error"), "hint"), "'assignee'"));
    api_call_free(call);
}

static void unknown_parameters_are_told(void **state)
{
    (void)state;
    struct api_call *call = call_new("GET", "/api/v1/openapi.json", NULL, "");
    json_put_str(call->query, "stat", "open");
    assert_true(api_handle(call));
    assert_int_equal(call->status, 400);
    const json_t *error = json_object_at(call->answer, "error");
    assert_string_equal(json_str(error, "code"), "unknown_parameter");
    assert_non_null(strstr(json_str(error, "message"), "'stat'"));
    assert_non_null(strstr(json_str(error, "hint"), "takes none"));
    api_call_free(call);
}

static void texts_have_bounds(void **state)
{
    (void)state;
    struct api_call *call = call_new("POST", "/api/v1/conversations/5/note", NULL, "");
    call->input = json_object();
    assert_null(api_text(call, "text", 10));
    assert_int_equal(call->status, 400);
    json_put_str(call->input, "text", "");
    assert_null(api_text(call, "text", 10));
    json_put_str(call->input, "text", "12345678901");
    assert_null(api_text(call, "text", 10));
    json_put_str(call->input, "text", "1234567890");
    assert_string_equal(api_text(call, "text", 10), "1234567890");
    api_call_free(call);
}

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_paths_and_methods),  cmocka_unit_test(nothing_without_a_token),
        cmocka_unit_test(the_description_needs_none), cmocka_unit_test(names_the_nearest_field),
        cmocka_unit_test(texts_have_bounds),          cmocka_unit_test(unknown_parameters_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
