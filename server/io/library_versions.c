#include "io/library_versions.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <lua.h>
#include <openssl/crypto.h>

void library_versions(struct buf *out)
{
    int postgres = PQlibVersion(); /* 150007 is 15.7 */
    buf_addf(out, "libevent %s\n", event_get_version());
    buf_addf(out, "openssl %s\n", OpenSSL_version(OPENSSL_VERSION_STRING));
    buf_addf(out, "libpq %d.%d\n", postgres / 10000, postgres % 10000);
    buf_addf(out, "lua %s.%s.%s\n", LUA_VERSION_MAJOR, LUA_VERSION_MINOR, LUA_VERSION_RELEASE);
    buf_addf(out, "curl %s\n", curl_version_info(CURLVERSION_NOW)->version);
    buf_addf(out, "jansson %s\n", jansson_version_str());
}
