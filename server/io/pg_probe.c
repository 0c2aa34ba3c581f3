/* Whether the server behind a connection is alive, asked by another one: a statement that takes long and a server that
 * hangs look the same from within. */
#include "io/pg_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/heartbeat.h"
#include "base/macros.h"
#include "base/memory.h"

/* libpq has no shorter time to connect than two seconds. */
#define CONNECT_SECONDS "2"
#define SILENCE_MS 1900

/* Of the connection's options, those that name the server; it may be one of several. */
static const char *of_this_server(PGconn *connection, const PQconninfoOption *option)
{
    const struct {
        const char *keyword;
        const char *value;
    } here[] = {
        { "host", PQhost(connection) },    { "hostaddr", PQhostaddr(connection) }, { "port", PQport(connection) },
        { "target_session_attrs", "any" }, { "connect_timeout", CONNECT_SECONDS },
    };
    for (size_t i = 0; i < ARRAY_LEN(here); i++)
        if (strcmp(option->keyword, here[i].keyword) == 0)
            return here[i].value;
    return option->val;
}

/* Who refuses is there as well, and takes the connections that it has along when it goes. Only silence tells. */
static bool is_silence(PGPing said, msec_t took)
{
    return said == PQPING_NO_RESPONSE && took >= SILENCE_MS;
}

bool pg_server_answers(PGconn *connection)
{
    PQconninfoOption *options = PQconninfo(connection);
    if (!options)
        return true; /* nothing is known against it */
    size_t count = 0;
    while (options[count].keyword)
        count++;
    const char **keywords = memory_new((count + 1) * sizeof(*keywords));
    const char **values = memory_new((count + 1) * sizeof(*values));
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const char *value = of_this_server(connection, &options[i]);
        if (!value || value[0] == '\0')
            continue;
        keywords[used] = options[i].keyword;
        values[used++] = value;
    }
    msec_t asked = clock_steady();
    heartbeat_rest();
    PGPing said = PQpingParams(keywords, values, 0);
    heartbeat_beat();
    free(keywords);
    free(values);
    PQconninfoFree(options);
    return !is_silence(said, clock_steady() - asked);
}
