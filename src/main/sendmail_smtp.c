/*
 * main/sendmail_smtp.c - sendmail -bs: a program speaks SMTP with us over its pipe.
 *
 * Layer: main.  Each message becomes a file in the maildrop, so there is nothing here of who is known and who
 * is not; just enough of RFC 5321 for a program that sends.
 */
#include <stdlib.h>
#include <sysexits.h>

#include "main/sendmail.h"
#include "smtp/path.h"

struct dialog {
    struct sendmail_message *m;
    FILE                    *in, *out;
    const char              *folder;
    struct arena             arena; /* of one transaction */
    bool                     mail;  /* MAIL was accepted */
};

static void reply(struct dialog *d, const char *text)
{
    fprintf(d->out, "%s\r\n", text);
    (void)fflush(d->out);
}

static void end_transaction(struct dialog *d)
{
    arena_reset(&d->arena);
    d->m->drop = (struct maildrop){.name = d->m->drop.name};
    d->m->recipient_room = 0;
    d->mail = false;
}

/* SIZE and BODY say nothing that we need; DSN's words are for the command line. */
static bool take_parameters(struct dialog *d, struct slice args)
{
    struct smtp_parameter p;

    for (;;) {
        switch (smtp_read_parameter(&args, &p)) {
        case PARAMETER_END: return true;
        case PARAMETER_BAD: reply(d, "501 5.5.4 malformed parameter"); return false;
        case PARAMETER_OK:
            if (!slice_eq_nocase(p.keyword, SLICE("SIZE")) && !slice_eq_nocase(p.keyword, SLICE("BODY")) &&
                !slice_eq_nocase(p.keyword, SLICE("SMTPUTF8"))) {
                reply(d, "555 5.5.4 parameter not known");
                return false;
            }
        }
    }
}

static void do_mail(struct dialog *d, struct slice args)
{
    struct smtp_path path;

    if (d->mail) {
        reply(d, "503 5.5.1 one message at a time");
        return;
    }
    args = slice_trim(slice_from(args, 5));
    if (!smtp_read_path(&args, &d->arena, &path)) {
        reply(d, "553 5.1.7 that is not an address in angle brackets");
    } else if (take_parameters(d, args)) {
        d->m->drop.has_sender = true;
        d->m->drop.sender = path.address;
        d->mail = true;
        reply(d, "250 2.1.0 sender ok");
    }
}

static void do_rcpt(struct dialog *d, struct slice args)
{
    static const struct recipient_options none = {0};
    struct smtp_path path;
    size_t           before = d->m->drop.recipient_count;

    if (!d->mail) {
        reply(d, "503 5.5.1 MAIL comes first");
        return;
    }
    args = slice_trim(slice_from(args, 3));
    if (!smtp_read_path(&args, &d->arena, &path) || path.address.len == 0) {
        reply(d, "553 5.1.3 that is not an address in angle brackets");
    } else if (take_parameters(d, args)) {
        sendmail_add_recipients(d->m, path.address, &none);
        reply(d, d->m->drop.recipient_count > before ? "250 2.1.5 recipient ok" : "452 4.5.3 too many recipients");
    }
}

static void do_data(struct dialog *d)
{
    struct sendmail_source in = {.stream = d->in, .dots = true, .stuffed = true};
    struct fail            why = {0};
    char                   text[300];

    if (d->m->drop.recipient_count == 0) {
        reply(d, "503 5.5.1 RCPT comes first");
        return;
    }
    reply(d, "354 end with a line that holds one dot");
    bool ok = sendmail_drop(d->m, &in, d->folder, &why);
    for (int c = 0; !in.ended && c != EOF;) { /* the rest of a message that cannot be kept */
        c = getc(d->in);
        bool dot = c == '.';
        while (c != '\n' && c != EOF) {
            c = getc(d->in);
            dot = dot && (c == '\r' || c == '\n');
        }
        in.ended = dot;
    }
    if (ok)
        (void)snprintf(text, sizeof text, "250 2.0.0 kept");
    else
        (void)snprintf(text, sizeof text, "%s %s", why.kind == FAIL_TEMP ? "451 4.3.0" : "552 5.3.4", why.text);
    reply(d, text);
    end_transaction(d);
}

/* false: the end. */
static bool do_command(struct dialog *d, struct slice line)
{
    struct slice args = line, verb = slice_cut(&args, ' ');

    if (slice_eq_nocase(verb, SLICE("QUIT"))) {
        reply(d, "221 2.0.0 bye");
        return false;
    }
    if (slice_eq_nocase(verb, SLICE("EHLO"))) {
        end_transaction(d);
        reply(d, "250-posthorn\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 PIPELINING");
    } else if (slice_eq_nocase(verb, SLICE("HELO"))) {
        end_transaction(d);
        reply(d, "250 posthorn");
    } else if (slice_eq_nocase(verb, SLICE("RSET"))) {
        end_transaction(d);
        reply(d, "250 2.0.0 ok");
    } else if (slice_eq_nocase(verb, SLICE("NOOP"))) {
        reply(d, "250 2.0.0 ok");
    } else if (slice_eq_nocase(verb, SLICE("VRFY"))) {
        reply(d, "252 2.5.0 it is told by mail whether that works");
    } else if (slice_eq_nocase(verb, SLICE("MAIL")) && slice_starts_nocase(args, SLICE("FROM:"))) {
        do_mail(d, args);
    } else if (slice_eq_nocase(verb, SLICE("RCPT")) && slice_starts_nocase(args, SLICE("TO:"))) {
        do_rcpt(d, args);
    } else if (slice_eq_nocase(verb, SLICE("DATA")) && args.len == 0) {
        do_data(d);
    } else {
        reply(d, "500 5.5.2 that is no command here");
    }
    return true;
}

int sendmail_smtp(struct sendmail_message *m, FILE *in, FILE *out, const char *folder)
{
    struct dialog d = {.m = m, .in = in, .out = out, .folder = folder};
    char         *line = NULL;
    size_t        room = 0;
    ssize_t       n;
    struct arena *outer = m->arena;

    arena_init(&d.arena, 64 << 20);
    m->arena = &d.arena;
    reply(&d, "220 posthorn sendmail -bs");
    while ((n = getline(&line, &room, in)) > 0 && do_command(&d, slice_trim(slice_make(line, (size_t)n))))
        ;
    m->arena = outer;
    m->drop = (struct maildrop){0};
    free(line);
    arena_finish(&d.arena);
    return EX_OK;
}
