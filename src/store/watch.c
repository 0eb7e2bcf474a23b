/*
 * store/watch.c - who is told of changes (the hub), and how many may work at a time.
 *
 * Layer: store.  Wakers only mark and queue, so they are called with `lock` held:
 * after watch_end() and account_forget() nobody calls them any more.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "store/internal.h"

void watch_begin(struct watch *w, struct account *a, uint64_t mailbox_id, struct waker waker)
{
    *w = (struct watch){.account = a, .mailbox_id = mailbox_id, .waker = waker, .active = true};
    (void)pthread_mutex_lock(&a->lock);
    w->next = a->watches;
    if (w->next != NULL)
        w->next->prev = w;
    a->watches = w;
    (void)pthread_mutex_unlock(&a->lock);
}

void watch_end(struct watch *w)
{
    if (!w->active)
        return;
    (void)pthread_mutex_lock(&w->account->lock);
    *(w->prev != NULL ? &w->prev->next : &w->account->watches) = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    (void)pthread_mutex_unlock(&w->account->lock);
    w->active = false;
    w->next = w->prev = NULL;
}

bool watch_take(struct watch *w)
{
    return atomic_exchange(&w->marked, false);
}

static bool concerns(const struct watch *w, const struct change *c)
{
    if (c == NULL || c->restructured || c->annotated || w->mailbox_id == 0)
        return true;
    for (size_t i = 0; i < c->box_count; i++) {
        if (c->boxes[i]->changed && c->boxes[i]->row.id == w->mailbox_id)
            return true;
    }
    return false;
}

void watch_tell(struct account *a, const struct change *c)
{
    for (struct watch *w = a->watches; w != NULL; w = w->next) {
        if (!concerns(w, c))
            continue;
        atomic_store(&w->marked, true);
        waker_wake(w->waker);
    }
}

/* ---- the gate ---- */

struct gate_waiter {
    struct waker waker;
    struct gate_waiter *next;
};

/* The waiter's place in the queue, or its end. */
static struct gate_waiter **find_waiter(struct account *a, struct waker w)
{
    struct gate_waiter **at = &a->waiters;

    while (*at != NULL && ((*at)->waker.ctx != w.ctx || (*at)->waker.wake != w.wake))
        at = &(*at)->next;
    return at;
}

static void drop_waiter(struct gate_waiter **at)
{
    struct gate_waiter *gone = *at;

    *at = gone->next;
    free(gone);
}

/* While there is room, those who wait may try; `lock` held. */
static void call_next(struct account *a)
{
    if (a->waiters == NULL || a->inside >= a->store->limits.workers_per_account)
        return;
    struct waker w = a->waiters->waker;
    drop_waiter(&a->waiters);
    waker_wake(w);
}

bool account_enter(struct account *a, struct waker w)
{
    struct gate_waiter **at;

    (void)pthread_mutex_lock(&a->lock);
    bool in = a->inside < a->store->limits.workers_per_account;
    at = find_waiter(a, w);
    if (in) {
        a->inside++;
        if (*at != NULL)
            drop_waiter(at);
    } else if (*at == NULL) {
        *at = xcalloc(1, sizeof **at);
        (*at)->waker = w;
    }
    (void)pthread_mutex_unlock(&a->lock);
    return in;
}

void account_leave(struct account *a)
{
    (void)pthread_mutex_lock(&a->lock);
    if (a->inside == 0)
        bug("account %llu left more often than entered", (unsigned long long)a->id);
    a->inside--;
    call_next(a);
    (void)pthread_mutex_unlock(&a->lock);
}

/* Whoever was called and goes away instead of trying hands the call on. */
void account_forget(struct account *a, struct waker w)
{
    struct gate_waiter **at;

    (void)pthread_mutex_lock(&a->lock);
    at = find_waiter(a, w);
    if (*at != NULL)
        drop_waiter(at);
    else
        call_next(a);
    (void)pthread_mutex_unlock(&a->lock);
}
