/*
 * store/body.c - a message's bytes for those who send them: prefix, then record.
 *
 * Layer: store.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

enum { DAMAGED_MS = 600 * 1000 }; /* then it is tried again: some disks recover */

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

/* Remembered, so that who asks again is told before a length is promised. */
static void note_damaged(struct store_body *b, const struct fail *why)
{
    struct store *st = b->store;
    struct fail known;

    if (why == NULL || why->reason != FAIL_DAMAGED || !store_body_intact(b, &known))
        return;
    log_event(LOG_ERROR, "store.damaged", LOG_HEX("record", b->ref), LOG_FAIL(why),
              LOG_CSTR("do", "posthorn check names what is damaged; a backup has it (posthorn restore)"));
    unsigned at = atomic_fetch_add(&st->damaged_count, 1) % STORE_DAMAGED;
    atomic_store(&st->damaged_at[at], clock_mono_ms());
    atomic_store(&st->damaged[at], b->ref);
}

bool store_body_intact(const struct store_body *b, struct fail *why)
{
    const struct store *st = b->store;
    unsigned count = atomic_load_explicit(&st->damaged_count, memory_order_relaxed);

    for (unsigned i = 0; i < count && i < STORE_DAMAGED; i++) {
        if (atomic_load(&st->damaged[i]) == b->ref && clock_mono_ms() - atomic_load(&st->damaged_at[i]) < DAMAGED_MS)
            return fail_internal(why, FAIL_PERM, FAIL_DAMAGED, "", "record %llx was found damaged", (unsigned long long)b->ref);
    }
    return true;
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
    if (n == 0 || volume_read(b->store->volumes, b->ref, offset - b->prefix_len, to, n, why))
        return true;
    note_damaged(b, why);
    return false;
}

bool store_has_space(struct store *st, uint64_t bytes, struct fail *why)
{
    return volume_has_space(st->volumes, bytes, why);
}
