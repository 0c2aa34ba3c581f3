#include "commands/rule_release.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "channel/channel.h"
#include "commands/rule_check.h"
#include "commands/rule_world.h"
#include "domain/rule_test.h"
#include "rules/rule_feed.h"
#include "store/store.h"

json_t *rule_test_sources(void)
{
    json_t *sources = json_object();
    for (const struct channel_kind *const *kind = channel_all(); *kind; kind++) {
        json_t *source = json_object();
        json_put_str(source, "kind", (*kind)->name);
        json_put_str(source, "provider", (*kind)->provider);
        json_put_bool(source, "sends", (*kind)->render != NULL);
        json_put_int(source, "window_ms", (*kind)->window_ms);
        json_put(sources, (*kind)->name, source);
    }
    return sources;
}

const char *rule_release_by(const char *who, char text[RELEASE_BY_BYTES])
{
    char host[100] = "";
    if (gethostname(host, sizeof(host) - 1) != 0) {
        host[0] = '\0';
    }
    const struct passwd *user = who == NULL ? getpwuid(geteuid()) : NULL;
    snprintf(text, RELEASE_BY_BYTES, "%.90s@%.90s", who != NULL ? who : user != NULL ? user->pw_name : "unknown", host);
    return text;
}

void rule_release_done(struct rule_release *release)
{
    rule_set_free(release->set);
    rule_sources_free(release->sources);
    json_decref(release->report);
    *release = (struct rule_release){ NULL, NULL, NULL };
}

/* --- checking ------------------------------------------------------------------------------------------------------
 */

static void describe(struct rule_release *release, const json_t *problems)
{
    json_put_str(release->report, "version", rule_sources_version(release->sources));
    json_put_str(release->report, "directory", rule_sources_directory(release->sources));
    json_put_int(release->report, "rules", release->set != NULL ? (int64_t)rule_set_count(release->set) : 0);
    json_put(release->report, "problems", json_deep_copy(problems));
}

/* What the second look calls an error would fail when it runs: refused, unless the version has been in force before. */
static err_t look_again(const struct config *config, struct rule_set *set, json_t *problems, struct error *reterr)
{
    err_t err = rule_check(set, config, problems, reterr);
    size_t errors = err == ERR_NONE ? problems_count_errors(problems) : 0;
    if (errors > 0)
        err = fail(reterr, ERR_INVALID, "answerd check finds %s in the rules",
                   text_counted((int64_t)errors, "error").text);
    return err;
}

static err_t load(const struct config *config, bool is_stored, struct rule_release *release, struct error *reterr)
{
    const struct rule_limits limits = rule_world_limits(config);
    json_t *problems = json_array();
    err_t err = rule_set_load(release->sources, &limits, problems, &release->set, reterr);
    if (err == ERR_NONE && !is_stored) {
        err = look_again(config, release->set, problems, reterr);
    }
    describe(release, problems);
    json_decref(problems);
    return err;
}

/* In a state of their own, which is thrown away. */
static err_t run_tests(const struct config *config, const char *directory, json_t *report, struct error *reterr)
{
    const struct rule_limits limits = rule_world_limits(config);
    struct rule_sources *files = NULL;
    struct rule_set *set = NULL;
    json_t *problems = json_array();
    err_t err = rule_sources_read(directory, true, &files, reterr);
    if (err == ERR_NONE) {
        err = rule_set_load(files, &limits, problems, &set, reterr);
        if (err != ERR_NONE) {
            json_object_set(report, "problems", problems);
        }
    }
    json_decref(problems);
    json_t *failed = json_array();
    json_t *sources = rule_test_sources();
    size_t count = err == ERR_NONE ? rule_set_test_count(set) : 0;
    for (size_t i = 0; i < count; i++) {
        struct rule_test_outcome outcome;
        rule_test_run(set, i, sources, NULL, &outcome);
        if (!outcome.passed) {
            const struct rule_test_info *info = rule_set_test(set, i);
            json_t *test = json_object();
            json_put_str(test, "name", info->name);
            json_put_str(test, "file", info->file);
            json_put_int(test, "line", info->line);
            json_put_bytes(test, "report", bytes_of(outcome.report));
            json_array_append_new(failed, test);
        }
        rule_test_outcome_done(&outcome);
    }
    json_put_int(report, "tests", (int64_t)count);
    if (json_array_size(failed) > 0) {
        const json_t *first = json_array_get(failed, 0);
        err = fail(reterr, ERR_INVALID,
                   "%zu of %s of the rules fail, the first is '%s' at %s:%lld\nHINT: `answerd test %s` shows them",
                   json_array_size(failed), text_counted((int64_t)count, "test").text, json_str_or(first, "name", ""),
                   json_str_or(first, "file", ""), (long long)json_int(first, "line", 0), directory);
    }
    json_put(report, "failed_tests", failed);
    json_decref(sources);
    rule_set_free(set);
    rule_sources_free(files);
    return err;
}

static void keep_report_only(struct rule_release *release)
{
    rule_set_free(release->set);
    rule_sources_free(release->sources);
    release->set = NULL;
    release->sources = NULL;
}

err_t rule_release_read(const struct config *config, const char *directory, struct rule_release *ret_release,
                        struct error *reterr)
{
    struct rule_release release = { .report = json_object() };
    json_put(release.report, "problems", json_array());
    err_t err = rule_sources_read(directory, false, &release.sources, reterr);
    if (err == ERR_NONE) {
        err = load(config, false, &release, reterr);
    }
    if (err == ERR_NONE && config->rules.run_tests) {
        err = run_tests(config, directory, release.report, reterr);
    }
    if (err != ERR_NONE) {
        keep_report_only(&release);
    }
    *ret_release = release;
    return err;
}

err_t rule_release_read_stored(const struct config *config, struct pg *pg, const char *version,
                               struct rule_release *ret_release, struct error *reterr)
{
    struct rule_release release = { .report = json_object() };
    err_t err = rule_feed_read_stored(pg, version, &release.sources, reterr);
    if (err == ERR_NONE) {
        err = load(config, true, &release, reterr);
    }
    if (err != ERR_NONE) {
        keep_report_only(&release);
    }
    *ret_release = release;
    return err;
}

/* --- putting in force ----------------------------------------------------------------------------------------------
 */

/* Timers and outreaches follow the rules in force: what was armed under other rules may find nothing there. */
static err_t add_warnings(struct pg *pg, struct rule_release *release, struct error *reterr)
{
    json_t *pending = NULL;
    err_t err = version_store_pending(pg, &pending, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *warnings = json_array();
    size_t index;
    json_t *item;
    char text[480];
    json_array_foreach (json_array_at(pending, "timers"), index, item) {
        const char *name = json_str_or(item, "name", "");
        char type[200];
        snprintf(type, sizeof(type), "timer.%.180s", name);
        if (!rule_set_takes(release->set, type)) {
            int64_t count = json_int(item, "count", 0);
            snprintf(text, sizeof(text), "%s '%.150s' %s, and no rule of this version takes timer.%.150s",
                     text_counted(count, "timer").text, name, count == 1 ? "waits" : "wait", name);
            json_array_append_new(warnings, json_string(text));
        }
    }
    json_array_foreach (json_array_at(pending, "templates"), index, item) {
        const char *name = json_str_or(item, "name", "");
        if (rule_set_declaration(release->set, "template", name) == NULL) {
            int64_t count = json_int(item, "count", 0);
            snprintf(text, sizeof(text), "%s of active outreaches %s the template '%.150s', which this version has not",
                     text_counted(count, "step").text, count == 1 ? "names" : "name", name);
            json_array_append_new(warnings, json_string(text));
        }
    }
    json_put(release->report, "warnings", warnings);
    json_decref(pending);
    return ERR_NONE;
}

err_t rule_release_put(struct pg *pg, struct rule_release *release, const char *action, const char *by,
                       struct error *reterr)
{
    const char *version = rule_sources_version(release->sources);
    bool changed = false;
    err_t err = rule_feed_store(pg, release->sources, reterr);
    if (err == ERR_NONE) {
        json_t *description CLEANUP(json_free) = rule_set_describe(release->set);
        err = store_record_rule_set(pg, version, description, reterr);
    }
    if (err == ERR_NONE && strcmp(action, "shadow") != 0) {
        err = add_warnings(pg, release, reterr);
    }
    if (err == ERR_NONE) {
        err = version_store_change(pg, action, strcmp(action, "promote") == 0 ? NULL : version, by, &changed, reterr);
    }
    if (err == ERR_NONE) {
        json_put_bool(release->report, "changed", changed);
    }
    return err;
}

void rule_release_put_shadow(const struct config *config, struct pg *pg, const char *by, json_t *report)
{
    if (config->rules.shadow[0] == '\0') {
        return;
    }
    struct rule_release shadow;
    struct rule_pointer pointer;
    struct error error;
    err_t err = rule_release_read(config, config->rules.shadow, &shadow, &error);
    if (err == ERR_NONE) {
        err = version_store_pointer(pg, &pointer, &error);
    }
    if (err == ERR_NONE && strcmp(pointer.current, rule_sources_version(shadow.sources)) != 0) {
        err = rule_release_put(pg, &shadow, "shadow", by, &error);
        if (err == ERR_NONE) {
            json_put_str(report, "shadow", rule_sources_version(shadow.sources));
        }
    }
    if (err != ERR_NONE) {
        json_put_bytes(report, "shadow_problem", bytes_of(error.text));
    }
    rule_release_done(&shadow);
}
