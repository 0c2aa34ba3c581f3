#include "commands/rule_tests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"

/* The length of a character that XML 1.0 cannot have at all, not even escaped, or 0: control characters, U+FFFE,
 * U+FFFF. */
static size_t forbidden_length(const char *text)
{
    unsigned char c = (unsigned char)*text;
    if (c < 0x20)
        return c == '\n' || c == '\t' ? 0 : 1;
    return c == 0xEF && (unsigned char)text[1] == 0xBF && (unsigned char)text[2] >= 0xBE ? 3 : 0;
}

static void add_xml(struct buf *out, const char *text)
{
    while (*text) {
        size_t forbidden = forbidden_length(text);
        if (forbidden > 0)
            buf_add_text(out, "?");
        else if (*text == '&')
            buf_add_text(out, "&amp;");
        else if (*text == '<')
            buf_add_text(out, "&lt;");
        else if (*text == '>')
            buf_add_text(out, "&gt;");
        else if (*text == '"')
            buf_add_text(out, "&quot;");
        else if (*text == '\n')
            buf_add_text(out, "&#10;");
        else
            buf_add_char(out, *text);
        text += forbidden > 0 ? forbidden : 1;
    }
}

static void add_first_line(struct buf *out, const char *report)
{
    char line[512];
    size_t length = strcspn(report, "\n");
    if (length >= sizeof(line))
        for (length = sizeof(line) - 1; length > 0 && ((unsigned char)report[length] & 0xC0) == 0x80;)
            length--; /* no half characters */
    snprintf(line, sizeof(line), "%.*s", (int)length, report);
    add_xml(out, line);
}

static void add_case(struct buf *out, const json_t *result)
{
    buf_add_text(out, "    <testcase classname=\"");
    add_xml(out, json_str_or(result, "file", ""));
    buf_add_text(out, "\" name=\"");
    add_xml(out, json_str_or(result, "name", ""));
    buf_add_text(out, "\" file=\"");
    add_xml(out, json_str_or(result, "file", ""));
    buf_addf(out, "\" line=\"%" PRId64 "\" time=\"%.6f\"", json_int(result, "line", 0),
             (double)json_int(result, "micros", 0) / 1e6);
    if (json_bool(result, "passed", false)) {
        buf_add_text(out, "/>\n");
        return;
    }
    const char *report = json_str_or(result, "report", "");
    buf_add_text(out, ">\n      <failure message=\"");
    add_first_line(out, report);
    buf_add_text(out, "\">");
    add_xml(out, report);
    buf_add_text(out, "</failure>\n    </testcase>\n");
}

/* The results of one file, in the order of the files' first appearance. */
static void add_suite(struct buf *out, const json_t *results, const char *file)
{
    size_t index, count = 0, failures = 0;
    int64_t micros = 0;
    json_t *result;
    json_array_foreach (results, index, result) {
        if (strcmp(json_str_or(result, "file", ""), file) != 0)
            continue;
        count++;
        failures += !json_bool(result, "passed", false);
        micros += json_int(result, "micros", 0);
    }
    buf_add_text(out, "  <testsuite name=\"");
    add_xml(out, file);
    buf_addf(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"0\" time=\"%.6f\">\n", count, failures,
             (double)micros / 1e6);
    json_array_foreach (results, index, result) {
        if (strcmp(json_str_or(result, "file", ""), file) == 0)
            add_case(out, result);
    }
    buf_add_text(out, "  </testsuite>\n");
}

err_t rule_tests_write_junit(const struct rule_tests *tests, const char *path, struct error *reterr)
{
    struct buf out CLEANUP(buf_done);
    buf_init(&out, (size_t)64 * 1024 * 1024);
    buf_addf(&out,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"answerd test\" tests=\"%zu\" "
             "failures=\"%zu\" errors=\"%d\">\n",
             tests->passed + tests->failed + tests->broken, tests->failed, tests->broken);
    json_t *seen = json_object();
    size_t index;
    json_t *result;
    json_array_foreach (tests->results, index, result) {
        const char *file = json_str_or(result, "file", "");
        if (json_object_get(seen, file))
            continue;
        json_put_bool(seen, file, true);
        add_suite(&out, tests->results, file);
    }
    json_decref(seen);
    if (tests->broken)
        buf_add_text(&out, "  <testsuite name=\"rules\" tests=\"1\" failures=\"0\" errors=\"1\">\n"
                           "    <testcase classname=\"rules\" name=\"the rules load\"><error message=\"the rules do "
                           "not load\"/></testcase>\n  </testsuite>\n");
    buf_add_text(&out, "</testsuites>\n");
    FILE *file = fopen(path, "we");
    if (!file)
        return fail(reterr, ERR_NOT_FOUND, "'%s' cannot be written: %s", path, strerror(errno));
    bool written = fwrite(out.ptr, 1, out.len, file) == out.len;
    if (fclose(file) != 0 || !written)
        return fail(reterr, ERR_NOT_FOUND, "'%s' cannot be written: %s", path, strerror(errno));
    return ERR_NONE;
}
