/* auth/verify: whose password is it, how much may be guessed, what is remembered. */
#include "auth/verify.h"

#include <unistd.h>

#include "storage/db.h"
#include "tests/unit/check.h"
#include "tests/unit/storage/fault.h"

/* In two pieces, or the c would belong to the escape before it. */
#define IDN_DOMAIN                                                                                           \
    "b\xc3\xbc"                                                                                              \
    "cher.example"

static char path[64];
static struct fail why;
static struct auth_limits limits;
static struct credentials *credentials;
static struct verifier *v;

/* As a new process would find things. */
static void restart(void)
{
    verifier_destroy(&v);
    credentials_close(&credentials);
    if (!credentials_open(path, &credentials, &why) || !verifier_create(credentials, &limits, &v, &why))
        bug("%s", why.text);
}

static const struct {
    uint64_t account;
    const char *login, *password;
} people[] = {
    {1, "Ann@Example.org", "secret"},
    {2, "bob@example.org", "p\xc3\xa4ss"},
    {3, "j\xc3\xbcrg@" IDN_DOMAIN, "x"},
};

static enum verdict check_from(const char *peer, struct slice user, struct slice password,
                               struct verified_login *out)
{
    struct auth_context about = {.service = SLICE("imap"),
                                 .peer = slice_of(peer),
                                 .session = SLICE("k1"),
                                 .domain = SLICE("example.org"),
                                 .tls = true};

    return verifier_check(v, &about, user, password, out);
}

static const struct {
    const char *note;
    struct slice user, password;
    uint64_t account;
} logins[] = {
    {"right", SLICE("ann@example.org"), SLICE("secret"), 1},
    {"right again", SLICE("ann@example.org"), SLICE("secret"), 1},
    {"the name in another case", SLICE("ANN@EXAMPLE.ORG"), SLICE("secret"), 1},
    {"the name without its domain", SLICE("ann"), SLICE("secret"), 1},
    {"a U-label", SLICE("J\xc3\xbcrg@" IDN_DOMAIN), SLICE("x"), 3},
    {"an A-label", SLICE("j\xc3\xbcrg@xn--bcher-kva.example"), SLICE("x"), 3},
    {"a password in NFD", SLICE("bob"), SLICE("pa\xcc\x88ss"), 2},
    {"a password in NFC", SLICE("bob"), SLICE("p\xc3\xa4ss"), 2},
    {"the wrong one", SLICE("ann@example.org"), SLICE("Secret"), 0},
    {"a prefix of it", SLICE("ann@example.org"), SLICE("secre"), 0},
    {"more than it", SLICE("ann@example.org"), SLICE("secret "), 0},
    {"it and a NUL", SLICE("ann@example.org"), SLICE("secret\0"), 0},
    {"nothing", SLICE("ann@example.org"), SLICE(""), 0},
    {"no UTF-8", SLICE("bob"), SLICE("p\xe4ss"), 0},
    {"somebody else's", SLICE("bob"), SLICE("secret"), 0},
    {"nobody", SLICE("eve@example.org"), SLICE("secret"), 0},
    {"no name", SLICE(""), SLICE("secret"), 0},
    {"no such name can be", SLICE("a b@example.org"), SLICE("secret"), 0},
    {"a name without its domain that only another domain has", SLICE("j\xc3\xbcrg"), SLICE("x"), 0},
};

static void test_logins(const char *when)
{
    struct verified_login out;
    char note[128];

    for (size_t i = 0; i < ARRAY_LEN(logins); i++) {
        (void)snprintf(note, sizeof note, "%s, %s", logins[i].note, when);
        enum verdict verdict = check_from("192.0.2.1", logins[i].user, logins[i].password, &out);
        CHECK(note, verdict == (logins[i].account != 0 ? VERDICT_RIGHT : VERDICT_WRONG));
        CHECK(note, out.account == logins[i].account);
        CHECK(note, (out.delay_ms > 0) == (verdict == VERDICT_WRONG));
    }
}

/* A hash of another server's is good for a login, and after it there is one of ours, with SCRAM's keys. */
static void test_foreign(void)
{
    struct verified_login out;
    struct credential c;
    bool found = false;

    CHECK("taken", verifier_set_hash(v, 9, SLICE("moved@example.org"), SLICE("{SSHA}PbqqzFOKjsIamzAbS2C67l58/a96At/I"), &why));
    CHECK("a wrong password", check_from("192.0.2.9", SLICE("moved"), SLICE("wrong"), &out) == VERDICT_WRONG);
    CHECK("kept as it came", credentials_find(credentials, SLICE("moved@example.org"), &c, &found, &why) && found &&
                                 c.hash.text[0] == '{' && c.scram.iterations == 0);
    CHECK("the right one", check_from("192.0.2.9", SLICE("moved"), SLICE("secret"), &out) == VERDICT_RIGHT && out.account == 9);
    CHECK("made anew", credentials_find(credentials, SLICE("moved@example.org"), &c, &found, &why) && found &&
                           c.hash.text[0] == '$' && c.scram.iterations == limits.scram_iterations);
    CHECK("and right again", check_from("192.0.2.9", SLICE("moved"), SLICE("secret"), &out) == VERDICT_RIGHT);
    CHECK("a password itself", verifier_set_hash(v, 9, SLICE("moved@example.org"), SLICE("{PLAIN}other"), &why) &&
                                   credentials_find(credentials, SLICE("moved@example.org"), &c, &found, &why) &&
                                   c.hash.text[0] == '$');
    CHECK("it is right", check_from("192.0.2.9", SLICE("moved"), SLICE("other"), &out) == VERDICT_RIGHT);
    CHECK("none that is damaged", !verifier_set_hash(v, 9, SLICE("moved@example.org"), SLICE("{SSHA}x"), &why));
    CHECK("gone", verifier_remove(v, 9, &why));
}

static void test_refused_passwords(void)
{
    char long_one[1026];
    static const struct {
        const char *note;
        struct slice login, password;
    } cases[] = {
        {"empty", SLICE("ann@example.org"), SLICE("")},
        {"with a NUL", SLICE("ann@example.org"), SLICE("a\0b")},
        {"with a line end", SLICE("ann@example.org"), SLICE("a\n")},
        {"no UTF-8", SLICE("ann@example.org"), SLICE("\xff")},
        {"for no address", SLICE("ann"), SLICE("x")},
    };

    memset(long_one, 'a', sizeof long_one);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK(cases[i].note, !verifier_set_password(v, 1, cases[i].login, cases[i].password, &why) &&
                                 why.kind == FAIL_PERM && why.reason == FAIL_INVALID);
    /* limit: auth.password_bytes */
    CHECK("too long",
          !verifier_set_password(v, 1, SLICE("ann@example.org"), slice_make(long_one, 1025), &why));
    CHECK("account 0", !verifier_set_password(v, 0, SLICE("ann@example.org"), SLICE("x"), &why));
    CHECK("a later account's login", !verifier_set_password(v, 1, SLICE("bob@example.org"), SLICE("x"), &why) &&
                                         why.reason == FAIL_EXISTS);

    struct verified_login out;
    CHECK("the longest is fit",
          verifier_set_password(v, 4, SLICE("l@example.org"), slice_make(long_one, 1024), &why));
    CHECK("and right",
          check_from("192.0.2.9", SLICE("l"), slice_make(long_one, 1024), &out) == VERDICT_RIGHT);
    CHECK("an account that is gone leaves its login to the next one of that name",
          verifier_set_password(v, 9, SLICE("l@example.org"), SLICE("new"), &why) &&
              check_from("192.0.2.9", SLICE("l"), SLICE("new"), &out) == VERDICT_RIGHT && out.account == 9 &&
              check_from("192.0.2.9", SLICE("l"), slice_make(long_one, 1024), &out) == VERDICT_WRONG);
    CHECK("and no longer one is",
          check_from("192.0.2.9", SLICE("l"), slice_make(long_one, 1025), &out) == VERDICT_WRONG);
    CHECK("it goes", verifier_remove(v, 9, &why));
    CHECK("it is gone", !verifier_remove(v, 9, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("nobody signs in with it",
          check_from("192.0.2.9", SLICE("l"), slice_make(long_one, 1024), &out) == VERDICT_WRONG);
}

static void test_change(void)
{
    struct verified_login out;

    CHECK("a new password", verifier_set_password(v, 1, SLICE("ann@example.org"), SLICE("other"), &why));
    CHECK("the old one is wrong at once, cached or not",
          check_from("192.0.2.2", SLICE("ann"), SLICE("secret"), &out) == VERDICT_WRONG);
    CHECK("the new one is right",
          check_from("192.0.2.2", SLICE("ann"), SLICE("other"), &out) == VERDICT_RIGHT);
    CHECK("and back", verifier_set_password(v, 1, SLICE("ann@example.org"), SLICE("secret"), &why));

    /* A change that the cache did not hear of. */
    struct credential bobs;
    struct scram_keys none = {0};
    bool found;
    CHECK("cached", check_from("192.0.2.2", SLICE("ann"), SLICE("secret"), &out) == VERDICT_RIGHT);
    CHECK("another hash",
          credentials_find(credentials, SLICE("bob@example.org"), &bobs, &found, &why) && found &&
              credentials_set(credentials, 1, SLICE("ann@example.org"), &bobs.hash, &none, &why));
    CHECK("voids it", check_from("192.0.2.2", SLICE("ann"), SLICE("secret"), &out) == VERDICT_WRONG);
    CHECK("and back", verifier_set_password(v, 1, SLICE("ann@example.org"), SLICE("secret"), &why));

    CHECK("a new address", verifier_set_password(v, 3, SLICE("georg@example.org"), SLICE("x"), &why) &&
                               check_from("192.0.2.2", SLICE("georg"), SLICE("x"), &out) == VERDICT_RIGHT);
    CHECK("and back", verifier_set_password(v, 3, slice_of(people[2].login), SLICE("x"), &why));
}

/* Guesses from one peer, and at one login from many. */
static void test_throttling(void)
{
    struct verified_login out;
    char text[64];

    limits.peer_failures = 8;
    limits.login_failures = 20;
    restart();
    CHECK("ann's phone", check_from("198.51.100.1", SLICE("ann"), SLICE("secret"), &out) == VERDICT_RIGHT);
    CHECK("bob's", check_from("198.51.100.2", SLICE("bob"), SLICE("p\xc3\xa4ss"), &out) == VERDICT_RIGHT);

    unsigned delay = 0;
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(text, sizeof text, "guess%u", i);
        CHECK("a guess is wrong",
              check_from("2001:db8:1:2::1", SLICE("ann"), slice_of(text), &out) == VERDICT_WRONG);
        CHECK("delays grow", out.delay_ms >= delay && out.delay_ms <= limits.delay_ms_max);
        delay = out.delay_ms;
    }
    CHECK("up to the longest", delay == limits.delay_ms_max);
    CHECK("then the peer is refused, right or wrong",
          check_from("2001:db8:1:2::1", SLICE("bob"), SLICE("p\xc3\xa4ss"), &out) == VERDICT_NOT_NOW &&
              out.why.kind == FAIL_TEMP && out.why.reason == FAIL_LIMIT);
    CHECK("and its whole /64",
          check_from("2001:db8:1:2:ffff::1", SLICE("bob"), SLICE("x"), &out) == VERDICT_NOT_NOW);
    CHECK("but not the next /64",
          check_from("2001:db8:1:3::1", SLICE("bob"), SLICE("p\xc3\xa4ss"), &out) == VERDICT_RIGHT);

    for (unsigned i = 0; i < 12; i++) {
        char peer[32];
        (void)snprintf(text, sizeof text, "other%u", i);
        (void)snprintf(peer, sizeof peer, "203.0.113.%u", i);
        CHECK("guesses from many peers",
              check_from(peer, SLICE("ann"), slice_of(text), &out) == VERDICT_WRONG);
    }
    CHECK("then the login is refused",
          check_from("203.0.113.99", SLICE("ann"), SLICE("x"), &out) == VERDICT_NOT_NOW);
    CHECK("to those who know the password as well",
          check_from("203.0.113.99", SLICE("ann"), SLICE("secret"), &out) == VERDICT_NOT_NOW);
    CHECK("but not to ann's phone",
          check_from("198.51.100.1", SLICE("ann"), SLICE("secret"), &out) == VERDICT_RIGHT);
    CHECK("nor to others' logins",
          check_from("203.0.113.98", SLICE("bob"), SLICE("p\xc3\xa4ss"), &out) == VERDICT_RIGHT);

    restart();
    for (unsigned i = 0; i < 30; i++)
        CHECK("a device with an old password",
              check_from("198.51.100.3", SLICE("ann"), SLICE("old"), &out) == VERDICT_WRONG);
    CHECK("does not lock its house out",
          check_from("198.51.100.3", SLICE("bob"), SLICE("p\xc3\xa4ss"), &out) == VERDICT_RIGHT);
    for (unsigned i = 0; i < 30; i++) {
        (void)snprintf(text, sizeof text, "nobody%u@example.org", i);
        CHECK("a web mail's users", check_from(i % 2 == 0 ? "127.0.0.1" : "::1", slice_of(text), SLICE("x"),
                                               &out) == VERDICT_WRONG);
    }
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "guess%u", i);
        (void)check_from("127.0.0.1", SLICE("nobody"), slice_of(text), &out);
    }
    CHECK("a login that is nobody's is refused like others",
          check_from("127.0.0.1", SLICE("nobody"), SLICE("x"), &out) == VERDICT_NOT_NOW);
}

static enum verdict token_from(const char *peer, struct slice user, const char *token)
{
    struct auth_context about = {.service = SLICE("imap"), .peer = slice_of(peer), .domain = SLICE("example.org")};
    struct verified_login out;

    return verifier_token(v, &about, user, slice_of(token), false, &out);
}

/* Without a name nobody is attacked: strangers' bad tokens keep nobody from hearing that his own has expired. */
static void test_tokens_without_name(void)
{
    char token[32], peer[32];

    limits.peer_failures = 8;
    limits.login_failures = 20;
    restart();
    for (unsigned i = 0; i < 30; i++) {
        (void)snprintf(token, sizeof token, "token%u", i);
        (void)snprintf(peer, sizeof peer, "203.0.113.%u", i);
        CHECK("a bad token", token_from(peer, SLICE(""), token) == VERDICT_WRONG);
    }
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(token, sizeof token, "mine%u", i);
        CHECK("many from one peer", token_from("198.51.100.9", SLICE(""), token) == VERDICT_WRONG);
    }
    CHECK("are too many", token_from("198.51.100.9", SLICE(""), "another") == VERDICT_NOT_NOW);
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(token, sizeof token, "for bob %u", i);
        (void)snprintf(peer, sizeof peer, "203.0.113.%u", 100 + i);
        CHECK("with a name", token_from(peer, SLICE("bob"), token) == VERDICT_WRONG);
    }
    CHECK("they count for it", token_from("203.0.113.200", SLICE("bob"), "one more") == VERDICT_NOT_NOW);
}

/* Who succeeds is not counted, cached or not. */
static void test_many_successes(void)
{
    struct verified_login out;

    limits.cached_logins = 0;
    restart();
    for (unsigned i = 0; i < 4 * limits.peer_failures; i++)
        CHECK("right again and again",
              (i % 2 == 0
                   ? check_from("198.51.100.4", SLICE("ann"), SLICE("secret"), &out)
                   : check_from("198.51.100.4", SLICE("bob"), SLICE("p\xc3\xa4ss"), &out)) == VERDICT_RIGHT);
}

static void test_rehash_and_keys(void)
{
    struct verified_login out;
    struct credential before, after;
    bool found = false;

    restart();
    CHECK("stored", credentials_find(credentials, SLICE("bob@example.org"), &before, &found, &why) && found);
    limits.hash_passes++;
    restart();
    CHECK("right at the old cost",
          check_from("192.0.2.1", SLICE("bob"), SLICE("p\xc3\xa4ss"), &out) == VERDICT_RIGHT);
    CHECK("stored", credentials_find(credentials, SLICE("bob@example.org"), &after, &found, &why) && found);
    CHECK("at the new cost", strcmp(before.hash.text, after.hash.text) != 0);
    CHECK("right again", check_from("192.0.2.1", SLICE("bob"), SLICE("p\xc3\xa4ss"), &out) == VERDICT_RIGHT);

    struct scram_keys none, some, same;
    CHECK("no SCRAM keys", scram_keys_make(SLICE("pencil"), 0, &none, &why) && none.iterations == 0);
    CHECK("SCRAM keys", scram_keys_make(SLICE("pencil"), 4096, &some, &why) &&
                            scram_keys_make(SLICE("pencil"), 4096, &same, &why));
    CHECK("have a salt of their own",
          memcmp(some.salt, same.salt, sizeof some.salt) != 0 &&
              memcmp(some.stored_key, same.stored_key, sizeof some.stored_key) != 0 &&
              memcmp(some.stored_key, some.server_key, sizeof some.stored_key) != 0);
}

static void test_list(void)
{
    struct auth_credential page[CREDENTIALS_PAGE];
    struct arena a;
    size_t count;

    arena_init(&a, 1 << 16);
    CHECK("list", credentials_list(credentials, 0, &a, page, &count, &why) && count == ARRAY_LEN(people));
    CHECK("in order", page[0].account == 1 && page[1].account == 2 && page[2].account == 3);
    CHECK_SLICE("canonical", page[2].login, SLICE("j\xc3\xbcrg@xn--bcher-kva.example"));
    CHECK("changed", page[0].changed > 0);
    CHECK("bob was here", page[1].last_used >= page[1].changed);
    CHECK_SLICE("by imap", page[1].last_service, SLICE("imap"));
    CHECK_SLICE("from there", page[1].last_peer, SLICE("192.0.2.1"));
    CHECK("the rest",
          credentials_list(credentials, 2, &a, page, &count, &why) && count == 1 && page[0].account == 3);
    CHECK("nothing", credentials_list(credentials, 3, &a, page, &count, &why) && count == 0);
    arena_finish(&a);
}

/* A note of who used his account is written now and then: that must not lock everybody out. */
static void test_failed_write(void)
{
    credentials_used(credentials, 1, 1000, SLICE("imap"), SLICE("192.0.2.1"));
    atomic_store(&fault_syncs, 1);
    CHECK("the disk fails", !credentials_save_uses(credentials, &why));
    atomic_store(&fault_syncs, 0);
    test_logins("after a failed write");
}

/* A file of format 1, as 0.1 wrote it. */
static void write_format_1(const char *file, const struct hash_text *hash, const struct scram_keys *keys)
{
    static const char create[] =
        "CREATE TABLE credential (account INTEGER PRIMARY KEY, login TEXT NOT NULL UNIQUE, hash TEXT NOT NULL,"
        " scram_iterations INTEGER NOT NULL, scram_salt BLOB NOT NULL, scram_stored_key BLOB NOT NULL,"
        " scram_server_key BLOB NOT NULL, changed INTEGER NOT NULL,"
        " last_used INTEGER NOT NULL DEFAULT 0, last_service TEXT NOT NULL DEFAULT '',"
        " last_peer TEXT NOT NULL DEFAULT '') STRICT;";
    static const char *const statements[] = {
        "INSERT INTO credential (account, login, hash, scram_iterations, scram_salt, scram_stored_key,"
        " scram_server_key, changed, last_used, last_service, last_peer)"
        " VALUES (7, 'ann@example.org', ?1, ?2, ?3, ?4, ?5, 1000, 2000, 'imap', '192.0.2.1')"};
    const struct db_schema schema = {
        .what = "credentials", .version = 1, .create = create, .statements = statements, .statement_count = 1};
    struct db *d;

    if (!db_open(file, &schema, &(struct db_options){0}, &d, &why) || !db_begin(d, &why) ||
        !db_run(d, 0, &why, "tibbb", slice_of(hash->text), (int64_t)keys->iterations,
                slice_make(keys->salt, sizeof keys->salt), slice_make(keys->stored_key, sizeof keys->stored_key),
                slice_make(keys->server_key, sizeof keys->server_key)) ||
        !db_commit(d, &why))
        bug("%s", why.text);
    db_close(&d);
}

static void check_upgraded(const char *file, const struct scram_keys *keys)
{
    static const struct app_hash app = {.bytes = {1}};
    struct auth_context about = {.service = SLICE("imap"), .peer = SLICE("192.0.2.1"), .domain = SLICE("example.org")};
    struct credentials *old;
    struct verifier *one;
    struct credential found;
    struct verified_login out;
    bool is_there = false;
    uint64_t id = 0;

    if (!credentials_open(file, &old, &why) || !verifier_create(old, &limits, &one, &why))
        bug("%s", why.text);
    CHECK("the login is there",
          credentials_find(old, SLICE("ann@example.org"), &found, &is_there, &why) && is_there && found.account == 7);
    CHECK("its keys too", memcmp(&found.scram, keys, sizeof *keys) == 0);
    CHECK("its password is the same", verifier_check(one, &about, SLICE("ann"), SLICE("secret"), &out) == VERDICT_RIGHT);
    CHECK("an app password goes in",
          credentials_app_add(old, 7, SLICE("phone"), SLICE("imap"), &app, 10, &why) ||
              why.reason == FAIL_EXISTS);
    CHECK("and is found", credentials_app_find(old, 7, &app, SLICE("imap"), &id, &why) && id != 0);
    verifier_destroy(&one);
    credentials_close(&old);
}

static void test_upgrade(const char *dir)
{
    struct hasher *hasher = hasher_create(limits.hash_passes, limits.hash_memory, 1, 4, &why);
    struct hash_text hash;
    struct scram_keys keys;
    char file[64];

    (void)snprintf(file, sizeof file, "%s/old.db", dir);
    if (hasher == NULL || !hasher_make(hasher, SLICE("secret"), &hash, &why) ||
        !scram_keys_make(SLICE("secret"), limits.scram_iterations, &keys, &why))
        bug("%s", why.text);
    hasher_destroy(&hasher);
    write_format_1(file, &hash, &keys);
    check_upgraded(file, &keys);
    check_upgraded(file, &keys); /* a second start finds what the first one made */
    (void)unlink(file);
}

int main(void)
{
    char dir[] = "/tmp/auth-XXXXXX";

    if (mkdtemp(dir) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/auth.db", dir);
    auth_limits_cheap(&limits);
    limits.scram_iterations = 16;
    restart();
    for (size_t i = 0; i < ARRAY_LEN(people); i++)
        CHECK(people[i].login, verifier_set_password(v, people[i].account, slice_of(people[i].login),
                                                     slice_of(people[i].password), &why));
    test_logins("fresh");
    test_foreign();
    test_refused_passwords();
    restart();
    test_logins("after a restart");
    restart();
    test_failed_write();
    test_change();
    test_throttling();
    test_tokens_without_name();
    test_many_successes();
    test_rehash_and_keys();
    test_list();
    test_upgrade(dir);
    verifier_destroy(&v);
    credentials_close(&credentials);
    (void)unlink(path);
    (void)rmdir(dir);
    return check_done();
}
