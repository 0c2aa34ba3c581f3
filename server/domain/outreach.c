#include "domain/outreach.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "domain/contact.h"
#include "domain/conversation.h"
#include "domain/message.h"
#include "domain/outreach_say.h"
#include "domain/reference.h"
#include "domain/settlement.h"
#include "domain/timer.h"

#define DEFAULT_GRACE_MS ((msec_t)72 * 3600 * 1000)
#define MAX_STEPS 20
#define MAX_REFERENCES 20

static bool is_active(const json_t *outreach)
{
    return strcmp(json_str_or(outreach, "state", ""), "active") == 0;
}

static void emit(struct scene *scene, const char *type, const json_t *outreach)
{
    struct rows *rows = scene->desk->rows;
    json_t *extra = json_object();
    json_put(extra, "outreach", json_copy_containers(outreach));
    scene_emit(scene, type, rows_by_id(rows, ROWS_CONTACT, json_int(outreach, "contact_id", 0)),
               rows_by_id(rows, ROWS_CONVERSATION, json_int(outreach, "conversation_id", 0)), NULL, extra);
}

static void end(struct scene *scene, json_t *outreach, const char *state)
{
    rows_edit(scene->desk->rows, ROWS_OUTREACH, outreach);
    json_put_str(outreach, "state", state);
    json_put_time(outreach, "ended_at", scene->now);
    json_put_int(outreach, "ended_by", scene->event_id);
    timer_cancel_of_outreach(scene, row_id(outreach));
    message_cancel_queued_of_outreach(scene, row_id(outreach));
}

static msec_t step_due(const json_t *outreach, int64_t number)
{
    return json_time(outreach, "started_at", 0) + json_int(outreach_step_at(outreach, number), "after_ms", 0);
}

static void arm_next(struct scene *scene, const json_t *outreach, msec_t grace)
{
    int64_t next = json_int(outreach, "step", 0);
    bool is_last = !outreach_step_at(outreach, next);
    msec_t due = is_last ? scene->now + grace : step_due(outreach, next);
    json_t *data = json_object();
    json_put_int(data, "grace_ms", grace);
    json_put_int(data, "step", next + 1);
    timer_arm_outreach(scene, outreach, due, data);
    json_decref(data);
}

/* Runs the steps that are due, then waits for the next one. A step that cannot be said does not stop the ladder. */
static err_t run_due_steps(struct scene *scene, json_t *contact, json_t *outreach, msec_t grace, json_t *made,
                           bool strict, struct error *reterr)
{
    struct rows *rows = scene->desk->rows;
    for (;;) {
        int64_t number = json_int(outreach, "step", 0);
        const json_t *step = outreach_step_at(outreach, number);
        if (!step || step_due(outreach, number) > scene->now)
            break;
        json_t *step_made = json_object();
        json_put_int(step_made, "step", number + 1);
        const char *refused = NULL;
        struct error error = { .code = ERR_NONE };
        err_t err = outreach_say(scene, contact, outreach, number, NULL, step_made, &refused, &error);
        if (err != ERR_NONE && strict) {
            json_decref(step_made);
            return fail(reterr, err, "step %lld: %s", (long long)number + 1, error.text);
        }
        if (err != ERR_NONE)
            json_put_str(step_made, "error", error.text);
        json_put_str(step_made, "refused", refused);
        json_array_append_new(made, step_made);
        rows_edit(rows, ROWS_OUTREACH, outreach);
        json_put_int(outreach, "step", number + 1);
    }
    arm_next(scene, outreach, grace);
    return ERR_NONE;
}

/* Says now of the steps to come which will be left out for want of a variable. */
static void note_lacking_steps(const json_t *outreach, json_t *made)
{
    int64_t number = json_int(outreach, "step", 0);
    for (const json_t *step; (step = outreach_step_at(outreach, number)) != NULL; number++) {
        if (!json_str(step, "lacks"))
            continue;
        json_t *step_made = json_object();
        json_put_int(step_made, "step", number + 1);
        json_put_str(step_made, "refused", json_str(step, "lacks"));
        json_array_append_new(made, step_made);
    }
}

static err_t check_steps(const json_t *steps, struct error *reterr)
{
    if (json_array_size(steps) == 0 || json_array_size(steps) > MAX_STEPS)
        return fail(reterr, ERR_INVALID, "an outreach has 1 to %d steps", MAX_STEPS);
    msec_t before = 0;
    size_t index;
    json_t *step;
    json_array_foreach (steps, index, step) {
        msec_t after = json_int(step, "after_ms", 0);
        if (after < before)
            return fail(reterr, ERR_INVALID,
                        "step %zu comes before step %zu\nHINT: `after` counts from the start of the outreach",
                        index + 1, index);
        before = after;
    }
    return ERR_NONE;
}

/* Shows now what would otherwise show in three days. */
static err_t check_templates(const struct scene *scene, const json_t *steps, struct error *reterr)
{
    size_t index;
    json_t *step;
    json_array_foreach (steps, index, step) {
        const char *name = json_str(step, "template");
        if (name && !desk_declaration(scene->desk, "template", name))
            return fail(reterr, ERR_INVALID, "step %zu: there is no template '%s'", index + 1, name);
    }
    return ERR_NONE;
}

/* The active outreach with this topic and reference, else the one about the same payment. */
static json_t *find_active(const struct scene *scene, const json_t *contact, const char *topic, const char *reference,
                           const json_t *payment)
{
    json_t *same_payment = NULL;
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(scene->desk->rows, ROWS_OUTREACH, row_id(contact)), index, row) {
        if (!is_active(row) || strcmp(json_str_or(row, "topic", ""), topic) != 0)
            continue;
        if (reference_is_of(row, reference))
            return row;
        if (!same_payment && reference_same_payment(json_object_at(row, "payment"), payment))
            same_payment = row;
    }
    return same_payment;
}

/* Whoever pays may name it either way. */
static void add_reference(struct scene *scene, json_t *outreach, const char *reference)
{
    if (reference_is_of(outreach, reference))
        return;
    rows_edit(scene->desk->rows, ROWS_OUTREACH, outreach);
    json_t *others = json_array_at(outreach, "other_references");
    if (!others) {
        others = json_array();
        json_put(outreach, "other_references", others);
    }
    if (json_array_size(others) < MAX_REFERENCES)
        json_array_append_new(others, json_string(reference));
}

/* All the events that end it; `goal` is the first. New reference. */
static json_t *goals_of(const json_t *effect)
{
    json_t *goals = json_copy(json_array_at(effect, "goals"));
    if (goals)
        return goals;
    goals = json_array();
    json_array_append(goals, json_object_get(effect, "goal"));
    return goals;
}

/* A goal is an event type, or a family such as "payment.*". */
static bool names_type(const char *goal, const char *type)
{
    size_t length = strlen(goal);
    if (length > 2 && strcmp(goal + length - 2, ".*") == 0)
        return strncmp(goal, type, length - 1) == 0;
    return strcmp(goal, type) == 0;
}

static bool any_names_type(const json_t *goals, const char *type)
{
    size_t index;
    json_t *goal;
    json_array_foreach (goals, index, goal) {
        if (json_is_string(goal) && names_type(json_string_value(goal), type))
            return true;
    }
    return false;
}

static bool is_among_goals(const void *goals, const char *type)
{
    return any_names_type(goals, type);
}

/* The goal of this outreach came before it: had the event come in time, it would have been ended. */
static bool is_settled(const struct scene *scene, const json_t *effect, const char *reference, const json_t *payment)
{
    json_t *goals CLEANUP(json_free) = goals_of(effect);
    return settlement_find(scene, reference, payment, is_among_goals, goals) != NULL;
}

err_t outreach_start(struct scene *scene, const json_t *effect, json_t *made, const char **ret_refused,
                     struct error *reterr)
{
    struct desk *desk = scene->desk;
    json_t *contact = scene->contact;
    const char *topic = json_str_or(effect, "topic", "outreach"), *reference = json_str_or(effect, "reference", "");
    const json_t *steps = json_array_at(effect, "steps");
    if (!contact)
        return fail(reterr, ERR_INVALID, "the event is about no contact, so there is nobody to reach");
    if (!json_str(effect, "goal"))
        return fail(reterr, ERR_INVALID,
                    "the outreach has no goal\nHINT: name the event that ends it, as in goal = \"payment.succeeded\"");
    err_t err = check_steps(steps, reterr);
    if (err == ERR_NONE)
        err = check_templates(scene, steps, reterr);
    if (err != ERR_NONE)
        return err;
    *ret_refused = NULL;
    json_t *payment CLEANUP(json_free) = reference_payment(scene);
    json_t *active = find_active(scene, contact, topic, reference, payment);
    if (active) {
        *ret_refused = reference_is_of(active, reference) ? "an outreach with this topic and reference is active"
                                                          : "an outreach about the same payment is active";
        if (*reference)
            add_reference(scene, active, reference);
        json_put_int(made, "outreach", row_id(active));
        return ERR_NONE;
    }
    if (contact_refuses(contact, topic)) {
        *ret_refused = "the contact has opted out";
        return ERR_NONE;
    }
    if (is_settled(scene, effect, reference, payment)) {
        *ret_refused = "its goal was reached already: this event arrived late";
        return ERR_NONE;
    }
    json_t *row = json_object();
    json_put_int(row, "id", desk_next_id(desk));
    json_put_int(row, "contact_id", row_id(contact));
    json_put_str(row, "topic", topic);
    json_put_str(row, "reference", reference);
    json_put(row, "other_references", json_array());
    json_put(row, "payment", json_incref(payment));
    json_put_str(row, "goal", json_str(effect, "goal"));
    json_put(row, "goals", goals_of(effect));
    json_put_str(row, "state", "active");
    json_put_int(row, "step", 0);
    json_put(row, "steps", json_copy_containers(steps));
    const json_t *vars = json_object_at(effect, "vars");
    json_put(row, "vars", vars ? json_copy_containers(vars) : json_object());
    json_put_str(row, "rule", scene->rule);
    json_put_int(row, "event_id", scene->event_id);
    json_put_time(row, "started_at", scene->now);
    json_put_time(row, "next_attempt_at", json_time(effect, "next_attempt", 0));
    row = rows_insert(desk->rows, ROWS_OUTREACH, row);
    scene->outreach = row;
    json_put_int(made, "outreach", row_id(row));
    json_t *said = json_array();
    json_put(made, "steps", said);
    err = run_due_steps(scene, contact, row, json_int(effect, "grace_ms", DEFAULT_GRACE_MS), said, true, reterr);
    if (err == ERR_NONE)
        note_lacking_steps(row, said);
    return err;
}

static void note_in_trace(struct scene *scene, const char *what, const json_t *outreach, json_t *made,
                          const char *problem)
{
    json_t *note = json_object();
    json_put_str(note, "do", what);
    json_put_int(note, "outreach_id", row_id(outreach));
    json_put_str(note, "reference", json_str(outreach, "reference"));
    json_put(note, "made", made);
    json_put_str(note, "refused", problem);
    scene_note_built_in(scene, "outreach", note);
}

bool outreach_step(struct scene *scene)
{
    struct desk *desk = scene->desk;
    json_t *outreach = rows_by_id(desk->rows, ROWS_OUTREACH, json_int(scene->event, "outreach_id", 0));
    if (!outreach || !is_active(outreach))
        return false;
    json_t *contact = rows_by_id(desk->rows, ROWS_CONTACT, json_int(outreach, "contact_id", 0));
    const json_t *timer = json_object_at(scene->event, "timer");
    const json_t *data = json_object_at(timer, "data");
    msec_t grace = json_int(data, "grace_ms", DEFAULT_GRACE_MS);
    int64_t planned = json_int(data, "step", 0);
    if (!contact || (planned > 0 && planned != json_int(outreach, "step", 0) + 1))
        return false;
    scene->outreach = outreach;
    scene_act_as_desk(scene, "outreach", json_str(outreach, "rule"));
    if (contact_refuses(contact, json_str(outreach, "topic"))) {
        end(scene, outreach, "canceled");
        note_in_trace(scene, "outreach_cancel", outreach, NULL, "the contact has opted out");
        return true;
    }
    if (!outreach_step_at(outreach, json_int(outreach, "step", 0))) {
        end(scene, outreach, "exhausted");
        emit(scene, "outreach.exhausted", outreach);
        note_in_trace(scene, "outreach_end", outreach, NULL, NULL);
        return true;
    }
    json_t *made = json_array();
    if (run_due_steps(scene, contact, outreach, grace, made, false, NULL) != ERR_NONE)
        scene->problem = "an outreach step failed";
    note_in_trace(scene, "outreach_step", outreach, made, NULL);
    return true;
}

/* Two accounts at one provider may number their orders alike: what one says of somebody else's is of another order.
 * Several providers, and own systems, name one thing alike because it is one. */
static bool is_of_other_account(const struct scene *scene, const json_t *outreach)
{
    const char *source = json_str_or(scene->event, "source", "");
    const char *began_at = json_str(json_object_at(outreach, "payment"), "source");
    const char *provider = json_str(desk_source(scene->desk, began_at), "provider");
    return provider && strcmp(source, began_at) != 0 &&
           strcmp(json_str_or(scene->event, "provider", ""), provider) == 0;
}

static bool is_goal(const struct scene *scene, const json_t *outreach)
{
    if (!names_type(json_str_or(outreach, "goal", ""), scene->type) &&
        !any_names_type(json_array_at(outreach, "goals"), scene->type))
        return false;
    if (row_id(outreach) == json_int(scene->event, "outreach_id", -1))
        return false;
    bool same_contact = scene->contact && json_int(outreach, "contact_id", 0) == row_id(scene->contact);
    int match = reference_match_outreach(scene->event, outreach);
    if (match == 1)
        return same_contact || !is_of_other_account(scene, outreach);
    return match == -1 && same_contact;
}

void outreach_check_goals(struct scene *scene)
{
    json_t *ended = json_array();
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(scene->desk->rows, ROWS_OUTREACH), key, row) {
        if (is_active(row) && json_int(row, "event_id", 0) != scene->event_id && is_goal(scene, row))
            json_array_append(ended, row);
    }
    size_t index;
    json_array_foreach (ended, index, row) {
        end(scene, row, "recovered");
        emit(scene, "outreach.recovered", row);
        note_in_trace(scene, "outreach_goal", row, NULL, NULL);
        scene->outreach = row;
    }
    json_decref(ended);
}

void outreach_cancel_of_topic(struct scene *scene, const json_t *contact, const char *topic)
{
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(scene->desk->rows, ROWS_OUTREACH, row_id(contact)), index, row) {
        if (is_active(row) && (strcmp(topic, "all") == 0 || strcmp(json_str_or(row, "topic", ""), topic) == 0))
            end(scene, row, "canceled");
    }
}

static void escalate(struct scene *scene, json_t *outreach, json_t *message)
{
    const json_t *content = json_object_at(message, "content");
    json_t *contact = rows_by_id(scene->desk->rows, ROWS_CONTACT, json_int(outreach, "contact_id", 0));
    int64_t number = json_int(content, "step", 0) - 1;
    const char *source = json_str(message, "source");
    if (json_bool(content, "escalated", false) || !contact || !source || number < 0 ||
        number != json_int(outreach, "step", 0) - 1)
        return; /* the ladder has gone on in the meantime */
    json_t *tried = json_copy(json_array_at(content, "tried"));
    if (!tried)
        tried = json_array();
    json_array_append_new(tried, json_string(source));
    scene_act_as_desk(scene, "outreach", json_str(outreach, "rule"));
    /* The failure may be reported again: by the sender at once, by the provider later. */
    json_t *columns = json_object(), *marked = json_copy_containers(content);
    json_put_bool(marked, "escalated", true);
    json_put(columns, "content", marked);
    message_change(scene, message, columns);
    json_t *made = json_object();
    const char *refused = NULL;
    struct error error = { .code = ERR_NONE };
    if (outreach_say(scene, contact, outreach, number, tried, made, &refused, &error) != ERR_NONE)
        refused = error.text;
    note_in_trace(scene, "outreach_escalate", outreach, made, refused);
    json_decref(tried);
}

void outreach_take_status(struct scene *scene, json_t *message)
{
    struct rows *rows = scene->desk->rows;
    json_t *outreach = rows_by_id(rows, ROWS_OUTREACH, json_int(message, "outreach_id", 0));
    const char *state = json_str_or(message, "state", "");
    if (!outreach)
        return;
    scene->outreach = outreach;
    bool arrived = strcmp(state, "delivered") == 0 || strcmp(state, "read") == 0;
    if (arrived && !json_str(outreach, "reached_at")) {
        rows_edit(rows, ROWS_OUTREACH, outreach);
        json_put_time(outreach, "reached_at", json_time(scene->event, "occurred_at", scene->now));
    }
    const json_t *status = json_object_at(scene->event, "status");
    const char *reported = json_str_or(status, "state", "");
    bool is_lost =
        (strcmp(reported, "failed") == 0 && strcmp(state, "failed") == 0) || strcmp(reported, "blocked") == 0;
    if (is_lost && is_active(outreach))
        escalate(scene, outreach, message);
}
