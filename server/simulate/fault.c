#include "simulate/fault.h"

#include "base/macros.h"
#include "base/text.h"

#include <stdio.h>

static const char *const names[FAULT_KIND_COUNT + 1] = {
    [FAULT_RATE_LIMIT] = "rate_limit",
    [FAULT_PAIR_LIMIT] = "pair_limit",
    [FAULT_SERVER_ERROR] = "server_error",
    [FAULT_REFUSE] = "refuse",
    [FAULT_DROP_ANSWER] = "drop_answer",
    [FAULT_BAD_GATEWAY] = "bad_gateway",
    [FAULT_SLOW] = "slow",
    [FAULT_DUPLICATE] = "duplicate",
    [FAULT_REORDER] = "reorder",
    [FAULT_BATCH] = "batch",
    [FAULT_LATE_STATUS] = "late_status",
    [FAULT_NO_STATUS] = "no_status",
    [FAULT_FAIL_STATUS] = "fail_status",
    [FAULT_KIND_COUNT] = NULL,
};

const char *fault_name(enum fault_kind kind)
{
    return names[kind];
}

static err_t add(struct fault_list *list, const char *source, const char *kind, int64_t number, int64_t times,
                 struct error *reterr)
{
    int found = -1;
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], kind) == 0) {
            found = i;
        }
    }
    if (found < 0) {
        const char *near = text_nearest(kind, names);
        return fail(reterr, ERR_INVALID, "unknown fault '%.40s'%s%s%s", kind, near ? "\nHINT: did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
    }
    if (list->count == MOST_FAULTS) {
        return fail(reterr, ERR_LIMIT, "more than %d faults", MOST_FAULTS);
    }
    if (times == 0) {
        return ERR_NONE;
    }
    struct fault *fault = &list->faults[list->count];
    *fault = (struct fault){ .kind = (enum fault_kind)found, .number = number, .times = times };
    if (snprintf(fault->source, sizeof(fault->source), "%s", source) >= (int)sizeof(fault->source)) {
        return fail(reterr, ERR_INVALID, "the name of the source is too long");
    }
    list->count++;
    return ERR_NONE;
}

err_t fault_add_json(struct fault_list *list, const json_t *fault, struct error *reterr)
{
    static const char *const number_keys[] = { "code", "ms", "number", "n", "retry_after" };
    const char *kind = json_str(fault, "kind");
    if (kind == NULL) {
        return fail(reterr, ERR_INVALID, "a fault is {\"source\", \"kind\", \"times\", \"code\" or \"ms\"}");
    }
    int64_t number = -1;
    for (size_t i = 0; i < ARRAY_LEN(number_keys) && number == -1; i++) {
        number = json_int(fault, number_keys[i], -1);
    }
    return add(list, json_str_or(fault, "source", ""), kind, number, json_int(fault, "times", 1), reterr);
}

static err_t add_one_text(struct fault_list *list, struct bytes text, struct error *reterr)
{
    struct bytes source = { "", 0 };
    int64_t number = -1;
    int64_t times = 1;
    const char *colon = memchr(text.ptr, ':', text.len);
    if (colon) {
        source = text_next_field(&text, ':');
    }
    struct bytes times_text = text;
    struct bytes rest = text_next_field(&times_text, '*');
    struct bytes number_text = rest;
    struct bytes kind = text_next_field(&number_text, '=');
    if ((times_text.len > 0 && !text_to_i64(times_text, &times)) ||
        (number_text.len > 0 && !text_to_i64(number_text, &number))) {
        return fail(reterr, ERR_INVALID, "'%.*s' is no fault\nHINT: write it like whatsapp:refuse=131026*2",
                    (int)rest.len, rest.ptr);
    }
    char source_name[64];
    char kind_name[64];
    snprintf(source_name, sizeof(source_name), "%.*s", (int)source.len, source.ptr);
    snprintf(kind_name, sizeof(kind_name), "%.*s", (int)kind.len, kind.ptr);
    return add(list, source_name, kind_name, number, times, reterr);
}

err_t fault_add_text(struct fault_list *list, const char *text, struct error *reterr)
{
    struct bytes rest = bytes_of(text);
    while (rest.len > 0) {
        struct bytes one = text_trim(text_next_field(&rest, ','));
        err_t err = one.len > 0 ? add_one_text(list, one, reterr) : ERR_NONE;
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

json_t *fault_list_json(const struct fault_list *list)
{
    json_t *json = json_array();
    for (size_t i = 0; i < list->count; i++) {
        const struct fault *fault = &list->faults[i];
        json_t *one = json_object();
        if (fault->source[0]) {
            json_put_str(one, "source", fault->source);
        }
        json_put_str(one, "kind", fault_name(fault->kind));
        if (fault->number != -1) {
            json_put_int(one, "number", fault->number);
        }
        json_put_int(one, "times", fault->times);
        json_array_append_new(json, one);
    }
    return json;
}

bool fault_take(struct fault_list *list, const char *source, enum fault_kind first, enum fault_kind last,
                struct fault *ret_fault)
{
    for (size_t i = 0; i < list->count; i++) {
        struct fault *fault = &list->faults[i];
        if (fault->kind < first || fault->kind > last || (fault->source[0] && strcmp(fault->source, source) != 0)) {
            continue;
        }
        *ret_fault = *fault;
        if (fault->times > 0 && --fault->times == 0) {
            list->count--;
            memmove(fault, fault + 1, (list->count - i) * sizeof(*fault));
        }
        return true;
    }
    return false;
}
