/*
 * store/change.c - changes that come together share one transaction.
 *
 * Layer: store.  Whoever finds nobody committing leads: it takes all that wait,
 * runs each in a savepoint, commits once for all and tells them.  Meanwhile new
 * ones gather for the next leader, one of themselves.
 *
 * Rows of mailboxes and of the account are changed in memory while the members
 * run and written once, before the commit; `state` and the views are replaced
 * after it, so nobody sees what is not durable.
 */
#include <stdlib.h>

#include "base/block.h"
#include "base/log.h"
#include "store/index.h"
#include "store/internal.h"

enum { CHECKPOINT_BYTES = 1 << 20 }; /* of WAL, after which the background moves it into the file */

/* One caller of change_run. */
struct member {
    enum change_kind kind;
    change_fn *apply;
    void *ctx;
    pthread_t by;
    struct fail why;
    bool ok, done;
    struct member *next;
};

/* ---- what members see ---- */

uint64_t change_modseq(struct change *c)
{
    if (c->modseq == 0)
        c->modseq = ++c->row.highest_modseq;
    c->wrote = true;
    return c->modseq;
}

static struct change_box *add_box(struct change *c, const struct mailbox_row *row, struct view *view)
{
    struct change_box *box = xcalloc(1, sizeof *box);

    box->row = *row;
    box->view = view != NULL ? view_ref(view) : NULL;
    c->boxes = xrealloc(c->boxes, (c->box_count + 1) * sizeof(struct change_box *));
    c->boxes[c->box_count++] = box;
    return box;
}

struct change_box *change_box(struct change *c, uint64_t mailbox_id, struct fail *why)
{
    const struct mailbox_state *known;
    struct mailbox_row row;

    for (size_t i = 0; i < c->box_count; i++) {
        if (c->boxes[i]->row.id == mailbox_id)
            return c->boxes[i];
    }
    known = c->restructured ? NULL : state_mailbox(c->account->state, mailbox_id);
    if (known != NULL) {
        (void)pthread_mutex_lock(&c->account->lock); /* for first_recent, which moves without file_lock */
        row = known->row;
        (void)pthread_mutex_unlock(&c->account->lock);
    } else if (!mailbox_row_read(c->db, mailbox_id, &row, why))
        return NULL;
    if (row.no_select) {
        (void)fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "\"" PRIslice "\" holds no messages",
                       SLICE_ARG(row.name));
        return NULL;
    }
    struct change_box *box = add_box(c, &row, known != NULL ? known->view : NULL);
    /* An empty mailbox's view costs nothing to begin; kept up from here, it need not be loaded later. */
    if (box->view == NULL && row.messages == 0)
        box->view = view_empty(&row);
    return box;
}

void change_touch(struct change *c, struct change_box *box)
{
    box->changed = true;
    box->row.highest_modseq = change_modseq(c);
    if (box->view != NULL)
        view_stamp(&box->view, box->row.uidnext, box->row.highest_modseq);
}

static struct change_event *add_event(struct change *c, uint64_t mailbox_id, enum watch_kind kind)
{
    if (c->events == NULL || c->event_count == c->event_cap) {
        c->event_cap = c->event_cap == 0 ? 8 : c->event_cap * 2;
        c->events = xrealloc(c->events, c->event_cap * sizeof *c->events);
    }
    struct change_event *e = &c->events[c->event_count++];
    *e = (struct change_event){
        .what = {.mailbox_id = mailbox_id, .kinds = kind, .modseq = change_modseq(c)}, .by = c->by};
    return e;
}

void change_event(struct change *c, uint64_t mailbox_id, enum watch_kind kind, struct slice name)
{
    struct change_event *e = add_event(c, mailbox_id, kind);

    if (name.len > 0)
        e->what.name = xslicedup(name);
}

void change_event_new(struct change *c, uint64_t mailbox_id, uint32_t first, uint32_t last)
{
    struct change_event *before = c->event_count > 0 ? &c->events[c->event_count - 1] : NULL;

    if (before != NULL && before->what.kinds == WATCH_NEW && before->what.mailbox_id == mailbox_id &&
        before->what.last + 1 == first && pthread_equal(before->by, c->by) != 0) {
        before->what.last = last;
        return;
    }
    struct change_event *e = add_event(c, mailbox_id, WATCH_NEW);
    e->what.first = first;
    e->what.last = last;
}

void change_events_cut(struct change *c, size_t keep)
{
    while (c->event_count > keep)
        free(c->events[--c->event_count].what.name);
}

bool change_view(struct change *c, struct change_box *box, struct fail *why)
{
    return box->view != NULL || view_load(c->db, &box->row, &box->view, why);
}

/* ---- members and the whole ---- */

/* How all was before a member ran, to go back to. */
struct mark {
    struct account_row row;
    bool wrote, annotated, restructured;
    struct quota_amount returned, taken;
    struct change_box *boxes;
    size_t box_count, event_count;
};

static void mark_take(struct mark *m, const struct change *c)
{
    *m = (struct mark){
        .row = c->row, .wrote = c->wrote, .annotated = c->annotated, .restructured = c->restructured,
        .returned = c->returned, .taken = c->taken, .box_count = c->box_count, .event_count = c->event_count};
    if (c->box_count == 0)
        return;
    m->boxes = xcalloc(c->box_count, sizeof *m->boxes);
    for (size_t i = 0; i < c->box_count; i++) {
        m->boxes[i] = *c->boxes[i];
        if (m->boxes[i].view != NULL)
            (void)view_ref(m->boxes[i].view);
    }
}

static void mark_drop(struct mark *m)
{
    for (size_t i = 0; i < m->box_count; i++)
        view_release(&m->boxes[i].view);
    free(m->boxes);
    *m = (struct mark){.boxes = NULL};
}

/* What the transaction has reserved beyond that was for nothing. */
static void give_back_room(struct change *c, struct quota_amount kept)
{
    quota_release(c->account->store, c->account->id,
                  (struct quota_amount){c->taken.bytes - kept.bytes, c->taken.messages - kept.messages});
    c->taken = kept;
}

static void mark_return(struct mark *m, struct change *c)
{
    c->row = m->row;
    c->wrote = m->wrote;
    c->annotated = m->annotated;
    c->restructured = m->restructured;
    c->returned = m->returned;
    give_back_room(c, m->taken);
    for (size_t i = 0; i < c->box_count; i++) {
        view_release(&c->boxes[i]->view);
        if (i < m->box_count) {
            *c->boxes[i] = m->boxes[i];
            m->boxes[i].view = NULL;
        } else {
            free(c->boxes[i]);
        }
    }
    c->box_count = m->box_count;
    change_events_cut(c, m->event_count);
    mark_drop(m);
}

/* In a savepoint, so that its failure is its own.  false: the whole transaction is gone. */
static bool run_member(struct change *c, struct member *m)
{
    struct mark before;

    if (!db_savepoint(c->db, &m->why))
        return false;
    mark_take(&before, c);
    c->modseq = 0;
    c->by = m->by;
    m->ok = m->apply(c, m->ctx, &m->why) && db_savepoint_release(c->db, &m->why);
    if (m->ok) {
        mark_drop(&before);
        return true;
    }
    db_savepoint_rollback(c->db);
    mark_return(&before, c);
    keyword_table_committed(c->account, false);
    return db_in_transaction(c->db);
}

/* All members in turn; a single one needs no savepoint: it is the whole. */
static bool run_members(struct change *c, struct member *batch, struct fail *why)
{
    if (batch->next == NULL) {
        c->by = batch->by;
        batch->ok = batch->apply(c, batch->ctx, &batch->why);
        return batch->ok;
    }
    for (struct member *m = batch; m != NULL; m = m->next) {
        if (run_member(c, m))
            continue;
        *why = m->why;
        for (struct member *later = m->next; later != NULL; later = later->next)
            later->why = *why;
        return false;
    }
    return true;
}

static bool write_rows(struct change *c, struct fail *why)
{
    const struct account_row *a = &c->row;

    for (size_t i = 0; i < c->box_count; i++) {
        const struct mailbox_row *r = &c->boxes[i]->row;
        if (!c->boxes[i]->changed)
            continue;
        if (!db_run(c->db, SQL_MAILBOX_WRITE, why, "iiiiiiiiii", (int64_t)r->id, (int64_t)r->uidnext,
                    (int64_t)r->first_recent, (int64_t)r->highest_modseq, (int64_t)r->expunge_modseq,
                    (int64_t)r->messages, (int64_t)r->unseen, (int64_t)r->deleted, (int64_t)r->bytes,
                    (int64_t)r->deleted_bytes))
            return false;
    }
    return db_run(c->db, SQL_ACCOUNT_WRITE, why, "iiiii", (int64_t)a->highest_modseq,
                  (int64_t)a->next_message, (int64_t)a->next_mailbox, (int64_t)a->bytes,
                  (int64_t)a->messages);
}

static bool commit(struct change *c, struct fail *why)
{
    if (!c->wrote) {
        db_rollback(c->db);
        return true;
    }
    if (!write_rows(c, why))
        return false;
    block_begin();
    bool ok = db_commit(c->db, why);
    block_end();
    return ok;
}

/* What is durable now becomes what everybody sees. */
static void publish(struct change *c)
{
    struct account *a = c->account;
    struct fail why;

    if (c->restructured && !account_reload(a, &why)) {
        log_event(LOG_ERROR, "store.reload", LOG_U64("account", a->id), LOG_FAIL(&why));
        account_forget_state(a); /* the next access reads it */
        (void)pthread_mutex_lock(&a->lock);
        quota_note(a, c->returned);
        watch_tell(a, c);
        (void)pthread_mutex_unlock(&a->lock);
        return;
    }
    (void)pthread_mutex_lock(&a->lock);
    uint64_t added = c->row.next_message - a->state->row.next_message;
    a->state->row = c->row;
    if (c->annotated)
        a->state->annotation_modseq = c->row.highest_modseq;
    if (c->told != NULL)
        memcpy(a->state->quota_told, c->told, sizeof a->state->quota_told);
    for (size_t i = 0; i < c->box_count; i++) {
        struct change_box *from = c->boxes[i];
        struct mailbox_state *to = state_mailbox(a->state, from->row.id);
        if (to == NULL)
            continue; /* deleted by the change */
        if (from->changed) {
            struct mailbox_row row = from->row;
            row.use = to->row.use; /* by SETMETADATA, in a row of its own */
            row.leaf = to->row.leaf;
            row.name = to->row.name;
            if (row.first_recent < to->row.first_recent)
                row.first_recent = to->row.first_recent; /* a SELECT took it meanwhile */
            else
                to->recent_taken = false;
            to->row = row;
        }
        if (from->view != to->view) {
            state_set_view(a, to, from->view);
            from->view = NULL;
        }
    }
    quota_note(a, c->returned);
    struct mailbox_state *seen_in = c->seen != NULL ? state_mailbox(a->state, c->seen_in) : NULL;
    if (seen_in != NULL)
        user_views_changed(a->store, seen_in, c->seen_by, c->seen);
    watch_tell(a, c);
    (void)pthread_mutex_unlock(&a->lock);
    if (added > 0)
        index_note(a->store, a->id, added);
}

static void change_finish(struct change *c)
{
    view_release(&c->seen);
    for (size_t i = 0; i < c->box_count; i++) {
        view_release(&c->boxes[i]->view);
        free(c->boxes[i]);
    }
    free(c->boxes);
    change_events_cut(c, 0);
    free(c->events);
}

static void fail_all(struct member *batch, const struct fail *why)
{
    for (struct member *m = batch; m != NULL; m = m->next) {
        if (m->ok)
            m->why = *why;
        m->ok = false;
    }
}

/* What failed for itself keeps its own story; what fails with the whole is told the whole's. */
static void run_batch(struct account *a, struct member *batch)
{
    struct change c = {.account = a, .db = a->db, .row = a->state->row};
    struct fail why;

    if (!db_begin(a->db, &why)) {
        for (struct member *m = batch; m != NULL; m = m->next)
            m->why = why;
        return;
    }
    bool ok = run_members(&c, batch, &why) && commit(&c, &why);
    if (!ok) {
        db_rollback(a->db);
        give_back_room(&c, (struct quota_amount){0, 0});
        fail_all(batch, &why);
    }
    keyword_table_committed(a, ok && c.wrote);
    if (ok && c.wrote)
        publish(&c);
    else if (ok)
        quota_release(a->store, a->id, c.returned);
    change_finish(&c);
}

/* The members that may share the next transaction, taken off the queue. */
static struct member *take_batch(struct account *a)
{
    (void)pthread_mutex_lock(&a->lock);
    struct member *first = a->first_member, **end = &first->next;
    if (first->kind == CHANGE_TOGETHER) {
        while (*end != NULL && (*end)->kind == CHANGE_TOGETHER)
            end = &(*end)->next;
    }
    a->first_member = *end;
    if (a->first_member == NULL)
        a->last_member = &a->first_member;
    *end = NULL;
    (void)pthread_mutex_unlock(&a->lock);
    return first;
}

static void lead(struct account *a)
{
    struct fail why;
    bool ok = account_lock(a, &why);
    struct member *batch = take_batch(a);

    if (ok) {
        run_batch(a, batch);
        if (a->db != NULL && db_wal_bytes(a->db) > CHECKPOINT_BYTES)
            store_want_checkpoint(a);
        account_unlock(a);
    } else {
        for (struct member *m = batch; m != NULL; m = m->next)
            m->why = why;
    }
    (void)pthread_mutex_lock(&a->lock);
    for (struct member *m = batch, *next; m != NULL; m = next) {
        next = m->next; /* its owner may be gone once it is done */
        m->done = true;
    }
    a->leading = false;
    (void)pthread_cond_broadcast(&a->batch_done);
    (void)pthread_mutex_unlock(&a->lock);
}

bool change_run(struct account *a, enum change_kind kind, change_fn *apply, void *ctx, struct fail *why)
{
    struct member me = {.kind = kind, .apply = apply, .ctx = ctx, .by = pthread_self()};

    (void)pthread_mutex_lock(&a->lock);
    /* It is off the list again before this returns. */
    *a->last_member = &me;
    a->last_member = &me.next;
    while (!me.done) {
        if (!a->leading) {
            a->leading = true;
            (void)pthread_mutex_unlock(&a->lock);
            lead(a);
            (void)pthread_mutex_lock(&a->lock);
            continue; /* mine was in the batch, unless one alone stood before it */
        }
        (void)pthread_mutex_unlock(&a->lock);
        block_begin();
        (void)pthread_mutex_lock(&a->lock);
        while (!me.done && a->leading)
            (void)pthread_cond_wait(&a->batch_done, &a->lock);
        (void)pthread_mutex_unlock(&a->lock);
        block_end();
        (void)pthread_mutex_lock(&a->lock);
    }
    (void)pthread_mutex_unlock(&a->lock);
    if (!me.ok && why != NULL)
        *why = me.why;
    return me.ok;
}
