/* All the files of a rules directory, loaded together under one version hash.
 *
 * Loading runs each file once in the sandbox, with declaration functions only. A set belongs to one thread (it
 * holds a Lua state); each engine thread loads its own from the same sources.
 */
#ifndef RULES_RULE_SET_H
#define RULES_RULE_SET_H

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"

struct rule_set;

struct rule_limits {
    uint64_t max_instructions; /* of one call */
    size_t max_memory_bytes;   /* of the whole state */
    size_t max_effects;        /* of one call */
    msec_t max_wall_ms;        /* of one call */
};
struct rule_limits rule_limits_default(void);

/* Files read from disk, shared read-only between threads. `test_files` also reads *_test.lua. */
struct rule_sources;
err_t rule_sources_read(const char *directory, bool test_files, struct rule_sources **ret_sources,
                        struct error *reterr) MUST_CHECK;
void rule_sources_free(struct rule_sources *sources);
const char *
rule_sources_version(const struct rule_sources *sources); /* 12 hex digits of a hash over names and contents */

/* The files without the tests, for keeping them elsewhere. `name` is within the directory: "inbox.lua",
 * "lib/words.lua". */
struct rule_source_file {
    const char *name;
    struct bytes text;
};
size_t rule_sources_count(const struct rule_sources *sources);
struct rule_source_file rule_sources_file(const struct rule_sources *sources, size_t index); /* borrowed */
/* What messages call the directory: the last part of its path. Borrowed. */
const char *rule_sources_directory(const struct rule_sources *sources);
/* From files that were kept; copies them. The version is that of the files, wherever they come from. */
err_t rule_sources_make(const char *directory, const struct rule_source_file *files, size_t count,
                        struct rule_sources **ret_sources, struct error *reterr) MUST_CHECK;

/* `problems` (may be NULL) gets one object for each: {file, line, severity: "error"|"warning", text, hint}. Errors in
 * it make the load fail. */
err_t rule_set_load(const struct rule_sources *sources, const struct rule_limits *limits, json_t *problems,
                    struct rule_set **ret_set, struct error *reterr) MUST_CHECK;
/* The same for a look at the set and nothing else: errors in the files do not make it fail. A set with errors must not
 * run; it may be reviewed (rule_review.h), also its tests. */
err_t rule_set_load_for_review(const struct rule_sources *sources, const struct rule_limits *limits, json_t *problems,
                               struct rule_set **ret_set, struct error *reterr) MUST_CHECK;
void rule_set_free(struct rule_set *set);
const char *rule_set_version(const struct rule_set *set);
const char *rule_set_directory(const struct rule_set *set); /* as rule_sources_directory() */

/* How much a rule may send before what it sends is held; -1: as the configuration says, 0: any number. */
struct rule_budget {
    int64_t sends_per_hour;
    int64_t sends_per_minute;
    int64_t sends_per_contact_per_day;
};

struct rule_info {
    const char *name;
    const char *doc;
    const char *file;
    int line;
    int priority; /* higher runs first */
    bool has_when;
    const char *const *on; /* event types, `custom.*` style prefixes allowed; NULL-terminated */
    struct rule_budget budget;
};
size_t rule_set_count(const struct rule_set *set);
/* In running order: by priority, then name. */
const struct rule_info *rule_set_rule(const struct rule_set *set, size_t index);
bool rule_matches(const struct rule_info *rule, const char *event_type);
/* Does one of them match? NULL has no rules. */
bool rule_set_takes(const struct rule_set *set, const char *event_type);

/* Declarations by kind and name, as objects (borrowed): kinds are "template", "survey", "calendar", "endpoint", "cron",
 * "setting". NULL when undeclared. */
json_t *rule_set_declaration(const struct rule_set *set, const char *kind, const char *name);
json_t *rule_set_declarations(const struct rule_set *set, const char *kind); /* object by name, borrowed, never NULL */

/* What people may want to look up later under the version that a trace names: rules with their places, and
 * declarations. New reference. */
json_t *rule_set_describe(const struct rule_set *set);

/* --- comparing two sets (rule_compare.c) --- */

/* Is everything that rules can use besides themselves the same in both: libraries, data and declarations? */
bool rule_sets_agree(const struct rule_set *a, const struct rule_set *b);
/* Does a rule of one do the same as a rule of the other, given that the sets agree? It is the same text in the same
 * file. False also when one cannot tell. */
bool rule_is_same(const struct rule_set *a, size_t index_in_a, const struct rule_set *b, size_t index_in_b);

/* --- running --- */

/* What a rule may read besides the facts it gets. Results are new references; NULL means nothing found. */
struct fact_reader {
    json_t *(*history)(void *arg, int64_t conversation_id, size_t limit);  /* messages, oldest first */
    json_t *(*conversations)(void *arg, int64_t contact_id, size_t limit); /* newest first */
    struct bytes (*raw)(void *arg, int64_t event_id);                      /* the provider's bytes; empty when none */
    void *arg;
};

enum rule_verdict {
    RULE_RAN,     /* `effects` holds what it asked for, perhaps nothing */
    RULE_SKIPPED, /* `when` said no */
    RULE_FAILED,  /* an error in the rule; its effects are gone */
    RULE_OVER_BUDGET,
};

struct rule_outcome {
    enum rule_verdict verdict;
    json_t *effects; /* array, the caller's; NULL unless RULE_RAN */
    bool stop;       /* fx:stop() */
    uint64_t instructions;
    int64_t micros;
    int line;        /* of `when` or of the error */
    char error[512]; /* with file:line */
    json_t *log;     /* what print() and log() were given: array of {file, line, text}; NULL when nothing */
};

/* Runs one rule on one event. `event` is the canonical event, which stays as it is while its rules run; `facts` is
 * {contact, conversation, survey, outreach, conversations} as they are now (any may be missing). The same object as in
 * the run before says that nothing in it has changed since; changed facts come as another object. `now` and `seed` are
 * all the time and chance it sees. Never fails as a call: what went wrong is in the outcome. */
void rule_run(struct rule_set *set, size_t index, const json_t *event, const json_t *facts,
              const struct fact_reader *reader, msec_t now, uint64_t seed, struct rule_outcome *ret_outcome);
void rule_outcome_done(
    struct rule_outcome *outcome); /* frees `effects` and `log`, unless the caller set them to NULL */

/* --- unit tests of rules: *_test.lua declare them with test("name", function(t) … end) ---
 *
 * The functions run in a state beside the set's, so that rules that a verb makes run have a budget of their own.
 * `t:VERB(...)` calls the host with the verb's name and its arguments as an array; the result becomes the value of the
 * call. An error that the host reports ends the test: its text is shown as it is. */
struct rule_test_info {
    const char *name;
    const char *file;
    int line;
};
size_t rule_set_test_count(const struct rule_set *set);
const struct rule_test_info *rule_set_test(const struct rule_set *set, size_t index); /* as declared */

struct rule_test_host {
    /* New reference, or NULL for nil; `*reterr` is set (code other than ERR_NONE) to end the test. `file` and `line`
     * are the place of the call in the test. Calls rule_run() on the same set. */
    json_t *(*verb)(void *arg, const char *verb, const json_t *arguments, const char *file, int line,
                    struct error *reterr);
    /* What now() is in the test function itself. */
    msec_t (*now)(void *arg);
    void *arg;
};
/* ERR_NONE: the test passed. Else the host's error, or the Lua error with file:line. */
err_t rule_set_run_test(struct rule_set *set, size_t index, const struct rule_test_host *host,
                        struct error *reterr) MUST_CHECK;

#endif
