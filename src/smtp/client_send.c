/*
 * smtp/client_send.c - one message: MAIL, RCPT, DATA or BDAT, and everybody's fate.
 *
 * Layer: smtp.
 *
 * With PIPELINING (RFC 2920) MAIL, the recipients and DATA go out in one write, many recipients in windows; without it each
 * waits for its reply.  A transaction that ended without a final reply is ended by RSET before the next one.
 */
#include "smtp/client_prepare.h"

enum {
    WINDOW = 200,              /* recipients whose replies are waited for together: what one side may have to buffer */
    TRANSACTION_MOST = 1000,   /* recipients; RFC 5321 section 4.5.3.1.8 promises 100, 452 tells who takes fewer */
    BINARY_CHUNK = 256 * 1024,
};

/* One transaction: the recipients that take part in it. */
struct transaction {
    size_t *member; /* indexes of recipients */
    bool *accepted;
    size_t count, accepted_count, full_count;
    bool body_said; /* DATA or the chunk went out with the recipients */
};

static struct smtp_client_recipient *recipient(struct sending *s, size_t i)
{
    return &s->m->recipients[i];
}

static bool heard(struct sending *s, struct smtp_reply_text *reply, struct fail *why)
{
    return client_hear(s->c, s->c->limits.command_seconds, reply, s->a, why);
}

/* A reply that can stand at no such place: the two sides count replies differently, and nothing more can be believed. */
static bool out_of_step(struct sending *s, const struct smtp_reply_text *reply, const char *to, struct fail *why)
{
    s->c->wire.broken = true;
    return fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.5.0", "unexpected reply to %s: %u " PRIslice, to, reply->code, SLICE_ARG(reply->text));
}

static bool is_positive(const struct smtp_reply_text *reply)
{
    return reply->code / 100 == 2;
}

/* Of all members that have no reply yet. */
static void set_fates(struct sending *s, struct transaction *t, const struct smtp_reply_text *reply)
{
    for (size_t i = 0; i < t->count; i++) {
        struct smtp_client_recipient *r = recipient(s, t->member[i]);

        if (r->reply.code == 0)
            r->reply = *reply;
    }
}

/* ---- MAIL and RCPT ---- */

/* RFC 5321 section 4.5.3.1.10: 452, or 552 as older servers say: not one recipient more in this transaction. */
static bool says_full(const struct smtp_reply_text *reply)
{
    bool too_many = slice_ends(reply->status, SLICE(".5.3"));

    return (reply->code == 452 && (too_many || reply->status.len == 0)) || (reply->code == 552 && too_many);
}

static bool hear_rcpt(struct sending *s, struct transaction *t, size_t i, struct fail *why)
{
    struct smtp_client_recipient *r = recipient(s, t->member[i]);
    struct smtp_reply_text reply;

    if (!heard(s, &reply, why))
        return false;
    if (reply.code / 100 == 3)
        return out_of_step(s, &reply, "RCPT", why);
    if (r->reply.code != 0) /* MAIL was refused: that is what counts */
        return true;
    t->accepted[i] = is_positive(&reply);
    t->accepted_count += t->accepted[i];
    if (t->accepted[i])
        return true;
    r->reply = reply;
    t->full_count += says_full(&reply);
    return true;
}

static bool hear_mail(struct sending *s, struct transaction *t, struct fail *why)
{
    struct smtp_reply_text reply;

    if (!heard(s, &reply, why))
        return false;
    if (reply.code / 100 == 3)
        return out_of_step(s, &reply, "MAIL", why);
    if (!is_positive(&reply))
        set_fates(s, t, &reply);
    return true;
}

/* DATA, or the only chunk with the message behind it. */
static void say_body(struct sending *s)
{
    struct buf *out = &s->c->out;

    if (!s->chunk) {
        client_say(s->c, "DATA");
        return;
    }
    /* The size is known when the lines are written: the command's place is kept free before them. */
    struct buf held = *out;
    buf_init(out, held.max);
    sending_add_body(s);
    buf_addf(&held, "BDAT %zu LAST\r\n", out->len);
    buf_add(&held, buf_slice(out));
    buf_finish(out);
    *out = held;
}

static bool say_rset_and_mail(struct sending *s, struct transaction *t, bool lockstep, struct fail *why)
{
    struct smtp_reply_text reply;

    if (s->c->dirty)
        client_say(s->c, "RSET");
    if (s->c->dirty && lockstep && !heard(s, &reply, why))
        return false;
    client_write_mail(&s->c->out, s->c, s->m, &s->offer);
    return !lockstep || hear_mail(s, t, why);
}

/* What stands before the recipients' replies. */
static bool hear_rset_and_mail(struct sending *s, struct transaction *t, bool was_dirty, struct fail *why)
{
    struct smtp_reply_text reply;

    return (!was_dirty || heard(s, &reply, why)) && hear_mail(s, t, why);
}

static bool say_recipients(struct sending *s, struct transaction *t, bool lockstep, struct fail *why)
{
    const size_t window = lockstep ? 1 : WINDOW;
    const bool was_dirty = s->c->dirty;

    if (!say_rset_and_mail(s, t, lockstep, why))
        return false;
    s->c->dirty = true;
    if (lockstep && t->count > 0 && recipient(s, t->member[0])->reply.code != 0)
        return true; /* MAIL was refused */
    for (size_t first = 0; first < t->count; first += window) {
        size_t end = first + window < t->count ? first + window : t->count;

        for (size_t i = first; i < end; i++)
            client_write_rcpt(&s->c->out, s->c, recipient(s, t->member[i]), s->addresses[t->member[i]]);
        t->body_said = !lockstep && end == t->count && (!s->offer.binary || s->chunk);
        t->body_said = t->body_said && !(s->chunk && !s->in_memory);
        if (t->body_said)
            say_body(s);
        if (first == 0 && !lockstep && !hear_rset_and_mail(s, t, was_dirty, why))
            return false;
        for (size_t i = first; i < end; i++)
            if (!hear_rcpt(s, t, i, why))
                return false;
    }
    return true;
}

/* ---- the message ---- */

/* One reply for all, or (LMTP, RFC 2033 section 4.2) one for each that was accepted. */
static bool hear_final(struct sending *s, struct transaction *t, struct fail *why)
{
    struct smtp_client *c = s->c;
    struct smtp_reply_text reply = {0};
    bool first = true, ok = true;

    atomic_store(&c->at_final, true);
    c->wire.until = 0; /* it has the message: who gives up now sends it twice */
    for (size_t i = 0; ok && i < t->count; i++) {
        struct smtp_client_recipient *r = recipient(s, t->member[i]);

        if (!t->accepted[i])
            continue;
        if (first || c->lmtp) {
            ok = client_hear(c, c->limits.final_seconds, &reply, s->a, why);
            if (ok && reply.code / 100 == 3)
                ok = out_of_step(s, &reply, "the end of the message", why);
        }
        first = false;
        if (!ok)
            break;
        r->reply = reply;
        r->sent = is_positive(&reply);
        r->relayed = !(c->can & SMTP_CAN_DSN);
    }
    atomic_store(&c->at_final, false);
    c->wire.until = client_deadline(c, s->m->source.size); /* there may be another transaction for the rest of them */
    c->dirty = false; /* the final reply ends the transaction, whatever it is (RFC 5321 section 4.1.1.4) */
    c->mails++;
    return ok;
}

/* Nobody was accepted, and yet the peer waits for a message: an empty one (RFC 2920 section 3.1). */
static bool take_back_data(struct sending *s, struct fail *why)
{
    struct smtp_reply_text reply;

    if (!heard(s, &reply, why))
        return false;
    if (s->chunk || reply.code != 354)
        return true;
    buf_add(&s->c->out, SLICE(".\r\n"));
    return client_hear(s->c, s->c->limits.final_seconds, &reply, s->a, why);
}

/*
 * The connection broke while we wrote.  What the peer said before may be why: its refusal counts (never a 250 to a
 * message that it has not seen whole).
 */
static bool broke_in_message(struct sending *s, struct transaction *t, const struct fail *why)
{
    struct smtp_reply_text reply;
    struct fail late;

    if (why->kind != FAIL_TEMP || !s->c->wire.broken || s->c->wire.fd < 0)
        return false;
    if (!wire_reply(&s->c->wire, 1, &reply, s->a, &late) || reply.code < 400)
        return false;
    set_fates(s, t, &reply);
    s->c->closing = true;
    return true;
}

static bool send_data(struct sending *s, struct transaction *t, struct fail *why)
{
    struct smtp_client *c = s->c;
    struct smtp_reply_text reply;

    if (!t->body_said)
        client_say(c, "DATA");
    if (!client_hear(c, c->limits.data_seconds, &reply, s->a, why))
        return false;
    if (reply.code != 354) {
        if (reply.code < 400)
            return out_of_step(s, &reply, "DATA", why);
        set_fates(s, t, &reply);
        return true;
    }
    if (s->in_memory) {
        sending_add_body(s);
        atomic_store(&c->at_final, true); /* the dot may be there before we know */
        if (!wire_write(&c->wire, buf_slice(&c->out), c->limits.data_seconds, why)) {
            atomic_store(&c->at_final, false);
            buf_reset(&c->out);
            return broke_in_message(s, t, why);
        }
        buf_reset(&c->out);
    } else if (!sending_write_data(s, why)) {
        /* Without its final dot the message must never seem whole: nothing more is said here, not even QUIT. */
        bool told = broke_in_message(s, t, why);
        c->wire.broken = true;
        return told;
    }
    return hear_final(s, t, why);
}

/* A binary message, or one that did not go out with its recipients: chunk by chunk (RFC 3030). */
static bool send_chunks(struct sending *s, struct transaction *t, struct fail *why)
{
    struct smtp_client *c = s->c;
    const struct smtp_source *source = &s->m->source;
    uint64_t at = 0;

    for (bool first = true, last = false; !last; first = false) {
        size_t n = source->size - at < BINARY_CHUNK ? (size_t)(source->size - at) : BINARY_CHUNK;
        size_t prefix = first ? source->prefix.len : 0;
        struct smtp_reply_text reply;

        last = at + n == source->size;
        client_say(c, "BDAT %zu%s", prefix + n, last ? " LAST" : "");
        if (first)
            buf_add(&c->out, source->prefix);
        char *to = buf_room(&c->out, n);
        if (to == NULL || (n > 0 && !source->read(source->ctx, at, to, n, why))) {
            buf_reset(&c->out);
            return to != NULL ? false : fail_set(why, FAIL_TEMP, FAIL_OTHER, "no memory for a chunk");
        }
        buf_grew(&c->out, n);
        at += n;
        if (last)
            return hear_final(s, t, why);
        if (!client_hear(c, c->limits.data_seconds, &reply, s->a, why))
            return false;
        if (!is_positive(&reply)) {
            if (reply.code < 400)
                return out_of_step(s, &reply, "BDAT", why);
            set_fates(s, t, &reply);
            return true;
        }
    }
    return true;
}

static bool send_message(struct sending *s, struct transaction *t, struct fail *why)
{
    if (t->accepted_count == 0)
        return !t->body_said || take_back_data(s, why);
    if (!s->chunk)
        return send_data(s, t, why);
    if (t->body_said)
        return hear_final(s, t, why);
    if (!s->in_memory || s->offer.binary)
        return send_chunks(s, t, why);
    say_body(s);
    return hear_final(s, t, why);
}

/* ---- transactions ---- */

/* Who has no reply yet, as many as the peer takes at once. */
static bool gather(struct sending *s, struct transaction *t)
{
    size_t most = s->c->rcpt_max > 0 && s->c->rcpt_max < TRANSACTION_MOST ? (size_t)s->c->rcpt_max : TRANSACTION_MOST;

    t->count = t->accepted_count = t->full_count = 0;
    t->body_said = false;
    for (size_t i = 0; i < s->m->recipient_count && t->count < most; i++) {
        if (recipient(s, i)->reply.code != 0)
            continue;
        t->accepted[t->count] = false;
        t->member[t->count++] = i;
    }
    return t->count > 0;
}

/* Those that were one too many for a transaction that went well come into the next one. */
static void forget_full(struct sending *s, struct transaction *t)
{
    if (t->full_count == 0 || t->accepted_count == 0)
        return;
    for (size_t i = 0; i < t->count; i++) {
        struct smtp_client_recipient *r = recipient(s, t->member[i]);

        if (!t->accepted[i] && says_full(&r->reply))
            r->reply = (struct smtp_reply_text){0};
    }
}

static bool run(struct sending *s, struct transaction *t, struct fail *why)
{
    const bool lockstep = !(s->c->can & SMTP_CAN_PIPELINING);

    while (gather(s, t)) {
        bool ok = say_recipients(s, t, lockstep, why) && send_message(s, t, why);

        if (!ok || s->c->closing) {
            /* 421 may have been the answer to anything: it is everybody's who has none. */
            if (s->c->closing && s->c->wire.reader.code >= 400) {
                struct smtp_reply_text last_word = reply_reader_take(&s->c->wire.reader, s->a);

                for (size_t i = 0; i < s->m->recipient_count; i++)
                    if (recipient(s, i)->reply.code == 0)
                        recipient(s, i)->reply = last_word;
                return true;
            }
            return ok;
        }
        forget_full(s, t);
        if (s->c->mail_max > 0 && s->c->mails >= s->c->mail_max && gather(s, t))
            return fail_code(why, FAIL_TEMP, FAIL_OTHER, "4.5.3", "the other side takes no more messages over this connection");
    }
    return true;
}

bool smtp_client_send(struct smtp_client *c, struct smtp_client_message *m, struct arena *a, struct fail *why)
{
    struct sending s = {.c = c, .m = m, .a = a};
    struct transaction t = {0};
    bool ok;

    for (size_t i = 0; i < m->recipient_count; i++) {
        m->recipients[i].reply = (struct smtp_reply_text){0};
        m->recipients[i].sent = m->recipients[i].relayed = false;
    }
    buf_reset(&c->out);
    c->wire.until = client_deadline(c, m->source.size);
    t.member = arena_new_array(a, size_t, m->recipient_count);
    t.accepted = arena_new_array(a, bool, m->recipient_count);
    if (t.member == NULL || t.accepted == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_LIMIT, "too many recipients for one transaction's memory");
    ok = client_tell_origin(c, m, a, why) && sending_prepare(&s, why) && run(&s, &t, why);
    sending_finish(&s);
    c->wire.until = 0;
    if (!ok)
        why->kind = FAIL_TEMP; /* what is for good was told recipient by recipient */
    return ok;
}
