/* What ends an outreach, what does not, and that nothing is said twice on its ladder. */
#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define WHO "'contact':{'identities':['whatsapp:1','telegram:9']}"
#define STEPS "'steps':[{'after_ms':0,'text':'first'},{'after_ms':86400000,'text':'second'}]"

static void start(struct stage *s, const char *effect)
{
    char effects[800];
    snprintf(effects, sizeof(effects), "[{'do':'outreach',%s}]", effect);
    stage_rule(s, "recover", "custom.failed", effects);
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, "{'type':'custom.failed','source':'desk'," WHO "}");
}

static long long outreach_id(const struct stage *s)
{
    return (long long)json_int(find_row(s, ROWS_OUTREACH, "{}"), "id", 0);
}

/* A timer of its ladder that had fired before something else was handled. */
static void step(struct stage *s, long long outreach, int number)
{
    char event[256];
    snprintf(
        event, sizeof(event),
        "{'type':'outreach.step','source':'answerd','contact_id':%lld,'outreach_id':%lld,'timer':{'data':{'step':%d,"
        "'grace_ms':3600000}}}",
        (long long)json_int(find_row(s, ROWS_CONTACT, "{}"), "id", 0), outreach, number);
    stage_event(s, event);
}

static void report(struct stage *s, const char *message, const char *state, const char *at)
{
    char event[300];
    snprintf(event, sizeof(event),
             "{'type':'message.status','occurred_at':'%s'," WHO ",'status':{'message_id':'out-%lld','state':'%s'}}", at,
             (long long)json_int(find_row(s, ROWS_MESSAGE, message), "id", 0), state);
    stage_event(s, event);
}

static void the_end_takes_its_timer_along(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','reference':'in_1','goal':'payment.succeeded'," STEPS);
    stage_rule(s, "paid", "payment.succeeded", "[]");
    long long id = outreach_id(s);
    stage_event(s, "{'type':'payment.succeeded','source':'stripe'," WHO ",'payment':{'invoice':'in_1'}}");
    expect_rows(s, ROWS_TIMER, "{}", 0);
    /* Rules of the goal see what it ended. */
    assert_int_equal(json_int(json_object_at(stage_facts(s, "paid"), "outreach"), "id", 0), id);
    /* It ends once, and a step that had fired before says nothing. */
    s->now += HOUR;
    stage_event(s, "{'type':'payment.succeeded','source':'stripe'," WHO ",'payment':{'invoice':'in_1'}}");
    expect_changes(s, "events", "{'type':'outreach.recovered'}", 0);
    s->now += 24 * HOUR;
    step(s, id, 2);
    expect_changes(s, "deliveries", "{}", 0);
    expect_rows(s, ROWS_OUTREACH, "{'state':'recovered','step':1,'ended_at':'2026-01-05T12:00:00.000Z'}", 1);
}

static void a_step_is_taken_once(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','goal':'payment.succeeded','grace_ms':3600000," STEPS);
    stage_advance(s, 24 * HOUR);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'second'}}}", 1);
    step(s, outreach_id(s), 2);
    expect_changes(s, "deliveries", "{}", 0);
    expect_rows(s, ROWS_OUTREACH, "{'state':'active','step':2}", 1);
    stage_advance(s, HOUR);
    expect_rows(s, ROWS_OUTREACH, "{'state':'exhausted'}", 1);
}

static void a_family_of_events_may_be_the_goal(void **state)
{
    static const struct {
        const char *type, *state;
    } cases[] = { { "custom.paid.cash", "recovered" }, { "custom.paid_back", "active" }, { "custom.paid", "active" } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        start(s, "'topic':'billing','goal':'custom.paid.*'," STEPS);
        char text[200];
        snprintf(text, sizeof(text), "{'type':'%s','source':'desk'," WHO "}", cases[i].type);
        stage_event(s, text);
        snprintf(text, sizeof(text), "{'state':'%s'}", cases[i].state);
        expect_rows(s, ROWS_OUTREACH, text, 1);
    }
}

/* Its own steps are events as well. */
static void it_is_not_its_own_goal(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','goal':'outreach.*'," STEPS);
    stage_advance(s, 24 * HOUR);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'second'}}}", 1);
    expect_rows(s, ROWS_OUTREACH, "{'state':'active','step':2}", 1);
}

/* Both people are known to the desk that handles them together. */
static void what_names_nothing_ends_only_that_of_the_contact(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','reference':'in_1','goal':'custom.done'," STEPS);
    stage_message(s, "telegram:2", "hi");
    const char *const together[] = { "{'type':'custom.note','source':'desk'," WHO "}",
                                     "{'type':'custom.done','source':'desk','contact':{'identities':['telegram:2']}}" };
    stage_batch(s, together, 2);
    expect_rows(s, ROWS_OUTREACH, "{'state':'active'}", 1);
    stage_event(s, "{'type':'custom.done','source':'desk'," WHO "}");
    expect_rows(s, ROWS_OUTREACH, "{'state':'recovered'}", 1);
}

/* Two shops may number their orders alike. A row: who tells of a payment of Grace's with the number of Ada's. */
static void another_account_tells_of_its_own_customers(void **state)
{
    static const struct {
        const char *told_by, *identity, *state;
    } rows[] = {
        { "'source':'stripe_two','provider':'stripe'", "telegram:2", "active" },
        { "'source':'stripe_two','provider':'stripe'", "whatsapp:1", "recovered" },
        { "'source':'stripe','provider':'stripe'", "telegram:2", "recovered" }, /* somebody else pays */
        { "'source':'desk','provider':'standard_webhooks'", "telegram:2", "recovered" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        json_put(s->sources, "stripe_two", json_of("{'kind':'stripe','provider':'stripe','sends':false}"));
        stage_rule(s, "recover", "payment.failed",
                   "[{'do':'outreach','topic':'billing','reference':'1001','goal':'payment.succeeded'," STEPS "}]");
        stage_message(s, "whatsapp:1", "hi");
        stage_message(s, "telegram:2", "hi");
        stage_event(
            s,
            "{'type':'payment.failed','source':'stripe','contact':{'identities':['whatsapp:1']},'payment':{'reference':"
            "'1001','id':'p1'}}");
        char text[300];
        snprintf(
            text, sizeof(text),
            "{'type':'payment.succeeded',%s,'contact':{'identities':['%s']},'payment':{'reference':'1001','id':'p2'}}",
            rows[i].told_by, rows[i].identity);
        stage_event(s, text);
        snprintf(text, sizeof(text), "{'state':'%s'}", rows[i].state);
        expect_rows(s, ROWS_OUTREACH, text, 1);
    }
}

static void it_ends_with_its_topic(void **state)
{
    static const struct {
        const char *topic, *state;
    } cases[] = { { "billing", "canceled" }, { "all", "canceled" }, { "news", "active" } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        char effects[100];
        snprintf(effects, sizeof(effects), "[{'do':'opt_out','topic':'%s'}]", cases[i].topic);
        stage_rule(s, "stop", "custom.stop", effects);
        stage_rule(s, "sell", "custom.sell", "[{'do':'outreach','topic':'billing','goal':'custom.sold'," STEPS "}]");
        stage_message(s, "whatsapp:1", "hi");
        stage_event(s, "{'type':'custom.sell','source':'desk'," WHO "}");
        stage_event(s, "{'type':'custom.sold','source':'desk'," WHO "}");
        stage_event(s, "{'type':'custom.sell','source':'desk'," WHO "}");
        stage_event(s, "{'type':'custom.stop','source':'desk'," WHO "}");
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "{'state':'%s'}", cases[i].state);
        expect_rows(s, ROWS_OUTREACH, wanted, 1);
        expect_rows(s, ROWS_OUTREACH, "{'state':'recovered'}", 1);
    }
}

/* As after a merge with somebody who had opted out. */
static void a_refusal_that_came_without_an_event_ends_it(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','goal':'payment.succeeded'," STEPS);
    json_object_set_new(find_row(s, ROWS_CONTACT, "{}"), "opted_out", json_of("['billing']"));
    stage_advance(s, 24 * HOUR);
    expect_changes(s, "deliveries", "{}", 0);
    expect_rows(s, ROWS_OUTREACH, "{'state':'canceled','step':1}", 1);
    expect_changes(s, "traces", "{'effects':[{'do':'outreach_cancel','refused':'the contact has opted out'}]}", 1);
}

static void each_topic_has_its_own(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','reference':'in_1','goal':'payment.succeeded'," STEPS);
    stage_rule(s, "other", "custom.other",
               "[{'do':'outreach','topic':'news','reference':'in_1','goal':'payment.succeeded'," STEPS "}]");
    stage_event(s, "{'type':'custom.other','source':'desk'," WHO "}");
    expect_rows(s, ROWS_OUTREACH, "{'topic':'billing','state':'active'}", 1);
    expect_rows(s, ROWS_OUTREACH, "{'topic':'news','state':'active'}", 1);
}

static void another_name_is_kept_once(void **state)
{
    struct stage *s = *state;
    static const char *const names[] = { "in_1", "pi_1", "pi_1", "" };
    static const char *const types[] = { "custom.0", "custom.1", "custom.2", "custom.3" };
    stage_message(s, "whatsapp:1", "hi");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[400];
        snprintf(text, sizeof(text),
                 "[{'do':'outreach','topic':'billing','reference':'%s','goal':'payment.succeeded'," STEPS "}]",
                 names[i]);
        stage_rule(s, types[i], types[i], text);
        snprintf(text, sizeof(text),
                 "{'type':'%s','source':'stripe'," WHO ",'payment':{'%s':'%s','amount':5,'currency':'usd'}}", types[i],
                 i == 0 ? "invoice" : "id", i == 0 ? "in_1" : "pi_1");
        stage_event(s, text);
    }
    expect_rows(s, ROWS_OUTREACH, "{'reference':'in_1','other_references':['pi_1']}", 1);
    expect_rows(s, ROWS_OUTREACH, "{}", 1);
}

/* A sender tells of a failure at once, its provider once more. */
static void a_failure_goes_on_by_another_channel_once(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','goal':'payment.succeeded'," STEPS);
    report(s, "{'direction':'out','source':'whatsapp'}", "failed", "2026-01-05T12:00:01.000Z");
    expect_changes(s, "deliveries", "{'source':'telegram'}", 1);
    report(s, "{'direction':'out','source':'whatsapp'}", "failed", "2026-01-05T12:00:02.000Z");
    expect_changes(s, "deliveries", "{}", 0);
}

static void a_failure_of_a_former_step_changes_nothing(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','goal':'payment.succeeded'," STEPS);
    stage_advance(s, 24 * HOUR);
    report(s, "{'direction':'out','content':{'step':1}}", "failed", "2026-01-06T12:00:01.000Z");
    expect_changes(s, "deliveries", "{}", 0);
}

static void a_failure_after_its_end_changes_nothing(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','goal':'custom.done'," STEPS);
    stage_event(s, "{'type':'custom.done','source':'desk'," WHO "}");
    report(s, "{'direction':'out'}", "failed", "2026-01-05T12:00:01.000Z");
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'failed'}", 1);
    expect_changes(s, "deliveries", "{}", 0);
}

/* What was read has arrived, whatever is said of it later. */
static void a_failure_of_what_was_read_is_none(void **state)
{
    struct stage *s = *state;
    start(s, "'topic':'billing','goal':'payment.succeeded'," STEPS);
    report(s, "{'direction':'out'}", "read", "2026-01-05T12:00:05.000Z");
    report(s, "{'direction':'out'}", "delivered", "2026-01-05T12:00:09.000Z");
    expect_rows(s, ROWS_OUTREACH, "{'reached_at':'2026-01-05T12:00:05.000Z'}", 1);
    report(s, "{'direction':'out'}", "failed", "2026-01-05T12:00:10.000Z");
    expect_changes(s, "deliveries", "{}", 0);
}

static void a_step_that_cannot_be_said_is_told_and_passed_over(void **state)
{
    struct stage *s = *state;
    stage_declare(s, "template", "of_two",
                  "{'languages':{'en':{'text':'{{name}} {{what}}'}},'variables':['name','what']}");
    start(s,
          "'topic':'billing','goal':'payment.succeeded','vars':{'name':'Ada'},'steps':[{'after_ms':0,'text':'first'},"
          "{'after_ms':60000,'template':'of_two'},{'after_ms':60000,'text':'third','lacks':'there is no link'},"
          "{'after_ms':120000,'text':'last'}]");
    expect_changes(
        s, "traces",
        "{'rule':'recover','effects':[{'made':{'steps':[{'step':1},{'step':3,'refused':'there is no link'}]}}]}", 1);
    s->now += 2 * MINUTE; /* three are due when their timer is handled */
    stage_advance(s, 0);
    expect_changes(s, "deliveries", "{}", 1);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'last'}}}", 1);
    const json_t *trace = json_array_get(json_array_at(s->changes, "traces"), 0);
    const json_t *made = json_array_at(json_array_get(json_array_at(trace, "effects"), 0), "made");
    assert_int_equal(json_array_size(made), 3);
    assert_non_null(json_str(json_array_get(made, 0), "error"));
    assert_string_equal(json_str(json_array_get(made, 1), "refused"), "there is no link");
    expect_rows(s, ROWS_OUTREACH, "{'state':'active','step':4}", 1);
}

/* What would fail in days fails its rule now. */
static void a_ladder_is_checked_when_it_begins(void **state)
{
    static const struct {
        const char *steps;
        int outreaches;
    } cases[] = {
        { "[{'after_ms':0,'text':'a'},{'after_ms':60000,'template':'nowhere'}]", 0 },
        { "[{'after_ms':0,'template':'of_two'}]", 0 },
        { "[{'after_ms':0,'text':'a'},{'after_ms':60000,'text':'b'},{'after_ms':60000,'text':'c'}]", 1 },
        { "[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]", 1 },
        { "[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]", 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        stage_declare(s, "template", "of_two",
                      "{'languages':{'en':{'text':'{{name}} {{what}}'}},'variables':['name','what']}");
        char effect[400];
        snprintf(effect, sizeof(effect),
                 "'topic':'billing','goal':'payment.succeeded','vars':{'name':'Ada'},'steps':%s", cases[i].steps);
        start(s, effect);
        expect_rows(s, ROWS_OUTREACH, "{}", cases[i].outreaches);
        expect_changes(s, "traces", "{'rule':'recover','verdict':'failed'}", !cases[i].outreaches);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_end_takes_its_timer_along),
        T(a_step_is_taken_once),
        T(a_family_of_events_may_be_the_goal),
        T(it_is_not_its_own_goal),
        T(what_names_nothing_ends_only_that_of_the_contact),
        T(another_account_tells_of_its_own_customers),
        T(it_ends_with_its_topic),
        T(a_refusal_that_came_without_an_event_ends_it),
        T(each_topic_has_its_own),
        T(another_name_is_kept_once),
        T(a_failure_goes_on_by_another_channel_once),
        T(a_failure_of_a_former_step_changes_nothing),
        T(a_failure_after_its_end_changes_nothing),
        T(a_failure_of_what_was_read_is_none),
        T(a_step_that_cannot_be_said_is_told_and_passed_over),
        T(a_ladder_is_checked_when_it_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
