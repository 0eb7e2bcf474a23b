/*
 * store/view_diff.c - how one view differs from another.
 *
 * Layer: store.  Both are walked side by side; chunks that both share are passed
 * over whole, so that the work follows what changed, not how much there is.
 */
#include "store/view_internal.h"

struct walk {
    const struct view *view;
    const struct view_chunk *chunk; /* NULL at the end */
    uint32_t slot, at;
};

static void walk_to_slot(struct walk *w, uint32_t slot)
{
    w->slot = slot;
    w->at = 0;
    w->chunk = slot < w->view->slot_count ? w->view->slots[slot].chunk : NULL;
}

static struct walk walk_begin(const struct view *v)
{
    struct walk w = {.view = v};

    walk_to_slot(&w, 0);
    return w;
}

static const struct view_packed *walk_entry(const struct walk *w)
{
    return w->chunk != NULL ? &w->chunk->entries[w->at] : NULL;
}

static uint32_t walk_position(const struct walk *w)
{
    return w->chunk != NULL ? w->view->slots[w->slot].start + w->at : w->view->count;
}

static void walk_step(struct walk *w)
{
    if (w->chunk != NULL && ++w->at == w->chunk->count)
        walk_to_slot(w, w->slot + 1);
}

/* Do both stand at the beginning of one and the same chunk? */
static bool at_shared(const struct walk *then, const struct walk *now)
{
    return then->at == 0 && now->at == 0 && now->chunk != NULL && now->chunk == then->chunk;
}

static void skip_shared(struct walk *then, struct walk *now)
{
    walk_to_slot(then, then->chunk != NULL ? then->slot + 1 : then->slot);
    walk_to_slot(now, now->slot + 1);
}

struct positions {
    uint32_t *list;
    size_t count, cap;
};

static bool positions_add(struct positions *p, struct arena *a, uint32_t position)
{
    if (p->count == p->cap) {
        size_t cap = p->cap == 0 ? 16 : p->cap * 2;
        uint32_t *list = arena_alloc_array(a, cap, sizeof *list);
        if (list == NULL)
            return false;
        if (p->count > 0)
            memcpy(list, p->list, p->count * sizeof *list);
        p->list = list;
        p->cap = cap;
    }
    p->list[p->count++] = position;
    return true;
}

/*
 * A message has changed when its modseq in `now` is above the whole of `then`:
 * the same as "it differs", and right for restored views too, whose chunks are
 * those of today.
 */
bool view_diff(const struct view *then, const struct view *now, struct arena *a, struct view_diff *out)
{
    struct walk t = walk_begin(then), n = walk_begin(now);
    struct positions gone = {0}, changed = {0};
    const struct view_packed *te, *ne;
    bool ok = true;

    while (ok && (te = walk_entry(&t)) != NULL && (ne = walk_entry(&n)) != NULL) {
        if (at_shared(&t, &n) && n.chunk->max_modseq <= then->modseq) {
            skip_shared(&t, &n);
        } else if (te->uid < ne->uid) {
            ok = positions_add(&gone, a, walk_position(&t));
            walk_step(&t);
        } else {
            if (te->uid == ne->uid) {
                if (ne->modseq > then->modseq)
                    ok = positions_add(&changed, a, walk_position(&n));
                walk_step(&t);
            }
            walk_step(&n);
        }
    }
    for (; ok && walk_entry(&t) != NULL; walk_step(&t))
        ok = positions_add(&gone, a, walk_position(&t));
    if (!ok)
        return false;
    *out = (struct view_diff){
        .gone = gone.list,
        .gone_count = gone.count,
        .changed = changed.list,
        .changed_count = changed.count,
        .added = now->count - walk_position(&n),
    };
    return true;
}

/* Does `now` lack any message of `then`? */
static bool any_gone(const struct view *then, const struct view *now)
{
    struct walk t = walk_begin(then), n = walk_begin(now);
    const struct view_packed *te, *ne;

    while ((te = walk_entry(&t)) != NULL && (ne = walk_entry(&n)) != NULL) {
        if (at_shared(&t, &n)) {
            skip_shared(&t, &n);
        } else if (te->uid < ne->uid) {
            return true;
        } else {
            if (te->uid == ne->uid)
                walk_step(&t);
            walk_step(&n);
        }
    }
    return walk_entry(&t) != NULL;
}

/*
 * Both walks' messages in one view, those of `now` as they are there, those that
 * only `then` has with `mark` in their bits.
 */
static struct view *merge(const struct view *then, const struct view *now, uint32_t mark)
{
    struct walk t = walk_begin(then), n = walk_begin(now);
    struct view *both = view_create(now->uidvalidity, now->slot_count + 4);
    const struct view_packed *te, *ne;

    both->uidnext = now->uidnext;
    both->modseq = now->modseq;
    while ((void)(te = walk_entry(&t)), (void)(ne = walk_entry(&n)), te != NULL || ne != NULL) {
        if (at_shared(&t, &n) || (te == NULL && n.at == 0)) {
            view_add_shared(&both, now->slots[n.slot].chunk);
            skip_shared(&t, &n);
        } else if (te != NULL && (ne == NULL || te->uid < ne->uid)) {
            struct view_packed only_then = *te;
            only_then.bits |= mark;
            view_add(&both, only_then);
            walk_step(&t);
        } else if (ne != NULL) {
            view_add(&both, *ne);
            if (te != NULL && te->uid == ne->uid)
                walk_step(&t);
            walk_step(&n);
        }
    }
    return both;
}

struct view *view_keep_gone(struct view *then, struct view *now)
{
    struct view *kept;

    if (!any_gone(then, now))
        return view_ref(now);
    kept = merge(then, now, PACKED_GONE);
    kept->whole_modseq = view_whole_modseq(then);
    return kept;
}

struct view *view_merge(const struct view *one, const struct view *other)
{
    return merge(other, one, 0);
}
