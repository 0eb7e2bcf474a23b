/*
 * smtp/verdict.c - what policy has decided about a whole message is carried out.
 *
 * Layer: smtp.
 */
#include "base/log.h"
#include "smtp/session.h"

/* Where does an address that a helper or table has named lead?  Nobody is asked whether it may. */
static bool add_recipient(struct smtp_session *s, struct slice address, struct delivery_recipient *list, size_t *count, struct fail *why)
{
    struct smtp_transaction *tx = s->tx;
    struct delivery_recipient r = {.address = arena_keep(&tx->arena, address)};

    if (!directory_route(s->service->directory, r.address, &tx->arena, &r.route, why))
        return false;
    if (r.route.kind != ROUTE_LOCAL && r.route.kind != ROUTE_REMOTE)
        return fail_code(why, FAIL_TEMP, FAIL_NOT_FOUND, "4.3.5", "a rule here names a recipient that does not exist");
    if (!deliver_may(s->service->deliver, &tx->hold, &r, body_size(tx->body), why))
        return false;
    list[(*count)++] = r;
    return true;
}

static void remove_recipient(struct delivery_recipient *list, size_t *count, struct slice address)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++)
        if (!slice_eq_nocase(list[i].address, address))
            list[kept++] = list[i];
    *count = kept;
}

static bool change_envelope(struct smtp_session *s, const struct policy_change *c, struct delivery_recipient *list, size_t *count,
                            struct fail *why)
{
    switch (c->kind) {
    case POLICY_REMOVE_RECIPIENT: remove_recipient(list, count, c->address); return true;
    case POLICY_CHANGE_SENDER: s->tx->sender.address = arena_keep(&s->tx->arena, c->address); return true;
    case POLICY_ADD_RECIPIENT: return add_recipient(s, c->address, list, count, why);
    case POLICY_REDIRECT: *count = 0; return add_recipient(s, c->address, list, count, why);
    }
    bug("policy change %d", (int)c->kind);
}

bool smtp_apply_verdict(struct smtp_session *s, const struct policy_verdict *v, struct fail *why)
{
    struct smtp_transaction *tx = s->tx;
    struct body *message = policy_take_message(s->check);

    tx->junk = v->junk;
    if (message != NULL) {
        body_destroy(&tx->body);
        tx->body = message;
    }
    if (v->change_count == 0)
        return true;
    size_t count = tx->recipient_count;
    struct delivery_recipient *list = arena_new_array(&tx->arena, struct delivery_recipient, count + v->change_count);
    if (list == NULL)
        return fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.5.3", "too many recipients");
    memcpy(list, tx->recipients, count * sizeof *list);
    for (size_t i = 0; i < v->change_count; i++)
        if (!change_envelope(s, &v->changes[i], list, &count, why))
            return false;
    tx->recipients = list;
    tx->recipient_count = count;
    tx->readdressed = true;
    return !tx->arena.failed || fail_code(why, FAIL_TEMP, FAIL_LIMIT, "4.5.3", "too many recipients");
}

void smtp_log_discarded(struct smtp_session *s, struct slice by)
{
    const struct smtp_transaction *tx = s->tx;
    struct log_id session = conn_session_id(s->conn);
    struct conn_address peer = smtp_peer_text(s);

    log_event(LOG_INFO, "smtp.discarded", LOG_CSTR("session", session.text), LOG_CSTR("trace", tx->trace.text),
              LOG_CSTR("peer", peer.text), LOG_TEXT("from", tx->sender.address),
              LOG_TEXT("to", tx->recipient_count > 0 ? tx->recipients[0].address : SLICE("")),
              LOG_U64("recipients", tx->reply_count), LOG_U64("size", body_size(tx->body)), LOG_TEXT("by", by));
}
