/*
 * policy/config.h - the tables and helpers as main/ reads them from the config file.
 *
 * Layer: policy.  Everything in here lives as long as the config.
 */
#ifndef POLICY_CONFIG_H
#define POLICY_CONFIG_H

#include "base/fail.h"

struct policy_limits {
    unsigned threads;                /* that wait for DNS, rspamd and milters; default 32 */
    unsigned waiting;                /* checks that wait for a thread; beyond: 451; default 2000 */
    unsigned helper_failures;        /* in a row, after which a helper is left alone for a while; default 3 */
    unsigned helper_pause_seconds;   /* that while; default 30 */
    unsigned dnslist_threshold;      /* sum of the weights of lists that name a client; default 1: the first hit */
    const char *helo_check;          /* "off", "valid" (a name or literal that can be), "resolves"; default "off" */
    bool     sender_domain_check;    /* the sender's domain must have MX or an address; default false */
    bool     greylist;               /* default false */
    unsigned greylist_delay_seconds; /* default 300 */
    unsigned greylist_retry_hours;   /* within which it must be tried again; default 48 */
    unsigned greylist_keep_days;     /* that a pair that came once may come at once; default 36 */
    unsigned greylist_auto_allow;    /* messages after which a client network is not asked again; 0: never; default 5 */
    unsigned greylist_entries;       /* default 200000, of 40 bytes */
    unsigned connections_per_minute; /* from one address; 0: no limit, so for all of these; default 0 */
    unsigned messages_per_hour, recipients_per_hour;
    unsigned network_connections_per_minute; /* from one /24 or /64 */
    unsigned network_messages_per_hour, network_recipients_per_hour;
    unsigned rate_entries;           /* addresses and networks that are counted; default 100000, of 40 bytes */
    unsigned account_messages_per_hour, account_messages_per_day; /* submitted by one account */
    unsigned account_recipients_per_hour, account_recipients_per_day;
    unsigned save_seconds;           /* between two savings of greylist and rates; default 60 */
    unsigned table_entries;          /* lines of one access file; default 1000000 */
};
void policy_limits_default(struct policy_limits *l);
/* What only shows when all is known. */
bool policy_limits_check(const struct policy_limits *l, struct fail *why);

/* ---- access tables ---- */

#define ACCESS_ACTIONS(X)             \
    X(ACCESS_ALLOW, "allow")          \
    X(ACCESS_REJECT, "reject")        \
    X(ACCESS_DEFER, "defer")          \
    X(ACCESS_TAG, "tag")              \
    X(ACCESS_DISCARD, "discard")      \
    X(ACCESS_REDIRECT, "redirect")    \
    X(ACCESS_NEXT, "next") /* this table says nothing: an exception to a wider pattern of it */

enum access_action {
#define X(id, text) id,
    ACCESS_ACTIONS(X)
#undef X
};
const char *access_action_name(enum access_action a);
bool access_action_parse(struct slice word, enum access_action *out);

enum access_stage { ACCESS_CLIENT, ACCESS_HELO, ACCESS_SENDER, ACCESS_RECIPIENT };
const char *access_stage_name(enum access_stage s);
bool access_stage_parse(struct slice word, enum access_stage *out);

/* Tables are asked in the order of the config; the first that says something decides. */
struct policy_access {
    const char        *name;
    enum access_stage  stage;
    const char *const *match; /* patterns; see policy/access.h */
    size_t             match_count;
    const char        *file;  /* "": none */
    enum access_action action;
    const char        *text;  /* "": a general one.  May begin with a status code: "5.7.1 go away" */
    const char        *to;    /* ACCESS_REDIRECT */
};
/* Are the patterns right? */
bool policy_access_check(const struct policy_access *a, struct fail *why);

/* ---- DNS lists (RFC 5782) ---- */

enum dnslist_of { DNSLIST_CLIENT, DNSLIST_HELO, DNSLIST_SENDER };
const char *dnslist_of_name(enum dnslist_of of);
bool dnslist_of_parse(struct slice word, enum dnslist_of *out);

struct policy_dnslist {
    const char        *zone;
    enum dnslist_of    of;
    enum access_action action;  /* ACCESS_REJECT, DEFER, TAG, or ALLOW: neither other lists nor greylisting */
    int                weight;  /* default 1 */
    const char *const *answers; /* that count: "127.0.0.2", "127.0.0.4-11", "127.0.0.0&6"; none: all of 127/8 but 127.255.255/24 */
    size_t             answer_count;
    const char        *text;    /* "": a general one */
};
bool policy_dnslist_check(const struct policy_dnslist *l, struct fail *why);

/* ---- helpers ---- */

enum policy_unavailable { UNAVAILABLE_DEFER, UNAVAILABLE_ACCEPT, UNAVAILABLE_REJECT };
const char *policy_unavailable_name(enum policy_unavailable u);
bool policy_unavailable_parse(struct slice word, enum policy_unavailable *out);

enum { FOR_SMTP = 1, FOR_SUBMISSION = 2, FOR_LMTP = 4 }; /* bits: whose sessions */

struct policy_rspamd {
    const char             *url; /* "http://127.0.0.1:11333"; "": none */
    const char             *password; /* "": none */
    unsigned                seconds;
    unsigned                services; /* FOR_... */
    uint64_t                message_bytes; /* larger messages are not shown to it */
    enum policy_unavailable unavailable;
    bool                    tag_header; /* "add header" also puts X-Spam fields on top */
};

struct policy_milter {
    const char             *name;
    const char             *socket; /* as fetch_connect wants it */
    unsigned                services;
    unsigned                connect_seconds, command_seconds, content_seconds; /* the last: from the header to the answer about all */
    enum policy_unavailable unavailable;
    bool                    always; /* also for whom a table allows: one that signs */
};

struct policy_config {
    const struct policy_limits  *limits;
    const struct policy_access  *access;
    size_t                       access_count;
    const struct policy_dnslist *dnslists;
    size_t                       dnslist_count;
    const struct policy_milter  *milters;
    size_t                       milter_count;
    struct policy_rspamd         rspamd;
};

#endif
