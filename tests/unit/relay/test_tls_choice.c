/* relay/tls_choice: the route says, else DANE, else MTA-STS, else nothing does; and REQUIRETLS. */
#include "relay/tls_choice.h"

#include "tests/unit/check.h"

static struct arena arena;
static struct dns_record tlsa = {.tlsa = {3, 1, 1, {"x", 1}}};
static struct dane_answer dane_none = {.status = DANE_NONE}, dane_usable = {DANE_USABLE, &tlsa, 1, "mx.example.net", NULL},
                          dane_unusable = {.status = DANE_UNUSABLE}, dane_failed = {.status = DANE_FAILED, .why = "SERVFAIL"};
static struct slice mx_patterns[] = {{"*.example.net", 13}};
static struct sts_policy enforce = {.mode = STS_ENFORCE, .mx = mx_patterns, .mx_count = 1},
                         testing = {.mode = STS_TESTING, .mx = mx_patterns, .mx_count = 1};

enum { NONE = TLS_CHECK_NOTHING, PKIX = TLS_CHECK_PKIX, DANE = TLS_CHECK_DANE };

struct expected {
    bool use, for_good;
    enum smtp_client_tls tls;
    int check; /* -1: no rule */
    const char *name;
    bool strict;
};

static void check(const char *note, const struct way *w, const char *host, bool is_name, const struct dane_answer *dane,
                  const struct sts_policy *sts, bool requiretls, struct expected want)
{
    struct way_host h = {.name = host, .is_name = is_name};
    struct tls_question q = {w, &h, dane, sts, requiretls};
    struct tls_choice c;

    tls_choose(&q, &arena, &c);
    CHECK(note, c.use == want.use);
    if (!c.use) {
        CHECK(note, c.for_good == want.for_good && c.why[0] != '\0' && c.status[0] == (want.for_good ? '5' : '4'));
        return;
    }
    CHECK(note, c.tls == want.tls && c.strict == want.strict);
    CHECK(note, want.check == -1 ? !c.has_rule : c.has_rule && (int)c.rule.check == want.check);
    if (want.name != NULL)
        CHECK_SLICE(note, slice_of(c.names[0]), slice_of(want.name));
}

static void test_policy(void)
{
    struct way mx = {.domain = "example.net", .by_mx = true, .mx_secure = true}, plain = {.domain = "example.net", .by_mx = true};

    check("nothing published", &plain, "mx.example.net", true, NULL, NULL, false, (struct expected){true, false, CLIENT_TLS_MAY, -1, NULL, false});
    check("no TLSA records", &mx, "mx.example.net", true, &dane_none, NULL, false, (struct expected){true, false, CLIENT_TLS_MAY, -1, NULL, false});
    check("DANE", &mx, "mx.example.net", true, &dane_usable, NULL, false, (struct expected){true, false, CLIENT_TLS_MUST, DANE, "mx.example.net", true});
    check("DANE before MTA-STS", &mx, "mx.elsewhere", true, &dane_usable, &enforce, false,
          (struct expected){true, false, CLIENT_TLS_MUST, DANE, "mx.example.net", true});
    check("TLSA records none of which can be used", &mx, "mx.example.net", true, &dane_unusable, NULL, false,
          (struct expected){true, false, CLIENT_TLS_MUST, -1, NULL, false});
    check("TLSA records that cannot be looked up: not this host", &mx, "mx.example.net", true, &dane_failed, &enforce, false,
          (struct expected){false, false, CLIENT_TLS_MUST, -1, NULL, false});
    check("MTA-STS", &plain, "mx.example.net", true, NULL, &enforce, false, (struct expected){true, false, CLIENT_TLS_MUST, PKIX, "mx.example.net", true});
    check("a host that the policy does not name", &plain, "mx.elsewhere", true, NULL, &enforce, false,
          (struct expected){false, false, CLIENT_TLS_MUST, -1, NULL, false});
    check("testing: told, not demanded", &plain, "mx.elsewhere", true, NULL, &testing, false,
          (struct expected){true, false, CLIENT_TLS_MAY, PKIX, "mx.elsewhere", false});
}

static void test_rows(void)
{
    struct route_row row = {.name = "r"};
    struct way mx = {.domain = "example.net", .by_mx = true, .row = &row}, signed_mx = {.domain = "example.net", .by_mx = true, .mx_secure = true, .row = &row},
               hosts = {.domain = "example.net", .mx_secure = true, .row = &row};

    row.tls = ROUTE_TLS_NONE;
    check("none", &signed_mx, "mx.example.net", true, &dane_usable, &enforce, false, (struct expected){true, false, CLIENT_TLS_NONE, -1, NULL, false});
    row.tls = ROUTE_TLS_MAY;
    check("may", &signed_mx, "mx.example.net", true, &dane_usable, &enforce, false, (struct expected){true, false, CLIENT_TLS_MAY, -1, NULL, false});
    row.tls = ROUTE_TLS_MUST;
    check("must", &mx, "mx.example.net", true, NULL, NULL, false, (struct expected){true, false, CLIENT_TLS_MUST, -1, NULL, false});
    row.tls = ROUTE_TLS_VERIFY;
    check("verify", &hosts, "relay.example.com", true, NULL, NULL, false, (struct expected){true, false, CLIENT_TLS_MUST, PKIX, "relay.example.com", true});
    check("an MX host whose name may be forged does not count", &mx, "mx.evil.example", true, NULL, NULL, false,
          (struct expected){true, false, CLIENT_TLS_MUST, PKIX, "example.net", true});
    check("one below the domain does", &mx, "mx.example.net", true, NULL, NULL, false, (struct expected){true, false, CLIENT_TLS_MUST, PKIX, "mx.example.net", true});
    check("or one that DNSSEC vouches for", &signed_mx, "mx.other.example", true, NULL, NULL, false,
          (struct expected){true, false, CLIENT_TLS_MUST, PKIX, "mx.other.example", true});
    check("an address has no name", &hosts, "192.0.2.1", false, NULL, NULL, false, (struct expected){false, false, CLIENT_TLS_MUST, -1, NULL, false});
    row.tls = ROUTE_TLS_DANE;
    check("dane", &hosts, "mx.example.net", true, &dane_usable, NULL, false, (struct expected){true, false, CLIENT_TLS_MUST, DANE, "mx.example.net", true});
    check("dane without records", &hosts, "mx.example.net", true, &dane_none, NULL, false, (struct expected){false, false, CLIENT_TLS_MUST, -1, NULL, false});
    row = (struct route_row){.name = "r", .user = "me", .password = "secret", .wrapped = true};
    check("a password wants a certificate", &hosts, "relay.example.com", true, NULL, NULL, false,
          (struct expected){true, false, CLIENT_TLS_WRAPPED, PKIX, "relay.example.com", true});
}

static void test_requiretls(void)
{
    struct route_row may = {.name = "r", .tls = ROUTE_TLS_MAY};
    struct way mx = {.domain = "example.net", .by_mx = true, .mx_secure = true}, plain = {.domain = "example.net", .by_mx = true},
               row = {.domain = "example.net", .mx_secure = true, .row = &may}, literal = {.domain = "[192.0.2.1]"};

    check("an MX that nothing proves", &plain, "mx.example.net", true, NULL, NULL, true, (struct expected){false, true, CLIENT_TLS_MUST, -1, NULL, false});
    check("testing proves nothing", &plain, "mx.example.net", true, NULL, &testing, true, (struct expected){false, true, CLIENT_TLS_MUST, -1, NULL, false});
    check("by MTA-STS", &plain, "mx.example.net", true, NULL, &enforce, true, (struct expected){true, false, CLIENT_TLS_MUST, PKIX, "mx.example.net", true});
    check("by DANE", &mx, "mx.example.net", true, &dane_usable, NULL, true, (struct expected){true, false, CLIENT_TLS_MUST, DANE, "mx.example.net", true});
    check("by DNSSEC and a certificate", &mx, "mx.example.net", true, &dane_none, NULL, true,
          (struct expected){true, false, CLIENT_TLS_MUST, PKIX, "mx.example.net", true});
    check("unusable TLSA records and a certificate", &mx, "mx.example.net", true, &dane_unusable, NULL, true,
          (struct expected){true, false, CLIENT_TLS_MUST, PKIX, "mx.example.net", true});
    check("by the config, and verified all the same", &row, "relay.example.com", true, NULL, NULL, true,
          (struct expected){true, false, CLIENT_TLS_MUST, PKIX, "relay.example.com", true});
    check("an address", &literal, "192.0.2.1", false, NULL, NULL, true, (struct expected){false, true, CLIENT_TLS_MUST, -1, NULL, false});
}

/* RFC 7672 section 3.2.2: what a certificate under DANE-TA(2) may be for. */
static void test_dane_names(void)
{
    struct way mx = {.domain = "example.net", .by_mx = true, .mx_secure = true};
    struct way_host alias = {.name = "alias.example.org", .is_name = true};
    struct tls_question q = {&mx, &alias, &dane_usable, NULL, false};
    struct tls_choice c;

    tls_choose(&q, &arena, &c);
    CHECK("the TLSA base domain", strcmp(c.names[0], "mx.example.net") == 0);
    CHECK("the domain whose MX led here", strcmp(c.names[1], "example.net") == 0);
    CHECK("the MX host's own name", strcmp(c.names[2], "alias.example.org") == 0 && c.names[3] == NULL);
}

int main(void)
{
    arena_init(&arena, 1024 * 1024);
    test_policy();
    test_rows();
    test_requiretls();
    test_dane_names();
    arena_finish(&arena);
    return check_done();
}
