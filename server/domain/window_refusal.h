/* A provider may hold its window for closed while ours is open: its clock decides, and it may not have counted what we
 * counted. What it refused for that goes once more as the approved template. Internal to domain/.
 */
#ifndef DOMAIN_WINDOW_REFUSAL_H
#define DOMAIN_WINDOW_REFUSAL_H

#include "domain/scene.h"

/* The event's status is about this message of ours. True when it failed for the provider's window and its approved
 * template takes its place, from now on or since an earlier report: then it is not lost. That is no second send: the
 * provider has said that the first did not arrive. */
bool window_refusal_take_status(struct scene *scene, json_t *message);

#endif
