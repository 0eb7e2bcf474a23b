/*
 * tests/unit/fetch/test_where.c - URLs, helpers, addresses and fields: what is let through and what is not.
 */
#include <arpa/inet.h>

#include "base/fail.h"
#include "fetch/web.h"
#include "tests/unit/check.h"

static void test_urls(void)
{
    static const struct { const char *text, *host; unsigned port; bool https; int family; } good[] = {
        {"https://example.org", "example.org", 443, true, AF_UNSPEC},
        {"https://example.org/", "example.org", 443, true, AF_UNSPEC},
        {"HTTPS://Example.ORG/a/b?c=d&e=%20", "Example.ORG", 443, true, AF_UNSPEC},
        {"https://example.org:8443/x", "example.org", 8443, true, AF_UNSPEC},
        {"https://example.org?x", "example.org", 443, true, AF_UNSPEC},
        {"http://127.0.0.1:11333/checkv2", "127.0.0.1", 11333, false, AF_INET},
        {"https://[2001:db8::1]:444/", "2001:db8::1", 444, true, AF_INET6},
        {"https://_x.xn--bcher-kva.example/", "_x.xn--bcher-kva.example", 443, true, AF_UNSPEC},
        {"http://localhost:1/", "localhost", 1, false, AF_UNSPEC},
    };
    static const char *const bad[] = {
        "", "example.org", "ftp://example.org/", "file:///etc/passwd", "https:/example.org", "https://", "https:///x",
        "https://a@example.org/", "https://example.org@127.0.0.1/", "https://example.org:0/", "https://example.org:65536/",
        "https://example.org:/", "https://example.org:4x/", "https://example.org:+1/", "https://exa mple.org/",
        "https://example.org/a b", "https://example.org/#x", "https://example.org\\@127.0.0.1/", "https://2130706433/",
        "https://0x7f000001/", "https://127.1/", "https://127.0.0.1.", "https://0177.0.0.1/", "https://[::1", "https://[::1]x/",
        "https://[127.0.0.1]/", "https://[fe80::1%25eth0]/", ("https://b\xc3\xbc" "cher.example/"), "https://.example.org/",
        "https://a..example.org/", "https://-a.example.org/", "https://example.org/\r\nX: y", "https://example.org/[x]", "https://1/",
    };

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct fetch_url u = {0};
        struct fail      why = {0};
        CHECK(good[i].text, fetch_url_parse(slice_of(good[i].text), &u, &why));
        CHECK_SLICE(good[i].text, u.host, slice_of(good[i].host));
        CHECK(good[i].text, u.port == good[i].port && u.https == good[i].https && u.address.ss_family == good[i].family);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct fetch_url u = {0};
        struct fail      why = {0};
        CHECK(bad[i], !fetch_url_parse(slice_of(bad[i]), &u, &why) && why.reason == FAIL_INVALID);
    }
    CHECK("a NUL", !fetch_url_parse(SLICE("https://example.org\0.example.net/"), &(struct fetch_url){0}, NULL));
}

static void test_helpers(void)
{
    static const struct { const char *text; enum fetch_helper_kind kind; const char *host; unsigned port; } good[] = {
        {"http://127.0.0.1:11333", HELPER_WEB, "127.0.0.1", 11333}, {"https://id.example.org/realm", HELPER_WEB, "id.example.org", 443},
        {"unix:/run/milter.sock", HELPER_UNIX, "", 0},              {"inet:8891@localhost", HELPER_INET, "localhost", 8891},
        {"inet:8891@192.0.2.1", HELPER_INET, "192.0.2.1", 8891},    {"inet6:8891@[::1]", HELPER_INET, "::1", 8891},
        {"inet6:8891@::1", HELPER_INET, "::1", 8891},
    };
    static const char *const bad[] = {"", "milter", "unix:", "unix:run/x", "inet:8891", "inet:@localhost", "inet:0@localhost",
                                      "inet:70000@x.example", "inet:1@", "inet:1@a b", "inet:1@x:2", "inet:1@[::1", "tcp:1@x"};
    char long_path[200] = "unix:/";

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct fetch_helper h = {0};
        struct fail         why = {0};
        CHECK(good[i].text, fetch_helper_parse(good[i].text, &h, &why) && h.kind == good[i].kind && h.url.port == good[i].port);
        CHECK_SLICE(good[i].text, h.url.host, slice_of(good[i].host));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(bad[i], !fetch_helper_parse(bad[i], &(struct fetch_helper){0}, NULL));
    memset(long_path + 6, 'x', 150);
    CHECK("a path that does not fit", !fetch_helper_parse(long_path, &(struct fetch_helper){0}, NULL));

    struct fetch_helper h;
    struct fetch_url    u;
    CHECK("one", fetch_helper_parse("http://Rspamd.example:11333/x", &h, NULL));
    CHECK("the same", fetch_url_parse(SLICE("http://rspamd.example:11333/checkv2"), &u, NULL) && fetch_helper_has(&h, &u));
    CHECK("another port", fetch_url_parse(SLICE("http://rspamd.example:11334/"), &u, NULL) && !fetch_helper_has(&h, &u));
    CHECK("another scheme", fetch_url_parse(SLICE("https://rspamd.example:11333/"), &u, NULL) && !fetch_helper_has(&h, &u));
    CHECK("another host", fetch_url_parse(SLICE("http://spamd.example:11333/"), &u, NULL) && !fetch_helper_has(&h, &u));
}

static void test_addresses(void)
{
    static const struct { const char *text; bool is_public; } cases[] = {
        {"8.8.8.8", true}, {"192.0.2.1", true}, {"1.1.1.1", true}, {"172.32.0.1", true}, {"100.128.0.1", true},
        {"0.0.0.0", false}, {"10.1.2.3", false}, {"100.64.0.1", false}, {"127.0.0.1", false}, {"127.9.9.9", false},
        {"169.254.169.254", false}, {"172.16.0.1", false}, {"172.31.255.255", false}, {"192.168.1.1", false}, {"198.18.0.1", false},
        {"224.0.0.1", false}, {"255.255.255.255", false}, {"2001:4860:4860::8888", true}, {"2001:db8::1", true}, {"::", false},
        {"::1", false}, {"::7f00:1", false}, {"fe80::1", false}, {"fd00::1", false}, {"ff02::1", false}, {"::ffff:127.0.0.1", false},
        {"::ffff:10.0.0.1", false}, {"::ffff:8.8.8.8", true}, {"64:ff9b::7f00:1", false}, {"64:ff9b::808:808", true},
        {"2002:7f00:1::", false}, {"2002:808:808::", true}, {"2001:0:1::1", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sockaddr_storage a = {0};
        struct sockaddr_in      four = {.sin_family = AF_INET};
        struct sockaddr_in6     six = {.sin6_family = AF_INET6};
        if (inet_pton(AF_INET, cases[i].text, &four.sin_addr) == 1)
            memcpy(&a, &four, sizeof four);
        else if (inet_pton(AF_INET6, cases[i].text, &six.sin6_addr) == 1)
            memcpy(&a, &six, sizeof six);
        CHECK(cases[i].text, fetch_address_is_public(&a) == cases[i].is_public);
    }
    CHECK("no IP address", !fetch_address_is_public(&(struct sockaddr_storage){.ss_family = AF_UNIX}));
}

static void test_fields(void)
{
    static const struct { const char *text; bool fit; } cases[] = {
        {"", true}, {"From: a@example.org\r\n", true}, {"From: a\r\nRcpt: b\r\n", true}, {"X-Y:z\r\n", true},
        {"From: a", false}, {"From: a\n", false}, {"From a\r\n", false}, {": a\r\n", false}, {"From: \r\n", false},
        {"Fr om: a\r\n", false}, {"From: a\rb\r\n", false}, {"Host: x\r\n", false}, {"content-length: 3\r\n", false},
        {"Transfer-Encoding: chunked\r\n", false}, {"A: b\r\n\r\n", false}, {"A: b\r\n c\r\n", false}, {"A: \x7f\r\n", false},
    };
    static const struct { const char *value; int64_t fresh; } ages[] = {
        {"max-age=60", 60}, {"public, max-age=60", 60}, {"Max-Age=\"60\"", 60}, {"no-store", 0}, {"max-age=60, no-cache", 0},
        {"", -1}, {"private", -1}, {"max-age=x", -1}, {"max-age=-1", -1}, {"max-age=99999999999", 366 * 24 * 3600},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK(cases[i].text, web_fields_are_fit(slice_of(cases[i].text)) == cases[i].fit);
    for (size_t i = 0; i < ARRAY_LEN(ages); i++)
        CHECK(ages[i].value, web_max_age(slice_of(ages[i].value)) == ages[i].fresh);
}

int main(void)
{
    test_urls();
    test_helpers();
    test_addresses();
    test_fields();
    return check_done();
}
