/* Running the *_test.lua files of rule directories, and telling what came of it: for a person, as TAP, as JUnit XML,
 * and which rules they reached.
 */
#ifndef COMMANDS_RULE_TESTS_H
#define COMMANDS_RULE_TESTS_H

#include "io/json.h"
#include "rules/rule_set.h"

struct rule_tests_options {
    const char *filter;  /* a part of the name or file; NULL: all */
    const char *shuffle; /* digits; NULL: in the order of the files */
    bool tap;
    bool coverage;
};

/* One run over one or more paths. */
struct rule_tests {
    const struct rule_tests_options *options;
    json_t *sources; /* as the desk sees them */
    json_t *results; /* array of {file, line, name, passed, report, micros} */
    size_t passed;
    size_t failed;
    bool broken; /* a directory did not load */
};
void rule_tests_begin(struct rule_tests *tests, const struct rule_tests_options *options);
void rule_tests_done(struct rule_tests *tests);

/* Runs the tests of a directory, or of one *_test.lua file with the rules of its directory. Prints each as it ends. */
void rule_tests_run(struct rule_tests *tests, const char *path);
/* The directory of a path: itself, or where the file is. The caller's. */
char *rule_tests_directory(const char *path, const char **ret_only_file);

/* --- rule_tests_report.c ------------------------------------------------------------------------------------------ */

void rule_tests_print_problems(const json_t *problems);
void rule_tests_print_one(const struct rule_tests *tests, const json_t *result);
/* Which rules ran, which `when` said both yes and no, and which templates and surveys were sent. */
void rule_tests_print_coverage(const struct rule_set *set, const json_t *coverage, const char *prefix);

/* --- rule_tests_junit.c ------------------------------------------------------------------------------------------- */

/* ERR_NOT_FOUND: the file cannot be written. */
err_t rule_tests_write_junit(const struct rule_tests *tests, const char *path, struct error *reterr) MUST_CHECK;

#endif
