/*
 * store/fetch.c - rows of messages for those who show them.
 *
 * Layer: store.  Rows are read in batches and handed out with no lock held, so
 * that a long FETCH holds up nobody and the callback may call what it likes.
 */
#include "base/scoped.h"
#include "store/internal.h"

enum {
    BATCH_ROWS = 64,
    BATCH_BYTES = 64 * 1024,
    FETCH_CACHED = FETCH_ENVELOPE | FETCH_STRUCTURE | FETCH_PREVIEW | FETCH_REFERENCES,
};

struct batch {
    struct arena arena;
    struct message_info rows[BATCH_ROWS];
    bool uncached[BATCH_ROWS];   /* derived data is missing: from the record */
    bool unthreaded[BATCH_ROWS]; /* of a message from before there were threads */
    size_t count;
};

struct fetch {
    struct account *account;
    uint64_t mailbox_id;
    struct uid_set want;
    size_t range;  /* in `want` */
    uint64_t next; /* the lowest UID not read yet; beyond 32 bits: past the end */
    unsigned what;
    bool bare; /* only a uid and a blob are read */
    struct batch batch;
};

/* One of the two tables, read in step with the other. */
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

static enum account_sql statement(const struct fetch *f, bool gone)
{
    if (f->bare && (f->what & FETCH_ENVELOPE) != 0)
        return gone ? SQL_FETCH_GONE_BARE_ENVELOPE : SQL_FETCH_BARE_ENVELOPE;
    if (f->bare)
        return gone ? SQL_FETCH_GONE_BARE_STRUCTURE : SQL_FETCH_BARE_STRUCTURE;
    if ((f->what & FETCH_CACHED) != 0)
        return gone ? SQL_FETCH_GONE_CACHED : SQL_FETCH_CACHED;
    return gone ? SQL_FETCH_GONE : SQL_FETCH;
}

static bool source_begin(struct source *s, struct fetch *f, bool gone, uint32_t last, struct fail *why)
{
    s->q = db_stmt(f->account->db, statement(f, gone), why);
    if (s->q == NULL)
        return false;
    db_bind_i64(s->q, 1, (int64_t)f->mailbox_id);
    db_bind_i64(s->q, 2, (int64_t)f->next);
    db_bind_i64(s->q, 3, (int64_t)last);
    source_step(s, why);
    return true;
}

static bool source_end(struct source *s, struct fail *why)
{
    return s->q == NULL || db_done(s->q, why);
}

/* false: there is nothing in the cache, and the rest of the row is needed after all. */
static bool keep_bare(struct fetch *f, struct db_stmt *q)
{
    struct batch *b = &f->batch;
    struct message_info *m = &b->rows[b->count];

    if (db_col_is_null(q, 1)) {
        f->bare = false;
        return false;
    }
    *m = (struct message_info){.uid = (uint32_t)db_col_i64(q, 0), .repeats = (int)db_col_i64(q, 2)};
    *((f->what & FETCH_ENVELOPE) != 0 ? &m->envelope : &m->structure) = arena_keep(&b->arena, db_col_blob(q, 1));
    b->uncached[b->count] = b->unthreaded[b->count] = false;
    b->count++;
    return true;
}

/* Columns as FETCH_COLUMNS in sql.c names them. */
static void keep_row(struct fetch *f, struct db_stmt *q)
{
    struct batch *b = &f->batch;
    struct message_info *m = &b->rows[b->count];

    *m = (struct message_info){
        .uid = (uint32_t)db_col_i64(q, 0),
        .message_id = (uint64_t)db_col_i64(q, 1),
        .saved_date = db_col_i64(q, 2),
        .size = (uint64_t)db_col_i64(q, 3),
        .internal_date = db_col_i64(q, 4),
        .internal_zone = (int)db_col_i64(q, 5),
        .ref = (uint64_t)db_col_i64(q, 6),
        .prefix = arena_keep(&b->arena, db_col_blob(q, 7)),
        .thread_id = (uint64_t)db_col_i64(q, 8),
    };
    b->uncached[b->count] = (f->what & FETCH_CACHED) != 0 && db_col_is_null(q, 9);
    b->unthreaded[b->count] = (f->what & FETCH_THREAD) != 0 && m->thread_id == 0;
    if ((f->what & FETCH_ENVELOPE) != 0) {
        m->envelope = arena_keep(&b->arena, db_col_blob(q, 9));
        m->repeats = (int)db_col_i64(q, 13);
    }
    if ((f->what & FETCH_STRUCTURE) != 0)
        m->structure = arena_keep(&b->arena, db_col_blob(q, 10));
    if ((f->what & FETCH_PREVIEW) != 0)
        m->preview = arena_keep(&b->arena, db_col_blob(q, 11));
    if ((f->what & FETCH_REFERENCES) != 0 && !b->uncached[b->count]) {
        m->references = arena_keep(&b->arena, db_col_blob(q, 12));
        b->unthreaded[b->count] = b->unthreaded[b->count] || m->references.len == 0;
    }
    b->count++;
}

static bool batch_full(const struct batch *b)
{
    return b->count == BATCH_ROWS || b->arena.used >= BATCH_BYTES;
}

/* Of the range that is next; entries and what is left of expunged ones merged by UID. */
static bool read_range(struct fetch *f, bool with_gone, struct fail *why)
{
    uint32_t last = f->want.ranges[f->range].last;
    struct source here = {.q = NULL}, gone = {.q = NULL};

    if (f->next < f->want.ranges[f->range].first)
        f->next = f->want.ranges[f->range].first;
    bool ok = source_begin(&here, f, false, last, why) && (!with_gone || source_begin(&gone, f, true, last, why));
    while (ok && (here.row || gone.row) && !batch_full(&f->batch)) {
        struct source *s = !gone.row || (here.row && here.uid < gone.uid) ? &here : &gone;
        if (!f->bare)
            keep_row(f, s->q);
        else if (!keep_bare(f, s->q))
            break;
        f->next = (uint64_t)s->uid + 1;
        source_step(s, why);
    }
    bool finished = !here.row && !gone.row;
    ok = source_end(&here, why) && ok;
    ok = source_end(&gone, why) && ok;
    if (ok && finished)
        f->range++;
    return ok;
}

static bool read_batch(struct fetch *f, struct fail *why)
{
    const struct mailbox_state *box;
    bool ok;

    f->batch.count = 0;
    arena_reset(&f->batch.arena);
    if (!account_lock(f->account, why))
        return false;
    box = state_need_mailbox(f->account->state, f->mailbox_id, why);
    ok = box != NULL;
    while (ok && f->range < f->want.count && !batch_full(&f->batch))
        ok = read_range(f, box->row.expunge_modseq != 0, why);
    account_unlock(f->account);
    return ok;
}

/* Cached data that is missing (it is derived: `posthorn rebuild` makes it anew) costs a look at the record.
 */
static bool fill_in(struct fetch *f, size_t i, struct fail *why)
{
    struct message_info *m = &f->batch.rows[i];
    struct message_facts facts;

    if (!f->batch.uncached[i])
        return true;
    if (!facts_of_record(f->account->store, m->ref, m->size - m->prefix.len, &f->batch.arena, &facts,
                         why))
        return false;
    if ((f->what & FETCH_ENVELOPE) != 0) {
        m->envelope = facts.envelope;
        m->repeats = facts.repeats;
    }
    if ((f->what & FETCH_STRUCTURE) != 0)
        m->structure = facts.structure;
    if ((f->what & FETCH_PREVIEW) != 0)
        m->preview = facts.preview;
    if ((f->what & FETCH_REFERENCES) != 0)
        m->references = facts.references.ids;
    return true;
}

/* ---- messages from before there were threads ---- */

struct adopting {
    struct batch *batch;
    struct message_facts facts[BATCH_ROWS];
};

static bool adopt_rows(struct change *c, void *ctx, struct fail *why)
{
    struct adopting *p = ctx;

    for (size_t i = 0; i < p->batch->count; i++) {
        struct message_info *m = &p->batch->rows[i];
        const struct message_references *refs = &p->facts[i].references;
        if (p->batch->unthreaded[i] &&
            (!thread_adopt(c->db, m->message_id, refs, &m->thread_id, why) ||
             !db_run(c->db, SQL_REFS_WRITE, why, "ib", (int64_t)m->message_id, refs->ids)))
            return false;
    }
    c->wrote = true;
    return true;
}

/* Their headers are read now, once, and what they say is written beside them. */
static bool adopt(struct fetch *f, struct fail *why)
{
    struct batch *b = &f->batch;
    struct adopting p = {.batch = b};
    struct fail failed;
    bool any = false;

    for (size_t i = 0; i < b->count; i++) {
        struct message_info *m = &b->rows[i];
        if (!b->unthreaded[i])
            continue;
        if (!facts_of_record(f->account->store, m->ref, m->size - m->prefix.len, &b->arena,
                             &p.facts[i], &failed)) {
            b->unthreaded[i] = false; /* damaged: it goes without */
            if (failed.kind == FAIL_PERM)
                continue;
            if (why != NULL)
                *why = failed;
            return false;
        }
        any = true;
        if ((f->what & FETCH_REFERENCES) != 0)
            m->references = p.facts[i].references.ids;
    }
    if (!any || change_run(f->account, CHANGE_TOGETHER, adopt_rows, &p, &failed))
        return true;
    if ((f->what & FETCH_THREAD) == 0)
        return true; /* the references are known all the same */
    if (why != NULL)
        *why = failed;
    return false;
}

bool message_fetch(struct account *a, uint64_t mailbox_id, const struct uid_range *ranges, size_t range_count,
                   unsigned what, bool (*each)(void *ctx, const struct message_info *m), void *ctx,
                   struct fail *why)
{
    struct fetch f = {.account = a, .mailbox_id = mailbox_id, .what = what};
    bool ok = true, more = true;

    f.bare = what == (FETCH_BARE | FETCH_ENVELOPE) || what == (FETCH_BARE | FETCH_STRUCTURE);
    f.want = uid_set_of_ranges(ranges, range_count);
    arena_init(&f.batch.arena, SIZE_MAX);
    while (ok && more && f.range < f.want.count) {
        ok = read_batch(&f, why) && adopt(&f, why);
        for (size_t i = 0; ok && more && i < f.batch.count; i++) {
            ok = fill_in(&f, i, why);
            more = ok && each(ctx, &f.batch.rows[i]);
        }
    }
    arena_finish(&f.batch.arena);
    uid_set_finish(&f.want);
    return ok;
}
