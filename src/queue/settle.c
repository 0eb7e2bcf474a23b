/*
 * queue/settle.c - what became of a claim: rows that go or wait, and notifications.
 *
 * Layer: queue.  RFC 3461 sections 4.1 and 5.2 say who hears of what.  A notification is a message of the queue's own; its
 * record is synced before, its rows come to be in the transaction in which the recipients' go.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/direct.h"

#define SETTLE_RETURNED "the administrator of this server has returned the message"

enum { REASON_MOST = 1000, REMOTE_MOST = 255, STATUS_MOST = 20 };

const struct queue_outcome settle_returned = {
    .fate = QUEUE_NEVER, .status = {"5.7.0", 5}, .text = {SETTLE_RETURNED, sizeof SETTLE_RETURNED - 1}};

enum verdict { VERDICT_KEEP, VERDICT_DONE, VERDICT_FAILED, VERDICT_LATER };

struct settling {
    struct op op;
    struct queue_claim *claim;
    enum settle_kind kind;
    int64_t not_before, now;
    struct queue_outcome *outcomes;
    enum verdict *verdicts;
    int64_t *next;
    bool *expired;
    bool *silent, *hold; /* the administrator's word */
    size_t gone;
    int64_t held;         /* more of them than before */
    bool released;        /* nothing of the message is left */
    struct body *body;    /* of a notification; NULL: nobody is told */
    struct queue_message dsn;
    struct queue_recipient dsn_to;
    struct due_list due;
};

/* Half as random as long: between 3/4 and 5/4. */
static int64_t jitter(int64_t seconds)
{
    uint32_t r = 0;

    if (seconds < 4 || getrandom(&r, sizeof r, GRND_NONBLOCK) != sizeof r)
        return seconds;
    return seconds - seconds / 4 + (int64_t)(r % (uint64_t)(seconds / 2 + 1));
}

int64_t settle_back_off(const struct queue *q, unsigned attempts)
{
    const struct queue_limits *l = &q->setting.limits;
    int64_t wait = (int64_t)l->retry_first_seconds;

    while (attempts-- > 0 && wait < (int64_t)l->retry_most_seconds)
        wait *= 2;
    return jitter(wait < (int64_t)l->retry_most_seconds ? wait : (int64_t)l->retry_most_seconds);
}

/* ---- before the transaction ---- */

static void judge(struct queue *q, struct settling *s, size_t i)
{
    const struct queue_claim *c = s->claim;
    int64_t                   next;

    s->verdicts[i] = VERDICT_KEEP;
    s->expired[i] = s->hold[i] = false;
    s->silent[i] = s->kind == SETTLE_SILENT;
    if (s->kind == SETTLE_WARN)
        return;
    switch (s->outcomes[i].fate) {
    case QUEUE_SENT:
    case QUEUE_RELAYED: s->verdicts[i] = VERDICT_DONE; return;
    case QUEUE_NEVER: s->verdicts[i] = VERDICT_FAILED; return;
    case QUEUE_UNTOUCHED: return;
    case QUEUE_LATER: break;
    }
    s->expired[i] = s->now >= c->expires;
    s->verdicts[i] = s->expired[i] ? VERDICT_FAILED : VERDICT_LATER;
    next = s->not_before > s->now ? s->not_before : s->now + settle_back_off(q, c->recipients[i].attempts);
    s->next[i] = next < c->expires ? next : c->expires;
}

/* What the administrator wanted meanwhile comes before another attempt; what has left has left. */
static void heed_mark(struct settling *s, size_t i, const struct mark *m)
{
    const enum mark_kind kind = m->kind;
    const bool waits = s->verdicts[i] == VERDICT_LATER || s->verdicts[i] == VERDICT_KEEP;

    if (kind == MARK_REMOVE && s->verdicts[i] != VERDICT_DONE) {
        s->verdicts[i] = VERDICT_DONE;
        s->silent[i] = true;
    } else if (kind == MARK_RETURN && waits) {
        s->verdicts[i] = VERDICT_FAILED;
        s->outcomes[i] = settle_returned;
    } else if (kind == MARK_HOLD && waits) {
        s->hold[i] = true;
        s->next[i] = NEVER_DUE;
    }
    s->held += s->hold[i];
    s->held -= m->counted;
}

static void heed_marks(struct queue *q, struct settling *s)
{
    struct item *item = s->claim->item;

    if (item == NULL)
        return;
    (void)pthread_mutex_lock(&q->lock);
    item->judged = true;
    for (const struct mark *m = item->marks; m != NULL; m = m->next)
        for (size_t i = 0; i < s->claim->recipient_count; i++)
            if (s->claim->recipients[i].row == m->row)
                heed_mark(s, i, m);
    (void)pthread_mutex_unlock(&q->lock);
}

/* Of what does the sender hear?  false: of nothing. */
static bool told_kind(const struct settling *s, size_t i, enum dsn_kind *kind)
{
    if (s->silent[i])
        return false;
    if (s->kind == SETTLE_WARN)
        *kind = DSN_DELAYED;
    else if (s->verdicts[i] == VERDICT_FAILED)
        *kind = DSN_FAILED;
    else if (s->outcomes[i].fate == QUEUE_RELAYED)
        *kind = DSN_RELAYED;
    else
        return false;
    return dsn_wanted(s->claim->sender, &s->claim->recipients[i].options, *kind);
}

struct reading { struct queue *q; const struct queue_claim *c; };

static bool read_original(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why)
{
    const struct reading *r = ctx;

    return queue_read(r->q, r->c, offset, out, n, why);
}

static bool write_notice(struct queue *q, struct settling *s, const struct dsn_recipient *list, size_t count, struct fail *why)
{
    struct queue_claim *c = s->claim;
    struct reading      reading = {.q = q, .c = c};
    const struct dsn_request request = {
        .hostname = slice_of(q->hostname), .sender = c->sender, .trace = c->trace, .options = &c->options, .received = c->received,
        .now = s->now, .expires = c->expires, .recipients = list, .recipient_count = count, .size = c->size, .full_max = DSN_FULL_MAX,
        .read = read_original, .read_ctx = &reading};
    struct envelope_options envelope = {0};

    if (!dsn_write(&request, &q->bodies, &s->body, &envelope, why))
        return false;
    envelope.source = SLICE("notifications");
    s->dsn_to = (struct queue_recipient){.address = c->sender, .options = {.notify = NOTIFY_NEVER}};
    s->dsn = (struct queue_message){.sender = SLICE(""), .trace = c->trace, .received = s->now, .options = envelope,
                                    .recipients = &s->dsn_to, .recipient_count = 1, .body = s->body};
    return take_append(q, &s->dsn, &s->op.first_ref, why);
}

/* Without its notification nothing fails for good. */
static void put_off(struct queue *q, struct settling *s)
{
    for (size_t i = 0; i < s->claim->recipient_count; i++) {
        if (s->verdicts[i] != VERDICT_FAILED)
            continue;
        s->verdicts[i] = VERDICT_LATER;
        s->next[i] = s->now + settle_back_off(q, 0);
    }
}

static bool prepare_settling(struct queue *q, struct op *o)
{
    struct settling      *s = (struct settling *)o;
    struct queue_claim   *c = s->claim;
    struct dsn_recipient *list = arena_new_array(&c->arena, struct dsn_recipient, c->recipient_count);
    size_t                count = 0;
    struct fail           why = {0};

    body_destroy(&s->body);
    o->first_ref = o->last_ref = 0;
    s->now = clock_now();
    s->held = 0;
    for (size_t i = 0; i < c->recipient_count; i++)
        judge(q, s, i);
    heed_marks(q, s);
    for (size_t i = 0; i < c->recipient_count; i++) {
        const struct queue_outcome *out = &s->outcomes[i];
        enum dsn_kind kind;
        if (told_kind(s, i, &kind))
            list[count++] = (struct dsn_recipient){
                .kind = kind, .address = c->recipients[i].address, .options = c->recipients[i].options, .code = out->code, .status = out->status,
                .remote = out->remote, .text = out->text, .expired = s->expired[i],
                .last_attempt = s->kind == SETTLE_REPORT && c->item != NULL && !s->expired[i] ? s->now : c->recipients[i].last};
    }
    if (count == 0 || write_notice(q, s, list, count, &why)) {
        o->last_ref = o->first_ref;
        return o->first_ref != 0;
    }
    log_event(LOG_ERROR, "queue.notification", LOG_TEXT("trace", c->trace), LOG_HEX("queue_id", c->message), LOG_FAIL(&why));
    body_destroy(&s->body);
    o->first_ref = 0;
    put_off(q, s);
    return false;
}

/* ---- the transaction ---- */

static struct slice cut(struct slice s, size_t most)
{
    return slice_sub(s, 0, most);
}

static bool write_rows(struct queue *q, struct settling *s, struct fail *why)
{
    s->gone = 0;
    for (size_t i = 0; i < s->claim->recipient_count; i++) {
        const struct queue_outcome *o = &s->outcomes[i];
        int64_t                     row = (int64_t)s->claim->recipients[i].row;
        bool                        ok = true;
        switch (s->verdicts[i]) {
        case VERDICT_KEEP:
            ok = !s->hold[i] || db_run(q->db, SQL_SET_NEXT, why, "ii", row, s->next[i]);
            break;
        case VERDICT_DONE:
        case VERDICT_FAILED:
            ok = db_run(q->db, SQL_DROP_RECIPIENT, why, "i", row);
            s->gone += ok && db_changes(q->db) > 0;
            break;
        case VERDICT_LATER:
            ok = db_run(q->db, SQL_DEFER, why, "iiiittt", row, s->next[i], s->now, (int64_t)o->code, cut(o->status, STATUS_MOST),
                        cut(o->remote, REMOTE_MOST), cut(o->text, REASON_MOST));
            break;
        }
        if (!ok)
            return false;
    }
    q->delta.held += s->held;
    return true;
}

static bool write_left(struct queue *q, struct settling *s, struct fail *why)
{
    int64_t left, id = (int64_t)s->claim->message;

    s->released = false;
    if (s->gone == 0)
        return true;
    if (!db_get_i64(q->db, SQL_LEFT, &left, why, "i", id))
        return false;
    left -= (int64_t)s->gone;
    q->delta.recipients -= (int64_t)s->gone;
    q->delta.held -= (int64_t)s->claim->held_rows;
    s->released = left <= 0;
    if (!s->released)
        return db_run(q->db, SQL_SET_LEFT, why, "ii", id, left);
    q->delta.messages--;
    return db_run(q->db, SQL_DROP_MESSAGE, why, "i", id);
}

/* Its back-off outlives us, so that a restart does not knock at every dead door. */
static bool write_destination(struct queue *q, struct destination *d, int64_t now, struct fail *why)
{
    (void)pthread_mutex_lock(&q->lock);
    unsigned     failures = d->failures;
    int64_t      next = failures > 0 && d->not_before > now ? d->not_before : now;
    bool         stale = d->id != 0 && failures != d->stored_failures;
    struct slice reason = slice_of(d->reason);
    d->stored_failures = failures;
    (void)pthread_mutex_unlock(&q->lock);
    if (!stale)
        return true;
    d->stored_next = next;
    return db_run(q->db, SQL_SET_DESTINATION, why, "iiit", (int64_t)d->id, next, (int64_t)failures, reason);
}

static bool run_settling(struct queue *q, struct op *o, struct fail *why)
{
    struct settling *s = (struct settling *)o;

    due_reset(&s->due);
    if (s->body != NULL && o->first_ref == 0) { /* its record did not come to be on disk */
        body_destroy(&s->body);
        put_off(q, s);
    }
    return write_rows(q, s, why) && write_left(q, s, why) &&
           (s->body == NULL || take_write(q, &s->dsn, o->first_ref, body_size(s->body), TAKE_HOME, &s->due, why)) &&
           (s->claim->item == NULL || s->kind == SETTLE_WARN || write_destination(q, s->claim->item->at, s->now, why));
}

/* ---- after it ---- */

static void tell_gone(struct queue *q, const struct queue_claim *c, size_t i, const struct queue_outcome *o, bool removed, int64_t delay)
{
    (void)__atomic_add_fetch(&q->sent, !removed, __ATOMIC_RELAXED);
    log_event(LOG_INFO, removed ? "queue.removed" : "queue.sent", LOG_TEXT("trace", c->trace), LOG_HEX("queue_id", c->message),
              LOG_TEXT("to", c->recipients[i].address), LOG_TEXT("destination", c->destination), LOG_TEXT("remote", o->remote),
              LOG_U64("code", o->code), LOG_TEXT("reply", o->text), LOG_I64("delay", delay));
}

static void tell(struct queue *q, const struct settling *s, size_t i)
{
    const struct queue_claim   *c = s->claim;
    const struct queue_outcome *o = &s->outcomes[i];
    const int64_t               delay = s->now - c->received;

    switch (s->verdicts[i]) {
    case VERDICT_KEEP: return;
    case VERDICT_DONE:
        tell_gone(q, c, i, o, s->silent[i], delay);
        return;
    case VERDICT_FAILED:
        (void)__atomic_add_fetch(&q->bounced, 1, __ATOMIC_RELAXED);
        log_event(LOG_WARNING, "queue.bounced", LOG_TEXT("trace", c->trace), LOG_HEX("queue_id", c->message),
                  LOG_TEXT("to", c->recipients[i].address), LOG_TEXT("destination", c->destination), LOG_TEXT("remote", o->remote),
                  LOG_U64("code", o->code), LOG_TEXT("reply", o->text), LOG_U64("expired", s->expired[i]), LOG_I64("delay", delay),
                  LOG_U64("told", s->body != NULL));
        return;
    case VERDICT_LATER:
        (void)__atomic_add_fetch(&q->deferred, 1, __ATOMIC_RELAXED);
        log_event(LOG_INFO, "queue.deferred", LOG_TEXT("trace", c->trace), LOG_HEX("queue_id", c->message),
                  LOG_TEXT("to", c->recipients[i].address), LOG_TEXT("destination", c->destination), LOG_TEXT("remote", o->remote),
                  LOG_U64("code", o->code), LOG_TEXT("reply", o->text), LOG_U64("attempts", c->recipients[i].attempts + 1),
                  LOG_I64("next", s->next[i] - s->now), LOG_I64("delay", delay));
        return;
    }
}

/* Its group is nobody's any more, and what is left of it is due some time. */
static void let_go(struct queue *q, struct settling *s)
{
    struct item *i = s->claim->item;

    if (i == NULL)
        return;
    (void)pthread_mutex_lock(&q->lock);
    struct destination *d = i->at;
    for (size_t k = 0; k < s->claim->recipient_count; k++) {
        if (s->verdicts[k] == VERDICT_LATER)
            schedule_wake(q, d, s->next[k]);
        else if (s->verdicts[k] == VERDICT_KEEP && !s->hold[k])
            schedule_wake(q, d, s->now + 1);
    }
    d->quiet_since = s->now;
    item_free(q, i);
    (void)pthread_mutex_unlock(&q->lock);
}

static bool after_settling(struct queue *q, struct op *o, bool ok, const struct fail *why)
{
    struct settling *s = (struct settling *)o;

    (void)why;
    if (!ok) {
        (void)pthread_mutex_lock(&q->lock);
        bool again = !q->stop_commits;
        (void)pthread_mutex_unlock(&q->lock);
        if (again)
            return false;
    }
    if (ok) {
        for (size_t i = 0; i < s->claim->recipient_count; i++)
            tell(q, s, i);
        take_schedule(q, &s->due);
        if (s->released)
            volume_release(q->volumes, s->claim->message, s->claim->size);
        if (s->body != NULL)
            log_event(LOG_INFO, "queue.notified", LOG_TEXT("trace", s->claim->trace), LOG_HEX("queue_id", o->first_ref),
                      LOG_TEXT("to", s->claim->sender));
    }
    let_go(q, s);
    body_destroy(&s->body);
    due_finish(&s->due);
    claim_free(q, s->claim);
    free(s);
    return true;
}

/* ---- reporting ---- */

struct queue_outcome *settle_keep_outcomes(struct queue_claim *c, const struct queue_outcome *outcomes)
{
    struct queue_outcome *kept = arena_new_array(&c->arena, struct queue_outcome, c->recipient_count);

    for (size_t i = 0; i < c->recipient_count; i++) {
        kept[i] = outcomes[i];
        kept[i].status = arena_keep(&c->arena, outcomes[i].status);
        kept[i].remote = arena_keep(&c->arena, outcomes[i].remote);
        kept[i].text = arena_keep(&c->arena, cut(outcomes[i].text, REASON_MOST));
    }
    return kept;
}

void settle_start(struct queue *q, struct queue_claim *c, const struct queue_outcome *outcomes, enum settle_kind kind, int64_t not_before)
{
    struct settling *s = xcalloc(1, sizeof *s);
    size_t           n = c->recipient_count;

    s->op = (struct op){.waits = true, .prepare = prepare_settling, .run = run_settling, .after = after_settling};
    s->claim = c;
    s->kind = kind;
    s->not_before = not_before;
    s->outcomes = settle_keep_outcomes(c, outcomes);
    s->verdicts = arena_new_array(&c->arena, enum verdict, n);
    s->next = arena_new_array(&c->arena, int64_t, n);
    s->expired = arena_new_array(&c->arena, bool, n);
    s->silent = arena_new_array(&c->arena, bool, n);
    s->hold = arena_new_array(&c->arena, bool, n);
    due_init(&s->due);
    commit_start(q, &s->op);
}

static void report(struct queue *q, struct queue_claim **claim, enum queue_health health, const struct queue_outcome *outcomes,
                   bool offers)
{
    struct queue_claim *c = *claim;
    int64_t             now = clock_now(), not_before;

    *claim = NULL;
    (void)pthread_mutex_lock(&q->lock);
    while (q->op_count >= OPS_WAITING && !q->stop_commits)
        (void)pthread_cond_wait(&q->room, &q->lock);
    struct destination *d = c->item->at;
    schedule_health(q, d, health, c->recipient_count > 0 ? outcomes[0].text : SLICE(""), now);
    not_before = health == QUEUE_DEAD ? d->not_before : 0;
    q->active_recipients -= c->recipient_count;
    schedule_leave(q, c->item, offers);
    struct direct  *direct = c->direct;
    enum direct_end end = direct_report(q, c, outcomes, not_before);
    (void)pthread_mutex_unlock(&q->lock);
    switch (end) {
    case DIRECT_NOT: settle_start(q, c, outcomes, SETTLE_REPORT, not_before); break;
    case DIRECT_SPOOL: direct_start_spooling(q, direct); break;
    case DIRECT_LATER: break;
    case DIRECT_OVER:
        for (size_t i = 0; i < c->recipient_count; i++)
            tell_gone(q, c, i, &outcomes[i], false, now - c->received);
        claim_free(q, c);
        break;
    }
}

void queue_report(struct queue *q, struct queue_claim **claim, enum queue_health health, const struct queue_outcome *outcomes)
{
    report(q, claim, health, outcomes, true);
}

void queue_report_more(struct queue *q, struct queue_claim **claim, enum queue_health health, const struct queue_outcome *outcomes)
{
    report(q, claim, health, outcomes, false);
}
