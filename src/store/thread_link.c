/*
 * store/thread_link.c - who is whose parent, by references.
 *
 * Layer: store.  Before A becomes the parent of B it must be known that A does not descend
 * from B (RFC 5256 section 3, step 1).  B has no parent at that moment, so A descends from
 * it exactly when B is the root above A.  Walking up would take time that a sender can make
 * quadratic; link-cut trees (Sleator and Tarjan, 1983) answer in logarithmic time on average,
 * while links are made and broken.  Nothing here recurses.
 */
#include "store/thread_link.h"

#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/fail.h"

struct link_slot {
    uint64_t id; /* 0: empty */
    int32_t node;
};

/* A node in the splay tree of its preferred path, ordered by depth; `up` of its root leads to another path.
 */
struct link_path {
    int32_t up, left, right;
};

static int32_t *grown(int32_t *old, uint32_t cap)
{
    return xrealloc(old, cap * sizeof *old);
}

static int32_t add_node(struct thread_links *l)
{
    if (l->count == l->cap) {
        l->cap = l->cap + l->cap / 2 + 64;
        l->parent = grown(l->parent, l->cap);
        l->paths = xrealloc(l->paths, l->cap * sizeof *l->paths);
    }
    l->parent[l->count] = LINK_NONE;
    l->paths[l->count] = (struct link_path){LINK_NONE, LINK_NONE, LINK_NONE};
    return (int32_t)l->count++;
}

void thread_links_init(struct thread_links *l, uint32_t messages)
{
    *l = (struct thread_links){
        .messages = messages, .seed = random_u64(), .cap = messages + messages / 4 + 64};
    l->parent = grown(NULL, l->cap);
    l->paths = xmalloc(l->cap * sizeof *l->paths);
    for (uint32_t i = 0; i < messages; i++)
        (void)add_node(l);
    l->slot_count = 64;
    while (l->slot_count < (uint64_t)messages * 2)
        l->slot_count *= 2;
    l->slots = xcalloc(l->slot_count, sizeof *l->slots);
}

void thread_links_finish(struct thread_links *l)
{
    free(l->parent);
    free(l->paths);
    free(l->slots);
    *l = (struct thread_links){.messages = 0};
}

/* ---- ids ---- */

static struct link_slot *slot_of(const struct thread_links *l, uint64_t id)
{
    uint64_t at = (id ^ l->seed) * UINT64_C(0x9e3779b97f4a7c15);

    for (at = (at ^ at >> 29) & (l->slot_count - 1); l->slots[at].id != 0 && l->slots[at].id != id;)
        at = (at + 1) & (l->slot_count - 1);
    return &l->slots[at];
}

static void grow_slots(struct thread_links *l)
{
    struct link_slot *old = l->slots;
    uint64_t old_count = l->slot_count;

    if (l->slots_used * 4 < l->slot_count * 3)
        return;
    l->slot_count *= 2;
    l->slots = xcalloc(l->slot_count, sizeof *l->slots);
    for (uint64_t i = 0; i < old_count; i++)
        if (old[i].id != 0)
            *slot_of(l, old[i].id) = old[i];
    free(old);
}

static void note(struct thread_links *l, struct link_slot *slot, uint64_t id, int32_t node)
{
    *slot = (struct link_slot){.id = id, .node = node};
    l->slots_used++;
    grow_slots(l);
}

void thread_links_own(struct thread_links *l, uint32_t message, uint64_t id)
{
    struct link_slot *slot = id != 0 ? slot_of(l, id) : NULL;

    if (slot != NULL && slot->id == 0)
        note(l, slot, id, (int32_t)message);
}

/* A message with that id, or a dummy. */
static int32_t node_of(struct thread_links *l, uint64_t id)
{
    struct link_slot *slot = slot_of(l, id);

    if (slot->id != 0)
        return slot->node;
    int32_t node = add_node(l);
    note(l, slot, id, node);
    return node;
}

/* ---- link-cut trees ---- */

static bool is_top(const struct link_path *p, int32_t x)
{
    int32_t up = p[x].up;

    return up == LINK_NONE || (p[up].left != x && p[up].right != x);
}

static void rotate(struct link_path *p, int32_t x)
{
    int32_t y = p[x].up, z = p[y].up, inner;
    bool y_is_top = is_top(p, y);

    if (p[y].left == x) {
        inner = p[x].right;
        p[y].left = inner;
        p[x].right = y;
    } else {
        inner = p[x].left;
        p[y].right = inner;
        p[x].left = y;
    }
    if (inner != LINK_NONE)
        p[inner].up = y;
    p[y].up = x;
    p[x].up = z;
    if (y_is_top)
        return;
    if (p[z].left == y)
        p[z].left = x;
    else
        p[z].right = x;
}

static void splay(struct link_path *p, int32_t x)
{
    while (!is_top(p, x)) {
        int32_t y = p[x].up;
        if (!is_top(p, y)) {
            int32_t z = p[y].up;
            rotate(p, (p[z].left == y) == (p[y].left == x) ? y : x);
        }
        rotate(p, x);
    }
}

/* The path from the root to `x` becomes one splay tree, with `x` on top. */
static void expose(struct link_path *p, int32_t x)
{
    int32_t below = LINK_NONE;

    for (int32_t y = x; y != LINK_NONE; y = p[y].up) {
        splay(p, y);
        p[y].right = below;
        below = y;
    }
    splay(p, x);
}

static int32_t root_of(struct link_path *p, int32_t x)
{
    expose(p, x);
    while (p[x].left != LINK_NONE)
        x = p[x].left;
    splay(p, x);
    return x;
}

static void cut(struct thread_links *l, int32_t child)
{
    struct link_path *p = l->paths;

    if (l->parent[child] == LINK_NONE)
        return;
    expose(p, child);
    if (p[child].left != LINK_NONE)
        p[p[child].left].up = LINK_NONE;
    p[child].left = LINK_NONE;
    l->parent[child] = LINK_NONE;
}

/* `child` has no parent.  Nothing is done where that would make a loop. */
static void make_link(struct thread_links *l, int32_t parent, int32_t child)
{
    if (parent == child || root_of(l->paths, parent) == child)
        return;
    expose(l->paths, child);
    expose(l->paths, parent);
    l->paths[child].up = parent;
    l->parent[child] = parent;
}

/* ---- RFC 5256 section 3 ---- */

void thread_links_references(struct thread_links *l, uint32_t message, const uint64_t *ids, size_t count)
{
    int32_t last = LINK_NONE, own = (int32_t)message;

    for (size_t i = 0; i < count; i++) {
        int32_t node = node_of(l, ids[i]);
        if (last != LINK_NONE && l->parent[node] == LINK_NONE) /* (A): an existing link stays */
            make_link(l, last, node);
        last = node;
    }
    if (last != LINK_NONE && l->parent[own] == last)
        return;
    cut(l, own); /* (B) */
    if (last != LINK_NONE)
        make_link(l, last, own);
}

/*
 * For every node the nearest above it that is a message or a root, itself if it is one; *walked is
 * room for a path.  Each node is walked over once.
 */
static void find_anchors(const struct thread_links *l, int32_t *anchor, int32_t *walked)
{
    for (uint32_t i = 0; i < l->count; i++)
        anchor[i] = i < l->messages || l->parent[i] == LINK_NONE ? (int32_t)i : LINK_NONE;
    for (uint32_t i = 0; i < l->count; i++) {
        uint32_t steps = 0;
        int32_t x = (int32_t)i;
        for (; anchor[x] == LINK_NONE; x = l->parent[x])
            walked[steps++] = x;
        for (uint32_t k = 0; k < steps; k++)
            anchor[walked[k]] = anchor[x];
    }
}

void thread_links_prune(struct thread_links *l, bool *gone)
{
    int32_t *anchor = xcalloc(l->count + 1, sizeof *anchor);
    int32_t *spare = xcalloc(l->count + 1, sizeof *spare);

    find_anchors(l, anchor, spare);
    for (uint32_t i = 0; i < l->messages; i++)
        if (l->parent[i] != LINK_NONE)
            l->parent[i] = anchor[l->parent[i]];
    /* How many children each dummy is left with: two are enough to stay. */
    memset(spare, 0, (l->count + 1) * sizeof *spare);
    for (uint32_t i = 0; i < l->messages; i++)
        if (l->parent[i] != LINK_NONE)
            spare[l->parent[i]]++;
    for (uint32_t i = l->messages; i < l->count; i++) {
        gone[i] = anchor[i] != (int32_t)i || spare[i] < 2;
        l->parent[i] = LINK_NONE;
    }
    for (uint32_t i = 0; i < l->messages; i++) {
        gone[i] = false;
        if (l->parent[i] != LINK_NONE && gone[l->parent[i]])
            l->parent[i] = LINK_NONE;
    }
    free(anchor);
    free(spare);
}
