/*
 * store/place.c - deliveries that are on stable storage become rows.
 *
 * Layer: store.  Nothing here may refuse a message for what it is: it has been
 * accepted.  A mailbox that is gone means INBOX; keywords that do not fit are
 * left out.
 */
#include <stdio.h>

#include "store/import.h"
#include "store/internal.h"

struct placing {
    const struct place_item *items;
    const struct message_facts *facts; /* of each */
    size_t count;
};

static uint64_t inbox_of(const struct change *c)
{
    const struct mailbox_state *inbox = state_mailbox_named(c->account->state, SLICE("INBOX"));

    return inbox != NULL ? inbox->row.id : 0;
}

static struct change_box *destination(struct change *c, const struct record_target *t, struct fail *why)
{
    struct fail gone = {0};
    struct change_box *box = t->mailbox != 0 ? change_box(c, t->mailbox, &gone) : NULL;

    if (box != NULL)
        return box;
    if (t->mailbox != 0 && gone.reason != FAIL_NOT_FOUND) {
        if (why != NULL)
            *why = gone;
        return NULL;
    }
    return change_box(c, inbox_of(c), why);
}

static bool keywords_of(struct change *c, struct slice text, uint32_t *set, struct fail *why)
{
    struct slice names[64];
    size_t count = 0;
    struct fail refused = {0};

    while (text.len > 0 && count < ARRAY_LEN(names)) {
        struct slice name = slice_cut(&text, ' ');
        if (name.len > 0)
            names[count++] = name;
    }
    if (keyword_set_change(c, 0, FLAGS_REPLACE, names, count, set, &refused))
        return true;
    *set = 0;
    if (refused.kind == FAIL_PERM)
        return true;
    if (why != NULL)
        *why = refused;
    return false;
}

/* The message of this record, if the account has it (or had it and keeps it still): 0 if not. */
static bool find_message(struct db *db, volume_ref ref, uint64_t *id, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_MESSAGE_BY_REF, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)ref);
    *id = db_step(q, why) ? (uint64_t)db_col_i64(q, 0) : 0;
    return db_done(q, why);
}

/*
 * One record may go to two mailboxes of an account: is it in this one, or was it?
 * (What a mailbox held that was deleted is known as long as what was expunged.)
 */
static bool is_in_mailbox(struct db *db, uint64_t message_id, uint64_t mailbox_id, bool *is, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_IS_IN_MAILBOX, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)message_id);
    db_bind_i64(q, 2, (int64_t)mailbox_id);
    *is = db_step(q, why);
    return db_done(q, why);
}

static void note_place(const struct change *c, uint64_t mailbox, uint32_t uid, struct placed_at *out)
{
    const struct mailbox_state *box = state_mailbox(c->account->state, mailbox);
    struct slice                name = box != NULL ? box->row.name : SLICE("");

    (void)snprintf(out->mailbox, sizeof out->mailbox, PRIslice, SLICE_ARG(name));
    out->uid = uid;
}

static bool place_one(struct change *c, const struct place_item *item, const struct message_facts *facts,
                      struct fail *why)
{
    const struct record_target *t = item->target;
    struct change_box *box = destination(c, t, why);
    struct new_message m = {
        .ref = item->ref,
        .facts = facts,
        .prefix = t->prefix,
        .internal_date = item->internal_date,
        .internal_zone = item->internal_zone,
        .flags = t->flags,
        .uidl = uidl_of_option(t->options),
    };
    struct import_origin origin;
    uint64_t id;
    uint32_t uid = 0;
    bool there = false;

    if (box == NULL || !find_message(c->db, item->ref, &id, why) ||
        (id != 0 && t->mailbox != 0 && !is_in_mailbox(c->db, id, t->mailbox, &there, why)) ||
        (id != 0 && !there && !is_in_mailbox(c->db, id, box->row.id, &there, why)))
        return false;
    if (!there && (!keywords_of(c, t->keywords, &m.keyword_set, why) ||
                   (id == 0 && !row_add_message(c, &m, &id, why)) || !row_add_entry(c, box, id, &m, &uid, why) ||
                   (import_of_option(t->options, &origin) && !import_note_again(c, box, &origin, uid, why))))
        return false;
    if (item->at != NULL)
        note_place(c, box->row.id, there ? 0 : uid, item->at);
    c->returned.bytes += item->reserved.bytes;
    c->returned.messages += item->reserved.messages;
    return true;
}

static bool place_all(struct change *c, void *ctx, struct fail *why)
{
    const struct placing *p = ctx;

    for (size_t i = 0; i < p->count; i++) {
        const struct message_facts *given = p->items[i].facts;
        if (!place_one(c, &p->items[i], given != NULL ? given : &p->facts[i], why))
            return false;
    }
    return true;
}

/* From the record, for a delivery that an earlier process accepted; nothing for one that has its row. */
static bool facts_from_record(struct account *a, volume_ref ref, struct arena *arena,
                              struct message_facts *out, struct fail *why)
{
    struct volumes *v = a->store->volumes;
    struct record record;
    bool placed;

    if (!message_was_placed(a, ref, &placed, why) || !volume_describe(v, ref, arena, &record, why))
        return false;
    out->size = record.size;
    return placed || facts_of_record(a->store, ref, record.size, arena, out, why);
}

bool message_place(struct account *a, const struct place_item *items, size_t count, struct fail *why)
{
    struct placing placing = {.items = items, .count = count};
    struct message_facts *facts;
    struct arena arena;
    bool ok = true;

    if (count == 0)
        return true;
    arena_init(&arena, SIZE_MAX);
    facts = arena_new_array(&arena, struct message_facts, count);
    for (size_t i = 0; ok && i < count; i++) {
        if (items[i].facts == NULL)
            ok = facts_from_record(a, items[i].ref, &arena, &facts[i], why);
    }
    placing.facts = facts;
    ok = ok && change_run(a, CHANGE_TOGETHER, place_all, &placing, why);
    arena_finish(&arena);
    return ok;
}

bool message_was_placed(struct account *a, uint64_t ref, bool *placed, struct fail *why)
{
    uint64_t id;

    if (!account_lock(a, why))
        return false;
    bool ok = find_message(a->db, ref, &id, why);
    account_unlock(a);
    if (ok)
        *placed = id != 0;
    return ok;
}
