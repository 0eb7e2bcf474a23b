/*
 * message/search.c - does a part's text contain these words?
 *
 * Layer: message.
 *
 * The text is decoded and casefolded into a window that the needle is looked
 * for in; between pieces the window keeps one byte less than the needle.  Most
 * mail is ASCII, folded by a loop the compiler turns into vector instructions,
 * and memmem() is fast and linear: together a microsecond or two for 4 KB.
 */
#include <stdlib.h>

#include "base/fail.h"
#include "message/decode.h"
#include "message/fold.h"

enum {
    PIECE_MAX = 8192,          /* encoded bytes taken at a time */
    TEXT_MAX = 32 * PIECE_MAX, /* what of them may wait decoded; fold_cut() never leaves as much */
};

struct text_search {
    bool found, decoded, is_utf8;
    struct transfer_decoder transfer;
    struct charset_decoder *charset;
    struct buf needle, bytes, text, window;
};

struct text_search *text_search_create(struct slice folded_needle, enum transfer_encoding e,
                                       struct slice charset)
{
    struct text_search *s = xcalloc(1, sizeof(*s));

    transfer_decoder_init(&s->transfer, e);
    s->decoded = e == ENCODING_BASE64 || e == ENCODING_QUOTED_PRINTABLE;
    s->is_utf8 = charset_reads_as_utf8(charset);
    if (!s->is_utf8)
        s->charset = charset_decoder_create(charset);
    buf_init(&s->needle, folded_needle.len);
    buf_add(&s->needle, folded_needle);
    buf_init(&s->bytes, PIECE_MAX + 128);
    buf_init(&s->text, TEXT_MAX);
    buf_init(&s->window, SIZE_MAX / 2);
    s->found = folded_needle.len == 0;
    return s;
}

void text_search_destroy(struct text_search **s)
{
    if (*s == NULL)
        return;
    charset_decoder_destroy(&(*s)->charset);
    buf_finish(&(*s)->needle);
    buf_finish(&(*s)->bytes);
    buf_finish(&(*s)->text);
    buf_finish(&(*s)->window);
    free(*s);
    *s = NULL;
}

static bool look(struct text_search *s)
{
    s->found = slice_find(buf_slice(&s->window), buf_slice(&s->needle)) < s->window.len;
    if (!s->found && s->window.len >= s->needle.len)
        buf_drop(&s->window, s->window.len - (s->needle.len - 1));
    return s->found;
}

/* Text that came decoded or needs no decoding: what waits goes first. */
static bool search_text(struct text_search *s, struct slice text)
{
    if (s->text.len > 0) {
        buf_add(&s->text, text);
        text = buf_slice(&s->text);
    }
    size_t ready = fold_cut(text);
    fold_text(&s->window, slice_sub(text, 0, ready));
    if (s->text.len > 0)
        buf_drop(&s->text, ready);
    else
        buf_add(&s->text, slice_from(text, ready));
    return look(s);
}

static bool search_bytes(struct text_search *s, struct slice bytes)
{
    if (s->is_utf8)
        return search_text(s, bytes);
    charset_decoder_feed(s->charset, bytes, &s->text);
    return search_text(s, slice_make(NULL, 0));
}

bool text_search_feed(struct text_search *s, struct slice in)
{
    while (in.len > 0 && !s->found) {
        struct slice piece = slice_sub(in, 0, PIECE_MAX);

        in = slice_from(in, piece.len);
        if (s->decoded) {
            buf_reset(&s->bytes);
            transfer_decoder_feed(&s->transfer, piece, &s->bytes);
            piece = buf_slice(&s->bytes);
        }
        search_bytes(s, piece);
    }
    return s->found;
}

bool text_search_finish(struct text_search *s)
{
    if (s->found)
        return true;
    buf_reset(&s->bytes);
    transfer_decoder_finish(&s->transfer, &s->bytes);
    if (search_bytes(s, buf_slice(&s->bytes)))
        return true;
    if (s->charset != NULL)
        charset_decoder_finish(s->charset, &s->text);
    fold_text(&s->window, buf_slice(&s->text));
    buf_reset(&s->text);
    return look(s);
}
