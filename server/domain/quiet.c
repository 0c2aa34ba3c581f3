#include "domain/quiet.h"

#include <stdio.h>

#include "rules/zone.h"

#define LOOK_AHEAD_DAYS 400

/* The hours of one day, as [from, to] in minutes of the day. */
static const json_t *hours_of(const json_t *calendar, int64_t days)
{
    int64_t year;
    int month, day;
    days_to_date(days, &year, &month, &day);
    char date[32];
    const json_t *special = json_object_at(calendar, "special");
    snprintf(date, sizeof(date), "%04d-%02d-%02d", (int)year, month, day);
    const json_t *list = special ? json_array_at(special, date) : NULL;
    if (!list && special)
        list = json_array_at(special, date + 5);
    return list ? list : json_array_get(json_array_at(calendar, "days"), (size_t)((days + 3) % 7));
}

/* Finds the first interval of the calendar that ends after `at`. False when there is none within a year. */
static bool next_interval(const json_t *calendar, const struct zone *zone, msec_t at, msec_t *ret_from, msec_t *ret_to)
{
    int64_t today = (at / 1000 + zone_offset(zone, at / 1000)) / 86400;
    for (int64_t days = today - 1; days < today + LOOK_AHEAD_DAYS; days++) {
        size_t index;
        json_t *interval;
        json_array_foreach (hours_of(calendar, days), index, interval) {
            int64_t from = json_integer_value(json_array_get(interval, 0));
            int64_t to = json_integer_value(json_array_get(interval, 1));
            *ret_from = zone_to_utc(zone, days * 86400 + from * 60) * 1000;
            *ret_to = zone_to_utc(zone, days * 86400 + to * 60) * 1000;
            if (*ret_to > at && *ret_from < *ret_to) /* not inside of an hour that the clock skips */
                return true;
        }
    }
    return false;
}

static struct zone *zone_of(const json_t *calendar, const json_t *contact)
{
    struct zone *zone;
    const char *own = contact ? json_str(contact, "timezone") : NULL;
    if (own && zone_read(own, &zone, NULL) == ERR_NONE)
        return zone;
    if (zone_read(json_str_or(calendar, "timezone", "UTC"), &zone, NULL) == ERR_NONE)
        return zone;
    return zone_read("UTC", &zone, NULL) == ERR_NONE ? zone : NULL;
}

/* When the quiet hours are over that `at` lies in; `at` itself when it does not. */
static msec_t after_quiet(const json_t *quiet, const struct zone *zone, msec_t at)
{
    msec_t from, to;
    /* Intervals may touch (22:00-24:00, 00:00-08:00): leave one after the other. */
    for (int i = 0; i < 16 && next_interval(quiet, zone, at, &from, &to) && from <= at; i++)
        at = to;
    return at;
}

msec_t quiet_due(const struct desk *desk, const json_t *contact, msec_t now)
{
    const json_t *quiet = desk_declaration(desk, "calendar", "quiet");
    const json_t *sending = desk_declaration(desk, "calendar", "sending");
    if (!sending && !quiet)
        sending = desk_declaration(desk, "calendar", "business");
    struct zone *quiet_zone = quiet ? zone_of(quiet, contact) : NULL,
                *sending_zone = sending ? zone_of(sending, NULL) : NULL;
    msec_t due = now, before, from, to;
    int tries = 0;
    /* Where sending begins it may be the contact's night, and where that ends no hour of sending. */
    do {
        before = due;
        if (quiet_zone)
            due = after_quiet(quiet, quiet_zone, due);
        if (sending_zone && next_interval(sending, sending_zone, due, &from, &to) && from > due)
            due = from;
    } while (due != before && ++tries < LOOK_AHEAD_DAYS);
    zone_free(quiet_zone);
    zone_free(sending_zone);
    return tries < LOOK_AHEAD_DAYS ? due : now;
}
