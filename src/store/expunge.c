/*
 * store/expunge.c - messages taken out of a mailbox, and who is told which.
 *
 * Layer: store.  An entry moves whole to `expunged`; upkeep.c gives the body back
 * when its time has come.
 */
#include "base/clock.h"
#include "store/flag_run.h"

static bool expunge_rows(struct change *c, struct change_box *box, const struct view_run *run,
                         uint64_t modseq, int64_t now, struct fail *why)
{
    int64_t id = (int64_t)box->row.id, first = (int64_t)run->first, last = (int64_t)run->last;
    uint64_t bytes = 0, deleted_bytes = 0;

    if (!flag_runs_settle(c->db, box->row.id, run->first, run->last, why))
        return false;
    struct db_stmt *q = db_stmt(c->db, SQL_RANGE_BYTES, why);
    if (q == NULL)
        return false;
    db_bind_i64(q, 1, id);
    db_bind_i64(q, 2, first);
    db_bind_i64(q, 3, last);
    if (db_step(q, why)) {
        bytes = (uint64_t)db_col_i64(q, 0);
        deleted_bytes = (uint64_t)db_col_i64(q, 1);
    }
    if (!db_done(q, why) ||
        !db_run(c->db, SQL_EXPUNGE_KEEP, why, "iiiii", id, first, last, (int64_t)modseq, now) ||
        !db_run(c->db, SQL_EXPUNGE_REMOVE, why, "iii", id, first, last))
        return false;
    if (db_changes(c->db) != run->count)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "mailbox %lld: %lld rows where the view has %u",
                        (long long)id, (long long)db_changes(c->db), run->count);
    box->row.bytes -= bytes;
    box->row.deleted_bytes -= deleted_bytes;
    c->row.bytes -= bytes;
    return true;
}

/* Counts what the run's entries were, and notes their UIDs. */
static void count_out(struct change *c, struct change_box *box, const struct view_run *run,
                      struct uid_set *gone)
{
    for (uint32_t i = run->position; i < run->position + run->count; i++) {
        struct view_entry e = view_at(box->view, i);
        box->row.unseen -= (e.flags & STORE_SEEN) == 0;
        box->row.deleted -= (e.flags & STORE_DELETED) != 0;
        uid_set_add(gone, e.uid);
    }
    box->row.messages -= run->count;
    c->row.messages -= run->count;
}

bool expunge_runs(struct change *c, struct change_box *box, const struct view_runs *runs, struct fail *why)
{
    struct uid_set gone = {.count = 0};
    int64_t now = clock_now();
    bool ok = true;

    if (runs->count == 0)
        return true;
    for (size_t i = 0; ok && i < runs->count; i++) {
        count_out(c, box, &runs->list[i], &gone);
        ok = expunge_rows(c, box, &runs->list[i], change_modseq(c), now, why);
    }
    view_remove(&box->view, &gone);
    uid_set_finish(&gone);
    box->row.expunge_modseq = change_modseq(c);
    change_event(c, box->row.id, WATCH_GONE, SLICE(""));
    change_touch(c, box);
    return ok;
}

struct expunging {
    uint64_t mailbox_id;
    const struct uid_range *ranges;
    size_t range_count;
    bool any;
    struct uid_set gone;
    uint64_t modseq;
};

static uint32_t take_deleted(void *ctx, const struct view_entry *e)
{
    (void)ctx;
    return (e->flags & STORE_DELETED) != 0;
}

static bool expunge(struct change *c, void *ctx, struct fail *why)
{
    struct expunging *x = ctx;
    struct change_box *box = change_box(c, x->mailbox_id, why);

    if (box == NULL || !change_view(c, box, why))
        return false;
    struct view_runs runs =
        view_runs_find(box->view, x->ranges, x->range_count, x->any ? run_take_all : take_deleted, NULL);
    for (size_t i = 0; i < runs.count; i++) {
        for (uint32_t k = 0; k < runs.list[i].count; k++)
            uid_set_add(&x->gone, view_at(box->view, runs.list[i].position + k).uid);
    }
    bool ok = expunge_runs(c, box, &runs, why);
    view_runs_finish(&runs);
    x->modseq = box->row.highest_modseq;
    return ok;
}

bool message_expunge(struct account *a, uint64_t mailbox_id, const struct uid_range *ranges,
                     size_t range_count, bool any, struct uid_set *gone, uint64_t *modseq, struct fail *why)
{
    struct expunging x = {.mailbox_id = mailbox_id, .ranges = ranges, .range_count = range_count, .any = any};
    struct view *v;

    if (!view_open(a, mailbox_id, &v, why))
        return false;
    view_release(&v);
    bool ok = change_run(a, CHANGE_TOGETHER, expunge, &x, why);
    if (ok && modseq != NULL)
        *modseq = x.modseq;
    if (ok && gone != NULL)
        *gone = x.gone;
    else
        uid_set_finish(&x.gone);
    return ok;
}

static bool read_vanished(struct account *a, uint64_t mailbox_id, uint64_t since, struct uid_set *gone,
                          struct fail *why)
{
    struct db_stmt *q = db_stmt(a->db, SQL_VANISHED, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)mailbox_id);
    db_bind_i64(q, 2, (int64_t)since);
    while (db_step(q, why))
        uid_set_add(gone, (uint32_t)db_col_i64(q, 0));
    return db_done(q, why);
}

bool message_vanished(struct account *a, uint64_t mailbox_id, uint64_t since, struct uid_set *gone,
                      bool *complete, struct fail *why)
{
    struct uid_set uids = {.count = 0};
    const struct mailbox_state *box;

    if (!account_lock(a, why))
        return false;
    box = state_need_mailbox(a->state, mailbox_id, why);
    bool whole = a->state->row.forgotten_modseq <= since;
    bool ok = box != NULL &&
              (box->row.expunge_modseq <= since || read_vanished(a, mailbox_id, since, &uids, why));
    account_unlock(a);
    if (!ok) {
        uid_set_finish(&uids);
        return false;
    }
    *gone = uids;
    *complete = whole;
    return true;
}
