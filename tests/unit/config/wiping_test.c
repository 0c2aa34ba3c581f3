/* What was a secret is in no corner of this process when its configuration was given back: not in memory that was
 * freed, not on the stack, not in a library's buffers. AddressSanitizer keeps freed memory as it was, so little can
 * hide. */
#include "config/config.h"

#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"
#include "channel/channel.h"
#include "io/crypto.h"

#define SECRET_LENGTH 32
#define DECODED_LENGTH 24 /* as base64 */
#define WINDOW (1u << 20)
#define LARGEST_REGION (1ul << 30) /* larger ones are the sanitizer's own books */

/* The secret, so that this program does not hold it: every byte has its highest bit set. */
static unsigned char veiled[SECRET_LENGTH];
static unsigned char veiled_decoded[DECODED_LENGTH];
static char folder[] = "/tmp/answerd-wiping-XXXXXX";
static char *window; /* through which memory is looked at; a region of its own */

static char path_of_config[64];
static char path_of_secret[64];

static void write_whole(const char *path, const char *prefix, const char *text, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, prefix, strlen(prefix)), strlen(prefix));
    assert_int_equal(write(fd, text, length), length);
    close(fd);
}

static void make_secret(void)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char secret[SECRET_LENGTH];
    unsigned char decoded[DECODED_LENGTH];
    for (size_t i = 0; i < SECRET_LENGTH; i += 4) {
        unsigned value[4];
        for (size_t j = 0; j < 4; j++) {
            value[j] = crypto_random_u32() % 64;
            secret[i + j] = letters[value[j]];
            veiled[i + j] = (unsigned char)secret[i + j] | 0x80;
        }
        unsigned char *three = decoded + i / 4 * 3;
        three[0] = (unsigned char)(value[0] << 2 | value[1] >> 4);
        three[1] = (unsigned char)(value[1] << 4 | value[2] >> 2);
        three[2] = (unsigned char)(value[2] << 6 | value[3]);
    }
    for (size_t i = 0; i < DECODED_LENGTH; i++) {
        veiled_decoded[i] = decoded[i] ^ 0x80;
    }
    write_whole(path_of_secret, "", secret, sizeof(secret));
    crypto_wipe(secret, sizeof(secret));
    crypto_wipe(decoded, sizeof(decoded));
}

static bool is_at(const char *at, const unsigned char *wanted, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (((unsigned char)at[i] ^ 0x80) != wanted[i]) {
            return false;
        }
    }
    return true;
}

static size_t copies_in_window(size_t size, const char *where)
{
    size_t found = 0;
    for (size_t i = 0; i + DECODED_LENGTH <= size; i++) {
        bool text = i + SECRET_LENGTH <= size && is_at(window + i, veiled, SECRET_LENGTH);
        if (text || is_at(window + i, veiled_decoded, DECODED_LENGTH)) {
            found++;
            print_message("a %s secret at offset %zu of %s", text ? "copy of the" : "decoded", i, where);
        }
    }
    return found;
}

static size_t copies_in_region(int memory, unsigned long begin, unsigned long end, const char *where)
{
    size_t found = 0;
    while (begin + DECODED_LENGTH <= end) {
        size_t size = end - begin < WINDOW ? end - begin : WINDOW;
        ssize_t got = pread(memory, window, size, (off_t)begin);
        if (got < (ssize_t)DECODED_LENGTH) {
            break;
        }
        found += copies_in_window((size_t)got, where);
        begin += (size_t)got < size || (size_t)got == end - begin ? (size_t)got : (size_t)got - SECRET_LENGTH + 1;
    }
    return found;
}

static size_t copies(void)
{
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_true(memory >= 0);
    assert_non_null(maps);
    char line[600];
    size_t found = 0;
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long begin;
        unsigned long end;
        char rights[5];
        assert_int_equal(sscanf(line, "%lx-%lx %4s", &begin, &end, rights), 3);
        bool is_window = begin <= (unsigned long)window && (unsigned long)window < end;
        if (rights[0] == 'r' && !is_window && end - begin <= LARGEST_REGION && strstr(line, "[v") == NULL) {
            found += copies_in_region(memory, begin, end, line);
        }
    }
    memset(window, 0, WINDOW);
    fclose(maps);
    close(memory);
    return found;
}

static int prepare(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path_of_config, sizeof(path_of_config), "%s/answerd.lua", folder);
    snprintf(path_of_secret, sizeof(path_of_secret), "%s/secret", folder);
    /* Between regions that may not be read, so that it is one of its own. */
    char *three = mmap(NULL, 3 * WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    window = three + WINDOW;
    if (three == MAP_FAILED || mprotect(window, WINDOW, PROT_READ | PROT_WRITE) != 0) {
        return -1;
    }
    crypto_start();
    make_secret();
    return 0;
}

static int clean(void **state)
{
    (void)state;
    unlink(path_of_config);
    unlink(path_of_secret);
    return rmdir(folder);
}

static void use(const struct source_config *source)
{
    const struct channel_kind *kind = channel_find(source->kind);
    assert_non_null(kind);
    const struct webhook_header headers[] = {
        { "X-Hub-Signature-256", "sha256=00" },
        { "X-Telegram-Bot-Api-Secret-Token", "guessed" },
        { "Stripe-Signature", "t=1795700000,v1=00" },
        { "webhook-id", "1" },
        { "webhook-timestamp", "1795700000" },
        { "webhook-signature", "v1,AAAA" },
        { "X-Signature", "00" },
        { "Authorization", "Basic eDp5" },
    };
    const struct webhook webhook = {
        .method = "POST",
        .source = source->name,
        .url = "https://hooks.example.com/",
        .headers = headers,
        .header_count = ARRAY_LEN(headers),
        .body = BYTES_LITERAL("{}"),
        .now = 1795700000000,
    };
    assert_int_equal(kind->verify(&webhook, source->settings, NULL), ERR_DENIED);
}

static void nothing_is_left(void **state)
{
    (void)state;
    static const char text[] =
        "local secret = file \"secret\"\n"
        "database { url = \"postgresql://answerd:\" .. secret .. \"@db.example.com/answerd\" }\n"
        "source \"whatsapp\" { kind = \"whatsapp\", phone_number_id = \"1\", app_secret = secret, verify_token = "
        "secret, access_token = secret }\n"
        "source \"telegram\" { kind = \"telegram\", bot_token = \"42:\" .. secret, secret_token = secret }\n"
        "source \"stripe\" { kind = \"stripe\", signing_secrets = { \"whsec_\" .. secret, secret } }\n"
        "source \"support\" { kind = \"standard_webhooks\", signing_secrets = { \"whsec_\" .. secret } }\n"
        "source \"shop\" { kind = \"hmac\", signature_header = \"X-Signature\", secret = secret, secret_encoding = "
        "\"base64\" }\n";
    write_whole(path_of_config, "", text, sizeof(text) - 1);
    assert_int_equal(copies(), 0);
    struct config *config = NULL;
    struct error error;
    if (config_load(path_of_config, false, &config, &error) != ERR_NONE) {
        fail_msg("%s", error.text);
    }
    /* Else this test would look in the wrong places. */
    assert_true(copies() >= 7);
    for (size_t i = 0; i < config->source_count; i++) {
        use(&config->sources[i]);
    }
    config_free(config);
    assert_int_equal(copies(), 0);
}

static void nothing_is_left_of_a_configuration_that_is_wrong(void **state)
{
    (void)state;
    static const char text[] = "local secret = file \"secret\"\n"
                               "source \"stripe\" { kind = \"stripe\", signing_secrets = { secret } }\n"
                               "database { uri = secret }\n"
                               "http { max_body = secret, listen = secret }\n";
    write_whole(path_of_config, "", text, sizeof(text) - 1);
    struct config *config = NULL;
    struct error error;
    assert_int_not_equal(config_load(path_of_config, false, &config, &error), ERR_NONE);
    assert_int_equal(copies(), 0);
}

/* "$" in the text becomes the secret, in the file only. */
static void write_with_secret(const char *text)
{
    char secret[SECRET_LENGTH];
    int fd = open(path_of_config, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < SECRET_LENGTH; i++) {
        secret[i] = (char)(veiled[i] & 0x7f);
    }
    for (; *text != '\0'; text++) {
        ssize_t length = *text == '$' ? SECRET_LENGTH : 1;
        assert_int_equal(write(fd, *text == '$' ? secret : text, (size_t)length), length);
    }
    close(fd);
    crypto_wipe(secret, sizeof(secret));
}

static void nothing_is_left_of_a_secret_in_the_file_itself(void **state)
{
    (void)state;
    write_with_secret("source \"shop\" { kind = \"hmac\", signature_header = \"X-Signature\", secret = \"$\" }\n"
                      "database { url = \"postgresql://answerd:$@db.example.com/answerd\" }\n");
    struct config *config = NULL;
    struct error error;
    if (config_load(path_of_config, false, &config, &error) != ERR_NONE) {
        fail_msg("%s", error.text);
    }
    assert_true(copies() >= 2);
    use(&config->sources[0]);
    assert_int_equal(config_line_of_key(path_of_config, "secret", 1), 1);
    config_free(config);
    assert_int_equal(copies(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(nothing_is_left_of_a_configuration_that_is_wrong),
        cmocka_unit_test(nothing_is_left_of_a_secret_in_the_file_itself),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
