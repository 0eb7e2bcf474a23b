/*
 * tests/unit/message/test_decode.c - transfer encodings, charsets, search, previews.
 *
 * Everything that streams is fed whole, in two pieces cut at every place, and
 * byte by byte: the answers must be the same.
 */
#include "../check.h"
#include "base/search_form.h"
#include "message/decode.h"
#include "message/envelope.h"

static void test_transfer_once(const char *note, enum transfer_encoding e, struct slice in, size_t step,
                               size_t first, struct slice want)
{
    struct transfer_decoder d;
    struct buf got;

    buf_init(&got, 10000);
    transfer_decoder_init(&d, e);
    transfer_decoder_feed(&d, slice_sub(in, 0, first), &got);
    for (size_t at = first; at < in.len; at += step)
        transfer_decoder_feed(&d, slice_sub(in, at, step), &got);
    transfer_decoder_finish(&d, &got);
    CHECK_SLICE(note, buf_slice(&got), want);
    buf_finish(&got);
}

static void test_transfer(void)
{
    static const struct {
        const char *note;
        enum transfer_encoding encoding;
        const char *in, *want;
    } cases[] = {
        {"7bit", ENCODING_7BIT, "a =41\r\n", "a =41\r\n"},
        {"base64", ENCODING_BASE64, "SGVsbG8sIHdvcmxk", "Hello, world"},
        {"lines and junk", ENCODING_BASE64, "SGVs\r\nbG8s!IHdv cmxk\r\n", "Hello, world"},
        {"padding", ENCODING_BASE64, "SGVsbG8=", "Hello"},
        {"no padding", ENCODING_BASE64, "SGVsbA", "Hell"},
        {"joined pieces", ENCODING_BASE64, "SGU=bGxv", "Hello"},
        {"one digit too many", ENCODING_BASE64, "SGVsQ", "Hel"},
        {"only padding", ENCODING_BASE64, "====", ""},
        {"quoted-printable", ENCODING_QUOTED_PRINTABLE, "a=3Db=e4=C3=A4\r\n", "a=b\xe4\xc3\xa4\r\n"},
        {"soft break", ENCODING_QUOTED_PRINTABLE, "a=\r\nb=\nc", "abc"},
        {"soft break with blanks", ENCODING_QUOTED_PRINTABLE, "a= \t\r\nb", "ab"},
        {"blanks before a line end", ENCODING_QUOTED_PRINTABLE, "a \t\r\nb \n c", "a\r\nb\n c"},
        {"blanks at the end", ENCODING_QUOTED_PRINTABLE, "a  ", "a"},
        {"blanks before CR alone", ENCODING_QUOTED_PRINTABLE, "a \rb", "a \rb"},
        {"not hexadecimal", ENCODING_QUOTED_PRINTABLE, "=xy =4z =", "=xy =4z "},
        {"equals twice", ENCODING_QUOTED_PRINTABLE, "==41", "=A"},
        {"equals at the end", ENCODING_QUOTED_PRINTABLE, "a=", "a"},
        {"cut after a digit", ENCODING_QUOTED_PRINTABLE, "a=4", "a=4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice in = slice_of(cases[i].in), want = slice_of(cases[i].want);

        for (size_t cut = 0; cut <= in.len; cut++)
            test_transfer_once(cases[i].note, cases[i].encoding, in, in.len, cut, want);
        test_transfer_once(cases[i].note, cases[i].encoding, in, 1, 0, want);
    }
    CHECK("name", transfer_encoding_of(SLICE(" Base64 ")) == ENCODING_BASE64);
    CHECK("name", transfer_encoding_of(SLICE("x-uuencode")) == ENCODING_UNKNOWN);
    CHECK("name", transfer_encoding_of(SLICE("")) == ENCODING_7BIT);
}

static void test_charset_once(const char *note, const char *charset, struct slice in, size_t step,
                              size_t first, struct slice want)
{
    struct charset_decoder *d = charset_decoder_create(slice_of(charset));
    struct buf got;

    buf_init(&got, 10000);
    charset_decoder_feed(d, slice_sub(in, 0, first), &got);
    for (size_t at = first; at < in.len; at += step)
        charset_decoder_feed(d, slice_sub(in, at, step), &got);
    charset_decoder_finish(d, &got);
    CHECK_SLICE(note, buf_slice(&got), want);
    buf_finish(&got);
    charset_decoder_destroy(&d);
    CHECK(note, d == NULL);
}

#define FFFD "\xef\xbf\xbd"

static void test_charset(void)
{
    static const struct {
        const char *note, *charset, *in, *want;
    } cases[] = {
        {"UTF-8", "utf-8", "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z", "aä€😀z"},
        {"UTF-8 with holes", "UTF-8", "a\xc3(\xe2\x82\xff", "a" FFFD "(" FFFD FFFD FFFD},
        {"ASCII that is UTF-8", "us-ascii", "\xc3\xa4", "ä"},
        {"Latin-1", "ISO-8859-1", "\xe4\x80", "ä€"},
        {"Latin-9", "iso-8859-15", "\xa4", "€"},
        {"KOI8-R", "koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"},
        {"Shift_JIS", "Shift_JIS", "\x93\xfa\x96\x7b", "日本"},
        {"ISO-2022-JP", "iso-2022-jp", "\x1b$BF|K\\\x1b(B!", "日本!"},
        {"EUC-JP", "EUC-JP", "\xc6\xfc\xcb\xdc", "日本"},
        {"GB2312", "GB2312", "\xc4\xe3\xba\xc3", "你好"},
        {"Big5", "big5", "\xa7\x41\xa6\x6e", "你好"},
        {"EUC-KR", "ks_c_5601-1987", "\xc7\xd1\xb1\xdb", "한글"},
        {"windows-1251", " Windows-1251 ", "\xcf\xf0", "Пр"},
        {"UTF-7", "utf-7", "Fr+APY-sche", "Frösche"},
        {"invalid in a table charset", "gb2312",
         "a\xff"
         "b",
         "a" FFFD "b"},
        {"cut at the end", "euc-jp", "a\xc6", "a" FFFD},
        {"unknown", "x-nowhere", "a\xe4\xc3\xa4", "a" FFFD "ä"},
        {"never opened", "ISO-2022-CN-EXT", "a\xe4", "a" FFFD},
        {"no name", "", "ä", "ä"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice in = slice_of(cases[i].in), want = slice_of(cases[i].want);

        for (size_t cut = 0; cut <= in.len; cut++)
            test_charset_once(cases[i].note, cases[i].charset, in, in.len, cut, want);
        test_charset_once(cases[i].note, cases[i].charset, in, 1, 0, want);
    }
    test_charset_once("UTF-16", "utf-16be", SLICE("\0a\xd8\x3d\xde\0"), 1, 0, SLICE("a😀"));

    /* The list is searched by halves: all of it must be in order. */
    static const char *const known[] = {
        "ansi_x3.4-1968", "cp819",   "iso_8859-1:1987", "iso_8859-15", "iso-8859-8-i",
        "x-x-big5",       "utf-8",   "US-ASCII",        "koi8-u",      "cp437",
        "tis-620",        "logical", "x-mac-cyrillic",  "hebrew",      "l1"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        CHECK(known[i], charset_is_known(slice_of(known[i])));
    static const char *const unknown[] = {"",     "x-nowhere", "ibm1364", "iso-2022-cn-ext", "utf-8//IGNORE",
                                          "aaaa", "zzzz"};
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
        CHECK(unknown[i], !charset_is_known(slice_of(unknown[i])));
}

static bool search_in_steps(struct slice needle, enum transfer_encoding e, const char *charset,
                            struct slice in, size_t step, size_t first)
{
    struct text_folder *f = text_folder_create(e, slice_of(charset), COLLATION_UNICODE_CASEMAP);
    struct buf folded;

    buf_init(&folded, 16 << 20);
    text_folder_feed(f, slice_sub(in, 0, first), &folded);
    for (size_t at = first; at < in.len; at += step)
        text_folder_feed(f, slice_sub(in, at, step), &folded);
    text_folder_finish(f, &folded);
    text_folder_destroy(&f);
    bool found = needle.len == 0 || slice_find(buf_slice(&folded), needle) < folded.len;
    buf_finish(&folded);
    return found;
}

static void test_search(void)
{
    static const struct {
        const char *note, *needle; /* folded here */
        enum transfer_encoding encoding;
        const char *charset, *in;
        bool found;
    } cases[] = {
        {"plain", "world", ENCODING_7BIT, "us-ascii", "Hello WORLD!", true},
        {"at the start", "hello", ENCODING_7BIT, "us-ascii", "Hello", true},
        {"not there", "word", ENCODING_7BIT, "us-ascii", "Hello WORLD!", false},
        {"empty needle", "", ENCODING_7BIT, "", "", true},
        {"empty text", "a", ENCODING_7BIT, "", "", false},
        {"base64", "wörld", ENCODING_BASE64, "utf-8", "SGVsbG8gV8OWUkxE", true},
        {"quoted-printable Latin-1", "grüsse", ENCODING_QUOTED_PRINTABLE, "iso-8859-1", "Gr=\r\n=FC=DFe",
         true},
        {"UTF-8", "ΣΊΣΥΦΟΣ", ENCODING_8BIT, "utf-8", "xx Σίσυφος yy", true},
        {"composed and not", "é", ENCODING_8BIT, "utf-8", "cafe\xcc\x81s", true},
        {"a letter with a mark holds the letter", "cafe", ENCODING_8BIT, "utf-8", "cafe\xcc\x81s", true},
        {"and not another mark", "cafe\xcc\x80", ENCODING_8BIT, "utf-8", "cafe\xcc\x81s", false},
        {"ligature", "fish", ENCODING_8BIT, "utf-8", "\xef\xac\x81sh", true},
        {"Japanese", "日本", ENCODING_7BIT, "iso-2022-jp", "a\x1b$BF|K\\\x1b(B!", true},
        {"kept back by the charset until the end", "ê", ENCODING_8BIT, "big5", "\x88\x66", true},
        {"broken UTF-8 around", "abc", ENCODING_8BIT, "utf-8",
         "\xff\xfe"
         "ABC\xc3",
         true},
        {"unknown charset", "abc", ENCODING_8BIT, "x-nowhere",
         "\xff"
         "ABC",
         true},
        {"over and over", "aaab", ENCODING_7BIT, "", "aaaaaaaaaaaaaaaaaaaab", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice in = slice_of(cases[i].in);
        struct buf needle;

        buf_init(&needle, 1000);
        search_form_add(&needle, slice_of(cases[i].needle));
        for (size_t cut = 0; cut <= in.len; cut++)
            CHECK(cases[i].note, search_in_steps(buf_slice(&needle), cases[i].encoding, cases[i].charset, in,
                                                 in.len, cut) == cases[i].found);
        CHECK(cases[i].note, search_in_steps(buf_slice(&needle), cases[i].encoding, cases[i].charset, in, 1,
                                             0) == cases[i].found);
        buf_finish(&needle);
    }

    /* Longer than a piece, and no ASCII in it to cut at. */
    struct buf text;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buf_add(&text, SLICE("\xd0\x9f"));
    buf_add(&text, SLICE("ж"));
    struct slice in = buf_slice(&text);
    CHECK("far away", search_in_steps(SLICE("пж"), ENCODING_8BIT, "utf-8", in, 777, 0));
    CHECK("not far away", !search_in_steps(SLICE("пд"), ENCODING_8BIT, "utf-8", in, 100000, 0));
    buf_finish(&text);
}

static void test_preview(void)
{
    static const struct {
        const char *note, *subtype, *encoding, *text, *want;
    } cases[] = {
        {"folded", "plain", "7bit", "\r\n Hello,\r\n\r\n  world \r\n", "Hello, world"},
        {"quoted-printable", "plain", "quoted-printable", "Gr=C3=BC=\r\n=C3=9Fe", "Grüße"},
        {"half a character", "plain", "8bit", "ab\xc3", "ab"},
        {"html", "html", "7bit",
         "<html><head><title>T</title><style>p{}</style></head><!-- <p> --><body><p>a &amp; "
         "b&#x20AC;&nbsp;c</p>d",
         "a & b€ c d"},
        {"tag not closed", "html", "7bit", "a <b", "a"},
        {"bare ampersand", "html", "7bit", "a&b&#0;", "a&b" FFFD},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct mime_part part = {.type = SLICE("text"),
                                 .subtype = slice_of(cases[i].subtype),
                                 .encoding = slice_of(cases[i].encoding)};
        struct buf got;

        buf_init(&got, 1000);
        preview_write(&got, &part, slice_of(cases[i].text));
        CHECK_SLICE(cases[i].note, buf_slice(&got), slice_of(cases[i].want));
        buf_finish(&got);
    }
    struct mime_part part = {.type = SLICE("text"), .subtype = SLICE("plain"), .encoding = SLICE("8bit")};
    struct buf long_text, got;
    buf_init(&long_text, 10000);
    buf_init(&got, 1000);
    for (int i = 0; i < 300; i++)
        buf_add(&long_text, SLICE("ä"));
    preview_write(&got, &part, buf_slice(&long_text));
    CHECK("200 characters", got.len == 400);
    buf_finish(&got);
    buf_finish(&long_text);
}

int main(void)
{
    test_transfer();
    test_charset();
    test_search();
    test_preview();
    return check_done();
}
