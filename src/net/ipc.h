/*
 * net/ipc.h - small typed messages between the roles.
 *
 * Layer: net.  Over a connected Unix socket of type SOCK_SEQPACKET, so that the
 * kernel keeps messages apart.  A request carries an id, and its answer the
 * same; a notice has none and is not answered.  Fields are typed and read in
 * the order they were written.  A message may carry one file descriptor.
 *
 * Whoever receives checks everything as if an attacker had sent it: the other
 * role may have been taken over.  A message that breaks the format ends the
 * connection it came over and nothing else.
 *
 * Rule of the house: a thread that serves another role's request never sends a
 * request to that role, so that two roles cannot wait for each other.
 */
#ifndef NET_IPC_H
#define NET_IPC_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/waker.h"

struct fail;

struct ipc_limits {
    unsigned calls_max;       /* requests without an answer yet, for each client; default 4096 */
    unsigned timeout_seconds; /* a call without an answer fails after this; default 30 */
    unsigned threads;         /* of a server; default 4 */
    unsigned connections_max; /* of a server; default 64 */
};
void ipc_limits_default(struct ipc_limits *l);

/* ---- a message, written ---- */

#define IPC_MESSAGE_MAX ((size_t)64 * 1024) /* bytes, header and all */

/* Types are the roles' own, 1 to 0x7fff. */
struct ipc_message {
    uint16_t   type;
    int        fd; /* -1: none; lent by the caller until the message is sent */
    struct buf bytes;
};

void ipc_message_init(struct ipc_message *m, uint16_t type);
void ipc_message_finish(struct ipc_message *m);

/* What does not fit makes the message fail when it is sent. */
void ipc_add_u64(struct ipc_message *m, uint64_t n);
void ipc_add_i64(struct ipc_message *m, int64_t n);
void ipc_add_bool(struct ipc_message *m, bool yes);
void ipc_add_bytes(struct ipc_message *m, struct slice s);
void ipc_add_fd(struct ipc_message *m, int fd); /* not closed by the message */

/* ---- a message, read ---- */

/*
 * A reader that fails once stays failed; a failed get gives 0 or an empty slice.
 * Slices point into the message and live as long as it does.
 */
struct ipc_reader {
    uint16_t     type;
    bool         failed;
    int         *fd; /* the message's, -1: none; closed with it unless taken */
    struct slice rest;
};

uint64_t     ipc_get_u64(struct ipc_reader *r);
int64_t      ipc_get_i64(struct ipc_reader *r);
bool         ipc_get_bool(struct ipc_reader *r);
struct slice ipc_get_bytes(struct ipc_reader *r);
/* A text that ends in headers, commands or logs: at most `most` bytes, no control characters; else the reader fails. */
struct slice ipc_get_line(struct ipc_reader *r, size_t most);
bool         ipc_is_line(struct slice s, size_t most); /* the same, asked of what came otherwise */
bool         ipc_at_end(const struct ipc_reader *r); /* for repeated fields: nothing is left */
int          ipc_take_fd(struct ipc_reader *r); /* the caller's from now on; -1 and failed if there is none */
/* true if nothing failed and nothing is left over: the last question about every message. */
bool ipc_end(struct ipc_reader *r);

/* ---- the side that asks ---- */

struct ipc_client;
struct ipc_call;

/*
 * `peer` names the other role in errors and logs.  `notice`, which may be NULL,
 * is called for each notice the other side sends, on the client's own thread: it
 * must not wait and must not call the client.  Starts that one thread.
 */
struct ipc_client *ipc_client_create(const struct ipc_limits *l, const char *peer,
                                     void (*notice)(void *ctx, struct ipc_reader *r), void *ctx, struct fail *why);
/* All calls must have been ended.  Fine on NULL; leaves *c NULL. */
void ipc_client_destroy(struct ipc_client **c);

/*
 * The socket to the other role; owned by the client from now on.  Replaces the
 * one before, whose unanswered calls fail with FAIL_TEMP.  Without a socket, or
 * after the other side has gone, every call fails with FAIL_TEMP at once.
 */
void ipc_client_attach(struct ipc_client *c, int fd);
/* Nobody is asked any more: what waits for an answer, and what asks from now on, fails with FAIL_TEMP at once. */
void ipc_client_leave(struct ipc_client *c);

/*
 * Sends a request and returns without waiting; `w` is woken once the answer is
 * there (or the call has failed).  A session then returns TURN_WAIT.  NULL and
 * *why (FAIL_TEMP) if it could not be sent.  The message stays the caller's.
 */
struct ipc_call *ipc_call_start(struct ipc_client *c, const struct ipc_message *m, struct waker w, struct fail *why);
bool             ipc_call_done(struct ipc_call *call);
/* Waits until it is done (between block_begin and block_end); for those who have a thread to spare. */
void ipc_call_wait(struct ipc_call *call);
/*
 * The answer of a call that is done: true and *out, whose slices live until
 * ipc_call_end().  false and *why if the other side refused (with the story it
 * gave), has gone, or took too long.
 */
bool ipc_call_answer(struct ipc_call *call, struct ipc_reader *out, struct fail *why);
/*
 * Gives the call back, answered or not; after it the waker is not called any
 * more.  Closes a descriptor that nobody took.  Fine on NULL; leaves *call NULL.
 */
void ipc_call_end(struct ipc_call **call);

/* Sends a notice. */
bool ipc_client_notify(struct ipc_client *c, const struct ipc_message *m, struct fail *why);

/* ---- the side that answers ---- */

struct ipc_server;

struct ipc_service {
    const char *name; /* for logs */
    /*
     * Runs one request on one of the server's threads, so it may wait.  Fills
     * *answer (already begun, with the request's type) and returns true, or fills
     * *why and returns false: the asking side then sees that failure.  A descriptor
     * added to the answer is closed once it was sent.  A notice comes here as well;
     * what is answered to it is dropped.
     */
    bool (*handle)(void *ctx, struct ipc_reader *request, struct ipc_message *answer, struct fail *why);
    /* May this peer connect to a listening socket?  NULL: only root and our own user. */
    bool (*admit)(void *ctx, uid_t uid, gid_t gid);
    void *ctx;
};

/* Starts the threads.  *service is copied. */
struct ipc_server *ipc_server_create(const struct ipc_limits *l, const struct ipc_service *service, struct fail *why);
/* A connected socket, or a listening one that accepts others; owned by the server from now on. */
bool ipc_server_attach(struct ipc_server *s, int fd, struct fail *why);
bool ipc_server_listen(struct ipc_server *s, int fd, struct fail *why);
/* Sends a notice to everybody who is connected; one who does not read misses it. */
void ipc_server_notify(struct ipc_server *s, const struct ipc_message *m);
/* Lets running requests finish, drops the rest.  Fine on NULL; leaves *s NULL. */
void ipc_server_destroy(struct ipc_server **s);

/* Both ends of a new connection, close-on-exec. */
bool ipc_socket_pair(int ends[2], struct fail *why);
/* Connects to / binds and listens on a path (bind: an old socket file there is replaced; mode as given). */
int ipc_socket_connect(const char *path, struct fail *why);
int ipc_socket_listen(const char *path, mode_t mode, struct fail *why);

#endif
