/*
 * main/probe_talk.c - SMTP, LMTP, IMAP and POP3, as far as looking at a server needs them.
 *
 * Layer: main.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "main/probe.h"

/* "\0user\0password" in base64 (RFC 4616). */
static void write_plain(const struct probe *p, struct buf *out)
{
    struct buf text;

    buf_init(&text, 4096);
    buf_add_char(&text, '\0');
    buf_add(&text, slice_of(p->user));
    buf_add_char(&text, '\0');
    buf_add(&text, slice_of(p->password));
    base64_encode(out, buf_slice(&text));
    buf_wipe(&text);
}

static bool may_log_in(struct probe *p)
{
    if (probe_is_private(p))
        return true;
    return probe_say(p, false, p->link == NULL ? "no login: the password would go over this connection unencrypted"
                                               : "no login: whose certificate is wrong may be anybody (--insecure)");
}

/* ---- SMTP and LMTP ---- */

/* A reply of one line or more; *last is its last line.  `each` lines are shown with what they mean. */
static unsigned read_reply(struct probe *p, bool capabilities, bool *starttls, bool *auth, struct slice *last)
{
    unsigned lines = 0;

    for (;;) {
        if (!probe_line(p, last))
            return 0;
        struct slice word = slice_from(*last, 4);
        if (capabilities && lines++ > 0) {
            probe_quote(p, word, probe_meaning(p->protocol, word));
            *starttls = *starttls || slice_starts_nocase(word, SLICE("STARTTLS"));
            *auth = *auth || slice_starts_nocase(word, SLICE("AUTH"));
        }
        if (last->len < 4 || last->ptr[3] != '-')
            break;
    }
    uint64_t code;
    return slice_to_u64(slice_sub(*last, 0, 3), 599, &code) ? (unsigned)code : 0;
}

/* One command and its reply, as a step; false if it is not of the wanted class (2, 3). */
static bool step(struct probe *p, bool secret, char wanted, const char *name, const char *line)
{
    struct slice last = {0};
    bool         unused;

    if (!probe_send(p, secret, "%s", line))
        return false;
    unsigned code = read_reply(p, false, &unused, &unused, &last);
    return code != 0 && probe_say(p, code / 100 == (unsigned)(wanted - '0'), "%s: " PRIslice, name, SLICE_ARG(last));
}

static bool hello(struct probe *p, bool *starttls, bool *auth)
{
    char         host[256] = "localhost";
    struct slice last = {0};
    const char  *verb = p->protocol == PROBE_LMTP ? "LHLO" : "EHLO";

    (void)gethostname(host, sizeof host - 1);
    *starttls = *auth = false;
    if (!probe_send(p, false, "%s %s", verb, host))
        return false;
    (void)probe_say(p, true, "%s: what it offers", verb);
    unsigned code = read_reply(p, true, starttls, auth, &last);
    if (code / 100 == 2)
        return true;
    (void)probe_say(p, false, "%s: " PRIslice, verb, SLICE_ARG(last));
    return false;
}

static void test_message(struct probe *p)
{
    char line[1200];

    (void)snprintf(line, sizeof line, "MAIL FROM:<%s>", p->from);
    if (!step(p, false, '2', "sender", line))
        return;
    (void)snprintf(line, sizeof line, "RCPT TO:<%s>", p->to);
    if (!step(p, false, '2', "recipient", line) || !step(p, false, '3', "DATA", "DATA"))
        return;
    (void)(probe_send(p, false, "Date: %s", clock_rfc5322(clock_now()).text) && probe_send(p, false, "From: <%s>", p->from) &&
           probe_send(p, false, "To: <%s>", p->to) && probe_send(p, false, "Message-ID: <%llx.probe@posthorn>", (unsigned long long)random_u64()) &&
           probe_send(p, false, "Subject: test message") && probe_send(p, false, "%s", "") &&
           probe_send(p, false, "A test message, sent by posthorn probe.") && step(p, false, '2', "message", "."));
}

static void smtp_login(struct probe *p)
{
    struct buf line;

    if (!may_log_in(p))
        return;
    buf_init(&line, 16384);
    buf_add(&line, SLICE("AUTH PLAIN "));
    write_plain(p, &line);
    buf_add_char(&line, '\0');
    (void)step(p, true, '2', "login", line.data);
    buf_wipe(&line);
}

void probe_smtp(struct probe *p, struct slice first)
{
    bool         starttls, auth, unused;
    struct slice last = first;

    unsigned code = 0;
    uint64_t n;
    if (slice_to_u64(slice_sub(first, 0, 3), 599, &n))
        code = (unsigned)n;
    (void)probe_say(p, code / 100 == 2, "%s: " PRIslice, p->protocol == PROBE_LMTP ? "LMTP" : "SMTP", SLICE_ARG(first));
    while (last.len > 3 && last.ptr[3] == '-' && probe_line(p, &last))
        ;
    if (code / 100 != 2 || !hello(p, &starttls, &auth))
        return;
    if (p->link == NULL && starttls && !p->never_start) {
        if (!step(p, false, '2', "STARTTLS", "STARTTLS") || !probe_start_tls(p) || !hello(p, &starttls, &auth))
            return;
    } else if (p->link == NULL && p->must_start) {
        (void)probe_say(p, false, "STARTTLS is not offered");
    }
    if (p->link == NULL && !starttls)
        probe_tell(p, "no encryption is offered: whoever is on the way can read this");
    if (p->user != NULL && !auth)
        (void)probe_say(p, false, "no login: AUTH is not offered here");
    else if (p->user != NULL)
        smtp_login(p);
    if (p->from != NULL && p->to != NULL)
        test_message(p);
    if (probe_send(p, false, "QUIT"))
        (void)read_reply(p, false, &unused, &unused, &last);
}

/* ---- IMAP ---- */

/* Untagged lines up to the tagged one; those of CAPABILITY and STATUS are told. */
static bool imap_step(struct probe *p, bool secret, const char *name, const char *command, bool *starttls)
{
    struct slice line;

    if (!probe_send(p, secret, "p %s", command))
        return false;
    while (probe_line(p, &line)) {
        if (slice_starts(line, SLICE("p ")))
            return probe_say(p, slice_starts_nocase(line, SLICE("p OK")), "%s: " PRIslice, name, SLICE_ARG(slice_from(line, 2)));
        if (slice_starts_nocase(line, SLICE("* CAPABILITY "))) {
            struct slice rest = slice_from(line, strlen("* CAPABILITY "));
            (void)probe_say(p, true, "what it offers");
            while (rest.len > 0) {
                struct slice word = slice_cut(&rest, ' ');
                *starttls = *starttls || slice_eq_nocase(word, SLICE("STARTTLS"));
                if (word.len > 0)
                    probe_quote(p, word, probe_meaning(PROBE_IMAP, word));
            }
        } else if (slice_starts_nocase(line, SLICE("* STATUS ")) || slice_starts_nocase(line, SLICE("* ID "))) {
            (void)probe_say(p, true, PRIslice, SLICE_ARG(slice_from(line, 2)));
        }
    }
    return false;
}

void probe_imap(struct probe *p, struct slice first)
{
    bool       starttls = false, unused = false;
    struct buf line;

    if (!probe_say(p, slice_starts_nocase(first, SLICE("* OK")) || slice_starts_nocase(first, SLICE("* PREAUTH")), "IMAP: " PRIslice,
                   SLICE_ARG(first)) ||
        !imap_step(p, false, "CAPABILITY", "CAPABILITY", &starttls))
        return;
    if (p->link == NULL && starttls && !p->never_start) {
        if (!imap_step(p, false, "STARTTLS", "STARTTLS", &unused) || !probe_start_tls(p) ||
            !imap_step(p, false, "CAPABILITY", "CAPABILITY", &unused))
            return;
    } else if (p->link == NULL && p->must_start) {
        (void)probe_say(p, false, "STARTTLS is not offered");
    }
    if (p->user != NULL && may_log_in(p)) {
        buf_init(&line, 16384);
        buf_add(&line, SLICE("AUTHENTICATE PLAIN "));
        write_plain(p, &line);
        buf_add_char(&line, '\0');
        if (imap_step(p, true, "login", line.data, &unused))
            (void)imap_step(p, false, "INBOX", "STATUS INBOX (MESSAGES UNSEEN)", &unused);
        buf_wipe(&line);
    }
    (void)imap_step(p, false, "LOGOUT", "LOGOUT", &unused);
}

/* ---- POP3 ---- */

static bool pop3_step(struct probe *p, bool secret, const char *name, const char *command)
{
    struct slice line;

    return probe_send(p, secret, "%s", command) && probe_line(p, &line) &&
           probe_say(p, slice_starts(line, SLICE("+OK")), "%s: " PRIslice, name, SLICE_ARG(line));
}

static bool pop3_capabilities(struct probe *p, bool *starttls)
{
    struct slice line;

    if (!pop3_step(p, false, "CAPA", "CAPA"))
        return false;
    while (probe_line(p, &line)) {
        if (slice_eq(line, SLICE(".")))
            return true;
        probe_quote(p, line, probe_meaning(PROBE_POP3, line));
        *starttls = *starttls || slice_eq_nocase(line, SLICE("STLS"));
    }
    return false;
}

void probe_pop3(struct probe *p, struct slice first)
{
    bool starttls = false, unused = false;
    char line[1200];

    if (!probe_say(p, slice_starts(first, SLICE("+OK")), "POP3: " PRIslice, SLICE_ARG(first)) || !pop3_capabilities(p, &starttls))
        return;
    if (p->link == NULL && starttls && !p->never_start) {
        if (!pop3_step(p, false, "STLS", "STLS") || !probe_start_tls(p) || !pop3_capabilities(p, &unused))
            return;
    } else if (p->link == NULL && p->must_start) {
        (void)probe_say(p, false, "STLS is not offered");
    }
    if (p->user != NULL && may_log_in(p)) {
        (void)snprintf(line, sizeof line, "USER %s", p->user);
        bool ok = pop3_step(p, false, "user", line);
        (void)snprintf(line, sizeof line, "PASS %s", p->password);
        if (ok && pop3_step(p, true, "login", line))
            (void)pop3_step(p, false, "mailbox", "STAT");
        explicit_bzero(line, sizeof line);
    }
    (void)pop3_step(p, false, "QUIT", "QUIT");
}
