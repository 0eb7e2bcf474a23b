/*
 * queue/internal.h - what the files of the spool share.
 *
 * Layer: queue, private.
 *
 *     take.c      messages come in          claim.c   a group is handed to whoever sends
 *     direct.c    the first attempt, from memory
 *     schedule.c  which group is next       settle.c  what became of it: rows, notifications
 *     rebuild.c   rows from the records, if the database was lost
 *     refill.c    from the database into    commit.c  one thread, one transaction for all that gathered
 *                 memory, and out again     tend.c    time: wakes, ages, space
 *     steer.c     the administrator         home.c    notifications for accounts here
 *
 * A *group* are the recipients of one message at one destination, at most GROUP_MAX of them, in rows that stand side by
 * side; the first one's number is the group's.  In memory a group that is due is an *item* in a *lane*: what one source has
 * at one destination.  Locks: `db_lock` before `lock`.
 */
#ifndef QUEUE_INTERNAL_H
#define QUEUE_INTERNAL_H

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "queue/dsn.h"
#include "queue/queue.h"
#include "storage/db.h"
#include "storage/volume.h"

#define NEVER_DUE INT64_MAX /* `next` of what the administrator holds */
#define HOME_NAME "@home"   /* the destination of notifications that may be for an account here */

enum {
    GROUP_MAX = 100,      /* recipients of one transaction: RFC 5321 section 4.5.3.1.8 lets us hope for so many */
    LANE_MOST = 2048,     /* items of one lane in memory */
    REFILL_GROUPS = 64,   /* lanes looked at in one go */
    REFILL_ITEMS = 64,    /* of one lane */
    HUNGRY_BELOW = 16,    /* items at a destination: then more are read */
    DESTINATIONS_FED = 20000, /* in memory before no more are read in */
    OPS_WAITING = 1024,   /* reports that are not written yet before reporters wait */
    CLAIM_ARENA = 1 << 30,
    DESTINATION_NAME_MAX = 1000,
};

enum { SQL_COUNTS, SQL_SET_COUNTS, SQL_IS_TAKEN, SQL_ADD_TAKEN, SQL_TRIM_TAKEN, SQL_ADD_MESSAGE, SQL_MESSAGE, SQL_LEFT,
       SQL_SET_LEFT, SQL_SET_LOOK, SQL_DROP_MESSAGE, SQL_HAS_MESSAGE, SQL_LOOKS, SQL_ADD_RECIPIENT, SQL_GROUP, SQL_DROP_RECIPIENT,
       SQL_DEFER, SQL_SET_NEXT, SQL_MOVE, SQL_LANES, SQL_LANE_ITEMS, SQL_OF_MESSAGE, SQL_HEADS, SQL_DESTINATION, SQL_DESTINATION_NAME,
       SQL_ADD_DESTINATION, SQL_SET_DESTINATION, SQL_WAKE_DESTINATION, SQL_DROP_DESTINATION, SQL_FEED, SQL_HAS_RECIPIENT, SQL_EACH, SQL_UNDO,
       SQL_LAST_ID, SQL_BACK_TRIED, SQL_BACK_UNTRIED, SQL_BACK_MESSAGES, SQL_BACK_DESTINATIONS, SQL_COUNT };
extern const struct db_schema queue_schema;

struct destination;
struct lane;

enum place { PLACE_WARM, PLACE_NEW, PLACE_COLD };
enum { PLACES = 3 };

/* What the administrator wants of a recipient that is being sent to: done once it is known how that went. */
enum mark_kind { MARK_HOLD = 1, MARK_REMOVE, MARK_RETURN };
struct mark { struct mark *next; uint64_t row; enum mark_kind kind; bool counted; /* among the held, already */ };

struct item {
    struct item        *next; /* in its lane, or in the list of what a destination lost */
    struct lane        *lane; /* NULL once claimed */
    struct destination *at;
    uint64_t            head, message, source;
    int                 rank; /* MT-PRIORITY, the best first */
    struct queue_claim *fresh, *claim; /* claim: of whoever sends it; NULL: its rows are being read */
    struct mark        *marks;
    bool                active, judged; /* judged: what comes of it is being written */
    enum place          place;
};

struct minute { int64_t began; uint64_t count; };

struct source { /* exists while it has lanes or claims */
    uint64_t       id;
    struct lane   *first, **last; /* ready */
    struct source *next;          /* with something ready */
    bool           listed;
    size_t         lanes, unproven, active;
    struct minute  minute;
};

struct lane { /* exists while it has items */
    struct destination *at;
    struct source      *source;
    struct item        *first, *end;
    size_t              count;
    struct lane        *next; /* at the destination, or ready at its source */
};

struct destination {
    uint64_t     id; /* its row; 0: to be looked up again */
    char        *name;
    struct lane *first, **last; /* not ready */
    struct idmap lanes;         /* by source: all of them */
    size_t       waiting, active, pending, listed, urgent;
    unsigned     allowed, failures, busy;
    bool         proven, home, more, hungry, parked, afresh;
    int64_t      not_before; /* its own back-off */
    int64_t      wake;       /* look into the database then; NEVER_DUE */
    size_t       heap_at;    /* in queue.wakes, 1..; 0: not there */
    int64_t      stored_next;
    unsigned     stored_failures;
    int64_t      quiet_since;
    int64_t      cursor_rank, cursor_source;
    char         reason[200];
    struct minute minute;
    struct destination *next_hungry, *next_parked;
};

/* Something to be written: many of them become one transaction. */
struct op {
    struct op *next;
    bool waits; /* nobody waits for it: it may share its transaction with what comes a moment later */
    bool (*prepare)(struct queue *q, struct op *o); /* outside the transaction; true: wrote a record */
    bool (*run)(struct queue *q, struct op *o, struct fail *why);
    /* With the result.  True: it is done with (and may be gone); false: again, a second later. */
    bool (*after)(struct queue *q, struct op *o, bool ok, const struct fail *why);
    volume_ref first_ref, last_ref; /* of prepare */
};

struct counts { int64_t messages, recipients, held, taken; };

struct queue {
    struct queue_setting setting;
    char *dir, *hostname, *spool;
    struct body_limits bodies;
    struct volumes *volumes;

    pthread_mutex_t db_lock; /* over the database, and its transactions */
    struct db *db;
    struct counts counts, delta; /* with db_lock: as stored, and what the transaction changes */
    int64_t last_row;
    bool copying; /* with db_lock: it is not opened anew meanwhile */
    struct { struct destination **list; size_t count, cap; } made; /* by this transaction */

    pthread_mutex_t lock; /* over all that follows */
    unsigned claimers, called; /* that wait for `claims`; of these, told and not yet running */
    pthread_cond_t claims, tend, commits, room, idle, home_work, overs;
    struct direct_all *direct;
    struct map names;    /* to struct destination */
    struct idmap ids;    /* the same by number */
    struct idmap items;  /* by group */
    struct idmap sources;
    struct source *first_source, **last_source; /* ready */
    struct destination **wakes;                 /* a heap */
    size_t wake_count, wake_cap;
    struct destination *first_hungry, **last_hungry;
    struct { struct destination *first, *last; size_t active; } places[PLACES];
    size_t active;
    uint64_t fresh_bytes;
    struct counts shown;
    uint64_t active_recipients, taken, sent, deferred, bounced;
    struct op *first_op, **last_op;
    size_t op_count, hurried; /* hurried: of the ops, those that do not wait */
    bool committing, stop_claims, stopping, stop_commits, rebuilds;
    int64_t feed_next, feed_id;
    int64_t swept, reclaimed;
    volume_ref scan_end;
    int64_t opened;
    int64_t clock_ahead; /* of the clock that never jumps, in seconds; 0: nobody has looked (clock.c) */
    pthread_t committer, tender, homer, scanner;
    unsigned leases;
    bool home_held, home_busy; /* held: nothing goes home (backup.c) */
    bool has_committer, has_tender, has_homer, has_scanner;
};

/* ---- schedule.c; with the lock ---- */
struct destination *destination_get(struct queue *q, struct slice name);
struct destination *destination_make(struct queue *q, struct slice name, uint64_t id);
void destination_free(struct queue *q, struct destination *d);
/* A group is due.  NULL: it is known already, or the lane is full (*full). */
struct item *schedule_add(struct queue *q, struct destination *d, uint64_t head, uint64_t message, uint64_t source, int rank, bool *full);
struct item *schedule_pick(struct queue *q, int64_t now);
struct item *schedule_pick_at(struct queue *q, struct destination *d, int64_t now);
/* Another look at the database at `at`. */
void schedule_wake(struct queue *q, struct destination *d, int64_t at);
void schedule_wakes_due(struct queue *q, int64_t now);
int64_t schedule_next_wake(const struct queue *q);
void schedule_hungry(struct queue *q, struct destination *d);
void schedule_offer(struct queue *q, struct destination *d);
void schedule_call(struct queue *q);
void schedule_unpark(struct queue *q, enum place p);
/* The place is free again; the item stays known until item_free. */
void schedule_leave(struct queue *q, struct item *i, bool offers);
void schedule_health(struct queue *q, struct destination *d, enum queue_health health, struct slice reason, int64_t now);
enum place schedule_place(const struct destination *d);
void item_free(struct queue *q, struct item *i);
/* The group changed: an item that only waits is forgotten.  false: it is claimed. */
bool item_forget(struct queue *q, uint64_t head);
/* Makes a group claimed without a place, so that nobody else claims it; NULL: somebody has. */
struct item *item_reserve(struct queue *q, struct destination *d, uint64_t head, uint64_t message);

/* ---- claim.c ---- */
struct queue_claim *claim_create(void);
void claim_free(struct queue *q, struct queue_claim *c);
/* With db_lock: the group's rows that are due at `until`; *stored (unless NULL): why they failed last.  NULL: none, or *why. */
struct queue_claim *claim_load(struct queue *q, uint64_t head, int64_t until, struct queue_outcome **stored, struct fail *why);
struct queue_claim *claim_of_item(struct queue *q, struct item *i);

/* ---- take.c ---- */

/* A group that was written. */
struct due {
    uint64_t head, id, source; /* id: the destination's */
    int64_t next;
    const struct queue_message *message;
    uint64_t ref, size;
    int64_t expires;
    struct destination *at;  /* NULL: not in memory, and need not be */
    struct slice name;
    const size_t *order;     /* its recipients, by place in the message */
    size_t count;
};
struct due_list { struct arena arena; struct due *list; size_t count, cap; };
void due_init(struct due_list *l);
void due_reset(struct due_list *l);
void due_finish(struct due_list *l);
bool take_append(struct queue *q, const struct queue_message *m, volume_ref *ref, struct fail *why);
bool take_is_known(struct queue *q, uint64_t id, bool *known, struct fail *why);
/* With db_lock: the rows of a message whose record is `ref`. */
enum take_to { TAKE_AWAY, TAKE_HOME, TAKE_HELD /* by the administrator */ };
bool take_write(struct queue *q, const struct queue_message *m, uint64_t ref, uint64_t size, enum take_to to, struct due_list *out,
                struct fail *why);
/* After the commit: what is due goes in front of the scheduler. */
void take_schedule(struct queue *q, const struct due_list *l);
/* With db_lock: the row of a destination, made if need be.  *at NULL: it is in its back-off and not in memory. */
bool take_destination(struct queue *q, struct slice name, int64_t next, uint64_t *id, struct destination **at, struct fail *why);
/* The same, in memory also while it rests: for whoever is about to claim something of it. */
bool take_destination_here(struct queue *q, struct slice name, int64_t next, uint64_t *id, struct destination **at, struct fail *why);
/* Until when it is held, 0: it may leave at once; when it is given up. */
int64_t take_hold_until(const struct queue *q, const struct queue_message *m, int64_t now);
int64_t take_expires(const struct queue *q, const struct queue_message *m, int64_t hold);
/* Whose it is, as far as fair shares go. */
uint64_t take_source_of(const struct queue_message *m);
/* A claim of a group as it came, in memory; NULL: there is no room for it. */
struct queue_claim *take_fresh_claim(struct queue *q, const struct due *g);
/* When a message is to be looked at after `after`: a warning, the end. */
int64_t take_look(const struct queue *q, int64_t received, int64_t expires, const struct envelope_options *o, int64_t after);

/* ---- settle.c ---- */

/*
 * What became of a claim; takes it.  `silent`: nobody is told.  With `look_only` nothing is changed and the sender hears
 * that it takes long.
 */
enum settle_kind { SETTLE_REPORT, SETTLE_SILENT, SETTLE_WARN };
void settle_start(struct queue *q, struct queue_claim *c, const struct queue_outcome *outcomes, enum settle_kind kind, int64_t not_before);
/* The same outcomes for as long as the claim lives. */
struct queue_outcome *settle_keep_outcomes(struct queue_claim *c, const struct queue_outcome *outcomes);
/* What becomes of a recipient that the administrator returns. */
extern const struct queue_outcome settle_returned;
/* Seconds to wait after so many attempts have failed, with jitter. */
int64_t settle_back_off(const struct queue *q, unsigned attempts);

/* ---- clock.c ---- */
/* From time to time, and first before anything is scheduled: was the clock set?  Without a lock. */
void clock_watch(struct queue *q, int64_t now);

/* ---- commit.c ---- */
void commit_start(struct queue *q, struct op *o);
void commit_start_locked(struct queue *q, struct op *o);
/* Waits; `after` is not called. */
bool commit_wait(struct queue *q, struct op *o, struct fail *why);
void *commit_run(void *queue);
bool queue_read_counts(struct queue *q, struct fail *why);
void queue_db_lock(struct queue *q);
void queue_db_unlock(struct queue *q);
void queue_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ms);

/* ---- steer.c; with the lock ---- */

/*
 * Of a group that is claimed: what is to be done with one of its recipients afterwards; `kind` 0: nothing any more.
 * MARK_TOO_LATE: its fate is being written, so ask again when that is settled.
 */
enum marked { MARKED, MARKED_BEFORE, MARK_NOT_CLAIMED, MARK_TOO_LATE };
enum marked item_mark(struct queue *q, uint64_t head, uint64_t row, enum mark_kind kind, bool counted);
/* Is this recipient with somebody who sends it?  In doubt it is. */
bool item_has(const struct queue *q, uint64_t head, uint64_t row);

/* ---- rebuild.c ---- */

/* Before the database is opened: is it lost?  Then q->rebuilds. */
bool rebuild_prepare(struct queue *q, struct fail *why);
/* One record, in their order.  false: not now; the mark stays. */
bool rebuild_record(struct queue *q, volume_ref ref, const struct record *rec, uint64_t *restored);
void rebuild_finish(struct queue *q, uint64_t restored);

/* ---- refill.c, tend.c, home.c ---- */
void refill_destination(struct queue *q, struct destination *d);
void refill_feed(struct queue *q, int64_t now);
void refill_evict(struct queue *q, int64_t now);
void *tend_run(void *queue);
void *tend_orphans(void *queue);
void *home_run(void *queue);

#endif
