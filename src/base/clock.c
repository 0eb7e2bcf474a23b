/*
 * base/clock.c - what time it is, in a way that tests can move.
 *
 * Layer: base.
 */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/fail.h"

static struct timespec read_clock(clockid_t id)
{
    struct timespec t;

    if (clock_gettime(id, &t) != 0)
        bug("clock %d cannot be read", (int)id);
    return t;
}

int64_t clock_now_us(void)
{
    struct timespec t = read_clock(CLOCK_REALTIME);

    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_now(void)
{
    return (int64_t)read_clock(CLOCK_REALTIME).tv_sec;
}

int64_t clock_mono_ms(void)
{
    struct timespec t = read_clock(CLOCK_MONOTONIC);

    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Names are written out, not taken from the locale: RFC 5322 section 3.3 has English ones only. */
static const char week_days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* A time too far away for struct tm counts as 1970, in UTC. */
static struct tm local_time(int64_t seconds)
{
    time_t    t = (time_t)seconds;
    struct tm tm;

    if (localtime_r(&t, &tm) == NULL) {
        t = 0;
        (void)gmtime_r(&t, &tm);
    }
    return tm;
}

struct date_text clock_rfc5322(int64_t seconds)
{
    struct tm        tm = local_time(seconds);
    int              zone = (int)(tm.tm_gmtoff / 60);
    struct date_text out;

    (void)snprintf(out.text, sizeof out.text, "%s, %02d %s %04d %02d:%02d:%02d %c%02d%02d",
                   week_days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
                   tm.tm_min, tm.tm_sec, zone < 0 ? '-' : '+', abs(zone) / 60, abs(zone) % 60);
    return out;
}

int clock_zone_minutes(int64_t seconds)
{
    return (int)(local_time(seconds).tm_gmtoff / 60);
}

int64_t clock_thread_us(void)
{
    struct timespec t = read_clock(CLOCK_THREAD_CPUTIME_ID);

    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
