/*
 * store/sql.c - the statements of the store.
 *
 * Layer: store.  Flags are the STORE_ bits of store.h: 1 is \Seen, 8 \Deleted.
 */
#include "store/sql.h"

#define MAILBOX_COLUMNS                                                                                      \
    "id, parent, name, uidvalidity, uidnext, first_recent, highest_modseq, expunge_modseq,"                  \
    " special_use, no_select, messages, unseen, deleted, bytes, deleted_bytes"

#define LIVE_MAILBOXES "(SELECT id FROM mailbox WHERE deleted_modseq IS NULL)"

/* One row of message_fetch; what follows e. and m. is in the order of fetch.c's columns. */
#define FETCH_COLUMNS                                                                                        \
    "e.uid, e.message, e.created_at,"                                         \
    " m.size, m.internal_date, m.internal_zone, m.ref, m.prefix, m.thread"
/* In the order of maildrop.c's columns. */
#define MAILDROP_COLUMNS  "e.uid, e.message, m.ref, m.size, m.internal_date, m.line_extra, m.uidl, m.prefix"
#define CACHED_COLUMNS    "c.envelope, c.structure, c.preview, c.refs, c.repeats"
#define FETCH_FROM(table) " FROM " table " e CROSS JOIN message m ON m.id = e.message"
#define FETCH_CACHED      " LEFT JOIN cached c ON c.message = e.message"
#define FETCH_WHERE       " WHERE e.mailbox = ?1 AND e.uid BETWEEN ?2 AND ?3 ORDER BY e.uid"

/* Only that, for who needs nothing else: without `message`, which costs a third of the time. */
#define FETCH_BARE(table, column)                                                                            \
    "SELECT e.uid, c." column ", c.repeats FROM " table " e LEFT JOIN cached c ON c.message = e.message"                \
    " WHERE e.mailbox = ?1 AND e.uid BETWEEN ?2 AND ?3 AND e.message <> 0 ORDER BY e.uid"

const char *const account_statements[ACCOUNT_SQL_COUNT] = {
    [SQL_ACCOUNT_READ] =
        "SELECT id, highest_modseq, next_message, next_mailbox, bytes, messages, forgotten_modseq,"
        " (SELECT most FROM quota WHERE resource = 0), (SELECT most FROM quota WHERE resource = 1),"
        " (SELECT most FROM quota WHERE resource = 2), epoch,"
        " (SELECT percent FROM quota_told WHERE resource = 0), (SELECT percent FROM quota_told WHERE resource = 1)"
        " FROM account",
    [SQL_ACCOUNT_NEW] =
        "INSERT INTO account(one, id, epoch, highest_modseq, next_message, next_mailbox, bytes,"
        " messages, forgotten_modseq) VALUES (1, ?1, ?2, 1, 1, 1, 0, 0, 0)",
    [SQL_ACCOUNT_WRITE] =
        "UPDATE account SET highest_modseq = ?1, next_message = ?2, next_mailbox = ?3, bytes = ?4,"
        " messages = ?5",
    [SQL_QUOTA_SET] = "INSERT INTO quota(resource, most) VALUES (?1, ?2)"
                      " ON CONFLICT (resource) DO UPDATE SET most = ?2",
    [SQL_QUOTA_TOLD] = "INSERT INTO quota_told(resource, percent) VALUES (?1, ?2)"
                       " ON CONFLICT (resource) DO UPDATE SET percent = ?2",
    [SQL_QUOTA_UNSET] = "DELETE FROM quota WHERE resource = ?1",

    [SQL_MAILBOX_ALL] = "SELECT " MAILBOX_COLUMNS " FROM mailbox WHERE deleted_modseq IS NULL",
    [SQL_MAILBOX_ONE] = "SELECT " MAILBOX_COLUMNS " FROM mailbox WHERE id = ?1 AND deleted_modseq IS NULL",
    [SQL_MAILBOX_NEW] =
        "INSERT INTO mailbox(id, parent, name, uidvalidity, special_use, no_select, created_modseq,"
        " highest_modseq, changed_modseq, uidnext, first_recent, expunge_modseq, messages, unseen,"
        " deleted, bytes, deleted_bytes)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?7, 1, 1, 0, 0, 0, 0, 0, 0)",
    [SQL_MAILBOX_WRITE] = "UPDATE mailbox SET uidnext = ?2, first_recent = ?3, highest_modseq = ?4,"
                          " expunge_modseq = ?5, messages = ?6, unseen = ?7, deleted = ?8, bytes = ?9,"
                          " deleted_bytes = ?10 WHERE id = ?1",
    [SQL_MAILBOX_PLACE] = "UPDATE mailbox SET parent = ?2, name = ?3, changed_modseq = ?4 WHERE id = ?1",
    [SQL_MAILBOX_ADOPT] = "UPDATE mailbox SET parent = ?2 WHERE parent = ?1 AND deleted_modseq IS NULL",
    [SQL_MAILBOX_REVIVE] =
        "UPDATE mailbox SET no_select = 0, uidvalidity = ?2, special_use = ?3, highest_modseq = ?4,"
        " changed_modseq = ?4 WHERE id = ?1",
    [SQL_MAILBOX_BURY] = "UPDATE mailbox SET deleted_modseq = ?2, deleted_at = ?3 WHERE id = ?1",
    [SQL_MAILBOX_RECENT] = "UPDATE mailbox SET first_recent = ?2 WHERE id = ?1",
    [SQL_SUBSCRIPTION_ALL] = "SELECT name FROM subscription",
    [SQL_SUBSCRIBE] = "INSERT OR IGNORE INTO subscription(name) VALUES (?1)",
    [SQL_UNSUBSCRIBE] = "DELETE FROM subscription WHERE name = ?1",
    /* Those that were deleted too. */
    [SQL_PAST_MAILBOXES] = "SELECT id, parent, name, special_use, deleted_modseq IS NULL AND no_select = 0"
                           " FROM mailbox ORDER BY id",
    [SQL_PAST_EXPUNGED] =
        "SELECT x.mailbox, x.uid, x.message, m.size, x.expunged_at, x.modseq,"
        " EXISTS (SELECT 1 FROM entry e WHERE e.message = x.message),"
        " EXISTS (SELECT 1 FROM entry e WHERE e.message = x.message AND e.mailbox = x.mailbox)"
        " FROM expunged x CROSS JOIN message m ON m.id = x.message"
        " WHERE x.message <> 0 AND x.expunged_at >= ?1 ORDER BY x.mailbox, x.uid",
    [SQL_PAST_AT] =
        "SELECT e.mailbox, e.uid, e.message, m.size, 0 FROM entry e CROSS JOIN message m ON m.id = e.message"
        " WHERE e.created_at <= ?1"
        " UNION ALL SELECT x.mailbox, x.uid, x.message, m.size, x.expunged_at"
        " FROM expunged x CROSS JOIN message m ON m.id = x.message"
        " WHERE x.message <> 0 AND x.created_at <= ?1 AND x.expunged_at > ?1 ORDER BY 1, 2",
    [SQL_PAST_ROW] = "SELECT message, flags, keywords FROM entry WHERE mailbox = ?1 AND uid = ?2"
                     " UNION ALL SELECT message, flags, keywords FROM expunged WHERE mailbox = ?1 AND uid = ?2",
    [SQL_PAST_IS_IN] = "SELECT 1 FROM entry WHERE message = ?1 AND mailbox = ?2",
    [SQL_PAST_ENVELOPE] = "SELECT envelope FROM cached WHERE message = ?1",
    [SQL_KEPT_SINCE] = "SELECT kept_since FROM account",
    [SQL_KEYWORD_SET_ALL] = "SELECT id, names FROM keyword_set",
    [SQL_KEYWORD_SET_NEW] = "INSERT OR IGNORE INTO keyword_set(id, names) VALUES (?1, ?2)",

    [SQL_KEYWORD_SET_PURGE] =
        "DELETE FROM keyword_set WHERE (SELECT count(*) FROM keyword_set) > ?1"
        " AND id NOT IN (SELECT keywords FROM entry UNION SELECT keywords FROM expunged"
        " UNION SELECT keywords FROM flag_run)",

    [SQL_MAILBOX_USE] = "UPDATE mailbox SET special_use = ?2, changed_modseq = ?3 WHERE id = ?1",
    [SQL_ACL_ALL] = "SELECT mailbox, identifier, rights FROM acl ORDER BY mailbox, identifier",
    [SQL_ACL_SET] = "INSERT INTO acl(mailbox, identifier, rights) VALUES (?1, ?2, ?3)"
                    " ON CONFLICT DO UPDATE SET rights = excluded.rights",
    [SQL_ACL_REMOVE] = "DELETE FROM acl WHERE mailbox = ?1 AND identifier = ?2",
    [SQL_ACL_INHERIT] = "INSERT INTO acl(mailbox, identifier, rights) SELECT ?2, identifier, rights FROM acl"
                        " WHERE mailbox = ?1",
    [SQL_ACL_BURY] = "DELETE FROM acl WHERE mailbox = ?1",
    [SQL_URLAUTH_KEY] = "SELECT key FROM urlauth WHERE mailbox = ?1",
    [SQL_URLAUTH_SET] = "INSERT INTO urlauth(mailbox, key) VALUES (?1, ?2)",
    [SQL_URLAUTH_RESET] = "DELETE FROM urlauth WHERE ?1 = 0 OR mailbox = ?1",
    [SQL_ACL_FORGET] = "DELETE FROM acl WHERE identifier IN (?1, '-' || ?1)",
    [SQL_SEEN_ALL] = "SELECT uid, modseq FROM seen WHERE mailbox = ?1 AND user = ?2 ORDER BY uid",
    [SQL_SEEN_SET] = "INSERT INTO seen(mailbox, user, uid, modseq) SELECT mailbox, ?2, uid, ?5 FROM entry"
                     " WHERE mailbox = ?1 AND uid BETWEEN ?3 AND ?4"
                     " ON CONFLICT DO UPDATE SET modseq = excluded.modseq",
    [SQL_SEEN_BURY] = "DELETE FROM seen WHERE mailbox = ?1",
    [SQL_SEEN_PURGE] = "DELETE FROM seen WHERE NOT EXISTS (SELECT 1 FROM entry e"
                       " WHERE e.mailbox = seen.mailbox AND e.uid = seen.uid)",
    [SQL_ANNOTATION_GET] = "SELECT value FROM annotation WHERE mailbox = ?1 AND user = ?2 AND name = ?3"
                           " AND value IS NOT NULL",
    [SQL_ANNOTATION_SET] = "INSERT INTO annotation(mailbox, user, name, value, modseq) VALUES (?1, ?2, ?3, ?4, ?5)"
                           " ON CONFLICT DO UPDATE SET value = excluded.value, modseq = excluded.modseq",
    [SQL_ANNOTATION_REMOVE] = "UPDATE annotation SET value = NULL, modseq = ?4"
                              " WHERE mailbox = ?1 AND user = ?2 AND name = ?3",
    /* Those taken away before, once they are more than ?4. */
    [SQL_ANNOTATION_TRIM] = "DELETE FROM annotation WHERE mailbox = ?1 AND user = ?2 AND value IS NULL AND modseq < ?3"
                            " AND (SELECT count(*) FROM annotation WHERE mailbox = ?1 AND user = ?2"
                            " AND value IS NULL) > ?4",
    [SQL_ANNOTATION_COUNT] =
        "SELECT count(*) FROM annotation WHERE mailbox = ?1 AND user = ?2 AND value IS NOT NULL",
    /* '0' is what follows '/'. */
    [SQL_ANNOTATION_UNDER] =
        "SELECT user, name, value FROM annotation WHERE mailbox = ?1 AND user = ?2 AND value IS NOT NULL"
        " AND (name = ?3 OR (name >= ?3 || '/' AND name < ?3 || '0')) ORDER BY name",
    [SQL_ANNOTATION_CHANGED] = "SELECT user, name, NULL FROM annotation"
                               " WHERE mailbox = ?1 AND user IN (0, ?2) AND modseq > ?3 ORDER BY user, name",
    [SQL_ANNOTATION_LAST] = "SELECT coalesce(max(modseq), 0) FROM annotation",
    [SQL_ANNOTATION_COPY] = "INSERT INTO annotation(mailbox, user, name, value, modseq)"
                            " SELECT ?2, user, name, value, ?3 FROM annotation"
                            " WHERE mailbox = ?1 AND value IS NOT NULL",
    [SQL_ANNOTATION_BURY] = "DELETE FROM annotation WHERE mailbox = ?1",
    [SQL_ANNOTATION_PURGE] = "DELETE FROM annotation WHERE value IS NULL",

    [SQL_MESSAGE_NEW] = "INSERT INTO message(id, ref, size, internal_date, internal_zone, prefix, thread, line_extra, uidl)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [SQL_MESSAGE_BY_REF] = "SELECT id, internal_date FROM message WHERE ref = ?1",
    [SQL_CACHED_NEW] =
        "INSERT OR REPLACE INTO cached(message, envelope, structure, preview, refs, repeats)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_THREAD_OF] = "SELECT thread FROM message WHERE id = ?1",
    [SQL_THREAD_FIND] = "SELECT thread FROM thread_key WHERE key = ?1",
    [SQL_THREAD_KEY_NEW] = "INSERT OR IGNORE INTO thread_key(key, thread) VALUES (?1, ?2)",
    [SQL_THREAD_ADOPT] = "UPDATE message SET thread = ?2 WHERE id = ?1 AND thread = 0",
    [SQL_REFS_WRITE] = "UPDATE cached SET refs = ?2 WHERE message = ?1",
    [SQL_ENTRY_NEW] =
        "INSERT INTO entry(mailbox, uid, message, flags, keywords, modseq, created_modseq, created_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)",
    [SQL_UIDL_TELL_APART] =
        "INSERT OR IGNORE INTO uidl_again(mailbox, uid)"
        " SELECT e.mailbox, e.uid FROM entry e CROSS JOIN message m ON m.id = e.message"
        " WHERE e.mailbox = ?1 AND e.uid BETWEEN ?2 AND ?3 AND (EXISTS (SELECT 1 FROM entry o"
        " WHERE o.message = e.message AND o.mailbox = ?1 AND o.uid < e.uid)"
        " OR (m.uidl <> '' AND EXISTS (SELECT 1 FROM message k CROSS JOIN entry o ON o.message = k.id"
        " WHERE k.uidl <> '' AND k.uidl = m.uidl AND k.id <> m.id AND o.mailbox = ?1 AND o.uid < e.uid)))",
    [SQL_UIDL_AGAIN] = "SELECT uid FROM uidl_again WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid",
    [SQL_UIDL_PURGE] = "DELETE FROM uidl_again WHERE NOT EXISTS (SELECT 1 FROM entry e"
                       " WHERE e.mailbox = uidl_again.mailbox AND e.uid = uidl_again.uid)"
                       " AND NOT EXISTS (SELECT 1 FROM expunged x"
                       " WHERE x.mailbox = uidl_again.mailbox AND x.uid = uidl_again.uid)",
    [SQL_MAILDROP] = "SELECT " MAILDROP_COLUMNS FETCH_FROM("entry") FETCH_WHERE,
    [SQL_MAILDROP_GONE] = "SELECT " MAILDROP_COLUMNS FETCH_FROM("expunged") FETCH_WHERE,
    [SQL_LINE_EXTRA_SUM] = "SELECT coalesce(sum(max(m.line_extra, 0)), 0), coalesce(min(m.line_extra), 0)"
                           " FROM message m INDEXED BY message_line_extra CROSS JOIN entry e ON e.message = m.id"
                           " WHERE m.line_extra <> 0 AND e.mailbox = ?1",
    [SQL_LINE_EXTRA_WRITE] = "UPDATE message SET line_extra = ?2 WHERE id = ?1",
    [SQL_ENTRY_SIZE] = "SELECT m.size FROM entry e JOIN message m ON m.id = e.message"
                       " WHERE e.mailbox = ?1 AND e.uid = ?2",
    [SQL_IS_IN_MAILBOX] =
        "SELECT 1 FROM entry WHERE message = ?1 AND mailbox = ?2"
        " UNION ALL SELECT 1 FROM expunged WHERE message = ?1 AND message <> 0 AND mailbox = ?2"
        " LIMIT 1",
    [SQL_VIEW_ENTRIES] = "SELECT uid, flags, keywords, modseq FROM entry WHERE mailbox = ?1 ORDER BY uid",
    [SQL_VIEW_EXPUNGED] =
        "SELECT uid, flags, keywords, flags_modseq FROM expunged"
        " WHERE mailbox = ?1 AND modseq > ?2 AND uid < ?3"
        " ORDER BY uid",
    [SQL_VANISHED] = "SELECT uid FROM expunged WHERE mailbox = ?1 AND modseq > ?2 ORDER BY uid",
    [SQL_FETCH] = "SELECT " FETCH_COLUMNS FETCH_FROM("entry") FETCH_WHERE,
    [SQL_FETCH_CACHED] = "SELECT " FETCH_COLUMNS ", " CACHED_COLUMNS FETCH_FROM("entry")
        FETCH_CACHED FETCH_WHERE,
    [SQL_FETCH_BARE_ENVELOPE] = FETCH_BARE("entry", "envelope"),
    [SQL_FETCH_BARE_STRUCTURE] = FETCH_BARE("entry", "structure"),
    [SQL_FETCH_GONE_BARE_ENVELOPE] = FETCH_BARE("expunged", "envelope"),
    [SQL_FETCH_GONE_BARE_STRUCTURE] = FETCH_BARE("expunged", "structure"),
    [SQL_FETCH_GONE] = "SELECT " FETCH_COLUMNS FETCH_FROM("expunged") FETCH_WHERE,
    [SQL_FETCH_GONE_CACHED] = "SELECT " FETCH_COLUMNS ", " CACHED_COLUMNS FETCH_FROM(
        "expunged") FETCH_CACHED FETCH_WHERE,

    [SQL_FLAGS_SET] = "UPDATE entry SET flags = (flags & ?5) | ?6, modseq = ?4"
                      " WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3",
    [SQL_FLAGS_AND_KEYWORDS_SET] = "UPDATE entry SET flags = (flags & ?5) | ?6, keywords = ?7, modseq = ?4"
                                   " WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3",
    [SQL_SOME_BYTES] =
        "SELECT coalesce(sum(m.size), 0) FROM entry e CROSS JOIN message m ON m.id = e.message"
        " WHERE e.mailbox = ?1 AND e.uid BETWEEN ?2 AND ?3",
    [SQL_FLAG_RUNS] = "SELECT modseq, first, last, keep, added, keywords FROM flag_run WHERE mailbox = ?1"
                      " ORDER BY modseq, first",
    [SQL_FLAG_RUN_NEW] = "INSERT INTO flag_run(mailbox, modseq, first, last, keep, added, keywords)"
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_FLAG_RUN_SETTLE] =
        "UPDATE entry SET flags = (flags & ?5) | ?6, keywords = iif(?7 < 0, keywords, ?7), modseq = ?4"
        " WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 AND modseq < ?4",
    [SQL_FLAG_RUN_OLDEST] = "SELECT mailbox FROM flag_run ORDER BY mailbox LIMIT 1",
    /* The UID ?4 rows on. */
    [SQL_FLAG_RUN_NEXT] = "SELECT uid FROM entry WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3"
                          " ORDER BY uid LIMIT 1 OFFSET ?4",
    [SQL_FLAG_RUN_CUT] = "UPDATE flag_run SET first = ?4 WHERE mailbox = ?1 AND modseq = ?2 AND first = ?3",
    [SQL_FLAG_RUN_GONE] = "DELETE FROM flag_run WHERE mailbox = ?1 AND modseq = ?2 AND first = ?3 AND ?4 = 0",
    [SQL_FLAG_RUNS_GONE] = "DELETE FROM flag_run WHERE mailbox = ?1",
    /* The n-th of the range gets UID ?5 + n, n from 1. */
    [SQL_COPY_ENTRIES] =
        "INSERT INTO entry(mailbox, uid, message, flags, keywords, modseq, created_modseq, created_at)"
        " SELECT ?4, ?5 + row_number() OVER (ORDER BY uid), message, flags, keywords, ?6, ?6, ?7"
        " FROM entry WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3",
    [SQL_RANGE_BYTES] = "SELECT coalesce(sum(m.size), 0), coalesce(sum(iif(e.flags & 8, m.size, 0)), 0)"
                        " FROM entry e CROSS JOIN message m ON m.id = e.message"
                        " WHERE e.mailbox = ?1 AND e.uid BETWEEN ?2 AND ?3",
    [SQL_EXPUNGE_KEEP] =
        "INSERT INTO expunged(mailbox, uid, message, flags, keywords, modseq, flags_modseq, created_modseq,"
        " created_at, expunged_at)"
        " SELECT mailbox, uid, message, flags, keywords, ?4, modseq, created_modseq, created_at, ?5"
        " FROM entry WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3",
    [SQL_EXPUNGE_REMOVE] = "DELETE FROM entry WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3",

    /* ?1: what was expunged before that; ?2: records from there on may still be placed once more. */
    [SQL_PURGE_DUE] = "SELECT 1 FROM expunged WHERE expunged_at < ?1 AND message <> 0"
                      " UNION ALL SELECT 1 FROM expunged WHERE expunged_at < ?2"
                      " UNION ALL SELECT 1 FROM mailbox WHERE deleted_at < ?2"
                      " UNION ALL SELECT 1 WHERE (SELECT count(*) FROM keyword_set) > ?3"
                      " UNION ALL SELECT 1 FROM annotation WHERE value IS NULL LIMIT 1",
    [SQL_PURGE_KEPT_SINCE] = "UPDATE account SET kept_since = max(kept_since, coalesce((SELECT max(expunged_at) + 1"
                             " FROM expunged WHERE expunged_at < ?1 AND message <> 0), 0))",
    /* Bodies that could have gone and did not: records from the low-water mark on. */
    [SQL_PURGE_WAITING] = "SELECT count(*) FROM expunged WHERE expunged_at < ?1 AND message <> 0",
    [SQL_DEAD_SUM] = "SELECT count(*), coalesce(sum(size), 0) FROM dead",
    [SQL_PURGE_BURY] =
        "INSERT OR IGNORE INTO dead(ref, size) SELECT m.ref, m.size FROM message m WHERE m.ref < ?2"
        " AND m.id IN (SELECT message FROM expunged WHERE expunged_at < ?1 AND message <> 0)"
        " AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.message = m.id)"
        " AND NOT EXISTS (SELECT 1 FROM expunged x WHERE x.message = m.id AND x.message <> 0"
        " AND x.expunged_at >= ?1)",
    [SQL_PURGE_FORGET_BODIES] = "UPDATE expunged SET message = 0 WHERE expunged_at < ?1 AND message <> 0"
                                " AND message IN (SELECT id FROM message WHERE ref < ?2)",
    [SQL_PURGE_CACHED] = "DELETE FROM cached WHERE message IN"
                         " (SELECT id FROM message WHERE ref IN (SELECT ref FROM dead))",
    [SQL_PURGE_MESSAGES] = "DELETE FROM message WHERE ref IN (SELECT ref FROM dead)",
    /* Threads without messages: looked for when many keys may be of such. */
    [SQL_PURGE_THREADS] = "DELETE FROM thread_key WHERE (SELECT count(*) FROM thread_key) >"
                          " 1000 + 3 * (SELECT count(*) FROM message)"
                          " AND thread NOT IN (SELECT thread FROM message)",
    [SQL_FORGET_MODSEQ] = "UPDATE account SET forgotten_modseq = max(forgotten_modseq, coalesce("
                          "(SELECT max(modseq) FROM expunged WHERE expunged_at < ?1 AND message = 0), 0))"
                          " RETURNING forgotten_modseq",
    [SQL_FORGET_EXPUNGED] = "DELETE FROM expunged WHERE expunged_at < ?1 AND message = 0",
    [SQL_FORGET_MAILBOXES] = "DELETE FROM mailbox WHERE deleted_at < ?1"
                             " AND NOT EXISTS (SELECT 1 FROM expunged x WHERE x.mailbox = mailbox.id)",
    [SQL_DEAD_SOME] = "SELECT ref, size FROM dead WHERE ref > ?1 ORDER BY ref LIMIT ?2",
    [SQL_DEAD_HAS] = "SELECT 1 FROM dead WHERE ref = ?1",
    [SQL_DEAD_GONE] = "DELETE FROM dead WHERE ref = ?1",

    [SQL_SOURCE_FIND] = "SELECT id, mailbox FROM import_source WHERE source = ?1",
    [SQL_SOURCE_OF_MAILBOX] = "SELECT count(*) FROM import_source WHERE mailbox = ?1",
    [SQL_SOURCE_NEW] = "INSERT INTO import_source(source, mailbox) VALUES (?1, ?2)",
    [SQL_SOURCE_MOVE] = "UPDATE import_source SET mailbox = ?2, source = ?3 WHERE id = ?1",
    [SQL_IMPORTED_FORGET] = "DELETE FROM imported WHERE source = ?1",
    [SQL_IMPORTED_SOME] = "SELECT uid, digest, state, modseq FROM imported WHERE source = ?1 AND uid > ?2"
                          " ORDER BY uid LIMIT ?3",
    [SQL_IMPORTED_NEW] = "INSERT OR REPLACE INTO imported(source, uid, digest, state, modseq)"
                         " VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_IMPORTED_STATE] = "UPDATE imported SET state = ?3, modseq = ?4 WHERE source = ?1 AND uid = ?2",
    [SQL_IMPORTED_GONE] = "DELETE FROM imported WHERE source = ?1 AND uid = ?2",
    /* What was expunged keeps its UIDs in a mailbox that is no more, ?2, which was that one until now. */
    [SQL_EXPUNGED_ASIDE] = "UPDATE expunged SET mailbox = ?2 WHERE mailbox = ?1",
    [SQL_MAILBOX_ASIDE] =
        "INSERT INTO mailbox(id, parent, name, uidvalidity, uidnext, first_recent, highest_modseq,"
        " expunge_modseq, special_use, no_select, messages, unseen, deleted, bytes, deleted_bytes,"
        " created_modseq, changed_modseq, deleted_modseq, deleted_at)"
        " SELECT ?2, parent, name, uidvalidity, uidnext, first_recent, highest_modseq, expunge_modseq,"
        " special_use, 0, 0, 0, 0, 0, 0, created_modseq, changed_modseq, ?3, ?4 FROM mailbox WHERE id = ?1",
    [SQL_SCRIPT_ALL] = "SELECT name, active, body FROM script ORDER BY name",
    [SQL_SCRIPT_SET] = "INSERT INTO script(name, active, body) VALUES (?1, ?2, ?3)"
                       " ON CONFLICT (name) DO UPDATE SET active = excluded.active, body = excluded.body",
    [SQL_SCRIPT_QUIET] = "UPDATE script SET active = 0 WHERE name <> ?1",

    [SQL_EPOCH] = "SELECT epoch FROM account",
    [SQL_INDEX_ROWS] = "SELECT m.id, m.ref, m.size, m.prefix, c.envelope, c.structure FROM message m"
                       " LEFT JOIN cached c ON c.message = m.id WHERE m.id > ?1 ORDER BY m.id LIMIT ?2",
    [SQL_INDEX_WAITING] = "SELECT count(*) FROM message WHERE id > ?1",
    /* As they are in a mailbox, or were. */
    [SQL_UIDS_OF_MESSAGE] =
        "SELECT uid FROM entry WHERE message = ?1 AND mailbox = ?2"
        " UNION ALL SELECT uid FROM expunged WHERE message = ?1 AND message <> 0 AND mailbox = ?2",
    [SQL_UIDS_ABOVE] =
        "SELECT uid FROM entry WHERE message > ?1 AND mailbox = ?2"
        " UNION ALL SELECT uid FROM expunged WHERE message > ?1 AND message <> 0 AND mailbox = ?2",

    [SQL_REFERENCES] = "SELECT m.id, m.ref, m.size, length(m.prefix), c.message IS NOT NULL FROM message m"
                       " LEFT JOIN cached c ON c.message = m.id WHERE m.id > ?1 ORDER BY m.id LIMIT ?2",
    [SQL_CHECK_COUNTS] =
        "SELECT count(*), coalesce(sum(e.flags & 1 = 0), 0), coalesce(sum(e.flags & 8 <> 0), 0),"
        " coalesce(sum(m.size), 0), coalesce(sum(iif(e.flags & 8, m.size, 0)), 0),"
        " coalesce(max(e.uid), 0), coalesce(max(e.modseq), 0)"
        " FROM entry e JOIN message m ON m.id = e.message WHERE e.mailbox = ?1",
    [SQL_CHECK_TOTALS] =
        "SELECT coalesce(sum(messages), 0), coalesce(sum(bytes), 0), coalesce(max(highest_modseq), 0)"
        " FROM mailbox WHERE deleted_modseq IS NULL",
    [SQL_CHECK_KEYWORDS] = "SELECT count(*) FROM entry WHERE keywords <> 0"
                           " AND keywords NOT IN (SELECT id FROM keyword_set)",
    [SQL_CHECK_ENTRIES] =
        "SELECT count(*) FROM entry e WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = e.message)"
        " OR NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.id = e.mailbox AND b.deleted_modseq IS NULL)",
    [SQL_CHECK_THREADS] =
        "SELECT count(*) FROM message WHERE thread NOT IN (0, id)"
        " AND thread NOT IN (SELECT thread FROM thread_key)",
    [SQL_CHECK_SHARED] = "SELECT (SELECT count(*) FROM acl WHERE mailbox NOT IN " LIVE_MAILBOXES ")"
                         " + (SELECT count(*) FROM annotation WHERE mailbox <> 0 AND mailbox NOT IN " LIVE_MAILBOXES
                         ") + (SELECT count(*) FROM seen WHERE mailbox NOT IN " LIVE_MAILBOXES ")",
    [SQL_ACL_ORPHANS] = "DELETE FROM acl WHERE mailbox NOT IN " LIVE_MAILBOXES,
    [SQL_ANNOTATION_ORPHANS] = "DELETE FROM annotation WHERE mailbox <> 0 AND mailbox NOT IN " LIVE_MAILBOXES,
    [SQL_SEEN_ORPHANS] = "DELETE FROM seen WHERE mailbox NOT IN " LIVE_MAILBOXES,
    [SQL_SIZE_WRITE] = "UPDATE message SET size = ?2 WHERE id = ?1 AND size <> ?2",
    [SQL_COUNTS_WRITE] =
        "UPDATE mailbox SET (messages, unseen, deleted, bytes, deleted_bytes) ="
        " (SELECT count(*), coalesce(sum(e.flags & 1 = 0), 0), coalesce(sum(e.flags & 8 <> 0), 0),"
        " coalesce(sum(m.size), 0), coalesce(sum(iif(e.flags & 8, m.size, 0)), 0)"
        " FROM entry e JOIN message m ON m.id = e.message WHERE e.mailbox = mailbox.id)"
        " WHERE deleted_modseq IS NULL",
    [SQL_TOTALS_WRITE] = "UPDATE account SET (messages, bytes) = (SELECT coalesce(sum(messages), 0),"
                         " coalesce(sum(bytes), 0) FROM mailbox WHERE deleted_modseq IS NULL)"
                         " RETURNING messages, bytes",
    /* After a restore: nothing a client remembers may mean something else. */
    [SQL_MAILBOX_IDS] = "SELECT id FROM mailbox WHERE id > ?1 ORDER BY id LIMIT ?2",
    [SQL_MAILBOX_RENEW] = "UPDATE mailbox SET uidvalidity = ?2 WHERE id = ?1",
    /* ?1: microseconds since 1970.  Message ids are above those of every file before, be it the third that is lost. */
    [SQL_ACCOUNT_RENEW] = "UPDATE account SET epoch = ?1, next_mailbox = next_mailbox + ?2,"
                          " next_message = max(next_message + ?3, ?1), highest_modseq = highest_modseq + ?3",
};

static const char *const index_statements[INDEX_SQL_COUNT] = {
    [INDEX_STATE] = "SELECT version, epoch, covered, messages FROM state",
    [INDEX_STATE_SET] =
        ("INSERT INTO state(one, version, epoch, covered, messages) VALUES (1, ?1, ?2, ?3, ?4)"
        " ON CONFLICT (one) DO UPDATE SET version = ?1, epoch = ?2, covered = ?3, messages = ?4"),
    [INDEX_SETTING] = "INSERT INTO gram(gram, rank) VALUES (?1, ?2)",
    [INDEX_ADD] = "INSERT INTO gram(rowid, words) VALUES (?1, ?2)",
    [INDEX_SEARCH] = "SELECT rowid FROM gram WHERE gram MATCH ?1",
    [INDEX_ALWAYS] = "SELECT message FROM always",
    [INDEX_CHECK] = "INSERT INTO gram(gram) VALUES ('integrity-check')",
    [INDEX_ALWAYS_ADD] = "INSERT OR IGNORE INTO always(message) VALUES (?1)",
};

/*
 * state   one row: what is in the index, and of what it was made.
 * always  messages that it cannot answer for.
 * gram    the grams of each message; rowid is the message's id.  Nothing but the
 *         lists of rowids is kept.
 */
static const char index_tables[] =
    "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, covered INTEGER NOT NULL, messages INTEGER NOT NULL) STRICT;"
    "CREATE TABLE always (message INTEGER PRIMARY KEY) STRICT;"
    "CREATE VIRTUAL TABLE gram USING fts5(words, content = '', columnsize = 0, detail = none,"
    " tokenize = packed);";

const struct db_schema index_schema = {
    .what = "index",
    .version = 1,
    .create = index_tables,
    .statements = index_statements,
    .statement_count = INDEX_SQL_COUNT,
};

const char *const node_statements[NODE_SQL_COUNT] = {
    [NODE_GET] = "SELECT value FROM node WHERE name = ?1",
    [NODE_SET] = "INSERT INTO node(name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
    [NODE_RELEASE] = "INSERT OR IGNORE INTO release(ref, account, size) VALUES (?1, ?2, ?3)",
    [NODE_RELEASES] = "SELECT count(*) FROM release WHERE ref = ?1 AND account <> 0",
    [NODE_RELEASED_BY] = "SELECT 1 FROM release WHERE ref = ?1 AND account IN (0, ?2)",
    [NODE_RELEASE_FORGET] = "DELETE FROM release WHERE ref = ?1 AND account <> 0",
    [NODE_RELEASED_ALL] =
        "SELECT ref, size FROM release WHERE account = 0 AND ref > ?1 ORDER BY ref LIMIT ?2",
    [NODE_SHARE_ADD] = "INSERT OR IGNORE INTO share(grantee, owner) VALUES (?2, ?1)",
    [NODE_SHARE_GONE] = "DELETE FROM share WHERE owner = ?1 AND grantee = ?2",
    [NODE_SHARE_OWNER_GONE] = "DELETE FROM share WHERE owner = ?1",
    [NODE_SHARE_HAS] = "SELECT count(*) FROM share WHERE owner = ?1 AND grantee = ?2",
    [NODE_SHARES_OF] = "SELECT grantee FROM share WHERE owner = ?1",
    [NODE_SHARING] = "SELECT owner FROM share WHERE grantee = ?1",
    [NODE_USAGE_CLEAR] = "DELETE FROM usage",
    [NODE_USAGE_SET] = "INSERT INTO usage(account, bytes, messages) VALUES (?1, ?2, ?3)",
    [NODE_USAGE_ALL] = "SELECT account, bytes, messages FROM usage",
    [NODE_RELEASED_GONE] = "DELETE FROM release WHERE ref = ?1",
};
