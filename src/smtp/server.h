/*
 * smtp/server.h - receives mail: MX, submission, LMTP.
 *
 * Layer: smtp.  RFC 5321, 6409, 2033 and their extensions.
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "net/conn.h"
#include "net/net.h"
#include "policy/login.h"

struct deliver;
struct policy;
struct volumes;

enum smtp_kind { SMTP_MX, SMTP_SUBMISSION, SMTP_LMTP };

struct smtp_limits {
    uint64_t message_bytes;   /* default 50 MB; EHLO SIZE */
    unsigned recipients;      /* per transaction; default 1000 (RFC 5321 section 4.5.3.1.8 asks for 100) */
    unsigned transactions;    /* per session; default 1000 */
    unsigned errors;          /* commands answered 5xx before the session is closed; default 20 */
    unsigned line_bytes;      /* of a command; default 2000 (RFC 5321 4.5.3.1.4, 4954 needs 12288 for AUTH) */
    unsigned header_bytes;    /* of a message's header; default 256 KB */
    unsigned received_fields; /* loop detection; default 50 */
    unsigned login_attempts;  /* per session; default 3 */
    bool check_from;          /* From and Sender too name only addresses of the account's; default true */
};
void smtp_limits_default(struct smtp_limits *l);

/* What a listener's row gives to smtp_protocol as `service`; must outlive net. */
struct smtp_service {
    enum smtp_kind kind;
    const char *hostname;
    const char *spool_dir; /* for large bodies */
    struct smtp_limits limits;
    struct directory *directory;
    struct deliver *deliver;
    struct volumes *volumes;
    struct policy *policy;               /* NULL: everybody may come in */
    const struct login_service *login;   /* NULL where AUTH is not offered */
    const struct net_block *relay_networks; /* clients that may send to anybody */
    size_t relay_network_count;
    const char *const *relay_domains;    /* for which mail is taken and sent on, from anybody; ".example.org": what is below */
    size_t relay_domain_count;
    const struct net_block *xclient_from; /* clients that may say who their client is */
    size_t xclient_from_count;
    unsigned future_release_seconds;     /* a message can be held so long (RFC 4865); 0: it cannot */
    const struct net_block *mend_lf_for; /* client networks whose bare LF is turned into CRLF */
    size_t mend_lf_count;
};

extern const struct conn_protocol smtp_protocol;

#endif
