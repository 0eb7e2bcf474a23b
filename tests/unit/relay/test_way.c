/* relay/way: MX in their order, null MX, fall-back to addresses, loops, what DNS failures mean. */
#include "relay/way.h"

#include <arpa/inet.h>
#include <unistd.h>

#include "base/fail.h"
#include "tests/unit/check.h"
#include "tests/unit/net/fake_dns.h"

static const struct fake_dns_row rows[] = {
    {"plain.example", DNS_MX, .secure = true, .ttl = 60, .records = {"20 b.example", "10 a.example", "30 c.example"}},
    {"a.example", DNS_A, .ttl = 60, .records = {"198.51.100.1", "198.51.100.2"}},
    {"a.example", DNS_AAAA, .secure = true, .ttl = 60, .records = {"2001:db8::1"}},
    {"b.example", DNS_A, .ttl = 60, .records = {"198.51.100.3"}},
    {"c.example", DNS_AAAA, .status = DNS_FAILED},
    {"equal.example", DNS_MX, .ttl = 60, .records = {"10 a.example", "10 b.example", "10 c.example", "5 d.example"}},
    {"null.example", DNS_MX, .ttl = 60, .records = {"0 "}},
    {"half.example", DNS_MX, .ttl = 60, .records = {"0 ", "10 a.example"}},
    {"nomx.example", DNS_A, .ttl = 60, .records = {"198.51.100.4"}},
    {"broken.example", DNS_MX, .status = DNS_FAILED},
    {"us.example", DNS_MX, .ttl = 60, .records = {"10 mail.here.example", "20 a.example"}},
    {"backup.example", DNS_MX, .ttl = 60, .records = {"10 a.example", "20 mail.here.example", "20 b.example", "30 c.example"}},
    {"alias.example", DNS_MX, .ttl = 60, .records = {"10 a.example", "20 other-name.example", "20 b.example", "30 c.example"}},
    {"other-name.example", DNS_A, .ttl = 60, .records = {"198.51.100.25"}},
    {"wild.example", DNS_MX, .ttl = 60, .records = {"10 loop.example"}},
    {"loop.example", DNS_A, .ttl = 60, .records = {"127.0.0.1"}},
    {"gone.example", DNS_MX, .ttl = 60, .records = {"10 nowhere.example"}},
};

static struct arena arena;
static struct relay_own own[2];
static struct relay_setting setting;

static struct way find(const char *domain, const struct route_row *row, bool *ok, struct verdict *v)
{
    struct way w;

    *ok = way_find(&setting, row, domain, &arena, &w, v);
    return w;
}

static void test_order(void)
{
    struct verdict v;
    bool ok;
    struct way w = find("plain.example", NULL, &ok, &v);
    unsigned first[3] = {0};

    CHECK("three hosts", ok && w.count == 3 && w.by_mx && w.mx_secure);
    CHECK("by preference", strcmp(w.hosts[0].name, "a.example") == 0 && strcmp(w.hosts[1].name, "b.example") == 0 && strcmp(w.hosts[2].name, "c.example") == 0);
    for (unsigned i = 0; i < 300; i++) {
        w = find("equal.example", NULL, &ok, &v);
        CHECK("the best is always first", strcmp(w.hosts[0].name, "d.example") == 0);
        first[w.hosts[1].name[0] - 'a']++;
    }
    CHECK("equals in any order", first[0] > 50 && first[1] > 50 && first[2] > 50);
    w = find("nomx.example", NULL, &ok, &v);
    CHECK("without MX the domain is its own", ok && w.count == 1 && strcmp(w.hosts[0].name, "nomx.example") == 0);
    w = find("half.example", NULL, &ok, &v);
    CHECK("a null MX beside others means nothing", ok && w.count == 1 && strcmp(w.hosts[0].name, "a.example") == 0);
    w = find("[198.51.100.7]", NULL, &ok, &v);
    CHECK("a literal", ok && w.count == 1 && !w.hosts[0].is_name && w.hosts[0].state == WAY_READY && w.hosts[0].port == 25);
    w = find("[IPv6:2001:db8::7]", NULL, &ok, &v);
    CHECK("of IPv6", ok && w.hosts[0].addresses[0].at.ss_family == AF_INET6);
}

static void test_refused(void)
{
    static const struct { const char *domain; bool permanent; const char *status; } cases[] = {
        {"null.example", true, "5.1.10"},
        {"nothing.example", true, "5.1.2"},
        {"broken.example", false, "4.4.3"},
        {"us.example", true, "5.4.6"},
    };
    struct verdict v;
    bool ok;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        v = (struct verdict){0};
        (void)find(cases[i].domain, NULL, &ok, &v);
        CHECK(cases[i].domain, !ok && v.permanent == cases[i].permanent);
        CHECK_SLICE(cases[i].domain, slice_of(v.status), slice_of(cases[i].status));
        CHECK("says why", v.text != NULL && strstr(v.text, cases[i].domain) != NULL);
    }
}

static void test_loops(void)
{
    struct verdict v;
    bool ok;
    struct way w = find("backup.example", NULL, &ok, &v);

    CHECK("better hosts than us, not those as good or worse", ok && w.count == 1 && w.is_us && strcmp(w.hosts[0].name, "a.example") == 0);
    w = find("alias.example", NULL, &ok, &v);
    CHECK("four hosts, as far as names tell", ok && w.count == 4);
    CHECK("the first", way_resolve(&setting, &w, 0, 5, &arena) == 1 && w.count == 4);
    CHECK("our address among the equals: none of them", way_resolve(&setting, &w, 1, 5, &arena) == 1 && w.count == 1 && w.is_us);
    w = find("wild.example", NULL, &ok, &v);
    CHECK("every address of this machine", ok && way_resolve(&setting, &w, 0, 5, &arena) == 0 && w.count == 0 && w.is_us);
    setting.limits.port = 2525;
    w = find("wild.example", NULL, &ok, &v);
    CHECK("at another port somebody else may listen", ok && way_resolve(&setting, &w, 0, 5, &arena) == 1 && w.count == 1);
    setting.limits.port = 25;
}

static void test_addresses(void)
{
    struct verdict v;
    bool ok;
    struct way w = find("plain.example", NULL, &ok, &v);

    CHECK("one at a time", way_resolve(&setting, &w, 0, 5, &arena) == 1);
    CHECK("both families in turn", w.hosts[0].state == WAY_READY && w.hosts[0].count == 3 && w.hosts[0].addresses[0].at.ss_family == AF_INET6 &&
                                      w.hosts[0].addresses[1].at.ss_family == AF_INET);
    CHECK_SLICE("text", slice_of(w.hosts[0].addresses[0].text), SLICE("2001:db8::1"));
    CHECK("the next", way_resolve(&setting, &w, 1, 5, &arena) == 2 && w.hosts[1].count == 1);
    CHECK("a failure is not the same as none", way_resolve(&setting, &w, 2, 5, &arena) == 3 && w.hosts[2].state == WAY_LATER);
    w = find("gone.example", NULL, &ok, &v);
    (void)way_resolve(&setting, &w, 0, 5, &arena);
    CHECK("none", w.hosts[0].state == WAY_NO_ADDRESS);
    setting.limits.ipv6 = false;
    w = find("plain.example", NULL, &ok, &v);
    (void)way_resolve(&setting, &w, 0, 5, &arena);
    CHECK("no IPv6", w.hosts[0].count == 2);
    setting.limits.ipv6 = true;
}

static void test_routes(void)
{
    static const char *const hosts[] = {"b.example:587", "[198.51.100.9]:26", "127.0.0.1:25", NULL};
    static const struct route_row row = {.name = "r", .hosts = hosts};
    static const char *const path[] = {"/run/lmtp", NULL};
    static const struct route_row lmtp = {.name = "l", .hosts = path, .protocol = ROUTE_LMTP};
    struct verdict v;
    bool ok;
    struct way w = find("plain.example", &row, &ok, &v);

    CHECK("in the row's order", ok && w.count == 3 && !w.by_mx && w.mx_secure && strcmp(w.hosts[0].name, "b.example") == 0 && w.hosts[0].port == 587);
    CHECK("looked up", way_resolve(&setting, &w, 0, 5, &arena) == 1 && ntohs(((struct sockaddr_in *)&w.hosts[0].addresses[0].at)->sin_port) == 587);
    CHECK("an address", w.hosts[1].state == WAY_READY && w.hosts[1].port == 26);
    CHECK("what the config says is no loop", way_resolve(&setting, &w, 2, 5, &arena) == 3 && w.count == 3);
    w = find("plain.example", &lmtp, &ok, &v);
    CHECK("a socket", ok && w.count == 1 && w.hosts[0].addresses[0].at.ss_family == AF_UNIX);
}

int main(void)
{
    struct fake_dns *f = fake_dns_start(rows, ARRAY_LEN(rows));

    arena_init(&arena, 64 * 1024 * 1024);
    own[0] = (struct relay_own){.port = 25}; /* every address of this machine */
    own[1].port = 25;
    ((struct sockaddr_in *)&own[1].address)->sin_family = AF_INET;
    ((struct sockaddr_in *)&own[1].address)->sin_addr.s_addr = inet_addr("198.51.100.25");
    setting = (struct relay_setting){.hostname = "Mail.Here.Example", .own = own, .own_count = 2, .dns = f->client};
    relay_limits_default(&setting.limits);
    test_order();
    test_refused();
    test_loops();
    test_addresses();
    test_routes();
    arena_finish(&arena);
    fake_dns_stop(&f);
    return check_done();
}
