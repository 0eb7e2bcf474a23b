/*
 * base/waker.h - how a lower room tells a parked session that it should look.
 *
 * Layer: base.  The store's hub, auth's client and the account gate know
 * sessions only as wakers; net's connections are what stands behind them.
 */
#ifndef BASE_WAKER_H
#define BASE_WAKER_H

/*
 * `wake(ctx)` may be called from any thread, any number of times, with any lock
 * held: it only marks and queues, it runs nothing.  Whoever hands out a waker
 * keeps `ctx` valid until it has been taken back.
 */
struct waker {
    void (*wake)(void *ctx);
    void *ctx;
};

static inline void waker_wake(struct waker w)
{
    if (w.wake != 0)
        w.wake(w.ctx);
}

#endif
