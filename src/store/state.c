/*
 * store/state.c - what is known in memory of an open account: its row, its mailboxes.
 *
 * Layer: store.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/scoped.h"
#include "store/internal.h"

static void read_row(struct db_stmt *q, struct mailbox_row *out)
{
    *out = (struct mailbox_row){
        .id = (uint64_t)db_col_i64(q, 0),
        .parent = (uint64_t)db_col_i64(q, 1),
        .uidvalidity = (uint32_t)db_col_i64(q, 3),
        .uidnext = (uint32_t)db_col_i64(q, 4),
        .first_recent = (uint32_t)db_col_i64(q, 5),
        .highest_modseq = (uint64_t)db_col_i64(q, 6),
        .expunge_modseq = (uint64_t)db_col_i64(q, 7),
        .use = (enum special_use)db_col_i64(q, 8),
        .no_select = db_col_i64(q, 9) != 0,
        .messages = (uint32_t)db_col_i64(q, 10),
        .unseen = (uint32_t)db_col_i64(q, 11),
        .deleted = (uint32_t)db_col_i64(q, 12),
        .bytes = (uint64_t)db_col_i64(q, 13),
        .deleted_bytes = (uint64_t)db_col_i64(q, 14),
    };
}

bool mailbox_row_read(struct db *db, uint64_t id, struct mailbox_row *out, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_MAILBOX_ONE, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)id);
    bool found = db_step(q, why);
    if (found)
        read_row(q, out);
    if (!db_done(q, why))
        return false;
    return found || fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no such mailbox any more");
}

static bool load_account_row(struct account *a, struct db *db, struct account_state *s, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_ACCOUNT_READ, why);
    uint64_t id = 0;

    if (q == NULL)
        return false;
    bool found = db_step(q, why);
    if (found) {
        id = (uint64_t)db_col_i64(q, 0);
        s->row = (struct account_row){
            .highest_modseq = (uint64_t)db_col_i64(q, 1),
            .next_message = (uint64_t)db_col_i64(q, 2),
            .next_mailbox = (uint64_t)db_col_i64(q, 3),
            .bytes = (uint64_t)db_col_i64(q, 4),
            .messages = (uint64_t)db_col_i64(q, 5),
            .forgotten_modseq = (uint64_t)db_col_i64(q, 6),
        };
        quota_of_row(a->store, s, q, 7);
        s->epoch = db_col_i64(q, 7 + QUOTA_RESOURCES);
        for (int r = 0; r < 2; r++)
            s->quota_told[r] = (unsigned)db_col_i64(q, 8 + QUOTA_RESOURCES + r);
    }
    if (!db_done(q, why))
        return false;
    if (!found)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "account %llu was never finished",
                        (unsigned long long)a->id);
    if (id != a->id)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "the file of account %llu holds account %llu",
                        (unsigned long long)a->id, (unsigned long long)id);
    return true;
}

static bool load_mailboxes(struct account_state *s, struct db *db, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_MAILBOX_ALL, why);
    size_t cap = 0;

    if (q == NULL)
        return false;
    while (db_step(q, why)) {
        if (s->box_count == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            s->boxes = xrealloc(s->boxes, cap * sizeof *s->boxes);
        }
        struct mailbox_state *box = &s->boxes[s->box_count++];
        *box = (struct mailbox_state){.view = NULL};
        read_row(q, &box->row);
        box->row.leaf = arena_keep(&s->arena, db_col_text(q, 2));
    }
    return db_done(q, why);
}

/* The whole path, from the top level down. */
static bool path_of(struct account_state *s, const struct idmap *rows, struct mailbox_row *row,
                    unsigned depth, struct fail *why)
{
    if (row->name.ptr != NULL)
        return true;
    if (row->parent == 0) {
        row->name = row->leaf;
        return true;
    }
    struct mailbox_state *parent = idmap_get(rows, row->parent);
    if (parent == NULL || depth == 0)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "mailbox %llu hangs in no tree",
                        (unsigned long long)row->id);
    if (!path_of(s, rows, &parent->row, depth - 1, why))
        return false;
    row->name =
        arena_printf(&s->arena, PRIslice "/" PRIslice, SLICE_ARG(parent->row.name), SLICE_ARG(row->leaf));
    return true;
}

static bool name_mailboxes(struct account *a, struct account_state *s, struct fail *why)
{
    struct idmap rows;
    bool ok = true;

    idmap_init(&rows);
    for (size_t i = 0; i < s->box_count; i++)
        (void)idmap_put(&rows, s->boxes[i].row.id, &s->boxes[i]);
    for (size_t i = 0; ok && i < s->box_count; i++)
        ok = path_of(s, &rows, &s->boxes[i].row, a->store->limits.name_levels + 1, why);
    idmap_finish(&rows);
    return ok;
}

static int by_name(const void *one, const void *other)
{
    const struct mailbox_state *a = one, *b = other;

    return mailbox_name_cmp(a->row.name, b->row.name);
}

static int by_id(const void *one, const void *other)
{
    uint64_t a = (*(struct mailbox_state *const *)one)->row.id,
             b = (*(struct mailbox_state *const *)other)->row.id;

    return (a > b) - (a < b);
}

static int slices_by_name(const void *one, const void *other)
{
    return mailbox_name_cmp(*(const struct slice *)one, *(const struct slice *)other);
}

static void order_mailboxes(struct account_state *s)
{
    if (s->box_count == 0)
        return;
    qsort(s->boxes, s->box_count, sizeof *s->boxes, by_name);
    s->by_id = xcalloc(s->box_count, sizeof(struct mailbox_state *));
    for (size_t i = 0; i < s->box_count; i++)
        s->by_id[i] = &s->boxes[i];
    qsort(s->by_id, s->box_count, sizeof(struct mailbox_state *), by_id);
}

static bool load_subscriptions(struct account_state *s, struct db *db, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_SUBSCRIPTION_ALL, why);
    size_t cap = 0;

    if (q == NULL)
        return false;
    while (db_step(q, why)) {
        if (s->subscribed_count == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            s->subscribed = xrealloc(s->subscribed, cap * sizeof *s->subscribed);
        }
        s->subscribed[s->subscribed_count++] = arena_keep(&s->arena, db_col_text(q, 0));
    }
    if (s->subscribed_count > 0)
        qsort(s->subscribed, s->subscribed_count, sizeof *s->subscribed, slices_by_name);
    return db_done(q, why);
}

/* 0 if that cannot be told. */
static uint64_t inode_of(const struct account *a)
{
    char path[STORE_PATH_BYTES];
    struct stat s;

    return account_path(a->store, "accounts", a->id, "mail.db", path, NULL) && stat(path, &s) == 0
               ? (uint64_t)s.st_ino
               : 0;
}

bool account_state_load(struct account *a, struct db *db, struct account_state **out, struct fail *why)
{
    struct account_state *s = xcalloc(1, sizeof *s);
    int64_t annotated;

    arena_init(&s->arena, SIZE_MAX);
    if (!load_account_row(a, db, s, why) || !load_mailboxes(s, db, why) || !name_mailboxes(a, s, why) ||
        !load_subscriptions(s, db, why)) {
        account_state_free(a, &s);
        return false;
    }
    if (!db_get_i64(db, SQL_ANNOTATION_LAST, &annotated, why, "")) {
        account_state_free(a, &s);
        return false;
    }
    s->annotation_modseq = (uint64_t)annotated;
    s->inode = inode_of(a);
    order_mailboxes(s);
    if (!acl_load(s, db, why)) {
        account_state_free(a, &s);
        return false;
    }
    *out = s;
    return true;
}

void account_state_free(struct account *a, struct account_state **sp)
{
    struct account_state *s = *sp;

    *sp = NULL;
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->box_count; i++) {
        (void)user_views_drop(a->store, &s->boxes[i], INT64_MAX);
        state_set_view(a, &s->boxes[i], NULL);
    }
    free(s->boxes);
    free(s->by_id);
    free(s->subscribed);
    arena_finish(&s->arena);
    free(s);
}

struct mailbox_state *state_mailbox(const struct account_state *s, uint64_t id)
{
    size_t low = 0, high = s->box_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->by_id[middle]->row.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->box_count && s->by_id[low]->row.id == id ? s->by_id[low] : NULL;
}

struct mailbox_state *state_need_mailbox(const struct account_state *s, uint64_t id, struct fail *why)
{
    struct mailbox_state *box = state_mailbox(s, id);

    if (box == NULL)
        (void)fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no such mailbox");
    return box;
}

struct mailbox_state *state_mailbox_named(const struct account_state *s, struct slice name)
{
    size_t low = 0, high = s->box_count;

    if (mailbox_name_is_inbox(name))
        name = SLICE("INBOX");
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mailbox_name_cmp(s->boxes[middle].row.name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->box_count && slice_eq(s->boxes[low].row.name, name) ? &s->boxes[low] : NULL;
}

void state_set_view(struct account *a, struct mailbox_state *box, struct view *v)
{
    struct store *st = a->store;

    if (box->view != NULL)
        (void)atomic_fetch_sub(&st->view_bytes, box->view_cost);
    view_release(&box->view);
    box->view = v;
    box->view_cost = 0;
    if (v == NULL)
        return;
    box->view_cost = view_bytes(v);
    box->view_used_ms = clock_mono_ms();
    (void)atomic_fetch_add(&st->view_bytes, box->view_cost);
}
