/*
 * queue/direct.h - the first attempt, straight from memory.
 *
 * Layer: queue, private.  What has just come and may leave at once is tried before anything of it is written here: the mail role's
 * record is the intent until this side says what became of it (queue_outcomes).  Delivered: nothing was ever written.  Anything else
 * (put off, refused, too long on its way, the administrator wants to see it, the end of this process): it is *spooled*, as if it had been
 * taken in the other way, and goes on from there.
 *
 * A message is in MEMORY until it is over or is being spooled; SPOOLING until its rows are on disk; then it is an ordinary one, but that
 * whoever sends it just then reads its bytes from memory until he reports.  All under the queue's lock.
 */
#ifndef QUEUE_DIRECT_H
#define QUEUE_DIRECT_H

#include "queue/internal.h"

struct direct {
    struct op op; /* spools it; the first */
    struct direct *earlier, *later; /* in the order in which they came, while in memory */
    enum { DIRECT_MEMORY, DIRECT_SPOOLING, DIRECT_SPOOLED } state;
    struct queue_claim *claim;
    struct item *item;
    struct queue_message message; /* its texts are the claim's */
    struct body *body;
    int64_t began; /* clock_mono_ms */
    struct due_list due;
    volume_ref ref; /* once it was appended */
    struct queue_outcome *outcomes; /* reported while it was being spooled */
    int64_t not_before;
};

/* What is told of those that are over, and what has been: see queue_outcomes. */
enum { OVER_REMEMBERED = 1 << 15 };
struct direct_all {
    struct idmap ids; /* by delivery id: MEMORY or SPOOLING */
    struct direct *first, *last;
    size_t count;
    uint64_t recipients, bytes;
    struct queue_over *over, *unheard; /* not told yet; told, but nobody has said that he heard it */
    size_t over_count, over_cap, unheard_count;
    bool asked; /* somebody waits for them */
    struct idmap done; /* delivery ids of the last ones, so that none is taken a second time */
    uint64_t ring[OVER_REMEMBERED];
    size_t ring_at;
};

/*
 * What became of a claim that is still in memory, with the lock held.  NOT: it has rows, like all others.  OVER: it is delivered, and is
 * the caller's.  SPOOL: direct_start_spooling() when the lock is let go.
 */
enum direct_end { DIRECT_NOT, DIRECT_OVER, DIRECT_SPOOL, DIRECT_LATER /* it is being spooled, and settled after that */ };
enum direct_end direct_report(struct queue *q, struct queue_claim *c, const struct queue_outcome *outcomes, int64_t not_before);
void direct_start_spooling(struct queue *q, struct direct *d);

/* With the lock: its rows' numbers take the place of those it had; gives what is to be freed. */
struct direct *direct_adopt(struct queue_claim *c);
void direct_free(struct direct *d);

/* Spools what has been in memory for longer than that.  true: there was some; queue_settle() waits for it. */
bool direct_spool_older(struct queue *q, int64_t ms);
/* The same for those that come again, because nobody heard what became of them. */
void direct_spool_these(struct queue *q, const struct queue_message *messages, size_t count);
/* Of a delivery id: here, or over.  With the lock. */
bool direct_has(const struct queue *q, uint64_t id);
bool direct_was(const struct queue *q, uint64_t id);
/* What was delivered and nobody may have heard of goes among the ids that are remembered for long. */
void direct_remember(struct queue *q);

void direct_init(struct queue *q);
void direct_finish(struct queue *q);

#endif
