/* What the tests of hostile rules share: one attack after the other, and a rule beside it that must not notice. */
#ifndef TESTS_RULES_HOSTILE_H
#define TESTS_RULES_HOSTILE_H

#include <time.h>

#include "rule_files.h"

/* A call gets 250 ms; sanitizers and a busy machine are slower. */
#define MAX_SECONDS 3.0

#define EVENT                                                                                                          \
    "{\"type\":\"custom.x\",\"id\":1,\"contact\":{\"identities\":[\"telegram:1\"]},\"body\":{\"list\":[3,1,2]}}"
#define FACTS                                                                                                          \
    "{\"contact\":{\"id\":5,\"attributes\":{\"plan\":\"pro\"},\"identities\":[\"telegram:1\"]},"                       \
    "\"conversation\":{\"id\":9,\"state\":\"open\",\"tags\":[\"a\"],\"attributes\":{}}}"

/* A library that would like to remember something. */
#define LIBRARY                                                                                                        \
    "local n, seen = 0, {}\n"                                                                                          \
    "return { bump = function() n = n + 1 return n end, count = function() return n + #seen end,\n"                    \
    "  keep = function(x) seen[#seen + 1] = x end }"
#define OK "A33pro00019"

#define EITHER ((enum rule_verdict) - 1) /* it may run, fail or be over budget, as long as it ends and harms nobody */

struct attack {
    const char *code;
    enum rule_verdict verdict;
    const char *text; /* a part of the message */
};

/* Runs each attack twice, and after each run another rule of the set, which must find everything as it was. */
static void run_each(const struct attack *attacks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char rules[4096];
        snprintf(
            rules, sizeof(rules),
            "template 't' { text = 'x' } calendar 'rare' { timezone = 'UTC', hours = { mon = '09:00-09:01' } } "
            "local kept = {} local bump, bumps = (function() local n = 0 "
            "return function() n = n + 1 return n end, function() return n end end)()\n"
            "rule { name = 'a', on = 'custom.x', run = function(e, fx) local c = e.conversation %s end }\n"
            "rule { name = 'b', on = 'custom.x', run = function(e, fx)\n"
            "  e.conversation:set('ok', ('a'):upper() .. #data('d').a .. e.body.list[1] .. e.contact.attributes.plan .. #kept\n"
            "    .. require('counter').count() .. bumps() .. local_time(now(), 'Asia/Tokyo').hour) end }",
            attacks[i].code);
        const struct rule_file files[] = { { "a.lua", rules },
                                           { "data/d.lua", "return { a = { 1, 2, 3 } }" },
                                           { "lib/counter.lua", LIBRARY },
                                           { NULL, NULL } };
        json_t *problems;
        struct rule_set *set;
        struct error e;
        if (load_files(files, NULL, &problems, &set, &e) != ERR_NONE)
            fail_msg("%s: %s", attacks[i].code, e.text);
        json_t *event = document(EVENT), *facts = document(FACTS);
        for (int round = 0; round < 2; round++) { /* the second time finds the machine as the first did */
            struct rule_outcome outcome;
            clock_t began = clock();
            rule_run(set, 0, event, facts, NULL, TEST_NOW, 1, &outcome);
            double took = (double)(clock() - began) / CLOCKS_PER_SEC;
            if (took > MAX_SECONDS)
                fail_msg("%s: took %.1f s of the processor", attacks[i].code, took);
            bool is_wanted =
                attacks[i].verdict == EITHER ? outcome.verdict != RULE_SKIPPED : outcome.verdict == attacks[i].verdict;
            if (!is_wanted || (attacks[i].text && (!strstr(outcome.error, attacks[i].text) || outcome.line == 0)))
                fail_msg("%s: verdict %d line %d: %s", attacks[i].code, outcome.verdict, outcome.line, outcome.error);
            if (outcome.verdict != RULE_RAN && outcome.effects)
                fail_msg("%s: some effects were kept", attacks[i].code);
            rule_outcome_done(&outcome);
            rule_run(set, 1, event, facts, NULL, TEST_NOW, 1, &outcome);
            const char *ok = json_string_value(json_at(outcome.effects, "0.value"));
            if (!ok || strcmp(ok, OK) != 0)
                fail_msg("after %s: %s", attacks[i].code, ok ? ok : outcome.error);
            rule_outcome_done(&outcome);
        }
        json_decref(event);
        json_decref(facts);
        json_decref(problems);
        rule_set_free(set);
    }
}

#define RUN_EACH(attacks) run_each(attacks, sizeof(attacks) / sizeof(attacks[0]))

#endif
