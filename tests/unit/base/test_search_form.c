/*
 * tests/unit/base/test_search_form.c - the form of text in which a search compares it.
 *
 * The fast way says what its definition says: for every code point by itself, behind a letter, and before marks.
 */
#include <stdlib.h>
#include <unicase.h>
#include <uninorm.h>

#include "../check.h"
#include "base/collation.h"
#include "base/search_form.h"
#include "base/unicode.h"

static void add_titled(struct buf *out, struct slice text)
{
    for (size_t at = 0; at < text.len;)
        utf8_add(out, uc_totitle(utf8_next(text, &at)));
}

/* By the letter: titlecase, NFKD, titlecase, full case folding. */
static void define(struct buf *out, struct slice text)
{
    struct buf titled;
    size_t len;

    buf_init(&titled, 1 << 20);
    add_titled(&titled, text);
    uint8_t *apart = u8_normalize(UNINORM_NFKD, (const uint8_t *)titled.data, titled.len, NULL, &len);
    buf_reset(&titled);
    add_titled(&titled, slice_make((const char *)apart, len));
    uint8_t *folded = u8_casefold((const uint8_t *)titled.data, titled.len, NULL, NULL, NULL, &len);
    buf_add(out, slice_make((const char *)folded, len));
    free(apart);
    free(folded);
    buf_finish(&titled);
}

/* As defined; its own form; and the same if it is made in two pieces. */
static bool is_right(struct slice text)
{
    struct buf fast, slow, again, pieces;
    size_t cut = search_form_cut(text);

    buf_init(&fast, 1 << 20);
    buf_init(&slow, 1 << 20);
    buf_init(&again, 1 << 20);
    buf_init(&pieces, 1 << 20);
    search_form_add(&fast, text);
    define(&slow, text);
    search_form_add(&again, buf_slice(&fast));
    search_form_add(&pieces, slice_sub(text, 0, cut));
    search_form_add(&pieces, slice_from(text, cut));
    bool right = slice_eq(buf_slice(&fast), buf_slice(&slow)) && slice_eq(buf_slice(&fast), buf_slice(&again)) &&
                 slice_eq(buf_slice(&fast), buf_slice(&pieces));
    buf_finish(&fast);
    buf_finish(&slow);
    buf_finish(&again);
    buf_finish(&pieces);
    return right;
}

/* Of the many Han and Hangul a sample. */
static bool is_left_out(uint32_t c)
{
    return (c >= 0xd800 && c <= 0xdfff) || (c >= 0x3100 && c < 0xf900 && c % 7 != 0);
}

static void test_every_letter(void)
{
    static const char *const around[][2] = {{"", ""},
                                            {"e", "x"},
                                            {"\u0435", "\u0308"},
                                            {"\u00c4", "\u0323"},
                                            {"\u30ab", "\u3099"},
                                            {"\uac00", "\u11a8"},
                                            {"\u0391\u0301", "\u0345"}};
    struct buf text;
    char note[60];

    buf_init(&text, 100);
    for (size_t i = 0; i < ARRAY_LEN(around); i++) {
        uint32_t different = 0; /* the first */

        for (uint32_t c = 1; c < 0x20000 && different == 0; c++) {
            if (is_left_out(c) && i > 0)
                continue;
            buf_reset(&text);
            buf_add(&text, slice_of(around[i][0]));
            utf8_add(&text, c);
            buf_add(&text, slice_of(around[i][1]));
            different = is_right(buf_slice(&text)) ? 0 : c;
        }
        (void)snprintf(note, sizeof(note), "U+%04X in surroundings %zu", (unsigned)different, i);
        CHECK(note, different == 0);
    }
    buf_finish(&text);
}

/* What i;unicode-casemap takes for the same is the same. */
static void test_superset(void)
{
    struct buf key, form, of_key;
    uint32_t different = 0;
    char note[60], text[4];

    buf_init(&key, 1000);
    buf_init(&form, 1000);
    buf_init(&of_key, 1000);
    for (uint32_t c = 1; c < 0x30000 && different == 0; c++) {
        struct buf one;
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        buf_init(&one, sizeof(text));
        buf_reset(&key);
        buf_reset(&form);
        buf_reset(&of_key);
        utf8_add(&one, c);
        collation_key(COLLATION_UNICODE_CASEMAP, &key, buf_slice(&one));
        search_form_add(&form, buf_slice(&one));
        search_form_add(&of_key, buf_slice(&key));
        different = slice_eq(buf_slice(&form), buf_slice(&of_key)) ? 0 : c;
        buf_finish(&one);
    }
    (void)snprintf(note, sizeof(note), "U+%04X and its key", (unsigned)different);
    CHECK(note, different == 0);
    buf_finish(&key);
    buf_finish(&form);
    buf_finish(&of_key);
}

static void test_examples(void)
{
    static const struct {
        const char *note, *text, *form;
    } cases[] = {
        {"ASCII", "Hello, World", "hello, world"},
        {"ASCII, longer than a run", "HELLO, [WORLD] @ `Home` {0-9}", "hello, [world] @ `home` {0-9}"},
        {"RFC 5051: U+01C4", "\u01c4", "dz\u030c"},
        {"and its other cases", "\u01c5\u01c6", "dz\u030cdz\u030c"},
        {"umlaut", "\u00c4", "a\u0308"},
        {"decomposed", "A\u0308", "a\u0308"},
        {"sharp s", "STRASSE stra\u00dfe \u1e9e", "strasse strasse ss"},
        {"dotless i of mathematics", "\U0001d6a4", "i"},
        {"dotless i", "\u0131\u0130", "ii\u0307"},
        {"final sigma", "\u03a3\u03c2\u03c3", "\u03c3\u03c3\u03c3"},
        {"iota below", "\u1fb3\u1fbc\u0391\u0345", "\u03b1\u03b9\u03b1\u03b9\u03b1\u03b9"},
        {"ligature", "\ufb01sh", "fish"},
        {"full width", "\uff21\uff42\uff11", "ab1"},
        {"half width", "\uff76\uff9e", "\u30ab\u3099"},
        {"Kana", "\u30ac", "\u30ab\u3099"},
        {"Hangul", "\ud55c\uac00", "\u1112\u1161\u11ab\u1100\u1161"},
        {"marks in any order", "q\u0307\u0323 q\u0323\u0307", "q\u0323\u0307 q\u0323\u0307"},
        {"a space that does not break", "a\u00a0b", "a b"},
        {"three points", "wait\u2026", "wait..."},
        {"Vietnamese", "Vi\u1ec6t", "vie\u0323\u0302t"},
        {"Cyrillic", "\u0419\u0401", "\u0438\u0306\u0435\u0308"},
        {"Cherokee", "\u13a0\uab70", "\u13a0\u13a0"},
        {"invalid bytes", "A\xff" "B\xe2\x82", "a\ufffd" "b\ufffd\ufffd"},
        {"a mark alone", "\u0308", "\u0308"},
        {"empty", "", ""},
    };
    struct buf got;

    buf_init(&got, 1000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_reset(&got);
        search_form_add(&got, slice_of(cases[i].text));
        CHECK_SLICE(cases[i].note, buf_slice(&got), slice_of(cases[i].form));
        CHECK(cases[i].note, is_right(slice_of(cases[i].text)));
    }
    buf_finish(&got);
}

/* Characters of all kinds, borders of blocks among them. */
static void test_long(void)
{
    static const char *const some[] = {"a", "\u00e9", "\u0323", "\u0301", "\ud55c", "\u4e2d", "\U0001f600", "\xff",
                                       "\ufb01", "\u1fb3", "\u03a9", "Hello there, you", "\u2126", "\u1112"};
    struct buf text;
    uint32_t random = 1;

    buf_init(&text, 1 << 20);
    for (unsigned turn = 0; turn < 200; turn++) {
        buf_reset(&text);
        for (unsigned i = 0; i < turn * 20; i++) {
            random = random * 1664525 + 1013904223;
            buf_add(&text, slice_of(some[(random >> 16) % ARRAY_LEN(some)]));
        }
        CHECK("long", is_right(buf_slice(&text)));
    }
    buf_finish(&text);
}

static void test_cut(void)
{
    CHECK("behind ASCII", search_form_cut(SLICE("ab\u0308")) == 2);
    CHECK("before a letter", search_form_cut(SLICE("ab\u00e4\u0323")) == 2);
    CHECK("before the last", search_form_cut(SLICE("\u00e4\u00e4")) == 2);
    CHECK("half a character", search_form_cut(SLICE("\u00e4\xc3")) == 0);
    CHECK("nothing to cut at", search_form_cut(SLICE("\u0323\u0308")) == 0);
    CHECK("nothing", search_form_cut(SLICE("")) == 0);
}

int main(void)
{
    test_examples();
    test_every_letter();
    test_superset();
    test_long();
    test_cut();
    return check_done();
}
