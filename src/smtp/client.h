/*
 * smtp/client.h - speaks SMTP and LMTP to another server, step by step.
 *
 * Layer: smtp.  RFC 5321 and its extensions as a client.  Blocking, with deadlines, for threads that have nothing else to
 * do (relay's).  Trusts nothing the other side says: replies of any length and shape are survived, kept up to a bound.
 *
 *     smtp_client_open -> (TLS, EHLO again, AUTH) -> smtp_client_send ... send ... -> smtp_client_close
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/body.h"
#include "base/fail.h"
#include "queue/envelope.h"

struct smtp_client;
struct tls_client;      /* net/tls_client.h: contexts, sessions kept for resumption */
struct tls_client_rule; /* what must hold of a connection: nothing, a name by PKIX, or TLSA records (DANE) */

struct smtp_client_limits {
    unsigned connect_seconds;  /* default 30 */
    unsigned greeting_seconds; /* default 300 (RFC 5321 section 4.5.3.2) */
    unsigned command_seconds;  /* default 300; for a whole reply, however slowly it comes */
    unsigned data_seconds;     /* DATA's 354 and each block; default 180 */
    unsigned final_seconds;    /* after the last dot; default 600 */
    unsigned message_seconds;  /* to open a session; from MAIL to the last dot, and 1 KB/s beside; default 3600 */
    unsigned reply_bytes;      /* of one reply that are kept; default 4096; more is read and dropped */
    unsigned reply_lines;      /* of one reply; beyond: the connection is given up; default 20000 */
};
void smtp_client_limits_default(struct smtp_client_limits *l);

enum smtp_client_tls {
    CLIENT_TLS_NONE,
    CLIENT_TLS_MAY,    /* where it is offered; where the handshake fails, once more without it (RFC 7435) */
    CLIENT_TLS_MUST,   /* STARTTLS, or no session */
    CLIENT_TLS_WRAPPED /* from the first byte (RFC 8314 section 3.3) */
};

struct smtp_peer {
    struct sockaddr_storage       address; /* AF_UNIX for LMTP sockets too */
    socklen_t                     address_len;
    struct sockaddr_storage       from;    /* source address; ss_family 0: the system's choice */
    socklen_t                     from_len;
    const char                   *host;    /* name, for SNI, logs and checks */
    bool                          lmtp;
    enum smtp_client_tls          tls;
    const struct tls_client_rule *rule;    /* NULL: whatever certificate (opportunistic) */
    const char                   *user, *password; /* AUTH; NULL: none */
    bool                          auth_in_clear;   /* AUTH also without TLS; else that is refused (FAIL_PERM) */
    const char                   *helo;    /* our name */
    bool                          xclient; /* it may be told who our client was */
    const atomic_bool            *stop;    /* once it is true opening ends within a second; NULL: it does not */
};

/* One reply: the last line's code, all lines' texts joined by LF, the enhanced status code if there was one. */
struct smtp_reply_text {
    unsigned     code;   /* 0: none came */
    bool         ours;   /* the peer did not say so: we found that it cannot work */
    struct slice status; /* "5.1.1" (RFC 2034), of the last line that has one */
    struct slice text;   /* printable ASCII and LF, status codes still in it; other bytes are "?" */
};

/*
 * NULL: no session, and why (FAIL_TEMP: another host or later; FAIL_PERM: 5xx greeting or AUTH refused).
 * *reply: of a session the peer's last word; without one the reply that refused it, code 0 if that was no reply.  Its texts
 * lie in the arena.
 */
struct smtp_client *smtp_client_open(const struct smtp_peer *peer, struct tls_client *tls, const struct smtp_client_limits *limits,
                                     struct smtp_reply_text *reply, struct arena *a, struct fail *why);
/* QUIT if the connection is in a state for it; its answer is not waited for.  Fine on NULL; leaves *c NULL. */
void smtp_client_close(struct smtp_client **c);
/*
 * From another thread, while smtp_client_send runs or between two: the connection ends at once.  `unless_final`: not if
 * the last dot has been sent and its answer is still to come.
 */
void smtp_client_break(struct smtp_client *c, bool unless_final);
/* May another message be sent over it?  Looks whether the peer has said or closed something meanwhile; never waits. */
bool smtp_client_usable(struct smtp_client *c);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384, DANE" or "": for the log. */
const char *smtp_client_tls_text(const struct smtp_client *c);
/*
 * What went wrong with TLS although there is a session: without TLS after a failed handshake (CLIENT_TLS_MAY), or a
 * rule that is only tested.  "" if nothing did; for net/tls_client.h's tls_client_failure_text().
 */
const char *smtp_client_tls_complaint(const struct smtp_client *c);
/* Extensions that the peer offers: may be asked before a message is chosen for it. */
enum {
    SMTP_CAN_PIPELINING = 1 << 0,
    SMTP_CAN_8BITMIME = 1 << 1,
    SMTP_CAN_CHUNKING = 1 << 2,
    SMTP_CAN_BINARYMIME = 1 << 3,
    SMTP_CAN_SMTPUTF8 = 1 << 4,
    SMTP_CAN_DSN = 1 << 5,
    SMTP_CAN_SIZE = 1 << 6,
    SMTP_CAN_STARTTLS = 1 << 7,
    SMTP_CAN_REQUIRETLS = 1 << 8,
    SMTP_CAN_PRIORITY = 1 << 9,
    SMTP_CAN_DELIVERBY = 1 << 10,
    SMTP_CAN_XCLIENT = 1 << 11,
    SMTP_CAN_ESMTP = 1 << 12, /* it answered EHLO or LHLO */
};
unsigned smtp_client_can(const struct smtp_client *c);

/* Where the message's bytes come from. */
struct smtp_source {
    bool (*read)(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why);
    void    *ctx;
    uint64_t size;
    struct slice prefix; /* header lines in front, each with its CRLF */
};
struct smtp_client_recipient {
    struct slice             address;
    struct recipient_options options;
    /* what became of it */
    struct smtp_reply_text   reply; /* in the arena; code 0: the connection broke: `why` says how */
    bool                     sent;
    bool                     relayed; /* the peer does not speak DSN */
};
/* For XCLIENT; what is empty is said to be unknown. */
struct smtp_client_origin {
    struct slice address, name, helo, login;
    bool         smtp_only; /* HELO, not EHLO */
};
struct smtp_client_message {
    struct slice                     sender;
    struct envelope_options          options;
    struct smtp_source               source;
    const struct smtp_client_origin *origin; /* NULL: what options.source tells */
    struct smtp_client_recipient    *recipients;
    size_t                           recipient_count;
};
/*
 * One message (pipelined where the peer can; in several transactions where the peer takes only so many recipients at
 * a time).  Every recipient's fate is set.  A message that cannot go as it is (8BITMIME down-conversion aside) is
 * answered like a 5xx of ours: 5.6.7 SMTPUTF8, 5.6.3 conversion, 5.3.4 SIZE, 5.7.30 REQUIRETLS, 5.4.7 DELIVERBY.
 * false: the connection broke before the final reply (FAIL_TEMP), or the source could not be read; recipients that had
 * no reply are to be tried again.
 */
bool smtp_client_send(struct smtp_client *c, struct smtp_client_message *m, struct arena *a, struct fail *why);

#endif
