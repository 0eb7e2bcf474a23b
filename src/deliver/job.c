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
#include "deliver/srs.h"

enum {
    JOB_MAX = 64 << 20,   /* an alias of many members, each with its prefix */
    PARSE_MAX = 64 << 20, /* while a message is taken apart */
    FINGERPRINT_BYTES = 4096,
    OPTIONS_MAX = 16 << 10,
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
    body_destroy(&(*j)->body);
    arena_finish(&a);
    *j = NULL;
}

static void add_target(struct job *j, const struct record_target *t)
{
    struct record_target *mine = &j->targets[j->record.target_count++];

    *mine = *t;
    if (t->kind == RECORD_LOCAL) {
        j->items[j->item_count++] = (struct item){.job = j, .target = mine};
        j->left++;
    } else {
        j->left += j->outbound_count++ == 0; /* one for all that leaves */
    }
}

/* What has its place in a record already, so that it gets one copy. */
struct met {
    struct idmap accounts;
    struct map addresses;
};

static bool met_account(struct met *m, uint64_t account)
{
    return idmap_put(&m->accounts, account, m) != NULL;
}

static bool met_address(struct met *m, struct slice address)
{
    return map_put(&m->addresses, address, m) != NULL;
}

static struct slice options_text(struct job *j, const struct recipient_options *o)
{
    struct buf text;

    buf_init(&text, OPTIONS_MAX);
    recipient_options_write(&text, o);
    struct slice kept = arena_keep(&j->arena, buf_slice(&text));
    buf_finish(&text);
    return kept;
}

/* Where junk goes; 0: INBOX, for who has no mailbox for it. */
static uint64_t junk_mailbox(struct deliver *d, uint64_t account)
{
    struct account *a = NULL;
    uint64_t id = 0;

    if (store_account(d->store, account, &a, NULL)) {
        id = mailbox_for_use(a, USE_JUNK, NULL);
        account_release(&a);
    }
    return id;
}

/*
 * One row for each account, whatever many recipients lead there.  A detail
 * (ann+lists) does not choose a mailbox: all mail goes to INBOX, as with Postfix
 * and Dovecot as they come; filters will choose.
 */
static void add_local(struct deliver *d, struct job *j, const struct delivery *in, const struct delivery_recipient *r,
                      const struct route_target *t, struct slice sender)
{
    add_target(j, &(struct record_target){
                      .kind = RECORD_LOCAL,
                      .account = t->account,
                      .mailbox = in->junk ? junk_mailbox(d, t->account) : 0,
                      .keywords = in->junk ? SLICE("$Junk") : SLICE(""),
                      .recipient = arena_keep(&j->arena, r->address),
                      .prefix = arena_printf(&j->arena,
                                             "Return-Path: <" PRIslice ">\r\nDelivered-To: " PRIslice "\r\n",
                                             SLICE_ARG(sender), SLICE_ARG(r->address)),
                      .options = options_text(j, &r->options),
                  });
}

/*
 * DSNs of what an alias leads to: all is passed on to the only member of one, SUCCESS is not where there are
 * more (an "expanded" DSN tells of that), and a list's members have nothing of it (RFC 3461 section 5.2.7).
 */
static struct recipient_options member_options(struct job *j, const struct delivery_recipient *r,
                                               const struct route_target *t)
{
    struct recipient_options o = r->options;

    if (r->route.kind == ROUTE_REMOTE)
        return o;
    if (t->owner.len > 0)
        return (struct recipient_options){.notify = 0};
    if (r->route.count > 1) {
        const unsigned rest = o.notify & ~(unsigned)NOTIFY_SUCCESS;
        o.notify = rest == 0 && o.notify != 0 ? NOTIFY_NEVER : rest;
    }
    if (o.orcpt.len == 0)
        o.orcpt = arena_printf(&j->arena, "rfc822;" PRIslice, SLICE_ARG(r->address));
    return o;
}

static void add_outbound(struct deliver *d, struct job *j, const struct delivery_recipient *r,
                         const struct route_target *t, struct slice sender)
{
    const struct recipient_options options = member_options(j, r, t);
    struct record_target leaves = {
        .kind = RECORD_OUTBOUND,
        .recipient = arena_keep(&j->arena, t->address),
        .options = options_text(j, &options),
    };

    if (r->route.kind == ROUTE_LOCAL) { /* an alias led there: it is a forward */
        leaves.prefix = arena_printf(&j->arena, "Delivered-To: " PRIslice "\r\n", SLICE_ARG(r->address));
        if (t->owner.len == 0 && d->limits.srs != NULL)
            sender = srs_forward(d->limits.srs, d->directory, sender, &j->arena);
    }
    if (!slice_eq(sender, j->record.sender))
        leaves.sender = arena_keep(&j->arena, sender);
    add_target(j, &leaves);
}

static void add_recipient(struct deliver *d, struct job *j, struct met *met, const struct delivery *in,
                          const struct delivery_recipient *r)
{
    for (size_t i = 0; i < r->route.count; i++) {
        const struct route_target *t = &r->route.targets[i];
        /* A bounce stays one, whoever answers for the list. */
        const struct slice sender =
            t->owner.len > 0 && j->record.sender.len > 0 ? t->owner : j->record.sender;
        if (t->local && !met_account(met, t->account))
            add_local(d, j, in, r, t, sender);
        else if (!t->local && !met_address(met, t->address))
            add_outbound(d, j, r, t, sender);
    }
}

/* An account has a message once, be it in two mailboxes: with what stands in front of it. */
static struct slice prefix_in_account(const struct job *j, uint64_t account)
{
    for (size_t i = 0; i < j->record.target_count; i++)
        if (j->targets[i].kind == RECORD_LOCAL && j->targets[i].account == account)
            return j->targets[i].prefix;
    return SLICE("");
}

static void add_copy(struct job *j, struct met *met, const struct delivery_copy *copy)
{
    if (copy->account == 0)
        return;
    (void)met_account(met, copy->account);
    add_target(j, &(struct record_target){.kind = RECORD_LOCAL,
                                          .account = copy->account,
                                          .mailbox = copy->mailbox,
                                          .flags = STORE_SEEN,
                                          .prefix = prefix_in_account(j, copy->account)});
}

static size_t count_targets(const struct delivery *in)
{
    size_t n = 1; /* the sender's copy */

    for (size_t i = 0; i < in->recipient_count; i++)
        n += in->recipients[i].route.count;
    return n;
}

static struct slice message_options(struct job *j, const struct envelope_options *o)
{
    struct buf text;

    buf_init(&text, OPTIONS_MAX);
    envelope_options_write(&text, o);
    struct slice kept = arena_keep(&j->arena, buf_slice(&text));
    buf_finish(&text);
    return kept;
}

static void add_all(struct deliver *d, struct job *j, const struct delivery *in)
{
    struct met met;

    idmap_init(&met.accounts);
    map_init(&met.addresses);
    for (size_t i = 0; i < in->recipient_count && !j->arena.failed; i++)
        add_recipient(d, j, &met, in, &in->recipients[i]);
    add_copy(j, &met, &in->copy);
    j->owners = (unsigned)met.accounts.count + (j->outbound_count > 0);
    idmap_finish(&met.accounts);
    map_finish(&met.addresses);
}

struct job *job_create(struct deliver *d, const struct delivery *in, struct fail *why)
{
    struct job *j = job_new(count_targets(in));
    struct slice senders[JOB_SENDERS] = {0};

    j->record.kind = RECORD_DELIVERY;
    j->record.sender = arena_keep(&j->arena, in->sender);
    j->record.trace = arena_keep(&j->arena, in->trace);
    j->record.options = message_options(j, &in->options);
    j->record.internal_date = in->received;
    j->record.internal_zone = clock_zone_minutes(in->received);
    j->record.size = body_size(in->body);
    j->hold_until = in->options.hold_until;
    add_all(d, j, in);

    if (j->arena.failed || j->record.target_count == 0 || outbound_senders(&j->record, senders) > JOB_SENDERS) {
        (void)fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.5.3", "too many destinations for one message");
        job_destroy(&j);
    } else if (j->item_count > 0 && !take_facts(d, j, in->body, fingerprint(in->body, in->sender), why)) {
        job_destroy(&j);
    }
    return j;
}

struct body *job_body(struct deliver *d, volume_ref ref, uint64_t size, struct fail *why)
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

/* What cannot be read any more is placed without being parsed. */
static void recover_facts(struct deliver *d, struct job *j)
{
    struct fail why = {0};
    struct body *body = job_body(d, j->ref, j->record.size, &why);

    if (body == NULL || !take_facts(d, j, body, j->ref, &why)) {
        log_event(LOG_ERROR, "deliver.unreadable", LOG_HEX("record", j->ref), LOG_TEXT("trace", j->record.trace),
                  LOG_FAIL(&why));
        message_facts_plain(&j->arena, j->record.size, &j->facts);
    }
    body_destroy(&body);
}

struct job *job_recover(struct deliver *d, volume_ref ref, const struct record *rec, const bool *wanted,
                        size_t wanted_count)
{
    struct job *j = job_new(wanted_count);
    struct envelope_options options;

    j->ref = j->floor = ref;
    j->handed = true; /* perhaps: an earlier process may have */
    j->record.internal_date = rec->internal_date;
    j->record.internal_zone = rec->internal_zone;
    j->record.size = rec->size;
    j->record.sender = arena_keep(&j->arena, rec->sender);
    j->record.trace = arena_keep(&j->arena, rec->trace);
    j->record.options = arena_keep(&j->arena, rec->options);
    for (size_t i = 0; i < rec->target_count; i++) {
        struct record_target t = rec->targets[i];
        if (!wanted[i])
            continue;
        t.keywords = arena_keep(&j->arena, t.keywords);
        t.recipient = arena_keep(&j->arena, t.recipient);
        t.prefix = arena_keep(&j->arena, t.prefix);
        t.options = arena_keep(&j->arena, t.options);
        t.sender = arena_keep(&j->arena, t.sender);
        add_target(j, &t);
    }
    if (j->item_count > 0)
        recover_facts(d, j);
    if (envelope_options_read(&j->arena, rec->options, &options))
        j->hold_until = options.hold_until;
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
