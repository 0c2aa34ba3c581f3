/* How values and effects are shown to people who write rules: as rules write them. */
#ifndef DOMAIN_LUA_TEXT_H
#define DOMAIN_LUA_TEXT_H

#include "io/json.h"

/* Appends a value as Lua has it: { text = "Hi", tags = { "vip" } }; cut with "…" after `max` bytes. NULL is nil. */
void lua_text_add_value(struct buf *out, const json_t *value, size_t max);
/* An effect of a trace, in one line: `line 15: send { template = "hello" } -> { message = 1007 }`, what it made after
 * the arrow when that is known; each of the two is cut after `max` bytes. Whether it was refused is for the caller to
 * say. */
void lua_text_add_effect(struct buf *out, const json_t *effect, size_t max);

#endif
