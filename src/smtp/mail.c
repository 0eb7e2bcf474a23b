/*
 * smtp/mail.c - MAIL: a message begins.
 *
 * Layer: smtp.
 */
#include "smtp/session.h"
#include "storage/volume.h"

static bool take_size(struct smtp_session *s, struct smtp_transaction *tx, struct slice value)
{
    /* size-value = 1*20DIGIT                                   RFC 1870 section 4 */
    if (value.len > 20 || !slice_to_u64(value, UINT64_MAX, &tx->announced)) {
        smtp_reply(s, 501, "5.5.4", "SIZE is not a number");
        return false;
    }
    if (tx->announced > s->service->limits.message_bytes)
        return smtp_refuse(s, "mail", SLICE(""), 552, "5.3.4",
                           "message too large: see SIZE in the answer to EHLO");
    return true;
}

static bool take_parameter(struct smtp_session *s, struct smtp_transaction *tx,
                           const struct smtp_parameter *p)
{
    if (slice_eq_nocase(p->keyword, SLICE("SIZE")))
        return take_size(s, tx, p->value);
    if (slice_eq_nocase(p->keyword, SLICE("BODY")) &&
        (slice_eq_nocase(p->value, SLICE("7BIT")) || slice_eq_nocase(p->value, SLICE("8BITMIME"))))
        return true; /* RFC 6152: both are kept as they come */
    if (slice_eq_nocase(p->keyword, SLICE("BODY")) && slice_eq_nocase(p->value, SLICE("BINARYMIME"))) {
        tx->binary = true; /* RFC 3030 section 3 */
        return true;
    }
    if (slice_eq_nocase(p->keyword, SLICE("SMTPUTF8")) && p->value.ptr == NULL) {
        tx->utf8 = true; /* RFC 6531 section 3.4 */
        return true;
    }
    if (slice_eq_nocase(p->keyword, SLICE("AUTH")) && s->service->login != NULL && p->value.ptr != NULL) {
        if (smtp_is_xtext(p->value))
            return true; /* RFC 4954 section 5: taken as AUTH=<>, nobody is trusted to say so */
        smtp_reply(s, 501, "5.5.4", "AUTH= is not xtext");
        return false;
    }
    smtp_reply(s, 555, "5.5.4", "parameter not known: " PRIslice, SLICE_ARG(p->keyword));
    return false;
}

static bool take_parameters(struct smtp_session *s, struct smtp_transaction *tx, struct slice args)
{
    struct smtp_parameter p;

    for (;;) {
        switch (smtp_read_parameter(&args, &p)) {
        case PARAMETER_END: return true;
        case PARAMETER_BAD: smtp_reply(s, 501, "5.5.4", "malformed parameter"); return false;
        case PARAMETER_OK:
            if (!take_parameter(s, tx, &p))
                return false;
            break;
        }
    }
}

/* Is there room, and may this user send as that sender?  RFC 6409 section 6.1 */
static bool may_begin(struct smtp_session *s, const struct smtp_transaction *tx)
{
    struct fail why = {0};
    bool may = true;

    if (!tx->sender.ascii && !tx->utf8)
        return smtp_refuse(s, "mail", SLICE(""), 553, "5.6.7", "a non-ASCII address needs SMTPUTF8");
    if (s->account != 0 && tx->sender.address.len > 0 &&
        !directory_may_send_as(s->service->directory, s->account, tx->sender.address, &may, &why))
        return smtp_refuse(s, "mail", SLICE(""), 451, "4.3.0", why.text);
    if (!may)
        return smtp_refuse(s, "mail", SLICE(""), 553, "5.7.1", "you may not send as that address");
    if (!volume_has_space(s->service->volumes, tx->announced, &why))
        return smtp_refuse(s, "mail", SLICE(""), 452, "4.3.1", why.text);
    return true;
}

/* mail = "MAIL FROM:" Reverse-path [SP Mail-parameters]      RFC 5321 section 4.1.1.2 */
static bool begin(struct smtp_session *s, struct smtp_transaction *tx, struct slice args)
{
    if (!slice_starts_nocase(args, SLICE("FROM:"))) {
        smtp_reply(s, 501, "5.5.4", "MAIL FROM:<address> is what was expected");
        return false;
    }
    args = slice_trim(slice_from(args, 5));
    if (!smtp_read_path(&args, &tx->arena, &tx->sender) ||
        (tx->sender.address.len > 0 && tx->sender.domain.len == 0)) {
        smtp_reply(s, 553, "5.1.7", "that is not an address in angle brackets");
        return false;
    }
    return take_parameters(s, tx, args) && may_begin(s, tx);
}

void smtp_mail(struct smtp_session *s, struct slice args)
{
    if (s->transactions >= s->service->limits.transactions) {
        smtp_close(s, "4.7.0", "that were enough messages for one session"); /* RFC 9422 MAILMAX */
        return;
    }
    s->tx = smtp_transaction_create();
    if (!begin(s, s->tx, args)) {
        smtp_transaction_end(s);
        return;
    }
    s->transactions++;
    smtp_reply(s, 250, "2.1.0", "sender ok");
}
