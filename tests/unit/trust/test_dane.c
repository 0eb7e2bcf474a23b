/*
 * tests/unit/trust/test_dane.c - which TLSA records count for a host: RFC 7672 sections 2.1 to 2.2.3 and 3.1.
 */
#include "tests/unit/check.h"
#include "tests/unit/net/fake_dns.h"
#include "trust/dane.h"

#define D32 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct fake_dns_row rows[] = {
    {"_25._tcp.mx.example", DNS_TLSA, .secure = true, .records = {"3 1 1 " D32, "1 1 1 " D32}},
    {"_465._tcp.mx.example", DNS_TLSA, .secure = true, .records = {"2 0 2 " D32 D32}},
    {"_25._tcp.insecure.example", DNS_TLSA, .secure = false, .records = {"3 1 1 " D32}},
    {"_25._tcp.unusable.example", DNS_TLSA, .secure = true,
     .records = {"0 0 1 " D32, "1 0 1 " D32, "3 1 1 0011", "3 2 1 " D32, "3 1 3 " D32, "3 0 0 3000", "3 1 0 ", "4 1 1 " D32, "3 1 2 " D32}},
    {"_25._tcp.broken.example", DNS_TLSA, .status = DNS_FAILED},
    {"none.example", DNS_A, .secure = true, .records = {"192.0.2.1"}},
    {"_25._tcp.end.example", DNS_TLSA, .secure = true, .records = {"3 1 1 " D32}},
    {"_25._tcp.alias.example", DNS_TLSA, .secure = true, .records = {"2 1 1 " D32}},
    {"alias.example", DNS_CNAME, .secure = true, .records = {"far.example"}},
    {"plain-alias.example", DNS_CNAME, .secure = false, .records = {"far.example"}},
    {"_25._tcp.plain-alias.example", DNS_TLSA, .secure = true, .records = {"3 1 1 " D32}},
    {"broken-alias.example", DNS_CNAME, .status = DNS_FAILED},
};

int main(void)
{
    static const struct { const char *note, *host, *end; unsigned port; bool mx, address; enum dane_status want; size_t count; const char *base; } cases[] = {
        {"usable ones", "mx.example", "mx.example", 25, true, true, DANE_USABLE, 1, "mx.example"},
        {"of another port", "mx.example", "mx.example", 465, true, true, DANE_USABLE, 1, "mx.example"},
        {"of no port", "mx.example", "mx.example", 26, true, true, DANE_NONE, 0, "mx.example"},
        {"the MX was not signed", "mx.example", "mx.example", 25, false, true, DANE_NONE, 0, "mx.example"},
        {"the address was not signed", "mx.example", "mx.example", 25, true, false, DANE_NONE, 0, "mx.example"},
        {"no look-up where it would fail", "broken.example", "broken.example", 25, true, false, DANE_NONE, 0, "broken.example"},
        {"it fails", "broken.example", "broken.example", 25, true, true, DANE_FAILED, 0, NULL},
        {"TLSA not signed", "insecure.example", "insecure.example", 25, true, true, DANE_NONE, 0, "insecure.example"},
        {"none usable", "unusable.example", "unusable.example", 25, true, true, DANE_UNUSABLE, 0, "unusable.example"},
        {"none", "none.example", "none.example", 25, true, true, DANE_NONE, 0, "none.example"},
        {"the end of an alias first", "alias.example", "end.example", 25, true, true, DANE_USABLE, 1, "end.example"},
        {"then the alias", "alias.example", "none.example", 25, true, true, DANE_USABLE, 1, "alias.example"},
        {"the end fails", "alias.example", "broken.example", 25, true, true, DANE_FAILED, 0, NULL},
        {"unusable ones at the end count", "alias.example", "unusable.example", 25, true, true, DANE_UNUSABLE, 0, "unusable.example"},
        {"the end is not signed, the alias is", "alias.example", "end.example", 25, true, false, DANE_USABLE, 1, "alias.example"},
        {"neither is signed", "plain-alias.example", "end.example", 25, true, false, DANE_NONE, 0, "plain-alias.example"},
        {"the alias fails", "broken-alias.example", "end.example", 25, true, false, DANE_FAILED, 0, NULL},
        {"case is no alias", "MX.example", "mx.example", 25, true, true, DANE_USABLE, 1, "MX.example"},
    };
    struct fake_dns *dns = fake_dns_start(rows, ARRAY_LEN(rows));
    struct arena     a;

    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct dns_answer addresses = {.status = DNS_FOUND, .secure = cases[i].address, .canonical = cases[i].end};
        struct dane_answer      got = {0};
        dane_find(dns->client, cases[i].host, cases[i].port, cases[i].mx, &addresses, &a, &got);
        CHECK(cases[i].note, got.status == cases[i].want);
        CHECK(cases[i].note, got.count == cases[i].count);
        if (cases[i].base != NULL)
            CHECK_SLICE(cases[i].note, slice_of(got.base), slice_of(cases[i].base));
        if (cases[i].want == DANE_FAILED)
            CHECK(cases[i].note, got.why != NULL && got.why[0] != '\0');
    }
    arena_finish(&a);
    fake_dns_stop(&dns);
    return check_done();
}
