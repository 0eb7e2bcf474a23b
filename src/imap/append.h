/*
 * imap/append.h - messages that a client puts into a mailbox: APPEND, REPLACE.
 *
 * Layer: imap; inside the room only, between append.c, replace.c and catenate.c.
 * Text and message literals take turns: append_step reads text as far as it goes,
 * streams what it announces into a body, and reads on.  Each whole message is
 * written at once (store's appender), and all become rows when the command ends.
 */
#ifndef IMAP_APPEND_H
#define IMAP_APPEND_H

#include "base/body.h"
#include "imap/target.h"

/* What is expected next. */
enum append_at {
    APPEND_MESSAGE,     /* [SP flag-list] [SP date-time] SP append-data */
    APPEND_MESSAGE_END, /* its bytes are all there */
    APPEND_UTF8_END,    /* ")" of UTF8 */
    APPEND_PART,        /* cat-part */
    APPEND_PART_END,    /* SP and another, or ")" of CATENATE */
    APPEND_PART_UTF8_END,
};

struct append {
    struct slice       mailbox; /* as named; looked up before the first octet is asked for */
    struct imap_target target;
    struct appender   *appender; /* NULL until then */
    bool               replace;  /* REPLACE: of this message of the selected mailbox */
    uint32_t           replaced;

    /* The text being read, and the literal announced at its end. */
    struct imap_reader args;
    struct frame_found announced;
    bool               reading, has_literal;
    struct frame       frame; /* of the text that comes after a literal */
    enum append_at     at;

    /* The present message. */
    struct imap_flags flags;
    int64_t           internal_date;
    int               internal_zone;
    struct body      *body;
    bool              has_nul;
    uint64_t          left; /* octets of the literal still to come */

    /* CATENATE: what a URL names, being copied. */
    struct conn_source source; /* read NULL: none */
    uint64_t           source_at, source_left;
};

/* Begins: `args` stands behind the mailbox. */
void append_begin(struct imap_session *s, struct append *a, const struct imap_reader *args,
                  const struct frame_found *message);
/* Adds to the message; false: answered. */
bool append_bytes(struct imap_session *s, struct append *a, struct slice bytes);

/* ---- catenate.c ---- */

/* What `url` names is a->source from now on, or has been added; false: answered. */
bool append_url(struct imap_session *s, struct append *a, struct slice url);
/* Copies some of a->source; false: answered. */
bool append_copy_some(struct imap_session *s, struct append *a);

/* ---- replace.c ---- */

/* What REPLACE may need of the selected mailbox; false: answered. */
bool replace_allowed(struct imap_session *s);
/* The new message is kept, and the old one gone; answers. */
void replace_finish(struct imap_session *s, struct append *a);

#endif
