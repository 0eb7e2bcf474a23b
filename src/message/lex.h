/*
 * message/lex.h - the words of structured header fields (RFC 5322 section 3.2).
 *
 * Layer: message; private to the room.  A cursor over one field's body.  Blanks
 * are space, tab, CR, LF and NUL; comments nest; quoted strings and comments that
 * are never closed reach to the end.  Every call moves the cursor forward over
 * what it reads, so that a loop over them is linear.
 */
#ifndef MESSAGE_LEX_H
#define MESSAGE_LEX_H

#include "base/arena.h"

struct lex {
    struct slice in;
    size_t at;
};

static inline bool lex_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

static inline bool lex_at_end(const struct lex *l)
{
    return l->at >= l->in.len;
}

/* The byte at the cursor; NUL at the end. */
static inline char lex_peek(const struct lex *l)
{
    return lex_at_end(l) ? '\0' : l->in.ptr[l->at];
}

/* Moves over `c` if it stands at the cursor. */
bool lex_accept(struct lex *l, char c);

/* Moves over blanks and comments (CFWS).  The inside of the last comment goes to *comment (may be NULL). */
void lex_skip(struct lex *l, struct slice *comment);

/* At '"': moves over the quoted string; its inside, escapes still there. */
struct slice lex_quoted(struct lex *l);

/* At '[': moves over the domain literal; with its brackets. */
struct slice lex_literal(struct lex *l);

/* The run of bytes up to a blank or one of ( ) < > [ ] : ; @ , "  (dots are part of it); empty if there is
 * none. */
struct slice lex_atom(struct lex *l);

/* The run of bytes up to a blank or one of `stops` (a C string). */
struct slice lex_until(struct lex *l, const char *stops);

/* The value of a hexadecimal digit of either case, or -1. */
int lex_hex_value(char c);
/* The octet that the first two hexadecimal digits of `s` name, or -1. */
int lex_hex_octet(struct slice s);

/* Without line ends and with \x turned into x; `raw` itself when there is nothing to change. */
struct slice lex_unescape(struct arena *a, struct slice raw);

#endif
