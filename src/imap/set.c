/*
 * imap/set.c - which messages of a view a sequence set names.
 *
 * Layer: imap.
 */
#include "imap/set.h"

#include <stdlib.h>

static int by_first(const void *a, const void *b)
{
    uint32_t x = ((const struct uid_range *)a)->first, y = ((const struct uid_range *)b)->first;

    return (x > y) - (x < y);
}

struct imap_set imap_set_resolve(struct arena *a, struct imap_set set, uint32_t star)
{
    struct imap_set out = {.ranges = arena_new_array(a, struct uid_range, set.count)};
    bool sorted = true;

    if (out.ranges == NULL)
        return (struct imap_set){0};
    for (size_t i = 0; i < set.count; i++) {
        uint32_t first = set.ranges[i].first != 0 ? set.ranges[i].first : star;
        uint32_t last = set.ranges[i].last != 0 ? set.ranges[i].last : star;
        out.ranges[i] = first <= last ? (struct uid_range){first, last} : (struct uid_range){last, first};
        sorted = sorted && (i == 0 || out.ranges[i - 1].first <= out.ranges[i].first);
    }
    if (!sorted)
        qsort(out.ranges, set.count, sizeof(*out.ranges), by_first);
    for (size_t i = 0; i < set.count; i++) {
        struct uid_range *last = out.count > 0 ? &out.ranges[out.count - 1] : NULL;
        struct uid_range r = out.ranges[i];
        if (last != NULL && (last->last == UINT32_MAX || r.first <= last->last + 1)) {
            if (r.last > last->last)
                last->last = r.last;
        } else {
            out.ranges[out.count++] = r;
        }
    }
    return out;
}

bool imap_spans_of_numbers(struct arena *a, const struct view *v, struct imap_set set, struct imap_spans *out)
{
    uint32_t count = view_count(v);
    struct imap_set s = imap_set_resolve(a, set, count);

    *out = (struct imap_spans){.items = arena_new_array(a, struct imap_span, s.count)};
    if (out->items == NULL || s.count == 0 || s.ranges[0].first == 0 || s.ranges[s.count - 1].last > count)
        return false;
    for (size_t i = 0; i < s.count; i++)
        out->items[out->count++] = (struct imap_span){s.ranges[i].first - 1, s.ranges[i].last};
    return true;
}

struct imap_spans imap_spans_of_uids(struct arena *a, const struct view *v, struct imap_set set)
{
    uint32_t count = view_count(v);
    struct imap_set s = imap_set_resolve(a, set, count > 0 ? view_at(v, count - 1).uid : 0);
    struct imap_spans out = {.items = arena_new_array(a, struct imap_span, s.count)};
    bool found;

    if (out.items == NULL)
        return out;
    for (size_t i = 0; i < s.count; i++) {
        uint32_t first = view_find(v, s.ranges[i].first, &found);
        uint32_t end = view_find(v, s.ranges[i].last, &found) + (found ? 1 : 0);
        if (first >= end)
            continue;
        if (out.count > 0 && out.items[out.count - 1].end == first)
            out.items[out.count - 1].end = end;
        else
            out.items[out.count++] = (struct imap_span){first, end};
    }
    return out;
}

bool imap_spans_of_positions(struct arena *a, const uint32_t *positions, size_t count, struct imap_spans *out)
{
    size_t spans = count > 0 ? 1 : 0;

    for (size_t i = 1; i < count; i++)
        spans += positions[i] > positions[i - 1] + 1;
    *out = (struct imap_spans){.items = arena_new_array(a, struct imap_span, spans)};
    if (out->items == NULL)
        return spans == 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || positions[i] > positions[i - 1] + 1)
            out->items[out->count++] = (struct imap_span){positions[i], positions[i] + 1};
        else
            out->items[out->count - 1].end = positions[i] + 1;
    }
    return true;
}

void imap_window_of(struct imap_window w, uint64_t count, size_t *first, size_t *end)
{
    uint64_t low = w.first < w.last ? w.first : w.last, high = w.first < w.last ? w.last : w.first;

    if (high > count)
        high = count;
    if (low > high) {
        *first = *end = 0;
    } else if (w.from_end) {
        *first = (size_t)(count - high);
        *end = (size_t)(count - low + 1);
    } else {
        *first = (size_t)(low - 1);
        *end = (size_t)high;
    }
}

struct imap_spans imap_spans_window(struct arena *a, const struct imap_spans *s, struct imap_window w)
{
    struct imap_spans out = {.items = arena_new_array(a, struct imap_span, s->count)};
    size_t first, end;
    uint64_t before = 0; /* messages of the spans before this one */

    if (out.items == NULL)
        return out;
    imap_window_of(w, imap_spans_size(s), &first, &end);
    for (size_t i = 0; i < s->count; i++) {
        uint64_t size = s->items[i].end - s->items[i].first;
        uint64_t from = first > before ? first - before : 0, to = end > before ? end - before : 0;
        to = to < size ? to : size;
        if (from < to)
            out.items[out.count++] =
                (struct imap_span){s->items[i].first + (uint32_t)from, s->items[i].first + (uint32_t)to};
        before += size;
    }
    return out;
}

uint64_t imap_spans_size(const struct imap_spans *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        n += s->items[i].end - s->items[i].first;
    return n;
}

struct imap_set imap_spans_uids(struct arena *a, const struct view *v, const struct imap_spans *s)
{
    struct imap_set out = {.ranges = arena_new_array(a, struct uid_range, s->count)};

    if (out.ranges == NULL)
        return out;
    for (size_t i = 0; i < s->count; i++)
        out.ranges[out.count++] =
            (struct uid_range){view_at(v, s->items[i].first).uid, view_at(v, s->items[i].end - 1).uid};
    return out;
}

bool imap_spans_next(const struct imap_spans *s, struct imap_spans_at *at, uint32_t *position)
{
    while (at->span < s->count) {
        const struct imap_span *span = &s->items[at->span];
        if (at->offset < span->end - span->first) {
            *position = span->first + at->offset++;
            return true;
        }
        at->span++;
        at->offset = 0;
    }
    return false;
}

bool imap_spans_have(const struct imap_spans *s, uint32_t position)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (position >= s->items[mid].end)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->count && position >= s->items[low].first;
}

static void flush_range(struct imap_set_writer *w)
{
    if (!w->pending)
        return;
    if (w->any)
        buf_add_char(w->out, ',');
    buf_add_u64(w->out, w->first);
    if (w->last != w->first) {
        buf_add_char(w->out, ':');
        buf_add_u64(w->out, w->last);
    }
    w->any = true;
    w->pending = false;
}

void imap_set_writer_add(struct imap_set_writer *w, uint32_t first, uint32_t last)
{
    if (w->pending && first == w->last + 1) {
        w->last = last;
        return;
    }
    flush_range(w);
    w->first = first;
    w->last = last;
    w->pending = true;
}

void imap_set_writer_end(struct imap_set_writer *w)
{
    flush_range(w);
}
