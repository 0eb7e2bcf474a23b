/*
 * smtp/check.c - policy is asked, and the session waits for its word.
 *
 * Layer: smtp.  Between a command and its answer the session is parked if policy must ask others; what the client has
 * pipelined waits meanwhile.  Where nothing is configured a check is one comparison.
 */
#include <stdio.h>

#include "smtp/session.h"

static enum policy_kind kind_of(const struct smtp_session *s)
{
    switch (s->service->kind) {
    case SMTP_MX: return POLICY_MX;
    case SMTP_SUBMISSION: return POLICY_SUBMISSION;
    case SMTP_LMTP: return POLICY_LMTP;
    }
    bug("smtp kind %d", (int)s->service->kind);
}

static void take_peer(const struct sockaddr_storage *peer, struct policy_facts *f)
{
    if (peer->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)peer;
        f->has_peer = true;
        f->address = six->sin6_addr;
        f->port = ntohs(six->sin6_port);
    } else if (peer->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)peer;
        f->has_peer = true;
        f->address.s6_addr[10] = f->address.s6_addr[11] = 0xff;
        memcpy(&f->address.s6_addr[12], &four->sin_addr, sizeof four->sin_addr);
        f->port = ntohs(four->sin_port);
    }
}

/* The recipients so far, as policy wants them; an empty list if there is no room. */
static void take_recipients(struct smtp_transaction *tx, struct policy_facts *f)
{
    struct slice *list = arena_new_array(&tx->arena, struct slice, tx->recipient_count + 1);

    for (size_t i = 0; list != NULL && i < tx->recipient_count; i++)
        list[i] = tx->recipients[i].address;
    f->recipients = list;
    f->recipient_count = list != NULL ? tx->recipient_count : 0;
}

void smtp_check(struct smtp_session *s, enum policy_stage stage, struct slice about, smtp_then then)
{
    struct smtp_transaction *tx = s->tx;

    if (s->service->policy == NULL) {
        then(s, NULL);
        return;
    }
    struct log_id session = conn_session_id(s->conn);
    const struct sockaddr_storage from = smtp_peer(s);
    struct conn_address peer = smtp_peer_text(s);
    struct policy_facts f = {
        .kind = kind_of(s),
        .peer = slice_of(peer.text),
        .helo = slice_of(s->client_name),
        .session = slice_of(session.text),
        .user = slice_of(s->user),
        .account = s->account,
        .tls = conn_has_tls(s->conn),
        .tls_version = conn_tls_version(s->conn),
        .tls_cipher = conn_tls_cipher(s->conn),
        .trusted = smtp_is_trusted(s),
        .own_fields = 1,
    };
    take_peer(&from, &f);
    if (tx != NULL) {
        f.sender = tx->sender.address;
        f.size = tx->announced;
        f.trace = slice_of(tx->trace.text);
    }
    if (stage == POLICY_RCPT)
        f.recipient = about;
    else if (stage == POLICY_UNKNOWN)
        f.command = about;
    else if (tx != NULL && (stage == POLICY_DATA || stage == POLICY_MESSAGE))
        take_recipients(tx, &f);
    if (tx != NULL && stage == POLICY_MESSAGE)
        f.body = tx->body;
    s->check = policy_begin(s->service->policy, &s->policy, stage, &f, conn_waker(s->conn));
    if (s->check == NULL) {
        then(s, NULL);
        return;
    }
    s->check_stage = (uint8_t)stage;
    s->check_then = then;
    s->check_reading = s->reading;
    s->reading = READING_POLICY;
}

bool smtp_check_continue(struct smtp_session *s)
{
    struct policy_verdict verdict;
    smtp_then then = s->check_then;

    if (!policy_poll(s->check, &verdict))
        return false;
    s->reading = s->check_reading;
    s->check_then = NULL;
    then(s, &verdict); /* which may begin the next check only after this one has been ended */
    return true;
}

void smtp_check_over(struct smtp_session *s)
{
    policy_check_end(&s->check);
}

/* ---- what a no sounds like ---- */

/* A status code that does not go with the reply's class would confuse whoever reads it (RFC 3463 section 2). */
static void take_status(const struct policy_verdict *v, bool temp, struct fail *out)
{
    const char class = temp ? '4' : '5';

    if (v->status.len > 0 && v->status.len < sizeof out->code && v->status.ptr[0] == class)
        (void)snprintf(out->code, sizeof out->code, PRIslice, SLICE_ARG(v->status));
    else
        (void)snprintf(out->code, sizeof out->code, "%c.7.1", class);
}

unsigned smtp_verdict_fail(const struct policy_verdict *v, struct fail *out)
{
    const bool temp = v->action != POLICY_REJECT;
    const unsigned low = temp ? 400 : 500;

    (void)fail_set(out, temp ? FAIL_TEMP : FAIL_PERM, FAIL_NOT_ALLOWED, PRIslice, SLICE_ARG(v->text));
    if (out->text[0] == '\0')
        (void)snprintf(out->text, sizeof out->text, temp ? "not now: try again later" : "not accepted here");
    take_status(v, temp, out);
    if (v->action == POLICY_CLOSE)
        return 421;
    return v->code >= low && v->code < low + 100 ? v->code : low + 50;
}

bool smtp_verdict_ok(struct smtp_session *s, const struct policy_verdict *v, struct slice recipient)
{
    struct fail why;

    if (v == NULL || v->action == POLICY_ACCEPT || v->action == POLICY_DISCARD)
        return true;
    unsigned code = smtp_verdict_fail(v, &why);
    smtp_log_by(s, policy_stage_name((enum policy_stage)s->check_stage), recipient, &why, v->by);
    if (code == 421)
        smtp_close(s, why.code, why.text);
    else
        smtp_reply(s, code, why.code, "%s", why.text);
    return false;
}
