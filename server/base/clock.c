#include "base/clock.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

static _Thread_local msec_t frozen;
static atomic_int_least64_t shared_ahead_us;

static int64_t microseconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return microseconds_of(CLOCK_REALTIME);
}

msec_t clock_now(void)
{
    return frozen != 0 ? frozen : clock_now_us() / 1000;
}

msec_t clock_shared(void)
{
    return frozen != 0 ? frozen : (clock_now_us() + atomic_load(&shared_ahead_us)) / 1000;
}

int64_t clock_shared_ahead_us(void)
{
    return atomic_load(&shared_ahead_us);
}

/* The answer was on its way for an unknown part of the time between: while what is known may be true, it stays, so that
 * the clock does not shake with each look. */
void clock_follow(int64_t before_us, int64_t shared_us, int64_t after_us)
{
    int64_t known = atomic_load(&shared_ahead_us);
    if (known < shared_us - after_us || known > shared_us - before_us)
        atomic_store(&shared_ahead_us, shared_us - before_us - (after_us - before_us) / 2);
}

msec_t clock_steady(void)
{
    return clock_steady_us() / 1000;
}

int64_t clock_steady_us(void)
{
    return microseconds_of(CLOCK_MONOTONIC);
}

int64_t clock_thread_us(void)
{
    return microseconds_of(CLOCK_THREAD_CPUTIME_ID);
}

void clock_set(msec_t now)
{
    frozen = now;
}

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar, in eras of 400 years that begin in March:
 * the leap day is then the last one of its year. */
static int64_t days_from_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static int days_in_month(int64_t year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* The years that four digits can hold. */
#define MSEC_OF_YEAR_1 (-62135596800000LL)
#define MSEC_OF_YEAR_10000 253402300800000LL
#define MSEC_OF_DAY 86400000

/* The date of a day since 1970-01-01: the other way round. */
static void date_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    int64_t shifted = days + 719468; /* not negative from year 1 on */
    int64_t era = shifted / 146097;
    int day_of_era = (int)(shifted - era * 146097);
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (5 * day_of_year + 2) / 153;
    *ret_day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    *ret_month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    *ret_year = year_of_era + (int)era * 400 + (*ret_month <= 2);
}

static void put_two(char *target, int number)
{
    target[0] = (char)('0' + number / 10);
    target[1] = (char)('0' + number % 10);
}

void clock_iso(msec_t at, char ret_text[CLOCK_ISO_BYTES])
{
    if (at < MSEC_OF_YEAR_1)
        at = MSEC_OF_YEAR_1;
    if (at >= MSEC_OF_YEAR_10000)
        at = MSEC_OF_YEAR_10000 - 1;
    int64_t days = at / MSEC_OF_DAY;
    int in_day = (int)(at - days * MSEC_OF_DAY);
    if (in_day < 0) {
        in_day += MSEC_OF_DAY;
        days--;
    }
    int year, month, day;
    date_from_days(days, &year, &month, &day);
    /* Without a format string, because every row of every event has times. */
    memcpy(ret_text, "0000-00-00T00:00:00.000Z", CLOCK_ISO_BYTES);
    put_two(ret_text, year / 100);
    put_two(ret_text + 2, year % 100);
    put_two(ret_text + 5, month);
    put_two(ret_text + 8, day);
    put_two(ret_text + 11, in_day / 3600000);
    put_two(ret_text + 14, in_day / 60000 % 60);
    put_two(ret_text + 17, in_day / 1000 % 60);
    put_two(ret_text + 20, in_day % 1000 / 10);
    ret_text[22] = (char)('0' + in_day % 10);
}

void clock_add_iso(struct buf *out, msec_t at)
{
    char text[CLOCK_ISO_BYTES];
    clock_iso(at, text);
    buf_add(out, text, CLOCK_ISO_BYTES - 1);
}

/* Reads exactly `count` digits at the front of `*rest`. */
static bool take_number(struct bytes *rest, size_t count, int *ret_number)
{
    if (rest->len < count)
        return false;
    int number = 0;
    for (size_t i = 0; i < count; i++) {
        if (rest->ptr[i] < '0' || rest->ptr[i] > '9')
            return false;
        number = number * 10 + (rest->ptr[i] - '0');
    }
    *ret_number = number;
    rest->ptr += count;
    rest->len -= count;
    return true;
}

static bool take_char(struct bytes *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != c)
        return false;
    rest->ptr++;
    rest->len--;
    return true;
}

/* "", "Z", "+01", "+0100" or "+01:00"; nothing may follow. Without one the time is UTC. */
static bool take_offset(struct bytes *rest, int *ret_minutes)
{
    *ret_minutes = 0;
    if (rest->len == 0 || take_char(rest, 'Z') || take_char(rest, 'z'))
        return rest->len == 0;
    int sign = take_char(rest, '+') ? 1 : -1;
    if (sign < 0 && !take_char(rest, '-'))
        return false;
    int hours = 0;
    int minutes = 0;
    if (!take_number(rest, 2, &hours) || hours > 23)
        return false;
    if (rest->len > 0) {
        take_char(rest, ':');
        if (!take_number(rest, 2, &minutes) || minutes > 59)
            return false;
    }
    *ret_minutes = sign * (hours * 60 + minutes);
    return rest->len == 0;
}

/* The value of the two digits there, or more than any that may be when they are none. */
static int two_digits(const char *at)
{
    unsigned tens = (unsigned)(at[0] - '0'), ones = (unsigned)(at[1] - '0');
    return tens > 9 || ones > 9 ? 1000000 : (int)(tens * 10 + ones);
}

/* What clock_iso() writes is read most of all. False when it is something else, or no such time. */
static bool parse_own(struct bytes text, msec_t *ret_at)
{
    const char *at = text.ptr;
    if (text.len != CLOCK_ISO_BYTES - 1 || at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':' ||
        at[16] != ':' || at[19] != '.' || at[23] != 'Z')
        return false;
    int year = two_digits(at) * 100 + two_digits(at + 2), month = two_digits(at + 5), day = two_digits(at + 8);
    int hour = two_digits(at + 11), minute = two_digits(at + 14), second = two_digits(at + 17);
    int hundredths = two_digits(at + 20);
    unsigned last = (unsigned)(at[22] - '0');
    if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 28 || hour > 23 || minute > 59 ||
        second > 59 || hundredths > 99 || last > 9)
        return false;
    *ret_at = days_from_date(year, month, day) * MSEC_OF_DAY + ((hour * 60 + minute) * 60 + second) * 1000LL +
              hundredths * 10 + (int)last;
    return true;
}

bool clock_parse_iso(struct bytes text, msec_t *ret_at)
{
    if (parse_own(text, ret_at))
        return true;
    struct bytes rest = text;
    int year, month, day, hour, minute, second;
    if (!take_number(&rest, 4, &year) || !take_char(&rest, '-') || !take_number(&rest, 2, &month) ||
        !take_char(&rest, '-') || !take_number(&rest, 2, &day))
        return false;
    if (!take_char(&rest, 'T') && !take_char(&rest, ' ') && !take_char(&rest, 't'))
        return false;
    if (!take_number(&rest, 2, &hour) || !take_char(&rest, ':') || !take_number(&rest, 2, &minute) ||
        !take_char(&rest, ':') || !take_number(&rest, 2, &second))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    int fraction_ms = 0;
    if (take_char(&rest, '.')) {
        int scale = 100;
        size_t digits = 0;
        int digit = 0;
        while (take_number(&rest, 1, &digit)) {
            fraction_ms += digit * scale;
            scale /= 10;
            if (++digits > 9)
                return false;
        }
        if (digits == 0)
            return false;
    }
    int offset_minutes = 0;
    if (!take_offset(&rest, &offset_minutes))
        return false;
    int64_t minutes = days_from_date(year, month, day) * 1440 + hour * 60 + minute - offset_minutes;
    *ret_at = (minutes * 60 + second) * 1000 + fraction_ms;
    return true;
}
