/*
 * transfer/digest.c - what a message is remembered by.
 *
 * Layer: transfer.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "transfer/transfer.h"

struct slice transfer_source(struct arena *a, const char *kind, const char *path, struct slice below)
{
    enum { MOST = 400, KEPT = 300 };
    struct slice all = arena_printf(a, "%s %s/" PRIslice, kind, path, SLICE_ARG(below));

    if (all.len <= MOST)
        return all;
    return arena_printf(a, PRIslice "#%016llx", SLICE_ARG(slice_sub(all, 0, KEPT)), (unsigned long long)hash_for_good(all));
}

struct transfer_digest transfer_digest(uint32_t uidvalidity, const struct transfer_message *m)
{
    struct transfer_digest d;
    struct buf             text;

    buf_init(&text, SIZE_MAX);
    if (m->key.len > 0) {
        buf_add(&text, SLICE("1k"));
        buf_add(&text, m->key);
    } else {
        buf_addf(&text, "1u%u %u", uidvalidity, m->uid);
    }
    /* Two hashes of what differs in its first letter: together as good as one twice as long. */
    uint64_t half = hash_for_good(buf_slice(&text));
    memcpy(d.bytes, &half, sizeof half);
    text.data[0] = '2';
    half = hash_for_good(buf_slice(&text));
    memcpy(d.bytes + sizeof half, &half, sizeof half);
    buf_finish(&text);
    return d;
}
