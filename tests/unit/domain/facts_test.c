/* What rules see of a contact is kept from event to event of one desk, and is never older than the rows. */
#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ABOUT "'contact':{'identities':['whatsapp:1']}}"

static void expect_seen(const struct stage *s, const char *rule, const char *wanted)
{
    json_t *expected = json_of(wanted);
    const json_t *facts = stage_facts(s, rule);
    if (!json_covers(expected, facts))
        fail_msg("%s saw %s, not %s", rule, json_dump(facts), wanted);
    json_decref(expected);
}

/* look1 runs on custom.1, and so on. */
static void add_lookers(struct stage *s, int count)
{
    static const char *const names[] = { "look1", "look2", "look3", "look4" };
    static const char *const types[] = { "custom.1", "custom.2", "custom.3", "custom.4" };
    for (int i = 0; i < count; i++)
        stage_rule(s, names[i], types[i], "[]");
}

static void changes_of_the_contact_are_seen(void **state)
{
    struct stage *s = *state;
    add_lookers(s, 4);
    stage_rule(s, "set", "custom.set", "[{'do':'contact_set','key':'plan','value':'gold'}]");
    stage_rule(s, "half", "custom.half", "[{'do':'contact_set','key':'plan','value':'lead'},{'do':'dance'}]");
    stage_rule(s, "stop", "custom.stop", "[{'do':'opt_out','topic':'all'}]");
    stage_message(s, "whatsapp:1", "hello");
    static const char *const batch[] = {
        "{'type':'custom.1','source':'desk'," ABOUT, "{'type':'custom.set','source':'desk'," ABOUT,
        "{'type':'custom.2','source':'desk'," ABOUT, "{'type':'custom.half','source':'desk'," ABOUT,
        "{'type':'custom.3','source':'desk'," ABOUT, "{'type':'custom.stop','source':'desk'," ABOUT,
        "{'type':'custom.4','source':'desk'," ABOUT,
    };
    stage_batch(s, batch, sizeof(batch) / sizeof(batch[0]));
    expect_seen(s, "look1", "{'contact':{'attributes':{'plan':null},'opted_out':[],'channels':['whatsapp']}}");
    expect_seen(s, "look2", "{'contact':{'attributes':{'plan':'gold'}}}");
    expect_seen(s, "look3", "{'contact':{'attributes':{'plan':'gold'}}}"); /* what failed is undone */
    expect_seen(s, "look4", "{'contact':{'attributes':{'plan':'gold'},'opted_out':['all']}}");
}

static void identities_and_channels_are_seen(void **state)
{
    struct stage *s = *state;
    add_lookers(s, 4);
    stage_rule(s, "claim", "custom.claim", "[{'do':'identify','identity':'email:a@b.c'}]");
    stage_message(s, "whatsapp:1", "hello");
    static const char *const batch[] = {
        "{'type':'custom.1','source':'desk'," ABOUT,
        "{'type':'custom.claim','source':'desk'," ABOUT,
        "{'type':'custom.2','source':'desk'," ABOUT,
        "{'type':'contact.opted_out','source':'whatsapp','topic':'channel','provider_reason':'blocked'," ABOUT,
        "{'type':'custom.3','source':'desk'," ABOUT,
        "{'type':'message.received','source':'whatsapp','message':{'kind':'text','text':'back'}," ABOUT,
        "{'type':'custom.4','source':'desk'," ABOUT,
    };
    stage_batch(s, batch, sizeof(batch) / sizeof(batch[0]));
    expect_seen(s, "look1", "{'contact':{'identities':['whatsapp:1','phone:1'],'channels':['whatsapp']}}");
    expect_seen(s, "look2",
                "{'contact':{'identities':['whatsapp:1','phone:1','email:a@b.c'],'channels':['whatsapp']}}");
    expect_seen(s, "look3", "{'contact':{'channels':[]}}");
    expect_seen(s, "look4", "{'contact':{'channels':['whatsapp']}}");
}

static void each_contact_has_its_own(void **state)
{
    struct stage *s = *state;
    add_lookers(s, 3);
    stage_message(s, "whatsapp:1", "hello");
    stage_message(s, "telegram:2", "hello");
    static const char *const batch[] = {
        "{'type':'custom.1','source':'desk'," ABOUT,
        "{'type':'custom.2','source':'desk','contact':{'identities':['telegram:2']}}",
        "{'type':'custom.3','source':'desk'," ABOUT,
    };
    stage_batch(s, batch, sizeof(batch) / sizeof(batch[0]));
    expect_seen(s, "look1", "{'contact':{'identities':['whatsapp:1','phone:1']}}");
    expect_seen(s, "look2", "{'contact':{'identities':['telegram:2'],'channels':['telegram']}}");
    expect_seen(s, "look3", "{'contact':{'identities':['whatsapp:1','phone:1'],'channels':['whatsapp']}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_of_the_contact_are_seen, stage_set_up, stage_tear_down),
        cmocka_unit_test_setup_teardown(identities_and_channels_are_seen, stage_set_up, stage_tear_down),
        cmocka_unit_test_setup_teardown(each_contact_has_its_own, stage_set_up, stage_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
