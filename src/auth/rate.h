/*
 * auth/rate.h - so many in a second, whoever asks.
 *
 * Layer: auth, private to it.  A taken-over `mail` says of every request what it likes, also from whom it comes: what holds
 * against it counts requests alone.
 */
#ifndef AUTH_RATE_H
#define AUTH_RATE_H

#include "base/clock.h"

struct rate {
    int64_t second; /* of the steady clock */
    unsigned count; /* in it */
};

/* One more: is it within `most` a second (0: any number)?  Under the caller's lock. */
static inline bool rate_take(struct rate *r, unsigned most)
{
    int64_t second = clock_mono_ms() / 1000;

    if (second != r->second)
        *r = (struct rate){.second = second};
    if (most > 0 && r->count >= most)
        return false;
    r->count++;
    return true;
}

#endif
