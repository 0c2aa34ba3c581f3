#include "commands/rule_watch.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILES 4000

static uint64_t mix(uint64_t hash, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * 1099511628211ull;
    }
    return hash;
}

/* The order in which a directory is read does not matter: what its files say is added up. */
static uint64_t look_at(const char *directory)
{
    uint64_t sum = 0;
    DIR *stream = opendir(directory);
    if (stream == NULL) {
        return sum;
    }
    const struct dirent *entry;
    for (int count = 0; count < MAX_FILES && (entry = readdir(stream)) != NULL; count++) {
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || length < 4 || strcmp(entry->d_name + length - 4, ".lua") != 0) {
            continue;
        }
        char path[4200];
        struct stat info;
        if (snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >= (int)sizeof(path) ||
            stat(path, &info) != 0) {
            continue;
        }
        const int64_t facts[] = { (int64_t)info.st_size, (int64_t)info.st_mtim.tv_sec, (int64_t)info.st_mtim.tv_nsec,
                                  (int64_t)info.st_ino };
        sum += mix(mix(14695981039346656037ull, entry->d_name, length), facts, sizeof(facts));
    }
    closedir(stream);
    return sum;
}

static uint64_t look_at_all(const char *directory)
{
    static const char *const folders[] = { "", "/lib", "/data" };
    uint64_t hash = 1;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        char path[4096];
        if (snprintf(path, sizeof(path), "%s%s", directory, folders[i]) < (int)sizeof(path)) {
            hash = hash * 31 + look_at(path);
        }
    }
    return hash;
}

void rule_watch_begin(struct rule_watch *watch, const char *directory)
{
    watch->handled = look_at_all(directory);
    watch->last = watch->handled;
}

bool rule_watch_look(struct rule_watch *watch, const char *directory)
{
    uint64_t now = look_at_all(directory);
    bool settled = now == watch->last;
    watch->last = now;
    if (!settled || now == watch->handled) {
        return false;
    }
    watch->handled = now;
    return true;
}
