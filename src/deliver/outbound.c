/*
 * deliver/outbound.c - what must leave is handed over to the queue role.
 *
 * Layer: deliver.  One thread takes what has gathered, in batches: the queue role makes one transaction of
 * each, and so does the node's database, which notes that the queue role has released the record.  Only then
 * is the record's part that leaves done with.  Handing over twice is harmless: the queue role knows a message
 * by its id.
 *
 * While the queue role is away everything waits here, out of the senders' way, until there is too much of it;
 * a restart finds it again in the records above the low-water mark.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scoped.h"
#include "deliver/internal.h"
#include "deliver/srs.h"

enum {
    BATCH_MAX = 256,        /* jobs */
    BATCH_BYTES = 4 << 20,  /* of messages; one at least */
    BATCH_ARENA = 1 << 30,
    KEPT_BYTES = 32 << 20,  /* of bodies that wait in memory; of others the volume has them */
    BACK_OFF_MAX = 60,      /* seconds */
    GATHER_MS = 4,          /* since the last hand-over: who comes alone goes at once, a stream in batches */
    REF_BITS_FREE = 3,      /* records begin at multiples of 8 */
};
_Static_assert(JOB_SENDERS <= 1 << REF_BITS_FREE, "the parts of a record have ids of their own");

void outbound_queue_job(struct deliver *d, struct job *j)
{
    struct outbound_queue *q = &d->outbound;

    j->next_outbound = NULL;
    *q->last = j;
    q->last = &j->next_outbound;
    q->count++;
    d->waiting += !q->failing;
    if (!q->gathers || q->count == BATCH_MAX / 4)
        (void)pthread_cond_signal(&d->leave);
}

void outbound_keep_body(struct deliver *d, struct job *j, struct body *body)
{
    struct slice text;

    if (!body_in_memory(body, &text) || d->kept_bytes + text.len > KEPT_BYTES)
        return;
    d->kept_bytes += text.len;
    j->body = body_share(body);
}

static void forget_body(struct deliver *d, struct job *j)
{
    if (j->body == NULL)
        return;
    d->kept_bytes -= body_size(j->body);
    body_destroy(&j->body);
}

bool outbound_is_full(const struct deliver *d)
{
    return d->outbound.failing && d->outbound.count >= d->limits.outbound_backlog;
}

void outbound_finish(struct deliver *d)
{
    for (struct job *j = d->outbound.first; j != NULL;) {
        struct job *next = j->next_outbound;
        job_drop(j, 1);
        j = next;
    }
}

void deliver_queue_is_back(struct deliver *d)
{
    (void)pthread_mutex_lock(&d->lock);
    d->outbound.retry_at = 0;
    (void)pthread_cond_signal(&d->leave);
    (void)pthread_mutex_unlock(&d->lock);
}

/* ---- a batch ---- */

struct batch {
    struct arena arena;
    struct job *jobs[BATCH_MAX];
    enum { JOB_LATER, JOB_TAKEN, JOB_UNREADABLE, JOB_TRIED } fate[BATCH_MAX];
    struct body *bodies[BATCH_MAX];
    size_t count;
    struct queue_message messages[BATCH_MAX * JOB_SENDERS];
    size_t job_of[BATCH_MAX * JOB_SENDERS]; /* whose message it is */
    bool taken[BATCH_MAX * JOB_SENDERS];
    size_t message_count;
    bool first; /* none of them was handed over before, and the queue role may try them */
    enum queue_tried tried[BATCH_MAX];
};

/* As much as makes a good batch, from the front; with the lock held. */
static void batch_take(struct deliver *d, struct batch *b)
{
    uint64_t bytes = 0;

    b->count = b->message_count = 0;
    for (struct job *j = d->outbound.first; j != NULL && b->count < BATCH_MAX; j = j->next_outbound) {
        bytes += j->record.size;
        if (b->count > 0 && (bytes > BATCH_BYTES || j->handed == b->first))
            break;
        b->first = !j->handed;
        b->fate[b->count] = JOB_LATER;
        b->jobs[b->count++] = j;
    }
}

/* What a forward or list member is told of the sender's wishes: of a list's none (RFC 3461 section 5.2.7.1). */
static struct envelope_options part_options(struct envelope_options options, struct slice own_sender)
{
    if (own_sender.len > 0 && !srs_is(own_sender)) {
        options.envid = SLICE("");
        options.ret = RET_UNSAID;
    }
    return options;
}

static struct slice sender_of(const struct job *j, const struct record_target *t)
{
    return t->sender.len > 0 ? t->sender : j->record.sender;
}

size_t outbound_senders(const struct record *record, struct slice senders[JOB_SENDERS])
{
    size_t count = 0;

    for (size_t i = 0; i < record->target_count; i++) {
        const struct record_target *t = &record->targets[i];
        struct slice sender = t->sender.len > 0 ? t->sender : record->sender;
        size_t k = 0;
        if (t->kind != RECORD_OUTBOUND)
            continue;
        while (k < count && !slice_eq(senders[k], sender))
            k++;
        if (k == JOB_SENDERS)
            return JOB_SENDERS + 1;
        if (k == count)
            senders[count++] = sender;
    }
    return count;
}

/* All recipients of the job that have this reverse-path. */
static bool add_message(struct batch *b, size_t at, struct slice sender, size_t part,
                        const struct envelope_options *options)
{
    const struct job *j = b->jobs[at];
    struct queue_recipient *r = arena_new_array(&b->arena, struct queue_recipient, j->outbound_count);
    size_t count = 0;
    struct slice own = SLICE("");

    for (size_t i = 0; i < j->record.target_count; i++) {
        const struct record_target *t = &j->targets[i];
        if (t->kind != RECORD_OUTBOUND || !slice_eq(sender_of(j, t), sender))
            continue;
        own = t->sender;
        r[count] = (struct queue_recipient){.address = t->recipient, .prefix = t->prefix};
        if (!recipient_options_read(&b->arena, t->options, &r[count++].options))
            return false;
    }
    b->job_of[b->message_count] = at;
    b->taken[b->message_count] = false;
    b->messages[b->message_count++] = (struct queue_message){
        .id = j->ref | part,
        .sender = sender,
        .trace = j->record.trace,
        .received = j->record.internal_date,
        .options = part_options(*options, own),
        .recipients = r,
        .recipient_count = count,
        .body = b->bodies[at],
    };
    return true;
}

static bool add_messages(struct batch *b, size_t at)
{
    const struct job *j = b->jobs[at];
    struct slice senders[JOB_SENDERS] = {0};
    struct envelope_options options;
    size_t count = outbound_senders(&j->record, senders);

    if (count > JOB_SENDERS || !envelope_options_read(&b->arena, j->record.options, &options))
        return false;
    for (size_t part = 0; part < count; part++)
        if (!add_message(b, at, senders[part], part, &options))
            return false;
    return true;
}

/* Messages of all jobs that can be read. */
static void batch_fill(struct deliver *d, struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        struct job *j = b->jobs[i];
        struct fail why = {.kind = FAIL_PERM, .text = "its options cannot be read"};
        const size_t before = b->message_count;

        b->bodies[i] = j->body != NULL ? body_share(j->body) : job_body(d, j->ref, j->record.size, &why);
        if (b->bodies[i] != NULL && add_messages(b, i))
            continue;
        b->message_count = before;
        if (why.kind == FAIL_PERM)
            b->fate[i] = JOB_UNREADABLE; /* the record stays where it is, for whoever can save something of it */
        log_event(LOG_ERROR, "deliver.unreadable", LOG_HEX("record", j->ref), LOG_TEXT("trace", j->record.trace),
                  LOG_FAIL(&why));
    }
}

/* Which jobs have all their messages taken? */
static void judge(struct batch *b)
{
    for (size_t i = 0; i < b->message_count; i++)
        if (b->fate[b->job_of[i]] != JOB_TRIED)
            b->fate[b->job_of[i]] = JOB_TAKEN;
    for (size_t i = 0; i < b->message_count; i++)
        if (!b->taken[i] && b->fate[b->job_of[i]] != JOB_TRIED)
            b->fate[b->job_of[i]] = JOB_LATER;
}

static bool batch_release(struct deliver *d, struct batch *b, struct fail *why)
{
    struct store_release list[BATCH_MAX];
    size_t count = 0;

    for (size_t i = 0; i < b->count; i++)
        if (b->fate[i] == JOB_TAKEN)
            list[count++] = (struct store_release){
                .ref = b->jobs[i]->ref, .size = b->jobs[i]->record.size, .owners = b->jobs[i]->owners};
    return count == 0 || store_release(d->store, STORE_OWNER_QUEUE, list, count, why);
}

/* To be tried from memory; settle() lets those go that are. */
static bool hand_over_first(struct deliver *d, struct batch *b, struct fail *why)
{
    const struct deliver_outbound *to = d->limits.outbound;

    (void)pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < b->count; i++)
        tried_begin(d, b->jobs[i]);
    (void)pthread_mutex_unlock(&d->lock);
    if (!to->attempt(to->ctx, b->messages, b->message_count, b->tried, why))
        return false;
    for (size_t i = 0; i < b->count; i++) {
        b->taken[i] = b->tried[i] == QUEUE_TAKEN;
        b->fate[i] = b->tried[i] == QUEUE_TRIED ? JOB_TRIED : JOB_LATER;
    }
    return true;
}

/* true: the queue role takes things (not each of them, perhaps). */
static bool hand_over(struct deliver *d, struct batch *b, struct fail *why)
{
    const struct deliver_outbound *to = d->limits.outbound;
    bool ok = true;

    arena_init(&b->arena, BATCH_ARENA);
    batch_fill(d, b);
    if (to == NULL)
        ok = fail_set(why, FAIL_TEMP, FAIL_OUT_OF_SERVICE, "there is no queue to give it to");
    else if (b->first && d->tries && b->message_count == b->count) /* one message of each */
        ok = hand_over_first(d, b, why);
    else if (b->message_count > 0)
        ok = to->take(to->ctx, b->messages, b->message_count, b->taken, why);
    if (ok) {
        judge(b);
        ok = batch_release(d, b, why);
        for (size_t i = 0; !ok && i < b->count; i++)
            b->fate[i] = b->fate[i] == JOB_TAKEN ? JOB_LATER : b->fate[i];
    }
    for (size_t i = 0; i < b->count; i++)
        body_destroy(&b->bodies[i]);
    arena_finish(&b->arena);
    return ok;
}

/* ---- the thread; with the lock held ---- */

/* What was done with leaves the list; what was not goes behind the others. */
static void settle(struct deliver *d, struct batch *b)
{
    struct outbound_queue *q = &d->outbound;
    const unsigned enough = d->limits.backlog - d->limits.backlog / 4;
    const bool was_full = d->waiting >= enough;

    for (size_t i = 0; i < b->count; i++) {
        struct job *j = b->jobs[i]; /* the first: others came behind them */
        q->first = j->next_outbound;
        if (q->first == NULL)
            q->last = &q->first;
        q->count--;
        if (!q->failing)
            d->waiting--;
        if (j->calling)
            tried_end(d, j, b->fate[i] == JOB_TRIED);
        j->handed = true;
        forget_body(d, j);
        if (b->fate[i] == JOB_TRIED)
            continue; /* tried.c has it, and may be done with it as soon as the lock is let go */
        if (b->fate[i] == JOB_LATER) {
            outbound_queue_job(d, j);
            continue;
        }
        d->stats.outbound += b->fate[i] == JOB_TAKEN;
        job_placed(d, j, 1);
    }
    if (was_full && d->waiting < enough)
        (void)pthread_cond_broadcast(&d->room);
    (void)pthread_cond_broadcast(&d->done);
}

static void set_failing(struct deliver *d, bool failing)
{
    struct outbound_queue *q = &d->outbound;

    if (q->failing == failing)
        return;
    q->failing = failing;
    if (failing)
        d->waiting -= q->count;
    else
        d->waiting += q->count;
    (void)pthread_cond_broadcast(&d->room);
}

static void after(struct deliver *d, bool ok, bool progress, const struct fail *why)
{
    struct outbound_queue *q = &d->outbound;

    if (ok && progress) {
        if (q->back_off > 0)
            log_event(LOG_INFO, "deliver.leaving", LOG_U64("waiting", q->count));
        q->back_off = 0;
        q->retry_at = 0;
        set_failing(d, false);
        return;
    }
    if (q->back_off == 0)
        log_event(LOG_WARNING, "deliver.not_leaving", LOG_U64("waiting", q->count), LOG_FAIL(why));
    q->back_off = q->back_off == 0 ? d->limits.retry_seconds : q->back_off * 2;
    if (q->back_off > BACK_OFF_MAX)
        q->back_off = BACK_OFF_MAX;
    q->retry_at = clock_mono_ms() + (int64_t)q->back_off * 1000;
    set_failing(d, true);
}

static void run_batch(struct deliver *d, struct batch *b)
{
    struct fail why = {.kind = FAIL_TEMP, .text = "the queue took none of it"};
    bool progress = false;

    batch_take(d, b);
    (void)pthread_mutex_unlock(&d->lock);
    bool ok = hand_over(d, b, &why);
    (void)pthread_mutex_lock(&d->lock);
    d->outbound.gathers_until = clock_mono_ms() + GATHER_MS;
    for (size_t i = 0; i < b->count; i++)
        progress = progress || b->fate[i] != JOB_LATER;
    settle(d, b);
    after(d, ok, progress, &why);
}

/* What comes in these milliseconds is no reason to wake for, unless it is much. */
static void gather(struct deliver *d, int64_t ms)
{
    d->outbound.gathers = true;
    deliver_wait(d, &d->leave, ms);
    d->outbound.gathers = false;
}

void *outbound_run(void *deliver)
{
    struct deliver *d = deliver;
    SCOPED(scoped_free) struct batch *b = xcalloc(1, sizeof *b);

    (void)pthread_mutex_lock(&d->lock);
    while (!d->stopping) {
        int64_t left = d->outbound.retry_at > 0 ? d->outbound.retry_at - clock_mono_ms() : 0;
        if (d->outbound.first == NULL)
            deliver_wait(d, &d->leave, -1);
        else if (left > 0)
            deliver_wait(d, &d->leave, left);
        else if (d->outbound.count < BATCH_MAX / 4 && (left = d->outbound.gathers_until - clock_mono_ms()) > 0)
            gather(d, left);
        else
            run_batch(d, b);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return NULL;
}
