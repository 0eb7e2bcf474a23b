/*
 * tests/unit/store/test_fuzzy.c - what FUZZY takes for the same.
 */
#include "store/fuzzy.h"

#include "base/buf.h"
#include "base/search_form.h"
#include "tests/unit/check.h"

static const struct {
    const char *note, *wanted, *text;
    unsigned score;
} cases[] = {
    {"the same", "hello world", "well, Hello World!", 100},
    {"another order", "world hello", "Hello World", 99},
    {"one missing", "hello world", "hello", 0},
    {"one letter left out", "helo", "hello", 65},
    {"one changed", "helo", "help", 65},
    {"one put in", "hellop", "hello", 65},
    {"two swapped", "hlelo", "hello", 65},
    {"two slips in a short word", "helo", "hxllo", 0},
    {"two slips in a long one", "recieveable", "receivabel", 0},
    {"two slips", "confrence", "conferance", 45},
    {"three letters allow none", "cat", "cut", 0},
    {"the beginning", "meet", "the meeting", 85},
    {"two letters are somewhere", "me", "the meeting", 60},
    {"but a word", "me", "tell me", 100},
    {"inside", "port", "transports", 70},
    {"the mean of both", "helo world", "hello world", 82},
    {"accents", "cafe muller", "Café Müller", 99},
    {"accents looked for", "café", "cafe", 99},
    {"decomposed", "cafe", "cafe\xcc\x81", 99},
    {"greek", "αθηνα", "Αθήνα", 99},
    {"no blanks", "東京", "これは東京です", 70},
    {"signs are no words", "c++ rust", "rust and c++", 99},
    {"digits", "2024", "in 2025", 65},
    {"the best counts", "helo", "help, hello, helo", 100},
    {"a long word is no match of a short one", "helq", "helpers-are-nothing-like-it", 0},
    {"empty text", "help", "", 0},
    {"letters that are alike by chance", "listen", "silent", 0},
};

static void fold(struct buf *out, const char *text)
{
    buf_reset(out);
    search_form_add(out, slice_of(text));
}

/* In pieces, each with the tail of the one before. */
static unsigned score_in_pieces(struct fuzzy *f, struct slice text, size_t size)
{
    struct buf piece;

    buf_init(&piece, 10000);
    fuzzy_begin(f);
    for (size_t at = 0; at < text.len; at += size) {
        struct slice next = slice_sub(text, at, size);
        buf_add(&piece, next);
        (void)fuzzy_add(f, buf_slice(&piece));
        size_t keep = fuzzy_tail(buf_slice(&piece));
        buf_drop(&piece, piece.len - keep);
    }
    buf_finish(&piece);
    return fuzzy_score(f);
}

int main(void)
{
    struct buf wanted, text;
    struct arena a;

    arena_init(&a, 1 << 20);
    buf_init(&wanted, 1000);
    buf_init(&text, 1000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        arena_reset(&a);
        fold(&wanted, cases[i].wanted);
        fold(&text, cases[i].text);
        struct fuzzy *f = fuzzy_make(&a, buf_slice(&wanted));
        CHECK(cases[i].note, f != NULL);
        fuzzy_begin(f);
        (void)fuzzy_add(f, buf_slice(&text));
        if (fuzzy_score(f) != cases[i].score)
            fprintf(stderr, "%s: %u\n", cases[i].note, fuzzy_score(f));
        CHECK(cases[i].note, fuzzy_score(f) == cases[i].score);
        fuzzy_begin(f);
        CHECK("nothing yet", fuzzy_score(f) == 0);
    }
    fold(&wanted, "world conferance");
    struct fuzzy *f = fuzzy_make(&a, buf_slice(&wanted));
    struct slice long_text = SLICE("conference of the world and of all that is in it");
    for (size_t size = 1; size < 60; size++)
        CHECK("in pieces", score_in_pieces(f, long_text, size) == score_in_pieces(f, long_text, 100));
    CHECK("nothing to look for", fuzzy_make(&a, SLICE("-- !")) == NULL);
    buf_finish(&wanted);
    buf_finish(&text);
    arena_finish(&a);
    return check_done();
}
