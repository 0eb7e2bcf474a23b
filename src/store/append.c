/*
 * store/append.c - messages that a client puts into a mailbox.
 *
 * Layer: store.  First the records, with one sync for all; then the rows.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/scoped.h"
#include "store/internal.h"

/* One append_item on its way. */
struct appending {
    struct append_item *item;
    struct message_facts facts;
    volume_ref ref;
};

struct append {
    uint64_t mailbox_id;
    struct appending *items;
    size_t count;
    uint32_t uidvalidity;
    uint64_t modseq;
};

static bool add_rows(struct change *c, void *ctx, struct fail *why)
{
    struct append *append = ctx;
    struct change_box *box = change_box(c, append->mailbox_id, why);

    if (box == NULL)
        return false;
    for (size_t i = 0; i < append->count; i++) {
        const struct appending *a = &append->items[i];
        struct new_message m = {
            .ref = a->ref,
            .facts = &a->facts,
            .internal_date = a->item->internal_date,
            .internal_zone = a->item->internal_zone,
            .flags = a->item->flags,
        };
        uint64_t id;
        if (!keyword_set_change(c, 0, FLAGS_REPLACE, a->item->keywords, a->item->keyword_count,
                                &m.keyword_set, why) ||
            !row_add_message(c, &m, &id, why) || !row_add_entry(c, box, id, &m, &a->item->uid, why))
            return false;
    }
    append->uidvalidity = box->row.uidvalidity;
    append->modseq = change_modseq(c);
    return true;
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

static bool append_record(struct account *a, uint64_t mailbox_id, struct appending *it, struct arena *arena,
                          struct fail *why)
{
    const struct append_item *item = it->item;
    struct record_target target = {
        .kind = RECORD_LOCAL,
        .account = a->id,
        .mailbox = mailbox_id,
        .flags = item->flags & STORE_FLAGS,
        .keywords = join_keywords(arena, item),
    };
    struct record record = {
        .kind = RECORD_APPEND,
        .internal_date = item->internal_date,
        .internal_zone = item->internal_zone,
        .targets = &target,
        .target_count = 1,
    };

    return message_facts_compute(item->body, arena, &it->facts, why) &&
           volume_append_start(a->store->volumes, &record, item->body, &it->ref, why);
}

/*
 * Records without rows: given back, unless nobody can say whether the rows were
 * written after all.  They are on disk: what a reference means that was never
 * synced, a crash may yet change.
 */
static void give_back(struct account *a, const struct append *append, const struct fail *why)
{
    SCOPED(scoped_free) struct node_release *list = xcalloc(append->count, sizeof *list);

    if (why->reason == FAIL_OUT_OF_SERVICE)
        return;
    for (size_t i = 0; i < append->count; i++)
        list[i] = (struct node_release){.ref = append->items[i].ref, .size = append->items[i].facts.size};
    (void)release_records(a->store, a->id, list, append->count, NULL);
}

static bool append_all(struct account *a, struct append *append, struct arena *arena, struct fail *why)
{
    struct volumes *v = a->store->volumes;

    for (size_t i = 0; i < append->count; i++) {
        if (!append_record(a, append->mailbox_id, &append->items[i], arena, why))
            return false;
    }
    if (!volume_sync(v, append->items[0].ref, append->items[append->count - 1].ref, why))
        return false;
    bool ok = change_run(a, CHANGE_TOGETHER, add_rows, append, why);
    if (!ok)
        give_back(a, append, why);
    return ok;
}

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

bool message_append(struct account *a, uint64_t mailbox_id, struct append_item *items, size_t count,
                    uint32_t *uidvalidity, uint64_t *modseq, struct fail *why)
{
    struct append append = {.mailbox_id = mailbox_id, .count = count};
    struct fail local = {0};
    struct arena arena;

    if (count == 0)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "nothing to append");
    if (!mailbox_takes_messages(a, mailbox_id, why))
        return false;
    arena_init(&arena, SIZE_MAX);
    append.items = arena_new_array(&arena, struct appending, count);
    for (size_t i = 0; i < count; i++)
        append.items[i].item = &items[i];
    bool ok = append_all(a, &append, &arena, &local);
    if (ok) {
        *uidvalidity = append.uidvalidity;
        *modseq = append.modseq;
    } else if (why != NULL) {
        *why = local;
    }
    arena_finish(&arena);
    return ok;
}
