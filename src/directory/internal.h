/*
 * directory/internal.h - what the directory's files share.
 *
 * Layer: directory, private to it.
 *
 * Two locks.  `change` is held by one changer at a time, around the database (one
 * connection) and all that leads to a decision; `memory` guards the maps and is
 * held for writing only while a change that is durable is entered there.  So a
 * look-up never waits for a disk.  Order: change, memory.
 */
#ifndef DIRECTORY_INTERNAL_H
#define DIRECTORY_INTERNAL_H

#include <pthread.h>

#include "base/address.h"
#include "directory/directory.h"
#include "directory/names.h"
#include "storage/db.h"

/* One domain of ours; the value in `domains`. */
struct domain {
    uint64_t id;
    uint64_t names; /* accounts and aliases in it */
    int64_t limits[DOMAIN_LIMITS];
};

struct aliases_file;

struct directory {
    struct directory_limits limits;
    pthread_mutex_t change;
    struct db *db;
    pthread_rwlock_t memory;
    struct map domains;             /* A-label to struct domain */
    struct domain_key first_domain; /* with the lowest id; len 0 if there is none */
    struct names names;
    struct map granted; /* see sender.c */
    struct aliases_file *file; /* NULL: none is in use */
    int64_t next_look;         /* at the file, clock_mono_ms; 0: never.  Atomic */
};

enum directory_sql {
    SQL_DOMAINS,
    SQL_ACCOUNTS,
    SQL_ALIASES,
    SQL_DOMAIN_ADD,
    SQL_DOMAIN_REMOVE,
    SQL_NEXT_ID,
    SQL_ACCOUNT_ADD,
    SQL_ACCOUNT_REMOVE,
    SQL_ACCOUNT_DISABLE,
    SQL_ALIAS_ADD,
    SQL_ALIAS_REMOVE,
    SQL_MEMBER_REMOVE,
    SQL_DOMAIN_PAGE,
    SQL_ACCOUNT_PAGE,
    SQL_ALIAS_PAGE,
    SQL_ACCOUNT_SENT_COPY,
    SQL_DOMAIN_QUOTA,
    SQL_GRANTS,
    SQL_GRANTS_OF,
    SQL_GRANT_ADD,
    SQL_GRANT_REMOVE,
    SQL_GRANTS_FORGET,
};

/* One change at a time: around everything that leads to it. */
void directory_change_begin(struct directory *d);
void directory_change_end(struct directory *d);

/* ---- aliases_file.c ---- */

void aliases_file_free(struct aliases_file **f);
/* Has it changed?  Then it is read.  Without any lock. */
void aliases_file_look(struct directory *d);
/* With `memory` held. */
const struct name *aliases_file_get(const struct directory *d, struct slice address);

/* ---- sender.c; with the right lock held ---- */

bool senders_load(struct directory *d, struct fail *why);
/* In the maps: the account is gone. */
void senders_forget(struct directory *d, uint64_t account);
bool sender_is_granted(const struct directory *d, uint64_t account, struct slice address);

#endif
