#include "deliver/paces.h"

#include "channel/channel.h"

#define MOST_TO_ENDPOINT 8 /* calls at once, of one sender; receivers are rarely built for more */

json_t *paces_of_sources(const struct config *config)
{
    json_t *paces = json_object();
    for (size_t i = 0; i < config->source_count; i++) {
        const struct source_config *source = &config->sources[i];
        const struct channel_kind *kind = channel_find(source->kind);
        if (kind == NULL || kind->render == NULL) {
            continue;
        }
        json_t *pace = json_object();
        json_put_int(pace, "per_second", json_int(source->settings, "per_second", kind->source_per_second));
        json_put_int(pace, "address_interval_ms", kind->address_interval_ms);
        json_put_int(pace, "address_burst", kind->address_burst);
        json_put(paces, source->name, pace);
    }
    return paces;
}

/* One slow source must not take all the room, and what is claimed must leave at once: a claim that waits here would
 * count as unknown when we die. */
static void put_rooms(json_t *sources, const struct config *config, const struct attempt_context *attempts)
{
    size_t most = (config->deliver.max_in_flight + 1) / 2;
    const char *source;
    json_t *pace;
    json_object_foreach (sources, source, pace) {
        size_t busy = attempt_count_to(attempts, source);
        json_put_int(pace, "room", busy < most ? (int64_t)(most - busy) : 0);
    }
}

static void put_endpoints(json_t *paces, const struct config *config, const struct attempt_context *attempts,
                          const struct rule_set *rules)
{
    size_t most = config->deliver.max_in_flight / 2;
    most = most < 1 ? 1 : most < MOST_TO_ENDPOINT ? most : MOST_TO_ENDPOINT;
    const char *endpoint;
    json_t *declared;
    json_object_foreach (rule_set_declarations(rules, "endpoint"), endpoint, declared) {
        size_t busy = attempt_count_to_endpoint(attempts, endpoint);
        struct buf name CLEANUP(buf_done);
        buf_init(&name, 256);
        buf_addf(&name, "endpoint %s", endpoint);
        json_put(paces, name.ptr, json_pack("{s:I}", "room", (json_int_t)(busy < most ? most - busy : 0)));
    }
}

json_t *paces_with_room(json_t *sources, const struct config *config, const struct attempt_context *attempts,
                        const struct rule_set *rules, const struct known_sources *known)
{
    put_rooms(sources, config, attempts);
    json_t *paces = json_copy(sources);
    if (rules != NULL) {
        put_endpoints(paces, config, attempts, rules);
    }
    const char *source;
    json_t *settings;
    json_object_foreach (known->all, source, settings) {
        if (known_sources_left_to_others(known, source)) {
            json_put(paces, source, json_pack("{s:i}", "room", 0));
        }
    }
    return paces;
}
