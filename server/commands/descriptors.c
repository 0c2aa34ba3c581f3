#include "commands/descriptors.h"

#include <dirent.h>
#include <sys/resource.h>

#include "base/log.h"

/* An event loop, its wake-up, its connection to the database, and what its libraries keep. */
#define OF_A_THREAD 4
/* The listeners, the API, upkeep and the watch on rules; files that are read now and then. */
#define OF_THE_PROCESS 16
/* Its connection, or before it two of the resolver. */
#define OF_A_CALL 2
#define FEWEST 8 /* connections; the other shares are fractions of the same rest */

static size_t open_now(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL) {
        count++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

static size_t at_most(size_t wanted, size_t share)
{
    size_t fewer = wanted < share ? wanted : share;
    return fewer > 0 ? fewer : 1;
}

/* What is there whatever comes in and goes out. */
static size_t needed_by_process(const struct config *config, struct serve_roles roles)
{
    size_t threads = (roles.ingest ? config->ingest.threads : 0) + (roles.engine ? config->engine.threads : 0) +
                     (roles.deliver ? 1 : 0);
    return open_now() + OF_THE_PROCESS + OF_A_THREAD * threads;
}

static size_t needed_by_peers(const struct config *config, struct serve_roles roles)
{
    return (roles.ingest ? config->http.max_connections : 0) + config->http.max_admin_connections +
           (roles.deliver ? OF_A_CALL * config->deliver.max_in_flight : 0);
}

/* A quarter for calls, an eighth for the admin listener, the rest for webhooks; who wants less leaves it to them. */
static void share_out(struct config *config, struct serve_roles roles, size_t rest)
{
    config->http.max_admin_connections = at_most(config->http.max_admin_connections, rest / 8);
    size_t left = rest - config->http.max_admin_connections;
    if (roles.deliver) {
        config->deliver.max_in_flight = at_most(config->deliver.max_in_flight, rest / 4 / OF_A_CALL);
        left -= OF_A_CALL * config->deliver.max_in_flight;
    }
    config->http.max_connections = at_most(config->http.max_connections, left);
}

err_t descriptors_fit(struct config *config, struct serve_roles roles, struct error *reterr)
{
    size_t own = needed_by_process(config, roles);
    rlim_t needed = own + needed_by_peers(config, roles);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) {
        return ERR_NONE;
    }
    struct rlimit raised = { .rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max,
                             .rlim_max = limit.rlim_max };
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        limit = raised;
    }
    if (limit.rlim_cur >= needed) {
        return ERR_NONE;
    }
    if (limit.rlim_cur < own + 2 * FEWEST) {
        return fail(reterr, ERR_INVALID,
                    "this process may open %llu files and sockets, and needs %zu at least\n"
                    "HINT: raise the limit: `ulimit -Hn`, LimitNOFILE= of systemd, `ulimits` of docker compose",
                    (unsigned long long)limit.rlim_cur, own + 2 * FEWEST);
    }
    share_out(config, roles, (size_t)limit.rlim_cur - own);
    log_warn("few file descriptors",
             "limit=%llu needed=%llu connections=%zu calls=%zu hint='raise `ulimit -Hn` (LimitNOFILE= of systemd, "
             "ulimits of docker compose) or lower http.max_connections'",
             (unsigned long long)limit.rlim_cur, (unsigned long long)needed, config->http.max_connections,
             config->deliver.max_in_flight);
    return ERR_NONE;
}
