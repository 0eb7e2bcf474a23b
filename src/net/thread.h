/*
 * net/thread.h - net's threads, and waiting until a time.
 *
 * Layer: net, private.
 */
#ifndef NET_THREAD_H
#define NET_THREAD_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/*
 * Starts a thread that blocks all signals: they are for the main thread, and
 * SIGPIPE, which a write to a connection that has gone would raise, for nobody.
 * 0 or an errno value.
 */
int thread_start(pthread_t *out, void *(*run)(void *arg), void *arg);

/* A condition whose timed waits go by CLOCK_MONOTONIC. */
void cond_init(pthread_cond_t *c);
/* `ms` from now by that clock. */
struct timespec time_after_ms(int64_t ms);

#endif
