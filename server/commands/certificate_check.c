#include "commands/certificate_check.h"

#include "base/clock.h"
#include "io/http_tls.h"

#include <stdio.h>
#include <string.h>

static void add_problem(const struct config *config, const char *severity, const char *text, const char *hint,
                        json_t *problems)
{
    json_t *problem = json_object();
    json_put_str(problem, "file", config->path);
    json_put_int(problem, "line", config_line_of_key(config->path, "certificate", 1));
    json_put_str(problem, "severity", severity);
    json_put_str(problem, "text", text);
    json_put_str(problem, "hint", hint);
    json_array_append_new(problems, problem);
}

/* It can be used, and a provider would not take it: that is no reason not to start. */
static void look_at_its_time(const struct config *config, struct http_tls *tls, json_t *problems)
{
    const char *file;
    msec_t at;
    if (http_tls_expires_at(tls, 0, &file, &at) && at < clock_now()) {
        char text[600];
        snprintf(text, sizeof(text), "the certificate '%.400s' is not valid any more, for %lld days", file,
                 (long long)((clock_now() - at) / 86400000));
        add_problem(config, "warning", text, "renew it: providers refuse to connect", problems);
    }
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
            add_problem(config, "error", e.text, NULL, problems);
            usable = false;
        } else {
            look_at_its_time(config, tls, problems);
        }
        http_tls_free(tls);
    }
    return usable;
}
