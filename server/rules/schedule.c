#include "rules/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/text.h"
#include "rules/zone.h"

#define MIN_EVERY_MS 10000
#define SEARCH_DAYS (4 * 366)

/* One bit for each value that a field allows. */
struct cron_fields {
    uint64_t minutes, hours, days, months, weekdays;
    bool any_day, any_weekday; /* the field begins with '*': then the other one decides alone */
};

static const char *const month_names[] = { "jan", "feb", "mar", "apr", "may", "jun",
                                           "jul", "aug", "sep", "oct", "nov", "dec" };
static const char *const weekday_names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

struct cron_field {
    const char *what;
    unsigned low, high;
    const char *const *names; /* of low, low + 1, …; or NULL */
    size_t name_count;
};

static bool read_value(struct bytes text, const struct cron_field *field, unsigned *ret_value)
{
    for (size_t i = 0; i < field->name_count; i++) {
        if (text_equal_ignore_case(text, bytes_of(field->names[i]))) {
            *ret_value = field->low + (unsigned)i;
            return true;
        }
    }
    uint64_t value;
    if (!text_to_u64(text, &value) || value < field->low || value > field->high) {
        return false;
    }
    *ret_value = (unsigned)value;
    return true;
}

/* "*", "5", "1-5", "mon-fri", any of them with "/STEP", and lists of them. */
static err_t read_field(struct bytes text, const struct cron_field *field, uint64_t *ret_bits, struct error *reterr)
{
    uint64_t bits = 0;
    struct bytes rest = text;
    while (rest.len > 0) {
        struct bytes part = text_next_field(&rest, ',');
        struct bytes step_text = part;
        struct bytes range = text_next_field(&step_text, '/');
        uint64_t step = 1;
        unsigned low = field->low, high = field->high;
        bool has_step = range.len < part.len;
        bool ok = !has_step || (text_to_u64(step_text, &step) && step > 0);
        if (ok && !bytes_equal(range, BYTES_LITERAL("*"))) {
            struct bytes last = range;
            struct bytes first = text_next_field(&last, '-');
            ok = read_value(first, field, &low);
            if (ok && first.len < range.len) {
                ok = read_value(last, field, &high) && high >= low;
            } else if (!has_step) {
                high = low;
            }
        }
        if (!ok) {
            return fail(reterr, ERR_INVALID, "'%.*s' is no %s", (int)part.len, part.ptr, field->what);
        }
        for (uint64_t value = low; value <= high; value += step) {
            bits |= UINT64_C(1) << value;
        }
    }
    if (bits == 0) {
        return fail(reterr, ERR_INVALID, "the %s is missing", field->what);
    }
    *ret_bits = bits;
    return ERR_NONE;
}

static err_t read_cron(const char *text, struct cron_fields *fields, struct error *reterr)
{
    const struct cron_field kinds[] = {
        { "minute (0-59)", 0, 59, NULL, 0 },
        { "hour (0-23)", 0, 23, NULL, 0 },
        { "day of the month (1-31)", 1, 31, NULL, 0 },
        { "month (1-12 or jan-dec)", 1, 12, month_names, ARRAY_LEN(month_names) },
        { "day of the week (0-7 or sun-sat)", 0, 7, weekday_names, ARRAY_LEN(weekday_names) },
    };
    uint64_t *bits[] = { &fields->minutes, &fields->hours, &fields->days, &fields->months, &fields->weekdays };
    struct bytes rest = bytes_of(text);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct bytes part = { NULL, 0 };
        while (rest.len > 0 && part.len == 0) {
            part = text_next_field(&rest, ' ');
        }
        err_t err = read_field(part, &kinds[i], bits[i], reterr);
        if (err != ERR_NONE) {
            return err;
        }
        assert(part.ptr); /* no field is empty */
        if (i == 2) {
            fields->any_day = part.ptr[0] == '*';
        } else if (i == 4) {
            fields->any_weekday = part.ptr[0] == '*';
        }
    }
    if (text_trim(rest).len > 0) {
        return fail(reterr, ERR_INVALID, "a schedule has five fields: minute, hour, day, month, day of the week");
    }
    if ((fields->weekdays & (UINT64_C(1) << 7)) != 0) {
        fields->weekdays |= 1; /* 7 is Sunday too */
    }
    return ERR_NONE;
}

static bool day_matches(const struct cron_fields *fields, int64_t days)
{
    int64_t year;
    int month, day;
    days_to_date(days, &year, &month, &day);
    if ((fields->months & (UINT64_C(1) << month)) == 0) {
        return false;
    }
    bool by_day = (fields->days & (UINT64_C(1) << day)) != 0;
    bool by_weekday = (fields->weekdays & (UINT64_C(1) << ((days + 4) % 7))) != 0;
    /* As cron does: when both are given, either is enough. */
    return fields->any_day || fields->any_weekday ? by_day && by_weekday : by_day || by_weekday;
}

static err_t cron_next(const char *text, const char *zone_name, msec_t after, msec_t *ret_next, struct error *reterr)
{
    struct cron_fields fields = { 0 };
    err_t err = read_cron(text, &fields, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct zone *zone;
    err = zone_read(zone_name, &zone, reterr);
    if (err != ERR_NONE) {
        return fail(reterr, ERR_INVALID, "there is no time zone '%s'", zone_name);
    }
    int64_t after_seconds = after / 1000;
    int64_t first_day = (after_seconds + zone_offset(zone, after_seconds)) / 86400 - 1;
    for (int64_t days = first_day < 0 ? 0 : first_day; days < first_day + SEARCH_DAYS; days++) {
        if (!day_matches(&fields, days)) {
            continue;
        }
        for (int minute = 0; minute < 1440; minute++) {
            if ((fields.hours & (UINT64_C(1) << (minute / 60))) == 0 ||
                (fields.minutes & (UINT64_C(1) << (minute % 60))) == 0) {
                continue;
            }
            int64_t at = zone_to_utc(zone, days * 86400 + minute * 60);
            if (at > after_seconds) {
                zone_free(zone);
                *ret_next = at * 1000;
                return ERR_NONE;
            }
        }
    }
    zone_free(zone);
    return fail(reterr, ERR_NOT_FOUND, "the schedule '%s' never fires", text);
}

err_t schedule_next(const json_t *schedule, msec_t after, msec_t *ret_next, struct error *reterr)
{
    const char *cron = json_str(schedule, "cron");
    if (cron != NULL) {
        return cron_next(cron, json_str_or(schedule, "timezone", "UTC"), after, ret_next, reterr);
    }
    int64_t every = json_int(schedule, "every_ms", 0);
    if (every < MIN_EVERY_MS) {
        return fail(reterr, ERR_INVALID, "a schedule fires at most every 10 seconds");
    }
    *ret_next = (after / every + 1) * every;
    return ERR_NONE;
}

err_t schedule_check(const json_t *schedule, struct error *reterr)
{
    msec_t next;
    /* 2024: four years from there hold a February 29. */
    err_t err = schedule_next(schedule, INT64_C(1704067200000), &next, reterr);
    return err == ERR_NOT_FOUND ? ERR_INVALID : err;
}
