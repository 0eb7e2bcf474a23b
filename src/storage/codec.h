/*
 * storage/codec.h - frames to zstd and back, with contexts that are kept.
 *
 * Layer: storage.  A zstd context costs more to make than a frame to pack, so a
 * few idle ones stay in a pool.  Thread-safe.
 */
#ifndef STORAGE_CODEC_H
#define STORAGE_CODEC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct codec;

struct codec_pool {
    pthread_mutex_t lock;
    struct codec *idle;
    unsigned idle_count;
};

void codec_pool_init(struct codec_pool *p);
void codec_pool_finish(struct codec_pool *p);

/* false if it does not shrink by an eighth at least; `out` has room for `n` bytes. */
bool codec_pack(struct codec_pool *p, int level, const void *in, size_t n, void *out, size_t *packed);
/* false unless it gives exactly `n` bytes. */
bool codec_unpack(struct codec_pool *p, const void *in, size_t packed, void *out, size_t n);

#endif
