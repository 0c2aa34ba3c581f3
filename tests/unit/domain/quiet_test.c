/* When a message that respects quiet hours leaves: calendars, time zones and changes of clocks. */
#include "domain/quiet.h"

#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DAYS(hours) "[" hours "," hours "," hours "," hours "," hours "," hours "," hours "]"
#define QUIET(zone, hours) "{'timezone':'" zone "','days':" DAYS(hours) ",'special':{}}"
#define NIGHT "[[1320,1920]]" /* 22:00 to 8:00 of the next day */

static const struct {
    const char *kind; /* of the calendar */
    const char *calendar;
    const char *timezone; /* of the contact */
    const char *now, *due;
} rows[] = {
    { "none", QUIET("UTC", NIGHT), NULL, "2026-01-05T23:00:00.000Z", "2026-01-05T23:00:00.000Z" },
    { "quiet", QUIET("UTC", NIGHT), NULL, "2026-01-05T12:00:00.000Z", "2026-01-05T12:00:00.000Z" },
    { "quiet", QUIET("UTC", NIGHT), NULL, "2026-01-05T23:00:00.000Z", "2026-01-06T08:00:00.000Z" },
    { "quiet", QUIET("UTC", NIGHT), NULL, "2026-01-06T07:59:59.000Z", "2026-01-06T08:00:00.000Z" },
    { "quiet", QUIET("UTC", NIGHT), NULL, "2026-01-06T08:00:00.000Z", "2026-01-06T08:00:00.000Z" },
    { "quiet", QUIET("UTC", "[[0,480],[1320,1440]]"), NULL, "2026-01-05T22:30:00.000Z", "2026-01-06T08:00:00.000Z" },
    /* The customer's own night. */
    { "quiet", QUIET("UTC", NIGHT), "America/New_York", "2026-01-05T12:30:00.000Z", "2026-01-05T13:00:00.000Z" },
    { "quiet", QUIET("UTC", NIGHT), "Nowhere/Land", "2026-01-05T12:30:00.000Z", "2026-01-05T12:30:00.000Z" },
    /* Clocks go forward in Zurich on 2026-03-29 and back on 2026-10-25: eight o'clock is at another time of UTC. */
    { "quiet", QUIET("Europe/Zurich", NIGHT), NULL, "2026-03-28T22:00:00.000Z", "2026-03-29T06:00:00.000Z" },
    { "quiet", QUIET("Europe/Zurich", NIGHT), NULL, "2026-10-24T21:00:00.000Z", "2026-10-25T07:00:00.000Z" },
    { "business", "{'timezone':'UTC','days':[[[540,1020]],[],[],[],[],[],[]],'special':{}}", NULL,
      "2026-01-05T17:00:00.000Z", "2026-01-12T09:00:00.000Z" },
    { "business", "{'timezone':'UTC','days':[[[540,720],[780,1020]],[],[],[],[],[],[]],'special':{}}", NULL,
      "2026-01-05T12:15:00.000Z", "2026-01-05T13:00:00.000Z" },
    { "business", "{'timezone':'UTC','days':" DAYS("[[540,1020]]") ",'special':{'01-06':[],'2026-01-07':[[600,660]]}}",
      NULL, "2026-01-05T18:00:00.000Z", "2026-01-07T10:00:00.000Z" },
    { "sending", "{'timezone':'Asia/Kolkata','days':" DAYS("[[540,1020]]") ",'special':{}}", "America/New_York",
      "2026-01-05T00:00:00.000Z", "2026-01-05T03:30:00.000Z" },
    /* Never open, always quiet: it leaves at once rather than never. */
    { "business", "{'timezone':'UTC','days':[[],[],[],[],[],[],[]],'special':{}}", NULL, "2026-01-05T18:00:00.000Z",
      "2026-01-05T18:00:00.000Z" },
};

static void messages_wait_for_their_hours(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        stage_declare(s, "calendar", rows[i].kind, rows[i].calendar);
        stage_rule(
            s, "write", "custom.write",
            "[{'do':'open_conversation','handle':'#1'},{'do':'send','conversation':'#1','text':'x','quiet':'respect'},"
            "{'do':'send','conversation':'#1','text':'y'}]");
        assert_true(clock_parse_iso(bytes_of(rows[i].now), &s->now));
        char event[300], wanted[200];
        snprintf(event, sizeof(event),
                 "{'type':'custom.write','source':'desk','contact':{'identities':['telegram:1']%s%s%s}}",
                 rows[i].timezone ? ",'timezone':'" : "", rows[i].timezone ? rows[i].timezone : "",
                 rows[i].timezone ? "'" : "");
        stage_event(s, event);
        snprintf(wanted, sizeof(wanted), "{'due_at':'%s','request':{'free':{'text':'x'}}}", rows[i].due);
        expect_changes(s, "deliveries", wanted, 1);
        snprintf(wanted, sizeof(wanted), "{'due_at':'%s','request':{'free':{'text':'y'}}}", rows[i].now);
        expect_changes(s, "deliveries", wanted, 1);
    }
}

/* Sending from 9:00 to 17:00 UTC, and never in the night of who lives in New York. */
static void both_calendars_hold(void **state)
{
    static const struct {
        const char *night, *now, *due;
    } both[] = {
        { NIGHT, "2026-01-05T06:00:00.000Z", "2026-01-05T13:00:00.000Z" },
        { NIGHT, "2026-01-05T14:00:00.000Z", "2026-01-05T14:00:00.000Z" },
        { NIGHT, "2026-01-05T18:00:00.000Z", "2026-01-06T13:00:00.000Z" },        /* at 9:00 it is 4:00 there */
        { "[[1,1439]]", "2026-01-05T18:00:00.000Z", "2026-01-05T18:00:00.000Z" }, /* never: at once */
    };
    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        char quiet[400], wanted[200];
        snprintf(quiet, sizeof(quiet), "{'timezone':'UTC','days':[%s,%s,%s,%s,%s,%s,%s],'special':{}}", both[i].night,
                 both[i].night, both[i].night, both[i].night, both[i].night, both[i].night, both[i].night);
        stage_declare(s, "calendar", "quiet", quiet);
        stage_declare(s, "calendar", "sending", QUIET("UTC", "[[540,1020]]"));
        stage_rule(
            s, "write", "custom.write",
            "[{'do':'open_conversation','handle':'#1'},{'do':'send','conversation':'#1','text':'x','quiet':'respect'}]");
        assert_true(clock_parse_iso(bytes_of(both[i].now), &s->now));
        stage_event(s, "{'type':'custom.write','source':'desk','contact':{'identities':['telegram:1'],'timezone':"
                       "'America/New_York'}}");
        snprintf(wanted, sizeof(wanted), "{'due_at':'%s','request':{'free':{'text':'x'}}}", both[i].due);
        expect_changes(s, "deliveries", wanted, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_wait_for_their_hours, stage_set_up, stage_tear_down),
        cmocka_unit_test_setup_teardown(both_calendars_hold, stage_set_up, stage_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
