/*
 * directory/directory.c - opening, loading, changing.
 *
 * Layer: directory.  Every change goes the same way: decide by what is in memory
 * (only changers change it, and they come one at a time), make it durable, enter
 * it in memory.
 */
#include <stdlib.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/scoped.h"
#include "directory/internal.h"

/* ---- the file ---- */

#define GRANT_TABLE \
    "CREATE TABLE sender (account INTEGER NOT NULL, sender TEXT NOT NULL, PRIMARY KEY (account, sender)) STRICT;"

/* See domain_quota; -1: not set. */
#define DOMAIN_QUOTA                                                                \
    "ALTER TABLE domain ADD COLUMN bytes INTEGER NOT NULL DEFAULT -1;"              \
    "ALTER TABLE domain ADD COLUMN messages INTEGER NOT NULL DEFAULT -1;"           \
    "ALTER TABLE domain ADD COLUMN account_bytes INTEGER NOT NULL DEFAULT -1;"      \
    "ALTER TABLE domain ADD COLUMN account_messages INTEGER NOT NULL DEFAULT -1;"   \
    "ALTER TABLE domain ADD COLUMN account_mailboxes INTEGER NOT NULL DEFAULT -1;"

static const char directory_create_sql[] =
    "CREATE TABLE domain (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE account (id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE,"
    " disabled INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL, sent_copy INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE alias (address TEXT NOT NULL, member TEXT NOT NULL, PRIMARY KEY (address, member)) STRICT;"
    GRANT_TABLE
    /* Ids are never used twice, whatever is removed. */
    "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
    "INSERT INTO counter VALUES ('account', 0), ('domain', 0);"
    DOMAIN_QUOTA;

static const char *const directory_upgrades[] = {
    "ALTER TABLE account ADD COLUMN sent_copy INTEGER NOT NULL DEFAULT 0;" GRANT_TABLE,
    DOMAIN_QUOTA, /* 2 to 3 */
};

static const char *const directory_sql[] = {
    [SQL_DOMAINS] = "SELECT id, name, bytes, messages, account_bytes, account_messages, account_mailboxes FROM domain",
    [SQL_ACCOUNTS] = "SELECT id, address, disabled, created, sent_copy FROM account",
    [SQL_ALIASES] = "SELECT address, member FROM alias ORDER BY address, member",
    [SQL_DOMAIN_ADD] = "INSERT INTO domain (id, name) VALUES (?1, ?2)",
    [SQL_DOMAIN_REMOVE] = "DELETE FROM domain WHERE name = ?1",
    [SQL_NEXT_ID] = "UPDATE counter SET value = value + 1 WHERE name = ?1 RETURNING value",
    [SQL_ACCOUNT_ADD] = "INSERT INTO account (id, address, created) VALUES (?1, ?2, ?3)",
    [SQL_ACCOUNT_REMOVE] = "DELETE FROM account WHERE id = ?1",
    [SQL_ACCOUNT_DISABLE] = "UPDATE account SET disabled = ?2 WHERE id = ?1",
    [SQL_ALIAS_ADD] = "INSERT INTO alias (address, member) VALUES (?1, ?2)",
    [SQL_ALIAS_REMOVE] = "DELETE FROM alias WHERE address = ?1",
    [SQL_MEMBER_REMOVE] = "DELETE FROM alias WHERE address = ?1 AND member = ?2",
    [SQL_DOMAIN_PAGE] = "SELECT name FROM domain WHERE name > ?1 ORDER BY name LIMIT 256",
    [SQL_ACCOUNT_PAGE] =
        "SELECT id, address, disabled, created, sent_copy FROM account WHERE address > ?1 ORDER BY address LIMIT 256",
    [SQL_ALIAS_PAGE] =
        "SELECT address, member FROM alias WHERE (address, member) > (?1, ?2) ORDER BY 1, 2 LIMIT 256",
    [SQL_ACCOUNT_SENT_COPY] = "UPDATE account SET sent_copy = ?2 WHERE id = ?1",
    [SQL_DOMAIN_QUOTA] = ("UPDATE domain SET bytes = ?2, messages = ?3, account_bytes = ?4, account_messages = ?5,"
                          " account_mailboxes = ?6 WHERE name = ?1"),
    [SQL_GRANTS] = "SELECT account, sender FROM sender",
    [SQL_GRANTS_OF] = "SELECT sender FROM sender WHERE account = ?1 ORDER BY sender",
    [SQL_GRANT_ADD] = "INSERT INTO sender (account, sender) VALUES (?1, ?2)",
    [SQL_GRANT_REMOVE] = "DELETE FROM sender WHERE account = ?1 AND sender = ?2",
    [SQL_GRANTS_FORGET] = "DELETE FROM sender WHERE account = ?1",
};

static const struct db_schema directory_schema = {
    .what = "directory",
    .version = 3,
    .create = directory_create_sql,
    .upgrades = directory_upgrades,
    .statements = directory_sql,
    .statement_count = ARRAY_LEN(directory_sql),
};

void directory_limits_default(struct directory_limits *l)
{
    *l = (struct directory_limits){
        .separator = '+', .alias_members = 1000, .alias_depth = 10, .route_targets = 10000};
}

/* ---- memory ---- */

static struct domain *domain_of(const struct directory *d, struct slice address)
{
    return map_get(&d->domains, slice_from(address, slice_rfind_char(address, '@') + 1));
}

static void find_first_domain(struct directory *d)
{
    size_t at = 0;
    struct slice name;
    void *value;
    uint64_t lowest = UINT64_MAX;

    d->first_domain.len = 0;
    while (map_next(&d->domains, &at, &name, &value)) {
        const struct domain *domain = value;
        if (domain->id < lowest) {
            lowest = domain->id;
            d->first_domain.len = name.len;
            memcpy(d->first_domain.text, name.ptr, name.len);
        }
    }
}

static struct domain *enter_domain(struct directory *d, struct slice name, uint64_t id)
{
    struct domain *domain = xcalloc(1, sizeof *domain);

    domain->id = id;
    for (size_t i = 0; i < DOMAIN_LIMITS; i++)
        domain->limits[i] = DOMAIN_LIMIT_UNSET;
    free(map_put(&d->domains, name, domain));
    return domain;
}

static void enter_account(struct directory *d, struct slice address, uint64_t id, int64_t created,
                          bool disabled)
{
    domain_of(d, address)->names++;
    (void)names_add_account(&d->names, address, id, created, disabled);
}

static void enter_member(struct directory *d, struct slice address, struct slice member)
{
    if (names_get(&d->names, address) == NULL)
        domain_of(d, address)->names++;
    names_add_member(&d->names, address, member);
}

/* A row that the program cannot have written: somebody else did. */
static bool row_is_sane(struct directory *d, struct slice address, bool alias, struct fail *why)
{
    const struct name *there = names_get(&d->names, address);

    if (address.len == 0 || address.len > ADDRESS_KEY_MAX || slice_find_char(address, '@') == address.len ||
        domain_of(d, address) == NULL || (there != NULL && (!alias || there->is_account)))
        return fail_set(why, FAIL_PERM, FAIL_OTHER, "directory: \"" PRIslice "\" cannot be there",
                        SLICE_ARG(address));
    return true;
}

static bool load_domains(struct directory *d, struct fail *why)
{
    struct db_stmt *q = db_stmt(d->db, SQL_DOMAINS, why);

    if (q == NULL)
        return false;
    while (db_step(q, why)) {
        struct domain *domain = enter_domain(d, db_col_text(q, 1), (uint64_t)db_col_i64(q, 0));
        for (int i = 0; i < DOMAIN_LIMITS; i++)
            domain->limits[i] = db_col_i64(q, 2 + i);
    }
    find_first_domain(d);
    return db_done(q, why);
}

static bool load_accounts(struct directory *d, struct fail *why)
{
    struct db_stmt *q = db_stmt(d->db, SQL_ACCOUNTS, why);
    bool sane = true;

    if (q == NULL)
        return false;
    while (sane && db_step(q, why)) {
        struct slice address = db_col_text(q, 1);
        sane = row_is_sane(d, address, false, why);
        if (sane) {
            enter_account(d, address, (uint64_t)db_col_i64(q, 0), db_col_i64(q, 3), db_col_i64(q, 2) != 0);
            names_get(&d->names, address)->sent_copy = db_col_i64(q, 4) != 0;
        }
    }
    return db_done(q, sane ? why : NULL) && sane;
}

static bool load_aliases(struct directory *d, struct fail *why)
{
    struct db_stmt *q = db_stmt(d->db, SQL_ALIASES, why);
    bool sane = true;

    if (q == NULL)
        return false;
    while (sane && db_step(q, why)) {
        struct slice address = db_col_text(q, 0);
        sane = row_is_sane(d, address, true, why);
        if (sane)
            enter_member(d, address, db_col_text(q, 1));
    }
    return db_done(q, sane ? why : NULL) && sane;
}

bool directory_open(const char *path, const struct directory_limits *limits, struct directory **out,
                    struct fail *why)
{
    SCOPED(directory_close) struct directory *d = xcalloc(1, sizeof *d);

    d->limits = *limits;
    (void)pthread_mutex_init(&d->change, NULL);
    (void)pthread_rwlock_init(&d->memory, NULL);
    map_init(&d->domains);
    names_init(&d->names);
    map_init(&d->granted);
    if (!db_open(path, &directory_schema, &(struct db_options){0}, &d->db, why) || !load_domains(d, why) ||
        !load_accounts(d, why) || !load_aliases(d, why) || !senders_load(d, why))
        return fail_at(why, "directory");
    db_shrink(d->db);
    *out = d;
    d = NULL;
    return true;
}

void directory_close(struct directory **dp)
{
    struct directory *d = *dp;
    size_t at = 0;
    struct slice name;
    void *domain;

    if (d == NULL)
        return;
    db_close(&d->db);
    names_finish(&d->names);
    aliases_file_free(&d->file);
    map_finish(&d->granted);
    while (map_next(&d->domains, &at, &name, &domain))
        free(domain);
    map_finish(&d->domains);
    (void)pthread_rwlock_destroy(&d->memory);
    (void)pthread_mutex_destroy(&d->change);
    free(d);
    *dp = NULL;
}

bool directory_copy(struct directory *d, const char *path, struct fail *why)
{
    directory_change_begin(d);
    bool ok = db_snapshot(d->db, path, why);
    directory_change_end(d);
    return ok;
}

/* ---- changing ---- */

void directory_change_begin(struct directory *d)
{
    block_begin();
    (void)pthread_mutex_lock(&d->change);
}

/* Fine when nothing was begun in the database. */
void directory_change_end(struct directory *d)
{
    db_rollback(d->db);
    (void)pthread_mutex_unlock(&d->change);
    block_end();
}

static void memory_lock(struct directory *d)
{
    (void)pthread_rwlock_wrlock(&d->memory);
}

static void memory_unlock(struct directory *d)
{
    (void)pthread_rwlock_unlock(&d->memory);
}

static bool no_address(struct fail *why, struct slice address)
{
    return fail_code(why, FAIL_PERM, FAIL_INVALID, "5.1.3", "\"" PRIslice "\" is not a mail address",
                     SLICE_ARG(address));
}

static bool no_domain(struct fail *why, struct slice domain)
{
    return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, PRIslice " is not a domain of this server",
                    SLICE_ARG(domain));
}

static bool no_account(struct fail *why, uint64_t id)
{
    return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "no account has the id %llu", (unsigned long long)id);
}

static bool domain_add(struct directory *d, struct slice name, struct fail *why)
{
    int64_t id;

    if (map_get(&d->domains, name) != NULL)
        return fail_set(why, FAIL_PERM, FAIL_EXISTS, "domain " PRIslice " is there already", SLICE_ARG(name));
    if (!db_begin(d->db, why) || !db_get_i64(d->db, SQL_NEXT_ID, &id, why, "t", SLICE("domain")) ||
        !db_run(d->db, SQL_DOMAIN_ADD, why, "it", id, name) || !db_commit(d->db, why))
        return false;
    memory_lock(d);
    (void)enter_domain(d, name, (uint64_t)id);
    find_first_domain(d);
    memory_unlock(d);
    return true;
}

static bool domain_remove(struct directory *d, struct slice name, struct fail *why)
{
    const struct domain *domain = map_get(&d->domains, name);

    if (domain == NULL)
        return no_domain(why, name);
    if (domain->names > 0)
        return fail_set(why, FAIL_PERM, FAIL_HAS_CHILDREN, PRIslice " still has %llu accounts and aliases",
                        SLICE_ARG(name), (unsigned long long)domain->names);
    if (!db_begin(d->db, why) || !db_run(d->db, SQL_DOMAIN_REMOVE, why, "t", name) || !db_commit(d->db, why))
        return false;
    memory_lock(d);
    free(map_remove(&d->domains, name));
    find_first_domain(d);
    memory_unlock(d);
    return true;
}

/* For both: a name, not an address literal. */
static bool change_domain(struct directory *d, struct slice domain, struct fail *why,
                          bool (*change)(struct directory *, struct slice, struct fail *))
{
    struct domain_key key;

    if (!domain_key_parse(domain, &key) || key.text[0] == '[')
        return fail_code(why, FAIL_PERM, FAIL_INVALID, "5.1.2", "\"" PRIslice "\" is not a domain name",
                         SLICE_ARG(domain));
    directory_change_begin(d);
    bool ok = change(d, domain_text(&key), why);
    directory_change_end(d);
    return ok;
}

bool directory_domain_add(struct directory *d, struct slice domain, struct fail *why)
{
    return change_domain(d, domain, why, domain_add);
}

bool directory_domain_remove(struct directory *d, struct slice domain, struct fail *why)
{
    return change_domain(d, domain, why, domain_remove);
}

static bool account_add(struct directory *d, const struct address_key *key, uint64_t *id, struct fail *why)
{
    struct slice address = key_text(key);
    int64_t new_id, now = clock_now();

    if (map_get(&d->domains, key_domain(key)) == NULL)
        return no_domain(why, key_domain(key));
    if (names_get(&d->names, address) != NULL)
        return fail_set(why, FAIL_PERM, FAIL_EXISTS, PRIslice " is there already", SLICE_ARG(address));
    if (!db_begin(d->db, why) || !db_get_i64(d->db, SQL_NEXT_ID, &new_id, why, "t", SLICE("account")) ||
        !db_run(d->db, SQL_ACCOUNT_ADD, why, "iti", new_id, address, now) || !db_commit(d->db, why))
        return false;
    memory_lock(d);
    enter_account(d, address, (uint64_t)new_id, now, false);
    memory_unlock(d);
    *id = (uint64_t)new_id;
    return true;
}

bool directory_account_add(struct directory *d, struct slice address, uint64_t *id, struct fail *why)
{
    struct address_key key;

    if (!address_key_parse(address, &key))
        return no_address(why, address);
    directory_change_begin(d);
    bool ok = account_add(d, &key, id, why);
    directory_change_end(d);
    return ok;
}

static bool account_remove(struct directory *d, uint64_t id, struct fail *why)
{
    struct name *n = names_account(&d->names, id);

    if (n == NULL)
        return no_account(why, id);
    if (!db_begin(d->db, why) || !db_run(d->db, SQL_ACCOUNT_REMOVE, why, "i", (int64_t)id) ||
        !db_run(d->db, SQL_GRANTS_FORGET, why, "i", (int64_t)id) || !db_commit(d->db, why))
        return false;
    memory_lock(d);
    domain_of(d, name_text(n))->names--;
    names_remove(&d->names, n);
    senders_forget(d, id);
    memory_unlock(d);
    return true;
}

bool directory_account_remove(struct directory *d, uint64_t id, struct fail *why)
{
    directory_change_begin(d);
    bool ok = account_remove(d, id, why);
    directory_change_end(d);
    return ok;
}

static bool account_disable(struct directory *d, uint64_t id, bool disabled, struct fail *why)
{
    struct name *n = names_account(&d->names, id);

    if (n == NULL)
        return no_account(why, id);
    if (!db_begin(d->db, why) ||
        !db_run(d->db, SQL_ACCOUNT_DISABLE, why, "ii", (int64_t)id, (int64_t)disabled) ||
        !db_commit(d->db, why))
        return false;
    memory_lock(d);
    names_disable(&d->names, n, disabled);
    memory_unlock(d);
    return true;
}

bool directory_account_disable(struct directory *d, uint64_t id, bool disabled, struct fail *why)
{
    directory_change_begin(d);
    bool ok = account_disable(d, id, disabled, why);
    directory_change_end(d);
    return ok;
}

static bool account_sent_copy(struct directory *d, uint64_t id, bool on, struct fail *why)
{
    struct name *n = names_account(&d->names, id);

    if (n == NULL)
        return no_account(why, id);
    if (!db_begin(d->db, why) ||
        !db_run(d->db, SQL_ACCOUNT_SENT_COPY, why, "ii", (int64_t)id, (int64_t)on) || !db_commit(d->db, why))
        return false;
    memory_lock(d);
    n->sent_copy = on;
    memory_unlock(d);
    return true;
}

bool directory_account_sent_copy(struct directory *d, uint64_t id, bool on, struct fail *why)
{
    directory_change_begin(d);
    bool ok = account_sent_copy(d, id, on, why);
    directory_change_end(d);
    return ok;
}

/* "@example.org" too. */
static bool alias_key(struct slice address, struct address_key *out, struct fail *why)
{
    bool catch_all = address.len > 1 && address.ptr[0] == '@' && address.len <= ADDRESS_MAX;

    if (catch_all ? address_key_join(SLICE(""), slice_from(address, 1), out)
                  : address_key_parse(address, out))
        return true;
    return no_address(why, address);
}

/*
 * How a member is kept: with its local part as it was given, in case it is
 * somebody else's who tells cases apart; canonical where the domain is ours.
 */
static bool member_text(struct directory *d, struct slice member, struct arena *a, struct slice *out,
                        struct fail *why)
{
    struct address_key key;

    if (!address_key_parse(member, &key))
        return no_address(why, member);
    if (map_get(&d->domains, key_domain(&key)) != NULL)
        *out = arena_keep(a, key_text(&key));
    else
        *out = arena_printf(a, PRIslice "@" PRIslice, SLICE_ARG(key.given), SLICE_ARG(key_domain(&key)));
    return true;
}

/* Position of `member` in the alias, or its count. */
static unsigned member_find(const struct members *m, struct slice member)
{
    unsigned i = 0;

    while (i < m->count && !slice_eq(slice_of(m->items[i]), member))
        i++;
    return i;
}

static bool alias_add(struct directory *d, const struct address_key *key, struct slice member,
                      struct fail *why)
{
    struct slice address = key_text(key);
    const struct name *n = names_get(&d->names, address);

    if (map_get(&d->domains, key_domain(key)) == NULL)
        return no_domain(why, key_domain(key));
    if (n != NULL && n->is_account)
        return fail_set(why, FAIL_PERM, FAIL_EXISTS, PRIslice " is an account", SLICE_ARG(address));
    if (n != NULL && member_find(&n->alias, member) < n->alias.count)
        return fail_set(why, FAIL_PERM, FAIL_EXISTS, PRIslice " leads to " PRIslice " already",
                        SLICE_ARG(address), SLICE_ARG(member));
    if (n != NULL && n->alias.count >= d->limits.alias_members)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT,
                        "alias " PRIslice " has %u members, the most there may be", SLICE_ARG(address),
                        n->alias.count);
    if (!db_begin(d->db, why) || !db_run(d->db, SQL_ALIAS_ADD, why, "tt", address, member) ||
        !db_commit(d->db, why))
        return false;
    memory_lock(d);
    enter_member(d, address, member);
    memory_unlock(d);
    return true;
}

static bool alias_remove(struct directory *d, const struct address_key *key, struct slice member,
                         struct fail *why)
{
    struct slice address = key_text(key);
    struct name *n = names_get(&d->names, address);

    if (n == NULL || n->is_account)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no alias " PRIslice, SLICE_ARG(address));

    unsigned at = member.len > 0 ? member_find(&n->alias, member) : 0;
    bool all = member.len == 0 || n->alias.count == 1;
    if (at == n->alias.count)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, PRIslice " does not lead to " PRIslice,
                        SLICE_ARG(address), SLICE_ARG(member));
    if (!db_begin(d->db, why) ||
        !(all ? db_run(d->db, SQL_ALIAS_REMOVE, why, "t", address)
              : db_run(d->db, SQL_MEMBER_REMOVE, why, "tt", address, member)) ||
        !db_commit(d->db, why))
        return false;
    memory_lock(d);
    if (all) {
        domain_of(d, address)->names--;
        names_remove(&d->names, n);
    } else {
        names_remove_member(&d->names, n, at);
    }
    memory_unlock(d);
    return true;
}

static bool change_alias(struct directory *d, struct slice address, struct slice member, struct fail *why,
                         bool (*change)(struct directory *, const struct address_key *, struct slice,
                                        struct fail *))
{
    struct address_key key;
    struct arena a;
    struct slice kept = {0};

    if (!alias_key(address, &key, why))
        return false;
    arena_init(&a, 4 * ADDRESS_KEY_MAX);
    directory_change_begin(d);
    bool ok = (member.len == 0 || member_text(d, member, &a, &kept, why)) && change(d, &key, kept, why);
    directory_change_end(d);
    arena_finish(&a);
    return ok;
}

bool directory_alias_add(struct directory *d, struct slice address, struct slice member, struct fail *why)
{
    if (member.len == 0)
        return no_address(why, member);
    return change_alias(d, address, member, why, alias_add);
}

bool directory_alias_remove(struct directory *d, struct slice address, struct slice member, struct fail *why)
{
    return change_alias(d, address, member, why, alias_remove);
}
