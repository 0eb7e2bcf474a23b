/*
 * smtp/trace.c - the Received field.
 *
 * Layer: smtp.
 */
#include "base/clock.h"
#include "smtp/session.h"

/* ESMTP, ESMTPS, LMTPSA, UTF8SMTP ...: RFC 3848, RFC 6531 section 4.3 */
static void write_protocol(struct buf *out, const struct smtp_session *s)
{
    if (s->tx->options.utf8)
        buf_add(out, SLICE("UTF8"));
    else if (s->extended && s->service->kind != SMTP_LMTP)
        buf_add_char(out, 'E');
    buf_add(out, s->service->kind == SMTP_LMTP ? SLICE("LMTP") : SLICE("SMTP"));
    if (!s->extended)
        return;
    if (conn_has_tls(s->conn))
        buf_add_char(out, 'S');
    if (s->user != NULL)
        buf_add_char(out, 'A');
}

/* TCP-info = address-literal                                  RFC 5321 section 4.4 */
static void write_peer(struct buf *out, const struct smtp_session *s)
{
    struct conn_address peer = smtp_peer_text(s);

    if (strcmp(peer.text, "local") == 0)
        buf_add(out, SLICE("local"));
    else
        buf_addf(out, "[%s%s]", strchr(peer.text, ':') != NULL ? "IPv6:" : "", peer.text);
}

/*
 * Time-stamp-line = "Received:" FWS From-domain By-domain [With] [ID] [For] ";" FWS date-time
 * "For" only for a single recipient: who else got it is nobody's business.
 */
void smtp_write_received(struct buf *out, const struct smtp_session *s)
{
    const struct smtp_transaction *tx = s->tx;
    struct date_text date = clock_rfc5322(tx->received);

    buf_addf(out, "Received: from %s (", s->client_name);
    write_peer(out, s);
    buf_addf(out, ")\r\n\tby %s with ", s->service->hostname);
    write_protocol(out, s);
    if (conn_has_tls(s->conn)) {
        struct slice version = conn_tls_version(s->conn), cipher = conn_tls_cipher(s->conn);
        buf_addf(out, " (" PRIslice " " PRIslice ")", SLICE_ARG(version), SLICE_ARG(cipher));
    }
    buf_addf(out, "\r\n\tid %s", tx->trace.text);
    if (tx->recipient_count == 1)
        buf_addf(out, " for <" PRIslice ">", SLICE_ARG(tx->recipients[0].address));
    if (tx->options.priority != 0) /* RFC 6710 section 4.1 */
        buf_addf(out, "\r\n\tPRIORITY %d", tx->options.priority);
    buf_addf(out, "; %s\r\n", date.text);
}
