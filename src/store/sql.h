/*
 * store/sql.h - all SQL of the store, by number.
 *
 * Layer: store; private to the room.  Texts are in schema.c (formats) and sql.c
 * (statements); parameters and columns are named there.
 */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include "storage/db.h"

/* Statements of an account file. */
enum account_sql {
    SQL_ACCOUNT_READ,
    SQL_ACCOUNT_NEW,
    SQL_ACCOUNT_WRITE,

    SQL_MAILBOX_ALL,
    SQL_MAILBOX_ONE,
    SQL_MAILBOX_NEW,
    SQL_MAILBOX_WRITE,
    SQL_MAILBOX_PLACE,
    SQL_MAILBOX_ADOPT,
    SQL_MAILBOX_REVIVE,
    SQL_MAILBOX_BURY,
    SQL_MAILBOX_RECENT,
    SQL_SUBSCRIPTION_ALL,
    SQL_SUBSCRIBE,
    SQL_UNSUBSCRIBE,
    SQL_KEYWORD_SET_ALL,
    SQL_KEYWORD_SET_NEW,
    SQL_KEYWORD_SET_PURGE,

    SQL_MESSAGE_NEW,
    SQL_MESSAGE_BY_REF,
    SQL_CACHED_NEW,
    SQL_ENTRY_NEW,
    SQL_IS_IN_MAILBOX,
    SQL_VIEW_ENTRIES,
    SQL_VIEW_EXPUNGED,
    SQL_VANISHED,
    SQL_FETCH,
    SQL_FETCH_CACHED,
    SQL_FETCH_GONE,
    SQL_FETCH_GONE_CACHED,

    SQL_FLAGS_SET,
    SQL_FLAGS_AND_KEYWORDS_SET,
    SQL_DELETED_BYTES,
    SQL_COPY_ENTRIES,
    SQL_RANGE_BYTES,
    SQL_EXPUNGE_KEEP,
    SQL_EXPUNGE_REMOVE,

    SQL_PURGE_DUE,
    SQL_PURGE_BURY,
    SQL_PURGE_FORGET_BODIES,
    SQL_PURGE_CACHED,
    SQL_PURGE_MESSAGES,
    SQL_FORGET_MODSEQ,
    SQL_FORGET_EXPUNGED,
    SQL_FORGET_MAILBOXES,
    SQL_DEAD_SOME,
    SQL_DEAD_HAS,
    SQL_DEAD_GONE,

    SQL_REFERENCES,
    SQL_CHECK_COUNTS,
    SQL_CHECK_TOTALS,
    SQL_CHECK_KEYWORDS,
    SQL_CHECK_ENTRIES,
    SQL_SIZE_WRITE,
    SQL_COUNTS_WRITE,
    SQL_TOTALS_WRITE,
    SQL_MAILBOX_IDS,
    SQL_MAILBOX_RENEW,
    SQL_ACCOUNT_RENEW,

    ACCOUNT_SQL_COUNT
};
extern const char *const account_statements[ACCOUNT_SQL_COUNT];
extern const struct db_schema account_schema;

/* Statements of node.db. */
enum node_sql {
    NODE_GET,
    NODE_SET,
    NODE_RELEASE,
    NODE_RELEASED_BY,
    NODE_RELEASES,
    NODE_RELEASE_FORGET,
    NODE_RELEASED_ALL,
    NODE_RELEASED_GONE,
    NODE_SQL_COUNT
};
extern const char *const node_statements[NODE_SQL_COUNT];
extern const struct db_schema node_schema;

#endif
