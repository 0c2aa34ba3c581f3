/* Values on their way to PostgreSQL and back. */
#include "io/pg_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"
#include "base/memory.h"
#include "base/text.h"

/* --- parameters ------------------------------------------------------------------------------------------------- */

/* From PostgreSQL's catalog (pg_type.dat); they never change. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_BYTEA_ARRAY = 1001,
    OID_TEXT_ARRAY = 1009,
    OID_INT8_ARRAY = 1016,
    OID_TIMESTAMPTZ = 1184,
    OID_UUID = 2950,
    OID_UUID_ARRAY = 2951,
    OID_JSONB = 3802
};

/* PostgreSQL refuses messages from 1 GiB on; nothing that we send comes near. */
#define MAX_PARAMETER_BYTES ((size_t)512 * 1024 * 1024)

static void add_int32(struct buf *out, int32_t number)
{
    uint32_t big_endian = htonl((uint32_t)number);
    buf_add(out, &big_endian, sizeof(big_endian));
}

static void add_int64(struct buf *out, int64_t number)
{
    add_int32(out, (int32_t)(uint32_t)((uint64_t)number >> 32));
    add_int32(out, (int32_t)(uint32_t)number);
}

/* PostgreSQL's text has no NUL: in text format it would silently end there. */
static void add_text(struct buf *out, struct bytes text)
{
    if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        text_add_clean(text, out);
    else
        buf_add_bytes(out, text);
}

/* An array with `add` for its elements: dimensions, has-nulls flag, element type, length, lower bound, elements. */
static void add_array(struct buf *out, const struct pg_value *v, int32_t element_type)
{
    bool has_null = false;
    for (size_t i = 0; v->slices && i < v->count; i++)
        has_null = has_null || !v->slices[i].ptr;
    add_int32(out, v->count > 0);
    add_int32(out, has_null);
    add_int32(out, element_type);
    if (v->count == 0)
        return;
    add_int32(out, (int32_t)v->count);
    add_int32(out, 1);
    for (size_t i = 0; i < v->count; i++) {
        if (v->kind == PG_INT8_ARRAY) {
            add_int32(out, (int32_t)sizeof(int64_t));
            add_int64(out, v->numbers[i]);
            continue;
        }
        assert(v->slices);
        struct bytes slice = v->slices[i];
        if (!slice.ptr) {
            add_int32(out, -1);
        } else if (v->kind == PG_TEXT_ARRAY && memchr(slice.ptr, '\0', slice.len)) {
            struct buf clean;
            buf_init(&clean, slice.len * 3);
            text_add_clean(slice, &clean);
            add_int32(out, (int32_t)clean.len);
            buf_add_bytes(out, buf_bytes(&clean));
            buf_done(&clean);
        } else {
            add_int32(out, (int32_t)slice.len);
            buf_add_bytes(out, slice);
        }
    }
}

/* Appends one value; says in which format and type. Where the type is 0, PostgreSQL infers it from the statement, so
 * that one text serves jsonb, timestamptz and the like. Binary values must name theirs. */
static void add_value(struct buf *out, const struct pg_value *v, Oid *ret_type, int *ret_format)
{
    *ret_type = 0;
    *ret_format = 1;
    switch (v->kind) {
    case PG_TEXT:
        *ret_format = 0;
        add_text(out, v->bytes);
        return;
    case PG_INT8:
        *ret_format = 0;
        buf_addf(out, "%lld", (long long)v->number);
        return;
    case PG_BOOL:
        *ret_format = 0;
        buf_add_char(out, v->number ? 't' : 'f');
        return;
    case PG_BYTEA:
        *ret_type = OID_BYTEA;
        buf_add_bytes(out, v->bytes);
        return;
    case PG_INT8_ARRAY:
        *ret_type = OID_INT8_ARRAY;
        add_array(out, v, OID_INT8);
        return;
    case PG_TEXT_ARRAY:
        *ret_type = OID_TEXT_ARRAY;
        add_array(out, v, OID_TEXT);
        return;
    case PG_BYTEA_ARRAY:
        *ret_type = OID_BYTEA_ARRAY;
        add_array(out, v, OID_BYTEA);
        return;
    case PG_UUID_ARRAY:
        *ret_type = OID_UUID_ARRAY;
        add_array(out, v, OID_UUID);
        return;
    }
}

err_t pg_params_init(struct pg_params *params, const struct pg_value *values, size_t count, struct error *reterr)
{
    assert(count <= PG_MAX_VALUES);
    params->count = (int)count;
    buf_init(&params->bytes, MAX_PARAMETER_BYTES);
    size_t offsets[PG_MAX_VALUES];
    for (size_t i = 0; i < count; i++) {
        offsets[i] = params->bytes.len;
        add_value(&params->bytes, &values[i], &params->types[i], &params->formats[i]);
        params->lengths[i] = (int)(params->bytes.len - offsets[i]);
        buf_add_char(&params->bytes, '\0'); /* text values end with one */
    }
    if (params->bytes.overflowed) {
        pg_params_done(params);
        return fail(reterr, ERR_TOO_BIG, "the parameters of a statement are larger than %zu bytes",
                    MAX_PARAMETER_BYTES);
    }
    for (size_t i = 0; i < count; i++)
        params->values[i] = values[i].is_null ? NULL : params->bytes.ptr + offsets[i];
    return ERR_NONE;
}

void pg_params_done(struct pg_params *params)
{
    buf_done(&params->bytes);
    params->count = 0;
}

/* --- results ---------------------------------------------------------------------------------------------------- */

size_t pg_rows(const struct pg_result *r)
{
    return (size_t)PQntuples(r->result);
}

bool pg_is_null(const struct pg_result *r, size_t row, size_t column)
{
    return PQgetisnull(r->result, (int)row, (int)column);
}

struct bytes pg_text(const struct pg_result *r, size_t row, size_t column)
{
    return (struct bytes){ PQgetvalue(r->result, (int)row, (int)column),
                           (size_t)PQgetlength(r->result, (int)row, (int)column) };
}

int64_t pg_int8(const struct pg_result *r, size_t row, size_t column)
{
    int64_t number;
    return text_to_i64(pg_text(r, row, column), &number) ? number : 0;
}

bool pg_bool(const struct pg_result *r, size_t row, size_t column)
{
    return bytes_equal(pg_text(r, row, column), BYTES_LITERAL("t"));
}

size_t pg_affected(const struct pg_result *r)
{
    uint64_t count;
    return text_to_u64(bytes_of(PQcmdTuples(r->result)), &count) ? (size_t)count : 0;
}

size_t pg_columns(const struct pg_result *r)
{
    return (size_t)PQnfields(r->result);
}

const char *pg_column_name(const struct pg_result *r, size_t column)
{
    return PQfname(r->result, (int)column);
}

enum pg_column pg_column_kind(const struct pg_result *r, size_t column)
{
    switch (PQftype(r->result, (int)column)) {
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
        return PG_COLUMN_INTEGER;
    case OID_BOOL:
        return PG_COLUMN_BOOL;
    case OID_TIMESTAMPTZ:
        return PG_COLUMN_TIME;
    case OID_JSON:
    case OID_JSONB:
        return PG_COLUMN_JSON;
    case OID_TEXT_ARRAY:
        return PG_COLUMN_TEXTS;
    default:
        return PG_COLUMN_TEXT;
    }
}

void pg_result_free(struct pg_result **r)
{
    if (!r || !*r)
        return;
    PQclear((*r)->result);
    free(*r);
    *r = NULL;
}

/* --- prepared statements ---------------------------------------------------------------------------------------- */

/* The place of `sql`, or the free one where it belongs. The table is never full. */
static size_t place_of(const struct pg_statements *statements, const char *sql)
{
    size_t mask = statements->capacity - 1;
    size_t at = (size_t)((uintptr_t)sql * 0x9e3779b97f4a7c15u >> 20) & mask;
    while (statements->sql[at] && statements->sql[at] != sql)
        at = (at + 1) & mask;
    return at;
}

bool pg_statements_has(const struct pg_statements *statements, const char *sql)
{
    return statements->capacity > 0 && statements->sql[place_of(statements, sql)] == sql;
}

void pg_statements_add(struct pg_statements *statements, const char *sql)
{
    if (statements->count * 2 >= statements->capacity) {
        struct pg_statements larger = { .capacity = statements->capacity > 0 ? statements->capacity * 2 : 64 };
        larger.sql = memory_new(larger.capacity * sizeof(*larger.sql));
        for (size_t i = 0; i < statements->capacity; i++)
            if (statements->sql[i])
                larger.sql[place_of(&larger, statements->sql[i])] = statements->sql[i];
        larger.count = statements->count;
        pg_statements_done(statements);
        *statements = larger;
    }
    statements->sql[place_of(statements, sql)] = sql;
    statements->count++;
}

void pg_statements_done(struct pg_statements *statements)
{
    free(statements->sql);
    *statements = (struct pg_statements){ 0 };
}

void pg_statement_name(const char *sql, char ret_name[PG_STATEMENT_NAME_SIZE])
{
    snprintf(ret_name, PG_STATEMENT_NAME_SIZE, "s%llx", (unsigned long long)(uintptr_t)sql);
}
