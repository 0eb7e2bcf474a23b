/*
 * store: views of many chunks against plain arrays: appended to, changed, thinned
 * out at random, compared, kept, merged.  The seed is printed; VIEW_SEED sets it.
 */
#include <stdlib.h>

#include "store/view_internal.h"
#include "tests/unit/store/room.h"

enum { MOST = 20000 };

struct plain {
    uint32_t count, uidnext;
    uint64_t modseq;
    struct view_entry list[MOST];
};

static uint64_t seed;

static uint32_t pick(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 11) % below);
}

static bool same(const struct view *v, const struct plain *p)
{
    struct view_cursor at;
    struct view_entry e;
    uint32_t i = 0, unseen = 0;

    while (unseen < p->count && (p->list[unseen].flags & STORE_SEEN) != 0)
        unseen++;
    if (view_first_unseen(v) != unseen || view_count(v) != p->count || view_uidnext(v) != p->uidnext || view_modseq(v) != p->modseq)
        return false;
    view_cursor_init(&at, v, 0);
    for (; view_next(&at, &e); i++) {
        const struct view_entry *want = &p->list[i];
        if (e.uid != want->uid || e.flags != want->flags || e.keyword_set != want->keyword_set ||
            e.modseq != want->modseq)
            return false;
    }
    return i == p->count;
}

static void check_find(const struct view *v, const struct plain *p)
{
    for (int i = 0; i < 50; i++) {
        uint32_t uid = 1 + pick(p->uidnext), position = 0;
        bool found;
        while (position < p->count && p->list[position].uid < uid)
            position++;
        CHECK("find", view_find(v, uid, &found) == position);
        CHECK("found", found == (position < p->count && p->list[position].uid == uid));
        if (position < p->count)
            CHECK("at", view_at(v, position).uid == p->list[position].uid);
    }
}

static void grow(struct view **v, struct plain *p)
{
    uint32_t more = pick(10) == 0 ? 3000 : 1 + pick(40);

    p->modseq++;
    for (; more > 0 && p->count < MOST; more--) {
        struct view_entry e = {
            .uid = p->uidnext, .flags = pick(32), .keyword_set = pick(5), .modseq = p->modseq};
        p->uidnext += 1 + pick(3);
        p->list[p->count++] = e;
        view_append(v, e);
    }
    view_stamp(v, p->uidnext, p->modseq);
}

static void change(struct view **v, struct plain *p)
{
    bool all = pick(20) == 0; /* seen, so that the first unseen is far */

    p->modseq++;
    for (uint32_t i = 0; all && i < p->count; i++) {
        p->list[i].flags |= STORE_SEEN;
        p->list[i].modseq = p->modseq;
        view_set(v, i, p->list[i]);
    }
    for (uint32_t n = pick(all ? 2 : 30); n > 0 && p->count > 0; n--) {
        struct view_entry *e = &p->list[pick(p->count)];
        e->flags = pick(32);
        e->modseq = p->modseq;
        view_set(v, (uint32_t)(e - p->list), *e);
    }
    view_stamp(v, p->uidnext, p->modseq);
}

static void thin_out(struct view **v, struct plain *p)
{
    struct uid_set gone = {.count = 0};
    uint32_t kept = 0, from = pick(p->count + 1), span = pick(4) == 0 ? pick(5000) : pick(20),
             odds = 1 + pick(3);

    p->modseq++;
    for (uint32_t i = 0; i < p->count; i++) {
        if (i >= from && i < from + span && pick(odds) == 0)
            uid_set_add(&gone, p->list[i].uid);
        else
            p->list[kept++] = p->list[i];
    }
    p->count = kept;
    view_remove(v, &gone);
    view_stamp(v, p->uidnext, p->modseq);
    uid_set_finish(&gone);
}

/* A restored view has today's chunks and an old modseq: what is above it has changed. */
static void check_restored(struct view *now, uint64_t since)
{
    struct view *restored = view_ref(now);
    struct view_diff d;
    struct arena arena;
    uint32_t changed = 0;

    arena_init(&arena, 1 << 24);
    view_stamp(&restored, view_uidnext(now), since);
    for (uint32_t i = 0; i < view_count(now); i++)
        changed += view_at(now, i).modseq > since;
    CHECK("restored", view_diff(restored, now, &arena, &d) && d.gone_count == 0 && d.added == 0);
    CHECK("changed since", d.changed_count == changed);
    view_release(&restored);
    arena_finish(&arena);
}

/* `now` as view_diff tells it from `then` must be `now`. */
static void check_diff(struct view *then, struct view *now)
{
    struct view_diff d;
    struct arena arena;
    uint32_t position = 0;
    size_t gone = 0, changed = 0;
    bool right = true;

    arena_init(&arena, 1 << 24);
    CHECK("diff", view_diff(then, now, &arena, &d));
    CHECK("sizes", view_count(then) - d.gone_count + d.added == view_count(now));
    for (uint32_t i = 0; i < view_count(then) && right; i++) {
        struct view_entry before = view_at(then, i);
        if (gone < d.gone_count && d.gone[gone] == i) {
            gone++;
            continue;
        }
        struct view_entry after = view_at(now, position);
        right = after.uid == before.uid;
        if (changed < d.changed_count && d.changed[changed] == position) {
            right = right && after.modseq > before.modseq;
            changed++;
        } else {
            right = right && after.modseq == before.modseq && after.flags == before.flags;
        }
        position++;
    }
    CHECK("what was there", right && gone == d.gone_count && changed == d.changed_count);
    CHECK("what is new", position + d.added == view_count(now));

    struct view *kept = view_keep_gone(then, now);
    CHECK("kept",
          view_count(kept) == view_count(now) + d.gone_count && view_uidnext(kept) == view_uidnext(now));
    for (size_t i = 0; i < d.gone_count && right; i++)
        right = (view_at(kept, d.gone[i]).flags & VIEW_GONE) != 0 &&
                view_at(kept, d.gone[i]).uid == view_at(then, d.gone[i]).uid;
    CHECK("gone in place", right);
    CHECK("itself, when nothing is gone", (kept == now) == (d.gone_count == 0));
    view_release(&kept);
    arena_finish(&arena);
}

int main(void)
{
    static struct plain now;
    static struct plain then;
    const char *given = getenv("VIEW_SEED");
    struct view *v = view_create(1, 0), *old;

    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)getpid() * 2654435761u + 1;
    printf("seed %llu\n", (unsigned long long)seed);
    now.uidnext = 1;
    for (int round = 0; round < 60 && check_failed == 0; round++) {
        old = view_ref(v);
        then = now;
        for (uint32_t steps = 1 + pick(12); steps > 0; steps--) {
            switch (pick(4)) {
            case 0:
            case 1: grow(&v, &now); break;
            case 2: change(&v, &now); break;
            default: thin_out(&v, &now);
            }
        }
        CHECK("the new one", same(v, &now));
        CHECK("the old one is as it was", round == 0 || same(old, &then));
        check_find(v, &now);
        check_diff(old, v);
        check_restored(v, then.modseq);
        view_release(&old);
    }
    CHECK("many chunks", v->slot_count > 3);
    view_release(&v);
    return check_done();
}
