/* base/slice: comparing, finding, cutting, numbers. */
#include "tests/unit/check.h"

static void test_compare(void)
{
    static const struct { const char *note, *a, *b; int order; bool eq, eq_nocase; } cases[] = {
        {"equal", "abc", "abc", 0, true, true},
        {"both empty", "", "", 0, true, true},
        {"case differs", "aBc", "AbC", 1, false, true},
        {"prefix first", "ab", "abc", -1, false, false},
        {"empty first", "", "a", -1, false, false},
        {"bytes are unsigned", "\x80", "a", 1, false, false},
        {"no folding beyond letters", "@[", "`{", -1, false, false},
        {"no folding beyond ASCII", "\xc3\x84", "\xc3\xa4", -1, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice a = slice_of(cases[i].a), b = slice_of(cases[i].b);
        int          order = slice_cmp(a, b), back = slice_cmp(b, a);

        CHECK(cases[i].note, (order > 0) - (order < 0) == cases[i].order);
        CHECK(cases[i].note, (back > 0) - (back < 0) == -cases[i].order);
        CHECK(cases[i].note, slice_eq(a, b) == cases[i].eq);
        CHECK(cases[i].note, slice_eq_nocase(a, b) == cases[i].eq_nocase);
    }
    CHECK("NUL is a byte like others", !slice_eq(slice_make("a\0b", 3), slice_make("a\0c", 3)));
    CHECK("NULL is empty", slice_eq(slice_of(NULL), SLICE("")));
}

static void test_ends(void)
{
    static const struct { const char *note, *s, *part; bool starts, starts_nocase, ends; } cases[] = {
        {"nothing is everywhere", "abc", "", true, true, true},
        {"whole", "abc", "abc", true, true, true},
        {"longer", "abc", "abcd", false, false, false},
        {"start", "abc", "ab", true, true, false},
        {"start, other case", "Abc", "aB", false, true, false},
        {"end", "abc", "bc", false, false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice s = slice_of(cases[i].s), part = slice_of(cases[i].part);

        CHECK(cases[i].note, slice_starts(s, part) == cases[i].starts);
        CHECK(cases[i].note, slice_starts_nocase(s, part) == cases[i].starts_nocase);
        CHECK(cases[i].note, slice_ends(s, part) == cases[i].ends);
    }
}

static void test_find(void)
{
    static const struct { const char *note, *s, *needle; size_t at, at_nocase; } cases[] = {
        {"at the start", "hello", "he", 0, 0},
        {"at the end", "hello", "lo", 3, 3},
        {"absent", "hello", "x", 5, 5},
        {"longer than all", "he", "hello", 2, 2},
        {"empty needle", "hello", "", 0, 0},
        {"other case", "say HELLO", "hello", 9, 4},
        {"first of two", "abab", "ab", 0, 0},
        {"after a false start", "aab", "ab", 1, 1},
        {"in nothing", "", "a", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice s = slice_of(cases[i].s), needle = slice_of(cases[i].needle);

        CHECK(cases[i].note, slice_find(s, needle) == cases[i].at);
        CHECK(cases[i].note, slice_find_nocase(s, needle) == cases[i].at_nocase);
    }
    CHECK("first char", slice_find_char(SLICE("a.b.c"), '.') == 1);
    CHECK("last char", slice_rfind_char(SLICE("a.b.c"), '.') == 3);
    CHECK("no char", slice_find_char(SLICE("abc"), '.') == 3);
    CHECK("no last char", slice_rfind_char(SLICE("abc"), '.') == 3);
    CHECK("char in nothing", slice_find_char(slice_of(NULL), '.') == 0);
}

static void test_parts(void)
{
    CHECK_SLICE("from", slice_from(SLICE("hello"), 2), SLICE("llo"));
    CHECK_SLICE("from the end", slice_from(SLICE("hello"), 5), SLICE(""));
    CHECK_SLICE("from beyond", slice_from(SLICE("hello"), 6), SLICE(""));
    CHECK_SLICE("sub", slice_sub(SLICE("hello"), 1, 3), SLICE("ell"));
    CHECK_SLICE("sub clamped", slice_sub(SLICE("hello"), 3, SIZE_MAX), SLICE("lo"));
    CHECK_SLICE("sub beyond", slice_sub(SLICE("hello"), SIZE_MAX, 1), SLICE(""));
    CHECK_SLICE("trim", slice_trim(SLICE(" \t\r\n a b \r\n")), SLICE("a b"));
    CHECK_SLICE("trim all", slice_trim(SLICE(" \t ")), SLICE(""));

    struct slice rest = SLICE("a,,b");
    CHECK_SLICE("cut first", slice_cut(&rest, ','), SLICE("a"));
    CHECK_SLICE("cut empty", slice_cut(&rest, ','), SLICE(""));
    CHECK_SLICE("cut last", slice_cut(&rest, ','), SLICE("b"));
    CHECK("nothing left", rest.len == 0);
    rest = SLICE("a,");
    (void)slice_cut(&rest, ',');
    CHECK("separator at the end leaves nothing", rest.len == 0);
}

static void test_numbers(void)
{
    static const struct { const char *note, *digits; uint64_t limit; bool ok; uint64_t value; } cases[] = {
        {"zero", "0", 10, true, 0},
        {"at the limit", "10", 10, true, 10},
        {"past the limit", "11", 10, false, 0},
        {"limit below ten", "5", 4, false, 0},
        {"limit zero", "0", 0, true, 0},
        {"leading zeros", "007", 10, true, 7},
        {"largest", "18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"one more", "18446744073709551616", UINT64_MAX, false, 0},
        {"ten times too many", "184467440737095516150", UINT64_MAX, false, 0},
        {"empty", "", 10, false, 0},
        {"sign", "+1", 10, false, 0},
        {"minus", "-1", 10, false, 0},
        {"blank", " 1", 10, false, 0},
        {"letter", "1a", 100, false, 0},
        {"behind nine", "1:", 100, false, 0},
        {"byte above 0x7f", "\xb1", 100, false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t got = 99;
        bool     ok = slice_to_u64(slice_of(cases[i].digits), cases[i].limit, &got);

        CHECK(cases[i].note, ok == cases[i].ok);
        CHECK(cases[i].note, got == (cases[i].ok ? cases[i].value : 99));
    }
}

int main(void)
{
    test_compare();
    test_ends();
    test_find();
    test_parts();
    test_numbers();
    return check_done();
}
