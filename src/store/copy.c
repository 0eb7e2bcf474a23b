/*
 * store/copy.c - messages of one mailbox put into another of the same account.
 *
 * Layer: store.  A copy is a row more for the same message.
 */
#include "base/clock.h"
#include "store/flag_run.h"

struct copying {
    uint64_t from, to;
    const struct uid_range *ranges;
    size_t range_count;
    bool move;
    struct copy_result out;
};

/* Entries from `first` on, in the view of the destination if there is one, and in the counts but for bytes.
 */
static void add_entries(struct change *c, struct change_box *to, const struct view *source,
                        const struct view_run *run, uint32_t first, struct uid_set *uids)
{
    for (uint32_t i = 0; i < run->count; i++) {
        struct view_entry e = view_at(source, run->position + i);
        uid_set_add(uids, e.uid);
        row_count(c, to, e.flags, 0);
        e.uid = first + i;
        e.modseq = change_modseq(c);
        if (to->view != NULL)
            view_append(&to->view, e);
    }
}

/* The bytes of a run; what would be more than the account may hold is refused, unless it only moves. */
static bool count_bytes(struct change *c, const struct copying *x, const struct change_box *from,
                        struct change_box *to, const struct view_run *run, struct fail *why)
{
    struct db_stmt *q = db_stmt(c->db, SQL_RANGE_BYTES, why);
    uint64_t bytes = 0, deleted = 0;

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)from->row.id);
    db_bind_i64(q, 2, (int64_t)run->first);
    db_bind_i64(q, 3, (int64_t)run->last);
    if (db_step(q, why)) {
        bytes = (uint64_t)db_col_i64(q, 0);
        deleted = (uint64_t)db_col_i64(q, 1);
    }
    if (!db_done(q, why) || (!x->move && !quota_admits(c, (struct quota_amount){bytes, run->count}, why)))
        return false;
    to->row.bytes += bytes;
    to->row.deleted_bytes += deleted;
    c->row.bytes += bytes;
    return true;
}

static bool copy_run(struct change *c, const struct copying *x, const struct change_box *from,
                     struct change_box *to, const struct view_run *run, uint32_t first, struct fail *why)
{
    if (!flag_runs_settle(c->db, from->row.id, run->first, run->last, why) ||
        !count_bytes(c, x, from, to, run, why) ||
        !db_run(c->db, SQL_COPY_ENTRIES, why, "iiiiiii", (int64_t)from->row.id, (int64_t)run->first,
                (int64_t)run->last, (int64_t)to->row.id, (int64_t)first - 1, (int64_t)change_modseq(c),
                clock_now()))
        return false;
    return db_changes(c->db) == run->count ||
           fail_set(why, FAIL_TEMP, FAIL_OTHER, "mailbox %llu: %lld rows where the view has %u",
                    (unsigned long long)from->row.id, (long long)db_changes(c->db), run->count);
}

/* `source`: the view of `from` before anything is added (it may be the destination as well). */
static bool copy_runs(struct change *c, struct copying *x, struct change_box *from, struct change_box *to,
                      const struct view *source, const struct view_runs *runs, struct fail *why)
{
    uint32_t next;

    if (runs->count == 0)
        return true;
    if (!row_take_uids(to, runs->messages, &next, why))
        return false;
    x->out.first_uid = next;
    for (size_t i = 0; i < runs->count; i++) {
        const struct view_run *run = &runs->list[i];
        if (!copy_run(c, x, from, to, run, next, why))
            return false;
        add_entries(c, to, source, run, next, &x->out.source);
        change_event_new(c, to->row.id, next, next + run->count - 1);
        next += run->count;
    }
    change_touch(c, to);
    return (!x->move || expunge_runs(c, from, runs, why)) &&
           uidl_tell_apart(c, to, x->out.first_uid, next - 1, why);
}

static bool copy(struct change *c, void *ctx, struct fail *why)
{
    struct copying *x = ctx;
    struct change_box *from = change_box(c, x->from, why), *to;

    if (from == NULL || !change_view(c, from, why))
        return false;
    to = change_box(c, x->to, why);
    if (to == NULL)
        return false;
    struct view *source = view_ref(from->view);
    struct view_runs runs = view_runs_find(source, x->ranges, x->range_count, run_take_all, NULL);
    bool ok = copy_runs(c, x, from, to, source, &runs, why);
    view_runs_finish(&runs);
    view_release(&source);
    x->out.uidvalidity = to->row.uidvalidity;
    x->out.modseq = to->row.highest_modseq;
    x->out.from_modseq = from->row.highest_modseq;
    return ok;
}

bool copy_move_all(struct change *c, uint64_t from, uint64_t to, struct fail *why)
{
    struct copying x = {.from = from, .to = to, .move = true};
    bool ok = copy(c, &x, why);

    uid_set_finish(&x.out.source);
    return ok;
}

bool message_copy(struct account *a, uint64_t from_mailbox, const struct uid_range *ranges,
                  size_t range_count, uint64_t to_mailbox, bool move, struct copy_result *out,
                  struct fail *why)
{
    struct copying x = {
        .from = from_mailbox, .to = to_mailbox, .ranges = ranges, .range_count = range_count, .move = move};
    struct view *v;

    if (!view_open(a, from_mailbox, &v, why))
        return false;
    view_release(&v);
    if (!move && !quota_ready(a, why))
        return false;
    if (!change_run(a, CHANGE_TOGETHER, copy, &x, why)) {
        uid_set_finish(&x.out.source);
        return false;
    }
    *out = x.out;
    return true;
}
