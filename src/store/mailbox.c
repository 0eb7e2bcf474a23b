/*
 * store/mailbox.c - mailboxes as they are: the list, and one of them.
 *
 * Layer: store.  All of it is answered from memory.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "store/internal.h"

/* One piece of memory: the list, its items, the slices, the text of all names. */
struct list_block {
    _Atomic uint32_t refs;
    struct mailbox_list list;
    struct mailbox_info items[];
};

static bool is_below(struct slice name, struct slice parent)
{
    return name.len > parent.len && slice_starts(name, parent) && name.ptr[parent.len] == '/';
}

static bool is_subscribed(const struct account_state *s, struct slice name)
{
    size_t low = 0, high = s->subscribed_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mailbox_name_cmp(s->subscribed[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->subscribed_count && slice_eq(s->subscribed[low], name);
}

/* `name` is the state's still. */
static struct mailbox_info describe(const struct account_state *s, const struct mailbox_state *box)
{
    const struct mailbox_row *r = &box->row;
    const struct mailbox_state *next = box + 1; /* in order of names a child follows its parent at once */

    return (struct mailbox_info){
        .id = r->id,
        .name = r->name,
        .uidvalidity = r->uidvalidity,
        .uidnext = r->uidnext,
        .first_recent = r->first_recent,
        .highest_modseq = r->highest_modseq,
        .messages = r->messages,
        .unseen = r->unseen,
        .deleted = r->deleted,
        .bytes = r->bytes,
        .deleted_bytes = r->deleted_bytes,
        .use = r->use,
        .subscribed = is_subscribed(s, r->name),
        .has_children = next < s->boxes + s->box_count && is_below(next->row.name, r->name),
        .no_select = r->no_select,
        .has_acl = box->acl_count > 0,
    };
}

static size_t names_bytes(const struct account_state *s)
{
    size_t bytes = 0;

    for (size_t i = 0; i < s->box_count; i++)
        bytes += s->boxes[i].row.name.len;
    for (size_t i = 0; i < s->subscribed_count; i++)
        bytes += s->subscribed[i].len;
    return bytes;
}

static struct slice put_text(char **at, struct slice text)
{
    struct slice copy = {*at, text.len};

    memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

static const struct mailbox_list *make_list(const struct account_state *s)
{
    size_t items = s->box_count * sizeof(struct mailbox_info);
    size_t slices = s->subscribed_count * sizeof(struct slice);
    struct list_block *b = xmalloc(sizeof *b + items + slices + names_bytes(s));
    struct slice *only = (struct slice *)(void *)((char *)b->items + items);
    char *text = (char *)only + slices;

    b->refs = 1;
    b->list = (struct mailbox_list){.items = b->items, .count = s->box_count, .subscribed_only = only};
    for (size_t i = 0; i < s->box_count; i++) {
        b->items[i] = describe(s, &s->boxes[i]);
        b->items[i].name = put_text(&text, b->items[i].name);
    }
    for (size_t i = 0; i < s->subscribed_count; i++) {
        if (state_mailbox_named(s, s->subscribed[i]) == NULL)
            only[b->list.subscribed_only_count++] = put_text(&text, s->subscribed[i]);
    }
    return &b->list;
}

bool mailbox_list(struct account *a, const struct mailbox_list **out, struct fail *why)
{
    if (!account_peek(a, why))
        return false;
    *out = make_list(a->state);
    (void)pthread_mutex_unlock(&a->lock);
    return true;
}

void mailbox_list_release(const struct mailbox_list **l)
{
    struct list_block *b;

    if (*l == NULL)
        return;
    b = (struct list_block *)(void *)((char *)(uintptr_t)*l - offsetof(struct list_block, list));
    *l = NULL;
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}

const struct mailbox_info *mailbox_in_list(const struct mailbox_list *l, struct slice name)
{
    size_t low = 0, high = l->count;

    if (mailbox_name_is_inbox(name))
        name = SLICE("INBOX");
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mailbox_name_cmp(l->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < l->count && slice_eq(l->items[low].name, name) ? &l->items[low] : NULL;
}

/* `lock` is held, and given back. */
static bool tell(struct account *a, const struct mailbox_state *box, struct arena *arena,
                 struct mailbox_info *out, struct fail *why)
{
    if (box != NULL) {
        *out = describe(a->state, box);
        out->name = arena_keep(arena, out->name);
    }
    (void)pthread_mutex_unlock(&a->lock);
    return box != NULL || fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no such mailbox");
}

/* A name that could not be a mailbox's is not one. */
bool mailbox_find(struct account *a, struct slice name, struct arena *arena, struct mailbox_info *out,
                  struct fail *why)
{
    struct slice checked;

    if (!mailbox_name_check(arena, name, &a->store->limits, &checked, NULL))
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no such mailbox");
    if (!account_peek(a, why))
        return false;
    return tell(a, state_mailbox_named(a->state, checked), arena, out, why);
}

bool mailbox_get(struct account *a, uint64_t mailbox_id, struct arena *arena, struct mailbox_info *out,
                 struct fail *why)
{
    const struct mailbox_state *box;

    if (!account_peek(a, why))
        return false;
    box = state_mailbox(a->state, mailbox_id);
    return tell(a, box, arena, out, why);
}
