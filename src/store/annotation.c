/*
 * store/annotation.c - what somebody wrote on a mailbox, or on the server.
 *
 * Layer: store.  Small and seldom: asked of the file each time.  A change draws a
 * modseq; what was taken away stays as a row without a value until the daily
 * purge, or until more have gone than there may be, so that sessions can be told
 * of it.
 */
#include "store/annotation.h"

#include "store/internal.h"

struct annotating {
    uint64_t mailbox_id;
    const struct annotation *list;
    size_t count;
    const enum special_use *use;
};

static struct slice small_letters(struct arena *arena, struct slice name)
{
    char *copy = arena_alloc(arena, name.len + 1);

    if (copy == NULL)
        return (struct slice){0};
    for (size_t i = 0; i < name.len; i++)
        copy[i] = ascii_lower(name.ptr[i]);
    return slice_make(copy, name.len);
}

/* What there is now; out->ptr NULL: nothing. */
static bool read_value(struct db *db, uint64_t mailbox_id, uint64_t user, struct slice name,
                       struct arena *arena, struct slice *out, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_ANNOTATION_GET, why);

    if (q == NULL)
        return false;
    *out = (struct slice){0};
    db_bind_i64(q, 1, (int64_t)mailbox_id);
    db_bind_i64(q, 2, (int64_t)user);
    db_bind_text(q, 3, name);
    if (db_step(q, why)) {
        *out = arena_keep(arena, db_col_blob(q, 0));
        if (out->len == 0)
            *out = SLICE("");
    }
    return db_done(q, why);
}

/* `is_new`: one more than there are, not another value of one that is there. */
static bool fits(struct change *c, const struct annotating *w, const struct annotation *n, bool is_new,
                 struct fail *why)
{
    const struct store_limits *l = &c->account->store->limits;
    int64_t there;

    if (n->value.len > l->annotation_bytes)
        return fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "an annotation has at most %u bytes", l->annotation_bytes);
    if (!is_new)
        return true;
    if (!db_get_i64(c->db, SQL_ANNOTATION_COUNT, &there, why, "ii", (int64_t)w->mailbox_id, (int64_t)n->user))
        return false;
    return (uint64_t)there < l->annotations ||
           fail_set(why, FAIL_PERM, FAIL_LIMIT, "there are %u annotations already", l->annotations);
}

static bool take_away(struct change *c, const struct annotating *w, const struct annotation *n, struct slice name,
                      struct fail *why)
{
    int64_t mailbox = (int64_t)w->mailbox_id, user = (int64_t)n->user, modseq = (int64_t)change_modseq(c);

    return db_run(c->db, SQL_ANNOTATION_REMOVE, why, "iiti", mailbox, user, name, modseq) &&
           db_run(c->db, SQL_ANNOTATION_TRIM, why, "iiii", mailbox, user, modseq,
                  (int64_t)c->account->store->limits.annotations);
}

static bool set_one(struct change *c, const struct annotating *w, const struct annotation *n,
                    struct arena *arena, struct fail *why)
{
    struct slice name = small_letters(arena, n->name), now;

    if (!read_value(c->db, w->mailbox_id, n->user, name, arena, &now, why))
        return false;
    if (n->gone ? now.ptr == NULL : now.ptr != NULL && slice_eq(now, n->value))
        return true;
    c->annotated = true;
    change_event(c, w->mailbox_id, WATCH_METADATA, SLICE(""));
    if (n->gone)
        return take_away(c, w, n, name, why);
    return ((now.ptr != NULL && n->value.len <= now.len) || fits(c, w, n, now.ptr == NULL, why)) &&
           db_run(c->db, SQL_ANNOTATION_SET, why, "iitbi", (int64_t)w->mailbox_id, (int64_t)n->user, name,
                  n->value, (int64_t)change_modseq(c));
}

static bool set_use(struct change *c, const struct annotating *w, struct fail *why)
{
    c->restructured = true;
    return db_run(c->db, SQL_MAILBOX_USE, why, "iii", (int64_t)w->mailbox_id, (int64_t)*w->use,
                  (int64_t)change_modseq(c));
}

/* A client that remembers the mailbox's modseq must find that something changed (RFC 7162 section 3.2). */
static bool touch_mailbox(struct change *c, const struct annotating *w, struct fail *why)
{
    const struct mailbox_state *box = state_mailbox(c->account->state, w->mailbox_id);
    struct change_box *changed;

    if (!c->annotated || box == NULL || box->row.no_select)
        return true;
    changed = change_box(c, w->mailbox_id, why);
    if (changed != NULL)
        change_touch(c, changed);
    return changed != NULL;
}

static bool set(struct change *c, void *ctx, struct fail *why)
{
    const struct annotating *w = ctx;
    struct arena arena;
    bool ok = true;

    if (w->mailbox_id != 0 && state_need_mailbox(c->account->state, w->mailbox_id, why) == NULL)
        return false;
    arena_init(&arena, SIZE_MAX);
    for (size_t i = 0; ok && i < w->count; i++)
        ok = set_one(c, w, &w->list[i], &arena, why);
    arena_finish(&arena);
    return ok && touch_mailbox(c, w, why) && (w->use == NULL || set_use(c, w, why));
}

bool annotation_set(struct account *a, uint64_t mailbox_id, const struct annotation *list, size_t count,
                    const enum special_use *use, struct fail *why)
{
    struct annotating w = {.mailbox_id = mailbox_id, .list = list, .count = count, .use = use};

    return change_run(a, CHANGE_ALONE, set, &w, why);
}

unsigned annotation_bytes_max(const struct account *a)
{
    return a->store->limits.annotation_bytes;
}

bool annotation_get(struct account *a, uint64_t mailbox_id, uint64_t user, struct slice name,
                    struct arena *arena, struct slice *value, struct fail *why)
{
    struct slice small = small_letters(arena, name);

    if (!account_lock(a, why))
        return false;
    bool ok = read_value(a->db, mailbox_id, user, small, arena, value, why);
    account_unlock(a);
    return ok;
}

/* Room for one more; NULL past the arena's limit. */
static struct annotation *add(struct arena *arena, struct annotation **list, size_t *count)
{
    if (*count == 0 || (*count >= 8 && (*count & (*count - 1)) == 0)) { /* it is full: 8, 16, 32 ... */
        struct annotation *grown = arena_new_array(arena, struct annotation, *count == 0 ? 8 : *count * 2);
        if (grown == NULL)
            return NULL;
        if (*count > 0)
            memcpy(grown, *list, *count * sizeof(*grown));
        *list = grown;
    }
    return &(*list)[(*count)++];
}

static bool read_rows(struct db_stmt *q, struct arena *arena, struct annotation **out, size_t *count,
                      struct fail *why)
{
    *out = NULL;
    *count = 0;
    while (db_step(q, why)) {
        struct annotation *n = add(arena, out, count);
        if (n == NULL) {
            (void)db_done(q, NULL);
            return fail_set(why, FAIL_PERM, FAIL_LIMIT, "there are too many annotations");
        }
        *n = (struct annotation){
            .user = (uint64_t)db_col_i64(q, 0),
            .name = arena_keep(arena, db_col_text(q, 1)),
            .value = arena_keep(arena, db_col_blob(q, 2)),
            .gone = db_col_is_null(q, 2),
        };
    }
    return db_done(q, why);
}

bool annotation_list(struct account *a, uint64_t mailbox_id, uint64_t user, struct slice name,
                     struct arena *arena, struct annotation **out, size_t *count, struct fail *why)
{
    struct slice small = small_letters(arena, name);

    if (!account_lock(a, why))
        return false;
    struct db_stmt *q = db_stmt(a->db, SQL_ANNOTATION_UNDER, why);
    bool ok = q != NULL;
    if (ok) {
        db_bind_i64(q, 1, (int64_t)mailbox_id);
        db_bind_i64(q, 2, (int64_t)user);
        db_bind_text(q, 3, small);
        ok = read_rows(q, arena, out, count, why);
    }
    account_unlock(a);
    return ok;
}

static bool read_changed(struct account *a, uint64_t mailbox_id, uint64_t user, uint64_t since,
                         struct arena *arena, struct annotation **out, size_t *count, uint64_t *now,
                         struct fail *why)
{
    struct db_stmt *q = db_stmt(a->db, SQL_ANNOTATION_CHANGED, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)mailbox_id);
    db_bind_i64(q, 2, (int64_t)user);
    db_bind_i64(q, 3, (int64_t)since);
    if (!read_rows(q, arena, out, count, why))
        return false;
    *now = a->state->annotation_modseq; /* written with file_lock held */
    return true;
}

bool annotation_changed(struct account *a, uint64_t mailbox_id, uint64_t user, uint64_t since,
                        struct arena *arena, struct annotation **out, size_t *count, uint64_t *now,
                        struct fail *why)
{
    *out = NULL;
    *count = 0;
    if (!account_peek(a, why))
        return false;
    *now = a->state->annotation_modseq;
    (void)pthread_mutex_unlock(&a->lock);
    if (*now <= since)
        return true;
    if (!account_lock(a, why))
        return false;
    bool ok = read_changed(a, mailbox_id, user, since, arena, out, count, now, why);
    account_unlock(a);
    return ok;
}
