/*
 * queue/queue.h - the outbound spool: what must leave, when, and what became of it.
 *
 * Layer: queue.  One database (queue.db) and volumes of its own; lives in the queue role.  A message
 * is taken over by its delivery id (the record's reference in the mail role), so taking it twice is
 * harmless.  Each recipient has a state and a next hop's name ("destination"); recipients of one
 * message at one destination are claimed together.
 *
 *     mail: record synced -> queue_take -> (due, destination has a free place) queue_claim
 *       -> relay speaks SMTP -> queue_report: done / later / never -> DSN, removal
 *
 * Each of taking, claiming' end (report), holding, removing is one transaction; claims themselves are in
 * memory only: after a crash what was claimed is simply due again.
 * Memory: only what is due soon is in memory (an index of destinations and the heads of their queues);
 * everything else stays in the database.  Start-up reads no rows but the counts' and the heads'.
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "base/arena.h"
#include "base/body.h"
#include "base/fail.h"
#include "queue/envelope.h"

struct item;
struct queue;
struct volume_limits;

struct queue_limits {
    unsigned retry_first_seconds;  /* before the second attempt; default 300; doubles, with jitter of a quarter */
    unsigned retry_most_seconds;   /* between two attempts; default 14400 */
    unsigned lifetime_seconds;     /* until it is returned; default 5 days (RFC 5321 section 4.5.4.1) */
    unsigned bounce_lifetime_seconds; /* of a message with a null reverse-path; default 5 days */
    unsigned delay_warning_seconds;/* a DSN "delayed" after; 0: never; default 4 hours */
    unsigned destination_sessions; /* at once to one destination, at most; default 20 */
    unsigned sessions;             /* at once in all; default 200 */
    unsigned cold_sessions;        /* of them to destinations that do not answer, at most; default 50 */
    uint64_t source_per_minute; /* messages of one sender a minute; 0: no limit */
    unsigned first_try_messages; /* tried from memory, before they are spooled, at once; 0: none are; default 2000 */
    uint64_t first_try_bytes;    /* of them all; default 64 MB */
    unsigned first_try_seconds;  /* not delivered by then, they are spooled; default 3 */
    uint64_t fresh_bytes;      /* of memory for what has just come, so that it need not be read again; default 16 MB */
    uint64_t destination_per_minute; /* messages to one destination a minute; 0: no limit */
    unsigned future_release_seconds; /* HOLDFOR's most; default 7 days */
    unsigned undo_seconds;         /* a submitted message is held so long; default 0 */
};
void queue_limits_default(struct queue_limits *l);

/* ---- taking over ---- */

struct queue_recipient {
    struct slice             address;     /* as the envelope has it */
    struct slice             destination; /* domain in lower case (A-labels), or "[1.2.3.4]", or "route:NAME" */
    struct slice             prefix;      /* header lines in front for this recipient; usually empty */
    struct recipient_options options;
};
struct queue_message {
    uint64_t                      id; /* delivery id in the mail role; never 0 */
    struct slice                  sender, trace;
    int64_t                       received; /* seconds since 1970 */
    struct envelope_options       options;
    const struct queue_recipient *recipients;
    size_t                        recipient_count;
    const struct body            *body;
};

/*
 * Where does this recipient's mail go next?  The name of a destination, whose sessions, rates and
 * failures are counted together: the domain in lower case, or "route:NAME".  From relay/route.h.
 */
struct queue_router {
    void (*destination)(void *ctx, const struct queue_message *m, struct slice recipient, struct buf *out);
    void *ctx;
};

/* What happens to messages of the queue's own making (DSNs) that are for accounts here: handed to the mail role. */
struct queue_home {
    /* true: on stable storage there.  FAIL_TEMP: later.  FAIL_NOT_FOUND: not local, send it out. */
    bool (*deliver)(void *ctx, struct slice sender, struct slice recipient, const struct body *body, struct fail *why);
    void *ctx;
};

struct queue_setting {
    const char *dir;      /* data/queue */
    const char *hostname; /* in DSNs */
    struct queue_limits limits;
    const struct volume_limits *volumes;
    struct queue_router router;
    struct queue_home home;
    bool offline;         /* nothing is sent, nothing ages: for commands while the server is stopped */
};
bool queue_open(const struct queue_setting *setting, struct queue **out, struct fail *why);
/* The mail role is there again: what waits for it need not wait longer. */
void queue_home_is_back(struct queue *q);
/* Waits until everything that was reported is on stable storage. */
void queue_settle(struct queue *q);
/* Waits for reports that are being written; claims must have been given back.  Fine on NULL. */
void queue_close(struct queue **q);

/*
 * Takes over `count` messages: durable when it returns true.  One that is known (its id) is taken already.
 * taken[i] says which; false only if none could be (FAIL_TEMP: no space, out of service).
 */
bool queue_take(struct queue *q, const struct queue_message *messages, size_t count, bool *taken, struct fail *why);

/*
 * The same for what comes for the first time: what may leave at once is tried from memory, and QUEUE_TRIED says that queue_outcomes will
 * tell what became of it.  The bodies (of messages[i], here to be changed) of these are the queue's own from then on, and bodies[i] NULL.
 */
enum queue_tried { QUEUE_NOT_TRIED /* nor taken */, QUEUE_TAKEN, QUEUE_TRIED };
bool queue_try(struct queue *q, const struct queue_message *messages, struct body **bodies, size_t count, enum queue_tried *fates,
               struct fail *why);
/* By delivery id: taken says that it is delivered or on stable storage here; else it is to be handed over again. */
struct queue_over { uint64_t id; bool taken; };
/*
 * Waits a second for the first of them, and a moment for more; how many.  By asking again the caller says that it has heard the last
 * answer: what nobody has heard of is told no second time, but queue_take knows the id.  One caller at a time.
 */
size_t queue_outcomes(struct queue *q, struct queue_over *out, size_t most);

/* ---- sending: for relay ---- */

struct queue_attempt { /* one recipient of a claim */
    uint64_t                 row;
    struct slice             address, prefix;
    struct recipient_options options;
    unsigned                 attempts; /* before this one */
    int64_t                  last;     /* when that was; 0: never */
};
struct queue_claim {
    uint64_t                message; /* the queue's own id: what the administrator sees */
    struct slice            destination, sender, trace;
    struct envelope_options options;
    int64_t                 received;
    uint64_t                size;
    struct queue_attempt   *recipients;
    size_t                  recipient_count;
    struct arena            arena;
    int64_t                 expires; /* from then on what fails for now has failed for good */
    bool                    afresh;  /* somebody wants it tried now: what is remembered of dead hosts does not count */
    /* The queue's own. */
    struct item            *item;
    struct direct          *direct; /* it is in memory; NULL: in the spool */
    uint64_t                head, delivery;
    size_t                  charged, held_rows;
};
/*
 * The next message that may leave, by due time, priority, fair share between sources, and the free places of
 * its destination; waits until there is one.  NULL: queue_stop_claims was called.  The claim holds a place at
 * its destination until it is reported.
 */
struct queue_claim *queue_claim(struct queue *q);
/* Another one for the same destination over the same connection, if that is fair to the others; never waits. */
struct queue_claim *queue_claim_more(struct queue *q, struct slice destination);
void queue_stop_claims(struct queue *q);
/* The message's bytes [offset, offset + n), CRC-checked; without any prefix. */
bool queue_read(struct queue *q, const struct queue_claim *c, uint64_t offset, void *out, size_t n, struct fail *why);

enum queue_fate {
    QUEUE_SENT,     /* the next server has it */
    QUEUE_RELAYED,  /* ... but does not speak DSN: NOTIFY=SUCCESS is answered "relayed" (RFC 3461 section 5.2.2) */
    QUEUE_LATER,    /* 4xx, no connection, no answer */
    QUEUE_NEVER,    /* 5xx, no such domain, TLS or SMTPUTF8 demanded and not to be had: a DSN */
    QUEUE_UNTOUCHED /* it was not this one's turn: as if it had not been claimed */
};
struct queue_outcome {
    enum queue_fate fate;
    unsigned        code;        /* SMTP reply code; 0: there was none */
    struct slice    status;      /* enhanced status code "5.1.1" */
    struct slice    remote;      /* name of the server that said so; empty: none did */
    struct slice    text;        /* its reply, lines joined by LF; or what went wrong, in plain words */
};
/* How the destination as a whole did: moves its number of sessions and its own back-off. */
enum queue_health { QUEUE_WELL, QUEUE_BUSY /* 421, too many connections */, QUEUE_DEAD /* nothing answers */ };
/* One outcome for each recipient, in their order.  Frees the claim; the transaction may be shared with others'. */
void queue_report(struct queue *q, struct queue_claim **c, enum queue_health health, const struct queue_outcome *outcomes);
/*
 * The same by whoever calls queue_claim_more or queue_pass for that destination next: until then its place is offered to
 * nobody, so that the next message goes over the same connection without waking anybody.
 */
void queue_report_more(struct queue *q, struct queue_claim **c, enum queue_health health, const struct queue_outcome *outcomes);
void queue_pass(struct queue *q, struct slice destination);

/* ---- steering: for admin ---- */

struct queue_filter { /* empty or 0: any */
    struct slice sender, recipient, domain, reason;
    int64_t      older_than, younger_than; /* seconds */
    uint64_t     message;
    uint64_t     account;
    struct slice source;   /* the account's address, or the client's name */
};
struct queue_row { /* one recipient, as an administrator sees it */
    uint64_t     message, id; /* id: the delivery id */
    struct slice sender, recipient, destination, trace, reason;
    enum queue_state { QUEUE_WAITING, QUEUE_ACTIVE, QUEUE_HELD } state;
    unsigned     attempts;
    int64_t      received, next, expires;
    uint64_t     size;
    int          priority;
};
/* In the order of arrival, from message `after` on (0: the first).  Stops when `each` says false. */
bool queue_each(struct queue *q, const struct queue_filter *f, uint64_t after,
                bool (*each)(void *ctx, const struct queue_row *row), void *ctx, struct fail *why);
/* What matches; *changed counts recipients. */
bool queue_hold(struct queue *q, const struct queue_filter *f, uint64_t *changed, struct fail *why);
bool queue_release(struct queue *q, const struct queue_filter *f, uint64_t *changed, struct fail *why);
bool queue_retry(struct queue *q, const struct queue_filter *f, uint64_t *changed, struct fail *why);
/* `bounce`: the sender gets a DSN; else it vanishes. */
bool queue_remove(struct queue *q, const struct queue_filter *f, bool bounce, uint64_t *changed, struct fail *why);
/* Undo: only while nothing of it was sent and it is held by undo_seconds or FUTURERELEASE.  Account 0: the administrator asks. */
bool queue_undo(struct queue *q, uint64_t account, struct slice trace, struct fail *why);

/* A message's bytes [offset, offset + n), within its size (queue_row); not of a claim.  FAIL_NOT_FOUND: it is gone. */
bool queue_peek(struct queue *q, uint64_t message, uint64_t offset, void *out, size_t n, struct fail *why);

/* ---- backup ---- */

/*
 * While a lease lives no space is given back, and until the database was copied no notification goes to the mail role:
 * a backup copies that role's data first, and what leaves here after that would be in neither copy.
 */
void queue_lease_begin(struct queue *q);
void queue_lease_end(struct queue *q);
/* A copy of the database, taken in steps, fsynced and renamed into place; under a lease, one at a time. */
bool queue_copy(struct queue *q, const char *path, struct fail *why);
/* After it: the volumes, which have the record of every row of the copy. */
struct volumes *queue_volumes(struct queue *q);
/* Every message of a copy of the database has its record in these volumes?  `report`: each that has none, or a broken one. */
bool queue_check_copy(const char *path, struct volumes *v, void (*report)(void *ctx, const char *finding), void *ctx,
                      uint64_t *messages, struct fail *why);

struct queue_stats {
    uint64_t messages, recipients, waiting, active, held;
    uint64_t taken, sent, deferred, bounced; /* since the start */
    uint64_t destinations;
};
void queue_stats(struct queue *q, struct queue_stats *out);

#endif
