/*
 * relay/attempt.c - one claim, from taking it up to reporting it.
 *
 * Layer: relay.
 *
 * Each recipient's fate is open until a host has taken it or refused it for good.  What a host puts off ("4xx") may be taken
 * by the next one (RFC 5321 section 5.1); what no host took is tried again later, with the first host's words.
 */
#include "relay/attempt.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { NOT_ANY_MORE = 0x7fffffff, TOO_BUSY = 421 };

/* ---- which recipients go together ---- */

static const char *way_name(const struct attempt *a)
{
    if (a->row == NULL)
        return a->domain;
    return arena_printf(a->arena, "%s/%s", a->row->name, a->row->hosts != NULL ? "" : a->domain).ptr;
}

static const char *domain_of(struct attempt *a, struct slice address)
{
    struct buf domain;

    buf_init(&domain, 300);
    const char *text = route_domain(address, &domain) ? arena_cstr(a->arena, buf_slice(&domain)) : "";
    buf_finish(&domain);
    return text;
}

static struct slice domain_part(struct slice address)
{
    return slice_from(address, slice_rfind_char(address, '@'));
}

/*
 * The first recipient's way is gone.  Others are of the same, but where the table changed since they were queued, or a
 * sender has a route of his own: they are not touched, and soon claimed again.
 */
static void choose_way(struct attempt *a)
{
    const struct queue_claim *c = a->claim;
    const struct route_table *t = a->relay->setting.routes;
    struct slice account = c->options.account != 0 ? c->options.source : (struct slice){0};
    struct slice first = c->recipients[0].address;

    a->row = route_find(t, c->sender, account, first);
    a->domain = domain_of(a, first);
    a->way = way_name(a);
    a->fates = arena_new_array(a->arena, struct fate, c->recipient_count);
    a->open = a->fates != NULL ? c->recipient_count : 0;
    for (size_t i = 1; a->fates != NULL && i < c->recipient_count; i++) {
        struct slice address = c->recipients[i].address;
        bool same_domain = slice_eq(domain_part(address), domain_part(first));
        if (same_domain && (t == NULL || t->count == 0))
            continue;
        const struct route_row *row = route_find(t, c->sender, account, address);
        if (row == a->row && (same_domain || (row != NULL && row->hosts != NULL) || strcmp(domain_of(a, address), a->domain) == 0))
            continue;
        a->fates[i].is = FATE_OTHERS;
        a->open--;
    }
}

/* ---- what went wrong with all of them ---- */

void attempt_trouble(struct attempt *a, bool for_good, const char *status, const char *text, const char *host,
                     const struct smtp_reply_text *reply)
{
    struct trouble *t = &a->trouble;
    bool first = for_good ? t->now + t->for_good == 0 : t->now == 0; /* "not now" says more than "never": others may do better */

    *(for_good ? &t->for_good : &t->now) += 1;
    if (!first)
        return;
    t->status = status;
    t->text = text != NULL ? text : "it could not be sent";
    t->host = host;
    t->reply = reply != NULL ? *reply : (struct smtp_reply_text){0};
}

/* A row that says no itself. */
static bool row_says_no(struct attempt *a)
{
    const struct route_row *row = a->row;

    if (a->domain[0] == '\0' && (row == NULL || row->hosts == NULL)) {
        attempt_trouble(a, true, "5.1.3", "this is no address that mail can be sent to", "", NULL);
        return true;
    }
    if (row == NULL || (row->defer == NULL && row->reject == NULL))
        return false;
    struct slice text = slice_of(row->reject != NULL ? row->reject : row->defer), rest = text;
    struct slice code = slice_cut(&rest, ' ');
    bool has_code = code.len >= 5 && code.ptr[1] == '.' && code.ptr[0] == (row->reject != NULL ? '5' : '4') && rest.len > 0;
    attempt_trouble(a, row->reject != NULL, has_code ? arena_cstr(a->arena, code) : row->reject != NULL ? "5.7.1" : "4.3.2",
                    arena_cstr(a->arena, has_code ? rest : text), "", NULL);
    return true;
}

/* ---- a transaction ---- */

struct reading {
    struct queue *queue;
    const struct queue_claim *claim;
};

static bool read_message(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why)
{
    const struct reading *r = ctx;

    return queue_read(r->queue, r->claim, offset, out, n, why);
}

struct batch {
    struct smtp_client_recipient *recipients;
    size_t *index; /* of each in the claim */
    size_t count, most;
    struct slice prefix;
};

/* Those that this host has not seen yet and that have the same prefix, in their order. */
static bool next_batch(struct attempt *a, struct batch *b)
{
    const struct queue_claim *c = a->claim;

    b->count = 0;
    for (size_t i = 0; i < c->recipient_count && b->count < b->most; i++) {
        const struct queue_attempt *from = &c->recipients[i];
        struct fate *f = &a->fates[i];
        if (f->is != FATE_OPEN || f->tried >= a->host || (b->count > 0 && !slice_eq(from->prefix, b->prefix)))
            continue;
        b->prefix = from->prefix;
        b->index[b->count] = i;
        b->recipients[b->count++] = (struct smtp_client_recipient){.address = from->address, .options = from->options};
    }
    return b->count > 0;
}

static void settle(struct attempt *a, struct fate *f, enum fate_is fate)
{
    f->is = fate;
    a->open--;
}

/* What the host said of one recipient. */
static void take_reply(struct attempt *a, struct fate *f, const struct smtp_client_recipient *r, const struct link *link, const char *broke)
{
    f->tried = a->host;
    if (r->sent || (r->reply.code >= 500 && !r->reply.ours)) {
        f->reply = r->reply;
        settle(a, f, r->sent ? (r->relayed ? FATE_RELAYED : FATE_SENT) : FATE_NEVER);
    } else if (r->reply.code != 0) {
        a->busy = a->busy || r->reply.code == TOO_BUSY;
        if (f->reply.code != 0)
            return; /* the better host's words count */
        f->reply = r->reply;
    } else {
        if (f->reply.code != 0 || f->broke != NULL)
            return;
        f->broke = broke;
    }
    f->host = arena_cstr(a->arena, slice_of(link->host));
    f->address = arena_cstr(a->arena, slice_of(link->address));
    f->tls = arena_cstr(a->arena, slice_of(smtp_client_tls_text(link->client)));
}

/* Did nobody say anything? */
static bool no_reply(const struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->recipients[i].sent || b->recipients[i].reply.code != 0)
            return false;
    }
    return true;
}

/*
 * All that this host has not seen, as far as it listens (when this is called it does).  A connection that breaks without a word, after it carried a message,
 * says nothing about the others: hosts close what lies idle, or has carried enough.  They are as they were.
 */
static void send_over(struct attempt *a, struct link *link)
{
    const struct queue_claim *c = a->claim;
    size_t most = a->relay->setting.limits.recipients < c->recipient_count ? a->relay->setting.limits.recipients : c->recipient_count;
    struct reading reading = {a->relay->setting.queue, c};
    struct batch b = {.most = most};
    struct fail why;

    b.recipients = arena_new_array(a->arena, struct smtp_client_recipient, most);
    b.index = arena_new_array(a->arena, size_t, most);
    if (b.recipients == NULL || b.index == NULL)
        return;
    for (bool first = true; a->open > 0 && (first || smtp_client_usable(link->client)) && next_batch(a, &b); first = false) {
        struct smtp_client_message m = {
            .sender = c->sender,
            .options = c->options,
            .source = {.read = read_message, .ctx = &reading, .size = c->size, .prefix = b.prefix},
            .recipients = b.recipients,
            .recipient_count = b.count,
        };
        bool whole = smtp_client_send(link->client, &m, a->arena, &why);
        if (!whole && link->messages > 0 && no_reply(&b))
            return;
        link->messages++;
        const char *broke = whole ? NULL : arena_cstr(a->arena, slice_of(why.text));
        for (size_t i = 0; i < b.count; i++)
            take_reply(a, &a->fates[b.index[i]], &b.recipients[i], link, broke);
    }
}

/* ---- the hosts ---- */

/* Recipients that a host put off before it ended the session are not put before it again. */
static void leave_deferred(struct attempt *a)
{
    for (size_t i = 0; i < a->claim->recipient_count; i++) {
        if (a->fates[i].reply.code != 0 || a->fates[i].broke != NULL)
            a->fates[i].tried = NOT_ANY_MORE;
    }
}

static bool has_untried(const struct attempt *a)
{
    for (size_t i = 0; i < a->claim->recipient_count; i++) {
        if (a->fates[i].is == FATE_OPEN && a->fates[i].tried < a->host)
            return true;
    }
    return false;
}

/* From host to host while anything is open. */
static void try_hosts(struct attempt *a, struct link **link)
{
    struct hosts *hosts = hosts_find(a);

    while (hosts != NULL && a->open > 0) {
        *link = hosts_next(hosts);
        if (*link == NULL)
            return;
        size_t before = a->open;
        send_over(a, *link);
        if (a->open > 0)
            links_close(a->relay->links, link);
        if (a->open > 0 && a->open < before && has_untried(a)) { /* it took some and hung up: the rest by another session */
            leave_deferred(a);
            hosts = hosts_find(a);
        }
    }
}

/* ---- the end ---- */

/* A status of the class that goes with "later" (RFC 3463 section 2): 535 5.7.8 of a smart host is no verdict on the mail. */
static struct slice for_now(const struct attempt *a, struct slice status)
{
    return status.len > 0 && status.ptr[0] == '5' ? arena_printf(a->arena, "4" PRIslice, SLICE_ARG(slice_from(status, 1))) : status;
}

static struct queue_outcome put_off(const struct attempt *a, const struct fate *f)
{
    const struct trouble *t = &a->trouble;
    bool ours_for_good = f->reply.ours && f->reply.code >= 500;

    if (atomic_load(&a->relay->stopping) && f->reply.code == 0)
        return (struct queue_outcome){.fate = QUEUE_UNTOUCHED};
    if (f->reply.code != 0)
        return (struct queue_outcome){.fate = ours_for_good && t->now == 0 ? QUEUE_NEVER : QUEUE_LATER,
                                      .code = f->reply.ours ? 0 : f->reply.code,
                                      .status = f->reply.status,
                                      .remote = slice_of(f->reply.ours ? NULL : f->host),
                                      .text = f->reply.text};
    if (f->broke != NULL)
        return (struct queue_outcome){.fate = QUEUE_LATER, .status = SLICE("4.4.2"), .remote = slice_of(f->host), .text = slice_of(f->broke)};
    if (t->text == NULL)
        return (struct queue_outcome){.fate = QUEUE_LATER, .status = SLICE("4.4.1"), .text = SLICE("no mail server could be tried")};
    return (struct queue_outcome){.fate = t->now == 0 && t->for_good > 0 ? QUEUE_NEVER : QUEUE_LATER,
                                  .code = t->reply.code,
                                  .status = slice_of(t->status),
                                  .remote = slice_of(t->reply.code != 0 ? t->host : NULL),
                                  .text = slice_of(t->text)};
}

static struct queue_outcome outcome_of(const struct attempt *a, const struct fate *f)
{
    struct queue_outcome o = {.code = f->reply.code, .status = f->reply.status, .remote = slice_of(f->host), .text = f->reply.text};

    switch (f->is) {
    case FATE_OPEN:
        o = put_off(a, f);
        if (o.fate == QUEUE_LATER)
            o.status = for_now(a, o.status);
        break;
    case FATE_SENT: o.fate = QUEUE_SENT; break;
    case FATE_RELAYED: o.fate = QUEUE_RELAYED; break;
    case FATE_NEVER: o.fate = QUEUE_NEVER; break;
    case FATE_OTHERS: o = (struct queue_outcome){.fate = QUEUE_UNTOUCHED}; break;
    }
    return o;
}

static enum queue_health health_of(const struct attempt *a)
{
    if (a->busy)
        return QUEUE_BUSY;
    return a->talked || a->trouble.now == 0 ? QUEUE_WELL : QUEUE_DEAD;
}

static const char *event_of(enum queue_fate fate)
{
    switch (fate) {
    case QUEUE_SENT:
    case QUEUE_RELAYED: return "relay.sent";
    case QUEUE_LATER: return "relay.deferred";
    case QUEUE_NEVER: return "relay.refused";
    case QUEUE_UNTOUCHED: break;
    }
    return "relay.untouched";
}

/* What became of it, in one line. */
static void log_outcome(const struct attempt *a, size_t i, const struct queue_outcome *o)
{
    const struct queue_claim *c = a->claim;
    const struct fate *f = &a->fates[i];

    if (o->fate == QUEUE_UNTOUCHED)
        return;
    log_event(LOG_INFO, event_of(o->fate), LOG_TEXT("trace", c->trace), LOG_HEX("queue_id", c->message), LOG_TEXT("from", c->sender),
              LOG_TEXT("to", c->recipients[i].address), LOG_CSTR("way", a->way), LOG_CSTR("host", f->host), LOG_CSTR("address", f->address),
              LOG_CSTR("tls", f->tls), LOG_U64("code", o->code), LOG_TEXT("status", o->status), LOG_TEXT("reply", o->text),
              LOG_U64("attempt", c->recipients[i].attempts + 1), LOG_I64("delay", clock_now() - c->received));
}

static void conclude(struct attempt *a, struct queue_claim **claim)
{
    struct queue_outcome *outcomes = arena_new_array(a->arena, struct queue_outcome, a->claim->recipient_count);

    if (outcomes == NULL || a->fates == NULL)
        bug("no memory for %zu outcomes", a->claim->recipient_count); /* the arena is as large as any claim needs */
    for (size_t i = 0; i < a->claim->recipient_count; i++) {
        outcomes[i] = outcome_of(a, &a->fates[i]);
        log_outcome(a, i, &outcomes[i]);
    }
    queue_report_more(a->relay->setting.queue, claim, health_of(a), outcomes);
}

/* Over a connection that was kept, or that carried the message before. */
static void send_over_kept(struct attempt *a, struct link **link)
{
    bool all_heard = true;

    send_over(a, *link);
    a->talked = a->open < a->claim->recipient_count;
    for (size_t i = 0; a->open > 0 && i < a->claim->recipient_count; i++)
        all_heard = all_heard && (a->fates[i].is != FATE_OPEN || a->fates[i].reply.code != 0);
    if (a->open > 0 && all_heard) {
        a->heard = arena_cstr(a->arena, slice_of((*link)->host));
        a->talked = true;
    }
    if (a->open > 0)
        links_close(a->relay->links, link);
}

void relay_attempt(struct relay *r, struct queue_claim **claim, struct link **link, struct arena *arena)
{
    struct attempt a = {.relay = r, .claim = *claim, .arena = arena, .host = 1};
    bool strict = (*claim)->options.requiretls;

    arena_reset(arena);
    choose_way(&a);
    if (*link != NULL && (strcmp((*link)->way, a.way) != 0 || (*link)->row != a.row || (strict && !(*link)->strict)))
        links_keep(r->links, link);
    if (!row_says_no(&a)) {
        if (*link == NULL)
            *link = links_take(r->links, a.way, a.row, strict);
        if (*link != NULL)
            send_over_kept(&a, link);
        if (a.open > 0 && !atomic_load(&r->stopping))
            try_hosts(&a, link);
    }
    conclude(&a, claim);
}
