#include "rules/rule_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/crypto.h"

#define MAX_FILES 1000
#define MAX_TOTAL_BYTES ((size_t)16 * 1024 * 1024)

static void close_directory(DIR **directory)
{
    if (*directory != NULL) {
        closedir(*directory);
    }
}

static void close_file(FILE **file)
{
    if (*file != NULL) {
        fclose(*file);
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length > end_length && strcmp(text + length - end_length, end) == 0;
}

/* What is required or asked for by name has a name that can be written there. */
static bool is_module_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && strcmp(name + length, ".lua") == 0;
}

static char *join(const char *left, const char *right)
{
    struct buf path;
    buf_init(&path, 65536);
    buf_addf(&path, "%s/%s", left, right);
    return buf_take(&path);
}

static err_t read_text(const char *path, const char *shown, char **ret_text, size_t *ret_length, struct error *reterr)
{
    CLEANUP(close_file) FILE *file = fopen(path, "rbe");
    struct stat info;
    if (file == NULL || fstat(fileno(file), &info) != 0) {
        return fail(reterr, ERR_NOT_FOUND, "%s cannot be read: %s", shown, strerror(errno));
    }
    if ((size_t)info.st_size > VM_MAX_SOURCE_BYTES) {
        return fail(reterr, ERR_TOO_BIG, "%s has %lld bytes; a file has at most %zu", shown, (long long)info.st_size,
                    VM_MAX_SOURCE_BYTES);
    }
    size_t size = (size_t)info.st_size;
    char *text = memory_new(size + 1);
    size_t length = fread(text, 1, size, file);
    if (ferror(file)) {
        free(text);
        return fail(reterr, ERR_NOT_FOUND, "%s cannot be read", shown);
    }
    *ret_text = text;
    *ret_length = length;
    return ERR_NONE;
}

struct reading {
    bool tests;
    struct rule_sources *sources;
    size_t total_bytes;
};

/* One folder: `folder` is "", "data" or "lib". A missing sub-folder is fine. */
static err_t read_folder(struct reading *reading, const char *directory, const char *folder, enum source_kind kind,
                         struct error *reterr)
{
    char *path = *folder != '\0' ? join(directory, folder) : memory_text(directory);
    CLEANUP(close_directory) DIR *stream = opendir(path);
    err_t err = ERR_NONE;
    if (stream == NULL && (*folder == '\0' || errno != ENOENT)) {
        err = fail(reterr, ERR_NOT_FOUND,
                   "the directory '%s' cannot be read: %s\nHINT: it is what --rules or rules.directory "
                   "in the configuration names",
                   path, strerror(errno));
    }
    struct dirent *entry;
    while (err == ERR_NONE && stream != NULL && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.' || !ends_with(entry->d_name, ".lua")) {
            continue;
        }
        bool is_test = kind == SOURCE_RULES && ends_with(entry->d_name, "_test.lua");
        if (is_test && !reading->tests) {
            continue;
        }
        char *file_path = join(path, entry->d_name);
        struct stat info;
        if (stat(file_path, &info) != 0 || !S_ISREG(info.st_mode)) {
            free(file_path);
            continue;
        }
        char *name = *folder != '\0' ? join(folder, entry->d_name) : memory_text(entry->d_name);
        char *shown = join(reading->sources->directory, name);
        char *text = NULL;
        size_t length = 0;
        struct rule_sources *sources = reading->sources;
        if ((kind == SOURCE_LIBRARY || kind == SOURCE_DATA) && !is_module_name(entry->d_name)) {
            err = fail(reterr, ERR_INVALID, "%s: the name of a file in %s has only small letters, digits and '_'",
                       shown, folder);
        } else if (sources->count >= MAX_FILES) {
            err = fail(reterr, ERR_TOO_BIG, "'%s' has more than %d files", directory, MAX_FILES);
        } else {
            err = read_text(file_path, shown, &text, &length, reterr);
        }
        if (err == ERR_NONE && (reading->total_bytes += length) > MAX_TOTAL_BYTES) {
            err = fail(reterr, ERR_TOO_BIG, "the files of '%s' have more than %zu bytes together", directory,
                       MAX_TOTAL_BYTES);
        }
        free(file_path);
        if (err != ERR_NONE) {
            free(name);
            free(shown);
            free(text);
            break;
        }
        sources->items = memory_resize(sources->items, (sources->count + 1) * sizeof(*sources->items));
        sources->items[sources->count++] =
            (struct rule_source){ is_test ? SOURCE_TEST : kind, name, shown, text, length };
    }
    free(path);
    return err;
}

static int compare_sources(const void *left, const void *right)
{
    const struct rule_source *a = left, *b = right;
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

/* Tests are not part of what runs, so they do not change the version. */
static void compute_version(struct rule_sources *sources)
{
    struct bytes *parts = memory_new((4 * sources->count + 1) * sizeof(*parts));
    char(*lengths)[32] = memory_new((sources->count + 1) * sizeof(*lengths));
    size_t count = 0;
    for (size_t i = 0; i < sources->count; i++) {
        const struct rule_source *item = &sources->items[i];
        if (item->kind == SOURCE_TEST) {
            continue;
        }
        /* The length keeps two sets apart whose concatenations are the same. */
        snprintf(lengths[i], sizeof(lengths[i]), "\n%zu\n", item->length);
        parts[count++] = bytes_of(item->name);
        parts[count++] = bytes_of(lengths[i]);
        parts[count++] = (struct bytes){ item->text, item->length };
    }
    unsigned char digest[HASH_MAX_SIZE];
    crypto_hash(HASH_SHA256, parts, count, digest);
    for (size_t i = 0; i < 6; i++) {
        snprintf(sources->version + 2 * i, 3, "%02x", digest[i]);
    }
    free(parts);
    free(lengths);
}

static struct rule_sources *sources_new(const char *directory)
{
    struct rule_sources *sources = memory_new(sizeof(*sources));
    sources->users = memory_new(sizeof(*sources->users));
    atomic_init(sources->users, 1);
    sources->directory = memory_text(directory);
    return sources;
}

/* All files are there. */
static void sources_settle(struct rule_sources *sources)
{
    if (sources->count > 0) {
        qsort(sources->items, sources->count, sizeof(*sources->items), compare_sources);
    }
    compute_version(sources);
}

err_t rule_sources_read(const char *directory, bool test_files, struct rule_sources **ret_sources, struct error *reterr)
{
    char *real = realpath(directory, NULL);
    if (real == NULL) {
        return fail(reterr, ERR_NOT_FOUND,
                    "the directory '%s' cannot be read: %s\nHINT: it is what --rules or "
                    "rules.directory in the configuration names",
                    directory, strerror(errno));
    }
    const char *slash = strrchr(real, '/');
    struct rule_sources *sources = sources_new(slash != NULL && slash[1] != '\0' ? slash + 1 : "rules");
    struct reading reading = { test_files, sources, 0 };

    err_t err = read_folder(&reading, directory, "", SOURCE_RULES, reterr);
    if (err == ERR_NONE) {
        err = read_folder(&reading, directory, "lib", SOURCE_LIBRARY, reterr);
    }
    if (err == ERR_NONE) {
        err = read_folder(&reading, directory, "data", SOURCE_DATA, reterr);
    }
    free(real);
    if (err != ERR_NONE) {
        rule_sources_free(sources);
        return err;
    }
    sources_settle(sources);
    *ret_sources = sources;
    return ERR_NONE;
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

err_t rule_sources_make(const char *directory, const struct rule_source_file *files, size_t count,
                        struct rule_sources **ret_sources, struct error *reterr)
{
    size_t total_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        total_bytes += files[i].text.len;
    }
    if (count > MAX_FILES || total_bytes > MAX_TOTAL_BYTES) {
        return fail(reterr, ERR_TOO_BIG, "a rule set has at most %d files and %zu bytes", MAX_FILES, MAX_TOTAL_BYTES);
    }
    struct rule_sources *sources = sources_new(directory);
    sources->items = memory_new((count + 1) * sizeof(*sources->items));
    for (size_t i = 0; i < count; i++) {
        const struct rule_source_file *file = &files[i];
        enum source_kind kind = begins_with(file->name, "lib/")    ? SOURCE_LIBRARY
                                : begins_with(file->name, "data/") ? SOURCE_DATA
                                                                   : SOURCE_RULES;
        sources->items[sources->count++] = (struct rule_source){
            kind,
            memory_text(file->name),
            join(sources->directory, file->name),
            memory_text_n(file->text.ptr, file->text.len),
            file->text.len,
        };
    }
    sources_settle(sources);
    *ret_sources = sources;
    return ERR_NONE;
}

/* Tests come last. */
size_t rule_sources_count(const struct rule_sources *sources)
{
    size_t count = 0;
    while (count < sources->count && sources->items[count].kind != SOURCE_TEST) {
        count++;
    }
    return count;
}

struct rule_source_file rule_sources_file(const struct rule_sources *sources, size_t index)
{
    const struct rule_source *item = &sources->items[index];
    return (struct rule_source_file){ item->name, { item->text, item->length } };
}

const char *rule_sources_directory(const struct rule_sources *sources)
{
    return sources->directory;
}

struct rule_sources *rule_sources_share(const struct rule_sources *sources)
{
    struct rule_sources *copy = memory_new(sizeof(*copy));
    *copy = *sources;
    atomic_fetch_add(sources->users, 1);
    return copy;
}

/* Each holder has a header of its own; the files belong to all of them. */
void rule_sources_free(struct rule_sources *sources)
{
    if (sources == NULL) {
        return;
    }
    if (atomic_fetch_sub(sources->users, 1) == 1) {
        for (size_t i = 0; i < sources->count; i++) {
            free(sources->items[i].name);
            free(sources->items[i].file);
            free(sources->items[i].text);
        }
        free(sources->items);
        free(sources->directory);
        free(sources->users);
    }
    free(sources);
}

const char *rule_sources_version(const struct rule_sources *sources)
{
    return sources->version;
}

const struct rule_source *rule_sources_find(const struct rule_sources *sources, const char *file)
{
    for (size_t i = 0; i < sources->count; i++) {
        if (strcmp(sources->items[i].file, file) == 0) {
            return &sources->items[i];
        }
    }
    return NULL;
}
