/*
 * message/folder.c - a part's bytes become text as search compares it.
 *
 * Layer: message.
 *
 * Most mail is ASCII, folded by a loop the compiler turns into vector
 * instructions: a microsecond or two for 4 KB.
 */
#include <stdlib.h>

#include "base/fail.h"
#include "base/search_form.h"
#include "message/decode.h"

enum {
    PIECE_MAX = 8192,          /* encoded bytes taken at a time */
    TEXT_MAX = 32 * PIECE_MAX, /* what of them may wait decoded; search_form_cut() never leaves as much */
};

struct text_folder {
    enum collation collation;
    bool decodes, is_utf8;
    struct transfer_decoder transfer;
    struct charset_decoder *charset;
    struct buf bytes, text;
};

struct text_folder *text_folder_create(enum transfer_encoding e, struct slice charset, enum collation c)
{
    struct text_folder *f = xcalloc(1, sizeof(*f));

    f->collation = c;
    transfer_decoder_init(&f->transfer, e);
    f->decodes = e == ENCODING_BASE64 || e == ENCODING_QUOTED_PRINTABLE;
    f->is_utf8 = charset_reads_as_utf8(charset);
    if (!f->is_utf8)
        f->charset = charset_decoder_create(charset);
    buf_init(&f->bytes, PIECE_MAX + 128);
    buf_init(&f->text, TEXT_MAX);
    return f;
}

void text_folder_destroy(struct text_folder **f)
{
    if (*f == NULL)
        return;
    charset_decoder_destroy(&(*f)->charset);
    buf_finish(&(*f)->bytes);
    buf_finish(&(*f)->text);
    free(*f);
    *f = NULL;
}

/* Text that came decoded or needs no decoding: what waits goes first. */
static void fold_ready(struct text_folder *f, struct slice text, struct buf *out)
{
    if (f->text.len > 0) {
        buf_add(&f->text, text);
        text = buf_slice(&f->text);
    }
    /* The other collations compare bytes, one by one. */
    size_t ready = f->collation == COLLATION_UNICODE_CASEMAP ? search_form_cut(text) : text.len;
    collation_form(f->collation, out, slice_sub(text, 0, ready));
    if (f->text.len > 0)
        buf_drop(&f->text, ready);
    else
        buf_add(&f->text, slice_from(text, ready));
}

static void fold_bytes(struct text_folder *f, struct slice bytes, struct buf *out)
{
    if (f->is_utf8) {
        fold_ready(f, bytes, out);
        return;
    }
    charset_decoder_feed(f->charset, bytes, &f->text);
    fold_ready(f, slice_make(NULL, 0), out);
}

void text_folder_feed(struct text_folder *f, struct slice in, struct buf *out)
{
    while (in.len > 0) {
        struct slice piece = slice_sub(in, 0, PIECE_MAX);

        in = slice_from(in, piece.len);
        if (f->decodes) {
            buf_reset(&f->bytes);
            transfer_decoder_feed(&f->transfer, piece, &f->bytes);
            piece = buf_slice(&f->bytes);
        }
        fold_bytes(f, piece, out);
    }
}

void text_folder_finish(struct text_folder *f, struct buf *out)
{
    buf_reset(&f->bytes);
    transfer_decoder_finish(&f->transfer, &f->bytes);
    fold_bytes(f, buf_slice(&f->bytes), out);
    if (f->charset != NULL)
        charset_decoder_finish(f->charset, &f->text);
    collation_form(f->collation, out, buf_slice(&f->text));
    buf_reset(&f->text);
}
