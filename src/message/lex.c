/*
 * message/lex.c - the words of structured header fields.
 *
 * Layer: message.
 */
#include "message/lex.h"

bool lex_accept(struct lex *l, char c)
{
    if (lex_at_end(l) || l->in.ptr[l->at] != c)
        return false;
    l->at++;
    return true;
}

/* At '(': moves over the comment; its inside.  A count instead of recursion, so nesting costs nothing. */
static struct slice skip_comment(struct lex *l)
{
    size_t start = ++l->at;

    for (size_t depth = 1; l->at < l->in.len; l->at++) {
        char c = l->in.ptr[l->at];

        if (c == '\\' && l->at + 1 < l->in.len)
            l->at++;
        else if (c == '(')
            depth++;
        else if (c == ')' && --depth == 0)
            return slice_sub(l->in, start, l->at++ - start);
    }
    return slice_from(l->in, start);
}

void lex_skip(struct lex *l, struct slice *comment)
{
    while (l->at < l->in.len) {
        char c = l->in.ptr[l->at];

        if (c == '(') {
            struct slice inside = skip_comment(l);

            if (comment != NULL)
                *comment = inside;
        } else if (lex_is_blank(c)) {
            l->at++;
        } else {
            return;
        }
    }
}

struct slice lex_quoted(struct lex *l)
{
    size_t start = ++l->at;

    for (; l->at < l->in.len; l->at++) {
        char c = l->in.ptr[l->at];

        if (c == '\\' && l->at + 1 < l->in.len)
            l->at++;
        else if (c == '"')
            return slice_sub(l->in, start, l->at++ - start);
    }
    return slice_from(l->in, start);
}

struct slice lex_literal(struct lex *l)
{
    size_t start = l->at;

    while (l->at < l->in.len) {
        char c = l->in.ptr[l->at++];

        if (c == '\\' && l->at < l->in.len)
            l->at++;
        else if (c == ']')
            break;
    }
    return slice_sub(l->in, start, l->at - start);
}

/* What ends an atom: blanks and specials (RFC 5322 section 3.2.3) without the dot. */
static const bool ends_atom[256] = {
    [0] = true,   [' '] = true, ['\t'] = true, ['\r'] = true, ['\n'] = true, ['('] = true,
    [')'] = true, ['<'] = true, ['>'] = true,  ['['] = true,  [']'] = true,  [':'] = true,
    [';'] = true, ['@'] = true, [','] = true,  ['"'] = true,
};

struct slice lex_atom(struct lex *l)
{
    size_t start = l->at;

    while (l->at < l->in.len && !ends_atom[(unsigned char)l->in.ptr[l->at]])
        l->at++;
    return slice_sub(l->in, start, l->at - start);
}

struct slice lex_until(struct lex *l, const char *stops)
{
    size_t start = l->at;

    while (l->at < l->in.len && !lex_is_blank(l->in.ptr[l->at]) && strchr(stops, l->in.ptr[l->at]) == NULL)
        l->at++;
    return slice_sub(l->in, start, l->at - start);
}

struct slice lex_unescape(struct arena *a, struct slice raw)
{
    size_t plain = 0, len = 0;

    while (plain < raw.len && raw.ptr[plain] != '\\' && raw.ptr[plain] != '\r' && raw.ptr[plain] != '\n')
        plain++;
    if (plain == raw.len)
        return raw;

    char *text = arena_alloc(a, raw.len);
    if (text == NULL)
        return slice_make(NULL, 0);
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];

        if (c == '\\' && i + 1 < raw.len)
            text[len++] = raw.ptr[++i];
        else if (c != '\r' && c != '\n')
            text[len++] = c;
    }
    return slice_make(text, len);
}

int lex_hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int lex_hex_octet(struct slice s)
{
    int high = s.len >= 2 ? lex_hex_value(s.ptr[0]) : -1, low = s.len >= 2 ? lex_hex_value(s.ptr[1]) : -1;

    return high >= 0 && low >= 0 ? high * 16 + low : -1;
}
