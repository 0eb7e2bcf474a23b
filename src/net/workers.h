/*
 * net/workers.h - how many threads run at once: tokens.
 *
 * Layer: net, private.  As many workers as cores are let in.  One that is about
 * to wait (block_begin) gives its place to the newest sleeper on a stack, or to
 * a new thread; coming back (block_end) it runs on at once, and whoever is too
 * many at the top of its loop goes onto the stack, and leaves after a while.
 *
 * This counts waiting, not load: a pool that starts a thread whenever all are
 * busy cannot tell computing from waiting and grows under plain load, which was
 * measured to cost a third of the machine.
 */
#ifndef NET_WORKERS_H
#define NET_WORKERS_H

#include "base/slice.h"

struct fail;
struct workers;

/*
 * `run` is the thread's whole work: it calls workers_admit(ws) at the top of its
 * loop, and returns when that says false.  `number` is below `max` and this
 * thread's alone while it runs.
 */
struct workers *workers_create(unsigned target, unsigned max, void (*run)(void *ctx, unsigned number), void *ctx);
bool            workers_start(struct workers *ws, struct fail *why);
/* false: there are too many or it is the end; leave. */
bool workers_admit(struct workers *ws);
/* The back-stop: lets one more in than cores, or no more than cores again. */
void workers_set_extra(struct workers *ws, bool extra);
/* Everybody leaves: sleepers now, the others at the top of their loop; waits for them. */
void workers_stop(struct workers *ws);
void workers_destroy(struct workers **ws);

#endif
