/*
 * tests/unit/imap/test_list_match.c - LIST's wildcards.
 */
#include "imap/list_match.h"

#include "tests/unit/check.h"

static const struct {
    const char *note, *reference, *pattern, *name;
    bool nocase, match;
} cases[] = {
    {"the same", "", "a/b", "a/b", false, true},
    {"another", "", "a/b", "a/c", false, false},
    {"case counts", "", "A", "a", false, false},
    {"but not INBOX's", "", "inbox", "INBOX", true, true},
    {"INBOX by a beginning", "", "inb%", "INBOX", true, true},
    {"its end alone", "", "b", "ab", false, false},
    {"its beginning alone", "", "a", "ab", false, false},
    {"literal behind percent", "", "%b", "ab", false, true},
    {"literal before percent", "", "b%", "ab", false, false},
    {"star takes levels", "", "*", "a/b/c", false, true},
    {"percent takes one", "", "%", "a", false, true},
    {"and no more", "", "%", "a/b", false, false},
    {"percent is nothing too", "", "a%", "a", false, true},
    {"percent behind a level", "", "a/%", "a/b", false, true},
    {"not the level itself", "", "a/%", "a", false, false},
    {"two levels", "", "%/%", "a/b", false, true},
    {"not three", "", "%/%", "a/b/c", false, false},
    {"percent, literal, percent", "", "%a%b", "a/ab", false, false},
    {"star in the middle", "", "a*c", "a/b/c", false, true},
    {"star then percent", "", "*%", "a/b", false, true},
    {"percent then star", "", "%*", "a/b", false, true},
    {"reference", "a/", "%", "a/b", false, true},
    {"reference joins wildcards", "a/*", "%", "a/b/c", false, true},
    {"longer pattern", "", "abcd", "abc", false, false},
    {"empty pattern, empty name", "", "", "", false, true},
    {"star, empty name", "", "*", "", false, true},
    {"back to the last star", "", "*ab*abc", "ababab/abc", false, true},
    {"many stars", "", "*a*a*a*a*a*a*a*a*a*a*a*a*b",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false, false},
};

int main(void)
{
    struct arena a;

    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct list_pattern p =
            list_pattern_make(&a, slice_of(cases[i].reference), slice_of(cases[i].pattern));
        CHECK(cases[i].note,
              list_pattern_matches(&p, slice_of(cases[i].name), cases[i].nocase) == cases[i].match);
    }
    arena_finish(&a);
    return check_done();
}
