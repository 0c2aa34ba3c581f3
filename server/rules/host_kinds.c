/* The kinds of channels and of handles that the prelude knows are those of the channels themselves. */
#include "rules/rule_internal.h"

#include "channel/channel.h"
#include "channel/customer.h"

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
