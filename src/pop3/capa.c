/*
 * pop3/capa.c - what this server can do, and in which language it says so.
 *
 * Layer: pop3.  RFC 2449 (CAPA), RFC 6856 (UTF8, LANG).
 */
#include "pop3/session.h"

struct slice pop3_mechanisms(const struct pop3_session *s)
{
    if (!pop3_offers_login(s))
        return SLICE("");
    return auth_mechanisms(s->service->login->auth, conn_has_binding(s->conn));
}

/* capability = capa-tag *(SP param) CRLF                 RFC 2449 section 5 */
void pop3_capa(struct pop3_session *s, struct slice args)
{
    struct buf *out = conn_out(s->conn);
    struct slice mechanisms = pop3_mechanisms(s);

    (void)args;
    pop3_ok(s, "this is what there is");
    buf_add(out, SLICE("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"));
    if (s->state == POP3_AUTHORIZATION && !s->utf8 && conn_can_start_tls(s->conn))
        buf_add(out, SLICE("STLS\r\n"));
    if (pop3_offers_login(s))
        buf_add(out, SLICE("USER\r\n"));
    if (mechanisms.len > 0) {
        buf_add(out, SLICE("SASL "));
        buf_add(out, mechanisms);
        buf_add(out, SLICE("\r\n"));
    }
    buf_add(out, SLICE("EXPIRE NEVER\r\nLOGIN-DELAY 0\r\nUTF8 USER\r\nLANG\r\nIMPLEMENTATION Posthorn\r\n.\r\n"));
}

/*
 * RFC 6856 section 2.1.  Messages are sent as they are kept, in this mode and without it (docs/pop3.md says why):
 * what it changes is that STLS is over.
 */
void pop3_utf8(struct pop3_session *s, struct slice args)
{
    (void)args;
    s->utf8 = true;
    pop3_ok(s, "UTF-8 it is");
}

/* A range of RFC 4647 by lookup: "en-CA" is served by "en". */
static bool is_english(struct slice range)
{
    return slice_eq(range, SLICE("*")) || slice_eq_nocase(slice_cut(&range, '-'), SLICE("en"));
}

/* lang-cmd = "LANG" [SP language-range]                  RFC 6856 section 3 */
void pop3_lang(struct pop3_session *s, struct slice args)
{
    if (args.len == 0) {
        pop3_ok(s, "these are spoken here");
        conn_write(s->conn, SLICE("en English\r\n.\r\n"));
    } else if (slice_find_char(args, ' ') < args.len) {
        pop3_bad(s, "LANG takes one language range");
    } else if (is_english(args)) {
        pop3_ok(s, "en English it is");
    } else {
        pop3_err(s, "that language is not spoken here");
    }
}
