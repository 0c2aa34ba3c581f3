#include "commands/template_check.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "commands/provider_call.h"
#include "commands/template_compare.h"

#define PAGES_MOST 100
#define CURSOR_MAX_BYTES 1024

/* What is wrong in the answer's own words: {"error": {"message"}}. */
static err_t refused(const struct provider_answer *answer, const struct channel_kind *kind, const json_t *settings,
                     struct error *reterr)
{
    json_t *body CLEANUP(json_free) = NULL;
    const char *message = NULL;
    if (json_parse(buf_bytes(&answer->body), &body, NULL) == ERR_NONE)
        message = json_str(json_object_at(body, "error"), "message");
    err_t err = fail(reterr, ERR_DENIED, "the provider answered %d: %.200s", answer->status,
                     message ? message : "without a reason");
    provider_hide_secrets(reterr->text, kind, settings);
    return err;
}

static err_t ask(const struct source_config *source, const struct channel_kind *kind, json_t *templates,
                 struct error *reterr)
{
    struct buf cursor CLEANUP(buf_done);
    buf_init(&cursor, CURSOR_MAX_BYTES);
    err_t err = ERR_NONE;
    for (size_t page = 0; err == ERR_NONE && page < PAGES_MOST && (page == 0 || cursor.len > 0); page++) {
        struct outgoing_request request CLEANUP(outgoing_request_done) = { 0 };
        struct provider_answer answer CLEANUP(provider_answer_done) = { 0 };
        err = kind->ask_templates(page > 0 ? cursor.ptr : NULL, source->settings, &request, reterr);
        if (err == ERR_NONE)
            err = provider_call("GET", &request, kind, source->settings, &answer, reterr);
        if (err == ERR_NONE && (answer.status < 200 || answer.status > 299))
            err = refused(&answer, kind, source->settings, reterr);
        buf_clear(&cursor);
        if (err == ERR_NONE)
            err = kind->read_templates(buf_bytes(&answer.body), templates, &cursor, reterr);
    }
    return err;
}

static void not_asked(const struct config *config, const struct source_config *source, struct error *e,
                      json_t *problems)
{
    char *hint = strstr(e->text, "\nHINT: ");
    if (hint)
        *hint = '\0';
    char text[700];
    snprintf(text, sizeof(text), "source '%s': its templates could not be compared: %.500s", source->name, e->text);
    json_t *problem = json_object();
    json_put_str(problem, "file", config->path);
    json_put_str(problem, "path", config->path);
    json_put_int(problem, "line", source->line);
    json_put_str(problem, "severity", "error");
    json_put_str(problem, "text", text);
    json_put_str(problem, "hint", hint ? hint + strlen("\nHINT: ") : NULL);
    json_array_append_new(problems, problem);
}

static bool sends(const struct source_config *source)
{
    return *json_str_or(source->settings, "access_token", "") != '\0';
}

void templates_check(const struct rule_set *set, const struct config *config, json_t *problems)
{
    for (size_t i = 0; i < config->source_count; i++) {
        const struct source_config *source = &config->sources[i];
        const struct channel_kind *kind = channel_find(source->kind);
        if (!kind || !kind->ask_templates || !sends(source))
            continue;
        json_t *approved CLEANUP(json_free) = json_array();
        struct error e = { .code = ERR_NONE };
        if (ask(source, kind, approved, &e) != ERR_NONE) {
            not_asked(config, source, &e, problems);
            continue;
        }
        const char *name;
        json_t *declaration;
        json_object_foreach (rule_set_declarations(set, "template"), name, declaration) {
            const json_t *part = json_object_at(declaration, kind->provider);
            if (part)
                template_compare(source->name, declaration, part, approved, problems);
        }
    }
}
