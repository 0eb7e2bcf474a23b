/*
 * base/slice.c - comparing, finding and cutting text that knows its length.
 *
 * Layer: base.
 */
#include "base/slice.h"

bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_sub(s, 0, prefix.len), prefix);
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq_nocase(slice_sub(s, 0, prefix.len), prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_eq(slice_from(s, s.len - suffix.len), suffix);
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int    order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

size_t slice_find_char(struct slice s, char c)
{
    const char *hit = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

    return hit != NULL ? (size_t)(hit - s.ptr) : s.len;
}

size_t slice_find(struct slice s, struct slice needle)
{
    if (needle.len == 0)
        return 0;
    if (s.len < needle.len)
        return s.len;
    const char *hit = memmem(s.ptr, s.len, needle.ptr, needle.len);
    return hit != NULL ? (size_t)(hit - s.ptr) : s.len;
}

size_t slice_find_nocase(struct slice s, struct slice needle)
{
    if (needle.len > s.len)
        return s.len;
    for (size_t at = 0; at <= s.len - needle.len; at++) {
        if (slice_eq_nocase(slice_sub(s, at, needle.len), needle))
            return at;
    }
    return s.len;
}

size_t slice_rfind_char(struct slice s, char c)
{
    const char *hit = s.len > 0 ? memrchr(s.ptr, c, s.len) : NULL;

    return hit != NULL ? (size_t)(hit - s.ptr) : s.len;
}

struct slice slice_from(struct slice s, size_t from)
{
    if (from >= s.len)
        return (struct slice){s.len > 0 ? s.ptr + s.len : s.ptr, 0};
    return (struct slice){s.ptr + from, s.len - from};
}

struct slice slice_sub(struct slice s, size_t from, size_t len)
{
    struct slice rest = slice_from(s, from);

    if (rest.len > len)
        rest.len = len;
    return rest;
}

struct slice slice_cut(struct slice *rest, char sep)
{
    size_t       at = slice_find_char(*rest, sep);
    struct slice head = slice_sub(*rest, 0, at);

    *rest = slice_from(*rest, at < rest->len ? at + 1 : at);
    return head;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    return s;
}

bool slice_to_u64(struct slice digits, uint64_t limit, uint64_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < digits.len; i++) {
        unsigned d = (unsigned)(unsigned char)digits.ptr[i] - '0';
        if (d > 9 || d > limit || n > (limit - d) / 10)
            return false;
        n = n * 10 + d;
    }
    if (digits.len == 0)
        return false;
    *out = n;
    return true;
}
