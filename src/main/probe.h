/*
 * main/probe.h - speaks with any mail server, step by step, and says what it sees.
 *
 * Layer: main.  Runs in the command's own process.  Whatever the server sends is shown without its control
 * characters, a line at most LINE_MAX_SHOWN long.
 */
#ifndef MAIN_PROBE_H
#define MAIN_PROBE_H

#include <jansson.h>

#include "base/buf.h"
#include "base/fail.h"

enum probe_protocol { PROBE_GUESS, PROBE_SMTP, PROBE_LMTP, PROBE_IMAP, PROBE_POP3 };

struct tls_client;
struct tls_link;

struct probe {
    char                host[256], port[16];
    enum probe_protocol protocol;
    bool                tls;        /* from the first byte on */
    bool                must_start; /* --starttls: it has failed without */
    bool                never_start;
    bool                insecure;   /* log in though the certificate is wrong */
    bool                wire;       /* show every line */
    const char         *user, *password; /* NULL: no login */
    const char         *from, *to;       /* NULL: no test message */
    unsigned            seconds;         /* for each step */
    json_t             *steps;           /* NULL: print */
    bool                failed;          /* some step did */

    /* the connection */
    int                fd;
    struct tls_client *client;
    struct tls_link   *link;
    struct buf         in;
    bool               line_out; /* its first line was given out */
};

/* Everything that was asked for.  False if any step failed; each was said. */
bool probe_run(struct probe *p);

/* ---- among probe*.c ---- */

/* One step, for people and for --json; always returns `ok`. */
bool probe_say(struct probe *p, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* More about the last step: a line, indented. */
void probe_tell(struct probe *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for what a server sent. */
void probe_quote(struct probe *p, struct slice line, const char *meaning);

/* A line without its end, valid until the next call; false: said why. */
bool probe_line(struct probe *p, struct slice *out);
/* `secret`: with --verbose it is not shown. */
bool probe_send(struct probe *p, bool secret, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Handshake, and all about the certificate. */
bool probe_start_tls(struct probe *p);
/* A password may go over this connection: TLS with the right certificate, or loopback. */
bool probe_is_private(const struct probe *p);

/* The greeting is there already, as *first. */
void probe_smtp(struct probe *p, struct slice first);
void probe_imap(struct probe *p, struct slice first);
void probe_pop3(struct probe *p, struct slice first);

/* What a capability means, in a few words; "" if nobody knows it. */
const char *probe_meaning(enum probe_protocol protocol, struct slice capability);

#endif
