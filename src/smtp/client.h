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
    unsigned command_seconds;  /* default 300 */
    unsigned data_seconds;     /* DATA's 354 and each block; default 180 */
    unsigned final_seconds;    /* after the last dot; default 600 */
    unsigned reply_bytes;      /* of one reply that are kept; default 4096; more is read and dropped */
    unsigned reply_lines;      /* of one reply; beyond: the connection is given up; default 1000 */
};
void smtp_client_limits_default(struct smtp_client_limits *l);

enum smtp_client_tls { CLIENT_TLS_NONE, CLIENT_TLS_MAY, CLIENT_TLS_MUST, CLIENT_TLS_WRAPPED };

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
    const char                   *helo;    /* our name */
    bool                          xclient; /* it may be told who our client was */
};

/* One reply: the last line's code, all lines' texts joined by LF, the enhanced status code if there was one. */
struct smtp_reply_text {
    unsigned     code; /* 0: none came */
    struct slice status, text;
};

/* NULL: no session, and why (FAIL_TEMP: another host or later; FAIL_PERM: 5xx greeting or AUTH refused). */
struct smtp_client *smtp_client_open(const struct smtp_peer *peer, struct tls_client *tls, const struct smtp_client_limits *limits,
                                     struct smtp_reply_text *reply, struct arena *a, struct fail *why);
/* QUIT if the connection is in a state for it.  Fine on NULL; leaves *c NULL. */
void smtp_client_close(struct smtp_client **c);
/* May another message be sent over it? */
bool smtp_client_usable(const struct smtp_client *c);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384, DANE" or "": for the log. */
const char *smtp_client_tls_text(const struct smtp_client *c);

/* Where the message's bytes come from. */
struct smtp_source {
    bool (*read)(void *ctx, uint64_t offset, void *out, size_t n, struct fail *why);
    void    *ctx;
    uint64_t size;
    struct slice prefix; /* header lines in front */
};
struct smtp_client_recipient {
    struct slice             address;
    struct recipient_options options;
    /* what became of it */
    struct smtp_reply_text   reply; /* in the arena; code 0: the connection broke: `failed` says how */
    bool                     sent;
    bool                     relayed; /* the peer does not speak DSN */
};
struct smtp_client_message {
    struct slice                  sender;
    struct envelope_options       options;
    struct smtp_source            source;
    struct smtp_client_recipient *recipients;
    size_t                        recipient_count;
};
/*
 * One transaction (pipelined where the peer can).  Every recipient's fate is set.  A message that cannot go as it is
 * (8BITMIME down-conversion aside) is answered like a 5xx of ours: 5.6.7 SMTPUTF8, 5.3.4 SIZE, 5.7.30 REQUIRETLS.
 * false: the connection broke before the final reply; recipients that had no reply are to be tried again.
 */
bool smtp_client_send(struct smtp_client *c, struct smtp_client_message *m, struct arena *a, struct fail *why);

#endif
