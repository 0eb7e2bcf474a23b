/*
 * message/header_text.c - unstructured text for people (RFC 2047, RFC 6532).
 *
 * Layer: message.
 */
#include "base/unicode.h"
#include "message/decode.h"
#include "message/header.h"
#include "message/lex.h"

/* encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?=" */
struct encoded_word {
    struct slice charset, text;
    enum transfer_encoding encoding; /* ENCODING_QUOTED_PRINTABLE stands for "Q" */
    size_t len;                      /* all of it */
};

/*
 * An encoded word at the start of `s`?  Blanks in the text are forbidden by RFC
 * 2047 section 2 but common, so read.  Looks no further than the third "?".
 */
static bool read_encoded_word(struct slice s, struct encoded_word *out)
{
    struct slice rest = slice_from(s, 2);

    if (!slice_starts(s, SLICE("=?")))
        return false;
    struct slice charset = slice_cut(&rest, '?');
    struct slice encoding = slice_sub(rest, 0, 2);
    struct slice text = slice_from(rest, 2);
    size_t text_len = slice_find_char(text, '?');

    if (charset.len == 0 || charset.len > 64 || slice_find_char(charset, ' ') < charset.len)
        return false;
    if (encoding.len < 2 || encoding.ptr[1] != '?' || text_len + 1 >= text.len ||
        text.ptr[text_len + 1] != '=')
        return false;
    switch (ascii_lower(encoding.ptr[0])) {
    case 'b': out->encoding = ENCODING_BASE64; break;
    case 'q': out->encoding = ENCODING_QUOTED_PRINTABLE; break;
    default: return false;
    }
    out->charset = slice_sub(charset, 0, slice_find_char(charset, '*')); /* RFC 2231 section 5 */
    out->text = slice_sub(text, 0, text_len);
    out->len = (size_t)(text.ptr - s.ptr) + text_len + 2;
    return true;
}

/* The "Q" encoding (RFC 2047 section 4.2). */
static void decode_q(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        int octet = text.ptr[i] == '=' ? lex_hex_octet(slice_from(text, i + 1)) : -1;

        if (octet >= 0)
            buf_add_char(out, (char)octet);
        else
            buf_add_char(out, text.ptr[i] == '_' ? ' ' : text.ptr[i]);
        i += octet >= 0 ? 2 : 0;
    }
}

/*
 * Bytes of neighbouring encoded words in one charset are gathered before they
 * are decoded, because many programs cut them in the middle of a character.
 */
struct run {
    struct slice charset;
    struct buf bytes;
    bool open;
};

static void run_flush(struct run *run, struct buf *out)
{
    if (!run->open)
        return;
    struct charset_decoder *decoder = charset_decoder_create(run->charset);
    charset_decoder_feed(decoder, buf_slice(&run->bytes), out);
    charset_decoder_finish(decoder, out);
    charset_decoder_destroy(&decoder);
    buf_reset(&run->bytes);
    run->open = false;
}

static void run_add(struct run *run, const struct encoded_word *word, struct buf *out)
{
    if (run->open && !slice_eq_nocase(run->charset, word->charset))
        run_flush(run, out);
    run->open = true;
    run->charset = word->charset;
    if (word->encoding == ENCODING_BASE64) {
        struct transfer_decoder d;

        transfer_decoder_init(&d, ENCODING_BASE64);
        transfer_decoder_feed(&d, word->text, &run->bytes);
        transfer_decoder_finish(&d, &run->bytes);
    } else {
        decode_q(&run->bytes, word->text);
    }
}

static size_t blanks_at(struct slice s, size_t at)
{
    size_t n = 0;

    while (at + n < s.len && (s.ptr[at + n] == ' ' || s.ptr[at + n] == '\t'))
        n++;
    return n;
}

/* `text` is unfolded.  Blanks between two encoded words are no text (RFC 2047 section 6.2). */
static void decode_words(struct buf *out, struct slice text)
{
    struct run run = {0};

    buf_init(&run.bytes, text.len + 8);
    for (size_t at = 0; at < text.len && !out->failed;) {
        struct encoded_word word;
        size_t blanks = run.open ? blanks_at(text, at) : 0;
        struct slice rest = slice_from(text, at + blanks);

        if (read_encoded_word(rest, &word)) {
            run_add(&run, &word, out);
            at += blanks + word.len;
            continue;
        }
        run_flush(&run, out);
        size_t skip = slice_starts(rest, SLICE("=?")) ? 2 : 0;
        size_t plain = skip + slice_find(slice_from(rest, skip), SLICE("=?"));
        utf8_add_clean(out, slice_sub(text, at, blanks + plain));
        at += blanks + plain;
    }
    run_flush(&run, out);
    buf_finish(&run.bytes);
}

void header_decode_text(struct buf *out, struct slice body)
{
    struct arena arena;

    arena_init(&arena, body.len + 64);
    struct slice text = header_unfold(&arena, body);
    if (slice_find(text, SLICE("=?")) == text.len)
        utf8_add_clean(out, text);
    else
        decode_words(out, text);
    arena_finish(&arena);
}
