#include "deliver/dispatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h> /* needs those above */

#define HOUR_MS ((msec_t)3600 * 1000)
#define NOW ((msec_t)1795420800000) /* 2026-11-23T08:00:00Z */

static const struct channel_kind with_window = { .name = "windowed", .window_ms = 24 * HOUR_MS };
static const struct channel_kind without_window = { .name = "free" };

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    assert_int_equal(json_parse(bytes_of(text), &json, NULL), ERR_NONE);
    return json;
}

static void expect(const char *delivery, const struct channel_kind *kind, enum dispatch_verdict verdict,
                   const char *code)
{
    json_t *json = parse(delivery);
    struct dispatch dispatch = dispatch_decide(json, kind, NOW);
    assert_int_equal(dispatch.verdict, verdict);
    assert_string_equal(dispatch.code, code);
    json_decref(json);
}

#define BOTH "\"request\":{\"free\":{\"text\":\"hi\"},\"approved\":{\"name\":\"t\"}}"
#define FREE "\"request\":{\"free\":{\"text\":\"hi\"}}"
#define RECENT "\"address\":{\"last_inbound_at\":\"2026-11-23T07:00:00.000Z\"}"
#define OLD "\"address\":{\"last_inbound_at\":\"2026-11-22T07:59:00.000Z\"}"
#define NEVER "\"address\":{\"last_inbound_at\":null}"

static void free_text_stays_within_the_window(void **state)
{
    (void)state;
    expect("{" BOTH "," RECENT "}", &with_window, DISPATCH_FREE, "");
    expect("{" BOTH "," OLD "}", &with_window, DISPATCH_APPROVED, "");
    expect("{" BOTH "," NEVER "}", &with_window, DISPATCH_APPROVED, "");
    expect("{" FREE "," OLD "}", &with_window, DISPATCH_BLOCKED, "window_closed");
    expect("{" FREE "}", &with_window, DISPATCH_BLOCKED, "window_closed");
    /* The last seconds belong to the way. */
    expect("{" FREE ",\"address\":{\"last_inbound_at\":\"2026-11-22T08:00:03.000Z\"}}", &with_window, DISPATCH_BLOCKED,
           "window_closed");
    expect("{" FREE ",\"address\":{\"last_inbound_at\":\"2026-11-22T08:00:10.000Z\"}}", &with_window, DISPATCH_FREE,
           "");
}

static void channels_without_window_take_free_text(void **state)
{
    (void)state;
    expect("{" FREE "," NEVER "}", &without_window, DISPATCH_FREE, "");
    expect("{\"request\":{\"approved\":{\"name\":\"t\"}}}", &without_window, DISPATCH_APPROVED, "");
    expect("{\"request\":{}}", &without_window, DISPATCH_BLOCKED, "nothing_to_send");
}

static void an_opt_out_stops_what_it_names(void **state)
{
    (void)state;
    expect("{" FREE "," RECENT ",\"contact\":{\"opted_out\":[\"all\"]},\"topic\":null}", &with_window, DISPATCH_BLOCKED,
           "opted_out");
    expect("{" FREE "," RECENT ",\"contact\":{\"opted_out\":[\"billing\"]},\"topic\":\"billing\"}", &with_window,
           DISPATCH_BLOCKED, "opted_out");
    expect("{" FREE "," RECENT ",\"contact\":{\"opted_out\":[\"billing\"]},\"topic\":\"support\"}", &with_window,
           DISPATCH_FREE, "");
    expect("{\"request\":{\"free\":{\"text\":\"ok\"},\"confirms_opt_out\":true}," RECENT
           ",\"contact\":{\"opted_out\":[\"all\"]}}",
           &with_window, DISPATCH_FREE, "");
}

static void an_unreachable_address_recovers_when_it_writes(void **state)
{
    (void)state;
    expect("{" FREE
           ",\"address\":{\"unreachable_at\":\"2026-11-23T07:30:00Z\",\"last_inbound_at\":\"2026-11-23T07:00:00Z\"}}",
           &with_window, DISPATCH_BLOCKED, "unreachable");
    expect("{" FREE
           ",\"address\":{\"unreachable_at\":\"2026-11-23T06:30:00Z\",\"last_inbound_at\":\"2026-11-23T07:00:00Z\"}}",
           &with_window, DISPATCH_FREE, "");
}

static void an_erased_contact_gets_nothing(void **state)
{
    (void)state;
    expect("{" BOTH "," RECENT ",\"contact\":{\"erased_at\":\"2026-11-23T07:00:00Z\"}}", &without_window,
           DISPATCH_BLOCKED, "erased");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_text_stays_within_the_window),
        cmocka_unit_test(channels_without_window_take_free_text),
        cmocka_unit_test(an_opt_out_stops_what_it_names),
        cmocka_unit_test(an_unreachable_address_recovers_when_it_writes),
        cmocka_unit_test(an_erased_contact_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
