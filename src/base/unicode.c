/*
 * base/unicode.c - UTF-8, normal forms and case folding.
 *
 * Layer: base.
 */
#include "base/unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>

#include "base/fail.h"

/*
 * RFC 3629 section 4: the lead byte says how long the sequence is and, for four of
 * them, narrows the second byte (no overlong forms, no surrogates, no more than
 * U+10FFFF).  Returns the length, 0 if `s` does not begin with a valid sequence.
 */
static size_t sequence(struct slice s, uint32_t *out)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    unsigned char        low = 0x80, high = 0xbf;
    size_t               len;

    if (p[0] < 0x80) {
        *out = p[0];
        return 1;
    }
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    switch (p[0]) {
    case 0xe0: low = 0xa0; break;
    case 0xed: high = 0x9f; break;
    case 0xf0: low = 0x90; break;
    case 0xf4: high = 0x8f; break;
    }
    if (s.len < len || p[1] < low || p[1] > high)
        return 0;

    uint32_t c = p[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    *out = c;
    return len;
}

/* Whole messages are asked about: four words at a time. */
bool slice_is_ascii(struct slice s)
{
    uint64_t all = 0, some[4];
    size_t i = 0;

    for (; s.len - i >= sizeof some; i += sizeof some) {
        memcpy(some, s.ptr + i, sizeof some);
        all |= some[0] | some[1] | some[2] | some[3];
    }
    for (; i < s.len; i++)
        all |= (unsigned char)s.ptr[i];
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

bool utf8_valid(struct slice s)
{
    for (size_t at = 0; at < s.len;) {
        uint32_t c;
        size_t   len = sequence(slice_from(s, at), &c);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

uint32_t utf8_next(struct slice s, size_t *at)
{
    uint32_t c = 0xfffd;
    size_t   len = sequence(slice_from(s, *at), &c);

    *at += len > 0 ? len : 1;
    return c;
}

void utf8_add(struct buf *out, uint32_t c)
{
    char   text[4];
    size_t len;

    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        c = 0xfffd;
    if (c < 0x80) {
        buf_add_char(out, (char)c);
        return;
    }
    len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        text[i] = (char)(unsigned char)(0x80 | (c & 0x3f));
    text[0] = (char)(unsigned char)((0xf00U >> len & 0xff) | c);
    buf_add(out, slice_make(text, len));
}

void utf8_add_clean(struct buf *out, struct slice s)
{
    size_t start = 0; /* of what is valid and not yet added */

    for (size_t at = 0; at < s.len;) {
        uint32_t c;
        size_t   len = sequence(slice_from(s, at), &c);
        if (len == 0) {
            buf_add(out, slice_sub(s, start, at - start));
            utf8_add(out, 0xfffd);
            start = at + 1;
        }
        at += len > 0 ? len : 1;
    }
    buf_add(out, slice_from(s, start));
}

bool unicode_nfc(struct arena *a, struct slice s, struct slice *out)
{
    if (slice_is_ascii(s)) {
        *out = arena_keep(a, s);
        return true;
    }
    if (!utf8_valid(s))
        return false;

    size_t   len;
    uint8_t *text = u8_normalize(UNINORM_NFC, (const uint8_t *)s.ptr, s.len, NULL, &len);
    if (text == NULL)
        die_no_memory(s.len);
    *out = arena_keep(a, slice_make(text, len));
    free(text);
    return true;
}

/* Valid UTF-8 that is not all ASCII. */
static void casefold_valid(struct buf *out, struct slice s)
{
    size_t   len;
    uint8_t *text = u8_casefold((const uint8_t *)s.ptr, s.len, NULL, UNINORM_NFC, NULL, &len);

    if (text == NULL)
        die_no_memory(s.len);
    buf_add(out, slice_make(text, len));
    free(text);
}

void unicode_casefold(struct buf *out, struct slice s)
{
    if (slice_is_ascii(s)) {
        char *to = buf_room(out, s.len);
        if (to == NULL)
            return;
        for (size_t i = 0; i < s.len; i++)
            to[i] = ascii_lower(s.ptr[i]);
        buf_grew(out, s.len);
    } else if (utf8_valid(s)) {
        casefold_valid(out, s);
    } else {
        struct buf clean;
        buf_init(&clean, s.len <= SIZE_MAX / 3 ? s.len * 3 : s.len); /* U+FFFD has three bytes */
        utf8_add_clean(&clean, s);
        casefold_valid(out, buf_slice(&clean));
        buf_finish(&clean);
    }
}

/* Valid UTF-8. */
static void add_without_marks(struct buf *out, struct slice s)
{
    size_t   len;
    uint8_t *text = u8_normalize(UNINORM_NFD, (const uint8_t *)s.ptr, s.len, NULL, &len);

    if (text == NULL)
        die_no_memory(s.len);
    struct slice apart = slice_make(text, len);
    for (size_t at = 0; at < len;) {
        uint32_t c = utf8_next(apart, &at);
        if (!uc_is_general_category(c, UC_NON_SPACING_MARK))
            utf8_add(out, c);
    }
    free(text);
}

void unicode_without_marks(struct buf *out, struct slice s)
{
    struct buf clean;

    if (slice_is_ascii(s)) {
        buf_add(out, s);
        return;
    }
    buf_init(&clean, s.len <= SIZE_MAX / 3 ? s.len * 3 : s.len);
    utf8_add_clean(&clean, s);
    add_without_marks(out, buf_slice(&clean));
    buf_finish(&clean);
}
