/*
 * fuzz/session.h - a whole session of a protocol: a connection in memory, logins of our own, a real store.
 *
 * session.c defines what net/conn.h and policy/login.h declare, so that a target linked with it runs the protocol's own
 * code on input that comes in pieces of any size, with nothing that waits.  Everybody's password is "p"; a SASL exchange
 * without initial response is asked once, "more" is asked again.
 */
#ifndef FUZZ_SESSION_H
#define FUZZ_SESSION_H

#include "base/buf.h"
#include "net/conn.h"

struct store;
struct account;

struct session_way {
    size_t step;     /* octets that arrive at a time */
    bool tls, local; /* at the beginning; from loopback */
    bool damaged;    /* what is to be sent may turn out unreadable: then the connection ends */
};

/* How it ended. */
struct session_end {
    bool whole;       /* nothing was dropped: `said` is all of what it wanted to say */
    bool started_tls; /* what was sent behind the command is dropped, however it was cut */
    bool busy;        /* it had more to say than was waited for */
};

/* Plays `in` to a new session of `protocol` and ends it; what it said is added to `said`. */
struct session_end session_play(const struct conn_protocol *protocol, void *service, struct slice in,
                                const struct session_way *way, struct buf *said);

/* ---- a store in a temporary folder (room.h) ---- */

/* The directory has the domain example.test and nobody in it. */
struct session_store {
    struct store *store;
    struct volumes *volumes;
    struct directory *directory;
    const char *folder;
};
const struct session_store *session_store(void);
/* A new account of that address, in the directory and the store; the one that had it before is removed. */
uint64_t session_new_account(struct slice address);
void session_append(struct account *a, uint64_t mailbox, struct slice text);
/* Logins are to account `id` from here on. */
void session_sign_in(uint64_t id);

#endif
