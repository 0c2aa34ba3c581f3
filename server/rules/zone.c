#include "rules/zone.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "base/memory.h"

#define MAX_FILE_BYTES (256 * 1024)
#define MAX_TRANSITIONS 5000
#define DAY_SECONDS 86400

/* When a yearly change happens, in the words of POSIX TZ: "M3.2.0/2", "J60", "59". */
struct yearly_change {
    enum { CHANGE_MONTH_WEEK, CHANGE_JULIAN, CHANGE_DAY } form;
    int month, week, weekday; /* week 5: the last */
    int day;
    int seconds; /* local time of day, may be negative or more than a day */
};

/* What holds after the last transition of the file. */
struct zone_rule {
    bool is_set;
    int standard_offset;
    bool has_summer;
    int summer_offset;
    struct yearly_change summer_start, summer_end;
};

struct zone {
    size_t count;
    int64_t *times; /* rising */
    int *offsets;   /* from the time of the same index on */
    int first_offset;
    struct zone_rule rule;
};

int64_t date_to_days(int64_t year, int month, int day)
{
    /* Years are counted from March, so that the leap day is the last one of a year. */
    year -= month <= 2 ? 1 : 0;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

void days_to_date(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    *ret_day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    *ret_month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2 ? 1 : 0);
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Local seconds since 1970 (as if UTC) of the change in a year. */
static int64_t change_in_year(const struct yearly_change *change, int64_t year)
{
    int64_t days;
    switch (change->form) {
    case CHANGE_JULIAN: /* 1..365, February 29 is never counted */
        days = date_to_days(year, 1, 1) + change->day - 1 + (is_leap(year) && change->day >= 60 ? 1 : 0);
        break;
    case CHANGE_DAY: /* 0..365 */
        days = date_to_days(year, 1, 1) + change->day;
        break;
    case CHANGE_MONTH_WEEK:
    default: {
        int64_t first = date_to_days(year, change->month, 1);
        int64_t next_month =
            change->month == 12 ? date_to_days(year + 1, 1, 1) : date_to_days(year, change->month + 1, 1);
        int first_weekday = (int)(((first + 4) % 7 + 7) % 7);
        days = first + (change->weekday - first_weekday + 7) % 7 + (change->week - 1) * 7;
        while (days >= next_month) {
            days -= 7;
        }
        break;
    }
    }
    return days * DAY_SECONDS + change->seconds;
}

static int rule_offset(const struct zone_rule *rule, int64_t at)
{
    if (!rule->has_summer) {
        return rule->standard_offset;
    }
    int64_t local = at + rule->standard_offset;
    int64_t days = local >= 0 ? local / DAY_SECONDS : -((-local + DAY_SECONDS - 1) / DAY_SECONDS);
    int64_t year;
    int month, day;
    days_to_date(days, &year, &month, &day);
    int64_t start = change_in_year(&rule->summer_start, year) - rule->standard_offset;
    int64_t end = change_in_year(&rule->summer_end, year) - rule->summer_offset;
    bool summer = start < end ? (at >= start && at < end) : (at >= start || at < end);
    return summer ? rule->summer_offset : rule->standard_offset;
}

int zone_offset(const struct zone *zone, int64_t at)
{
    if (zone->count == 0 || at < zone->times[0]) {
        return zone->count == 0 && zone->rule.is_set ? rule_offset(&zone->rule, at) : zone->first_offset;
    }
    if (zone->rule.is_set && at >= zone->times[zone->count - 1]) {
        return rule_offset(&zone->rule, at);
    }
    size_t low = 0, high = zone->count; /* times[low] <= at < times[high] */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (zone->times[middle] <= at) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return zone->offsets[low];
}

int64_t zone_to_utc(const struct zone *zone, int64_t local)
{
    int before = zone_offset(zone, local - DAY_SECONDS);
    int after = zone_offset(zone, local + DAY_SECONDS);
    int64_t first = local - before;
    if (zone_offset(zone, first) == before) {
        return first;
    }
    int64_t second = local - after;
    if (zone_offset(zone, second) == after) {
        return second;
    }
    return first;
}

/* --- the rule in the footer ------------------------------------------------------------------------------------ */

static bool read_number(const char **at, int low, int high, int *ret_value)
{
    int value = 0, digits = 0;
    while (**at >= '0' && **at <= '9' && digits < 5) {
        value = value * 10 + (**at - '0');
        (*at)++;
        digits++;
    }
    if (digits == 0 || value < low || value > high) {
        return false;
    }
    *ret_value = value;
    return true;
}

static bool read_name(const char **at)
{
    const char *start = *at;
    if (**at == '<') {
        while (**at != '\0' && **at != '>') {
            (*at)++;
        }
        if (**at != '>') {
            return false;
        }
        (*at)++;
        return true;
    }
    while ((**at >= 'A' && **at <= 'Z') || (**at >= 'a' && **at <= 'z')) {
        (*at)++;
    }
    return *at - start >= 3;
}

/* [+-]h[h][h][:mm[:ss]] */
static bool read_time(const char **at, int *ret_seconds)
{
    int sign = 1;
    if (**at == '-' || **at == '+') {
        sign = **at == '-' ? -1 : 1;
        (*at)++;
    }
    int hours, minutes = 0, seconds = 0;
    if (!read_number(at, 0, 167, &hours)) {
        return false;
    }
    if (**at == ':') {
        (*at)++;
        if (!read_number(at, 0, 59, &minutes)) {
            return false;
        }
        if (**at == ':') {
            (*at)++;
            if (!read_number(at, 0, 59, &seconds)) {
                return false;
            }
        }
    }
    *ret_seconds = sign * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

static bool read_change(const char **at, struct yearly_change *change)
{
    change->seconds = 2 * 3600;
    if (**at == 'M') {
        (*at)++;
        change->form = CHANGE_MONTH_WEEK;
        if (!read_number(at, 1, 12, &change->month) || *(*at)++ != '.' || !read_number(at, 1, 5, &change->week) ||
            *(*at)++ != '.' || !read_number(at, 0, 6, &change->weekday)) {
            return false;
        }
    } else if (**at == 'J') {
        (*at)++;
        change->form = CHANGE_JULIAN;
        if (!read_number(at, 1, 365, &change->day)) {
            return false;
        }
    } else {
        change->form = CHANGE_DAY;
        if (!read_number(at, 0, 365, &change->day)) {
            return false;
        }
    }
    if (**at == '/') {
        (*at)++;
        return read_time(at, &change->seconds);
    }
    return true;
}

/* "CET-1CEST,M3.5.0,M10.5.0/3"; false when it is not understood. */
static bool read_rule(const char *text, struct zone_rule *ret_rule)
{
    struct zone_rule rule = { .is_set = true };
    const char *at = text;
    int offset;
    if (!read_name(&at) || !read_time(&at, &offset)) {
        return false;
    }
    rule.standard_offset = -offset;
    if (*at != '\0') {
        rule.has_summer = true;
        rule.summer_offset = rule.standard_offset + 3600;
        if (!read_name(&at)) {
            return false;
        }
        if (*at != ',') {
            if (!read_time(&at, &offset)) {
                return false;
            }
            rule.summer_offset = -offset;
        }
        if (*at++ != ',' || !read_change(&at, &rule.summer_start) || *at++ != ',' ||
            !read_change(&at, &rule.summer_end) || *at != '\0') {
            return false;
        }
    }
    *ret_rule = rule;
    return true;
}

/* --- the file ---------------------------------------------------------------------------------------------------- */

static int64_t big_endian(const char *ptr, size_t size)
{
    uint64_t value = ((unsigned char)ptr[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | (unsigned char)ptr[i];
    }
    return (int64_t)value;
}

struct tzif_counts {
    size_t ut, standard, leap, times, types, chars;
};

static bool read_counts(struct bytes data, struct tzif_counts *counts)
{
    if (data.len < 44 || memcmp(data.ptr, "TZif", 4) != 0) {
        return false;
    }
    size_t *fields[] = {
        &counts->ut, &counts->standard, &counts->leap, &counts->times, &counts->types, &counts->chars
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        int64_t value = big_endian(data.ptr + 20 + 4 * i, 4);
        if (value < 0 || value > MAX_TRANSITIONS) {
            return false;
        }
        *fields[i] = (size_t)value;
    }
    return counts->types > 0;
}

static size_t block_size(const struct tzif_counts *c, size_t time_size)
{
    return 44 + c->times * time_size + c->times + c->types * 6 + c->chars + c->leap * (time_size + 4) + c->standard +
           c->ut;
}

static bool parse_file(struct bytes data, struct zone *zone)
{
    struct tzif_counts counts;
    size_t time_size = 4;
    if (!read_counts(data, &counts)) {
        return false;
    }
    if (data.ptr[4] >= '2') {
        size_t first = block_size(&counts, 4);
        if (data.len < first) {
            return false;
        }
        data = (struct bytes){ data.ptr + first, data.len - first };
        time_size = 8;
        if (!read_counts(data, &counts)) {
            return false;
        }
    }
    size_t size = block_size(&counts, time_size);
    if (data.len < size) {
        return false;
    }
    const char *times = data.ptr + 44;
    const char *indexes = times + counts.times * time_size;
    const char *types = indexes + counts.times;

    zone->count = counts.times;
    zone->times = memory_new((counts.times + 1) * sizeof(*zone->times));
    zone->offsets = memory_new((counts.times + 1) * sizeof(*zone->offsets));
    zone->first_offset = (int)big_endian(types, 4);
    for (size_t i = 0; i < counts.times; i++) {
        size_t type = (unsigned char)indexes[i];
        if (type >= counts.types) {
            return false;
        }
        zone->times[i] = big_endian(times + i * time_size, time_size);
        zone->offsets[i] = (int)big_endian(types + type * 6, 4);
    }
    if (time_size == 8 && data.len > size + 2 && data.ptr[size] == '\n') {
        const char *end = memchr(data.ptr + size + 1, '\n', data.len - size - 1);
        if (end != NULL && end > data.ptr + size + 1) {
            char *footer = memory_text_n(data.ptr + size + 1, (size_t)(end - data.ptr) - size - 1);
            bool understood = read_rule(footer, &zone->rule);
            free(footer);
            return understood;
        }
    }
    return true;
}

static bool is_zone_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > 64 || name[0] == '/' || strstr(name, "..") != NULL || strstr(name, "//") != NULL ||
        strncmp(name, "posix/", 6) == 0 || strncmp(name, "right/", 6) == 0) {
        return false; /* each zone has the names of the database, and no others */
    }
    for (const char *at = name; *at != '\0'; at++) {
        bool letter = (*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9');
        if (!letter && strchr("_+-/", *at) == NULL) {
            return false;
        }
    }
    return true;
}

static void close_file(FILE **file)
{
    if (*file != NULL) {
        fclose(*file);
    }
}

err_t zone_read(const char *name, struct zone **ret_zone, struct error *reterr)
{
    if (strcmp(name, "UTC") == 0) {
        *ret_zone = memory_new(sizeof(struct zone));
        return ERR_NONE;
    }
    if (!is_zone_name(name)) {
        return fail(reterr, ERR_NOT_FOUND, "'%.64s' is not the name of a time zone", name);
    }
    char path[sizeof(ZONE_DIRECTORY) + 64];
    snprintf(path, sizeof(path), ZONE_DIRECTORY "%s", name);
    CLEANUP(close_file) FILE *file = fopen(path, "rbe");
    struct stat info;
    if (file == NULL || fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > MAX_FILE_BYTES) {
        return fail(reterr, ERR_NOT_FOUND,
                    "there is no time zone '%s'\nHINT: names are like 'Europe/Zurich'; the "
                    "package tzdata has them",
                    name);
    }
    size_t size = (size_t)info.st_size;
    char *content = memory_new(size + 1);
    size_t got = fread(content, 1, size, file);
    struct zone *zone = memory_new(sizeof(*zone));
    bool ok = got == size && parse_file((struct bytes){ content, size }, zone);
    free(content);
    if (!ok) {
        zone_free(zone);
        return fail(reterr, ERR_NOT_FOUND, "the file of the time zone '%s' cannot be read", name);
    }
    *ret_zone = zone;
    return ERR_NONE;
}

void zone_free(struct zone *zone)
{
    if (zone != NULL) {
        free(zone->times);
        free(zone->offsets);
        free(zone);
    }
}
