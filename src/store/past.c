/*
 * store/past.c - lists of what was in mailboxes and is not any more.
 *
 * Layer: store.
 */
#include "store/past.h"

#include <stdlib.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/scoped.h"
#include "store/internal.h"

/* ---- the mailboxes, deleted ones too ---- */

static bool read_boxes(struct past *p, struct db *db, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_PAST_MAILBOXES, why);
    size_t cap = 0;

    if (q == NULL)
        return false;
    while (db_step(q, why)) {
        if (p->box_count == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            p->boxes = xrealloc(p->boxes, cap * sizeof *p->boxes);
        }
        p->boxes[p->box_count++] = (struct past_box){
            .id = (uint64_t)db_col_i64(q, 0),
            .parent = (uint64_t)db_col_i64(q, 1),
            .leaf = arena_keep(&p->arena, db_col_text(q, 2)),
            .use = (enum special_use)db_col_i64(q, 3),
            .is_there = db_col_i64(q, 4) != 0,
        };
    }
    return db_done(q, why);
}

static struct past_box *find_box(const struct past *p, uint64_t id)
{
    size_t low = 0, high = p->box_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->boxes[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->box_count && p->boxes[low].id == id ? &p->boxes[low] : NULL;
}

/* A level that nobody remembers any more is left out. */
static struct slice name_of(struct past *p, struct past_box *box, unsigned depth)
{
    struct past_box *parent = box->parent != 0 && depth > 0 ? find_box(p, box->parent) : NULL;

    if (box->name.ptr != NULL)
        return box->name;
    box->name = parent == NULL ? box->leaf
                               : arena_printf(&p->arena, PRIslice "/" PRIslice,
                                              SLICE_ARG(name_of(p, parent, depth - 1)), SLICE_ARG(box->leaf));
    return box->name;
}

static bool load_boxes(struct past *p, struct account *a, struct fail *why)
{
    if (!read_boxes(p, a->db, why))
        return false;
    for (size_t i = 0; i < p->box_count; i++)
        (void)name_of(p, &p->boxes[i], a->store->limits.name_levels + 1);
    return true;
}

/* ---- which mailboxes are meant ---- */

struct wanted {
    struct slice name; /* checked; empty: all */
    bool below;
};

static bool wanted_of(struct account *a, struct arena *arena, struct slice name, struct wanted *out, struct fail *why)
{
    *out = (struct wanted){.name = SLICE("")};
    if (name.len == 0)
        return true;
    out->below = name.len > 1 && name.ptr[name.len - 1] == '/';
    if (out->below)
        name = slice_sub(name, 0, name.len - 1);
    return mailbox_name_check(arena, name, &a->store->limits, &out->name, why);
}

static bool is_wanted(const struct wanted *w, struct slice name)
{
    if (w->name.len == 0 || slice_eq(name, w->name))
        return true;
    return w->below && name.len > w->name.len && slice_starts(name, w->name) && name.ptr[w->name.len] == '/';
}

static bool any_wanted(const struct past *p, const struct wanted *w, struct fail *why)
{
    for (size_t i = 0; i < p->box_count; i++)
        if (is_wanted(w, p->boxes[i].name))
            return true;
    return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no mailbox \"" PRIslice "\", and none that was deleted is remembered",
                    SLICE_ARG(w->name));
}

/* ---- lists ---- */

static struct past *past_new(void)
{
    struct past *p = xcalloc(1, sizeof *p);

    arena_init(&p->arena, SIZE_MAX);
    return p;
}

void past_destroy(struct past **p)
{
    if (*p == NULL)
        return;
    arena_finish(&(*p)->arena);
    free((*p)->boxes);
    free((*p)->list);
    free(*p);
    *p = NULL;
}

static void add(struct past *p, const struct past_message *m)
{
    if (p->count == p->cap) {
        p->cap = p->cap == 0 ? 64 : p->cap * 2;
        p->list = xrealloc(p->list, p->cap * sizeof *p->list);
    }
    p->list[p->count++] = *m;
}

static void sum(struct past *p)
{
    p->bytes = 0;
    for (size_t i = 0; i < p->count; i++)
        p->bytes += p->list[i].size;
}

/* Rows of mailbox, uid, message, size, when it was expunged; q is bound. */
static bool read_rows(struct past *p, struct db_stmt *q, const struct wanted *w,
                      bool (*takes)(void *ctx, struct db_stmt *q, const struct past_message *m), void *ctx,
                      struct fail *why)
{
    const struct past_box *box = NULL;

    while (db_step(q, why)) {
        const uint64_t mailbox = (uint64_t)db_col_i64(q, 0);
        if (box == NULL || box->id != mailbox)
            box = find_box(p, mailbox);
        if (box == NULL || !is_wanted(w, box->name))
            continue;
        struct past_message m = {
            .box = box,
            .uid = (uint32_t)db_col_i64(q, 1),
            .message_id = (uint64_t)db_col_i64(q, 2),
            .size = (uint64_t)db_col_i64(q, 3),
            .expunged_at = db_col_i64(q, 4),
        };
        if (takes == NULL || takes(ctx, q, &m))
            add(p, &m);
    }
    return db_done(q, why);
}

/* ---- what was expunged ---- */

/* How late each row left, in the order of the list. */
struct leaving {
    const struct past_filter *filter;
    struct idmap ids; /* of the filter; keys count */
    uint64_t *modseqs;
    size_t count, cap;
};

/* Columns 5 to 7: its modseq, is the message in any mailbox, in this one. */
static bool takes_expunged(void *ctx, struct db_stmt *q, const struct past_message *m)
{
    struct leaving *l = ctx;

    if (l->filter->messages != NULL && idmap_get(&l->ids, m->message_id) == NULL)
        return false;
    if (db_col_i64(q, l->filter->moved ? 7 : 6) != 0)
        return false;
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        l->modseqs = xrealloc(l->modseqs, l->cap * sizeof *l->modseqs);
    }
    l->modseqs[l->count++] = (uint64_t)db_col_i64(q, 5);
    return true;
}

/* Of each message the row that left last; with `moved` in each mailbox. */
static void keep_last(struct past *p, const struct leaving *l)
{
    struct idmap last; /* message to its place + 1 */
    size_t kept = 0, box_from = 0;

    idmap_init(&last);
    SCOPED(scoped_free) bool *drop = xcalloc(p->count + 1, sizeof *drop);
    for (size_t i = 0; i < p->count; i++) {
        if (l->filter->moved && p->list[i].box != p->list[box_from].box) {
            idmap_finish(&last);
            idmap_init(&last);
            box_from = i;
        }
        size_t before = (size_t)(uintptr_t)idmap_get(&last, p->list[i].message_id);
        if (before > 0 && l->modseqs[before - 1] > l->modseqs[i]) {
            drop[i] = true;
            continue;
        }
        if (before > 0)
            drop[before - 1] = true;
        (void)idmap_put(&last, p->list[i].message_id, (void *)(uintptr_t)(i + 1));
    }
    for (size_t i = 0; i < p->count; i++)
        if (!drop[i])
            p->list[kept++] = p->list[i];
    p->count = kept;
    idmap_finish(&last);
}

static bool list_expunged(struct past *p, struct account *a, const struct past_filter *f, struct leaving *l,
                          struct fail *why)
{
    struct wanted wanted;
    struct db_stmt *q;

    if (!wanted_of(a, &p->arena, f->mailbox, &wanted, why) || !load_boxes(p, a, why) ||
        !db_get_i64(a->db, SQL_KEPT_SINCE, &p->kept_since, why, "") ||
        (wanted.name.len > 0 && !any_wanted(p, &wanted, why)))
        return false;
    q = db_stmt(a->db, SQL_PAST_EXPUNGED, why);
    if (q == NULL)
        return false;
    db_bind_i64(q, 1, f->since);
    return read_rows(p, q, &wanted, takes_expunged, l, why);
}

bool past_expunged(struct account *a, const struct past_filter *f, struct past **out, struct fail *why)
{
    struct past *p = past_new();
    struct leaving l = {.filter = f};
    bool ok = account_lock(a, why);

    idmap_init(&l.ids);
    for (size_t i = 0; i < f->message_count; i++)
        (void)idmap_put(&l.ids, f->messages[i], p);
    if (ok) {
        block_begin();
        ok = list_expunged(p, a, f, &l, why);
        block_end();
        account_unlock(a);
    }
    if (ok) {
        keep_last(p, &l);
        sum(p);
        *out = p;
    } else {
        past_destroy(&p);
    }
    idmap_finish(&l.ids);
    free(l.modseqs);
    return ok;
}

/* ---- what was there at a time ---- */

static bool list_then(struct past *p, struct account *a, int64_t at, struct slice mailbox, struct fail *why)
{
    struct wanted wanted;
    struct db_stmt *q;

    if (!wanted_of(a, &p->arena, mailbox, &wanted, why) || !load_boxes(p, a, why) ||
        !db_get_i64(a->db, SQL_KEPT_SINCE, &p->kept_since, why, "") ||
        (wanted.name.len > 0 && !any_wanted(p, &wanted, why)))
        return false;
    if (at + 1 < p->kept_since)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT,
                        "what was expunged before %s is no longer kept: mail can be restored as it was then or later",
                        clock_rfc5322(p->kept_since).text);
    q = db_stmt(a->db, SQL_PAST_AT, why);
    if (q == NULL)
        return false;
    db_bind_i64(q, 1, at);
    return read_rows(p, q, &wanted, NULL, NULL, why);
}

bool past_at(struct account *a, int64_t at, struct slice mailbox, struct past **out, struct fail *why)
{
    struct past *p = past_new();

    if (at > clock_now()) {
        past_destroy(&p);
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "that time is still to come");
    }
    bool ok = account_lock(a, why);
    if (ok) {
        block_begin();
        ok = list_then(p, a, at, mailbox, why);
        block_end();
        account_unlock(a);
    }
    if (ok) {
        sum(p);
        *out = p;
    } else {
        past_destroy(&p);
    }
    return ok;
}

bool past_envelope(struct account *a, uint64_t message_id, struct arena *arena, struct slice *out, struct fail *why)
{
    *out = SLICE("");
    if (!account_lock(a, why))
        return false;
    struct db_stmt *q = db_stmt(a->db, SQL_PAST_ENVELOPE, why);
    bool ok = q != NULL;
    if (ok) {
        db_bind_i64(q, 1, (int64_t)message_id);
        if (db_step(q, why))
            *out = arena_keep(arena, db_col_blob(q, 0));
        ok = db_done(q, why);
    }
    account_unlock(a);
    return ok;
}
