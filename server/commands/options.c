#include "commands/options.h"

#include "base/text.h"
#include "commands/commands.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAMES 48

static const struct command_option *find_option(const struct command *command, const char *name, size_t length,
                                                size_t *ret_index)
{
    const struct command_option *option = command->options;
    for (size_t i = 0; option && option[i].name; i++) {
        if (strlen(option[i].name) == length && memcmp(option[i].name, name, length) == 0) {
            *ret_index = i;
            return &option[i];
        }
    }
    return NULL;
}

static int unknown_option(const struct command *command, const char *name)
{
    const char *names[MAX_NAMES + 2];
    size_t count = 0;
    for (size_t i = 0; command->options && command->options[i].name && count < MAX_NAMES; i++)
        names[count++] = command->options[i].name;
    names[count++] = "help";
    names[count] = NULL;
    const char *nearest = text_nearest(name, names);
    if (nearest)
        return command_usage_error(command, "unknown option '--%s'; did you mean '--%s'?", name, nearest);
    return command_usage_error(command, "unknown option '--%s'", name);
}

/* False with a message when the value does not fit. */
static bool set_value(const struct command *command, const struct command_option *option, const char *text, void *value)
{
    struct option_texts *texts;
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)value = true;
        return true;
    case OPTION_TEXT:
        *(const char **)value = text;
        return true;
    case OPTION_TEXTS:
        texts = value;
        if (texts->count == OPTION_MAX_TEXTS) {
            command_usage_error(command, "--%s is given more than %d times", option->name, OPTION_MAX_TEXTS);
            return false;
        }
        texts->items[texts->count++] = text;
        return true;
    case OPTION_NUMBER:
        if (text_to_i64(bytes_of(text), value))
            return true;
        command_usage_error(command, "--%s takes a whole number, got '%s'", option->name, text);
        return false;
    case OPTION_DURATION:
        if (text_to_duration(bytes_of(text), value))
            return true;
        command_usage_error(command, "--%s takes a duration such as 30s or 7d, got '%s'", option->name, text);
        return false;
    }
    return false;
}

/* Reads the option at argv[*at], which begins with "--". */
static bool take_option(const struct command *command, int argc, char **argv, int *at, void *const *values)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    size_t index;
    const struct command_option *option = find_option(command, name, length, &index);
    if (!option) {
        char cut[64];
        snprintf(cut, sizeof(cut), "%.*s", (int)length, name);
        unknown_option(command, cut);
        return false;
    }
    const char *text = equals ? equals + 1 : NULL;
    if (option->kind == OPTION_FLAG && text) {
        command_usage_error(command, "--%s takes no value", option->name);
        return false;
    }
    if (option->kind != OPTION_FLAG && !text) {
        if (*at + 1 >= argc) {
            command_usage_error(command, "--%s needs a value: --%s %s", option->name, option->name,
                                option->placeholder);
            return false;
        }
        text = argv[++*at];
    }
    return set_value(command, option, text, values[index]);
}

bool options_parse(const struct command *command, int argc, char **argv, void *const *values, int *ret_operands,
                   int *ret_exit)
{
    int operands = 0;
    bool ended = false;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        if (ended || word[0] != '-' || word[1] == '\0') {
            argv[++operands] = word;
        } else if (strcmp(word, "--") == 0) {
            ended = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            command_print_help(command);
            *ret_exit = EXIT_OK;
            return false;
        } else if (word[1] != '-') {
            *ret_exit = command_usage_error(command, "unknown option '%s'; options are written --name", word);
            return false;
        } else if (!take_option(command, argc, argv, &i, values)) {
            *ret_exit = EXIT_USAGE;
            return false;
        }
    }
    *ret_operands = operands;
    return true;
}
