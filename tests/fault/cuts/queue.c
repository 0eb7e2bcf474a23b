/*
 * tests/fault/cuts/queue.c - the outbound spool under power cuts.
 *
 * Two threads hand messages over, two send them, and each notes what happened to each recipient, in this order.  After
 * a cut every recipient that was taken stands in the spool, unless it was sent (or refused for good, or removed) before
 * the cut; none stands there of which the queue had said that this is settled; who was refused for good is named in a
 * notification that has come home or waits in the spool.  A message nobody was promised is there for all its recipients
 * or for none.  Bodies are whole, counts exact.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scoped.h"
#include "cuts.h"
#include "disk.h"
#include "queue/internal.h"
#include "storage/volume.h"

enum { MESSAGES = 4000, RECIPIENTS = 4, TAKERS = 2, SENDERS = 2, BATCHES = 14, BATCH = 4 };

/* The subjects of notes, about message * 8 + recipient. */
enum { OFFERED = 1, TAKEN, LEFT /* it was sent, refused or removed; the queue is told next */, SETTLED, REFUSED, REFUSED_SETTLED, HOME };

struct spool {
    char dir[200], copy[220];
    struct volume_limits volumes;
    struct queue_setting setting;
    struct queue *queue;
};

struct taker {
    struct spool *s;
    uint64_t rng, next;
};

static void note(unsigned what, uint64_t key)
{
    record_note(TRACE_HAVE, what, key, NULL, 0);
}

static void by_domain(void *ctx, const struct queue_message *m, struct slice recipient, struct buf *out)
{
    (void)ctx, (void)m;
    buf_add(out, slice_from(recipient, slice_rfind_char(recipient, '@') + 1));
}

/* Calls `each` for every recipient that a notification names as failed. */
static void failed_recipients(struct slice text, void (*each)(void *ctx, uint64_t key), void *ctx)
{
    static const char field[] = "Final-Recipient: rfc822; ";
    const char *at = text.ptr, *end = text.ptr + text.len;
    unsigned long long message;
    unsigned recipient;

    while ((at = memmem(at, (size_t)(end - at), field, sizeof field - 1)) != NULL) {
        char word[60] = {0};
        at += sizeof field - 1;
        memcpy(word, at, (size_t)(end - at) < sizeof word - 1 ? (size_t)(end - at) : sizeof word - 1);
        if (sscanf(word, "m%llu-%u@", &message, &recipient) == 2)
            each(ctx, message * 8 + recipient);
    }
}

static void note_home(void *ctx, uint64_t key)
{
    (void)ctx;
    note(HOME, key);
}

/* Taken as deliver/ would: on stable storage elsewhere. */
static bool come_home(void *ctx, struct slice sender, struct slice recipient, const struct body *body, struct fail *why)
{
    size_t len = 0;

    (void)ctx, (void)sender, (void)recipient;
    SCOPED(scoped_free) char *text = xmalloc(body_size(body) + 1);
    if (!body_read(body, 0, text, body_size(body), &len, why))
        return false;
    failed_recipients(slice_make(text, len), note_home, NULL);
    return true;
}

static void spool_open(struct spool *s, const char *dir, bool offline)
{
    struct fail why;

    (void)snprintf(s->dir, sizeof s->dir, "%s/queue", dir);
    (void)snprintf(s->copy, sizeof s->copy, "%s/copy.db", dir);
    volume_limits_default(&s->volumes);
    s->volumes.volume_bytes = 200 << 10;
    s->volumes.prewrite_bytes = 32 << 10;
    s->volumes.reserve_percent = 0;
    s->volumes.reserve_bytes = 0;
    s->volumes.free_after_seconds = 0;
    s->setting = (struct queue_setting){.dir = s->dir, .hostname = "here.example", .volumes = &s->volumes, .offline = offline,
                                        .router = {.destination = by_domain}, .home = {.deliver = come_home}};
    queue_limits_default(&s->setting.limits);
    s->setting.limits.retry_first_seconds = 1;
    s->setting.limits.retry_most_seconds = 1;
    if (!queue_open(&s->setting, &s->queue, &why))
        cuts_die("opening the spool", &why);
}

/* ---- what is done ---- */

static unsigned recipients_of(uint64_t message)
{
    return 1 + (unsigned)(message * 2654435761u >> 7) % RECIPIENTS;
}

/* One in eight is held until it is removed. */
static bool is_held(uint64_t message)
{
    return message % 8 == 3;
}

/* Some fail for good. */
static bool is_refused(uint64_t key)
{
    return key * 40503 % 5 == 0;
}

static struct body *body_of(uint64_t message)
{
    static const struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 20, .spool_dir = "/tmp"};
    struct body *b = body_create(&limits);
    struct buf text;

    buf_init(&text, 1 << 20);
    cuts_message(message, &text);
    if (!body_add(b, buf_slice(&text), NULL))
        cuts_die("a body", NULL);
    buf_finish(&text);
    return b;
}

struct letter {
    struct queue_recipient to[RECIPIENTS];
    char addresses[RECIPIENTS][40], trace[24], sender[40];
    struct body *body;
};

static struct queue_message make_letter(struct letter *l, uint64_t message)
{
    unsigned count = recipients_of(message);

    *l = (struct letter){.body = body_of(message)};
    (void)snprintf(l->trace, sizeof l->trace, "%llu", (unsigned long long)message);
    (void)snprintf(l->sender, sizeof l->sender, "s%llu@here.example", (unsigned long long)message);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(l->addresses[i], sizeof l->addresses[i], "m%llu-%u@d%llu.example", (unsigned long long)message, i,
                       (unsigned long long)((message + i) % 3));
        l->to[i] = (struct queue_recipient){.address = slice_of(l->addresses[i])};
    }
    return (struct queue_message){.id = message * 8, .sender = slice_of(l->sender), .trace = slice_of(l->trace), .received = clock_now(),
                                  .recipients = l->to, .recipient_count = count, .body = l->body,
                                  .options = {.hold_until = is_held(message) ? clock_now() + 100000 : 0}};
}

static void note_all(unsigned what, uint64_t message)
{
    for (unsigned i = 0; i < recipients_of(message); i++)
        note(what, message * 8 + i);
}

static void remove_message(struct queue *q, uint64_t message)
{
    char sender[40];
    struct fail why;
    uint64_t changed = 0;

    (void)snprintf(sender, sizeof sender, "s%llu@here.example", (unsigned long long)message);
    struct queue_filter f = {.sender = slice_of(sender)};
    note_all(LEFT, message);
    if (!queue_remove(q, &f, false, &changed, &why))
        cuts_die("removing", &why);
    note_all(SETTLED, message);
}

/* As a backup does it. */
static void copy_spool(struct spool *s)
{
    struct fail why;

    queue_lease_begin(s->queue);
    if (!queue_copy(s->queue, s->copy, &why))
        cuts_die("copying the spool", &why);
    queue_lease_end(s->queue);
}

static void *take_all(void *ctx)
{
    struct taker *t = ctx;

    for (unsigned n = 0; n < BATCHES; n++) {
        struct queue_message m[BATCH];
        struct letter l[BATCH];
        bool taken[BATCH] = {false};
        struct fail why;
        size_t count = 1 + rng_below(&t->rng, BATCH);
        uint64_t first = t->next;
        for (size_t i = 0; i < count; i++) {
            m[i] = make_letter(&l[i], t->next);
            note(OFFERED, t->next++);
        }
        if (!queue_take(t->s->queue, m, count, taken, &why))
            cuts_die("taking", &why);
        for (size_t i = 0; i < count; i++) {
            if (taken[i])
                note_all(TAKEN, first + i);
            body_destroy(&l[i].body);
        }
        for (size_t i = 0; i < count; i++)
            if (taken[i] && is_held(first + i) && rng_below(&t->rng, 2) == 0)
                remove_message(t->s->queue, first + i);
        if (rng_below(&t->rng, 8) == 0)
            copy_spool(t->s);
        __atomic_store_n(&t->s->queue->reclaimed, 0, __ATOMIC_RELAXED); /* space is given back at the next tick */
    }
    return NULL;
}

static void *send_all(void *ctx)
{
    struct queue *q = ctx;
    struct queue_claim *c;

    while ((c = queue_claim(q)) != NULL) {
        struct queue_outcome o[128];
        uint64_t keys[128];
        char digits[24] = {0};
        size_t count = c->recipient_count;
        memcpy(digits, c->trace.ptr, c->trace.len < sizeof digits ? c->trace.len : sizeof digits - 1);
        for (size_t i = 0; i < count; i++) {
            size_t dash = slice_find_char(c->recipients[i].address, '-');
            keys[i] = strtoull(digits, NULL, 10) * 8 + (unsigned char)c->recipients[i].address.ptr[dash + 1] - '0';
            bool later = c->recipients[i].attempts == 0 && keys[i] % 7 == 0;
            o[i] = (struct queue_outcome){.fate = later ? QUEUE_LATER : is_refused(keys[i]) ? QUEUE_NEVER : QUEUE_SENT,
                                          .code = later ? 450 : is_refused(keys[i]) ? 550 : 250, .text = SLICE("so it is")};
            if (!later)
                note(o[i].fate == QUEUE_SENT ? LEFT : REFUSED, keys[i]);
            else
                keys[i] = 0;
        }
        queue_report(q, &c, QUEUE_WELL, o);
        queue_settle(q);
        for (size_t i = 0; i < count; i++)
            if (keys[i] != 0)
                note(o[i].fate == QUEUE_SENT ? SETTLED : REFUSED_SETTLED, keys[i]);
    }
    return NULL;
}

static void live(const char *dir, uint64_t seed, unsigned life)
{
    struct spool s;
    struct taker takers[TAKERS];
    pthread_t taking[TAKERS], sending[SENDERS];

    spool_open(&s, dir, false);
    for (unsigned i = 0; i < SENDERS; i++)
        if (pthread_create(&sending[i], NULL, send_all, s.queue) != 0)
            cuts_die("a thread", NULL);
    for (unsigned i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){.s = &s, .rng = seed * 13 + life * 5 + i, .next = 1 + life * 500 + i * 250};
        if (pthread_create(&taking[i], NULL, take_all, &takers[i]) != 0)
            cuts_die("a thread", NULL);
    }
    for (unsigned i = 0; i < TAKERS; i++)
        (void)pthread_join(taking[i], NULL);
    (void)usleep(1300000); /* what is to be tried again is; the queue counts in seconds */
    queue_stop_claims(s.queue);
    for (unsigned i = 0; i < SENDERS; i++)
        (void)pthread_join(sending[i], NULL);
    queue_close(&s.queue);
}

/* ---- after the cut ---- */

struct found {
    struct queue *queue;
    unsigned char notes[MESSAGES * 8]; /* bits, by the numbers above */
    unsigned char rows[MESSAGES * 8];
    unsigned char told[MESSAGES * 8]; /* named in a notification in the spool */
    uint64_t row_count, message_count, last, problems;
};

static void add_told(void *ctx, uint64_t key)
{
    struct found *f = ctx;

    if (key < MESSAGES * 8)
        f->told[key]++;
}

static void problem(struct found *f, uint64_t key, const char *what)
{
    printf("message %llu recipient %llu: %s (notes %x)\n", (unsigned long long)(key / 8), (unsigned long long)(key % 8), what,
           key < MESSAGES * 8 ? f->notes[key] : 0);
    f->problems++;
}

static bool add_row(void *ctx, const struct queue_row *row)
{
    struct found *f = ctx;
    struct fail why;
    SCOPED(scoped_free) char *text = xmalloc(row->size + 1);
    uint64_t number = 0, n = 0;

    f->row_count++;
    f->message_count += row->message != f->last;
    f->last = row->message;
    if (!queue_peek(f->queue, row->message, 0, text, row->size, &why)) {
        printf("message %llu in the spool cannot be read: %s\n", (unsigned long long)row->message, why.text);
        f->problems++;
        return true;
    }
    if (row->sender.len == 0) {
        failed_recipients(slice_make(text, row->size), add_told, f);
        return true;
    }
    for (size_t i = 1; i < row->recipient.len && row->recipient.ptr[i] >= '0' && row->recipient.ptr[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(row->recipient.ptr[i] - '0');
    n = (uint64_t)(row->recipient.ptr[slice_find_char(row->recipient, '-') + 1] - '0');
    if (number >= MESSAGES || n >= RECIPIENTS) {
        problem(f, number * 8 + n, "nobody sent that");
        return true;
    }
    f->rows[number * 8 + n]++;
    struct buf want;
    buf_init(&want, 1 << 20);
    cuts_message(number, &want);
    if (want.len != row->size || memcmp(want.data, text, want.len) != 0)
        problem(f, number * 8 + n, "its text is another");
    buf_finish(&want);
    return true;
}

static void read_notes(struct found *f, const struct trace *t, uint64_t cut)
{
    const struct entry *e;
    uint64_t at = 0;

    for (uint64_t index = 0; index < cut && (e = trace_next(t, &at)) != NULL; index++)
        if (e->kind == TRACE_HAVE && e->b < MESSAGES * 8)
            f->notes[e->b] |= (unsigned char)(1u << e->a);
}

static bool noted(const struct found *f, uint64_t key, unsigned what)
{
    return (f->notes[key] >> what & 1) != 0;
}

static void check_recipient(struct found *f, uint64_t key)
{
    bool gone = noted(f, key, LEFT) || noted(f, key, REFUSED);

    if (f->rows[key] > 1)
        problem(f, key, "stands in the spool twice");
    if (noted(f, key, TAKEN) && !gone && f->rows[key] == 0)
        problem(f, key, "was taken and is lost");
    if ((noted(f, key, SETTLED) || noted(f, key, REFUSED_SETTLED)) && f->rows[key] > 0)
        problem(f, key, "was settled and would be sent again");
    if (noted(f, key, REFUSED) && f->rows[key] == 0 && f->told[key] == 0 && !noted(f, key, HOME))
        problem(f, key, "was refused and nobody is told");
}

static void check_all(struct found *f)
{
    for (uint64_t message = 1; message < MESSAGES; message++) {
        unsigned rows = 0, moved = 0;
        for (unsigned i = 0; i < recipients_of(message); i++) {
            uint64_t key = message * 8 + i;
            check_recipient(f, key);
            rows += f->rows[key] > 0;
            moved += noted(f, key, LEFT) || noted(f, key, REFUSED) || noted(f, key, TAKEN);
        }
        if (moved == 0 && rows != 0 && rows != recipients_of(message))
            problem(f, message * 8, "is there for some of its recipients only");
    }
}

static void finding(void *ctx, const char *text)
{
    struct found *f = ctx;

    printf("check: %s\n", text);
    f->problems++;
}

/* Its copy has the record of every row; and it takes more. */
static void check_use(struct spool *s, struct found *f)
{
    struct fail why;
    uint64_t messages = 0;
    struct letter l;
    bool taken = false;

    queue_lease_begin(s->queue);
    if (!queue_copy(s->queue, s->copy, &why) || !queue_check_copy(s->copy, queue_volumes(s->queue), finding, f, &messages, &why)) {
        printf("copy: %s\n", why.text);
        f->problems++;
    }
    queue_lease_end(s->queue);
    struct queue_message m = make_letter(&l, MESSAGES - 1);
    if (!queue_take(s->queue, &m, 1, &taken, &why) || !taken) {
        printf("it takes no more: %s\n", why.text);
        f->problems++;
    }
    body_destroy(&l.body);
}

static bool check(const char *dir, const struct promise *promises, const struct trace *t, uint64_t cut, bool use)
{
    static struct found f; /* of this process, which ends with the check */
    static const struct queue_filter all = {0};
    struct spool s;
    struct queue_stats stats;
    struct fail why;

    (void)promises;
    spool_open(&s, dir, true);
    f.queue = s.queue;
    read_notes(&f, t, cut);
    queue_stats(s.queue, &stats);
    if (!queue_each(s.queue, &all, 0, add_row, &f, &why)) {
        printf("reading the spool: %s\n", why.text);
        f.problems++;
    }
    if (stats.messages != f.message_count || stats.recipients != f.row_count) {
        printf("%llu messages, %llu recipients are counted; there are %llu, %llu\n", (unsigned long long)stats.messages,
               (unsigned long long)stats.recipients, (unsigned long long)f.message_count, (unsigned long long)f.row_count);
        f.problems++;
    }
    check_all(&f);
    if (use)
        check_use(&s, &f);
    queue_close(&s.queue);
    return f.problems == 0;
}

const struct cuts_case cuts_queue = {.name = "queue", .lives = 4, .live = live, .subjects = HOME, .check = check};
