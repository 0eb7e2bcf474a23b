/*
 * net/loop.h - what the files of net know of each other.
 *
 * Layer: net, private.
 *
 *   net.c      creating, starting, stopping; the administrator's view
 *   slots.c    the table of connections: type-stable memory, states, marks
 *   loop.c     workers: epoll, the queue of woken connections
 *   crowd.c    when it is too full: memory, sessions of an account, who has to go
 *   slow.c     workers for those who want more than their share
 *   accept.c   listeners
 *   life.c     a connection begins, and ends
 *   turn.c     one turn of it: what happens between wake and park
 *   input.c    what has arrived, and whose buffer it is in
 *   stream.c   reading and writing its socket, with TLS and without
 *   compress.c what may lie between the two (COMPRESS=DEFLATE)
 *   output.c   the queue of what is to be sent
 *   conn.c     what protocols call (net/conn.h)
 *   deadline.c how long anything may take
 *
 * A connection has one owner at a time: the worker that moved its state to
 * RUNNING.  Everybody else only sets marks.  All of this is in one atomic word
 * (see slots.c), and every field of struct conn that says nothing else belongs
 * to the owner.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "base/budget.h"
#include "base/fail.h"
#include "net/conn.h"
#include "net/hush.h"
#include "net/net.h"
#include "net/peers.h"
#include "net/timer.h"
#include "net/workers.h"

struct ssl_st;
struct compress;
struct z_stream_s;

enum {
    IN_BUFFER = 64 * 1024,  /* of a worker, lent to the connection it runs */
    OUT_KEEP = 64 * 1024,   /* a larger output buffer is freed, not kept for the next */
    SCRATCH = 64 * 1024,    /* bytes of sources read at a time */
    KEEP_EXACT = 4 * 1024,  /* input kept while parked is cut to size up to here */
    SLOTS_PER_CHUNK = 32,
    COMPRESS_PIECE = 64 * 1024, /* compressed at one time */
};

/* ---- states and marks: the low bits of conn.state; the high 32 are the slot's generation ---- */

enum {
    CONN_FREE = 0,
    CONN_PARKED = 1,
    CONN_QUEUED = 2,  /* on the queue of the woken */
    CONN_RUNNING = 3, /* has an owner */
    CONN_STATE = 3,

    MARK_WOKEN = 1 << 2,    /* its waker */
    MARK_READABLE = 1 << 3, /* its socket; or its end */
    MARK_WRITABLE = 1 << 4,
    MARK_TIME = 1 << 5,     /* its timer */
    MARK_KICK = 1 << 6,     /* the administrator */
    MARK_STOP = 1 << 7,     /* net_stop: end when no command runs */
    MARK_KILL = 1 << 8,     /* net_stop: end at once */
    MARK_CROWDED = 1 << 9,  /* crowd.c: its place is needed */
    CONN_MARKS = 0x3fc,
};

/* Where a connection is in its life. */
enum stage {
    STAGE_PROXY,     /* its first bytes are a PROXY header */
    STAGE_HANDSHAKE, /* TLS */
    STAGE_OPEN,      /* the protocol is to be told */
    STAGE_TALK,
    STAGE_DRAIN,     /* nothing but sending what is queued */
    STAGE_LINGER,    /* all is sent; dropping what still comes, lest a reset eat our last words */
    STAGE_GONE,
};

/* A piece of output that came before what is in conn.out. */
struct out_piece {
    struct out_piece  *next;
    struct conn_source source; /* source.read NULL: the bytes in `data` */
    char              *data;
    uint64_t           offset, end;
};

struct conn {
    _Atomic uint64_t state;
    struct net      *net;
    struct conn     *next; /* on the queue of the woken, or the list of free slots; under that one's lock */
    uint32_t         index;
    int              fd;

    const struct net_listener *row;
    bool                       row_is_ours; /* net_adopt's copy */
    enum stage                 stage;
    enum turn                  waits_for; /* what `input` last said */
    enum conn_phase            phase;
    enum conn_close            why;
    void                      *session;
    struct worker             *worker; /* whose turn it is; NULL between turns */
    struct ssl_st             *ssl;
    struct compress           *compress; /* NULL: not asked for */
    uint32_t                   armed; /* epoll events that are registered and have not come */

    /* what the turn has to find out */
    bool added;        /* to the epoll */
    bool readable;     /* reading may give something */
    bool fresh;        /* input came that `input` has not seen */
    bool eof;
    bool woken;
    bool delay_over;   /* conn_wake_after */
    bool ticked, tick_seen;
    bool broken;       /* the socket or a source failed */
    bool late;         /* a deadline has passed */
    bool kicked, stopping, killed, crowded; /* those marks came */
    bool start_tls;
    bool tls_wants_out; /* TLS cannot go on reading before it has written */
    bool tls_partial;   /* TLS holds part of a record */
    bool consumed;      /* in this turn */
    bool counted;       /* by peers */
    uint16_t hello_need; /* bytes of the handshake's first record that are waited for; 0: none */

    /* crowd.c's */
    bool is_stranger;
    uint32_t held; /* bytes charged to net.memory */
    struct conn *older, *newer; /* under its lock */

    /* in */
    char    *in;
    uint32_t in_at, in_len, in_cap; /* in[in_at..in_len) is what conn_input shows */
    uint32_t want;
    uint32_t turn_commands;

    uint32_t bucket; /* slow.c: where its processor time is counted */

    /* out: the pieces, then `out` from out_at */
    struct out_piece  *pieces;
    struct out_piece **pieces_end;
    uint64_t           pieces_len; /* bytes in them */
    struct buf         out;
    size_t             out_at;
    bool               in_line; /* the last byte that was sent is no line end */

    /* time, ms of clock_mono_ms(); 0: none */
    struct timer timer;
    int64_t      turn_began;
    int64_t      now; /* as of the last look at the clock in this turn */
    int64_t      phase_at, phase_since;
    int64_t      idle_at;
    int64_t      command_at;
    int64_t      output_at;
    int64_t      tick_at;
    int64_t      delay_at;
    unsigned     tick_seconds;

    /* written by the owner, read by anyone: the administrator's view, under net.lock unless atomic */
    bool              listed;
    _Atomic bool      tls;
    _Atomic uint64_t  bytes_in, bytes_out;
    struct log_id     id;
    char              label[sizeof(((struct net_session_info *)0)->label)];
    uint64_t          account_id;
    int64_t           since;
    unsigned char     peer[sizeof(struct sockaddr_in6)]; /* the first bytes of its sockaddr_storage: conn_peer() */
    _Alignas(max_align_t) char room[CONN_ROOM]; /* conn_room() */
};

/* What a worker has and lends to the connection it runs. */
struct worker {
    struct net *net;
    char       *in;      /* IN_BUFFER bytes, or NULL while lent */
    struct buf  out;
    char       *scratch; /* SCRATCH bytes; NULL until needed */
    char       *record;  /* for stream.c; NULL until needed */
    char       *packed;  /* for compress.c, and these; NULL until needed */
    struct z_stream_s *deflater, *inflater;
    int64_t     charged_us; /* of its thread's clock: until then somebody has been charged for it (slow.c) */
};

struct listener {
    struct net_listener row;
    pthread_mutex_t     lock; /* for what follows; held to accept, so that nobody does after the socket was closed */
    bool                open;
    bool                paused; /* out of descriptors or places: unarmed until one is free */
    int64_t             logged_at;
    uint32_t            index;
    struct listener    *next;
};

struct net {
    struct net_limits limits;
    int               epoll;
    int               queue_event; /* eventfd, edge-triggered: the queue has something */
    int               quit_event;
    struct workers   *workers;
    struct worker    *worker; /* limits.workers_max of them */
    struct timers    *timers;
    struct peers     *peers;
    struct hush      *hush;

    pthread_mutex_t queue_lock;
    struct conn    *queue, **queue_end;
    _Atomic bool    queued; /* queue is not empty; a hint */
    struct slow    *slow;
    struct crowd   *crowd;
    struct budget   memory;

    pthread_mutex_t lock;   /* slots, listeners, the administrator's view */
    pthread_cond_t  fewer;  /* `open` went down */
    _Atomic(struct conn *) *chunks;
    size_t           chunk_count;
    _Atomic size_t   chunks_used;
    struct conn     *free_slots;
    _Atomic unsigned open;
    struct listener *listeners; /* grows only, before net_start */
    unsigned         listener_count;
    bool             started;
    _Atomic bool     stopping;

    /* the back-stop (loop.c) */
    _Atomic uint64_t taken;   /* events so far */
    _Atomic unsigned waiting; /* workers in epoll_wait */
    uint64_t         taken_before;
    _Atomic unsigned paused;  /* listeners */
};

/* ---- slots.c ---- */

/* A free slot, RUNNING and the caller's; NULL if there are as many connections as there may be. */
struct conn *slot_take(struct net *n);
/* By the owner: the slot is free, and whoever still has its old number will be told so. */
void slot_give_back(struct conn *c);
struct conn *slot_at(struct net *n, size_t index); /* of any state; NULL beyond those ever used */
uint64_t     slot_number(const struct conn *c); /* for epoll */
/* Marks a connection that cannot go away meanwhile, and queues it if it was parked. */
void conn_mark(struct conn *c, unsigned mark);
/* The same by number, from epoll: returns it if it was parked and is now the caller's. */
struct conn *conn_claim(struct net *n, uint64_t number, unsigned marks);
unsigned conn_take_marks(struct conn *c); /* by the owner */
bool     conn_park(struct conn *c); /* false: there are marks, it stays the caller's */
void     conn_queue(struct conn *c);   /* it is about to stand in a queue: nobody's, and no mark moves it */
void     conn_requeue(struct conn *c); /* behind the others */

/* ---- loop.c ---- */

void         queue_push(struct net *n, struct conn *c);
void         loop_run(void *net, unsigned number); /* a worker's life */
void         worker_finish(struct worker *w); /* it leaves: what it lends is freed */
int64_t      loop_beat(void *net);
/* Epoll numbers that are no slots: */
#define NUMBER_QUEUE       UINT64_MAX
#define NUMBER_QUIT        (UINT64_MAX - 1)
#define NUMBER_IS_LISTENER ((uint64_t)0xffffff00 << 32) /* and its index */

/* ---- crowd.c ---- */

struct crowd *crowd_create(void);
void crowd_destroy(struct crowd **w);
uint64_t crowd_memory_default(void);
void crowd_enter(struct conn *c); /* its address is known; again: nothing */
void crowd_leave(struct conn *c);
/* Before a newcomer is let in: may make room by sending somebody away.  false: the memory is used up. */
bool crowd_has_room(struct net *n);
void crowd_sign(struct conn *c, uint64_t before, uint64_t now);
bool crowd_charge(struct conn *c);
void crowd_uncharge(struct conn *c);

/* ---- slow.c ---- */

struct slow *slow_create(struct net *n);
bool slow_start(struct slow *s, struct fail *why);
void slow_stop(struct slow *s);
void slow_destroy(struct slow **s);
/* Whose time it uses: its account's; before login its address's. */
void slow_set_bucket(struct conn *c);
/*
 * The connection has used its worker's processor since the last time that somebody was charged.  What the worker did
 * between two turns is the second one's: it is little, and a look at the thread's clock is a system call.
 */
void slow_charge(const struct conn *c, struct worker *w);
/* By a worker that has just become the owner: runs the connection, or lets a slow worker do it. */
void slow_run_or_defer(struct worker *w, struct conn *c);
/* By the owner, when the turn is over: true if it now waits for a slow worker. */
bool slow_takes(struct conn *c);

/* ---- accept.c ---- */

void accept_one(struct worker *w, uint64_t index);
bool accept_arm(struct net *n, struct listener *l, bool first);
void accept_resume(struct net *n); /* some place has become free: listeners that paused go on */

/* ---- life.c ---- */

/* Makes a connection of `fd`, which it takes over, in the place that slot_take() gave.  RUNNING and the caller's; NULL: refused. */
struct conn *conn_create(struct conn *c, int fd, const struct net_listener *row, const struct sockaddr_storage *peer);
/* May this be logged of the client? */
bool conn_may_log(const struct conn *c, enum hush_kind kind);
void life_tell_hushed(struct net *n); /* what was not */
/* The client's real address is known: count it.  false: it has too many. */
/* As an IPv4 address if it is one mapped into IPv6. */
void conn_set_peer(struct conn *c, const struct sockaddr_storage *peer);
bool conn_count_peer(struct conn *c);
/* The protocol's close(), then everything goes, the slot last. */
void conn_finish(struct conn *c);

/* ---- turn.c ---- */

void conn_run(struct worker *w, struct conn *c);

/* ---- stream.c ---- */

enum stream {
    STREAM_OK,
    STREAM_LATER, /* no more for now */
    STREAM_EOF,
    STREAM_ERROR,
};
enum stream stream_read(struct conn *c, void *out, size_t size, size_t *got);
enum stream stream_write(struct conn *c, const struct iovec *iov, int count, size_t *sent);
enum stream stream_handshake(struct conn *c); /* logs why it failed */
bool        stream_start_tls(struct conn *c);
/* While `hide`, OpenSSL wipes what it has decrypted once it was read: a password may be in it. */
void        stream_hide(struct conn *c, bool hide);
bool        stream_has_more(const struct conn *c); /* TLS holds bytes epoll cannot see */
void        stream_close_notify(struct conn *c);

/* Without compression. */
enum stream stream_read_raw(struct conn *c, void *out, size_t size, size_t *got);
enum stream stream_write_raw(struct conn *c, const struct iovec *iov, int count, size_t *sent);

/* ---- compress.c ---- */

void compress_prepare(struct conn *c);       /* what came behind the command is compressed */
bool compress_is_due(const struct conn *c);  /* prepared; begins once what is queued has been sent */
void compress_begin(struct conn *c);
bool compress_is_on(const struct conn *c);
void compress_finish(struct conn *c);
/* As stream_read and stream_write; with no `iov` it sends what is compressed already. */
enum stream compress_read(struct conn *c, void *out, size_t size, size_t *got);
enum stream compress_write(struct conn *c, const struct iovec *iov, int count, size_t *sent);
bool   compress_has_more(const struct conn *c);
size_t compress_pending(const struct conn *c); /* bytes that are compressed and not sent */
void   compress_park(struct conn *c, struct worker *w); /* keeps as little as can be */
void   compress_worker_finish(struct worker *w);

/* ---- input.c ---- */

/* Reads once; false: the connection failed, or `input` was shown all it may see and consumed nothing. */
bool in_read(struct conn *c);
/* Overwrites what was consumed, and all that is no input: a password may be in it. */
void in_forget(struct conn *c);
/* At the end of a turn: the worker's buffers go back to it, and what was not consumed is kept in one of its size. */
void buffers_give_back(struct conn *c);

/* ---- output.c ---- */

bool     out_send(struct conn *c); /* what can be sent now; false: broken */
uint64_t out_pending(const struct conn *c);
void     out_drop(struct conn *c);

/* ---- deadline.c ---- */

void deadline_start(struct conn *c); /* it is new */
/* The handler has run; it waited for `before` until then. */
void deadline_activity(struct conn *c, enum turn before);
/* So much of what was queued has been sent. */
void deadline_sent(struct conn *c, uint64_t n);
/* It has begun to end, and has this long for it. */
void deadline_end(struct conn *c, int64_t ms);
/* Before parking: sets the timer. */
void deadline_park(struct conn *c);
/* The timer fired: sets `ticked`, `delay_over` and `late` as it may be. */
void deadline_check(struct conn *c);

#endif
