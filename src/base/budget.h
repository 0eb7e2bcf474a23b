/*
 * base/budget.h - memory that many share.
 *
 * Layer: base.  Any thread.  Nobody may hold more than is still free for the others: so whoever asks for most is
 * refused first, and who asks for little is served as long as there is anything at all.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct budget {
    _Atomic size_t used;
    size_t max; /* 0: no limit */
};

static inline void budget_give_back(struct budget *b, size_t n)
{
    if (b != NULL)
        (void)atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
}

/* Whatever is held already: what cannot be refused any more. */
static inline void budget_add(struct budget *b, size_t n)
{
    if (b != NULL)
        (void)atomic_fetch_add_explicit(&b->used, n, memory_order_relaxed);
}

/* `n` more for somebody who holds `mine`; false: not now. */
static inline bool budget_take(struct budget *b, size_t mine, size_t n)
{
    if (b == NULL)
        return true;
    size_t used = atomic_fetch_add_explicit(&b->used, n, memory_order_relaxed) + n;
    if (b->max == 0 || (used <= b->max && mine + n <= b->max - used + n))
        return true;
    budget_give_back(b, n);
    return false;
}

/* Are `parts` of eight in use? */
static inline bool budget_is_above(const struct budget *b, unsigned parts)
{
    return b->max > 0 && atomic_load_explicit(&b->used, memory_order_relaxed) > b->max / 8 * parts;
}

#endif
