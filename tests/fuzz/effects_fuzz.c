/* What a rule may ask for, with any arguments at all: the checks of the prelude, the bindings below it, the desk that
 * carries the effects out, and what follows from them. The input: numbers that choose methods and values; where it
 * ends, everything is 0. */
#include "domain/desk.h"
#include "domain/memory_store.h"

#include <stdint.h>
#include <stdio.h>

#include "base/macros.h"
#include "fuzz.h"

#define MAX_STEPS 16
#define MAX_DEPTH 5
#define MAX_EVENTS 40 /* that follow from one another */
#define NOON ((msec_t)1767614400 * 1000)

/* Errors of one step end that step alone. `build` makes of a description what JSON cannot hold. */
static const char rules_text[] =
    "template \"t\" { topic = \"support\", text = { en = \"Hi {{name}}\", de = \"Hallo {{name}}\" } }\n"
    "survey \"csat\" { question = \"How was it?\", scale = 5, thanks = \"Thanks\" }\n"
    "endpoint \"crm\" { url = \"https://crm.example.com/hook\" }\n"
    "local loop = {}\n"
    "loop.loop = loop\n"
    "local odd = { 1/0, -1/0, 0/0, math.mininteger, math.maxinteger, 2^53 + 1, function() end, loop, "
    "\"\\0\\255\\xf0\\x9f\",\n"
    "  string.rep(\"x\", 20000), string.rep(\"{{\", 50), -0.0, { [1.5] = 1 }, { [true] = 1, 2, 3 }, { nil, 2, nil, 4 } "
    "}\n"
    "local function build(value, e, fx)\n"
    "  if type(value) == \"string\" or type(value) == \"number\" or type(value) == \"boolean\" or value == nil then "
    "return value end\n"
    "  if value.odd then\n"
    "    local all = { e, fx, e.contact, e.conversation, e.body }\n"
    "    return odd[value.odd] or all[value.odd - #odd]\n"
    "  end\n"
    "  local made = {}\n"
    "  for key, item in pairs(value) do made[key] = build(item, e, fx) end\n"
    "  return made\n"
    "end\n"
    "local plain = { has = has, is = is, money = money, date = date, days = days, hours = hours, calendar = calendar, "
    "data = data }\n"
    "rule { name = \"open\", doc = \"A conversation for everybody.\", on = \"message.received\",\n"
    "  run = function(e, fx) fx:open_conversation { topic = \"support\" } end }\n"
    "rule { name = \"ask\", doc = \"What the input says.\", on = { \"custom.fuzz\", \"custom.again\" },\n"
    "  run = function(e, fx)\n"
    "    local conversations = { e.conversation }\n"
    "    for _, step in ipairs(e.body.steps) do\n"
    "      pcall(function()\n"
    "        local a, b, c = build(step.a, e, fx), build(step.b, e, fx), build(step.c, e, fx)\n"
    "        if step.on == \"plain\" then return plain[step.method](a, b, c) end\n"
    "        local target = step.on == \"fx\" and fx or step.on == \"contact\" and e.contact or step.on == \"event\" "
    "and e\n"
    "          or conversations[step.pick % #conversations + 1]\n"
    "        local result = target[step.method](target, a, b, c)\n"
    "        if step.method == \"open_conversation\" then conversations[#conversations + 1] = result end\n"
    "      end)\n"
    "    end\n"
    "  end }\n"
    "rule { name = \"follow\", doc = \"What comes of it.\", on = { \"conversation.*\", \"survey.*\", \"outreach.*\", "
    "\"timer.*\", \"contact.*\" },\n"
    "  run = function(e, fx) if e.conversation then e.conversation:tag(\"followed\") end end }\n";

static const struct {
    const char *on;
    const char *method;
} calls[] = {
    { "conversation", "send" },
    { "conversation", "note" },
    { "conversation", "tag" },
    { "conversation", "untag" },
    { "conversation", "assign" },
    { "conversation", "set" },
    { "conversation", "snooze" },
    { "conversation", "resolve" },
    { "conversation", "survey" },
    { "conversation", "after" },
    { "conversation", "cancel" },
    { "conversation", "history" },
    { "conversation", "has_tag" },
    { "contact", "set" },
    { "contact", "identify" },
    { "contact", "opt_out" },
    { "contact", "opt_in" },
    { "contact", "prefer" },
    { "contact", "conversations" },
    { "contact", "identity" },
    { "contact", "can_reach" },
    { "contact", "has_opted_out" },
    { "fx", "open_conversation" },
    { "fx", "outreach" },
    { "fx", "webhook" },
    { "fx", "emit" },
    { "fx", "stop" },
    { "event", "raw" },
    { "plain", "has" },
    { "plain", "is" },
    { "plain", "money" },
    { "plain", "date" },
    { "plain", "days" },
    { "plain", "hours" },
    { "plain", "calendar" },
    { "plain", "data" },
};

static const char *const fields[] = {
    "text",     "template", "media",   "vars",       "buttons",      "language", "on_unknown",
    "quiet",    "reply_to", "kind",    "url",        "id",           "caption",  "file_name",
    "unless",   "data",     "topic",   "channel",    "reference",    "tags",     "priority",
    "reopen",   "goal",     "goals",   "steps",      "next_attempt", "grace",    "after",
    "note",     "assign",   "contact", "type",       "name",         "title",    "email",
    "whatsapp", "telegram", "phone",   "identities", "attributes",   "1",        "2",
    "nonsense",
};

static const char *const words[] = {
    "",
    "t",
    "csat",
    "crm",
    "support",
    "billing",
    "whatsapp",
    "telegram",
    "stripe",
    "email",
    "4h",
    "0s",
    "30d",
    "-1h",
    "1000000d",
    "reply",
    "conversation.resolved",
    "payment.succeeded",
    "custom.x",
    "timer.nudge",
    "nudge",
    "again",
    "fuzz",
    "image",
    "document",
    "https://example.com/x",
    "ftp://x",
    "en",
    "de",
    "xx",
    "Europe/Zurich",
    "Nowhere/City",
    "high",
    "urgent",
    "whatsapp:1",
    "whatsapp:2",
    "telegram:42",
    "stripe:cus_1",
    "email:ada@example.com",
    ":",
    "resend",
    "give_up",
    "hold",
    "respect",
    "ignore",
    "all",
    "name",
    "language",
    "timezone",
    "{{name}}",
    "{{",
    "}}",
    "usd",
    "2026-01-05T12:00:00Z",
    "\n",
    "\xc3\xa9\xe2\x82\xac",
};

static unsigned take(struct bytes *rest, unsigned count)
{
    if (rest->len == 0) {
        return 0;
    }
    unsigned char byte = (unsigned char)rest->ptr[0];
    rest->ptr++;
    rest->len--;
    return byte % count;
}

static json_t *raw_text(struct bytes *rest)
{
    size_t length = take(rest, 40);
    struct bytes text = { rest->ptr, length < rest->len ? length : rest->len };
    rest->ptr += text.len;
    rest->len -= text.len;
    json_t *holder = json_object();
    json_put_bytes(holder, "text", text);
    json_t *value = json_incref(json_object_get(holder, "text"));
    json_decref(holder);
    return value;
}

static json_t *value_of(struct bytes *rest, unsigned depth)
{
    static const json_int_t large[] = { 2147483648, 4294967296, 9007199254740993, INT64_MAX, INT64_MIN };
    json_t *made;
    unsigned count;
    switch (take(rest, depth < MAX_DEPTH ? 13 : 9)) {
    case 0:
        return NULL;
    case 1:
        return json_boolean(take(rest, 2));
    case 2:
        return json_integer((json_int_t)take(rest, 256) - 8);
    case 3:
        return json_integer(large[take(rest, (unsigned)ARRAY_LEN(large))]);
    case 4:
        return json_real((double)take(rest, 256) / 7 * (double)(1u << take(rest, 31)));
    case 5:
    case 6:
        return json_string(words[take(rest, (unsigned)ARRAY_LEN(words))]);
    case 7:
        return raw_text(rest);
    case 8:
        return json_pack("{s:i}", "odd", (int)take(rest, 21) + 1);
    case 9:
        made = json_array();
        for (count = take(rest, 6); count > 0; count--) {
            json_t *item = value_of(rest, depth + 1);
            json_array_append_new(made, item != NULL ? item : json_null());
        }
        return made;
    default:
        made = json_object();
        for (count = take(rest, 8); count > 0; count--) {
            const char *key = fields[take(rest, (unsigned)ARRAY_LEN(fields))];
            json_t *item = value_of(rest, depth + 1);
            if (item != NULL) {
                json_object_set_new(made, key, item);
            }
        }
        return made;
    }
}

static json_t *steps_of(struct bytes rest)
{
    static const char *const arguments[] = { "a", "b", "c" };
    json_t *steps = json_array();
    for (size_t n = 0; rest.len > 0 && n < MAX_STEPS; n++) {
        unsigned call = take(&rest, (unsigned)ARRAY_LEN(calls));
        json_t *step = json_object();
        json_put_str(step, "on", calls[call].on);
        json_put_str(step, "method", calls[call].method);
        json_put_int(step, "pick", take(&rest, 4));
        unsigned count = take(&rest, 4);
        for (unsigned i = 0; i < count; i++) {
            json_t *argument = value_of(&rest, 0);
            if (argument != NULL) {
                json_object_set_new(step, arguments[i], argument);
            }
        }
        json_array_append_new(steps, step);
    }
    return steps;
}

/* --- the world ---------------------------------------------------------------------------------------------------- */

struct world {
    struct rule_set *rules;
    struct memory_store *store;
    json_t *sources;
    int64_t last_id;
    msec_t now;
};

static int64_t next_id(void *arg)
{
    struct world *world = arg;
    return ++world->last_id;
}

/* Everything is JSON that can be written and read again, as the database will have it; every event leaves a trace. */
static void check_changes(const json_t *changes)
{
    char *text = json_dump(changes);
    MUST_HOLD(text != NULL);
    json_t *again = NULL;
    struct error error;
    MUST_HOLD(json_parse(bytes_of(text), &again, &error) == ERR_NONE);
    json_decref(again);
    free(text);
    MUST_HOLD(json_array_size(json_object_get(changes, "handlings")) == 1);
}

static void handle(struct world *world, const json_t *event)
{
    const struct fact_reader reader = memory_store_reader(world->store);
    const struct desk_settings settings = {
        .next_id = next_id,
        .id_arg = world,
        .reader = &reader,
        .sources = world->sources,
        .max_depth = 4,
    };
    struct desk *desk = desk_new(&settings, world->rules);
    json_t *cases = memory_store_cases(world->store, event, NULL);
    size_t index;
    json_t *one;
    json_array_foreach (cases, index, one) {
        desk_add_case(desk, json_incref(one));
    }
    json_decref(cases);
    desk_handle(desk, event, world->now);
    json_t *changes = desk_take_changes(desk);
    desk_free(desk);
    check_changes(changes);
    memory_store_apply(world->store, changes);
    json_decref(changes);
}

static json_t *event_of(struct world *world, const char *type)
{
    char key[32];
    json_t *event = json_object();
    int64_t id = next_id(world);
    snprintf(key, sizeof(key), "key-%lld", (long long)id);
    json_put_int(event, "id", id);
    json_put_str(event, "type", type);
    json_put_str(event, "source", "whatsapp");
    json_put_str(event, "provider", "whatsapp");
    json_put_str(event, "key", key);
    json_put_time(event, "occurred_at", world->now);
    json_put_time(event, "received_at", world->now);
    json_object_set_new(
        event, "contact",
        json_pack("{s:[s,s],s:s,s:s}", "identities", "whatsapp:1", "phone:1", "recipient", "1", "name", "Ada"));
    return event;
}

/* What follows of its own: internal events, deliveries, timers in their order. */
static void settle(struct world *world)
{
    for (int i = 0; i < MAX_EVENTS; i++) {
        json_t *delivery;
        while ((delivery = memory_store_due_delivery(world->store, world->now)) != NULL) {
            memory_store_end_delivery(world->store, delivery, "sent", NULL, "out", world->now);
        }
        json_t *event = memory_store_next_event(world->store);
        if (event == NULL) {
            msec_t next = memory_store_next_timer(world->store);
            world->now = next > world->now ? next : world->now;
            event = memory_store_fire_timer(world->store, world->now);
            if (event == NULL) {
                return;
            }
            json_put_int(event, "id", next_id(world));
            json_put_time(event, "received_at", world->now);
        }
        handle(world, event);
        json_decref(event);
    }
}

static struct world *the_world(void)
{
    static struct world world;
    if (world.rules != NULL) {
        return &world;
    }
    const struct rule_source_file file = { "fuzz.lua", { rules_text, sizeof(rules_text) - 1 } };
    const struct rule_limits limits = rule_limits_default();
    struct rule_sources *sources = NULL;
    struct error error;
    if (rule_sources_make("rules", &file, 1, &sources, &error) != ERR_NONE ||
        rule_set_load(sources, &limits, NULL, &world.rules, &error) != ERR_NONE) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    rule_sources_free(sources);
    world.store = memory_store_new();
    world.sources = json_pack("{s:{s:s,s:s,s:b,s:i},s:{s:s,s:s,s:b,s:i}}", "whatsapp", "kind", "whatsapp", "provider",
                              "whatsapp", "sends", 1, "window_ms", 86400000, "telegram", "kind", "telegram", "provider",
                              "telegram", "sends", 1, "window_ms", 0);
    return &world;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct world *world = the_world();
    memory_store_clear(world->store);
    world->last_id = 1000;
    world->now = NOON;

    json_t *hello = event_of(world, "message.received");
    json_object_set_new(hello, "message", json_pack("{s:s,s:s,s:s}", "id", "in-1", "kind", "text", "text", "Hello"));
    handle(world, hello);
    json_decref(hello);
    settle(world);

    json_t *asked = event_of(world, "custom.fuzz");
    json_object_set_new(asked, "body",
                        json_pack("{s:o}", "steps", steps_of((struct bytes){ (const char *)data, size })));
    handle(world, asked);
    json_decref(asked);
    settle(world);
    return 0;
}
