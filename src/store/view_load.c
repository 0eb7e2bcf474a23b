/*
 * store/view_load.c - views from an account's file, and the newest ones kept.
 *
 * Layer: store.
 */
#include "base/clock.h"
#include "base/scoped.h"
#include "store/flag_run.h"
#include "store/view_internal.h"

struct view *view_empty(const struct mailbox_row *box)
{
    struct view *v = view_create(box->uidvalidity, box->messages / CHUNK_ENTRIES + 1);

    v->uidnext = box->uidnext;
    v->modseq = box->highest_modseq;
    return v;
}

bool view_load(struct db *db, const struct mailbox_row *box, struct view **out, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_VIEW_ENTRIES, why);
    struct flag_runs runs;
    struct view *v;

    if (q == NULL)
        return false;
    v = view_empty(box);
    db_bind_i64(q, 1, (int64_t)box->id);
    while (db_step(q, why)) {
        struct view_entry e = {
            .uid = (uint32_t)db_col_i64(q, 0),
            .flags = (uint32_t)db_col_i64(q, 1) & STORE_FLAGS,
            .keyword_set = (uint32_t)db_col_i64(q, 2),
            .modseq = (uint64_t)db_col_i64(q, 3),
        };
        view_add(&v, view_pack(&e));
    }
    if (!db_done(q, why) || !flag_runs_read(db, box->id, &runs, why)) {
        view_release(&v);
        return false;
    }
    flag_runs_apply(&runs, &v);
    *out = v;
    return true;
}

/* The newest view, loaded if need be; file_lock held. */
static bool newest(struct account *a, struct mailbox_state *box, struct view **out, struct fail *why)
{
    struct view *v = box->view; /* written only with file_lock held */

    if (v == NULL) {
        v = view_file_load(a, &box->row);
        bool from_file = v != NULL;
        if (!from_file && !view_load(a->db, &box->row, &v, why))
            return false;
        (void)pthread_mutex_lock(&a->lock);
        box->file_modseq = from_file ? v->modseq : 0;
        state_set_view(a, box, v);
        (void)pthread_mutex_unlock(&a->lock);
    }
    *out = view_ref(v);
    return true;
}

/* What is in memory already, without waiting for a transaction under way; NULL if nothing is. */
static bool view_peek(struct account *a, uint64_t mailbox_id, struct view **out, uint64_t *expunge_modseq,
                      struct fail *why)
{
    struct mailbox_state *box;

    if (!account_peek(a, why))
        return false;
    box = state_need_mailbox(a->state, mailbox_id, why);
    if (box != NULL) {
        *out = box->view != NULL ? view_ref(box->view) : NULL;
        *expunge_modseq = box->row.expunge_modseq;
        box->view_used_ms = clock_mono_ms();
    }
    (void)pthread_mutex_unlock(&a->lock);
    return box != NULL;
}

bool view_open(struct account *a, uint64_t mailbox_id, struct view **out, struct fail *why)
{
    struct view *v = NULL;
    uint64_t expunged;

    if (!view_peek(a, mailbox_id, &v, &expunged, why))
        return false;
    if (v == NULL) {
        if (!account_lock(a, why))
            return false;
        struct mailbox_state *box = state_need_mailbox(a->state, mailbox_id, why);
        bool ok = box != NULL && newest(a, box, &v, why);
        account_unlock(a);
        if (!ok)
            return false;
    }
    *out = v;
    return true;
}

/*
 * What is recent for whom is decided with the newest view in hand.  What was taken goes along with the
 * mailbox's next change, or when the file is closed: a crash before only makes messages recent again.
 */
static void take_recent(struct mailbox_state *box, bool take, uint32_t *first_recent)
{
    *first_recent = box->row.first_recent;
    if (!take || box->row.first_recent >= box->view->uidnext)
        return;
    box->row.first_recent = box->view->uidnext;
    box->recent_taken = true;
}

bool view_open_recent(struct account *a, uint64_t mailbox_id, bool take, struct view **out,
                      uint32_t *first_recent, struct fail *why)
{
    for (;;) {
        struct mailbox_state *box;
        struct view *v = NULL;

        if (!account_peek(a, why))
            return false;
        box = state_need_mailbox(a->state, mailbox_id, why);
        if (box != NULL && box->view != NULL) {
            v = view_ref(box->view);
            take_recent(box, take, first_recent);
            box->view_used_ms = clock_mono_ms();
        }
        (void)pthread_mutex_unlock(&a->lock);
        if (v != NULL)
            *out = v;
        if (v != NULL || box == NULL)
            return box != NULL;
        if (!view_open(a, mailbox_id, &v, why)) /* into memory; it may be gone again, then once more */
            return false;
        view_release(&v);
    }
}

/* The messages of `now` below uidnext. */
static struct view *cut(struct view *now, struct view_token token)
{
    struct view *v = view_create(now->uidvalidity, now->slot_count + 1);
    bool found;
    uint32_t count = view_find(now, token.uidnext, &found);

    for (uint32_t i = 0; i < now->slot_count && now->slots[i].start < count; i++) {
        struct view_chunk *c = now->slots[i].chunk;
        if (now->slots[i].start + c->count <= count) {
            view_add_shared(&v, c);
            continue;
        }
        for (uint32_t k = 0; now->slots[i].start + k < count; k++)
            view_add(&v, c->entries[k]);
    }
    v->uidnext = token.uidnext;
    v->modseq = token.modseq;
    return v;
}

/* `v` with the messages expunged since the token in their places again. */
static bool add_expunged(struct db *db, uint64_t mailbox_id, struct view_token token, struct view **v,
                         struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_VIEW_EXPUNGED, why);
    struct view *gone;

    if (q == NULL)
        return false;
    gone = view_create((*v)->uidvalidity, 1);
    db_bind_i64(q, 1, (int64_t)mailbox_id);
    db_bind_i64(q, 2, (int64_t)token.modseq);
    db_bind_i64(q, 3, (int64_t)token.uidnext);
    while (db_step(q, why)) {
        struct view_entry e = {
            .uid = (uint32_t)db_col_i64(q, 0),
            .flags = (uint32_t)db_col_i64(q, 1) & STORE_FLAGS,
            .keyword_set = (uint32_t)db_col_i64(q, 2),
            .modseq = (uint64_t)db_col_i64(q, 3),
        };
        view_add(&gone, view_pack(&e));
    }
    bool ok = db_done(q, why);
    if (ok) {
        struct view *merged = view_merge(*v, gone);
        view_release(v);
        *v = merged;
    }
    view_release(&gone);
    return ok;
}

static bool restore_with_expunged(struct account *a, uint64_t mailbox_id, struct view_token token,
                                  struct view **out, struct fail *why)
{
    struct mailbox_state *box;
    struct view *now = NULL, *v = NULL;

    if (!account_lock(a, why))
        return false;
    box = state_need_mailbox(a->state, mailbox_id, why);
    bool ok = box != NULL && newest(a, box, &now, why);
    if (ok) {
        v = cut(now, token);
        if (box->row.expunge_modseq > token.modseq)
            ok = add_expunged(a->db, mailbox_id, token, &v, why);
    }
    account_unlock(a);
    view_release(&now);
    if (ok)
        *out = v;
    else
        view_release(&v);
    return ok;
}

bool view_restore(struct account *a, uint64_t mailbox_id, struct view_token token, struct view **out,
                  struct fail *why)
{
    struct view *now = NULL, *v = NULL;
    uint64_t expunge_modseq;

    if (!view_peek(a, mailbox_id, &now, &expunge_modseq, why))
        return false;
    if (now != NULL && now->modseq == token.modseq && now->uidnext == token.uidnext)
        v = view_ref(now);
    else if (now != NULL && expunge_modseq <= token.modseq)
        v = cut(now, token);
    else if (!restore_with_expunged(a, mailbox_id, token, &v, why)) {
        view_release(&now);
        return false;
    }
    view_release(&now);
    if (v->count != token.count) {
        view_release(&v);
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "the mailbox changed too long ago to be followed");
    }
    *out = v;
    return true;
}
