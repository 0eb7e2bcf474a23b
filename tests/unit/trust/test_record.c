/*
 * tests/unit/trust/test_record.c - TXT records and policies: RFC 8461 sections 3.1, 3.2 and 4.1, RFC 8460 section 3, RFC 6068.
 */
#include "base/fail.h"
#include "tests/unit/check.h"
#include "trust/mta_sts.h"
#include "trust/record.h"
#include "trust/sts_fetch.h"
#include "trust/sts_file.h"

static void test_sts_records(void)
{
    static const struct { const char *text, *id; } cases[] = {
        {"v=STSv1; id=20160831085700Z;", "20160831085700Z"},
        {"v=STSv1;id=1", "1"},
        {"v=STSv1 ;\tid=1 ; ", "1"},
        {"v=STSv1; ext=a.b; id=1;", "1"},
        {"v=STSv1; id=1; id=2;", "1"},
        {"v=STSv1; id=abcdefghijklmnopqrstuvwxyz012345", "abcdefghijklmnopqrstuvwxyz012345"},
        {"v=STSv1; id=abcdefghijklmnopqrstuvwxyz0123456", NULL},
        {"", NULL}, {"v=STSv1", NULL}, {"v=STSv1;", NULL}, {"v=STSv1; ", NULL}, {"v=STSv2; id=1", NULL}, {"V=STSv1; id=1", NULL},
        {"v=stsv1; id=1", NULL}, {" v=STSv1; id=1", NULL}, {"id=1; v=STSv1", NULL}, {"v=STSv1; id=", NULL}, {"v=STSv1; id=a-b", NULL},
        {"v=STSv1; id=1 2", NULL}, {"v=STSv1; id=1;; x=y", NULL}, {"v=STSv1; id=1; x", NULL}, {"v=STSv1; id=1; x=", NULL},
        {"v=STSv1; id=1; x=a=b", NULL}, {"v=STSv1; id=1; -x=a", NULL}, {"v=STSv1; ID=1", NULL}, {"v=STSv1; id=1; x=\xc3\xbc", NULL},
        {"v=STSv1, id=1", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice id = SLICE("");
        CHECK(cases[i].text, sts_record_parse(slice_of(cases[i].text), &id) == (cases[i].id != NULL));
        if (cases[i].id != NULL)
            CHECK_SLICE(cases[i].text, id, slice_of(cases[i].id));
    }
}

static void test_report_records(void)
{
    static const struct { const char *text; size_t count; const char *first; } cases[] = {
        {"v=TLSRPTv1;rua=mailto:reports@example.com", 1, "mailto:reports@example.com"},
        {"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt", 1, "https://reporting.example.com/v1/tlsrpt"},
        {"v=TLSRPTv1; rua=mailto:a@example.org , https://b.example/?x=y;", 2, "mailto:a@example.org"},
        {"v=TLSRPTv1; x=y; rua=mailto:a@example.org; rua=mailto:b@example.org", 1, "mailto:a@example.org"},
        {"v=TLSRPTv1; rua=mailto:a@b,mailto:c@d,mailto:e@f,mailto:g@h,mailto:i@j", 4, "mailto:a@b"},
        {"v=TLSRPTv1;", 0, NULL}, {"v=TLSRPTv1; rua=", 0, NULL}, {"v=TLSRPTv1; rua=,", 0, NULL}, {"v=TLSRPTv1; rua=a@b", 0, NULL},
        {"v=TLSRPTv1; rua=mailto:a@b!10m", 0, NULL}, {"v=TLSRPTv1; rua=mailto:a b@c", 0, NULL}, {"v=DMARC1; rua=mailto:a@b", 0, NULL},
        {"v=TLSRPTv1; rua=mailto:a@b,", 0, NULL}, {"v=TLSRPTv1; rua=:a@b", 0, NULL}, {"v=TLSRPTv2; rua=mailto:a@b", 0, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice rua[RUA_MAX];
        size_t       count = 0;
        CHECK(cases[i].text, tls_report_record_parse(slice_of(cases[i].text), rua, &count) == (cases[i].count > 0));
        if (cases[i].count > 0) {
            CHECK(cases[i].text, count == cases[i].count);
            CHECK_SLICE(cases[i].text, rua[0], slice_of(cases[i].first));
        }
    }
}

static void test_mailto(void)
{
    static const struct { const char *uri, *address; } cases[] = {
        {"mailto:a@example.org", "a@example.org"}, {"MAILTO:a@example.org?subject=x", "a@example.org"},
        {"mailto:a%2Bb@example.org", "a+b@example.org"}, {"mailto:a", NULL}, {"mailto:", NULL}, {"https://a@b", NULL},
        {"mailto:a%0d%0ab@example.org", NULL}, {"mailto:a%2@example.org", NULL}, {"mailto:a%zz@example.org", NULL},
        {"mailto:a%3e@example.org%3e", NULL}, {"mailto:a@b,c@d", NULL}, {"mailto:%00@b", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char         room[40];
        struct slice address = SLICE("");
        CHECK(cases[i].uri, mailto_parse(slice_of(cases[i].uri), room, sizeof room, &address) == (cases[i].address != NULL));
        if (cases[i].address != NULL)
            CHECK_SLICE(cases[i].uri, address, slice_of(cases[i].address));
    }
}

#define START "version: STSv1\r\nmode: enforce\r\nmax_age: 604800\r\n"

static void test_policies(void)
{
    static const struct { const char *note, *text; size_t mx; int64_t max_age; } good[] = {
        {"the RFC's", "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\n"
                      "max_age: 604800\r\n", 3, 604800},
        {"LF, no end, other order", "mx: a.example\nmax_age:5\nmode:testing \t\nversion:STSv1", 1, 5},
        {"none needs no mx", "version: STSv1\nmode: none\nmax_age: 86400\n", 0, 86400},
        {"of two the first", START "mx: a.example\nmode: none\nmax_age: 1\nversion: STSv2\n", 1, 604800},
        {"fields to come", START "mx: a.example\nfoo.bar-1_: \xc3\xbc x\n", 1, 604800},
        {"longer than may be", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 9999999999\n", 1, 31557600},
        {"an empty line at its end", START "mx: a.example\r\n\r\n", 1, 604800},
        {"zero", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 0\n", 1, 0},
    };
    static const struct { const char *note, *text; } bad[] = {
        {"empty", ""}, {"no mx", START}, {"no version", "mode: none\nmax_age: 1\n"}, {"no mode", "version: STSv1\nmax_age: 1\nmx: a.example\n"},
        {"no max_age", "version: STSv1\nmode: none\n"}, {"version 2", "version: STSv2\nmode: none\nmax_age: 1\n"},
        {"another mode", "version: STSv1\nmode: Enforce\nmax_age: 1\nmx: a.example\n"}, {"negative", "version: STSv1\nmode: none\nmax_age: -1\n"},
        {"a name in capitals", "Version: STSv1\nmode: none\nmax_age: 1\n"}, {"eleven digits", "version: STSv1\nmode: none\nmax_age: 00000000001\n"},
        {"a wildcard inside", START "mx: mail.*.example\n"}, {"a wildcard alone", START "mx: *\n"}, {"half a label", START "mx: *mail.example\n"},
        {"a U-label", START "mx: b\xc3\xbc" "cher.example\n"}, {"two in one", START "mx: a.example, b.example\n"}, {"an empty mx", START "mx:\n"},
        {"a dot at the end", START "mx: a.example.\n"}, {"HTML", "<html><body>version: STSv1</body></html>\n"}, {"no colon", START "mx a.example\n"},
        {"a control character", START "mx: a.example\nx: a\x01" "b\n"}, {"CR inside", START "mx: a.example\rmx: b.example\n"},
        {"no UTF-8", START "mx: a.example\nx: \xff\n"}, {"blank before the name", START " mx: a.example\n"},
    };
    struct arena a;

    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct sts_policy p = {0};
        struct fail       why = {0};
        CHECK(good[i].note, sts_policy_parse(&a, slice_of(good[i].text), &p, &why));
        CHECK(good[i].note, p.mx_count == good[i].mx && p.max_age == good[i].max_age);
        CHECK_SLICE(good[i].note, p.text, slice_of(good[i].text));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct sts_policy p = {0};
        struct fail       why = {0};
        CHECK(bad[i].note, !sts_policy_parse(&a, slice_of(bad[i].text), &p, &why) && why.reason == FAIL_INVALID);
    }
    arena_finish(&a);
}

static void test_hosts(void)
{
    static const struct { const char *host; bool allowed; } cases[] = {
        {"mail.example.com", true}, {"MAIL.example.com", true}, {"mail.example.com.", true}, {"a.example.net", true}, {"A.EXAMPLE.NET", true},
        {"example.net", false}, {"foo.bar.example.net", false}, {".example.net", false}, {"example.com", false}, {"xmail.example.com", false},
        {"aexample.net", false}, {"", false},
    };
    struct arena      a;
    struct sts_policy p;

    arena_init(&a, 1 << 20);
    CHECK("a policy", sts_policy_parse(&a, SLICE(START "mx: mail.example.com\nmx: *.example.net\n"), &p, NULL));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK(cases[i].host, sts_policy_allows(&p, slice_of(cases[i].host)) == cases[i].allowed);
    arena_finish(&a);
}

static void test_files(void)
{
    struct sts_file f = {.id = "abc", .fetched = 5, .used = 7}, back = {0};
    struct buf      text;
    static const char *const bad[] = {"", "x", "posthorn mta-sts 1\n", "posthorn mta-sts 1\nid a\nfetched 1\nused 1\n\n",
                                      "posthorn mta-sts 1\nid \nfetched 1\nused 1\n\nx", "posthorn mta-sts 1\nid a\nfetched -1\nused 1\n\nx",
                                      "posthorn mta-sts 2\nid a\nfetched 1\nused 1\n\nx", "posthorn mta-sts 1\nid a\nused 1\nfetched 1\n\nx"};

    buf_init(&text, 1000);
    buf_init(&f.text, 1000);
    buf_add(&f.text, SLICE("version: STSv1\n\nx"));
    sts_file_write(&f, &text);
    CHECK("written is read", sts_file_read(buf_slice(&text), &back) && back.fetched == 5 && back.used == 7 && strcmp(back.id, "abc") == 0);
    CHECK_SLICE("and its text", buf_slice(&back.text), buf_slice(&f.text));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(bad[i], !sts_file_read(slice_of(bad[i]), &(struct sts_file){0}));
    buf_finish(&text);
    buf_finish(&f.text);
    buf_finish(&back.text);
}

static void test_types(void)
{
    CHECK("plain", sts_type_is_plain(SLICE("text/plain")) && sts_type_is_plain(SLICE("Text/Plain; charset=utf-8")) &&
                       sts_type_is_plain(SLICE("text/plain ;x=y")));
    CHECK("not plain", !sts_type_is_plain(SLICE("")) && !sts_type_is_plain(SLICE("text/html")) && !sts_type_is_plain(SLICE("text/plainer")));
}

int main(void)
{
    test_sts_records();
    test_report_records();
    test_mailto();
    test_policies();
    test_hosts();
    test_files();
    test_types();
    return check_done();
}
