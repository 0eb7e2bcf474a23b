/*
 * store/recount.c - the counts of an account made anew from its rows.
 *
 * Layer: store.  They change in the transactions in which rows do, so they are right after a crash too; this is for
 * who wants to see that, or has changed a file by other means.
 */
#include "store/flag_run.h"

#include <stdlib.h>

struct found {
    struct slice mailbox;
    const char *what;
    uint64_t was, is;
};

struct recounting {
    struct arena arena; /* names */
    struct found *list;
    size_t count, cap;
};

static void compare(struct recounting *r, struct slice mailbox, const char *what, uint64_t was, uint64_t is)
{
    if (was == is)
        return;
    if (r->count == r->cap) {
        r->cap = r->cap == 0 ? 16 : r->cap * 2;
        r->list = xrealloc(r->list, r->cap * sizeof *r->list);
    }
    r->list[r->count++] = (struct found){arena_keep(&r->arena, mailbox), what, was, is};
}

static bool recount_mailbox(struct recounting *r, struct db *db, const struct mailbox_row *row, uint64_t *messages,
                            uint64_t *bytes, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_CHECK_COUNTS, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)row->id);
    if (db_step(q, why)) {
        *messages += (uint64_t)db_col_i64(q, 0);
        *bytes += (uint64_t)db_col_i64(q, 3);
        compare(r, row->name, "messages", row->messages, (uint64_t)db_col_i64(q, 0));
        compare(r, row->name, "unseen", row->unseen, (uint64_t)db_col_i64(q, 1));
        compare(r, row->name, "deleted", row->deleted, (uint64_t)db_col_i64(q, 2));
        compare(r, row->name, "bytes", row->bytes, (uint64_t)db_col_i64(q, 3));
        compare(r, row->name, "deleted bytes", row->deleted_bytes, (uint64_t)db_col_i64(q, 4));
    }
    return db_done(q, why);
}

static bool recount(struct change *c, void *ctx, struct fail *why)
{
    struct recounting *r = ctx;
    const struct account_state *s = c->account->state;
    uint64_t messages = 0, bytes = 0;

    r->count = 0;
    if (!flag_runs_end_all(c->db, why))
        return false;
    for (size_t i = 0; i < s->box_count; i++)
        if (!recount_mailbox(r, c->db, &s->boxes[i].row, &messages, &bytes, why))
            return false;
    compare(r, SLICE(""), "messages", c->row.messages, messages);
    compare(r, SLICE(""), "bytes", c->row.bytes, bytes);
    c->wrote = true;
    if (r->count == 0)
        return true;
    c->row.messages = messages;
    c->row.bytes = bytes;
    c->restructured = true; /* the state is read anew, with what is written here */
    return db_run(c->db, SQL_COUNTS_WRITE, why, "");
}

bool store_recount(struct account *a, void (*each)(void *ctx, const struct recount_difference *d), void *ctx,
                   unsigned *differences, struct fail *why)
{
    struct recounting r = {.list = NULL};

    arena_init(&r.arena, SIZE_MAX);
    bool ok = change_run(a, CHANGE_ALONE, recount, &r, why);
    for (size_t i = 0; ok && i < r.count; i++) {
        const struct found *f = &r.list[i];
        each(ctx, &(struct recount_difference){.mailbox = f->mailbox, .what = f->what, .was = f->was, .is = f->is});
    }
    *differences = ok ? (unsigned)r.count : 0;
    free(r.list);
    arena_finish(&r.arena);
    return ok;
}
