#include "store/version_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"
#include "base/memory.h"
#include "base/text.h"
#include "store/query.h"

static void take_version(const struct pg_result *result, size_t column, char version[VERSION_BYTES])
{
    struct bytes text = pg_text(result, 0, column);
    snprintf(version, VERSION_BYTES, "%.*s", (int)text.len, text.len > 0 ? text.ptr : "");
}

err_t version_store_pointer(struct pg *pg, struct rule_pointer *ret_pointer, struct error *reterr)
{
    static const char sql[] = "SELECT generation, current_version, shadow_version, previous_version, directory_version"
                              " FROM rule_pointer";
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, NULL, 0, &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct rule_pointer pointer = { .generation = 0 };
    if (pg_rows(result) > 0) {
        pointer.generation = pg_int8(result, 0, 0);
        take_version(result, 1, pointer.current);
        take_version(result, 2, pointer.shadow);
        take_version(result, 3, pointer.previous);
        take_version(result, 4, pointer.directory);
    }
    *ret_pointer = pointer;
    return ERR_NONE;
}

void stored_files_done(struct stored_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].name);
        free(files->items[i].text);
    }
    free(files->items);
    free(files->directory);
    *files = (struct stored_files){ .count = 0 };
}

err_t version_store_record(struct pg *pg, const char *version, const struct stored_files *files, struct error *reterr)
{
    static const char sql[] = "SELECT record_rule_files($1, $2, $3::text[], $4::bytea[])";
    struct bytes *names = memory_new((files->count + 1) * sizeof(*names));
    struct bytes *texts = memory_new((files->count + 1) * sizeof(*texts));
    for (size_t i = 0; i < files->count; i++) {
        names[i] = bytes_of(files->items[i].name);
        texts[i] = (struct bytes){ files->items[i].text, files->items[i].length };
    }
    const struct pg_value values[] = { PG_VALUE_TEXT(version), PG_VALUE_TEXT(files->directory),
                                       PG_VALUE_TEXTS(names, files->count), PG_VALUE_BYTEAS(texts, files->count) };
    err_t err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    free(names);
    free(texts);
    return err;
}

static err_t take_file(const struct pg_result *result, size_t row, struct stored_file *ret_file, struct error *reterr)
{
    struct bytes hex = pg_text(result, row, 2);
    struct buf text;
    buf_init(&text, hex.len / 2 + 1);
    if (!text_decode_hex(hex, &text)) {
        buf_done(&text);
        return fail(reterr, ERR_INTERNAL, "a stored rule file cannot be decoded");
    }
    struct bytes name = pg_text(result, row, 1);
    ret_file->name = memory_text_n(name.ptr, name.len);
    ret_file->text = memory_text_n(text.len > 0 ? text.ptr : "", text.len);
    ret_file->length = text.len;
    buf_done(&text);
    return ERR_NONE;
}

err_t version_store_files(struct pg *pg, const char *version, struct stored_files *ret_files, struct error *reterr)
{
    static const char sql[] = "SELECT s.directory, f.name, encode(f.body, 'hex') FROM rule_set AS s"
                              " JOIN rule_file AS f ON f.version = s.version WHERE s.version = $1 ORDER BY f.name";
    const struct pg_value values[] = { PG_VALUE_TEXT(version) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    size_t count = pg_rows(result);
    if (count == 0) {
        return fail(reterr, ERR_NOT_FOUND,
                    "the files of rule version %s are not kept\nHINT: `answerd versions` lists those that are",
                    version);
    }
    struct bytes directory = pg_text(result, 0, 0);
    struct stored_files files = {
        .directory = memory_text_n(directory.ptr, directory.len),
        .items = memory_new(count * sizeof(*files.items)),
    };
    while (err == ERR_NONE && files.count < count) {
        err = take_file(result, files.count, &files.items[files.count], reterr);
        files.count += err == ERR_NONE;
    }
    if (err != ERR_NONE) {
        stored_files_done(&files);
        return err;
    }
    *ret_files = files;
    return ERR_NONE;
}

err_t version_store_change(struct pg *pg, const char *action, const char *version, const char *by, bool *ret_changed,
                           struct error *reterr)
{
    static const char sql[] = "SELECT problem, changed FROM change_rules($1, $2, $3)";
    const struct pg_value values[] = { PG_VALUE_TEXT(action), PG_VALUE_TEXT(version), PG_VALUE_TEXT(by) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (!pg_is_null(result, 0, 0)) {
        struct bytes problem = pg_text(result, 0, 0);
        return fail(reterr, ERR_INVALID, "%.*s", (int)problem.len, problem.ptr);
    }
    *ret_changed = pg_bool(result, 0, 1);
    return ERR_NONE;
}

err_t version_store_pending(struct pg *pg, json_t **ret_pending, struct error *reterr)
{
    static const char sql[] =
        "SELECT json_build_object("
        " 'timers', (SELECT coalesce(json_agg(t), '[]') FROM (SELECT name, count(*) AS count FROM timer"
        "   WHERE outreach_id IS NULL AND survey_id IS NULL AND name <> 'window.closing' GROUP BY 1 ORDER BY 1) AS t),"
        " 'templates', (SELECT coalesce(json_agg(t), '[]') FROM (SELECT s->>'template' AS name, count(*) AS count"
        "   FROM outreach AS o CROSS JOIN LATERAL jsonb_array_elements("
        "     CASE jsonb_typeof(o.steps) WHEN 'array' THEN o.steps ELSE '[]' END) WITH ORDINALITY AS x (s, n)"
        "   WHERE o.state = 'active' AND x.n > o.step AND s ? 'template' GROUP BY 1 ORDER BY 1) AS t))::text";
    return query_json(pg, sql, NULL, 0, ret_pending, reterr);
}

err_t version_store_list(struct pg *pg, size_t limit, json_t **ret_versions, json_t **ret_changes, struct error *reterr)
{
    static const char versions_sql[] =
        "SELECT coalesce(json_agg(v), '[]')::text FROM (SELECT * FROM rule_versions ORDER BY role = 'current' DESC,"
        " role = 'shadow' DESC, role = 'previous' DESC, last_loaded DESC LIMIT $1::bigint) AS v";
    static const char changes_sql[] = "SELECT coalesce(json_agg(c), '[]')::text FROM (SELECT * FROM rule_changes ORDER "
                                      "BY change_id DESC LIMIT $1::bigint) AS c";
    const struct pg_value values[] = { PG_VALUE_INT8((int64_t)limit) };
    json_t *versions = NULL;
    err_t err = query_json(pg, versions_sql, values, ARRAY_LEN(values), &versions, reterr);
    if (err == ERR_NONE) {
        err = query_json(pg, changes_sql, values, ARRAY_LEN(values), ret_changes, reterr);
    }
    if (err != ERR_NONE) {
        json_decref(versions);
        return err;
    }
    *ret_versions = versions;
    return ERR_NONE;
}
