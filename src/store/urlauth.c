/*
 * store/urlauth.c - the keys that authorize URLs.
 *
 * Layer: store.
 */
#include "store/urlauth.h"

#include "base/encode.h"
#include "store/internal.h"

struct keying {
    uint64_t mailbox_id;
    unsigned char *key;
    bool there;
};

static bool read_key(struct db *db, struct keying *k, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_URLAUTH_KEY, why);

    k->there = false;
    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)k->mailbox_id);
    if (db_step(q, why)) {
        struct slice key = db_col_blob(q, 0);
        k->there = key.len == URLAUTH_KEY_BYTES;
        if (k->there)
            memcpy(k->key, key.ptr, key.len);
    }
    return db_done(q, why);
}

/* Asked once more: another session may have made it meanwhile. */
static bool make_key(struct change *c, void *ctx, struct fail *why)
{
    struct keying *k = ctx;

    if (state_need_mailbox(c->account->state, k->mailbox_id, why) == NULL || !read_key(c->db, k, why))
        return false;
    if (k->there)
        return true;
    random_bytes(k->key, URLAUTH_KEY_BYTES);
    k->there = true;
    c->wrote = true;
    return db_run(c->db, SQL_URLAUTH_SET, why, "ib", (int64_t)k->mailbox_id,
                  slice_make((const char *)k->key, URLAUTH_KEY_BYTES));
}

bool urlauth_key(struct account *a, uint64_t mailbox_id, bool make, unsigned char key[URLAUTH_KEY_BYTES],
                 bool *there, struct fail *why)
{
    struct keying k = {.mailbox_id = mailbox_id, .key = key};

    if (!account_lock(a, why))
        return false;
    bool ok = read_key(a->db, &k, why);
    account_unlock(a);
    if (ok && !k.there && make)
        ok = change_run(a, CHANGE_TOGETHER, make_key, &k, why);
    *there = ok && k.there;
    return ok;
}

static bool forget_key(struct change *c, void *ctx, struct fail *why)
{
    const struct keying *k = ctx;

    c->wrote = true;
    return db_run(c->db, SQL_URLAUTH_RESET, why, "i", (int64_t)k->mailbox_id);
}

bool urlauth_reset(struct account *a, uint64_t mailbox_id, struct fail *why)
{
    struct keying k = {.mailbox_id = mailbox_id};

    return change_run(a, CHANGE_TOGETHER, forget_key, &k, why);
}
