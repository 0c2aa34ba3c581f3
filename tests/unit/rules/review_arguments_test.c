/* Arguments that the checks of effects and helpers would refuse when the rule runs are told by `answerd check`. */
#include "review_cases.h"

#define A_TEXT_OF_65_BYTES "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void what_would_be_refused_when_it_runs_is_told(void **state)
{
    (void)state;
#define SAID(code, text)                                                                                               \
    {                                                                                                                  \
        ON("'message.received'", code), "rules/a.lua:2", "error", text, NULL                                           \
    }
#define FINE(code)                                                                                                     \
    {                                                                                                                  \
        ON("'message.received'", code), NULL, NULL, NULL, NULL                                                         \
    }
#define STEPS(steps) "fx:outreach { topic = 'a', goal = 'payment.succeeded', steps = " steps " }"
    static const struct wanted cases[] = {
        SAID("e.conversation:send {}", "send needs one of 'text', 'template', 'media'"),
        SAID("e.conversation:send()", "send takes a text or a table, not nothing"),
        SAID("e.conversation:send('')", "send: 'text' is an empty text"),
        SAID("e.conversation:send('Hi {{name}}')", "send: the text has {{name}}, and 'vars' has no 'name'"),
        SAID("e.conversation:send('Hi {{first name}}')", "send: the text: '{{first name}}' is not a variable"),
        SAID("e.conversation:send { 'hello' }", "send has a value without a name"),
        SAID("e.conversation:send { text = 'a', buttons = { 'b', { id = 'x' } } }", "send: button 2 needs 'text'"),
        SAID("e.conversation:send { text = 'a', vars = { x = {} } }", "send: the variable 'x' is a text, not a table"),
        SAID("e.conversation:send { media = { kind = 'image' } }", "send: media needs one of 'url', 'id'"),
        SAID("e.conversation:send { media = { url = 'https://a' } }", "send: media needs 'kind'"),
        SAID("e.conversation:send { media = { kind = 'image', url = '/a.png' } }", "media.url does not start with"),
        SAID("e.conversation:tag()", "tag needs a tag"),
        SAID("e.conversation:tag('')", "tag: 'tag' is a text or a list of texts; number 1 is an empty text"),
        SAID("e.conversation:tag('a', '" A_TEXT_OF_65_BYTES "')", "tag: a tag has at most 64 bytes"),
        SAID("e.conversation:set('my key', 1)", "set: the name is a text of letters"),
        SAID("e.contact:set('timezone', 'Europe/Zurch')", "did you mean 'Europe/Zurich'?"),
        SAID("e.conversation:cancel('My Timer!')", "cancel: the timer's name is a text of letters"),
        SAID("e.conversation:after('4h')", "after needs a name, as in after(\"4h\", \"nudge\")"),
        SAID("log(#e.conversation:history(500))", "history takes a number from 1 to 200"),
        SAID("log(e.conversation:has_tag())", "has_tag needs the tag, as in c:has_tag(\"vip\")"),
        SAID("log(e.contact:identity())", "identity needs the kind, as in e.contact:identity(\"email\")"),
        SAID("log(e.contact:can_reach())", "can_reach needs the channel, as in e.contact:can_reach(\"telegram\")"),
        SAID("local c = e.conversation log(c:has_tag('vip', 'late'))",
             "has_tag asks for one tag; for more call it once"),
        SAID("log(e.conversation:has_tag { 'vip' })", "has_tag: 'tag' is a text, not a table"),
        SAID("log(e.contact:can_reach(5))", "can_reach: 'channel' is a text, not a number"),
        SAID("fx:emit('my event', {})", "emit: 'my event' is not a name"),
        SAID("fx:emit('x', 'text')", "emit: the body is a table, not a text"),
        SAID("fx:emit('x', {}, { contact = { email = true } })", "emit: 'contact.email' is a text"),
        SAID(STEPS("{}"), "outreach has 0 steps; it takes 1 to 20"),
        SAID(STEPS("{ { after = '1h' } }"), "outreach: step 1 needs one of 'template', 'text', 'note'"),
        SAID(STEPS("{ { text = 'a', note = 'b' } }"), "outreach: step 1 has 'text' and 'note'"),
        SAID(STEPS("{ 'hello' }"), "outreach: step 1 takes a table"),
        SAID(STEPS("{ { after = '2h', text = 'a' }, { after = '1h', text = 'b' } }"),
             "step 2 is due before the one above"),
        SAID("fx:outreach { goal = 'payment.succeeded', steps = { { text = 'a' } } }", "outreach needs 'topic'"),
        SAID("fx:outreach { topic = 'a', goals = {}, steps = { { text = 'a' } } }", "outreach has 0 goals"),
        SAID("log(money(19.5, 'usd'))", "money: the amount is a whole number"),
        SAID("log(money(e.body.amount))", "money: the currency is a code"),
        SAID("log(duration('4 hous'), e.id)", "duration: '4 hous' is not a duration"),
        SAID("log(now() + hours('4'))", "hours: a number is needed, not a text"),
        SAID("log(has(e.message.text))", "has: there is no word to look for"),
        SAID("log(is(e.message.text, 'stop', ''))", "is: words are texts or lists of texts, not an empty text"),
        SAID("log(has(e.message, 'refund'))", "has: the first argument is a text, not a table"),
        SAID("log(date('%F', '2026-01-05'))", "date: a time is a number of seconds"),
        FINE("e.conversation:send { text = e.message.text } e.conversation:send(e.message.text)"),
        FINE("e.conversation:send { text = e.message.text, template = e.body.template }"),
        FINE(
            "local m = e.body.media e.conversation:send { media = m } e.conversation:send { media = { kind = m.kind, url = "
            "m.url, id = m.id } }"),
        FINE(
            "e.conversation:tag(table.unpack(e.body.tags)) e.conversation:set('a.b-c', nil) e.contact:set('timezone', nil)"),
        FINE("e.conversation:set('timezone', 'no zone') local c = e.conversation c:set('timezone', 'no zone')"),
        FINE("fx:emit('custom.x', e.body, { contact = { email = e.body.email, phone = '' } }) fx:emit('y')"),
        FINE(STEPS(
            "{ { after = e.body.first, text = 'a' }, { after = '1h', note = 'b', assign = 'c' }, { assign = 'd' } }")),
        FINE(STEPS("e.body.steps")),
        FINE("log(e.conversation:has_tag(e.body.tag), e.conversation:has_tag(e.body.tag:gsub('-', '_')))"),
        FINE("log(e.contact:has_opted_out(), e.contact:identity(e.body.kind), #e.contact:conversations())"),
        FINE("log(money(e.body.amount, e.body.currency), duration(e.body.a), has(e.message.text, e.body.words), "
             "is(nil, table.unpack(e.body.words)), date('%F', e.received_at), local_time(now()))"),
        FINE("local function has(text) return text end local money, is = has, has log(has('a'), money('a'), is(''))"),
        FINE("local function show(duration) return duration('x') end log(show(log), ('x'):rep(3))"),
        FINE("local list = { tag = function() end } list:tag() local o = e.body.list o.cancel('My Timer!')"),
    };
#undef SAID
#undef FINE
#undef STEPS
    CHECK_EACH(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_be_refused_when_it_runs_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
