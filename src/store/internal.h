/*
 * store/internal.h - what the files of this room share.
 *
 * Layer: store; private to the room.
 *
 * An account has two locks.  `file_lock` is held over SQL and commits and guards
 * the database handle; `lock` is held for moments and guards what is in memory.
 * `state` is written with both held, so that either is enough to read it.  Order:
 * file_lock, lock, the store's lock.  Wakers are called with `lock` held.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "storage/db.h"
#include "storage/volume.h"
#include "store/quota.h"
#include "store/acl.h"
#include "store/sql.h"
#include "store/store.h"
#include "store/view.h"

struct account_row {
    uint64_t highest_modseq, next_message, next_mailbox;
    uint64_t bytes, messages;
    uint64_t forgotten_modseq; /* the log of expunges is complete above it */
};

struct mailbox_row {
    uint64_t id, parent;
    struct slice leaf, name; /* the last level, the whole path; in the state's arena */
    uint32_t uidvalidity, uidnext, first_recent;
    uint64_t highest_modseq, expunge_modseq;
    uint32_t messages, unseen, deleted;
    uint64_t bytes, deleted_bytes;
    enum special_use use;
    bool no_select;
};

struct mailbox_state {
    struct mailbox_row row;
    struct view *view;  /* as the mailbox is now; NULL: nobody has asked of late */
    uint64_t view_cost; /* what it counts for in the budget */
    int64_t view_used_ms;
    uint64_t file_modseq; /* of the view that was written to the mailbox's file last; 0: none (view_file.c) */
    int64_t file_ms;      /* when */
    struct user_view *users; /* how others see it (view_user.c); their own part of the budget */
    struct acl_entry *acl; /* ordered by identifier; in the state's arena */
    size_t acl_count;
    bool recent_taken; /* first_recent is ahead of the file's; it goes along with the next change */
};

/* What is known in memory of an account whose file is open. */
struct account_state {
    struct arena arena;
    struct account_row row;
    struct mailbox_state *boxes;  /* ordered by name (mailbox_name_cmp) */
    struct mailbox_state **by_id; /* the same, ordered by id */
    size_t box_count;
    struct slice *subscribed; /* ordered by name */
    size_t subscribed_count;
    int64_t epoch;            /* since when ids mean what they mean */
    uint64_t inode;           /* of the file */
    uint64_t annotation_modseq; /* of the last change of an annotation */
    uint64_t quota_most[QUOTA_RESOURCES]; /* the limits that hold, or QUOTA_UNLIMITED */
    bool quota_own[QUOTA_RESOURCES];      /* they stand in the file */
    unsigned quota_told[2];               /* of QUOTA_STORAGE, QUOTA_MESSAGE: see quota_warnings */
};

struct keyword_table; /* keywords.c */
struct member;        /* change.c */
struct gate_waiter;   /* gate.c */

struct account {
    struct store *store;
    uint64_t id;

    pthread_mutex_t file_lock;
    struct db *db;
    int64_t retry_ms; /* out of service until then */
    unsigned pins;    /* while a snapshot is taken the file is not closed */

    pthread_mutex_t lock;
    pthread_cond_t batch_done;
    struct account_state *state;    /* NULL while the file is closed, or when it must be read again */
    struct keyword_table *keywords; /* grows; kept as long as the account is */
    struct member *first_member, **last_member; /* changes that wait for the next transaction */
    bool leading;                               /* somebody is committing for all */
    bool removed;
    struct watch *watches;
    struct gate_waiter *waiters;
    unsigned inside;

    /* By the store's lock. */
    unsigned refs;
    struct account *newer, *older; /* among the open ones, by last use */
    bool is_open;
    bool importing; /* between import_begin and import_end */
    bool wants_checkpoint;
    _Atomic int64_t used_ms; /* also read without it */
};

enum { STORE_DAMAGED = 64 };

struct store {
    char *dir;
    _Atomic uint64_t damaged[STORE_DAMAGED]; /* records that could not be read (body.c), the latest */
    _Atomic int64_t damaged_at[STORE_DAMAGED];   /* clock_mono_ms */
    _Atomic unsigned damaged_count;
    struct volumes *volumes;
    struct store_limits limits;
    const struct text_source *text_source; /* NULL: HTML is looked at as it is */
    struct crash_note *note;               /* what is being parsed */
    struct index_set *index;               /* NULL: no search index is kept */

    pthread_mutex_t lock;
    pthread_cond_t upkeep_wanted;
    pthread_cond_t import_ended;
    struct idmap accounts;           /* those in use or open */
    struct idmap clean;              /* files this process closed in service; the keys count */
    bool was_clean;   /* the process before closed all in service, and so did this one whatever it closed */
    bool any_unclean; /* this one did not */
    struct account *newest, *oldest; /* open ones */
    struct account *spare;           /* memory for more; linked by `newer` */
    struct account_slab *slabs;
    unsigned open_count;
    unsigned checkpoints_wanted;
    bool closing;
    _Atomic uint64_t view_bytes; /* of all views that are some mailbox's newest */
    pthread_t upkeep, daily;
    bool upkeep_runs, daily_runs;
    pthread_cond_t daily_wanted;

    pthread_mutex_t quota_lock; /* what is known of quotas (quota.c); the innermost lock */
    struct idmap quotas;        /* account id to struct quota_entry */
    struct idmap quota_groups;  /* domain id to struct quota_group */
    pthread_mutex_t quota_scan; /* over what follows: domains whose sum is made; before any account's locks */
    pthread_cond_t quota_news;  /* one is made, or could not be; or there is another */
    struct quota_domain *quota_wanted; /* they wait, the first is being counted */
    size_t quota_wanted_count, quota_wanted_room;
    pthread_t quota_counter;
    bool quota_counter_runs;
    _Atomic bool quota_counter_stops;
    const struct quota_source *quota_source; /* NULL: there are no domains */
    const struct quota_warnings *quota_warnings; /* NULL: none are sent */
    struct idmap quota_crossed, quota_domains_crossed; /* ids of who should be told of; keys count */
    size_t quotas_max;

    pthread_mutex_t lease_lock; /* backup.c; held over a sweep, before any other lock */
    unsigned leases;
    pthread_mutex_t share_lock; /* share.c; before any account's locks */
    struct {
        pthread_mutex_t lock;
        struct sort_table *newest, *oldest; /* kept, by last use */
        uint64_t bytes;
    } sorts;

    pthread_mutex_t node_lock; /* node.db and the numbers below */
    struct db *node;
    uint32_t uidvalidity_last, uidvalidity_reserved;
    uint64_t low_water;
};

/* ---- account.c: the file of an account, opened when needed ---- */

enum { STORE_PATH_BYTES = 4096 };
/* DIR/accounts/ab/cd/ID/mail.db, or DIR/snapshots/...; false with FAIL_LIMIT if that is too long. */
bool account_path(const struct store *st, const char *folder, uint64_t id, const char *file,
                  char out[STORE_PATH_BYTES], struct fail *why);
/* Takes file_lock, with the file open and `state` there; or neither. */
bool account_lock(struct account *a, struct fail *why);
void account_unlock(struct account *a);
/* Takes `lock` with `state` there, or nothing: for what needs no SQL. */
bool account_peek(struct account *a, struct fail *why);
/* Writes what memory is ahead of and closes the file; file_lock held. */
void account_close_file(struct account *a);
/* Drops `state`, which is no longer what the file says; file_lock held. */
void account_forget_state(struct account *a);
/* Reads `state` anew from the file (mailboxes were made, renamed or deleted); file_lock held. */
bool account_reload(struct account *a, struct fail *why);

/* ---- account_make.c ---- */

/* A new file with the first mailboxes; FAIL_EXISTS if it is one already. */
bool account_make_file(struct store *st, uint64_t id, const char *path, struct fail *why);
/* Calls `each` for every account's folder with `behind` put behind the id in its name. */
bool account_walk(struct store *st, const char *behind, bool (*each)(void *ctx, uint64_t id), void *ctx,
                  struct fail *why);

/* ---- account_remove.c ---- */

/* Removals that a crash cut short. */
bool account_finish_removals(struct store *st, struct fail *why);

/* ---- store.c: the open accounts ---- */

/* An open account file with its page cache, statements and what state.c keeps of it, as measured. */
enum { HANDLE_BYTES = 172 * 1024 };

/* Counts one more user of an account there is a file for, or that is being made. */
struct account *store_pin(struct store *st, uint64_t id);
void store_unpin(struct account *a);
/* It was used just now; it became open; it was closed. */
void store_touch(struct account *a);
void store_opened(struct account *a);
void store_closed(struct account *a, bool clean);
/* Did this process close the account's file, in service, of late, or the one before?  Then what is in it is durable. */
bool store_knows_clean(struct store *st, uint64_t id);
void store_forget_clean(struct store *st, uint64_t id);
/* Is the file of the account least recently used to be closed?  Pinned and with file_lock held, or NULL. */
struct account *store_take_oldest(struct store *st, int64_t unused_since_ms);
/* One that asked for a checkpoint: pinned, or NULL. */
struct account *store_take_checkpoint(struct store *st);
/* Do the open files cost more than so much of the budget?  Wakes the background if so. */
bool store_over_budget(struct store *st, unsigned percent);
void store_want_checkpoint(struct account *a);
/* All open ones, the longest unused first, pinned; the list is the caller's. */
size_t store_pin_open(struct store *st, struct account ***out);

/* ---- state.c ---- */

bool account_state_load(struct account *a, struct db *db, struct account_state **out, struct fail *why);
void account_state_free(struct account *a, struct account_state **s);
struct mailbox_state *state_mailbox(const struct account_state *s, uint64_t id);
/* The same, with FAIL_NOT_FOUND if there is none. */
struct mailbox_state *state_need_mailbox(const struct account_state *s, uint64_t id, struct fail *why);
struct mailbox_state *state_mailbox_named(const struct account_state *s, struct slice name);
/* One mailbox's row by SQL, names not filled in.  FAIL_NOT_FOUND. */
bool mailbox_row_read(struct db *db, uint64_t id, struct mailbox_row *out, struct fail *why);
/* Makes `v` (NULL: none) the newest view of a mailbox; takes the caller's reference.  Both locks held. */
void state_set_view(struct account *a, struct mailbox_state *box, struct view *v);

/* Path order: a level before everything below it, INBOX before all. */
int mailbox_name_cmp(struct slice a, struct slice b);
bool mailbox_name_is_inbox(struct slice name);

/* ---- change.c: transactions ---- */

/* A mailbox as the transaction under way will leave it. */
struct change_box {
    struct mailbox_row row;
    struct view *view; /* NULL: nobody needs one */
    bool changed;
};

/* For journals. */
struct change_event {
    struct watch_event what;
    pthread_t by;
};

struct change {
    struct account *account;
    struct db *db;
    struct account_row row;
    struct change_box **boxes;
    size_t box_count;
    uint64_t modseq;   /* drawn by the member that runs; 0: not yet */
    pthread_t by;      /* whose thread asked for the member that runs */
    struct change_event *events;
    size_t event_count, event_cap;
    bool wrote;        /* by any member */
    struct view *seen; /* rows of `seen_by` that changed in `seen_in`, by a member that runs alone; NULL: none */
    uint64_t seen_by, seen_in;
    bool annotated;    /* annotations changed */
    struct quota_amount returned; /* was reserved for what are rows now */
    struct quota_amount taken;    /* of that, by the transaction itself */
    const unsigned *told;         /* the new state.quota_told; NULL: as it was */
    bool restructured; /* mailboxes or subscriptions changed: `state` is read anew */
};

typedef bool change_fn(struct change *c, void *ctx, struct fail *why);
/* CHANGE_TOGETHER shares a transaction with others that come at the same time; CHANGE_ALONE does not. */
enum change_kind { CHANGE_TOGETHER, CHANGE_ALONE };
/*
 * Runs `apply` in a transaction, on this thread or on another that commits for
 * both.  True: durable, and in the views.  What apply put into *ctx is true only
 * then.  `apply` must touch nothing but the change and its ctx.
 */
bool change_run(struct account *a, enum change_kind kind, change_fn *apply, void *ctx, struct fail *why);
/* This member's modseq, the same however often it asks. */
uint64_t change_modseq(struct change *c);
/* FAIL_NOT_FOUND if there is no such mailbox (any more), or none that holds messages. */
struct change_box *change_box(struct change *c, uint64_t mailbox_id, struct fail *why);
/* The box has this member's modseq now and will be written. */
void change_touch(struct change *c, struct change_box *box);
/* Notes for journals what happens to a mailbox; `name`: see watch_event, empty elsewhere. */
void change_event(struct change *c, uint64_t mailbox_id, enum watch_kind kind, struct slice name);
/* The same for new messages. */
void change_event_new(struct change *c, uint64_t mailbox_id, uint32_t first, uint32_t last);
/* Forgets all but the first `keep`. */
void change_events_cut(struct change *c, size_t keep);
/* Sees to it that box->view is there. */
bool change_view(struct change *c, struct change_box *box, struct fail *why);

/* ---- view.c, view_edit.c, view_load.c ---- */

/* As the row says, without any entries. */
struct view *view_empty(const struct mailbox_row *box);
/* A mailbox's entries by SQL. */
bool view_load(struct db *db, const struct mailbox_row *box, struct view **out, struct fail *why);
/* Roughly what a view costs in memory. */
uint64_t view_bytes(const struct view *v);
/*
 * Editing: *v is made the caller's own first, copying what others share.  The
 * caller sets uidnext and modseq by view_stamp.
 */
void view_append(struct view **v, struct view_entry e);                 /* uid above all */
void view_set(struct view **v, uint32_t position, struct view_entry e); /* same uid */
/* `each` makes of the entries from a position on what they are to be, but for their UIDs. */
void view_change(struct view **v, uint32_t position, uint32_t count, void (*each)(void *ctx, struct view_entry *e),
                 void *ctx);
void view_remove(struct view **v, const struct uid_set *gone);
void view_stamp(struct view **v, uint32_t uidnext, uint64_t modseq);

/* ---- view_file.c ---- */

/* A mailbox's view from its file; NULL if there is none that is of today.  file_lock held. */
struct view *view_file_load(struct account *a, const struct mailbox_row *row);
/* Is there something in it that the rows do not say?  Then it is removed.  file_lock held. */
bool view_file_check(struct account *a, const struct mailbox_row *row, bool *differs, struct fail *why);
/*
 * Writes the views that nobody has asked for since and that changed after they were written.  Takes `lock`
 * for moments; without file_lock, so that nobody waits.
 */
void view_files_keep(struct account *a, int64_t unused_since_ms);
/* At the end: all that changed, however lately they were written, but none is begun after until_ms. */
void view_files_keep_last(struct account *a, int64_t until_ms);
/* Of a mailbox that is gone; of all. */
void view_file_remove(const struct account *a, uint64_t mailbox);
void view_files_remove(struct account *a);

/* ---- view_user.c ---- */

/* How a user sees a mailbox as the change finds it; counted.  He can be asked for after it. */
bool view_for_change(struct change *c, struct change_box *box, uint64_t user, struct view **out, struct fail *why);
/* What he has seen has changed so; `lock` held. */
void user_views_changed(struct store *st, struct mailbox_state *box, uint64_t user, const struct view *rows);
/* Frees those unused since then (INT64_MAX: all); bytes of the budget.  `lock` held, and file_lock. */
uint64_t user_views_drop(struct store *st, struct mailbox_state *box, int64_t unused_since_ms);
/* A view with one entry more, whose uid is above all. */
void view_put_row(struct view **v, uint32_t uid, uint32_t flags, uint64_t modseq);

/* ---- keywords.c ---- */

enum { KEYWORD_SET_MAX = (1 << 26) - 1 }; /* view_internal.h packs a set's id into so many bits */

bool keyword_table_load(struct account *a, struct db *db, struct fail *why);
void keyword_table_free(struct account *a);
/* The id of the set `base` with `names` added, removed, or replaced by them; a new set is written along. */
bool keyword_set_change(struct change *c, uint32_t base, enum flag_op op, const struct slice *names,
                        size_t count, uint32_t *id, struct fail *why);
/* Sets written by this transaction are durable now (or not, and will be written again). */
void keyword_table_committed(struct account *a, bool ok);

/* ---- quota.c ---- */

void quota_init(struct store *st);
void quota_finish(struct store *st);
/*
 * What `state` says is what counts from here on, and so much is reserved no more.  `lock` held; with no
 * `state` all that was known is forgotten.
 */
void quota_note(struct account *a, struct quota_amount returned);
/* May this transaction add so much, or one mailbox? */
bool quota_admits(struct change *c, struct quota_amount more, struct fail *why);
bool quota_admits_mailbox(const struct change *c, struct fail *why);
/* The account is removed: it holds nothing any more. */
void quota_forget_account(struct store *st, uint64_t id);
/* What is known of domains goes from one process to the next, if that ends in order; in a transaction of node.db. */
bool quota_save(struct store *st, struct fail *why);
/* Ends the counting of domains, where there is any. */
void quota_stop_counting(struct store *st);
bool quota_load(struct store *st, struct fail *why);
/* Is what is kept in memory what the file says?  file_lock held. */
bool quota_check(struct account *a);
/* Takes the limits out of SQL_ACCOUNT_READ's row; one column for each resource from `column` on. */
void quota_of_row(const struct store *st, struct account_state *s, struct db_stmt *q, int column);

/* ---- mailbox_change.c ---- */

/*
 * mailbox_create for mail that was elsewhere before: without the rights of the level above, as those who have them could
 * not read it there.
 */
bool mailbox_create_alone(struct account *a, struct slice name, enum special_use use, uint64_t *id, struct fail *why);
/* The same for mail that must go somewhere, whatever the quota says. */
bool mailbox_create_anyway(struct account *a, struct slice name, uint64_t *id, struct fail *why);

/* ---- row.c: a message becomes rows ---- */

struct new_message {
    volume_ref ref;
    const struct message_facts *facts;
    struct slice prefix;
    int64_t internal_date;
    int internal_zone;
    uint32_t flags, keyword_set;
    struct slice uidl; /* brought along; empty: none */
};
bool row_add_message(struct change *c, const struct new_message *m, uint64_t *message_id, struct fail *why);
/* Puts a message into a mailbox: the row, the counts, the view. */
bool row_add_entry(struct change *c, struct change_box *box, uint64_t message_id, const struct new_message *m,
                   uint32_t *uid, struct fail *why);
/* The same for one that there is already: of *m only flags and keyword set count; `size` with its prefix. */
bool row_put_entry(struct change *c, struct change_box *box, uint64_t message_id, const struct new_message *m,
                   uint64_t size, uint32_t *uid, struct fail *why);
/* `count` UIDs more for a mailbox; FAIL_LIMIT when they run out. */
bool row_take_uids(struct change_box *box, uint64_t count, uint32_t *first, struct fail *why);
/* Adds a message with these flags to the counts of its mailbox and account. */
void row_count(struct change *c, struct change_box *box, uint32_t flags, uint64_t size);

/* What a message's row says of its record. */
struct reference {
    uint64_t id;
    volume_ref ref;
    uint64_t size, prefix;
    bool cached;
};
/* Up to `max` messages with ids above `after`, in order. */
bool row_references(struct db *db, uint64_t after, struct reference *out, size_t max, size_t *count,
                    struct fail *why);

/* ---- thread_id.c: which thread a message belongs to ---- */

/* Of a message that is being put in: one that shares a key with it, or a new one with its own id. */
bool thread_find(struct db *db, uint64_t message_id, const struct message_references *refs, uint64_t *thread,
                 struct fail *why);
/* Of one that has none yet; whose thread is known keeps it, and its keys are noted again. */
bool thread_adopt(struct db *db, uint64_t message_id, const struct message_references *refs, uint64_t *thread,
                  struct fail *why);

/* ---- facts.c ---- */

/*
 * As message_facts_compute, and of a message in the volumes.  One that was being parsed at
 * two crashes is not parsed again, but plain.
 */
bool facts_of_body(struct store *st, const struct body *body, struct arena *a, struct message_facts *out,
                   struct fail *why);
bool facts_of_record(struct store *st, volume_ref ref, uint64_t size, struct arena *a,
                     struct message_facts *out, struct fail *why);

/* message_facts.line_extra of a record's message by itself. */
bool facts_line_extra(struct store *st, volume_ref ref, uint64_t size, uint64_t *out, struct fail *why);

/* ---- uidl.c: unique-ids (store/maildrop.h) ---- */

/*
 * What of a unique-id that a new message brought along its row keeps: nothing where it is no valid one, or where
 * it is what a message of this account is called by its reference.
 */
bool uidl_to_keep(struct db *db, struct slice uidl, struct slice *keep, struct fail *why);
/*
 * Entries from `first` to `last` were put into a mailbox: those whose unique-id an earlier one has get another.
 * To be called after every way of putting messages into INBOX; does nothing for other mailboxes.
 */
bool uidl_tell_apart(struct change *c, const struct change_box *box, uint32_t first, uint32_t last, struct fail *why);
/* How a record that is not a delivery carries it (record_target.options, first of all), and back. */
struct slice uidl_as_option(struct arena *a, struct slice uidl);
struct slice uidl_of_option(struct slice options);

/* ---- import.c ---- */

struct import_origin;
/* How the record of a message that was imported carries where it came from, behind other options; and back. */
struct slice import_as_option(struct arena *a, struct slice others, const struct import_origin *from);
bool import_of_option(struct slice options, struct import_origin *out);
/* Remembers the message; import_note_again also its source, of which `from` knows only the name, and that it is now this mailbox. */
bool import_note(struct change *c, const struct import_origin *from, uint32_t uid, struct fail *why);
bool import_note_again(struct change *c, const struct change_box *box, const struct import_origin *from, uint32_t uid, struct fail *why);

/* ---- uidset.c ---- */

/* The same UIDs as ranges in ascending order that neither overlap nor touch; on the heap. */
struct uid_set uid_set_of_ranges(const struct uid_range *ranges, size_t count);

/* ---- run.c ---- */

/* Messages that stand side by side in a view: all rows of the mailbox with UIDs from first to last. */
struct view_run {
    uint32_t position, count;
    uint32_t first, last;
    uint32_t class; /* what the classifier said of every one of them */
};
struct view_runs {
    struct view_run *list; /* on the heap */
    size_t count;
    uint64_t messages;
};
/* What is to be done with a message?  0: nothing.  Runs break where the answer changes. */
typedef uint32_t run_classify(void *ctx, const struct view_entry *e);
/* Those of `ranges` (NULL: all), in order of UID. */
struct view_runs view_runs_find(const struct view *v, const struct uid_range *ranges, size_t range_count,
                                run_classify *classify, void *ctx);
void view_runs_finish(struct view_runs *r);
uint32_t run_take_all(void *ctx, const struct view_entry *e); /* a classifier */

/* ---- expunge.c ---- */

/* Takes runs of `v` (the box's view, or an earlier one that still holds) out of the mailbox. */
bool expunge_runs(struct change *c, struct change_box *box, const struct view_runs *runs, struct fail *why);

/* ---- copy.c ---- */

bool copy_move_all(struct change *c, uint64_t from, uint64_t to, struct fail *why);

/* ---- watch.c ---- */

/* Marks and wakes who watches the mailboxes of `c` that changed (NULL: all); `lock` held. */
void watch_tell(struct account *a, const struct change *c);

/* ---- node.c ---- */

bool node_open(struct store *st, struct fail *why);
/* All accounts are closed: the next process need not sync what this one, or the one before, has synced. */
void node_mark_clean(struct store *st);
void node_close(struct store *st);
bool node_new_uidvalidity(struct store *st, uint32_t *out, struct fail *why);
/* A mailbox has got that one from elsewhere: those to come will be higher. */
bool node_note_uidvalidity(struct store *st, uint32_t value, struct fail *why);
/* A record that an account gives back. */
struct node_release {
    volume_ref ref;
    uint64_t size;
    unsigned owners; /* accounts that it was written for, and the queue role; 0: there is no such record */
    bool by_all;     /* out: nobody needs it any more */
};
bool node_release(struct store *st, uint64_t account, struct node_release *list, size_t count,
                  struct fail *why);
/* By this account, or by all (account 0 asks only that). */
bool node_is_released(struct store *st, volume_ref ref, uint64_t account, bool *released, struct fail *why);
/* Records released by all, in order, above `after`. */
bool node_released(struct store *st, volume_ref after, struct node_release *out, size_t max, size_t *count,
                   struct fail *why);
/* Those of the list that have no owners are forgotten. */
bool node_forget_gone(struct store *st, struct node_release *list, size_t count, struct fail *why);

/* Around every use of st->node. */
void node_lock(struct store *st);
void node_unlock(struct store *st);

/* ---- acl.c, share.c ---- */

/* The entries of all mailboxes; s->by_id is there. */
bool acl_load(struct account_state *s, struct db *db, struct fail *why);
void share_lock(struct store *st);
void share_unlock(struct store *st);
/* With share_lock: an identifier will be named by an entry of the account; those none names any more go. */
bool share_add(struct account *a, struct slice identifier, struct fail *why);
bool share_tidy(struct account *a, struct fail *why);
/* All that the account's entries name, anew; takes share_lock. */
bool share_index(struct account *a, struct fail *why);
bool share_forget_owner(struct store *st, uint64_t id, struct fail *why);
bool share_is_indexed(struct account *a, struct slice identifier, bool *yes, struct fail *why);

/* ---- release.c ---- */

/* Expunged rows whose time has come; records that no row needs become dead ones. */
bool release_purge(struct account *a, int64_t now, struct fail *why);
/* The same at once, and for all that was expunged with `all`. */
struct purge_result;
bool release_purge_now(struct account *a, bool all, struct purge_result *out, struct fail *why);
/* Dead ones are released. */
bool release_sweep(struct account *a, struct fail *why);
/* Releases records for an account; tells the volumes of those it was the last owner of. */
bool release_records(struct store *st, uint64_t account, struct node_release *list, size_t count,
                     struct fail *why);
/* An account's dead records above `after`, in order. */
bool release_read_dead(struct db *db, volume_ref after, struct node_release *out, size_t max, size_t *count,
                       struct fail *why);
/* Has the volumes give space back. */
bool release_reclaim(struct store *st, int64_t now, struct fail *why);
/* After a start: the volumes are told again what is released. */
bool release_announce(struct store *st, struct fail *why);

/* Does the account have a row for the record, or did it have one? */
bool release_is_accounted_for(struct store *st, uint64_t account, volume_ref ref, bool *yes,
                              struct fail *why);

/* ---- snapshot.c ---- */

/* A copy of the account's file, taken in steps; `lasting`: it is to outlive a crash. */
bool snapshot_copy(struct account *a, const char *path, bool lasting, struct fail *why);

/* ---- renew.c ---- */

/* Nothing that a client remembers of an account's file may mean something else in this one; a transaction of its own. */
bool renew_file(struct store *st, struct db *db, struct fail *why);

/* ---- daily.c ---- */

/* What is due for one account at that time: purge, sweep, snapshot. */
bool daily_account(struct store *st, uint64_t id, int64_t now, struct fail *why);
bool daily_start(struct store *st, struct fail *why);
void daily_stop(struct store *st);

/* ---- sort_table.c ---- */

/* Kept tables of an account (0: all) that nobody has used since; bytes freed. */
uint64_t sort_tables_drop(struct store *st, uint64_t account_id, int64_t unused_since_ms);

/* ---- upkeep.c ---- */

bool upkeep_start(struct store *st, struct fail *why);
void upkeep_stop(struct store *st);

#endif
