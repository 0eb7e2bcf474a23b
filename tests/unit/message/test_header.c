/*
 * tests/unit/message/test_header.c - fields, text, dates, ids and base subjects.
 */
#include "../check.h"
#include "message/header.h"

static void test_fields(void)
{
    static const struct {
        const char *note, *block, *want; /* want: "name|body;" for each field */
    } cases[] = {
        {"two fields", "A: 1\r\nB: 2\r\n\r\nC: 3\r\n", "A| 1;B| 2;"},
        {"LF only", "A: 1\nB: 2\n\nC: 3\n", "A| 1;B| 2;"},
        {"folded", "A: 1\r\n 2\r\n\t3\r\nB:\r\n", "A| 1\r\n 2\r\n\t3;B|;"},
        {"blank before colon", "A \t: 1\r\n", "A| 1;"},
        {"mbox line skipped", "From a@b Mon Jan 1\r\nA: 1\r\n", "A| 1;"},
        {"garbage and its continuation skipped", "garbage\r\n more: of it\r\nA: 1\r\n", "A| 1;"},
        {"continuation first", " x: y\r\nA: 1\r\n", "A| 1;"},
        {"no end of line", "A: 1", "A| 1;"},
        {"bare CR is no line end", "A: 1\rB: 2\r\n", "A| 1\rB: 2;"},
        {"empty name", ": 1\r\nA: 2\r\n", "A| 2;"},
        {"blank line of blanks goes on", "A: 1\r\n \r\nB: 2\r\n", "A| 1\r\n ;B| 2;"},
        {"empty", "", ""},
        {"body at once", "\r\nA: 1\r\n", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct header_field f;
        struct buf got;

        buf_init(&got, 1000);
        for (size_t at = 0; header_next(slice_of(cases[i].block), &at, &f);)
            buf_addf(&got, PRIslice "|" PRIslice ";", SLICE_ARG(f.name), SLICE_ARG(f.body));
        CHECK_SLICE(cases[i].note, buf_slice(&got), slice_of(cases[i].want));
        buf_finish(&got);
    }
    struct header_field f;
    CHECK("found", header_find(SLICE("a: 1\r\nSubject: x\r\nSUBJECT: y\r\n"), SLICE("subject"), &f));
    CHECK_SLICE("the first", f.body, SLICE(" x"));
    CHECK_SLICE("raw", f.raw, SLICE("Subject: x\r\n"));
    CHECK("not found", !header_find(SLICE("a: 1\r\n\r\nSubject: x\r\n"), SLICE("subject"), &f));
}

static void test_unfold(void)
{
    static const struct {
        const char *note, *body, *want;
    } cases[] = {
        {"plain", " a b ", "a b"},
        {"folded", " a\r\n b\n\tc", "a b\tc"},
        {"CR alone stays", " a\rb", "a\rb"},
        {"only blanks", " \r\n ", ""},
    };
    struct arena a;

    arena_init(&a, 10000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_SLICE(cases[i].note, header_unfold(&a, slice_of(cases[i].body)), slice_of(cases[i].want));
    arena_finish(&a);
}

static void test_text(void)
{
    static const struct {
        const char *note, *body, *want;
    } cases[] = {
        {"plain", " Hello world", "Hello world"},
        {"Q", "=?iso-8859-1?Q?Keld_J=F8rn_Simonsen?=", "Keld Jørn Simonsen"},
        {"B", "=?UTF-8?b?w6TDtsO8?=", "äöü"},
        {"blank between words vanishes", "=?ISO-8859-1?Q?a?= \r\n =?ISO-8859-1?Q?b?=", "ab"},
        {"blank before text stays", "=?ISO-8859-1?Q?a?= b", "a b"},
        {"text around", "x =?ISO-8859-1?Q?a?= y", "x a y"},
        {"no blank needed", "x=?utf-8?q?a?=y", "xay"},
        {"encoded blank", "=?ISO-8859-1?Q?a_?= =?ISO-8859-1?Q?b?=", "a b"},
        {"two charsets", "=?iso-8859-1?q?=e4?= =?iso-8859-5?q?=b1?=", "äБ"},
        {"character cut between words", "=?utf-8?B?w6TD?= =?utf-8?B?tsO8?=", "äöü"},
        {"language", "=?us-ascii*en?Q?hi?=", "hi"},
        {"blanks inside, as many write", "=?utf-8?Q?a b?=", "a b"},
        {"not closed", "=?utf-8?Q?abc", "=?utf-8?Q?abc"},
        {"unknown encoding", "=?utf-8?X?abc?=", "=?utf-8?X?abc?="},
        {"unknown charset", "=?x-nowhere?Q?a=E4?=", "a\xef\xbf\xbd"},
        {"raw UTF-8 (RFC 6532)", " Grüße", "Grüße"},
        {"raw Latin-1", " Gr\xfc\xdf", "Gr\xef\xbf\xbd\xef\xbf\xbd"},
        {"empty word", "=?utf-8?Q?\?=", ""},
        {"ISO-2022-JP", "=?ISO-2022-JP?B?GyRCRnxLXDhsGyhC?=", "日本語"},
        {"only the start", "=?", "=?"},
        {"stray", "a =? b =?= c ?= d", "a =? b =?= c ?= d"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf got;

        buf_init(&got, 1000);
        header_decode_text(&got, slice_of(cases[i].body));
        CHECK_SLICE(cases[i].note, buf_slice(&got), slice_of(cases[i].want));
        buf_finish(&got);
    }
}

static void test_date(void)
{
    static const struct {
        const char *note, *body;
        int64_t seconds; /* -1: refused */
        int zone;
    } cases[] = {
        {"RFC 5322 A.1.1", " Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -360},
        {"no day name", "1 Jan 1970 00:00:00 +0000", 0, 0},
        {"before 1970", "Thu, 13 Feb 1969 23:32 -0330", -27723480, -210},
        {"comments and folds", "Thu,\r\n 13\r\n Feb (x)\r\n 1969\r\n 23:32\r\n -0330 (Newfoundland Time)",
         -27723480, -210},
        {"obsolete zone", "21 Nov 97 09:55:06 GMT", 880106106, 0},
        {"EDT", "Fri, 21 Nov 1997 09:55:06 EDT", 880120506, -240},
        {"military says nothing", "Fri, 21 Nov 1997 09:55:06 Q", 880106106, 0},
        {"two-digit year", "1 Jan 49 00:00:00 +0000", 2493072000, 0},
        {"three-digit year", "1 Jan 100 00:00:00 +0000", 946684800, 0},
        {"no zone", "1 Jan 2000 00:00:00", 946684800, 0},
        {"no seconds", "1 Jan 2000 00:01 +0000", 946684860, 0},
        {"leap second", "31 Dec 2016 23:59:60 +0000", 1483228800, 0},
        {"leap day", "29 Feb 2000 00:00:00 +0000", 951782400, 0},
        {"no such leap day", "29 Feb 1900 00:00:00 +0000", -1, 0},
        {"ctime", "Thu Jan  1 00:00:10 1970", 10, 0},
        {"ctime with zone", "Thu Jan  1 00:00:10 EST 1970", 18010, -300},
        {"long month, no comma", "Friday 21 November 1997 09:55:06 -0600", 880127706, -360},
        {"dashes", "21-Nov-1997 09:55:06 -0600", 880127706, -360},
        {"blank around colons", "1 Jan 2000 00 : 01 : 02 +0000", 946684862, 0},
        {"hour 24", "1 Jan 2000 24:00:00 +0000", -1, 0},
        {"minute 60", "1 Jan 2000 00:60:00 +0000", -1, 0},
        {"day 0", "0 Jan 2000 00:00:00 +0000", -1, 0},
        {"zone nonsense", "1 Jan 2000 00:00:00 +9999", 946684800, 0},
        {"empty", "", -1, 0},
        {"words", "yesterday at noon", -1, 0},
        {"huge number", "99999999999999999999 Jan 2000 00:00:00", -1, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t seconds = -1;
        int zone = 0;
        bool ok = header_parse_date(slice_of(cases[i].body), &seconds, &zone);

        CHECK(cases[i].note, ok == (cases[i].seconds != -1));
        CHECK(cases[i].note, seconds == cases[i].seconds && zone == cases[i].zone);
    }
}

static void test_ids(void)
{
    static const struct {
        const char *note, *body, *want;
    } cases[] = {
        {"one", " <a@b>", "<a@b>"},
        {"two", " <a@b>\r\n <c@d>", "<a@b><c@d>"},
        {"comment and phrase", "Your message (<x@y>) of \"<p@q>\" <a@b>", "<a@b>"},
        {"folded inside", "<a\r\n @b>", "<a@b>"},
        {"quoted", "<\"a>\"@b>", "<\"a>\"@b>"},
        {"not closed", "<a@b", ""},
        {"opened twice", "<a@b <c@d>", "<c@d>"},
        {"empty brackets", "<> <a@b>", "<a@b>"},
        {"no brackets", "a@b", ""},
    };
    struct arena a;

    arena_init(&a, 10000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice *ids;
        size_t count = header_message_ids(&a, slice_of(cases[i].body), &ids);
        struct buf got;

        buf_init(&got, 1000);
        for (size_t k = 0; k < count; k++)
            buf_add(&got, ids[k]);
        CHECK_SLICE(cases[i].note, buf_slice(&got), slice_of(cases[i].want));
        buf_finish(&got);
    }
    CHECK_SLICE("the first", header_message_id(SLICE(" (c) <a@b> <c@d>")), SLICE("<a@b>"));
    arena_finish(&a);
}

static void test_base_subject(void)
{
    static const struct {
        const char *note, *body, *want;
        bool reply;
    } cases[] = {
        {"plain", "hello", "hello", false},
        {"re", "Re: hello", "hello", true},
        {"many", "RE: Fwd: re [2]: hello", "hello", true},
        {"fw", "fw: hello", "hello", true},
        {"blank before the colon", "Re : hello", "hello", true},
        {"blobs", "[list] Re: [x] hello", "hello", true},
        {"blob alone is no reply", "[list] hello", "hello", false},
        {"blob in front of re", "[a][b]  re[c]: [d] x", "x", true},
        {"only a blob", "[list]", "[list]", false},
        {"two blobs stay one", "[a] [b]", "[b]", false},
        {"reply to a blob", "Re: [b]", "[b]", true},
        {"trailer", "hello (fwd) (FWD) ", "hello", true},
        {"trailer without blank", "hello(fwd)", "hello", true},
        {"wrapped", "[Fwd: [fwd: Re: hello]]", "hello", true},
        {"wrapped, with a trailer inside", "[fwd: hello (fwd)]", "hello", true},
        {"fwd that is not closed", "[fwd: hello", "[fwd: hello", false},
        {"blanks", "Re:  a\t\tb", "a b", true},
        {"word that begins so", "Rent", "Rent", false},
        {"re without a colon", "Re hello", "Re hello", false},
        {"blob that is not closed", "[a hello", "[a hello", false},
        {"nested brackets", "[a[b]] hello", "[a[b]] hello", false},
        {"nothing left", "Re:", "", true},
        {"nothing at all", "", "", false},
        {"folded", "Re: a\r\n b", "a b", true},
        {"encoded", "=?utf-8?q?Re:_=C3=A4?=", "ä", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf got;

        buf_init(&got, 1000);
        CHECK(cases[i].note, header_base_subject(&got, slice_of(cases[i].body)) == cases[i].reply);
        CHECK_SLICE(cases[i].note, buf_slice(&got), slice_of(cases[i].want));
        buf_finish(&got);
    }
}

int main(void)
{
    test_fields();
    test_unfold();
    test_text();
    test_date();
    test_ids();
    test_base_subject();
    return check_done();
}
