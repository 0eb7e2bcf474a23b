/*
 * auth/throttle.h - who has failed how often, lately.
 *
 * Layer: auth, private to it.  Two of these stand in the server: one by peer, one by
 * login.  Memory is fixed: a table in sets of four, in which a newcomer takes the place of
 * the one who failed least.  Keys are keyed hashes, so nobody can aim at a set.
 *
 * Any thread.  An attempt counts as a failure from its beginning, so that a
 * hundred guesses at once count as a hundred; what succeeds is taken back.
 */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

struct throttle;

/* `entries` at least 4.  Failures count half after each `half_life` seconds. */
struct throttle *throttle_create(unsigned entries, unsigned half_life);
void throttle_destroy(struct throttle **t);

struct throttle_mark {
    unsigned failures; /* with this attempt */
    bool counted;
};

/* `now` in seconds of a clock that never jumps. */
unsigned throttle_failures(struct throttle *t, uint64_t key, int64_t now);
/* A `guess` that is the same as the last one does not count again: a device with an old password is no
 * attacker. */
struct throttle_mark throttle_begin(struct throttle *t, uint64_t key, uint64_t guess, int64_t now);
void throttle_forgive(struct throttle *t, uint64_t key, struct throttle_mark mark, int64_t now);

#endif
