/* directory: what the accounts of a domain may hold, kept, also in files of the format before. */
#include <stdlib.h>
#include <unistd.h>

#include "directory/internal.h"
#include "tests/unit/check.h"

static char path[64];
static struct directory *d;
static struct fail why;

static void open_again(void)
{
    struct directory_limits limits;

    directory_close(&d);
    directory_limits_default(&limits);
    if (!directory_open(path, &limits, &d, &why))
        bug("%s", why.text);
}

static bool count(void *ctx, uint64_t account)
{
    unsigned *n = ctx;

    (void)account;
    return ++*n < 2;
}

/* As format 2 wrote it. */
static void make_older(void)
{
    static const char *const statements[] = {"PRAGMA user_version"};
    static const char tables[] =
        "CREATE TABLE domain (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
        "CREATE TABLE account (id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE,"
        " disabled INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL, sent_copy INTEGER NOT NULL DEFAULT 0) STRICT;"
        "CREATE TABLE alias (address TEXT NOT NULL, member TEXT NOT NULL, PRIMARY KEY (address, member)) STRICT;"
        "CREATE TABLE sender (account INTEGER NOT NULL, sender TEXT NOT NULL, PRIMARY KEY (account, sender)) STRICT;"
        "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
        "INSERT INTO counter VALUES ('account', 1), ('domain', 1);"
        "INSERT INTO domain VALUES (1, 'old.example');"
        "INSERT INTO account VALUES (1, 'ann@old.example', 0, 5, 0);";
    const struct db_schema schema = {
        .what = "directory", .version = 2, .create = tables, .statements = statements, .statement_count = 1};
    struct db *db = NULL;

    if (!db_open(path, &schema, &(struct db_options){0}, &db, &why))
        bug("%s", why.text);
    db_close(&db);
}

int main(void)
{
    const struct domain_quota_change some[] = {{DOMAIN_BYTES, 1000}, {DOMAIN_ACCOUNT_MAILBOXES, 0}},
                                     bad = {DOMAIN_MESSAGES, -2}, none = {DOMAIN_BYTES, DOMAIN_LIMIT_UNSET};
    struct domain_quota q;
    uint64_t id = 0;
    unsigned n = 0;

    (void)snprintf(path, sizeof path, "/tmp/posthorn-directory-%ld.db", (long)getpid());
    make_older();
    open_again();
    CHECK("nothing is set", directory_domain_quota(d, SLICE("OLD.example"), &q, &why) && q.id == 1 &&
                                strcmp(q.name, "old.example") == 0);
    for (size_t i = 0; i < DOMAIN_LIMITS; i++)
        CHECK("nothing is set", q.limits[i] == DOMAIN_LIMIT_UNSET);
    CHECK("set", directory_domain_quota_set(d, SLICE("old.example"), some, 2, &why));
    CHECK("not less than nothing", !directory_domain_quota_set(d, SLICE("old.example"), &bad, 1, &why) &&
                                       why.reason == FAIL_INVALID);
    CHECK("not elsewhere", !directory_domain_quota_set(d, SLICE("new.example"), some, 2, &why) &&
                               why.reason == FAIL_NOT_FOUND &&
                               !directory_domain_quota(d, SLICE("new.example"), &q, &why));
    CHECK("another", directory_domain_add(d, SLICE("new.example"), &why) &&
                         directory_account_add(d, SLICE("bob@new.example"), &id, &why));
    open_again();
    CHECK("kept", directory_account_quota(d, 1, &q) && q.limits[DOMAIN_BYTES] == 1000 &&
                      q.limits[DOMAIN_ACCOUNT_MAILBOXES] == 0 && q.limits[DOMAIN_MESSAGES] == DOMAIN_LIMIT_UNSET);
    CHECK("of that one only", directory_account_quota(d, id, &q) && q.id == 2 && q.limits[DOMAIN_BYTES] == DOMAIN_LIMIT_UNSET);
    CHECK("no account", !directory_account_quota(d, 99, &q));
    CHECK("taken away", directory_domain_quota_set(d, SLICE("old.example"), &none, 1, &why) &&
                            directory_account_quota(d, 1, &q) && q.limits[DOMAIN_BYTES] == DOMAIN_LIMIT_UNSET &&
                            q.limits[DOMAIN_ACCOUNT_MAILBOXES] == 0);
    CHECK("its accounts", directory_domain_accounts(d, SLICE("new.example"), count, &n, &why) && n == 1);
    CHECK("a name", directory_has_name(d, SLICE("Bob@new.example")) && !directory_has_name(d, SLICE("postmaster@new.example")));
    directory_close(&d);
    (void)unlink(path);
    return check_done();
}
