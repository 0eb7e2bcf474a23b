/*
 * imap/binary.c - the bytes that BINARY[section]<partial> names.
 *
 * Layer: imap.  RFC 3516, RFC 9051 section 6.4.5.  A part is decoded once if what
 * is asked of it is small, and twice otherwise: for its size, which has to be said
 * first, and as it is sent, a piece at a time.  Bytes are given as the sender
 * encoded them: line ends in encoded text are not mended.
 */
#include "imap/section.h"

#include <stdlib.h>

#include "base/fail.h"
#include "base/log.h"
#include "message/decode.h"

enum {
    PIECE = 64 * 1024,    /* encoded bytes at a time: what the store reads and checks at once */
    TEXT_MAX = 64 * 1024, /* of decoded bytes held in memory */
};

/* A part that is decoded front to back. */
struct decoding {
    struct store_body *body;
    struct section_range encoded;
    enum transfer_encoding encoding;

    struct transfer_decoder decoder;
    uint64_t at;     /* the next encoded byte */
    uint64_t behind; /* decoded bytes before `piece` */
    struct buf piece, raw;
    bool ended;
};

static void decoding_init(struct decoding *d, struct store_body *body, struct section_range encoded,
                          enum transfer_encoding encoding)
{
    *d = (struct decoding){.body = body, .encoded = encoded, .encoding = encoding, .at = encoded.begin};
    buf_init(&d->piece, (size_t)PIECE + 256); /* no encoding makes text longer; a few bytes are held back */
    buf_init(&d->raw, PIECE);
    transfer_decoder_init(&d->decoder, encoding);
}

static void decoding_finish(struct decoding *d)
{
    buf_finish(&d->piece);
    buf_finish(&d->raw);
}

static void decoding_rewind(struct decoding *d)
{
    decoding_finish(d);
    decoding_init(d, d->body, d->encoded, d->encoding);
}

/* The next piece; one without any text may come before the end (`ended`). */
static bool decode_next(struct decoding *d, struct fail *why)
{
    size_t n = d->encoded.end - d->at < PIECE ? (size_t)(d->encoded.end - d->at) : PIECE;
    char *raw = buf_room(&d->raw, n);

    d->behind += d->piece.len;
    buf_reset(&d->piece);
    if (n > 0 && (raw == NULL || !store_body_read(d->body, d->at, raw, n, why)))
        return false;
    d->at += n;
    transfer_decoder_feed(&d->decoder, slice_make(raw, n), &d->piece);
    if (d->at == d->encoded.end && !d->ended) {
        transfer_decoder_finish(&d->decoder, &d->piece);
        d->ended = true;
    }
    return !d->piece.failed || fail_set(why, FAIL_TEMP, FAIL_OTHER, "a part cannot be decoded");
}

/* ---- as it is sent ---- */

static bool read_decoded(void *ctx, uint64_t offset, void *out, size_t n)
{
    struct decoding *d = ctx;
    struct fail why = {0};
    char *to = out;

    if (offset < d->behind)
        decoding_rewind(d);
    while (n > 0) {
        if (offset - d->behind >= d->piece.len) {
            if ((d->ended && d->piece.len == 0) || !decode_next(d, &why)) {
                log_event(LOG_ERROR, "imap.body", LOG_FAIL(&why));
                return false;
            }
            continue;
        }
        struct slice have = slice_from(buf_slice(&d->piece), (size_t)(offset - d->behind));
        size_t some = have.len < n ? have.len : n;
        memcpy(to, have.ptr, some);
        to += some;
        offset += some;
        n -= some;
    }
    return true;
}

static void release_decoded(void *ctx)
{
    struct decoding *d = ctx;

    store_body_release(&d->body);
    decoding_finish(d);
    free(d);
}

static struct conn_source decoded_source(const struct decoding *like)
{
    struct decoding *d = xmalloc(sizeof *d);

    decoding_init(d, store_body_ref(like->body), like->encoded, like->encoding);
    return (struct conn_source){.read = read_decoded, .release = release_decoded, .ctx = d};
}

/* ---- size, and whether NUL is in it ---- */

/* Of one more piece: what lies in [begin, end) of the decoded bytes. */
static void look_at(const struct decoding *d, uint64_t begin, uint64_t end, struct buf *text, bool *has_nul)
{
    uint64_t first = d->behind > begin ? d->behind : begin;
    uint64_t last = d->behind + d->piece.len < end ? d->behind + d->piece.len : end;

    if (first >= last)
        return;
    struct slice some = slice_sub(buf_slice(&d->piece), (size_t)(first - d->behind), (size_t)(last - first));
    *has_nul = *has_nul || memchr(some.ptr, '\0', some.len) != NULL;
    buf_add(text, some);
}

enum section_found section_decode(struct arena *scratch, const struct fetch_item *item, struct store_body *body,
                                  struct section_range encoded, const struct mime_part *part,
                                  struct section *out, struct fail *why)
{
    enum transfer_encoding encoding = part != NULL ? transfer_encoding_of(part->encoding) : ENCODING_BINARY;
    struct decoding d;
    struct buf text;
    uint64_t begin = item->partial ? item->offset : 0;
    uint64_t end = item->partial && item->length < UINT64_MAX - begin ? begin + item->length : UINT64_MAX;
    bool ok = true;

    if (encoding == ENCODING_UNKNOWN)
        return SECTION_UNKNOWN_CTE;
    out->costly = encoded.end - encoded.begin > TEXT_MAX;
    bool plain = encoding != ENCODING_BASE64 && encoding != ENCODING_QUOTED_PRINTABLE;
    if (plain && item->kind == ITEM_BINARY_SIZE) {
        out->length = encoded.end - encoded.begin;
        return SECTION_FOUND;
    }
    decoding_init(&d, body, encoded, encoding);
    buf_init(&text, item->kind == ITEM_BINARY_SIZE ? 0 : TEXT_MAX);
    do {
        ok = decode_next(&d, why);
        look_at(&d, begin, end, &text, &out->has_nul);
    } while (ok && !d.ended && d.behind + d.piece.len < end);
    uint64_t total = d.behind + d.piece.len;
    struct section_range cut = section_cut(item, total);
    out->offset = cut.begin;
    out->length = cut.end - cut.begin;
    if (ok && item->kind == ITEM_BINARY) {
        out->text = text.failed ? SLICE("") : arena_keep(scratch, buf_slice(&text));
        if (out->text.len < out->length)
            out->source = decoded_source(&d);
    }
    buf_finish(&text);
    decoding_finish(&d);
    return ok ? SECTION_FOUND : SECTION_FAILED;
}
