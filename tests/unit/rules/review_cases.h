/* Cases of what `answerd check` finds: rule files, and the one problem that has to be found in them, or none. */
#ifndef REVIEW_CASES_H
#define REVIEW_CASES_H

#include "rule_files.h"
#include "rules/rule_review.h"

#define MAX_CASE_FILES 3

struct wanted {
    struct rule_file files[MAX_CASE_FILES + 1]; /* ends with a NULL name; one without a name of its own is "a.lua" */
    const char *place;                          /* "rules/a.lua:3"; NULL: nothing may be found */
    const char *severity;
    const char *text; /* a part of it */
    const char *hint; /* a part of it, or NULL */
};

/* The sources that send, as rule_review() takes them. */
static json_t *known_senders;

static json_t *review(const struct rule_file *files)
{
    json_t *problems;
    struct rule_set *set;
    struct error e;
    if (load_files(files, NULL, &problems, &set, &e) != ERR_NONE) {
        fail_msg("%s", e.text);
    }
    if (rule_review(set, known_senders, problems, &e) != ERR_NONE) {
        fail_msg("%s", e.text);
    }
    rule_set_free(set);
    return problems;
}

static bool is_wanted(const json_t *problem, const struct wanted *wanted)
{
    char place[300];
    snprintf(place, sizeof(place), "%s:%d", json_str_or(problem, "file", ""), (int)json_int(problem, "line", 0));
    return strcmp(place, wanted->place) == 0 && strcmp(json_str_or(problem, "severity", ""), wanted->severity) == 0 &&
           strstr(json_str_or(problem, "text", ""), wanted->text) != NULL &&
           (wanted->hint == NULL || strstr(json_str_or(problem, "hint", ""), wanted->hint) != NULL);
}

static void check_each(const struct wanted *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *problems = review(cases[i].files);
        bool found = cases[i].place == NULL ? json_array_size(problems) == 0 : false;
        for (size_t n = 0; n < json_array_size(problems) && cases[i].place != NULL; n++) {
            found = found || is_wanted(json_array_get(problems, n), &cases[i]);
        }
        if (!found || (cases[i].place != NULL && json_array_size(problems) != 1)) {
            char *text = json_dumps(problems, JSON_INDENT(1));
            fail_msg("case %zu: %s\nwanted %s: %s: %s\nfound %s", i, cases[i].files[0].text,
                     cases[i].place != NULL ? cases[i].place : "nothing",
                     cases[i].severity != NULL ? cases[i].severity : "", cases[i].text != NULL ? cases[i].text : "",
                     text);
        }
        json_decref(problems);
    }
}

#define CHECK_EACH(cases) check_each(cases, sizeof(cases) / sizeof(cases[0]))
#define FILE_A(text)                                                                                                   \
    {                                                                                                                  \
        {                                                                                                              \
            "a.lua", text                                                                                              \
        }                                                                                                              \
    }
#define ON(types, body) FILE_A("rule { name = 'x', on = " types ", run = function(e, fx)\n" body "\nend }")
#define WHEN(types, body)                                                                                              \
    FILE_A("rule { name = 'x', on = " types ",\nwhen = function(e) return " body " end, run = function() end }")
#define RULE(name, on, body) "rule { name = '" name "', on = " on ", run = function(e, fx) " body " end }\n"

#endif
