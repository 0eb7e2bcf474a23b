/*
 * imap/basic.c - CAPABILITY, NOOP, CHECK, LOGOUT, ID, ENABLE, NAMESPACE.
 *
 * Layer: imap.
 */
#include "imap/session.h"

/* What is said when: before login it tells how to log in, after it what can be done. */
#define CAPS_ALWAYS "IMAP4rev1 LITERAL+ ID ENABLE"
#define CAPS_LOGGED_IN                                                                                       \
    " IDLE NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN SPECIAL-USE CREATE-SPECIAL-USE CONDSTORE ESEARCH"        \
    " LIST-EXTENDED LIST-STATUS STATUS=SIZE"

static void write_mechanisms(struct imap_session *s, struct buf *b)
{
    struct slice left = auth_mechanisms(s->service->login->auth, conn_has_tls(s->conn));

    while (left.len > 0) {
        struct slice name = slice_cut(&left, ' ');
        if (name.len > 0) {
            buf_add(b, SLICE(" AUTH="));
            buf_add(b, name);
        }
    }
}

void imap_write_capabilities(struct imap_session *s, struct buf *b)
{
    buf_add(b, SLICE(CAPS_ALWAYS));
    if (s->state != IMAP_FRESH) {
        buf_add(b, SLICE(CAPS_LOGGED_IN));
        buf_add(b, SLICE(" APPENDLIMIT="));
        buf_add_u64(b, s->service->limits.append_bytes);
        return;
    }
    buf_add(b, SLICE(" SASL-IR"));
    if (conn_can_start_tls(s->conn))
        buf_add(b, SLICE(" STARTTLS"));
    if (login_allowed(s->service->login, conn_has_tls(s->conn), conn_peer_is_loopback(s->conn)))
        write_mechanisms(s, b);
    else
        buf_add(b, SLICE(" LOGINDISABLED"));
}

/* capability = "CAPABILITY"                            RFC 3501 section 6.1.1 */
void imap_capability(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    struct buf *out = conn_out(s->conn);
    buf_add(out, SLICE("* CAPABILITY "));
    imap_write_capabilities(s, out);
    buf_add(out, SLICE("\r\n"));
    imap_ok(s, "Those are they");
}

/* noop = "NOOP"                                        RFC 3501 section 6.1.2 */
void imap_noop(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_end(args);
    if (args->failed)
        imap_bad_args(s, args);
    else
        imap_ok(s, "Done");
}

/*
 * check = "CHECK"                                      RFC 3501 section 6.4.1
 *
 * Everything answered OK is durable already: the same as NOOP.
 */
void imap_check(struct imap_session *s, struct imap_reader *args)
{
    imap_noop(s, args);
}

/* logout = "LOGOUT"                                    RFC 3501 section 6.1.3 */
void imap_logout(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    imap_bye(s, "Goodbye");
    imap_ok(s, "Done");
}

/*
 * id = "ID" SP id-params-list
 * id-params-list = "(" *(string SP nstring) ")" / nil          RFC 2971 section 4
 */
void imap_id(struct imap_session *s, struct imap_reader *args)
{
    struct slice name = {0}, version = {0};
    unsigned pairs = 0;

    imap_expect_space(args);
    if (!imap_accept_word(args, "NIL")) {
        imap_expect(args, '(');
        while (!args->failed && imap_peek(args) != ')') {
            struct slice value = {0};
            if (pairs++ > 0)
                imap_expect_space(args);
            struct slice key = imap_read_string(args);
            imap_expect_space(args);
            imap_read_nstring(args, &value);
            if (pairs > 30)
                imap_fail(args, "at most 30 fields");
            if (slice_eq_nocase(key, SLICE("name")))
                name = value;
            else if (slice_eq_nocase(key, SLICE("version")))
                version = value;
        }
        imap_expect(args, ')');
    }
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (name.len > 0)
        log_event(LOG_INFO, "imap.client", LOG_CSTR("session", conn_session_id(s->conn).text),
                  LOG_TEXT("name", name), LOG_TEXT("version", version));
    conn_write(s->conn, SLICE("* ID (\"name\" \"Posthorn\" \"version\" \"" POSTHORN_VERSION "\")\r\n"));
    imap_ok(s, "Pleased to meet you");
}

/* enable = "ENABLE" 1*(SP capability)                  RFC 5161 section 3.1 */
void imap_enable(struct imap_session *s, struct imap_reader *args)
{
    bool condstore = false;

    do {
        imap_expect_space(args);
        condstore = slice_eq_nocase(imap_read_atom(args), SLICE("CONDSTORE")) || condstore;
    } while (imap_peek(args) == ' ');
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    conn_write(s->conn, condstore ? SLICE("* ENABLED CONDSTORE\r\n") : SLICE("* ENABLED\r\n"));
    if (condstore)
        imap_enable_condstore(s);
    imap_ok(s, "Enabled");
}

/* namespace = "NAMESPACE"                              RFC 2342 section 5 */
void imap_namespace(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    conn_write(s->conn, SLICE("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"));
    imap_ok(s, "Yours alone");
}
