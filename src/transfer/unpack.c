/*
 * transfer/unpack.c - compressed files, piece by piece.
 *
 * Layer: transfer.
 */
#include "transfer/unpack.h"

#include <stdlib.h>
#define ZLIB_CONST /* what is read is not written */
#include <zlib.h>
#include <zstd.h>

#include "transfer/unpack_loaded.h"

enum { OUT = 64 * 1024, WINDOW_GZIP = 16 + MAX_WBITS, WINDOW_ZSTD_LOG = 27 };

struct unpack {
    enum unpack_kind kind;
    z_stream         gzip;
    ZSTD_DStream    *zstd;
    struct unpack_loaded *loaded; /* of the others */
    bool             ended; /* at the end of a stream (another may follow) */
    unsigned char    out[OUT];
};

enum unpack_kind unpack_kind_of(struct slice first, const char **name)
{
    static const struct {
        struct slice     magic;
        enum unpack_kind kind;
        const char      *name;
    } kinds[] = {
        {SLICE("\x1f\x8b"), UNPACK_GZIP, "gzip"},
        {SLICE("\x28\xb5\x2f\xfd"), UNPACK_ZSTD, "zstd"},
        {SLICE("BZh"), UNPACK_BZIP2, "bzip2"},
        {SLICE("\xfd" "7zXZ"), UNPACK_XZ, "xz"},
        {SLICE("Dovecot-LZ4\r*\x9b\xc5"), UNPACK_LZ4, "lz4"},
        {SLICE("CRYPTED\x03\x07"), UNPACK_UNKNOWN, "encrypted by Dovecot's mail_crypt"},
    };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!slice_starts(first, kinds[i].magic))
            continue;
        *name = kinds[i].name;
        return kinds[i].kind;
    }
    *name = "";
    return UNPACK_NONE;
}

struct unpack *unpack_create(enum unpack_kind kind, struct fail *why)
{
    struct unpack *u = xcalloc(1, sizeof *u);

    u->kind = kind;
    if (kind != UNPACK_GZIP && kind != UNPACK_ZSTD) {
        u->loaded = unpack_loaded_create(kind, why);
        if (u->loaded == NULL)
            unpack_destroy(&u);
        return u;
    }
    if (kind == UNPACK_GZIP && inflateInit2(&u->gzip, WINDOW_GZIP) != Z_OK)
        die_no_memory(sizeof u->gzip);
    if (kind == UNPACK_ZSTD) {
        u->zstd = ZSTD_createDStream();
        if (u->zstd == NULL)
            die_no_memory(0);
        (void)ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, WINDOW_ZSTD_LOG);
    }
    return u;
}

void unpack_destroy(struct unpack **unpack)
{
    struct unpack *u = *unpack;

    if (u == NULL)
        return;
    if (u->kind == UNPACK_GZIP)
        (void)inflateEnd(&u->gzip);
    (void)ZSTD_freeDStream(u->zstd);
    unpack_loaded_destroy(&u->loaded);
    free(u);
    *unpack = NULL;
}

static bool damaged(struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "its compressed data is damaged");
}

static bool add_gzip(struct unpack *u, struct slice in, bool (*take)(void *, struct slice, struct fail *), void *ctx,
                     struct fail *why)
{
    z_stream *z = &u->gzip;

    z->next_in = (const Bytef *)in.ptr;
    z->avail_in = (uInt)in.len;
    while (z->avail_in > 0) {
        if (u->ended && inflateReset(z) != Z_OK)
            return damaged(why);
        u->ended = false;
        int result = Z_OK;
        do {
            z->next_out = u->out;
            z->avail_out = OUT;
            result = inflate(z, Z_NO_FLUSH);
            if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
                return damaged(why);
            if (OUT - z->avail_out > 0 && !take(ctx, slice_make(u->out, OUT - z->avail_out), why))
                return false;
        } while (z->avail_out == 0 && result != Z_STREAM_END);
        u->ended = result == Z_STREAM_END;
        if (result == Z_BUF_ERROR)
            break;
    }
    return true;
}

static bool add_zstd(struct unpack *u, struct slice in, bool (*take)(void *, struct slice, struct fail *), void *ctx,
                     struct fail *why)
{
    ZSTD_inBuffer from = {in.ptr, in.len, 0};
    ZSTD_outBuffer to;

    do {
        to = (ZSTD_outBuffer){u->out, OUT, 0};
        size_t left = ZSTD_decompressStream(u->zstd, &to, &from);
        if (ZSTD_isError(left))
            return damaged(why);
        u->ended = left == 0;
        if (to.pos > 0 && !take(ctx, slice_make(u->out, to.pos), why))
            return false;
    } while (from.pos < from.size || to.pos == to.size);
    return true;
}

bool unpack_add(struct unpack *u, struct slice in, bool (*take)(void *ctx, struct slice out, struct fail *why), void *ctx,
                struct fail *why)
{
    if (in.len == 0)
        return true;
    if (u->loaded != NULL)
        return unpack_loaded_add(u->loaded, in, &u->ended, take, ctx, why);
    return u->kind == UNPACK_GZIP ? add_gzip(u, in, take, ctx, why) : add_zstd(u, in, take, ctx, why);
}

bool unpack_is_whole(const struct unpack *u)
{
    return u->ended;
}
