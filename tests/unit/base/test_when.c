/*
 * tests/unit/base/test_when.c - base/when: times as people type them.
 */
#include "base/when.h"

#include <stdlib.h>
#include <time.h>

#include "tests/unit/check.h"

#define NOW INT64_C(1795183260) /* 2026-11-20 14:01:00 UTC, 15:01 in Berlin */

static const struct {
    const char *text;
    int64_t want; /* 0: refused */
} cases[] = {
    {"2026-11-20", 1795129200}, /* midnight in Berlin */
    {"2026-11-20 15:01", NOW},
    {"2026-11-20T15:01", NOW},
    {"2026-11-20t15:01:00", NOW},
    {"2026-11-20 15:01:30", NOW + 30},
    {"2026-11-20 15:01:30.75", NOW + 30},
    {"2026-11-20T14:01Z", NOW},
    {"2026-11-20T14:01:00 z", NOW},
    {"2026-11-20 15:01+01:00", NOW},
    {"2026-11-20 15:01 +0100", NOW},
    {"2026-11-20 09:01-05", NOW},
    {"2026-07-01 12:00", 1782900000}, /* summer time */
    {"2024-02-29", 1709161200},
    {"  2026-11-20 15:01  ", NOW},
    {"-2d", NOW - 2 * 86400},
    {"2d", NOW - 2 * 86400},
    {"2 days ago", NOW - 2 * 86400},
    {"1 week ago", NOW - 7 * 86400},
    {"90m", NOW - 5400},
    {"-1w12h", NOW - 7 * 86400 - 12 * 3600},
    {"1h 30min", NOW - 5400},
    {"45 seconds", NOW - 45},
    {"0s", NOW},
    {"now", NOW},
    {"Today", 1795129200},
    {"yesterday", 1795129200 - 86400},
    {"@1795183260", NOW},
    {"", 0},
    {" ", 0},
    {"-", 0},
    {"ago", 0},
    {"tomorrow", 0},
    {"2 fortnights", 0},
    {"2", 0},
    {"d", 0},
    {"+2d", 0},
    {"--2d", 0},
    {"2026", 0},
    {"2026-11", 0},
    {"2026-1-20", 0},
    {"2026-13-01", 0},
    {"2026-00-10", 0},
    {"2026-02-30", 0},
    {"2025-02-29", 0},
    {"2026-11-00", 0},
    {"1969-12-31", 0},
    {"2026-11-20 24:00", 0},
    {"2026-11-20 15", 0},
    {"2026-11-20 15:60", 0},
    {"2026-11-20 15:01:60", 0},
    {"2026-11-20 15:01:30.", 0},
    {"2026-11-20 15:01 +1", 0},
    {"2026-11-20 15:01+15:00", 0},
    {"2026-11-20 15:01Zulu", 0},
    {"2026-11-20T", 0},
    {"2026-11-20 15:01 Europe/Berlin", 0},
    {"@", 0},
    {"@-5", 0},
    {"99999999999999999999d", 0},
    {"999999999w", 0}, /* before 1970 */
};

int main(void)
{
    (void)setenv("TZ", "Europe/Berlin", 1);
    tzset();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fail why = {0};
        int64_t got = 0;
        bool ok = when_parse(slice_of(cases[i].text), NOW, &got, &why);

        CHECK(cases[i].text, ok == (cases[i].want != 0));
        CHECK(cases[i].text, ok || why.reason == FAIL_INVALID);
        CHECK(cases[i].text, !ok || got == cases[i].want);
    }
    CHECK("written", slice_eq(slice_of(when_text(NOW).text), SLICE("2026-11-20 15:01:00")));
    return check_done();
}
