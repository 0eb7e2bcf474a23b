/*
 * base/slice.h - text that knows its length, passed by value.
 *
 * Layer: base.  A slice owns nothing: whoever made the bytes says how long they
 * live.  The bytes are never assumed to end in NUL and may contain NUL.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *ptr; /* may be NULL when len is 0 */
    size_t      len;
};

/* A slice over a string literal. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* For printf: PRIslice consumes SLICE_ARG(s).  The length is cut at INT_MAX. */
#define PRIslice     "%.*s"
#define SLICE_ARG(s) (int)((s).len > 0x7fffffff ? 0x7fffffff : (s).len), ((s).ptr != NULL ? (s).ptr : "")

static inline struct slice slice_make(const void *ptr, size_t len)
{
    return (struct slice){(const char *)ptr, len};
}

/* Over a C string, which may be NULL (then empty). */
static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, text != NULL ? strlen(text) : 0};
}

/* Bytes equal; `_nocase` folds ASCII letters only. */
bool slice_eq(struct slice a, struct slice b);
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);

/* As memcmp orders bytes, a shorter prefix first; negative, 0 or positive. */
int slice_cmp(struct slice a, struct slice b);

/* Position of the first `c` / of `needle`; s.len if there is none. */
size_t slice_find_char(struct slice s, char c);
size_t slice_find(struct slice s, struct slice needle);
/* The same with ASCII case folded. */
size_t slice_find_nocase(struct slice s, struct slice needle);
/* Position of the last `c`; s.len if there is none. */
size_t slice_rfind_char(struct slice s, char c);

/* s[from..], s[from..from+len): out-of-range values are clamped, never an error. */
struct slice slice_from(struct slice s, size_t from);
struct slice slice_sub(struct slice s, size_t from, size_t len);

/* Everything before `sep`; *rest goes on after it.  Without `sep`, take it all. */
struct slice slice_cut(struct slice *rest, char sep);

/* Without leading and trailing space, tab, CR and LF. */
struct slice slice_trim(struct slice s);

/*
 * Decimal digits only, at least one, value at most `limit`; *out is written only
 * on success.  Refuses signs, blanks and anything that would wrap.
 */
bool slice_to_u64(struct slice digits, uint64_t limit, uint64_t *out);

static inline char ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
}

static inline char ascii_upper(char c)
{
    return (c >= 'a' && c <= 'z') ? (char)(c - 'a' + 'A') : c;
}

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

#endif
