/*
 * tests/unit/trust/test_mta_sts.c - policies: had, kept, refreshed and not had (RFC 8461 sections 3.3 and 5.1).  Time is moved.
 */
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/net/fake_dns.h"
#include "tests/unit/net/fake_fetch.h"
#include "trust/mta_sts.h"
#include "trust/tls_report.h"

static atomic_long later; /* seconds */

/* The C library's clock, moved. */
int clock_gettime(clockid_t id, struct timespec *out)
{
    int status = (int)syscall(SYS_clock_gettime, id, out);

    if (id == CLOCK_REALTIME)
        out->tv_sec += atomic_load(&later);
    return status;
}

#define URL(domain)    "https://mta-sts." domain "/.well-known/mta-sts.txt"
#define POLICY(m, age) "version: STSv1\nmode: " m "\nmx: mx.example\nmax_age: " age "\n"

static struct fake_dns_row rows[] = {
    {"_mta-sts.good.example", DNS_TXT, .records = {"v=STSv1; id=1;", "some other text"}},
    {"_mta-sts.none.example", DNS_TXT, .records = {"v=STSv1; id=1;"}},
    {"_mta-sts.two.example", DNS_TXT, .records = {"v=STSv1; id=1;", "v=STSv1; id=2;"}},
    {"_mta-sts.html.example", DNS_TXT, .records = {"v=STSv1; id=1;"}},
    {"_mta-sts.gone.example", DNS_TXT, .records = {"v=STSv1; id=1;"}},
    {"_mta-sts.bad.example", DNS_TXT, .records = {"v=STSv1; id=1;"}},
    {"_mta-sts.pki.example", DNS_TXT, .records = {"v=STSv1; id=1;"}},
    {"_mta-sts.moved.example", DNS_TXT, .records = {"v=STSv1; id=1;"}},
    {"_mta-sts.broken.example", DNS_TXT, .status = DNS_FAILED},
    {"_mta-sts.b.xn--bcher-kva.example", DNS_TXT, .records = {"v=STSv1; id=1;"}},
};
static const struct fake_page pages[] = {
    {URL("good.example"), 200, "text/plain", POLICY("enforce", "604800"), FAIL_OTHER},
    {URL("none.example"), 200, "text/plain", "version: STSv1\nmode: none\nmax_age: 86400\n", FAIL_OTHER},
    {URL("two.example"), 200, "text/plain", POLICY("enforce", "604800"), FAIL_OTHER},
    {URL("html.example"), 200, "text/html", POLICY("enforce", "604800"), FAIL_OTHER},
    {URL("gone.example"), 404, "text/plain", "no", FAIL_OTHER},
    {URL("moved.example"), 301, "text/plain", POLICY("enforce", "604800"), FAIL_OTHER},
    {URL("bad.example"), 200, "text/plain", "version: STSv1\n", FAIL_OTHER},
    {URL("pki.example"), 200, "text/plain", POLICY("enforce", "604800"), FAIL_AUTH},
    {URL("b.xn--bcher-kva.example"), 200, "text/plain", POLICY("testing", "604800"), FAIL_OTHER},
    {NULL, 0, NULL, NULL, FAIL_OTHER},
};
static const struct fake_page newer[] = {
    {URL("good.example"), 200, "text/plain", POLICY("testing", "604800"), FAIL_OTHER},
    {NULL, 0, NULL, NULL, FAIL_OTHER},
};
static const struct fake_page nothing[] = {{NULL, 0, NULL, NULL, FAIL_OTHER}};

static struct fake_dns   *dns;
static struct fake_fetch *fetch;
static struct mta_sts    *sts;
static struct arena       arena;
static char               folder[] = "/tmp/test_sts_XXXXXX";

/* "enforce", "testing", "" for none; "?" for none with a reason. */
static const char *find(const char *domain)
{
    struct sts_policy p = {0};
    const char       *why_not = NULL;

    arena_reset(&arena);
    if (!mta_sts_find(sts, slice_of(domain), &arena, &p, &why_not))
        return why_not != NULL ? "?" : "";
    CHECK(domain, p.id.len > 0 && p.mx_count == 1 && sts_policy_allows(&p, SLICE("mx.example")));
    return p.mode == STS_ENFORCE ? "enforce" : "testing";
}

static void expect(const char *note, const char *domain, const char *want, unsigned asked)
{
    unsigned before = fake_fetch_asked(fetch);

    CHECK(note, strcmp(find(domain), want) == 0);
    CHECK(note, fake_fetch_asked(fetch) - before == asked);
}

static void open_again(void)
{
    mta_sts_close(&sts);
    CHECK("open", mta_sts_open(folder, dns->client, fetch->client, &sts, NULL));
}

static void test_first(void)
{
    expect("the first time", "good.example", "enforce", 1);
    expect("then it is known", "GOOD.example.", "enforce", 0);
    open_again();
    expect("also after a restart", "good.example", "enforce", 0);
    expect("no record", "nobody.example", "", 0);
    expect("two records", "two.example", "", 0);
    expect("mode none", "none.example", "", 1);
    expect("... is known too", "none.example", "", 0);
    expect("a U-label", "b.b\xc3\xbc" "cher.example", "testing", 1);
    expect("an address literal", "[192.0.2.1]", "", 0);
    expect("a path", "../good.example", "", 0);
    expect("nothing", "", "", 0);
}

static void test_failures(void)
{
    static const char *const failing[] = {"html.example", "gone.example", "moved.example", "bad.example", "pki.example"};

    for (size_t i = 0; i < ARRAY_LEN(failing); i++) {
        expect(failing[i], failing[i], "?", 1);
        expect("not tried again at once", failing[i], "?", 0);
    }
    expect("DNS fails", "broken.example", "?", 0);
    atomic_fetch_add(&later, 61);
    expect("nor a minute later", "gone.example", "?", 0);
    rows[4].records[0] = "v=STSv1; id=2;";
    atomic_fetch_add(&later, 61);
    expect("but a new id is", "gone.example", "?", 1);
    atomic_fetch_add(&later, 301);
    expect("and any after five minutes", "gone.example", "?", 1);
}

static void change_id(const char *id)
{
    rows[0].records[0] = id;
}

/* The background asks; what it found is seen at the next question. */
static void await_policy(const char *note, const char *want)
{
    bool seen = false;

    for (int i = 0; i < 5000 && !seen; i++) {
        seen = strcmp(find("good.example"), want) == 0;
        if (!seen)
            (void)usleep(1000);
    }
    CHECK(note, seen);
}

static void test_changes(void)
{
    unsigned asked = fake_fetch_asked(fetch);

    fake_fetch_set(fetch, newer);
    change_id("v=STSv1; id=2;");
    expect("the one that is known holds", "good.example", "enforce", 0);
    atomic_fetch_add(&later, 301);
    (void)find("good.example");
    await_policy("five minutes later the new one is found", "testing");
    CHECK("by one fetch", fake_fetch_asked(fetch) == asked + 1);
    expect("and holds", "good.example", "testing", 0);

    fake_fetch_set(fetch, nothing);
    change_id("v=STSv1; id=3;");
    atomic_fetch_add(&later, 301);
    CHECK("a fetch that fails", strcmp(find("good.example"), "testing") == 0);
    fake_fetch_await(fetch, asked + 2);
    open_again(); /* after it has failed */
    expect("keeps the old policy", "good.example", "testing", 0);
    change_id("no record");
    atomic_fetch_add(&later, 301);
    expect("so does a record that is gone", "good.example", "testing", 0);
    atomic_fetch_add(&later, 604800);
    expect("until it ends", "good.example", "", 0);
    change_id("v=STSv1; id=4;");
    fake_fetch_set(fetch, pages);
    expect("then it is asked for anew", "good.example", "enforce", 1);
}

static void test_refresh(void)
{
    unsigned asked = fake_fetch_asked(fetch);

    atomic_fetch_add(&later, 6 * 24 * 3600);
    (void)find("good.example"); /* due for days */
    fake_fetch_await(fetch, asked + 1);
    open_again(); /* after it has arrived */
    atomic_fetch_add(&later, 3 * 24 * 3600); /* the one before would have ended */
    open_again();
    fake_fetch_await(fetch, asked + 2); /* without anybody asking: it is due again */
    open_again();
    expect("it was in time", "good.example", "enforce", 0);
}

static void *find_good(void *ctx)
{
    struct sts_policy p;
    const char       *why_not;
    struct arena      a;

    arena_init(&a, 1 << 20);
    *(bool *)ctx = mta_sts_find(sts, SLICE("good.example"), &a, &p, &why_not);
    arena_finish(&a);
    return NULL;
}

static void test_together(void)
{
    pthread_t threads[4];
    bool      found[4] = {false};
    unsigned  asked;

    atomic_fetch_add(&later, 40 * 24 * 3600);
    asked = fake_fetch_asked(fetch);
    fake_fetch_hold(fetch, true);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        CHECK("a thread", pthread_create(&threads[i], NULL, find_good, &found[i]) == 0);
    fake_fetch_await(fetch, asked + 1);
    CHECK("others are not kept waiting", strcmp(find("nobody.example"), "") == 0);
    fake_fetch_hold(fetch, false);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        (void)pthread_join(threads[i], NULL);
        CHECK("each has it", found[i]);
    }
    CHECK("by one fetch", fake_fetch_asked(fetch) == asked + 1);
}

/* A file that is none is no policy, and is not in the way. */
static void test_damage(void)
{
    char  path[200];
    FILE *f;

    mta_sts_close(&sts);
    (void)snprintf(path, sizeof path, "%s/good.example", folder);
    f = fopen(path, "we");
    CHECK("a file", f != NULL && fputs("posthorn mta-sts 1\nid 4\nfetched 99999999999\nused 1\n\n" POLICY("none", "31557600"), f) >= 0 &&
                        fclose(f) == 0);
    CHECK("open", mta_sts_open(folder, dns->client, fetch->client, &sts, NULL));
    expect("one from the future", "good.example", "enforce", 1);
}

static void remove_folder(void)
{
    DIR           *d = opendir(folder);
    struct dirent *row;
    char           path[600];

    while (d != NULL && (row = readdir(d)) != NULL) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, row->d_name);
        (void)unlink(path);
    }
    if (d != NULL)
        (void)closedir(d);
    (void)rmdir(folder);
}

int main(void)
{
    CHECK("a folder", mkdtemp(folder) != NULL);
    arena_init(&arena, 1 << 20);
    dns = fake_dns_start(rows, ARRAY_LEN(rows));
    fetch = fake_fetch_start(pages);
    CHECK("open", mta_sts_open(folder, dns->client, fetch->client, &sts, NULL));
    test_first();
    test_changes();
    test_failures();
    test_refresh();
    test_together();
    test_damage();
    mta_sts_close(&sts);
    fake_fetch_stop(&fetch);
    fake_dns_stop(&dns);
    arena_finish(&arena);
    remove_folder();
    return check_done();
}
