/*
 * store/node.c - node.db: numbers that belong to all accounts.
 *
 * Layer: store.  UIDVALIDITY values are given out from a block reserved in the
 * file, so that making a mailbox seldom needs a second sync.
 */
#include <stdio.h>

#include "base/block.h"
#include "base/clock.h"
#include "store/internal.h"

enum { RESERVE_AHEAD = 600 }; /* values; a process that is killed loses what is left of them */

static bool read_number(struct db *db, struct slice name, uint64_t *out, struct fail *why)
{
    struct fail none = {0};
    int64_t value;

    if (db_get_i64(db, NODE_GET, &value, &none, "t", name)) {
        *out = (uint64_t)value;
        return true;
    }
    if (none.reason == FAIL_NOT_FOUND) {
        *out = 0;
        return true;
    }
    if (why != NULL)
        *why = none;
    return false;
}

static bool write_number(struct store *st, struct slice name, uint64_t value, struct fail *why)
{
    block_begin();
    bool ok = db_run(st->node, NODE_SET, why, "ti", name, (int64_t)value);
    block_end();
    return ok;
}

bool node_open(struct store *st, struct fail *why)
{
    char path[STORE_PATH_BYTES];
    uint64_t last;
    int len = snprintf(path, sizeof path, "%s/node.db", st->dir);

    if (len < 0 || (size_t)len >= sizeof path)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s: the path is too long", st->dir);
    if (!db_open(path, &node_schema, NULL, &st->node, why) ||
        !read_number(st->node, SLICE("uidvalidity"), &last, why) ||
        !read_number(st->node, SLICE("low_water"), &st->low_water, why))
        return false;
    st->uidvalidity_last = (uint32_t)last;
    st->uidvalidity_reserved = (uint32_t)last;
    return true;
}

void node_close(struct store *st)
{
    if (st->node != NULL && st->uidvalidity_last < st->uidvalidity_reserved)
        (void)write_number(st, SLICE("uidvalidity"), st->uidvalidity_last, NULL);
    db_close(&st->node);
}

static bool next_uidvalidity(struct store *st, uint32_t *out, struct fail *why)
{
    int64_t now = clock_now();
    uint64_t value = (uint64_t)st->uidvalidity_last + 1;

    if (now > 0 && (uint64_t)now > value)
        value = (uint64_t)now;
    if (value > UINT32_MAX)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "there are no UIDVALIDITY values left");
    if (value > st->uidvalidity_reserved) {
        uint64_t reserve = value < UINT32_MAX - RESERVE_AHEAD ? value + RESERVE_AHEAD : UINT32_MAX;
        if (!write_number(st, SLICE("uidvalidity"), reserve, why))
            return false;
        st->uidvalidity_reserved = (uint32_t)reserve;
    }
    st->uidvalidity_last = (uint32_t)value;
    *out = (uint32_t)value;
    return true;
}

bool node_new_uidvalidity(struct store *st, uint32_t *out, struct fail *why)
{
    (void)pthread_mutex_lock(&st->node_lock);
    bool ok = next_uidvalidity(st, out, why);
    (void)pthread_mutex_unlock(&st->node_lock);
    return ok;
}

bool store_low_water(struct store *st, uint64_t *ref, struct fail *why)
{
    (void)why;
    (void)pthread_mutex_lock(&st->node_lock);
    *ref = st->low_water;
    (void)pthread_mutex_unlock(&st->node_lock);
    return true;
}

bool store_set_low_water(struct store *st, uint64_t ref, struct fail *why)
{
    (void)pthread_mutex_lock(&st->node_lock);
    bool ok = write_number(st, SLICE("low_water"), ref, why);
    if (ok)
        st->low_water = ref;
    (void)pthread_mutex_unlock(&st->node_lock);
    return ok;
}
