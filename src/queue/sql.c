/*
 * queue/sql.c - the spool's tables and all statements.
 *
 * Layer: queue, private.  A message's number is its record's reference in the queue's own volumes: unique, ascending and
 * never used twice.  `taken` remembers delivery ids longer than their messages live, so that what the mail role hands over
 * twice (it did not hear the answer) is not sent twice.  A destination's `next` is never later than anything of it is due.
 */
#include "queue/internal.h"

enum { QUEUE_FORMAT = 1 };

static const char create[] =
    "CREATE TABLE spool (one INTEGER PRIMARY KEY CHECK (one = 1), messages INTEGER NOT NULL, recipients INTEGER NOT NULL,"
    " held INTEGER NOT NULL, taken INTEGER NOT NULL) STRICT;"
    "INSERT INTO spool VALUES (1, 0, 0, 0, 0);"
    "CREATE TABLE taken (delivery INTEGER PRIMARY KEY) STRICT;"
    "CREATE TABLE message (id INTEGER PRIMARY KEY, delivery INTEGER NOT NULL, size INTEGER NOT NULL, sender TEXT NOT NULL,"
    " trace TEXT NOT NULL, options TEXT NOT NULL, received INTEGER NOT NULL, expires INTEGER NOT NULL, look INTEGER NOT NULL,"
    " first INTEGER NOT NULL, left INTEGER NOT NULL, total INTEGER NOT NULL, account INTEGER NOT NULL, hold INTEGER) STRICT;"
    "CREATE INDEX message_look ON message (look);"
    "CREATE INDEX message_undo ON message (trace) WHERE hold IS NOT NULL;"
    "CREATE TABLE destination (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " reason TEXT NOT NULL) STRICT;"
    "CREATE INDEX destination_next ON destination (next);"
    "CREATE TABLE recipient (id INTEGER PRIMARY KEY, head INTEGER NOT NULL, message INTEGER NOT NULL, destination INTEGER NOT NULL,"
    " rank INTEGER NOT NULL, source INTEGER NOT NULL, next INTEGER NOT NULL, attempts INTEGER NOT NULL, last INTEGER NOT NULL,"
    " address TEXT NOT NULL, prefix TEXT NOT NULL, options TEXT NOT NULL, code INTEGER NOT NULL, status TEXT NOT NULL,"
    " remote TEXT NOT NULL, reason TEXT NOT NULL) STRICT;"
    "CREATE INDEX recipient_due ON recipient (destination, rank, source, next);";

/* Rows of one message stand side by side, but for an index by message: from a group's head on as long as it is the same. */
static const char *const statements[SQL_COUNT] = {
    [SQL_COUNTS] = "SELECT messages, recipients, held, taken FROM spool",
    [SQL_SET_COUNTS] = "UPDATE spool SET messages = ?1, recipients = ?2, held = ?3, taken = ?4",
    [SQL_LAST_ID] = "SELECT coalesce(max(id), 0) FROM recipient",

    [SQL_IS_TAKEN] = "SELECT 1 FROM taken WHERE delivery = ?1",
    [SQL_ADD_TAKEN] = "INSERT INTO taken VALUES (?1)",
    [SQL_TRIM_TAKEN] = "DELETE FROM taken WHERE delivery IN (SELECT delivery FROM taken ORDER BY delivery LIMIT ?1)",

    [SQL_ADD_MESSAGE] = "INSERT INTO message (id, delivery, size, sender, trace, options, received, expires, look, first, left, total,"
                        " account, hold) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12, ?13)",
    [SQL_MESSAGE] = "SELECT size, sender, trace, options, received, expires, delivery, first, total, look FROM message WHERE id = ?1",
    [SQL_LEFT] = "SELECT left FROM message WHERE id = ?1",
    [SQL_SET_LEFT] = "UPDATE message SET left = ?2, hold = NULL WHERE id = ?1",
    [SQL_SET_LOOK] = "UPDATE message SET look = ?2 WHERE id = ?1",
    [SQL_DROP_MESSAGE] = "DELETE FROM message WHERE id = ?1",
    [SQL_HAS_MESSAGE] = "SELECT 1 FROM message WHERE id = ?1",
    [SQL_LOOKS] = "SELECT id FROM message WHERE look <= ?1 ORDER BY look LIMIT ?2",
    [SQL_UNDO] = "SELECT id, account, left, total, hold, first, size FROM message WHERE trace = ?1 AND hold IS NOT NULL",

    [SQL_ADD_RECIPIENT] = "INSERT INTO recipient (id, head, message, destination, rank, source, next, attempts, last, address, prefix,"
                          " options, code, status, remote, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8, ?9, ?10, 0, '', '', '')",
    [SQL_GROUP] = "SELECT id, head, message, destination, address, prefix, options, attempts, next, rank, source, code, status, remote,"
                  " reason, last FROM recipient WHERE id >= ?1 AND id < ?1 + 100 AND head = ?1 ORDER BY id",
    [SQL_DROP_RECIPIENT] = "DELETE FROM recipient WHERE id = ?1",
    [SQL_DEFER] = "UPDATE recipient SET next = ?2, attempts = attempts + 1, last = ?3, code = ?4, status = ?5, remote = ?6, reason = ?7"
                  " WHERE id = ?1",
    [SQL_SET_NEXT] = "UPDATE recipient SET next = ?2 WHERE id = ?1",
    [SQL_MOVE] = "UPDATE recipient SET destination = ?2, next = ?3 WHERE id = ?1",
    [SQL_LANES] = "SELECT rank, source, next FROM recipient WHERE destination = ?1 AND (rank, source) > (?2, ?3)"
                  " ORDER BY rank, source, next LIMIT 1",
    [SQL_LANE_ITEMS] = "SELECT head, message, next FROM recipient WHERE destination = ?1 AND rank = ?2 AND source = ?3 AND next <= ?4"
                       " ORDER BY next LIMIT ?5",
    [SQL_HAS_RECIPIENT] = "SELECT 1 FROM recipient WHERE destination = ?1 LIMIT 1",
    [SQL_HEADS] = "SELECT DISTINCT head, destination FROM recipient WHERE id >= ?1 AND id < ?1 + ?2 AND message = ?3",
    [SQL_OF_MESSAGE] = "SELECT id, head, destination, address, attempts, next, reason, rank, last FROM recipient"
                       " WHERE id >= ?1 AND id < ?1 + ?2 AND message = ?3 ORDER BY id",

    [SQL_DESTINATION] = "SELECT id, next, failures, reason FROM destination WHERE name = ?1",
    [SQL_DESTINATION_NAME] = "SELECT name, next, failures, reason FROM destination WHERE id = ?1",
    [SQL_ADD_DESTINATION] = "INSERT INTO destination (name, next, failures, reason) VALUES (?1, ?2, 0, '')",
    [SQL_SET_DESTINATION] = "UPDATE destination SET next = ?2, failures = ?3, reason = ?4 WHERE id = ?1",
    [SQL_WAKE_DESTINATION] = "UPDATE destination SET next = min(next, ?2) WHERE id = ?1",
    [SQL_DROP_DESTINATION] = "DELETE FROM destination WHERE id = ?1",
    [SQL_FEED] = "SELECT id, name, next, failures, reason FROM destination WHERE (next, id) > (?1, ?2) AND next <= ?3"
                 " ORDER BY next, id LIMIT ?4",

    /* ?1: now; what lies behind ?2 was written when the clock was ahead.  All rows are looked at: it is rare. */
    [SQL_BACK_TRIED] = "UPDATE recipient SET next = ?1 + (next - last), last = ?1 WHERE attempts > 0 AND last > ?2 AND next >= last"
                       " AND next < 9223372036854775807",
    [SQL_BACK_UNTRIED] = "UPDATE recipient SET next = ?1 WHERE attempts = 0 AND next > ?2 AND next <="
                         " (SELECT received + 5 FROM message m WHERE m.id = recipient.message)",
    [SQL_BACK_MESSAGES] = "UPDATE message SET received = iif(received > ?2, ?1, received), look = iif(received > ?2, look - (received - ?1), min(look, expires)),"
                          " expires = iif(received > ?2, expires - (received - ?1), expires)",
    [SQL_BACK_DESTINATIONS] = "UPDATE destination SET next = ?1 WHERE next > ?2",

    [SQL_EACH] = "SELECT id, delivery, size, sender, trace, options, received, expires, first, total, account FROM message WHERE id > ?1 ORDER BY id LIMIT ?2",
};

const struct db_schema queue_schema = {
    .what = "queue",
    .version = QUEUE_FORMAT,
    .create = create,
    .statements = statements,
    .statement_count = SQL_COUNT,
};
