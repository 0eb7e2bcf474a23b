/* base/unicode: UTF-8 by the letter, folding, modified UTF-7. */
#include "base/unicode.h"

#include "tests/unit/check.h"

static void test_utf8(void)
{
    static const struct { const char *note, *text; bool valid; const char *clean; } cases[] = {
        {"ASCII", "abc", true, "abc"},
        {"two bytes", "\xc3\xa4", true, "\xc3\xa4"},
        {"three bytes", "\xe2\x82\xac", true, "\xe2\x82\xac"},
        {"four bytes", "\xf0\x9f\x93\xaf", true, "\xf0\x9f\x93\xaf"},
        {"last code point", "\xf4\x8f\xbf\xbf", true, "\xf4\x8f\xbf\xbf"},
        {"beyond the last", "\xf4\x90\x80\x80", false, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"overlong slash", "\xc0\xaf", false, "\xef\xbf\xbd\xef\xbf\xbd"},
        {"overlong, three bytes", "\xe0\x9f\xbf", false, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"overlong, four bytes", "\xf0\x8f\xbf\xbf", false, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"surrogate", "\xed\xa0\x80", false, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"before the surrogates", "\xed\x9f\xbf", true, "\xed\x9f\xbf"},
        {"cut off", "a\xe2\x82", false, "a\xef\xbf\xbd\xef\xbf\xbd"},
        {"lone continuation", "\x80z", false, "\xef\xbf\xbdz"},
        {"Latin-1", "gr\xfc\xdf", false, "gr\xef\xbf\xbd\xef\xbf\xbd"},
        {"0xff", "\xff", false, "\xef\xbf\xbd"},
    };
    struct buf b;

    buf_init(&b, 100);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice s = slice_of(cases[i].text);

        CHECK(cases[i].note, utf8_valid(s) == cases[i].valid);
        buf_reset(&b);
        utf8_add_clean(&b, s);
        CHECK_SLICE(cases[i].note, buf_slice(&b), slice_of(cases[i].clean));
        buf_reset(&b);
        for (size_t at = 0; at < s.len;)
            utf8_add(&b, utf8_next(s, &at));
        CHECK_SLICE(cases[i].note, buf_slice(&b), slice_of(cases[i].clean));
    }
    buf_finish(&b);
}

static void test_utf8_round(void)
{
    struct buf b;
    bool       same = true;

    buf_init(&b, 4);
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        size_t at = 0;
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        buf_reset(&b);
        utf8_add(&b, c);
        same = same && utf8_valid(buf_slice(&b)) && utf8_next(buf_slice(&b), &at) == c && at == b.len;
    }
    CHECK("every code point", same);
    buf_finish(&b);
}

static void test_fold(void)
{
    static const struct { const char *note, *text, *want; } cases[] = {
        {"ASCII", "Hello, World", "hello, world"},
        {"umlaut", "\xc3\x84", "\xc3\xa4"},
        {"sharp s", "STRASSE stra\xc3\x9f" "e", "strasse strasse"},
        {"decomposed", "A\xcc\x88", "\xc3\xa4"},
        {"final sigma", "\xce\xa3\xcf\x82", "\xcf\x83\xcf\x83"},
        {"invalid byte", "A\xff" "B", "a\xef\xbf\xbd" "b"},
        {"empty", "", ""},
    };
    struct buf b;

    buf_init(&b, 100);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_reset(&b);
        buf_add_char(&b, '>');
        unicode_casefold(&b, slice_of(cases[i].text));
        CHECK_SLICE(cases[i].note, slice_from(buf_slice(&b), 1), slice_of(cases[i].want));
    }
    buf_finish(&b);
}

static void test_nfc(void)
{
    struct arena a;
    struct slice out = SLICE("untouched");

    arena_init(&a, 1000);
    CHECK("invalid", !unicode_nfc(&a, SLICE("\xff"), &out));
    CHECK_SLICE("untouched", out, SLICE("untouched"));
    CHECK("composed", unicode_nfc(&a, SLICE("o\xcc\x88"), &out));
    CHECK_SLICE("composed", out, SLICE("\xc3\xb6"));
    CHECK("ASCII", unicode_nfc(&a, SLICE("Abc"), &out));
    CHECK_SLICE("ASCII", out, SLICE("Abc"));
    arena_finish(&a);
}

static void test_utf7(void)
{
    static const struct { const char *note, *utf7, *utf8; } good[] = {
        {"ASCII", "INBOX/Work", "INBOX/Work"},
        {"ampersand", "A&-B", "A&B"},
        {"RFC 3501's", "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
         "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
        {"umlaut", "Entw&APw-rfe", "Entw\xc3\xbcrfe"},
        {"beyond U+FFFF", "&2D3c7w-", "\xf0\x9f\x93\xaf"},
        {"empty", "", ""},
        {"control", "a&AAo-", "a\n"},
        {"ampersand after a shift", "&APw-&-", "\xc3\xbc&"},
    };
    static const struct { const char *note, *utf7; } bad[] = {
        {"not closed", "a&APw"},
        {"lone ampersand", "&"},
        {"ASCII in base64", "&AGE-"},
        {"ampersand in base64", "&ACY-"},
        {"two shifts in a row", "&APw-&APw-"},
        {"bits left over", "&APx-"},
        {"a whole digit left over", "&APwA-"},
        {"half a unit", "&AP-"},
        {"lone high surrogate", "&2D0-"},
        {"lone low surrogate", "&3O8-"},
        {"padding", "&APw=-"},
        {"standard base64's slash", "&U/BTFw-"},
        {"raw UTF-8", "\xc3\xbc"},
        {"raw control", "a\nb"},
        {"DEL", "a\x7f"},
    };
    struct arena a;
    struct buf   b;
    struct slice out;

    arena_init(&a, 10000);
    buf_init(&b, 1000);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        buf_reset(&b);
        utf7_encode(&b, slice_of(good[i].utf8));
        CHECK_SLICE(good[i].note, buf_slice(&b), slice_of(good[i].utf7));
        CHECK(good[i].note, utf7_decode(&a, slice_of(good[i].utf7), &out));
        CHECK_SLICE(good[i].note, out, slice_of(good[i].utf8));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(bad[i].note, !utf7_decode(&a, slice_of(bad[i].utf7), &out));
    CHECK("NUL", !utf7_decode(&a, slice_make("a\0b", 3), &out));
    CHECK("NUL in base64", !utf7_decode(&a, slice_make("&A\0w-", 5), &out));
    buf_finish(&b);
    arena_finish(&a);
}

/* One byte above 0x7f, wherever it stands. */
static void test_ascii(void)
{
    char text[100];

    for (size_t len = 0; len <= sizeof text; len++) {
        memset(text, 'a', sizeof text);
        CHECK("none", slice_is_ascii(slice_make(text, len)));
        for (size_t at = 0; at < sizeof text; at++) {
            text[at] = (char)0x80;
            CHECK("one", slice_is_ascii(slice_make(text, len)) == (at >= len));
            text[at] = 0x7f;
        }
    }
}

int main(void)
{
    test_ascii();
    test_utf8();
    test_utf8_round();
    test_fold();
    test_nfc();
    test_utf7();
    return check_done();
}
