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
#define FAR_AHEAD ((uint64_t)366 * 86400)

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

/* What memory knows of the file may lag behind it, never be ahead: so it may be opened again at any time. */
void node_lock(struct store *st)
{
    (void)pthread_mutex_lock(&st->node_lock);
    db_revive(st->node);
}

void node_unlock(struct store *st)
{
    (void)pthread_mutex_unlock(&st->node_lock);
}

/*
 * Did the process before close all accounts in service, at its very end?  Then what is in their files is on the
 * disk, as after a file that this process closed itself.  The mark is gone before the first of them is opened.
 */
static bool take_clean_mark(struct store *st, struct fail *why)
{
    uint64_t clean;

    if (!read_number(st->node, SLICE("clean"), &clean, why) ||
        (clean != 0 && !write_number(st, SLICE("clean"), 0, why)))
        return false;
    st->was_clean = clean != 0;
    return clean == 0 || quota_load(st, why);
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
        !read_number(st->node, SLICE("low_water"), &st->low_water, why) || !take_clean_mark(st, why))
        return false;
    st->uidvalidity_last = (uint32_t)last;
    st->uidvalidity_reserved = (uint32_t)last;
    return true;
}

void node_mark_clean(struct store *st)
{
    if (st->node == NULL || st->any_unclean || !db_begin(st->node, NULL))
        return;
    if (!quota_save(st, NULL) || !db_run(st->node, NODE_SET, NULL, "ti", SLICE("clean"), (int64_t)1) ||
        !db_commit(st->node, NULL))
        db_rollback(st->node);
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
    node_lock(st);
    bool ok = next_uidvalidity(st, out, why);
    (void)pthread_mutex_unlock(&st->node_lock);
    return ok;
}

bool node_note_uidvalidity(struct store *st, uint32_t value, struct fail *why)
{
    bool ok = true;

    /* One that lies far in the future (a source may draw them at random) would leave none for new mailboxes. */
    if (value > (uint64_t)clock_now() + FAR_AHEAD)
        return true;
    node_lock(st);
    if (value > st->uidvalidity_last) {
        ok = value <= st->uidvalidity_reserved || write_number(st, SLICE("uidvalidity"), value, why);
        if (ok && value > st->uidvalidity_reserved)
            st->uidvalidity_reserved = value;
        if (ok)
            st->uidvalidity_last = value;
    }
    (void)pthread_mutex_unlock(&st->node_lock);
    return ok;
}

bool store_low_water(struct store *st, uint64_t *ref, struct fail *why)
{
    (void)why;
    node_lock(st);
    *ref = st->low_water;
    (void)pthread_mutex_unlock(&st->node_lock);
    return true;
}

bool store_set_low_water(struct store *st, uint64_t ref, struct fail *why)
{
    node_lock(st);
    bool ok = write_number(st, SLICE("low_water"), ref, why);
    if (ok)
        st->low_water = ref;
    (void)pthread_mutex_unlock(&st->node_lock);
    return ok;
}

/* ---- releases ---- */

static bool is_released(struct db *node, volume_ref ref, uint64_t account, bool *released, struct fail *why)
{
    struct db_stmt *q = db_stmt(node, NODE_RELEASED_BY, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)ref);
    db_bind_i64(q, 2, (int64_t)account);
    *released = db_step(q, why);
    return db_done(q, why);
}

bool node_is_released(struct store *st, volume_ref ref, uint64_t account, bool *released, struct fail *why)
{
    node_lock(st);
    bool ok = is_released(st->node, ref, account, released, why);
    (void)pthread_mutex_unlock(&st->node_lock);
    return ok;
}

/* The last owner's release becomes everybody's: account 0. */
static bool release_one(struct db *node, uint64_t account, struct node_release *r, struct fail *why)
{
    int64_t releases;

    if (!is_released(node, r->ref, 0, &r->by_all, why))
        return false;
    if (r->by_all || r->owners == 0)
        return true;
    if (r->owners == 1) {
        r->by_all = db_run(node, NODE_RELEASE, why, "iii", (int64_t)r->ref, (int64_t)0, (int64_t)r->size);
        return r->by_all;
    }
    if (!db_run(node, NODE_RELEASE, why, "iii", (int64_t)r->ref, (int64_t)account, (int64_t)r->size) ||
        !db_get_i64(node, NODE_RELEASES, &releases, why, "i", (int64_t)r->ref))
        return false;
    r->by_all = (uint64_t)releases >= r->owners;
    return !r->by_all ||
           (db_run(node, NODE_RELEASE_FORGET, why, "i", (int64_t)r->ref) &&
            db_run(node, NODE_RELEASE, why, "iii", (int64_t)r->ref, (int64_t)0, (int64_t)r->size));
}

/* Runs `one` for each of the list in one transaction. */
static bool for_each(struct store *st,
                     bool (*one)(struct db *node, uint64_t account, struct node_release *r, struct fail *why),
                     uint64_t account, struct node_release *list, size_t count, struct fail *why)
{
    block_begin();
    node_lock(st);
    bool ok = db_begin(st->node, why);
    for (size_t i = 0; ok && i < count; i++)
        ok = one(st->node, account, &list[i], why);
    ok = ok && db_commit(st->node, why);
    if (!ok)
        db_rollback(st->node);
    (void)pthread_mutex_unlock(&st->node_lock);
    block_end();
    return ok;
}

bool node_release(struct store *st, uint64_t account, struct node_release *list, size_t count,
                  struct fail *why)
{
    return for_each(st, release_one, account, list, count, why);
}

static bool forget_one(struct db *node, uint64_t account, struct node_release *r, struct fail *why)
{
    (void)account;
    return r->owners > 0 || db_run(node, NODE_RELEASED_GONE, why, "i", (int64_t)r->ref);
}

bool node_forget_gone(struct store *st, struct node_release *list, size_t count, struct fail *why)
{
    bool any = false;

    for (size_t i = 0; i < count; i++)
        any = any || list[i].owners == 0;
    return !any || for_each(st, forget_one, 0, list, count, why);
}

bool node_released(struct store *st, volume_ref after, struct node_release *out, size_t max, size_t *count,
                   struct fail *why)
{
    struct db_stmt *q;

    *count = 0;
    node_lock(st);
    q = db_stmt(st->node, NODE_RELEASED_ALL, why);
    bool ok = q != NULL;
    if (ok) {
        db_bind_i64(q, 1, (int64_t)after);
        db_bind_i64(q, 2, (int64_t)max);
        while (*count < max && db_step(q, why)) {
            out[(*count)++] = (struct node_release){
                .ref = (uint64_t)db_col_i64(q, 0),
                .size = (uint64_t)db_col_i64(q, 1),
            };
        }
        ok = db_done(q, why);
    }
    (void)pthread_mutex_unlock(&st->node_lock);
    return ok;
}
