/* What the prelude knows of channels and handles is what the channels themselves and the API know. */
#include "rules/rule_internal.h"

#include "channel/channel.h"
#include "channel/customer.h"
#include "channel/handle.h"

static void add(lua_State *L, const char *word)
{
    lua_pushstring(L, word);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void add_personal(lua_State *L)
{
    for (size_t i = 0; customer_handle_kinds[i] != NULL; i++) {
        add(L, customer_handle_kinds[i]);
    }
}

void rule_host_push_kinds(lua_State *L)
{
    lua_newtable(L);
    for (const struct channel_kind *const *kind = channel_all(); *kind != NULL; kind++) {
        if ((*kind)->render != NULL) {
            add(L, (*kind)->name);
        }
    }
    lua_setfield(L, -2, "channel_kinds");

    lua_newtable(L);
    add_personal(L);
    lua_setfield(L, -2, "personal_handles");

    lua_newtable(L);
    add_personal(L);
    add(L, "contact");
    for (const struct channel_kind *const *kind = channel_all(); *kind != NULL; kind++) {
        add(L, (*kind)->provider);
    }
    lua_setfield(L, -2, "handle_kinds");
}

/* read_handle(kind, written): the form in which the handle is known, or nil and what is wrong with it. */
int rule_host_read_handle(lua_State *L)
{
    size_t length;
    const char *kind = luaL_checkstring(L, 1);
    const char *written = luaL_checklstring(L, 2, &length);
    struct buf known CLEANUP(buf_done);
    buf_init(&known, HANDLE_MAX_BYTES);
    const char *wrong = handle_read(kind, written, &known);
    if (wrong == NULL && strlen(written) != length) {
        wrong = "a handle has no zero bytes";
    }
    if (wrong != NULL) {
        lua_pushnil(L);
        lua_pushstring(L, wrong);
        return 2;
    }
    lua_pushlstring(L, known.ptr, known.len);
    return 1;
}
