/*
 * storage/codec.c - see codec.h.
 *
 * Layer: storage.
 */
#include "storage/codec.h"

#include <stdlib.h>
#include <zstd.h>

#include "base/fail.h"

enum { IDLE_MAX = 4 };

struct codec {
    ZSTD_CCtx *pack; /* each is made when first needed */
    ZSTD_DCtx *unpack;
    struct codec *next;
};

void codec_pool_init(struct codec_pool *p)
{
    *p = (struct codec_pool){0};
    (void)pthread_mutex_init(&p->lock, NULL);
}

static void codec_free(struct codec *c)
{
    (void)ZSTD_freeCCtx(c->pack);
    (void)ZSTD_freeDCtx(c->unpack);
    free(c);
}

void codec_pool_finish(struct codec_pool *p)
{
    while (p->idle != NULL) {
        struct codec *c = p->idle;
        p->idle = c->next;
        codec_free(c);
    }
    (void)pthread_mutex_destroy(&p->lock);
}

static struct codec *codec_take(struct codec_pool *p)
{
    (void)pthread_mutex_lock(&p->lock);
    struct codec *c = p->idle;
    if (c != NULL) {
        p->idle = c->next;
        p->idle_count--;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return c != NULL ? c : xcalloc(1, sizeof *c);
}

static void codec_give(struct codec_pool *p, struct codec *c)
{
    (void)pthread_mutex_lock(&p->lock);
    bool keep = p->idle_count < IDLE_MAX;
    if (keep) {
        c->next = p->idle;
        p->idle = c;
        p->idle_count++;
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (!keep)
        codec_free(c);
}

bool codec_pack(struct codec_pool *p, int level, const void *in, size_t n, void *out, size_t *packed)
{
    struct codec *c = codec_take(p);

    if (c->pack == NULL && (c->pack = ZSTD_createCCtx()) == NULL)
        die_no_memory(0);
    /* A result that does not fit is an error: just what we ask. */
    size_t got = ZSTD_compressCCtx(c->pack, out, n - n / 8, in, n, level);
    codec_give(p, c);
    if (ZSTD_isError(got))
        return false;
    *packed = got;
    return true;
}

bool codec_unpack(struct codec_pool *p, const void *in, size_t packed, void *out, size_t n)
{
    struct codec *c = codec_take(p);

    if (c->unpack == NULL && (c->unpack = ZSTD_createDCtx()) == NULL)
        die_no_memory(0);
    size_t got = ZSTD_decompressDCtx(c->unpack, out, n, in, packed);
    codec_give(p, c);
    return !ZSTD_isError(got) && got == n;
}
