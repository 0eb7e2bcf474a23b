/*
 * store/view_user.c - a mailbox as somebody sees it whose account it is not.
 *
 * Layer: store.  What he has seen is his own: rows (user, UID, modseq) beside the
 * entries, drawing modseqs of the owner's account.  In memory they are a view of
 * their own, and his view is the mailbox's with \Seen replaced and the higher
 * modseq of both.  Its chunks stand side by side with the mailbox's: after a
 * change only those are made again that changed in either, so that view_diff
 * passes over the rest.
 *
 * A row says that the message is seen, or with a negative modseq that it is not
 * any more.  Rows of messages that are gone say nothing; the daily purge takes them.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/scoped.h"
#include "store/view_internal.h"

struct user_view {
    struct user_view *next;
    uint64_t user;
    struct view *seen;       /* the rows: STORE_SEEN or not, by UID */
    struct view *base;       /* the mailbox's view that `view` was made of; NULL: none yet */
    struct view *view;
    uint32_t first_dirty, last_dirty; /* UIDs whose rows changed since; first above last: none */
    uint64_t cost;           /* what it counts for in the budget */
    int64_t used_ms;
};

/* ---- the cache of an account's mailbox; `lock` held ---- */

static struct user_view *find(const struct mailbox_state *box, uint64_t user)
{
    struct user_view *u = box->users;

    while (u != NULL && u->user != user)
        u = u->next;
    return u;
}

static void count_cost(struct store *st, struct user_view *u)
{
    uint64_t cost = view_bytes(u->seen) + (u->view != NULL ? view_bytes(u->view) : 0);

    (void)atomic_fetch_sub(&st->view_bytes, u->cost);
    (void)atomic_fetch_add(&st->view_bytes, cost);
    u->cost = cost;
}

uint64_t user_views_drop(struct store *st, struct mailbox_state *box, int64_t unused_since_ms)
{
    struct user_view **at = &box->users, *u;
    uint64_t freed = 0;

    while ((u = *at) != NULL) {
        if (u->used_ms > unused_since_ms) {
            at = &u->next;
            continue;
        }
        *at = u->next;
        freed += u->cost;
        (void)atomic_fetch_sub(&st->view_bytes, u->cost);
        view_release(&u->seen);
        view_release(&u->base);
        view_release(&u->view);
        free(u);
    }
    return freed;
}

void user_views_changed(struct store *st, struct mailbox_state *box, uint64_t user, const struct view *rows)
{
    struct user_view *u = find(box, user);

    if (u == NULL || rows->count == 0)
        return;
    uint32_t first = view_at(rows, 0).uid, last = view_at(rows, rows->count - 1).uid;
    bool none = u->first_dirty > u->last_dirty;
    struct view *merged = view_merge(rows, u->seen);
    view_release(&u->seen);
    u->seen = merged;
    u->first_dirty = none || first < u->first_dirty ? first : u->first_dirty;
    u->last_dirty = none || last > u->last_dirty ? last : u->last_dirty;
    count_cost(st, u);
}

void view_put_row(struct view **v, uint32_t uid, uint32_t flags, uint64_t modseq)
{
    struct view_entry e = {.uid = uid, .flags = flags, .modseq = modseq};

    if (*v == NULL)
        *v = view_create(0, 1);
    view_append(v, e);
}

/* ---- making ---- */

/* The chunk with what `seen` says of its messages; *at walks along it. */
static struct view_chunk *overlay_chunk(const struct view_chunk *c, struct view_cursor *at, struct view_entry *row,
                                        bool *has_row)
{
    struct view_chunk *own = view_chunk_create(c->count);

    own->count = c->count;
    for (uint32_t i = 0; i < c->count; i++) {
        struct view_packed p = c->entries[i];
        while (*has_row && row->uid < p.uid)
            *has_row = view_next(at, row);
        p.bits &= ~(uint32_t)STORE_SEEN;
        if (*has_row && row->uid == p.uid) {
            p.bits |= row->flags & STORE_SEEN;
            if (p.modseq < row->modseq)
                p.modseq = row->modseq;
        }
        if (own->max_modseq < p.modseq)
            own->max_modseq = p.modseq;
        own->unseen = (uint16_t)(own->unseen + ((p.bits & STORE_SEEN) == 0));
        own->entries[i] = p;
    }
    return own;
}

/* What was made before, of which chunks may be used again. */
struct earlier {
    const struct view *base, *view; /* NULL: nothing */
    uint32_t first_dirty, last_dirty;
    uint32_t slot;
};

/* The chunk made of that one before; NULL if it has to be made again. */
static struct view_chunk *reuse(struct earlier *e, const struct view_chunk *c)
{
    uint32_t first = c->entries[0].uid, last = c->entries[c->count - 1].uid;

    if (e->base == NULL)
        return NULL;
    while (e->slot < e->base->slot_count && e->base->slots[e->slot].first_uid < first)
        e->slot++;
    if (e->slot == e->base->slot_count || e->base->slots[e->slot].chunk != c ||
        (e->first_dirty <= last && e->last_dirty >= first))
        return NULL;
    return e->view->slots[e->slot].chunk;
}

static struct view *overlay(const struct view *base, const struct view *seen, struct earlier before)
{
    struct view *v = view_create(base->uidvalidity, base->slot_count + 1);
    struct view_cursor at;
    struct view_entry row;
    bool found, positioned = false, has_row = false;

    for (uint32_t i = 0; i < base->slot_count; i++) {
        struct view_chunk *c = base->slots[i].chunk, *made = reuse(&before, c);
        if (made != NULL) {
            view_add_shared(&v, made);
            positioned = false;
            continue;
        }
        if (!positioned) {
            view_cursor_init(&at, seen, view_find(seen, c->entries[0].uid, &found));
            has_row = view_next(&at, &row);
            positioned = true;
        }
        made = overlay_chunk(c, &at, &row, &has_row);
        view_add_shared(&v, made);
        view_chunk_release(made); /* the view's alone now */
    }
    v->uidnext = base->uidnext;
    v->modseq = base->modseq;
    v->whole_modseq = base->whole_modseq;
    return v;
}

/* The rows by SQL; file_lock held. */
static bool load_seen(struct db *db, const struct mailbox_row *box, uint64_t user, struct view **out,
                      struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_SEEN_ALL, why);
    struct view *v;

    if (q == NULL)
        return false;
    v = view_create(box->uidvalidity, 1);
    db_bind_i64(q, 1, (int64_t)box->id);
    db_bind_i64(q, 2, (int64_t)user);
    while (db_step(q, why)) {
        int64_t modseq = db_col_i64(q, 1);
        view_put_row(&v, (uint32_t)db_col_i64(q, 0), modseq > 0 ? STORE_SEEN : 0,
                     (uint64_t)(modseq > 0 ? modseq : -modseq));
    }
    if (!db_done(q, why)) {
        view_release(&v);
        return false;
    }
    *out = v;
    return true;
}

/* His rows come into memory; file_lock held. */
static bool begin(struct account *a, struct mailbox_state *box, uint64_t user, struct fail *why)
{
    struct view *seen;

    if (find(box, user) != NULL) /* written only with file_lock held, too */
        return true;
    if (!load_seen(a->db, &box->row, user, &seen, why))
        return false;
    struct user_view *u = xcalloc(1, sizeof *u);
    *u = (struct user_view){.user = user, .seen = seen, .first_dirty = 1, .used_ms = clock_mono_ms()};
    (void)pthread_mutex_lock(&a->lock);
    u->next = box->users;
    box->users = u;
    count_cost(a->store, u);
    (void)pthread_mutex_unlock(&a->lock);
    return true;
}

/* What a view is made of, each counted. */
struct parts {
    struct view *base, *seen;
    struct view *old_base, *old_view;
    uint32_t first_dirty, last_dirty;
};

static void parts_release(struct parts *p)
{
    view_release(&p->base);
    view_release(&p->seen);
    view_release(&p->old_base);
    view_release(&p->old_view);
}

static struct view *make(const struct parts *p)
{
    return overlay(p->base, p->seen,
                   (struct earlier){.base = p->old_base,
                                    .view = p->old_view,
                                    .first_dirty = p->first_dirty,
                                    .last_dirty = p->last_dirty});
}

/* `lock` held.  Is it made already?  *out then; else what to make it of, or base NULL: not all is in memory. */
static bool peek(struct mailbox_state *box, uint64_t user, struct parts *p, struct view **out)
{
    struct user_view *u = find(box, user);

    *p = (struct parts){.base = NULL};
    if (u == NULL || box->view == NULL)
        return false;
    box->view_used_ms = u->used_ms = clock_mono_ms();
    if (u->base == box->view && u->first_dirty > u->last_dirty) {
        *out = view_ref(u->view);
        return true;
    }
    *p = (struct parts){.base = view_ref(box->view),
                        .seen = view_ref(u->seen),
                        .first_dirty = u->first_dirty,
                        .last_dirty = u->last_dirty};
    if (u->base != NULL) {
        p->old_base = view_ref(u->base);
        p->old_view = view_ref(u->view);
    }
    return false;
}

/* Keeps what was made, unless the rows or the mailbox went on meanwhile; `lock` held. */
static void keep(struct account *a, struct mailbox_state *box, uint64_t user, const struct parts *p, struct view *v)
{
    struct user_view *u = box != NULL ? find(box, user) : NULL;

    if (u == NULL || u->seen != p->seen || box->view != p->base)
        return;
    view_release(&u->base);
    view_release(&u->view);
    u->base = view_ref(p->base);
    u->view = view_ref(v);
    u->first_dirty = 1;
    u->last_dirty = 0;
    count_cost(a->store, u);
}

bool view_open_for(struct account *a, uint64_t mailbox_id, uint64_t user, struct view **out, struct fail *why)
{
    struct view *base;
    struct parts p;

    if (user == 0 || user == a->id)
        return view_open(a, mailbox_id, out, why);
    for (;;) {
        if (!account_peek(a, why))
            return false;
        struct mailbox_state *box = state_need_mailbox(a->state, mailbox_id, why);
        bool made = box != NULL && peek(box, user, &p, out);
        (void)pthread_mutex_unlock(&a->lock);
        if (box == NULL || made)
            return made;
        if (p.base != NULL)
            break;
        if (!view_open(a, mailbox_id, &base, why)) /* into memory; it may be gone again, then once more */
            return false;
        view_release(&base);
        if (!account_lock(a, why))
            return false;
        box = state_need_mailbox(a->state, mailbox_id, why);
        bool ok = box != NULL && begin(a, box, user, why);
        account_unlock(a);
        if (!ok)
            return false;
    }
    struct view *v = make(&p);
    (void)pthread_mutex_lock(&a->lock);
    keep(a, a->state != NULL ? state_mailbox(a->state, mailbox_id) : NULL, user, &p, v);
    (void)pthread_mutex_unlock(&a->lock);
    parts_release(&p);
    *out = v;
    return true;
}

bool view_restore_for(struct account *a, uint64_t mailbox_id, uint64_t user, struct view_token token,
                      struct view **out, struct fail *why)
{
    struct view *now = NULL, *then = NULL, *seen = NULL;

    if (user == 0 || user == a->id)
        return view_restore(a, mailbox_id, token, out, why);
    if (!view_open_for(a, mailbox_id, user, &now, why))
        return false;
    if (now->modseq == token.modseq && now->uidnext == token.uidnext && now->count == token.count) {
        *out = now;
        return true;
    }
    view_release(&now);
    if (!view_restore(a, mailbox_id, token, &then, why))
        return false;
    (void)pthread_mutex_lock(&a->lock);
    struct mailbox_state *box = a->state != NULL ? state_mailbox(a->state, mailbox_id) : NULL;
    struct user_view *u = box != NULL ? find(box, user) : NULL;
    seen = u != NULL ? view_ref(u->seen) : view_create(then->uidvalidity, 1); /* old flags need not be right */
    (void)pthread_mutex_unlock(&a->lock);
    *out = overlay(then, seen, (struct earlier){.base = NULL});
    view_release(&seen);
    view_release(&then);
    return true;
}

bool view_for_change(struct change *c, struct change_box *box, uint64_t user, struct view **out, struct fail *why)
{
    struct mailbox_state *state = state_need_mailbox(c->account->state, box->row.id, why);
    struct view *seen = NULL;

    if (state == NULL || !change_view(c, box, why) || !begin(c->account, state, user, why))
        return false;
    (void)pthread_mutex_lock(&c->account->lock);
    struct user_view *u = find(state, user);
    bool made = u != NULL && u->base == box->view && u->first_dirty > u->last_dirty;
    if (made)
        *out = view_ref(u->view);
    else if (u != NULL)
        seen = view_ref(u->seen);
    (void)pthread_mutex_unlock(&c->account->lock);
    if (seen == NULL)
        return made; /* begun just now, and file_lock is held: one of both is there */
    *out = overlay(box->view, seen, (struct earlier){.base = NULL});
    view_release(&seen);
    return true;
}
