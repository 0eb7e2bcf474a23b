/*
 * store/fuzzy.c - does a text say about what was looked for?
 *
 * Layer: store.  See store/fuzzy.h.  A text's words are many and mostly nothing like what is looked for: a mask of
 * the letters they have tells that from two words that are two slips apart at most.
 */
#include "store/fuzzy.h"

#include "base/buf.h"
#include "base/unicode.h"

enum {
    WORDS_MAX = 16,   /* of what is looked for; the others are not looked at */
    LETTERS_MAX = 32, /* of a word */
    WORD_BYTES = 160, /* of one in the text, all that is looked at */

    EXACT = 100,
    BEGINNING = 85,
    INSIDE = 70,
    ONE_SLIP = 65,
    SOMEWHERE = 60, /* all of it, but not as words: what SEARCH without FUZZY finds */
    TWO_SLIPS = 45,
};

struct word {
    uint32_t letters[LETTERS_MAX];
    unsigned count;
    uint64_t mask;
    bool ascii;
    unsigned best; /* in the text so far */
};

struct fuzzy {
    struct slice wanted;
    struct word words[WORDS_MAX];
    unsigned count;
    bool whole;     /* it stands in the text word for word */
    bool somewhere; /* or inside of words */
};

/* ---- words ---- */

/* Letters and digits; beyond ASCII all but blanks, punctuation and symbols of the common blocks. */
static bool is_letter(uint32_t c)
{
    if (c < 0x80)
        return ascii_is_alpha((char)c) || ascii_is_digit((char)c);
    return c >= 0xc0 && c != 0xd7 && c != 0xf7 && !(c >= 0x2000 && c < 0x2c00) && !(c >= 0x3000 && c < 0x3040) &&
           c != 0xfffd && c != 0xfeff;
}

static uint64_t mask_of(const uint32_t *letters, unsigned count)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < count; i++)
        mask |= (uint64_t)1 << (letters[i] & 63);
    return mask;
}

/* The next word of `text` from *at on, as it is written; false: none. */
static bool next_word(struct slice text, size_t *at, struct slice *out, bool *ascii)
{
    size_t begin, end;
    bool in_word = false;

    *ascii = true;
    for (begin = end = *at; end < text.len;) {
        size_t next = end;
        unsigned char byte = (unsigned char)text.ptr[end];
        uint32_t c = byte < 0x80 ? (next++, byte) : utf8_next(text, &next);
        if (!is_letter(c)) {
            if (in_word)
                break;
        } else {
            if (!in_word)
                begin = end;
            in_word = true;
            *ascii = *ascii && c < 0x80;
        }
        end = next;
    }
    *at = end;
    *out = slice_sub(text, begin, end - begin);
    return in_word;
}

/* Its letters without accents; words that are longer than can be compared are cut. */
static void read_word(struct word *w, struct slice text, bool ascii)
{
    struct buf bare;
    size_t at = 0;

    w->count = 0;
    w->ascii = ascii;
    if (ascii) {
        for (; at < text.len && w->count < LETTERS_MAX; at++)
            w->letters[w->count++] = (unsigned char)text.ptr[at];
    } else {
        buf_init(&bare, 4 * WORD_BYTES);
        unicode_without_marks(&bare, slice_sub(text, 0, text.len < WORD_BYTES ? text.len : WORD_BYTES));
        while (at < bare.len && w->count < LETTERS_MAX)
            w->letters[w->count++] = utf8_next(buf_slice(&bare), &at);
        buf_finish(&bare);
        w->ascii = true; /* perhaps only its accents were not */
        for (unsigned i = 0; i < w->count; i++)
            w->ascii = w->ascii && w->letters[i] < 0x80;
    }
    w->mask = mask_of(w->letters, w->count);
}

struct fuzzy *fuzzy_make(struct arena *a, struct slice wanted)
{
    struct fuzzy *f = arena_new(a, struct fuzzy);
    struct slice text;
    size_t at = 0;
    bool ascii;

    if (f == NULL)
        return NULL;
    f->wanted = wanted;
    while (f->count < WORDS_MAX && next_word(wanted, &at, &text, &ascii))
        read_word(&f->words[f->count++], text, ascii);
    return f->count > 0 ? f : NULL;
}

/* ---- compared ---- */

static unsigned slips_allowed(unsigned letters)
{
    return letters < 4 ? 0 : letters < 8 ? 1 : 2;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The number of slips between two words (letters left out, put in, changed, neighbours swapped); any above `most`. */
static unsigned slips(const struct word *a, const struct word *b, unsigned most)
{
    unsigned rows[3][LETTERS_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];

    for (unsigned j = 0; j <= b->count; j++)
        last[j] = j;
    for (unsigned i = 1; i <= a->count; i++) {
        unsigned best = now[0] = i;
        for (unsigned j = 1; j <= b->count; j++) {
            bool same = a->letters[i - 1] == b->letters[j - 1];
            now[j] = least(last[j - 1] + (same ? 0 : 1), least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a->letters[i - 1] == b->letters[j - 2] && a->letters[i - 2] == b->letters[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
            best = least(best, now[j]);
        }
        if (best > most)
            return best;
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b->count];
}

/* Does `text` have all the letters of `w` in a row, from `from` on? */
static bool has_at(const struct word *text, const struct word *w, unsigned from)
{
    return memcmp(text->letters + from, w->letters, w->count * sizeof *w->letters) == 0;
}

/* How near `text` comes to `w`; 0: it is another word. */
static unsigned nearness(const struct word *w, const struct word *text)
{
    unsigned most = slips_allowed(w->count), n;

    if ((w->mask & ~text->mask) == 0 && text->count >= w->count) {
        if (has_at(text, w, 0))
            return text->count == w->count ? EXACT : w->count >= 3 || !w->ascii ? BEGINNING : 0;
        for (unsigned from = 1; (w->count >= 4 || !w->ascii) && from + w->count <= text->count; from++)
            if (has_at(text, w, from))
                return INSIDE;
    }
    if (most == 0 || text->count + most < w->count || w->count + most < text->count ||
        (unsigned)__builtin_popcountll(w->mask ^ text->mask) > 2 * most)
        return 0;
    n = slips(w, text, most);
    return n > most ? 0 : n == 0 ? EXACT : n == 1 ? ONE_SLIP : TWO_SLIPS;
}

void fuzzy_begin(struct fuzzy *f)
{
    for (unsigned i = 0; i < f->count; i++)
        f->words[i].best = 0;
    f->whole = f->somewhere = false;
}

static bool is_word_byte(char c)
{
    return (unsigned char)c >= 0x80 || ascii_is_alpha(c) || ascii_is_digit(c);
}

/* Looks for all of it at once. */
static void find_whole(struct fuzzy *f, struct slice text)
{
    size_t at = 0;

    while (!f->whole) {
        size_t found = at + slice_find(slice_from(text, at), f->wanted), end = found + f->wanted.len;
        if (found >= text.len)
            return;
        f->somewhere = true;
        f->whole = (found == 0 || !is_word_byte(text.ptr[found - 1])) && (end == text.len || !is_word_byte(text.ptr[end]));
        at = found + 1;
    }
}

bool fuzzy_add(struct fuzzy *f, struct slice text)
{
    struct slice written;
    struct word word;
    size_t at = 0;
    bool ascii;

    find_whole(f, text);
    while (!f->whole && next_word(text, &at, &written, &ascii)) {
        read_word(&word, written, ascii);
        for (unsigned i = 0; i < f->count; i++) {
            unsigned one = f->words[i].best < EXACT ? nearness(&f->words[i], &word) : 0;
            if (one > f->words[i].best)
                f->words[i].best = one;
        }
    }
    return f->whole;
}

size_t fuzzy_tail(struct slice text)
{
    size_t from = text.len > WORD_BYTES ? text.len - WORD_BYTES : 0, at = text.len;

    /* Back to the last ASCII byte that no word has; a word without any is cut. */
    while (at > from) {
        unsigned char c = (unsigned char)text.ptr[at - 1];
        if (c < 0x80 && !ascii_is_alpha((char)c) && !ascii_is_digit((char)c))
            break;
        at--;
    }
    return text.len - at;
}

unsigned fuzzy_score(const struct fuzzy *f)
{
    unsigned sum = 0, least_score = f->somewhere ? SOMEWHERE : 0;

    if (f->whole || f->count == 0)
        return EXACT;
    for (unsigned i = 0; i < f->count; i++) {
        if (f->words[i].best == 0)
            return least_score;
        sum += f->words[i].best;
    }
    unsigned mean = sum / f->count;
    if (mean == EXACT) /* all words, but not as they were written */
        return EXACT - 1;
    return mean > least_score ? mean : least_score;
}
