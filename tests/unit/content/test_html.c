/*
 * tests/unit/content/test_html.c - what a reader sees of a document.
 */
#include "base/fail.h"
#include "content/html.h"
#include "tests/unit/check.h"

static struct html_library *library;
static const struct html_limits usual = {.depth = 2000, .ms = 2000};

static void expect(const char *note, struct slice document, const char *charset, const char *want)
{
    struct buf out;
    struct fail why = {0};

    buf_init(&out, 1 << 20);
    CHECK(note, html_to_text(library, document, slice_of(charset), &usual, &out, &why));
    CHECK_SLICE(note, buf_slice(&out), slice_of(want));
    buf_finish(&out);
}

static void test_text(void)
{
    static const struct { const char *note, *html, *want; } cases[] = {
        {"a document", "<!DOCTYPE html><html><head><title>Sale</title></head><body><p>Hello</p></body></html>",
         "Sale\nHello"},
        {"inline elements join", "<p>Hel<b>l</b><i></i>o <a href='http://x.test/'>wor</a>ld</p>", "Hello world"},
        {"blocks part", "<p>one</p><p>two</p>three<br>four<div>five<div>six</div></div>",
         "one\ntwo\nthree\nfour\nfive\nsix"},
        {"cells and items part", "<table><tr><td>a</td><td>b</td></tr></table><ul><li>c<li>d</ul>", "a\nb\nc\nd"},
        {"entities", "<p>caf&eacute; &amp; t&#101;&#x61; &lt;b&gt; &euro;5&nbsp;only</p>", "café & tea <b> €5 only"},
        {"an entity that is none", "<p>a &nosuch; b & c</p>", "a &nosuch; b & c"},
        {"script and style", "<style>p { color: red }</style><p>seen</p><script>var x = '<p>unseen</p>';</script>",
         "seen"},
        {"a comment", "a<!-- secret -->b", "ab"},
        {"alt", "<p>See <img src='x.png' alt='a red  ball'> here</p>", "See a red ball here"},
        {"white space", "  <p>\n  a \t b\r\n c  </p>\n\n", "a b c"},
        {"soft hyphens", "<p>hyphen&shy;ation zero&#8203;width</p>", "hyphenation zerowidth"},
        {"attributes are not text", "<p class='secret' title='x'>a</p>", "a"},
        {"never closed", "<p>a<b>b<table><tr><td>c", "ab\nc"},
        {"closed wrongly", "<b><p>a</b></p></i></table>b", "a\nb"},
        {"nothing", "", ""},
        {"after the end", "<html><body><p>a</p></body></html><p>b</p></html>c<div>d", "a\nb\nc\nd"},
        {"two documents",
         "<html><head><title>t</title></head><body>a</BODY></html><html><head><style>x</style></head><body>b",
         "t\na\nb"},
        {"text alone", "just text", "just text"},
        {"a tag cut off", "<p>a</p><a href=\"http://", "a"},
        {"Outlook", "<p class=MsoNormal>a<o:p>&nbsp;</o:p></p><p>b</p>", "a\nb"},
        {"conditional comments", "<!--[if mso]><p>no</p><![endif]--><p>yes</p>", "yes"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect(cases[i].note, slice_of(cases[i].html), "", cases[i].want);
    expect("a NUL", slice_make("a\0b", 3), "", "a b");
}

static void test_charset(void)
{
    expect("as said", SLICE("<p>gr\xfc\xdf"
                            "e</p>"),
           "iso-8859-1", "grüße");
    expect("by meta", SLICE("<meta charset=\"windows-1251\"><p>\xcf\xf0</p>"), "", "Пр");
    expect("by the older meta",
           SLICE("<META HTTP-EQUIV=Content-Type CONTENT='text/html; charset = koi8-r'><p>\xd0\xd2</p>"), "us-ascii",
           "пр");
    expect("what is said counts more", SLICE("<meta charset=koi8-r><p>\xc3\xa9</p>"), "utf-8", "é");
    expect("a mark counts most", SLICE("\xef\xbb\xbf<p>\xc3\xa9</p>"), "iso-8859-1", "é");
    expect("UTF-16", slice_make("\xff\xfe<\0p\0>\0\xe9\0", 10), "", "é");
    expect("unknown", SLICE("<p>a\xffz</p>"), "x-nowhere", "a\xef\xbf\xbdz");
    expect("no UTF-16 that is none", SLICE("<meta charset=utf-16><p>a</p>"), "", "a");
}

static void test_limits(void)
{
    const struct html_limits low = {.depth = 50, .ms = 2000};
    struct buf deep, out;
    struct fail why = {0};

    buf_init(&deep, 1 << 24);
    buf_init(&out, 1 << 20);
    for (int i = 0; i < 60; i++)
        buf_add(&deep, SLICE("<div>x"));
    /* limit: content.html_depth, content.html_ms */
    CHECK("too deep", !html_to_text(library, buf_slice(&deep), SLICE(""), &low, &out, &why) &&
                          why.kind == FAIL_PERM && why.reason == FAIL_LIMIT);
    buf_reset(&deep);
    for (int i = 0; i < 100000; i++)
        buf_add(&deep, SLICE("<div></span>"));
    (void)html_to_text(library, buf_slice(&deep), SLICE(""), &usual, &out, &why);
    CHECK("much nested, little time", why.reason == FAIL_LIMIT);
    buf_reset(&deep);
    for (int i = 0; i < 1000; i++)
        buf_add(&deep, SLICE("<p>some text</p>"));
    struct buf small;
    buf_init(&small, 100);
    CHECK("too long", !html_to_text(library, buf_slice(&deep), SLICE(""), &usual, &small, &why) &&
                          why.reason == FAIL_LIMIT);
    buf_finish(&small);
    buf_finish(&deep);
    buf_finish(&out);
}

int main(void)
{
    struct fail why = {0};

    library = html_library_open(&why);
    CHECK("libxml2", library != NULL);
    if (library == NULL)
        return check_done();
    test_text();
    test_charset();
    test_limits();
    html_library_close(&library);
    return check_done();
}
