/*
 * store/maildrop.c - rows of a mailbox for POP3.
 *
 * Layer: store.  As fetch.c, but for everything at once and without what POP3 does not
 * ask for: a client that looks for new mail reads this of the whole mailbox at every login.
 */
#include <stdlib.h>

#include "store/internal.h"
#include "store/maildrop.h"
#include "store/uidl.h"

enum { BATCH_ROWS = 256, BATCH_BYTES = 256 * 1024 };

struct row {
    struct maildrop_message m;
    int64_t line_extra;
    bool counted; /* just now */
    char made[UIDL_MAX + 1];
};

struct reading {
    struct account *account;
    uint64_t mailbox_id;
    uint64_t next; /* the lowest UID not read yet */
    uint32_t last;
    struct arena arena;
    size_t count;
    struct row rows[BATCH_ROWS];
};

/* One of the tables, read in step with the others. */
struct source {
    struct db_stmt *q; /* NULL: not read at all */
    bool row;
    uint32_t uid;
};

static void source_step(struct source *s, struct fail *why)
{
    s->row = s->q != NULL && db_step(s->q, why);
    s->uid = s->row ? (uint32_t)db_col_i64(s->q, 0) : 0;
}

static bool source_begin(struct source *s, const struct reading *r, enum account_sql number, struct fail *why)
{
    s->q = db_stmt(r->account->db, number, why);
    if (s->q == NULL)
        return false;
    db_bind_i64(s->q, 1, (int64_t)r->mailbox_id);
    db_bind_i64(s->q, 2, (int64_t)r->next);
    db_bind_i64(s->q, 3, (int64_t)r->last);
    source_step(s, why);
    return true;
}

static bool source_end(struct source *s, struct fail *why)
{
    return s->q == NULL || db_done(s->q, why);
}

/* Columns as MAILDROP_COLUMNS in sql.c names them. */
static void keep_row(struct reading *r, const struct source *s, bool again)
{
    struct row *row = &r->rows[r->count++];
    struct slice uidl = db_col_text(s->q, 6);

    row->m = (struct maildrop_message){
        .uid = s->uid,
        .message_id = (uint64_t)db_col_i64(s->q, 1),
        .ref = (uint64_t)db_col_i64(s->q, 2),
        .size = (uint64_t)db_col_i64(s->q, 3),
        .prefix = arena_keep(&r->arena, db_col_blob(s->q, 7)),
    };
    row->line_extra = db_col_i64(s->q, 5);
    row->counted = false;
    if (uidl.len > 0 && !again)
        row->m.uidl = arena_keep(&r->arena, uidl);
    else
        row->m.uidl = uidl_make(row->m.ref, db_col_i64(s->q, 4), again ? s->uid : 0, row->made);
}

static bool read_rows(struct reading *r, bool with_gone, struct fail *why)
{
    struct source here = {.q = NULL}, gone = {.q = NULL}, again = {.q = NULL};
    bool ok = source_begin(&here, r, SQL_MAILDROP, why) &&
              (!with_gone || source_begin(&gone, r, SQL_MAILDROP_GONE, why)) &&
              source_begin(&again, r, SQL_UIDL_AGAIN, why);

    while (ok && (here.row || gone.row) && r->count < BATCH_ROWS && r->arena.used < BATCH_BYTES) {
        struct source *s = !gone.row || (here.row && here.uid < gone.uid) ? &here : &gone;
        while (again.row && again.uid < s->uid)
            source_step(&again, why);
        keep_row(r, s, again.row && again.uid == s->uid);
        r->next = (uint64_t)s->uid + 1;
        source_step(s, why);
    }
    if (!here.row && !gone.row)
        r->next = (uint64_t)r->last + 1;
    ok = source_end(&here, why) && ok;
    ok = source_end(&gone, why) && ok;
    return source_end(&again, why) && ok;
}

static bool read_batch(struct reading *r, struct fail *why)
{
    const struct mailbox_state *box;

    r->count = 0;
    arena_reset(&r->arena);
    if (!account_lock(r->account, why))
        return false;
    box = state_need_mailbox(r->account->state, r->mailbox_id, why);
    bool ok = box != NULL && read_rows(r, box->row.expunge_modseq != 0, why);
    account_unlock(r->account);
    return ok;
}

/* ---- messages whose lines nobody has looked at yet ---- */

static bool write_counts(struct change *c, void *ctx, struct fail *why)
{
    const struct reading *r = ctx;

    for (size_t i = 0; i < r->count; i++)
        if (r->rows[i].counted && !db_run(c->db, SQL_LINE_EXTRA_WRITE, why, "ii", (int64_t)r->rows[i].m.message_id,
                                          r->rows[i].line_extra))
            return false;
    c->wrote = true;
    return true;
}

/* Their records are read now, once. */
static bool count_line_extra(struct reading *r, struct fail *why)
{
    bool any = false;

    for (size_t i = 0; i < r->count; i++) {
        struct row *row = &r->rows[i];
        struct fail failed;
        uint64_t n = 0;
        if (row->line_extra < 0) {
            row->counted = facts_line_extra(r->account->store, row->m.ref, row->m.size - row->m.prefix.len, &n, &failed);
            if (!row->counted && failed.kind != FAIL_PERM) {
                if (why != NULL)
                    *why = failed;
                return false;
            }
            row->line_extra = (int64_t)n; /* 0 of a damaged one, which cannot be sent anyway */
            any = any || row->counted;
        }
        row->m.octets = row->m.size + (uint64_t)row->line_extra;
    }
    if (any)
        (void)change_run(r->account, CHANGE_TOGETHER, write_counts, r, NULL); /* else: counted again */
    return true;
}

bool store_maildrop_read(struct account *a, uint64_t mailbox_id, uint32_t first, uint32_t last,
                   bool (*each)(void *ctx, const struct maildrop_message *m), void *ctx, struct fail *why)
{
    struct reading *r = xmalloc(sizeof *r);
    bool ok = true, more = true;

    r->account = a;
    r->mailbox_id = mailbox_id;
    r->next = first;
    r->last = last;
    arena_init(&r->arena, SIZE_MAX);
    while (ok && more && r->next <= last) {
        ok = read_batch(r, why) && count_line_extra(r, why);
        for (size_t i = 0; ok && more && i < r->count; i++)
            more = each(ctx, &r->rows[i].m);
    }
    arena_finish(&r->arena);
    free(r);
    return ok;
}

/* ---- the whole ---- */

/*
 * Of the rows as they are: the mailbox's bytes, which are kept, and what its messages need beyond them, of which
 * only those are looked at that need something.  *unknown: of some nobody knows yet, and they count as they are kept.
 */
static bool measure(struct account *a, uint64_t mailbox_id, const struct view *v, uint64_t *octets, bool *same, bool *unknown,
                    struct fail *why)
{
    const struct mailbox_state *box;
    struct db_stmt *q = NULL;

    if (!account_lock(a, why))
        return false;
    box = state_need_mailbox(a->state, mailbox_id, why);
    *same = box != NULL && box->row.highest_modseq == view_modseq(v) && box->row.messages == view_count(v);
    if (*same)
        q = db_stmt(a->db, SQL_LINE_EXTRA_SUM, why);
    bool ok = box != NULL && (!*same || q != NULL);
    if (q != NULL) {
        db_bind_i64(q, 1, (int64_t)mailbox_id);
        if (db_step(q, why)) {
            *octets = box->row.bytes + (uint64_t)db_col_i64(q, 0);
            *unknown = db_col_i64(q, 1) < 0;
        }
        ok = db_done(q, why);
    }
    account_unlock(a);
    return ok;
}

static bool pass_over(void *ctx, const struct maildrop_message *m)
{
    (void)ctx;
    (void)m;
    return true;
}

bool store_maildrop_open(struct account *a, uint64_t mailbox_id, struct view **out, uint64_t *octets, struct fail *why)
{
    for (bool counted = false;;) {
        bool same = false, unknown = false;
        struct view *v;
        if (!view_open(a, mailbox_id, &v, why))
            return false;
        bool ok = measure(a, mailbox_id, v, octets, &same, &unknown, why) &&
                  (!unknown || counted || store_maildrop_read(a, mailbox_id, 1, UINT32_MAX, pass_over, NULL, why));
        if (ok && same && (!unknown || counted)) { /* what is damaged stays unknown */
            *out = v;
            return true;
        }
        view_release(&v);
        if (!ok)
            return false; /* else: it changed in between, or has been counted now */
        counted = counted || unknown;
    }
}
