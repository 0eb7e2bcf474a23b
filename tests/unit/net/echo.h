/*
 * tests/unit/net/echo.h - a protocol that uses everything net offers.
 *
 *     ECHO text      "text"
 *     BYTES n        n bytes from a source, then "done"
 *     MORE n         n blocks of 4 KB, asking for more whenever the connection is full, then "done"
 *     BODY n         reads n bytes in whatever pieces they come, then "sum <sum of bytes>"
 *     WAIT           waits for its waker, which another thread wakes, then "woken"
 *     POKE           parked, and woken again and again for nothing
 *     DELAY ms       "later" after that long
 *     TICK s         "tick" every so many seconds, until the next command
 *     AGAIN n        n turns, one after the other, then "done"
 *     HOLD           waits in the handler, without a word to net, for FREE from another session; then "held"
 *     BLOCK          the same between block_begin and block_end
 *     FREE           "freed"
 *     STARTTLS       "go", then TLS
 *     COMPRESS       "go", then everything is compressed
 *     READY          logged in: "ok"
 *     LABEL text     "ok"
 *     PEER           the client's address, and " tls" with TLS
 *     QUIT           "bye", and the end
 *     ABORT          the end
 */
#ifndef TESTS_ECHO_H
#define TESTS_ECHO_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/fail.h"
#include "client.h"
#include "net/net.h"
#include "net/tls.h"

/* What one listener's sessions share. */
struct echo_service {
    _Atomic unsigned opened, closed;    /* sessions */
    _Atomic unsigned sources, released; /* conn_sources */
    _Atomic unsigned calls;             /* of `input` */
    _Atomic unsigned reasons[16];       /* closes by reason */
    bool early_ready;                   /* CONN_READY from the first on */
    pthread_t waker_thread;             /* wakes those who wait */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct echo *waiting, *poked;
    unsigned held; /* sessions in HOLD or BLOCK */
    unsigned freed;
    bool stop;
};

extern const struct conn_protocol echo_protocol;

void echo_start(struct echo_service *s);
void echo_stop(struct echo_service *s);

#endif
