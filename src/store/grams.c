/*
 * store/grams.c - see store/grams.h.
 *
 * Layer: store.  Nearly all grams are ASCII: of those a bitmap says which are there
 * already (three characters are 21 bits), of the others a hash set.
 */
#include "store/grams.h"

#include <stdlib.h>

#include "base/fail.h"
#include "base/unicode.h"

enum {
    ASCII_BITS = 21,
    GRAMS_MAX = 100000,
    GRAM_BYTES_MAX = 12,
    QUERY_GRAMS = 6, /* so many of a needle are looked up: each costs the reading of its list */
    WIDE_FIRST = 0x2e80,
    SLOTS_FIRST = 1024,
};

struct grams {
    uint64_t bits[(1 << ASCII_BITS) / 64];
    uint32_t *ascii; /* those whose bits are set */
    size_t ascii_count, ascii_cap;
    uint64_t *slots; /* the others, open addressing; 0: free */
    size_t slot_count, slot_cap;
    size_t count;
    bool overflowed;
    struct buf packed;
};

struct grams *grams_create(void)
{
    struct grams *g = xcalloc(1, sizeof *g);

    g->slot_cap = SLOTS_FIRST;
    g->slots = xcalloc(g->slot_cap, sizeof *g->slots);
    buf_init(&g->packed, (size_t)(GRAMS_MAX + 1) * (GRAM_BYTES_MAX + 1));
    return g;
}

void grams_destroy(struct grams **gp)
{
    struct grams *g = *gp;

    if (g == NULL)
        return;
    buf_finish(&g->packed);
    free(g->ascii);
    free(g->slots);
    free(g);
    *gp = NULL;
}

void grams_reset(struct grams *g)
{
    for (size_t i = 0; i < g->ascii_count; i++)
        g->bits[g->ascii[i] / 64] = 0;
    if (g->slot_count > 0)
        memset(g->slots, 0, g->slot_cap * sizeof *g->slots);
    g->ascii_count = g->slot_count = g->count = 0;
    g->overflowed = false;
    buf_reset(&g->packed);
}

/* ---- what is there already ---- */

static bool is_new_ascii(struct grams *g, uint32_t gram)
{
    uint64_t bit = (uint64_t)1 << (gram % 64);

    if ((g->bits[gram / 64] & bit) != 0)
        return false;
    g->bits[gram / 64] |= bit;
    if (g->ascii_count == g->ascii_cap) {
        g->ascii_cap = g->ascii_cap > 0 ? g->ascii_cap * 2 : 4096;
        g->ascii = xrealloc(g->ascii, g->ascii_cap * sizeof *g->ascii);
    }
    g->ascii[g->ascii_count++] = gram;
    return true;
}

static size_t slot_of(const uint64_t *slots, size_t cap, uint64_t gram)
{
    size_t at = (size_t)(gram * 0x9e3779b97f4a7c15U >> 20) & (cap - 1);

    while (slots[at] != 0 && slots[at] != gram)
        at = (at + 1) & (cap - 1);
    return at;
}

static void grow_slots(struct grams *g)
{
    size_t cap = g->slot_cap * 2;
    uint64_t *slots = xcalloc(cap, sizeof *slots);

    for (size_t i = 0; i < g->slot_cap; i++)
        if (g->slots[i] != 0)
            slots[slot_of(slots, cap, g->slots[i])] = g->slots[i];
    free(g->slots);
    g->slots = slots;
    g->slot_cap = cap;
}

static bool is_new_other(struct grams *g, uint64_t gram)
{
    size_t at = slot_of(g->slots, g->slot_cap, gram);

    if (g->slots[at] == gram)
        return false;
    g->slots[at] = gram;
    if (++g->slot_count > g->slot_cap / 2)
        grow_slots(g);
    return true;
}

/* ---- grams of a text ---- */

static bool is_wide(uint32_t c)
{
    return c >= WIDE_FIRST;
}

/* Of one, two or three characters: how many are the gram?  0: not enough of them, or none that counts. */
static unsigned gram_length(const uint32_t *c, unsigned have)
{
    unsigned n = have >= 2 && is_wide(c[0]) && is_wide(c[1]) ? 2 : 3;

    if (n > have)
        return 0;
    for (unsigned i = 0; i < n; i++)
        if (c[i] < 0x20)
            return 0;
    return n;
}

static void take_bytes(struct grams *g, struct slice gram)
{
    if (g->count >= GRAMS_MAX) {
        g->overflowed = true;
        return;
    }
    g->count++;
    buf_add_char(&g->packed, (char)gram.len);
    buf_add(&g->packed, gram);
}

/* A stretch of ASCII, the bulk of it all. */
static void add_ascii(struct grams *g, struct slice text)
{
    uint32_t gram = 0, sound = 0; /* characters since the last control character */

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        gram = (gram << 7 | c) & ((1 << ASCII_BITS) - 1);
        sound = c < 0x20 ? 0 : sound + 1;
        if (sound >= 3 && is_new_ascii(g, gram))
            take_bytes(g, slice_sub(text, i - 2, 3));
    }
}

/* Three characters, the first of which begins at at[0] and the last of which ends at at[3]. */
struct window {
    uint32_t c[3];
    size_t at[4];
    unsigned have;
};

static void window_slide(struct window *w)
{
    w->have--;
    for (unsigned i = 0; i < 3; i++) {
        if (i < 2)
            w->c[i] = w->c[i + 1];
        w->at[i] = w->at[i + 1];
    }
}

static void take_window(struct grams *g, const struct window *w, struct slice text)
{
    unsigned n = gram_length(w->c, w->have);
    uint64_t key = 0;

    for (unsigned i = 0; i < n; i++)
        key = key << 21 | w->c[i];
    if (n == 0)
        return;
    bool fresh = n == 3 && w->c[0] < 0x80 && w->c[1] < 0x80 && w->c[2] < 0x80
                     ? is_new_ascii(g, w->c[0] << 14 | w->c[1] << 7 | w->c[2])
                     : is_new_other(g, key);
    if (fresh)
        take_bytes(g, slice_sub(text, w->at[0], w->at[n] - w->at[0]));
}

static void add_any(struct grams *g, struct slice text)
{
    struct window w = {.have = 0};
    size_t at = 0;

    while (at < text.len || w.have > 0) {
        while (w.have < 3 && at < text.len) {
            w.c[w.have] = utf8_next(text, &at);
            w.at[++w.have] = at;
        }
        take_window(g, &w, text);
        window_slide(&w);
    }
}

void grams_add(struct grams *g, struct slice text)
{
    if (slice_is_ascii(text))
        add_ascii(g, text);
    else
        add_any(g, text);
}

size_t grams_tail(struct slice text)
{
    size_t at = text.len;

    for (unsigned characters = 0; at > 0 && characters < 2; characters++) {
        at--;
        while (at > 0 && text.len - at < 8 && ((unsigned char)text.ptr[at] & 0xc0) == 0x80)
            at--;
    }
    return text.len - at;
}

size_t grams_count(const struct grams *g)
{
    return g->count;
}

bool grams_overflowed(const struct grams *g)
{
    return g->overflowed;
}

struct slice grams_packed(const struct grams *g)
{
    return buf_slice(&g->packed);
}

/* ---- a needle's ---- */

static void add_word(struct buf *out, struct slice gram)
{
    buf_add(out, out->len > 0 ? SLICE(" AND \"") : SLICE("\""));
    for (size_t i = 0; i < gram.len; i++) {
        if (gram.ptr[i] == '"')
            buf_add_char(out, '"');
        buf_add_char(out, gram.ptr[i]);
    }
    buf_add_char(out, '"');
}

/* The rarer a character is in most mail, the more its grams rule out. */
static unsigned rarity_of(unsigned char c)
{
    static const unsigned char letters[26] = {1, 5, 3, 2, 0, 4, 4, 2, 1, 9, 7, 2, 3,
                                              1, 1, 4, 10, 1, 1, 1, 3, 6, 5, 9, 5, 10};

    if (c >= 'a' && c <= 'z')
        return letters[c - 'a'];
    if (c >= 0x80)
        return 3; /* of each of its bytes */
    return c == ' ' ? 0 : 4;
}

static unsigned gram_rarity(struct slice gram)
{
    unsigned sum = 0;

    for (size_t i = 0; i < gram.len; i++)
        sum += rarity_of((unsigned char)gram.ptr[i]);
    return sum;
}

struct ranked {
    struct slice gram;
    unsigned rarity;
};

/* Into its place among the best so far, the rarest first. */
static void rank(struct ranked best[QUERY_GRAMS], size_t *count, struct slice gram)
{
    struct ranked one = {gram, gram_rarity(gram)};
    size_t at = *count;

    while (at > 0 && best[at - 1].rarity < one.rarity)
        at--;
    if (at == QUERY_GRAMS)
        return;
    if (*count < QUERY_GRAMS)
        (*count)++;
    memmove(best + at + 1, best + at, (*count - 1 - at) * sizeof *best);
    best[at] = one;
}

bool grams_query(struct slice needle, struct buf *out)
{
    struct ranked best[QUERY_GRAMS] = {0};
    struct grams *g = grams_create();
    size_t count = 0;

    grams_add(g, needle);
    for (struct slice rest = grams_packed(g); rest.len > 0;) {
        size_t len = (unsigned char)rest.ptr[0];
        rank(best, &count, slice_sub(rest, 1, len));
        rest = slice_from(rest, 1 + len);
    }
    for (size_t i = 0; i < count; i++)
        add_word(out, best[i].gram);
    grams_destroy(&g);
    return count > 0 && !out->failed;
}
