/*
 * tests/unit/message/test_fold.c - the fast folding says what the slow one says.
 *
 * Every code point by itself, behind a letter, and before marks that compose.
 */
#include "../check.h"
#include "base/unicode.h"
#include "message/fold.h"

static bool same(struct slice text)
{
    struct buf fast, slow;

    buf_init(&fast, 1 << 20);
    buf_init(&slow, 1 << 20);
    fold_text(&fast, text);
    unicode_casefold(&slow, text);
    bool equal = slice_eq(buf_slice(&fast), buf_slice(&slow));
    buf_finish(&fast);
    buf_finish(&slow);
    return equal;
}

/* Of the many Han and Hangul a sample. */
static bool is_left_out(uint32_t c)
{
    return (c >= 0xd800 && c <= 0xdfff) || (c >= 0x3100 && c % 7 != 0);
}

int main(void)
{
    static const char *const around[][2] = {{"", ""},
                                            {"e", "x"},
                                            {"\u0435", "\u0308"},
                                            {"\u00c4", "\u0323"},
                                            {"\u30ab", "\u3099"},
                                            {"\uac00", "\u11a8"},
                                            {"\u0391", "\u0301"}};
    struct buf text;
    char note[40];

    buf_init(&text, 100);
    for (size_t i = 0; i < ARRAY_LEN(around); i++) {
        uint32_t different = 0; /* the first */

        for (uint32_t c = 1; c < 0x20000 && different == 0; c++) {
            if (is_left_out(c) && i > 1)
                continue;
            buf_reset(&text);
            buf_add(&text, slice_of(around[i][0]));
            utf8_add(&text, c);
            buf_add(&text, slice_of(around[i][1]));
            different = same(buf_slice(&text)) ? 0 : c;
        }
        snprintf(note, sizeof(note), "U+%04X in surroundings %zu", different, i);
        CHECK(note, different == 0);
    }
    buf_finish(&text);
    CHECK("broken UTF-8", same(SLICE("A\xff\xc3\x84\xcc\x88Z\xe2\x82")));
    CHECK("a mark alone", same(SLICE("\xcc\x88")));

    CHECK("cut before the last ASCII", fold_cut(SLICE("ab\xc3\xa4")) == 1);
    CHECK("nothing to cut at", fold_cut(SLICE("\xc3\xa4")) == 0);
    return check_done();
}
