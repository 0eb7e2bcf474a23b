/*
 * net/compress.c - COMPRESS=DEFLATE (RFC 4978): a layer between the protocol and TLS.
 *
 * Layer: net.  What a compressor knows (256 KB) and what a decompressor knows (40 KB)
 * are too much for a session that idles, so both belong to the worker:
 *
 *   out  What is sent at one time ends in a full flush.  After it the next byte depends on
 *        nothing before it, so any compressor can go on: the session keeps none.
 *   in   A client flushes too, which ends a block.  There, the decompressor's state is its last
 *        32 KB of output (less, as long as less has come) and at most two bits; the session
 *        keeps these, and any decompressor can go on with them.  A client that stops inside
 *        a block keeps the whole.
 *
 * Nothing is inflated but into the room that the input buffer has, so its limits hold for what
 * comes out: what is left waits, and the session is not parked over it but for want of room.
 */
#include <stdlib.h>
#include <zlib.h>

#include "net/loop.h"

enum {
    RAW = -15,            /* window bits: 32 KB, no header (RFC 4978 section 3 means RFC 1951) */
    LEVEL = 3,            /* three times faster than 6, and a twentieth larger */
    MEMORY = 8,
    PACKED_IN = 16 * 1024, /* read from the socket at one time */
    WINDOW = 32 * 1024,
};

struct compress {
    bool on; /* else: once what is queued has been sent */

    struct buf packed; /* compressed and not yet sent, from packed_at */
    size_t packed_at;

    char *left; /* compressed input that came, and is not yet inflated */
    size_t left_len;
    bool more;  /* the decompressor has output for which there was no room */
    bool ended; /* the client has ended its stream */

    z_stream *inflater;  /* NULL between turns, when there is: */
    char *window;        /* its last output */
    unsigned window_len;
    unsigned char last;  /* the last byte of input, of which */
    unsigned char bits;  /* so many, at the top, belong to the next block */
};

/* ---- the worker's ---- */

static z_stream *deflater_of(struct worker *w)
{
    if (w->deflater != NULL) {
        (void)deflateReset(w->deflater);
        return w->deflater;
    }
    w->deflater = xcalloc(1, sizeof(*w->deflater));
    if (deflateInit2(w->deflater, LEVEL, Z_DEFLATED, RAW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        die_no_memory(256 * 1024);
    return w->deflater;
}

static z_stream *inflater_of(struct worker *w)
{
    z_stream *z = w->inflater;

    w->inflater = NULL;
    if (z != NULL) {
        (void)inflateReset(z);
        return z;
    }
    z = xcalloc(1, sizeof(*z));
    if (inflateInit2(z, RAW) != Z_OK)
        die_no_memory(40 * 1024);
    return z;
}

static void inflater_free(z_stream **z)
{
    if (*z == NULL)
        return;
    (void)inflateEnd(*z);
    free(*z);
    *z = NULL;
}

void compress_worker_finish(struct worker *w)
{
    inflater_free(&w->inflater);
    if (w->deflater != NULL)
        (void)deflateEnd(w->deflater);
    free(w->deflater);
    w->deflater = NULL;
}

/* ---- beginning and ending ---- */

void compress_prepare(struct conn *c)
{
    size_t n = c->in_len - c->in_at;

    c->compress = xcalloc(1, sizeof(*c->compress));
    buf_init(&c->compress->packed, 1024 * 1024);
    if (n > 0) { /* came with the command: it is compressed already, or the client breaks section 3 */
        c->compress->left = xmalloc(n);
        memcpy(c->compress->left, c->in + c->in_at, n);
        c->compress->left_len = n;
        c->in_at = c->in_len;
    }
}

void compress_begin(struct conn *c)
{
    c->compress->on = true;
    c->readable = c->readable || c->compress->left_len > 0;
}

bool compress_is_due(const struct conn *c)
{
    return c->compress != NULL && !c->compress->on;
}

bool compress_is_on(const struct conn *c)
{
    return c->compress != NULL && c->compress->on;
}

void compress_finish(struct conn *c)
{
    struct compress *z = c->compress;

    if (z == NULL)
        return;
    buf_finish(&z->packed);
    free(z->left);
    free(z->window);
    inflater_free(&z->inflater);
    free(z);
    c->compress = NULL;
}

/* ---- in ---- */

static void thaw(struct worker *w, struct compress *z)
{
    if (z->inflater != NULL)
        return;
    z->inflater = inflater_of(w);
    if (z->bits > 0)
        (void)inflatePrime(z->inflater, z->bits, z->last >> (8 - z->bits));
    if (z->window_len > 0)
        (void)inflateSetDictionary(z->inflater, (const Bytef *)z->window, z->window_len);
    free(z->window);
    z->window = NULL;
}

/* zlib.h, inflate(): 128 when it stands right behind a block, plus how many bits it has taken and not used. */
static bool between_blocks(const z_stream *z)
{
    return (z->data_type & 128) != 0 && (z->data_type & 63) < 8;
}

void compress_park(struct conn *c, struct worker *w)
{
    struct compress *z = c->compress;
    char window[WINDOW];
    unsigned len = sizeof(window);

    if (z == NULL || z->inflater == NULL || z->more || !between_blocks(z->inflater) ||
        inflateGetDictionary(z->inflater, (Bytef *)window, &len) != Z_OK)
        return;
    z->bits = z->inflater->data_type & 63;
    z->window_len = len;
    z->window = len > 0 ? xmalloc(len) : NULL;
    if (len > 0)
        memcpy(z->window, window, len);
    if (w->inflater == NULL)
        w->inflater = z->inflater;
    else
        inflater_free(&z->inflater);
    z->inflater = NULL;
}

bool compress_has_more(const struct conn *c)
{
    const struct compress *z = c->compress;

    return compress_is_on(c) && (z->more || z->left_len > 0 || (z->ended && !c->eof));
}

/* Inflates from `in` what fits into `out`; the rest of `in` is kept. */
static enum stream unpack(struct compress *z, struct slice in, void *out, size_t size, size_t *got)
{
    z_stream *s = z->inflater;

    s->next_in = (Bytef *)(uintptr_t)in.ptr;
    s->avail_in = (uInt)in.len;
    s->next_out = out;
    s->avail_out = (uInt)size;
    int status = inflate(s, Z_SYNC_FLUSH);
    size_t used = in.len - s->avail_in;
    if (used > 0)
        z->last = (unsigned char)in.ptr[used - 1];
    *got = size - s->avail_out;
    z->more = s->avail_out == 0;
    z->ended = status == Z_STREAM_END;

    char *kept = s->avail_in > 0 && !z->ended ? xmalloc(s->avail_in) : NULL;
    if (kept != NULL)
        memcpy(kept, s->next_in, s->avail_in);
    free(z->left);
    z->left = kept;
    z->left_len = kept != NULL ? in.len - used : 0;
    s->next_in = NULL;
    s->next_out = NULL;
    return status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR ? STREAM_OK : STREAM_ERROR;
}

/* At most one read of the socket, so that blocks of nothing cannot hold a worker. */
enum stream compress_read(struct conn *c, void *out, size_t size, size_t *got)
{
    struct compress *z = c->compress;
    enum stream said = STREAM_OK;
    struct slice in = slice_make(z->left, z->left_len);

    *got = 0;
    if (z->ended)
        return STREAM_EOF;
    if (!compress_has_more(c)) {
        struct worker *w = c->worker;
        size_t n = 0;
        if (w->packed == NULL)
            w->packed = xmalloc(PACKED_IN);
        said = stream_read_raw(c, w->packed, PACKED_IN, &n);
        if (said != STREAM_OK)
            return said;
        in = slice_make(w->packed, n);
    }
    thaw(c->worker, z);
    said = unpack(z, in, out, size, got);
    if (said == STREAM_OK && *got == 0)
        return z->ended ? STREAM_EOF : STREAM_LATER;
    return said;
}

/* ---- out ---- */

size_t compress_pending(const struct conn *c)
{
    return c->compress != NULL ? c->compress->packed.len - c->compress->packed_at : 0;
}

static enum stream send_packed(struct conn *c)
{
    struct compress *z = c->compress;
    enum stream said = STREAM_OK;

    while (said == STREAM_OK && compress_pending(c) > 0) {
        struct iovec iov = {z->packed.data + z->packed_at, compress_pending(c)};
        size_t n = 0;
        said = stream_write_raw(c, &iov, 1, &n);
        z->packed_at += n;
    }
    if (compress_pending(c) == 0) {
        buf_finish(&z->packed);
        z->packed_at = 0;
    }
    return said;
}

static void pack(struct buf *out, z_stream *d, const void *bytes, size_t n, int flush)
{
    d->next_in = (Bytef *)(uintptr_t)bytes;
    d->avail_in = (uInt)n;
    do {
        size_t room = deflateBound(d, d->avail_in) + 16;
        char *at = buf_room(out, room);
        if (at == NULL)
            bug("what %zu bytes become is too long", n);
        d->next_out = (Bytef *)at;
        d->avail_out = (uInt)room;
        (void)deflate(d, flush);
        buf_grew(out, room - d->avail_out);
    } while (d->avail_out == 0);
}

/* All of `iov` is taken as soon as what was taken before has been sent: what waits is one piece of output. */
enum stream compress_write(struct conn *c, const struct iovec *iov, int count, size_t *sent)
{
    struct compress *z = c->compress;
    enum stream said = send_packed(c);
    size_t taken = 0;

    *sent = 0;
    if (said != STREAM_OK || count == 0)
        return said;
    z_stream *d = deflater_of(c->worker);
    for (int i = 0; i < count && taken < COMPRESS_PIECE; i++) {
        size_t n = iov[i].iov_len < COMPRESS_PIECE - taken ? iov[i].iov_len : COMPRESS_PIECE - taken;
        pack(&z->packed, d, iov[i].iov_base, n, Z_NO_FLUSH);
        taken += n;
    }
    pack(&z->packed, d, NULL, 0, Z_FULL_FLUSH);
    *sent = taken;
    return send_packed(c);
}
