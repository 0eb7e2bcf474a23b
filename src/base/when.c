/*
 * base/when.c - a time as somebody types it.
 *
 * Layer: base.
 */
#include "base/when.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A reader that fails once stays failed. */
struct cursor {
    struct slice rest;
    bool failed;
};

static bool take(struct cursor *c, char wanted)
{
    if (c->failed || c->rest.len == 0 || c->rest.ptr[0] != wanted)
        return false;
    c->rest = slice_from(c->rest, 1);
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly so many digits. */
static int digits(struct cursor *c, unsigned count)
{
    int n = 0;

    for (unsigned i = 0; i < count; i++) {
        if (c->failed || c->rest.len == 0 || !is_digit(c->rest.ptr[0])) {
            c->failed = true;
            return 0;
        }
        n = n * 10 + (c->rest.ptr[0] - '0');
        c->rest = slice_from(c->rest, 1);
    }
    return n;
}

static void need(struct cursor *c, bool ok)
{
    c->failed = c->failed || !ok;
}

/* ---- dates (ISO 8601) ---- */

static bool same_day(const struct tm *a, const struct tm *b)
{
    return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday;
}

/* "Z", "+01:00", "+0100", "+01"; false: there is none. */
static bool take_zone(struct cursor *c, int *seconds)
{
    bool minus = false;

    *seconds = 0;
    if (take(c, 'Z') || take(c, 'z'))
        return true;
    if (!take(c, '+') && !(minus = take(c, '-')))
        return false;
    int hours = digits(c, 2), minutes = 0;
    if (take(c, ':') || c->rest.len > 0)
        minutes = digits(c, 2);
    need(c, hours <= 14 && minutes < 60);
    *seconds = (minus ? -60 : 60) * (hours * 60 + minutes);
    return true;
}

/* "14:00", "14:00:30", "14:00:30.25": a fraction counts for nothing. */
static void take_time(struct cursor *c, struct tm *tm)
{
    tm->tm_hour = digits(c, 2);
    need(c, take(c, ':'));
    tm->tm_min = digits(c, 2);
    if (take(c, ':'))
        tm->tm_sec = digits(c, 2);
    if (!c->failed && (take(c, '.') || take(c, ','))) {
        (void)digits(c, 1);
        while (!c->failed && c->rest.len > 0 && is_digit(c->rest.ptr[0]))
            (void)digits(c, 1);
    }
    need(c, tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60);
}

static bool parse_date(struct slice text, int64_t *out)
{
    struct cursor c = {.rest = text};
    struct tm tm = {.tm_isdst = -1}, asked;
    int offset = 0;
    bool zone = false;

    tm.tm_year = digits(&c, 4) - 1900;
    need(&c, take(&c, '-'));
    tm.tm_mon = digits(&c, 2) - 1;
    need(&c, take(&c, '-'));
    tm.tm_mday = digits(&c, 2);
    need(&c, tm.tm_year >= 70 && tm.tm_mon >= 0 && tm.tm_mon < 12 && tm.tm_mday > 0);
    if (!c.failed && (take(&c, 'T') || take(&c, 't') || take(&c, ' '))) {
        take_time(&c, &tm);
        (void)take(&c, ' ');
        zone = take_zone(&c, &offset);
    }
    if (c.failed || c.rest.len > 0)
        return false;
    asked = tm;
    int64_t utc = (int64_t)timegm(&tm);
    if (!same_day(&tm, &asked))
        return false; /* 30 February */
    if (zone) {
        *out = utc - offset;
        return true;
    }
    tm = asked;
    *out = (int64_t)mktime(&tm); /* an hour that a change of clocks leaves out is the one behind it */
    return true;
}

/* ---- back from now ---- */

static const struct {
    const char *name;
    int64_t seconds;
} units[] = {
    {"s", 1}, {"sec", 1}, {"second", 1}, {"seconds", 1},
    {"m", 60}, {"min", 60}, {"minute", 60}, {"minutes", 60},
    {"h", 3600}, {"hour", 3600}, {"hours", 3600},
    {"d", 86400}, {"day", 86400}, {"days", 86400},
    {"w", 604800}, {"week", 604800}, {"weeks", 604800},
};

static int64_t take_unit(struct cursor *c)
{
    size_t len = 0;

    while (len < c->rest.len && ((c->rest.ptr[len] | 32) >= 'a' && (c->rest.ptr[len] | 32) <= 'z'))
        len++;
    struct slice name = slice_sub(c->rest, 0, len);
    c->rest = slice_from(c->rest, len);
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (slice_eq_nocase(name, slice_of(units[i].name)))
            return units[i].seconds;
    c->failed = true;
    return 0;
}

static void skip_spaces(struct cursor *c)
{
    while (take(c, ' '))
        ;
}

/* "2d", "1w 12h", "3 days ago" */
static bool parse_ago(struct slice text, int64_t *ago)
{
    struct cursor c = {.rest = text};

    *ago = 0;
    (void)take(&c, '-');
    if (slice_ends(c.rest, SLICE(" ago")))
        c.rest = slice_sub(c.rest, 0, c.rest.len - 4);
    do {
        size_t len = 0;
        uint64_t n;
        skip_spaces(&c);
        while (len < c.rest.len && is_digit(c.rest.ptr[len]))
            len++;
        if (!slice_to_u64(slice_sub(c.rest, 0, len), 1000000000, &n))
            return false;
        c.rest = slice_from(c.rest, len);
        skip_spaces(&c);
        *ago += (int64_t)n * take_unit(&c);
        skip_spaces(&c);
    } while (!c.failed && c.rest.len > 0 && *ago < INT64_C(1) << 40);
    return !c.failed && c.rest.len == 0;
}

/* Midnight of the day so many before that of `now`. */
static int64_t midnight(int64_t now, int before)
{
    time_t at = (time_t)now;
    struct tm tm;

    if (localtime_r(&at, &tm) == NULL)
        return now;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_mday -= before;
    tm.tm_isdst = -1;
    return (int64_t)mktime(&tm);
}

bool when_parse(struct slice text, int64_t now, int64_t *out, struct fail *why)
{
    uint64_t seconds;
    int64_t ago;

    text = slice_trim(text);
    if (slice_eq_nocase(text, SLICE("now")))
        *out = now;
    else if (slice_eq_nocase(text, SLICE("today")))
        *out = midnight(now, 0);
    else if (slice_eq_nocase(text, SLICE("yesterday")))
        *out = midnight(now, 1);
    else if (slice_starts(text, SLICE("@")) && slice_to_u64(slice_from(text, 1), INT64_MAX / 2, &seconds))
        *out = (int64_t)seconds;
    else if (parse_ago(text, &ago) && ago <= now)
        *out = now - ago;
    else if (!parse_date(text, out))
        return fail_set(why, FAIL_PERM, FAIL_INVALID,
                        "\"" PRIslice "\" is no time: 2026-11-20, \"2026-11-20 14:00\" (Z or +01:00 behind it), -2d, \"3 hours ago\"",
                        SLICE_ARG(text));
    return true;
}

struct when_text when_text(int64_t seconds)
{
    struct when_text out = {{0}};
    time_t at = (time_t)seconds;
    struct tm tm;

    if (localtime_r(&at, &tm) == NULL || strftime(out.text, sizeof out.text, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        (void)snprintf(out.text, sizeof out.text, "@%lld", (long long)seconds);
    return out;
}
