/*
 * imap/basic.c - NOOP, CHECK, LOGOUT, ID, NAMESPACE.
 *
 * Layer: imap.
 */
#include "imap/session.h"

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

/* namespace = "NAMESPACE"                              RFC 2342 section 5 */
void imap_namespace(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    conn_write(s->conn, SLICE("* NAMESPACE ((\"\" \"/\")) ((\"Shared/\" \"/\")) NIL\r\n"));
    imap_ok(s, "Yours, and what others share with you");
}
