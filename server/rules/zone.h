/* Time zones of the IANA database, read from the system's files and never through TZ and localtime(), which threads
 * would share.
 *
 * Source of the file format: RFC 8536 (TZif), with the POSIX rule in the footer for times after the last transition.
 */
#ifndef RULES_ZONE_H
#define RULES_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define ZONE_DIRECTORY "/usr/share/zoneinfo/"
#define ZONE_NAME_BYTES 128

struct zone;

/* Reads a zone by its name ("Europe/Zurich"). "UTC" needs no file. ERR_NOT_FOUND: no such zone, or no database. */
err_t zone_read(const char *name, struct zone **ret_zone, struct error *reterr) MUST_CHECK;
void zone_free(struct zone *zone);

/* The zone that is meant by a name that is none ("Europe/Zurch", "zurich"); false when there is no telling. Reads the
 * list of the database each time. */
bool zone_nearest(const char *name, char ret_nearest[ZONE_NAME_BYTES]);

/* Seconds to add to UTC at that moment to get local time. */
int zone_offset(const struct zone *zone, int64_t unix_seconds);

/* The moment at which clocks show `local_seconds` (seconds since 1970 as if local time were UTC). Of two such moments
 * the first; of a time that the clocks skip, the moment it would have been without the change. */
int64_t zone_to_utc(const struct zone *zone, int64_t local_seconds);

/* Days since 1970-01-01 of a Gregorian date, and back. */
int64_t date_to_days(int64_t year, int month, int day);
void days_to_date(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day);

#endif
