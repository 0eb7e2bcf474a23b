/*
 * store/thread.c - messages in threads: ORDEREDSUBJECT, REFERENCES and REFS.
 *
 * Layer: store.  RFC 5256 section 3.  Messages are put in order by sent date once; whoever
 * then goes through them in that order and hangs each below its parent has every set of
 * siblings in order, and a dummy stands where its first child does.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "store/sort.h"
#include "store/sort_order.h"
#include "store/sort_table.h"
#include "store/thread_link.h"

enum { LINKS_A_LOOK = 512 };

struct threading {
    struct sort_request request;
    enum thread_algorithm algorithm;
    struct sort_build build;
    enum {
        STAGE_BUILD,
        STAGE_BEGIN,
        STAGE_OWN,
        STAGE_LINK,
        STAGE_PRUNE,
        STAGE_HANG,
        STAGE_SUBJECTS,
        STAGE_ROOTS,
        STAGE_DONE
    } stage;
    uint32_t *rows;          /* of each message */
    struct sort_item *order; /* messages by sent date */
    struct sort_item *spare;
    struct thread_links links;
    uint32_t next; /* the next message to be linked */

    struct thread_node *nodes;
    bool *gone; /* dummies that are no more */
    uint32_t count, cap;
    int32_t *last_child; /* of each node; behind all nodes: of the root */
    int32_t first_root;
};

struct threading *threading_start(const struct sort_request *q, enum thread_algorithm algorithm)
{
    struct threading *r = xcalloc(1, sizeof *r);
    unsigned columns = COLUMN_DATE | COLUMN_ROW;

    if (algorithm != THREAD_ORDEREDSUBJECT)
        columns |= COLUMN_REFERENCES;
    if (algorithm != THREAD_REFS)
        columns |= COLUMN_SUBJECT;
    r->request = *q;
    r->algorithm = algorithm;
    sort_build_begin(&r->build, q->account, q->mailbox_id, q->view, q->collation, columns);
    return r;
}

void threading_end(struct threading **rp)
{
    struct threading *r = *rp;

    if (r == NULL)
        return;
    sort_build_end(&r->build);
    thread_links_finish(&r->links);
    free(r->rows);
    free(r->order);
    free(r->spare);
    free(r->nodes);
    free(r->gone);
    free(r->last_child);
    free(r);
    *rp = NULL;
}

/* ---- what is known of a message; one that is gone for good has nothing ---- */

static int64_t date_of(const struct threading *r, uint32_t message)
{
    return r->rows[message] == UINT32_MAX ? 0 : r->build.table->date[r->rows[message]];
}

static int64_t arrival_of(const struct threading *r, uint32_t message)
{
    return r->rows[message] == UINT32_MAX ? 0 : r->build.table->arrival[r->rows[message]];
}

static uint32_t subject_of(const struct threading *r, uint32_t message)
{
    return r->rows[message] == UINT32_MAX ? 0 : r->build.table->text[TEXT_SUBJECT][r->rows[message]];
}

static bool is_reply(const struct threading *r, uint32_t message)
{
    return r->rows[message] != UINT32_MAX && r->build.table->is_reply[r->rows[message]];
}

/* Its own id and references. */
static const uint64_t *ids_of(const struct threading *r, uint32_t message, size_t *count)
{
    const struct sort_table *t = r->build.table;
    uint32_t row = r->rows[message];

    *count = row == UINT32_MAX ? 0 : (size_t)(sort_references_end(t, row) - t->reference_at[row]);
    return *count == 0 ? NULL : t->references + t->reference_at[row];
}

/* ---- stages ---- */

static void begin(struct threading *r)
{
    const struct sort_request *q = &r->request;
    uint32_t count = (uint32_t)q->count;

    r->rows = xcalloc(q->count + 1, sizeof *r->rows);
    sort_find_rows(r->build.table, q->view, q->found, q->count, r->rows);
    r->order = xcalloc(q->count + 1, sizeof *r->order);
    r->spare = xcalloc(q->count + 1, sizeof *r->spare);
    for (uint32_t i = 0; i < count; i++)
        r->order[i] = (struct sort_item){.key = sort_key_signed(date_of(r, i)), .index = i};
    sort_items(r->order, r->spare, q->count);
    thread_links_init(&r->links, count);
}

/* Ids first, so that no message's place depends on who named it before it came; false: not all yet. */
static bool note_ids(struct threading *r, int64_t until_ms)
{
    size_t n;

    for (; r->next < r->request.count; r->next++) {
        const uint64_t *ids = ids_of(r, r->next, &n);
        if (n > 0)
            thread_links_own(&r->links, r->next, ids[0]);
        if (r->next % LINKS_A_LOOK == LINKS_A_LOOK - 1 && clock_mono_ms() >= until_ms) {
            r->next++;
            return false;
        }
    }
    r->next = 0;
    return true;
}

static bool link_references(struct threading *r, int64_t until_ms)
{
    size_t n;

    for (; r->next < r->request.count; r->next++) {
        const uint64_t *ids = ids_of(r, r->next, &n);
        thread_links_references(&r->links, r->next, n > 1 ? ids + 1 : NULL, n > 1 ? n - 1 : 0);
        if (r->next % LINKS_A_LOOK == LINKS_A_LOOK - 1 && clock_mono_ms() >= until_ms) {
            r->next++;
            return false;
        }
    }
    return true;
}

static int32_t add_dummy(struct threading *r)
{
    if (r->count == r->cap) {
        r->cap = r->cap + r->cap / 2 + 64;
        r->nodes = xrealloc(r->nodes, r->cap * sizeof *r->nodes);
        r->gone = xrealloc(r->gone, r->cap * sizeof *r->gone);
    }
    r->gone[r->count] = false;
    r->nodes[r->count] = (struct thread_node){.parent = THREAD_NONE, .is_dummy = true};
    return (int32_t)r->count++;
}

/* The links become nodes. */
static void prune(struct threading *r)
{
    r->count = r->cap = r->links.count;
    r->nodes = xcalloc((size_t)r->cap + 1, sizeof *r->nodes);
    r->gone = xcalloc((size_t)r->cap + 1, sizeof *r->gone);
    thread_links_prune(&r->links, r->gone);
    for (uint32_t i = 0; i < r->count; i++)
        r->nodes[i] = (struct thread_node){.parent = r->links.parent[i], .is_dummy = i >= r->links.messages};
    for (uint32_t i = 0; i < r->links.messages; i++)
        r->nodes[i].position = r->request.found[i];
    thread_links_finish(&r->links);
}

/* ORDEREDSUBJECT: the first message of each subject is the root above all others. */
static void group_by_subject(struct threading *r)
{
    int32_t *first = xcalloc(r->build.table->texts[KIND_SUBJECT].count, sizeof *first); /* node + 1 */

    for (size_t i = 0; i < r->request.count; i++) {
        uint32_t message = r->order[i].index;
        int32_t *root = &first[subject_of(r, message)];
        if (*root == 0)
            *root = (int32_t)message + 1;
        else
            r->nodes[message].parent = *root - 1;
    }
    free(first);
}

static void append(struct threading *r, int32_t parent, int32_t node)
{
    int32_t *first = parent == THREAD_NONE ? &r->first_root : &r->nodes[parent].first_child;
    int32_t *last = &r->last_child[parent == THREAD_NONE ? (int32_t)r->count : parent];

    if (*last == THREAD_NONE)
        *first = node;
    else
        r->nodes[*last].next = node;
    *last = node;
}

/* Children and roots in order of sent date: steps 4 and 6. */
static void hang(struct threading *r)
{
    free(r->last_child);
    r->last_child = xcalloc((size_t)r->count + 1, sizeof *r->last_child);
    r->first_root = THREAD_NONE;
    for (uint32_t i = 0; i < r->count; i++) {
        r->nodes[i].first_child = r->nodes[i].next = THREAD_NONE;
        r->last_child[i] = THREAD_NONE;
    }
    r->last_child[r->count] = THREAD_NONE;
    for (size_t i = 0; i < r->request.count; i++) {
        int32_t node = (int32_t)r->order[i].index, parent = r->nodes[node].parent;
        if (parent != THREAD_NONE && r->nodes[parent].is_dummy && r->nodes[parent].first_child == THREAD_NONE)
            append(r, THREAD_NONE, parent);
        append(r, parent, node);
    }
}

/* ---- step 5: threads that have one subject ---- */

/* What a root's subject is taken from. */
static uint32_t speaker(const struct threading *r, int32_t root)
{
    return (uint32_t)(r->nodes[root].is_dummy ? r->nodes[root].first_child : root);
}

static bool root_is_reply(const struct threading *r, int32_t root)
{
    return !r->nodes[root].is_dummy && is_reply(r, (uint32_t)root);
}

/* (B): the root that stands for each subject, plus one. */
static void fill_table(const struct threading *r, int32_t *table)
{
    for (int32_t root = r->first_root; root != THREAD_NONE; root = r->nodes[root].next) {
        uint32_t subject = subject_of(r, speaker(r, root));
        if (subject == 0)
            continue;
        int32_t *there = &table[subject];
        if (*there == 0 ||
            (!r->nodes[*there - 1].is_dummy &&
             (r->nodes[root].is_dummy || (root_is_reply(r, *there - 1) && !root_is_reply(r, root)))))
            *there = root + 1;
    }
}

/* (C), for the root `current` and the one in the table. */
static void merge(struct threading *r, int32_t current, int32_t *entry)
{
    int32_t there = *entry - 1;

    if (r->nodes[there].is_dummy && r->nodes[current].is_dummy) {
        for (int32_t c = r->nodes[current].first_child; c != THREAD_NONE; c = r->nodes[c].next)
            r->nodes[c].parent = there;
        r->gone[current] = true;
    } else if (r->nodes[there].is_dummy || (root_is_reply(r, current) && !root_is_reply(r, there))) {
        r->nodes[current].parent = there;
    } else {
        int32_t dummy = add_dummy(r);
        r->nodes[current].parent = r->nodes[there].parent = dummy;
        *entry = dummy + 1;
    }
}

static void join_subjects(struct threading *r)
{
    int32_t *table = xcalloc(r->build.table->texts[KIND_SUBJECT].count, sizeof *table);
    int32_t next;

    fill_table(r, table);
    for (int32_t root = r->first_root; root != THREAD_NONE; root = next) {
        uint32_t subject = subject_of(r, speaker(r, root));
        next = r->nodes[root].next;
        if (subject != 0 && table[subject] - 1 != root)
            merge(r, root, &table[subject]);
    }
    free(table);
    hang(r);
}

/* ---- REFS: roots by what came last below them ---- */

/* For every message the root above it; each is walked over once. */
static int32_t *find_roots(const struct threading *r)
{
    int32_t *root_of = xcalloc((size_t)r->count + 1, sizeof *root_of);
    int32_t *walked = xcalloc((size_t)r->count + 1, sizeof *walked);

    for (uint32_t i = 0; i < r->count; i++)
        root_of[i] = r->nodes[i].parent == THREAD_NONE ? (int32_t)i : THREAD_NONE;
    for (uint32_t i = 0; i < r->request.count; i++) {
        uint32_t steps = 0;
        int32_t x = (int32_t)i;
        for (; root_of[x] == THREAD_NONE; x = r->nodes[x].parent)
            walked[steps++] = x;
        while (steps > 0)
            root_of[walked[--steps]] = root_of[x];
    }
    free(walked);
    return root_of;
}

/* By the latest internal date; of one second, by what stands last in the mailbox. */
static void sort_roots(struct threading *r)
{
    int32_t *root_of = find_roots(r);
    uint32_t *latest = xcalloc((size_t)r->count + 1, sizeof *latest); /* message of each root, plus one */
    size_t roots = 0;

    for (uint32_t i = 0; i < r->request.count; i++) {
        uint32_t *there = &latest[root_of[i]];
        if (*there == 0 || arrival_of(r, i) >= arrival_of(r, *there - 1))
            *there = i + 1;
    }
    for (int32_t root = r->first_root; root != THREAD_NONE; root = r->nodes[root].next)
        r->order[roots++] = (struct sort_item){.key = latest[root], .index = (uint32_t)root};
    sort_items(r->order, r->spare, roots);
    for (size_t i = 0; i < roots; i++)
        r->order[i].key = sort_key_signed(arrival_of(r, latest[r->order[i].index] - 1));
    sort_items(r->order, r->spare, roots);
    r->last_child[r->count] = THREAD_NONE;
    for (size_t i = 0; i < roots; i++) {
        r->nodes[r->order[i].index].next = THREAD_NONE;
        append(r, THREAD_NONE, (int32_t)r->order[i].index);
    }
    free(latest);
    free(root_of);
}

/* Each as short as it can be; false: the present one needs more time. */
static bool run_stage(struct threading *r, int64_t until_ms)
{
    bool by_subject = r->algorithm == THREAD_ORDEREDSUBJECT;

    switch (r->stage) {
    case STAGE_BEGIN: begin(r); break;
    case STAGE_OWN:
        if (!by_subject && !note_ids(r, until_ms))
            return false;
        break;
    case STAGE_LINK:
        if (!by_subject && !link_references(r, until_ms))
            return false;
        break;
    case STAGE_PRUNE:
        prune(r);
        if (by_subject)
            group_by_subject(r);
        break;
    case STAGE_HANG: hang(r); break;
    case STAGE_SUBJECTS:
        if (r->algorithm == THREAD_REFERENCES)
            join_subjects(r);
        break;
    case STAGE_ROOTS:
        if (r->algorithm == THREAD_REFS)
            sort_roots(r);
        break;
    case STAGE_BUILD:
    case STAGE_DONE: break;
    }
    r->stage++;
    return true;
}

int threading_continue(struct threading *r, unsigned budget_ms, struct thread_forest *out, struct fail *why)
{
    int64_t until_ms = clock_mono_ms() + budget_ms;

    if (r->stage == STAGE_BUILD) {
        int status = sort_build_step(&r->build, until_ms, why);
        if (status != 1)
            return status;
        r->stage = STAGE_BEGIN;
    }
    while (r->stage != STAGE_DONE) {
        if (clock_mono_ms() >= until_ms || !run_stage(r, until_ms))
            return 0;
    }
    *out = (struct thread_forest){.nodes = r->nodes, .first_root = r->first_root};
    return 1;
}
