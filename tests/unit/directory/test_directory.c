/* directory: routes, logins, changes that last. */
#include <pthread.h>
#include <unistd.h>

#include "base/buf.h"
#include "directory/directory.h"
#include "storage/db.h"
#include "tests/unit/check.h"

/* In two pieces, or the c would belong to the escape before it. */
#define IDN_DOMAIN                                                                                           \
    "b\xc3\xbc"                                                                                              \
    "cher.example"

static char path[64];
static struct fail why;
static struct arena arena;
static struct directory *d;

static void open_again(void)
{
    struct directory_limits limits;

    directory_close(&d);
    directory_limits_default(&limits);
    limits.alias_members = 5;
    limits.alias_depth = 3;
    limits.route_targets = 4;
    if (!directory_open(path, &limits, &d, &why))
        bug("%s", why.text);
}

static const struct {
    const char *address;
    bool disabled;
} accounts[] = {
    {"first@example.org", false}, {"Ann@example.org", false},         {"bob@example.org", false},
    {"off@example.org", true},    {"j\xc3\xbcrg@" IDN_DOMAIN, false},
};

static const struct {
    const char *address, *member;
} aliases[] = {
    {"four@example.org", "m1@x.example"},
    {"four@example.org", "m2@x.example"},
    {"four@example.org", "m3@x.example"},
    {"four@example.org", "m4@x.example"},
    {"five@example.org", "four@example.org"},
    {"five@example.org", "ann@example.org"},
    {"team@example.org", "ann@example.org"},
    {"team@example.org", "BOB@Example.org"},
    {"team@example.org", "Eve@Remote.example"},
    {"all@example.org", "team@example.org"},
    {"all@example.org", "ann+all@example.org"},
    {"all@example.org", "off@example.org"},
    {"only-off@example.org", "off@example.org"},
    {"gone@example.org", "nobody@example.org"},
    {"a@example.org", "b@example.org"},
    {"b@example.org", "a@example.org"},
    {"c@example.org", "c@example.org"},
    {"c@example.org", "ann@example.org"},
    {"d0@example.org", "d1@example.org"},
    {"d1@example.org", "d2@example.org"},
    {"d2@example.org", "d3@example.org"},
    {"d3@example.org", "ann@example.org"},
    {"away@example.org", "Eve@Remote.example"},
    {"@" IDN_DOMAIN, "bob@example.org"},
    {"postmaster@" IDN_DOMAIN, "off@example.org"},
};

/* `targets`: "local ann@example.org detail", "remote ...", separated by commas. */
static const struct {
    const char *note, *address;
    enum route_kind kind;
    const char *targets;
} routes[] = {
    {"account", "ann@example.org", ROUTE_LOCAL, "2 ann@example.org []"},
    {"account, other case", "ANN@EXAMPLE.ORG", ROUTE_LOCAL, "2 ann@example.org []"},
    {"account, in quotes", "\"ann\"@example.org", ROUTE_LOCAL, "2 ann@example.org []"},
    {"plus-address", "ann+Lists+x@example.org", ROUTE_LOCAL, "2 ann@example.org [lists+x]"},
    {"plus and nothing", "ann+@example.org", ROUTE_LOCAL, "2 ann@example.org []"},
    {"plus first", "+ann@example.org", ROUTE_UNKNOWN, ""},
    {"alias", "team@example.org", ROUTE_LOCAL,
     "remote Eve@remote.example [],2 ann@example.org [],3 bob@example.org []"},
    {"plus-address of an alias", "away+x@example.org", ROUTE_LOCAL, "remote Eve@remote.example []"},
    {"alias of aliases, each once, disabled left out", "all@example.org", ROUTE_LOCAL,
     "2 ann@example.org [all],remote Eve@remote.example [],3 bob@example.org []"},
    {"alias to a disabled account", "only-off@example.org", ROUTE_DISABLED, ""},
    {"alias to nobody", "gone@example.org", ROUTE_UNKNOWN, ""},
    {"circle", "a@example.org", ROUTE_LOOP, ""},
    {"circle beside an account", "c@example.org", ROUTE_LOCAL, "2 ann@example.org []"},
    {"too deep", "d0@example.org", ROUTE_LOOP, ""},
    {"just not too deep", "d1@example.org", ROUTE_LOCAL, "2 ann@example.org []"},
    {"as many as there may be", "four@example.org", ROUTE_LOCAL,
     "remote m1@x.example [],remote m2@x.example [],remote m3@x.example [],remote m4@x.example []"},
    {"one more", "five@example.org", ROUTE_LOOP, ""},
    {"disabled", "off@example.org", ROUTE_DISABLED, ""},
    {"unknown", "nobody@example.org", ROUTE_UNKNOWN, ""},
    {"remote keeps its case", "Some.One@Remote.EXAMPLE", ROUTE_REMOTE, "remote Some.One@remote.example []"},
    {"A-label domain", "j\xc3\xbcrg@xn--bcher-kva.example", ROUTE_LOCAL,
     "5 j\xc3\xbcrg@xn--bcher-kva.example []"},
    {"catch-all", "anybody@" IDN_DOMAIN, ROUTE_LOCAL, "3 bob@example.org []"},
    {"catch-all, plus first", "+x@" IDN_DOMAIN, ROUTE_LOCAL, "3 bob@example.org []"},
    {"postmaster alone", "Postmaster", ROUTE_LOCAL, "1 first@example.org []"},
    {"postmaster without a name of its own", "postmaster@example.org", ROUTE_LOCAL, "1 first@example.org []"},
    {"postmaster whose alias leads to a disabled account", "postmaster@" IDN_DOMAIN, ROUTE_LOCAL,
     "1 first@example.org []"},
    {"postmaster elsewhere", "postmaster@remote.example", ROUTE_REMOTE,
     "remote postmaster@remote.example []"},
    {"nobody alone", "ann", ROUTE_INVALID, ""},
    {"no address", "an n@example.org", ROUTE_INVALID, ""},
    {"empty", "", ROUTE_INVALID, ""},
};

static struct slice targets_text(const struct route *r, struct buf *out)
{
    buf_reset(out);
    for (size_t i = 0; i < r->count; i++) {
        const struct route_target *t = &r->targets[i];
        if (i > 0)
            buf_add_char(out, ',');
        if (t->local)
            buf_add_u64(out, t->account);
        buf_addf(out, "%s " PRIslice " [" PRIslice "]", t->local ? "" : "remote", SLICE_ARG(t->address),
                 SLICE_ARG(t->detail));
    }
    return buf_slice(out);
}

static void test_routes(const char *when)
{
    struct buf text;
    char note[128];

    buf_init(&text, 4096);
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        struct route r;
        (void)snprintf(note, sizeof note, "%s, %s", routes[i].note, when);
        CHECK(note, directory_route(d, slice_of(routes[i].address), &arena, &r, &why));
        CHECK(note, r.kind == routes[i].kind);
        CHECK_SLICE(note, targets_text(&r, &text), slice_of(routes[i].targets));
    }
    buf_finish(&text);
}

static void fill(void)
{
    CHECK("account before its domain",
          !directory_account_add(d, SLICE("ann@example.org"), &(uint64_t){0}, &why) &&
              why.reason == FAIL_NOT_FOUND);
    CHECK("domain", directory_domain_add(d, SLICE("Example.org"), &why));
    CHECK("domain, IDN", directory_domain_add(d, SLICE(IDN_DOMAIN), &why));
    CHECK("domain twice", !directory_domain_add(d, SLICE("EXAMPLE.org"), &why) && why.reason == FAIL_EXISTS);
    CHECK("domain that is none",
          !directory_domain_add(d, SLICE("exa mple"), &why) && why.reason == FAIL_INVALID);
    CHECK("address literal",
          !directory_domain_add(d, SLICE("[192.0.2.1]"), &why) && why.reason == FAIL_INVALID);
    for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
        uint64_t id = 0;
        CHECK(accounts[i].address, directory_account_add(d, slice_of(accounts[i].address), &id, &why));
        CHECK(accounts[i].address, id == i + 1);
        if (accounts[i].disabled)
            CHECK(accounts[i].address, directory_account_disable(d, id, true, &why));
    }
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        CHECK(aliases[i].address,
              directory_alias_add(d, slice_of(aliases[i].address), slice_of(aliases[i].member), &why));
}

static void test_refusals(void)
{
    uint64_t id = 0;

    CHECK("account twice",
          !directory_account_add(d, SLICE("ANN@example.org"), &id, &why) && why.reason == FAIL_EXISTS);
    CHECK("account that is an alias",
          !directory_account_add(d, SLICE("team@example.org"), &id, &why) && why.reason == FAIL_EXISTS);
    CHECK("account elsewhere",
          !directory_account_add(d, SLICE("x@remote.example"), &id, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("no address", !directory_account_add(d, SLICE("x"), &id, &why) && why.reason == FAIL_INVALID);
    CHECK("catch-all is no account", !directory_account_add(d, SLICE("@example.org"), &id, &why));
    CHECK("alias that is an account",
          !directory_alias_add(d, SLICE("ann@example.org"), SLICE("bob@example.org"), &why) &&
              why.reason == FAIL_EXISTS);
    CHECK("member twice",
          !directory_alias_add(d, SLICE("team@example.org"), SLICE("Ann@example.org"), &why) &&
              why.reason == FAIL_EXISTS);
    CHECK("member that is no address",
          !directory_alias_add(d, SLICE("team@example.org"), SLICE("@x"), &why) &&
              why.reason == FAIL_INVALID);
    CHECK("empty member", !directory_alias_add(d, SLICE("team@example.org"), SLICE(""), &why));
    CHECK("alias elsewhere",
          !directory_alias_add(d, SLICE("x@remote.example"), SLICE("ann@example.org"), &why) &&
              why.reason == FAIL_NOT_FOUND);
    CHECK("no such member", !directory_alias_remove(d, SLICE("team@example.org"), SLICE("x@x.org"), &why) &&
                                why.reason == FAIL_NOT_FOUND);
    CHECK("no such alias", !directory_alias_remove(d, SLICE("x@example.org"), SLICE(""), &why) &&
                               why.reason == FAIL_NOT_FOUND);
    CHECK("an account is no alias", !directory_alias_remove(d, SLICE("ann@example.org"), SLICE(""), &why));
    CHECK("no such account", !directory_account_remove(d, 99, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("no such account to disable",
          !directory_account_disable(d, 99, true, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("domain in use",
          !directory_domain_remove(d, SLICE("example.org"), &why) && why.reason == FAIL_HAS_CHILDREN);
    CHECK("no such domain",
          !directory_domain_remove(d, SLICE("x.org"), &why) && why.reason == FAIL_NOT_FOUND);
}

static void test_logins(void)
{
    static const struct {
        const char *note, *login;
        uint64_t id;
    } cases[] = {
        {"address", "ann@example.org", 2},
        {"bare name: the first domain", "ANN", 2},
        {"disabled is found", "off@example.org", 4},
        {"bare name that only the other domain has", "j\xc3\xbcrg", 0},
        {"with a detail", "ann+x@example.org", 0},
        {"alias", "team@example.org", 0},
        {"empty", "", 0},
        {"catch-all", "@example.org", 0},
    };
    struct directory_account a;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool ok = directory_login(d, slice_of(cases[i].login), &arena, &a, &why);
        CHECK(cases[i].note, ok == (cases[i].id != 0) && (!ok || a.id == cases[i].id));
        CHECK(cases[i].note, ok || why.reason == FAIL_NOT_FOUND);
    }
    CHECK("by id", directory_account(d, 4, &arena, &a, &why) && a.disabled && a.created > 0);
    CHECK_SLICE("by id", a.address, SLICE("off@example.org"));
    CHECK("no such id", !directory_account(d, 99, &arena, &a, &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("local domain", directory_is_local_domain(d, SLICE(IDN_DOMAIN)));
    CHECK_SLICE("first domain", directory_first_domain(d, &arena), SLICE("example.org"));
    CHECK("other domain", !directory_is_local_domain(d, SLICE("remote.example")));
}

static void test_send_as(void)
{
    static const struct {
        const char *note;
        uint64_t id;
        const char *address;
        bool may;
    } cases[] = {
        {"itself", 2, "Ann@example.org", true},
        {"with a detail", 2, "ann+x@example.org", true},
        {"an alias", 2, "all@example.org", true},
        {"somebody else", 2, "bob@example.org", false},
        {"an alias of others", 1, "team@example.org", false},
        {"elsewhere", 2, "ann@remote.example", false},
        {"its catch-all", 3, "x@" IDN_DOMAIN, true},
        {"no address", 2, "", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool may = !cases[i].may;
        CHECK(cases[i].note, directory_may_send_as(d, cases[i].id, slice_of(cases[i].address), &may, &why));
        CHECK(cases[i].note, may == cases[i].may);
    }
}

/* ---- walks ---- */

static struct buf walked;

static bool show_domain(void *ctx, struct slice domain)
{
    buf_addf(&walked, PRIslice "\n", SLICE_ARG(domain));
    return ++*(int *)ctx < 3;
}

static bool show_account(void *ctx, const struct directory_account *a)
{
    buf_addf(&walked, "%llu " PRIslice "%s\n", (unsigned long long)a->id, SLICE_ARG(a->address),
             a->disabled ? " off" : "");
    return ++*(int *)ctx < 3;
}

static bool show_alias(void *ctx, struct slice address, struct slice member)
{
    buf_addf(&walked, PRIslice " " PRIslice "\n", SLICE_ARG(address), SLICE_ARG(member));
    return ++*(int *)ctx < 3;
}

static bool count_account(void *ctx, const struct directory_account *a)
{
    (void)a;
    ++*(int *)ctx;
    return true;
}

static void test_walks(void)
{
    int n = 0;

    CHECK("domains", directory_each_domain(d, show_domain, &n, &why));
    CHECK_SLICE("domains", buf_slice(&walked), SLICE("example.org\nxn--bcher-kva.example\n"));
    buf_reset(&walked);
    n = 0;
    CHECK("accounts", directory_each_account(d, show_account, &n, &why));
    CHECK_SLICE("accounts, the first three", buf_slice(&walked),
                SLICE("2 ann@example.org\n3 bob@example.org\n1 first@example.org\n"));
    buf_reset(&walked);
    n = 0;
    CHECK("aliases", directory_each_alias(d, show_alias, &n, &why));
    CHECK_SLICE("aliases, the first three", buf_slice(&walked),
                SLICE("@xn--bcher-kva.example bob@example.org\na@example.org b@example.org\n"
                      "all@example.org ann+all@example.org\n"));
    buf_finish(&walked);
}

/* ---- removing ---- */

static void test_removal(void)
{
    struct route r;
    uint64_t id = 0;

    for (unsigned i = 0; i < 3; i++)
        CHECK("members up to the limit",
              directory_alias_add(d, SLICE("c@example.org"), arena_printf(&arena, "m%u@x.org", i), &why));
    CHECK("one too many", !directory_alias_add(d, SLICE("c@example.org"), SLICE("m9@x.org"), &why) &&
                              why.reason == FAIL_LIMIT);
    CHECK("a member goes",
          directory_alias_remove(d, SLICE("team@example.org"), SLICE("Ann@example.org"), &why));
    CHECK("the others stay", directory_route(d, SLICE("team@example.org"), &arena, &r, &why) && r.count == 2);
    CHECK("alias goes", directory_alias_remove(d, SLICE("team@example.org"), SLICE(""), &why));
    CHECK("it is gone",
          directory_route(d, SLICE("team@example.org"), &arena, &r, &why) && r.kind == ROUTE_UNKNOWN);
    CHECK("last member takes the alias along",
          directory_alias_remove(d, SLICE("a@example.org"), SLICE("b@example.org"), &why) &&
              directory_route(d, SLICE("a@example.org"), &arena, &r, &why) && r.kind == ROUTE_UNKNOWN);
    CHECK("the name is free for an account",
          directory_account_add(d, SLICE("a@example.org"), &id, &why) && id == 6);
    CHECK("account goes", directory_account_remove(d, id, &why));
    open_again();
    CHECK("its id does not come back",
          directory_account_add(d, SLICE("a@example.org"), &id, &why) && id == 7);
    CHECK("the first account is disabled: the next is postmaster",
          directory_account_disable(d, 1, true, &why) &&
              directory_route(d, SLICE("postmaster"), &arena, &r, &why) && r.count == 1 &&
              r.targets[0].account == 2);
    CHECK("enabled again", directory_account_disable(d, 1, false, &why) &&
                               directory_route(d, SLICE("postmaster"), &arena, &r, &why) &&
                               r.targets[0].account == 1);

    CHECK("a domain empties",
          directory_account_remove(d, 5, &why) &&
              directory_alias_remove(d, SLICE("@xn--bcher-kva.example"), SLICE(""), &why) &&
              directory_alias_remove(d, SLICE("postmaster@xn--bcher-kva.example"), SLICE(""), &why));
    CHECK("and goes", directory_domain_remove(d, SLICE(IDN_DOMAIN), &why));
    CHECK("its addresses are remote",
          directory_route(d, SLICE("x@xn--bcher-kva.example"), &arena, &r, &why) && r.kind == ROUTE_REMOTE);
}

/* Many names: the table grows and shrinks; look-ups go on meanwhile. */
static void *look_up(void *stop)
{
    struct arena own;
    struct route r;
    struct fail f;

    arena_init(&own, 4096);
    while (!*(_Atomic bool *)stop) {
        if (!directory_route(d, SLICE("bob@example.org"), &own, &r, &f) || r.count != 1 ||
            r.targets[0].account != 3)
            bug("bob is lost");
        arena_reset(&own);
    }
    arena_finish(&own);
    return NULL;
}

static void test_many(void)
{
    enum { MANY = 600 };
    pthread_t thread;
    _Atomic bool stop = false;
    uint64_t ids[MANY];
    int n = 0;
    bool ok = true;

    CHECK("thread", pthread_create(&thread, NULL, look_up, &stop) == 0);
    for (unsigned i = 0; i < MANY; i++)
        ok = ok && directory_account_add(d, arena_printf(&arena, "n%u@example.org", i), &ids[i], &why);
    CHECK("many are added", ok);
    CHECK("and walked, over several pages",
          directory_each_account(d, count_account, &n, &why) && n == MANY + 5);
    for (unsigned i = 0; i < MANY; i += 2)
        ok = ok && directory_account_remove(d, ids[i], &why);
    for (unsigned i = 0; i < MANY; i++) {
        struct directory_account a;
        bool there = directory_login(d, arena_printf(&arena, "n%u@example.org", i), &arena, &a, &why);
        ok = ok && there == (i % 2 == 1) && (!there || a.id == ids[i]);
    }
    CHECK("half of them are removed, the others are found", ok);
    stop = true;
    (void)pthread_join(thread, NULL);
}

static bool may(uint64_t account, const char *address)
{
    bool yes = false;

    CHECK(address, directory_may_send_as(d, account, slice_of(address), &yes, &why));
    return yes;
}

static void test_grants(void)
{
    struct directory_account bob;
    struct slice *list;
    size_t count = 0;

    CHECK("bob", directory_login(d, SLICE("bob@example.org"), &arena, &bob, &why) && !bob.sent_copy);
    CHECK("not yet", !may(bob.id, "sales@far.example"));
    CHECK("granted", directory_sender_add(d, bob.id, SLICE("Sales@FAR.example"), &why) &&
                         directory_sender_add(d, bob.id, SLICE("@near.example"), &why));
    CHECK("once", !directory_sender_add(d, bob.id, SLICE("sales@far.example"), &why) && why.reason == FAIL_EXISTS);
    CHECK("nonsense", !directory_sender_add(d, bob.id, SLICE("sales"), &why) && why.reason == FAIL_INVALID);
    CHECK("to nobody", !directory_sender_add(d, 4711, SLICE("@"), &why) && why.reason == FAIL_NOT_FOUND);
    CHECK("copies", directory_account_sent_copy(d, bob.id, true, &why));
    open_again();
    CHECK("kept", may(bob.id, "SALES@far.example") && may(bob.id, "any@near.example"));
    CHECK("no more than that", !may(bob.id, "any@far.example") && !may(bob.id, "any@sub.near.example"));
    CHECK("his alone", !may(bob.id + 1, "sales@far.example") && !may(bob.id * 10, "sales@far.example"));
    CHECK("list", directory_senders(d, bob.id, &arena, &list, &count, &why) && count == 2);
    CHECK_SLICE("first", list[0], SLICE("@near.example"));
    CHECK("copies are kept", directory_account(d, bob.id, &arena, &bob, &why) && bob.sent_copy);
    CHECK("any", directory_sender_add(d, bob.id, SLICE("@"), &why) && may(bob.id, "x@y.example"));
    CHECK("taken back", directory_sender_remove(d, bob.id, SLICE("@"), &why) && !may(bob.id, "x@y.example"));
    CHECK("was not there", !directory_sender_remove(d, bob.id, SLICE("@"), &why) && why.reason == FAIL_NOT_FOUND);

    uint64_t id;
    CHECK("another", directory_account_add(d, SLICE("tmp@example.org"), &id, &why) &&
                         directory_sender_add(d, id, SLICE("t@far.example"), &why) &&
                         directory_account_remove(d, id, &why));
    CHECK("goes with the account", !may(id, "t@far.example") && may(bob.id, "sales@far.example"));
    CHECK("from the file too", directory_senders(d, id, &arena, &list, &count, &why) && count == 0);
}

/* A file of format 1, as the version before wrote it. */
static void test_upgrade(void)
{
    static const struct db_schema before = {
        .what = "directory",
        .version = 1,
        .create = "CREATE TABLE domain (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
                  "CREATE TABLE account (id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE,"
                  " disabled INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL) STRICT;"
                  "CREATE TABLE alias (address TEXT NOT NULL, member TEXT NOT NULL, PRIMARY KEY (address, member)) STRICT;"
                  "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
                  "INSERT INTO counter VALUES ('account', 1), ('domain', 1);"
                  "INSERT INTO domain VALUES (1, 'old.example');"
                  "INSERT INTO account VALUES (1, 'ann@old.example', 0, 1700000000);",
    };
    struct directory_account ann;
    struct db *db;

    CHECK("old file", db_open(path, &before, NULL, &db, &why));
    db_close(&db);
    open_again();
    CHECK("read", directory_login(d, SLICE("ann@old.example"), &arena, &ann, &why) && ann.created == 1700000000);
    CHECK("new things work", !ann.sent_copy && directory_account_sent_copy(d, 1, true, &why) &&
                                 directory_sender_add(d, 1, SLICE("@"), &why));
    directory_close(&d);
    (void)unlink(path);
}

int main(void)
{
    char dir[] = "/tmp/directory-XXXXXX";

    if (mkdtemp(dir) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/directory.db", dir);
    arena_init(&arena, 1 << 20);
    buf_init(&walked, 1 << 16);
    test_upgrade();
    open_again();
    {
        struct route r;
        CHECK("empty: postmaster",
              directory_route(d, SLICE("postmaster"), &arena, &r, &why) && r.kind == ROUTE_INVALID);
    }
    fill();
    test_routes("fresh");
    test_refusals();
    test_routes("after refusals");
    open_again();
    test_routes("after opening again");
    test_logins();
    test_send_as();
    test_walks();
    test_removal();
    test_grants();
    test_many();
    directory_close(&d);
    arena_finish(&arena);
    (void)unlink(path);
    (void)rmdir(dir);
    return check_done();
}
