/*
 * store/append.c - messages that a client puts into a mailbox.
 *
 * Layer: store.  First the records, as they come, with one sync for all; then
 * the rows in one transaction.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/scoped.h"
#include "store/import.h"
#include "store/internal.h"

/* A message that lies in the volumes already. */
struct appended_record {
    struct appended_record *next;
    struct message_facts facts;
    volume_ref ref;
    uint32_t flags;
    bool seen; /* by p->user */
    struct slice *keywords;
    size_t keyword_count;
    int64_t internal_date;
    int internal_zone;
    struct slice uidl;
    bool imported;
    struct import_origin origin;
};

struct appender {
    struct account *account;
    uint64_t mailbox_id;
    uint64_t user; /* whose \Seen it is, 0: the owner's */
    struct arena arena;
    struct appended_record *first, **tail;
    size_t count;
    uint64_t from_mailbox; /* of the message that goes, 0: none */
    uint32_t replaced;
    struct quota_amount replaced_size, reserved;
    bool measured, synced, done;
    bool over_quota;
    struct appended out;
};

/* Asked before anything is written; asked again inside the transaction. */
static bool mailbox_takes_messages(struct account *a, uint64_t mailbox_id, struct fail *why)
{
    if (!account_peek(a, why))
        return false;
    const struct mailbox_state *box = state_mailbox(a->state, mailbox_id);
    bool ok = box != NULL && !box->row.no_select;
    (void)pthread_mutex_unlock(&a->lock);
    return ok || fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no such mailbox");
}

struct appender *appender_create(struct account *a, uint64_t mailbox_id)
{
    struct appender *p = xcalloc(1, sizeof *p);

    p->account = account_ref(a);
    p->mailbox_id = mailbox_id;
    p->tail = &p->first;
    arena_init(&p->arena, SIZE_MAX);
    return p;
}

void appender_for(struct appender *p, uint64_t user)
{
    p->user = user != p->account->id ? user : 0;
}

void appender_replaces(struct appender *p, uint64_t mailbox_id, uint32_t uid)
{
    p->from_mailbox = mailbox_id;
    p->replaced = uid;
}

void appender_over_quota(struct appender *p)
{
    p->over_quota = true;
}

void appender_drop_keywords(struct appender *p)
{
    for (struct appended_record *r = p->first; r != NULL; r = r->next)
        r->keyword_count = 0;
}

size_t appender_count(const struct appender *p)
{
    return p->count;
}

static struct slice join_keywords(struct arena *arena, const struct append_item *item)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < item->keyword_count; i++) {
        if (i > 0)
            buf_add_char(&text, ' ');
        buf_add(&text, item->keywords[i]);
    }
    struct slice joined = arena_keep(arena, buf_slice(&text));
    buf_finish(&text);
    return joined;
}

static bool append_record(struct appender *p, const struct append_item *item, struct appended_record *to,
                          struct fail *why)
{
    struct record_target target = {
        .kind = RECORD_LOCAL,
        .account = p->account->id,
        .mailbox = p->mailbox_id,
        .flags = to->flags,
        .keywords = join_keywords(&p->arena, item),
        .options = uidl_as_option(&p->arena, item->uidl),
    };
    if (item->origin != NULL)
        target.options = import_as_option(&p->arena, target.options, item->origin);
    struct record record = {
        .kind = RECORD_APPEND,
        .internal_date = item->internal_date,
        .internal_zone = item->internal_zone,
        .targets = &target,
        .target_count = 1,
    };

    return facts_of_body(p->account->store, item->body, &p->arena, &to->facts, why) &&
           volume_append_start(p->account->store->volumes, &record, item->body, &to->ref, why);
}

/* What the message that goes makes room for; nothing if it is gone already. */
static bool measure_replaced(struct appender *p, struct fail *why)
{
    struct account *a = p->account;
    bool found = false;

    p->measured = true;
    if (!account_lock(a, why))
        return false;
    struct db_stmt *q = db_stmt(a->db, SQL_ENTRY_SIZE, why);
    bool ok = q != NULL;
    if (ok) {
        db_bind_i64(q, 1, (int64_t)p->from_mailbox);
        db_bind_i64(q, 2, (int64_t)p->replaced);
        found = db_step(q, why);
        if (found)
            p->replaced_size = (struct quota_amount){(uint64_t)db_col_i64(q, 0), 1};
        ok = db_done(q, why);
    }
    account_unlock(a);
    return ok;
}

/* What a message needs beyond the room that the replaced one leaves. */
static bool room_for(struct appender *p, uint64_t bytes, struct quota_amount *more, struct fail *why)
{
    if (p->from_mailbox != 0 && !p->measured && !measure_replaced(p, why))
        return false;
    const struct quota_amount *spared = &p->replaced_size;
    *more = (struct quota_amount){bytes > spared->bytes ? bytes - spared->bytes : 0, 1 - spared->messages};
    return true;
}

bool appender_may_add(struct appender *p, uint64_t bytes, struct fail *why)
{
    struct quota_amount more;

    return room_for(p, bytes, &more, why) && quota_fits(p->account, more, why);
}

static bool reserve(struct appender *p, uint64_t bytes, struct fail *why)
{
    struct quota_amount more;

    if (p->over_quota)
        return true;
    if (!room_for(p, bytes, &more, why) || !quota_reserve(p->account, more, why))
        return false;
    p->replaced_size.bytes -= bytes - more.bytes;
    p->replaced_size.messages = 0;
    p->reserved.bytes += more.bytes;
    p->reserved.messages += more.messages;
    return true;
}

bool appender_add(struct appender *p, const struct append_item *item, struct fail *why)
{
    struct appended_record *r = arena_new(&p->arena, struct appended_record);

    r->seen = p->user != 0 && (item->flags & STORE_SEEN);
    r->flags = item->flags & STORE_FLAGS & ~(p->user != 0 ? (uint32_t)STORE_SEEN : 0);
    if (!mailbox_takes_messages(p->account, p->mailbox_id, why) || !reserve(p, body_size(item->body), why) ||
        !append_record(p, item, r, why))
        return false;
    r->internal_date = item->internal_date;
    r->internal_zone = item->internal_zone;
    r->uidl = arena_keep(&p->arena, item->uidl);
    r->imported = item->origin != NULL;
    if (r->imported)
        r->origin = *item->origin;
    r->keywords = arena_new_array(&p->arena, struct slice, item->keyword_count);
    r->keyword_count = item->keyword_count;
    for (size_t i = 0; i < item->keyword_count; i++)
        r->keywords[i] = arena_keep(&p->arena, item->keywords[i]);
    *p->tail = r;
    p->tail = &r->next;
    p->count++;
    return true;
}

/* With the UID that it had, where that is above all that were given out; and remembered. */
static bool add_imported(struct change *c, struct change_box *box, uint64_t id, const struct new_message *m,
                         const struct import_origin *from, uint32_t *uid, struct fail *why)
{
    if (from->uid > box->row.uidnext && from->uid <= IMPORT_UID_MOST)
        box->row.uidnext = from->uid;
    return row_add_entry(c, box, id, m, uid, why) && import_note(c, from, *uid, why);
}

static bool add_row(struct change *c, struct change_box *box, const struct appended_record *r, uint32_t *uid,
                    struct fail *why)
{
    struct new_message m = {
        .ref = r->ref,
        .facts = &r->facts,
        .internal_date = r->internal_date,
        .internal_zone = r->internal_zone,
        .flags = r->flags,
        .uidl = r->uidl,
    };
    uint64_t id;

    return keyword_set_change(c, 0, FLAGS_REPLACE, r->keywords, r->keyword_count, &m.keyword_set, why) &&
           row_add_message(c, &m, &id, why) &&
           (r->imported ? add_imported(c, box, id, &m, &r->origin, uid, why)
                        : row_add_entry(c, box, id, &m, uid, why));
}

/* The message that the new one takes the place of. */
static bool take_out(struct change *c, const struct appender *p, struct fail *why)
{
    struct uid_range range = {p->replaced, p->replaced};
    struct change_box *box = change_box(c, p->from_mailbox, why);

    if (box == NULL || !change_view(c, box, why))
        return false;
    struct view_runs runs = view_runs_find(box->view, &range, 1, run_take_all, NULL);
    bool ok = runs.messages == 1 ? expunge_runs(c, box, &runs, why)
                                 : fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "the message is gone");
    view_runs_finish(&runs);
    return ok;
}

static bool add_seen(struct change *c, const struct appender *p, uint32_t uid, struct fail *why)
{
    uint64_t modseq = change_modseq(c);

    c->seen_by = p->user;
    c->seen_in = p->mailbox_id;
    view_put_row(&c->seen, uid, STORE_SEEN, modseq);
    return db_run(c->db, SQL_SEEN_SET, why, "iiiii", (int64_t)p->mailbox_id, (int64_t)p->user, (int64_t)uid,
                  (int64_t)uid, (int64_t)modseq);
}

static bool add_rows(struct change *c, void *ctx, struct fail *why)
{
    struct appender *p = ctx;
    struct change_box *box = change_box(c, p->mailbox_id, why);
    uint32_t uid;

    if (box == NULL)
        return false;
    c->returned.bytes += p->reserved.bytes;
    c->returned.messages += p->reserved.messages;
    p->out.first_uid = 0;
    p->out.renumbered = 0;
    for (const struct appended_record *r = p->first; r != NULL; r = r->next) {
        if (!add_row(c, box, r, &uid, why) || (r->seen && !add_seen(c, p, uid, why)))
            return false;
        p->out.first_uid = p->out.first_uid == 0 ? uid : p->out.first_uid;
        p->out.renumbered += r->origin.uid != 0 && r->origin.uid != uid;
    }
    p->out.uidvalidity = box->row.uidvalidity;
    p->out.modseq = change_modseq(c);
    return p->from_mailbox == 0 || take_out(c, p, why);
}

static bool sync_records(struct appender *p, struct fail *why)
{
    volume_ref last = 0;

    if (p->first == NULL)
        return true;
    for (const struct appended_record *r = p->first; r != NULL; r = r->next)
        last = r->ref;
    p->synced = p->synced || volume_sync(p->account->store->volumes, p->first->ref, last, why);
    return p->synced;
}

bool appender_commit(struct appender *p, struct appended *out, struct fail *why)
{
    struct fail local = {0};

    if (p->count == 0)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "nothing to append");
    bool ok = sync_records(p, &local) && change_run(p->account, p->user == 0 ? CHANGE_TOGETHER : CHANGE_ALONE, add_rows, p, &local);
    /* Where nobody can say whether the rows were written after all, the records stay. */
    p->done = ok || local.reason == FAIL_OUT_OF_SERVICE;
    if (ok) {
        p->reserved = (struct quota_amount){0, 0};
        *out = p->out;
    } else if (why != NULL) {
        *why = local;
    }
    return ok;
}

/*
 * Records without rows are given back once they are on disk: what a reference
 * means that was never synced, a crash may yet change.
 */
static void give_back(struct appender *p)
{
    struct node_release *list = arena_new_array(&p->arena, struct node_release, p->count);
    size_t n = 0;

    if (!sync_records(p, NULL))
        return;
    for (const struct appended_record *r = p->first; r != NULL; r = r->next)
        list[n++] = (struct node_release){.ref = r->ref, .size = r->facts.size};
    (void)release_records(p->account->store, p->account->id, list, n, NULL);
}

void appender_destroy(struct appender **p)
{
    if (*p == NULL)
        return;
    if (!(*p)->done && (*p)->count > 0)
        give_back(*p);
    quota_release((*p)->account->store, (*p)->account->id, (*p)->reserved);
    arena_finish(&(*p)->arena);
    account_release(&(*p)->account);
    free(*p);
    *p = NULL;
}

bool message_append(struct account *a, uint64_t mailbox_id, struct append_item *items, size_t count,
                    uint32_t *uidvalidity, uint64_t *modseq, struct fail *why)
{
    SCOPED(appender_destroy) struct appender *p = appender_create(a, mailbox_id);
    struct appended out = {0};

    for (size_t i = 0; i < count; i++) {
        if (!appender_add(p, &items[i], why))
            return false;
    }
    if (!appender_commit(p, &out, why))
        return false;
    for (size_t i = 0; i < count; i++)
        items[i].uid = out.first_uid + (uint32_t)i;
    *uidvalidity = out.uidvalidity;
    *modseq = out.modseq;
    return true;
}
