/* What the files of the sandboxed Lua state share. For io/vm*.c only. */
#ifndef IO_VM_INTERNAL_H
#define IO_VM_INTERNAL_H

#include "io/json.h"
#include "io/vm.h"

#define VM_MAX_ABSENT 48
#define VM_MAX_PRINTED_LINES 100
#define VM_MAX_LIBRARIES 100
#define VM_MAX_PRINTED_BYTES 2000

struct vm_absent {
    const char *name;
    const char *hint;
};

struct vm_sealed_variable {
    int group;
    int position; /* of the function in the registry's list; what the variable held is behind it */
    int index;    /* of the upvalue */
};

struct vm {
    lua_State *lua;
    struct vm_host host;

    bool wipes; /* vm_wipe_memory() */
    size_t memory_bytes;
    size_t memory_max;
    size_t memory_settled;
    size_t denied_bytes; /* of the last refusal that Lua has not repeated or got over */
    unsigned denials;    /* during this call */
    size_t since_clock;  /* bytes and units since the clock was last looked at */

    unsigned depth; /* of nested calls; 0: nothing runs under a budget */
    uint64_t used;
    uint64_t max_instructions; /* 0: none */
    msec_t max_wall_ms;
    int64_t began_us;
    int64_t thread_began_us; /* on the thread's own clock; 0: not looked at yet */
    int64_t beat_us;         /* when the last heartbeat was, or the start */
    int64_t deadline_us;     /* 0: none */
    enum vm_verdict tripped;
    char trip_file[128];
    int trip_line;
    struct vm_outcome *outcome;
    unsigned printed_lines;
    char printed[VM_MAX_PRINTED_BYTES]; /* holds what a C function must not lose when Lua raises */

    uint64_t random_state;

    struct vm_absent absent[VM_MAX_ABSENT];
    size_t absent_count;

    struct vm_sealed_variable *sealed; /* grouped: those of one group are neighbours */
    size_t sealed_count;
    size_t sealed_capacity;
    int sealed_groups;
    int library_groups[VM_MAX_LIBRARIES];
    size_t library_group_count;

    const json_t **documents; /* that views read; the host's */
    size_t document_count;
    size_t document_capacity;
    lua_Integer first_document; /* the number of documents[0] */
};

/* Keys of the registry, by address. */
extern char vm_key_base;        /* the table behind all environments */
extern char vm_key_environment; /* the metatable of all environments */
extern char vm_key_loaded;      /* libraries by name; false while one loads */
extern char vm_key_views;       /* weak: table -> its view */
extern char vm_key_content;     /* in a view's metatable: the table behind it, or true: it is in the view itself */
extern char vm_key_fill;        /* in a view's metatable: makes the rest of that table */
extern char vm_key_sealed;      /* list: function, value, function, value, … */
extern char vm_key_array;       /* the metatable of JSON arrays */

/* vm_push_frozen_content() for callers that hold something: pushes the table, or the error instead of raising it. */
enum vm_content { VM_NO_VIEW, VM_CONTENT, VM_CONTENT_FAILED };
enum vm_content vm_try_push_content(lua_State *L, int index);

/* For the metatables of views. */
int vm_refuse_write(lua_State *L);
int vm_view_length(lua_State *L);

/* Views of documents (vm_document.c): is there something in it that is not in its content? The function, for a
 * protected call, reads it; argument and stack as __index has them, and gives the content. */
bool vm_document_is_unread(lua_State *L, int view);
int vm_document_fill(lua_State *L);

/* Compiles a chunk and gives it an environment; pushes the function. Raises on errors. */
void vm_load_chunk(lua_State *L, const char *file, struct bytes text);

/* Makes the tables behind all environments; the base table is left on the stack to be filled. */
void vm_environment_open(lua_State *L);

/* require(), for the sandbox. */
int vm_require(lua_State *L);

/* Builds the base table out of what scripts may use (vm_sandbox.c), and its parts. The last two push a table. */
void vm_sandbox_open(lua_State *L);
void vm_text_open(lua_State *L);  /* vm_text.c: the string library; also sets the metatable of texts */
void vm_table_open(lua_State *L); /* vm_table.c */

/* What vm_text.c and vm_search.c share. */
int vm_text_too_long(lua_State *L); /* raises */
struct bytes vm_check_text(lua_State *L, int index);
/* A position as scripts give it (from 1; negative from the end) as an offset, at least 0. */
lua_Integer vm_first_offset(lua_Integer position, size_t length);
int vm_text_find(lua_State *L);
int vm_text_match(lua_State *L);
int vm_text_gmatch(lua_State *L);
int vm_text_gsub(lua_State *L);

/* pairs() and next() in a fixed order (vm_order.c). */
int vm_pairs(lua_State *L);
int vm_next(lua_State *L);

/* Most elements that one call of a table function touches. */
#define VM_MAX_RANGE 100000

#endif
