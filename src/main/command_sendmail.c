/*
 * main/command_sendmail.c - posthorn sendmail, and /usr/sbin/sendmail: what programs use to send mail.
 *
 * Layer: main.  Runs as whoever called it and needs no rights.  The message goes into the maildrop, whether the
 * server runs or not, so there is one way for both; whatever is wrong with sender or recipients
 * comes back as a notification, as it does with other servers' sendmail.  Exit status: sysexits.h.
 */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "main/command.h"
#include "main/config.h"
#include "main/sendmail.h"

enum { ARENA_MAX = 64 << 20 };

/* What was typed. */
struct typed {
    enum { MODE_SEND, MODE_SMTP, MODE_LIST, MODE_FLUSH, MODE_NOTHING } mode;
    bool                     dots;      /* a line of one dot ends the message: not with -i */
    bool                     from_header;
    struct recipient_options options;   /* -N, for all */
    struct sendmail_message  message;
};

static int usage(const char *text, const char *word)
{
    fprintf(stderr, "sendmail: %s%s\n", text, word);
    return EX_USAGE;
}

/* ---- options ---- */

static bool take_notify(const char *text, unsigned *out)
{
    static const struct { const char *name; unsigned bit; } names[] = {
        {"never", NOTIFY_NEVER}, {"success", NOTIFY_SUCCESS}, {"failure", NOTIFY_FAILURE}, {"delay", NOTIFY_DELAY}};

    for (struct slice rest = slice_of(text); rest.len > 0;) {
        struct slice word = slice_trim(slice_cut(&rest, ','));
        unsigned     bit = 0;
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            bit = slice_eq_nocase(slice_of(names[i].name), word) ? names[i].bit : bit;
        if (bit == 0)
            return false;
        *out |= bit;
    }
    return *out != 0 && (*out == NOTIFY_NEVER || (*out & NOTIFY_NEVER) == 0);
}

static int take_mode(struct typed *t, const char *value)
{
    switch (value[0]) {
    case 'm': t->mode = MODE_SEND; return EX_OK;
    case 's': t->mode = MODE_SMTP; return EX_OK;
    case 'p': t->mode = MODE_LIST; return EX_OK;
    case 'i': t->mode = MODE_NOTHING; return EX_OK; /* newaliases: there is no table to make */
    case 'd': return usage("the server is started by posthorn serve", "");
    default: return usage("no such mode: -b", value);
    }
}

static int take_ret(struct typed *t, const char *value)
{
    if (strcasecmp(value, "full") == 0)
        t->message.drop.options.ret = RET_FULL;
    else if (strcasecmp(value, "hdrs") == 0)
        t->message.drop.options.ret = RET_HDRS;
    else
        return usage("-R is full or hdrs, not ", value);
    return EX_OK;
}

/* "<ann@example.org>" is as good as "ann@example.org". */
static struct slice without_brackets(const char *text)
{
    struct slice s = slice_trim(slice_of(text));

    if (s.len >= 2 && s.ptr[0] == '<' && s.ptr[s.len - 1] == '>')
        return slice_sub(s, 1, s.len - 2);
    return s;
}

static int take_option(struct typed *t, int option, const char *value)
{
    switch (option) {
    case 'b':
        return take_mode(t, value);
    case 'q':
        t->mode = MODE_FLUSH;
        return EX_OK;
    case 't':
        t->from_header = true;
        return EX_OK;
    case 'i':
        t->dots = false;
        return EX_OK;
    case 'o': /* -oi; all others are about how Sendmail works inside */
        t->dots = t->dots && strcmp(value, "i") != 0;
        return EX_OK;
    case 'O':
        t->dots = t->dots && strcasecmp(value, "IgnoreDots") != 0 && strcasecmp(value, "IgnoreDots=true") != 0;
        return EX_OK;
    case 'f':
    case 'r':
        t->message.drop.has_sender = true;
        t->message.drop.sender = without_brackets(value);
        return EX_OK;
    case 'F':
        t->message.drop.name = slice_of(value);
        return EX_OK;
    case 'N':
        return take_notify(value, &t->options.notify) ? EX_OK : usage("-N is never, or of success,failure,delay; not ", value);
    case 'R':
        return take_ret(t, value);
    case 'V':
        t->message.drop.options.envid = slice_of(value);
        return EX_OK;
    case '?':
        return EX_USAGE; /* getopt has said why */
    default: /* known to other sendmails, and without meaning here */
        return EX_OK;
    }
}

static int take_options(struct typed *t, int argc, char **argv)
{
    int option, status = EX_OK;

    optind = 1;
    /* The only thread.  NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (status == EX_OK && (option = getopt(argc, argv, "A:B:C:F:GIL:N:O:R:UV:X:b:cd::e:f:h:imno:p:q::r:stvx")) != -1)
        status = take_option(t, option, optarg);
    return status;
}

/* ---- where ---- */

/* An ordinary user may not be able to read the config: then it is where the packages put it. */
static void find_folder(const struct cli *cli, char *out, size_t size, uint64_t *message_bytes)
{
    struct config     *c = NULL;
    struct smtp_limits limits;

    smtp_limits_default(&limits);
    *message_bytes = limits.message_bytes;
    if (config_load(cli->config_path, &c, NULL)) {
        *message_bytes = c->smtp.message_bytes;
        (void)snprintf(out, size, "%s", config_data_path(c, "maildrop"));
        config_destroy(&c);
    } else {
        (void)snprintf(out, size, "/var/lib/posthorn/maildrop");
    }
}

/* The full name of who runs this: what stands before the first comma of the passwd entry's comment. */
static struct slice full_name(struct arena *a)
{
    const char          *name = getenv("NAME");
    /* The only thread.  NOLINTNEXTLINE(concurrency-mt-unsafe) */
    const struct passwd *entry = name != NULL ? NULL : getpwuid(getuid());
    struct slice         rest = slice_of(name != NULL ? name : entry != NULL ? entry->pw_gecos : "");

    return arena_keep(a, slice_cut(&rest, ','));
}

/* ---- doing it ---- */

static int failed(const struct fail *why)
{
    fprintf(stderr, "sendmail: %s\n", why->text);
    if (why->reason == FAIL_INVALID)
        return EX_DATAERR;
    if (why->reason == FAIL_TOO_BIG)
        return EX_UNAVAILABLE;
    return why->kind == FAIL_TEMP ? EX_TEMPFAIL : EX_SOFTWARE;
}

static int send_message(struct typed *t, int count, char **recipients, const char *folder)
{
    struct fail why = {0};

    for (int i = 0; i < count; i++)
        sendmail_add_recipients(&t->message, slice_of(recipients[i]), &t->options);
    if (count == 0 && !t->from_header)
        return usage("no recipients (name them, or use -t)", "");
    struct sendmail_source in = {.stream = stdin, .dots = t->dots};
    if (t->from_header)
        t->message.header_options = &t->options;
    return sendmail_drop(&t->message, &in, folder, &why) ? EX_OK : failed(&why);
}

static int run_queue_command(const struct cli *cli, bool flush)
{
    static char        list[] = "list", retry[] = "retry", all[] = "--all", queue[] = "queue", program[] = "posthorn";
    char              *argv[] = {program, queue, flush ? retry : list, flush ? all : NULL, NULL};

    (void)cli;
    return command_main(flush ? 4 : 3, argv) == DONE ? EX_OK : EX_UNAVAILABLE;
}

int command_sendmail(struct cli *cli)
{
    struct typed t = {.dots = true};
    static char  name[] = "sendmail";
    struct arena arena;
    char         folder[400];

    arena_init(&arena, ARENA_MAX);
    t.message.arena = &arena;
    char **argv = xcalloc(cli->argument_count + 2, sizeof *argv); /* with a name in front and NULL behind, for getopt */
    argv[0] = name;
    memcpy(argv + 1, cli->arguments, cli->argument_count * sizeof *argv);
    int argc = (int)cli->argument_count + 1, status = take_options(&t, argc, argv);
    if (status == EX_OK) {
        find_folder(cli, folder, sizeof folder, &t.message.message_bytes);
        if (t.message.drop.name.len == 0)
            t.message.drop.name = full_name(&arena);
        switch (t.mode) {
        case MODE_SEND:
            status = send_message(&t, argc - optind, argv + optind, folder);
            break;
        case MODE_SMTP: status = sendmail_smtp(&t.message, stdin, stdout, folder); break;
        case MODE_LIST: status = run_queue_command(cli, false); break;
        case MODE_FLUSH: status = run_queue_command(cli, true); break;
        case MODE_NOTHING: break;
        }
    }
    free(argv);
    arena_finish(&arena);
    return status;
}
