/*
 * smtp/starttls.c - STARTTLS: from here on in private.
 *
 * Layer: smtp.
 */
#include <stdlib.h>

#include "smtp/session.h"

/*
 * RFC 3207 section 4.2: the session begins anew, all that was learned before is
 * forgotten.  What the client sent behind the command is dropped by net.
 */
void smtp_starttls(struct smtp_session *s, struct slice args)
{
    (void)args;
    if (conn_has_tls(s->conn)) {
        smtp_reply(s, 503, "5.5.1", "TLS is on already");
        return;
    }
    if (!conn_can_start_tls(s->conn)) {
        smtp_reply(s, 502, "5.5.1", "TLS is not offered here");
        return;
    }
    smtp_reply(s, 220, "2.0.0", "go ahead");
    smtp_transaction_end(s);
    free(s->client_name);
    free(s->user);
    s->client_name = s->user = NULL;
    s->account = 0;
    s->extended = false;
    s->starting_tls = true;
    conn_set_label(s->conn, SLICE(""));
    conn_set_account(s->conn, 0);
    conn_set_phase(s->conn, CONN_BEFORE_LOGIN, 0);
    conn_start_tls(s->conn);
}
