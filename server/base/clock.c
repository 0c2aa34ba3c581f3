#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static _Thread_local msec_t frozen;

msec_t clock_now(void)
{
    if (frozen != 0)
        return frozen;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (msec_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

msec_t clock_steady(void)
{
    return clock_steady_us() / 1000;
}

static int64_t microseconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
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

static void put_digits(char *target, int count, int number)
{
    for (int i = count - 1; i >= 0; i--) {
        target[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

void clock_add_iso(struct buf *out, msec_t at)
{
    if (at < MSEC_OF_YEAR_1)
        at = MSEC_OF_YEAR_1;
    if (at >= MSEC_OF_YEAR_10000)
        at = MSEC_OF_YEAR_10000 - 1;
    msec_t in_second = at % 1000;
    time_t seconds = (time_t)(at / 1000);
    if (in_second < 0) {
        in_second += 1000;
        seconds--;
    }
    struct tm utc;
    gmtime_r(&seconds, &utc);
    /* Without a format string, because every row of every event has times. */
    char text[] = "0000-00-00T00:00:00.000Z";
    put_digits(text, 4, utc.tm_year + 1900);
    put_digits(text + 5, 2, utc.tm_mon + 1);
    put_digits(text + 8, 2, utc.tm_mday);
    put_digits(text + 11, 2, utc.tm_hour);
    put_digits(text + 14, 2, utc.tm_min);
    put_digits(text + 17, 2, utc.tm_sec);
    put_digits(text + 20, 3, (int)in_second);
    buf_add(out, text, sizeof(text) - 1);
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

bool clock_parse_iso(struct bytes text, msec_t *ret_at)
{
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
