/* base/clock and base/block: zones of date lines; hooks on this thread only. */
#include "base/clock.h"

#include <time.h>

#include "base/block.h"
#include "tests/unit/check.h"

static void test_dates(void)
{
    static const struct { const char *note, *zone; int64_t at; const char *want; int minutes; } cases[] = {
        {"UTC", "UTC0", 1795344667, "Sun, 22 Nov 2026 10:51:07 +0000", 0},
        {"east", "XXX-5:30", 1795344667, "Sun, 22 Nov 2026 16:21:07 +0530", 330},
        {"west", "XXX3:30", 1795344667, "Sun, 22 Nov 2026 07:21:07 -0330", -210},
        {"epoch", "UTC0", 0, "Thu, 01 Jan 1970 00:00:00 +0000", 0},
        {"no such year", "UTC0", INT64_MAX, "Thu, 01 Jan 1970 00:00:00 +0000", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)setenv("TZ", cases[i].zone, 1);
        tzset();
        CHECK_SLICE(cases[i].note, slice_of(clock_rfc5322(cases[i].at).text), slice_of(cases[i].want));
        CHECK(cases[i].note, clock_zone_minutes(cases[i].at) == cases[i].minutes);
    }
}

struct calls { unsigned begun, ended; };

static void begun(void *ctx)
{
    ((struct calls *)ctx)->begun++;
}

static void ended(void *ctx)
{
    ((struct calls *)ctx)->ended++;
}

static void test_block(void)
{
    struct calls      calls = {0};
    struct block_hook hook = {.begin = begun, .end = ended, .ctx = &calls};

    block_begin();
    block_end();
    CHECK("no hook, no call", calls.begun == 0);
    block_set_hook(&hook);
    block_begin();
    block_begin();
    CHECK("told once", calls.begun == 1);
    block_end();
    CHECK("not over yet", calls.ended == 0);
    block_end();
    CHECK("over", calls.ended == 1);
    block_set_hook(NULL);
    block_begin();
    block_end();
    CHECK("hook taken away", calls.begun == 1);
}

int main(void)
{
    test_dates();
    test_block();
    CHECK("clocks agree", clock_now() - clock_now_us() / 1000000 <= 0 && clock_now() > 1700000000);
    int64_t before = clock_mono_ms();
    CHECK("never back", clock_mono_ms() >= before);
    return check_done();
}
