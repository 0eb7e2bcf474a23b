/*
 * store/import.c - mail that moves in, and what is remembered of where it came from.
 *
 * Layer: store.
 */
#include "store/import.h"

#include "base/clock.h"
#include "store/internal.h"

struct opening {
    struct slice        source;
    uint64_t            mailbox;
    uint32_t            uidvalidity;
    struct import_place out;
};

static bool find_source(struct db *db, struct slice source, struct import_place *out, bool *found, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_SOURCE_FIND, why);

    if (q == NULL)
        return false;
    db_bind_blob(q, 1, source);
    *found = db_step(q, why);
    if (*found)
        *out = (struct import_place){.source = (uint64_t)db_col_i64(q, 0), .mailbox = (uint64_t)db_col_i64(q, 1)};
    return db_done(q, why);
}

bool import_find(struct account *a, struct slice source, struct import_place *out, bool *found, struct fail *why)
{
    if (!account_lock(a, why))
        return false;
    bool ok = find_source(a->db, source, out, found, why);
    if (ok && *found) {
        const struct mailbox_state *box = state_mailbox(a->state, out->mailbox);
        *found = box != NULL && !box->row.no_select;
        out->uidvalidity = *found ? box->row.uidvalidity : 0;
    }
    account_unlock(a);
    return ok;
}

/*
 * What was expunged from the mailbox had UIDs that will now mean something else: it goes to a mailbox that was
 * deleted this moment and had the same name, where undelete finds it.
 */
static bool set_expunged_aside(struct change *c, const struct mailbox_row *row, struct fail *why)
{
    if (!db_run(c->db, SQL_EXPUNGED_ASIDE, why, "ii", (int64_t)row->id, (int64_t)c->row.next_mailbox))
        return false;
    if (db_changes(c->db) == 0)
        return true;
    return db_run(c->db, SQL_MAILBOX_ASIDE, why, "iiii", (int64_t)row->id, (int64_t)c->row.next_mailbox++,
                  (int64_t)change_modseq(c), clock_now());
}

static bool take_uidvalidity(struct change *c, struct change_box *box, uint32_t uidvalidity, struct fail *why)
{
    struct mailbox_row *row = &box->row;

    if (!set_expunged_aside(c, row, why) ||
        !db_run(c->db, SQL_MAILBOX_RENEW, why, "ii", (int64_t)row->id, (int64_t)uidvalidity) ||
        !db_run(c->db, SQL_FLAG_RUNS_GONE, why, "i", (int64_t)row->id) ||
        !db_run(c->db, SQL_SEEN_BURY, why, "i", (int64_t)row->id) || !db_run(c->db, SQL_UIDL_PURGE, why, "") ||
        !node_note_uidvalidity(c->account->store, uidvalidity, why))
        return false;
    row->uidvalidity = uidvalidity;
    row->uidnext = 1;
    row->first_recent = 1;
    view_release(&box->view);
    box->view = view_empty(row);
    change_touch(c, box);
    return true;
}

static bool is_free(struct change *c, const struct change_box *box, bool *yes, struct fail *why)
{
    int64_t sources;

    *yes = false;
    if (box->row.messages > 0)
        return true;
    if (!db_get_i64(c->db, SQL_SOURCE_OF_MAILBOX, &sources, why, "i", (int64_t)box->row.id))
        return false;
    *yes = sources == 0;
    return true;
}

/* The source's row, new or with the mailbox it has now; what came of it into another is forgotten. */
static bool write_source(struct change *c, struct opening *o, bool known, struct fail *why)
{
    int64_t id = (int64_t)o->out.source, mailbox = (int64_t)o->mailbox;

    (void)change_modseq(c);
    if (known)
        return db_run(c->db, SQL_IMPORTED_FORGET, why, "i", id) && db_run(c->db, SQL_SOURCE_MOVE, why, "ii", id, mailbox);
    if (!db_run(c->db, SQL_SOURCE_NEW, why, "bi", o->source, mailbox))
        return false;
    o->out.source = (uint64_t)db_last_rowid(c->db);
    return true;
}

static bool open_place(struct change *c, void *ctx, struct fail *why)
{
    struct opening    *o = ctx;
    struct change_box *box = change_box(c, o->mailbox, why);
    bool               known, may_take;

    if (box == NULL || !find_source(c->db, o->source, &o->out, &known, why) || !is_free(c, box, &may_take, why))
        return false;
    if (known && o->out.mailbox == o->mailbox) {
        o->out.uidvalidity = box->row.uidvalidity;
        return true;
    }
    if (o->uidvalidity != 0 && o->uidvalidity != box->row.uidvalidity && may_take &&
        !take_uidvalidity(c, box, o->uidvalidity, why))
        return false;
    if (!write_source(c, o, known, why))
        return false;
    o->out.mailbox = o->mailbox;
    o->out.uidvalidity = box->row.uidvalidity;
    return true;
}

bool import_open(struct account *a, struct slice source, uint64_t mailbox, uint32_t uidvalidity,
                 struct import_place *out, struct fail *why)
{
    struct opening o = {.source = source, .mailbox = mailbox, .uidvalidity = uidvalidity};

    if (!change_run(a, CHANGE_ALONE, open_place, &o, why))
        return false;
    *out = o.out;
    return true;
}

struct closing {
    uint64_t mailbox;
    uint32_t uidnext;
};

static bool close_place(struct change *c, void *ctx, struct fail *why)
{
    const struct closing *x = ctx;
    struct change_box    *box = change_box(c, x->mailbox, why);

    if (box == NULL)
        return false;
    if (x->uidnext > box->row.uidnext && x->uidnext <= IMPORT_UID_MOST) {
        box->row.uidnext = x->uidnext;
        change_touch(c, box);
    }
    return true;
}

bool import_close(struct account *a, uint64_t mailbox, uint32_t uidnext, struct fail *why)
{
    struct closing x = {mailbox, uidnext};

    return change_run(a, CHANGE_TOGETHER, close_place, &x, why);
}

bool import_rows(struct account *a, uint64_t source, uint32_t after, struct import_row *out, size_t max, size_t *count,
                 struct fail *why)
{
    *count = 0;
    if (!account_lock(a, why))
        return false;
    struct db_stmt *q = db_stmt(a->db, SQL_IMPORTED_SOME, why);
    bool            ok = q != NULL;
    if (ok) {
        db_bind_i64(q, 1, (int64_t)source);
        db_bind_i64(q, 2, (int64_t)after);
        db_bind_i64(q, 3, (int64_t)max);
        while (*count < max && db_step(q, why)) {
            struct import_row *r = &out[(*count)++];
            struct slice       digest = db_col_blob(q, 1);
            *r = (struct import_row){.uid = (uint32_t)db_col_i64(q, 0), .state = db_col_i64(q, 2),
                                     .modseq = (uint64_t)db_col_i64(q, 3)};
            memcpy(r->digest, digest.ptr, digest.len < sizeof r->digest ? digest.len : sizeof r->digest);
        }
        ok = db_done(q, why);
    }
    account_unlock(a);
    return ok;
}

struct settling {
    uint64_t                 source;
    const struct import_row *rows;
    size_t                   count;
};

static bool settle(struct change *c, void *ctx, struct fail *why)
{
    const struct settling *x = ctx;

    c->wrote = true;
    for (size_t i = 0; i < x->count; i++) {
        const struct import_row *r = &x->rows[i];
        bool ok = r->gone ? db_run(c->db, SQL_IMPORTED_GONE, why, "ii", (int64_t)x->source, (int64_t)r->uid)
                          : db_run(c->db, SQL_IMPORTED_STATE, why, "iiii", (int64_t)x->source, (int64_t)r->uid,
                                   r->state, (int64_t)r->modseq);
        if (!ok)
            return false;
    }
    return true;
}

bool import_settle(struct account *a, uint64_t source, const struct import_row *rows, size_t count, struct fail *why)
{
    struct settling x = {source, rows, count};

    return count == 0 || change_run(a, CHANGE_TOGETHER, settle, &x, why);
}

/* ---- scripts ---- */

struct scripting {
    struct slice name, text;
    bool         active;
};

static bool put_script(struct change *c, void *ctx, struct fail *why)
{
    const struct scripting *x = ctx;

    c->wrote = true;
    return db_run(c->db, SQL_SCRIPT_SET, why, "tib", x->name, (int64_t)x->active, x->text) &&
           (!x->active || db_run(c->db, SQL_SCRIPT_QUIET, why, "t", x->name));
}

bool script_put(struct account *a, struct slice name, bool active, struct slice text, struct fail *why)
{
    struct scripting x = {.name = name, .text = text, .active = active};

    return change_run(a, CHANGE_TOGETHER, put_script, &x, why);
}

bool script_each(struct account *a, bool (*each)(void *ctx, struct slice name, bool active, struct slice text),
                 void *ctx, struct fail *why)
{
    if (!account_lock(a, why))
        return false;
    struct db_stmt *q = db_stmt(a->db, SQL_SCRIPT_ALL, why);
    bool            ok = q != NULL;
    if (ok) {
        while (db_step(q, why)) {
            if (!each(ctx, db_col_text(q, 0), db_col_i64(q, 1) != 0, db_col_blob(q, 2)))
                break;
        }
        ok = db_done(q, why);
    }
    account_unlock(a);
    return ok;
}
