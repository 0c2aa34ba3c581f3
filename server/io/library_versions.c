#include "io/library_versions.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <lua.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

struct library {
    const char *name;
    const char *least; /* as in cmake/BuildFlags.cmake */
    const char *why;
    const char *broken[3]; /* versions that are not fit, although they are not older */
};

static const struct library libraries[] = {
    /* Debian mends 2.1.12 under the same number, so more cannot be asked: the tests of the server know the difference.
     */
    { "libevent", "2.1.12", "earlier ones can be made to see requests that nobody sent", { NULL } },
    { "openssl", "3.0.3", "earlier ones compute wrong signatures when a key is used again", { NULL } },
    { "libpq", "14.0", "earlier ones have no pipeline mode", { NULL } },
    { "lua", "5.4.0", "the sandbox is made for its hooks and its garbage collector", { NULL } },
    { "curl", "7.85.0", "earlier ones cannot be kept to HTTP", { "8.9.0", "8.20.0" } },
    { "jansson", "2.14", "earlier ones lack functions that this program calls", { NULL } },
};

enum { PARTS = 3 };

/* "8.9.0-DEV" is 8, 9, 0; what is not there is 0. */
static void parse(const char *version, unsigned long ret_parts[PARTS])
{
    char *rest = NULL;
    for (size_t i = 0; i < PARTS; i++) {
        ret_parts[i] = strtoul(version, &rest, 10);
        version = *rest == '.' ? rest + 1 : "";
    }
}

static int compare(const char *one, const char *other)
{
    unsigned long a[PARTS];
    unsigned long b[PARTS];
    parse(one, a);
    parse(other, b);
    for (size_t i = 0; i < PARTS; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}

err_t library_version_check(const char *name, const char *version, struct error *reterr)
{
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        const struct library *library = &libraries[i];
        if (strcmp(library->name, name) != 0) {
            continue;
        }
        if (compare(version, library->least) < 0) {
            return fail(reterr, ERR_INTERNAL,
                        "%s is %s, and at least %s is needed: %s\nHINT: upgrade the library; `answerd version` prints "
                        "all of them",
                        name, version, library->least, library->why);
        }
        for (size_t j = 0; library->broken[j] != NULL; j++) {
            if (compare(version, library->broken[j]) == 0) {
                return fail(
                    reterr, ERR_INTERNAL,
                    "%s %s is known to spin for ever in this program\nHINT: install a version before or after it", name,
                    version);
            }
        }
    }
    return ERR_NONE;
}

/* --- those that are loaded ---------------------------------------------------------------------------------------- */

#define VERSION_TEXT 64

static void loaded(const char *name, char ret_version[VERSION_TEXT])
{
    int postgres = PQlibVersion();    /* 150007 is 15.7 */
    int lua = (int)lua_version(NULL); /* 504 is 5.4 */
    if (strcmp(name, "libevent") == 0) {
        snprintf(ret_version, VERSION_TEXT, "%s", event_get_version());
    } else if (strcmp(name, "openssl") == 0) {
        snprintf(ret_version, VERSION_TEXT, "%s", OpenSSL_version(OPENSSL_VERSION_STRING));
    } else if (strcmp(name, "libpq") == 0) {
        snprintf(ret_version, VERSION_TEXT, "%d.%d", postgres / 10000, postgres % 10000);
    } else if (strcmp(name, "lua") == 0) {
        snprintf(ret_version, VERSION_TEXT, "%d.%d.%s", lua / 100, lua % 100, LUA_VERSION_RELEASE);
    } else if (strcmp(name, "curl") == 0) {
        snprintf(ret_version, VERSION_TEXT, "%s", curl_version_info(CURLVERSION_NOW)->version);
    } else {
        snprintf(ret_version, VERSION_TEXT, "%s", jansson_version_str());
    }
}

void library_versions(struct buf *out)
{
    char version[VERSION_TEXT];
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        loaded(libraries[i].name, version);
        buf_addf(out, "%s %s\n", libraries[i].name, version);
    }
}

err_t library_versions_check(struct error *reterr)
{
    char version[VERSION_TEXT];
    err_t err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < ARRAY_LEN(libraries); i++) {
        loaded(libraries[i].name, version);
        err = library_version_check(libraries[i].name, version, reterr);
    }
    return err;
}
