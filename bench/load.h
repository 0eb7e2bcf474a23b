/*
 * bench/load.h - the load generator: what its files share.
 *
 * One thread, few system calls: on a machine of two cores the generator's CPU is
 * taken from the server's.  Each scenario prints one JSON object.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/fail.h"

struct options {
    const char *host;
    unsigned port, imap_port;
    unsigned sessions;
    unsigned messages;
    unsigned size;
    unsigned accounts;
    unsigned stay;       /* messages in a row for the same account */
    unsigned recipients; /* of one message */
    unsigned domains;    /* smtp: recipients are in so many, d0.DOMAIN and so on; 0: accounts of DOMAIN */
    unsigned relogin;    /* log in anew after so many commands; 0: never */
    const char *domain;
    bool new_connection; /* for each message */
    bool pipeline;
    bool lmtp;
    bool tls;         /* implicit, for IMAP */
    bool compress;    /* idle: over COMPRESS=DEFLATE */
    bool see;         /* count messages when they are visible by IMAP */
    bool steps;       /* say "ready" and "done", and wait for a line each time */
    const char *rare; /* that no message has: every one is read to its end */
    const char *word; /* that searches look for */
};

/* The scenarios: exit status. */
int load_smtp(const struct options *o);
int load_exists(const struct options *o);
int load_append(const struct options *o);
int load_commands(const struct options *o);
int load_idle(const struct options *o);
int load_mixed(const struct options *o);
int load_logins(const struct options *o);
int load_sink(const struct options *o);
int load_pop3(const struct options *o);

/* ---- common ---- */

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t now_us(void);
double own_cpu(void); /* seconds of this process so far */
int connect_to(const char *host, unsigned port);
/* Sorts and gives the value below which `percent` of them lie. */
double percentile(double *values, size_t count, double percent);

/* A message of about o->size bytes, CRLF lines, no line that begins with a dot. */
void message_write(struct buf *out, const struct options *o, unsigned number, unsigned recipient);

/* ---- a plain IMAP client, one command at a time ---- */

struct imap {
    int fd;
    SSL *ssl;
    struct buf in;
    size_t at;
    unsigned tag;
    uint64_t bytes; /* received */
};
struct imap *imap_open(const struct options *o, unsigned account);
void imap_close(struct imap **c);
void imap_write(struct imap *c, const char *text, size_t len);
void imap_send(struct imap *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The next line without CRLF; valid until the next call. */
const char *imap_line(struct imap *c);
/* Sends a command and reads to its tagged answer, which must be OK.  `each` (may be NULL) gets untagged
 * lines. */
void imap_run(struct imap *c, void (*each)(void *ctx, const char *line), void *ctx, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Messages in INBOX, by STATUS. */
unsigned imap_count(struct imap *c);

#endif
