/*
 * policy/policy.h - may this client, sender, recipient, message come in?
 *
 * Layer: policy.  Access tables, rates, DNS lists, greylisting, rspamd, milters, asked in this order at each stage of an SMTP
 * session.  What needs others (DNS, rspamd, a milter) runs on policy's own threads while the session is parked: a check is
 * begun, the waker tells when it is done, the verdict is taken.  A check that needs nobody is done at once.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <netinet/in.h>

#include "base/arena.h"
#include "base/body.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/waker.h"

struct dns_client;
struct fetch_client;
struct policy;
struct policy_config; /* policy/config.h: the tables and helpers as main/ read them */

struct policy_setting {
    const struct policy_config *config; /* must outlive it */
    const char *dir; /* data/mail/policy: greylist and rates that survive a restart (derived); made if need be */
    const char *hostname;
    struct body_limits body; /* of messages that helpers have changed; size_max is what comes on top */
    struct dns_client *dns;
    struct fetch_client *fetch;
};
/* FAIL_PERM: a file of an access table is not right, with its line. */
bool policy_open(const struct policy_setting *s, struct policy **out, struct fail *why);
/* No session may be open any more.  Waits for what its threads are at.  Fine on NULL; leaves *p NULL. */
void policy_close(struct policy **p);
/* Nothing is configured that could have a say: sessions need not ask. */
bool policy_is_idle(const struct policy *p);

/* ---- one SMTP session ---- */

#define POLICY_STAGES(X)           \
    X(POLICY_CONNECT, "connect")   \
    X(POLICY_HELO, "helo")         \
    X(POLICY_MAIL, "mail")         \
    X(POLICY_RCPT, "rcpt")         \
    X(POLICY_DATA, "data")         \
    X(POLICY_MESSAGE, "message")   \
    X(POLICY_UNKNOWN, "unknown")   /* a command that nobody knows: milters may ask for them */

enum policy_stage {
#define X(id, text) id,
    POLICY_STAGES(X)
#undef X
};
const char *policy_stage_name(enum policy_stage stage);

enum policy_kind { POLICY_MX, POLICY_SUBMISSION, POLICY_LMTP };

/* What is known.  policy_begin copies what it needs. */
struct policy_facts {
    enum policy_kind kind;
    struct slice peer;       /* "192.0.2.1", "2001:db8::1", "local" */
    bool         has_peer;   /* `address` is set; IPv4 as ::ffff:a.b.c.d */
    struct in6_addr address;
    unsigned     port;
    struct slice helo, session; /* session: log id */
    struct slice user;       /* signed in as; empty: not */
    uint64_t     account;
    bool         trusted;    /* one of the networks that may relay: no stranger */
    bool         tls;
    struct slice tls_version, tls_cipher;
    struct slice sender;     /* reverse-path, from POLICY_MAIL on; "" for <> */
    struct slice recipient;  /* POLICY_RCPT */
    const struct slice *recipients; /* POLICY_DATA and on: those that were accepted */
    size_t       recipient_count;
    uint64_t     size;       /* announced */
    struct slice command;    /* POLICY_UNKNOWN: the line; MAIL, RCPT: the parameters, for milters */
    struct body *body;       /* POLICY_MESSAGE: with the Received field on top; policy takes a reference */
    unsigned     own_fields; /* header fields on top that are ours: milters do not see them */
    struct slice trace;
};

enum policy_action {
    POLICY_ACCEPT,
    POLICY_REJECT,   /* 5xx */
    POLICY_DEFER,    /* 4xx */
    POLICY_CLOSE,    /* 421 and the end of the session */
    POLICY_DISCARD,  /* POLICY_MESSAGE only: 250, and nothing is kept: logged */
};
/* What POLICY_MESSAGE may change of the envelope; in the order in which it is to be done. */
struct policy_change {
    enum policy_change_kind {
        POLICY_ADD_RECIPIENT, POLICY_REMOVE_RECIPIENT, POLICY_CHANGE_SENDER,
        POLICY_REDIRECT, /* all recipients become this one */
    } kind;
    struct slice address;
};
struct policy_verdict {
    enum policy_action action;
    unsigned           code;   /* SMTP reply code; 0: what suits the action */
    struct slice       status; /* enhanced; may be empty */
    struct slice       text;
    struct slice       by;     /* which rule or helper said so: for the log */
    bool               junk;   /* POLICY_MESSAGE: tagged: goes to the Junk mailbox where there is one */
    const struct policy_change *changes; /* POLICY_MESSAGE */
    size_t             change_count;
};

struct policy_session; /* made by the first check, holds open milters */
struct policy_check;

/*
 * Begins a check of `stage`.  NULL: there is nothing to be said against it, go on.  *ps is made when first needed.
 * A session has one check at a time.
 */
struct policy_check *policy_begin(struct policy *p, struct policy_session **ps, enum policy_stage stage, const struct policy_facts *facts,
                                  struct waker waker);
/* false: not yet (return TURN_WAIT).  True: the verdict, whose slices live until policy_check_end. */
bool policy_poll(struct policy_check *c, struct policy_verdict *out);
/* POLICY_MESSAGE, when done: the message as helpers changed it, the caller's; NULL: it stays as it is. */
struct body *policy_take_message(struct policy_check *c);
/* Fine before it is done: the result is then dropped.  The waker is not called afterwards.  Leaves *c NULL. */
void policy_check_end(struct policy_check **c);
/* The transaction is over, or a new one begins: helpers forget the message.  Fine on NULL. */
void policy_session_reset(struct policy_session *ps);
/* Fine on NULL; leaves *ps NULL. */
void policy_session_end(struct policy_session **ps);

/* ---- rates of accounts that submit ---- */

/*
 * Counts one message to `recipients` for the account (POLICY_DATA does this for sessions that are signed in); false: over the
 * limit, FAIL_TEMP with the limit and the time at which it may again.  Fine on NULL: no limits.
 */
bool policy_rate_take(struct policy *p, uint64_t account, unsigned recipients, struct fail *why);

/* ---- for the administrator ---- */

/*
 * Plays the stages from connect to RCPT for such a client and writes which rule would decide and why, one line each;
 * nothing is counted or kept.  Asks DNS, but no milters and no rspamd.
 */
bool policy_explain(struct policy *p, const struct policy_facts *facts, struct buf *out, struct fail *why);

#endif
