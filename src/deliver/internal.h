/*
 * deliver/internal.h - what the files of this room share.
 *
 * Layer: deliver.  A job is one record; an item is one row that it still needs.
 * The items of one account wait in its queue; a queue is worked on by at most one
 * placer at a time, which takes all of it (up to a batch) in one transaction.
 *
 *     deliver_message -> job_create -> volume_append -> queues -> placers -> rows
 *     keeper: what a crash left -> queues;  then the low-water mark, now and then
 */
#ifndef DELIVER_INTERNAL_H
#define DELIVER_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "deliver/deliver.h"
#include "base/crash_note.h"
#include "queue/queue.h"
#include "storage/volume.h"
#include "store/store.h"

struct job;

enum {
    JOB_SENDERS = 8, /* different reverse-paths with which one record may leave: see queue_id in outbound.c */
};

/* A row that is not written yet: in a queue's `waiting` or `failed`, or in a placer's hands. */
struct item {
    struct item *next;
    struct job *job;
    const struct record_target *target;
    struct quota_amount reserved; /* until it is placed */
};

/* A record, from shortly before it is appended until all its rows are there. */
struct job {
    struct arena arena;          /* carries everything here that is text or array, and the job itself */
    struct job *earlier, *later; /* in deliver.first_job.., unless it has a parent */
    struct job *parent;          /* the replay that found it, or NULL */
    volume_ref floor;            /* its reference will not be below this */
    volume_ref ref;
    uint64_t number; /* ascending: for deliver_settle */
    struct record record;
    struct record_target *targets; /* record.targets */
    struct item *items;            /* one for each local target */
    size_t item_count, outbound_count;
    unsigned owners;               /* of the record: accounts, and the queue role; 0: not known */
    struct job *next_outbound;
    struct body *body;             /* shared with who brought it, for the first hand-over; NULL: in the volume */
    bool handed, calling;          /* handed over before; being handed over to be tried: see tried.c */
    enum { WORD_NONE, WORD_TAKEN, WORD_AGAIN } word; /* what became of it, heard before that call had ended */
    int64_t hold_until;            /* its rows are not written before (RFC 4865); 0: at once */
    struct job *next_held;
    struct message_facts facts;    /* where there are items */
    size_t left; /* rows that are missing, 1 for all that leaves; for a replay also: 1 while it scans */
};

struct item_list {
    struct item *first, **last;
    size_t count;
};

/* What waits for one account; exists while there is something. */
struct account_queue {
    uint64_t account;
    struct item_list waiting;
    struct item_list failed;
    bool busy; /* a placer has it, or it is in the ready list */
    struct account_queue *next_ready;
    struct account_queue *next_retry; /* in the retry list while `failed` is not empty */
    bool in_retry_list;
    int64_t retry_at;  /* clock_mono_ms */
    unsigned back_off; /* seconds; 0: it has not failed lately */
};

/* What the queue role has still to take, in order. */
struct outbound_queue {
    struct job *first, **last;
    size_t count;
    bool failing; /* then none of it counts as waiting */
    bool gathers;
    int64_t gathers_until; /* clock_mono_ms */
    int64_t retry_at;
    unsigned back_off;
};

/* What the queue role tries from memory; with the lock. */
struct tried {
    struct idmap jobs; /* by delivery id */
    size_t calling;    /* of them, those that are being handed over: in the list of outbound.c still */
    struct job *late;  /* those whose word came early: to be released */
    pthread_cond_t any;
    bool waits; /* for `any`, for ever */
};

struct deliver {
    struct store *store;
    struct volumes *volumes;
    struct directory *directory;
    struct deliver_limits limits;
    bool tries; /* the queue role may be asked to try what comes for the first time */
    struct crash_note *note;
    struct quota_source quotas;
    struct quota_warnings warnings;

    pthread_mutex_t lock; /* over all that follows */
    pthread_cond_t work;  /* a queue became ready, or the end is near */
    pthread_cond_t room;  /* the backlog has shrunk */
    pthread_cond_t done;  /* rows were written, a job is done */
    pthread_cond_t keep;  /* for the keeper: the end is near */
    pthread_cond_t leave; /* for the outbound thread: something must leave, or the end is near */
    struct idmap queues;  /* account id to struct account_queue */
    struct account_queue *first_ready, **last_ready;
    struct account_queue *retries;
    struct job *first_job, *last_job; /* by floor: the first one's is the low-water mark */
    struct outbound_queue outbound;
    struct tried tried;
    struct job *held; /* whose rows wait for their time, in no order */
    int64_t next_held; /* seconds since 1970: the soonest of them */
    uint64_t next_number;
    uint64_t waiting, retrying; /* items */
    uint64_t kept_bytes; /* of the jobs' bodies */
    unsigned idle_placers, busy_placers;
    struct deliver_stats stats;
    bool stopping;

    pthread_t *placers;
    unsigned placer_count;
    pthread_t keeper, leaver, asker;
    volume_ref saved_mark;
    volume_ref replay_end; /* records of earlier processes are below this */
    struct job replay;     /* the job that stands for all that a crash left */
};

/* ---- hold.c ---- */

/* What was reserved in that account is the caller's from here on. */
struct quota_amount hold_take(struct deliver_hold *h, uint64_t account);

/* The mailbox of that special use; 0: `why`. */
uint64_t mailbox_for_use(struct account *a, enum special_use use, struct fail *why);

/* ---- domain.c ---- */

/* From here on the store knows domains; until the end. */
void domain_begin(struct deliver *d);
void domain_end(struct deliver *d);

/* ---- warn.c ---- */

void warn_begin(struct deliver *d);
void warn_end(struct deliver *d);
/* Sends what there is to warn of; the keeper's. */
void warn_all(struct deliver *d);

/* ---- job.c ---- */

/* The job of a message that came in: targets, prefixes, facts.  NULL: `why`. */
struct job *job_create(struct deliver *d, const struct delivery *in, struct fail *why);
/* The job of a record found in a volume, for those of its targets that `wanted` says. */
struct job *job_recover(struct deliver *d, volume_ref ref, const struct record *rec, const bool *wanted,
                        size_t wanted_count);
void job_destroy(struct job **j);
/* The message of a record, back in memory.  NULL: `why`. */
struct body *job_body(struct deliver *d, volume_ref ref, uint64_t size, struct fail *why);

/* All below: with the lock held. */

/* From here on the low-water mark stays below the job's record. */
void job_register(struct deliver *d, struct job *j);
/* `rows` of its rows were written; the job may be gone afterwards. */
void job_placed(struct deliver *d, struct job *j, size_t rows);
/* It was never appended, or there is nothing left of it. */
void job_unregister(struct deliver *d, struct job *j);

/* ---- rows.c; with the lock held ---- */

/* Every row of `j` waits for its account from here on; wakes placers. */
void rows_job(struct deliver *d, struct job *j);
/* Rows of held jobs whose time has come wait like others; milliseconds until the next one's, or -1. */
int64_t rows_held_due(struct deliver *d);
/* The next queue with something to do, NULL if there is none.  The caller has it until rows_done. */
struct account_queue *rows_next(struct deliver *d);
/* Takes up to `max` items of a queue. */
struct item *rows_take(struct account_queue *q, size_t max, size_t *count);
/* This one could not be placed: again later. */
void rows_failed(struct deliver *d, struct account_queue *q, struct item *i, const struct fail *why);
void rows_done(struct deliver *d, struct account_queue *q);
/* Queues whose time has come become ready; milliseconds until the next one's, or -1. */
int64_t rows_retry_due(struct deliver *d, int64_t now);
/* Frees what is still waiting: the end. */
void job_drop(struct job *j, size_t rows);
void rows_finish(struct deliver *d);

/* ---- outbound.c; with the lock held ---- */

/* Its body need not be read again to be handed over, if there is room for it in memory. */
void outbound_keep_body(struct deliver *d, struct job *j, struct body *body);
/* All that leaves of `j` waits for the queue role from here on. */
void outbound_queue_job(struct deliver *d, struct job *j);
/* The different reverse-paths with which a record leaves, in the order of its targets; more than JOB_SENDERS: too
 * many. */
size_t outbound_senders(const struct record *record, struct slice senders[JOB_SENDERS]);
/* May no more of that come in? */
bool outbound_is_full(const struct deliver *d);
void outbound_finish(struct deliver *d);

/* ---- tried.c; with the lock held ---- */

/* It is about to be handed over to be tried. */
void tried_begin(struct deliver *d, struct job *j);
/* It was; not `tried`: nobody will say anything of it. */
void tried_end(struct deliver *d, struct job *j, bool tried);
void tried_finish(struct deliver *d);

/* ---- notice.c ---- */

/* Who asked to hear of success (NOTIFY=SUCCESS) does, of what ended here. */
void notice_delivered(struct deliver *d, const struct delivery *in);
/* Is it too old to be tried again?  Then its sender hears of it, and the account has no claim on it any more. */
bool notice_give_up(struct deliver *d, struct item *i, const struct fail *reason);

/* ---- outbound.c, placer.c, keeper.c ---- */
void *outbound_run(void *deliver);
void *tried_run(void *deliver);
void *placer_run(void *deliver);
void *keeper_run(void *deliver);
/* Saves the low-water mark if it moved. */
void keeper_save_mark(struct deliver *d);

/* deliver_message for a thread that makes the room others wait for. */
bool deliver_now(struct deliver *d, const struct delivery *in, struct fail *why);

/* Waits, with the lock held, until the backlog has room (or the end is near). */
void deliver_wait_for_room(struct deliver *d);
/* pthread_cond_wait for at most `ms` of the clock that never jumps (< 0: for ever). */
void deliver_wait(struct deliver *d, pthread_cond_t *cond, int64_t ms);

#endif
