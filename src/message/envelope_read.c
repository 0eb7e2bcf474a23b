/*
 * message/envelope_read.c - one field of a kept envelope, without the others.
 *
 * Layer: message.  Runs over every message of a mailbox in a search, so strings
 * that were written without escapes are not copied.
 */
#include "message/address.h"
#include "message/envelope.h"

/* A cursor over the envelope's text; once it failed it stays failed. */
struct reader {
    struct slice in;
    size_t at;
    bool failed;
};

static bool accept(struct reader *r, char c)
{
    if (r->at >= r->in.len || r->in.ptr[r->at] != c)
        return false;
    r->at++;
    return true;
}

static void expect(struct reader *r, char c)
{
    if (!accept(r, c))
        r->failed = true;
}

/* At '"': the inside of a quoted string and whether it has escapes. */
static struct slice read_quoted(struct reader *r, bool *escaped)
{
    size_t start = ++r->at;
    const char *quote = start < r->in.len ? memchr(r->in.ptr + start, '"', r->in.len - start) : NULL;

    *escaped = false;
    if (quote != NULL) { /* most are without escapes: up to the first quote, then */
        size_t len = (size_t)(quote - r->in.ptr) - start;
        if (memchr(r->in.ptr + start, '\\', len) == NULL) {
            r->at = start + len + 1;
            return slice_sub(r->in, start, len);
        }
    }
    for (; r->at < r->in.len; r->at++) {
        char c = r->in.ptr[r->at];

        if (c == '"')
            return slice_sub(r->in, start, r->at++ - start);
        if (c == '\\') {
            *escaped = true;
            r->at++;
        }
    }
    r->failed = true;
    return slice_make(NULL, 0);
}

/* At '{': a literal. */
static struct slice read_literal(struct reader *r)
{
    struct slice rest = slice_from(r->in, r->at + 1), digits = slice_sub(rest, 0, slice_find_char(rest, '}'));
    uint64_t len;

    r->at += digits.len + 4;
    if (digits.len > 20 || !slice_to_u64(digits, r->in.len, &len) || r->at > r->in.len ||
        len > r->in.len - r->at || !slice_starts(slice_from(rest, digits.len), SLICE("}\r\n"))) {
        r->failed = true;
        return slice_make(NULL, 0);
    }
    r->at += (size_t)len;
    return slice_sub(r->in, r->at - (size_t)len, (size_t)len);
}

static struct slice unescape(struct arena *a, struct slice s)
{
    char *text = arena_alloc(a, s.len);
    size_t len = 0;

    if (text == NULL)
        return slice_make(NULL, 0);
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\' && i + 1 < s.len)
            i++;
        text[len++] = s.ptr[i];
    }
    return slice_make(text, len);
}

/* nstring: true and *out, or false for NIL or damage.  Without an arena escapes stay. */
static bool read_nstring(struct reader *r, struct arena *a, struct slice *out)
{
    char c = r->at < r->in.len ? r->in.ptr[r->at] : '\0';
    bool escaped = false;

    if (c == '"')
        *out = read_quoted(r, &escaped);
    else if (c == '{')
        *out = read_literal(r);
    else if (slice_starts(slice_from(r->in, r->at), SLICE("NIL")))
        r->at += 3;
    else
        r->failed = true;
    if (r->failed || (c != '"' && c != '{'))
        return false;
    if (escaped && a != NULL)
        *out = unescape(a, *out);
    return true;
}

/* An nstring or a list with whatever is in it. */
static void skip_value(struct reader *r)
{
    struct slice ignored;
    size_t depth = 0;

    do {
        if (accept(r, '('))
            depth++;
        else if (depth > 0 && accept(r, ')'))
            depth--;
        else if (depth == 0 || !accept(r, ' '))
            (void)read_nstring(r, NULL, &ignored);
    } while (depth > 0 && !r->failed);
}

static bool is_addresses(enum envelope_field field)
{
    return field >= ENVELOPE_FROM && field <= ENVELOPE_BCC;
}

/* To where `field` begins. */
static struct reader reader_at(struct slice envelope, enum envelope_field field)
{
    struct reader r = {.in = envelope};

    expect(&r, '(');
    for (unsigned i = 0; i < field && !r.failed; i++) {
        skip_value(&r);
        expect(&r, ' ');
    }
    return r;
}

bool envelope_string(struct arena *a, struct slice envelope, enum envelope_field field, struct slice *out)
{
    struct reader r = reader_at(envelope, field);
    struct slice s;

    if (r.failed || is_addresses(field) || !read_nstring(&r, a, &s))
        return false;
    *out = s;
    return true;
}

/* The text of a list, brackets included; empty for NIL or damage. */
struct slice envelope_text(struct slice envelope, enum envelope_field field)
{
    struct reader r = reader_at(envelope, field);
    size_t start = r.at;

    if (!r.failed)
        skip_value(&r);
    return r.failed || slice_starts(slice_from(envelope, start), SLICE("NIL"))
               ? slice_make(NULL, 0)
               : slice_sub(envelope, start, r.at - start);
}

static void read_address(struct reader *r, struct arena *a, struct address *out)
{
    expect(r, '(');
    (void)read_nstring(r, a, &out->name);
    expect(r, ' ');
    (void)read_nstring(r, a, &out->route);
    expect(r, ' ');
    bool has_mailbox = read_nstring(r, a, &out->mailbox);
    expect(r, ' ');
    bool has_host = read_nstring(r, a, &out->host);
    expect(r, ')');
    out->is_group_start = has_mailbox && !has_host;
    out->is_group_end = !has_mailbox && !has_host;
}

void envelope_texts(struct slice envelope, enum envelope_field last, struct slice out[ENVELOPE_MESSAGE_ID + 1])
{
    struct reader r = {.in = envelope};

    expect(&r, '(');
    for (unsigned i = 0; i <= last; i++) {
        size_t start = r.at;
        if (!r.failed)
            skip_value(&r);
        out[i] = r.failed ? slice_make(NULL, 0) : slice_sub(envelope, start, r.at - start);
        expect(&r, i < ENVELOPE_MESSAGE_ID ? ' ' : ')');
    }
}

bool envelope_text_string(struct arena *a, struct slice text, struct slice *out)
{
    struct reader r = {.in = text};

    return text.len > 0 && text.ptr[0] != '(' && read_nstring(&r, a, out);
}

bool envelope_text_address(struct arena *a, struct slice text, struct address *out)
{
    struct reader r = {.in = text};
    struct address first = {0};

    if (!accept(&r, '('))
        return false;
    read_address(&r, a, &first);
    if (r.failed)
        return false;
    *out = first;
    return true;
}

size_t envelope_addresses(struct arena *a, struct slice envelope, enum envelope_field field,
                          struct address **out)
{
    struct slice text = is_addresses(field) ? envelope_text(envelope, field) : slice_make(NULL, 0);
    struct address *list = NULL;
    size_t count = 0, cap = 0;
    struct reader r = {.in = text};

    *out = NULL;
    if (text.len == 0)
        return 0;
    for (expect(&r, '('); !r.failed && !accept(&r, ')'); count++) {
        if (count == cap) {
            struct address *more = arena_new_array(a, struct address, cap == 0 ? 4 : cap * 2);

            if (more == NULL)
                return 0;
            if (count > 0)
                memcpy(more, list, count * sizeof(*more));
            list = more;
            cap = cap == 0 ? 4 : cap * 2;
        }
        read_address(&r, a, &list[count]);
    }
    if (r.failed)
        return 0;
    *out = list;
    return count;
}
