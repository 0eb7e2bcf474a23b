/*
 * auth/credentials.c - see auth/credentials.h.
 *
 * Layer: auth.
 */
#include "auth/credentials.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/map.h"
#include "base/scoped.h"
#include "storage/db.h"

enum sql {
    SQL_FIND,
    SQL_ADD,
    SQL_REHASH,
    SQL_REMOVE,
    SQL_REMOVE_EARLIER,
    SQL_USED,
    SQL_LIST,
    SQL_SECRET,
    SQL_ADD_SECRET,
    SQL_HAS,
    SQL_APP_ADD,
    SQL_APP_COUNT,
    SQL_APP_REMOVE,
    SQL_APP_REMOVE_ALL,
    SQL_APP_REMOVE_EARLIER,
    SQL_APP_FIND,
    SQL_APP_USED,
    SQL_APP_LIST,
};

/* Format 2. */
#define TABLES_2                                                                                              \
    "CREATE TABLE secret (one INTEGER PRIMARY KEY CHECK (one = 1), bytes BLOB NOT NULL) STRICT;"               \
    "CREATE TABLE app_password (id INTEGER PRIMARY KEY, account INTEGER NOT NULL, name TEXT NOT NULL,"         \
    " services TEXT NOT NULL, hash BLOB NOT NULL, created INTEGER NOT NULL,"                                   \
    " last_used INTEGER NOT NULL DEFAULT 0, last_service TEXT NOT NULL DEFAULT '',"                            \
    " last_peer TEXT NOT NULL DEFAULT '', UNIQUE (account, name)) STRICT;"

static const char credentials_create_sql[] =
    "CREATE TABLE credential (account INTEGER PRIMARY KEY, login TEXT NOT NULL UNIQUE, hash TEXT NOT NULL,"
    " scram_iterations INTEGER NOT NULL, scram_salt BLOB NOT NULL, scram_stored_key BLOB NOT NULL,"
    " scram_server_key BLOB NOT NULL, changed INTEGER NOT NULL,"
    " last_used INTEGER NOT NULL DEFAULT 0, last_service TEXT NOT NULL DEFAULT '',"
    " last_peer TEXT NOT NULL DEFAULT '') STRICT;" TABLES_2;

static const char *const credentials_upgrades[] = {TABLES_2};

static const char *const credentials_sql[] = {
    [SQL_FIND] = "SELECT account, hash, scram_iterations, scram_salt, scram_stored_key, scram_server_key"
                 " FROM credential WHERE login = ?1",
    [SQL_ADD] =
        "INSERT INTO credential (account, login, hash, scram_iterations, scram_salt, scram_stored_key,"
        " scram_server_key, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [SQL_REHASH] = "UPDATE credential SET hash = ?3, scram_iterations = ?4, scram_salt = ?5,"
                   " scram_stored_key = ?6, scram_server_key = ?7 WHERE account = ?1 AND hash = ?2",
    [SQL_REMOVE] = "DELETE FROM credential WHERE account = ?1",
    /* Ids ascend and are never used again: an earlier account of the same name is gone. */
    [SQL_REMOVE_EARLIER] = "DELETE FROM credential WHERE login = ?1 AND account < ?2",
    [SQL_USED] = "UPDATE credential SET last_used = ?2, last_service = ?3, last_peer = ?4 WHERE account = ?1",
    [SQL_LIST] = "SELECT account, login, changed, last_used, last_service, last_peer FROM credential"
                 " WHERE account > ?1 ORDER BY account LIMIT ?2",
    [SQL_SECRET] = "SELECT bytes FROM secret",
    [SQL_ADD_SECRET] = "INSERT INTO secret (one, bytes) VALUES (1, ?1)",
    [SQL_HAS] = "SELECT count(*) FROM credential WHERE account = ?1",
    [SQL_APP_ADD] = "INSERT INTO app_password (account, name, services, hash, created) VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_APP_COUNT] = "SELECT count(*) FROM app_password WHERE account = ?1",
    [SQL_APP_REMOVE] = "DELETE FROM app_password WHERE account = ?1 AND name = ?2",
    [SQL_APP_REMOVE_ALL] = "DELETE FROM app_password WHERE account = ?1",
    [SQL_APP_REMOVE_EARLIER] = "DELETE FROM app_password WHERE account IN"
                               " (SELECT account FROM credential WHERE login = ?1 AND account < ?2)",
    [SQL_APP_FIND] = "SELECT id, services FROM app_password WHERE account = ?1 AND hash = ?2",
    [SQL_APP_USED] =
        "UPDATE app_password SET last_used = ?2, last_service = ?3, last_peer = ?4 WHERE id = ?1",
    [SQL_APP_LIST] = "SELECT name, services, created, last_used, last_service, last_peer FROM app_password"
                     " WHERE account = ?1 ORDER BY name",
};

static const struct db_schema credentials_schema = {
    .what = "credentials",
    .version = 2,
    .create = credentials_create_sql,
    .upgrades = credentials_upgrades,
    .statements = credentials_sql,
    .statement_count = ARRAY_LEN(credentials_sql),
};

/* A use that is not yet written. */
struct use {
    int64_t when;
    char service[16], peer[64]; /* cut to fit, NUL-terminated */
};

struct credentials {
    pthread_mutex_t lock; /* around the database */
    struct db *db;
    pthread_mutex_t uses_lock; /* never held over the other, nor over a disk */
    struct idmap uses;         /* account to struct use */
    struct idmap app_uses;     /* app password to struct use */
};

bool credentials_open(const char *path, struct credentials **out, struct fail *why)
{
    SCOPED(credentials_close) struct credentials *c = xcalloc(1, sizeof *c);

    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_mutex_init(&c->uses_lock, NULL);
    idmap_init(&c->uses);
    idmap_init(&c->app_uses);
    if (!db_open(path, &credentials_schema, &(struct db_options){0}, &c->db, why))
        return fail_at(why, "credentials");
    *out = c;
    c = NULL;
    return true;
}

static void uses_free(struct idmap *uses)
{
    size_t at = 0;
    uint64_t account;
    void *use;

    while (idmap_next(uses, &at, &account, &use))
        free(use);
    idmap_finish(uses);
}

void credentials_close(struct credentials **cp)
{
    struct credentials *c = *cp;

    if (c == NULL)
        return;
    if (c->db != NULL)
        (void)credentials_save_uses(c, NULL);
    uses_free(&c->uses);
    uses_free(&c->app_uses);
    db_close(&c->db);
    (void)pthread_mutex_destroy(&c->uses_lock);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
    *cp = NULL;
}

/* After a failed write nobody could sign in any more until the next start: so it is opened again. */
static void lock(struct credentials *c)
{
    (void)pthread_mutex_lock(&c->lock);
    db_revive(c->db);
}

static void unlock(struct credentials *c)
{
    db_rollback(c->db);
    (void)pthread_mutex_unlock(&c->lock);
}

/* A stored hash, or one that no password has if it is damaged. */
static struct hash_text hash_of(struct slice text)
{
    struct hash_text hash = {0};

    if (text.len < sizeof hash.text)
        memcpy(hash.text, text.ptr, text.len);
    return hash;
}

static bool copy_key(unsigned char *out, size_t size, struct slice bytes)
{
    if (bytes.len != size)
        return false;
    memcpy(out, bytes.ptr, size);
    return true;
}

/* The row's keys; none if they are damaged. */
static struct scram_keys keys_of(struct db_stmt *q, int at)
{
    int64_t iterations = db_col_i64(q, at);
    struct scram_keys k = {0};

    if (iterations > 0 && iterations <= INT32_MAX && copy_key(k.salt, sizeof k.salt, db_col_blob(q, at + 1)) &&
        copy_key(k.stored_key, sizeof k.stored_key, db_col_blob(q, at + 2)) &&
        copy_key(k.server_key, sizeof k.server_key, db_col_blob(q, at + 3)))
        k.iterations = (unsigned)iterations;
    return k;
}

bool credentials_find(struct credentials *c, struct slice login, struct credential *out, bool *found,
                      struct fail *why)
{
    lock(c);
    struct db_stmt *q = db_stmt(c->db, SQL_FIND, why);
    bool ok = q != NULL;
    if (ok) {
        db_bind_text(q, 1, login);
        *found = db_step(q, why);
        if (*found)
            *out = (struct credential){.account = (uint64_t)db_col_i64(q, 0),
                                       .hash = hash_of(db_col_text(q, 1)),
                                       .scram = keys_of(q, 2)};
        ok = db_done(q, why);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return ok;
}

static bool set_locked(struct credentials *c, uint64_t account, struct slice login,
                       const struct hash_text *hash, const struct scram_keys *scram, struct fail *why)
{
    return db_begin(c->db, why) && db_run(c->db, SQL_REMOVE, why, "i", (int64_t)account) &&
           db_run(c->db, SQL_APP_REMOVE_EARLIER, why, "ti", login, (int64_t)account) &&
           db_run(c->db, SQL_REMOVE_EARLIER, why, "ti", login, (int64_t)account) &&
           db_run(c->db, SQL_ADD, why, "ittibbbi", (int64_t)account, login, slice_of(hash->text),
                  (int64_t)scram->iterations, slice_make(scram->salt, sizeof scram->salt),
                  slice_make(scram->stored_key, sizeof scram->stored_key),
                  slice_make(scram->server_key, sizeof scram->server_key), clock_now()) &&
           db_commit(c->db, why);
}

bool credentials_set(struct credentials *c, uint64_t account, struct slice login,
                     const struct hash_text *hash, const struct scram_keys *scram, struct fail *why)
{
    lock(c);
    bool ok = set_locked(c, account, login, hash, scram, why);
    unlock(c);
    if (!ok && why->reason == FAIL_EXISTS)
        return fail_set(why, FAIL_PERM, FAIL_EXISTS, PRIslice " is another account's login",
                        SLICE_ARG(login));
    return ok;
}

bool credentials_rehash(struct credentials *c, const struct credential *old, const struct hash_text *hash,
                        const struct scram_keys *scram, struct fail *why)
{
    lock(c);
    bool ok = db_begin(c->db, why) &&
              db_run(c->db, SQL_REHASH, why, "ittibbb", (int64_t)old->account, slice_of(old->hash.text),
                     slice_of(hash->text), (int64_t)scram->iterations,
                     slice_make(scram->salt, sizeof scram->salt),
                     slice_make(scram->stored_key, sizeof scram->stored_key),
                     slice_make(scram->server_key, sizeof scram->server_key)) &&
              db_commit(c->db, why);
    unlock(c);
    return ok;
}

static bool secret_locked(struct credentials *c, unsigned char out[CREDENTIALS_SECRET], struct fail *why)
{
    struct db_stmt *q = db_stmt(c->db, SQL_SECRET, why);
    bool known = q != NULL && db_step(q, why) && copy_key(out, CREDENTIALS_SECRET, db_col_blob(q, 0));

    if (q == NULL || !db_done(q, why))
        return false;
    if (known)
        return true;
    random_bytes(out, CREDENTIALS_SECRET);
    return db_begin(c->db, why) &&
           db_run(c->db, SQL_ADD_SECRET, why, "b", slice_make(out, CREDENTIALS_SECRET)) && db_commit(c->db, why);
}

bool credentials_secret(struct credentials *c, unsigned char out[CREDENTIALS_SECRET], struct fail *why)
{
    lock(c);
    bool ok = secret_locked(c, out, why);
    unlock(c);
    return ok || fail_at(why, "credentials");
}

bool credentials_remove(struct credentials *c, uint64_t account, struct fail *why)
{
    lock(c);
    bool ok = db_begin(c->db, why) && db_run(c->db, SQL_REMOVE, why, "i", (int64_t)account);
    if (ok && db_changes(c->db) == 0)
        ok = fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "account %llu has no password",
                      (unsigned long long)account);
    ok = ok && db_run(c->db, SQL_APP_REMOVE_ALL, why, "i", (int64_t)account) && db_commit(c->db, why);
    unlock(c);
    return ok;
}

bool credentials_copy(struct credentials *c, const char *path, struct fail *why)
{
    lock(c);
    bool ok = db_snapshot(c->db, path, why);
    unlock(c);
    return ok;
}

/* ---- app passwords ---- */

static bool app_add_locked(struct credentials *c, uint64_t account, struct slice name, struct slice services,
                           const struct app_hash *hash, unsigned most, struct fail *why)
{
    int64_t there = 0, count = 0;

    if (!db_begin(c->db, why) || !db_get_i64(c->db, SQL_HAS, &there, why, "i", (int64_t)account) ||
        !db_get_i64(c->db, SQL_APP_COUNT, &count, why, "i", (int64_t)account))
        return false;
    if (there == 0)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "account %llu has no password", (unsigned long long)account);
    if (count >= (int64_t)most)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "there are %u app passwords already: remove one first", most);
    return db_run(c->db, SQL_APP_ADD, why, "ittbi", (int64_t)account, name, services,
                  slice_make(hash->bytes, sizeof hash->bytes), clock_now()) &&
           db_commit(c->db, why);
}

bool credentials_app_add(struct credentials *c, uint64_t account, struct slice name, struct slice services,
                         const struct app_hash *hash, unsigned most, struct fail *why)
{
    lock(c);
    bool ok = app_add_locked(c, account, name, services, hash, most, why);
    unlock(c);
    if (!ok && why->reason == FAIL_EXISTS)
        return fail_set(why, FAIL_PERM, FAIL_EXISTS, "there is an app password \"" PRIslice "\" already", SLICE_ARG(name));
    return ok;
}

bool credentials_app_remove(struct credentials *c, uint64_t account, struct slice name, struct fail *why)
{
    lock(c);
    bool ok = db_begin(c->db, why) && db_run(c->db, SQL_APP_REMOVE, why, "it", (int64_t)account, name);
    if (ok && db_changes(c->db) == 0)
        ok = fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no app password \"" PRIslice "\"", SLICE_ARG(name));
    ok = ok && db_commit(c->db, why);
    unlock(c);
    return ok;
}

bool credentials_app_find(struct credentials *c, uint64_t account, const struct app_hash *hash,
                          struct slice service, uint64_t *id, struct fail *why)
{
    *id = 0;
    lock(c);
    struct db_stmt *q = db_stmt(c->db, SQL_APP_FIND, why);
    bool ok = q != NULL;
    if (ok) {
        db_bind_i64(q, 1, (int64_t)account);
        db_bind_blob(q, 2, slice_make(hash->bytes, sizeof hash->bytes));
        if (db_step(q, why) && app_serves(db_col_text(q, 1), service))
            *id = (uint64_t)db_col_i64(q, 0);
        ok = db_done(q, why);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return ok;
}

static bool app_list_locked(struct credentials *c, uint64_t account, struct arena *a,
                            struct auth_app_password *out, size_t most, size_t *count, struct fail *why)
{
    struct db_stmt *q = db_stmt(c->db, SQL_APP_LIST, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)account);
    while (*count < most && db_step(q, why))
        out[(*count)++] = (struct auth_app_password){
            .name = arena_keep(a, db_col_text(q, 0)),
            .services = arena_keep(a, db_col_text(q, 1)),
            .created = db_col_i64(q, 2),
            .last_used = db_col_i64(q, 3),
            .last_service = arena_keep(a, db_col_text(q, 4)),
            .last_peer = arena_keep(a, db_col_text(q, 5)),
        };
    return db_done(q, why);
}

bool credentials_app_list(struct credentials *c, uint64_t account, struct arena *a,
                          struct auth_app_password *out, size_t most, size_t *count, struct fail *why)
{
    if (!credentials_save_uses(c, why))
        return false;
    *count = 0;
    lock(c);
    bool ok = app_list_locked(c, account, a, out, most, count, why);
    (void)pthread_mutex_unlock(&c->lock);
    return ok;
}

/* ---- uses ---- */

static void remember_use(struct credentials *c, struct idmap *uses, uint64_t id, int64_t now,
                         struct slice service, struct slice peer)
{
    (void)pthread_mutex_lock(&c->uses_lock);
    struct use *u = idmap_get(uses, id);
    if (u == NULL) {
        u = xcalloc(1, sizeof *u);
        (void)idmap_put(uses, id, u);
    }
    u->when = now;
    (void)snprintf(u->service, sizeof u->service, PRIslice, SLICE_ARG(service));
    (void)snprintf(u->peer, sizeof u->peer, PRIslice, SLICE_ARG(peer));
    (void)pthread_mutex_unlock(&c->uses_lock);
}

void credentials_used(struct credentials *c, uint64_t account, int64_t now, struct slice service,
                      struct slice peer)
{
    remember_use(c, &c->uses, account, now, service, peer);
}

void credentials_app_used(struct credentials *c, uint64_t id, int64_t now, struct slice service,
                          struct slice peer)
{
    remember_use(c, &c->app_uses, id, now, service, peer);
}

static bool save_each(struct credentials *c, const struct idmap *uses, enum sql statement, struct fail *why)
{
    size_t at = 0;
    uint64_t id;
    void *value;

    while (idmap_next(uses, &at, &id, &value)) {
        const struct use *u = value;
        if (!db_run(c->db, statement, why, "iitt", (int64_t)id, u->when, slice_of(u->service), slice_of(u->peer)))
            return false;
    }
    return true;
}

bool credentials_save_uses(struct credentials *c, struct fail *why)
{
    struct idmap uses, app_uses;

    (void)pthread_mutex_lock(&c->uses_lock);
    uses = c->uses;
    app_uses = c->app_uses;
    idmap_init(&c->uses);
    idmap_init(&c->app_uses);
    (void)pthread_mutex_unlock(&c->uses_lock);

    bool ok = true;
    if (uses.count + app_uses.count > 0) {
        lock(c);
        ok = db_begin(c->db, why) && save_each(c, &uses, SQL_USED, why) &&
             save_each(c, &app_uses, SQL_APP_USED, why) && db_commit(c->db, why);
        unlock(c);
    }
    uses_free(&uses);
    uses_free(&app_uses);
    return ok;
}

static bool list_locked(struct credentials *c, uint64_t after, struct arena *a, struct auth_credential *out,
                        size_t *count, struct fail *why)
{
    struct db_stmt *q = db_stmt(c->db, SQL_LIST, why);

    if (q == NULL)
        return false;
    db_bind_i64(q, 1, (int64_t)after);
    db_bind_i64(q, 2, CREDENTIALS_PAGE);
    while (*count < CREDENTIALS_PAGE && db_step(q, why))
        out[(*count)++] = (struct auth_credential){
            .account = (uint64_t)db_col_i64(q, 0),
            .login = arena_keep(a, db_col_text(q, 1)),
            .changed = db_col_i64(q, 2),
            .last_used = db_col_i64(q, 3),
            .last_service = arena_keep(a, db_col_text(q, 4)),
            .last_peer = arena_keep(a, db_col_text(q, 5)),
        };
    return db_done(q, why);
}

bool credentials_list(struct credentials *c, uint64_t after, struct arena *a, struct auth_credential *out,
                      size_t *count, struct fail *why)
{
    if (!credentials_save_uses(c, why))
        return false;
    *count = 0;
    lock(c);
    bool ok = list_locked(c, after, a, out, count, why);
    (void)pthread_mutex_unlock(&c->lock);
    return ok;
}
