/*
 * imap/unauthenticate.c - UNAUTHENTICATE.
 *
 * Layer: imap.  RFC 8437: another user on the same connection.  What the session knew
 * of the one before goes, but TLS stays.
 */
#include "imap/lasting.h"

/*
 * unauthenticate = "UNAUTHENTICATE"                    RFC 8437 section 7
 *
 * Not with COMPRESS: the client's stream would end somewhere behind the command (section 4.1), and
 * where that is could only be guessed.  So it is not offered then, which makes it BAD (section 3).
 *
 * The account itself is left when the turn ends (server.c), as the turn has passed its gate.
 */
void imap_unauthenticate(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (conn_compresses(s->conn)) {
        imap_bad(s, "UNAUTHENTICATE is not offered once COMPRESS is on");
        return;
    }
    if (s->state == IMAP_SELECTED)
        imap_deselect(s);
    watch_end(&s->watch);
    imap_lasting_end(s);
    s->enabled = 0;
    s->failed_logins = 0;
    s->state = IMAP_FRESH;
    conn_set_label(s->conn, SLICE(""));
    conn_set_account(s->conn, 0);
    conn_set_phase(s->conn, CONN_BEFORE_LOGIN, 0);
    log_event(LOG_INFO, "login.end", LOG_CSTR("session", conn_session_id(s->conn).text));
    imap_ok(s, "Who is next?");
}
