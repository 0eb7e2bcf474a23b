/*
 * imap/session.h - one IMAP session, as its commands see it.
 *
 * Layer: imap; inside the room only.  A command is run by one worker from top to
 * bottom.  It reads all its arguments, checks, acts, and says its one answer with
 * imap_ok, imap_no or imap_bad; what else the client must hear (EXISTS, EXPUNGE,
 * FETCH) and the tagged line are sent after it by server.c.  A command that cannot
 * finish in one go leaves a step in s->step, which is called until it answers.
 *
 * Memory: everything of a command lives in s->arena and is gone after it.  What a
 * parked session keeps is this struct and nothing else.
 */
#ifndef IMAP_SESSION_H
#define IMAP_SESSION_H

#include "base/arena.h"
#include "imap/frame.h"
#include "imap/reader.h"
#include "imap/server.h"
#include "imap/set.h"
#include "store/store.h"
#include "store/view.h"

struct imap_session;
struct imap_command;
struct imap_lasting;
struct imap_news;

/* RFC 3501 section 3. */
enum imap_state {
    IMAP_FRESH = 1,    /* not authenticated */
    IMAP_AUTHED = 2,
    IMAP_SELECTED = 4,
};

/* What ENABLE, or a command that implies it, has switched on; for the rest of the session. */
enum imap_enabled {
    IMAP_CONDSTORE = 1, /* the client knows MODSEQ (RFC 7162 section 3.1) */
    IMAP_QRESYNC = 2,   /* and VANISHED (section 3.2); implies IMAP_CONDSTORE */
    IMAP_REV2 = 4,      /* RFC 9051; implies IMAP_UTF8's mailbox names */
    IMAP_UTF8 = 8,      /* UTF8=ACCEPT (RFC 6855) */
    IMAP_UIDONLY = 16,  /* RFC 9586 */
    IMAP_METADATA = 32, /* changes of annotations are told (RFC 5464 section 4.4.2) */
};

/* Goes on with a command; without an answer its turn is the session's. */
typedef enum turn imap_step(struct imap_session *s);

/* The mailbox that is selected, as far as the client has been told. */
struct imap_selected {
    struct account   *account; /* whose mailbox it is: the session's own, or one in its imap_others */
    uint64_t          mailbox;
    struct view      *view;  /* what was announced; NULL while parked, when `token` stands for it */
    struct view_token token;
    uint32_t          uidvalidity;
    struct uid_set    recent;        /* UIDs that are \Recent in this session (RFC 3501 section 2.3.2) */
    uint32_t          keywords_told; /* those of the last FLAGS response, hashed */
    uint16_t          rights; /* RIGHT_ bits of whoever is logged in */
    bool              read_only;
    bool              has_gone;      /* of which the client was not told: the view cannot be a token */
};

struct imap_session {
    struct conn               *conn;
    const struct imap_service *service;
    struct account            *account; /* NULL before login */
    struct waker               waker;   /* the connection's */
    struct imap_selected       box;     /* while state is IMAP_SELECTED */
    struct watch               watch;   /* IDLE */
    enum imap_state            state;
    unsigned                   bad_commands;
    uint16_t                   failed_logins; /* login_attempts is at most 1000 */
    uint8_t                    enabled;       /* imap_enabled bits */
    struct imap_lasting       *lasting; /* NULL in most sessions (lasting.h) */
    bool                       closing;      /* after the present answer */
    bool                       starting_tls;
    bool                       news_done; /* of the command: all was told, the tagged line is next */
    bool                       skip_line;    /* what is left of a refused APPEND: */
    uint64_t                   skip;         /* so many octets, then the rest of the command */
    struct frame               frame;

    /* The command that runs. */
    struct arena               arena;
    const struct imap_command *command;
    bool                       by_uid; /* its UID form */
    bool                       holds_gone; /* no EXPUNGE before its end, though it is one */
    bool                       goes_on; /* it is beyond its first turn; since then: */
    uint32_t                   cpu_us;
    struct slice               tag, answer;
    char                      *kept_tag; /* IDLE: outlives the arena; in tag_room where it fits */
    char                       tag_room[24];
    imap_step                 *step;
    void                      *step_data;
    void                     (*cleanup)(struct imap_session *s); /* of what lies outside the arena */
    struct imap_news          *news; /* being told */
};

/* A command, and what the rest of the session must know about it. */
enum imap_effects {
    IMAP_UID_TOO = 1,      /* has a UID form */
    IMAP_READS_VIEW = 2,   /* uses what the client knows of the mailbox: made fresh before */
    IMAP_HOLDS_GONE = 4,   /* no EXPUNGE before its end, unless in its UID form (RFC 3501 section 7.4.1) */
    IMAP_TELLS_ALL = 16,   /* what happened is told even to whom NOTIFY keeps a snapshot for */
    IMAP_SECRET = 32,      /* its arguments are not left in memory */
    IMAP_NO_NUMBERS = 8,   /* has a UID form, but its plain one takes no message numbers (RFC 9586) */
};
struct imap_command {
    const char *name;
    void      (*run)(struct imap_session *s, struct imap_reader *args);
    /* With a message: announced by a literal, args end before it; frame.h says which commands have one. */
    void      (*run_message)(struct imap_session *s, struct imap_reader *args, const struct frame_found *message);
    unsigned    states; /* where RFC 3501 section 6 allows it: imap_state bits */
    unsigned    effects;
};
const struct imap_command *imap_command_find(struct slice name, bool uid);

/* ---- answers: exactly one for each command (session.c) ---- */

/* "OK text"; the text may begin with a response code. */
void imap_ok(struct imap_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void imap_no(struct imap_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* With the response code of RFC 5530 for that reason. */
void imap_no_because(struct imap_session *s, const struct fail *why);
/* The same for commands that store into a mailbox which might have to be made first: TRYCREATE. */
void imap_no_target(struct imap_session *s, const struct fail *why);
void imap_bad(struct imap_session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What was expected, and where. */
void imap_bad_args(struct imap_session *s, const struct imap_reader *args);
/*
 * For a command that takes long and says nothing meanwhile (SEARCH, SORT, COPY ...), to be called between
 * its turns: every ten seconds "* OK [INPROGRESS ("tag" done total)]" (RFC 9585).  `done` only grows;
 * `total` 0: not known.  Never inside of a response that is not written to its end.
 */
void imap_in_progress(struct imap_session *s, uint64_t done, uint64_t total);
/* The end: "* BYE ..." now, and closed after the answer. */
void imap_bye(struct imap_session *s, const char *text);

/* ---- input (server.c): for commands that read on ---- */

/* Of a command without its messages. */
size_t imap_command_limit(const struct imap_session *s);
/* That much input, consumed; a copy that lives as long as the command, without the line end. */
struct slice imap_take_text(struct imap_session *s, size_t length);
/*
 * The command has been answered though the message comes all the same, unless it waits to be invited
 * (RFC 7888 section 4): reads on to the command's end, or ends the session.
 */
void imap_refuse_message(struct imap_session *s, const struct frame_found *message);

/* ---- writing (write.c) ---- */

/* quoted, or a literal where it must be */
void imap_write_string(struct buf *b, struct slice s);
/* The same, and UTF-8 in quotes for those who have enabled it (RFC 9051 section 4.3, RFC 6855 section 3). */
void imap_write_text(const struct imap_session *s, struct buf *b, struct slice text);
/* As an atom if it can be one. */
void imap_write_astring(struct buf *b, struct slice s);
/* A mailbox name, quoted: in modified UTF-7, or UTF-8 for those who have enabled it. */
void imap_write_mailbox(const struct imap_session *s, struct buf *b, struct slice name);
/* May strings be UTF-8 in quotes, and mailbox names UTF-8? */
static inline bool imap_speaks_utf8(const struct imap_session *s)
{
    return (s->enabled & (IMAP_REV2 | IMAP_UTF8)) != 0;
}
/* A mailbox's object id (RFC 8474 section 4): the same under all its names, never another's. */
void imap_write_mailboxid(struct buf *b, const struct account *a, uint64_t mailbox);
/* (\Seen keyword ...) */
void imap_write_flags(struct buf *b, struct account *a, uint32_t flags, uint32_t keyword_set, bool recent);
/*
 * An objectid (RFC 8474): "M17" for a message (EMAILID), "T17" for a thread (THREADID); ids of messages
 * and threads are the store's, each account's its own.  `foreign`: the account's if it is not the client's own,
 * else 0; "M5f_17" then, as one client must not find two messages under one id (section 5.1).
 */
void imap_write_emailid(struct buf *b, uint64_t foreign, uint64_t message_id);
void imap_write_threadid(struct buf *b, uint64_t foreign, uint64_t thread_id);
/* The id in an objectid of that kind ('M', 'T') and account; false for one that nothing there has. */
bool imap_parse_objectid(struct slice objectid, char kind, uint64_t foreign, uint64_t *id);
/* The selected mailbox's account if it is not the client's own, else 0. */
uint64_t imap_foreign(const struct imap_session *s);
/* "22-Nov-2026 10:51:07 +0100", with its quotes; seconds since 1970 */
void imap_write_date_time(struct buf *b, int64_t seconds, int zone);

/* ---- the selected mailbox (select.c, news.c) ---- */

void imap_deselect(struct imap_session *s);
/* The view of a session that was parked comes back; false: s->closing. */
bool imap_unpark(struct imap_session *s);
/* UIDs [first, end) are \Recent from now on; they are above all that were before. */
void imap_add_recent(struct imap_session *s, uint32_t first, uint32_t end);
uint32_t imap_count_recent(const struct imap_session *s);
static inline bool imap_is_recent(const struct imap_session *s, uint32_t uid)
{
    const struct uid_set *r = &s->box.recent;

    return r->count > 0 && !(s->enabled & IMAP_REV2) && uid >= r->ranges[0].first && uid_set_has(r, uid);
}
/* EXISTS, and RECENT for those who know it (not RFC 9051 appendix E). */
void imap_write_counts(const struct imap_session *s, struct buf *out);
/* Whose \Seen a mailbox of `a` has: 0 in one's own, in another's the id of who is logged in. */
static inline uint64_t imap_seen_user_in(const struct imap_session *s, const struct account *a)
{
    return a != s->account ? account_id(s->account) : 0;
}
static inline uint64_t imap_seen_user(const struct imap_session *s)
{
    return imap_seen_user_in(s, s->box.account);
}
/*
 * The mailbox as it is now for this session, and the first UID that is \Recent for it: in another's
 * mailbox none is.  As view_open_recent.
 */
bool imap_open_view(struct imap_session *s, struct account *a, uint64_t mailbox_id, bool take, struct view **out,
                    uint32_t *first_recent, struct fail *why);
/* The system flags that RIGHT_ bits allow to change; keywords need RIGHT_WRITE (RFC 4314 section 4). */
static inline uint32_t imap_flags_by(unsigned rights)
{
    return ((rights & RIGHT_SEEN) ? (uint32_t)STORE_SEEN : 0) |
           ((rights & RIGHT_DELETE_MESSAGES) ? (uint32_t)STORE_DELETED : 0) |
           ((rights & RIGHT_WRITE) ? (uint32_t)STORE_ANSWERED | STORE_FLAGGED | STORE_DRAFT : 0);
}
/* FLAGS and PERMANENTFLAGS. */
void imap_tell_flags(struct imap_session *s);
/* A CONDSTORE enabling command (RFC 7162 section 3.1): the first one tells HIGHESTMODSEQ. */
void imap_enable_condstore(struct imap_session *s);
/* The messages a set names, by what the command is; false: it has been answered. */
bool imap_resolve(struct imap_session *s, struct imap_set set, struct imap_spans *out);

/* What has changed since the client was last told. */
struct imap_news {
    struct view_diff diff;
    size_t           gone_left; /* of diff.gone, told from the last */
    uint32_t        *gone_uids; /* VANISHED is told instead of EXPUNGE: their UIDs */
    bool             catches_up; /* what was held back is told */
    size_t           changed_at;
    bool             started;
    bool             fetched; /* what NOTIFY wants of new messages was told */
    /* Left out of what is told, in favour of the command's own responses; may be NULL. */
    const struct imap_spans *own;
    struct context_news *contexts; /* context.c's; NULL: there are none */
};
/*
 * Brings s->box.view up to date and works out what has to be said of it; with
 * `expunges` false messages that went stay in the view, marked.  In the arena.
 * NULL when there is nothing to say, or when the mailbox is no more (s->closing).
 */
struct imap_news *imap_news_gather(struct imap_session *s, bool expunges);
/* false: the connection is full, call again when it has drained. */
bool imap_news_tell(struct imap_session *s, struct imap_news *n);
/*
 * At the end of a command that may not tell of expunges: the HIGHESTMODSEQ below them, so that a client
 * which has heard of higher modseqs does not believe it knows all (RFC 7162 section 3.2).
 */
void imap_tell_held_modseq(struct imap_session *s);
/* "* n FETCH (", or "* uid UIDFETCH (" (RFC 9586 section 3.4). */
void imap_begin_fetch(const struct imap_session *s, struct buf *b, uint32_t position, uint32_t uid);
/*
 * Does a FETCH response that nobody asked for have the UID in it?  In UID commands, for who knows modseqs
 * (RFC 7162 section 3.2.4), after NOTIFY (RFC 5465 section 5.1) and in IMAP4rev2 (RFC 9051 section 7.5.2);
 * where the response begins with it, no.
 */
bool imap_tells_uid(const struct imap_session *s);
/* "* n FETCH (FLAGS (...) ...)" for one message of the view. */
void imap_write_flag_fetch(struct imap_session *s, struct buf *b, uint32_t position,
                           const struct view_entry *e);

/* ---- mailboxes (list_line.c) ---- */

/*
 * "* LIST (attributes) "/" name": one mailbox as it is now, also where nobody asked (SELECT in IMAP4rev2,
 * NOTIFY).  `name` as the client knows it; `old` is told as OLDNAME if it is not empty (RFC 9051 section
 * 6.3.9.7); `more` are attributes to go first, each with a space behind it.
 */
struct imap_list_line {
    struct slice               name, old;
    const struct mailbox_info *info; /* NULL: \NonExistent */
    const char                *more;
};
void imap_write_list_line(const struct imap_session *s, struct buf *out, const struct imap_list_line *l);

/* ---- commands ---- */

void imap_capability(struct imap_session *s, struct imap_reader *args);
void imap_noop(struct imap_session *s, struct imap_reader *args);
void imap_check(struct imap_session *s, struct imap_reader *args);
void imap_logout(struct imap_session *s, struct imap_reader *args);
void imap_id(struct imap_session *s, struct imap_reader *args);
void imap_compress(struct imap_session *s, struct imap_reader *args);
void imap_unauthenticate(struct imap_session *s, struct imap_reader *args);
void imap_language(struct imap_session *s, struct imap_reader *args);
void imap_getjmapaccess(struct imap_session *s, struct imap_reader *args);
void imap_enable(struct imap_session *s, struct imap_reader *args);
void imap_namespace(struct imap_session *s, struct imap_reader *args);
void imap_starttls(struct imap_session *s, struct imap_reader *args);
void imap_login(struct imap_session *s, struct imap_reader *args);
void imap_authenticate(struct imap_session *s, struct imap_reader *args);
void imap_select(struct imap_session *s, struct imap_reader *args);
void imap_examine(struct imap_session *s, struct imap_reader *args);
void imap_close(struct imap_session *s, struct imap_reader *args);
void imap_unselect(struct imap_session *s, struct imap_reader *args);
void imap_create(struct imap_session *s, struct imap_reader *args);
void imap_delete(struct imap_session *s, struct imap_reader *args);
void imap_rename(struct imap_session *s, struct imap_reader *args);
void imap_subscribe(struct imap_session *s, struct imap_reader *args);
void imap_unsubscribe(struct imap_session *s, struct imap_reader *args);
void imap_list(struct imap_session *s, struct imap_reader *args);
void imap_lsub(struct imap_session *s, struct imap_reader *args);
void imap_getacl(struct imap_session *s, struct imap_reader *args);
void imap_setacl(struct imap_session *s, struct imap_reader *args);
void imap_deleteacl(struct imap_session *s, struct imap_reader *args);
void imap_listrights(struct imap_session *s, struct imap_reader *args);
void imap_myrights(struct imap_session *s, struct imap_reader *args);
void imap_getmetadata(struct imap_session *s, struct imap_reader *args);
void imap_setmetadata(struct imap_session *s, struct imap_reader *args);
void imap_status(struct imap_session *s, struct imap_reader *args);
void imap_expunge(struct imap_session *s, struct imap_reader *args);
void imap_search(struct imap_session *s, struct imap_reader *args);
void imap_esearch(struct imap_session *s, struct imap_reader *args);
void imap_uidbatches(struct imap_session *s, struct imap_reader *args);
void imap_cancelupdate(struct imap_session *s, struct imap_reader *args);
void imap_sort(struct imap_session *s, struct imap_reader *args);
void imap_thread(struct imap_session *s, struct imap_reader *args);
void imap_comparator(struct imap_session *s, struct imap_reader *args);
void imap_fetch(struct imap_session *s, struct imap_reader *args);
void imap_store(struct imap_session *s, struct imap_reader *args);
void imap_copy(struct imap_session *s, struct imap_reader *args);
void imap_move(struct imap_session *s, struct imap_reader *args);
void imap_idle(struct imap_session *s, struct imap_reader *args);
void imap_notify(struct imap_session *s, struct imap_reader *args);
void imap_getquota(struct imap_session *s, struct imap_reader *args);
void imap_getquotaroot(struct imap_session *s, struct imap_reader *args);
void imap_setquota(struct imap_session *s, struct imap_reader *args);
/* With a message that was announced by a literal, args ending before it; _bare: without any literal. */
void imap_append(struct imap_session *s, struct imap_reader *args, const struct frame_found *message);
void imap_genurlauth(struct imap_session *s, struct imap_reader *args);
void imap_resetkey(struct imap_session *s, struct imap_reader *args);
void imap_urlfetch(struct imap_session *s, struct imap_reader *args);
void imap_append_bare(struct imap_session *s, struct imap_reader *args);
void imap_replace(struct imap_session *s, struct imap_reader *args, const struct frame_found *message);
void imap_replace_bare(struct imap_session *s, struct imap_reader *args);

/* "IMAP4rev1 IDLE ...": what may be said now. */
void imap_write_capabilities(struct imap_session *s, struct buf *b);

#endif
