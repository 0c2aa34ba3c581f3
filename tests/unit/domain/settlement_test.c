/* Webhooks in any order: a failure that arrives after the success of the same thing. */
#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define WHO "'contact':{'identities':['stripe:c1','phone:1']}"

/* The stage begins on 2026-01-05 at 12:00. */
#define FAILED_AT(at, invoice)                                                                                         \
    "{'type':'payment.failed','source':'stripe'," WHO ",'occurred_at':'2026-01-" at "Z','payment':{'id':'ch_1','"      \
    "reference':'" invoice "','invoice':'" invoice "','amount':1900,'currency':'usd'}}"
#define PAID_AT(at, invoice)                                                                                           \
    "{'type':'payment.succeeded','source':'stripe'," WHO ",'occurred_at':'2026-01-" at "Z','payment':{'id':'ch_2','"   \
    "reference':'" invoice "','invoice':'" invoice "','amount':1900,'currency':'usd'}}"

static void prepare_for(struct stage *s, const char *reference)
{
    char effects[400];
    snprintf(effects, sizeof(effects),
             "[{'do':'outreach','topic':'billing','reference':'%s','goal':'payment.succeeded','steps':[{'after_ms':0,"
             "'text':'It failed.'}]}]",
             reference);
    stage_rule(s, "recover", "payment.failed", effects);
}

static void prepare(struct stage *s)
{
    prepare_for(s, "in_1");
    stage_message(s, "whatsapp:1", "hi");
}

#define REFUSED                                                                                                        \
    "{'rule':'recover','verdict':'ran','effects':[{'do':'outreach','refused':'its goal was reached already: this "     \
    "event "                                                                                                           \
    "arrived late'}]}"

static void a_failure_that_its_success_overtook_starts_nothing(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_event(s, PAID_AT("05T11:59:00.000", "in_1"));
    s->now += MINUTE;
    stage_event(s, FAILED_AT("05T11:58:00.000", "in_1"));
    expect_rows(s, ROWS_OUTREACH, "{}", 0);
    expect_changes(s, "deliveries", "{}", 0);
    expect_changes(s, "traces", REFUSED, 1);
    /* Providers tell seconds: what happened in the same one was paid in the end. */
    stage_event(s, FAILED_AT("05T11:59:00.000", "in_1"));
    expect_rows(s, ROWS_OUTREACH, "{}", 0);
    /* Days later, too. */
    s->now += 20 * 24 * HOUR;
    stage_event(s, FAILED_AT("05T11:58:30.000", "in_1"));
    expect_rows(s, ROWS_OUTREACH, "{}", 0);
}

static void a_failure_of_later_or_of_something_else_is_told(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_event(s, PAID_AT("05T11:59:00.000", "in_0"));
    stage_event(s, PAID_AT("05T11:40:00.000", "in_1"));
    stage_event(s, FAILED_AT("05T11:59:01.000", "in_1"));
    expect_rows(s, ROWS_OUTREACH, "{'state':'active'}", 1);
}

static void another_invoice_does_not_settle_this_one(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_event(s, PAID_AT("05T11:59:00.000", "in_2"));
    stage_event(s, FAILED_AT("05T11:58:00.000", "in_1"));
    expect_rows(s, ROWS_OUTREACH, "{'state':'active'}", 1);
}

/* Where the provider tells no times, all we have is when the webhooks came. */
static void without_times_what_comes_within_minutes_is_late(void **state)
{
    struct stage *s = *state;
    prepare(s);
    static const char paid[] =
        "{'type':'payment.succeeded','source':'stripe'," WHO ",'payment':{'id':'1','invoice':'in_1'}}";
    static const char failed[] =
        "{'type':'payment.failed','source':'stripe'," WHO ",'payment':{'id':'2','invoice':'in_1'}}";
    stage_event(s, paid);
    s->now += 9 * MINUTE;
    stage_event(s, failed);
    expect_rows(s, ROWS_OUTREACH, "{}", 0);
    s->now += 2 * MINUTE;
    stage_event(s, failed);
    expect_rows(s, ROWS_OUTREACH, "{'state':'active'}", 1);
}

/* Stripe's payment intent does not name its invoice: the same amount within ten minutes is the same payment. */
static void one_payment_under_two_names_is_settled_by_either(void **state)
{
    struct stage *s = *state;
    prepare_for(s, "pi_1");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, PAID_AT("05T11:59:00.000", "in_1"));
    stage_event(s, "{'type':'payment.failed','source':'stripe'," WHO ",'occurred_at':'2026-01-05T11:55:00.000Z',"
                   "'payment':{'id':'pi_1','reference':'pi_1','amount':1900,'currency':'usd'}}");
    expect_rows(s, ROWS_OUTREACH, "{}", 0);
    stage_event(s, "{'type':'payment.failed','source':'stripe'," WHO ",'occurred_at':'2026-01-05T11:55:00.000Z',"
                   "'payment':{'id':'pi_1','reference':'pi_1','amount':2900,'currency':'usd'}}");
    expect_rows(s, ROWS_OUTREACH, "{'state':'active'}", 1);
}

static void rules_see_what_settled_the_payment(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_event(s, FAILED_AT("05T11:00:00.000", "in_9"));
    assert_null(json_object_get(stage_facts(s, "recover"), "settled"));
    stage_event(s, PAID_AT("05T11:59:00.000", "in_1"));
    stage_event(s, FAILED_AT("05T11:58:00.000", "in_1"));
    json_t *wanted = json_of("{'settled':{'type':'payment.succeeded','occurred_at':'2026-01-05T11:59:00.000Z'}}");
    assert_true(json_covers(wanted, stage_facts(s, "recover")));
    json_decref(wanted);
    /* The list itself is not the contact's business. */
    assert_null(json_object_get(json_object_at(stage_facts(s, "recover"), "contact"), "settled"));
}

static void only_the_last_ones_of_some_weeks_are_kept(void **state)
{
    struct stage *s = *state;
    prepare(s);
    for (int i = 0; i < 12; i++) {
        char event[400];
        snprintf(event, sizeof(event),
                 "{'type':'order.completed','source':'stripe'," WHO ",'order':{'id':'o%d','amount':%d}}", i, i);
        stage_event(s, event);
        stage_event(s, event); /* once more: the same */
    }
    const json_t *contact = find_row(s, ROWS_CONTACT, "{}");
    assert_int_equal(json_array_size(json_array_at(contact, "settled")), 10);
    s->now += 36 * 24 * HOUR;
    stage_event(s, PAID_AT("05T11:59:00.000", "in_1"));
    assert_int_equal(json_array_size(json_array_at(find_row(s, ROWS_CONTACT, "{}"), "settled")), 1);
}

/* A backtest begins with contacts as they are today. */
static void what_was_heard_of_later_is_not_known_yet(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_event(s, PAID_AT("05T11:59:00.000", "in_1"));
    s->now -= HOUR;
    stage_event(s, FAILED_AT("05T10:58:00.000", "in_1"));
    expect_rows(s, ROWS_OUTREACH, "{'state':'active'}", 1);
}

static void a_merge_keeps_what_both_have_paid(void **state)
{
    struct stage *s = *state;
    prepare_for(s, "in_1");
    stage_message(s, "whatsapp:US.1", "hi");
    s->now += MINUTE;
    stage_event(s, PAID_AT("05T12:01:00.000", "in_1"));
    expect_rows(s, ROWS_CONTACT, "{}", 2);
    stage_event(
        s, "{'type':'message.received','contact':{'identities':['whatsapp:US.1','whatsapp:1','phone:1']},'message':"
           "{'id':'m','kind':'text','text':'both'}}");
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 1);
    stage_event(s, FAILED_AT("05T12:00:00.000", "in_1"));
    expect_rows(s, ROWS_OUTREACH, "{}", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_failure_that_its_success_overtook_starts_nothing),
        T(a_failure_of_later_or_of_something_else_is_told),
        T(another_invoice_does_not_settle_this_one),
        T(without_times_what_comes_within_minutes_is_late),
        T(one_payment_under_two_names_is_settled_by_either),
        T(rules_see_what_settled_the_payment),
        T(only_the_last_ones_of_some_weeks_are_kept),
        T(what_was_heard_of_later_is_not_known_yet),
        T(a_merge_keeps_what_both_have_paid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
