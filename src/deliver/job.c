/*
 * deliver/job.c - a record and the rows it still needs.
 *
 * Layer: deliver.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/scoped.h"
#include "deliver/internal.h"

enum {
    JOB_MAX = 64 << 20,   /* an alias of many members, each with its prefix */
    PARSE_MAX = 64 << 20, /* while a message is taken apart */
    FINGERPRINT_BYTES = 4096,
};

static void finish_arena(struct arena *a)
{
    arena_finish(a);
}

/* ---- facts ---- */

/* The same for the same message sent again: its end, and who it is from (its Received field differs). */
static uint64_t fingerprint(const struct body *body, struct slice sender)
{
    char tail[FINGERPRINT_BYTES];
    const uint64_t size = body_size(body);
    const size_t n = size / 2 < sizeof tail ? (size_t)(size / 2) : sizeof tail;
    size_t got = 0;

    if (!body_read(body, size - n, tail, n, &got, NULL))
        got = 0;
    return ((uint64_t)crc32c(0, tail, got) << 32 | crc32c(0, sender.ptr, sender.len)) | 1;
}

/* Envelope, structure and preview into the job's arena, whatever the message is. */
static bool take_facts(struct deliver *d, struct job *j, const struct body *body, uint64_t print,
                       struct fail *why)
{
    SCOPED(finish_arena) struct arena scratch;
    struct message_facts facts;
    bool ok = true;

    arena_init(&scratch, PARSE_MAX);
    if (crash_note_enter(d->note, print)) {
        ok = message_facts_compute(body, &scratch, &facts, why);
    } else {
        log_event(LOG_ERROR, "deliver.unparsed", LOG_TEXT("trace", j->record.trace),
                  LOG_CSTR("error", "in work at two crashes: kept without being parsed"));
        message_facts_plain(&scratch, body_size(body), &facts);
    }
    crash_note_leave(d->note, print);
    if (!ok)
        return false;
    j->facts = message_facts_keep(&j->arena, &facts);
    return true;
}

/* ---- creation ---- */

/* The job lies in its own arena. */
static struct job *job_new(size_t targets)
{
    struct arena a;

    arena_init(&a, JOB_MAX);
    struct job *j = arena_new(&a, struct job);
    j->arena = a;
    j->targets = arena_new_array(&j->arena, struct record_target, targets);
    j->items = arena_new_array(&j->arena, struct item, targets);
    j->record.targets = j->targets;
    return j;
}

void job_destroy(struct job **j)
{
    if (*j == NULL)
        return;
    struct arena a = (*j)->arena;
    arena_finish(&a);
    *j = NULL;
}

static void add_target(struct job *j, const struct record_target *t)
{
    struct record_target *mine = &j->targets[j->record.target_count];

    *mine = *t;
    j->items[j->record.target_count++] = (struct item){.job = j, .target = mine};
    j->left++;
}

/*
 * One row for each account, whatever many recipients lead there.  A detail
 * (ann+lists) does not choose a mailbox: all mail goes to INBOX, as with Postfix
 * and Dovecot as they come; filters will choose.
 */
static void add_recipient(struct job *j, struct idmap *seen, const struct delivery *in,
                          const struct delivery_recipient *r)
{
    for (size_t i = 0; i < r->route.count; i++) {
        const struct route_target *t = &r->route.targets[i];
        if (!t->local || idmap_get(seen, t->account) != NULL)
            continue;
        (void)idmap_put(seen, t->account, j);
        add_target(j, &(struct record_target){
                          .kind = RECORD_LOCAL,
                          .account = t->account,
                          .recipient = arena_keep(&j->arena, r->address),
                          .prefix = arena_printf(
                              &j->arena, "Return-Path: <" PRIslice ">\r\nDelivered-To: " PRIslice "\r\n",
                              SLICE_ARG(in->sender), SLICE_ARG(r->address)),
                      });
    }
}

static size_t count_targets(const struct delivery *in)
{
    size_t n = 0;

    for (size_t i = 0; i < in->recipient_count; i++)
        n += in->recipients[i].route.count;
    return n;
}

struct job *job_create(struct deliver *d, const struct delivery *in, struct fail *why)
{
    struct job *j = job_new(count_targets(in));
    struct idmap seen;

    j->record.kind = RECORD_DELIVERY;
    j->record.sender = arena_keep(&j->arena, in->sender);
    j->record.trace = arena_keep(&j->arena, in->trace);
    j->record.internal_date = in->received;
    j->record.internal_zone = clock_zone_minutes(in->received);
    idmap_init(&seen);
    for (size_t i = 0; i < in->recipient_count && !j->arena.failed; i++)
        add_recipient(j, &seen, in, &in->recipients[i]);
    idmap_finish(&seen);

    if (j->arena.failed || j->record.target_count == 0) {
        (void)fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.5.3", "too many destinations for one message");
        job_destroy(&j);
    } else if (!take_facts(d, j, in->body, fingerprint(in->body, in->sender), why)) {
        job_destroy(&j);
    }
    return j;
}

/* The message of a record, back in memory; what cannot be read any more is left out. */
static struct body *read_back(struct deliver *d, volume_ref ref, uint64_t size, struct fail *why)
{
    enum { PIECE = 64 << 10 };
    struct body_limits limits = {.memory_max = size, .size_max = size, .spool_dir = "/nonexistent"};
    struct body *b = body_create(&limits);
    SCOPED(scoped_free) char *piece = xmalloc(PIECE);

    for (uint64_t at = 0; at < size;) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        if (!volume_read(d->volumes, ref, at, piece, n, why) || !body_add(b, slice_make(piece, n), why)) {
            body_destroy(&b);
            return NULL;
        }
        at += n;
    }
    return b;
}

struct job *job_recover(struct deliver *d, volume_ref ref, const struct record *rec, const bool *wanted,
                        size_t wanted_count)
{
    struct job *j = job_new(wanted_count);
    struct fail why = {0};

    j->ref = j->floor = ref;
    j->record.internal_date = rec->internal_date;
    j->record.internal_zone = rec->internal_zone;
    j->record.trace = arena_keep(&j->arena, rec->trace);
    for (size_t i = 0; i < rec->target_count; i++) {
        struct record_target t = rec->targets[i];
        if (!wanted[i])
            continue;
        t.keywords = arena_keep(&j->arena, t.keywords);
        t.recipient = arena_keep(&j->arena, t.recipient);
        t.prefix = arena_keep(&j->arena, t.prefix);
        add_target(j, &t);
    }

    struct body *body = read_back(d, ref, rec->size, &why);
    if (body == NULL || !take_facts(d, j, body, ref, &why)) {
        log_event(LOG_ERROR, "deliver.unreadable", LOG_HEX("record", ref), LOG_TEXT("trace", rec->trace),
                  LOG_FAIL(&why));
        message_facts_plain(&j->arena, rec->size, &j->facts);
    }
    body_destroy(&body);
    return j;
}

/* ---- the list of jobs, and with it the low-water mark ---- */

/*
 * The floor is taken under the lock, so the list is in order of floors and its
 * first job holds the lowest: everything below that has its rows.
 */
void job_register(struct deliver *d, struct job *j)
{
    j->floor = volume_end(d->volumes);
    j->number = d->next_number++;
    j->earlier = d->last_job;
    if (d->last_job != NULL)
        d->last_job->later = j;
    else
        d->first_job = j;
    d->last_job = j;
}

void job_unregister(struct deliver *d, struct job *j)
{
    if (j->earlier != NULL)
        j->earlier->later = j->later;
    else
        d->first_job = j->later;
    if (j->later != NULL)
        j->later->earlier = j->earlier;
    else
        d->last_job = j->earlier;
    (void)pthread_cond_broadcast(&d->done);
}

void job_placed(struct deliver *d, struct job *j, size_t rows)
{
    struct job *parent = j->parent;

    j->left -= rows;
    if (j->left > 0)
        return;
    if (parent == NULL)
        job_unregister(d, j);
    if (j != &d->replay)
        job_destroy(&j);
    if (parent != NULL)
        job_placed(d, parent, 1);
}
