/* What the manual shows must work: its files load together, and its table of functions is right. Its tests are run by
 * tests/e2e/documents.test.mjs. */
#include "rule_files.h"

#define MANUAL "rules/README.md"
#define MAX_FILES 96

static const char *const manuals[] = { MANUAL, "rules/OPERATING.md", "rules/RECIPES.md", "rules/MIGRATING.md" };
#define MANUALS (sizeof(manuals) / sizeof(manuals[0]))

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fail_msg("%s cannot be read; tests run in the project's directory", path);
    }
    char *text = calloc(1, 1024 * 1024);
    size_t length = fread(text, 1, 1024 * 1024 - 1, file);
    assert_true(length > 0);
    fclose(file);
    return text;
}

/* Adds the blocks that begin with "-- rules/NAME" to the `count` files there are. */
static size_t collect_files(char *manual, struct rule_file *files, size_t count)
{
    static const char mark[] = "```lua\n-- rules/";
    for (char *at = manual; (at = strstr(at, mark)) != NULL;) {
        char *name = at + strlen(mark);
        char *end = strstr(name, "\n```");
        char *line_end = strchr(name, '\n');
        assert_non_null(end);
        assert_true(line_end < end && count < MAX_FILES);
        *line_end = '\0';
        *end = '\0';
        files[count++] = (struct rule_file){ name, line_end + 1 };
        at = end + 4;
    }
    files[count] = (struct rule_file){ NULL, NULL };
    return count;
}

static void every_file_loads(void **state)
{
    (void)state;
    char *texts[MANUALS];
    struct rule_file files[MAX_FILES + 1];
    size_t count = 0;
    for (size_t i = 0; i < MANUALS; i++) {
        texts[i] = read_text(manuals[i]);
        size_t before = count;
        count = collect_files(texts[i], files, before);
        assert_true(count > before);
    }
    json_t *problems;
    struct rule_set *set;
    struct error e;
    err_t err = load_files(files, NULL, &problems, &set, &e);
    if (err != ERR_NONE || json_array_size(problems) > 0) {
        char *text = json_dumps(problems, JSON_INDENT(1));
        fail_msg("%s\n%s", err != ERR_NONE ? e.text : "", text);
    }
    assert_true(rule_set_test_count(set) >= 20);
    json_decref(problems);
    rule_set_free(set);
    for (size_t i = 0; i < MANUALS; i++) {
        free(texts[i]);
    }
}

/* Lines such as "| `money(1900, "usd")` | `$19.00` |". */
static void the_functions_give_what_is_written(void **state)
{
    (void)state;
    char *manual = read_text(MANUAL);
    char *section = strstr(manual, "\n## Functions\n");
    assert_non_null(section);
    char *next = strstr(section + 4, "\n## ");
    assert_non_null(next);
    *next = '\0';
    size_t checked = 0;
    for (char *line = strtok(section, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *expression = strncmp(line, "| `", 3) == 0 ? line + 3 : NULL;
        char *middle = expression != NULL ? strstr(expression, "` | `") : NULL;
        char *end = middle != NULL ? strstr(middle + 5, "` |") : NULL;
        if (end == NULL || end[3] != '\0') {
            continue;
        }
        *middle = *end = '\0';
        char rules[1024];
        snprintf(rules, sizeof(rules), "rule { name = 'x', on = 'custom.x', run = function(e, fx) log(%s) end }",
                 expression);
        struct rule_set *set = load_text(rules, NULL);
        struct rule_outcome outcome = run_rule(set, "{\"type\":\"custom.x\"}", NULL);
        const char *text = json_string_value(json_at(outcome.log, "0.text"));
        if (text == NULL || strcmp(text, middle + 5) != 0) {
            fail_msg("%s gives %s, not %s", expression, text != NULL ? text : outcome.error, middle + 5);
        }
        rule_outcome_done(&outcome);
        rule_set_free(set);
        checked++;
    }
    assert_true(checked > 10);
    free(manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_loads),
        cmocka_unit_test(the_functions_give_what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
