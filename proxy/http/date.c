/*
 * HTTP dates without the C library's calendar: strptime() and gmtime_r() know locales and time
 * zones, and a date is formatted for every second of traffic. Days are counted in the proleptic
 * Gregorian calendar.
 *
 * Policy: what RFC 9110 5.6.7 calls obsolete is accepted, what it does not name (UTC, a missing
 * comma, one-digit hours) is not; a date that is not understood makes an answer stale (RFC 9111
 * 5.3). A weekday must be one, but is not compared with the date: origins get it wrong.
 */
#include "http/date.h"

#include <stddef.h>

#define SECONDS_PER_DAY 86400
#define LAST_SECOND     253402300799 /* 9999-12-31 23:59:59 */

static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char *const WEEKDAYS[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};

/* A date as it is written. */
struct civil {
    int year;
    int month; /* 1-12 */
    int day;   /* 1-31 */
    int hour;
    int minute;
    int second; /* 60 in a leap second */
};

/* Days from 1970-01-01; the year begins in March here, so that the leap day is its last. */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

/* The inverse, for days that are not before 1970. */
static void civil_from_days(int64_t days, struct civil *c)
{
    int64_t z = days + 719468;
    int64_t era = z / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    c->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    c->year = (int)(yoe + era * 400 + (c->month <= 2));
}

static void put_digits(char *out, int value, int width)
{
    while (width-- > 0) {
        out[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

void http_date_format(msec_t wall, char out[HTTP_DATE_LEN])
{
    int64_t seconds = wall > 0 ? wall / 1000 : 0;
    if (seconds > LAST_SECOND) {
        seconds = LAST_SECOND;
    }
    int64_t days = seconds / SECONDS_PER_DAY;
    int rest = (int)(seconds % SECONDS_PER_DAY);
    struct civil c;
    civil_from_days(days, &c);

    memcpy(out, "Sun, 06 Nov 1994 08:49:37 GMT", HTTP_DATE_LEN);
    memcpy(out, WEEKDAYS[(days + 4) % 7], 3);
    put_digits(out + 5, c.day, 2);
    memcpy(out + 8, MONTHS + (size_t)(c.month - 1) * 3, 3);
    put_digits(out + 12, c.year, 4);
    put_digits(out + 17, rest / 3600, 2);
    put_digits(out + 20, rest / 60 % 60, 2);
    put_digits(out + 23, rest % 60, 2);
}

static bool get_digits(struct str s, size_t at, size_t width, int *value)
{
    uint64_t v;
    if (at + width > s.n || !str_to_u64(str_make(s.p + at, width), 9999, &v)) {
        return false;
    }
    *value = (int)v;
    return true;
}

/* Does the literal stand at this place (any case)? */
static bool has_text(struct str s, size_t at, const char *text, size_t n)
{
    return at + n <= s.n && str_ieq(str_make(s.p + at, n), str_make(text, n));
}

static bool get_month(struct str s, size_t at, int *month)
{
    for (int i = 0; i < 12; i++) {
        if (has_text(s, at, MONTHS + (size_t)i * 3, 3)) {
            *month = i + 1;
            return true;
        }
    }
    return false;
}

/* "08:49:37" */
static bool get_time(struct str s, size_t at, struct civil *c)
{
    return get_digits(s, at, 2, &c->hour) && has_text(s, at + 2, ":", 1) &&
           get_digits(s, at + 3, 2, &c->minute) && has_text(s, at + 5, ":", 1) &&
           get_digits(s, at + 6, 2, &c->second);
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool civil_to_msec(const struct civil *c, msec_t *wall)
{
    static const char LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int month_length = LENGTHS[c->month - 1] + (c->month == 2 && is_leap(c->year));
    if (c->day < 1 || c->day > month_length || c->hour > 23 || c->minute > 59 ||
        c->second > 60) {
        return false;
    }
    /* RFC 9111 4.2: an instant that the clock cannot tell is taken as the one before it. */
    int second = c->second == 60 ? 59 : c->second;
    int64_t days = days_from_civil(c->year, c->month, c->day);
    *wall = (days * SECONDS_PER_DAY + c->hour * 3600 + c->minute * 60 + second) * 1000;
    return true;
}

static bool short_weekday(struct str s)
{
    for (size_t i = 0; i < 7; i++) {
        if (has_text(s, 0, WEEKDAYS[i], 3)) {
            return true;
        }
    }
    return false;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool parse_imf(struct str s, struct civil *c)
{
    return s.n == HTTP_DATE_LEN && short_weekday(s) && has_text(s, 3, ", ", 2) &&
           get_digits(s, 5, 2, &c->day) && has_text(s, 7, " ", 1) &&
           get_month(s, 8, &c->month) && has_text(s, 11, " ", 1) &&
           get_digits(s, 12, 4, &c->year) && has_text(s, 16, " ", 1) && get_time(s, 17, c) &&
           has_text(s, 25, " GMT", 4);
}

/* "Sun Nov  6 08:49:37 1994" */
static bool parse_asctime(struct str s, struct civil *c)
{
    if (s.n != 24 || !short_weekday(s) || !has_text(s, 3, " ", 1) ||
        !get_month(s, 4, &c->month) || !has_text(s, 7, " ", 1)) {
        return false;
    }
    bool one_digit = s.p[8] == ' ';
    return get_digits(s, one_digit ? 9 : 8, one_digit ? 1 : 2, &c->day) &&
           has_text(s, 10, " ", 1) && get_time(s, 11, c) && has_text(s, 19, " ", 1) &&
           get_digits(s, 20, 4, &c->year);
}

/* The latest year with these two last digits that is at most 50 years ahead (RFC 9110 5.6.7).
 */
static int full_year(int two_digits, msec_t now)
{
    struct civil c;
    civil_from_days(now > 0 ? now / 1000 / SECONDS_PER_DAY : 0, &c);
    int latest = c.year + 50;
    return latest - (latest - two_digits) % 100;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool parse_rfc850(struct str s, msec_t now, struct civil *c)
{
    size_t comma = str_index(s, ',');
    bool weekday = false;
    for (size_t i = 0; i < 7; i++) {
        weekday = weekday || str_ieq(str_make(s.p, comma), str_from(WEEKDAYS[i]));
    }
    if (!weekday || s.n != comma + 24) {
        return false;
    }
    struct str t = str_skip(s, comma);
    if (!has_text(t, 0, ", ", 2) || !get_digits(t, 2, 2, &c->day) || !has_text(t, 4, "-", 1) ||
        !get_month(t, 5, &c->month) || !has_text(t, 8, "-", 1) ||
        !get_digits(t, 9, 2, &c->year) || !has_text(t, 11, " ", 1) || !get_time(t, 12, c) ||
        !has_text(t, 20, " GMT", 4)) {
        return false;
    }
    c->year = full_year(c->year, now);
    return true;
}

bool http_date_parse_at(struct str s, msec_t now, msec_t *wall)
{
    struct civil c;
    return (parse_imf(s, &c) || parse_asctime(s, &c) || parse_rfc850(s, now, &c)) &&
           civil_to_msec(&c, wall);
}

bool http_date_parse(struct str s, msec_t *wall)
{
    return http_date_parse_at(s, clock_wall(), wall);
}
