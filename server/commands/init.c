/* `answerd init`: a folder to begin with, for who writes rules. Its files are part of the program (starter/, and some
 * of the rules that come with answerd, as they are). */
#include "base/buf.h"
#include "base/text.h"
#include "commands/commands.h"
#include "starter_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_MAX_BYTES 4096

static err_t make_path(struct buf *path, const char *directory, const char *name, struct error *reterr)
{
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    buf_init(path, PATH_MAX_BYTES);
    buf_addf(path, "%.*s%s%s", (int)length, directory, directory[length - 1] == '/' ? "" : "/", name);
    return path->overflowed ? fail(reterr, ERR_TOO_BIG, "the name of the folder is too long") : ERR_NONE;
}

/* Nothing is begun where a file would be in the way. */
static err_t find_obstacle(const char *directory, struct error *reterr)
{
    err_t err = ERR_NONE;
    for (size_t i = 0; i < starter_files_count && err == ERR_NONE; i++) {
        struct buf path CLEANUP(buf_done);
        struct stat found;
        err = make_path(&path, directory, starter_files[i].name, reterr);
        if (err == ERR_NONE && lstat(path.ptr, &found) == 0)
            err = fail(reterr, ERR_CONFLICT,
                       "%s is there already; nothing was made\nHINT: name a folder of its own, or move the file away",
                       path.ptr);
    }
    return err;
}

/* The folders above the file; those that are there are fine. */
static err_t make_folders(char *path, struct error *reterr)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(path, 0777) != 0 && errno != EEXIST ? errno : 0;
        err_t err =
            failed ? fail(reterr, ERR_INTERNAL, "cannot make the folder %s: %s", path, strerror(failed)) : ERR_NONE;
        *slash = '/';
        if (err != ERR_NONE)
            return err;
    }
    return ERR_NONE;
}

static err_t make_file(const char *path, const struct embedded_text *content, struct error *reterr)
{
    FILE *file = fopen(path, "wxe"); /* x: a file that somebody made meanwhile is not overwritten either */
    if (!file)
        return fail(reterr, ERR_INTERNAL, "cannot make %s: %s", path, strerror(errno));
    bool written = fwrite(content->text, 1, content->length, file) == content->length;
    if (fclose(file) != 0 || !written)
        return fail(reterr, ERR_INTERNAL, "cannot write %s: %s", path, strerror(errno));
    return ERR_NONE;
}

static int run_init(const struct command *command, int argc, char **argv)
{
    int operands = 0, exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, NULL, &operands, &exit_code))
        return exit_code;
    if (operands != 1 || argv[1][0] == '\0')
        return command_usage_error(command, "takes the folder to make");
    const char *directory = argv[1];
    struct error e;
    err_t err = find_obstacle(directory, &e);
    for (size_t i = 0; i < starter_files_count && err == ERR_NONE; i++) {
        struct buf path CLEANUP(buf_done);
        err = make_path(&path, directory, starter_files[i].name, &e);
        if (err == ERR_NONE)
            err = make_folders(path.ptr, &e);
        if (err == ERR_NONE)
            err = make_file(path.ptr, &starter_files[i], &e);
    }
    if (err != ERR_NONE) {
        fprintf(stderr, "answerd init: %s\n", e.text);
        return err == ERR_INTERNAL ? EXIT_INTERNAL : EXIT_WRONG;
    }
    printf("%s has %s; README.md tells what they are\n"
           "HINT: cd %s && answerd check && answerd test\n",
           directory, text_counted((int64_t)starter_files_count, "file").text, directory);
    return EXIT_OK;
}

const struct command command_init = {
    .name = "init",
    .summary = "make a folder to begin with: a configuration, first rules and their tests",
    .usage = "DIR",
    .details =
        "Makes DIR with a configuration that needs nothing, rules that open conversations and mind STOP, a first rule of\n"
        "your own with its test, a webhook to try it with, and what an editor needs to complete and check rules.\n"
        "A file that is there already is never overwritten: then nothing is made.",
    .run = run_init,
};
