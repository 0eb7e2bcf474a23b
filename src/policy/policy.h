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
#include "base/fail.h"
#include "base/waker.h"

struct dns_client;
struct fetch_client;
struct policy;
struct policy_config; /* policy/config.h: the tables and helpers as main/ read them */

struct policy_setting {
    const struct policy_config *config;
    const char *dir; /* data/mail/policy: greylist and rates that survive a restart (derived) */
    const char *hostname;
    struct dns_client *dns;
    struct fetch_client *fetch;
};
bool policy_open(const struct policy_setting *s, struct policy **out, struct fail *why);
void policy_close(struct policy **p);

/* ---- one SMTP session ---- */

enum policy_stage { POLICY_CONNECT, POLICY_HELO, POLICY_MAIL, POLICY_RCPT, POLICY_DATA, POLICY_MESSAGE };

/* What is known; slices live until the check is over. */
struct policy_facts {
    struct slice peer;       /* "192.0.2.1", "2001:db8::1", "local" */
    bool         has_peer;   /* `address` is set; IPv4 as ::ffff:a.b.c.d */
    struct in6_addr address;
    struct slice helo, session; /* session: log id */
    struct slice user;       /* signed in as; empty: not */
    uint64_t     account;
    bool         submission; /* mail of our own users */
    bool         tls;
    struct slice tls_version, tls_cipher;
    struct slice sender;     /* reverse-path, from POLICY_MAIL on */
    struct slice recipient;  /* POLICY_RCPT */
    const struct slice *recipients; /* POLICY_DATA and on: those that were accepted */
    size_t       recipient_count;
    uint64_t     size;       /* announced, or (POLICY_MESSAGE) of the body */
    const struct body *body; /* POLICY_MESSAGE: with the Received field on top */
    struct slice trace;
};

enum policy_action {
    POLICY_ACCEPT,
    POLICY_REJECT,   /* 5xx */
    POLICY_DEFER,    /* 4xx */
    POLICY_CLOSE,    /* 421 and the end of the session */
    POLICY_DISCARD,  /* 250, and nothing is kept: logged */
};
/* What POLICY_MESSAGE may change; in the order in which it is to be done. */
struct policy_change {
    enum policy_change_kind {
        POLICY_ADD_HEADER, POLICY_INSERT_HEADER, POLICY_CHANGE_HEADER, /* value empty: the field is removed */
        POLICY_REPLACE_BODY, POLICY_ADD_RECIPIENT, POLICY_REMOVE_RECIPIENT, POLICY_CHANGE_SENDER,
        POLICY_REDIRECT, /* all recipients become this one */
    } kind;
    unsigned     index; /* of fields with that name, from 1; INSERT: position from the top, 0: first */
    struct slice name, value;
    const struct body *body; /* REPLACE_BODY; the session's */
};
struct policy_verdict {
    enum policy_action action;
    unsigned           code;   /* SMTP reply code; 0: what suits the action */
    struct slice       status, text;
    struct slice       by;     /* which rule or helper said so: for the log */
    bool               junk;   /* tagged: goes to the Junk mailbox where there is one */
    const struct policy_change *changes;
    size_t             change_count;
};

struct policy_session; /* made by the first check, holds open milters */
struct policy_check;

/* Begins a check of `stage`.  *ps is made when first needed. */
struct policy_check *policy_begin(struct policy *p, struct policy_session **ps, enum policy_stage stage, const struct policy_facts *facts,
                                  struct waker waker);
/* false: not yet (return TURN_WAIT).  True: the verdict, whose slices live until policy_check_end. */
bool policy_poll(struct policy_check *c, struct policy_verdict *out);
/* Fine before it is done: the result is then dropped.  The waker is not called afterwards.  Leaves *c NULL. */
void policy_check_end(struct policy_check **c);
/* RSET or a new MAIL: helpers forget the message. */
void policy_session_reset(struct policy_session *ps);
void policy_session_end(struct policy_session **ps);

/* ---- rates of accounts that submit ---- */

struct policy_rates { unsigned messages_hour, messages_day, recipients_hour, recipients_day; /* 0: no limit */ };
/* Counts `recipients` of one message for the account; false: over the limit, with the time at which it may again. */
bool policy_rate_take(struct policy *p, uint64_t account, unsigned recipients, struct fail *why);

#endif
