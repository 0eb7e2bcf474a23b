/*
 * transfer/unpack_loaded.c - bzip2, xz and lz4, by libraries that are loaded when they are needed.
 *
 * Layer: transfer.  Dovecot writes bzip2 and xz as their programs do.  Its lz4 has frames of its own:
 *
 *     "Dovecot-LZ4\r*\x9b\xc5", the most that a chunk unpacks to (4, big-endian); then chunks: bytes (4), an LZ4 block
 */
#include "transfer/unpack_loaded.h"

#include <bzlib.h>
#include <dlfcn.h>
#include <lzma.h>
#include <stdlib.h>

#include "base/buf.h"

enum {
    OUT = 64 * 1024,
    XZ_MEMORY = 256 << 20,
    LZ4_HEAD = 19, /* magic and the most of a chunk */
    LZ4_MOST = 16 << 20,
};

struct unpack_loaded {
    enum unpack_kind kind;
    void            *library;
    bool             begun, ended;
    char             out[OUT];

    bz_stream bzip2;
    typeof(&BZ2_bzDecompressInit) bzip2_init;
    typeof(&BZ2_bzDecompress)     bzip2_run;
    typeof(&BZ2_bzDecompressEnd)  bzip2_end;

    lzma_stream xz;
    typeof(&lzma_stream_decoder) xz_init;
    typeof(&lzma_code)           xz_run;
    typeof(&lzma_end)            xz_end;

    int (*lz4_run)(const char *in, char *to, int size, int room); /* LZ4_decompress_safe */
    struct buf lz4_in;
    char      *lz4_out;
    size_t     lz4_most;
};

/* A data pointer becomes one to a function in the way POSIX asks for (dlsym). */
static bool find(struct unpack_loaded *u, const char *name, void *function)
{
    void *at = dlsym(u->library, name);

    memcpy(function, &at, sizeof at);
    return at != NULL;
}

static bool load(struct unpack_loaded *u, const char *file)
{
    u->library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (u->library == NULL)
        return false;
    switch (u->kind) {
    case UNPACK_BZIP2:
        return find(u, "BZ2_bzDecompressInit", &u->bzip2_init) && find(u, "BZ2_bzDecompress", &u->bzip2_run) &&
               find(u, "BZ2_bzDecompressEnd", &u->bzip2_end);
    case UNPACK_XZ:
        return find(u, "lzma_stream_decoder", &u->xz_init) && find(u, "lzma_code", &u->xz_run) && find(u, "lzma_end", &u->xz_end);
    case UNPACK_LZ4: return find(u, "LZ4_decompress_safe", &u->lz4_run);
    case UNPACK_NONE:
    case UNPACK_GZIP:
    case UNPACK_ZSTD:
    case UNPACK_UNKNOWN: break;
    }
    return false;
}

struct unpack_loaded *unpack_loaded_create(enum unpack_kind kind, struct fail *why)
{
    const char           *file = kind == UNPACK_BZIP2 ? "libbz2.so.1.0" : kind == UNPACK_XZ ? "liblzma.so.5" : "liblz4.so.1";
    struct unpack_loaded *u = xcalloc(1, sizeof *u);

    u->kind = kind;
    u->xz = (lzma_stream)LZMA_STREAM_INIT;
    buf_init(&u->lz4_in, 2L * LZ4_MOST);
    if (load(u, file))
        return u;
    unpack_loaded_destroy(&u);
    (void)fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "compressed, and %s to unpack it is not there", file);
    return NULL;
}

void unpack_loaded_destroy(struct unpack_loaded **loaded)
{
    struct unpack_loaded *u = *loaded;

    if (u == NULL)
        return;
    if (u->kind == UNPACK_BZIP2 && u->begun)
        (void)u->bzip2_end(&u->bzip2);
    if (u->kind == UNPACK_XZ && u->begun)
        u->xz_end(&u->xz);
    buf_finish(&u->lz4_in);
    free(u->lz4_out);
    free(u); /* the library stays: the next message asks for it again */
    *loaded = NULL;
}

static bool damaged(struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "its compressed data is damaged");
}

/* Another stream may follow a stream that has ended. */
static bool add_bzip2(struct unpack_loaded *u, struct slice in, unpack_take *take, void *ctx, struct fail *why)
{
    bz_stream *z = &u->bzip2;

    z->next_in = (char *)(uintptr_t)in.ptr;
    z->avail_in = (unsigned)in.len;
    for (;;) {
        if (!u->begun || u->ended) {
            if (z->avail_in == 0)
                return true;
            if (u->begun)
                (void)u->bzip2_end(z);
            u->begun = u->bzip2_init(z, 0, 0) == BZ_OK;
            u->ended = false;
            if (!u->begun)
                return fail_set(why, FAIL_TEMP, FAIL_OTHER, "no memory to unpack");
        }
        z->next_out = u->out;
        z->avail_out = OUT;
        int said = u->bzip2_run(z);
        if (said != BZ_OK && said != BZ_STREAM_END)
            return damaged(why);
        u->ended = said == BZ_STREAM_END;
        if (z->avail_out < OUT && !take(ctx, slice_make(u->out, OUT - z->avail_out), why))
            return false;
        if (z->avail_in == 0 && (z->avail_out > 0 || u->ended))
            return true;
    }
}

static bool add_xz(struct unpack_loaded *u, struct slice in, unpack_take *take, void *ctx, struct fail *why)
{
    lzma_stream *z = &u->xz;

    z->next_in = (const uint8_t *)in.ptr;
    z->avail_in = in.len;
    for (;;) {
        if (!u->begun || u->ended) {
            if (z->avail_in == 0)
                return true;
            u->begun = u->xz_init(z, XZ_MEMORY, 0) == LZMA_OK;
            u->ended = false;
            if (!u->begun)
                return fail_set(why, FAIL_TEMP, FAIL_OTHER, "no memory to unpack");
        }
        z->next_out = (uint8_t *)u->out;
        z->avail_out = OUT;
        lzma_ret said = u->xz_run(z, LZMA_RUN);
        if (said == LZMA_BUF_ERROR)
            return true; /* it needs more */
        if (said != LZMA_OK && said != LZMA_STREAM_END)
            return damaged(why);
        u->ended = said == LZMA_STREAM_END;
        if (z->avail_out < OUT && !take(ctx, slice_make(u->out, OUT - z->avail_out), why))
            return false;
        if (z->avail_in == 0 && (z->avail_out > 0 || u->ended))
            return true;
    }
}

static size_t big_endian(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;

    return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

static bool add_lz4(struct unpack_loaded *u, struct slice in, unpack_take *take, void *ctx, struct fail *why)
{
    struct buf *have = &u->lz4_in;

    buf_add(have, in);
    if (have->failed)
        return damaged(why);
    if (!u->begun) {
        if (have->len < LZ4_HEAD)
            return true;
        u->lz4_most = big_endian(have->data + LZ4_HEAD - 4);
        if (u->lz4_most == 0 || u->lz4_most > LZ4_MOST)
            return damaged(why);
        u->lz4_out = xmalloc(u->lz4_most);
        u->begun = true;
        buf_drop(have, LZ4_HEAD);
    }
    while (have->len >= 4) {
        size_t packed = big_endian(have->data);
        if (packed == 0 || packed > u->lz4_most + u->lz4_most / 255 + 16)
            return damaged(why);
        if (have->len - 4 < packed)
            break;
        int n = u->lz4_run(have->data + 4, u->lz4_out, (int)packed, (int)u->lz4_most);
        if (n < 0)
            return damaged(why);
        buf_drop(have, 4 + packed);
        if (n > 0 && !take(ctx, slice_make(u->lz4_out, (size_t)n), why))
            return false;
    }
    u->ended = have->len == 0;
    return true;
}

bool unpack_loaded_add(struct unpack_loaded *u, struct slice in, bool *ended, unpack_take *take, void *ctx, struct fail *why)
{
    bool ok = u->kind == UNPACK_BZIP2 ? add_bzip2(u, in, take, ctx, why)
              : u->kind == UNPACK_XZ  ? add_xz(u, in, take, ctx, why)
                                      : add_lz4(u, in, take, ctx, why);

    *ended = u->ended;
    return ok;
}
