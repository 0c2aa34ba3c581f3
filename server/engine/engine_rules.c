#include "engine/engine_rules.h"

#include <string.h>

#define TROUBLE_EVERY_MS 5000
/* What takes too long on a machine that is busy may load a little later. What never loads costs a thread no more than
 * this share of its time. */
#define RETRY_MS 5000
#define RETRY_SHARE 20

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

static bool load_set(struct engine_rules *rules)
{
    struct rule_set *fresh = NULL;
    struct error error;
    unsigned swallowed;
    uint64_t generation;
    err_t err = rule_feed_load(rules->feed, &rules->limits, &generation, &fresh, &error);
    if (err == ERR_NONE) {
        rule_set_free(rules->set);
        rules->set = fresh;
        log_info("rules in force", "version=%s rules=%zu", rule_set_version(fresh), rule_set_count(fresh));
    } else if (log_allowed(&rules->troubles, TROUBLE_EVERY_MS, &swallowed)) {
        log_error("rules did not load in this thread, the ones before stay and loading is tried again",
                  "reason='%s' also=%u", error.text, swallowed);
    }
    return err == ERR_NONE;
}

static bool load_shadow(struct engine_rules *rules)
{
    struct rule_set *set = NULL;
    struct error error;
    unsigned swallowed;
    err_t err = rule_feed_load_shadow(rules->feed, &rules->limits, &set, &error);
    if (err == ERR_NONE && set != NULL) {
        log_info("shadow rules are tried", "version=%s rules=%zu", rule_set_version(set), rule_set_count(set));
    } else if (err != ERR_NONE && log_allowed(&rules->shadow_troubles, TROUBLE_EVERY_MS, &swallowed)) {
        log_error("the shadow rules did not load in this thread, loading is tried again", "reason='%s' also=%u",
                  error.text, swallowed);
    }
    shadow_set_rules(rules->shadow, set);
    return err == ERR_NONE;
}

bool engine_rules_follow(struct engine_rules *rules)
{
    /* Read before the sources: what is published later is seen by the next claim. */
    rules->pointer = rule_feed_pointer(rules->feed);
    if (rules->pointer == 0) {
        return false;
    }
    /* The generation is read before the sources, too: what is published in between is loaded once more. */
    uint64_t generation = rule_feed_generation(rules->feed);
    if (rules->generation != generation) {
        rules->generation = generation;
        rules->set_is_due = rules->shadow_is_due = true;
        rules->next_try = 0;
    }
    msec_t began = clock_steady();
    if ((rules->set_is_due || rules->shadow_is_due) && began >= rules->next_try) {
        rules->set_is_due = rules->set_is_due && !load_set(rules);
        rules->shadow_is_due = rules->shadow_is_due && !load_shadow(rules);
        msec_t now = clock_steady();
        rules->next_try = now + RETRY_MS + (now - began) * RETRY_SHARE;
    }
    return rules->set != NULL;
}
