/*
 * base/collation.c - which text comes before which.
 *
 * Layer: base.
 */
#include "base/collation.h"

#include <stdlib.h>
#include <unicase.h>
#include <uninorm.h>

#include "base/fail.h"
#include "base/search_form.h"
#include "base/unicode.h"

struct slice collation_name(enum collation c)
{
    switch (c) {
    case COLLATION_UNICODE_CASEMAP: return SLICE("i;unicode-casemap");
    case COLLATION_ASCII_CASEMAP: return SLICE("i;ascii-casemap");
    case COLLATION_OCTET: return SLICE("i;octet");
    case COLLATION_COUNT: break;
    }
    bug("collation %d", (int)c);
}

/* "*" takes as little as it can; when the rest does not fit, one byte more.  Never more than len * len steps. */
bool collation_matches(enum collation c, struct slice pattern)
{
    struct slice name = collation_name(c);
    size_t at = 0, p = 0, star = SIZE_MAX, resume = 0;

    while (at < name.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            resume = at;
        } else if (p < pattern.len && pattern.ptr[p] == name.ptr[at]) {
            p++;
            at++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            at = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static void add_upper(struct buf *out, struct slice text)
{
    char *to = buf_room(out, text.len);

    if (to == NULL)
        return;
    for (size_t i = 0; i < text.len; i++)
        to[i] = ascii_upper(text.ptr[i]);
    buf_grew(out, text.len);
}

static void add_lower(struct buf *out, struct slice text)
{
    char *to = buf_room(out, text.len);

    if (to == NULL)
        return;
    for (size_t i = 0; i < text.len; i++)
        to[i] = ascii_lower(text.ptr[i]);
    buf_grew(out, text.len);
}

/* Steps (2) and (3) of RFC 5051 section 2; the decomposition is NFKD, as its section 4 allows. */
static void add_casemapped(struct buf *out, struct slice text)
{
    struct buf titled;
    size_t len;

    buf_init(&titled, text.len <= SIZE_MAX / 4 ? text.len * 4 : text.len);
    for (size_t at = 0; at < text.len;)
        utf8_add(&titled, uc_totitle(utf8_next(text, &at)));
    uint8_t *key = u8_normalize(UNINORM_NFKD, (const uint8_t *)titled.data, titled.len, NULL, &len);
    if (key == NULL)
        die_no_memory(titled.len);
    buf_add(out, slice_make((const char *)key, len));
    free(key);
    buf_finish(&titled);
}

void collation_key(enum collation c, struct buf *out, struct slice text)
{
    if (c == COLLATION_OCTET || (c == COLLATION_UNICODE_CASEMAP && !utf8_valid(text)))
        buf_add(out, text);
    else if (c == COLLATION_ASCII_CASEMAP || slice_is_ascii(text))
        add_upper(out, text);
    else
        add_casemapped(out, text);
}

void collation_form(enum collation c, struct buf *out, struct slice text)
{
    switch (c) {
    case COLLATION_UNICODE_CASEMAP: search_form_add(out, text); return;
    case COLLATION_ASCII_CASEMAP: add_lower(out, text); return;
    case COLLATION_OCTET: buf_add(out, text); return;
    case COLLATION_COUNT: break;
    }
    bug("collation %d", (int)c);
}
