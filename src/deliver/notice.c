/*
 * deliver/notice.c - senders are told what became of their mail here.
 *
 * Layer: deliver.  Two things only this room knows: that a message is in a mailbox (or was given to a list's
 * members) and the sender asked to hear of it, and that a row could not be written for so long that it is
 * given up.  What leaves is the queue role's to tell of.  The notification is a message like any other: to
 * the sender, from the null reverse-path.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "deliver/internal.h"
#include "queue/dsn.h"

enum { NOTICE_MAX = 1 << 20, NOTICE_ARENA = 4 << 20 };

static bool read_body(void *body, uint64_t offset, void *out, size_t n, struct fail *why)
{
    size_t got = 0;

    return body_read(body, offset, out, n, &got, why) &&
           (got == n || fail_set(why, FAIL_PERM, FAIL_OTHER, "the message ends too soon"));
}

/* Writes the notification and delivers it, wherever the sender is. */
static bool send_notice(struct deliver *d, struct dsn_request *r, const struct body *of, struct fail *why)
{
    const struct body_limits limits = {.memory_max = NOTICE_MAX, .size_max = NOTICE_MAX, .spool_dir = "/nonexistent"};
    struct log_id trace = log_new_id();
    struct delivery_recipient to = {.address = r->sender};
    struct delivery notice = {.recipients = &to, .recipient_count = 1, .received = clock_now()};
    struct body *body = NULL;
    struct arena arena;

    arena_init(&arena, NOTICE_ARENA);
    r->hostname = slice_of(d->limits.hostname);
    r->now = notice.received;
    r->full_max = DSN_FULL_MAX;
    r->read = read_body;
    r->read_ctx = (void *)(uintptr_t)of; /* only read */
    r->size = body_size(of);
    notice.trace = slice_of(trace.text);
    bool ok = directory_route(d->directory, r->sender, &arena, &to.route, why);
    if (ok && to.route.kind != ROUTE_LOCAL && to.route.kind != ROUTE_REMOTE) {
        log_event(LOG_INFO, "deliver.no_notice", LOG_TEXT("trace", r->trace), LOG_TEXT("to", r->sender),
                  LOG_CSTR("reason", "there is no such sender"));
        arena_finish(&arena);
        return true;
    }
    ok = ok && dsn_write(r, &limits, &body, &notice.options, why);
    if (ok) {
        notice.options.priority = r->options->priority; /* RFC 6710 section 4.6 */
        notice.body = body;
        ok = deliver_now(d, &notice, why);
    }
    if (ok)
        log_event(LOG_INFO, "deliver.notice", LOG_TEXT("trace", r->trace), LOG_CSTR("notice", trace.text),
                  LOG_TEXT("to", r->sender));
    body_destroy(&body);
    arena_finish(&arena);
    return ok;
}

/* ---- delivered ---- */

/* Has this room something to say of the recipient?  RFC 3461 sections 5.2.3 and 5.2.7 */
static bool kind_of(const struct delivery_recipient *r, enum dsn_kind *out)
{
    const struct route *route = &r->route;

    if (route->kind != ROUTE_LOCAL || (r->options.notify & NOTIFY_SUCCESS) == 0)
        return false;
    if (route->count == 1 && !route->targets[0].local && route->targets[0].owner.len == 0)
        return false; /* an alias for one elsewhere: who has it there says so */
    *out = route->count == 1 || route->targets[0].owner.len > 0 ? DSN_DELIVERED : DSN_EXPANDED;
    return true;
}

void notice_delivered(struct deliver *d, const struct delivery *in)
{
    struct dsn_recipient *list = NULL;
    size_t count = 0;
    struct fail why;

    if (in->sender.len == 0)
        return;
    for (size_t i = 0; i < in->recipient_count; i++) {
        const struct delivery_recipient *r = &in->recipients[i];
        enum dsn_kind kind;
        if (!kind_of(r, &kind) || !dsn_wanted(in->sender, &r->options, kind))
            continue;
        list = xrealloc(list, (count + 1) * sizeof *list);
        list[count++] = (struct dsn_recipient){
            .kind = kind, .address = r->address, .options = r->options, .last_attempt = in->received};
    }
    struct dsn_request request = {.sender = in->sender,
                                  .trace = in->trace,
                                  .options = &in->options,
                                  .received = in->received,
                                  .recipients = list,
                                  .recipient_count = count};
    if (count > 0 && !send_notice(d, &request, in->body, &why))
        log_event(LOG_ERROR, "deliver.no_notice", LOG_TEXT("trace", in->trace), LOG_TEXT("to", in->sender),
                  LOG_FAIL(&why));
    free(list);
}

/* ---- given up ---- */

static bool tell_of_failure(struct deliver *d, struct job *j, const struct record_target *t, struct arena *a,
                            struct fail *why)
{
    struct envelope_options options;
    struct dsn_recipient r = {
        .kind = DSN_FAILED,
        .address = t->recipient,
        .status = SLICE("5.3.0"),
        .text = SLICE("The mailbox could not be written to for too long."),
        .last_attempt = clock_now(),
        .expired = true,
    };
    struct dsn_request request = {.sender = j->record.sender,
                                  .trace = j->record.trace,
                                  .options = &options,
                                  .received = j->record.internal_date,
                                  .recipients = &r,
                                  .recipient_count = 1};

    if (!envelope_options_read(a, j->record.options, &options) || !recipient_options_read(a, t->options, &r.options))
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "its options cannot be read");
    if (t->recipient.len == 0 || !dsn_wanted(j->record.sender, &r.options, DSN_FAILED))
        return true; /* the sender's own copy, a bounce, or nobody wants to know */
    struct body *body = job_body(d, j->ref, j->record.size, why);
    bool ok = body != NULL && send_notice(d, &request, body, why);
    body_destroy(&body);
    return ok;
}

bool notice_give_up(struct deliver *d, struct item *i, const struct fail *reason)
{
    struct job *j = i->job;
    const struct store_release release = {.ref = j->ref, .size = j->record.size};
    struct fail why;
    struct arena arena;

    const int64_t since = j->hold_until > j->record.internal_date ? j->hold_until : j->record.internal_date;
    if (clock_now() - since < (int64_t)d->limits.lifetime_seconds)
        return false;
    arena_init(&arena, NOTICE_ARENA);
    bool ok = tell_of_failure(d, j, i->target, &arena, &why) &&
              store_release(d->store, i->target->account, &release, 1, &why);
    arena_finish(&arena);
    if (ok)
        log_event(LOG_ERROR, "deliver.given_up", LOG_TEXT("trace", j->record.trace),
                  LOG_U64("account", i->target->account), LOG_TEXT("from", j->record.sender),
                  LOG_TEXT("to", i->target->recipient), LOG_FAIL(reason));
    else
        log_event(LOG_WARNING, "deliver.not_given_up", LOG_TEXT("trace", j->record.trace), LOG_FAIL(&why));
    return ok;
}
