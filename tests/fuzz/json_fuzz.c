/* Whatever json_parse() takes, it takes again in the form that it was given, and PostgreSQL's jsonb could hold it. What
 * goes the quick way is what jansson makes of it. */
#include "io/json.h"

#include <assert.h>
#include <stdlib.h>

#include "base/macros.h"
#include "base/text.h"
#include "io/json_plain.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check_plain(struct bytes text)
{
    json_t *plain CLEANUP(json_free) = text_is_utf8(text) ? json_parse_plain(text, 64) : NULL;
    if (!plain)
        return;
    json_t *careful CLEANUP(json_free) = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
    assert(json_equal(plain, careful));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct bytes text = { (const char *)data, size };
    json_t *json CLEANUP(json_free) = NULL;
    struct error e;
    check_plain(text);
    if (json_parse(text, &json, &e) != ERR_NONE) {
        assert(e.text[0] && !json);
        return 0;
    }
    char *first = json_dump(json);
    assert(text_is_utf8(bytes_of(first)));
    assert(!strstr(first, "\\u0000") || strstr(first, "\\\\u0000"));
    json_t *again CLEANUP(json_free) = NULL;
    assert(json_parse(bytes_of(first), &again, &e) == ERR_NONE);
    char *second = json_dump(again);
    assert(strcmp(first, second) == 0);
    free(first);
    free(second);
    return 0;
}
