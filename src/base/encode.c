/*
 * base/encode.c - base64, hex, CRC32C and random bytes.
 *
 * Layer: base.
 */
#include "base/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/fail.h"

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct slice in)
{
    const unsigned char *p = (const unsigned char *)in.ptr;
    size_t               groups = in.len / 3 + (in.len % 3 != 0);
    char                *to = groups <= SIZE_MAX / 4 ? buf_room(out, groups * 4) : NULL;

    if (to == NULL) {
        out->failed = true;
        return;
    }
    for (size_t left = in.len; left > 0; p += 3, to += 4) {
        unsigned bits = (unsigned)p[0] << 16 | (left > 1 ? (unsigned)p[1] << 8 : 0) | (left > 2 ? p[2] : 0);

        to[0] = base64_alphabet[bits >> 18];
        to[1] = base64_alphabet[bits >> 12 & 63];
        to[2] = left > 1 ? base64_alphabet[bits >> 6 & 63] : '=';
        to[3] = left > 2 ? base64_alphabet[bits & 63] : '=';
        left -= left > 3 ? 3 : left;
    }
    buf_grew(out, groups * 4);
}

/* 0..63, or 64 for what is not in the alphabet. */
static unsigned base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool base64_decode(struct buf *out, struct slice in)
{
    size_t pad = slice_ends(in, SLICE("==")) ? 2 : slice_ends(in, SLICE("=")) ? 1 : 0;
    bool   had_failed = out->failed;

    if (in.len % 4 != 0)
        return false;
    char *to = buf_room(out, in.len / 4 * 3);
    if (to == NULL) {
        out->failed = had_failed;
        return false;
    }
    size_t n = 0;
    for (size_t at = 0; at < in.len; at += 4) {
        unsigned digits = at + 4 == in.len ? 4 - (unsigned)pad : 4, bits = 0;

        for (unsigned i = 0; i < 4; i++) {
            unsigned value = i < digits ? base64_value(in.ptr[at + i]) : 0;
            if (value == 64)
                return false;
            bits = bits << 6 | value;
        }
        if ((bits & ((1U << (8 * (4 - digits))) - 1)) != 0) /* the unused bits are zero, section 3.5 */
            return false;
        for (unsigned i = 0; i < digits - 1; i++)
            to[n++] = (char)(unsigned char)(bits >> (16 - 8 * i));
    }
    buf_grew(out, n);
    return true;
}

void hex_encode(struct buf *out, struct slice in)
{
    static const char digits[] = "0123456789abcdef";
    char             *to = in.len <= SIZE_MAX / 2 ? buf_room(out, in.len * 2) : NULL;

    if (to == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < in.len; i++) {
        unsigned byte = (unsigned char)in.ptr[i];
        to[2 * i] = digits[byte >> 4];
        to[2 * i + 1] = digits[byte & 15];
    }
    buf_grew(out, in.len * 2);
}

/* 0..15, or 16 for no hex digit. */
static unsigned hex_value(char c)
{
    if (ascii_is_digit(c))
        return (unsigned)(c - '0');
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

bool hex_decode(struct buf *out, struct slice in)
{
    bool had_failed = out->failed;

    if (in.len % 2 != 0)
        return false;
    char *to = buf_room(out, in.len / 2);
    if (to == NULL) {
        out->failed = had_failed;
        return false;
    }
    for (size_t i = 0; i < in.len; i += 2) {
        unsigned high = hex_value(in.ptr[i]), low = hex_value(in.ptr[i + 1]);
        if (high == 16 || low == 16)
            return false;
        to[i / 2] = (char)(unsigned char)(high << 4 | low);
    }
    buf_grew(out, in.len / 2);
    return true;
}

void random_bytes(void *out, size_t len)
{
    char *to = out;

    while (len > 0) {
        ssize_t n = getrandom(to, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            fprintf(stderr, "posthorn: the kernel gives no random bytes\n");
            abort();
        }
        to += n;
        len -= (size_t)n;
    }
}

uint64_t random_u64(void)
{
    uint64_t n;

    random_bytes(&n, sizeof n);
    return n;
}
