/*
 * pop3/commands.c - the commands there are, and where each may stand.
 *
 * Layer: pop3.  RFC 1939 sections 4 to 7; those that need only a line are below the table.
 */
#include <stdlib.h>

#include "net/foreign.h"
#include "pop3/session.h"

enum {
    NO_ARGUMENT = 1,
    NEEDS_VIEW = 2,
    IN_BOTH = POP3_AUTHORIZATION | POP3_TRANSACTION,
};

static void noop(struct pop3_session *s, struct slice args)
{
    (void)args;
    pop3_ok(s, "nothing done");
}

static void quit(struct pop3_session *s, struct slice args)
{
    (void)args;
    if (s->state == POP3_TRANSACTION)
        pop3_update(s);
    else
        pop3_ok(s, "goodbye");
    pop3_close(s);
}

static const struct pop3_command {
    const char *name;
    void (*run)(struct pop3_session *s, struct slice args);
    unsigned states;
    unsigned needs;
} commands[] = {
    {"RETR", pop3_retr, POP3_TRANSACTION, NEEDS_VIEW},
    {"DELE", pop3_dele, POP3_TRANSACTION, NEEDS_VIEW},
    {"TOP", pop3_top, POP3_TRANSACTION, NEEDS_VIEW},
    {"UIDL", pop3_uidl, POP3_TRANSACTION, NEEDS_VIEW},
    {"LIST", pop3_list, POP3_TRANSACTION, NEEDS_VIEW},
    {"STAT", pop3_stat, POP3_TRANSACTION, NO_ARGUMENT},
    {"NOOP", noop, POP3_TRANSACTION, NO_ARGUMENT},
    {"RSET", pop3_rset, POP3_TRANSACTION, NO_ARGUMENT},
    {"QUIT", quit, IN_BOTH, NO_ARGUMENT},
    {"CAPA", pop3_capa, IN_BOTH, NO_ARGUMENT},
    {"LANG", pop3_lang, IN_BOTH, 0},
    {"USER", pop3_user, POP3_AUTHORIZATION, 0},
    {"PASS", pop3_pass, POP3_AUTHORIZATION, 0},
    {"AUTH", pop3_auth, POP3_AUTHORIZATION, 0},
    {"APOP", pop3_apop, POP3_AUTHORIZATION, 0},
    {"STLS", pop3_stls, POP3_AUTHORIZATION, NO_ARGUMENT},
    {"UTF8", pop3_utf8, POP3_AUTHORIZATION, NO_ARGUMENT},
};

static const struct pop3_command *find_command(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (slice_eq_nocase(name, slice_of(commands[i].name)))
            return &commands[i];
    return NULL;
}

/* RFC 1939 section 3: printable ASCII; names and passwords may hold UTF-8 (RFC 6856 section 2.2). */
static bool is_clean(struct slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.ptr[i] < ' ' || line.ptr[i] == 0x7f)
            return false;
    return true;
}

void pop3_dispatch(struct pop3_session *s, struct slice line)
{
    struct slice args = line;
    const struct pop3_command *c = find_command(slice_cut(&args, ' '));

    /* A blank at the end is no argument; a password keeps its own. */
    if (c == NULL || c->run != pop3_pass)
        args = slice_trim(args);
    if (c == NULL && s->state == POP3_AUTHORIZATION && (foreign_line(line) || foreign_hello(line))) {
        pop3_err(s, "this is POP3: goodbye"); /* what follows may be made to look like commands */
        pop3_close(s);
    } else if (!is_clean(line))
        pop3_bad(s, "control characters in a command");
    else if (c == NULL)
        pop3_bad(s, "command not known");
    else if ((c->states & s->state) == 0)
        pop3_bad(s, s->state == POP3_AUTHORIZATION ? "log in first" : "%s has its place before login", c->name);
    else if ((c->needs & NO_ARGUMENT) != 0 && args.len > 0)
        pop3_bad(s, "%s takes no argument", c->name);
    else if ((c->needs & NEEDS_VIEW) == 0 || pop3_need_view(s))
        c->run(s, args);
}

void pop3_end_step(struct pop3_session *s)
{
    if (s->step_free != NULL)
        s->step_free(s->step_data);
    s->step = NULL;
    s->step_free = NULL;
    s->step_data = NULL;
}
