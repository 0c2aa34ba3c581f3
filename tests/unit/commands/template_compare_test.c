#include "commands/template_compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "channel/channel.h"

static json_t *json_of(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);
    if (!json)
        fail_msg("%s: %s", text, error.text);
    return json;
}

/* What Meta's list says of an account with one template, in one language. */
static json_t *catalogue(const char *name, const char *language, const char *status, const char *components)
{
    char page[2000];
    snprintf(page, sizeof(page),
             "{\"data\": [{\"name\": \"%s\", \"language\": \"%s\", \"status\": \"%s\", \"id\": \"1\","
             " \"components\": [%s]}], \"paging\": {\"cursors\": {\"before\": \"a\", \"after\": \"b\"}}}",
             name, language, status, components);
    json_t *templates = json_array();
    struct buf after CLEANUP(buf_done);
    buf_init(&after, 100);
    struct error e;
    if (channel_find("whatsapp")->read_templates(bytes_of(page), templates, &after, &e) != ERR_NONE)
        fail_msg("%s: %s", page, e.text);
    assert_int_equal(after.len, 0); /* the last page */
    return templates;
}

#define BODY "{\"type\": \"BODY\", \"text\": \"Hi {{1}}, {{2}} is due. Bye {{1}}\"}"
#define NAMED "{\"type\": \"BODY\", \"text\": \"Hi {{first_name}}, {{amount}} is due.\"}"
#define HEADER(rest) "{\"type\": \"HEADER\", " rest "}"
#define BUTTONS(list) "{\"type\": \"BUTTONS\", \"buttons\": [" list "]}"
#define PLAIN "\"parameters\": [\"name\", \"amount\"]"

struct expected {
    const char *part;       /* of the declaration, beside its name */
    const char *buttons;    /* of the declaration */
    const char *components; /* of the approved template */
    const char *problem;    /* NULL: none */
};

static void expect_of(const struct expected *row, const char *name, const char *language, const char *status)
{
    char text[1000];
    snprintf(text, sizeof(text),
             "{\"name\": \"due\", \"file\": \"rules/t.lua\", \"line\": 3, \"languages\": {\"en\": {\"text\": \"x\","
             " \"buttons\": [%s]}}, \"whatsapp\": {\"name\": \"due_v1\", \"language\": {\"en\": \"en_US\"}, %s}}",
             row->buttons, row->part);
    json_t *declaration = json_of(text), *approved = catalogue(name, language, status, row->components);
    json_t *problems = json_array();
    template_compare("whatsapp", declaration, json_object_at(declaration, "whatsapp"), approved, problems);
    char *found = json_dump(problems);
    if (row->problem ? strstr(found, row->problem) == NULL : json_array_size(problems) > 0)
        fail_msg("%s\nand %s\ngave %s\nexpected %s", text, row->components, found,
                 row->problem ? row->problem : "none");
    if (row->problem) {
        assert_int_equal(json_array_size(problems), 1);
        assert_int_equal(json_int(json_array_get(problems, 0), "line", 0), 3);
    }
    free(found);
    json_decref(problems);
    json_decref(approved);
    json_decref(declaration);
}

static void forms_are_compared(void **state)
{
    (void)state;
    static const struct expected rows[] = {
        { PLAIN, "", BODY, NULL },
        { "\"parameters\": [\"name\"]", "", BODY,
          "template 'due': source 'whatsapp' has 2 parameters in 'due_v1' (en_US), and 1 is given: name" },
        { PLAIN, "", "{\"type\": \"BODY\", \"text\": \"Hi\"}",
          "has 0 parameters in 'due_v1' (en_US), and 2 are given" },
        { PLAIN, "", NAMED, "has names for the parameters of 'due_v1' (en_US): first_name, amount" },
        { PLAIN ", \"parameter_names\": [\"first_name\", \"amount\"]", "", NAMED, NULL },
        { PLAIN ", \"parameter_names\": [\"frist_name\", \"amount\"]", "", NAMED,
          "has no parameter 'frist_name' in 'due_v1' (en_US), but: first_name, amount" },
        { PLAIN ", \"parameter_names\": [\"first_name\", \"amount\"]", "", BODY,
          "has no names for the parameters of 'due_v1' (en_US)" },

        { PLAIN, "", BODY ", " HEADER("\"format\": \"TEXT\", \"text\": \"Your bill\""), NULL },
        { PLAIN, "", BODY ", " HEADER("\"format\": \"TEXT\", \"text\": \"For {{1}}\""),
          "has 1 parameter in the header of 'due_v1' (en_US), and 0 are given" },
        { PLAIN ", \"header\": {\"text\": \"For {{name}}\"}", "",
          BODY ", " HEADER("\"format\": \"TEXT\", \"text\": \"For {{1}}\""), NULL },
        { PLAIN, "", BODY ", " HEADER("\"format\": \"IMAGE\""),
          "has image in the header of 'due_v1' (en_US), and none" },
        { PLAIN ", \"header\": {\"kind\": \"document\", \"url\": \"https://x\"}", "",
          BODY ", " HEADER("\"format\": \"IMAGE\""), "and document is given" },
        { PLAIN ", \"header\": {\"kind\": \"image\", \"url\": \"https://x\"}", "",
          BODY ", " HEADER("\"format\": \"IMAGE\""), NULL },
        { PLAIN ", \"header\": {\"kind\": \"image\", \"url\": \"https://x\"}", "", BODY, "has no image in the header" },

        { PLAIN, "{\"id\": \"yes\", \"text\": \"Yes\"}", BODY ", " BUTTONS("{\"type\": \"QUICK_REPLY\"}"), NULL },
        { PLAIN, "", BODY ", " BUTTONS("{\"type\": \"QUICK_REPLY\"}"), NULL },
        { PLAIN, "{\"id\": \"yes\", \"text\": \"Yes\"}", BODY, "has no button 1 in 'due_v1' (en_US)" },
        { PLAIN, "{\"id\": \"yes\", \"text\": \"Yes\"}",
          BODY ", " BUTTONS("{\"type\": \"URL\", \"url\": \"https://x\"}"),
          "has a button 1 of another kind in 'due_v1' (en_US): url" },
        { PLAIN, "{\"url\": \"https://x/{{name}}\", \"text\": \"Pay\"}",
          BODY ", " BUTTONS("{\"type\": \"URL\", \"url\": \"https://x/{{1}}\"}"), NULL },
        { PLAIN, "{\"url\": \"https://x/{{name}}\", \"text\": \"Pay\"}",
          BODY ", " BUTTONS("{\"type\": \"URL\", \"url\": \"https://x/\"}"), "has a button 1 of another kind" },
        { PLAIN, "{\"url\": \"https://x\", \"text\": \"Pay\"}",
          BODY ", " BUTTONS("{\"type\": \"URL\", \"url\": \"https://x/{{1}}\"}"),
          "has a button 1 in 'due_v1' (en_US) that takes a value (url), and none is given" },
        { PLAIN, "{\"url\": \"https://x/{{name}}\", \"text\": \"Copy\"}", BODY ", " BUTTONS("{\"type\": \"OTP\"}"),
          NULL },
        { PLAIN, "", BODY ", " BUTTONS("{\"type\": \"PHONE_NUMBER\"}, {\"type\": \"OTP\"}"),
          "has a button 2 in 'due_v1' (en_US) that takes a value (otp), and none is given" },
        { PLAIN ", \"buttons\": [{\"index\": 1, \"kind\": \"copy_code\", \"value\": \"7\"}]",
          "{\"id\": \"yes\", \"text\": \"Yes\"}",
          BODY ", " BUTTONS("{\"type\": \"PHONE_NUMBER\"}, {\"type\": \"COPY_CODE\"}"), NULL },
        { PLAIN ", \"buttons\": [{\"index\": 0, \"kind\": \"flow\"}]", "",
          BODY ", " BUTTONS("{\"type\": \"COPY_CODE\"}"),
          "has a button 1 of another kind in 'due_v1' (en_US): copy_code" },
        { PLAIN ", \"buttons\": []", "{\"id\": \"yes\", \"text\": \"Yes\"}", BODY, NULL },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_of(&rows[i], "due_v1", "en_US", "APPROVED");
}

static void what_cannot_be_sent_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *name, *language, *status, *problem;
    } rows[] = {
        { "due_v1", "en_US", "FLAGGED", NULL },
        { "due_v1", "en_US", "PAUSED", "has 'due_v1' in en_US as paused" },
        { "due_v1", "en_US", "PENDING", "\"severity\":\"warning\"" },
        { "due_v1", "en_US", "REJECTED", "\"severity\":\"error\"" },
        { "due_v1", "en", "APPROVED", "has no template 'due_v1' in en_US" },
        { "due_v1", "en", "APPROVED", "it is there in en\"" },
        { "due_v2", "en_US", "APPROVED", "did you mean 'due_v2'?" },
        { "welcome", "en_US", "APPROVED", "it is the name in the WhatsApp Manager" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_of(&(struct expected){ PLAIN, "", BODY, rows[i].problem }, rows[i].name, rows[i].language,
                  rows[i].status);
}

static void pages_are_followed(void **state)
{
    (void)state;
    const struct channel_kind *whatsapp = channel_find("whatsapp");
    json_t *settings = json_of("{\"business_account_id\": \"77\", \"access_token\": \"t\", \"api_url\": \"http://x\","
                               " \"api_version\": \"v25.0\"}");
    struct outgoing_request request;
    assert_int_equal(whatsapp->ask_templates(NULL, settings, &request, NULL), ERR_NONE);
    assert_string_equal(request.url.ptr, "http://x/v25.0/77/message_templates?fields=name,status,language,components"
                                         "&limit=100");
    assert_int_equal(request.body.len, 0);
    outgoing_request_done(&request);
    assert_int_equal(whatsapp->ask_templates("a+/=", settings, &request, NULL), ERR_NONE);
    assert_non_null(strstr(request.url.ptr, "&after=a%2B%2F%3D"));
    outgoing_request_done(&request);
    json_object_del(settings, "business_account_id");
    struct error e;
    assert_int_equal(whatsapp->ask_templates(NULL, settings, &request, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "business_account_id"));
    json_decref(settings);

    json_t *templates = json_array();
    struct buf after CLEANUP(buf_done);
    buf_init(&after, 100);
    static const char page[] =
        "{\"data\": [], \"paging\": {\"next\": \"https://…\", \"cursors\": {\"after\": \"c1\"}}}";
    assert_int_equal(whatsapp->read_templates(bytes_of(page), templates, &after, &e), ERR_NONE);
    assert_string_equal(after.ptr, "c1");
    assert_int_equal(whatsapp->read_templates(bytes_of("<html>"), templates, &after, &e), ERR_INVALID);
    json_decref(templates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_compared),
        cmocka_unit_test(what_cannot_be_sent_is_found),
        cmocka_unit_test(pages_are_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
