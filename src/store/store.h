/*
 * store/store.h - mail as its users know it: accounts, mailboxes, messages, flags.
 *
 * Layer: store.  Knows no protocol: IMAP, POP3, JMAP and delivery all call this.
 * Every call names its account; every change is durable when the call returns
 * true; what a call shows is durable too.  Calls may come from any thread and
 * may wait (they stand between block_begin() and block_end() where they do).
 *
 * Ids of accounts and mailboxes are never used twice.  Names of mailboxes are
 * UTF-8 in NFC, levels separated by '/', INBOX in capitals.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <pthread.h>

#include "base/arena.h"
#include "base/body.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/waker.h"
#include "message/references.h"
#include "store/quota.h"

struct store;
struct account; /* one account, shared by all who use it */
struct volumes;

struct store_limits {
    uint64_t view_bytes;           /* memory for cached views; default 64 MB */
    unsigned view_file_messages;   /* the lists of mailboxes with so many are kept in files; default 5000; 0: none */
    uint64_t sort_bytes;           /* memory for what messages are sorted and threaded by; default 256 MB */
    unsigned sort_idle_seconds;    /* the same unused for that long is dropped; default 600 */
    uint64_t handle_bytes;         /* memory for open account files; default 64 MB */
    unsigned handle_idle_seconds;  /* an account file unused for that long is closed; default 30 */
    unsigned name_bytes;           /* of a mailbox name, whole; default 1000 */
    unsigned name_levels;          /* default 32 */
    unsigned mailboxes;            /* per account; default 10000 */
    unsigned keywords;             /* different ones per account; default 2000 */
    unsigned keywords_per_message; /* default 200 */
    unsigned keyword_sets;         /* combinations of them per account, keyword_bytes each; default 10000 */
    unsigned keyword_bytes;        /* of one; default 100 */
    unsigned workers_per_account;  /* that may wait for one account at a time; default 4 */
    unsigned keep_expunged_days;   /* default 14 */
    unsigned change_log_days;      /* expunges and mailbox changes are remembered for clients; default 60 */
    unsigned annotations;          /* of one mailbox, shared or of one user; default 200 */
    unsigned annotation_bytes;     /* of a value; default 32768 */
    unsigned snapshot_hours;       /* between automatic snapshots of account files; default 24; 0: none */
    unsigned search_index;         /* 1: an index for searching text is kept, the default; 0: none */
    uint64_t index_memory;         /* for what is not written to an index yet; default 16 MB */
    uint64_t quota_bytes;          /* an account may hold (quota.h) unless it has a limit of its own; default 0: any */
    uint64_t quota_messages;       /* the same */
    uint64_t quota_mailboxes;      /* the same */
};
void store_limits_default(struct store_limits *l);

/*
 * `dir` holds accounts/, snapshots/ and node.db.  `volumes` must outlive the store.
 * Starts the background thread (checkpoints, eviction, snapshots, purge, reclaim).
 */
bool store_open(const char *dir, struct volumes *volumes, const struct store_limits *limits,
                struct store **out, struct fail *why);
void store_close(struct store **st);

/*
 * Turns HTML into the text that its reader sees, for searching.  The parser lives in
 * another process, since strangers write what it reads: so it may be away.
 */
enum text_result {
    TEXT_NONE,    /* there was no HTML to turn, or too much of it */
    TEXT_MADE,    /* into *out, UTF-8 */
    TEXT_REFUSED, /* it will not be better for asking again: beyond the parser's limits, or the end of it */
    TEXT_AWAY,    /* not now */
};
struct text_source {
    /* `html` without its transfer encoding; `charset` as Content-Type says, "" if it does not.  May wait. */
    enum text_result (*html)(void *ctx, struct slice html, struct slice charset, struct buf *out);
    void *ctx;
    size_t html_max; /* longer HTML is looked at as it is */
};
/* Before anybody searches; *source must outlive the store. */
void store_set_text_source(struct store *st, const struct text_source *source);
/* Starts the thread that keeps the search index up to date, after the text source was set. */
bool store_index_start(struct store *st, struct fail *why);
/* Messages that came since their account's index was last looked after. */
uint64_t store_index_waiting(struct store *st);

/* ---- accounts ---- */

/* Makes the file with INBOX, Drafts, Sent, Junk, Trash, Archive (SPECIAL-USE, RFC 6154), subscribed.
 * FAIL_EXISTS if there is one. */
bool store_account_create(struct store *st, uint64_t account_id, struct fail *why);
/* Removes the file; its bodies are released.  Sessions using it see FAIL_OUT_OF_SERVICE. */
bool store_account_remove(struct store *st, uint64_t account_id, struct fail *why);
/*
 * Makes `*out` the caller's until account_release().  FAIL_NOT_FOUND, FAIL_OUT_OF_SERVICE.
 * Looks only whether there is a file; it is opened by the first call that needs it.
 */
bool store_account(struct store *st, uint64_t account_id, struct account **out, struct fail *why);
void account_release(struct account **a);
struct account *account_ref(struct account *a); /* one more user */
uint64_t account_id(const struct account *a);
/* Calls `each` for every account there is a file for. */
bool store_each_account(struct store *st, bool (*each)(void *ctx, uint64_t account_id), void *ctx,
                        struct fail *why);

struct account_usage {
    uint64_t bytes, messages, highest_modseq;
};
bool account_usage(struct account *a, struct account_usage *out, struct fail *why);

/*
 * At most `workers_per_account` sessions run commands of one account at a time.
 * true: in; call account_leave() after.  false: `w` is woken when it is worth
 * trying again (and was not queued twice).  account_forget() takes a waker back.
 */
bool account_enter(struct account *a, struct waker w);
void account_leave(struct account *a);
void account_forget(struct account *a, struct waker w);

/* ---- mailboxes ---- */

/* What somebody may do with a mailbox (RFC 4314 section 2.1). */
enum {
    RIGHT_LOOKUP = 1,            /* l */
    RIGHT_READ = 2,              /* r */
    RIGHT_SEEN = 4,              /* s */
    RIGHT_WRITE = 8,             /* w */
    RIGHT_INSERT = 16,           /* i */
    RIGHT_POST = 32,             /* p */
    RIGHT_CREATE = 64,           /* k */
    RIGHT_DELETE_MAILBOX = 128,  /* x */
    RIGHT_DELETE_MESSAGES = 256, /* t */
    RIGHT_EXPUNGE = 512,         /* e */
    RIGHT_ADMINISTER = 1024,     /* a */
    RIGHTS_ALL = 2047,
};

enum special_use { USE_NONE, USE_ALL, USE_ARCHIVE, USE_DRAFTS, USE_FLAGGED, USE_JUNK, USE_SENT, USE_TRASH };

struct mailbox_info {
    uint64_t id;
    struct slice name; /* whole path */
    uint32_t uidvalidity, uidnext,
        first_recent; /* UIDs from first_recent on are \Recent for the next who selects */
    uint64_t highest_modseq;
    uint32_t messages, unseen, deleted; /* deleted: with \Deleted */
    uint64_t bytes, deleted_bytes;
    enum special_use use;
    bool subscribed, has_children;
    bool has_acl;   /* somebody else has, or had taken from him, rights in it (store/acl.h) */
    bool no_select; /* exists only as a level above others */
};

/* The account's mailboxes as they are now, ordered by name with INBOX first; immutable, counted. */
struct mailbox_list {
    const struct mailbox_info *items;
    size_t count;
    const struct slice *subscribed_only; /* names subscribed to that no longer exist */
    size_t subscribed_only_count;
};
bool mailbox_list(struct account *a, const struct mailbox_list **out, struct fail *why);
void mailbox_list_release(const struct mailbox_list **l);
/* In the list, NULL if there is none.  `INBOX` in any case. */
const struct mailbox_info *mailbox_in_list(const struct mailbox_list *l, struct slice name);
/* By name (in any spelling that mailbox_name_check makes the same) or by id, into the arena.  FAIL_NOT_FOUND.
 */
bool mailbox_find(struct account *a, struct slice name, struct arena *arena, struct mailbox_info *out,
                  struct fail *why);
bool mailbox_get(struct account *a, uint64_t mailbox_id, struct arena *arena, struct mailbox_info *out,
                 struct fail *why);

/*
 * Names are brought into NFC and checked: UTF-8, no control characters, no empty
 * level, no leading or trailing '/', limits.  FAIL_INVALID, FAIL_LIMIT.
 */
bool mailbox_name_check(struct arena *arena, struct slice name, const struct store_limits *limits,
                        struct slice *out, struct fail *why);

/* Levels above it are made too (as no_select).  FAIL_EXISTS. */
bool mailbox_create(struct account *a, struct slice name, enum special_use use, uint64_t *id,
                    struct fail *why);
/* With inferiors: its messages go and it becomes no_select (RFC 3501 section 6.3.4).  INBOX:
 * FAIL_NOT_ALLOWED. */
bool mailbox_delete(struct account *a, struct slice name, struct fail *why);
/* Inferiors move along.  INBOX: its messages move to the new name, INBOX stays, its inferiors too (RFC 3501
 * section 6.3.5). */
bool mailbox_rename(struct account *a, struct slice from, struct slice to, struct fail *why);
/* By name; the mailbox need not exist. */
bool mailbox_subscribe(struct account *a, struct slice name, bool on, struct fail *why);

/* ---- UIDs ---- */

struct uid_range {
    uint32_t first, last;
}; /* first <= last, both inclusive */

/* Ascending, without overlaps, in an arena or heap of the caller's. */
struct uid_set {
    struct uid_range *ranges;
    size_t count, cap;
};
/* Appends; uid must be above all in the set (or in its last range). */
void uid_set_add(struct uid_set *s, uint32_t uid);
void uid_set_add_range(struct uid_set *s, uint32_t first, uint32_t last); /* above all in the set */
void uid_set_finish(struct uid_set *s); /* frees; sets made by this header's calls are on the heap */
uint64_t uid_set_size(const struct uid_set *s);
bool uid_set_has(const struct uid_set *s, uint32_t uid);

/* ---- messages ---- */

enum {
    STORE_SEEN = 1,
    STORE_ANSWERED = 2,
    STORE_FLAGGED = 4,
    STORE_DELETED = 8,
    STORE_DRAFT = 16,
    STORE_FLAGS = 31, /* all of them */
};

/* What is computed once from a message's bytes; slices live in the arena given. */
struct message_facts {
    uint64_t size;          /* bytes without any prefix */
    struct slice envelope;  /* message/envelope.h */
    struct message_references references;
    struct slice structure; /* mime_pack */
    struct slice preview;
    int repeats; /* envelope_repeats(); -1: what the envelope says of its strings may not be all */
    int64_t line_extra; /* octets more where every line ends in CRLF, the last one too; -1: not counted */
};
bool message_facts_compute(const struct body *body, struct arena *a, struct message_facts *out,
                           struct fail *why);
/* What a message that cannot be parsed is still: text of that size, with an empty envelope. */
void message_facts_plain(struct arena *a, uint64_t size, struct message_facts *out);
/* A copy that lives in `a`. */
struct message_facts message_facts_keep(struct arena *a, const struct message_facts *f);

struct append_item {
    const struct body *body;
    uint32_t flags;
    const struct slice *keywords;
    size_t keyword_count;
    int64_t internal_date; /* seconds since 1970 */
    int internal_zone;     /* minutes east of UTC */
    struct slice uidl;     /* its unique-id elsewhere (RFC 1939), kept if uidl_is_valid (store/maildrop.h); empty: none */
    const struct import_origin *origin; /* where it was imported from (store/import.h); NULL: it was not */
    uint32_t uid;          /* out */
};
/* All or none; UIDs ascend in order.  Durable when it returns. */
bool message_append(struct account *a, uint64_t mailbox_id, struct append_item *items, size_t count,
                    uint32_t *uidvalidity, uint64_t *modseq, struct fail *why);

/*
 * The same one by one, so that nobody has to hold them all: each is written when
 * it is added (its body may go after that) and becomes a row by appender_commit.
 * What was not committed is given back by appender_destroy.
 */
struct appender;
struct appended {
    uint32_t uidvalidity, first_uid; /* the n-th got first_uid + n, unless UIDs were wished for */
    uint64_t modseq;
    size_t renumbered; /* got another UID than was wished for */
};
struct appender *appender_create(struct account *a, uint64_t mailbox_id);
/* \Seen of the messages will be that user's own (flag_change.user); before anything is added. */
void appender_for(struct appender *p, uint64_t user);
/*
 * The commit also takes message `uid` out of that mailbox of the account (RFC 8508); it must be there then.
 * Said before anything is added: its room in the quota is the new one's.
 */
void appender_replaces(struct appender *p, uint64_t mailbox_id, uint32_t uid);
/* The quota does not count. */
void appender_over_quota(struct appender *p);
/* Said after a commit that failed with FAIL_LIMIT: the next is without any keywords. */
void appender_drop_keywords(struct appender *p);
bool appender_add(struct appender *p, const struct append_item *item, struct fail *why);
/* Has the account's quota room for one more of that size just now?  Before all of it is there. */
bool appender_may_add(struct appender *p, uint64_t bytes, struct fail *why);
size_t appender_count(const struct appender *p);
/* All or none. */
bool appender_commit(struct appender *p, struct appended *out, struct fail *why);
/* Fine on NULL; leaves *p NULL. */
void appender_destroy(struct appender **p);

/* Is there room for `bytes` more above the disk's reserve? */
bool store_has_space(struct store *st, uint64_t bytes, struct fail *why);

/* A delivery that is on stable storage already becomes a row. */
struct record_target;
/* Where a message went; uid 0: it was there already. */
struct placed_at {
    uint32_t uid;
    char mailbox[80]; /* its name, cut, NUL-terminated */
};
struct place_item {
    uint64_t ref;                       /* volume_ref of the record; also the delivery id */
    struct quota_amount reserved;       /* for it; no more once it is placed */
    const struct record_target *target; /* its account is `a`; a mailbox that is gone means INBOX */
    const struct message_facts *facts;  /* NULL: they are computed from the record */
    int64_t internal_date;
    int internal_zone;
    struct placed_at *at;               /* filled in; NULL: nobody wants to know */
};
/* Repeating is harmless: a delivery id that the account has is skipped. */
bool message_place(struct account *a, const struct place_item *items, size_t count, struct fail *why);
/* Has this account got that delivery (or had it and expunged it)? */
bool message_was_placed(struct account *a, uint64_t ref, bool *placed, struct fail *why);

/* A message in one mailbox, for fetching.  Slices are valid during the callback. */
/* Flags and modseqs are in the view. */
struct message_info {
    uint64_t message_id; /* the same however many mailboxes it is in */
    uint64_t thread_id;  /* with FETCH_THREAD only; the message_id of the thread's first message */
    uint32_t uid;
    uint64_t size; /* RFC822.SIZE: prefix included */
    int64_t internal_date, saved_date;
    int internal_zone;
    uint64_t ref;
    struct slice prefix;                       /* always */
    struct slice envelope, structure, preview; /* as asked for */
    struct slice references;                   /* likewise: message/references.h, ids */
    int repeats;                               /* with FETCH_ENVELOPE: as in message_facts */
};
enum { FETCH_ENVELOPE = 1, FETCH_STRUCTURE = 2, FETCH_PREVIEW = 4, FETCH_REFERENCES = 8, FETCH_THREAD = 16, FETCH_BARE = 32 };
/* FETCH_BARE: of the message nothing but its uid and what else is asked for need be filled in, which is quicker. */
/*
 * Calls `each` for every message of the ranges that is there, or was there and is
 * still kept (a session that has not been told of the EXPUNGE may fetch it), in
 * ascending order; stops when it says false.  `what`: FETCH_ bits.  No lock is held
 * meanwhile: `each` may call the store, and may take its time.
 */
bool message_fetch(struct account *a, uint64_t mailbox_id, const struct uid_range *ranges, size_t range_count,
                   unsigned what, bool (*each)(void *ctx, const struct message_info *m), void *ctx,
                   struct fail *why);

/* A message's bytes; counted, independent of what happens to the mailbox meanwhile.  `size` includes the
 * prefix. */
struct store_body;
struct store_body *store_body_open(struct store *st, uint64_t ref, struct slice prefix, uint64_t size);
struct store_body *store_body_ref(struct store_body *b);
void store_body_release(struct store_body **b);
uint64_t store_body_size(const struct store_body *b);
/* false, FAIL_DAMAGED: a read in the last ten minutes has found it damaged.  To be asked before an answer promises its length. */
bool store_body_intact(const struct store_body *b, struct fail *why);
bool store_body_read(struct store_body *b, uint64_t offset, void *out, size_t n, struct fail *why);
struct store *account_store(struct account *a);

enum flag_op { FLAGS_REPLACE, FLAGS_ADD, FLAGS_REMOVE };
struct flag_change {
    enum flag_op op;
    uint32_t flags;
    const struct slice *keywords;
    size_t keyword_count;
    uint64_t user;            /* whose \Seen it is, an account's id; 0: the owner's */
    uint32_t held;            /* FLAGS_REPLACE: these stay as they are, and with */
    bool hold_keywords;       /* this all keywords: who changes the others may not change them */
    bool conditional;         /* UNCHANGEDSINCE was given (RFC 7162 section 3.1.3) */
    uint64_t unchanged_since; /* messages with a higher modseq are left alone and put in *refused */
};
/* One modseq for the whole call.  A message whose flags do not change keeps its modseq. */
bool message_flags(struct account *a, uint64_t mailbox_id, const struct uid_range *ranges, size_t range_count,
                   const struct flag_change *change, struct uid_set *refused, uint64_t *modseq,
                   struct fail *why);

struct copy_result {
    uint32_t uidvalidity;  /* of the destination */
    struct uid_set source; /* what was there to copy; the n-th got first_uid + n */
    uint32_t first_uid;
    uint64_t modseq;      /* of the destination */
    uint64_t from_modseq; /* of the source */
};
/* All or none; `move` takes them out of the source in the same transaction (RFC 6851). */
bool message_copy(struct account *a, uint64_t from_mailbox, const struct uid_range *ranges,
                  size_t range_count, uint64_t to_mailbox, bool move, struct copy_result *out,
                  struct fail *why);

/* Takes messages out of the mailbox: those of the ranges (NULL: all) that have \Deleted, or all of them with
 * `any`. */
bool message_expunge(struct account *a, uint64_t mailbox_id, const struct uid_range *ranges,
                     size_t range_count, bool any, struct uid_set *gone, uint64_t *modseq, struct fail *why);

/*
 * UIDs expunged after `since` (RFC 7162 section 3.2.5).  *complete is false when the
 * log does not go back that far: the caller must give a full answer then.
 */
bool message_vanished(struct account *a, uint64_t mailbox_id, uint64_t since, struct uid_set *gone,
                      bool *complete, struct fail *why);

/* ---- keywords ---- */

struct keyword_set {
    const struct slice *names;
    size_t count;
};
/* The names of a set id (0: none); valid as long as the account handle is. */
struct keyword_set account_keyword_set(struct account *a, uint32_t set_id);
/* All keywords the account knows, for FLAGS and PERMANENTFLAGS. */
struct keyword_set account_keywords(struct account *a, struct arena *arena);

/* ---- who is told ---- */

/*
 * A session that wants to hear of changes.  `mailbox_id` 0: all of the account's.
 * After a change the waker is woken and watch_take() says so once.  Lives in the
 * session; watch_end() before it dies (fine when not begun).
 */
struct watch {
    struct account *account;
    uint64_t mailbox_id;
    struct waker waker;
    struct watch *next, *prev;
    _Atomic bool marked;
    bool active;
    bool keeps_journal; /* it is a watch_journal's */
};
void watch_begin(struct watch *w, struct account *a, uint64_t mailbox_id, struct waker waker);
void watch_end(struct watch *w);
bool watch_take(struct watch *w);

/* What has happened to a mailbox; more than one, where it happened more than once. */
enum watch_kind {
    WATCH_NEW = 1,
    WATCH_GONE = 2,
    WATCH_FLAGS = 4,
    WATCH_METADATA = 8,    /* an annotation; mailbox 0: the server's */
    WATCH_MADE = 16,       /* the mailbox, or the level, is new */
    WATCH_DELETED = 32,    /* `name` is what it was called */
    WATCH_RENAMED = 64,    /* the same */
    WATCH_SUBSCRIBED = 128, /* `name` was subscribed to, or is no more */
    WATCH_RIGHTS = 256,    /* who may do what with it */
};
struct watch_event {
    struct account *account;
    uint64_t mailbox_id;
    unsigned kinds;
    uint64_t modseq;      /* of the first of these changes */
    uint32_t first, last; /* own WATCH_NEW: the UIDs */
    bool own;
    char *name; /* on the heap, or NULL */
};
/*
 * A watch on all of an account that also remembers what happened, each mailbox once, in order.  What the
 * session itself changes is left out, but for its new messages: its own is what is changed by the thread
 * that runs it, between watch_journal_enter() and _leave().  Not moved while it is begun.
 */
struct watch_journal {
    struct watch watch;
    struct watch_event *events; /* by the account's lock */
    size_t count, cap;
    bool overflowed, entered;
    pthread_t actor;
};
void watch_journal_begin(struct watch_journal *j, struct account *a, struct waker waker);
void watch_journal_end(struct watch_journal *j); /* fine when not begun */
void watch_journal_enter(struct watch_journal *j);
void watch_journal_leave(struct watch_journal *j);
/* All of it since the last call; *events is the caller's.  *overflowed: more happened than it remembers. */
size_t watch_journal_take(struct watch_journal *j, struct watch_event **events, bool *overflowed);
void watch_events_free(struct watch_event **events, size_t count);

/* ---- upkeep ---- */

/* Everything volumes hold below this has its rows and, where it leaves, is the queue role's. */
bool store_low_water(struct store *st, uint64_t *ref, struct fail *why);
bool store_set_low_water(struct store *st, uint64_t ref, struct fail *why);

/*
 * Records that a delivery is done with: all of a record's owners (accounts; the queue role for what leaves) must
 * release it before its bytes are free.  Repeating is harmless; durable when it returns true.
 */
#define STORE_OWNER_QUEUE UINT64_MAX
struct store_release {
    uint64_t ref, size;
    unsigned owners; /* that the record has; 0: not known */
};
bool store_release(struct store *st, uint64_t owner, const struct store_release *list, size_t count, struct fail *why);
bool store_is_released(struct store *st, uint64_t owner, uint64_t ref, bool *released, struct fail *why);

/* For `posthorn check`: every row against the records, every CRC, every count.  Calls `report` for each
 * finding. */
struct check_totals {
    uint64_t accounts, mailboxes, messages, records, problems;
    uint64_t not_indexed; /* messages that the search index does not cover yet: no problem */
};
bool store_check(struct store *st, void (*report)(void *ctx, const char *finding),
                 void (*progress)(void *ctx, uint64_t done, uint64_t all), void *ctx,
                 struct check_totals *totals, struct fail *why);
/*
 * Derived data of one account made anew (caches, counts).  When the account's file
 * is missing or damaged: from its latest snapshot plus the records written since
 * (new UIDVALIDITYs; what cannot be placed goes to `Recovered/`).
 */
bool store_rebuild(struct store *st, uint64_t account_id, void (*report)(void *ctx, const char *line),
                   void *ctx, struct fail *why);
/* A count that was not that of the rows: of a mailbox, or of the account (`mailbox` empty). */
struct recount_difference {
    struct slice mailbox;
    const char *what; /* "messages", "unseen", "deleted", "bytes", "deleted bytes" */
    uint64_t was, is;
};
/* Makes the counts of an account anew from its rows and tells what was wrong. */
bool store_recount(struct account *a, void (*each)(void *ctx, const struct recount_difference *d), void *ctx,
                   unsigned *differences, struct fail *why);
bool store_snapshot(struct store *st, uint64_t account_id, struct fail *why);

/* ---- backup (in which order: store/backup.c) ---- */

/* While a lease lives nothing that a copy may have is given back.  _begin waits for what is just being given back. */
void store_lease_begin(struct store *st);
void store_lease_end(struct store *st);
/* Copies, renamed into place, that nobody's changes wait for long; an account's is not fsynced: who copies it on does that. */
bool store_copy_node(struct store *st, const char *path, struct fail *why);
bool store_copy_account(struct store *st, uint64_t account_id, const char *path, struct fail *why);
/*
 * The same text as before: its file holds what it held.  Empty if that cannot be told now.  Costs no opening of the
 * file.  To be asked before the copy is made.  FAIL_NOT_FOUND.
 */
struct store_stamp {
    char text[160];
};
bool store_account_stamp(struct store *st, uint64_t account_id, struct store_stamp *out, struct fail *why);
/*
 * An account's file that was put in place from a copy, before anybody uses it: all its mailboxes get a new UIDVALIDITY,
 * the account an epoch, ids go on far above those that were given out since.  What node.db says of it is made anew.
 */
bool store_renew(struct store *st, uint64_t account_id, struct fail *why);
/*
 * A copy of an account's file: is it sound, and has every message its record, whole, in these volumes?  Tells each
 * that has not.  FAIL_INVALID: it is of an older format and must be brought up to date, which is done if it `is_own`.
 */
bool store_check_copy(const char *path, bool is_own, uint64_t account_id, struct volumes *v,
                      void (*report)(void *ctx, const char *finding), void *ctx, uint64_t *messages, struct fail *why);

#endif
