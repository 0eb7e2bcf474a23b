/*
 * store/quota_internal.h - what the files about quotas share: what is known in memory of accounts and domains.
 *
 * Layer: store; private to quota*.c.  All of it by the store's quota_lock, which is held for moments; no other
 * lock is taken under it.
 */
#ifndef STORE_QUOTA_INTERNAL_H
#define STORE_QUOTA_INTERNAL_H

#include "store/internal.h"

/* The accounts of a domain, counted together. */
struct quota_group {
    struct quota_amount used, reserved; /* sums of its members' `counted` and `reserved` */
    bool whole;                         /* all accounts of the domain are members */
    unsigned told[2];                   /* level that was told last */
    struct fail failed;                 /* why the last count came to nothing; text "": it did not */
};

/* What is known of one account. */
struct quota_entry {
    bool known;   /* `used`, `most` and `own` are what the file says */
    bool own[2];  /* limits that stand in the file; else `most` is the config's */
    bool counts;  /* `counted` is what the file says, or said when it was closed in service */
    bool saved;   /* it came from the process before, and goes to the next one */
    struct quota_amount used, most, reserved, counted;
    struct quota_group *group; /* of its domain, where that is counted; such an entry is never forgotten */
};

/* The entry of an account, made if there is none; with quota_lock held. */
struct quota_entry *quota_entry_of(struct store *st, uint64_t id);
/* The account's entry, known, with quota_lock held; NULL without it.  Opens the file where nothing is known. */
struct quota_entry *quota_lock_known(struct account *a, struct fail *why);
void quota_unlock(struct store *st);

/* ---- quota_domain.c ---- */

/* The domain of an account; false: it has none, or nobody has said who knows. */
bool quota_domain_find(struct store *st, uint64_t account, struct quota_domain *out);
static inline bool quota_domain_limits(const struct quota_domain *d)
{
    return d->most.bytes != QUOTA_UNLIMITED || d->most.messages != QUOTA_UNLIMITED;
}
/*
 * Its group, whole, from here on; without any lock of an account or of quotas.  A thread counts it; who comes waits for two
 * seconds, then it is FAIL_TEMP, so that a domain of very many accounts holds nobody up after a crash.
 */
bool quota_group_ready(struct store *st, const struct quota_domain *d, struct fail *why);
/* With quota_lock held: NULL if the domain is not counted. */
struct quota_group *quota_group_get(const struct store *st, uint64_t domain);
/* A member of it from here on, with what is known. */
void quota_join(struct quota_entry *e, struct quota_group *g);
/* The entry's file says so now. */
void quota_counted(struct quota_entry *e, struct quota_amount now);

/* ---- quota_warn.c ---- */

/* What the entry and its domain (NULL: none with limits) hold has changed; quota_lock and the account's lock held. */
void quota_watch(struct account *a, const struct quota_entry *e, struct quota_amount most, const struct quota_domain *d);
/* From the node's database; without quota_lock. */
bool quota_load_domain_told(struct store *st, uint64_t domain, unsigned told[2], struct fail *why);

#endif
