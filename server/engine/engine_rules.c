#include "engine/engine_rules.h"

#include <string.h>

#define TROUBLE_EVERY_MS 5000

static struct rule_limits limits_of(const struct config *config)
{
    struct rule_limits limits = rule_limits_default();
    limits.max_instructions = config->rules.max_instructions;
    limits.max_memory_bytes = config->rules.max_memory_bytes;
    limits.max_effects = config->rules.max_effects;
    limits.max_wall_ms = config->rules.max_wall_ms;
    return limits;
}

void engine_rules_init(struct engine_rules *rules, struct rule_feed *feed, const struct config *config,
                       const json_t *sources)
{
    *rules = (struct engine_rules){
        .feed = feed,
        .limits = limits_of(config),
        .budget = {
            .sends_per_hour = (int64_t)config->rules.sends_per_hour,
            .sends_per_minute = (int64_t)config->rules.sends_per_minute,
            .sends_per_contact_per_day = (int64_t)config->rules.sends_per_contact_per_day,
        },
        .shadow = shadow_new(config->rules.shadow_percent, sources, config->engine.max_depth),
    };
}

void engine_rules_done(struct engine_rules *rules)
{
    rule_set_free(rules->set);
    shadow_free(rules->shadow);
    rules->set = NULL;
    rules->shadow = NULL;
}

static void load_set(struct engine_rules *rules)
{
    struct rule_set *fresh = NULL;
    struct error error;
    unsigned swallowed;
    if (rule_feed_load(rules->feed, &rules->limits, &rules->generation, &fresh, &error) == ERR_NONE) {
        rule_set_free(rules->set);
        rules->set = fresh;
        log_info("rules in force", "version=%s rules=%zu", rule_set_version(fresh), rule_set_count(fresh));
    } else if (log_allowed(&rules->troubles, TROUBLE_EVERY_MS, &swallowed)) {
        log_error("rules did not load in this thread, the ones before stay", "reason='%s' also=%u", error.text,
                  swallowed);
    }
}

static void load_shadow(struct engine_rules *rules)
{
    struct rule_set *set = NULL;
    struct error error;
    if (rule_feed_load_shadow(rules->feed, &rules->limits, &set, &error) != ERR_NONE) {
        log_error("the shadow rules did not load in this thread", "reason='%s'", error.text);
    } else if (set != NULL) {
        log_info("shadow rules are tried", "version=%s rules=%zu", rule_set_version(set), rule_set_count(set));
    }
    shadow_set_rules(rules->shadow, set);
}

bool engine_rules_follow(struct engine_rules *rules)
{
    /* Read before the sources: what is published later is seen by the next claim. */
    rules->pointer = rule_feed_pointer(rules->feed);
    if (rules->pointer == 0) {
        return false;
    }
    if (rules->set == NULL || rules->generation != rule_feed_generation(rules->feed)) {
        load_set(rules);
        load_shadow(rules);
    }
    return rules->set != NULL;
}
