/*
 * queue/schedule.c - which group is next: destinations, sources, places.
 *
 * Layer: queue, private.  A destination has as many places as it has shown to bear.  For each free one it offers
 * one of its lanes, in turn, to the lane's source; sources take turns.  So nobody who sends much delays another, at one destination
 * or at all of them together, and the choice costs the same however much waits.
 *
 * Places are of three kinds, so that what does not answer cannot take all: *warm* (it has answered), *new* (never asked)
 * and *cold* (it did not answer last).  New and cold ones have a share each; a source may have as many new ones as are left free.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "queue/internal.h"

enum { ALLOWED_FIRST = 2, UNPARKED = 8, BUSY_MOST = 6, HOME_RETRY_MOST = 30, PROVEN_RETRY_MOST = 30 };

/* ---- a heap of times ---- */

static void heap_put(struct queue *q, struct destination *d, size_t at)
{
    q->wakes[at] = d;
    d->heap_at = at;
}

static void heap_up(struct queue *q, struct destination *d)
{
    size_t at = d->heap_at;

    for (; at > 1 && q->wakes[at / 2]->wake > d->wake; at /= 2)
        heap_put(q, q->wakes[at / 2], at);
    heap_put(q, d, at);
}

static void heap_down(struct queue *q, struct destination *d)
{
    size_t at = d->heap_at;

    for (size_t child; (child = at * 2) <= q->wake_count; at = child) {
        if (child < q->wake_count && q->wakes[child + 1]->wake < q->wakes[child]->wake)
            child++;
        if (q->wakes[child]->wake >= d->wake)
            break;
        heap_put(q, q->wakes[child], at);
    }
    heap_put(q, d, at);
}

static void heap_remove(struct queue *q, struct destination *d)
{
    struct destination *last;

    if (d->heap_at == 0)
        return;
    last = q->wakes[q->wake_count--];
    if (last != d) {
        last->heap_at = d->heap_at;
        heap_up(q, last);
        heap_down(q, last);
    }
    d->heap_at = 0;
}

void schedule_wake(struct queue *q, struct destination *d, int64_t at)
{
    if (at >= d->wake)
        return;
    heap_remove(q, d);
    d->wake = at;
    if (q->wake_count + 1 >= q->wake_cap) {
        q->wake_cap = q->wake_cap == 0 ? 64 : q->wake_cap * 2;
        q->wakes = xrealloc(q->wakes, q->wake_cap * sizeof(struct destination *));
    }
    d->heap_at = ++q->wake_count;
    heap_up(q, d);
    if (q->wakes[1] == d)
        (void)pthread_cond_signal(&q->tend);
}

int64_t schedule_next_wake(const struct queue *q)
{
    return q->wake_count > 0 ? q->wakes[1]->wake : NEVER_DUE;
}

void schedule_hungry(struct queue *q, struct destination *d)
{
    if (d->hungry || !d->more || d->waiting >= HUNGRY_BELOW)
        return;
    d->hungry = true;
    d->next_hungry = NULL;
    *q->last_hungry = d;
    q->last_hungry = &d->next_hungry;
    (void)pthread_cond_signal(&q->tend);
}

void schedule_wakes_due(struct queue *q, int64_t now)
{
    while (q->wake_count > 0 && q->wakes[1]->wake <= now) {
        struct destination *d = q->wakes[1];
        heap_remove(q, d);
        d->wake = NEVER_DUE;
        d->more = true;
        schedule_hungry(q, d);
        schedule_offer(q, d);
    }
}

/* ---- destinations ---- */

struct destination *destination_get(struct queue *q, struct slice name)
{
    return map_get(&q->names, name);
}

struct destination *destination_make(struct queue *q, struct slice name, uint64_t id)
{
    struct destination *d = xcalloc(1, sizeof *d);

    d->id = id;
    d->name = xslicedup(name);
    d->last = &d->first;
    d->allowed = ALLOWED_FIRST;
    d->wake = NEVER_DUE;
    d->stored_next = NEVER_DUE;
    d->cursor_rank = INT64_MIN;
    d->quiet_since = clock_now();
    d->home = slice_eq(name, SLICE(HOME_NAME));
    idmap_init(&d->lanes);
    (void)map_put(&q->names, name, d);
    (void)idmap_put(&q->ids, id, d);
    return d;
}

/* There is nothing of it in memory any more. */
void destination_free(struct queue *q, struct destination *d)
{
    heap_remove(q, d);
    (void)map_remove(&q->names, slice_of(d->name));
    if (idmap_get(&q->ids, d->id) == d)
        (void)idmap_remove(&q->ids, d->id);
    idmap_finish(&d->lanes);
    free(d->name);
    free(d);
}

/* ---- sources and lanes ---- */

static struct source *source_get(struct queue *q, uint64_t id)
{
    struct source *s = idmap_get(&q->sources, id);

    if (s == NULL) {
        s = xcalloc(1, sizeof *s);
        s->id = id;
        s->last = &s->first;
        (void)idmap_put(&q->sources, id, s);
    }
    return s;
}

static void source_drop(struct queue *q, struct source *s)
{
    if (s->lanes > 0 || s->active > 0 || s->listed)
        return;
    (void)idmap_remove(&q->sources, s->id);
    free(s);
}

static void list_source(struct queue *q, struct source *s)
{
    if (s->listed)
        return;
    s->listed = true;
    s->next = NULL;
    *q->last_source = s;
    q->last_source = &s->next;
}

static void add_lane(struct destination *d, struct lane *l)
{
    l->next = NULL;
    *d->last = l;
    d->last = &l->next;
}

static bool rate_ok(struct minute *m, uint64_t most, int64_t now)
{
    if (now < m->began || now >= m->began + 60)
        *m = (struct minute){.began = now};
    return most == 0 || m->count < most;
}

/*
 * The lane whose turn it is; where anything has a priority of its own, the best.  Those of sources that have sent enough
 * for this minute are passed over; NULL: all are, and the destination is looked at again when the first of them may.
 */
static struct lane *take_lane(struct queue *q, struct destination *d, int64_t now)
{
    const uint64_t most = q->setting.limits.source_per_minute;
    struct lane  **best = NULL;
    int64_t        again = NEVER_DUE;

    for (struct lane **at = &d->first; *at != NULL && (best == NULL || d->urgent > 0); at = &(*at)->next) {
        struct minute *m = &(*at)->source->minute;
        if (!d->home && !rate_ok(m, most, now))
            again = m->began + 60 < again ? m->began + 60 : again;
        else if (best == NULL || (*at)->first->rank < (*best)->first->rank)
            best = at;
    }
    if (best == NULL) {
        schedule_wake(q, d, again);
        return NULL;
    }
    struct lane *l = *best;
    *best = l->next;
    if (l->next == NULL)
        d->last = best;
    return l;
}

static bool is_open(struct queue *q, struct destination *d, int64_t now)
{
    if (d->not_before > now) {
        schedule_wake(q, d, d->not_before);
        return false;
    }
    if (!rate_ok(&d->minute, d->home ? 0 : q->setting.limits.destination_per_minute, now)) {
        schedule_wake(q, d, d->minute.began + 60);
        return false;
    }
    return true;
}

static unsigned allowed(const struct destination *d)
{
    return d->failures > 0 || d->home ? 1 : d->allowed;
}

/*
 * One of those who wait may look, if there is anything and it was not told already: whoever takes something tells the next.
 * So nobody runs to find that another was quicker.
 */
void schedule_call(struct queue *q)
{
    if (q->first_source == NULL || q->claimers <= q->called)
        return;
    q->called++;
    (void)pthread_cond_signal(&q->claims);
}

void schedule_offer(struct queue *q, struct destination *d)
{
    if (d->first == NULL || d->parked || !is_open(q, d, clock_now()))
        return;
    if (d->home) {
        (void)pthread_cond_signal(&q->home_work);
        return;
    }
    while (d->first != NULL && d->active + d->listed < allowed(d)) {
        struct lane *l = take_lane(q, d, clock_now());
        if (l == NULL)
            break;
        l->next = NULL;
        *l->source->last = l;
        l->source->last = &l->next;
        d->listed++;
        list_source(q, l->source);
    }
    schedule_call(q);
}

/* ---- items ---- */

static void lane_insert(struct lane *l, struct item *i)
{
    struct item **at = &l->first;

    l->count++;
    if (l->end != NULL && l->end->rank <= i->rank)
        at = &l->end->next;
    while (*at != NULL && (*at)->rank <= i->rank)
        at = &(*at)->next;
    i->next = *at;
    *at = i;
    if (i->next == NULL)
        l->end = i;
}

struct item *schedule_add(struct queue *q, struct destination *d, uint64_t head, uint64_t message, uint64_t source, int rank, bool *full)
{
    struct lane *l = idmap_get(&d->lanes, source);

    *full = l != NULL && l->count >= LANE_MOST;
    if (*full || idmap_get(&q->items, head) != NULL)
        return NULL;
    if (l == NULL) {
        l = xcalloc(1, sizeof *l);
        l->at = d;
        l->source = source_get(q, source);
        l->source->lanes++;
        (void)idmap_put(&d->lanes, source, l);
        add_lane(d, l);
    }
    struct item *i = xcalloc(1, sizeof *i);
    *i = (struct item){.lane = l, .at = d, .head = head, .message = message, .source = source, .rank = rank};
    lane_insert(l, i);
    (void)idmap_put(&q->items, head, i);
    d->waiting++;
    d->urgent += rank != 0;
    return i;
}

/* Without items it is none; it is in no list then. */
static void lane_drop(struct queue *q, struct lane *l)
{
    (void)idmap_remove(&l->at->lanes, l->source->id);
    l->source->lanes--;
    source_drop(q, l->source);
    free(l);
}

static struct item *lane_take(struct lane *l)
{
    struct item *i = l->first;

    l->first = i->next;
    if (l->first == NULL)
        l->end = NULL;
    l->count--;
    l->at->waiting--;
    l->at->urgent -= i->rank != 0;
    i->lane = NULL;
    i->next = NULL;
    return i;
}

static void count_claimed(struct queue *q, struct item *i, struct source *s)
{
    struct destination *d = i->at;
    enum place          p = schedule_place(d);

    i->active = true;
    i->place = p;
    d->active++;
    d->pending++;
    d->minute.count++;
    s->minute.count++;
    s->active++;
    s->unproven += p == PLACE_NEW;
    q->places[p].active++;
    q->active++;
}

enum place schedule_place(const struct destination *d)
{
    return d->home ? PLACE_WARM : d->failures > 0 ? PLACE_COLD : d->proven ? PLACE_WARM : PLACE_NEW;
}

static bool has_place(const struct queue *q, const struct destination *d, const struct source *s)
{
    const struct queue_limits *l = &q->setting.limits;
    size_t cold = l->cold_sessions < l->sessions ? l->cold_sessions : l->sessions, rest = l->sessions - cold;
    size_t fresh = rest - rest / 6 > 0 ? rest - rest / 6 : 1, taken;

    switch (schedule_place(d)) {
    case PLACE_WARM: return true;
    case PLACE_COLD: return q->places[PLACE_COLD].active < (cold > 0 ? cold : 1);
    case PLACE_NEW:
        taken = q->places[PLACE_NEW].active;
        return taken < fresh && s->unproven <= fresh - taken;
    }
    return true;
}

/* Until a place of its kind is free. */
static void park(struct queue *q, struct destination *d)
{
    enum place p = schedule_place(d);

    if (d->parked)
        return;
    d->parked = true;
    d->next_parked = NULL;
    if (q->places[p].first == NULL)
        q->places[p].first = d;
    else
        q->places[p].last->next_parked = d;
    q->places[p].last = d;
}

void schedule_unpark(struct queue *q, enum place p)
{
    for (unsigned n = 0; n < UNPARKED && q->places[p].first != NULL; n++) {
        struct destination *d = q->places[p].first;
        q->places[p].first = d->next_parked;
        d->parked = false;
        schedule_offer(q, d);
    }
}

static struct item *claim_from(struct queue *q, struct lane *l)
{
    struct destination *d = l->at;
    struct source      *s = l->source;
    struct item        *i = lane_take(l);

    count_claimed(q, i, s);
    if (l->first != NULL)
        add_lane(d, l);
    else
        lane_drop(q, l);
    schedule_hungry(q, d);
    schedule_offer(q, d);
    return i;
}

/* The source's next ready lane; NULL: it may send no more this minute. */
static struct lane *source_take(struct source *s)
{
    struct lane *l = s->first;

    s->first = l->next;
    if (s->first == NULL)
        s->last = &s->first;
    l->at->listed--;
    return l;
}

struct item *schedule_pick(struct queue *q, int64_t now)
{
    while (q->active < q->setting.limits.sessions && q->first_source != NULL) {
        struct source *s = q->first_source;
        struct item   *i = NULL;
        q->first_source = s->next;
        if (q->first_source == NULL)
            q->last_source = &q->first_source;
        s->listed = false;
        bool slow = !rate_ok(&s->minute, q->setting.limits.source_per_minute, now);
        struct lane *l = source_take(s);
        struct destination *d = l->at;
        if (s->first != NULL)
            list_source(q, s);
        if (!slow && is_open(q, d, now) && d->active < allowed(d) && has_place(q, d, s)) {
            i = claim_from(q, l);
        } else {
            add_lane(d, l);
            if (slow)
                schedule_offer(q, d); /* to another source */
            else if (d->not_before <= now && d->active < allowed(d) && !has_place(q, d, s))
                park(q, d);
        }
        if (i != NULL)
            return i;
    }
    return NULL;
}

/* The next of one destination, on the spot: somebody has a connection to it. */
struct item *schedule_pick_at(struct queue *q, struct destination *d, int64_t now)
{
    if (d->first == NULL || !is_open(q, d, now) || d->active >= allowed(d) || q->active >= q->setting.limits.sessions)
        return NULL;
    struct lane *l = take_lane(q, d, now);
    return l != NULL ? claim_from(q, l) : NULL;
}

void schedule_leave(struct queue *q, struct item *i, bool offers)
{
    const enum place    p = i->place;
    struct destination *d = i->at;
    struct source      *s = source_get(q, i->source);

    d->active--;
    q->active--;
    q->places[p].active--;
    s->active -= s->active > 0;
    s->unproven -= p == PLACE_NEW && s->unproven > 0;
    source_drop(q, s);
    d->quiet_since = clock_now();
    if (p != PLACE_WARM)
        schedule_unpark(q, p);
    if (offers)
        schedule_offer(q, d);
    schedule_call(q); /* there is room for one more session */
}

/* What was claimed, and its rows are as the database has them now. */
void item_free(struct queue *q, struct item *i)
{
    (void)idmap_remove(&q->items, i->head);
    i->at->pending--;
    for (struct mark *m = i->marks, *next; m != NULL; m = next) {
        next = m->next;
        free(m);
    }
    free(i);
}

static void unlink_item(struct queue *q, struct item *i)
{
    struct lane  *l = i->lane;
    struct item **at = &l->first, *before = NULL;

    for (; *at != i; at = &(*at)->next)
        before = *at;
    *at = i->next;
    if (l->end == i)
        l->end = before;
    l->count--;
    i->at->waiting--;
    i->at->urgent -= i->rank != 0;
    if (l->first != NULL)
        return;
    /* It is in one of two lists: take it out. */
    for (struct lane **p = &i->at->first; *p != NULL; p = &(*p)->next) {
        if (*p != l)
            continue;
        *p = l->next;
        if (l->next == NULL)
            i->at->last = p;
        lane_drop(q, l);
        return;
    }
    for (struct lane **p = &l->source->first; *p != NULL; p = &(*p)->next) {
        if (*p != l)
            continue;
        *p = l->next;
        if (l->next == NULL)
            l->source->last = p;
        i->at->listed--;
        break;
    }
    if (l->source->listed && l->source->first == NULL) {
        for (struct source **p = &q->first_source; *p != NULL; p = &(*p)->next) {
            if (*p != l->source)
                continue;
            *p = l->source->next;
            if (*p == NULL)
                q->last_source = p;
            break;
        }
        l->source->listed = false;
    }
    lane_drop(q, l);
}

bool item_forget(struct queue *q, uint64_t head)
{
    struct item *i = idmap_get(&q->items, head);

    if (i == NULL)
        return true;
    if (i->active || (i->fresh != NULL && i->fresh->direct != NULL)) /* or its rows have only just come to be */
        return false;
    unlink_item(q, i);
    (void)idmap_remove(&q->items, head);
    claim_free(q, i->fresh);
    i->at->more = true;
    schedule_wake(q, i->at, 0);
    free(i);
    return true;
}

struct item *item_reserve(struct queue *q, struct destination *d, uint64_t head, uint64_t message)
{
    if (!item_forget(q, head))
        return NULL;
    struct item *i = xcalloc(1, sizeof *i);
    *i = (struct item){.at = d, .head = head, .message = message, .active = true};
    (void)idmap_put(&q->items, head, i);
    d->pending++;
    return i;
}

/* ---- how it went ---- */

void schedule_health(struct queue *q, struct destination *d, enum queue_health health, struct slice reason, int64_t now)
{
    const struct queue_limits *l = &q->setting.limits;
    int64_t                    wait;

    switch (health) {
    case QUEUE_WELL:
        if (d->failures > 0) { /* another connection did not come to be, and this one is fine */
            d->not_before = 0;
            schedule_wake(q, d, now);
        }
        d->proven = true;
        d->failures = d->busy = 0;
        if (d->allowed < l->destination_sessions)
            d->allowed++;
        return;
    case QUEUE_BUSY:
        d->proven = true;
        d->failures = 0;
        d->allowed = d->allowed > 1 ? d->allowed / 2 : 1;
        d->busy += d->busy < BUSY_MOST;
        d->not_before = now + (1 << (d->busy - 1));
        break;
    case QUEUE_DEAD:
        if (d->not_before > now && d->failures > 0)
            return; /* others noticed at the same time */
        wait = settle_back_off(q, d->failures);
        if (d->home && wait > HOME_RETRY_MOST)
            wait = HOME_RETRY_MOST;
        if (d->proven && wait > PROVEN_RETRY_MOST)
            wait = PROVEN_RETRY_MOST; /* it answered a moment ago: perhaps it only starts again */
        d->proven = false;
        d->failures++;
        d->allowed = ALLOWED_FIRST;
        d->not_before = now + wait;
        (void)snprintf(d->reason, sizeof d->reason, PRIslice, SLICE_ARG(reason));
        break;
    }
    schedule_wake(q, d, d->not_before);
}
