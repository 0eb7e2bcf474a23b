/*
 * store/schema.c - the tables of an account file and of the node's database.
 *
 * Layer: store.  STRICT tables; a change of format adds an upgrade, never edits one.
 */
#include "store/sql.h"

/*
 * account      one row.  Every change draws its modseq from it.  forgotten_modseq:
 *              expunges up to there are no longer all in the log.
 * mailbox      parent 0: top level.  Counts are kept.  expunge_modseq: of the last
 *              expunge, so that most clients' "what is gone?" needs no look.  A
 *              deleted mailbox stays as a tombstone while the log remembers it:
 *              with created_, changed_ and deleted_modseq it says by itself what a
 *              log of mailbox changes would.
 * keyword_set  what entries point to: names, separated by spaces, ordered.
 * message      immutable content: ref is the record in the volumes and, for a
 *              delivery, its id.  size counts the prefix in.
 * cached       computed from the record, and computable again.
 * entry        what IMAP calls a message.  No index on modseq: it would make
 *              changing flags more than three times as dear.
 * expunged     the whole entry; modseq is that of the expunge, flags_modseq what the
 *              entry had.  message 0: the body was given back, only the UID is
 *              remembered.
 * dead         records that no row needs any more, to be released.
 * acl          RFC 4314; identifier as normalised, rights: RIGHT_ bits.
 * seen         what another account has seen in a mailbox shared with it; a negative modseq: not any more.
 * annotation   RFC 5464; mailbox 0: the server's; user 0: shared, else the account it is private to;
 *              without a value: taken away at that modseq.
 * thread_key   RFC 8474 section 5.2: a hash of a message id and a base subject, and the thread that
 *              messages with it belong to (store/thread_id.c).  message.thread: whose id a thread has is
 *              its first message; 0: of a message from before there were threads, not yet looked at.
 *              cached.refs: message/references.h; empty in such rows.
 *              cached.repeats: fields that the envelope may not have all of (struct message_facts).
 * flag_run     store/flag_run.c: changes of many entries' flags that they do not show yet; keywords -1: as they are.
 * urlauth      RFC 4467: what authorizes URLs of a mailbox.
 * uidl_again   entries of INBOX that share their message's unique-id with another one (store/uidl.c);
 *              message.uidl: the one a message brought along, '': its reference says it.
 *              message.line_extra: octets more where every line ends in CRLF; -1: not counted yet.
 * quota        limits (RFC 9208), one row a resource (store/quota.h); no row: what the config
 *              says for all; -1: no limit.
 */
#define TABLES_2                                                                                             \
    "CREATE TABLE acl (mailbox INTEGER NOT NULL, identifier TEXT NOT NULL, rights INTEGER NOT NULL,"         \
    " PRIMARY KEY (mailbox, identifier)) STRICT, WITHOUT ROWID;"                                             \
    "CREATE TABLE seen (mailbox INTEGER NOT NULL, user INTEGER NOT NULL, uid INTEGER NOT NULL,"              \
    " modseq INTEGER NOT NULL, PRIMARY KEY (mailbox, user, uid)) STRICT, WITHOUT ROWID;"                     \
    "CREATE TABLE annotation (mailbox INTEGER NOT NULL, user INTEGER NOT NULL, name TEXT NOT NULL,"          \
    " value BLOB, modseq INTEGER NOT NULL, PRIMARY KEY (mailbox, user, name)) STRICT, WITHOUT ROWID;"        \
    "CREATE TABLE quota (resource INTEGER PRIMARY KEY, most INTEGER NOT NULL) STRICT;"        \
    "CREATE TABLE urlauth (mailbox INTEGER PRIMARY KEY, key BLOB NOT NULL) STRICT;"                          \
    "CREATE TABLE flag_run (mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, first INTEGER NOT NULL,"       \
    " last INTEGER NOT NULL, keep INTEGER NOT NULL, added INTEGER NOT NULL, keywords INTEGER NOT NULL,"      \
    " PRIMARY KEY (mailbox, modseq, first)) STRICT, WITHOUT ROWID;"                                          \
    "CREATE TABLE thread_key (key INTEGER PRIMARY KEY, thread INTEGER NOT NULL) STRICT;"                     \
    "ALTER TABLE message ADD COLUMN thread INTEGER NOT NULL DEFAULT 0;"                                      \
    "ALTER TABLE cached ADD COLUMN refs BLOB NOT NULL DEFAULT x'';"                                          \
    "ALTER TABLE cached ADD COLUMN repeats INTEGER NOT NULL DEFAULT -1;"

/*
 * import_source  where mail was imported from, and which mailbox that is here (store/import.h).
 * imported       what came from there: its digest, its flags there (a hash), its UID here, and its modseq when
 *                it was last the same as there.
 * script         Sieve scripts.
 * account.kept_since: what was expunged at that time or later still has its body.
 * quota_told: how full the account was when it was warned last (store/quota_warn.c), one row a resource.
 */
#define TABLES_3                                                                                             \
    "CREATE TABLE import_source (id INTEGER PRIMARY KEY, source BLOB NOT NULL UNIQUE,"                       \
    " mailbox INTEGER NOT NULL) STRICT;"                                                                     \
    "CREATE TABLE imported (source INTEGER NOT NULL, uid INTEGER NOT NULL, digest BLOB NOT NULL,"            \
    " state INTEGER NOT NULL, modseq INTEGER NOT NULL, PRIMARY KEY (source, uid)) STRICT, WITHOUT ROWID;"    \
    "CREATE TABLE script (name TEXT PRIMARY KEY, active INTEGER NOT NULL, body BLOB NOT NULL)"               \
    " STRICT, WITHOUT ROWID;"                                                                                \
    "CREATE TABLE quota_told (resource INTEGER PRIMARY KEY, percent INTEGER NOT NULL) STRICT;"                \
    "ALTER TABLE account ADD COLUMN kept_since INTEGER NOT NULL DEFAULT 0;"                                  \
    "UPDATE account SET kept_since = coalesce((SELECT max(expunged_at) + 1 FROM expunged WHERE message = 0), 0);" \
    "ALTER TABLE message ADD COLUMN line_extra INTEGER NOT NULL DEFAULT -1;"                                    \
    "ALTER TABLE message ADD COLUMN uidl TEXT NOT NULL DEFAULT '';"                                          \
    "CREATE INDEX message_line_extra ON message(line_extra) WHERE line_extra <> 0;"                          \
    "CREATE INDEX message_uidl ON message(uidl) WHERE uidl <> '';"                                           \
    "CREATE TABLE uidl_again (mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, PRIMARY KEY (mailbox, uid))"   \
    " STRICT, WITHOUT ROWID;"

static const char account_tables[] =
    "CREATE TABLE account ("
    " one INTEGER PRIMARY KEY CHECK (one = 1), id INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " highest_modseq INTEGER NOT NULL, next_message INTEGER NOT NULL, next_mailbox INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, messages INTEGER NOT NULL, forgotten_modseq INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE mailbox ("
    " id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name TEXT NOT NULL,"
    " uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL, first_recent INTEGER NOT NULL,"
    " highest_modseq INTEGER NOT NULL, expunge_modseq INTEGER NOT NULL,"
    " special_use INTEGER NOT NULL, no_select INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, unseen INTEGER NOT NULL, deleted INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, deleted_bytes INTEGER NOT NULL,"
    " created_modseq INTEGER NOT NULL, changed_modseq INTEGER NOT NULL, deleted_modseq INTEGER, deleted_at "
    "INTEGER"
    ") STRICT;"
    "CREATE UNIQUE INDEX mailbox_name ON mailbox(parent, name) WHERE deleted_modseq IS NULL;"
    "CREATE TABLE subscription (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE keyword_set (id INTEGER PRIMARY KEY, names TEXT NOT NULL) STRICT;"
    "CREATE TABLE message ("
    " id INTEGER PRIMARY KEY, ref INTEGER NOT NULL UNIQUE, size INTEGER NOT NULL,"
    " internal_date INTEGER NOT NULL, internal_zone INTEGER NOT NULL, prefix BLOB NOT NULL"
    ") STRICT;"
    "CREATE TABLE cached ("
    " message INTEGER PRIMARY KEY, envelope BLOB NOT NULL, structure BLOB NOT NULL, preview BLOB NOT NULL"
    ") STRICT;"
    "CREATE TABLE entry ("
    " mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, message INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, keywords INTEGER NOT NULL, modseq INTEGER NOT NULL,"
    " created_modseq INTEGER NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (mailbox, uid)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX entry_message ON entry(message);"
    "CREATE TABLE expunged ("
    " mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, message INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, keywords INTEGER NOT NULL, modseq INTEGER NOT NULL,"
    " flags_modseq INTEGER NOT NULL, created_modseq INTEGER NOT NULL, created_at INTEGER NOT NULL,"
    " expunged_at INTEGER NOT NULL,"
    " PRIMARY KEY (mailbox, uid)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX expunged_modseq ON expunged(mailbox, modseq);"
    "CREATE INDEX expunged_message ON expunged(message) WHERE message <> 0;"
    "CREATE TABLE dead (ref INTEGER PRIMARY KEY, size INTEGER NOT NULL) STRICT;" TABLES_2 TABLES_3;

static const char *const account_upgrades[] = {
    TABLES_2, /* 1 to 2 */
    TABLES_3, /* 2 to 3 */
};

/*
 * node     numbers by name: low_water, uidvalidity (the highest that may have been given out).
 * release  who of a record's owners has given it back; account 0: all of them have,
 *          and its space may be used again.
 * share    which accounts have mailboxes with rights for whom; follows the accounts' acl tables.
 */
#define NODE_TABLES_2                                                                                        \
    "CREATE TABLE share (grantee TEXT NOT NULL, owner INTEGER NOT NULL, PRIMARY KEY (grantee, owner))"       \
    " STRICT, WITHOUT ROWID;"                                                                                \
    "CREATE INDEX share_owner ON share(owner);"

/*
 * usage    what accounts of domains with limits held when the last process ended in order (store/quota_domain.c).
 */
#define NODE_TABLES_3                                                                                        \
    "CREATE TABLE usage (account INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, messages INTEGER NOT NULL) STRICT;"

static const char node_tables[] =
    "CREATE TABLE node (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE release (ref INTEGER NOT NULL, account INTEGER NOT NULL, size INTEGER NOT NULL,"
    " PRIMARY KEY (ref, account))"
    " STRICT, WITHOUT ROWID;" NODE_TABLES_2 NODE_TABLES_3;

static const char *const node_upgrades[] = {
    NODE_TABLES_2, /* 1 to 2 */
    NODE_TABLES_3, /* 2 to 3 */
};

const struct db_schema account_schema = {
    .what = "account",
    .version = 3,
    .create = account_tables,
    .upgrades = account_upgrades,
    .statements = account_statements,
    .statement_count = ACCOUNT_SQL_COUNT,
};

const struct db_schema node_schema = {
    .what = "node",
    .version = 3,
    .create = node_tables,
    .upgrades = node_upgrades,
    .statements = node_statements,
    .statement_count = NODE_SQL_COUNT,
};
