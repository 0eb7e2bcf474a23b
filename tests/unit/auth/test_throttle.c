/* auth/throttle and auth/verified: what is counted, what is remembered, in how little memory. */
#include "auth/throttle.h"
#include "auth/verified.h"
#include "tests/unit/check.h"

enum { HALF_LIFE = 600 };

static void test_counting(void)
{
    struct throttle *t = throttle_create(64, HALF_LIFE);
    struct throttle_mark mark = {0};

    CHECK("nobody has failed yet", throttle_failures(t, 7, 0) == 0);
    for (uint64_t guess = 1; guess <= 8; guess++)
        mark = throttle_begin(t, 7, guess, 10);
    CHECK("each guess counts", mark.failures == 8 && mark.counted);
    mark = throttle_begin(t, 7, 8, 10);
    CHECK("the same guess again does not", mark.failures == 8 && !mark.counted);
    throttle_forgive(t, 7, mark, 10);
    CHECK("so it is not taken back either", throttle_failures(t, 7, 10) == 8);
    mark = throttle_begin(t, 7, 9, 10);
    throttle_forgive(t, 7, mark, 10);
    CHECK("what succeeds is taken back", throttle_failures(t, 7, 10) == 8);
    CHECK("others are not touched", throttle_failures(t, 8, 10) == 0);

    CHECK("just before the half-life", throttle_failures(t, 7, 10 + HALF_LIFE - 1) == 8);
    CHECK("after it, half", throttle_failures(t, 7, 10 + HALF_LIFE) == 4);
    CHECK("after three, an eighth", throttle_failures(t, 7, 10 + 3 * HALF_LIFE) == 1);
    CHECK("after many, none", throttle_failures(t, 7, 10 + 400 * HALF_LIFE) == 0);

    mark = throttle_begin(t, 9, 1, 0);
    CHECK("forgiving what has decayed meanwhile", mark.failures == 1);
    throttle_forgive(t, 9, mark, 5 * HALF_LIFE);
    CHECK("never falls below nothing", throttle_failures(t, 9, 5 * HALF_LIFE) == 0);
    throttle_destroy(&t);
}

/* A flood of strangers takes the places of who failed least. */
static void test_flood(void)
{
    struct throttle *t = throttle_create(8, HALF_LIFE);
    uint64_t guess;

    for (guess = 1; guess <= 50; guess++)
        (void)throttle_begin(t, 42, guess, 0);
    for (uint64_t key = 1000; key < 3000; key++)
        (void)throttle_begin(t, key, 1, 1);
    CHECK("who failed most stays", throttle_failures(t, 42, 1) == 50);
    CHECK("the first of the flood has gone", throttle_failures(t, 1000, 1) == 0);
    CHECK("the last is there", throttle_failures(t, 2999, 1) == 1);
    throttle_destroy(&t);
}

static void test_verified(void)
{
    static const unsigned char one[VERIFIED_MAC_BYTES] = {1}, two[VERIFIED_MAC_BYTES] = {1, [31] = 2};
    struct verified *v = verified_create(4, 100);

    CHECK("nothing yet", !verified_has(v, 5, one, 0) && !verified_knows_peer(v, 5, 77));
    verified_add(v, 5, one, 77, 0);
    CHECK("remembered", verified_has(v, 5, one, 99));
    CHECK("but not another password", !verified_has(v, 5, two, 99));
    CHECK("nor for another account", !verified_has(v, 6, one, 99));
    CHECK("nor for ever", !verified_has(v, 5, one, 100));
    CHECK("the peer is known", verified_knows_peer(v, 5, 77) && !verified_knows_peer(v, 5, 78));
    verified_add_peer(v, 5, 78, 0);
    verified_add_peer(v, 5, 77, 0);
    verified_add_peer(v, 5, 79, 0);
    CHECK("three peers are",
          verified_knows_peer(v, 5, 77) && verified_knows_peer(v, 5, 78) && verified_knows_peer(v, 5, 79));
    verified_add_peer(v, 5, 80, 0);
    CHECK("a fourth takes the place of the first",
          verified_knows_peer(v, 5, 80) && !verified_knows_peer(v, 5, 77));
    verified_add(v, 5, two, 80, 0);
    CHECK("a new password takes the old one's place",
          verified_has(v, 5, two, 1) && !verified_has(v, 5, one, 1));
    verified_drop(v, 5);
    CHECK("dropped", !verified_has(v, 5, two, 1) && !verified_knows_peer(v, 5, 80));
    for (uint64_t account = 1; account <= 5; account++)
        verified_add(v, account, one, 1, (int64_t)account);
    CHECK("four fit: the one that expires first went",
          !verified_has(v, 1, one, 6) && verified_has(v, 2, one, 6) && verified_has(v, 5, one, 6));
    verified_destroy(&v);

    v = verified_create(0, 100);
    verified_add(v, 5, one, 77, 0);
    CHECK("without memory nothing is remembered", !verified_has(v, 5, one, 0));
    verified_destroy(&v);
}

int main(void)
{
    test_counting();
    test_flood();
    test_verified();
    return check_done();
}
