#include "rule_files.h"

#include "base/heartbeat.h"

#define RULE(code) "rule { name = 'x', on = 'message.received', run = function(e, fx)\n" code "\nend }"

static const char *const event_text =
    "{\"id\":1001,\"type\":\"message.received\",\"source\":\"whatsapp\",\"occurred_at\":\"2026-01-05T09:59:59.500Z\","
    "\"contact\":{\"identities\":[\"whatsapp:15550100\"],\"name\":\"Ada\",\"username\":\"ada\"},"
    "\"message\":{\"id\":\"w1\",\"kind\":\"text\",\"text\":\"hello\"},\"body\":{\"list\":[1,2],\"none\":[]}}";
static const char *const facts_text =
    "{\"channel\":\"whatsapp\",\"contact\":{\"id\":7,\"name\":\"Ada "
    "L\",\"attributes\":{\"plan\":\"pro\"},\"opted_out\":[\"billing\"],"
    "\"identities\":[\"whatsapp:15550100\",\"email:ada@example.com\"],\"channels\":[\"whatsapp\"],\"created_at\":"
    "\"2026-01-01T00:00:00Z\"},"
    "\"conversation\":{\"id\":9,\"topic\":\"support\",\"reference\":\"\",\"state\":\"open\",\"tags\":[\"vip\"],"
    "\"identity\":\"whatsapp:15550100\"},"
    "\"conversations\":[{\"id\":9,\"topic\":\"support\",\"reference\":\"\",\"state\":\"open\",\"tags\":[\"vip\"]},"
    "{\"id\":8,\"topic\":\"orders\",\"reference\":\"A1\",\"state\":\"resolved\",\"resolved_at\":\"2026-01-05T08:00:"
    "00Z\"}]}";

struct example {
    const char *code;
    const char *effects; /* compact, keys sorted, without lines; or a part of the error */
};

static void check_examples(const char *declarations, const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char rules[4096];
        snprintf(rules, sizeof(rules), "%s" RULE("%s"), declarations, examples[i].code);
        char *effects = effects_of(rules, event_text, facts_text);
        bool failed = effects[0] != '[';
        if (failed ? strstr(effects, examples[i].effects) == NULL : strcmp(effects, examples[i].effects) != 0) {
            fail_msg("%s\n gives    %s\n expected %s", examples[i].code, effects, examples[i].effects);
        }
        free(effects);
    }
}

static void facts_are_there(void **state)
{
    (void)state;
    static const struct example examples[] = {
        { "fx:emit('x', { e.id, e.type, e.occurred_at, e.channel, e.message.text })",
          "[{\"body\":[1001,\"message.received\",1767607199.5,\"whatsapp\",\"hello\"],\"do\":\"emit\",\"name\":\"x\"}"
          "]" },
        { "fx:emit('x', { e.contact.name, e.contact.username, e.contact.attributes.plan, e.contact.created_at, "
          "e.contact:identity('email'), e.contact:has_opted_out('billing'), e.contact:can_reach('telegram') })",
          "[{\"body\":[\"Ada "
          "L\",\"ada\",\"pro\",1767225600,\"ada@example.com\",true,false],\"do\":\"emit\",\"name\":\"x\"}]" },
        { "fx:emit('x', { c = e.conversation.channel, t = e.conversation:has_tag('vip'), n = #e.conversations, r = "
          "e.conversations[2].resolved_at })",
          "[{\"body\":{\"c\":\"whatsapp\",\"n\":2,\"r\":1767600000,\"t\":true},\"do\":\"emit\",\"name\":\"x\"}]" },
        { "fx:emit('x', e.body)", "[{\"body\":{\"list\":[1,2],\"none\":[]},\"do\":\"emit\",\"name\":\"x\"}]" },
        { "fx:emit('x', { e.message.media == nil, e.payment == nil, e.survey == nil })",
          "[{\"body\":[true,true,true],\"do\":\"emit\",\"name\":\"x\"}]" },
        { "for k, v in pairs(e.message) do log(k) end for i, v in ipairs(e.contact.identities) do "
          "fx:emit(v:match('^%a+'), {}) end",
          "[{\"body\":{},\"do\":\"emit\",\"name\":\"whatsapp\"},{\"body\":{},\"do\":\"emit\",\"name\":\"email\"}]" },
        { "local x = e['mesage']", "rules/a.lua:2: unknown field 'e.mesage'; did you mean 'message'?" },
        { "local x = e.message.txet", "e.message has no field 'txet'; did you mean 'text'?" },
        { "local x = e.contact.nam", "the contact has no field 'nam'; did you mean 'name'?" },
        { "local x = e.conversation.stat", "did you mean 'state'?" },
        { "e.contact.name = 'x'",
          "rules/a.lua:2: the contact cannot be changed: 'name' was assigned to; write e.contact:set(\"name\", …)" },
        { "local x = e['text']", "unknown field 'e.text'; did you mean 'e.message.text'?" },
        { "local x = 'Hi ' .. e.contact.timezone", "\nHINT: 'timezone' is nil here: say what stands for it then" },
        { "local x = 'Hi ' .. e.contact.identities", "\nHINT: table.concat(list, \", \")" },
        { "local x = e.message.text > 5", "\nHINT: tonumber(text) makes a number of a text" },
        { "local x = e.message.text + 5", "\nHINT: tonumber(text) makes a number of a text" },
        { "local x = #e.contact.timezone", "\nHINT: 'timezone' is nil here: say what stands for it then, as in #" },
        { "e.conversation:priority('high')", "\nHINT: c.priority is read, c:prioritize(…) sets it" },
        { "local c = e.conversation c:close()", "a conversation has no 'close'; write c:resolve()" },
        { "e.message.text = 'x'", "e.message cannot be changed" },
        { "e.body.list[3] = 1", "read-only" },
        { "local x = e.payment.amount", "rules/a.lua:2: attempt to index a nil value (field 'payment')" },
    };
    check_examples("", examples, sizeof(examples) / sizeof(examples[0]));
}

/* The event of this test has neither contact nor conversation. */
static void what_is_not_there_is_named(void **state)
{
    (void)state;
    static const struct example examples[] = {
        { "e.conversation:tag('x')", "\nHINT: this event has no conversation" },
        { "local c = e.conversation\nc:tag('x')", "\nHINT: this event has no conversation" },
        { "local function f() e.contact:set('a', 1) end f()", "\nHINT: this event is about nobody" },
        { "local who = e.contact;\nlog(who.name)", "\nHINT: this event is about nobody" },
        { "local x = e.body.list\nlog(x.y)", "\nHINT: 'x' is nil here" },
        { "local c = e.conversation and e.body.c\nlog(c.y)", "\nHINT: 'c' is nil here" },
        { "local tags = e.conversation and e.conversation.tags\nlog(tags.y)", "\nHINT: 'tags' is nil here" },
        { "for _, x in ipairs(e.body.list) do end", "\nHINT: something is nil here" },
    };
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        char rules[1024];
        snprintf(rules, sizeof(rules), "rule { name = 'a', on = 'custom.x', run = function(e, fx)\n%s\nend }",
                 examples[i].code);
        struct rule_set *set = load_text(rules, NULL);
        struct rule_outcome outcome = run_rule(set, "{\"type\":\"custom.x\",\"body\":{}}", NULL);
        const char *hint = strstr(outcome.error, "\nHINT: ");
        assert_int_equal(outcome.verdict, RULE_FAILED);
        assert_non_null(strstr(outcome.error, "attempt to index a nil value"));
        if (hint == NULL || strncmp(hint, examples[i].effects, strlen(examples[i].effects)) != 0) {
            fail_msg("%s\n fails with %s", examples[i].code, outcome.error);
        }
        rule_outcome_done(&outcome);
        rule_set_free(set);
    }
}

static void effects_are_appended(void **state)
{
    (void)state;
    const char *declarations =
        "template 't' { text = 'Hi {{name}} {{n}}' } survey 'csat' { question = 'How?' } "
        "endpoint 'crm' { url = 'https://x', secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' } ";
    static const struct example examples[] = {
        { "local c = fx:open_conversation{} c:send('Hi') fx:emit('x', { c.is_new, c.id })",
          "[{\"do\":\"open_conversation\",\"handle\":\"#1\",\"topic\":\"support\"},{\"conversation\":\"#1\",\"do\":"
          "\"send\",\"text\":\"Hi\"},"
          "{\"body\":[false,9],\"do\":\"emit\",\"name\":\"x\"}]" },
        { "local c = fx:open_conversation{ topic = 'orders', reference = 'A1', reopen = '4h' } fx:emit('x', { c.is_new "
          "})",
          "[{\"do\":\"open_conversation\",\"handle\":\"#1\",\"reference\":\"A1\",\"reopen_ms\":14400000,\"topic\":"
          "\"orders\"},{\"body\":[false],\"do\":\"emit\",\"name\":\"x\"}]" },
        { "local c = fx:open_conversation{ topic = 'orders', reference = 'A1', reopen = '1h' } fx:emit('x', { c.is_new "
          "})",
          "[{\"do\":\"open_conversation\",\"handle\":\"#1\",\"reference\":\"A1\",\"reopen_ms\":3600000,\"topic\":"
          "\"orders\"},{\"body\":[true],\"do\":\"emit\",\"name\":\"x\"}]" },
        { "e.conversation:send { template = 't', vars = { name = e.contact.name, n = 5 }, buttons = { 'Yes', { id = "
          "'no', text = 'No' } }, quiet = 'respect' }",
          "[{\"buttons\":[{\"id\":\"Yes\",\"text\":\"Yes\"},{\"id\":\"no\",\"text\":\"No\"}],\"conversation\":\"@\","
          "\"do\":\"send\",\"quiet\":\"respect\","
          "\"template\":\"t\",\"vars\":{\"n\":\"5\",\"name\":\"Ada L\"}}]" },
        { "e.conversation:send { media = { kind = 'image', url = 'https://x/y.png' }, text = 'Look, {{name}}', vars = "
          "{ name = 'Ada' } }",
          "[{\"conversation\":\"@\",\"do\":\"send\",\"media\":{\"caption\":\"Look, "
          "Ada\",\"kind\":\"image\",\"url\":\"https://x/y.png\"}}]" },
        { "local c = e.conversation c:note 'n' c:tag('a', { 'b' }) c:untag 'vip' c:assign 'ann' c:assign(nil) "
          "c:set('k', { 1 }) c:set('k', nil) c:prioritize 'low'",
          "[{\"conversation\":\"@\",\"do\":\"note\",\"text\":\"n\"},{\"conversation\":\"@\",\"do\":\"tag\",\"tag\":"
          "\"a\"},{\"conversation\":\"@\",\"do\":\"tag\",\"tag\":\"b\"},"
          "{\"conversation\":\"@\",\"do\":\"untag\",\"tag\":\"vip\"},{\"assignee\":\"ann\",\"conversation\":\"@\","
          "\"do\":\"assign\"},{\"conversation\":\"@\",\"do\":\"assign\"},"
          "{\"conversation\":\"@\",\"do\":\"set\",\"key\":\"k\",\"value\":[1]},{\"conversation\":\"@\",\"do\":\"set\","
          "\"key\":\"k\"},{\"conversation\":\"@\",\"do\":\"prioritize\",\"priority\":\"low\"}]" },
        /* What the handle shows is what the desk will make of it. */
        { "local o = { topic = 'orders', reference = 'A1', tags = { 'vip', 'b' }, priority = 'high', reopen = '4h' } "
          "local c = fx:open_conversation(o) o = { reference = 'A2', tags = 'c', priority = 'low' } "
          "fx:open_conversation(o) "
          "o.priority, o.tags = 'high', 'd' local d = fx:open_conversation(o) fx:emit('x', { c.priority, "
          "c:has_tag('vip'), "
          "c:has_tag('b'), d.priority, #d.tags, d.is_new })",
          "[{\"do\":\"open_conversation\",\"handle\":\"#1\",\"priority\":\"high\",\"reference\":\"A1\",\"reopen_ms\":"
          "14400000,"
          "\"tags\":[\"vip\",\"b\"],\"topic\":\"orders\"},{\"do\":\"open_conversation\",\"handle\":\"#2\",\"priority\":"
          "\"low\","
          "\"reference\":\"A2\",\"tags\":[\"c\"],\"topic\":\"support\"},{\"do\":\"open_conversation\",\"handle\":\"#"
          "3\",\"priority\":"
          "\"high\",\"reference\":\"A2\",\"tags\":[\"d\"],\"topic\":\"support\"},{\"body\":[\"high\",true,true,"
          "\"high\",2,false],"
          "\"do\":\"emit\",\"name\":\"x\"}]" },
        { "local c = e.conversation c:snooze '4h' c:snooze(now() + hours(1)) c:resolve() c:survey 'csat' c:after('1h', "
          "'nudge', { unless = 'reply', data = { a = 1 } }) c:cancel 'nudge'",
          "[{\"conversation\":\"@\",\"do\":\"snooze\",\"for_ms\":14400000},{\"conversation\":\"@\",\"do\":\"snooze\","
          "\"until\":\"2026-01-05T11:00:00.000Z\"},"
          "{\"conversation\":\"@\",\"do\":\"resolve\"},{\"conversation\":\"@\",\"do\":\"survey\",\"survey\":\"csat\"},"
          "{\"conversation\":\"@\",\"data\":{\"a\":1},\"delay_ms\":3600000,\"do\":\"after\",\"name\":\"nudge\","
          "\"unless\":[\"reply\"]},"
          "{\"conversation\":\"@\",\"do\":\"cancel\",\"name\":\"nudge\"}]" },
        { "local p = e.contact p:set('plan', 'max') p:identify 'email:Ada@Example.com' p:opt_out() p:opt_in 'billing' "
          "p:prefer 'telegram'",
          "[{\"do\":\"contact_set\",\"key\":\"plan\",\"value\":\"max\"},{\"do\":\"identify\",\"identity\":\"email:ada@"
          "example.com\"},{\"do\":\"opt_out\",\"topic\":\"all\"},"
          "{\"do\":\"opt_in\",\"topic\":\"billing\"},{\"channel\":\"telegram\",\"do\":\"prefer\"}]" },
        { "fx:outreach { topic = 'billing', goal = 'payment.succeeded', steps = { { template = 't' }, { after = '24h', "
          "text = 'Hi {{name}}' }, { after = '72h', note = 'Call', assign = 'ann' } }, vars = { name = 'Ada', n = 1 } "
          "}",
          "[{\"do\":\"outreach\",\"goal\":\"payment.succeeded\",\"steps\":[{\"after_ms\":0,\"template\":\"t\"},{"
          "\"after_ms\":86400000,\"text\":\"Hi Ada\"},"
          "{\"after_ms\":259200000,\"assign\":\"ann\",\"note\":\"Call\"}],\"topic\":\"billing\",\"vars\":{\"n\":\"1\","
          "\"name\":\"Ada\"}}]" },
        { "local nobody fx:outreach { topic = 'x', goal = 'payment.succeeded', steps = { { note = 'a' }, { template = "
          "'t' }, "
          "{ text = '{{b}}' } }, vars = { name = nobody, n = nobody } }",
          "[{\"do\":\"outreach\",\"goal\":\"payment.succeeded\",\"steps\":[{\"after_ms\":0,\"note\":\"a\"},"
          "{\"after_ms\":0,\"lacks\":\"step 2 is left out: the template 't' needs the variables 'name', "
          "'n', which are nil\",\"template\":\"t\"},"
          "{\"after_ms\":0,\"lacks\":\"step 3 is left out: the text has {{b}}, and 'vars' has no "
          "'b'\",\"text\":\"{{b}}\"}],\"topic\":"
          "\"x\",\"vars\":{}}]" },
        { "fx:webhook('crm', { a = array {} }) fx:webhook('crm', nil, { type = 'x' })",
          "[{\"body\":{\"a\":[]},\"do\":\"webhook\",\"endpoint\":\"crm\",\"type\":\"message.received\"},{\"body\":{},"
          "\"do\":\"webhook\",\"endpoint\":\"crm\",\"type\":\"x\"}]" },
        { "fx:emit('custom.x', {}, { contact = { email = 'A@b.C', whatsapp = '+1 555 0100', name = 'Ada' } })",
          "[{\"body\":{},\"contact\":{\"identities\":[\"whatsapp:15550100\",\"email:a@b.c\"],\"name\":\"Ada\"},\"do\":"
          "\"emit\",\"name\":\"x\"}]" },
        { "e.contact:identify('WhatsApp:0041 79 123 45 67') e.contact:identify('phone:+41 (0)79 123 45 67')",
          "[{\"do\":\"identify\",\"identity\":\"whatsapp:41791234567\"},"
          "{\"do\":\"identify\",\"identity\":\"phone:41791234567\"}]" },
        { "local phone, mail = '079 123 45 67', ' ' "
          "fx:emit('x', {}, { contact = { phone = phone, email = mail, crm = 42, name = 'Ada' } })",
          "[{\"body\":{},\"contact\":{\"identities\":[\"crm:42\"],\"name\":\"Ada\"},\"do\":\"emit\",\"left_out\":"
          "[\"contact.phone is left out: a phone number begins with its country, as in \\\"+1 555 "
          "0100\\\"\"],\"name\":\"x\"}]" },
        { "local who = '@ada' fx:emit('x', {}, { contact = 'Telegram:' .. who })",
          "[{\"body\":{},\"contact\":{\"identities\":{}},\"do\":\"emit\",\"left_out\":[\"'telegram:@ada' is left out: the "
          "provider knows people by a number; a user name is none\"],\"name\":\"x\"}]" },
        { "local who = 'WhatsApp:x y' e.contact:identify(who)",
          "[{\"do\":\"identify\",\"identity\":\"whatsapp:x y\"}]" },
        { "e.conversations[2]:note 'old'", "[{\"conversation\":8,\"do\":\"note\",\"text\":\"old\"}]" },
    };
    check_examples(declarations, examples, sizeof(examples) / sizeof(examples[0]));
}

static void mistakes_name_the_line_and_the_remedy(void **state)
{
    (void)state;
    const char *declarations = "template 't' { text = 'Hi {{name}}' } ";
    static const struct example examples[] = {
        { "e.conversation:send { txt = 'Hi' }", "rules/a.lua:2: send has no 'txt'; did you mean 'text'?" },
        { "e.conversation:send { text = 5 }", "send: 'text' is a text, not a number" },
        { "e.conversation:send { text = '' }", "empty text" },
        { "local n e.conversation:send(n)", "send takes a text or a table, not nothing: say what stands for" },
        { "local t = 'billing' fx:open_conversation(t)", "as in open_conversation { topic = \"billing\" }" },
        { "local n e.conversation:after('1h', n)", "after needs a name, as in after(\"4h\", \"nudge\")" },
        { "e.conversation:send {}", "send needs one of 'text', 'template', 'media'" },
        { "local n = 't' e.conversation:send { text = 'x', template = n }", "it takes one of them" },
        { "e.conversation:send { text = 'Hi {{name}}' }", "the text has {{name}}, and 'vars' has no 'name'" },
        { "local n e.conversation:send { template = 't', vars = { name = n } }",
          "needs the variable 'name', which is nil" },
        { "local n = 'tt' e.conversation:send { template = n }", "there is no template 'tt'; did you mean 't'?" },
        { "e.conversation:send { text = 'x', buttons = { { txt = 'x' } } }", "button 1 has no 'txt'" },
        { "e.conversation:send { text = 'x', quiet = 'yes' }",
          "send: 'quiet' is 'yes', which is not one of respect, ignore" },
        { "local t, v = 't', { name = 'Ada' } e.conversation:send(t, v)",
          "send: it takes one text or one table; with variables write send { template" },
        { "e.conversation.send { text = 'x' }", "call it with a colon" },
        { "e.conversation:sned {}", "a conversation has no field 'sned'; did you mean 'send'?" },
        { "local f = fx f:sned {}", "fx has no 'sned'" },
        { "local f = fx f:tag('x')", "it is for a conversation" },
        { "local f = fx f:opt_out()", "it is for the contact" },
        { "e.conversation:after('soon', 'x')", "'soon' is not a duration" },
        { "e.conversation:after('1h', 'x', { unless = 'replied' })", "unknown event type 'replied'" },
        { "e.conversation:after('1h', 'x y')", "the timer's name" },
        { "local c = e.conversation log(pcall(c.has_tag, c)) local has = c.has_tag has(c)",
          "has_tag needs the tag, as in c:has_tag(\"vip\")" },
        { "local tags = { 'vip' } e.conversation:has_tag(tags)", "has_tag: 'tag' is a text, not a table" },
        { "local a, b = 'vip', 'late' e.conversation:has_tag(a, b)", "has_tag asks for one tag" },
        { "local kind = 5 e.contact:identity(kind)", "identity: 'kind' is a text, not a number" },
        { "e.conversation:snooze(5)", "for a duration write \"4h\"" },
        { "e.conversation:set('k', function() end)", "holds a function, which cannot be stored" },
        { "e.conversation:set('k', { 1, a = 2 })", "mixes a list with named values" },
        { "e.contact:identify 'ada@example.com'", "is not an identity" },
        { "fx:outreach { topic = 'x', goal = 'payment.succeeded', steps = { { after = '2h', text = 'a' }, { after = "
          "'1h', text = 'b' } } }",
          "step 2 is due before" },
        { "fx:outreach { goal = 'payment.succeeded', steps = { { text = 'a' } } }", "outreach needs 'topic'" },
        { "local nobody fx:outreach { topic = 'x', goal = 'payment.succeeded', steps = { { template = 't' } }, vars = "
          "{ name = "
          "nobody } }",
          "outreach: step 1: the template 't' needs the variable 'name', which is nil" },
        { "fx:open_conversation { priority = 'hihg' }", "did you mean 'high'?" },
        { "local p = 5 e.conversation:prioritize(p)",
          "prioritize: 'priority' is one of low, normal, high, urgent, not a number" },
        { "local p = 'top' e.conversation:prioritize(p)", "prioritize: 'priority' is 'top', which is not one of low" },
        { "local n = 'x' fx:webhook(n, {})", "there is no endpoint 'x'" },
        { "fx:emit('a b', {})", "is not a name" },
        { "rule { name = 'y' }", "done while the file is loaded" },
        { "mony(1)", "'mony' is not defined" },
    };
    check_examples(declarations, examples, sizeof(examples) / sizeof(examples[0]));
}

static void when_decides(void **state)
{
    (void)state;
    struct rule_set *set = load_text(
        "rule {\n name = 'x', on = 'message.received',\n when = function(e) return e.message.text == 'bye' end,\n"
        " run = function(e, fx) fx:stop() end }",
        NULL);
    struct rule_outcome outcome = run_rule(set, event_text, facts_text);
    assert_int_equal(outcome.verdict, RULE_SKIPPED);
    assert_int_equal(outcome.line, 3);
    assert_null(outcome.effects);
    rule_outcome_done(&outcome);
    outcome = run_rule(set, "{\"type\":\"message.received\",\"message\":{\"text\":\"bye\"}}", NULL);
    assert_int_equal(outcome.verdict, RULE_RAN);
    assert_true(outcome.stop);
    assert_int_equal(json_array_size(outcome.effects), 0);
    rule_outcome_done(&outcome);
    rule_set_free(set);

    char *text = effects_of(
        "rule { name = 'x', on = 'message.received', when = function(e) e.conversation:note('x') end, run = print }",
        event_text, facts_text);
    assert_non_null(strstr(text, "effects are for the 'run' function"));
    free(text);
}

static void effects_know_their_line(void **state)
{
    (void)state;
    struct rule_set *set = load_text(RULE("e.conversation:note('a')\ne.conversation\n  :note('b')"), NULL);
    struct rule_outcome outcome = run_rule(set, event_text, facts_text);
    assert_int_equal(outcome.verdict, RULE_RAN);
    assert_int_equal(json_integer_value(json_at(outcome.effects, "0.line")), 2);
    assert_true(json_integer_value(json_at(outcome.effects, "1.line")) >= 3);
    rule_outcome_done(&outcome);
    rule_set_free(set);
}

static json_t *read_history(void *arg, int64_t conversation_id, size_t limit)
{
    (void)arg;
    assert_int_equal(conversation_id, 9);
    assert_int_equal(limit, 2);
    return document("[{\"text\":\"first\",\"created_at\":\"2026-01-05T09:00:00Z\"},{\"text\":\"second\"}]");
}

static json_t *read_conversations(void *arg, int64_t contact_id, size_t limit)
{
    (void)arg;
    (void)limit;
    assert_int_equal(contact_id, 7);
    return document("[{\"id\":3,\"state\":\"resolved\",\"tags\":[\"old\"]}]");
}

static struct bytes read_raw(void *arg, int64_t event_id)
{
    assert_int_equal(event_id, 1001);
    return bytes_of(arg);
}

static void reads_beyond_the_facts(void **state)
{
    (void)state;
    struct rule_set *set =
        load_text(RULE("local h = e.conversation:history(2) local c = e.contact:conversations()[1]\n"
                       "log(h[1].text, h[1].created_at, h[2].text, c.id, c:has_tag('old'), e:raw())"),
                  NULL);
    char raw[] = "{\"object\":\"page\"}";
    struct fact_reader reader = { read_history, read_conversations, read_raw, raw };
    json_t *event = document(event_text), *facts = document(facts_text);
    struct rule_outcome outcome;
    rule_run(set, 0, event, facts, &reader, TEST_NOW, 1, &outcome);
    assert_string_equal(outcome.error, "");
    assert_string_equal(json_string_value(json_at(outcome.log, "0.text")),
                        "first\t1767603600\tsecond\t3\ttrue\t{\"object\":\"page\"}");
    rule_outcome_done(&outcome);
    raw[0] = 'x';
    rule_run(set, 0, event, facts, &reader, TEST_NOW, 1, &outcome);
    assert_non_null(strstr(json_string_value(json_at(outcome.log, "0.text")), "x\"object\""));
    rule_outcome_done(&outcome);
    /* Without a reader there is nothing to read. */
    rule_run(set, 0, event, facts, NULL, TEST_NOW, 1, &outcome);
    assert_int_equal(outcome.verdict, RULE_FAILED);
    rule_outcome_done(&outcome);
    rule_set_free(set);

    set = load_text(RULE("local m = e.conversation:history(2)[1]\nlog(m.author)\nlog(m.txt)"), NULL);
    rule_run(set, 0, event, facts, &reader, TEST_NOW, 1, &outcome);
    assert_string_equal(json_string_value(json_at(outcome.log, "0.text")),
                        "nil"); /* a field that this one does not have */
    assert_non_null(strstr(outcome.error, "a message of the history has no field 'txt'; did you mean 'text'?"));
    rule_outcome_done(&outcome);
    json_decref(event);
    json_decref(facts);
    rule_set_free(set);
}

static void an_event_without_a_contact(void **state)
{
    (void)state;
    const char *event = "{\"id\":1,\"type\":\"message.received\",\"source\":\"x\"}";
    char *text =
        effects_of(RULE("fx:emit('x', { e.contact == nil, e.conversation == nil, #e.conversations })"), event, "{}");
    assert_string_equal(text, "[{\"body\":[true,true,0],\"do\":\"emit\",\"name\":\"x\"}]");
    free(text);
    text = effects_of(RULE("fx:open_conversation {}"), event, NULL);
    assert_non_null(strstr(text, "the event has no contact"));
    free(text);
}

static void the_same_event_gives_the_same_effects(void **state)
{
    (void)state;
    /* pairs() over texts, random numbers and times, in two states: the effects must be equal to the byte. */
    const char *rules = RULE("local t = {} for i = 1, 50 do t['k' .. random(1000000)] = i end\n"
                             "for k, v in pairs(t) do fx:emit(k, { v = v, at = now() }) end");
    char *first = effects_of(rules, event_text, facts_text);
    char *second = effects_of(rules, event_text, facts_text);
    assert_int_equal(first[0], '[');
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static json_t *test_verb(void *arg, const char *verb, const json_t *arguments, const char *file, int line,
                         struct error *reterr)
{
    (void)arg;
    (void)file;
    if (strcmp(verb, "fail") == 0) {
        (fail)(reterr, ERR_INVALID, "expected more"); /* cmocka has a macro of that name */
        return NULL;
    }
    json_t *result = json_object();
    json_put_str(result, "verb", verb);
    json_put_int(result, "line", line);
    json_object_set(result, "first", json_array_get(arguments, 0));
    return result;
}

static msec_t test_now(void *arg)
{
    (void)arg;
    return TEST_NOW;
}

static void tests_call_their_host(void **state)
{
    (void)state;
    const struct rule_file files[] = {
        { "a_test.lua", "test('one', function(t)\nlocal r = t:contact { name = 'Ada', attributes = {} }\n"
                        "assert(r.verb == 'contact' and r.line == 2 and r.first.name == 'Ada', 'no')\nassert(now() == "
                        "1767607200) end)\n"
                        "test('two', function(t) t:fail() end)\ntest('three', function(t) error('oh') end)\n"
                        "test('four', function(t) t:contact(function() end) end)" },
        { NULL, NULL },
    };
    json_t *problems;
    struct rule_set *set;
    struct error e;
    assert_int_equal(load_files(files, NULL, &problems, &set, &e), ERR_NONE);
    json_decref(problems);
    assert_int_equal(rule_set_test_count(set), 4);
    assert_string_equal(rule_set_test(set, 1)->name, "two");
    assert_string_equal(rule_set_test(set, 1)->file, "rules/a_test.lua");
    struct rule_test_host host = { test_verb, test_now, NULL };
    e.text[0] = '\0';
    assert_int_equal(rule_set_run_test(set, 0, &host, &e), ERR_NONE);
    assert_int_equal(rule_set_run_test(set, 1, &host, &e), ERR_INVALID);
    assert_string_equal(e.text, "expected more");
    assert_int_equal(rule_set_run_test(set, 2, &host, &e), ERR_INVALID);
    assert_string_equal(e.text, "rules/a_test.lua:6: oh");
    assert_int_equal(rule_set_run_test(set, 3, &host, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "rules/a_test.lua:7: t:contact: "));
    rule_set_free(set);
}

/* A batch may run many rules: whoever watches the thread sees that it comes from one to the next. */
static void a_run_is_a_beat(void **state)
{
    (void)state;
    struct rule_set *set = load_text(RULE(""), NULL);
    msec_t began = 0, beat_at = 0;
    heartbeat_start("engine");
    assert_non_null(heartbeat_oldest(&began));
    while (clock_steady() <= began) {
    }
    struct rule_outcome outcome = run_rule(set, event_text, facts_text);
    assert_non_null(heartbeat_oldest(&beat_at));
    assert_true(beat_at > began);
    heartbeat_end();
    rule_outcome_done(&outcome);
    rule_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_there),
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(effects_are_appended),
        cmocka_unit_test(mistakes_name_the_line_and_the_remedy),
        cmocka_unit_test(when_decides),
        cmocka_unit_test(effects_know_their_line),
        cmocka_unit_test(reads_beyond_the_facts),
        cmocka_unit_test(an_event_without_a_contact),
        cmocka_unit_test(the_same_event_gives_the_same_effects),
        cmocka_unit_test(tests_call_their_host),
        cmocka_unit_test(a_run_is_a_beat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
