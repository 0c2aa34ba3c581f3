#include "domain/template.h"

#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static json_t *declaration(void)
{
    return json_of(
        "{'name':'pay','default_language':'en','languages':{"
        "'en':{'text':'Hi {{name}}, {{amount}} is open.','buttons':[{'id':'help','text':'Help "
        "{{name}}'},{'text':'Pay','url':'https://pay.example/{{code}}'},{'text':'Site','url':'https://x.y'}]},"
        "'de':{'text':'Hallo {{ name }}, {{amount}} ist offen.'},'pt-BR':{'text':'Oi {{name}}, {{amount}}'}},"
        "'whatsapp':{'name':'pay_v1','language':{'en':'en_US','de':'de','pt-BR':'pt_BR'},'parameters':['name','amount']"
        ",'header':{'text':'For {{name}}'}}}");
}

static void languages_fall_back(void **state)
{
    (void)state;
    static const struct {
        const char *wanted, *chosen;
    } rows[] = {
        { "de", "de" },    { "DE", "de" },       { "de-AT", "de" },    { "de_AT", "de" },
        { "pt", "pt-BR" }, { "pt_br", "pt-BR" }, { "pt-PT", "pt-BR" }, { "fr", "en" },
        { NULL, "en" },    { "", "en" },         { "deutsch", "en" },
    };
    json_t *template = declaration();
    const json_t *languages = json_object_at(template, "languages");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(template_language(languages, rows[i].wanted, "en"), rows[i].chosen);
    json_t *none = json_object();
    assert_null(template_language(none, "en", "en"));
    json_decref(none);
    json_decref(template);
}

static void both_forms_are_rendered(void **state)
{
    (void)state;
    json_t *template = declaration(), *vars = json_of("{'name':'Ada','amount':19.5,'code':'a/b'}");
    struct rendered rendered;
    struct error error;
    assert_int_equal(template_render(template, vars, "en-GB", "whatsapp", NULL, &rendered, &error), ERR_NONE);
    json_t *free =
        json_of("{'text':'Hi Ada, 19.5 is open.','buttons':[{'id':'help','text':'Help "
                "Ada'},{'text':'Pay','url':'https://pay.example/a/b'},{'text':'Site','url':'https://x.y'}]}");
    json_t *approved =
        json_of("{'name':'pay_v1','language':'en_US','header':[{'kind':'text','text':'Ada'}],'body':[{'text':'Ada'},{'"
                "text':'19.5'}],"
                "'buttons':[{'index':0,'kind':'quick_reply','value':'help'},{'index':1,'kind':'url','value':'a/b'}]}");
    assert_true(json_equal(rendered.free, free));
    assert_true(json_equal(rendered.approved, approved));
    assert_string_equal(rendered.language, "en");
    json_decref(free);
    json_decref(approved);
    rendered_done(&rendered);

    assert_int_equal(template_render(template, vars, "pt", "telegram", NULL, &rendered, &error), ERR_NONE);
    assert_null(rendered.approved);
    assert_string_equal(json_str(rendered.free, "text"), "Oi Ada, 19.5");
    rendered_done(&rendered);
    json_decref(vars);
    json_decref(template);
}

/* Meta has templates whose parameters have names, in the header as well. */
static void parameters_may_have_names(void **state)
{
    (void)state;
    json_t *template = declaration(), *vars = json_of("{'name':'Ada','amount':19.5,'code':'a/b'}");
    json_t *part = json_object_at(template, "whatsapp");
    json_put(part, "parameter_names", json_of("['first_name','amount_due']"));
    json_put(part, "header", json_of("{'text':'For {{name}} and {{code}}'}"));
    struct rendered rendered;
    struct error error;
    assert_int_equal(template_render(template, vars, "de", "whatsapp", NULL, &rendered, &error), ERR_NONE);
    json_t *header =
        json_of("[{'kind':'text','name':'first_name','text':'Ada'},{'kind':'text','name':'code','text':'a/b'}]");
    json_t *body = json_of("[{'name':'first_name','text':'Ada'},{'name':'amount_due','text':'19.5'}]");
    assert_true(json_equal(json_object_get(rendered.approved, "header"), header));
    assert_true(json_equal(json_object_get(rendered.approved, "body"), body));
    json_decref(header);
    json_decref(body);
    rendered_done(&rendered);
    json_decref(vars);
    json_decref(template);
}

/* Where the approved template has other buttons than the text, they are written down; every text in them is filled. */
static void an_approved_template_can_be_written_out(void **state)
{
    (void)state;
    json_t *template =
        json_of("{'name':'pay','default_language':'en','languages':{'en':{'text':'{{name}} {{code}}',"
                "'buttons':[{'id':'help','text':'Help'}]}},'whatsapp':{'name':'pay_v1','language':{'en':'en'},"
                "'parameters':['name'],'header':{'kind':'location','latitude':47.5,'longitude':8,"
                "'address':'{{code}} Street'},'buttons':[{'index':0,'kind':'copy_code','value':'{{code}}'},"
                "{'index':1,'kind':'flow','value':'f','data':{'who':['{{name}}',1,true]}}]}}");
    json_t *vars = json_of("{'name':'Ada','code':'7'}");
    json_t *approved = json_of(
        "{'name':'pay_v1','language':'en','body':[{'text':'Ada'}],'header':[{'kind':'location',"
        "'latitude':47.5,'longitude':8,'address':'7 Street'}],'buttons':[{'index':0,'kind':'copy_code','value':'7'},"
        "{'index':1,'kind':'flow','value':'f','data':{'who':['Ada',1,true]}}]}");
    struct rendered rendered;
    struct error error;
    assert_int_equal(template_render(template, vars, "en", "whatsapp", NULL, &rendered, &error), ERR_NONE);
    assert_true(json_equal(rendered.approved, approved));
    rendered_done(&rendered);

    json_object_del(vars, "code");
    json_object_set_new(json_object_at(template, "languages"), "en", json_of("{'text':'{{name}}'}"));
    assert_int_equal(template_render(template, vars, "en", "whatsapp", NULL, &rendered, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "'code' is missing"));
    json_decref(approved);
    json_decref(vars);
    json_decref(template);
}

static void a_missing_variable_is_named(void **state)
{
    (void)state;
    json_t *template = declaration(), *vars = json_of("{'name':'Ada'}");
    struct rendered rendered;
    struct error error;
    assert_int_equal(template_render(template, vars, "de", NULL, NULL, &rendered, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "template 'pay'"));
    assert_non_null(strstr(error.text, "'amount' is missing"));
    json_decref(vars);
    json_decref(template);
}

static void values_are_not_templates(void **state)
{
    (void)state;
    static const struct {
        const char *text, *result;
    } rows[] = {
        { "{{a}}{{b}}", "{{b}}7" },
        { "{{ a }}", "{{b}}" },
        { "{{c}}", "" },
        { "{{a", "{{a" },
        { "{}{{}}", "{}{{}}" },
        { "{{a b}}{{b}}", "{{a b}}7" },
        { "{{{b}}}", "{7}" },
        { "no", "no" },
        { "{{t}}", "true" },
        { "{{o}}", "" },
        { "How was it, {{c}}?", "How was it?" },
        { "Hi {{c}}, hello", "Hi, hello" },
        { "{{c}}, hello", "hello" },
        { "{{t}}, {{c}}", "true" },
    };
    json_t *vars = json_of("{'a':'{{b}}','b':7,'t':true,'o':{}}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out CLEANUP(buf_done);
        buf_init(&out, 1024);
        assert_int_equal(template_fill(rows[i].text, vars, false, &out, NULL), ERR_NONE);
        assert_string_equal(out.ptr, rows[i].result);
    }
    json_decref(vars);
}

static void the_length_is_bounded(void **state)
{
    (void)state;
    struct buf out CLEANUP(buf_done);
    buf_init(&out, 8);
    json_t *vars = json_of("{'a':'0123456789'}");
    assert_int_equal(template_fill("{{a}}", vars, true, &out, NULL), ERR_TOO_BIG);
    json_decref(vars);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(languages_fall_back),         cmocka_unit_test(both_forms_are_rendered),
        cmocka_unit_test(parameters_may_have_names),   cmocka_unit_test(an_approved_template_can_be_written_out),
        cmocka_unit_test(a_missing_variable_is_named), cmocka_unit_test(values_are_not_templates),
        cmocka_unit_test(the_length_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
