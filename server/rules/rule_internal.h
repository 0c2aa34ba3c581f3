/* What the files of the rule layer share. For server/rules/ only. */
#ifndef RULES_RULE_INTERNAL_H
#define RULES_RULE_INTERNAL_H

#include <stdatomic.h>

#include "io/vm.h"
#include "rules/rule_set.h"
#include "rules/zone.h"

enum source_kind { SOURCE_DATA, SOURCE_RULES, SOURCE_LIBRARY, SOURCE_TEST }; /* data is loaded first, tests last */

struct rule_source {
    enum source_kind kind;
    char *name; /* within the directory: "inbox.lua", "lib/words.lua" */
    char *file; /* as messages show it: "rules/inbox.lua" */
    char *text;
    size_t length;
};

/* Sets keep the sources they were loaded from, to make a new state when the old one is worn out. */
struct rule_sources {
    atomic_uint *users;
    char version[13];
    char *directory;           /* as messages show it: "rules" */
    struct rule_source *items; /* by kind, then name */
    size_t count;
};
struct rule_sources *rule_sources_share(const struct rule_sources *sources);
/* The source that messages call `file`; NULL when there is none. */
const struct rule_source *rule_sources_find(const struct rule_sources *sources, const char *file);

struct rule_entry {
    struct rule_info info; /* texts owned here */
    int sealed_when;       /* for vm_restore(); 0: none */
    int sealed_run;
};

/* What one call into Lua works with. */
struct rule_context {
    const struct fact_reader *reader;
    const struct rule_test_host *test;
    msec_t now;
    json_t *log;  /* of the outcome; NULL until something is logged */
    json_t *held; /* a value on its way into Lua, which may raise; freed with the context */
    struct error test_error;
};

struct zone_entry {
    char *name;
    struct zone *zone;
};

struct rule_set {
    struct rule_sources *sources;
    struct rule_limits limits;
    struct vm *vm;
    bool worn; /* the state must be replaced before the next run */

    struct rule_entry *rules;
    size_t rule_count;
    struct rule_test_info *tests;
    size_t test_count;
    json_t *declarations; /* object by kind of objects by name */
    json_t *none;         /* an empty object */
    json_t *bare_contact; /* what the records of contacts and conversations always have for rules, empty */
    json_t *bare_conversation;

    /* What the last run was shown, which the next one can use again; NULL when it must be made anew. Both are held, so
     * that no others can have their addresses. */
    json_t *shown_event;
    json_t *shown_facts;

    struct rule_context *context; /* of the running call; NULL between calls */
    struct rule_set *tester;      /* the same set in a state of its own, where test functions run; made when needed */
    struct zone_entry *zones;
    size_t zone_count;
};

/* Keys of the Lua registry, by address: functions of the prelude. */
extern char rule_key_run;
extern char rule_key_is_over;
extern char rule_key_run_test;
extern char rule_key_review;
extern char rule_key_api;
extern char rule_key_test_calls;

/* --- host.c: what the prelude can call ------------------------------------------------------------------------- */

/* Pushes the table of functions. */
void rule_host_push(lua_State *L, struct rule_set *set);
/* vm_host.print: into the log of the running call. */
void rule_host_print(const char *file, int line, struct bytes text, void *arg);
/* The zone of that name, read once for each set; NULL when there is none. */
struct zone *rule_host_zone(struct rule_set *set, const char *name);

/* Ends a call: `context` is no longer the set's. */
void rule_context_done(struct rule_set *set, struct rule_context *context);

/* --- host_facts.c ------------------------------------------------------------------------------------------------ */

/* Functions whose upvalue is the set. */
extern const luaL_Reg rule_host_facts[];
/* Pushes the time as rules see it; whole seconds are integers, so that they print as such. */
void rule_host_push_seconds(lua_State *L, msec_t at);

/* --- host_words.c ------------------------------------------------------------------------------------------------- */

int rule_host_find_word(lua_State *L);

/* --- host_kinds.c --------------------------------------------------------------------------------------------------
 */

/* Sets the fields of the table on top of the stack that list words of the channels: `channel_kinds`, which send,
 * `personal_handles`, which people have, best known first, and `handle_kinds`, all that events can give somebody. */
void rule_host_push_kinds(lua_State *L);
int rule_host_read_handle(lua_State *L);

/* --- rule_hint.c ---------------------------------------------------------------------------------------------------
 */

/* Appends a line "HINT: …" to the message of a rule that failed, when it is known what the author did not think of. */
void rule_hint_add(const struct rule_set *set, const struct rule_info *rule, const json_t *event, const json_t *facts,
                   char *error, size_t size);

/* --- prelude.c ---------------------------------------------------------------------------------------------------- */

/* Loads the prelude into `set->vm` and pushes the table of its main part; raises. Argument 1: the set. */
int rule_prelude_open(lua_State *L);

/* --- rule_state.c ------------------------------------------------------------------------------------------------- */

/* Makes `set->vm` and runs all files of the set in it. `*ret_description` is what they declared, and what is wrong with
 * them: {problems, declarations, rules, tests}, owned by the caller. */
err_t rule_state_load(struct rule_set *set, json_t **ret_description, struct error *reterr) MUST_CHECK;
/* Seals the functions of the set's rules, which are known by then: they can keep nothing from one event to the next. */
err_t rule_state_settle(struct rule_set *set, struct error *reterr) MUST_CHECK;

/* --- rule_set.c -------------------------------------------------------------------------------------------------- */

/* Makes a new Lua state when the old one is worn and nothing runs in it. When that fails the old one stays. */
void rule_set_renew(struct rule_set *set);

#endif
