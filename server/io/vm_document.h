/* JSON documents as scripts read them: read-only, and without a copy. A view of an object or array looks a field up in
 * the document when the script asks for it; what is inside of it is a view in turn. pairs, ipairs, #, the table
 * functions and vm_json_take() read through it, as through those of vm_freeze().
 *
 * Documents stay the host's. It keeps them, unchanged, until vm_documents_end(); a view that a script still has then
 * raises an error when it is read.
 */
#ifndef IO_VM_DOCUMENT_H
#define IO_VM_DOCUMENT_H

#include "io/json.h"
#include "io/vm.h"

/* What documents of one kind have in common besides being read-only. */
struct vm_document_reader {
    /* Pushes what scripts see of a text among the object's own fields. */
    void (*push_text)(lua_State *L, const char *key, const json_t *text);
    /* Objects that have what the document itself has not, as they are: number 0, 1, …, and NULL behind the last one.
     * May be NULL. They are borrowed like the document. */
    const json_t *(*layer)(lua_State *L, size_t number);
};

/* Pushes a new kind. The values at these indexes: `methods`, a table or nil: what a field that is not there is looked
 * up in. `missing`, a function or nil: called with the key of a field that is nowhere, gives its value or raises.
 * `refuse`, a function or nil: called with the view and the key when the script writes, to raise a better error.
 * `reader` is a constant, or NULL. */
void vm_document_push_kind(lua_State *L, int methods, int missing, int refuse, const struct vm_document_reader *reader);

/* Pushes a view of an object or array; any other value as it is; nil for NULL and null. `kind` is the index of a kind,
 * 0 for a plain one. Takes one unit of the running call's budget. Raises when memory runs out. */
void vm_document_push(lua_State *L, const json_t *json, int kind);

/* Shows the value on top of the stack, which is popped, as the field `key` of the view at `view`. */
void vm_document_set(lua_State *L, int view, const char *key);

/* From now on the documents that were pushed are no longer read. */
void vm_documents_end(struct vm *vm);

#endif
