/*
 * pop3/stuff.h - a message's lines as POP3 sends them.
 *
 * Layer: pop3.  RFC 1939 section 3: every line ends in CRLF, and one that begins with a dot
 * gets another in front.  A message comes in pieces, cut anywhere; `*last` is the octet before
 * the piece, '\n' before the first, and afterwards the piece's own last one.
 */
#ifndef POP3_STUFF_H
#define POP3_STUFF_H

#include "base/buf.h"

/* How many octets more than it has does the piece become? */
uint64_t stuff_extra(char *last, struct slice piece);
void stuff_write(struct buf *out, char *last, struct slice piece);

/* TOP: the header, the empty line behind it, and so many lines. */
struct stuff_top {
    uint64_t lines;    /* still to come */
    bool in_body;
    bool has_text; /* the present line */
};
/* Octets of the piece that belong to it; *end: nothing behind them does. */
size_t stuff_top(struct stuff_top *t, struct slice piece, bool *end);

#endif
