/* The parts of `answerd webhook`. */
#ifndef COMMANDS_WEBHOOK_H
#define COMMANDS_WEBHOOK_H

#include "commands/commands.h"

/* What the command line said, for the actions that share it. */
struct webhook_options {
    struct option_texts secrets;
    struct option_texts headers;  /* "Name: value" */
    struct option_texts settings; /* "name=value" */
    const char *url;
    const char *certificate; /* a file */
    const char *source;
    const char *id;
    const char *config;
    int64_t at; /* unix seconds */
    bool dev;
};

/* Calls the provider to register a source's webhook, and prints the answer. Gives the exit code. */
int webhook_register(const struct command *command, const char *source, const struct webhook_options *options);

#endif
