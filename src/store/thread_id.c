/*
 * store/thread_id.c - which thread does a message belong to?
 *
 * Layer: store.  RFC 8474 section 5.2 with the rule of RFC 8621 section 3: messages
 * that name one message id, whether as their own or as what they answer, and have
 * the same base subject.  It is decided once, when the message comes in, and never
 * changes: two threads that a late message would join stay two.  A thread's id is
 * the id of its first message, so it is never used twice.
 *
 * The table thread_key says to which thread a key leads.  A message that answers
 * none costs one row there and no look-up.
 */
#include "store/internal.h"

static bool look_up(struct db *db, uint64_t key, uint64_t *thread, struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_THREAD_FIND, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)key);
    *thread = db_step(q, why) ? (uint64_t)db_col_i64(q, 0) : 0;
    return db_done(q, why);
}

static bool note(struct db *db, uint64_t key, uint64_t thread, struct fail *why)
{
    return db_run(db, SQL_THREAD_KEY_NEW, why, "ii", (int64_t)key, (int64_t)thread);
}

static bool note_all(struct db *db, const struct message_references *refs, uint64_t thread, struct fail *why)
{
    for (size_t i = 0; i < refs->key_count; i++) {
        if (!note(db, refs->keys[i], thread, why))
            return false;
    }
    return true;
}

bool thread_find(struct db *db, uint64_t message_id, const struct message_references *refs, uint64_t *thread,
                 struct fail *why)
{
    *thread = 0;
    if (refs->key_count == 1) { /* mostly: a new message, whose key nobody knows */
        if (!note(db, refs->keys[0], message_id, why))
            return false;
        if (db_changes(db) == 0)
            return look_up(db, refs->keys[0], thread, why);
        *thread = message_id;
        return true;
    }
    for (size_t i = 0; i < refs->key_count && *thread == 0; i++) {
        if (!look_up(db, refs->keys[i], thread, why))
            return false;
    }
    if (*thread == 0)
        *thread = message_id;
    return note_all(db, refs, *thread, why);
}

bool thread_adopt(struct db *db, uint64_t message_id, const struct message_references *refs, uint64_t *thread,
                  struct fail *why)
{
    struct db_stmt *q = db_stmt(db, SQL_THREAD_OF, why);
    uint64_t known = 0;

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)message_id);
    bool there = db_step(q, why);
    if (there)
        known = (uint64_t)db_col_i64(q, 0);
    if (!db_done(q, why))
        return false;
    if (there && known != 0 && !note_all(db, refs, known, why))
        return false;
    if (there && known == 0 &&
        (!thread_find(db, message_id, refs, &known, why) ||
         !db_run(db, SQL_THREAD_ADOPT, why, "ii", (int64_t)message_id, (int64_t)known)))
        return false;
    if (thread != NULL)
        *thread = known;
    return true;
}
