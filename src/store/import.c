/*
 * store/import.c - mail that moves in, and what is remembered of where it came from.
 *
 * Layer: store.
 */
#include "store/import.h"

#include "base/block.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/map.h"
#include "store/internal.h"

enum { IMPORT_WAIT_MS = 10000 };

bool import_begin(struct account *a, struct fail *why)
{
    const int64_t until = clock_mono_ms() + IMPORT_WAIT_MS;
    const struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    struct store *st = a->store;
    bool in_time = true;

    block_begin();
    (void)pthread_mutex_lock(&st->lock);
    while (a->importing && in_time)
        in_time = pthread_cond_timedwait(&st->import_ended, &st->lock, &at) == 0;
    bool ok = !a->importing;
    a->importing = true;
    (void)pthread_mutex_unlock(&st->lock);
    block_end();
    return ok || fail_set(why, FAIL_TEMP, FAIL_OTHER, "another import into this account is running");
}

void import_end(struct account *a)
{
    struct store *st = a->store;

    (void)pthread_mutex_lock(&st->lock);
    a->importing = false;
    (void)pthread_cond_broadcast(&st->import_ended);
    (void)pthread_mutex_unlock(&st->lock);
}

struct opening {
    struct slice        source;
    uint64_t            mailbox;
    uint32_t            uidvalidity;
    struct import_place out;
};

/* Two hashes of what differs in its first letter: together as good as one twice as long. */
static void name_of(struct slice source, uint8_t out[IMPORT_DIGEST])
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_add_char(&text, '1');
    buf_add(&text, source);
    uint64_t half = hash_for_good(buf_slice(&text));
    memcpy(out, &half, sizeof half);
    text.data[0] = '2';
    half = hash_for_good(buf_slice(&text));
    memcpy(out + sizeof half, &half, sizeof half);
    buf_finish(&text);
}

static struct slice name_slice(const uint8_t name[IMPORT_DIGEST])
{
    return slice_make(name, IMPORT_DIGEST);
}

static bool find_row(struct db *db, struct slice as, struct import_place *out, bool *found, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_SOURCE_FIND, why);

    if (q == NULL)
        return false;
    db_bind_blob(q, 1, as);
    *found = db_step(q, why);
    if (*found) {
        out->source = (uint64_t)db_col_i64(q, 0);
        out->mailbox = (uint64_t)db_col_i64(q, 1);
    }
    return db_done(q, why);
}

/* By its name's digest, or as it stands in files of before: by the name itself. */
static bool find_source(struct db *db, struct slice source, struct import_place *out, bool *found, struct fail *why)
{
    *out = (struct import_place){.source = 0};
    name_of(source, out->name);
    return find_row(db, name_slice(out->name), out, found, why) && (*found || find_row(db, source, out, found, why));
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
        return db_run(c->db, SQL_IMPORTED_FORGET, why, "i", id) &&
               db_run(c->db, SQL_SOURCE_MOVE, why, "iib", id, mailbox, name_slice(o->out.name));
    if (!db_run(c->db, SQL_SOURCE_NEW, why, "bi", name_slice(o->out.name), mailbox))
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
        return db_run(c->db, SQL_SOURCE_MOVE, why, "iib", (int64_t)o->out.source, (int64_t)o->mailbox, name_slice(o->out.name));
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

/* ---- in records ---- */

static const char option[] = "IMPORT=";

/* Hexadecimal digits: the source's name, the message's digest, its state there. */
enum { OPTION_DIGITS = 2 * (IMPORT_DIGEST + IMPORT_DIGEST + sizeof(int64_t)) };

struct slice import_as_option(struct arena *a, struct slice others, const struct import_origin *from)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_add(&text, others);
    if (others.len > 0)
        buf_add_char(&text, ' ');
    buf_add(&text, slice_of(option));
    hex_encode(&text, slice_make(from->source_name, IMPORT_DIGEST));
    hex_encode(&text, slice_make(from->digest, IMPORT_DIGEST));
    hex_encode(&text, slice_make(&from->state, sizeof from->state));
    struct slice out = arena_keep(a, buf_slice(&text));
    buf_finish(&text);
    return out;
}

static int hex_digit(char c)
{
    return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool import_of_option(struct slice options, struct import_origin *out)
{
    struct slice rest = options, word = slice_cut(&rest, ' ');
    uint8_t      bytes[OPTION_DIGITS / 2];

    if (slice_starts(word, SLICE("UIDL=")))
        word = rest;
    if (!slice_starts(word, slice_of(option)) || word.len != sizeof option - 1 + OPTION_DIGITS)
        return false;
    word = slice_from(word, sizeof option - 1);
    for (size_t i = 0; i < sizeof bytes; i++) {
        const int high = hex_digit(word.ptr[2 * i]), low = hex_digit(word.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high * 16 + low);
    }
    *out = (struct import_origin){.source = 0};
    memcpy(out->source_name, bytes, IMPORT_DIGEST);
    memcpy(out->digest, bytes + IMPORT_DIGEST, IMPORT_DIGEST);
    memcpy(&out->state, bytes + 2 * (size_t)IMPORT_DIGEST, sizeof out->state);
    return true;
}

bool import_note(struct change *c, const struct import_origin *from, uint32_t uid, struct fail *why)
{
    return db_run(c->db, SQL_IMPORTED_NEW, why, "iibii", (int64_t)from->source, (int64_t)uid,
                  slice_make(from->digest, sizeof from->digest), from->state, (int64_t)change_modseq(c));
}

bool import_note_again(struct change *c, const struct change_box *box, const struct import_origin *from, uint32_t uid, struct fail *why)
{
    struct import_origin origin = *from;
    struct opening       o = {.mailbox = box->row.id};
    bool                 known;

    memcpy(o.out.name, from->source_name, IMPORT_DIGEST);
    if (!find_row(c->db, name_slice(o.out.name), &o.out, &known, why) ||
        ((!known || o.out.mailbox != o.mailbox) && !write_source(c, &o, known, why)))
        return false;
    origin.source = o.out.source;
    return import_note(c, &origin, uid, why);
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
