/* Rule calls per second of one processor: what rule_run() takes, from an event and facts in C to the outcome in C.
 *
 *   bench_rule_calls [SECONDS]     one line for each kind of call, "calls per second<TAB>what"; 1 second each
 *
 * Time is that of the processor. The sandbox, its budgets and its clock are as they are in the server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rules/rule_set.h"

#define CALLS_BETWEEN_LOOKS 200

/* `simple` reads a field and says no, as most rules do on most events; `effect` asks for something. */
static const char rules_text[] =
    "rule { name = \"simple\", on = \"message.received\",\n"
    "  when = function(e) return e.message.text == \"refund\" end, run = function(e, fx) end }\n"
    "rule { name = \"conversation\", on = \"message.received\", priority = -1,\n"
    "  when = function(e) return e.conversation and e.conversation.state == \"resolved\" end, run = function(e, fx) end }\n"
    "rule { name = \"effect\", on = \"message.received\", priority = -2,\n"
    "  run = function(e, fx) e.conversation:tag(\"seen\") end }\n";

static const char event_text[] =
    "{\"id\": 7001, \"type\": \"message.received\", \"source\": \"whatsapp\", \"provider\": \"whatsapp\", \"key\": \"wamid.1\","
    " \"occurred_at\": \"2026-11-20T10:00:00.000Z\", \"received_at\": \"2026-11-20T10:00:00.250Z\","
    " \"contact\": {\"identities\": [\"whatsapp:15550100\", \"phone:15550100\"], \"name\": \"Ada\"},"
    " \"message\": {\"id\": \"wamid.1\", \"kind\": \"text\", \"text\": \"Hello, are you there?\"}}";

static const char facts_text[] =
    "{\"contact\": {\"id\": 11, \"name\": \"Ada\", \"lane\": 5, \"created_at\": \"2026-11-01T10:00:00.000Z\", \"attributes\": {},"
    " \"opted_out\": [], \"identities\": [\"whatsapp:15550100\", \"phone:15550100\"], \"channels\": [\"whatsapp\"]},"
    " \"conversation\": {\"id\": 12, \"contact_id\": 11, \"source\": \"whatsapp\", \"identity\": \"whatsapp:15550100\","
    " \"topic\": \"support\", \"reference\": \"\", \"state\": \"open\", \"priority\": \"normal\", \"tags\": [\"vip\"],"
    " \"attributes\": {}, \"opened_at\": \"2026-11-20T09:00:00.000Z\", \"last_inbound_at\": \"2026-11-20T10:00:00.000Z\"},"
    " \"channel\": \"whatsapp\"}";

struct measure {
    const char *what;
    size_t rule;
    bool new_event; /* each call sees another event and other facts; else ten rules of one event share them */
};

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    struct error e;
    if (json_parse(bytes_of(text), &json, &e) != ERR_NONE) {
        fprintf(stderr, "bench_rule_calls: %s\n", e.text);
        exit(1);
    }
    return json;
}

static double measure(struct rule_set *rules, const struct measure *measure, double seconds)
{
    json_t *events[10], *facts[10];
    for (size_t i = 0; i < 10; i++) {
        events[i] = parse(event_text);
        facts[i] = parse(facts_text);
    }
    int64_t began = clock_thread_us(), now = began;
    uint64_t calls = 0;
    while ((double)(now - began) < seconds * 1e6) {
        for (size_t i = 0; i < CALLS_BETWEEN_LOOKS; i++, calls++) {
            size_t place = (measure->new_event ? calls : calls / 10) % 10;
            struct rule_outcome outcome;
            rule_run(rules, measure->rule, events[place], facts[place], NULL, 1763632800000, calls, &outcome);
            if (outcome.verdict != (measure->rule == 2 ? RULE_RAN : RULE_SKIPPED)) {
                fprintf(stderr, "bench_rule_calls: the rule did otherwise: %s\n", outcome.error);
                exit(1);
            }
            rule_outcome_done(&outcome);
        }
        now = clock_thread_us();
    }
    for (size_t i = 0; i < 10; i++) {
        json_decref(events[i]);
        json_decref(facts[i]);
    }
    return (double)calls * 1e6 / (double)(now - began);
}

int main(int argc, char **argv)
{
    static const struct measure measures[] = {
        { "simple call: reads a field of the message and says no; ten rules for each event", 0, false },
        { "the same, each call with an event of its own", 0, true },
        { "reads the conversation and says no; ten rules for each event", 1, false },
        { "the same, each call with an event of its own", 1, true },
        { "asks for an effect; ten rules for each event", 2, false },
    };
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
    const struct rule_source_file file = { "bench.lua", bytes_of(rules_text) };
    struct rule_limits limits = rule_limits_default();
    struct rule_sources *sources = NULL;
    struct rule_set *rules = NULL;
    struct error e;
    if (rule_sources_make("rules", &file, 1, &sources, &e) != ERR_NONE ||
        rule_set_load(sources, &limits, NULL, &rules, &e) != ERR_NONE) {
        fprintf(stderr, "bench_rule_calls: %s\n", e.text);
        return 1;
    }
    for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++)
        printf("%.0f\t%s\n", measure(rules, &measures[i], seconds), measures[i].what);
    rule_set_free(rules);
    rule_sources_free(sources);
    return 0;
}
