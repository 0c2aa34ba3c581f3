/* What a failure of Lua means to who wrote the rule, where that is known. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "rules/rule_internal.h"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static const char *after_spaces(const char *at)
{
    return at + strspn(at, " \t");
}

static bool is_keyword(const char *at, const char *word)
{
    size_t length = strlen(word);
    return strncmp(at, word, length) == 0 && !is_word(at[length]);
}

/* Does the text at `at`, behind a name, go on with `= e.PART`, and is that all? */
static bool takes_part(const char *at, const char *part)
{
    at = after_spaces(at);
    if (at[0] != '=' || at[1] == '=')
        return false;
    const char *name = at = after_spaces(at + 1);
    while (is_word(*at))
        at++;
    if (at == name || *at != '.' || !is_keyword(at + 1, part))
        return false;
    at = after_spaces(at + 1 + strlen(part));
    return *at == '\0' || (!strchr(".:[(=~<>", *at) && !is_keyword(at, "and") && !is_keyword(at, "or"));
}

/* Is there a variable `name` in the source that is given a part of the event? */
static bool is_taken_from(const char *source, const char *name, size_t length, const char *part)
{
    for (const char *at = source; (at = strstr(at, "local ")) != NULL; at++) {
        const char *variable = after_spaces(at + strlen("local "));
        if (strncmp(variable, name, length) == 0 && !is_word(variable[length]) && takes_part(variable + length, part))
            return true;
    }
    return false;
}

/* Lua's own words for what a rule did with a value that is no good for it. %s is the name that they give in quotes; a
 * remedy with one is said only where there is one. */
static const struct {
    const char *words;
    const char *remedy;
} remedies[] = {
    { "attempt to concatenate a nil value (", "'%s' is nil here: say what stands for it then, as in (name or \"\")" },
    { "attempt to concatenate a table value", "table.concat(list, \", \") makes one text of a list of texts" },
    { "attempt to index a nil value (",
      "'%s' is nil here: ask for it in 'when', or in an `if`, before its fields are read" },
    { "attempt to index a nil value",
      "something is nil here: ask for it in 'when', or in an `if`, or write (list or {})" },
    { "attempt to get length of a nil value (", "'%s' is nil here: say what stands for it then, as in #(list or {})" },
    { "attempt to call a string value (method 'priority')", "c.priority is read, c:prioritize(…) sets it" },
    { "attempt to call a nil value (method 'priority')", "c.priority is read, c:prioritize(…) sets it" },
    { "attempt to call a string value (method", "'%s' is a text to be read, and no method" },
    { "attempt to compare",
      "tonumber(text) makes a number of a text, or nil when there is none in it; what may be nil is asked for before" },
    { "attempt to perform arithmetic on a string value",
      "tonumber(text) makes a number of a text, or nil when there is none in it" },
    { "attempt to perform arithmetic on a nil value (",
      "'%s' is nil here: say what stands for it then, as in (number or 0)" },
};

/* The name in quotes behind the words, "" when there is none. */
static void quoted_name(const char *words, char *ret_name, size_t size)
{
    const char *name = strchr(words, '\'');
    const char *end = name != NULL ? strchr(name + 1, '\'') : NULL;
    snprintf(ret_name, size, "%.*s", end != NULL ? (int)(end - name - 1) : 0, end != NULL ? name + 1 : "");
}

static void add_remedy(char *error, size_t size)
{
    char name[100], remedy[300];
    for (size_t i = 0; i < ARRAY_LEN(remedies); i++) {
        const char *words = strstr(error, remedies[i].words);
        if (words == NULL)
            continue;
        const char *place = strstr(remedies[i].remedy, "%s");
        quoted_name(words, name, sizeof(name));
        if (place != NULL && (name[0] == '\0' || name[0] == '?'))
            return;
        int before = place != NULL ? (int)(place - remedies[i].remedy) : (int)strlen(remedies[i].remedy);
        snprintf(remedy, sizeof(remedy), "%.*s%s%s", before, remedies[i].remedy, place != NULL ? name : "",
                 place != NULL ? place + 2 : "");
        size_t used = strlen(error);
        snprintf(error + used, size - used, "\nHINT: %s", remedy);
        return;
    }
}

/* The hint for a part of the event that is not there; false when it is not that. */
static bool add_hint_of_part(const struct rule_set *set, const struct rule_info *rule, const json_t *event,
                             const json_t *facts, char *error, size_t size)
{
    static const struct {
        const char *part;
        const char *hint;
    } parts[] = {
        { "conversation",
          "this event has no conversation: ask for one in 'when', or open it with fx:open_conversation { … }" },
        { "contact", "this event is about nobody: ask for e.contact in 'when'" },
    };
    static const char mark[] = "attempt to index a nil value (";
    const char *at = strstr(error, mark);
    const char *name = at != NULL ? strchr(at + strlen(mark), '\'') : NULL;
    const char *end = name != NULL ? strchr(name + 1, '\'') : NULL;
    const struct rule_source *source = rule_sources_find(set->sources, rule->file);
    if (end == NULL || source == NULL)
        return false;
    bool is_field = strncmp(at + strlen(mark), "field", strlen("field")) == 0;
    size_t length = (size_t)(end - name) - 1;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *part = parts[i].part;
        bool is_there = json_is_object(json_object_get(facts, part)) ||
                        (strcmp(part, "contact") == 0 && json_is_object(json_object_get(event, part)));
        bool is_meant = is_field ? length == strlen(part) && strncmp(name + 1, part, length) == 0
                                 : is_taken_from(source->text, name + 1, length, part);
        if (!is_there && is_meant) {
            size_t used = strlen(error);
            snprintf(error + used, size - used, "\nHINT: %s", parts[i].hint);
            return true;
        }
    }
    return false;
}

void rule_hint_add(const struct rule_set *set, const struct rule_info *rule, const json_t *event, const json_t *facts,
                   char *error, size_t size)
{
    if (strstr(error, "\nHINT: ") == NULL && !add_hint_of_part(set, rule, event, facts, error, size))
        add_remedy(error, size);
}
