/*
 * tests/unit/storage/test_db.c - statements, transactions, formats, and the rule
 * that a database file has one connection.
 */
#include <malloc.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "storage/db.h"
#include "tests/unit/check.h"
#include "tests/unit/storage/fault.h"
#include "tests/unit/storage/folder.h"

enum { SQL_ADD, SQL_NAME, SQL_ALL, SQL_COUNT, SQL_ECHO, SQL_SIZE };

static const char *const statements[] = {
    [SQL_ADD] = "INSERT INTO thing(id, name, data) VALUES (?1, ?2, ?3)",
    [SQL_NAME] = "SELECT name FROM thing WHERE id = ?1",
    [SQL_ALL] = "SELECT id, name, data FROM thing ORDER BY id",
    [SQL_COUNT] = "SELECT count(*) FROM thing",
    [SQL_ECHO] = "SELECT ?1, ?2, ?3, ?4",
    [SQL_SIZE] = "SELECT length(data) FROM thing WHERE id = ?1",
};

#define TABLE_1 "CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
#define TABLE_2 "ALTER TABLE thing ADD COLUMN data BLOB;"

static const struct db_schema schema_1 = {.what = "thing", .version = 1, .create = TABLE_1};
static const struct db_schema schema = {
    .what = "thing",
    .version = 2,
    .create = TABLE_1 TABLE_2,
    .upgrades = (const char *const[]){TABLE_2},
    .statements = statements,
    .statement_count = ARRAY_LEN(statements),
};

static struct db *must_open(const struct folder *f, const struct db_options *options)
{
    struct db *d = NULL;
    struct fail why = {0};
    bool ok = db_open(folder_file(f, "a.db").path, &schema, options, &d, &why);

    CHECK(ok ? "opened" : why.text, ok);
    return d;
}

static int64_t count(struct db *d)
{
    struct fail why;
    int64_t n = -1;

    CHECK("counted", db_get_i64(d, SQL_COUNT, &n, &why, ""));
    return n;
}

static bool add(struct db *d, int64_t id, const char *name, struct fail *why)
{
    return db_run(d, SQL_ADD, why, "itb", id, slice_of(name), SLICE("data"));
}

static void test_statements(void)
{
    struct folder f = folder_make();
    struct db *d = must_open(&f, NULL);
    struct fail why;
    int64_t n = 0;

    CHECK("begin", db_begin(d, &why));
    CHECK("add", add(d, 1, "one", &why) && add(d, 2, "two", &why));
    CHECK("rowid", db_last_rowid(d) == 2 && db_changes(d) == 1);
    CHECK("twice", !add(d, 3, "one", &why) && why.reason == FAIL_EXISTS && why.kind == FAIL_PERM);
    CHECK("alive", db_in_transaction(d));
    CHECK("commit", db_commit(d, &why) && !db_in_transaction(d));

    struct db_stmt *q = db_stmt(d, SQL_ALL, &why);
    CHECK("first row", db_step(q, &why) && db_col_i64(q, 0) == 1);
    CHECK_SLICE("text", db_col_text(q, 1), SLICE("one"));
    CHECK_SLICE("blob", db_col_blob(q, 2), SLICE("data"));
    CHECK("second row", db_step(q, &why) && db_col_i64(q, 0) == 2);
    CHECK("no third", !db_step(q, &why) && db_done(q, &why));
    q = db_stmt(d, SQL_ALL, &why);
    CHECK("left in the middle", db_step(q, &why));
    q = db_stmt(d, SQL_ALL, &why);
    CHECK("begins anew", db_step(q, &why) && db_col_i64(q, 0) == 1 && db_done(q, &why));

    q = db_stmt(d, SQL_ECHO, &why);
    db_bind_i64(q, 1, INT64_MIN);
    db_bind_text(q, 2, (struct slice){0});
    db_bind_blob(q, 3, SLICE("\0x\0"));
    db_bind_null(q, 4);
    CHECK("echo", db_step(q, &why) && db_col_i64(q, 0) == INT64_MIN && !db_col_is_null(q, 1));
    CHECK_SLICE("empty is not NULL", db_col_text(q, 1), SLICE(""));
    CHECK_SLICE("any bytes", db_col_blob(q, 2), SLICE("\0x\0"));
    CHECK("NULL", db_col_is_null(q, 3) && db_done(q, &why));
    db_shrink(d);
    CHECK("after shrinking", count(d) == 2);
    CHECK("no row", !db_get_i64(d, SQL_SIZE, &n, &why, "i", INT64_C(9)) && why.reason == FAIL_NOT_FOUND);
    CHECK("one row", db_get_i64(d, SQL_SIZE, &n, &why, "i", INT64_C(2)) && n == 4);
    db_close(&d);
    folder_remove(&f);
}

static void test_transactions(void)
{
    struct folder f = folder_make();
    struct db *d = must_open(&f, NULL);
    struct fail why;

    CHECK("begin", db_begin(d, &why) && add(d, 1, "one", &why));
    db_rollback(d);
    db_rollback(d); /* none is open: fine */
    CHECK("rolled back", count(d) == 0);
    CHECK("begin", db_begin(d, &why));
    CHECK("first member", db_savepoint(d, &why) && add(d, 1, "one", &why) && db_savepoint_release(d, &why));
    CHECK("second member", db_savepoint(d, &why) && add(d, 2, "two", &why) && !add(d, 3, "two", &why));
    db_savepoint_rollback(d);
    CHECK("alive", db_in_transaction(d));
    CHECK("third member", db_savepoint(d, &why) && add(d, 4, "four", &why) && db_savepoint_release(d, &why));
    CHECK("committed", db_commit(d, &why) && count(d) == 2);
    CHECK("in the WAL", db_wal_bytes(d) > 4096);
    CHECK("checkpoint", db_checkpoint(d, true, &why) && db_wal_bytes(d) == 0);
    db_close(&d);
    CHECK("one file is left", folder_count(&f) == 1);
    d = must_open(&f, NULL);
    CHECK("kept", count(d) == 2);
    db_close(&d);
    folder_remove(&f);
}

static void test_formats(void)
{
    struct folder f = folder_make();
    struct db *d = NULL;
    struct fail why;
    struct db_options there = {.must_exist = true};

    CHECK("must exist", !db_open(folder_file(&f, "a.db").path, &schema, &there, &d, &why) && d == NULL &&
                            why.reason == FAIL_NOT_FOUND && folder_count(&f) == 0);
    CHECK("old", db_open(folder_file(&f, "a.db").path, &schema_1, NULL, &d, &why));
    db_close(&d);
    d = must_open(&f, NULL);
    CHECK("upgraded", add(d, 1, "one", &why) && count(d) == 1);
    db_close(&d);
    CHECK("newer is refused", !db_open(folder_file(&f, "a.db").path, &schema_1, NULL, &d, &why) &&
                                  why.kind == FAIL_PERM && strstr(why.text, "newer") != NULL);

    int fd = folder_open(&f, "b.db");
    CHECK("written", write(fd, "this is no database at all, not by far", 38) == 38);
    (void)close(fd);
    CHECK("not ours", !db_open(folder_file(&f, "b.db").path, &schema, NULL, &d, &why) && d == NULL);
    folder_remove(&f);
}

/* An administrator's shell, in a process that knows nothing of ours: is it kept out once told to try? */
static pid_t start_shell(const char *path, int go)
{
    sqlite3 *shell = NULL;
    char byte;
    pid_t child = fork();

    if (child != 0)
        return child;
    bool kept_out = read(go, &byte, 1) == 1 && sqlite3_open(path, &shell) == SQLITE_OK &&
                    sqlite3_exec(shell, "SELECT * FROM thing", NULL, NULL, NULL) == SQLITE_BUSY &&
                    sqlite3_exec(shell, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) != SQLITE_OK;
    _exit(kept_out ? 0 : 1);
}

/* What the WAL-reset bug needs is a second connection: there is none, in this process or another. */
static void test_one_connection(void)
{
    struct folder f = folder_make();
    struct folder_file file = folder_file(&f, "a.db");
    struct db *d, *second = NULL;
    sqlite3 *shell = NULL;
    struct fail why;
    int status, go[2];

    CHECK("pipe", pipe(go) == 0);
    pid_t child = start_shell(file.path, go[0]);
    d = must_open(&f, NULL);
    CHECK("written", add(d, 1, "one", &why));
    db_close(&d);
    d = must_open(&f, NULL); /* one that has written nothing yet */
    CHECK("no second one here", !db_open(file.path, &schema, NULL, &second, &why) && why.kind == FAIL_TEMP &&
                                    why.reason == FAIL_OUT_OF_SERVICE);
    CHECK("the first is none the worse", add(d, 2, "two", &why) && count(d) == 2);
    CHECK("go", write(go[1], "x", 1) == 1);
    CHECK("nor in another process", waitpid(child, &status, 0) == child && status == 0);
    (void)close(go[0]);
    (void)close(go[1]);
    CHECK("no checkpoint by itself", db_wal_bytes(d) > 0);
    for (int64_t i = 10; i < 1200; i++) {
        char name[20];
        (void)snprintf(name, sizeof name, "n%d", (int)i);
        CHECK("added", add(d, i, name, &why));
    }
    CHECK("nor when the WAL is long", db_wal_bytes(d) > 1200 * 4096);
    db_close(&d);
    CHECK("but closed, it may be read",
          sqlite3_open(folder_file(&f, "a.db").path, &shell) == SQLITE_OK &&
              sqlite3_exec(shell, "SELECT * FROM thing", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(shell);
    folder_remove(&f);
}

static void test_failed_commit(void)
{
    struct folder f = folder_make();
    struct db *d = must_open(&f, NULL);
    struct fail why;

    CHECK("before", add(d, 1, "one", &why));
    CHECK("begin", db_begin(d, &why) && add(d, 2, "two", &why));
    atomic_store(&fault_syncs, 1);
    CHECK("the commit fails", !db_commit(d, &why) && why.kind == FAIL_TEMP);
    atomic_store(&fault_syncs, 0);
    CHECK("out of service", db_out_of_service(d) && !db_in_transaction(d));
    CHECK("for everything", db_stmt(d, SQL_COUNT, &why) == NULL && why.reason == FAIL_OUT_OF_SERVICE &&
                                !db_begin(d, &why) && !db_checkpoint(d, true, &why));
    unsigned syncs = atomic_load(&fault_sync_count);
    db_close(&d);
    CHECK("no sync is tried again", atomic_load(&fault_sync_count) == syncs);
    d = must_open(&f, NULL);
    CHECK("back in service, and nothing lost", count(d) >= 1 && add(d, 3, "three", &why));
    atomic_store(&fault_syncs, 1);
    CHECK("a failed checkpoint too", !db_checkpoint(d, true, &why) && db_out_of_service(d));
    atomic_store(&fault_syncs, 0);
    db_close(&d);
    atomic_store(&fault_syncs, 1);
    CHECK("not opened unsynced", !db_open(folder_file(&f, "a.db").path, &schema, NULL, &d, &why));
    atomic_store(&fault_syncs, 0);
    d = must_open(&f, NULL);
    CHECK("all there", count(d) >= 2);
    db_close(&d);
    folder_remove(&f);
}

static void test_revived(void)
{
    struct folder f = folder_make();
    struct db *d = must_open(&f, NULL);
    struct fail why;

    CHECK("before", add(d, 1, "one", &why));
    db_revive(d);
    CHECK("in service it stays as it is", db_begin(d, &why) && add(d, 2, "two", &why));
    atomic_store(&fault_syncs, 1);
    CHECK("the commit fails", !db_commit(d, &why) && db_out_of_service(d));
    atomic_store(&fault_syncs, 1);
    db_revive(d);
    CHECK("the disk still fails", db_out_of_service(d) && !db_begin(d, &why) && !db_in_transaction(d));
    db_rollback(d);
    db_shrink(d);
    db_revive(d);
    CHECK("back in service, and nothing lost", !db_out_of_service(d) && count(d) >= 1 && add(d, 3, "three", &why));
    atomic_store(&fault_syncs, 1);
    CHECK("a second time", !add(d, 4, "four", &why) && db_out_of_service(d));
    atomic_store(&fault_syncs, 1);
    db_revive(d);
    CHECK("closed as it is", db_out_of_service(d));
    db_close(&d);
    atomic_store(&fault_syncs, 0);
    d = must_open(&f, NULL);
    CHECK("all there", count(d) >= 2);
    db_close(&d);
    folder_remove(&f);
}

static void copy_file(const struct folder *f, const char *from, const char *to)
{
    char command[2 * PATH_MAX];

    (void)snprintf(command, sizeof command, "cp '%s/%s' '%s/%s'", f->path, from, f->path, to);
    CHECK(command, system(command) == 0);
}

/*
 * What a killed process left could not be synced when it was opened: whatever the page cache
 * says of it later, nothing of it goes into the database.
 */
static void test_failed_first_sync(int spared)
{
    struct folder f = folder_make();
    struct db *d = must_open(&f, NULL);
    struct fail why;

    CHECK("before", add(d, 1, "one", &why));
    copy_file(&f, "a.db", "b.db");
    copy_file(&f, "a.db-wal", "b.db-wal");
    db_close(&d);
    atomic_store(&fault_spared, spared);
    atomic_store(&fault_syncs, 1);
    CHECK("not opened unsynced", !db_open(folder_file(&f, "b.db").path, &schema, NULL, &d, &why));
    CHECK("that was why", atomic_load(&fault_syncs) == 0);
    CHECK("nothing was moved from the WAL", access(folder_file(&f, "b.db-wal").path, F_OK) == 0);
    CHECK("opened", db_open(folder_file(&f, "b.db").path, &schema, NULL, &d, &why) && count(d) == 1);
    db_close(&d);
    folder_remove(&f);
}

static void test_snapshot(void)
{
    struct folder f = folder_make();
    struct db *d = must_open(&f, NULL), *copy = NULL;
    struct db_copy *c = NULL;
    struct db_options inspect = {.read_only = true};
    struct fail why;
    bool done = false;

    CHECK("begin", db_begin(d, &why));
    for (int64_t i = 0; i < 2000; i++) {
        char name[20];
        (void)snprintf(name, sizeof name, "n%d", (int)i);
        CHECK("added", add(d, i, name, &why));
    }
    CHECK("commit", db_commit(d, &why));
    CHECK("checked", db_check(d, &why));
    CHECK("snapshot", db_snapshot(d, folder_file(&f, "copy?.db").path, &why));
    CHECK("opened", db_open(folder_file(&f, "copy?.db").path, &schema, &inspect, &copy, &why));
    CHECK("whole", copy != NULL && count(copy) == 2000 && db_check(copy, &why));
    CHECK("read only", !add(copy, 5000, "x", &why));
    db_close(&copy);

    CHECK("in steps", db_copy_begin(d, folder_file(&f, "copy?.db").path, &c, &why));
    CHECK("a step", db_copy_step(c, 3, &done, &why) && !done);
    CHECK("meanwhile", add(d, 9000, "meanwhile", &why));
    while (!done && db_copy_step(c, 10, &done, &why))
        ;
    CHECK("done", done && db_copy_finish(&c, &why));
    CHECK("opened", db_open(folder_file(&f, "copy?.db").path, &schema, &inspect, &copy, &why));
    CHECK("with what came meanwhile", count(copy) == 2001);
    db_close(&copy);
    CHECK("given up",
          db_copy_begin(d, folder_file(&f, "copy?.db").path, &c, &why) && !db_copy_finish(&c, &why));
    db_close(&d);
    CHECK("nothing else is left", folder_count(&f) == 2);

    int fd = folder_open(&f, "a.db");
    for (off_t at = 3 * 4096; at < 20 * 4096; at += 512)
        folder_flip(fd, at, 3);
    (void)close(fd);
    d = must_open(&f, NULL);
    CHECK("damage is told", !db_check(d, &why));
    db_close(&d);
    folder_remove(&f);
}

/* An open database that does nothing should cost little: thousands are open. */
static void test_memory(void)
{
    enum { MANY = 20 };
    struct folder f = folder_make();
    struct db *d[MANY] = {0};
    struct fail why;
    int64_t before = sqlite3_memory_used();

    for (int i = 0; i < MANY; i++) {
        char name[20];
        (void)snprintf(name, sizeof name, "%d.db", i);
        CHECK("opened", db_open(folder_file(&f, name).path, &schema, NULL, &d[i], &why));
        CHECK("used", add(d[i], 1, "one", &why) && count(d[i]) == 1);
        db_shrink(d[i]);
    }
    int64_t each = (sqlite3_memory_used() - before) / MANY;
    printf("%lld bytes for an idle database\n", (long long)each);
    CHECK("under 100 KB", each < 100000);
    for (int i = 0; i < MANY; i++)
        db_close(&d[i]);
    folder_remove(&f);
}

int main(void)
{
    test_statements();
    test_transactions();
    test_formats();
    test_one_connection();
    test_failed_commit();
    test_revived();
    test_failed_first_sync(0); /* the database's */
    test_failed_first_sync(1); /* the WAL's */
    test_snapshot();
    test_memory();
    return check_done();
}
