/* The providers' side, for development and tests: accepts what answerd sends, as strictly as the providers do, and
 * posts signed webhooks back. One thread, one loop; nothing is kept on disk, and nothing is sent but to `target`.
 *
 * The control API is described in README.md.
 */
#ifndef SIMULATE_SIMULATE_H
#define SIMULATE_SIMULATE_H

#include "config/config.h"

struct simulator;

struct simulate_settings {
    const struct config *config; /* whose sources are simulated; outlives the simulator */
    const char *listen;          /* "127.0.0.1:8090" */
    const char *target;          /* answerd, "http://127.0.0.1:8080" */
    const char *faults;          /* "[SOURCE:]KIND[=NUMBER][*TIMES],…", or NULL */
    msec_t delay_ms;             /* between the steps that a status goes through */
};

err_t simulator_new(const struct simulate_settings *settings, struct simulator **ret_simulator,
                    struct error *reterr) MUST_CHECK;
void simulator_run(struct simulator *simulator);  /* until simulator_stop() */
void simulator_stop(struct simulator *simulator); /* any thread, also a signal handler */
void simulator_free(struct simulator *simulator);

#endif
