/*
 * store/quota.h - how much an account may hold (RFC 9208).
 *
 * Layer: store.  An account has one quota, over all its mailboxes.  Its limits
 * stand in its file; where it has none of its own those of store_limits hold.
 * What is used is what account_usage says: messages that are in a mailbox, with
 * every copy of them; what was expunged and is kept for undelete does not count.
 *
 * Room is reserved before a record is written, so that many who come at once
 * cannot all have the last of it.  A reservation ends with the transaction that
 * writes the rows, in the same moment in which they begin to count.
 *
 *     quota_reserve -> record -> rows (they count now, the reservation is over)
 *                   -> quota_release, where nothing came of it
 */
#ifndef STORE_QUOTA_H
#define STORE_QUOTA_H

#include "base/fail.h"

struct account;
struct store;

enum quota_resource {
    QUOTA_STORAGE, /* bytes */
    QUOTA_MESSAGE, /* messages in mailboxes */
    QUOTA_MAILBOX, /* mailboxes that can hold messages */
    QUOTA_RESOURCES,
};

#define QUOTA_UNLIMITED UINT64_MAX
#define QUOTA_MOST      ((uint64_t)INT64_MAX) /* the highest limit there is */

struct quota {
    uint64_t used[QUOTA_RESOURCES];
    uint64_t most[QUOTA_RESOURCES]; /* or QUOTA_UNLIMITED */
    bool own[QUOTA_RESOURCES];      /* the account's own limit, not the default of all */
};
bool quota_read(struct account *a, struct quota *out, struct fail *why);

struct quota_amount {
    uint64_t bytes, messages;
};

/*
 * Accounts may have limits together, as those of a mail domain, and a domain limits for each of its accounts that has
 * none of its own.  Who knows domains tells the store, once, before anybody asks for room.
 */
struct quota_domain {
    uint64_t id;                  /* never used twice */
    struct quota_amount most;     /* of all together; QUOTA_UNLIMITED */
    bool has_default[QUOTA_RESOURCES];
    uint64_t each[QUOTA_RESOURCES]; /* of each account, instead of what store_limits says */
    char name[256];
};
struct quota_source {
    /* Quick, from any thread and under any of the store's locks.  false: the account has no domain. */
    bool (*domain_of)(void *ctx, uint64_t account, struct quota_domain *out);
    /* Calls `each` for all accounts of a domain. */
    bool (*members)(void *ctx, const struct quota_domain *d, bool (*each)(void *ctx, uint64_t account), void *each_ctx,
                    struct fail *why);
    void *ctx;
};
void quota_set_source(struct store *st, const struct quota_source *source);
bool quota_domain_of(struct account *a, struct quota_domain *out);
/* What its accounts hold together.  Opens files of which nothing is known. */
bool quota_domain_used(struct store *st, const struct quota_domain *d, struct quota_amount *used, struct fail *why);

/*
 * Who sends warnings is told when an account or a domain has reached another of the percentages than was told last,
 * fallen below one too.  `crossed` is called under locks: it may wake somebody, no more.
 */
struct quota_warnings {
    const unsigned *percents; /* from 1 to 100 */
    size_t count;
    void (*crossed)(void *ctx);
    void *ctx;
};
void quota_set_warnings(struct store *st, const struct quota_warnings *warnings);
/* The highest percentage that is reached, 0: none. */
unsigned quota_level(const struct quota_warnings *w, uint64_t used, uint64_t most);
/* The next one noted, an account or a domain; false: there is none.  It is noted again when it changes again. */
bool quota_take_crossed(struct store *st, bool *is_domain, uint64_t *id);
/* The levels that were told last, of QUOTA_STORAGE and QUOTA_MESSAGE; they survive restarts. */
bool quota_read_told(struct account *a, unsigned told[2], struct fail *why);
bool quota_write_told(struct account *a, const unsigned told[2], struct fail *why);
void quota_read_domain_told(struct store *st, uint64_t domain, unsigned told[2]);
bool quota_write_domain_told(struct store *st, uint64_t domain, const unsigned told[2], struct fail *why);

/* One limit to be set: up to QUOTA_MOST, or QUOTA_UNLIMITED; with `by_default` the account has none of its own
 * any more. */
struct quota_change {
    enum quota_resource resource;
    bool by_default;
    uint64_t most;
};
/* All or none. */
bool quota_set(struct account *a, const struct quota_change *changes, size_t count, struct fail *why);

/*
 * May so much more come in?  If so it is reserved.  FAIL_OVER_QUOTA: FAIL_TEMP, or FAIL_PERM for more bytes
 * than the account could hold if it were empty; FAIL_OVER_DOMAIN_QUOTA where it is the domain.  Opens the account's file only where nothing is known of it.
 */
bool quota_reserve(struct account *a, struct quota_amount more, struct fail *why);
/* The same without reserving: for who wants to refuse early. */
bool quota_fits(struct account *a, struct quota_amount more, struct fail *why);
/*
 * What was reserved for a message of unknown size becomes `bytes`, now that the size is known.  Only refused
 * where the account is full without it: what RCPT took may go over the limit, by that one message.
 */
bool quota_grow(struct account *a, struct quota_amount *reserved, uint64_t bytes, struct fail *why);
/* After FAIL_OVER_QUOTA, for who can do something about it: how much too little room there is.  Returns false. */
bool quota_tell_missing(struct account *a, struct quota_amount more, struct fail *why);
/* Before a transaction that asks for room by itself: what its domain holds is known from here on. */
bool quota_ready(struct account *a, struct fail *why);
/* What is reserved in it just now. */
struct quota_amount quota_reserved(struct store *st, uint64_t account_id);
void quota_release(struct store *st, uint64_t account_id, struct quota_amount amount);

#endif
