/* `answerd token`: who may use the API. */
#include "base/text.h"
#include "commands/commands.h"
#include "io/crypto.h"
#include "store/store.h"
#include "store/token_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_PREFIX "ans_" /* so that secret scanners find one that leaked */
#define TOKEN_RANDOM_BYTES 32
#define MAX_SCOPES 8

static const char *const known_scopes[] = { "read", "write", "admin", NULL };

struct token_options {
    const char *name;
    const char *scopes;
    const char *config;
    bool json;
};

/* The token's text: the prefix and base64url without padding. */
static void make_token(char *ret_token, size_t size)
{
    unsigned char secret[TOKEN_RANDOM_BYTES];
    struct buf text;
    crypto_random(secret, sizeof(secret));
    buf_init(&text, 128);
    buf_add_text(&text, TOKEN_PREFIX);
    text_encode_base64((struct bytes){ (const char *)secret, sizeof(secret) }, &text);
    size_t length = 0;
    for (size_t i = 0; i < text.len && text.ptr[i] != '=' && length + 1 < size; i++) {
        char c = text.ptr[i];
        ret_token[length++] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    ret_token[length] = '\0';
    crypto_wipe(secret, sizeof(secret));
    crypto_wipe(text.ptr, text.len);
    buf_done(&text);
}

static int read_scopes(const struct command *command, const char *list, struct bytes *ret_scopes, size_t *ret_count)
{
    struct bytes rest = bytes_of(list);
    size_t count = 0;
    while (rest.len > 0) {
        struct bytes scope = text_trim(text_next_field(&rest, ','));
        bool known = false;
        bool repeated = false;
        for (size_t i = 0; known_scopes[i]; i++)
            known = known || bytes_equal(scope, bytes_of(known_scopes[i]));
        for (size_t i = 0; i < count; i++)
            repeated = repeated || bytes_equal(scope, ret_scopes[i]);
        if (!known || count == MAX_SCOPES)
            return command_usage_error(command, "unknown scope '%.*s': they are read, write and admin", (int)scope.len,
                                       scope.len ? scope.ptr : "");
        if (!repeated)
            ret_scopes[count++] = scope;
    }
    if (count == 0)
        return command_usage_error(command, "--scopes is empty: they are read, write and admin");
    *ret_count = count;
    return EXIT_OK;
}

static int create(const struct command *command, struct pg *pg, const struct token_options *options,
                  const struct bytes *scopes, size_t scope_count)
{
    char token[80];
    unsigned char digest[SHA256_SIZE];
    int64_t id;
    struct error e;
    make_token(token, sizeof(token));
    struct bytes text = bytes_of(token);
    crypto_hash(HASH_SHA256, &text, 1, digest);
    if (token_store_add(pg, options->name, (struct bytes){ (const char *)digest, sizeof(digest) }, scopes, scope_count,
                        &id, &e))
        return command_failed(command, &e);
    if (options->json) {
        printf("{\"id\":%" PRId64 ",\"token\":\"%s\"}\n", id, token);
    } else {
        /* The token alone on stdout, for scripts. */
        fprintf(stderr, "token %" PRId64 " of '%s'; it is shown only now\n", id, options->name);
        printf("%s\n", token);
    }
    crypto_wipe(token, sizeof(token));
    return EXIT_OK;
}

static void print_row(const json_t *token)
{
    char scopes[80] = "";
    for (size_t i = 0; i < json_array_size(json_array_at(token, "scopes")); i++) {
        size_t length = strlen(scopes);
        snprintf(scopes + length, sizeof(scopes) - length, "%s%s", i ? "," : "",
                 json_string_value(json_array_get(json_array_at(token, "scopes"), i)));
    }
    printf("%-10lld %-16s %-19.19s  %-19.19s  %-8s %s\n", (long long)json_int(token, "id", 0), scopes,
           json_str_or(token, "created_at", "-"), json_str_or(token, "last_used_at", "never"),
           json_str(token, "revoked_at") ? "revoked" : "", json_str_or(token, "name", ""));
}

static int list(const struct command *command, struct pg *pg, const struct token_options *options)
{
    json_t *tokens CLEANUP(json_free) = NULL;
    struct error e;
    if (token_store_list(pg, &tokens, &e))
        return command_failed(command, &e);
    if (options->json) {
        char *text = json_dump(tokens);
        printf("%s\n", text);
        free(text);
        return EXIT_OK;
    }
    if (json_array_size(tokens) > 0)
        printf("%-10s %-16s %-19s  %-19s  %-8s %s\n", "ID", "SCOPES", "CREATED", "LAST USED", "STATE", "NAME");
    for (size_t i = 0; i < json_array_size(tokens); i++)
        print_row(json_array_get(tokens, i));
    return EXIT_OK;
}

static int revoke(const struct command *command, struct pg *pg, int64_t id)
{
    struct error e;
    if (token_store_revoke(pg, id, &e))
        return command_failed(command, &e);
    printf("token %" PRId64 " is revoked\n", id);
    return EXIT_OK;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct token_options options = { .scopes = "read" };
    void *const values[] = { &options.name, &options.scopes, &options.config, &options.json };
    int operands;
    int exit_code;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code))
        return exit_code;
    const char *action = operands > 0 ? argv[1] : "";
    bool creates = strcmp(action, "create") == 0;
    bool revokes = strcmp(action, "revoke") == 0;
    int64_t id = 0;
    struct bytes scopes[MAX_SCOPES];
    size_t scope_count = 0;
    if (!creates && !revokes && strcmp(action, "list") != 0)
        return command_usage_error(command, "%s",
                                   operands ? "the action is create, list or revoke" : "an action is needed");
    if (operands != (revokes ? 2 : 1))
        return command_usage_error(command, "%s takes %s", action, revokes ? "one id" : "no operand");
    if (revokes && !text_to_i64(bytes_of(argv[2]), &id))
        return command_usage_error(command, "'%s' is no id; `answerd token list` shows them", argv[2]);
    if (creates && (!options.name || !*options.name || strlen(options.name) > 200))
        return command_usage_error(command, "create needs --name, to recognise the token later");
    if (creates && !text_is_utf8(bytes_of(options.name)))
        return command_usage_error(command, "--name is no valid text");
    if (creates && (exit_code = read_scopes(command, options.scopes, scopes, &scope_count)) != EXIT_OK)
        return exit_code;

    struct config *config;
    struct pg *pg;
    exit_code = command_load_config(command, options.config, false, &config);
    if (exit_code != EXIT_OK)
        return exit_code;
    crypto_start();
    exit_code = command_open_database(command, config, "answerd token", &pg);
    if (exit_code == EXIT_OK) {
        struct error e;
        if (store_check_schema(pg, &e)) {
            command_failed(command, &e);
            exit_code = EXIT_DATABASE;
        } else {
            exit_code = creates   ? create(command, pg, &options, scopes, scope_count)
                        : revokes ? revoke(command, pg, id)
                                  : list(command, pg, &options);
        }
        pg_close(pg);
    }
    config_free(config);
    return exit_code;
}

static const struct command_option options_table[] = {
    { "name", OPTION_TEXT, "NAME", "create: whose token it is" },
    { "scopes", OPTION_TEXT, "LIST", "create: of read, write and admin (which includes the others); default read" },
    OPTION_CONFIG,
    { "json", OPTION_FLAG, NULL, "create, list: print JSON" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_token = {
    .name = "token",
    .summary = "create, list and revoke tokens of the API",
    .usage = "create --name NAME [--scopes read,write,admin]\nlist\nrevoke ID",
    .details = "create prints the token once; the database holds only its SHA-256. Callers send it as\n"
               "`Authorization: Bearer ans_...`. A revoked token is refused at once.",
    .options = options_table,
    .run = run,
};
