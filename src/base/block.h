/*
 * base/block.h - "this worker is about to wait".
 *
 * Layer: base.  net's workers set a hook for their own thread; everyone that
 * waits (a sync, a lock held over one, another process) stands between
 * block_begin() and block_end(), so that a surplus worker can run meanwhile.
 * On threads that are no workers both do nothing.  Pairs may nest.
 *
 * The hook is thread-local: an exception to "no writable globals" here.
 */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

struct block_hook {
    void (*begin)(void *ctx);
    void (*end)(void *ctx);
    void *ctx;
};

void block_begin(void);
void block_end(void);
/* For net's workers: the calling thread's hook; NULL takes it away.  Not copied. */
void block_set_hook(const struct block_hook *hook);

#endif
