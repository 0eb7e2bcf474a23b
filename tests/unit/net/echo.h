/*
 * tests/unit/net/echo.h - a protocol that uses everything net offers, and a client for it.
 *
 *     ECHO text      "text"
 *     BYTES n        n bytes from a source, then "done"
 *     MORE n         n blocks of 4 KB, asking for more whenever the connection is full, then "done"
 *     BODY n         reads n bytes in whatever pieces they come, then "sum <sum of bytes>"
 *     WAIT           waits for its waker, which another thread wakes, then "woken"
 *     DELAY ms       "later" after that long
 *     TICK s         "tick" every so many seconds, until the next command
 *     AGAIN n        n turns, one after the other, then "done"
 *     STARTTLS       "go", then TLS
 *     LABEL text     "ok"
 *     QUIT           "bye", and the end
 */
#ifndef TESTS_ECHO_H
#define TESTS_ECHO_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/fail.h"
#include "net/net.h"
#include "net/tls.h"

/* What one listener's sessions share. */
struct echo_service {
    _Atomic unsigned opened, closed, released, sources; /* sessions; conn_sources */
    _Atomic unsigned reasons[16];                       /* closes by reason */
    unsigned         early_ready; /* 1: CONN_READY from the first on, not BEFORE_LOGIN */
    /* the thread that wakes those who wait */
    pthread_t       waker_thread;
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    struct echo    *waiting;
    bool            stop;
};

extern const struct conn_protocol echo_protocol;

void echo_start(struct echo_service *s);
void echo_stop(struct echo_service *s);

/* A listening socket on a free port of 127.0.0.1. */
int echo_listen(unsigned *port);
int echo_connect(unsigned port);
int echo_try_connect(unsigned port); /* -1: nobody listens */

/* A client's end: blocking, reads lines, with TLS or without. */
struct client {
    int     fd;
    SSL    *ssl;
    size_t  have, at;
    char    bytes[65536];
};
void client_init(struct client *c, int fd);
void client_finish(struct client *c);
bool client_tls(struct client *c, SSL_CTX *ctx);
bool client_send(struct client *c, const char *text);
bool client_write(struct client *c, const void *data, size_t n);
/* Reads more into `bytes`; false at the end. */
bool client_fill(struct client *c);
/* The next line without CRLF; NULL at the end.  Valid until the next call. */
const char *client_line(struct client *c);
bool client_expect(struct client *c, const char *want);
/* Reads the bytes of a source from offset `from` to `to` and compares them. */
bool client_pattern(struct client *c, uint64_t from, uint64_t to);
bool client_at_end(struct client *c); /* the server has closed */

#endif
