/*
 * store/sort_build.c - a sort table that has what is needed, made in steps.
 *
 * Layer: store.  The kept table is taken as it is, or with the rows of new messages
 * added; where it lacks a column, a new one with all columns that were wanted so far is
 * read from the beginning.
 */
#include <stdatomic.h>

#include "base/clock.h"
#include "store/sort_table.h"

enum {
    LOOKS_PER_TIME = 64,     /* rows between two looks at the clock */
    RANGES_MAX = 256,        /* handed to one message_fetch */
    SCRATCH_BYTES = 8 << 20, /* of one message */
};

void sort_build_begin(struct sort_build *b, struct account *a, uint64_t mailbox_id, struct view *v,
                      enum collation c, unsigned columns)
{
    *b = (struct sort_build){
        .account = a, .mailbox_id = mailbox_id, .view = v, .collation = c, .columns = columns};
    arena_init(&b->scratch, SCRATCH_BYTES);
}

void sort_build_end(struct sort_build *b)
{
    sort_table_release(&b->table);
    arena_finish(&b->scratch);
}

static void start_anew(struct sort_build *b, unsigned columns)
{
    struct sort_table like = {
        .account_id = b->account->id,
        .mailbox_id = b->mailbox_id,
        .uidvalidity = view_uidvalidity(b->view),
        .collation = b->collation,
    };

    sort_table_release(&b->table);
    b->table = sort_table_create(&like, columns);
    b->own = true;
    b->position = 0;
}

/* Most rows are of messages that are there no more. */
static bool is_worn(const struct sort_build *b)
{
    return b->table->count / 2 > view_count(b->view) + 1000;
}

static void take_kept(struct sort_build *b)
{
    unsigned columns = b->columns;
    bool found = false;

    b->table = sort_table_find(b->account->store, b->account->id, b->mailbox_id, view_uidvalidity(b->view),
                               b->collation);
    if (b->table != NULL)
        columns |= b->table->columns;
    if (b->table == NULL || b->table->columns != columns || is_worn(b)) {
        start_anew(b, columns);
        return;
    }
    b->position = b->table->count > 0 ? view_find(b->view, b->table->through, &found) : 0;
    if (b->table->count > 0 && found)
        b->position++;
}

/* For message_fetch: one row. */
static bool add_row(void *ctx, const struct message_info *m)
{
    struct sort_build *b = ctx;
    bool found;

    if (b->table->count > 0 && m->uid <= b->table->through)
        return true;
    /* Those that this view lacks have gone, or came after it. */
    uint32_t position = b->position;
    if (position < view_count(b->view) && view_at(b->view, position).uid != m->uid)
        position = view_find(b->view, m->uid, &found);
    else
        found = position < view_count(b->view);
    if (!found)
        return true;
    sort_table_add(b->table, m, &b->scratch);
    b->position = position + 1;
    return ++b->looks % LOOKS_PER_TIME != 0 || clock_mono_ms() < b->until_ms;
}

/* Up to the view's end.  Its UIDs stand side by side in the mailbox, but for what has gone: one range. */
static bool read_rows(struct sort_build *b, struct fail *why)
{
    uint32_t count = view_count(b->view);
    struct uid_range range = {view_at(b->view, b->position).uid, view_at(b->view, count - 1).uid};

    if (!message_fetch(b->account, b->mailbox_id, &range, 1, sort_table_wants(b->table->columns), add_row, b,
                       why))
        return false;
    if (clock_mono_ms() < b->until_ms)
        b->position = count; /* the last ones may have no rows any more */
    return true;
}

/*
 * A view may hold what had gone before the table was begun, when its session has not been told
 * yet: such a session gets a table of its own.
 */
static bool lacks_rows(const struct sort_build *b)
{
    struct view_cursor at;
    struct view_entry e;
    uint32_t hint = 0;

    view_cursor_init(&at, b->view, 0);
    while (view_next(&at, &e))
        if ((e.flags & VIEW_GONE) && sort_table_row(b->table, e.uid, &hint) == UINT32_MAX)
            return true;
    return false;
}

/* Rows are going to be added. */
static void make_own(struct sort_build *b)
{
    struct sort_table *shared = b->table;

    b->own = true;
    if (sort_table_take(b->account->store, shared))
        return;
    b->table = sort_table_copy(shared);
    sort_table_release(&shared);
}

int sort_build_step(struct sort_build *b, int64_t until_ms, struct fail *why)
{
    b->until_ms = until_ms;
    if (b->table == NULL)
        take_kept(b);
    while (b->position < view_count(b->view)) {
        if (!b->own) {
            make_own(b);
        }
        if (!read_rows(b, why))
            return -1;
        if (clock_mono_ms() >= until_ms)
            return 0;
    }
    if (!b->alone && lacks_rows(b)) {
        b->alone = true;
        start_anew(b, b->columns);
        return 0;
    }
    if (b->own && !b->alone)
        sort_table_keep(b->account->store, b->table);
    b->own = false;
    return 1;
}
