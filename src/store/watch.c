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

/* ---- journals ---- */

enum { JOURNAL_MAX = 1000 }; /* mailboxes, names and runs of new messages remembered for one session */

void watch_journal_begin(struct watch_journal *j, struct account *a, struct waker waker)
{
    *j = (struct watch_journal){.overflowed = false};
    watch_begin(&j->watch, a, 0, waker);
    (void)pthread_mutex_lock(&a->lock);
    j->watch.keeps_journal = true;
    (void)pthread_mutex_unlock(&a->lock);
}

void watch_journal_end(struct watch_journal *j)
{
    watch_end(&j->watch);
    watch_events_free(&j->events, j->count);
    j->count = j->cap = 0;
}

void watch_journal_enter(struct watch_journal *j)
{
    (void)pthread_mutex_lock(&j->watch.account->lock);
    j->entered = true;
    j->actor = pthread_self();
    (void)pthread_mutex_unlock(&j->watch.account->lock);
}

void watch_journal_leave(struct watch_journal *j)
{
    (void)pthread_mutex_lock(&j->watch.account->lock);
    j->entered = false;
    (void)pthread_mutex_unlock(&j->watch.account->lock);
}

size_t watch_journal_take(struct watch_journal *j, struct watch_event **events, bool *overflowed)
{
    size_t count;

    (void)pthread_mutex_lock(&j->watch.account->lock);
    atomic_store(&j->watch.marked, false);
    *events = j->events;
    count = j->count;
    *overflowed = j->overflowed;
    j->events = NULL;
    j->count = j->cap = 0;
    j->overflowed = false;
    (void)pthread_mutex_unlock(&j->watch.account->lock);
    return count;
}

void watch_events_free(struct watch_event **events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((*events)[i].name);
    free(*events);
    *events = NULL;
}

enum { OF_MESSAGES = WATCH_NEW | WATCH_GONE | WATCH_FLAGS };

/* Together with what is known of the same mailbox already?  Names keep their order. */
static bool join_event(struct watch_journal *j, const struct watch_event *e)
{
    for (size_t i = j->count; i-- > 0;) {
        struct watch_event *known = &j->events[i];
        if (known->mailbox_id != e->mailbox_id || known->own || e->own)
            continue;
        if (!((known->kinds | e->kinds) & ~(unsigned)OF_MESSAGES)) {
            known->kinds |= e->kinds;
            return true;
        }
        if (known->kinds == WATCH_METADATA && e->kinds == WATCH_METADATA)
            return true; /* its modseq is the first one's */
    }
    return false;
}

static void note(struct watch_journal *j, const struct change_event *e)
{
    struct watch_event what = e->what;

    what.account = j->watch.account;
    what.own = j->entered && pthread_equal(j->actor, e->by) != 0;
    if (what.own && what.kinds != WATCH_NEW)
        return;
    atomic_store(&j->watch.marked, true);
    if (j->overflowed || join_event(j, &what))
        return;
    if (j->count == JOURNAL_MAX) {
        j->overflowed = true;
        return;
    }
    if (j->count == j->cap) {
        j->cap = j->cap == 0 ? 4 : j->cap * 2;
        j->events = xrealloc(j->events, j->cap * sizeof *j->events);
    }
    if (what.name != NULL)
        what.name = xstrdup(what.name);
    j->events[j->count++] = what;
}

/* true: there is something to tell. */
static bool keep_journal(struct watch_journal *j, const struct change *c)
{
    for (size_t i = 0; c != NULL && i < c->event_count; i++)
        note(j, &c->events[i]);
    return c == NULL || atomic_load(&j->watch.marked);
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
        if (w->keeps_journal ? !keep_journal((struct watch_journal *)(void *)w, c) : !concerns(w, c))
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
