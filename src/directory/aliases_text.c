/*
 * directory/aliases_text.c - reads the form of /etc/aliases.
 *
 * Layer: directory.
 */
#include "directory/aliases_text.h"

/* One logical line: with those that go on from it. */
struct logical {
    struct slice text;
    unsigned line; /* its first one's number */
};

struct lines {
    struct slice rest;
    unsigned line;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool goes_on(struct slice rest)
{
    return rest.len > 0 && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t');
}

/* Blank lines and comments between do not end it, as in Postfix. */
static bool next_logical(struct lines *l, struct logical *out)
{
    const char *start = l->rest.ptr;

    if (l->rest.len == 0)
        return false;
    out->line = l->line + 1;
    do {
        (void)slice_cut(&l->rest, '\n');
        l->line++;
    } while (goes_on(l->rest));
    out->text = slice_make(start, (size_t)(l->rest.ptr - start));
    return true;
}

/* Takes a quoted string or plain characters up to `stop` or a comment; false: a quote that does not end. */
static bool take_word(struct slice *in, const char *stops, struct arena *a, struct slice *out, bool *quoted)
{
    char *text = arena_alloc(a, in->len + 1);
    size_t n = 0;
    bool inside = false, ok = text != NULL;

    *quoted = false;
    for (; ok && in->len > 0; *in = slice_from(*in, 1)) {
        char c = in->ptr[0];
        if (!inside && strchr(stops, c) != NULL && c != '\0')
            break;
        if (c == '"') {
            *quoted = *quoted || n == 0;
            inside = !inside;
        } else if (inside && c == '\\' && in->len > 1) {
            *in = slice_from(*in, 1);
            text[n++] = in->ptr[0];
        } else {
            text[n++] = c;
        }
    }
    *out = slice_trim(slice_make(text, n));
    return ok && !inside;
}

static enum alias_value kind_of(struct slice *value)
{
    if (slice_starts_nocase(*value, SLICE(":include:"))) {
        *value = slice_trim(slice_from(*value, 9));
        return ALIAS_INCLUDE;
    }
    if (value->ptr[0] == '|' || value->ptr[0] == '/' || value->ptr[0] == ':')
        return ALIAS_REFUSED;
    if (value->ptr[0] == '\\') /* "no further aliases": an account is the end anyway */
        *value = slice_from(*value, 1);
    return ALIAS_ADDRESS;
}

static void read_values(struct slice in, unsigned line, struct slice name, struct arena *a,
                        const struct aliases_reader *r)
{
    while (in.len > 0) {
        struct slice value;
        bool quoted;
        if (!take_word(&in, ",", a, &value, &quoted)) {
            r->wrong(r->ctx, line, "a quote that does not end");
            return;
        }
        if (in.len > 0)
            in = slice_from(in, 1); /* the comma */
        if (value.len == 0)
            continue;
        enum alias_value kind = kind_of(&value);
        if (value.len == 0)
            r->wrong(r->ctx, line, "a value without anything in it");
        else
            r->value(r->ctx, line, name, kind, value);
    }
}

/* Comment lines among those that belong together are blanked out: they may hold quotes. */
static struct slice without_comments(struct slice text, struct arena *a)
{
    char *copy = arena_alloc(a, text.len + 1);
    bool line_start = true, comment = false;

    if (copy == NULL)
        return SLICE("");
    for (size_t i = 0; i < text.len; i++) {
        if (line_start && text.ptr[i] == '#')
            comment = true;
        if (text.ptr[i] == '\n')
            comment = false;
        copy[i] = comment || text.ptr[i] == '\0' ? ' ' : text.ptr[i];
        line_start = text.ptr[i] == '\n' || (line_start && is_blank(text.ptr[i]));
    }
    return slice_make(copy, text.len);
}

void aliases_read(struct slice text, struct arena *a, const struct aliases_reader *r)
{
    struct lines lines = {.rest = text};
    struct logical l;

    while (next_logical(&lines, &l)) {
        struct slice in, name;
        bool quoted;
        arena_reset(a);
        in = slice_trim(without_comments(l.text, a));
        if (in.len == 0)
            continue;
        if (!take_word(&in, ":", a, &name, &quoted) || in.len == 0 || name.len == 0)
            r->wrong(r->ctx, l.line, "not a name, a colon and addresses");
        else
            read_values(slice_from(in, 1), l.line, name, a, r);
    }
    arena_reset(a);
}

void aliases_read_list(struct slice text, struct slice name, struct arena *a, const struct aliases_reader *r)
{
    unsigned line = 0;

    while (text.len > 0) {
        struct slice one = slice_trim(slice_cut(&text, '\n'));
        line++;
        arena_reset(a);
        one = slice_trim(without_comments(one, a));
        if (one.len > 0)
            read_values(one, line, name, a, r);
    }
    arena_reset(a);
}
