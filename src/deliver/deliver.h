/*
 * deliver/deliver.h - an accepted message and its recipients: decide, record, place.
 *
 * Layer: deliver.  All that can refuse decides first.  Then one record is
 * appended and synced: from there on the message is kept, whatever happens.  Rows
 * follow at once, in batches per account; what fails stays on a retry list.
 * After a start everything above the low-water mark is gone through again.
 */
#ifndef DELIVER_DELIVER_H
#define DELIVER_DELIVER_H

#include "base/arena.h"
#include "base/body.h"
#include "base/fail.h"
#include "base/map.h"
#include "base/waker.h"
#include "directory/directory.h"
#include "queue/queue.h"
#include "store/quota.h"

struct deliver;
struct srs;
struct store;
struct volumes;

/*
 * Who takes over what must leave: queue_client_take(), _try() and _outcomes(), which see.  Without the last two (NULL) nothing is tried
 * before it is spooled.
 */
struct deliver_outbound {
    bool (*take)(void *ctx, const struct queue_message *messages, size_t count, bool *taken, struct fail *why);
    bool (*attempt)(void *ctx, const struct queue_message *messages, size_t count, enum queue_tried *fates, struct fail *why);
    bool (*outcomes)(void *ctx, struct queue_over *out, size_t most, size_t *count, struct fail *why);
    void *ctx;
};

struct deliver_limits {
    unsigned placers;             /* threads that write rows; default: cores, at least 2 */
    unsigned backlog;             /* rows waiting to be written before senders are held back; default 2000 */
    unsigned retry_seconds;       /* first retry of a row that failed; doubles up to 5 minutes; default 5 */
    unsigned retries_per_account; /* rows to be tried again before an account takes no more; default 100 */
    unsigned outbound_backlog;    /* messages the queue role could not take before no more are accepted for
                                     elsewhere; default 10000 */
    unsigned lifetime_seconds;    /* a row that cannot be written for so long is returned to its sender; default 5
                                     days */
    unsigned mark_seconds;        /* between two savings of the low-water mark; default 10 */
    const char *hostname;         /* in what is returned */
    const struct deliver_outbound *outbound; /* NULL: nothing can leave, what should waits */
    const struct srs *srs;        /* reverse-paths of forwards; NULL: they stay as they are */
    const unsigned *quota_warnings; /* percentages of a quota at which an account is warned; outlive it */
    size_t quota_warning_count;
    const char *note_path;        /* file that remembers what was being parsed at a crash; NULL: none */
};
void deliver_limits_default(struct deliver_limits *l);

/* Starts the placers and goes through what a crash left (in the background; sessions may start). */
bool deliver_open(struct store *st, struct volumes *v, struct directory *d,
                  const struct deliver_limits *limits, struct deliver **out, struct fail *why);
/* Places what is waiting (at most `seconds`), saves the low-water mark, ends the threads. */
void deliver_close(struct deliver **d, unsigned seconds);

/* A domain's limits as the store is told them. */
void deliver_domain_quota(const struct domain_quota *from, struct quota_domain *out);

/* One RCPT that was accepted. */
struct delivery_recipient {
    struct slice address; /* as given */
    struct route route;   /* kind ROUTE_LOCAL or ROUTE_REMOTE */
    struct recipient_options options;
};

/*
 * Where an address leads: directory_route(), and return addresses of forwards back to their senders (deliver/srs.h).
 * FAIL_NOT_FOUND: a return address that is not ours or too old.  In the arena.
 */
bool deliver_find(struct deliver *d, struct slice address, struct arena *a, struct route *out, struct fail *why);

/*
 * What one transaction has reserved in the accounts its recipients lead to, so
 * that others who come at the same time cannot have that room too.  Whatever is
 * left is given back by deliver_hold_finish (fine more than once).
 */
struct held;
struct deliver_hold {
    struct held *list;
    size_t count, cap;
    struct idmap places; /* account to place in the list, once they are many */
};
void deliver_hold_init(struct deliver_hold *h);
void deliver_hold_finish(struct deliver *d, struct deliver_hold *h);

/*
 * At RCPT: may a message of `size` (0: not known) come in for this recipient now?  Reserves room for it.
 * FAIL_OVER_QUOTA: FAIL_TEMP, or FAIL_PERM where it would not fit into an empty mailbox either.
 * FAIL_LIMIT, FAIL_TEMP: it leads elsewhere, and the queue role takes nothing just now.
 */
bool deliver_may(struct deliver *d, struct deliver_hold *h, const struct delivery_recipient *r, uint64_t size,
                 struct fail *why);
/*
 * At the end, when the size is known: still?  Who had no room reserved for all of it may have it and go over
 * the quota, unless others have filled that meanwhile.
 */
bool deliver_still_may(struct deliver *d, struct deliver_hold *h, const struct delivery_recipient *r,
                       uint64_t size, struct fail *why);

/* A copy for the sender: to that mailbox of an account, with \Seen. */
struct delivery_copy {
    uint64_t account; /* 0: none */
    uint64_t mailbox;
};

struct delivery {
    struct slice sender; /* reverse-path, "" for <> */
    const struct delivery_recipient *recipients;
    size_t recipient_count;
    const struct body *body; /* with the Received field on top */
    struct body *keep; /* the same, if it may be shared until what leaves was handed over; NULL: it is read again then */
    int64_t received;        /* seconds since 1970: the internal date */
    struct slice trace;      /* the session's log id */
    struct envelope_options options;
    struct delivery_copy copy;
    bool junk; /* into the \Junk mailbox of who has one (RFC 6154), with $Junk */
    struct deliver_hold *hold; /* what was reserved for the recipients; becomes the delivery's.  NULL: nothing */
};
/*
 * True: on stable storage for every recipient, wherever it leads.  A destination that several
 * recipients lead to gets one copy.  Return-Path and Delivered-To stand in a local one's prefix, Delivered-To
 * in that of a forward, whose reverse-path is the list's owner or SRS.  NOTIFY=SUCCESS of what was delivered
 * here is answered at once.
 */
bool deliver_message(struct deliver *d, const struct delivery *in, struct fail *why);

/*
 * The same for a session, which parks until the disk has it: deliver_start decides and writes the record, `w` is woken when there is
 * a word, deliver_end says which.  *in, its body and what it has reserved stay as they are in between.
 */
struct deliver_ticket;
/* NULL: refused, *why. */
struct deliver_ticket *deliver_start(struct deliver *d, const struct delivery *in, struct waker w, struct fail *why);
bool deliver_done(const struct deliver_ticket *t);
/* As deliver_message; waits if there is no word yet.  Leaves *t NULL; the waker is not called any more. */
bool deliver_end(struct deliver_ticket **t, struct fail *why);

/*
 * For a message that `account` submits and wants a copy of: into its \\Sent mailbox (RFC 6154).  Reserves room.
 * false: there is no such mailbox, or no room; the message goes without it.
 */
bool deliver_want_copy(struct deliver *d, struct deliver_hold *h, uint64_t account, uint64_t size,
                       struct delivery_copy *out);

/* The queue role is there again: what waits for it need not wait longer. */
void deliver_queue_is_back(struct deliver *d);

struct deliver_stats {
    uint64_t records, placed, waiting, retrying;
    uint64_t outbound, /* messages the queue role has taken over */
        leaving;       /* those it has still to take */
};
void deliver_stats(struct deliver *d, struct deliver_stats *out);
/* Waits until everything that was accepted before the call has its rows (tests, shutdown). */
void deliver_settle(struct deliver *d);
/* The same, but no longer than that: what is on the retry list may stay there for days.  false: not all has. */
bool deliver_settle_within(struct deliver *d, unsigned seconds);
/* Saves now how far all rows are written: records below that can be given back. */
void deliver_save_mark(struct deliver *d);

#endif
