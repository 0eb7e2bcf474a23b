/*
 * store/run.c - the messages that a command names, as runs of rows.
 *
 * Layer: store.  A view says which messages there are, so that one statement can
 * change, copy or remove all that stand side by side.
 */
#include <stdlib.h>

#include "store/internal.h"

uint32_t run_take_all(void *ctx, const struct view_entry *e)
{
    (void)ctx;
    (void)e;
    return 1;
}

static void runs_add(struct view_runs *r, size_t *cap, uint32_t position, uint32_t uid, uint32_t class)
{
    struct view_run *end = r->count > 0 ? &r->list[r->count - 1] : NULL;

    r->messages++;
    if (end != NULL && end->class == class && end->position + end->count == position) {
        end->count++;
        end->last = uid;
        return;
    }
    if (r->count == *cap) {
        *cap = *cap == 0 ? 8 : *cap * 2;
        r->list = xrealloc(r->list, *cap * sizeof *r->list);
    }
    r->list[r->count++] =
        (struct view_run){.position = position, .count = 1, .first = uid, .last = uid, .class = class};
}

struct view_runs view_runs_find(const struct view *v, const struct uid_range *ranges, size_t range_count,
                                run_classify *classify, void *ctx)
{
    static const struct uid_range everything = {.first = 1, .last = UINT32_MAX};
    struct uid_set want =
        ranges != NULL ? uid_set_of_ranges(ranges, range_count) : uid_set_of_ranges(&everything, 1);
    struct view_runs runs = {.count = 0};
    size_t cap = 0;
    bool found;

    for (size_t i = 0; i < want.count; i++) {
        struct view_cursor at;
        struct view_entry e;
        view_cursor_init(&at, v, view_find(v, want.ranges[i].first, &found));
        while (view_next(&at, &e) && e.uid <= want.ranges[i].last) {
            uint32_t class = classify(ctx, &e);
            if (class != 0)
                runs_add(&runs, &cap, at.position - 1, e.uid, class);
        }
    }
    uid_set_finish(&want);
    return runs;
}

void view_runs_finish(struct view_runs *r)
{
    free(r->list);
    *r = (struct view_runs){.count = 0};
}
