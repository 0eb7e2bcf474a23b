/*
 * queue/envelope.h - what a sender asked for beyond the addresses, and its text form.
 *
 * Layer: queue.  RFC 3461 (DSN), RFC 6710 (MT-PRIORITY), RFC 4865 (FUTURERELEASE), RFC 2852
 * (DELIVERBY), RFC 8689 (REQUIRETLS), RFC 6531 (SMTPUTF8), RFC 6152 and RFC 3030 (BODY).
 * SMTP reads them, the record and the spool keep them as text, the SMTP client says them again.
 */
#ifndef QUEUE_ENVELOPE_H
#define QUEUE_ENVELOPE_H

#include "base/arena.h"
#include "base/buf.h"

/* NOTIFY; 0: not said, which means FAILURE, and DELAY where the server likes (RFC 3461 section 4.1). */
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

enum envelope_ret { RET_UNSAID, RET_FULL, RET_HDRS };
enum envelope_body { BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME };
enum envelope_by { BY_UNSAID, BY_NOTIFY, BY_RETURN };

/* Of a message. */
struct envelope_options {
    struct slice       envid; /* decoded; empty: none */
    enum envelope_ret  ret;
    enum envelope_body body;
    bool               utf8, requiretls;
    int                priority;   /* MT-PRIORITY, -9 to 9 */
    int64_t            hold_until; /* seconds since 1970; 0: go at once */
    enum envelope_by   by_mode;
    bool               by_trace;   /* DELIVERBY's T */
    int64_t            by;         /* deliver by this time; with BY_UNSAID meaningless */
    uint64_t           account;    /* who submitted it; 0: it came from another server */
    struct slice       source;     /* what fair share counts as one sender: the account's or the client's name */
};

/* Of a recipient. */
struct recipient_options {
    unsigned     notify; /* NOTIFY_ bits */
    struct slice orcpt;  /* "rfc822;ann@example.org", xtext decoded; empty: none */
};

/* xtext (RFC 3461 section 4): "+" and two hexadecimal digits for what is not printable ASCII, for "+" and "=". */
void xtext_encode(struct buf *out, struct slice in);
/* Strict; any octet may come out, so check before it goes into a line.  *out lies in the arena. */
bool xtext_decode(struct arena *a, struct slice in, struct slice *out);

/*
 * Text of "NAME=value" words with one blank between, values in xtext; what is at its default is left
 * out, so that most messages have "".  Reading is strict (a stored text of ours): false is damage.
 * Slices of the result lie in the arena.
 */
void envelope_options_write(struct buf *out, const struct envelope_options *o);
bool envelope_options_read(struct arena *a, struct slice text, struct envelope_options *out);
void recipient_options_write(struct buf *out, const struct recipient_options *o);
bool recipient_options_read(struct arena *a, struct slice text, struct recipient_options *out);

#endif
