/*
 * directory/directory.h - who is local, and where does this address go?
 *
 * Layer: directory.  Domains, accounts and aliases in directory.db.  Look-ups are
 * answered from memory; changes are durable when the call returns.  Any thread.
 * Domains compare without case (A-labels and U-labels are the same domain); local
 * parts too (ASCII and Unicode case folded, NFC).
 */
#ifndef DIRECTORY_DIRECTORY_H
#define DIRECTORY_DIRECTORY_H

#include "base/arena.h"
#include "base/fail.h"

struct directory;

struct directory_limits {
    char separator;         /* of plus-addresses: ann+lists@...; 0: none; default '+' */
    unsigned alias_members; /* default 1000 */
    unsigned alias_depth;   /* aliases that lead to aliases; default 10 */
    unsigned route_targets; /* destinations of one address in all; default 10000 */
};
void directory_limits_default(struct directory_limits *l);

bool directory_open(const char *path, const struct directory_limits *limits, struct directory **out,
                    struct fail *why);
void directory_close(struct directory **d);
/* A copy of the database, fsynced and renamed into place: for a backup. */
bool directory_copy(struct directory *d, const char *path, struct fail *why);

/*
 * Aliases for the first domain from a file in the form of /etc/aliases; the database's names go first.  The file is
 * read again when it has changed; what is wrong in it is logged and left out.
 */
void directory_use_aliases(struct directory *d, const char *path);

/* ---- asking ---- */

struct directory_account {
    uint64_t id;          /* never used twice */
    struct slice address; /* canonical: "ann@example.org" */
    bool disabled;
    bool sent_copy;  /* what it submits is also put into its Sent mailbox */
    int64_t created; /* seconds since 1970 */
};

/* One destination of an address. */
struct route_target {
    bool local;
    uint64_t account;     /* local */
    struct slice address; /* canonical address of the account, or the remote address */
    struct slice detail;  /* what stood after the separator ("lists"), "" if nothing */
    struct slice owner;   /* of the innermost list it was reached through: see directory_route; "" if none */
};

enum route_kind {
    ROUTE_LOCAL,    /* targets: one or more (alias members may be remote) */
    ROUTE_REMOTE,   /* the domain is not ours */
    ROUTE_UNKNOWN,  /* our domain, no such recipient: 550 5.1.1 */
    ROUTE_DISABLED, /* the account is disabled: 550 5.2.1 */
    ROUTE_LOOP,     /* aliases lead nowhere but in a circle, too deep or to too many: 550 5.4.6 */
    ROUTE_INVALID,  /* not an address (at our domains, quoted strings that need their quotes too): 553 5.1.3 */
};

struct route {
    enum route_kind kind;
    struct route_target *targets; /* in the arena, each destination once */
    size_t count;
};
/*
 * `address` as RCPT gave it, without angle brackets.  Order: account, alias, plus-address,
 * catch-all ("@domain").  "postmaster" alone and at every domain of ours always leads
 * somewhere (RFC 5321 section 4.5.1): where these lead nowhere, to the first account there
 * is that is not disabled.  Members of an alias that are disabled, gone or lead back to it are
 * left out while others are there.  FAIL_TEMP if it cannot be answered now.
 *
 * An alias NAME beside which there is an address "owner-NAME" is a mailing list (RFC 5321 section 3.9.2): what goes
 * to its members has that address as reverse-path.
 */
bool directory_route(struct directory *d, struct slice address, struct arena *a, struct route *out,
                     struct fail *why);

/*
 * By login name (an account's address; a bare local part means the only or first domain) / by id.
 * FAIL_NOT_FOUND.  Disabled accounts are found: the caller looks at `disabled`.
 */
bool directory_login(struct directory *d, struct slice login, struct arena *a, struct directory_account *out,
                     struct fail *why);
bool directory_account(struct directory *d, uint64_t id, struct arena *a, struct directory_account *out,
                       struct fail *why);
/* May this account send as that address: its own, with any detail, an alias that leads to it, or one granted. */
bool directory_may_send_as(struct directory *d, uint64_t account, struct slice address, bool *may,
                           struct fail *why);
/* Is there an account or an alias of just that address? */
bool directory_has_name(struct directory *d, struct slice address);
bool directory_is_local_domain(struct directory *d, struct slice domain);
/* The one that names without a domain mean; empty if there is none. */
struct slice directory_first_domain(struct directory *d, struct arena *a);

/* What the accounts of a domain may hold: kept here, counted by the store. */
enum domain_limit {
    DOMAIN_BYTES,             /* all together */
    DOMAIN_MESSAGES,          /* the same */
    DOMAIN_ACCOUNT_BYTES,     /* each that has no limit of its own, instead of what the config says for all */
    DOMAIN_ACCOUNT_MESSAGES,  /* the same */
    DOMAIN_ACCOUNT_MAILBOXES, /* the same */
    DOMAIN_LIMITS,
};
#define DOMAIN_LIMIT_UNSET (-1) /* 0: no limit */
struct domain_quota {
    uint64_t id;
    int64_t limits[DOMAIN_LIMITS];
    char name[256]; /* A-labels, NUL-terminated */
};
/* Of a domain: FAIL_NOT_FOUND.  Of the domain of an account: false if there is no such account. */
bool directory_domain_quota(struct directory *d, struct slice domain, struct domain_quota *out, struct fail *why);
bool directory_account_quota(struct directory *d, uint64_t account, struct domain_quota *out);
/* Calls `each` for every account of a domain, until it says false. */
bool directory_domain_accounts(struct directory *d, struct slice domain, bool (*each)(void *ctx, uint64_t account),
                               void *ctx, struct fail *why);

/* ---- changing ---- */

struct domain_quota_change {
    enum domain_limit which;
    int64_t limit;
};
/* All or none. */
bool directory_domain_quota_set(struct directory *d, struct slice domain, const struct domain_quota_change *changes,
                                size_t count, struct fail *why);

bool directory_domain_add(struct directory *d, struct slice domain, struct fail *why);
/* FAIL_HAS_CHILDREN while it has accounts or aliases. */
bool directory_domain_remove(struct directory *d, struct slice domain, struct fail *why);
bool directory_account_add(struct directory *d, struct slice address, uint64_t *id, struct fail *why);
bool directory_account_remove(struct directory *d, uint64_t id, struct fail *why);
bool directory_account_disable(struct directory *d, uint64_t id, bool disabled, struct fail *why);
bool directory_account_sent_copy(struct directory *d, uint64_t id, bool on, struct fail *why);
/*
 * What an account may send as beside its own addresses: an address, here or elsewhere; "@domain": all of a
 * domain's; "@": any at all.  FAIL_EXISTS, FAIL_NOT_FOUND, FAIL_INVALID.
 */
bool directory_sender_add(struct directory *d, uint64_t account, struct slice sender, struct fail *why);
bool directory_sender_remove(struct directory *d, uint64_t account, struct slice sender, struct fail *why);
/* In the arena, in order. */
bool directory_senders(struct directory *d, uint64_t account, struct arena *a, struct slice **out, size_t *count,
                       struct fail *why);
/*
 * `address` may be "@domain" (catch-all); one that is an account's is refused.  Adds one member.
 * FAIL_EXISTS, FAIL_NOT_FOUND (no such domain here), FAIL_INVALID, FAIL_LIMIT.
 */
bool directory_alias_add(struct directory *d, struct slice address, struct slice member, struct fail *why);
/* Empty `member`: the whole alias. */
bool directory_alias_remove(struct directory *d, struct slice address, struct slice member, struct fail *why);

/* Walks, ordered by name; `each` gets slices that are valid during the call. */
bool directory_each_domain(struct directory *d, bool (*each)(void *ctx, struct slice domain), void *ctx,
                           struct fail *why);
bool directory_each_account(struct directory *d, bool (*each)(void *ctx, const struct directory_account *a),
                            void *ctx, struct fail *why);
bool directory_each_alias(struct directory *d,
                          bool (*each)(void *ctx, struct slice address, struct slice member), void *ctx,
                          struct fail *why);

#endif
