/*
 * policy/guard.c - see policy/guard.h.
 *
 * Layer: policy.
 */
#include "policy/guard.h"

#include "base/clock.h"

bool guard_open(struct guard *g, unsigned failures, unsigned pause_seconds)
{
    if (atomic_load(&g->failures) < failures)
        return true;
    const int64_t now = clock_mono_ms();
    int64_t till = atomic_load(&g->closed_till);

    /* Who moves the time on is the one who tries. */
    return now >= till && atomic_compare_exchange_strong(&g->closed_till, &till, now + (int64_t)pause_seconds * 1000);
}

void guard_answered(struct guard *g)
{
    if (atomic_load(&g->failures) != 0)
        atomic_store(&g->failures, 0);
}

bool guard_failed(struct guard *g, unsigned failures, unsigned pause_seconds)
{
    const unsigned n = atomic_fetch_add(&g->failures, 1) + 1;

    if (n >= failures)
        atomic_store(&g->closed_till, clock_mono_ms() + (int64_t)pause_seconds * 1000);
    return n == failures;
}
