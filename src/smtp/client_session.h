/*
 * smtp/client_session.h - one session with another server, as the files of the client share it.
 *
 * Layer: smtp, private to the client.
 */
#ifndef SMTP_CLIENT_SESSION_H
#define SMTP_CLIENT_SESSION_H

#include <stdatomic.h>

#include "smtp/client_wire.h"

enum { SASL_PLAIN = 1, SASL_LOGIN = 2, SASL_SCRAM_SHA_256 = 4 };
enum { XCLIENT_NAME = 1, XCLIENT_ADDR = 2, XCLIENT_PROTO = 4, XCLIENT_HELO = 8, XCLIENT_LOGIN = 16 };

struct smtp_client {
    struct smtp_client_limits limits;
    struct wire wire;
    bool lmtp, may_xclient;
    bool dirty;             /* a transaction was begun and not ended: RSET comes first */
    bool closing;           /* 421 was said */
    _Atomic bool at_final;  /* the message is sent, its reply has not come */
    char *host, *helo;
    char complaint[240];    /* of TLS */
    char *xclient;          /* what was said last; NULL: nothing */

    /* of EHLO */
    unsigned can, sasl, xclient_takes;
    uint64_t size_max;      /* 0: not said */
    unsigned by_min;        /* DELIVERBY's; 0: none */
    uint64_t rcpt_max, mail_max; /* LIMITS (RFC 9422); 0: not said */
    uint64_t mails;

    struct buf out;  /* commands (and what follows them) that are to be written together */
    struct buf body; /* a message small enough to be in memory */
};

/* Over a connected non-blocking socket, which is the client's from now on: the greeting, EHLO, TLS, AUTH. */
struct smtp_client *smtp_client_adopt(int fd, const struct smtp_peer *peer, struct tls_client *tls, const struct smtp_client_limits *limits,
                                      struct smtp_reply_text *reply, struct arena *a, struct fail *why);

/* ---- client_hello.c ---- */

/* What `host` said after EHLO or LHLO: lines joined by LF, the first being its name. */
void client_read_capabilities(struct smtp_client *c, struct slice text);
bool client_hello(struct smtp_client *c, struct smtp_reply_text *reply, struct arena *a, struct fail *why);
/* XCLIENT, if this message's client is another than the one told last; EHLO again behind it. */
bool client_tell_origin(struct smtp_client *c, const struct smtp_client_message *m, struct arena *a, struct fail *why);

/* ---- client_auth.c ---- */

bool client_auth(struct smtp_client *c, const struct smtp_peer *peer, struct smtp_reply_text *reply, struct arena *a, struct fail *why);

/* ---- client.c ---- */

/* Adds to what will be written before the next reply is waited for. */
void client_say(struct smtp_client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes what was said, reads one reply.  421: the session is over after it. */
bool client_hear(struct smtp_client *c, unsigned seconds, struct smtp_reply_text *reply, struct arena *a, struct fail *why);
/* For wire.until. */
int64_t client_deadline(const struct smtp_client *c, uint64_t bytes);
/* *why from a reply that refuses: "what: 550 5.1.1 text".  Always false. */
bool client_refused(struct fail *why, const struct smtp_reply_text *reply, const char *what);

#endif
