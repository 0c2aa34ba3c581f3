/* Channels and kinds of handles that nobody has are told by `answerd check`; names of the author's own are not. */
#include "review_cases.h"

#define SAID(code, text)                                                                                               \
    {                                                                                                                  \
        ON("'message.received'", code), "rules/a.lua:2", "warning", text, NULL                                         \
    }
#define FINE(code)                                                                                                     \
    {                                                                                                                  \
        ON("'message.received'", code), NULL, NULL, NULL, NULL                                                         \
    }
#define STEPS(steps) "fx:outreach { topic = 'a', goal = 'payment.succeeded', steps = " steps " }"

static void misspelt_ones_are_told(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        SAID("log(e.contact:can_reach('whatsap'))",
             "can_reach: there is no channel 'whatsap' that sends; did you mean 'whatsapp'?"),
        SAID("e.contact:prefer('telgram')",
             "prefer: there is no channel 'telgram' that sends; did you mean 'telegram'?"),
        SAID("e.contact:prefer('Telegram')", "did you mean 'telegram'?"),
        SAID("e.contact:prefer 'fb'", "did you mean 'messenger'?"),
        SAID("fx:open_conversation { channel = 'instgram' }", "open_conversation: there is no channel 'instgram'"),
        SAID(STEPS("{ { text = 'x' }, { text = 'y', channel = 'telegrm' } }"),
             "outreach: step 2: there is no channel 'telegrm' that sends; did you mean 'telegram'?"),
        SAID("if e.channel == 'watsapp' then log(1) end", "'e.channel' is never 'watsapp'; did you mean 'whatsapp'?"),
        SAID("local c = e.conversation log(c.channel ~= 'telegrm')", "'c.channel' is never 'telegrm'"),
        SAID("log(e.contact.preferred_channel == 'wa')", "did you mean 'whatsapp'?"),
        SAID("e.contact:identify('mail:ada@example.com')",
             "identify: nobody has a handle of the kind 'mail'; did you mean 'email'?"),
        SAID("log(e.contact:identity('telgram'))", "identity: nobody has a handle of the kind 'telgram'"),
        SAID("fx:emit('x', {}, { contact = { mail = e.body.mail } })",
             "emit: contact: nobody has a handle of the kind 'mail'"),
        SAID("fx:emit('x', {}, { contact = 'tel:15550100' })", "did you mean 'phone'?"),
        FINE("e.contact:prefer('whatsapp') e.contact:prefer('whatsapp_de') e.contact:prefer('our-own')"),
        FINE(
            "log(e.contact:can_reach('meta-shop'), e.channel == 'shop', e.channel == 'stripe', e.channel == 'telegram2')"),
        FINE("e.contact:identify('crm:42') e.contact:identify('stripe:cus_1') log(e.contact:identity('crm'))"),
        FINE("fx:emit('x', {}, { contact = { email = 'a@b.c', name = 'A', language = 'en', crm = '42' } })"),
        FINE(STEPS("{ { text = 'x' }, { after = '1h', text = 'y', channel = 'other' } }")),
        FINE("local list = { prefer = function() end } list:prefer('telgram')"),
    };
    CHECK_EACH(cases);
}

static void names_of_sources_are_known(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        FINE("e.contact:prefer('shop') e.contact:prefer('telegram') log(e.contact:can_reach('shop'))"),
        FINE("log(e.contact:can_reach('telegram'), e.channel == 'elsewhere')"),
        SAID("e.contact:prefer('elsewhere')", "prefer: there is no channel 'elsewhere' that sends"),
        SAID("e.contact:prefer('shpo')", "did you mean 'shop'?"),
        SAID("log(e.contact:can_reach('whatsapp'))", "can_reach: the source of the kind 'whatsapp' is called 'shop'"),
    };
    known_senders = json_pack("{s:s}", "shop", "whatsapp");
    CHECK_EACH(cases);
    json_decref(known_senders);
    known_senders = NULL;
}

#define WRONG(code, text)                                                                                              \
    {                                                                                                                  \
        ON("'message.received'", code), "rules/a.lua:2", "error", text, NULL                                           \
    }

static void what_the_api_refuses_is_told(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        WRONG("e.contact:identify('whatsapp:x y')", "identify: 'x y' is not a handle of the kind whatsapp: WhatsApp"),
        WRONG("e.contact:identify('telegram:@ada')", "a user name is none"),
        WRONG("e.contact:identify('phone:079 123 45 67')", "a phone number begins with its country"),
        WRONG("e.contact:identify('email:ada')", "an address is like ada@example.com"),
        WRONG("fx:emit('x', {}, { contact = 'crm:a b' })", "emit: 'a b' is not a handle of the kind crm"),
        WRONG("fx:emit('x', {}, { contact = { whatsapp = 'x y', name = e.body.name } })",
              "emit: contact: 'x y' is not a handle of the kind whatsapp"),
        FINE("e.contact:identify('phone:0041 79 123 45 67') e.contact:identify('whatsapp:' .. e.body.number)"),
        FINE("fx:emit('x', {}, { contact = { phone = e.body.phone, whatsapp = '+41 (0)79 123 45 67', email = '' } })"),
    };
    CHECK_EACH(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misspelt_ones_are_told),
        cmocka_unit_test(names_of_sources_are_known),
        cmocka_unit_test(what_the_api_refuses_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
