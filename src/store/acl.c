/*
 * store/acl.c - who may do what with a mailbox.
 *
 * Layer: store.  Entries lie in the account's file and, all of them, in memory with
 * its mailboxes: a change reads those anew.
 */
#include "store/acl.h"

#include <stdlib.h>

#include "base/block.h"
#include "store/internal.h"

enum { ENTRIES_MAX = 1000 }; /* of one mailbox */

/* ---- what they mean ---- */

static bool concerns(struct slice identifier, struct slice address)
{
    return slice_eq(identifier, address) || slice_eq(identifier, ACL_ANYONE) ||
           slice_eq(identifier, ACL_AUTHENTICATED);
}

/* RFC 4314 section 2: what all that concern him give, without what all that concern him take. */
unsigned acl_rights(const struct acl_entry *list, size_t count, struct slice address, bool owner)
{
    unsigned given = 0, taken = 0;
    bool named = false;

    for (size_t i = 0; i < count; i++) {
        struct slice identifier = list[i].identifier;
        bool negative = identifier.len > 0 && identifier.ptr[0] == '-';
        if (negative)
            identifier = slice_from(identifier, 1);
        if (owner ? !slice_eq(identifier, address) : !concerns(identifier, address))
            continue;
        named = named || !negative;
        *(negative ? &taken : &given) |= list[i].rights;
    }
    if (!owner)
        return given & ~taken;
    return ((named ? given : RIGHTS_ALL) & ~taken) | ACL_OWNERS;
}

/* ---- asking ---- */

/* Takes `lock`; false with it given back. */
static bool peek_mailbox(struct account *a, uint64_t mailbox_id, const struct mailbox_state **box, struct fail *why)
{
    if (!account_peek(a, why))
        return false;
    *box = state_need_mailbox(a->state, mailbox_id, why);
    if (*box == NULL)
        (void)pthread_mutex_unlock(&a->lock);
    return *box != NULL;
}

bool acl_list(struct account *a, uint64_t mailbox_id, struct arena *arena, struct acl_entry **out, size_t *count,
              struct fail *why)
{
    const struct mailbox_state *box;

    if (!peek_mailbox(a, mailbox_id, &box, why))
        return false;
    *count = box->acl_count;
    *out = arena_new_array(arena, struct acl_entry, box->acl_count + 1);
    for (size_t i = 0; *out != NULL && i < box->acl_count; i++)
        (*out)[i] = (struct acl_entry){arena_keep(arena, box->acl[i].identifier), box->acl[i].rights};
    (void)pthread_mutex_unlock(&a->lock);
    return *out != NULL || fail_set(why, FAIL_PERM, FAIL_LIMIT, "there are too many entries");
}

bool acl_rights_in(struct account *a, uint64_t mailbox_id, struct slice address, bool owner, unsigned *rights,
                   struct fail *why)
{
    const struct mailbox_state *box;

    if (!peek_mailbox(a, mailbox_id, &box, why))
        return false;
    *rights = acl_rights(box->acl, box->acl_count, address, owner);
    (void)pthread_mutex_unlock(&a->lock);
    return true;
}

/* ---- changing ---- */

struct granting {
    uint64_t mailbox_id;
    struct slice identifier;
    enum acl_op op;
    unsigned rights, base;
};

static const struct acl_entry *entry_of(const struct mailbox_state *box, struct slice identifier)
{
    for (size_t i = 0; i < box->acl_count; i++)
        if (slice_eq(box->acl[i].identifier, identifier))
            return &box->acl[i];
    return NULL;
}

static unsigned applied(const struct granting *g, unsigned now)
{
    switch (g->op) {
    case ACL_REPLACE: return g->rights;
    case ACL_ADD: return now | g->rights;
    case ACL_REMOVE: return now & ~g->rights;
    }
    bug("acl_op %d", (int)g->op);
}

static bool grant(struct change *c, void *ctx, struct fail *why)
{
    const struct granting *g = ctx;
    const struct mailbox_state *box = state_need_mailbox(c->account->state, g->mailbox_id, why);

    if (box == NULL)
        return false;
    const struct acl_entry *there = entry_of(box, g->identifier);
    unsigned now = there != NULL ? there->rights : g->base, then = applied(g, now);
    if (then == now)
        return true;
    if (there == NULL && box->acl_count >= ENTRIES_MAX)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "the mailbox has %d entries already", ENTRIES_MAX);
    (void)change_modseq(c);
    c->restructured = true;
    change_event(c, g->mailbox_id, WATCH_RIGHTS, SLICE(""));
    if (then == g->base)
        return db_run(c->db, SQL_ACL_REMOVE, why, "it", (int64_t)g->mailbox_id, g->identifier);
    return db_run(c->db, SQL_ACL_SET, why, "iti", (int64_t)g->mailbox_id, g->identifier, (int64_t)then);
}

/*
 * The index names the account before the entry is there and no longer than after it
 * has gone: what a crash leaves is one name too many.
 */
bool acl_set(struct account *a, uint64_t mailbox_id, struct slice identifier, enum acl_op op, unsigned rights,
             unsigned base, struct fail *why)
{
    struct granting g = {mailbox_id, identifier, op, rights, base};

    share_lock(a->store);
    bool ok = (op == ACL_REMOVE || rights == 0 || share_add(a, identifier, why)) &&
              change_run(a, CHANGE_ALONE, grant, &g, why);
    if (ok)
        (void)share_tidy(a, NULL); /* the next change does it too */
    share_unlock(a->store);
    return ok;
}

/* ---- in memory ---- */

/* The rows come ordered by mailbox and identifier. */
bool acl_load(struct account_state *s, struct db *db, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_ACL_ALL, why);
    struct mailbox_state *box = NULL;
    size_t cap = 0;

    if (q == NULL)
        return false;
    while (db_step(q, why)) {
        uint64_t id = (uint64_t)db_col_i64(q, 0);
        if (box == NULL || box->row.id != id) {
            box = state_mailbox(s, id);
            cap = 0;
        }
        if (box == NULL)
            continue; /* `check` tells of it */
        if (box->acl_count == cap) {
            cap = cap == 0 ? 4 : cap * 2;
            struct acl_entry *grown = arena_new_array(&s->arena, struct acl_entry, cap);
            if (box->acl_count > 0)
                memcpy(grown, box->acl, box->acl_count * sizeof(*grown));
            box->acl = grown;
        }
        box->acl[box->acl_count++] =
            (struct acl_entry){arena_keep(&s->arena, db_col_text(q, 1)), (unsigned)db_col_i64(q, 2) & RIGHTS_ALL};
    }
    return db_done(q, why);
}
