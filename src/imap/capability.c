/*
 * imap/capability.c - CAPABILITY: what is said when.
 *
 * Layer: imap.  RFC 3501 section 6.1.1.  An extension is a row here and, where it
 * has commands, rows in command.c.
 */
#include "imap/session.h"

enum when {
    ALWAYS,    /* also before login */
    LOGGED_IN,
};

static const struct {
    const char *name;
    enum when   when;
} capabilities[] = {
    {"IMAP4rev1", ALWAYS},
    {"IMAP4rev2", ALWAYS},
    {"LITERAL+", ALWAYS},
    {"ID", ALWAYS},
    {"ENABLE", ALWAYS},
    {"LANGUAGE", ALWAYS},
    {"IDLE", LOGGED_IN},
    {"I18NLEVEL=1", LOGGED_IN},
    {"I18NLEVEL=2", LOGGED_IN},
    {"NAMESPACE", LOGGED_IN},
    {"UIDPLUS", LOGGED_IN},
    {"MOVE", LOGGED_IN},
    {"UNSELECT", LOGGED_IN},
    {"CHILDREN", LOGGED_IN},
    {"SPECIAL-USE", LOGGED_IN},
    {"CREATE-SPECIAL-USE", LOGGED_IN},
    {"CONDSTORE", LOGGED_IN},
    {"QRESYNC", LOGGED_IN},
    {"NOTIFY", LOGGED_IN},
    {"UIDONLY", LOGGED_IN},
    {"ESEARCH", LOGGED_IN},
    {"SEARCHRES", LOGGED_IN},
    {"OBJECTID", LOGGED_IN},
    {"SORT", LOGGED_IN},
    {"SORT=DISPLAY", LOGGED_IN},
    {"ESORT", LOGGED_IN},
    {"THREAD=ORDEREDSUBJECT", LOGGED_IN},
    {"THREAD=REFERENCES", LOGGED_IN},
    {"THREAD=REFS", LOGGED_IN},
    {"WITHIN", LOGGED_IN},
    {"PARTIAL", LOGGED_IN},
    {"FILTERS", LOGGED_IN},
    {"MULTIAPPEND", LOGGED_IN},
    {"BINARY", LOGGED_IN},
    {"CATENATE", LOGGED_IN},
    {"REPLACE", LOGGED_IN},
    {"PREVIEW", LOGGED_IN},
    {"SAVEDATE", LOGGED_IN},
    {"CONTEXT=SEARCH", LOGGED_IN},
    {"CONTEXT=SORT", LOGGED_IN},
    {"MULTISEARCH", LOGGED_IN},
    {"SEARCH=FUZZY", LOGGED_IN},
    {"UIDBATCHES", LOGGED_IN},
    {"LIST-EXTENDED", LOGGED_IN},
    {"LIST-STATUS", LOGGED_IN},
    {"METADATA", LOGGED_IN},
    {"LIST-METADATA", LOGGED_IN},
    {"LIST-MYRIGHTS", LOGGED_IN},
    {"ACL", LOGGED_IN},
    {"RIGHTS=kxte", LOGGED_IN},
    {"STATUS=SIZE", LOGGED_IN},
    {"UTF8=ACCEPT", LOGGED_IN},
    {"INPROGRESS", LOGGED_IN},
    {"QUOTA", LOGGED_IN},
    {"QUOTA=RES-STORAGE", LOGGED_IN},
    {"QUOTA=RES-MESSAGE", LOGGED_IN},
    {"QUOTA=RES-MAILBOX", LOGGED_IN},
    {"QUOTASET", LOGGED_IN},
};

/* true: LOGIN works too, which is PLAIN by another name. */
static bool write_mechanisms(struct imap_session *s, struct buf *b)
{
    bool plain = false;
    struct slice left = auth_mechanisms(s->service->login->auth, conn_has_binding(s->conn));

    while (left.len > 0) {
        struct slice name = slice_cut(&left, ' ');
        if (name.len > 0) {
            buf_add(b, SLICE(" AUTH="));
            buf_add(b, name);
            plain = plain || slice_eq_nocase(name, SLICE("PLAIN"));
        }
    }
    return plain;
}

/* How to log in (RFC 3501 section 6.2, RFC 4959). */
static void write_ways_in(struct imap_session *s, struct buf *b)
{
    buf_add(b, SLICE(" SASL-IR"));
    if (conn_can_start_tls(s->conn))
        buf_add(b, SLICE(" STARTTLS"));
    bool allowed = login_allowed(s->service->login, conn_has_tls(s->conn), conn_peer_is_loopback(s->conn));
    if (!allowed || !write_mechanisms(s, b))
        buf_add(b, SLICE(" LOGINDISABLED"));
}

/* Those that hang on the config or on what the session has done. */
static void write_conditional(const struct imap_session *s, struct buf *b)
{
    if (s->service->limits.compress && !conn_compresses(s->conn))
        buf_add(b, SLICE(" COMPRESS=DEFLATE"));
    if (!conn_compresses(s->conn))
        buf_add(b, SLICE(" UNAUTHENTICATE"));
    if (s->service->limits.jmap_url[0] != '\0')
        buf_add(b, SLICE(" JMAPACCESS"));
}

/* Those that carry a number. */
static void write_limits(const struct imap_session *s, struct buf *b)
{
    const struct imap_limits *l = &s->service->limits;

    buf_add(b, SLICE(" APPENDLIMIT="));
    buf_add_u64(b, l->append_bytes);
    if (l->message_limit > 0) {
        buf_add(b, SLICE(" MESSAGELIMIT="));
        buf_add_u64(b, l->message_limit);
    }
    if (l->save_limit > 0) {
        buf_add(b, SLICE(" SAVELIMIT="));
        buf_add_u64(b, l->save_limit);
    }
    if (s->service->limits.urlauth) /* RFC 4467, RFC 5524, RFC 5550 section 5.7.1 */
        buf_add(b, SLICE(" URLAUTH URLAUTH=BINARY URL-PARTIAL"));
}

void imap_write_capabilities(struct imap_session *s, struct buf *b)
{
    bool fresh = s->state == IMAP_FRESH, any = false;

    for (size_t i = 0; i < ARRAY_LEN(capabilities); i++) {
        if (fresh && capabilities[i].when != ALWAYS)
            continue;
        if (any)
            buf_add_char(b, ' ');
        any = true;
        buf_add(b, slice_of(capabilities[i].name));
    }
    if (fresh) {
        write_ways_in(s, b);
    } else {
        write_conditional(s, b);
        write_limits(s, b);
    }
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
