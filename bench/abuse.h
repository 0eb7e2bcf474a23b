/*
 * bench/abuse.h - clients that mean harm, and one that only wants its mail: what the files share.
 *
 * One thread, one epoll and as few system calls as can be: what the generator burns, the server of a machine
 * of two cores lacks.
 */
#ifndef BENCH_ABUSE_H
#define BENCH_ABUSE_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/fail.h"

struct options {
    const char *domain;
    unsigned imap, imaps, smtp; /* ports */
    unsigned connections;
    unsigned accounts; /* u1 ... ; u0 is the one who only wants its mail */
    unsigned sources;  /* addresses the attackers come from (PROXY); 0: from loopback, without a header */
    unsigned network;  /* of them in one /24 */
    unsigned seconds;  /* probe: so long */
    unsigned percent;  /* burn: of one core */
    unsigned megabytes; /* streams: in all; 0: until told to stop */
    unsigned opening;  /* connections being made at one time */
};

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t now_us(void);
double own_cpu(void);

int attack_run(const char *name, const struct options *o); /* -1: there is no such attack */
int probe_run(const struct options *o);
int burn_run(const struct options *o);

#endif
