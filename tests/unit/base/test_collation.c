/*
 * tests/unit/base/test_collation.c - keys of texts, and which collations a pattern names.
 */
#include "base/collation.h"

#include "tests/unit/check.h"

static void test_keys(void)
{
    static const struct {
        const char *note;
        enum collation c;
        const char *text, *want;
    } cases[] = {
        {"ASCII", COLLATION_UNICODE_CASEMAP, "aBz~1", "ABZ~1"},
        {"empty", COLLATION_UNICODE_CASEMAP, "", ""},
        {"decomposed", COLLATION_UNICODE_CASEMAP, "\xc3\xa4", "A\xcc\x88"},
        {"titlecase, not upper case (RFC 5051 section 2)", COLLATION_UNICODE_CASEMAP, "\xc7\x84", "Dz\xcc\x8c"},
        {"compatibility", COLLATION_UNICODE_CASEMAP, "\xef\xac\x81", "fi"},
        {"Cyrillic", COLLATION_UNICODE_CASEMAP, "\xd0\xb0\xd0\xb9", "\xd0\x90\xd0\x98\xcc\x86"},
        {"no UTF-8: as it is", COLLATION_UNICODE_CASEMAP, "a\xff", "a\xff"},
        {"ASCII only", COLLATION_ASCII_CASEMAP, "a\xc3\xa4", "A\xc3\xa4"},
        {"octets", COLLATION_OCTET, "a\xc3\xa4", "a\xc3\xa4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf key;
        buf_init(&key, 1000);
        collation_key(cases[i].c, &key, slice_of(cases[i].text));
        CHECK_SLICE(cases[i].note, buf_slice(&key), slice_of(cases[i].want));
        buf_finish(&key);
    }
}

static void test_patterns(void)
{
    static const struct {
        const char *pattern;
        enum collation c;
        bool want;
    } cases[] = {
        {"i;octet", COLLATION_OCTET, true},       {"I;OCTET", COLLATION_OCTET, false},
        {"*", COLLATION_OCTET, true},             {"i;*", COLLATION_ASCII_CASEMAP, true},
        {"i;*casemap", COLLATION_OCTET, false},   {"i;*casemap", COLLATION_UNICODE_CASEMAP, true},
        {"*case*case*", COLLATION_ASCII_CASEMAP, false}, {"", COLLATION_OCTET, false},
        {"i;octet*", COLLATION_OCTET, true},      {"i;octe", COLLATION_OCTET, false},
        {"*********************t", COLLATION_OCTET, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK(cases[i].pattern, collation_matches(cases[i].c, slice_of(cases[i].pattern)) == cases[i].want);
}

int main(void)
{
    test_keys();
    test_patterns();
    return check_done();
}
