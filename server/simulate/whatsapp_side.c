/* The WhatsApp Cloud API: POST /VERSION/PHONE_NUMBER_ID/messages, and the statuses that follow. */
#include "simulate/simulator.h"

#include "base/log.h"

#include <stdio.h>

/* What the statuses of one message have in common. */
struct report {
    const struct source_config *source;
    const char *id;
    const char *number;  /* digits, or NULL */
    const char *user_id; /* or NULL */
    const char *echo;
    const char *category;
};

static json_t *status_of(const struct report *r, const char *state, msec_t at, int64_t error)
{
    char seconds[24];
    snprintf(seconds, sizeof(seconds), "%lld", (long long)(at / 1000));
    json_t *status = json_pack("{s:s,s:s,s:s}", "id", r->id, "status", state, "timestamp", seconds);
    json_put_str(status, "recipient_id", r->number);
    json_put_str(status, "recipient_user_id", r->user_id);
    json_put_str(status, "biz_opaque_callback_data", r->echo);
    if (error >= 0) {
        json_put(status, "errors",
                 json_pack("[{s:I,s:s,s:s,s:{s:s}}]", "code", (json_int_t)error, "title", "Simulated failure",
                           "message", "Simulated failure", "error_data", "details", "failed on purpose"));
    } else {
        json_put(status, "pricing",
                 json_pack("{s:b,s:s,s:s,s:s}", "billable", 1, "pricing_model", "PMP", "type", "regular", "category",
                           r->category));
    }
    return status;
}

/* An envelope around a list of statuses, which is taken over. */
static json_t *envelope(const struct source_config *source, json_t *statuses)
{
    return json_pack("{s:s,s:[{s:s,s:[{s:s,s:{s:s,s:{s:s,s:s},s:o}}]}]}", "object", "whatsapp_business_account",
                     "entry", "id", json_str_or(source->settings, "business_account_id", "102290129340398"), "changes",
                     "field", "messages", "value", "messaging_product", "whatsapp", "metadata", "display_phone_number",
                     "15550783881", "phone_number_id", json_str_or(source->settings, "phone_number_id", "0"),
                     "statuses", statuses);
}

static void post_one(struct simulator *s, const struct report *r, const char *state, int64_t error, msec_t after_ms)
{
    json_t *statuses = json_array();
    json_array_append_new(statuses, status_of(r, state, clock_now() + after_ms, error));
    post_status(s, r->source, envelope(r->source, statuses), after_ms);
}

static void post_statuses(struct simulator *s, const struct report *r)
{
    static const char *const states[] = { "sent", "delivered", "read" };
    const char *source = r->source->name;
    struct fault fault;
    msec_t start = 0;
    if (fault_take(&s->faults, source, FAULT_NO_STATUS, FAULT_NO_STATUS, &fault)) {
        return;
    }
    if (fault_take(&s->faults, source, FAULT_LATE_STATUS, FAULT_LATE_STATUS, &fault)) {
        start = fault.number >= 0 ? fault.number : 5000;
    }
    if (fault_take(&s->faults, source, FAULT_FAIL_STATUS, FAULT_FAIL_STATUS, &fault)) {
        post_one(s, r, "failed", fault.number >= 0 ? fault.number : 131026, start + s->delay_ms);
        return;
    }
    if (fault_take(&s->faults, source, FAULT_BATCH, FAULT_BATCH, &fault)) {
        json_t *statuses = json_array();
        for (size_t i = 0; i < ARRAY_LEN(states); i++) {
            json_array_append_new(statuses, status_of(r, states[i], clock_now() + start, -1));
        }
        post_status(s, r->source, envelope(r->source, statuses), start + 3 * s->delay_ms);
        return;
    }
    bool is_reversed = fault_take(&s->faults, source, FAULT_REORDER, FAULT_REORDER, &fault);
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        size_t turn = is_reversed ? ARRAY_LEN(states) - i : i + 1;
        post_one(s, r, states[i], -1, start + (msec_t)turn * s->delay_ms);
    }
}

static const char *template_problem(const struct simulator *s, const char *source, const json_t *body)
{
    const json_t *known = json_array_at(s->templates, source);
    const char *name = json_str(json_object_at(body, "template"), "name");
    size_t index;
    json_t *template;
    json_array_foreach (known, index, template) {
        if (name && json_is_string(template) && strcmp(json_string_value(template), name) == 0) {
            return NULL;
        }
    }
    return known && name ? "Template name does not exist in the translation" : NULL;
}

static void accept(struct simulator *s, struct http_request *request, const struct source_config *source, json_t *body)
{
    const char *to = json_str(body, "to");
    const char *user_id = json_str(body, "recipient");
    char id[64];
    snprintf(id, sizeof(id), "wamid.SIM%lld", (long long)simulator_number(s));
    const bool is_template = strcmp(json_str_or(body, "type", "text"), "template") == 0;
    const struct report report = {
        .source = source,
        .id = id,
        .number = to ? to + 1 : NULL,
        .user_id = user_id,
        .echo = json_str(body, "biz_opaque_callback_data"),
        .category = is_template ? "utility" : "service",
    };
    record_send(s,
                &(struct accepted_send){
                    .source = source, .to = to ? to : user_id, .message_id = id, .echo = report.echo, .body = body });
    json_t *contact = json_object();
    json_put_str(contact, "input", to ? to : user_id);
    json_put_str(contact, to ? "wa_id" : "user_id", to ? to + 1 : user_id);
    json_t *message = json_pack("{s:s}", "id", id);
    if (is_template) {
        json_put_str(message, "message_status", "accepted");
    }
    json_t *answer =
        json_pack("{s:s,s:[o],s:[o]}", "messaging_product", "whatsapp", "contacts", contact, "messages", message);
    if (strcmp(json_str_or(body, "type", "text"), "reaction") == 0) {
        post_one(s, &report, "sent", -1, s->delay_ms);
    } else {
        post_statuses(s, &report);
    }
    answer_accepted(s, request, source->name, answer);
}

bool whatsapp_side(struct simulator *s, struct http_request *request, const char *path)
{
    char object[128];
    if (!graph_path(path, object, sizeof(object))) {
        return false;
    }
    const struct source_config *source = source_by_setting(s, "whatsapp", "phone_number_id", object);
    if (source == NULL) {
        return false;
    }
    json_t *body CLEANUP(json_free) = NULL;
    struct buf reason CLEANUP(buf_done);
    buf_init(&reason, 512);
    int code = 100;
    const char *problem = NULL;
    if (strcmp(http_method(request), "POST") != 0) {
        problem = "Unsupported get request";
    } else if (strcmp(bearer_token(request), json_str_or(source->settings, "access_token", "")) != 0) {
        code = 190;
        problem = "Invalid OAuth access token";
    } else if (json_parse(http_body(request), &body, NULL) != ERR_NONE || !json_is_object(body)) {
        problem = "Invalid JSON";
    } else if (strcmp(json_str_or(body, "status", ""), "read") == 0) {
        answer_json(request, 200, json_pack("{s:b}", "success", 1));
        return true;
    } else if ((problem = whatsapp_problem(body, &code, &reason)) == NULL) {
        problem = template_problem(s, source->name, body);
        code = 132001;
    }
    if (problem) {
        log_warn("send refused", "source=%s code=%d reason='%s'", source->name, code, problem);
        answer_json(request, graph_status_of(code), graph_error(code, problem));
    } else if (!answer_fault(s, request, source->name, graph_refuse)) {
        accept(s, request, source, body);
    }
    return true;
}
