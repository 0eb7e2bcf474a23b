/*
 * tests/unit/store/test_sort.c - ranks of texts, numbers in order.
 */
#include "base/clock.h"
#include "base/fail.h"
#include "store/sort_order.h"
#include "store/sort_texts.h"
#include "tests/unit/check.h"

static uint64_t state = 7;

static uint64_t draw(void)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return state >> 20;
}

static void check_items(const char *note, size_t count, uint64_t mask, uint64_t base)
{
    struct sort_item *items = xcalloc(count + 1, sizeof *items), *spare = xcalloc(count + 1, sizeof *spare);
    bool ordered = true;

    for (size_t i = 0; i < count; i++)
        items[i] = (struct sort_item){.key = base + (draw() & mask), .index = (uint32_t)i};
    sort_items(items, spare, count);
    for (size_t i = 1; i < count; i++)
        ordered = ordered && (items[i - 1].key < items[i].key ||
                              (items[i - 1].key == items[i].key && items[i - 1].index < items[i].index));
    CHECK(note, ordered);
    free(items);
    free(spare);
}

static void test_items(void)
{
    check_items("none", 0, 1, 0);
    check_items("one", 1, 1, 0);
    check_items("few values", 5000, 3, 0);
    check_items("two digits", 5000, 0xfffff, 0);
    check_items("all bits", 5000, UINT64_MAX, UINT64_C(1) << 63);
    check_items("around zero", 5000, 0xff, sort_key_signed(-100));
    CHECK("signed", sort_key_signed(INT64_MIN) < sort_key_signed(-1) && sort_key_signed(-1) < sort_key_signed(0));
}

/* All ranks, in as many steps as it takes when there is never time. */
static const struct sort_ranks *ranks_of(struct sort_texts *t)
{
    struct sort_ranking *work = NULL;
    const struct sort_ranks *ranks = NULL;

    while (!sort_texts_rank(t, &work, 0, &ranks))
        ;
    CHECK("nothing is left", work == NULL);
    return ranks;
}

static bool in_order(struct sort_texts *t, const struct sort_ranks *r, struct slice *texts)
{
    for (uint32_t i = 1; i < t->count; i++)
        if (slice_cmp(texts[r->order[i - 1]], texts[r->order[i]]) >= 0 || r->of[r->order[i]] != i)
            return false;
    return r->count == t->count;
}

static void test_ranks(void)
{
    enum { MANY = 9000 };
    static char room[MANY][24];
    static struct slice texts[MANY * 2];
    struct sort_texts t, copy;
    uint32_t known = 1;

    sort_texts_init(&t);
    CHECK("empty is 0", sort_texts_add(&t, SLICE("")) == 0);
    CHECK("one text has ranks", in_order(&t, ranks_of(&t), texts));
    for (size_t i = 0; i < MANY; i++) {
        int len = snprintf(room[i], sizeof room[i], "%s%llu", i % 3 == 0 ? "a long prefix " : "", (unsigned long long)draw() % 5000);
        struct slice s = slice_make(room[i], (size_t)len);
        uint32_t number = sort_texts_add(&t, s);
        if (number == known)
            texts[known++] = s;
        else
            CHECK("the same text has the same number", slice_eq(texts[number], s));
        if (i == MANY / 2)
            CHECK("half of them", in_order(&t, ranks_of(&t), texts));
    }
    CHECK("all", in_order(&t, ranks_of(&t), texts));
    sort_texts_copy(&copy, &t);
    texts[sort_texts_add(&copy, SLICE("b"))] = SLICE("b");
    CHECK("a copy has its own", in_order(&copy, ranks_of(&copy), texts) && copy.count == t.count + 1);
    sort_texts_finish(&copy);
    sort_texts_finish(&t);
}

int main(void)
{
    test_items();
    test_ranks();
    return check_done();
}
