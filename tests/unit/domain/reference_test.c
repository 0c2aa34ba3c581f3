/* What an event names, and whether that is what something is about. */
#include "domain/reference.h"

#include "stage.h"

#include <string.h>

#include "support.h"

static void every_name_counts(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        int match; /* 1: it names it; 0: it names others; -1: it names nothing */
    } cases[] = {
        { "{'payment':{'reference':'in_1'}}", 1 },
        { "{'payment':{'invoice':'in_1'}}", 1 },
        { "{'payment':{'order':'in_1'}}", 1 },
        { "{'payment':{'subscription':'in_1'}}", 1 },
        { "{'payment':{'id':'in_1'}}", 1 },
        { "{'subscription':{'id':'in_1'}}", 1 },
        { "{'order':{'reference':'in_1'}}", 1 },
        { "{'order':{'id':'in_1'}}", 1 },
        { "{'body':{'reference':'in_1'}}", 1 },
        { "{'outreach':{'reference':'in_1'}}", 1 },
        { "{'payment':{'reference':'in_2','id':'in_1'},'order':{'id':'in_3'}}", 1 },
        { "{'payment':{'reference':'in_2','id':'pi_1'}}", 0 },
        { "{'outreach':{'reference':'in_2'}}", 0 },
        { "{'payment':{'reference':'','id':''},'order':{'id':7},'body':{'reference':null}}", -1 },
        { "{'payment':{'customer':'in_1'},'customer':{'id':'in_1'}}", -1 },
        { "{}", -1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *event = json_of(cases[i].event);
        if (reference_match(event, "in_1") != cases[i].match)
            fail_msg("%s: %d", cases[i].event, reference_match(event, "in_1"));
        json_decref(event);
    }
}

static void names_come_once_and_the_nearest_first(void **state)
{
    (void)state;
    json_t *event =
        json_of("{'outreach':{'reference':'g'},'body':{'reference':'f'},'order':{'id':'e','reference':'a'},"
                "'subscription':{'id':'d'},'payment':{'id':'c','subscription':'d','order':'e','invoice':'b',"
                "'reference':'a'}}");
    json_t *names = reference_names(event);
    json_t *expected = json_of("['a','b','e','d','c','f','g']");
    assert_true(json_equal(names, expected));
    json_decref(expected);
    json_decref(names);
    json_decref(event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_counts),
        cmocka_unit_test(names_come_once_and_the_nearest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
