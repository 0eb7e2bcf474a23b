/*
 * store/past_bring.c - what was in mailboxes comes back: as new entries of messages that are kept.
 *
 * Layer: store.  Room is reserved for all of it first; then mailboxes are made that are missing, each in its own
 * transaction as always, and the entries follow, some at a time, so that nobody else waits long for the account.
 */
#include "base/scoped.h"
#include "store/flag_run.h"
#include "store/past.h"

enum { SOME = 1000 }; /* entries in a transaction */

/* ---- entries ---- */

struct piece {
    const struct past_message *list; /* of one mailbox */
    size_t count;
    uint64_t to;
    bool once; /* leave out what is in that mailbox */
    struct quota_amount reserved;
    struct past_result done; /* by the last run */
};

/* What the row says now, in the mailbox or among the expunged; *there false: it is gone for good. */
static bool read_row(struct change *c, const struct past_message *m, struct new_message *out, bool *there,
                     struct fail *why)
{
    struct db_stmt *q = db_stmt(c->db, SQL_PAST_ROW, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)m->box->id);
    db_bind_i64(q, 2, (int64_t)m->uid);
    *there = db_step(q, why) && (uint64_t)db_col_i64(q, 0) == m->message_id;
    if (*there)
        *out = (struct new_message){.flags = (uint32_t)db_col_i64(q, 1) & STORE_FLAGS & ~(uint32_t)STORE_DELETED,
                                    .keyword_set = (uint32_t)db_col_i64(q, 2)};
    return db_done(q, why);
}

static bool is_in(struct change *c, uint64_t mailbox, uint64_t message, bool *yes, struct fail *why)
{
    struct db_stmt *q = db_stmt(c->db, SQL_PAST_IS_IN, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)message);
    db_bind_i64(q, 2, (int64_t)mailbox);
    *yes = db_step(q, why);
    return db_done(q, why);
}

static bool bring_one(struct change *c, struct piece *p, struct change_box *box, const struct past_message *m,
                      struct fail *why)
{
    struct new_message row;
    bool there, again = false;
    uint32_t uid;

    if (!read_row(c, m, &row, &there, why) || (there && p->once && !is_in(c, p->to, m->message_id, &again, why)))
        return false;
    if (!there || again)
        return true;
    if (!row_put_entry(c, box, m->message_id, &row, m->size, &uid, why) || !uidl_tell_apart(c, box, uid, uid, why))
        return false;
    p->done.messages++;
    p->done.bytes += m->size;
    return true;
}

static bool bring_piece(struct change *c, void *ctx, struct fail *why)
{
    struct piece *p = ctx;
    struct change_box *box = change_box(c, p->to, why);

    p->done = (struct past_result){0};
    if (box == NULL ||
        !flag_runs_settle(c->db, p->list[0].box->id, p->list[0].uid, p->list[p->count - 1].uid, why))
        return false;
    c->returned.bytes += p->reserved.bytes;
    c->returned.messages += p->reserved.messages;
    for (size_t i = 0; i < p->count; i++)
        if (!bring_one(c, p, box, &p->list[i], why))
            return false;
    return true;
}

static struct quota_amount amount_of(const struct past_message *list, size_t count)
{
    struct quota_amount amount = {.messages = count};

    for (size_t i = 0; i < count; i++)
        amount.bytes += list[i].size;
    return amount;
}

/* ---- the whole ---- */

struct bringing {
    struct account *account;
    const struct past *past;
    struct slice under; /* empty: each where it was */
    struct quota_amount reserved;
    struct past_result done;
};

static bool use_is_free(const struct mailbox_list *list, enum special_use use)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].use == use)
            return false;
    return true;
}

/* A deleted \Trash is the \Trash again, unless there is another by now. */
static enum special_use use_for(const struct bringing *b, const struct past_box *box)
{
    const struct mailbox_list *list;
    enum special_use use = USE_NONE;

    if (b->under.len > 0 || box->use == USE_NONE || !mailbox_list(b->account, &list, NULL))
        return USE_NONE;
    if (use_is_free(list, box->use))
        use = box->use;
    mailbox_list_release(&list);
    return use;
}

/* Where the messages of that mailbox go; made if there is none. */
static bool place_for(struct bringing *b, const struct past_box *box, uint64_t *to, struct fail *why)
{
    struct mailbox_info info;
    struct fail missing = {0};
    struct arena arena;

    if (b->under.len == 0 && box->is_there) {
        *to = box->id;
        return true;
    }
    arena_init(&arena, 1 << 20);
    struct slice name = b->under.len == 0 ? box->name
                                          : arena_printf(&arena, PRIslice "/" PRIslice, SLICE_ARG(b->under),
                                                         SLICE_ARG(box->name));
    bool ok = mailbox_find(b->account, name, &arena, &info, &missing), found = ok && !info.no_select;
    if (found) {
        *to = info.id;
    } else if (ok || missing.reason == FAIL_NOT_FOUND) {
        ok = mailbox_create_alone(b->account, name, use_for(b, box), to, why) &&
             mailbox_subscribe(b->account, name, true, why);
        b->done.mailboxes += ok;
    } else if (why != NULL) {
        *why = missing;
    }
    arena_finish(&arena);
    return ok;
}

static bool bring_some(struct bringing *b, const struct past_message *list, size_t count, uint64_t to,
                       struct fail *why)
{
    struct piece piece = {
        .list = list, .count = count, .to = to, .once = b->under.len == 0, .reserved = amount_of(list, count)};

    if (!change_run(b->account, CHANGE_TOGETHER, bring_piece, &piece, why))
        return false;
    b->reserved.bytes -= piece.reserved.bytes;
    b->reserved.messages -= piece.reserved.messages;
    b->done.messages += piece.done.messages;
    b->done.bytes += piece.done.bytes;
    return true;
}

static bool bring_all(struct bringing *b, struct fail *why)
{
    const struct past *p = b->past;
    const struct past_box *box = NULL;
    uint64_t to = 0;

    for (size_t i = 0, n; i < p->count; i += n) {
        const struct past_message *first = &p->list[i];
        for (n = 1; n < SOME && i + n < p->count && first[n].box == first->box; n++)
            ;
        if (first->box != box && !place_for(b, first->box, &to, why))
            return false;
        box = first->box;
        if (!bring_some(b, first, n, to, why))
            return false;
    }
    return true;
}

static bool bring(struct bringing *b, struct past_result *out, struct fail *why)
{
    struct store *st = b->account->store;

    *out = (struct past_result){0};
    b->reserved = amount_of(b->past->list, b->past->count);
    if (!quota_reserve(b->account, b->reserved, why))
        return quota_tell_missing(b->account, b->reserved, why);
    bool ok = bring_all(b, why);
    quota_release(st, b->account->id, b->reserved);
    *out = b->done;
    return ok;
}

bool past_bring_back(struct account *a, const struct past *p, struct past_result *out, struct fail *why)
{
    struct bringing b = {.account = a, .past = p};

    return bring(&b, out, why);
}

/* Is there a mailbox of that name, or below it? */
static bool name_is_taken(struct account *a, struct slice name, bool *taken, struct fail *why)
{
    const struct mailbox_list *list;

    if (!mailbox_list(a, &list, why))
        return false;
    *taken = mailbox_in_list(list, name) != NULL;
    mailbox_list_release(&list);
    return true;
}

bool past_restore(struct account *a, const struct past *p, struct slice under, struct past_result *out,
                  struct fail *why)
{
    struct bringing b = {.account = a, .past = p};
    struct arena arena;
    bool taken;

    *out = (struct past_result){0};
    arena_init(&arena, 1 << 20);
    bool ok = mailbox_name_check(&arena, under, &a->store->limits, &b.under, why) &&
              name_is_taken(a, b.under, &taken, why);
    if (ok && taken)
        ok = fail_set(why, FAIL_PERM, FAIL_EXISTS, "there is a mailbox \"" PRIslice "\" already", SLICE_ARG(b.under));
    ok = ok && bring(&b, out, why);
    arena_finish(&arena);
    return ok;
}

/* ---- giving back ---- */

bool past_purge(struct account *a, bool all, struct purge_result *out, struct fail *why)
{
    const bool snapshot = all && a->store->limits.snapshot_hours > 0; /* the one before still names them */

    *out = (struct purge_result){0};
    return release_purge_now(a, all, out, why) && release_sweep(a, why) &&
           (!snapshot || store_snapshot(a->store, a->id, why));
}
