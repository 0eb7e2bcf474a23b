/*
 * queue/dsn.h - delivery status notifications: telling the sender what became of a message.
 *
 * Layer: queue.  RFC 3461 (who is told), RFC 6522 (multipart/report), RFC 3464 (the machine's part),
 * RFC 6533 (with UTF-8), RFC 3834 (Auto-Submitted).  One notification may speak of several recipients of
 * one message, with different fates.  It is to be sent from the null reverse-path to the original's
 * sender; it asks for no notifications itself.
 *
 * Whatever a remote server said is quoted so that it cannot become a header line, a MIME boundary
 * or a control character on somebody's terminal.
 */
#ifndef QUEUE_DSN_H
#define QUEUE_DSN_H

#include "base/body.h"
#include "base/fail.h"
#include "queue/envelope.h"

enum dsn_kind {
    DSN_FAILED,
    DSN_DELAYED,   /* not yet: it is tried again until `expires` */
    DSN_DELIVERED,
    DSN_RELAYED,   /* to a server that does not speak DSN (RFC 3461 section 5.2.2) */
    DSN_EXPANDED   /* to the members of a list (section 5.2.7.3) */
};

/* Is the sender to be told?  Never for a null reverse-path (so never of a DSN), else as NOTIFY says. */
bool dsn_wanted(struct slice sender, const struct recipient_options *o, enum dsn_kind kind);

struct dsn_recipient {
    enum dsn_kind            kind;
    struct slice             address; /* the final recipient */
    struct recipient_options options;
    unsigned                 code;    /* SMTP reply code; 0: there was none */
    struct slice             status;  /* enhanced status code "5.1.1"; empty: made from the kind and the reply code */
    struct slice             remote;  /* the server that said so; empty: none did */
    struct slice             text;    /* its reply, lines joined by LF (without the codes); or what went wrong, in plain words */
    int64_t                  last_attempt; /* seconds since 1970; 0: there was none */
    bool                     expired; /* failed because its time ended, not because of that reply */
};

enum { DSN_FULL_MAX = 50 * 1024 };

struct dsn_request {
    struct slice                   hostname; /* this server, as reporting MTA */
    struct slice                   postmaster; /* address in From; empty: postmaster@hostname */
    struct slice                   sender, trace; /* of the original; the sender is never empty */
    const struct envelope_options *options;
    int64_t                        received, now, expires; /* seconds since 1970; expires: 0 is unknown */
    const struct dsn_recipient    *recipients; /* those to speak of: at least one */
    size_t                         recipient_count;
    uint64_t                       size;     /* of the original */
    uint64_t                       full_max; /* a larger original is not returned whole, whatever RET says (DSN_FULL_MAX) */
    /* The original's bytes [offset, offset + n), within its size. */
    bool (*read)(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why);
    void *read_ctx;
};

/*
 * Writes the notification.  True: *out is the caller's, and *envelope says what its bytes need to
 * travel (body, utf8, requiretls; all else at its default).  FAIL_TEMP if the original cannot be read now or there is no room.
 */
bool dsn_write(const struct dsn_request *r, const struct body_limits *limits, struct body **out,
               struct envelope_options *envelope, struct fail *why);

#endif
