/*
 * queue/steer.c - what an administrator sees and does; and undo.
 *
 * Layer: queue.  Goes through the rows in steps, in the order of arrival, so that others use the database meanwhile.  What is
 * being sent at that moment is marked: it is held, removed or returned as soon as that attempt has ended without success.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scoped.h"
#include "queue/direct.h"

enum { STEP = 64, TEXT_ARENA = 1 << 30, ROUNDS = 4 /* for what changes hands just then */ };

struct letter { /* a message's row */
    uint64_t id, delivery, size, first, total, account;
    struct slice sender, trace;
    struct envelope_options options;
    int64_t received, expires;
};

struct rcpt {
    uint64_t row, head, destination;
    struct slice address, name, reason;
    unsigned attempts;
    int64_t next;
    int rank;
    bool active;
};

/* ---- does it match? ---- */

static bool contains(struct slice text, struct slice part)
{
    return part.len == 0 || slice_find_nocase(text, part) < text.len;
}

static bool letter_fits(const struct queue_filter *f, const struct letter *l, int64_t now)
{
    return (f->message == 0 || f->message == l->id) && (f->account == 0 || f->account == l->account) &&
           (f->older_than == 0 || now - l->received > f->older_than) && (f->younger_than == 0 || now - l->received < f->younger_than) &&
           (f->source.len == 0 || slice_eq_nocase(f->source, l->options.source)) && contains(l->sender, f->sender);
}

static bool domain_fits(struct slice domain, const struct rcpt *r)
{
    size_t at = slice_rfind_char(r->address, '@');

    return domain.len == 0 || slice_eq_nocase(r->name, domain) || slice_eq_nocase(slice_from(r->address, at + 1), domain);
}

static bool rcpt_fits(const struct queue_filter *f, const struct rcpt *r)
{
    return contains(r->address, f->recipient) && domain_fits(f->domain, r) && contains(r->reason, f->reason);
}

/* ---- what is being sent; with the lock ---- */

bool item_has(const struct queue *q, uint64_t head, uint64_t row)
{
    const struct item *i = idmap_get(&q->items, head);

    if (i == NULL || !i->active || i->claim == NULL)
        return i != NULL && i->active;
    for (size_t k = 0; k < i->claim->recipient_count; k++)
        if (i->claim->recipients[k].row == row)
            return true;
    return false;
}

enum marked item_mark(struct queue *q, uint64_t head, uint64_t row, enum mark_kind kind, bool counted)
{
    struct item *i = idmap_get(&q->items, head);

    if (!item_has(q, head, row))
        return MARK_NOT_CLAIMED;
    if (i->judged || i->claim == NULL)
        return MARK_TOO_LATE;
    struct mark **at = &i->marks;
    while (*at != NULL && (*at)->row != row)
        at = &(*at)->next;
    struct mark *m = *at;
    if ((m != NULL ? m->kind : 0) == kind)
        return MARKED_BEFORE;
    if (m == NULL) {
        *at = m = xcalloc(1, sizeof *m);
        m->row = row;
    }
    m->kind = kind;
    m->counted = m->counted || counted;
    return MARKED;
}

/* ---- rows; with db_lock ---- */

static bool read_letters(struct queue *q, uint64_t after, struct arena *a, struct letter *out, size_t *count, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_EACH, why);
    bool            ok = true;

    *count = 0;
    if (s == NULL)
        return false;
    db_bind_i64(s, 1, (int64_t)after);
    db_bind_i64(s, 2, STEP);
    while (*count < STEP && db_step(s, why)) {
        struct letter *l = &out[(*count)++];
        *l = (struct letter){.id = (uint64_t)db_col_i64(s, 0), .delivery = (uint64_t)db_col_i64(s, 1), .size = (uint64_t)db_col_i64(s, 2),
                             .sender = arena_keep(a, db_col_text(s, 3)), .trace = arena_keep(a, db_col_text(s, 4)),
                             .received = db_col_i64(s, 6), .expires = db_col_i64(s, 7), .first = (uint64_t)db_col_i64(s, 8),
                             .total = (uint64_t)db_col_i64(s, 9), .account = (uint64_t)db_col_i64(s, 10)};
        ok = envelope_options_read(a, arena_keep(a, db_col_text(s, 5)), &l->options) && ok;
    }
    return db_done(s, why);
}

static bool name_of(struct queue *q, uint64_t id, struct arena *a, struct slice *name, struct slice *reason, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_DESTINATION_NAME, why);

    if (s == NULL)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (db_step(s, why)) {
        *name = arena_keep(a, db_col_text(s, 0));
        *reason = arena_keep(a, db_col_text(s, 3));
    }
    return db_done(s, why);
}

static void look_up_active(struct queue *q, struct rcpt *list, size_t count)
{
    (void)pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < count; i++) {
        list[i].active = item_has(q, list[i].head, list[i].row);
    }
    (void)pthread_mutex_unlock(&q->lock);
}

static struct rcpt *read_rcpts(struct queue *q, const struct letter *l, struct arena *a, size_t *count, struct fail *why)
{
    struct rcpt    *list = arena_new_array(a, struct rcpt, l->total > 0 ? l->total : 1);
    struct db_stmt *s = db_stmt(q->db, SQL_OF_MESSAGE, why);
    struct slice    reason = {0};

    *count = 0;
    if (s == NULL || list == NULL)
        return NULL;
    db_bind_i64(s, 1, (int64_t)l->first);
    db_bind_i64(s, 2, (int64_t)l->total);
    db_bind_i64(s, 3, (int64_t)l->id);
    while (*count < l->total && db_step(s, why))
        list[(*count)++] = (struct rcpt){.row = (uint64_t)db_col_i64(s, 0), .head = (uint64_t)db_col_i64(s, 1), .destination = (uint64_t)db_col_i64(s, 2),
                                         .address = arena_keep(a, db_col_text(s, 3)), .attempts = (unsigned)db_col_i64(s, 4), .next = db_col_i64(s, 5),
                                         .reason = arena_keep(a, db_col_text(s, 6)), .rank = (int)db_col_i64(s, 7)};
    if (!db_done(s, why))
        return NULL;
    for (size_t i = 0; i < *count; i++) {
        bool same = i > 0 && list[i].destination == list[i - 1].destination;
        if (same)
            list[i].name = list[i - 1].name;
        else if (!name_of(q, list[i].destination, a, &list[i].name, &reason, why))
            return NULL;
        if (list[i].reason.len == 0)
            list[i].reason = reason; /* never tried itself: why its destination is not */
    }
    look_up_active(q, list, *count);
    return list;
}

/* ---- walking ---- */

struct walk {
    const struct queue_filter *filter;
    int64_t now;
    /* The recipients of one message that match; false: enough. */
    bool (*each)(struct queue *q, void *ctx, const struct letter *l, const struct rcpt *list, size_t count, struct fail *why, bool *ok);
    void *ctx;
};

static bool walk_letter(struct queue *q, const struct walk *w, const struct letter *l, struct fail *why, bool *ok)
{
    struct arena a;
    size_t       count, kept = 0;
    bool         more = true;

    arena_init(&a, TEXT_ARENA);
    queue_db_lock(q);
    struct rcpt *list = read_rcpts(q, l, &a, &count, why);
    queue_db_unlock(q);
    *ok = list != NULL;
    for (size_t i = 0; *ok && i < count; i++)
        if (rcpt_fits(w->filter, &list[i]))
            list[kept++] = list[i];
    if (*ok && kept > 0)
        more = w->each(q, w->ctx, l, list, kept, why, ok);
    arena_finish(&a);
    return more && *ok;
}

static bool walk(struct queue *q, const struct walk *w, uint64_t after, struct fail *why)
{
    SCOPED(scoped_free) struct letter *list = xcalloc(STEP, sizeof *list);
    struct arena a;
    size_t       count = STEP;
    bool         more = true, ok = true;

    if (direct_spool_older(q, 0)) /* what is in memory is seen and steered like all else */
        queue_settle(q);
    if (w->filter->message > 0 && after < w->filter->message)
        after = w->filter->message - 1;
    while (ok && more && count == STEP) {
        arena_init(&a, TEXT_ARENA);
        queue_db_lock(q);
        ok = read_letters(q, after, &a, list, &count, why);
        queue_db_unlock(q);
        for (size_t i = 0; ok && more && i < count; i++) {
            after = list[i].id;
            more = w->filter->message == 0 || after <= w->filter->message;
            if (more && letter_fits(w->filter, &list[i], w->now))
                more = walk_letter(q, w, &list[i], why, &ok);
        }
        arena_finish(&a);
    }
    return ok;
}

/* ---- seeing ---- */

struct seeing { bool (*each)(void *ctx, const struct queue_row *row); void *ctx; };

static bool see(struct queue *q, void *ctx, const struct letter *l, const struct rcpt *list, size_t count, struct fail *why, bool *ok)
{
    struct seeing *s = ctx;

    (void)q;
    (void)why;
    (void)ok;
    for (size_t i = 0; i < count; i++) {
        const struct rcpt     *r = &list[i];
        const struct queue_row row = {.message = l->id, .id = l->delivery, .sender = l->sender, .recipient = r->address, .destination = r->name,
                                      .trace = l->trace, .reason = r->reason,
                                      .state = r->active ? QUEUE_ACTIVE : r->next == NEVER_DUE ? QUEUE_HELD : QUEUE_WAITING,
                                      .attempts = r->attempts, .received = l->received, .next = r->next == NEVER_DUE ? 0 : r->next,
                                      .expires = l->expires, .size = l->size, .priority = l->options.priority};
        if (!s->each(s->ctx, &row))
            return false;
    }
    return true;
}

bool queue_each(struct queue *q, const struct queue_filter *f, uint64_t after, bool (*each)(void *ctx, const struct queue_row *row),
                void *ctx, struct fail *why)
{
    struct seeing     s = {.each = each, .ctx = ctx};
    const struct walk w = {.filter = f, .now = clock_now(), .each = see, .ctx = &s};

    return walk(q, &w, after, why);
}

/* ---- another time ---- */

enum steering { STEER_HOLD, STEER_RELEASE, STEER_RETRY };

struct setting_times {
    struct op op;
    enum steering what;
    const struct rcpt *list;
    size_t count;
    int64_t now;
    uint64_t *changed, done;
    size_t missed; /* neither waiting nor to be marked just then */
};

static bool concerns(enum steering what, const struct rcpt *r)
{
    bool held = r->next == NEVER_DUE;

    return !r->active && (what == STEER_HOLD ? !held : what == STEER_RELEASE ? held : !held);
}

static bool run_times(struct queue *q, struct op *o, struct fail *why)
{
    struct setting_times *t = (struct setting_times *)o;
    struct destination   *d;
    uint64_t              id;

    t->done = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct rcpt *r = &t->list[i];
        int64_t            next = t->what == STEER_HOLD ? NEVER_DUE : t->now;
        if (!concerns(t->what, r))
            continue;
        if (!db_run(q->db, SQL_SET_NEXT, why, "ii", (int64_t)r->row, next))
            return false;
        if (db_changes(q->db) == 0)
            continue; /* it has left meanwhile */
        t->done++;
        q->delta.held += t->what == STEER_HOLD ? 1 : t->what == STEER_RELEASE ? -1 : 0;
        if (next != NEVER_DUE && !(t->what == STEER_RETRY ? take_destination_here : take_destination)(q, r->name, next, &id, &d, why))
            return false;
        if (t->what == STEER_RETRY && !db_run(q->db, SQL_SET_DESTINATION, why, "iiit", (int64_t)r->destination, next, (int64_t)0, SLICE("")))
            return false;
    }
    return true;
}

/* What is being sent is held when that has ended; or not any more. */
static void mark_active(struct queue *q, struct setting_times *t)
{
    const enum mark_kind kind = t->what == STEER_HOLD ? MARK_HOLD : 0;

    (void)pthread_mutex_lock(&q->lock);
    for (size_t i = 0; t->what != STEER_RETRY && i < t->count; i++) {
        if (!t->list[i].active)
            continue;
        enum marked m = item_mark(q, t->list[i].head, t->list[i].row, kind, false);
        *t->changed += m == MARKED;
        t->missed += m == MARK_NOT_CLAIMED || m == MARK_TOO_LATE;
    }
    (void)pthread_mutex_unlock(&q->lock);
}

/* Memory follows: what waited is forgotten, and looked for again. */
static bool after_times(struct queue *q, struct op *o, bool ok, const struct fail *why)
{
    struct setting_times *t = (struct setting_times *)o;

    (void)why;
    (void)pthread_mutex_lock(&q->lock);
    for (size_t i = 0; ok && i < t->count; i++) {
        struct destination *d = destination_get(q, t->list[i].name);
        if (!concerns(t->what, &t->list[i]))
            continue;
        if (!item_forget(q, t->list[i].head) && t->what == STEER_HOLD) /* claimed meanwhile */
            (void)item_mark(q, t->list[i].head, t->list[i].row, MARK_HOLD, true);
        if (d == NULL)
            continue;
        if (t->what == STEER_RETRY) {
            d->not_before = 0;
            d->failures = d->stored_failures = 0;
            d->afresh = true;
        }
        d->more = true;
        d->quiet_since = t->now;
        schedule_wake(q, d, 0);
    }
    (void)pthread_mutex_unlock(&q->lock);
    *t->changed += ok ? t->done : 0;
    return true;
}

static bool set_times(struct queue *q, void *ctx, const struct letter *l, const struct rcpt *list, size_t count, struct fail *why, bool *ok)
{
    struct setting_times *t = ctx;

    (void)l;
    t->list = list;
    t->count = count;
    mark_active(q, t);
    *ok = commit_wait(q, &t->op, why);
    return *ok;
}

static bool steer(struct queue *q, enum steering what, const struct queue_filter *f, uint64_t *changed, struct fail *why)
{
    struct setting_times t = {.op = {.run = run_times, .after = after_times}, .what = what, .now = clock_now(), .changed = changed};
    const struct walk    w = {.filter = f, .now = t.now, .each = set_times, .ctx = &t};

    *changed = 0;
    bool ok = walk(q, &w, 0, why);
    for (unsigned round = 1; ok && t.missed > 0 && round < ROUNDS; round++) {
        t.missed = 0;
        queue_settle(q);
        ok = walk(q, &w, 0, why);
    }
    return ok;
}

bool queue_hold(struct queue *q, const struct queue_filter *f, uint64_t *changed, struct fail *why)
{
    return steer(q, STEER_HOLD, f, changed, why);
}

bool queue_release(struct queue *q, const struct queue_filter *f, uint64_t *changed, struct fail *why)
{
    return steer(q, STEER_RELEASE, f, changed, why);
}

bool queue_retry(struct queue *q, const struct queue_filter *f, uint64_t *changed, struct fail *why)
{
    return steer(q, STEER_RETRY, f, changed, why);
}

/* ---- away with it ---- */

struct removing { bool bounce, undo; uint64_t *changed; size_t *missed; };

static bool wanted(uint64_t row, const struct rcpt *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].row == row)
            return !list[i].active;
    return false;
}

/* Is any of those that are wanted with somebody who sends it?  With the lock. */
static bool is_sent(const struct queue *q, const struct queue_claim *c, const struct rcpt *list, size_t count)
{
    for (size_t i = 0; i < c->recipient_count; i++)
        if (wanted(c->recipients[i].row, list, count) && item_has(q, c->head, c->recipients[i].row))
            return true;
    return false;
}

/* A group nobody else has from here on, at least what is wanted of it; NULL: somebody has. */
static struct queue_claim *seize(struct queue *q, const struct letter *l, uint64_t head, const struct rcpt *list, size_t count,
                                 struct queue_outcome **stored, struct fail *why)
{
    struct destination *d = NULL;
    uint64_t            id;

    queue_db_lock(q);
    struct queue_claim *c = claim_load(q, head, NEVER_DUE, stored, why);
    bool ok = c != NULL && take_destination_here(q, c->destination, NEVER_DUE, &id, &d, why);
    q->made.count = 0;
    if (ok) {
        (void)pthread_mutex_lock(&q->lock);
        c->item = item_reserve(q, d, head, l->id);
        ok = c->item != NULL || !is_sent(q, c, list, count); /* others of the group may be */
        (void)pthread_mutex_unlock(&q->lock);
    }
    queue_db_unlock(q);
    if (!ok) {
        claim_free(q, c);
        return NULL;
    }
    return c;
}

static void remove_group(struct queue *q, const struct removing *r, struct queue_claim *c, struct queue_outcome *outcomes,
                         const struct rcpt *list, size_t count)
{
    for (size_t i = 0; i < c->recipient_count; i++) {
        if (!wanted(c->recipients[i].row, list, count)) {
            outcomes[i].fate = QUEUE_UNTOUCHED;
            continue;
        }
        *r->changed += 1;
        outcomes[i].fate = r->bounce ? QUEUE_NEVER : QUEUE_SENT;
        if (r->bounce)
            outcomes[i] = settle_returned;
    }
    settle_start(q, c, outcomes, r->bounce ? SETTLE_REPORT : SETTLE_SILENT, 0);
}

static void mark_for_removal(struct queue *q, const struct removing *r, const struct rcpt *to)
{
    if (r->undo)
        return; /* it is leaving, and its sender must not think that it does not */
    (void)pthread_mutex_lock(&q->lock);
    enum marked m = item_mark(q, to->head, to->row, r->bounce ? MARK_RETURN : MARK_REMOVE, false);
    (void)pthread_mutex_unlock(&q->lock);
    *r->changed += m == MARKED;
    *r->missed += m == MARK_NOT_CLAIMED || m == MARK_TOO_LATE;
}

static bool remove_some(struct queue *q, void *ctx, const struct letter *l, const struct rcpt *list, size_t count, struct fail *why, bool *ok)
{
    const struct removing *r = ctx;
    uint64_t               before = 0;

    (void)ok;
    for (size_t i = 0; i < count; i++) {
        struct queue_outcome *stored;
        if (list[i].active)
            mark_for_removal(q, r, &list[i]);
        if (list[i].active || list[i].head == before)
            continue;
        before = list[i].head;
        struct queue_claim *c = seize(q, l, before, list, count, &stored, why);
        if (c == NULL) {
            *r->missed += 1;
            continue;
        }
        for (size_t k = 0; k < count; k++) /* what is held counts no more */
            if (list[k].head == before && !list[k].active && list[k].next == NEVER_DUE)
                c->held_rows++;
        remove_group(q, r, c, stored, list, count);
    }
    return true;
}

static bool remove_all(struct queue *q, const struct queue_filter *f, struct removing r, uint64_t *changed, struct fail *why)
{
    size_t            missed = 0;
    const struct walk w = {.filter = f, .now = clock_now(), .each = remove_some, .ctx = &r};

    r.changed = changed;
    r.missed = &missed;
    *changed = 0;
    bool ok = walk(q, &w, 0, why);

    queue_settle(q);
    for (unsigned round = 1; ok && missed > 0 && round < ROUNDS; round++) {
        missed = 0;
        ok = walk(q, &w, 0, why);
        queue_settle(q);
    }
    return ok;
}

bool queue_remove(struct queue *q, const struct queue_filter *f, bool bounce, uint64_t *changed, struct fail *why)
{
    return remove_all(q, f, (struct removing){.bounce = bounce}, changed, why);
}

/* ---- undo ---- */

struct undoable { uint64_t id, first, total, size; };

static bool find_undoable(struct queue *q, uint64_t account, struct slice trace, struct undoable *out, size_t most, size_t *count, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_UNDO, why);
    int64_t         now = clock_now();

    if (s == NULL)
        return false;
    db_bind_text(s, 1, trace);
    while (*count < most && db_step(s, why)) {
        if ((account != 0 && (uint64_t)db_col_i64(s, 1) != account) || db_col_i64(s, 2) != db_col_i64(s, 3) || db_col_i64(s, 4) <= now)
            continue;
        out[(*count)++] = (struct undoable){.id = (uint64_t)db_col_i64(s, 0), .first = (uint64_t)db_col_i64(s, 5), .total = (uint64_t)db_col_i64(s, 3),
                                            .size = (uint64_t)db_col_i64(s, 6)};
    }
    return db_done(s, why);
}

bool queue_undo(struct queue *q, uint64_t account, struct slice trace, struct fail *why)
{
    struct undoable list[16];
    size_t          count = 0;
    uint64_t        removed = 0, all = 0;

    queue_db_lock(q);
    bool ok = find_undoable(q, account, trace, list, ARRAY_LEN(list), &count, why);
    queue_db_unlock(q);
    for (size_t i = 0; ok && i < count; i++) {
        const struct queue_filter f = {.message = list[i].id, .account = account};
        ok = remove_all(q, &f, (struct removing){.undo = true}, &removed, why);
        all += removed;
    }
    if (ok && all == 0)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "no such message is held any more: it has left, or is just leaving");
    if (ok)
        log_event(LOG_INFO, "queue.undone", LOG_TEXT("trace", trace), LOG_U64("account", account), LOG_U64("recipients", all));
    return ok;
}
