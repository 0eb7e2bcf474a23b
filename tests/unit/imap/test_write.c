/*
 * tests/unit/imap/test_write.c - the words of responses.
 */
#include "imap/session.h"

#include "tests/unit/check.h"

static void check_strings(struct buf *b)
{
    static const struct {
        const char *note, *input, *string, *astring;
    } cases[] = {
        {"plain", "abc", "\"abc\"", "abc"},
        {"empty", "", "\"\"", "\"\""},
        {"quotes", "a\"b\\c", "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\""},
        {"space", "a b", "\"a b\"", "\"a b\""},
        {"line end", "a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb"},
        {"CR", "a\rb", "{3}\r\na\rb", "{3}\r\na\rb"},
        {"LF", "a\nb", "{3}\r\na\nb", "{3}\r\na\nb"},
        {"bracket", "a]b", "\"a]b\"", "\"a]b\""},
        {"wildcard", "a*b", "\"a*b\"", "\"a*b\""},
        {"8-bit", "\xc3\xa9", "{2}\r\n\xc3\xa9", "{2}\r\n\xc3\xa9"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_reset(b);
        imap_write_string(b, slice_of(cases[i].input));
        CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].string));
        buf_reset(b);
        imap_write_astring(b, slice_of(cases[i].input));
        CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].astring));
    }
}

static void check_long_strings(struct buf *b)
{
    char text[1001];

    memset(text, 'x', sizeof(text));
    buf_reset(b);
    imap_write_string(b, slice_make(text, 1000));
    CHECK("a thousand bytes are quoted", b->data[0] == '"' && b->len == 1002);
    buf_reset(b);
    imap_write_string(b, slice_make(text, 1001));
    CHECK("one more is a literal", slice_starts(buf_slice(b), SLICE("{1001}\r\nxxx")));
    buf_reset(b);
    imap_write_string(b, slice_make("a\0b", 3));
    CHECK("NUL", slice_eq(buf_slice(b), slice_make("{3}\r\na\0b", 8)));
}

static void check_mailboxes(struct buf *b)
{
    static const struct {
        const char *note, *name, *want;
        unsigned enabled;
    } cases[] = {
        {"plain", "a/b", "\"a/b\"", 0},
        {"umlaut", "Entw\xc3\xbcrfe", "\"Entw&APw-rfe\"", 0},
        {"umlaut in rev2", "Entw\xc3\xbcrfe", "\"Entw\xc3\xbcrfe\"", IMAP_REV2},
        {"umlaut and quote, UTF8=ACCEPT", "\xc3\xbc\"", "\"\xc3\xbc\\\"\"", IMAP_UTF8},
        {"ampersand", "a&b", "\"a&-b\"", 0},
        {"ampersand in rev2", "a&b", "\"a&b\"", IMAP_REV2},
        {"quote", "a\"b", "\"a\\\"b\"", 0},
        {"one letter of four bytes", "\xf0\x9f\x93\xaf", "\"&2D3c7w-\"", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_session s = {.enabled = (uint8_t)cases[i].enabled};
        buf_reset(b);
        imap_write_mailbox(&s, b, slice_of(cases[i].name));
        CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].want));
    }
}

static void check_flags(struct buf *b)
{
    static const struct {
        const char *note;
        uint32_t flags;
        bool recent;
        const char *want;
    } cases[] = {
        {"none", 0, false, "()"},
        {"one", STORE_SEEN, false, "(\\Seen)"},
        {"recent", 0, true, "(\\Recent)"},
        {"all", STORE_FLAGS, true, "(\\Answered \\Flagged \\Deleted \\Seen \\Draft \\Recent)"},
        {"what only views have is no flag", VIEW_GONE | STORE_DRAFT, false, "(\\Draft)"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_reset(b);
        imap_write_flags(b, NULL, cases[i].flags, 0, cases[i].recent);
        CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].want));
    }
}

static void check_dates(struct buf *b)
{
    static const struct {
        const char *note;
        int64_t seconds;
        int zone;
        const char *want;
    } cases[] = {
        {"epoch", 0, 0, "\"01-Jan-1970 00:00:00 +0000\""},
        {"before it", -1, 0, "\"31-Dec-1969 23:59:59 +0000\""},
        {"zone", 0, 90, "\"01-Jan-1970 01:30:00 +0130\""},
        {"west", 1, -300, "\"31-Dec-1969 19:00:01 -0500\""},
        {"leap day", 1709164800, 0, "\"29-Feb-2024 00:00:00 +0000\""},
        {"last second of a year", 1735689599, 0, "\"31-Dec-2024 23:59:59 +0000\""},
        {"midnight before the epoch", -86400, 0, "\"31-Dec-1969 00:00:00 +0000\""},
        {"the last that can be said", 253402300799, 0, "\"31-Dec-9999 23:59:59 +0000\""},
        {"one second more", 253402300800, 0, "\"01-Jan-1970 00:00:00 +0000\""},
        {"the first", -62167219200, 0, "\"01-Jan-0000 00:00:00 +0000\""},
        {"one second less", -62167219201, 0, "\"01-Jan-1970 00:00:00 +0000\""},
        {"beyond what can be said", INT64_MAX / 4, 0, "\"01-Jan-1970 00:00:00 +0000\""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_reset(b);
        imap_write_date_time(b, cases[i].seconds, cases[i].zone);
        CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].want));
    }
}

static void check_sets(struct buf *b)
{
    static const struct {
        const char *note;
        uint32_t numbers[8]; /* pairs, 0 ends */
        const char *want;
    } cases[] = {
        {"one", {5, 5}, "5"},
        {"neighbours", {5, 5, 6, 6, 7, 9}, "5:9"},
        {"apart", {1, 2, 4, 4, 6, 7}, "1:2,4,6:7"},
        {"none", {0}, ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_set_writer w = {.out = b};
        buf_reset(b);
        for (size_t k = 0; k < 8 && cases[i].numbers[k] != 0; k += 2)
            imap_set_writer_add(&w, cases[i].numbers[k], cases[i].numbers[k + 1]);
        imap_set_writer_end(&w);
        CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].want));
    }
}

static void check_resolved(struct buf *b)
{
    static const struct {
        const char *note;
        struct uid_range ranges[4];
        size_t count;
        const char *want;
    } cases[] = {
        {"order", {{5, 6}, {1, 2}}, 2, "1:2,5:6"},
        {"overlap", {{1, 5}, {3, 8}}, 2, "1:8"},
        {"touch", {{1, 5}, {6, 8}}, 2, "1:8"},
        {"inside", {{1, 9}, {3, 4}}, 2, "1:9"},
        {"backwards", {{9, 3}}, 1, "3:9"},
        {"star", {{7, 0}}, 1, "7:10"},
        {"star below", {{20, 0}}, 1, "10:20"},
        {"the largest", {{UINT32_MAX, UINT32_MAX}, {1, 2}, {UINT32_MAX, UINT32_MAX}}, 3, "1:2,4294967295"},
    };
    struct arena a;

    arena_init(&a, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct imap_set_writer w = {.out = b};
        struct uid_range ranges[4];
        memcpy(ranges, cases[i].ranges, sizeof(ranges));
        struct imap_set set = imap_set_resolve(&a, (struct imap_set){.ranges = ranges, .count = cases[i].count}, 10);
        buf_reset(b);
        for (size_t k = 0; k < set.count; k++)
            imap_set_writer_add(&w, set.ranges[k].first, set.ranges[k].last);
        imap_set_writer_end(&w);
        CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].want));
    }
    arena_finish(&a);
}

static void check_spans(void)
{
    struct imap_span items[] = {{2, 4}, {7, 8}};
    struct imap_spans spans = {items, 2};
    struct imap_spans_at at = {0};
    uint32_t p;

    CHECK("size", imap_spans_size(&spans) == 3);
    CHECK("walk", imap_spans_next(&spans, &at, &p) && p == 2);
    CHECK("walk", imap_spans_next(&spans, &at, &p) && p == 3);
    CHECK("walk", imap_spans_next(&spans, &at, &p) && p == 7);
    CHECK("walk ends", !imap_spans_next(&spans, &at, &p));
    static const bool in[] = {false, false, true, true, false, false, false, true, false};
    for (uint32_t i = 0; i < ARRAY_LEN(in); i++)
        CHECK("have", imap_spans_have(&spans, i) == in[i]);
}

int main(void)
{
    struct buf b;

    buf_init(&b, 1 << 16);
    check_strings(&b);
    check_long_strings(&b);
    check_mailboxes(&b);
    check_flags(&b);
    check_dates(&b);
    check_sets(&b);
    check_resolved(&b);
    check_spans();
    buf_finish(&b);
    return check_done();
}
