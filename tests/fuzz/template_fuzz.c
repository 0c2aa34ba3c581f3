/* The template engine. The input: variables as JSON, then the text. */
#include "domain/template.h"

#include "fuzz.h"

static json_t *declaration_of(const char *text, const json_t *vars)
{
    json_t *declaration = json_object();
    json_t *variables = json_array();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)vars, key, value) {
        json_array_append_new(variables, json_string(key));
    }
    json_put_str(declaration, "name", "fuzz");
    json_put_str(declaration, "default_language", "en");
    json_t *languages = json_object();
    json_t *language = json_object();
    json_put_str(language, "text", text);
    json_put(languages, "en", language);
    json_put(declaration, "languages", languages);
    json_put(declaration, "variables", json_incref(variables));
    json_t *approved = json_object();
    json_put_str(approved, "name", "fuzz_v1");
    json_put(approved, "parameters", variables);
    json_put(declaration, "whatsapp", approved);
    return declaration;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct bytes rest = { (const char *)data, size };
    char *first = fuzz_line(&rest);
    json_t *vars = NULL;
    if (json_parse(bytes_of(first), &vars, NULL) != ERR_NONE || !json_is_object(vars)) {
        json_decref(vars);
        vars = json_object();
    }
    free(first);
    /* Declared texts are Lua strings that were cleaned on their way. */
    struct buf text;
    buf_init(&text, rest.len * 3 + 1);
    text_add_clean(rest, &text);
    buf_add_text(&text, "");

    struct error e = { 0 };
    struct buf out;
    buf_init(&out, 65536);
    if (template_fill(text.ptr ? text.ptr : "", vars, true, &out, &e) != ERR_NONE)
        MUST_HOLD(e.text[0]);
    buf_clear(&out);
    if (template_fill(text.ptr ? text.ptr : "", NULL, false, &out, &e) == ERR_NONE && !out.overflowed)
        MUST_HOLD(out.len <= text.len);
    buf_done(&out);

    json_t *declaration = declaration_of(text.ptr ? text.ptr : "", vars);
    struct rendered rendered = { NULL };
    if (template_render(declaration, vars, "pt-BR", "whatsapp", NULL, &rendered, &e) == ERR_NONE) {
        MUST_HOLD(json_is_object(rendered.free) && rendered.language);
        rendered_done(&rendered);
    } else {
        MUST_HOLD(e.text[0]);
    }
    json_decref(declaration);
    buf_done(&text);
    json_decref(vars);
    return 0;
}
