/*
 * store/body.c - a message's bytes for those who send them: prefix, then record.
 *
 * Layer: store.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "store/internal.h"

struct store_body {
    _Atomic uint32_t refs;
    struct store *store;
    uint64_t ref, size;
    size_t prefix_len;
    char prefix[];
};

struct store_body *store_body_open(struct store *st, uint64_t ref, struct slice prefix, uint64_t size)
{
    struct store_body *b = xmalloc(sizeof *b + prefix.len);

    b->refs = 1;
    b->store = st;
    b->ref = ref;
    b->size = size;
    b->prefix_len = prefix.len;
    if (prefix.len > 0)
        memcpy(b->prefix, prefix.ptr, prefix.len);
    return b;
}

struct store_body *store_body_ref(struct store_body *b)
{
    (void)atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void store_body_release(struct store_body **b)
{
    if (*b != NULL && atomic_fetch_sub_explicit(&(*b)->refs, 1, memory_order_acq_rel) == 1)
        free(*b);
    *b = NULL;
}

uint64_t store_body_size(const struct store_body *b)
{
    return b->size;
}

bool store_body_read(struct store_body *b, uint64_t offset, void *out, size_t n, struct fail *why)
{
    char *to = out;

    if (offset > b->size || n > b->size - offset)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "bytes asked for beyond a message's end");
    if (offset < b->prefix_len) {
        size_t head = b->prefix_len - (size_t)offset;
        if (head > n)
            head = n;
        memcpy(to, b->prefix + offset, head);
        to += head;
        n -= head;
        offset += head;
    }
    return n == 0 || volume_read(b->store->volumes, b->ref, offset - b->prefix_len, to, n, why);
}

bool store_has_space(struct store *st, uint64_t bytes, struct fail *why)
{
    return volume_has_space(st->volumes, bytes, why);
}
