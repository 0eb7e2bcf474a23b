/*
 * tests/unit/imap/test_reader.c - the words of a command.
 */
#include "imap/reader.h"

#include "base/buf.h"
#include "store/store.h"
#include "tests/unit/check.h"

static const struct imap_limits limits = {.sets = 5, .nesting = 10};

static struct imap_reader over(struct arena *a, const char *text)
{
    struct imap_reader r;

    arena_reset(a);
    imap_reader_init(&r, slice_of(text), a, &limits);
    return r;
}

static void check_astrings(struct arena *a)
{
    static const struct {
        const char *note, *input, *want; /* NULL: refused */
    } cases[] = {
        {"atom", "abc", "abc"},
        {"bracket", "a]b", "a]b"},
        {"quoted", "\"a b\"", "a b"},
        {"escapes", "\"a\\\"b\\\\c\"", "a\"b\\c"},
        {"empty string", "\"\"", ""},
        {"literal", "{3}\r\na\"b", "a\"b"},
        {"literal that was not waiting", "{3+}\r\nabc", "abc"},
        {"empty literal", "{0}\r\n", ""},
        {"8-bit in quotes", "\"\xc3\xa9\"", "\xc3\xa9"},
        {"8-bit that is no UTF-8", "\"\xe9\"", "\xe9"},
        {"8-bit in a literal", "{2}\r\n\xc3\xa9", "\xc3\xa9"},
        {"8-bit in an atom", "\xc3\xa9", NULL},
        {"nothing", "", NULL},
        {"unknown escape", "\"a\\b\"", NULL},
        {"no closing quote", "\"abc", NULL},
        {"backslash at the end", "\"abc\\", NULL},
        {"line end in quotes", "\"a\r\nb\"", NULL},
        {"literal cut short", "{4}\r\nabc", NULL},
        {"literal without line end", "{3}abc", NULL},
        {"literal of nothing known", "{}\r\n", NULL},
        {"parenthesis", "(", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_reader r = over(a, cases[i].input);
        struct slice got = imap_read_astring(&r);
        imap_expect_end(&r);
        CHECK(cases[i].note, r.failed == (cases[i].want == NULL));
        if (cases[i].want != NULL)
            CHECK_SLICE(cases[i].note, got, slice_of(cases[i].want));
    }
    struct imap_reader r;
    imap_reader_init(&r, slice_make("{2}\r\na\0", 7), a, &limits);
    (void)imap_read_astring(&r);
    CHECK("NUL in a literal", r.failed);
    r = over(a, "\"\xc3\xa9\"");
    r.utf8 = true;
    CHECK_SLICE("UTF-8 in quotes where it is enabled", imap_read_astring(&r), SLICE("\xc3\xa9"));
    r = over(a, "\"\xc3\"");
    r.utf8 = true;
    (void)imap_read_astring(&r);
    CHECK("what is not UTF-8 even there", r.failed);
}

static void check_mailboxes(struct arena *a)
{
    static const struct {
        const char *note, *input, *want;
    } cases[] = {
        {"plain", "Work", "Work"},
        {"INBOX has no case", "inBox", "INBOX"},
        {"below it has one", "inbox/x", "inbox/x"},
        {"modified UTF-7", "\"Entw&APw-rfe\"", "Entw\xc3\xbcrfe"},
        {"ampersand", "A&-B", "A&B"},
        {"bad base64", "&!!-", NULL},
        {"raw UTF-8", "\"\xc3\xa9\"", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_reader r = over(a, cases[i].input);
        struct slice got = imap_read_mailbox(&r);
        CHECK(cases[i].note, r.failed == (cases[i].want == NULL));
        if (cases[i].want != NULL)
            CHECK_SLICE(cases[i].note, got, slice_of(cases[i].want));
    }
}

static void check_numbers(struct arena *a)
{
    static const struct {
        const char *note, *input;
        uint64_t min, max, want;
        bool ok;
    } cases[] = {
        {"zero", "0", 0, 10, 0, true},
        {"zero where it may not be", "0", 1, 10, 0, false},
        {"the largest", "4294967295", 0, UINT32_MAX, UINT32_MAX, true},
        {"one more", "4294967296", 0, UINT32_MAX, 0, false},
        {"would wrap", "99999999999999999999999", 0, UINT64_MAX, 0, false},
        {"sign", "-1", 0, 10, 0, false},
        {"nothing", "", 0, 10, 0, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_reader r = over(a, cases[i].input);
        uint64_t n = imap_read_number(&r, cases[i].min, cases[i].max);
        CHECK(cases[i].note, r.failed == !cases[i].ok);
        CHECK(cases[i].note, n == cases[i].want);
    }
}

static void check_sets(struct arena *a)
{
    static const struct {
        const char *note, *input, *want; /* 0 is "*" */
    } cases[] = {
        {"one", "7", "7-7"},
        {"star", "*", "0-0"},
        {"range", "2:4", "2-4"},
        {"to the end", "2:*", "2-0"},
        {"backwards", "*:2", "0-2"},
        {"list", "1,3:5,*", "1-1 3-5 0-0"},
        {"five ranges are the limit", "1,2,3,4,5", "1-1 2-2 3-3 4-4 5-5"},
        {"six are too many", "1,2,3,4,5,6", NULL},
        {"zero", "0", NULL},
        {"empty", "", NULL},
        {"comma at the end", "1,", NULL},
        {"colon at the end", "1:", NULL},
        {"too large", "4294967296", NULL},
    };
    struct buf got;

    buf_init(&got, 1000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_reader r = over(a, cases[i].input);
        struct imap_set set = imap_read_set(&r);
        imap_expect_end(&r);
        CHECK(cases[i].note, r.failed == (cases[i].want == NULL));
        buf_reset(&got);
        for (size_t k = 0; k < set.count; k++)
            buf_addf(&got, "%s%u-%u", k > 0 ? " " : "", set.ranges[k].first, set.ranges[k].last);
        if (cases[i].want != NULL)
            CHECK_SLICE(cases[i].note, buf_slice(&got), slice_of(cases[i].want));
    }
    buf_finish(&got);
}

static void check_flags(struct arena *a)
{
    static const struct {
        const char *note, *input;
        bool ok;
        uint32_t flags;
        size_t keywords;
    } cases[] = {
        {"none", "()", true, 0, 0},
        {"all system flags", "(\\Seen \\answered \\FLAGGED \\Deleted \\Draft)", true, STORE_FLAGS, 0},
        {"keywords", "(\\Seen $Junk x)", true, STORE_SEEN, 2},
        {"without parentheses", "\\Seen $Junk", true, STORE_SEEN, 1},
        {"\\Recent is not the client's", "(\\Recent)", false, 0, 0},
        {"unknown system flag", "(\\Foo)", false, 0, 0},
        {"a system flag's beginning", "(\\Seenx)", false, 0, 0},
        {"not closed", "(\\Seen", false, 0, 0},
        {"two spaces", "(a  b)", false, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_reader r = over(a, cases[i].input);
        struct imap_flags got = imap_read_store_flags(&r);
        imap_expect_end(&r);
        CHECK(cases[i].note, r.failed == !cases[i].ok);
        if (cases[i].ok) {
            CHECK(cases[i].note, got.flags == cases[i].flags);
            CHECK(cases[i].note, got.keyword_count == cases[i].keywords);
        }
    }
}

static void check_many_keywords(struct arena *a)
{
    for (unsigned count = 1000; count <= 1001; count++) {
        struct imap_reader r;
        struct buf text;

        buf_init(&text, 1 << 16);
        buf_add(&text, SLICE("(\\Seen"));
        for (unsigned i = 0; i < count; i++)
            buf_addf(&text, " k%u", i);
        buf_add_char(&text, ')');
        arena_reset(a);
        imap_reader_init(&r, buf_slice(&text), a, &limits);
        struct imap_flags got = imap_read_flag_list(&r);
        CHECK("many keywords", r.failed == (count > 1000));
        CHECK("many keywords", r.failed || got.keyword_count == count);
        buf_finish(&text);
    }
}

static void check_dates(struct arena *a)
{
    static const struct {
        const char *note, *input;
        int64_t days;
    } dates[] = {
        {"epoch", "1-Jan-1970", 0},
        {"quoted", "\"1-Jan-1970\"", 0},
        {"leap day", "29-Feb-2024", 19782},
        {"day before", "31-Dec-1969", -1},
        {"two digits", "09-sep-2001", 11574},
        {"no leap year", "29-Feb-2023", INT64_MIN},
        {"century", "29-Feb-1900", INT64_MIN},
        {"every 400 years", "29-Feb-2000", 11016},
        {"31st of April", "31-Apr-2000", INT64_MIN},
        {"day 0", "0-Jan-2000", INT64_MIN},
        {"unknown month", "1-Foo-2000", INT64_MIN},
        {"year of two digits", "1-Jan-00", INT64_MIN},
        {"year of five", "1-Jan-20000", INT64_MIN},
    };
    static const struct {
        const char *note, *input;
        bool ok;
        int64_t seconds;
        int zone;
    } times[] = {
        {"epoch", "\" 1-Jan-1970 00:00:00 +0000\"", true, 0, 0},
        {"zone", "\"01-Jan-1970 01:30:00 +0130\"", true, 0, 90},
        {"west", "\"31-Dec-1969 19:00:01 -0500\"", true, 1, -300},
        {"no quotes", "01-Jan-1970 00:00:00 +0000", false, 0, 0},
        {"hour 24", "\"01-Jan-1970 24:00:00 +0000\"", false, 0, 0},
        {"zone by name", "\"01-Jan-1970 00:00:00 GMT\"", false, 0, 0},
        {"cut", "\"01-Jan-1970 00:00", false, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
        struct imap_reader r = over(a, dates[i].input);
        int64_t days = imap_read_date(&r);
        imap_expect_end(&r);
        CHECK(dates[i].note, r.failed == (dates[i].days == INT64_MIN));
        CHECK(dates[i].note, r.failed || days == dates[i].days);
    }
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct imap_reader r = over(a, times[i].input);
        int zone = 0;
        int64_t seconds = imap_read_date_time(&r, &zone);
        imap_expect_end(&r);
        CHECK(times[i].note, r.failed == !times[i].ok);
        CHECK(times[i].note, r.failed || (seconds == times[i].seconds && zone == times[i].zone));
    }
}

int main(void)
{
    struct arena a;

    arena_init(&a, 1 << 20);
    check_astrings(&a);
    check_mailboxes(&a);
    check_numbers(&a);
    check_sets(&a);
    check_flags(&a);
    check_many_keywords(&a);
    check_dates(&a);
    arena_finish(&a);
    return check_done();
}
