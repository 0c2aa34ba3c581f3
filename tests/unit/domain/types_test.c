/* rules/types/answerd.lua says what editors complete and check. It must say what there is, all of it and nothing else.
 */
#include "rules/rule_files.h"

#include "base/macros.h"
#include "domain/rule_test_world.h"
#include "rules/rule_review.h"

#define TYPES "rules/types/answerd.lua"

static char *types;
static json_t *api;

/* The names behind each `mark` at the beginning of a line, up to the end of the class or file. */
static json_t *names_behind(const char *from, const char *mark, bool only_this_class)
{
    json_t *set = json_object();
    for (const char *line = from; line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (only_this_class && (length == 0 || line[0] != '-')) {
            break;
        }
        if (strncmp(line, mark, strlen(mark)) == 0) {
            const char *name = line + strlen(mark);
            char text[64];
            snprintf(text, sizeof(text), "%.*s",
                     (int)strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"), name);
            json_object_set_new(set, text, json_true());
        }
        line += length + (line[length] == '\n');
    }
    return set;
}

static json_t *fields_of(const char *class_name)
{
    char mark[96];
    snprintf(mark, sizeof(mark), "---@class %s\n", class_name);
    const char *at = strstr(types, mark);
    if (at == NULL) {
        fail_msg("there is no class %s in " TYPES, class_name);
    }
    return names_behind(strchr(at, '\n') + 1, "---@field ", true);
}

static json_t *methods_of(const char *class_name)
{
    char mark[96];
    snprintf(mark, sizeof(mark), "function %s:", class_name);
    return names_behind(types, mark, false);
}

/* Takes over `written`. */
static void compare(const char *what, json_t *written, const json_t *real)
{
    struct buf wrong;
    buf_init(&wrong, 10000);
    size_t index;
    json_t *name;
    json_array_foreach (real, index, name) {
        const char *text = json_string_value(name);
        if (json_object_get(written, text) == NULL) {
            buf_addf(&wrong, " %s is missing;", text);
        }
        json_object_del(written, text);
    }
    const char *key;
    json_t *value;
    json_object_foreach (written, key, value) {
        buf_addf(&wrong, " %s does not exist;", key);
    }
    if (json_array_size(real) == 0 || wrong.len > 0) {
        fail_msg("%s of " TYPES ":%s", what, wrong.len > 0 ? wrong.ptr : " nothing to compare with");
    }
    buf_done(&wrong);
    json_decref(written);
}

static int set_up(void **state)
{
    (void)state;
    struct rule_set *set = load_text("rule { name = 'x', on = 'custom.x', run = function(e, fx) end }", NULL);
    struct error e;
    assert_int_equal(rule_review_api(set, &api, &e), ERR_NONE);
    rule_set_free(set);
    FILE *file = fopen(TYPES, "re");
    assert_non_null(file);
    types = calloc(1, 1024 * 1024);
    assert_true(fread(types, 1, 1024 * 1024 - 1, file) > 0);
    fclose(file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(api);
    free(types);
    return 0;
}

static void fields_are_those_of_events(void **state)
{
    (void)state;
    static const char *const classes[][2] = {
        { "Event", "event" },
        { "Message", "message" },
        { "Status", "status" },
        { "Payment", "payment" },
        { "Subscription", "subscription" },
        { "Order", "order" },
        { "Survey", "survey" },
        { "TemplateStatus", "template" },
        { "Outreach", "outreach" },
        { "Timer", "timer" },
        { "Cause", "cause" },
        { "Contact", "contact" },
        { "Conversation", "conversation" },
        { "Settled", "settled" },
    };
    const json_t *fields = json_object_at(api, "fields");
    assert_int_equal(json_object_size(fields), ARRAY_LEN(classes));
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        json_t *written = fields_of(classes[i][0]);
        if (strcmp(classes[i][1], "event") == 0) {
            json_object_set_new(written, "raw", json_true()); /* a method */
        }
        compare(classes[i][0], written, json_array_at(fields, classes[i][1]));
    }
}

static void options_are_those_of_effects(void **state)
{
    (void)state;
    static const char *const classes[][2] = {
        { "SendOptions", "send" },       { "Media", "media" },        { "OutreachOptions", "outreach" },
        { "OutreachStep", "step" },      { "AfterOptions", "after" }, { "OpenOptions", "open_conversation" },
        { "WebhookOptions", "webhook" }, { "EmitOptions", "emit" },
    };
    const json_t *options = json_object_at(api, "options");
    assert_int_equal(json_object_size(options), ARRAY_LEN(classes));
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        compare(classes[i][0], fields_of(classes[i][0]), json_array_at(options, classes[i][1]));
    }
}

static void methods_are_those_there_are(void **state)
{
    (void)state;
    compare("Effects", methods_of("Effects"), json_array_at(api, "fx"));
    compare("Contact's methods", methods_of("Contact"), json_array_at(api, "contact"));
    compare("Conversation's methods", methods_of("Conversation"), json_array_at(api, "conversation"));
    compare("Calendar", methods_of("Calendar"), json_array_at(api, "calendar"));
}

static void verbs_of_tests_are_those_there_are(void **state)
{
    (void)state;
    const struct world_verb *const lists[] = { world_acts, world_expectations, world_provider_verbs };
    json_t *real = json_array();
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        for (const struct world_verb *verb = lists[i]; verb->name != NULL; verb++) {
            json_array_append_new(real, json_string(verb->name));
        }
    }
    compare("Test", methods_of("Test"), real);
    json_decref(real);
}

/* Functions of the sandbox are not in the prelude's list: that they are there is tried. */
static bool is_in_the_sandbox(const char *name)
{
    char rules[256];
    snprintf(rules, sizeof(rules), "rule { name = 'x', on = 'custom.x', run = function() log(type(%s)) end }", name);
    struct rule_set *set = load_text(rules, NULL);
    struct rule_outcome outcome = run_rule(set, "{\"type\":\"custom.x\"}", NULL);
    const char *text = json_string_value(json_at(outcome.log, "0.text"));
    bool there = text != NULL && strcmp(text, "function") == 0;
    rule_outcome_done(&outcome);
    rule_set_free(set);
    return there;
}

static void functions_are_those_there_are(void **state)
{
    (void)state;
    json_t *written = names_behind(types, "function ", false), *functions = json_object();
    const char *key;
    json_t *value;
    const json_t *real = json_array_at(api, "globals");
    json_object_foreach (written, key, value) {
        char as_method[80];
        snprintf(as_method, sizeof(as_method), "\nfunction %s:", key);
        if (strstr(types, as_method) != NULL) {
            continue;
        }
        size_t index;
        json_t *name;
        bool known = false;
        json_array_foreach (real, index, name) {
            known = known || strcmp(json_string_value(name), key) == 0;
        }
        if (known || !is_in_the_sandbox(key)) {
            json_object_set(functions, key, value);
        }
    }
    json_decref(written);
    compare("functions", functions, real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_those_of_events),    cmocka_unit_test(options_are_those_of_effects),
        cmocka_unit_test(methods_are_those_there_are),   cmocka_unit_test(verbs_of_tests_are_those_there_are),
        cmocka_unit_test(functions_are_those_there_are),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
