/* `answerd capture EVENT`: a recorded event, with what led to it, as a rule test. */
#include "base/text.h"
#include "commands/commands.h"
#include "commands/stand_in.h"
#include "store/capture_store.h"
#include "store/store.h"
#include "store/why_store.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EVENTS 20
#define TEST_MAX_BYTES ((size_t)4 * 1024 * 1024)
#define WINDOW_MS ((msec_t)24 * 3600 * 1000)

struct capture {
    const struct config *config;
    json_t *facts; /* see capture_store.h */
    struct stand_ins stand_ins;
    struct buf out;
    size_t messages_taken;
};

/* --- Lua --------------------------------------------------------------------------------------------------------- */

static void add_string(struct buf *out, const char *text)
{
    buf_add_char(out, '"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            buf_addf(out, "\\%c", *c);
        else if (*c == '\n')
            buf_add_text(out, "\\n");
        else if (*c < 0x20 || *c == 0x7f)
            buf_addf(out, "\\%03d", *c);
        else
            buf_add_char(out, (char)*c);
    }
    buf_add_char(out, '"');
}

static bool is_name(const char *text)
{
    static const char *const words[] = { "and",      "break",  "do",   "else", "elseif", "end",  "false", "for",
                                         "function", "goto",   "if",   "in",   "local",  "nil",  "not",   "or",
                                         "repeat",   "return", "then", "true", "until",  "while" };
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(words[i], text) == 0)
            return false;
    return true;
}

static void add_value(struct buf *out, const json_t *value, int indent);

static void add_table(struct buf *out, const json_t *value, int indent)
{
    bool is_list = json_is_array(value);
    size_t size = is_list ? json_array_size(value) : json_object_size(value);
    if (size == 0) {
        buf_add_text(out, "{}");
        return;
    }
    bool in_lines = !is_list && (size > 4 || indent < 4);
    buf_add_text(out, in_lines ? "{\n" : "{ ");
    size_t index = 0;
    const char *key;
    json_t *member;
    if (is_list) {
        json_array_foreach ((json_t *)(uintptr_t)value, index, member) {
            buf_add_text(out, index > 0 ? ", " : "");
            add_value(out, member, indent + 2);
        }
    } else {
        json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
            if (!in_lines)
                buf_add_text(out, index > 0 ? ", " : "");
            else
                buf_addf(out, "%*s", indent + 2, "");
            index++;
            if (is_name(key)) {
                buf_addf(out, "%s = ", key);
            } else {
                buf_add_char(out, '[');
                add_string(out, key);
                buf_add_text(out, "] = ");
            }
            add_value(out, member, indent + 2);
            if (in_lines)
                buf_add_text(out, ",\n");
        }
    }
    if (in_lines)
        buf_addf(out, "%*s}", indent, "");
    else
        buf_add_text(out, " }");
}

static void add_value(struct buf *out, const json_t *value, int indent)
{
    if (json_is_string(value))
        add_string(out, json_string_value(value));
    else if (json_is_integer(value))
        buf_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        buf_addf(out, "%.17g", json_real_value(value));
    else if (json_is_boolean(value))
        buf_add_text(out, json_is_true(value) ? "true" : "false");
    else if (json_is_object(value) || json_is_array(value))
        add_table(out, value, indent);
    else
        buf_add_text(out, "nil");
}

/* --- the test ---------------------------------------------------------------------------------------------------- */

/* Tests have one source of each kind, under the kind's name. */
static const char *test_source(const struct capture *capture, const char *source)
{
    const struct source_config *config = source ? config_source(capture->config, source) : NULL;
    return config ? config->kind : source;
}

static void add_time(struct capture *capture, msec_t at)
{
    buf_add_text(&capture->out, "  t:at(\"");
    clock_add_iso(&capture->out, at);
    buf_add_text(&capture->out, "\")\n");
}

/* What was sent before `until` and by no act so far. */
static void add_expectations(struct capture *capture, msec_t until)
{
    const json_t *messages = json_array_at(capture->facts, "messages");
    for (; capture->messages_taken < json_array_size(messages); capture->messages_taken++) {
        const json_t *message = json_array_get(messages, capture->messages_taken);
        if (json_time(message, "at", 0) >= until)
            return;
        const char *template = json_str(message, "template"), *state = json_str_or(message, "state", "");
        if (strcmp(state, "canceled") == 0)
            continue;
        bool is_held = strcmp(state, "blocked") == 0;
        buf_add_text(&capture->out, is_held ? "  t:expect_held {" : "  t:expect_sent {");
        if (template && !is_held) {
            buf_add_text(&capture->out, " template = ");
            add_string(&capture->out, template);
            buf_add_char(&capture->out, ',');
        }
        if (!is_held) {
            buf_add_text(&capture->out, " channel = ");
            add_string(&capture->out, test_source(capture, json_str_or(message, "source", "")));
            buf_add_char(&capture->out, ' ');
        }
        buf_add_text(&capture->out, "}\n");
    }
}

static void add_contact(struct capture *capture, msec_t first)
{
    const json_t *row = json_object_at(capture->facts, "contact");
    if (!row || !json_bool(capture->facts, "known_before", false))
        return; /* the first event makes the contact, as it did */
    json_t *person = json_object();
    json_put_str(person, "name", json_str(row, "name"));
    json_put(person, "identities", json_deep_copy(json_array_at(capture->facts, "identities")));
    json_t *clean = stand_ins_apply(&capture->stand_ins, person);
    json_decref(person);
    static const char *const copied[] = { "language", "timezone", "attributes" };
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *value = json_object_get(row, copied[i]);
        if (value && !(json_is_object(value) && json_object_size(value) == 0))
            json_put(clean, copied[i], stand_ins_apply(&capture->stand_ins, value));
    }
    if (json_str(row, "preferred_channel"))
        json_put_str(clean, "prefer", test_source(capture, json_str(row, "preferred_channel")));
    msec_t stopped = json_time(row, "opted_out_at", 0);
    if (stopped > 0 && stopped < first)
        json_put(clean, "opted_out", json_deep_copy(json_object_get(row, "opted_out")));
    json_put_str(clean, "window", "closed"); /* the messages below open it, as they did */
    buf_add_text(&capture->out, "  t:contact ");
    add_value(&capture->out, clean, 2);
    buf_add_text(&capture->out, "\n");
    json_decref(clean);
}

static bool add_agent(struct capture *capture, const json_t *event)
{
    static const struct {
        const char *effect;
        const char *verb;
        const char *key;
    } verbs[] = {
        { "send", "reply", "text" },
        { "note", "note", "text" },
        { "tag", "tag", "tag" },
        { "untag", "untag", "tag" },
        { "assign", "assign", "assignee" },
        { "resolve", "resolve", NULL },
        { "survey", "survey", "survey" },
        { "prioritize", "prioritize", "priority" },
    };
    if (strcmp(json_str_or(event, "type", ""), "agent.action") != 0)
        return false;
    size_t index;
    json_t *effect;
    json_array_foreach (json_array_at(event, "effects"), index, effect) {
        for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
            if (strcmp(verbs[i].effect, json_str_or(effect, "do", "")) != 0)
                continue;
            json_t *clean = stand_ins_apply(&capture->stand_ins, effect);
            buf_addf(&capture->out, "  t:agent(\"%s\"", verbs[i].verb);
            if (verbs[i].key) {
                buf_add_text(&capture->out, ", ");
                add_string(&capture->out, json_str_or(clean, verbs[i].key, ""));
            }
            buf_add_text(&capture->out, ")\n");
            json_decref(clean);
        }
    }
    return true;
}

/* A tap on a survey names it by a number, which is another one in the test. */
static bool add_survey_tap(struct capture *capture, const json_t *event)
{
    const char *id = json_str(json_object_at(json_object_at(event, "message"), "button"), "id");
    const char *score = id && strncmp(id, "survey:", 7) == 0 ? strrchr(id, ':') : NULL;
    if (!score || score[1] < '0' || score[1] > '9')
        return false;
    buf_addf(&capture->out, "  t:tap(%d)\n", (int)strtol(score + 1, NULL, 10));
    return true;
}

static void add_event(struct capture *capture, const json_t *event)
{
    static const char *const left_out[] = { "id",         "type",        "source",  "provider",
                                            "key",        "received_at", "lane",    "occurred_at",
                                            "contact_id", "cause",       "account", "conversation_id" };
    if (add_agent(capture, event) || add_survey_tap(capture, event))
        return;
    json_t *fields = json_copy((json_t *)(uintptr_t)event);
    for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
        json_object_del(fields, left_out[i]);
    json_t *clean = stand_ins_apply(&capture->stand_ins, fields);
    json_put_str(clean, "source", test_source(capture, json_str(event, "source")));
    if (!json_object_get(event, "contact"))
        json_put(clean, "contact", json_object_get(event, "contact_id") ? NULL : json_false());
    buf_add_text(&capture->out, "  t:event(");
    add_string(&capture->out, json_str_or(event, "type", ""));
    buf_add_text(&capture->out, ", ");
    add_value(&capture->out, clean, 2);
    buf_add_text(&capture->out, ")\n");
    json_decref(clean);
    json_decref(fields);
}

static void learn_people(struct capture *capture)
{
    size_t index;
    json_t *event;
    stand_ins_learn(&capture->stand_ins, json_object_at(capture->facts, "contact"));
    json_t *all = json_object();
    json_put(all, "identities", json_deep_copy(json_array_at(capture->facts, "identities")));
    stand_ins_learn(&capture->stand_ins, all);
    json_decref(all);
    json_array_foreach (json_array_at(capture->facts, "events"), index, event)
        stand_ins_learn(&capture->stand_ins, json_object_at(event, "contact"));
}

static void write_test(struct capture *capture, int64_t event_id)
{
    const json_t *it = json_object_at(capture->facts, "event"), *events = json_array_at(capture->facts, "events");
    const char *type = json_str_or(it, "type", "");
    msec_t at = json_time(it, "received_at", 0);
    msec_t first = json_time(json_array_get(events, 0), "received_at", at);
    struct buf *out = &capture->out;
    buf_addf(out, "-- Captured from event %" PRId64 ". People, numbers, addresses and ids are stand-ins.\n", event_id);
    buf_addf(out, "test(\"%s of event %" PRId64 "\", function(t)\n", type, event_id);
    add_time(capture, first);
    add_contact(capture, first);
    msec_t now = first;
    bool told = false;
    size_t index;
    json_t *event;
    json_array_foreach (events, index, event) {
        msec_t when = json_time(event, "received_at", now);
        if (when > now)
            add_expectations(capture, when);
        if (when - now >= 1000)
            add_time(capture, when);
        now = when;
        told = json_int(event, "id", 0) == event_id;
        if (told)
            buf_add_text(out, "\n  -- the event itself\n");
        add_event(capture, event);
    }
    if (!told) { /* it came from inside: time or a rule brings it about again */
        add_expectations(capture, at);
        buf_addf(out, "\n  -- here %s follows by itself\n", type);
        add_time(capture, at);
    }
    size_t before = capture->messages_taken;
    add_expectations(capture, INT64_MAX);
    if (capture->messages_taken == before)
        buf_add_text(out, "  t:expect_nothing()\n");
    buf_add_text(out, "end)\n");
}

static int capture_event(const struct command *command, const struct config *config, struct pg *pg, const char *event,
                         bool keep_text)
{
    struct error e;
    int64_t id = 0;
    struct capture capture = { .config = config };
    err_t err = store_check_schema(pg, &e);
    if (err == ERR_NONE)
        err = why_store_find(pg, event, &id, &e);
    if (err == ERR_NONE)
        err = capture_store_read(pg, id, MAX_EVENTS, &capture.facts, &e);
    if (err == ERR_NOT_FOUND) {
        fprintf(stderr, "answerd capture: %s\n", e.text);
        return EXIT_WRONG;
    }
    if (err != ERR_NONE)
        return command_failed(command, &e);
    stand_ins_init(&capture.stand_ins, keep_text);
    buf_init(&capture.out, TEST_MAX_BYTES);
    learn_people(&capture);
    write_test(&capture, id);
    fwrite(capture.out.ptr, 1, capture.out.len, stdout);
    if (capture.stand_ins.texts > 0)
        fprintf(stderr, "%s replaced; --keep-text keeps what people wrote\n",
                text_counted(capture.stand_ins.texts, "text").text);
    stand_ins_done(&capture.stand_ins);
    buf_done(&capture.out);
    json_decref(capture.facts);
    return EXIT_OK;
}

static int run_capture(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    bool keep_text = false;
    void *const values[] = { &config_path, &keep_text };
    int operands, exit_code;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code))
        return exit_code;
    if (operands != 1)
        return command_usage_error(command, "takes one event, its id or the provider's key");
    struct config *config = NULL;
    struct pg *pg = NULL;
    exit_code = command_load_config(command, config_path, false, &config);
    if (exit_code != EXIT_OK)
        return exit_code;
    exit_code = command_open_database(command, config, "answerd capture", &pg);
    if (exit_code == EXIT_OK)
        exit_code = capture_event(command, config, pg, argv[1], keep_text);
    pg_close(pg);
    config_free(config);
    return exit_code;
}

static const struct command_option options[] = {
    OPTION_CONFIG,
    { "keep-text", OPTION_FLAG, NULL, "keep what people wrote, but for names and numbers in it" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_capture = {
    .name = "capture",
    .summary = "print a recorded event, with what led to it, as a rule test",
    .usage = "[--config FILE] [--keep-text] EVENT",
    .details =
        "EVENT is an id from event_log or the provider's key. The test has up to 20 events of the same contact, and expects\n"
        "what was really sent. Names, numbers, addresses and ids are replaced by stand-ins that are the same throughout;\n"
        "so are texts, unless --keep-text is given. Look it over before you show it to others:\n\n"
        "  answerd capture evt_1Nx >> rules/captured_test.lua && answerd test",
    .options = options,
    .run = run_capture,
};
