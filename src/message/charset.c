/*
 * message/charset.c - from the world's charsets to UTF-8, piece by piece.
 *
 * Layer: message.  UTF-8, ASCII and Latin-1 are decoded here; the rest by
 * iconv, for the charsets of charset_names.c only.
 */
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/unicode.h"
#include "message/charset_names.h"
#include "message/decode.h"

/* Bytes 0x80 to 0x9f of windows-1252 (WHATWG index); the five that mean nothing stay C1 controls. */
static const uint16_t windows_1252_high[32] = {
    0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008d, 0x017d, 0x008f, 0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178,
};

enum { HELD_MAX = 32 };

enum charset_kind { KIND_UTF8, KIND_WINDOWS_1252, KIND_ICONV };

struct charset_decoder {
    enum charset_kind kind;
    iconv_t iconv;
    bool byte_by_byte;
    char held[HELD_MAX]; /* the start of a character whose rest has not come */
    size_t held_len;
};

bool charset_is_known(struct slice charset)
{
    return charset_name_find(charset) != NULL;
}

bool charset_reads_as_utf8(struct slice charset)
{
    const char *name = charset_name_find(charset);

    return name == NULL || strcmp(name, CHARSET_UTF8) == 0;
}

struct charset_decoder *charset_decoder_create(struct slice charset)
{
    const char *name = charset_name_find(charset);
    struct charset_decoder *d = xcalloc(1, sizeof(*d));

    if (name == NULL || strcmp(name, CHARSET_UTF8) == 0) {
        d->kind = KIND_UTF8;
    } else if (strcmp(name, CHARSET_WINDOWS_1252) == 0) {
        d->kind = KIND_WINDOWS_1252;
    } else {
        d->iconv = iconv_open("UTF-8", name);
        d->kind = d->iconv != (iconv_t)-1 ? KIND_ICONV : KIND_UTF8; /* a machine may lack a module */
        /* Where a lone surrogate lies glibc says by what it was given at once; what comes out must not depend on that. */
        d->byte_by_byte = strcmp(name, CHARSET_UTF7) == 0;
    }
    return d;
}

void charset_decoder_destroy(struct charset_decoder **d)
{
    if (*d == NULL)
        return;
    if ((*d)->kind == KIND_ICONV)
        (void)iconv_close((*d)->iconv);
    free(*d);
    *d = NULL;
}

static void decode_windows_1252(struct slice in, struct buf *out)
{
    while (in.len > 0 && !out->failed) {
        size_t ascii = 0;

        while (ascii < in.len && (unsigned char)in.ptr[ascii] < 0x80)
            ascii++;
        buf_add(out, slice_sub(in, 0, ascii));
        for (in = slice_from(in, ascii); in.len > 0 && (unsigned char)in.ptr[0] >= 0x80;
             in = slice_from(in, 1)) {
            unsigned char byte = (unsigned char)in.ptr[0];

            utf8_add(out, byte < 0xa0 ? windows_1252_high[byte - 0x80] : byte);
        }
    }
}

/* How many bytes at the end of `in` may be the start of a character whose rest is missing. */
static size_t utf8_unfinished(struct slice in)
{
    for (size_t back = 1; back <= 3 && back <= in.len; back++) {
        unsigned char byte = (unsigned char)in.ptr[in.len - back];

        if (byte < 0x80)
            return 0;
        if (byte >= 0xc0) {
            size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
            return length > back ? back : 0;
        }
    }
    return 0;
}

/*
 * Converts what is complete; how many bytes at the end of `in` wait for more.
 * Every turn either reads or writes something, whatever iconv answers.
 */
static size_t convert_iconv(struct charset_decoder *d, struct slice in, struct buf *out)
{
    char *from = (char *)(uintptr_t)in.ptr; /* iconv's prototype wants it so; it does not write there */
    size_t left = in.len;

    while (left > 0 && !out->failed) {
        char text[1024], *to = text;
        size_t room = sizeof(text);
        size_t done = iconv(d->iconv, &from, &left, &to, &room);
        int error = done == (size_t)-1 ? errno : 0;

        buf_add(out, slice_make(text, sizeof(text) - room));
        if (error == EINVAL && left < HELD_MAX)
            return left;
        if (error != 0 && (error != E2BIG || room == sizeof(text))) {
            utf8_add(out, 0xfffd);
            from++;
            left--;
        }
    }
    return 0;
}

static size_t convert(struct charset_decoder *d, struct slice in, struct buf *out)
{
    size_t wait = 0;

    switch (d->kind) {
    case KIND_WINDOWS_1252: decode_windows_1252(in, out); break;
    case KIND_ICONV: wait = convert_iconv(d, in, out); break;
    case KIND_UTF8:
        wait = utf8_unfinished(in);
        utf8_add_clean(out, slice_sub(in, 0, in.len - wait));
        break;
    }
    return wait;
}

static void feed(struct charset_decoder *d, struct slice in, struct buf *out)
{
    while (d->held_len > 0 && in.len > 0) {
        size_t taken = HELD_MAX - d->held_len < in.len ? HELD_MAX - d->held_len : in.len;
        size_t had = d->held_len;

        memcpy(d->held + had, in.ptr, taken);
        size_t total = had + taken, wait = convert(d, slice_make(d->held, total), out);
        if (wait <= taken) { /* past what was held: go on in the piece itself */
            d->held_len = 0;
            in = slice_from(in, taken - wait);
            break;
        }
        memmove(d->held, d->held + (total - wait), wait);
        d->held_len = wait;
        in = slice_from(in, taken);
    }
    if (in.len == 0)
        return;
    size_t wait = convert(d, in, out);
    memcpy(d->held, in.ptr + (in.len - wait), wait);
    d->held_len = wait;
}

void charset_decoder_feed(struct charset_decoder *d, struct slice in, struct buf *out)
{
    if (!d->byte_by_byte)
        feed(d, in, out);
    else
        for (size_t i = 0; i < in.len; i++)
            feed(d, slice_sub(in, i, 1), out);
}

void charset_decoder_finish(struct charset_decoder *d, struct buf *out)
{
    for (; d->held_len > 0; d->held_len--)
        utf8_add(out, 0xfffd);
    if (d->kind == KIND_ICONV) {
        char text[64], *to = text;
        size_t room = sizeof(text);

        (void)iconv(d->iconv, NULL, NULL, &to, &room); /* what a stateful charset keeps back */
        buf_add(out, slice_make(text, sizeof(text) - room));
    }
}
