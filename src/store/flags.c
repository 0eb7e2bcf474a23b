/*
 * store/flags.c - flags and keywords of messages.
 *
 * Layer: store.  The view says which messages change; rows are changed a run at
 * a time, those of long runs later (flag_run.h).  A message that would stay as it is keeps its modseq.
 */
#include "store/flag_run.h"

struct flagging {
    uint64_t mailbox_id;
    const struct uid_range *ranges;
    size_t range_count;
    const struct flag_change *change;
    struct uid_set *refused;
    uint64_t modseq;
    uint64_t user;                /* 0: the owner; else \Seen goes his own way: */
    uint32_t seen_keep, seen_set; /* as keep and set */

    /* while it runs */
    struct change *c;
    uint32_t keep, set;      /* new flags are (flags & keep) | set */
    bool keywords;           /* keyword sets may change too */
    struct flag_runs runs;   /* of the mailbox */
    struct change_box *box;
    const struct view_run *run;
    uint64_t last_modseq;    /* the highest of the run before it changes */
    struct uid_set moved;    /* those whose \\Deleted changes */
    struct idmap successors; /* set id + 1 to new set id + 1 */
    bool failed;
    struct fail *why;
};

static uint32_t new_flags(const struct flagging *f, uint32_t flags)
{
    return (flags & f->keep) | f->set;
}

/* What becomes of a keyword set; the same for every message that has it. */
static uint32_t successor(struct flagging *f, uint32_t set)
{
    void *known = idmap_get(&f->successors, (uint64_t)set + 1);
    uint32_t new_set = set;

    if (known != NULL)
        return (uint32_t)((uintptr_t)known - 1);
    if (!keyword_set_change(f->c, set, f->change->op, f->change->keywords, f->change->keyword_count, &new_set,
                            f->why))
        f->failed = true;
    (void)idmap_put(&f->successors, (uint64_t)set + 1,
                    (void *)((uintptr_t)new_set + 1)); /* a number, not an address */
    return new_set;
}

/* 0: stays as it is.  Otherwise 1, or with keywords the new set's id + 1. */
static uint32_t classify(void *ctx, const struct view_entry *e)
{
    struct flagging *f = ctx;
    uint32_t set = e->keyword_set;

    if (f->failed)
        return 0;
    if (f->change->conditional && e->modseq > f->change->unchanged_since) {
        uid_set_add(f->refused, e->uid);
        return 0;
    }
    if (f->keywords)
        set = successor(f, set);
    if (new_flags(f, e->flags) == e->flags && set == e->keyword_set)
        return 0;
    return f->keywords ? set + 1 : 1;
}

/* An entry of a run in the view, and the counts. */
static void change_entry(void *ctx, struct view_entry *e)
{
    struct flagging *f = ctx;
    uint32_t now = new_flags(f, e->flags), moved = now ^ e->flags;

    if ((moved & STORE_SEEN) != 0)
        f->box->row.unseen += (now & STORE_SEEN) != 0 ? UINT32_MAX : 1; /* one less, or one more */
    if ((moved & STORE_DELETED) != 0) {
        f->box->row.deleted += (now & STORE_DELETED) != 0 ? 1 : UINT32_MAX;
        uid_set_add(&f->moved, e->uid);
    }
    e->flags = now;
    if (f->keywords)
        e->keyword_set = f->run->class - 1;
    if (f->last_modseq < e->modseq)
        f->last_modseq = e->modseq;
    e->modseq = f->modseq;
}

static void change_entries(struct flagging *f, struct change_box *box, const struct view_run *run)
{
    f->box = box;
    f->run = run;
    f->last_modseq = 0;
    view_change(&box->view, run->position, run->count, change_entry, f);
}

/* All of them moved the same way. */
static bool move_deleted_bytes(struct flagging *f, struct change_box *box, struct fail *why)
{
    struct mailbox_row *row = &box->row;
    uint64_t moved = 0;

    if (row->deleted == 0 || row->deleted == row->messages) {
        row->deleted_bytes = row->deleted == 0 ? 0 : row->bytes;
        return true;
    }
    for (size_t i = 0; i < f->moved.count; i++) {
        int64_t bytes;
        if (!db_get_i64(f->c->db, SQL_SOME_BYTES, &bytes, why, "iii", (int64_t)row->id,
                        (int64_t)f->moved.ranges[i].first, (int64_t)f->moved.ranges[i].last))
            return false;
        moved += (uint64_t)bytes;
    }
    row->deleted_bytes += (f->set & STORE_DELETED) != 0 ? moved : 0 - moved;
    return true;
}

static bool right_count(struct flagging *f, const struct change_box *box, uint32_t count, struct fail *why)
{
    return db_changes(f->c->db) == count ||
           fail_set(why, FAIL_TEMP, FAIL_OTHER, "mailbox %llu: %lld rows where the view has %u",
                    (unsigned long long)box->row.id, (long long)db_changes(f->c->db), count);
}

/* Rows that some flag run has not reached yet are written whole, as the view has them now. */
static bool write_whole(struct flagging *f, const struct change_box *box, const struct view_run *run,
                        struct fail *why)
{
    uint32_t at = run->position, end = run->position + run->count;

    while (at < end) {
        struct view_entry first = view_at(box->view, at), last = first;
        uint32_t from = at;
        for (at++; at < end; at++) {
            struct view_entry e = view_at(box->view, at);
            if (e.flags != first.flags || e.keyword_set != first.keyword_set)
                break;
            last = e;
        }
        if (!db_run(f->c->db, SQL_FLAGS_AND_KEYWORDS_SET, why, "iiiiiii", (int64_t)box->row.id,
                    (int64_t)first.uid, (int64_t)last.uid, (int64_t)f->modseq, INT64_C(0), (int64_t)first.flags,
                    (int64_t)first.keyword_set) ||
            !right_count(f, box, at - from, why))
            return false;
    }
    return true;
}

static bool write_later(struct flagging *f, const struct change_box *box, const struct view_run *run,
                        struct fail *why)
{
    const struct flag_run r = {
        .modseq = f->modseq,
        .first = run->first,
        .last = run->last,
        .keep = f->keep,
        .set = f->set,
        .keywords = f->keywords ? (int64_t)run->class - 1 : -1,
    };

    return flag_runs_add(f->c->db, box->row.id, &f->runs, &r, f->last_modseq, why);
}

static bool change_rows(struct flagging *f, struct change_box *box, const struct view_run *run,
                        struct fail *why)
{
    struct db *db = f->c->db;
    int64_t id = (int64_t)box->row.id, first = (int64_t)run->first, last = (int64_t)run->last;
    int64_t modseq = (int64_t)f->modseq, keep = (int64_t)f->keep, set = (int64_t)f->set;
    bool ok;

    if (run->count >= FLAG_RUN_LEAST)
        return write_later(f, box, run, why);
    if (flag_runs_touch(&f->runs, run->first, run->last))
        return write_whole(f, box, run, why);
    if (f->keywords)
        ok = db_run(db, SQL_FLAGS_AND_KEYWORDS_SET, why, "iiiiiii", id, first, last, modseq, keep, set,
                    (int64_t)run->class - 1);
    else
        ok = db_run(db, SQL_FLAGS_SET, why, "iiiiii", id, first, last, modseq, keep, set);
    return ok && right_count(f, box, run->count, why);
}

static bool change_all(struct flagging *f, struct change_box *box, const struct view_runs *runs,
                       struct fail *why)
{
    if (f->failed)
        return false;
    if (runs->count > 0) {
        f->modseq = change_modseq(f->c);
        if (!flag_runs_read(f->c->db, box->row.id, &f->runs, why))
            return false;
    }
    for (size_t i = 0; i < runs->count; i++) {
        change_entries(f, box, &runs->list[i]);
        if (!change_rows(f, box, &runs->list[i], why))
            return false;
    }
    if (f->moved.count > 0 && !move_deleted_bytes(f, box, why))
        return false;
    if (runs->count > 0) {
        change_touch(f->c, box);
        change_event(f->c, box->row.id, WATCH_FLAGS, SLICE(""));
    } else {
        f->modseq = box->row.highest_modseq;
    }
    return true;
}

/* Is the user's \Seen to change?  What is refused, classify() notes. */
static uint32_t classify_seen(void *ctx, const struct view_entry *e)
{
    const struct flagging *f = ctx;

    if (f->change->conditional && e->modseq > f->change->unchanged_since)
        return 0;
    return ((((e->flags & f->seen_keep) | f->seen_set) ^ e->flags) & STORE_SEEN) != 0;
}

/* A run of messages, of which `v` is his view, becomes seen by him or not. */
static bool write_seen(struct flagging *f, const struct view *v, const struct view_run *run, struct fail *why)
{
    bool seen = (f->seen_set & STORE_SEEN) != 0;
    int64_t modseq = (int64_t)f->modseq;

    for (uint32_t i = run->position; i < run->position + run->count; i++)
        view_put_row(&f->c->seen, view_at(v, i).uid, seen ? STORE_SEEN : 0, f->modseq);
    return db_run(f->c->db, SQL_SEEN_SET, why, "iiiii", (int64_t)f->mailbox_id, (int64_t)f->user,
                  (int64_t)run->first, (int64_t)run->last, seen ? modseq : -modseq);
}

static bool change_seen(struct flagging *f, struct change_box *box, const struct view *v, struct fail *why)
{
    struct view_runs runs = view_runs_find(v, f->ranges, f->range_count, classify_seen, f);
    bool ok = true;

    if (runs.count > 0) {
        f->modseq = change_modseq(f->c);
        f->c->seen_by = f->user;
        f->c->seen_in = f->mailbox_id;
    }
    for (size_t i = 0; ok && i < runs.count; i++)
        ok = write_seen(f, v, &runs.list[i], why);
    if (ok && runs.count > 0)
        change_touch(f->c, box);
    view_runs_finish(&runs);
    return ok;
}

/* A user's view has the mailbox's messages in the same places. */
static bool change_flags(struct change *c, void *ctx, struct fail *why)
{
    struct flagging *f = ctx;
    struct change_box *box = change_box(c, f->mailbox_id, why);
    struct view *v = NULL;

    if (box == NULL || !change_view(c, box, why))
        return false;
    f->c = c;
    f->why = why;
    if (f->user == 0)
        v = view_ref(box->view);
    else if (!view_for_change(c, box, f->user, &v, why))
        return false;
    idmap_init(&f->successors);
    struct view_runs runs = view_runs_find(v, f->ranges, f->range_count, classify, f);
    idmap_finish(&f->successors);
    bool ok = f->user == 0 || change_seen(f, box, v, why);
    view_release(&v); /* so that the box's can be changed in place */
    ok = ok && change_all(f, box, &runs, why);
    uid_set_finish(&f->moved);
    view_runs_finish(&runs);
    return ok;
}

/* new flags = (flags & keep) | set */
static void choose_masks(struct flagging *f, const struct flag_change *change)
{
    uint32_t flags = change->flags & STORE_FLAGS;

    switch (change->op) {
    case FLAGS_REPLACE:
        f->keep = change->held;
        f->set = flags & ~change->held;
        break;
    case FLAGS_ADD:
        f->keep = STORE_FLAGS;
        f->set = flags;
        break;
    case FLAGS_REMOVE:
        f->keep = STORE_FLAGS & ~flags;
        f->set = 0;
        break;
    }
    if (f->user != 0) {
        f->seen_keep = f->keep;
        f->seen_set = f->set;
        f->keep |= STORE_SEEN;
        f->set &= ~(uint32_t)STORE_SEEN;
    }
    f->keywords = !change->hold_keywords && (change->op == FLAGS_REPLACE || change->keyword_count > 0);
}

bool message_flags(struct account *a, uint64_t mailbox_id, const struct uid_range *ranges, size_t range_count,
                   const struct flag_change *change, struct uid_set *refused, uint64_t *modseq,
                   struct fail *why)
{
    struct uid_set nobody = {.count = 0};
    struct flagging f = {
        .mailbox_id = mailbox_id,
        .ranges = ranges,
        .range_count = range_count,
        .change = change,
        .refused = &nobody,
        .user = change->user == a->id ? 0 : change->user,
    };
    struct view *v;

    choose_masks(&f, change);
    if (!view_open_for(a, mailbox_id, f.user, &v, why)) /* loaded before the transaction, and kept for the next */
        return false;
    view_release(&v);
    bool ok = change_run(a, f.user == 0 ? CHANGE_TOGETHER : CHANGE_ALONE, change_flags, &f, why);
    if (ok && modseq != NULL)
        *modseq = f.modseq;
    if (ok && refused != NULL)
        *refused = nobody;
    else
        uid_set_finish(&nobody);
    return ok;
}
