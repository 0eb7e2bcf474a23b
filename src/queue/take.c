/*
 * queue/take.c - messages come in.
 *
 * Layer: queue.  Records first, one sync for all of them, then their rows in a transaction that is shared with whatever
 * else is to be written.  What has just come stays in memory for its first attempt, as far as there is room.
 */
#include <stdlib.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/log.h"
#include "queue/direct.h"

enum {
    TAKEN_KEPT = 1000000, /* delivery ids remembered, at least */
    TAKEN_TRIM = 10000,
        FRESH_MESSAGE_MOST = 256 << 10, /* of addresses and options; larger groups are read again */
};

/* ---- times ---- */

int64_t take_hold_until(const struct queue *q, const struct queue_message *m, int64_t now)
{
    const struct queue_limits *l = &q->setting.limits;
    int64_t hold = m->options.hold_until, most = now + (int64_t)l->future_release_seconds;

    if (hold > most)
        hold = most;
    if (m->options.account != 0 && l->undo_seconds > 0 && m->received + (int64_t)l->undo_seconds > hold)
        hold = m->received + (int64_t)l->undo_seconds;
    return hold > now ? hold : 0;
}

int64_t take_expires(const struct queue *q, const struct queue_message *m, int64_t hold)
{
    const struct queue_limits *l = &q->setting.limits;
    int64_t from = hold > m->received ? hold : m->received;
    int64_t end = from + (int64_t)(m->sender.len == 0 ? l->bounce_lifetime_seconds : l->lifetime_seconds);

    return m->options.by_mode == BY_RETURN && m->options.by < end ? m->options.by : end;
}

int64_t take_look(const struct queue *q, int64_t received, int64_t end, const struct envelope_options *o, int64_t after)
{
    int64_t look = end;
    int64_t warn = q->setting.limits.delay_warning_seconds > 0
                       ? (o->hold_until > received ? o->hold_until : received) + (int64_t)q->setting.limits.delay_warning_seconds
                       : NEVER_DUE;

    if (warn > after && warn < look)
        look = warn;
    if (o->by_mode == BY_NOTIFY && o->by > after && o->by < look)
        look = o->by;
    return look;
}

/* ---- rows; with db_lock ---- */

void due_init(struct due_list *l)
{
    *l = (struct due_list){0};
    arena_init(&l->arena, CLAIM_ARENA);
}

void due_reset(struct due_list *l)
{
    arena_reset(&l->arena);
    l->count = 0;
}

void due_finish(struct due_list *l)
{
    arena_finish(&l->arena);
    free(l->list);
}

static void remember_made(struct queue *q, struct destination *d)
{
    if (q->made.count == q->made.cap) {
        q->made.cap = q->made.cap == 0 ? 64 : q->made.cap * 2;
        q->made.list = xrealloc(q->made.list, q->made.cap * sizeof(struct destination *));
    }
    q->made.list[q->made.count++] = d;
}

struct stored { uint64_t id; int64_t next; unsigned failures; char reason[200]; };

static bool find_row(struct queue *q, struct slice name, struct stored *out, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_DESTINATION, why);

    *out = (struct stored){0};
    if (s == NULL)
        return false;
    db_bind_text(s, 1, name);
    if (db_step(s, why)) {
        struct slice reason = db_col_text(s, 3);
        out->id = (uint64_t)db_col_i64(s, 0);
        out->next = db_col_i64(s, 1);
        out->failures = (unsigned)db_col_i64(s, 2);
        memcpy(out->reason, reason.ptr, reason.len < sizeof out->reason ? reason.len : sizeof out->reason - 1);
    }
    return db_done(s, why);
}

bool take_destination(struct queue *q, struct slice name, int64_t next, uint64_t *id, struct destination **at, struct fail *why)
{
    struct stored row;
    bool          made = false;

    (void)pthread_mutex_lock(&q->lock);
    struct destination *d = destination_get(q, name);
    (void)pthread_mutex_unlock(&q->lock); /* who frees one has db_lock too */
    if (d == NULL || d->id == 0) {
        if (!find_row(q, name, &row, why))
            return false;
        if (row.id == 0) {
            if (!db_run(q->db, SQL_ADD_DESTINATION, why, "ti", name, next))
                return false;
            row = (struct stored){.id = (uint64_t)db_last_rowid(q->db), .next = next};
            made = true;
        }
        (void)pthread_mutex_lock(&q->lock);
        if (d != NULL) {
            d->id = row.id;
            (void)idmap_put(&q->ids, row.id, d);
        } else if (row.failures == 0 || row.next <= clock_now()) {
            d = destination_make(q, name, row.id);
            d->failures = d->stored_failures = row.failures;
            memcpy(d->reason, row.reason, sizeof d->reason);
            d->more = !made;
            if (!made)
                schedule_wake(q, d, clock_now()); /* there may be more of it */
        }
        if (d != NULL) {
            d->stored_next = row.next;
            d->quiet_since = clock_now();
            remember_made(q, d);
        }
        (void)pthread_mutex_unlock(&q->lock);
        *id = row.id;
        if (d == NULL) { /* it is in its own back-off, which is as early as anything of it can go */
            *at = NULL;
            return true;
        }
    }
    *id = d->id;
    *at = d;
    if (next >= d->stored_next)
        return true;
    if (!db_run(q->db, SQL_WAKE_DESTINATION, why, "ii", (int64_t)d->id, next))
        return false;
    d->stored_next = next; /* after a rollback too early, if the disk says otherwise: so it is forgotten then */
    remember_made(q, d);
    return true;
}

bool take_destination_here(struct queue *q, struct slice name, int64_t next, uint64_t *id, struct destination **at, struct fail *why)
{
    struct stored row;

    if (!take_destination(q, name, next, id, at, why) || *at != NULL)
        return *at != NULL;
    if (!find_row(q, name, &row, why))
        return false;
    (void)pthread_mutex_lock(&q->lock);
    struct destination *d = destination_make(q, name, row.id);
    d->failures = d->stored_failures = row.failures;
    d->not_before = d->stored_next = row.next;
    memcpy(d->reason, row.reason, sizeof d->reason);
    schedule_wake(q, d, row.next);
    (void)pthread_mutex_unlock(&q->lock);
    *at = d;
    return true;
}

/* Recipients by destination. */
struct named { struct slice name; size_t at; };

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int                 d = slice_cmp(x->name, y->name);

    return d != 0 ? d : (x->at > y->at) - (x->at < y->at);
}

static struct named *name_all(struct queue *q, const struct queue_message *m, bool home, struct arena *a)
{
    struct named *list = arena_new_array(a, struct named, m->recipient_count);
    struct buf    name;

    buf_init(&name, DESTINATION_NAME_MAX);
    for (size_t i = 0; i < m->recipient_count; i++) {
        const struct queue_recipient *r = &m->recipients[i];
        buf_reset(&name);
        if (home)
            buf_add(&name, SLICE(HOME_NAME));
        else if (r->destination.len > 0)
            buf_add(&name, r->destination);
        else
            q->setting.router.destination(q->setting.router.ctx, m, r->address, &name);
        bool same = i > 0 && slice_eq(list[i - 1].name, buf_slice(&name));
        list[i] = (struct named){.name = same ? list[i - 1].name : arena_keep(a, buf_slice(&name)), .at = i};
    }
    buf_finish(&name);
    if (m->recipient_count > 1)
        qsort(list, m->recipient_count, sizeof *list, by_name);
    return list;
}

uint64_t take_source_of(const struct queue_message *m)
{
    return hash_for_good(m->options.source.len > 0 ? m->options.source : m->sender);
}

static struct due *next_due(struct due_list *l)
{
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 16 : l->cap * 2;
        l->list = xrealloc(l->list, l->cap * sizeof *l->list);
    }
    return &l->list[l->count++];
}

static bool write_message(struct queue *q, const struct queue_message *m, uint64_t ref, uint64_t size, int64_t hold, int64_t end,
                          struct fail *why)
{
    struct buf text;
    int64_t    look = take_look(q, m->received, end, &m->options, 0);
    bool       ok;

    buf_init(&text, 64 << 10);
    envelope_options_write(&text, &m->options);
    ok = !text.failed || fail_set(why, FAIL_PERM, FAIL_LIMIT, "its options are too long");
    if (ok && hold > 0)
        ok = db_run(q->db, SQL_ADD_MESSAGE, why, "iiitttiiiiiii", (int64_t)ref, (int64_t)m->id, (int64_t)size, m->sender,
                    m->trace, buf_slice(&text), m->received, end, look, q->last_row + 1, (int64_t)m->recipient_count,
                    (int64_t)m->options.account, hold);
    else if (ok)
        ok = db_run(q->db, SQL_ADD_MESSAGE, why, "iiitttiiiiiin", (int64_t)ref, (int64_t)m->id, (int64_t)size, m->sender,
                    m->trace, buf_slice(&text), m->received, end, look, q->last_row + 1, (int64_t)m->recipient_count,
                    (int64_t)m->options.account);
    buf_finish(&text);
    return ok;
}

static bool write_recipient(struct queue *q, const struct queue_message *m, const struct queue_recipient *r, const struct due *g,
                            struct fail *why)
{
    struct buf text;

    buf_init(&text, 64 << 10);
    recipient_options_write(&text, &r->options);
    bool ok = db_run(q->db, SQL_ADD_RECIPIENT, why, "iiiiiiittt", q->last_row + 1, (int64_t)g->head, (int64_t)g->ref, (int64_t)g->id,
                     (int64_t)-m->options.priority, (int64_t)g->source, g->next, r->address, r->prefix, buf_slice(&text));
    buf_finish(&text);
    q->last_row++;
    return ok;
}

bool take_write(struct queue *q, const struct queue_message *m, uint64_t ref, uint64_t size, enum take_to to, struct due_list *out,
                struct fail *why)
{
    int64_t now = clock_now(), hold = to == TAKE_HELD ? 0 : take_hold_until(q, m, now), end = take_expires(q, m, hold);
    struct named *names = name_all(q, m, to == TAKE_HOME, &out->arena);
    size_t *order = arena_new_array(&out->arena, size_t, m->recipient_count);

    if (!write_message(q, m, ref, size, hold, end, why))
        return false;
    for (size_t i = 0, n = 0; i < m->recipient_count; i += n) {
        struct due *g = next_due(out);
        *g = (struct due){.head = (uint64_t)q->last_row + 1, .source = take_source_of(m), .next = to == TAKE_HELD ? NEVER_DUE : hold > 0 ? hold : now,
                          .message = m, .ref = ref, .size = size, .expires = end, .name = names[i].name, .order = order + i};
        if (!take_destination(q, g->name, g->next, &g->id, &g->at, why))
            return false;
        for (n = 0; n < GROUP_MAX && i + n < m->recipient_count && slice_eq(names[i + n].name, g->name); n++) {
            order[i + n] = names[i + n].at;
            if (!write_recipient(q, m, &m->recipients[names[i + n].at], g, why))
                return false;
        }
        g->count = n;
    }
    q->delta.messages++;
    q->delta.held += to == TAKE_HELD ? (int64_t)m->recipient_count : 0;
    q->delta.recipients += (int64_t)m->recipient_count;
    return true;
}

/* ---- after the commit ---- */

struct queue_claim *take_fresh_claim(struct queue *q, const struct due *g)
{
    const struct queue_message *m = g->message;
    struct queue_claim         *c;

    if (__atomic_load_n(&q->fresh_bytes, __ATOMIC_RELAXED) >= q->setting.limits.fresh_bytes)
        return NULL;
    c = claim_create();
    c->message = g->ref;
    c->head = g->head;
    c->delivery = m->id;
    c->destination = arena_keep(&c->arena, g->name);
    c->sender = arena_keep(&c->arena, m->sender);
    c->trace = arena_keep(&c->arena, m->trace);
    c->options = m->options;
    c->options.envid = arena_keep(&c->arena, m->options.envid);
    c->options.source = arena_keep(&c->arena, m->options.source);
    c->received = m->received;
    c->expires = g->expires;
    c->size = g->size;
    c->recipients = arena_new_array(&c->arena, struct queue_attempt, g->count);
    c->recipient_count = g->count;
    for (size_t i = 0; i < g->count; i++) {
        const struct queue_recipient *r = &m->recipients[g->order[i]];
        c->recipients[i] = (struct queue_attempt){.row = g->head + i, .address = arena_keep(&c->arena, r->address),
                                                  .prefix = arena_keep(&c->arena, r->prefix), .options = r->options};
        c->recipients[i].options.orcpt = arena_keep(&c->arena, r->options.orcpt);
    }
    c->charged = sizeof *c + 1024 + c->arena.used;
    (void)__atomic_add_fetch(&q->fresh_bytes, c->charged, __ATOMIC_RELAXED);
    return c;
}

void take_schedule(struct queue *q, const struct due_list *l)
{
    int64_t now = clock_now();

    for (size_t i = 0; i < l->count && !q->setting.offline; i++) {
        const struct due *g = &l->list[i];
        if (g->at == NULL)
            continue;
        struct queue_claim *c = g->next <= now ? take_fresh_claim(q, g) : NULL;
        (void)pthread_mutex_lock(&q->lock);
        bool         full = false;
        struct item *it = g->next <= now ? schedule_add(q, g->at, g->head, g->ref, g->source, -g->message->options.priority, &full) : NULL;
        if (it != NULL) {
            it->fresh = c;
            c = NULL;
            schedule_offer(q, g->at);
        } else if (full) {
            g->at->more = true;
        } else {
            schedule_wake(q, g->at, g->next);
        }
        (void)pthread_mutex_unlock(&q->lock);
        claim_free(q, c);
    }
}

/* ---- queue_take ---- */

struct taking {
    struct op op;
    const struct queue_message *messages;
    volume_ref *refs; /* 0: could not be appended */
    bool *known;      /* taken before */
    bool *here;       /* ... or being tried from memory */
    bool *taken;
    size_t count;
    struct due_list due;
};

bool take_is_known(struct queue *q, uint64_t id, bool *known, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_IS_TAKEN, why);

    if (s == NULL)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    *known = db_step(s, why);
    return db_done(s, why);
}

static bool trim_taken(struct queue *q, struct fail *why)
{
    if (q->counts.taken + q->delta.taken < TAKEN_KEPT + TAKEN_TRIM)
        return true;
    q->delta.taken -= TAKEN_TRIM;
    return db_run(q->db, SQL_TRIM_TAKEN, why, "i", (int64_t)TAKEN_TRIM);
}

static bool run_taking(struct queue *q, struct op *o, struct fail *why)
{
    struct taking *t = (struct taking *)o;

    due_reset(&t->due);
    for (size_t i = 0; i < t->count; i++) {
        const struct queue_message *m = &t->messages[i];
        if (t->refs[i] == 0)
            continue;
        if (!take_is_known(q, m->id, &t->known[i], why))
            return false;
        (void)pthread_mutex_lock(&q->lock);
        t->known[i] = t->known[i] || direct_was(q, m->id);
        t->here[i] = direct_has(q, m->id) && !t->known[i];
        (void)pthread_mutex_unlock(&q->lock);
        if (t->known[i] || t->here[i])
            continue;
        if (!db_run(q->db, SQL_ADD_TAKEN, why, "i", (int64_t)m->id) || !take_write(q, m, t->refs[i], body_size(m->body), TAKE_AWAY, &t->due, why))
            return false;
        q->delta.taken++;
    }
    return trim_taken(q, why);
}

static void note_taken(struct queue *q, const struct queue_message *m, uint64_t ref)
{
    (void)__atomic_add_fetch(&q->taken, 1, __ATOMIC_RELAXED);
    log_event(LOG_INFO, "queue.taken", LOG_TEXT("trace", m->trace), LOG_HEX("queue_id", ref), LOG_TEXT("from", m->sender),
              LOG_U64("recipients", m->recipient_count), LOG_U64("size", body_size(m->body)));
}

static bool after_taking(struct queue *q, struct op *o, bool ok, const struct fail *why)
{
    struct taking *t = (struct taking *)o;

    (void)why;
    for (size_t i = 0; i < t->count; i++) {
        if (t->refs[i] == 0)
            continue;
        t->taken[i] = ok && !t->here[i];
        if (ok && !t->known[i] && !t->here[i])
            note_taken(q, &t->messages[i], t->refs[i]);
        else if (ok)
            volume_release(q->volumes, t->refs[i], body_size(t->messages[i].body));
        /* Else it may be in the database all the same: a commit that failed may have reached the disk. */
    }
    if (ok)
        take_schedule(q, &t->due);
    return true;
}

bool take_append(struct queue *q, const struct queue_message *m, volume_ref *ref, struct fail *why)
{
    struct record_target *targets = xcalloc(m->recipient_count > 0 ? m->recipient_count : 1, sizeof *targets);
    struct buf            options, text;
    struct arena          texts;

    buf_init(&options, 64 << 10);
    buf_init(&text, 64 << 10);
    arena_init(&texts, CLAIM_ARENA);
    envelope_options_write(&options, &m->options);
    for (size_t i = 0; i < m->recipient_count; i++) {
        const struct queue_recipient *r = &m->recipients[i];
        buf_reset(&text);
        recipient_options_write(&text, &r->options);
        /* What leaves is no account's: the delivery id stands there, for who must rebuild the rows (rebuild.c). */
        targets[i] = (struct record_target){.kind = RECORD_OUTBOUND, .account = m->id, .recipient = r->address, .prefix = r->prefix,
                                            .options = arena_keep(&texts, buf_slice(&text))};
    }
    const struct record rec = {.kind = RECORD_DELIVERY, .sender = m->sender, .internal_date = m->received, .trace = m->trace,
                               .options = buf_slice(&options), .targets = targets, .target_count = m->recipient_count};
    bool ok = volume_append_start(q->volumes, &rec, m->body, ref, why);
    buf_finish(&options);
    buf_finish(&text);
    arena_finish(&texts);
    free(targets);
    return ok;
}

/* How many records were begun and are on disk. */
static size_t append_all(struct queue *q, struct taking *t, struct fail *why)
{
    volume_ref first = 0, last = 0;
    size_t     count = 0;

    for (size_t i = 0; i < t->count; i++) {
        if (t->messages[i].recipient_count == 0 || t->messages[i].id == 0) {
            (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "a message without recipients or delivery id");
            continue;
        }
        if (!take_append(q, &t->messages[i], &t->refs[i], why)) {
            t->refs[i] = 0;
            continue;
        }
        first = first == 0 || t->refs[i] < first ? t->refs[i] : first;
        last = t->refs[i] > last ? t->refs[i] : last;
        count++;
    }
    return count > 0 && volume_sync(q->volumes, first, last, why) ? count : 0;
}

bool queue_take(struct queue *q, const struct queue_message *messages, size_t count, bool *taken, struct fail *why)
{
    struct taking t = {.op = {.run = run_taking, .after = after_taking}, .messages = messages, .taken = taken, .count = count};
    bool          ok;

    for (size_t i = 0; i < count; i++)
        taken[i] = false;
    if (count == 0)
        return true;
    t.refs = xcalloc(count, sizeof *t.refs);
    t.known = xcalloc(count, sizeof *t.known);
    t.here = xcalloc(count, sizeof *t.here);
    due_init(&t.due);
    direct_spool_these(q, messages, count);
    block_begin();
    ok = append_all(q, &t, why) > 0 && commit_wait(q, &t.op, why);
    block_end();
    due_finish(&t.due);
    free(t.refs);
    free(t.known);
    free(t.here);
    return ok;
}
