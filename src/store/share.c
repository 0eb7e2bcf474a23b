/*
 * store/share.c - which accounts have given somebody rights: an index in node.db.
 *
 * Layer: store.  It may name an account that no longer shares, never miss one that
 * does: whoever asks looks at the account.  Changes of it and of the entries it
 * follows are made one at a time (share_lock).
 */
#include <stdlib.h>

#include "base/block.h"
#include "store/acl.h"
#include "store/internal.h"

enum { OWNERS_MAX = 100000 };

void share_lock(struct store *st)
{
    block_begin();
    (void)pthread_mutex_lock(&st->share_lock);
    block_end();
}

void share_unlock(struct store *st)
{
    (void)pthread_mutex_unlock(&st->share_lock);
}

/* Who is not meant: what is taken away, and nobody. */
static bool is_grantee(struct slice identifier)
{
    return identifier.len > 0 && identifier.ptr[0] != '-';
}

bool share_add(struct account *a, struct slice identifier, struct fail *why)
{
    if (!is_grantee(identifier))
        return true;
    block_begin();
    node_lock(a->store);
    bool ok = db_run(a->store->node, NODE_SHARE_ADD, why, "it", (int64_t)a->id, identifier);
    node_unlock(a->store);
    block_end();
    return ok;
}

/* Those the account has in the index, in the arena. */
static bool read_grantees(struct account *a, struct arena *arena, struct slice **out, size_t *count, struct fail *why)
{
    bool ok;

    *out = NULL;
    *count = 0;
    node_lock(a->store);
    struct db_stmt *q = db_stmt(a->store->node, NODE_SHARES_OF, why);
    if ((ok = q != NULL)) {
        size_t cap = 0;
        db_bind_i64(q, 1, (int64_t)a->id);
        while (db_step(q, why)) {
            if (*count == cap) {
                cap = cap == 0 ? 16 : cap * 2;
                struct slice *grown = arena_new_array(arena, struct slice, cap);
                if (*count > 0)
                    memcpy(grown, *out, *count * sizeof(*grown));
                *out = grown;
            }
            (*out)[(*count)++] = arena_keep(arena, db_col_text(q, 0));
        }
        ok = db_done(q, why);
    }
    node_unlock(a->store);
    return ok;
}

static bool has_entry(const struct account_state *s, struct slice identifier)
{
    for (size_t i = 0; i < s->box_count; i++) {
        const struct mailbox_state *box = &s->boxes[i];
        for (size_t k = 0; k < box->acl_count; k++)
            if (slice_eq(box->acl[k].identifier, identifier))
                return true;
    }
    return false;
}

/* Which of them no mailbox names any more. */
static bool find_stale(struct account *a, const struct slice *grantees, bool *stale, size_t count, struct fail *why)
{
    if (!account_peek(a, why))
        return false;
    for (size_t i = 0; i < count; i++)
        stale[i] = !has_entry(a->state, grantees[i]);
    (void)pthread_mutex_unlock(&a->lock);
    return true;
}

bool share_tidy(struct account *a, struct fail *why)
{
    struct slice *grantees;
    struct arena arena;
    size_t count;

    arena_init(&arena, SIZE_MAX);
    bool ok = read_grantees(a, &arena, &grantees, &count, why);
    bool *stale = ok ? arena_new_array(&arena, bool, count + 1) : NULL;
    ok = ok && find_stale(a, grantees, stale, count, why);
    for (size_t i = 0; ok && i < count; i++) {
        if (!stale[i])
            continue;
        block_begin();
        node_lock(a->store);
        ok = db_run(a->store->node, NODE_SHARE_GONE, why, "it", (int64_t)a->id, grantees[i]);
        node_unlock(a->store);
        block_end();
    }
    arena_finish(&arena);
    return ok;
}

/* Every entry once; the names of the state are copied, as it may be read anew meanwhile. */
bool share_index(struct account *a, struct fail *why)
{
    struct arena arena;
    struct slice *names = NULL;
    size_t count = 0;

    share_lock(a->store);
    arena_init(&arena, SIZE_MAX);
    bool ok = account_peek(a, why);
    if (ok) {
        for (size_t i = 0; i < a->state->box_count; i++)
            count += a->state->boxes[i].acl_count;
        names = arena_new_array(&arena, struct slice, count + 1);
        for (size_t i = 0, n = 0; i < a->state->box_count; i++)
            for (size_t k = 0; k < a->state->boxes[i].acl_count; k++)
                names[n++] = arena_keep(&arena, a->state->boxes[i].acl[k].identifier);
        (void)pthread_mutex_unlock(&a->lock);
    }
    for (size_t i = 0; ok && i < count; i++)
        ok = share_add(a, names[i], why);
    ok = ok && share_tidy(a, why);
    arena_finish(&arena);
    share_unlock(a->store);
    return ok;
}

bool share_forget_owner(struct store *st, uint64_t id, struct fail *why)
{
    node_lock(st);
    bool ok = db_run(st->node, NODE_SHARE_OWNER_GONE, why, "i", (int64_t)id);
    node_unlock(st);
    return ok;
}

bool share_is_indexed(struct account *a, struct slice identifier, bool *yes, struct fail *why)
{
    int64_t count;

    *yes = !is_grantee(identifier);
    if (*yes)
        return true;
    node_lock(a->store);
    bool ok = db_get_i64(a->store->node, NODE_SHARE_HAS, &count, why, "it", (int64_t)a->id, identifier);
    node_unlock(a->store);
    *yes = ok && count > 0;
    return ok;
}

static bool add_owner(struct arena *arena, uint64_t **owners, size_t *count, size_t *cap, uint64_t id)
{
    for (size_t i = *count; i-- > 0;)
        if ((*owners)[i] == id)
            return true;
    if (*owners == NULL || *count == *cap) {
        *cap = *cap == 0 ? 16 : *cap * 2;
        uint64_t *grown = arena_new_array(arena, uint64_t, *cap);
        if (grown == NULL || *count >= OWNERS_MAX)
            return false;
        if (*count > 0)
            memcpy(grown, *owners, *count * sizeof(*grown));
        *owners = grown;
    }
    (*owners)[(*count)++] = id;
    return true;
}

static int by_number(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

    return (a > b) - (a < b);
}

bool store_sharing(struct store *st, const struct slice *identifiers, size_t identifier_count, struct arena *arena,
                   uint64_t **owners, size_t *count, struct fail *why)
{
    size_t cap = 0;
    bool ok = true;

    *owners = NULL;
    *count = 0;
    node_lock(st);
    for (size_t i = 0; ok && i < identifier_count; i++) {
        struct db_stmt *q = db_stmt(st->node, NODE_SHARING, why);
        bool fits = true;
        if ((ok = q != NULL)) {
            db_bind_text(q, 1, identifiers[i]);
            while (fits && db_step(q, why))
                fits = add_owner(arena, owners, count, &cap, (uint64_t)db_col_i64(q, 0));
            ok = db_done(q, why) && (fits || fail_set(why, FAIL_PERM, FAIL_LIMIT, "too many share with you"));
        }
    }
    node_unlock(st);
    if (ok && *count > 1)
        qsort(*owners, *count, sizeof(**owners), by_number);
    return ok;
}

/* ---- an address that is nobody's any more ---- */

static bool forget_identifier(struct change *c, void *ctx, struct fail *why)
{
    (void)change_modseq(c);
    c->restructured = true;
    return db_run(c->db, SQL_ACL_FORGET, why, "t", *(const struct slice *)ctx);
}

bool store_forget_grantee(struct store *st, struct slice address, struct fail *why)
{
    struct arena arena;
    uint64_t *owners;
    size_t count;

    arena_init(&arena, SIZE_MAX);
    share_lock(st);
    bool ok = store_sharing(st, &address, 1, &arena, &owners, &count, why);
    for (size_t i = 0; ok && i < count; i++) {
        struct account *a;
        struct fail gone = {0};
        if (!store_account(st, owners[i], &a, &gone)) {
            ok = gone.reason == FAIL_NOT_FOUND || fail_set(why, gone.kind, gone.reason, "%s", gone.text);
            continue;
        }
        ok = change_run(a, CHANGE_ALONE, forget_identifier, &address, why) && share_tidy(a, why);
        account_release(&a);
    }
    share_unlock(st);
    arena_finish(&arena);
    return ok;
}
