/*
 * message/fold.c - casefolding of much text.
 *
 * Layer: message.
 *
 * Folding and composing (NFC) are not character by character: a combining mark
 * joins the letter before it.  But most characters never join what stands before
 * them and fold into one other; call them simple.  Text may be cut before any
 * simple character.  So simple ones are folded here, and only a stretch of others,
 * with the simple character before it, goes through libunistring's tables.
 */
#include "message/fold.h"

#include "base/unicode.h"

/* Kilobytes without an ASCII character are no prose: cut them anywhere. */
enum { STRETCH_MAX = 65536 };

static bool is_ascii(char c)
{
    return (unsigned char)c < 0x80;
}

static bool between(uint32_t c, uint32_t first, uint32_t last)
{
    return c >= first && c <= last;
}

/* What a simple character folds into, as many bytes in UTF-8 as it has itself; 0 for all others. */
static uint32_t fold_simple(uint32_t c)
{
    if (c < 0x80)
        return (uint32_t)(unsigned char)ascii_lower((char)c);
    if (c <= 0xff) /* Latin-1 but micro and sharp s */
        return between(c, 0xc0, 0xde) && c != 0xd7 ? c + 0x20 : c == 0xb5 || c == 0xdf ? 0 : c;
    if (between(c, 0x391, 0x3a9) && c != 0x3a2) /* Greek */
        return c + 0x20;
    if (c == 0x3c2) /* final sigma */
        return 0x3c3;
    if (between(c, 0x3b1, 0x3ce))
        return c;
    if (between(c, 0x400, 0x45f)) /* Cyrillic */
        return c <= 0x40f ? c + 0x50 : c <= 0x42f ? c + 0x20 : c;
    if (between(c, 0x2010, 0x2027) || /* dashes and quotation marks */
        between(c, 0x3041, 0x3096) || /* Hiragana */
        between(c, 0x30a1, 0x30fa) || /* Katakana */
        between(c, 0x4e00, 0x9fff) || /* Han */
        between(c, 0xac00, 0xd7a3) || /* Hangul */
        between(c, 0x1f300, 0x1faff)) /* pictures */
        return c;
    return 0;
}

/* The stretch at the start of `s` up to the next simple character. */
static size_t stretch_length(struct slice s)
{
    size_t at = 0;

    while (at < s.len) {
        size_t before = at;

        if (fold_simple(utf8_next(s, &at)) != 0)
            return before;
    }
    return at;
}

/*
 * Folds the simple characters that `s` begins with to `to`, where they take as
 * much room; how many bytes that was.  *last is the length of the last one.
 */
static size_t fold_run(char *to, struct slice s, size_t *last)
{
    size_t at = 0;

    while (at < s.len) {
        size_t next = at;

        if (is_ascii(s.ptr[at])) {
            to[at] = ascii_lower(s.ptr[at]);
            next = at + 1;
        } else {
            uint32_t c = utf8_next(s, &next), folded = fold_simple(c);

            if (c == 0xdf) { /* sharp s: the one that becomes two, and still two bytes */
                to[at] = to[at + 1] = 's';
            } else if (folded == 0) {
                break;
            } else if (folded == c) {
                memcpy(to + at, s.ptr + at, next - at);
            } else {
                to[at] = (char)(0xc0 | folded >> 6);
                to[at + 1] = (char)(0x80 | (folded & 0x3f));
            }
        }
        *last = next - at;
        at = next;
    }
    return at;
}

void fold_text(struct buf *out, struct slice text)
{
    while (text.len > 0 && !out->failed) {
        char *to = buf_room(out, text.len);
        size_t last = 0;

        if (to == NULL)
            return;
        size_t run = fold_run(to, text, &last);
        buf_grew(out, run - last);
        text = slice_from(text, run - last);

        /* The last one once more, with what may change it. */
        size_t stretch = last + stretch_length(slice_from(text, last));
        if (stretch > last)
            unicode_casefold(out, slice_sub(text, 0, stretch));
        else
            buf_grew(out, last);
        text = slice_from(text, stretch);
    }
}

size_t fold_cut(struct slice text)
{
    size_t n = text.len;

    while (n > 0 && !is_ascii(text.ptr[n - 1]))
        n--;
    if (n == 0)
        return text.len > STRETCH_MAX ? text.len & ~(size_t)3 : 0;
    return n - 1;
}
