/*
 * base/arena.c - memory that is given back all at once.
 *
 * Layer: base.  A list of chunks, the newest first; small pieces are cut from
 * the newest, a large piece gets a chunk of its own behind it.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/budget.h"
#include "base/fail.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t              size, used; /* of `bytes` */
    _Alignas(max_align_t) char bytes[];
};

enum {
    CHUNK_FIRST = 1024 - sizeof(struct arena_chunk), /* also what arena_reset keeps */
    CHUNK_MAX = 64 * 1024 - sizeof(struct arena_chunk),
};

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

void arena_charge_to(struct arena *a, struct budget *b)
{
    a->budget = b;
}

bool arena_may_have(const struct arena *a, size_t size)
{
    if (!budget_take(a->budget, a->used, size))
        return false;
    budget_give_back(a->budget, size);
    return true;
}

static void free_chunks(const struct arena *a, struct arena_chunk *c)
{
    while (c != NULL) {
        struct arena_chunk *next = c->next;
        budget_give_back(a->budget, c->size);
        free(c);
        c = next;
    }
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *kept = NULL;

    for (struct arena_chunk **at = &a->head; *at != NULL; at = &(*at)->next) {
        if ((*at)->size == CHUNK_FIRST) {
            kept = *at;
            *at = kept->next;
            break;
        }
    }
    free_chunks(a, a->head);
    if (kept != NULL) {
        memset(kept->bytes, 0, kept->used);
        kept->used = 0;
        kept->next = NULL;
    }
    a->head = kept;
    a->used = 0;
    a->failed = false;
}

void arena_finish(struct arena *a)
{
    free_chunks(a, a->head);
    *a = (struct arena){.limit = a->limit, .budget = a->budget};
}

void arena_wipe(struct arena *a)
{
    for (struct arena_chunk *c = a->head; c != NULL; c = c->next)
        explicit_bzero(c->bytes, c->used);
}

/* The first one, which an idle session keeps, is never refused. */
static struct arena_chunk *chunk_create(struct arena *a, size_t size)
{
    if (size <= CHUNK_FIRST) {
        budget_add(a->budget, size);
    } else if (!budget_take(a->budget, a->used, size)) {
        a->failed = true;
        return NULL;
    }
    struct arena_chunk *c = xcalloc(1, sizeof *c + size); /* size <= limit, far from wrapping */

    c->size = size;
    return c;
}

/* A chunk with room for `size`: on top if more may be cut from it, else behind the top. */
static struct arena_chunk *chunk_for(struct arena *a, size_t size)
{
    size_t next_size = a->head == NULL ? CHUNK_FIRST : a->head->size * 2;

    if (next_size > CHUNK_MAX)
        next_size = CHUNK_MAX;
    if (size > next_size / 2 && a->head != NULL) {
        struct arena_chunk *own = chunk_create(a, size);
        if (own == NULL)
            return NULL;
        own->next = a->head->next;
        a->head->next = own;
        return own;
    }
    struct arena_chunk *c = chunk_create(a, size > next_size ? size : next_size);
    if (c == NULL)
        return NULL;
    c->next = a->head;
    a->head = c;
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = _Alignof(max_align_t);

    if (size > a->limit || a->limit - size < align - 1) {
        a->failed = true;
        return NULL;
    }
    size = (size + align - 1) & ~(align - 1);
    if (size == 0)
        size = align;
    if (a->failed || size > a->limit - a->used) {
        a->failed = true;
        return NULL;
    }

    struct arena_chunk *c = a->head;
    if (c == NULL || size > c->size - c->used)
        c = chunk_for(a, size);
    if (c == NULL)
        return NULL;
    void *p = c->bytes + c->used;
    c->used += size;
    a->used += size;
    return p;
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total)) {
        a->failed = true;
        return NULL;
    }
    return arena_alloc(a, total);
}

struct slice arena_keep(struct arena *a, struct slice s)
{
    char *copy = arena_alloc(a, s.len);

    if (copy == NULL)
        return (struct slice){NULL, 0};
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return slice_make(copy, s.len);
}

const char *arena_cstr(struct arena *a, struct slice s)
{
    char *copy = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;

    if (copy == NULL) {
        a->failed = true;
        return "";
    }
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy; /* zeroed memory: the NUL is there */
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int wanted = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = wanted >= 0 ? arena_alloc(a, (size_t)wanted + 1) : NULL;
    if (text == NULL) {
        a->failed = true;
        return (struct slice){NULL, 0};
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, (size_t)wanted + 1, fmt, ap);
    va_end(ap);
    return slice_make(text, (size_t)wanted);
}
