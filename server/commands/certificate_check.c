#include "commands/certificate_check.h"

#include "io/http_tls.h"

#include <string.h>

static void add_problem(const struct config *config, const struct error *e, json_t *problems)
{
    json_t *problem = json_object();
    json_put_str(problem, "file", config->path);
    json_put_int(problem, "line", config_line_of_key(config->path, "certificate", 1));
    json_put_str(problem, "severity", "error");
    json_put_str(problem, "text", e->text);
    json_array_append_new(problems, problem);
}

bool certificates_check(const struct config *config, json_t *problems)
{
    bool usable = true;
    size_t index;
    json_t *certificate;
    json_array_foreach (config->http.tls_certificates, index, certificate) {
        /* One by one, so that each wrong one is told. */
        const struct http_tls_files files = {
            .certificate = json_string_value(certificate),
            .key = json_string_value(json_array_get(config->http.tls_keys, index)),
        };
        struct http_tls *tls = NULL;
        struct error e;
        if (http_tls_new(&files, 1, strcmp(config->http.tls_minimum, "1.3") == 0, &tls, &e) != ERR_NONE) {
            add_problem(config, &e, problems);
            usable = false;
        }
        http_tls_free(tls);
    }
    return usable;
}
