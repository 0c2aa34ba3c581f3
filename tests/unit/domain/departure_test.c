#include "domain/departure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h> /* needs those above */

#define HOUR_MS ((msec_t)3600 * 1000)
#define NOW ((msec_t)1795420800000) /* 2026-11-23T08:00:00Z */

#define WITH_WINDOW (24 * HOUR_MS)
#define WITHOUT_WINDOW 0

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    assert_int_equal(json_parse(bytes_of(text), &json, NULL), ERR_NONE);
    return json;
}

/* `sent_as` NULL: it must not leave, for the reason `code`. */
static void expect(const char *text, msec_t window_ms, const char *sent_as, const char *code)
{
    json_t *delivery = parse(text);
    const struct departure departure = departure_decide(delivery, json_object_at(delivery, "contact"),
                                                        json_object_at(delivery, "address"), window_ms, NOW);
    assert_string_equal(departure.sent_as ? departure.sent_as : "", sent_as ? sent_as : "");
    assert_string_equal(departure.code, code);
    assert_int_equal(departure.sent_as == NULL, strlen(departure.reason) > 0);
    json_decref(delivery);
}

#define BOTH "\"request\":{\"free\":{\"text\":\"hi\"},\"approved\":{\"name\":\"t\"}}"
#define FREE "\"request\":{\"free\":{\"text\":\"hi\"}}"
#define RECENT "\"address\":{\"last_inbound_at\":\"2026-11-23T07:00:00.000Z\"}"
#define OLD "\"address\":{\"last_inbound_at\":\"2026-11-22T07:59:00.000Z\"}"
#define NEVER "\"address\":{\"last_inbound_at\":null}"

static void free_text_stays_within_the_window(void **state)
{
    (void)state;
    expect("{" BOTH "," RECENT "}", WITH_WINDOW, "free", "");
    expect("{" BOTH "," OLD "}", WITH_WINDOW, "approved", "");
    expect("{" BOTH "," NEVER "}", WITH_WINDOW, "approved", "");
    expect("{" FREE "," OLD "}", WITH_WINDOW, NULL, "window_closed");
    expect("{" FREE "}", WITH_WINDOW, NULL, "window_closed");
    /* The last seconds belong to the way. */
    expect("{" FREE ",\"address\":{\"last_inbound_at\":\"2026-11-22T08:00:03.000Z\"}}", WITH_WINDOW, NULL,
           "window_closed");
    expect("{" FREE ",\"address\":{\"last_inbound_at\":\"2026-11-22T08:00:10.000Z\"}}", WITH_WINDOW, "free", "");
}

static void channels_without_window_take_free_text(void **state)
{
    (void)state;
    expect("{" FREE "," NEVER "}", WITHOUT_WINDOW, "free", "");
    expect("{\"request\":{\"approved\":{\"name\":\"t\"}}}", WITHOUT_WINDOW, "approved", "");
    expect("{\"request\":{}}", WITHOUT_WINDOW, NULL, "nothing_to_send");
}

static void an_opt_out_stops_what_it_names(void **state)
{
    (void)state;
    expect("{" FREE "," RECENT ",\"contact\":{\"opted_out\":[\"all\"]},\"topic\":null}", WITH_WINDOW, NULL,
           "opted_out");
    expect("{" FREE "," RECENT ",\"contact\":{\"opted_out\":[\"billing\"]},\"topic\":\"billing\"}", WITH_WINDOW, NULL,
           "opted_out");
    expect("{" FREE "," RECENT ",\"contact\":{\"opted_out\":[\"billing\"]},\"topic\":\"support\"}", WITH_WINDOW, "free",
           "");
    expect("{\"request\":{\"free\":{\"text\":\"ok\"},\"confirms_opt_out\":true}," RECENT
           ",\"contact\":{\"opted_out\":[\"all\"]}}",
           WITH_WINDOW, "free", "");
}

static void what_waited_for_somebody_does_not_reach_the_next_owner(void **state)
{
    (void)state;
    static const char *const recent =
        "{" BOTH ",\"contact\":{\"id\":7},\"address\":{%s\"last_inbound_at\":\"2026-11-23T07:00:00.000Z\"}}";
    char text[400];
    snprintf(text, sizeof(text), recent, "\"contact_id\":8,");
    expect(text, WITH_WINDOW, NULL, "moved");
    expect(text, WITHOUT_WINDOW, NULL, "moved");
    snprintf(text, sizeof(text), recent, "\"contact_id\":7,");
    expect(text, WITH_WINDOW, "free", "");
    snprintf(text, sizeof(text), recent, "");
    expect(text, WITH_WINDOW, "free", "");
}

static void an_unreachable_address_recovers_when_it_writes(void **state)
{
    (void)state;
    expect("{" FREE
           ",\"address\":{\"unreachable_at\":\"2026-11-23T07:30:00Z\",\"last_inbound_at\":\"2026-11-23T07:00:00Z\"}}",
           WITH_WINDOW, NULL, "unreachable");
    expect("{" FREE
           ",\"address\":{\"unreachable_at\":\"2026-11-23T06:30:00Z\",\"last_inbound_at\":\"2026-11-23T07:00:00Z\"}}",
           WITH_WINDOW, "free", "");
}

/* The first reason is told: who asked for silence is not told to have a closed window. */
static void an_opt_out_comes_before_the_window(void **state)
{
    (void)state;
    expect("{" FREE "," OLD ",\"contact\":{\"opted_out\":[\"all\"]}}", WITH_WINDOW, NULL, "opted_out");
}

static void an_erased_contact_gets_nothing(void **state)
{
    (void)state;
    expect("{" BOTH "," RECENT ",\"contact\":{\"erased_at\":\"2026-11-23T07:00:00Z\"}}", WITHOUT_WINDOW, NULL,
           "erased");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_text_stays_within_the_window),
        cmocka_unit_test(channels_without_window_take_free_text),
        cmocka_unit_test(an_opt_out_stops_what_it_names),
        cmocka_unit_test(what_waited_for_somebody_does_not_reach_the_next_owner),
        cmocka_unit_test(an_unreachable_address_recovers_when_it_writes),
        cmocka_unit_test(an_opt_out_comes_before_the_window),
        cmocka_unit_test(an_erased_contact_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
