/*
 * smtp/mail.c - MAIL: a message begins.
 *
 * Layer: smtp.
 */
#include "smtp/session.h"
#include "storage/volume.h"

/* Is there room, and may this user send as that sender?  RFC 6409 section 6.1 */
static bool may_begin(struct smtp_session *s, const struct smtp_transaction *tx)
{
    struct fail why = {0};
    bool may = true;

    if (!tx->sender.ascii && !tx->options.utf8)
        return smtp_refuse(s, "mail", SLICE(""), 553, "5.6.7", "a non-ASCII address needs SMTPUTF8");
    if (s->account != 0 && tx->sender.address.len > 0 &&
        !directory_may_send_as(s->service->directory, s->account, tx->sender.address, &may, &why))
        return smtp_refuse_fail(s, "mail", SLICE(""), &why, 451, 451);
    if (!may)
        return smtp_refuse(s, "mail", SLICE(""), 550, "5.7.1", "you may not send as that address");
    if (!volume_has_space(s->service->volumes, tx->announced, &why))
        return smtp_refuse_fail(s, "mail", SLICE(""), &why, 452, 452);
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
    return smtp_mail_parameters(s, tx, args) && may_begin(s, tx);
}

static void answer_mail(struct smtp_session *s, const struct policy_verdict *verdict)
{
    if (smtp_verdict_ok(s, verdict, SLICE(""))) {
        s->transactions++;
        if (s->tx->lowered)
            smtp_reply(s, 250, "2.3.6", "%d is the priority: a higher one is for those who signed in",
                       s->tx->options.priority);
        else
            smtp_reply(s, 250, "2.1.0", "sender ok");
    } else {
        smtp_transaction_end(s);
    }
    smtp_check_over(s);
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
    smtp_check(s, POLICY_MAIL, SLICE(""), answer_mail);
}
