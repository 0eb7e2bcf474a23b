/*
 * queue/direct.c - see queue/direct.h.
 *
 * Layer: queue.
 */
#include "queue/direct.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scoped.h"

#define DIRECT_BIT (UINT64_C(1) << 63) /* numbers of what has no row; references have it not */

enum {
    OVER_WAITING_MOST = 8192, /* nobody asks: then nothing more is tried in this way */
    OVER_BATCH = 128,
    OVER_GATHER_MS = 10,
    OVER_WAIT_MS = 1000,
};

void direct_init(struct queue *q)
{
    q->direct = xcalloc(1, sizeof *q->direct);
    idmap_init(&q->direct->ids);
    idmap_init(&q->direct->done);
}

void direct_free(struct direct *d)
{
    if (d == NULL)
        return;
    body_destroy(&d->body);
    due_finish(&d->due);
    free(d);
}

void direct_finish(struct queue *q)
{
    idmap_finish(&q->direct->ids);
    idmap_finish(&q->direct->done);
    free(q->direct->over);
    free(q->direct->unheard);
    free(q->direct);
}

bool direct_has(const struct queue *q, uint64_t id)
{
    return idmap_get(&q->direct->ids, id) != NULL;
}

bool direct_was(const struct queue *q, uint64_t id)
{
    return idmap_get(&q->direct->done, id) != NULL;
}

/* ---- who is told; with the lock ---- */

static void remember_done(struct direct_all *all, uint64_t id)
{
    uint64_t *place = &all->ring[all->ring_at++ % OVER_REMEMBERED];

    if (*place != 0)
        (void)idmap_remove(&all->done, *place);
    *place = id;
    (void)idmap_put(&all->done, id, all);
}

static void leave(struct queue *q, struct direct *d)
{
    struct direct_all *all = q->direct;

    (void)idmap_remove(&all->ids, d->message.id);
    *(d->earlier != NULL ? &d->earlier->later : &all->first) = d->later;
    *(d->later != NULL ? &d->later->earlier : &all->last) = d->earlier;
    all->count--;
    all->recipients -= d->message.recipient_count;
    all->bytes -= d->claim->size;
}

/* It is here no more: delivered, or in the spool, or (`taken` false) not to be had. */
static void over(struct queue *q, struct direct *d, bool taken)
{
    struct direct_all *all = q->direct;

    leave(q, d);
    if (taken)
        remember_done(all, d->message.id);
    if (all->over_count == all->over_cap) {
        all->over_cap = all->over_cap == 0 ? 256 : all->over_cap * 2;
        all->over = xrealloc(all->over, all->over_cap * sizeof *all->over);
    }
    all->over[all->over_count++] = (struct queue_over){.id = d->message.id, .taken = taken};
    if (all->asked && (all->over_count == 1 || all->over_count == OVER_BATCH))
        (void)pthread_cond_signal(&q->overs);
}

size_t queue_outcomes(struct queue *q, struct queue_over *out, size_t most)
{
    struct direct_all *all = q->direct;
    int64_t until = clock_mono_ms() + OVER_WAIT_MS, now;

    (void)pthread_mutex_lock(&q->lock);
    all->unheard_count = 0; /* whoever asks again has heard the answer before */
    all->asked = true;
    while (all->over_count == 0 && !q->stop_claims && (now = clock_mono_ms()) < until)
        queue_wait(&q->overs, &q->lock, until - now);
    until = clock_mono_ms() + OVER_GATHER_MS; /* nobody waits for it, and what else comes in a moment shares the answer */
    while (all->over_count > 0 && all->over_count < OVER_BATCH && !q->stop_claims && (now = clock_mono_ms()) < until)
        queue_wait(&q->overs, &q->lock, until - now);
    all->asked = false;
    size_t count = all->over_count < most ? all->over_count : most;
    if (count > 0) {
        memcpy(out, all->over, count * sizeof *out);
        all->over_count -= count;
        memmove(all->over, all->over + count, all->over_count * sizeof *all->over);
        all->unheard = xrealloc(all->unheard, count * sizeof *out);
        memcpy(all->unheard, out, count * sizeof *out);
        all->unheard_count = count;
    }
    (void)pthread_mutex_unlock(&q->lock);
    return count;
}

/* ---- coming in ---- */

/* The only destination of all its recipients, into `out`; false: there are several. */
static bool one_destination(struct queue *q, const struct queue_message *m, struct buf *out)
{
    struct buf other;
    bool       same = true;

    buf_init(&other, DESTINATION_NAME_MAX);
    for (size_t i = 0; same && i < m->recipient_count; i++) {
        const struct queue_recipient *r = &m->recipients[i];
        struct buf *to = i == 0 ? out : &other;
        buf_reset(to);
        if (r->destination.len > 0)
            buf_add(to, r->destination);
        else
            q->setting.router.destination(q->setting.router.ctx, m, r->address, to);
        same = !to->failed && slice_eq(buf_slice(out), buf_slice(to));
    }
    buf_finish(&other);
    return same;
}

/* May it be tried at once, as far as that depends on itself? */
static bool is_light(const struct queue *q, const struct queue_message *m, int64_t now)
{
    struct slice text;

    return m->recipient_count > 0 && m->recipient_count <= GROUP_MAX && m->id != 0 && (m->id & DIRECT_BIT) == 0 &&
           body_in_memory(m->body, &text) && take_hold_until(q, m, now) == 0 && take_expires(q, m, 0) > now;
}

/* ... and as far as it depends on this role and its destination?  With the lock. */
static bool has_room(const struct queue *q, const struct destination *d, uint64_t size, int64_t now)
{
    const struct queue_limits *l = &q->setting.limits;
    const struct direct_all   *all = q->direct;

    return !q->stop_claims && q->leases == 0 && all->count < l->first_try_messages && size <= l->first_try_bytes &&
           all->bytes <= l->first_try_bytes - size && all->over_count < OVER_WAITING_MOST && d != NULL && d->id != 0 && !d->home &&
           !d->parked && d->failures == 0 && d->not_before <= now;
}

static bool run_spooling(struct queue *q, struct op *o, struct fail *why);
static bool prepare_spooling(struct queue *q, struct op *o);
static bool after_spooling(struct queue *q, struct op *o, bool ok, const struct fail *why);

/* The message as it will be spooled if need be, of the claim's texts. */
static void describe(struct direct *d, const struct queue_message *m)
{
    struct queue_claim     *c = d->claim;
    struct queue_recipient *list = arena_new_array(&c->arena, struct queue_recipient, c->recipient_count);

    for (size_t i = 0; i < c->recipient_count; i++)
        list[i] = (struct queue_recipient){.address = c->recipients[i].address, .destination = c->destination,
                                           .prefix = c->recipients[i].prefix, .options = c->recipients[i].options};
    d->message = (struct queue_message){.id = m->id, .sender = c->sender, .trace = c->trace, .received = c->received, .options = c->options,
                                        .recipients = list, .recipient_count = c->recipient_count, .body = d->body};
}

static struct direct *direct_new(struct queue *q, const struct queue_message *m, struct slice name)
{
    size_t            *order = xcalloc(m->recipient_count, sizeof *order);
    const struct due   g = {.head = DIRECT_BIT | m->id, .ref = DIRECT_BIT | m->id, .size = body_size(m->body), .message = m, .order = order,
                            .expires = take_expires(q, m, 0), .name = name, .count = m->recipient_count};

    for (size_t i = 0; i < m->recipient_count; i++)
        order[i] = i;
    struct queue_claim *c = take_fresh_claim(q, &g);
    free(order);
    if (c == NULL)
        return NULL;
    struct direct *d = xcalloc(1, sizeof *d);
    d->op = (struct op){.waits = true, .prepare = prepare_spooling, .run = run_spooling, .after = after_spooling};
    d->claim = c;
    d->began = clock_mono_ms();
    due_init(&d->due);
    c->direct = d;
    return d;
}

static void enter(struct queue *q, struct direct *d)
{
    struct direct_all *all = q->direct;

    (void)idmap_put(&all->ids, d->message.id, d);
    d->earlier = all->last;
    *(all->last != NULL ? &all->last->later : &all->first) = d;
    all->last = d;
    all->count++;
    all->recipients += d->message.recipient_count;
    all->bytes += d->claim->size;
}

/* Puts it before the scheduler; then its body is ours.  With the lock. */
static bool schedule(struct queue *q, struct direct *d, struct destination *at, const struct queue_message *m, struct body **body)
{
    bool full = false;

    d->item = schedule_add(q, at, d->claim->head, d->claim->message, take_source_of(m), -m->options.priority, &full);
    if (d->item == NULL)
        return false;
    d->item->fresh = d->claim;
    d->body = *body;
    *body = NULL;
    describe(d, m);
    enter(q, d);
    schedule_offer(q, at);
    return true;
}

static enum queue_tried begin(struct queue *q, const struct queue_message *m, struct body **body, struct buf *name)
{
    const int64_t      now = clock_now();
    const uint64_t     size = body_size(*body);
    enum queue_tried   fate = QUEUE_NOT_TRIED;
    struct direct     *d = NULL;

    (void)pthread_mutex_lock(&q->lock);
    if (direct_has(q, m->id))
        fate = QUEUE_TRIED; /* what becomes of it is told to whoever asks */
    else if (direct_was(q, m->id))
        fate = QUEUE_TAKEN;
    bool light = fate == QUEUE_NOT_TRIED;
    (void)pthread_mutex_unlock(&q->lock);
    if (!light || !is_light(q, m, now) || !one_destination(q, m, name) || (d = direct_new(q, m, buf_slice(name))) == NULL)
        return fate;
    (void)pthread_mutex_lock(&q->lock);
    struct destination *at = destination_get(q, buf_slice(name));
    bool ok = has_room(q, at, size, now) && !direct_has(q, m->id) && schedule(q, d, at, m, body);
    (void)pthread_mutex_unlock(&q->lock);
    if (!ok) {
        claim_free(q, d->claim);
        return QUEUE_NOT_TRIED;
    }
    (void)__atomic_add_fetch(&q->taken, 1, __ATOMIC_RELAXED);
    return QUEUE_TRIED;
}

static void log_taken(const struct queue_message *m, uint64_t size)
{
    log_event(LOG_INFO, "queue.taken", LOG_TEXT("trace", m->trace), LOG_HEX("queue_id", DIRECT_BIT | m->id), LOG_TEXT("from", m->sender),
              LOG_U64("recipients", m->recipient_count), LOG_U64("size", size));
}

bool queue_try(struct queue *q, const struct queue_message *messages, struct body **bodies, size_t count, enum queue_tried *fates,
               struct fail *why)
{
    SCOPED(scoped_free) struct queue_message *rest = xcalloc(count + 1, sizeof *rest);
    SCOPED(scoped_free) size_t *place = xcalloc(count + 1, sizeof *place);
    SCOPED(scoped_free) bool *taken = xcalloc(count + 1, sizeof *taken);
    size_t     left = 0;
    struct buf name;

    buf_init(&name, DESTINATION_NAME_MAX);
    for (size_t i = 0; i < count; i++) {
        uint64_t size = body_size(bodies[i]);
        fates[i] = q->setting.offline ? QUEUE_NOT_TRIED : begin(q, &messages[i], &bodies[i], &name);
        if (fates[i] == QUEUE_TRIED && bodies[i] == NULL)
            log_taken(&messages[i], size);
        if (fates[i] != QUEUE_NOT_TRIED)
            continue;
        rest[left] = messages[i];
        place[left++] = i;
    }
    buf_finish(&name);
    bool ok = left == 0 || queue_take(q, rest, left, taken, why);
    for (size_t i = 0; i < left; i++)
        fates[place[i]] = ok && taken[i] ? QUEUE_TAKEN : QUEUE_NOT_TRIED;
    return ok || left < count;
}

/* ---- into the spool ---- */

static bool prepare_spooling(struct queue *q, struct op *o)
{
    struct direct *d = (struct direct *)o;
    struct fail    why = {0};

    if (d->ref == 0 && !take_append(q, &d->message, &d->ref, &why)) {
        log_event(LOG_ERROR, "queue.not_spooled", LOG_TEXT("trace", d->message.trace), LOG_FAIL(&why));
        d->ref = 0;
    }
    o->first_ref = o->last_ref = d->ref;
    return d->ref != 0;
}

/* Its rows have numbers now; who sends it meanwhile looks at none of these. */
static void number_anew(struct queue *q, struct direct *d, const struct due *g)
{
    (void)pthread_mutex_lock(&q->lock);
    (void)idmap_remove(&q->items, d->item->head);
    d->item->head = d->claim->head = g->head;
    d->item->message = g->ref;
    (void)idmap_put(&q->items, g->head, d->item);
    for (size_t i = 0; i < d->claim->recipient_count; i++)
        d->claim->recipients[i].row = g->head + i;
    (void)pthread_mutex_unlock(&q->lock);
}

static bool run_spooling(struct queue *q, struct op *o, struct fail *why)
{
    struct direct *d = (struct direct *)o;
    bool           known = false;

    if (o->first_ref == 0) {
        d->ref = 0; /* it did not come to be on disk */
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the record of a message could not be written");
    }
    due_reset(&d->due);
    if (!take_is_known(q, d->message.id, &known, why) || (!known && !db_run(q->db, SQL_ADD_TAKEN, why, "i", (int64_t)d->message.id)) ||
        !take_write(q, &d->message, d->ref, d->claim->size, TAKE_AWAY, &d->due, why))
        return false;
    q->delta.taken += !known;
    number_anew(q, d, &d->due.list[0]); /* one destination, no more than a group holds: one group */
    return true;
}

struct direct *direct_adopt(struct queue_claim *c)
{
    struct direct *d = c->direct;

    if (d == NULL || d->state != DIRECT_SPOOLED)
        return NULL;
    c->message = d->ref;
    c->direct = NULL;
    return d;
}

static bool after_spooling(struct queue *q, struct op *o, bool ok, const struct fail *why)
{
    struct direct        *d = (struct direct *)o, *done = NULL;
    struct queue_claim   *c = d->claim;
    struct queue_outcome *outcomes;
    int64_t               not_before;

    (void)why;
    (void)pthread_mutex_lock(&q->lock);
    if (!ok && !q->stop_commits) {
        (void)pthread_mutex_unlock(&q->lock);
        return false;
    }
    over(q, d, ok);
    outcomes = d->outcomes;
    not_before = d->not_before;
    if (ok) {
        log_event(LOG_INFO, "queue.spooled", LOG_TEXT("trace", c->trace), LOG_HEX("queue_id", d->ref), LOG_HEX("was", DIRECT_BIT | d->message.id));
        d->state = DIRECT_SPOOLED;
        if (!d->item->active || outcomes != NULL)
            done = direct_adopt(c);
    }
    (void)pthread_mutex_unlock(&q->lock);
    direct_free(done);
    if (outcomes == NULL)
        return true; /* it waits, or is being sent: an end of this process frees it with its item */
    if (ok)
        settle_start(q, c, outcomes, SETTLE_REPORT, not_before);
    else
        claim_free(q, c);
    return true;
}

void direct_start_spooling(struct queue *q, struct direct *d)
{
    commit_start(q, &d->op);
}

bool direct_spool_older(struct queue *q, int64_t ms)
{
    const int64_t before = clock_mono_ms() - ms;
    bool          any = false;

    (void)pthread_mutex_lock(&q->lock);
    for (struct direct *d = q->direct->first, *later; d != NULL && d->began <= before; d = later) {
        later = d->later;
        if (d->state != DIRECT_MEMORY)
            continue;
        d->state = DIRECT_SPOOLING;
        commit_start_locked(q, &d->op);
        any = true;
    }
    (void)pthread_mutex_unlock(&q->lock);
    return any;
}

void direct_spool_these(struct queue *q, const struct queue_message *messages, size_t count)
{
    (void)pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < count && q->direct->count > 0; i++) {
        struct direct *d = idmap_get(&q->direct->ids, messages[i].id);
        if (d == NULL || d->state != DIRECT_MEMORY)
            continue;
        d->state = DIRECT_SPOOLING;
        commit_start_locked(q, &d->op);
    }
    (void)pthread_mutex_unlock(&q->lock);
}

/* ---- how it went ---- */

/* Delivered to all, and nobody wants to hear of it? */
static bool is_over(const struct queue_claim *c, const struct queue_outcome *outcomes)
{
    for (size_t i = 0; i < c->recipient_count; i++) {
        if (outcomes[i].fate == QUEUE_RELAYED ? dsn_wanted(c->sender, &c->recipients[i].options, DSN_RELAYED) : outcomes[i].fate != QUEUE_SENT)
            return false;
    }
    return true;
}

enum direct_end direct_report(struct queue *q, struct queue_claim *c, const struct queue_outcome *outcomes, int64_t not_before)
{
    struct direct *d = c->direct;

    if (d == NULL)
        return DIRECT_NOT;
    if (d->state == DIRECT_SPOOLED) {
        direct_free(direct_adopt(c));
        return DIRECT_NOT;
    }
    if (d->state == DIRECT_MEMORY && is_over(c, outcomes)) {
        over(q, d, true);
        item_free(q, d->item);
        c->item = NULL;
        return DIRECT_OVER;
    }
    d->outcomes = settle_keep_outcomes(c, outcomes);
    d->not_before = not_before;
    if (d->state == DIRECT_SPOOLING)
        return DIRECT_LATER;
    d->state = DIRECT_SPOOLING;
    return DIRECT_SPOOL;
}

/* ---- for later lives of this process ---- */

struct remembering {
    struct op op;
    struct queue_over *list;
    size_t count;
};

static bool run_remembering(struct queue *q, struct op *o, struct fail *why)
{
    struct remembering *r = (struct remembering *)o;

    for (size_t i = 0; i < r->count; i++) {
        bool known = true;
        if (r->list[i].taken && !take_is_known(q, r->list[i].id, &known, why))
            return false;
        if (!known && !db_run(q->db, SQL_ADD_TAKEN, why, "i", (int64_t)r->list[i].id))
            return false;
        q->delta.taken += !known;
    }
    return true;
}

void direct_remember(struct queue *q)
{
    const struct direct_all *all = q->direct;
    struct remembering       r = {.op = {.run = run_remembering}};
    struct fail              why = {0};

    (void)pthread_mutex_lock(&q->lock);
    r.list = xcalloc(all->over_count + all->unheard_count + 1, sizeof *r.list);
    for (size_t i = 0; i < all->unheard_count; i++)
        r.list[r.count++] = all->unheard[i];
    for (size_t i = 0; i < all->over_count; i++)
        r.list[r.count++] = all->over[i];
    (void)pthread_mutex_unlock(&q->lock);
    if (r.count > 0 && !commit_wait(q, &r.op, &why))
        log_event(LOG_ERROR, "queue.not_remembered", LOG_U64("messages", r.count), LOG_FAIL(&why));
    free(r.list);
}
