/*
 * smtp/commands.c - the commands there are, and where each may stand.
 *
 * Layer: smtp.  RFC 5321 section 4.1.4 says which order is right; the table says
 * it here.  The commands that need only a line are below it.
 */
#include "net/foreign.h"
#include "smtp/session.h"

enum {
    AT_START = 1,    /* before EHLO */
    AT_REST = 2,     /* between messages */
    WITH_SENDER = 4, /* after MAIL */
    WITH_RECIPIENT = 8,
    IN_CHUNKS = 16, /* between two BDATs */
    ANYWHERE = 31,

    IN_SMTP = 1,
    IN_LMTP = 2,
    IN_BOTH = 3, /* the protocols that know the command */

    NO_ARGUMENT = 1,
    NEEDS_LOGIN = 2, /* where the service demands one */
};

static void noop(struct smtp_session *s, struct slice args)
{
    (void)args;
    smtp_reply(s, 250, "2.0.0", "ok");
}

static void rset(struct smtp_session *s, struct slice args)
{
    (void)args;
    smtp_transaction_end(s);
    smtp_reply(s, 250, "2.0.0", "forgotten");
}

static void quit(struct smtp_session *s, struct slice args)
{
    (void)args;
    smtp_reply(s, 221, "2.0.0", "%s closing", s->service->hostname);
    s->closing = true;
}

/* Says nothing about who is there: RFC 5321 section 7.3. */
static void vrfy(struct smtp_session *s, struct slice args)
{
    if (args.len == 0)
        smtp_reply(s, 501, "5.5.4", "VRFY needs an address");
    else
        smtp_reply(s, 252, "2.1.5", "cannot verify; send mail and see");
}

static void expn(struct smtp_session *s, struct slice args)
{
    (void)args;
    smtp_reply(s, 502, "5.7.0", "lists are not expanded here");
}

static void help(struct smtp_session *s, struct slice args);

static const struct smtp_command {
    const char *name;
    void (*run)(struct smtp_session *s, struct slice args);
    unsigned states;
    unsigned protocols;
    unsigned needs;
} commands[] = {
    {"MAIL", smtp_mail, AT_REST, IN_BOTH, NEEDS_LOGIN},
    {"RCPT", smtp_rcpt, WITH_SENDER | WITH_RECIPIENT, IN_BOTH, NEEDS_LOGIN},
    {"DATA", smtp_data, WITH_RECIPIENT, IN_BOTH, NO_ARGUMENT | NEEDS_LOGIN},
    {"BDAT", smtp_bdat, ANYWHERE, IN_BOTH, 0}, /* its chunk must be read wherever it stands */
    {"EHLO", smtp_ehlo, ANYWHERE, IN_SMTP, 0},
    {"HELO", smtp_helo, ANYWHERE, IN_SMTP, 0},
    {"LHLO", smtp_ehlo, ANYWHERE, IN_LMTP, 0},
    {"STARTTLS", smtp_starttls, AT_REST, IN_BOTH, NO_ARGUMENT},
    {"AUTH", smtp_auth, AT_REST, IN_BOTH, 0},
    {"RSET", rset, ANYWHERE, IN_BOTH, NO_ARGUMENT},
    {"NOOP", noop, ANYWHERE, IN_BOTH, 0},
    {"QUIT", quit, ANYWHERE, IN_BOTH, NO_ARGUMENT},
    {"VRFY", vrfy, ANYWHERE, IN_BOTH, NEEDS_LOGIN},
    {"EXPN", expn, ANYWHERE, IN_BOTH, NEEDS_LOGIN},
    {"XCLIENT", smtp_xclient, AT_START | AT_REST, IN_SMTP, 0},
    {"HELP", help, ANYWHERE, IN_BOTH, 0},
};

static bool is_known_to(const struct smtp_command *c, const struct smtp_session *s)
{
    return (c->protocols & (s->service->kind == SMTP_LMTP ? IN_LMTP : IN_SMTP)) != 0;
}

static void help(struct smtp_session *s, struct slice args)
{
    (void)args;
    conn_write(s->conn, SLICE("214-2.0.0 Commands:"));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (is_known_to(&commands[i], s) && (commands[i].run != smtp_xclient || smtp_offers_xclient(s)))
            conn_printf(s->conn, " %s", commands[i].name);
    conn_write(s->conn, SLICE("\r\n214 2.0.0 RFC 5321 tells the rest\r\n"));
}

static unsigned state_of(const struct smtp_session *s)
{
    if (s->client_name == NULL)
        return AT_START;
    if (s->tx == NULL)
        return AT_REST;
    if (s->tx->begun)
        return IN_CHUNKS;
    return s->tx->recipient_count > 0 ? WITH_RECIPIENT : WITH_SENDER;
}

/* A command out of order: which should have come? */
static void reply_out_of_order(struct smtp_session *s, const struct smtp_command *c)
{
    switch (state_of(s)) {
    case AT_START:
        smtp_reply(s, 503, "5.5.1", "send %s first", s->service->kind == SMTP_LMTP ? "LHLO" : "EHLO");
        break;
    case AT_REST: smtp_reply(s, 503, "5.5.1", "send MAIL first"); break;
    case WITH_SENDER:
        if (c->run == smtp_data)
            smtp_reply(s, 503, "5.5.1", "no valid recipients");
        else
            smtp_reply(s, 503, "5.5.1", "not while a message is under way");
        break;
    case IN_CHUNKS: smtp_reply(s, 503, "5.5.1", "go on with BDAT, or send RSET"); break;
    default: smtp_reply(s, 503, "5.5.1", "not while a message is under way"); break;
    }
}

/* RFC 4954 section 6, RFC 3207 section 4 */
static void reply_login_needed(struct smtp_session *s)
{
    if (!smtp_offers_auth(s) && conn_can_start_tls(s->conn))
        smtp_reply(s, 530, "5.7.0", "send STARTTLS first, then AUTH");
    else
        smtp_reply(s, 530, "5.7.0", "authentication required");
}

static void reply_unknown(struct smtp_session *s, const struct policy_verdict *verdict)
{
    if (smtp_verdict_ok(s, verdict, SLICE("")))
        smtp_reply(s, 500, "5.5.1", "command not known");
    smtp_check_over(s);
}

static const struct smtp_command *find_command(const struct smtp_session *s, struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (slice_eq_nocase(name, slice_of(commands[i].name)) && is_known_to(&commands[i], s))
            return &commands[i];
    return NULL;
}

/* Control characters have no place in a command: what looks like one line here is one line everywhere. */
static bool is_clean(struct slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.ptr[i] < ' ' && line.ptr[i] != '\t')
            return false;
    return true;
}

void smtp_dispatch(struct smtp_session *s, struct slice line)
{
    struct slice args = line;
    struct slice name = slice_cut(&args, ' ');

    const struct smtp_command *c = find_command(s, name);
    args = slice_trim(args);
    if (s->refused && c != NULL && c->run != quit) {
        smtp_reply(s, 503, "5.5.1", "you were refused: only QUIT is left");
        s->closing = s->closing || c->run == smtp_bdat; /* its chunk would be taken for commands */
    } else if (c == NULL && foreign_line(line))
        smtp_hang_up(s);
    else if (!is_clean(line))
        smtp_refuse_line(s, line, "control characters in a command");
    else if (c == NULL && slice_starts_nocase(line, SLICE("BDAT")))
        smtp_refuse_line(s, line, "BDAT is followed by a blank");
    else if (c == NULL)
        smtp_check(s, POLICY_UNKNOWN, line, reply_unknown);
    else if ((c->needs & NEEDS_LOGIN) != 0 && s->service->kind == SMTP_SUBMISSION && s->user == NULL)
        reply_login_needed(s);
    else if ((c->states & state_of(s)) == 0)
        reply_out_of_order(s, c);
    else if ((c->needs & NO_ARGUMENT) != 0 && args.len > 0)
        smtp_reply(s, 501, "5.5.4", "%s takes no argument", c->name);
    else
        c->run(s, args);
}
