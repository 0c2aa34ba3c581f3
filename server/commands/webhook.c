/* `answerd webhook`: verify, parse, sign and register webhooks of one kind, without a server.
 *
 * verify, parse and sign read nothing but their arguments: no configuration, no database, no network. Parsing does not
 * even look at the clock, so the same body always prints the same lines.
 */
#include "commands/webhook.h"

#include "base/text.h"
#include "channel/channel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BODY_BYTES ((size_t)64 << 20)
#define MAX_FILE_BYTES ((size_t)1 << 20)
#define AT_NOT_GIVEN INT64_MIN
#define LATEST_SECOND 253402300799 /* 9999-12-31: what is beyond overflows as milliseconds */

/* Which setting `--secret` means, in this order. */
static const char *const secret_settings[] = { "signing_secrets", "app_secret", "secret_token", "webhook_id" };

static bool has_setting(const struct channel_kind *kind, const char *name)
{
    for (const struct channel_setting *s = kind->settings; s && s->name; s++) {
        if (strcmp(s->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static const struct channel_setting *find_setting(const struct channel_kind *kind, struct bytes name)
{
    for (const struct channel_setting *s = kind->settings; s && s->name; s++) {
        if (bytes_equal(bytes_of(s->name), name)) {
            return s;
        }
    }
    return NULL;
}

/* A setting given several times becomes a list. */
static void add_setting(json_t *settings, const char *name, const char *value)
{
    json_t *known = json_object_get(settings, name);
    if (known == NULL) {
        json_put_str(settings, name, value);
        return;
    }
    if (!json_is_array(known)) {
        json_t *list = json_pack("[O]", known);
        json_put(settings, name, list);
        known = list;
    }
    json_array_append_new(known, json_string(value));
}

static void add_secret(const struct channel_kind *kind, json_t *settings, const char *secret)
{
    if (has_setting(kind, "user") && has_setting(kind, "password")) {
        struct bytes rest = bytes_of(secret);
        json_put_bytes(settings, "user", text_next_field(&rest, ':'));
        add_setting(settings, "password", strchr(secret, ':') ? strchr(secret, ':') + 1 : "");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(secret_settings); i++) {
        if (has_setting(kind, secret_settings[i])) {
            add_setting(settings, secret_settings[i], secret);
            return;
        }
    }
}

/* Values on the command line are text; the kind says what they mean. */
static int add_given_setting(const struct command *command, const struct channel_kind *kind, json_t *settings,
                             const char *given)
{
    struct bytes value = bytes_of(given);
    struct bytes name = text_next_field(&value, '=');
    const struct channel_setting *setting = find_setting(kind, name);
    if (strchr(given, '=') == NULL || setting == NULL) {
        return command_usage_error(command, "--setting %s: %s has no such setting", given, kind->name);
    }
    if (setting->type == SETTING_NUMBER) {
        int64_t number;
        if (!text_to_i64(value, &number)) {
            return command_usage_error(command, "--setting %s: not a number", given);
        }
        json_put_int(settings, setting->name, number);
    } else if (setting->type == SETTING_BOOL) {
        json_put_bool(settings, setting->name, bytes_equal(value, BYTES_LITERAL("true")));
    } else {
        add_setting(settings, setting->name, strchr(given, '=') + 1);
    }
    return EXIT_OK;
}

/* The settings of a source as the options describe it. New reference in `*ret_settings`. */
static int make_settings(const struct command *command, const struct channel_kind *kind,
                         const struct webhook_options *options, json_t **ret_settings)
{
    json_t *settings CLEANUP(json_free) = json_object();
    for (size_t i = 0; i < options->secrets.count; i++) {
        add_secret(kind, settings, options->secrets.items[i]);
    }
    if (options->certificate) {
        struct buf content CLEANUP(buf_done) = { 0 };
        struct error e = { 0 };
        if (!has_setting(kind, "certificate")) {
            return command_usage_error(command, "%s takes no --certificate", kind->name);
        }
        if (command_read_input(options->certificate, MAX_FILE_BYTES, &content, &e) != ERR_NONE) {
            return command_failed(command, &e);
        }
        json_put_bytes(settings, "certificate", buf_bytes(&content));
    }
    for (size_t i = 0; i < options->settings.count; i++) {
        int code = add_given_setting(command, kind, settings, options->settings.items[i]);
        if (code != EXIT_OK) {
            return code;
        }
    }
    *ret_settings = settings;
    settings = NULL;
    return EXIT_OK;
}

/* One request as the options describe it; owns what it points to. */
struct request {
    struct webhook webhook;
    struct webhook_header headers[OPTION_MAX_TEXTS + 1];
    char *texts[2 * OPTION_MAX_TEXTS];
    size_t text_count;
    struct buf body;
};

static void request_done(struct request *request)
{
    for (size_t i = 0; i < request->text_count; i++) {
        free(request->texts[i]);
    }
    buf_done(&request->body);
}

static const char *keep(struct request *request, struct bytes text)
{
    char *copy = strndup(text.len > 0 ? text.ptr : "", text.len);
    if (copy == NULL) {
        abort();
    }
    request->texts[request->text_count++] = copy;
    return copy;
}

static int add_headers(const struct command *command, const struct webhook_options *options, struct request *request)
{
    for (size_t i = 0; i < options->headers.count; i++) {
        struct bytes value = bytes_of(options->headers.items[i]);
        bool has_colon = strchr(options->headers.items[i], ':') != NULL;
        struct bytes name = text_trim(text_next_field(&value, ':'));
        if (!has_colon || name.len == 0) {
            return command_usage_error(command, "--header '%s': it must be 'Name: value'", options->headers.items[i]);
        }
        const char *header_name = keep(request, name);
        request->headers[request->webhook.header_count++] =
            (struct webhook_header){ header_name, keep(request, text_trim(value)) };
    }
    if (options->id) {
        request->headers[request->webhook.header_count++] = (struct webhook_header){ "webhook-id", options->id };
    }
    return EXIT_OK;
}

static int make_request(const struct command *command, const struct webhook_options *options, const char *source,
                        const char *file, msec_t now, struct request *request)
{
    request->webhook = (struct webhook){
        .method = "POST",
        .source = options->source ? options->source : source,
        .url = options->url ? options->url : "",
        .headers = request->headers,
        .now = options->at == AT_NOT_GIVEN ? now : options->at * 1000,
    };
    int code = add_headers(command, options, request);
    struct error e = { 0 };
    if (code == EXIT_OK && command_read_input(file, MAX_BODY_BYTES, &request->body, &e) != ERR_NONE) {
        (void)command_failed(command, &e);
        code = EXIT_USAGE; /* not EXIT_WRONG, which is a verdict on what was read */
    }
    request->webhook.body = buf_bytes(&request->body);
    return code;
}

/* Errors carry a hint in a second line, which has no place in a verdict. */
static int first_line(const char *text)
{
    return (int)strcspn(text, "\n");
}

static int run_verify(const struct command *command, const struct channel_kind *kind, const char *file,
                      const struct webhook_options *options)
{
    json_t *settings CLEANUP(json_free) = NULL;
    struct request request CLEANUP(request_done) = { .text_count = 0 };
    struct error e = { 0 };
    int code = make_settings(command, kind, options, &settings);
    if (code == EXIT_OK) {
        code = make_request(command, options, kind->name, file, clock_now(), &request);
    }
    if (code != EXIT_OK) {
        return code;
    }
    err_t err = kind->check ? kind->check(settings, &e) : ERR_NONE;
    if (err != ERR_INTERNAL) { /* of several secrets one may be no key: the others decide */
        err = kind->verify(&request.webhook, settings, &e);
    }
    if (err == ERR_NONE) {
        puts("valid");
        return EXIT_OK;
    }
    if (err == ERR_INTERNAL) {
        return command_usage_error(command, "%s", e.text);
    }
    printf("invalid: %.*s\n", first_line(e.text), e.text);
    return EXIT_WRONG;
}

static int run_parse(const struct command *command, const struct channel_kind *kind, const char *file,
                     const struct webhook_options *options)
{
    json_t *settings CLEANUP(json_free) = NULL;
    struct request request CLEANUP(request_done) = { .text_count = 0 };
    int code = make_settings(command, kind, options, &settings);
    if (code == EXIT_OK) {
        code = make_request(command, options, kind->name, file, 0, &request);
    }
    if (code != EXIT_OK) {
        return code;
    }
    json_t *events CLEANUP(json_free) = json_array();
    struct error e = { 0 };
    if (channel_parse(kind, &request.webhook, settings, events, &e) != ERR_NONE) {
        fprintf(stderr, "answerd webhook: this is not a webhook of the kind %s: %s\n", kind->name, e.text);
        return EXIT_WRONG;
    }
    size_t index;
    json_t *event;
    json_array_foreach (events, index, event) {
        char *line = json_dump(event);
        puts(line);
        free(line);
    }
    return EXIT_OK;
}

static int run_sign(const struct command *command, const struct channel_kind *kind, const char *file,
                    const struct webhook_options *options)
{
    if (options->secrets.count != 1) {
        return command_usage_error(command, "sign needs one --secret");
    }
    if (kind->sign == NULL && kind->sign_as_configured == NULL) {
        return command_usage_error(command, "%s signs with a private key of its own, which nobody else has",
                                   kind->name);
    }
    json_t *settings CLEANUP(json_free) = NULL;
    struct request request CLEANUP(request_done) = { .text_count = 0 };
    int code = make_settings(command, kind, options, &settings);
    if (code == EXIT_OK) {
        code = make_request(command, options, kind->name, file, clock_now(), &request);
    }
    if (code != EXIT_OK) {
        return code;
    }
    struct buf headers CLEANUP(buf_done);
    buf_init(&headers, 65536);
    struct error e = { 0 };
    struct bytes secret = bytes_of(options->secrets.items[0]);
    err_t err = kind->sign_as_configured ? kind->sign_as_configured(&request.webhook, settings, secret, &headers, &e)
                                         : kind->sign(&request.webhook, secret, &headers, &e);
    if (err != ERR_NONE) {
        return command_usage_error(command, "%s", e.text);
    }
    (void)fwrite(headers.ptr, 1, headers.len, stdout);
    return EXIT_OK;
}

static int unknown_kind(const struct command *command, const char *name)
{
    const char *known[64] = { NULL };
    struct buf list CLEANUP(buf_done);
    buf_init(&list, 4096);
    size_t count = 0;
    for (const struct channel_kind *const *kind = channel_all(); *kind && count + 1 < ARRAY_LEN(known); kind++) {
        known[count++] = (*kind)->name;
        buf_addf(&list, "%s%s", count > 1 ? ", " : "", (*kind)->name);
    }
    const char *near = text_nearest(name, known);
    if (near) {
        return command_usage_error(command, "unknown kind '%s'; did you mean '%s'?", name, near);
    }
    return command_usage_error(command, "unknown kind '%s'; known are %s", name, list.ptr);
}

static const struct action {
    const char *name;
    int (*run)(const struct command *command, const struct channel_kind *kind, const char *file,
               const struct webhook_options *options);
} actions[] = {
    { "verify", run_verify },
    { "parse", run_parse },
    { "sign", run_sign },
};

static int run(const struct command *command, int argc, char **argv)
{
    struct webhook_options options = { .at = AT_NOT_GIVEN };
    void *const values[] = { &options.secrets,  &options.headers, &options.url, &options.at,     &options.certificate,
                             &options.settings, &options.source,  &options.id,  &options.config, &options.dev };
    int operands, code;
    if (!options_parse(command, argc, argv, values, &operands, &code)) {
        return code;
    }
    if (operands < 2 || operands > 3) {
        return command_usage_error(command, "an action and a kind are needed, then perhaps a file");
    }
    if (options.at != AT_NOT_GIVEN && (options.at < -LATEST_SECOND || options.at > LATEST_SECOND)) {
        return command_usage_error(command, "--at is no time in seconds");
    }
    if (strcmp(argv[1], "register") == 0) {
        return operands == 2 ? webhook_register(command, argv[2], &options)
                             : command_usage_error(command, "register takes one source");
    }
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(argv[1], actions[i].name) == 0) {
            const struct channel_kind *kind = channel_find(argv[2]);
            return kind ? actions[i].run(command, kind, operands == 3 ? argv[3] : NULL, &options)
                        : unknown_kind(command, argv[2]);
        }
    }
    return command_usage_error(command, "unknown action '%s': it is verify, parse, sign or register", argv[1]);
}

static const struct command_option options_table[] = {
    { "secret", OPTION_TEXTS, "S", "verify, sign: the secret; several to verify during a rotation" },
    { "header", OPTION_TEXTS, "'NAME: VALUE'", "verify, parse: a header of the request; several" },
    { "url", OPTION_TEXT, "URL", "the address of the webhook, where it is signed or registered" },
    { "at", OPTION_NUMBER, "UNIX", "verify, sign: the time in seconds; default now" },
    { "certificate", OPTION_TEXT, "FILE", "verify: PayPal's certificate as PEM" },
    { "setting", OPTION_TEXTS, "NAME=VALUE", "any setting of the kind, as in the configuration" },
    { "source", OPTION_TEXT, "NAME", "parse: the source's name in the events; default the kind" },
    { "id", OPTION_TEXT, "ID", "sign: the id of the message, where the kind has one" },
    { "config", OPTION_TEXT, "FILE", "register: the configuration" },
    { "dev", OPTION_FLAG, NULL, "register: read the configuration as `serve --dev` does" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_webhook = {
    .name = "webhook",
    .summary = "verify, parse, sign or register webhooks",
    .usage = "verify KIND [--secret S]... [--url U] [--at UNIX] [--header 'Name: value']... [FILE|-]\n"
             "parse KIND [--source NAME] [--header 'Name: value']... [FILE|-]\n"
             "sign KIND --secret S [--at UNIX] [--id ID] [--url U] [FILE|-]\n"
             "register SOURCE [--url U] [--config FILE]",
    .details =
        "verify prints `valid`, or `invalid: REASON` and exits 1. The body is taken byte by byte, newlines and all.\n"
        "parse prints the events of one body, one JSON object a line, as they would be stored.\n"
        "sign prints the headers that the provider would send: curl -H @<(answerd webhook sign ...) takes them.\n"
        "register asks the provider to send a source's webhooks here.\n"
        "\n"
        "--secret is what the kind checks with: the signing secret or key; the app secret (whatsapp, messenger,\n"
        "instagram, meta); the secret token (telegram); user:password (chargebee); the webhook id (paypal, with\n"
        "--certificate). square needs --url. hmac is described by its settings: --setting header=X-Signature\n"
        "--setting encoding=base64 ...",
    .options = options_table,
    .run = run,
};
