/*
 * policy/memo.c - see policy/memo.h.
 *
 * Layer: policy.
 */
#include "policy/memo.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"

enum { LOOK_AT = 16, FIRST_ROWS = 64 };

/* idmap has pointers: a place is kept as one, 1 more than it is, because NULL means absent. */
static void *of_place(size_t place)
{
    return (void *)(uintptr_t)(place + 1); /* NOLINT(performance-no-int-to-ptr) */
}

void memo_init(struct memo *m, size_t max)
{
    *m = (struct memo){.max = max};
    idmap_init(&m->by_key);
}

void memo_finish(struct memo *m)
{
    free(m->rows);
    idmap_finish(&m->by_key);
    *m = (struct memo){0};
}

struct memo_row *memo_get(const struct memo *m, uint64_t key)
{
    uintptr_t place = (uintptr_t)idmap_get(&m->by_key, key);

    return place == 0 ? NULL : &m->rows[place - 1];
}

/* The stalest of a few. */
static size_t victim(struct memo *m)
{
    size_t stalest = m->hand;

    for (size_t i = 0; i < LOOK_AT; i++) {
        if (m->rows[m->hand].last < m->rows[stalest].last)
            stalest = m->hand;
        m->hand = (m->hand + 1) % m->used;
    }
    return stalest;
}

static size_t new_place(struct memo *m)
{
    if (m->used == m->max) {
        size_t place = victim(m);
        (void)idmap_remove(&m->by_key, m->rows[place].key);
        return place;
    }
    if (m->used == m->cap) {
        m->cap = m->cap == 0 ? FIRST_ROWS : m->cap * 2;
        if (m->cap > m->max)
            m->cap = m->max;
        m->rows = xrealloc(m->rows, m->cap * sizeof *m->rows);
    }
    return m->used++;
}

struct memo_row *memo_put(struct memo *m, uint64_t key)
{
    struct memo_row *row = memo_get(m, key);

    if (row != NULL)
        return row;
    size_t place = new_place(m);
    m->rows[place] = (struct memo_row){.key = key};
    (void)idmap_put(&m->by_key, key, of_place(place));
    return &m->rows[place];
}

void memo_remove(struct memo *m, uint64_t key)
{
    uintptr_t place = (uintptr_t)idmap_remove(&m->by_key, key);

    if (place == 0)
        return;
    m->rows[place - 1] = m->rows[--m->used]; /* the last one fills the hole */
    if (place - 1 != m->used)
        (void)idmap_put(&m->by_key, m->rows[place - 1].key, of_place(place - 1));
    if (m->hand >= m->used)
        m->hand = 0;
}

void memo_write(const struct memo *m, const char *name, struct buf *out)
{
    buf_addf(out, "posthorn %s 1\n", name);
    for (size_t i = 0; i < m->used; i++) {
        const struct memo_row *r = &m->rows[i];
        buf_addf(out, "%016llx %lld %lld %u\n", (unsigned long long)r->key, (long long)r->first, (long long)r->last, r->count);
    }
}

static bool read_hex(struct slice s, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = ascii_lower(s.ptr[i]);
        if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
            return false;
        *out = *out << 4 | (uint64_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    return s.len == 16;
}

bool memo_read(struct memo *m, const char *name, struct slice text)
{
    char head[40];
    struct slice rest = text;
    uint64_t key, first, last, count;

    (void)snprintf(head, sizeof head, "posthorn %s 1", name);
    if (!slice_eq(slice_cut(&rest, '\n'), slice_of(head)))
        return false;
    while (rest.len > 0) {
        struct slice line = slice_cut(&rest, '\n');
        if (!read_hex(slice_cut(&line, ' '), &key) || !slice_to_u64(slice_cut(&line, ' '), INT64_MAX, &first) ||
            !slice_to_u64(slice_cut(&line, ' '), INT64_MAX, &last) || !slice_to_u64(line, UINT32_MAX, &count))
            return false;
        struct memo_row *row = memo_put(m, key);
        row->first = (int64_t)first;
        row->last = (int64_t)last;
        row->count = (uint32_t)count;
    }
    return true;
}
