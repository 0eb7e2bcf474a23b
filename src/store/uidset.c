/*
 * store/uidset.c - sets of UIDs as ascending ranges.
 *
 * Layer: store.
 */
#include <stdlib.h>

#include "store/internal.h"

void uid_set_add_range(struct uid_set *s, uint32_t first, uint32_t last)
{
    struct uid_range *end = s->count > 0 ? &s->ranges[s->count - 1] : NULL;

    if (end != NULL && first <= end->last)
        bug("UID %u added to a set that ends with %u", first, end->last);
    if (end != NULL && first - 1 == end->last) {
        end->last = last;
        return;
    }
    if (s->ranges == NULL || s->count == s->cap) {
        s->cap = s->cap == 0 ? 8 : s->cap * 2;
        s->ranges = xrealloc(s->ranges, s->cap * sizeof *s->ranges);
    }
    s->ranges[s->count++] = (struct uid_range){.first = first, .last = last};
}

void uid_set_add(struct uid_set *s, uint32_t uid)
{
    const struct uid_range *end = s->count > 0 ? &s->ranges[s->count - 1] : NULL;

    if (end == NULL || uid < end->first || uid > end->last)
        uid_set_add_range(s, uid, uid);
}

void uid_set_finish(struct uid_set *s)
{
    free(s->ranges);
    *s = (struct uid_set){.count = 0};
}

uint64_t uid_set_size(const struct uid_set *s)
{
    uint64_t size = 0;

    for (size_t i = 0; i < s->count; i++)
        size += (uint64_t)s->ranges[i].last - s->ranges[i].first + 1;
    return size;
}

bool uid_set_has(const struct uid_set *s, uint32_t uid)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->ranges[middle].last < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->count && s->ranges[low].first <= uid;
}

static int by_first(const void *one, const void *other)
{
    uint32_t a = ((const struct uid_range *)one)->first, b = ((const struct uid_range *)other)->first;

    return (a > b) - (a < b);
}

struct uid_set uid_set_of_ranges(const struct uid_range *ranges, size_t count)
{
    struct uid_set set = {.count = 0};

    if (count == 0)
        return set;
    set.ranges = xcalloc(count, sizeof *ranges);
    set.cap = count;
    memcpy(set.ranges, ranges, count * sizeof *ranges);
    qsort(set.ranges, count, sizeof *ranges, by_first);
    for (size_t i = 0; i < count; i++) {
        struct uid_range r = set.ranges[i];
        struct uid_range *end = set.count > 0 ? &set.ranges[set.count - 1] : NULL;
        if (end != NULL && (r.first <= end->last || r.first - 1 == end->last)) {
            if (r.last > end->last)
                end->last = r.last;
        } else {
            set.ranges[set.count++] = r;
        }
    }
    return set;
}
