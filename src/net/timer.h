/*
 * net/timer.h - when must somebody look at a connection again?
 *
 * Layer: net, private.  A heap of times under one lock and one thread that
 * waits for the earliest.  A connection has one entry.  Moving its time to
 * later, which every command does, costs nothing: the entry stays, and when it
 * comes up the thread looks at the time that counts by then.
 */
#ifndef NET_TIMER_H
#define NET_TIMER_H

#include <stdatomic.h>

#include "base/slice.h"

struct fail;
struct timers;

#define TIMER_NEVER INT64_MAX

/* Lives inside what it wakes. */
struct timer {
    _Atomic int64_t due;        /* ms of clock_mono_ms(); written by the owner alone */
    int64_t         registered; /* the time it has in the heap; under the lock */
    uint32_t        index;      /* its place there plus one; 0: not in it */
    bool            set;        /* owner's: it is in the heap as far as the owner was told */
};

/*
 * `fire` is called on the timers' thread with the lock held for each timer that
 * is due; the timer is out of the heap then and stays out until timer_set()
 * after timer_fired().  `beat` is called now and then, without the lock, and
 * returns how many ms until it wants to be called again.
 */
struct timers *timers_create(void (*fire)(struct timer *t), int64_t (*beat)(void *ctx), void *ctx);
bool           timers_start(struct timers *ts, struct fail *why);
void           timers_destroy(struct timers **ts); /* stops the thread */

void timer_init(struct timer *t);
/* By the owner: fire at `due` (TIMER_NEVER: not at all), in place of the time before. */
void timer_set(struct timers *ts, struct timer *t, int64_t due);
/* By the owner, when it has been told that the timer fired. */
void timer_fired(struct timer *t);
/* By the owner: out of the heap; after this `fire` is not called for it. */
void timer_remove(struct timers *ts, struct timer *t);

#endif
