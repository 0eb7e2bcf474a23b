/*
 * smtp/rcpt.c - RCPT: who shall get it?
 *
 * Layer: smtp.  What can be refused is refused here, so that a 250 at the end
 * holds for everybody.
 */
#include "smtp/session.h"

enum { FIRST_RECIPIENTS = 4 };

/*
 * The postmaster of an address literal that is ours: the one at which the client reached us (RFC 5321 sections 4.1.3 and
 * 4.5.1).  He has that name at the first domain too.
 */
static bool is_our_postmaster(const struct smtp_session *s, const struct smtp_path *path)
{
    struct slice literal = path->domain;
    struct net_block block;

    if (literal.len < 3 || literal.ptr[0] != '[' || !slice_eq_nocase(path->local, SLICE("postmaster")))
        return false;
    literal = slice_sub(literal, 1, literal.len - 2);
    if (slice_starts_nocase(literal, SLICE("IPv6:")))
        literal = slice_from(literal, 5);
    const struct sockaddr_storage local = conn_local(s->conn); /* asks the kernel: not for every recipient */
    return net_block_parse(literal, &block, NULL) && net_block_contains(&block, &local);
}

/* A list's members elsewhere hear from its owner: how many such reverse-paths one message can have is limited. */
static bool note_owners(struct smtp_transaction *tx, const struct route *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct route_target *t = &r->targets[i];
        size_t k = 0;
        if (t->local || t->owner.len == 0)
            continue;
        while (k < tx->owner_count && !slice_eq(tx->owners[k], t->owner))
            k++;
        if (k == SMTP_LISTS)
            return false;
        if (k == tx->owner_count)
            tx->owners[tx->owner_count++] = t->owner;
    }
    return true;
}

static bool accept_route(struct smtp_session *s, const struct delivery_recipient *r)
{
    const struct slice to = r->address;

    switch (r->route.kind) {
    case ROUTE_LOCAL: return true;
    case ROUTE_REMOTE:
        if (smtp_may_relay(s, to))
            return true;
        return smtp_refuse(s, "rcpt", to, 550, "5.7.1",
                           s->service->kind == SMTP_SUBMISSION ? "authentication required to send there"
                                                               : "relaying refused: that domain is not served here");
    case ROUTE_UNKNOWN: return smtp_refuse(s, "rcpt", to, 550, "5.1.1", "no such recipient here");
    case ROUTE_DISABLED: return smtp_refuse(s, "rcpt", to, 550, "5.2.1", "that account is disabled");
    case ROUTE_LOOP: return smtp_refuse(s, "rcpt", to, 550, "5.4.6", "that alias leads in a circle");
    case ROUTE_INVALID: return smtp_refuse(s, "rcpt", to, 553, "5.1.3", "that is not a valid address");
    }
    return false;
}

/* Room for one more; the arena keeps the old array until the transaction ends. */
static bool reserve_recipient(struct smtp_transaction *tx)
{
    if (tx->recipient_count < tx->recipient_cap)
        return true;
    size_t cap = tx->recipient_cap == 0 ? FIRST_RECIPIENTS : tx->recipient_cap * 2;
    struct delivery_recipient *more = arena_new_array(&tx->arena, struct delivery_recipient, cap);

    if (more == NULL)
        return false;
    if (tx->recipient_count > 0)
        memcpy(more, tx->recipients, tx->recipient_count * sizeof *more);
    tx->recipients = more;
    tx->recipient_cap = cap;
    return true;
}

static void reply_too_many(struct smtp_session *s)
{
    smtp_reply(s, 452, "4.5.3", "too many recipients: send the rest in another message");
}

/*
 * rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters]
 *                                                             RFC 5321 section 4.1.1.3
 */
static bool read_recipient(struct smtp_session *s, struct slice args, struct smtp_path *path,
                           struct recipient_options *options)
{
    if (!slice_starts_nocase(args, SLICE("TO:"))) {
        smtp_reply(s, 501, "5.5.4", "RCPT TO:<address> is what was expected");
        return false;
    }
    args = slice_trim(slice_from(args, 3));
    const bool is_path = smtp_read_path(&args, &s->tx->arena, path);
    if (s->tx->arena.failed) {
        reply_too_many(s); /* no fault of the address */
        return false;
    }
    if (!is_path || path->address.len == 0 ||
        (path->domain.len == 0 && !slice_eq_nocase(path->local, SLICE("postmaster")))) {
        smtp_reply(s, 553, "5.1.3", "that is not an address in angle brackets");
        return false;
    }
    if (!smtp_rcpt_parameters(s, args, options))
        return false;
    if (!path->ascii && !s->tx->options.utf8) {
        smtp_reply(s, 553, "5.6.7", "a non-ASCII address needs SMTPUTF8 in MAIL");
        return false;
    }
    return true;
}

/* Policy has nothing against it: is there room? */
static void take_recipient(struct smtp_session *s)
{
    struct smtp_transaction *tx = s->tx;
    const struct delivery_recipient *r = &tx->asked;
    struct fail why = {0};

    if (!deliver_may(s->service->deliver, &tx->hold, r, tx->announced, &why)) {
        (void)smtp_refuse_fail(s, "rcpt", r->address, &why, why.reason == FAIL_NO_SPACE || fail_is_quota(&why) ? 452 : 451,
                               fail_is_quota(&why) ? 552 : 550);
        return;
    }
    tx->recipients[tx->recipient_count++] = *r;
    smtp_reply(s, 250, "2.1.5", "recipient ok");
}

static void answer_rcpt(struct smtp_session *s, const struct policy_verdict *verdict)
{
    if (smtp_verdict_ok(s, verdict, s->tx->asked.address))
        take_recipient(s);
    smtp_check_over(s);
}

void smtp_rcpt(struct smtp_session *s, struct slice args)
{
    struct smtp_transaction *tx = s->tx;
    struct smtp_path path;
    struct delivery_recipient r = {0};
    struct fail why = {0};

    /* First of all: what is refused for their number must not cost memory either. */
    if (tx->recipient_count >= s->service->limits.recipients || !reserve_recipient(tx)) {
        reply_too_many(s);
        return;
    }
    if (!read_recipient(s, args, &path, &r.options))
        return;
    r.address = is_our_postmaster(s, &path) ? path.local : path.address;
    if (!deliver_find(s->service->deliver, r.address, &tx->arena, &r.route, &why)) {
        if (tx->arena.failed) {
            reply_too_many(s);
        } else {
            (void)smtp_refuse_fail(s, "rcpt", path.address, &why, 451, 550);
        }
        return;
    }
    if (!accept_route(s, &r))
        return;
    if (!note_owners(tx, &r.route)) {
        reply_too_many(s);
        return;
    }
    tx->asked = r;
    smtp_check(s, POLICY_RCPT, r.address, answer_rcpt);
}
