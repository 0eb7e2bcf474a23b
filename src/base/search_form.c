/*
 * base/search_form.c - text in the form in which a search compares it.
 *
 * Layer: base.
 *
 * The form is not made character by character: the marks behind a letter are put in order.  But most characters
 * begin with a letter, so that nothing before them changes; call them simple.  Text may be cut before any simple
 * character.  Their forms stand in a table (letters.h, which make_letters.c writes) or are themselves; only a stretch
 * of others, with the simple character before it, goes through libunistring, which takes tens of times as long.
 */
#include "base/search_form.h"

#include <stdlib.h>
#include <unicase.h>
#include <uninorm.h>

#include "base/fail.h"
#include "base/unicode.h"

struct letter {
    char form[7];
    unsigned char len; /* 0: not simple, or longer than fits */
};
#include "base/letters.h"

enum {
    STRETCH_MAX = 65536, /* kilobytes with nothing simple in them are no prose: cut them anywhere */
    BLOCK = 4096,        /* taken at a time */
    GROWTH = 4,          /* a simple character's form is at most so many times as long; */
    SLACK = 8,           /* and what is written beyond it */
    ASCII_RUN = 16,
};

static bool between(uint32_t c, uint32_t first, uint32_t last)
{
    return c >= first && c <= last;
}

static size_t add_three(char *to, uint32_t c)
{
    to[0] = (char)(unsigned char)(0xe0 | c >> 12);
    to[1] = (char)(unsigned char)(0x80 | (c >> 6 & 0x3f));
    to[2] = (char)(unsigned char)(0x80 | (c & 0x3f));
    return 3;
}

/* A Hangul syllable is two letters or three (The Unicode Standard, section 3.12). */
static size_t add_hangul(char *to, uint32_t c)
{
    uint32_t at = c - 0xac00, last = at % 28;
    size_t len = add_three(to, 0x1100 + at / 588);

    len += add_three(to + len, 0x1161 + at % 588 / 28);
    return last == 0 ? len : len + add_three(to + len, 0x11a7 + last);
}

static const struct letter *find_letter(uint32_t c)
{
    for (size_t i = 0; i < ARRAY_LEN(letter_ranges); i++)
        if (between(c, letter_ranges[i].first, letter_ranges[i].last))
            return &letter_ranges[i].letters[c - letter_ranges[i].first];
    return NULL;
}

static bool is_itself(uint32_t c)
{
    return between(c, 0x3400, 0x4dbf) || between(c, 0x4e00, 0x9fff) || /* Han */
           between(c, 0x1f300, 0x1faff);                               /* pictures */
}

static bool is_simple(uint32_t c)
{
    const struct letter *one = find_letter(c);

    return one != NULL ? one->len > 0 : is_itself(c) || between(c, 0xac00, 0xd7a3);
}

/* The form of a simple character, which stands in `written`; how long it is, 0 if it is none. */
static size_t add_simple(char *to, uint32_t c, struct slice written)
{
    const struct letter *one = find_letter(c);

    if (one != NULL) {
        memcpy(to, one, SLACK); /* all of it: a length that is known is copied faster */
        return one->len;
    }
    if (between(c, 0xac00, 0xd7a3))
        return add_hangul(to, c);
    if (!is_itself(c))
        return 0;
    memcpy(to, written.ptr, written.len);
    return written.len;
}

/* The stretch at the start of `s` up to the next simple character. */
static size_t stretch_length(struct slice s)
{
    size_t at = 0;

    while (at < s.len) {
        size_t before = at;

        if (is_simple(utf8_next(s, &at)))
            return before;
    }
    return at;
}

struct run {
    size_t read, written;           /* of simple characters, all of them */
    size_t last_read, last_written; /* of the last one */
};

/* ASCII in lower case, as much of it as `s` begins with; how much. */
static size_t lower_ascii(char *to, struct slice s)
{
    size_t at = 0;

    for (; s.len - at >= ASCII_RUN; at += ASCII_RUN) {
        unsigned char all = 0;
        char bytes[ASCII_RUN];
        memcpy(bytes, s.ptr + at, ASCII_RUN);
        for (size_t i = 0; i < ASCII_RUN; i++) {
            all |= (unsigned char)bytes[i];
            bytes[i] = ascii_lower(bytes[i]);
        }
        if (all >= 0x80)
            break;
        memcpy(to + at, bytes, ASCII_RUN);
    }
    for (; at < s.len && (unsigned char)s.ptr[at] < 0x80; at++)
        to[at] = ascii_lower(s.ptr[at]);
    return at;
}

/* The simple characters that `s` begins with; there is room for GROWTH times its length, and SLACK. */
static struct run add_run(char *to, struct slice s)
{
    struct run r = {.read = 0};

    while (r.read < s.len) {
        size_t next = r.read, len = lower_ascii(to + r.written, slice_from(s, r.read));

        if (len > 0) {
            r.read += len;
            r.written += len;
            r.last_read = r.last_written = 1;
            continue;
        }
        uint32_t c = utf8_next(s, &next);
        len = add_simple(to + r.written, c, slice_sub(s, r.read, next - r.read));
        if (len == 0)
            break;
        r.last_read = next - r.read;
        r.last_written = len;
        r.read = next;
        r.written += len;
    }
    return r;
}

/* utf8_next() gives U+FFFD for what is invalid. */
static void add_titled(struct buf *out, struct slice text)
{
    for (size_t at = 0; at < text.len;)
        utf8_add(out, uc_totitle(utf8_next(text, &at)));
}

/* Any text.  Titlecase twice: one or two letters (U+1D6A4) have it only once they are decomposed. */
static void add_slowly(struct buf *out, struct slice text)
{
    struct buf titled;
    size_t len;

    buf_init(&titled, SIZE_MAX / 2);
    add_titled(&titled, text);
    uint8_t *apart = u8_normalize(UNINORM_NFKD, (const uint8_t *)titled.data, titled.len, NULL, &len);
    if (apart == NULL)
        die_no_memory(titled.len);
    buf_reset(&titled);
    add_titled(&titled, slice_make((const char *)apart, len));
    uint8_t *folded = u8_casefold((const uint8_t *)titled.data, titled.len, NULL, NULL, NULL, &len);
    if (folded == NULL)
        die_no_memory(titled.len);
    buf_add(out, slice_make((const char *)folded, len));
    free(folded);
    free(apart);
    buf_finish(&titled);
}

void search_form_add(struct buf *out, struct slice text)
{
    while (text.len > 0 && !out->failed) {
        struct slice block = slice_sub(text, 0, BLOCK); /* half a character at its end is not simple */
        char *to = buf_room(out, GROWTH * block.len + SLACK);

        if (to == NULL)
            return;
        struct run r = add_run(to, block);
        buf_grew(out, r.written - r.last_written);
        text = slice_from(text, r.read - r.last_read);

        /* The last one once more, with the marks behind it. */
        size_t stretch = r.last_read + stretch_length(slice_from(text, r.last_read));
        if (stretch > r.last_read)
            add_slowly(out, slice_sub(text, 0, stretch));
        else
            buf_grew(out, r.last_written);
        text = slice_from(text, stretch);
    }
}

/* Behind ASCII, or before anything simple that is there as a whole. */
size_t search_form_cut(struct slice text)
{
    for (size_t at = text.len; at > 0; at--) {
        unsigned char byte = (unsigned char)text.ptr[at - 1];
        size_t next = at - 1;

        if (byte < 0x80)
            return at;
        if (byte >= 0xc0 && is_simple(utf8_next(text, &next)))
            return at - 1;
    }
    return text.len > STRETCH_MAX ? text.len & ~(size_t)3 : 0;
}
