/*
 * store/index.h - the search index: which messages may contain a text?
 *
 * Layer: store; private to index*.c, search*.c and who tells it of changes.
 *
 * Beside each account's file lies index.db, an FTS5 table of the grams (store/grams.h)
 * of each message, by message id.  It is made in the background, behind the account:
 * it covers all messages up to an id that stands in it, in the same transaction.
 * Messages above that, and a few it cannot answer for, are for the true search alone;
 * so are those it names.  What it has of messages that are gone does not matter.
 *
 * It is derived: not synced like mail, made anew when it is damaged, of another
 * epoch of the account, made by another version of this program, or mostly of
 * messages that are gone.
 */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include "store/internal.h"

struct index_file;

/* ---- index.c: the files ---- */

/* By store_open and store_close; index_start runs between them, if it does. */
void index_init(struct store *st);
void index_finish(struct store *st);

/* An account's index, pinned, its lock held; opened or made by index_file_open.  NULL: no index is kept. */
struct index_file *index_file_lock(struct store *st, uint64_t account);
void index_file_unlock(struct index_file **f);
/* The same without its lock; the caller takes one from refs, under the set's lock. */
struct index_file *index_file_pin(struct store *st, uint64_t account);
/*
 * true: it is open and belongs to this epoch.  Without `make` FAIL_NOT_FOUND if there is
 * none, or none that is right; with it a new one is made.
 */
bool index_file_open(struct index_file *f, int64_t epoch, bool make, struct fail *why);
bool index_file_is_open(const struct index_file *f);
/* As new as its account: nothing waits.  One that is closed before that is dated 1970. */
void index_file_touch(struct index_file *f);
/* Closes it and removes it from the disk. */
void index_file_discard(struct index_file *f, const char *reason);
/* After a failed call: closes it, and removes it if it is damaged. */
void index_file_failed(struct index_file *f, const struct fail *why);

struct index_position {
    uint64_t covered;  /* all messages up to this id are in it */
    uint64_t messages; /* so many were put in, those that are gone included */
};
struct index_position index_file_position(const struct index_file *f);
/*
 * Puts the next message in: its grams, or `always` if the index cannot answer for it.
 * A transaction is begun if none is; what it holds is searched already.
 */
bool index_file_add(struct index_file *f, uint64_t message, struct slice packed, bool always, struct fail *why);
/* Is it whole in itself?  FAIL_PERM if not. */
bool index_file_check(struct index_file *f, struct fail *why);
/* How much the transaction holds; 0: there is none. */
uint64_t index_file_pending(const struct index_file *f);
bool index_file_commit(struct index_file *f, struct fail *why);

/* Message ids that may contain what `query` (grams_query) was made from. */
struct index_hits {
    uint64_t *ids; /* on the heap, in no order */
    size_t count, cap;
    uint64_t covered; /* and all above that */
};
/* false and FAIL_LIMIT: more than `max`. */
bool index_file_search(struct index_file *f, struct slice query, size_t max, struct index_hits *out,
                       struct fail *why);

/* The account is removed or made anew: its index goes. */
void index_remove(struct store *st, uint64_t account);
/* Closes files that nobody used for a while, and the oldest when they are many. */
void index_close_idle(struct store *st);

/* ---- index_make.c: the background ---- */

/* `count` messages more; cheap. */
void index_note(struct store *st, uint64_t account, uint64_t count);
/* Brings one account's index up to date, on this thread, at once. */
bool index_catch_up(struct store *st, uint64_t account, struct fail *why);
void index_stop(struct store *st);

/* For `posthorn check`. */
struct index_lag {
    bool there;
    uint64_t indexed, waiting; /* messages */
};
bool index_lag(struct account *a, struct index_lag *out, struct fail *why);
/* The same after a look at all of the file; one that is damaged is discarded: FAIL_PERM. */
bool index_check(struct account *a, struct index_lag *out, struct fail *why);

/* ---- index_search.c ---- */

/*
 * UIDs of the mailbox, as they are or were, that may contain `needle` in any text of
 * its messages.  false: nothing is known, all may; also when there are more than `most`.
 */
bool index_candidates(struct account *a, uint64_t mailbox_id, struct slice needle, size_t most,
                      struct uid_set *out);

/* ---- shared by them ---- */

/* By the store's index lock. */
struct index_work {
    uint64_t waiting;  /* messages since it was looked at */
    int64_t since_ms;  /* the first of them; 0: look at once */
    int64_t not_before_ms;
};
struct index_set {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct idmap files; /* struct index_file by account */
    unsigned open_count;
    bool closing, runs;
    uint64_t working; /* messages that the thread's present turn began with */
    pthread_t thread;
    _Atomic int64_t placed_ms; /* when a message last came, for any account */
};
struct index_file {
    struct store *store;
    uint64_t account;
    unsigned refs;          /* by the set's lock, as is `work` */
    struct index_work work;
    _Atomic int64_t used_ms;

    pthread_mutex_t lock; /* of what follows */
    struct db *db;        /* NULL: closed */
    int64_t epoch;
    struct index_position now, committed;
    uint64_t pending_bytes;
    bool behind;      /* something was put in since it was opened, but not all there is */
    int64_t retry_ms; /* not opened before */
};

#endif
