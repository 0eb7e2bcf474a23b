/*
 * policy/guard.h - a helper that does not answer is left alone for a while.
 *
 * Layer: policy.  So that a dead one does not keep every thread waiting and every session with it.
 */
#ifndef POLICY_GUARD_H
#define POLICY_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct guard {
    atomic_uint     failures;  /* in a row */
    _Atomic int64_t closed_till; /* clock_mono_ms() */
};

/* May it be asked?  After the pause one is let through at a time, until one has an answer. */
bool guard_open(struct guard *g, unsigned failures, unsigned pause_seconds);
void guard_answered(struct guard *g);
/* true: this was the one after which it is left alone (to be logged). */
bool guard_failed(struct guard *g, unsigned failures, unsigned pause_seconds);

#endif
