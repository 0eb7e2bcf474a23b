/*
 * queue/home.c - notifications whose sender may have an account here.
 *
 * Layer: queue, private.  They wait at a destination of their own, and one thread asks the mail role to take them.  What is for
 * nobody there gets the destination that any other message would have had.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/internal.h"

enum { PIECE = 64 << 10, NAME_MAX_BYTES = 1000 };

static struct body *read_body(struct queue *q, const struct queue_claim *c, struct fail *why)
{
    struct body *b = body_create(&q->bodies);
    char        *piece = xmalloc(PIECE);
    bool         ok = true;

    for (uint64_t at = 0; ok && at < c->size;) {
        size_t n = c->size - at < PIECE ? (size_t)(c->size - at) : PIECE;
        ok = queue_read(q, c, at, piece, n, why) && body_add(b, slice_make(piece, n), why);
        at += n;
    }
    free(piece);
    if (!ok)
        body_destroy(&b);
    return b;
}

/* ---- to somebody elsewhere ---- */

struct moving { struct op op; struct queue_claim *claim; struct buf name; struct destination *at; int64_t now; };

static bool run_moving(struct queue *q, struct op *o, struct fail *why)
{
    struct moving *m = (struct moving *)o;
    uint64_t       id;

    if (!take_destination(q, buf_slice(&m->name), m->now, &id, &m->at, why))
        return false;
    for (size_t i = 0; i < m->claim->recipient_count; i++)
        if (!db_run(q->db, SQL_MOVE, why, "iii", (int64_t)m->claim->recipients[i].row, (int64_t)id, m->now))
            return false;
    return true;
}

static bool move_on(struct queue *q, struct queue_claim *c, struct fail *why)
{
    struct moving        m = {.op = {.run = run_moving}, .claim = c, .now = clock_now()};
    struct queue_message message = {.id = c->delivery, .sender = c->sender, .trace = c->trace, .received = c->received, .options = c->options};

    buf_init(&m.name, NAME_MAX_BYTES);
    q->setting.router.destination(q->setting.router.ctx, &message, c->recipients[0].address, &m.name);
    bool ok = commit_wait(q, &m.op, why);
    if (ok && m.at != NULL) {
        (void)pthread_mutex_lock(&q->lock);
        m.at->more = true;
        m.at->quiet_since = m.now;
        schedule_wake(q, m.at, m.now + 1);
        (void)pthread_mutex_unlock(&q->lock);
    }
    buf_finish(&m.name);
    return ok;
}

/* ---- one notification ---- */

static void hand_over(struct queue *q, struct queue_claim *c)
{
    const struct queue_home *home = &q->setting.home;
    struct queue_outcome     outcome = {.fate = QUEUE_SENT, .remote = SLICE("here")};
    struct fail              why = {.reason = FAIL_NOT_FOUND};
    enum queue_health        health = QUEUE_WELL;
    struct body             *body = home->deliver != NULL ? read_body(q, c, &why) : NULL;

    if (body == NULL || !home->deliver(home->ctx, c->sender, c->recipients[0].address, body, &why)) {
        bool elsewhere = why.reason == FAIL_NOT_FOUND && (body != NULL || home->deliver == NULL);
        outcome.fate = elsewhere ? QUEUE_UNTOUCHED : why.kind == FAIL_TEMP ? QUEUE_LATER : QUEUE_NEVER;
        if (elsewhere && !move_on(q, c, &why))
            outcome.fate = QUEUE_LATER;
        outcome.text = slice_of(why.text);
        health = outcome.fate == QUEUE_LATER ? QUEUE_DEAD : QUEUE_WELL;
    }
    body_destroy(&body);
    queue_report(q, &c, health, &outcome);
}

void queue_home_is_back(struct queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    struct destination *d = destination_get(q, SLICE(HOME_NAME));
    if (d != NULL) {
        d->not_before = 0;
        schedule_wake(q, d, 0);
        schedule_offer(q, d);
    }
    (void)pthread_mutex_unlock(&q->lock);
}

void *home_run(void *queue)
{
    struct queue *q = queue;

    (void)pthread_mutex_lock(&q->lock);
    while (!q->stopping) {
        struct destination *d = destination_get(q, SLICE(HOME_NAME));
        struct item        *i = d != NULL && !q->home_held ? schedule_pick_at(q, d, clock_now()) : NULL;
        if (i == NULL) {
            queue_wait(&q->home_work, &q->lock, 1000);
            continue;
        }
        q->home_busy = true;
        (void)pthread_mutex_unlock(&q->lock);
        struct queue_claim *c = claim_of_item(q, i);
        if (c != NULL)
            hand_over(q, c);
        (void)pthread_mutex_lock(&q->lock);
        q->home_busy = false;
        if (q->home_held)
            (void)pthread_cond_broadcast(&q->home_work);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return NULL;
}
