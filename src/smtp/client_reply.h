/*
 * smtp/client_reply.h - a reply, as another server writes it: read line by line, whatever its shape.
 *
 * Layer: smtp, private to the client.  Pure; knows nothing of connections, so that it can be fuzzed alone.
 *
 * reply = *( code "-" text CRLF ) code [ SP text ] CRLF                       RFC 5321 section 4.2
 *
 * Read as well: LF alone, a missing blank ("250ok"), codes that differ (the last counts), lines without a code (they are
 * text), any number of lines up to a limit and of any length.
 */
#ifndef SMTP_CLIENT_REPLY_H
#define SMTP_CLIENT_REPLY_H

#include "base/buf.h"
#include "smtp/client.h"

struct reply_reader {
    struct buf text; /* printable; lines joined by LF; at least 16 KB of them, for EHLO's */
    size_t keep;     /* of it that are given out */
    unsigned code, lines, lines_max;
    size_t line_begin;   /* in `text`: where the present line's text begins */
    struct slice status; /* in status_text */
    char status_text[12];
    char head[4];        /* of the present line */
    unsigned head_len;
    bool in_text, last;  /* of the present line: past its code; the code is followed by no "-" */
    bool cr;
    bool done, too_long;
};

/* Gives out at most `bytes` of text.  reply_reader_finish() frees; a reader may be started again without it. */
void reply_reader_init(struct reply_reader *r, size_t bytes, unsigned lines);
void reply_reader_start(struct reply_reader *r);
void reply_reader_finish(struct reply_reader *r);
/* Takes bytes up to the end of the reply and says how many; then look at `done` and `too_long`. */
size_t reply_reader_feed(struct reply_reader *r, struct slice in);
/* What was read; texts are copied into the arena. */
struct smtp_reply_text reply_reader_take(const struct reply_reader *r, struct arena *a);

/* "5.1.1 text": the status code at the start, if it suits the reply's class (RFC 2034 section 4); else empty. */
struct slice reply_status(struct slice text, unsigned code);

#endif
