/*
 * tests/unit/imap/test_esearch.c - windows of results, and what SEARCH and SORT answer.
 */
#include "imap/esearch.h"

#include "store/view_internal.h"
#include "tests/unit/check.h"

static const struct imap_limits limits = {.sets = 100, .nesting = 6};

static const struct {
    const char *note;
    struct imap_window window;
    uint64_t count;
    size_t first, end;
} windows[] = {
    {"from the start", {1, 3, false}, 10, 0, 3},
    {"the other way round", {3, 1, false}, 10, 0, 3},
    {"over the end", {8, 20, false}, 10, 7, 10},
    {"beyond it", {11, 20, false}, 10, 0, 0},
    {"the last", {1, 1, true}, 10, 9, 10},
    {"the last three", {1, 3, true}, 10, 7, 10},
    {"some before", {2, 4, true}, 10, 6, 9},
    {"over the start", {8, 20, true}, 10, 0, 3},
    {"before it", {11, 20, true}, 10, 0, 0},
    {"of nothing", {1, 100, false}, 0, 0, 0},
    {"the largest", {1, UINT32_MAX, true}, 10, 0, 10},
};

static void test_windows(void)
{
    for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
        size_t first, end;
        imap_window_of(windows[i].window, windows[i].count, &first, &end);
        CHECK(windows[i].note, first == windows[i].first && end == windows[i].end);
    }
}

static void test_span_windows(void)
{
    static struct imap_span items[] = {{0, 3}, {5, 6}, {8, 12}};
    const struct imap_spans spans = {items, 3};
    struct arena a;

    arena_init(&a, 1 << 20);
    struct imap_spans w = imap_spans_window(&a, &spans, (struct imap_window){2, 5, false});
    CHECK("across spans", w.count == 3 && w.items[0].first == 1 && w.items[0].end == 3 &&
                              w.items[1].first == 5 && w.items[2].first == 8 && w.items[2].end == 9);
    w = imap_spans_window(&a, &spans, (struct imap_window){1, 2, true});
    CHECK("at the end", w.count == 1 && w.items[0].first == 10 && w.items[0].end == 12);
    w = imap_spans_window(&a, &spans, (struct imap_window){9, 20, false});
    CHECK("outside", w.count == 0);
    arena_finish(&a);
}

/* UIDs are ten times the numbers, modseqs a hundred times, but that of the third is 9000. */
static struct view *make_view(uint32_t count)
{
    struct view *v = view_create(1, 1);

    for (uint32_t i = 1; i <= count; i++)
        view_add(&v, (struct view_packed){.uid = i * 10, .modseq = i == 3 ? 9000 : i * 100});
    return v;
}

static const uint32_t in_order[] = {0, 1, 2, 5, 6, 9}, sorted[] = {5, 6, 2, 1, 0, 9};
static const uint8_t scores[] = {100, 20, 3, 40, 50, 60};

static const struct {
    const char *note, *options; /* as after RETURN */
    const uint32_t *found;
    size_t count;
    bool uid, modseq;
    const char *answer, *saved; /* answer NULL: none at all */
} cases[] = {
    {"nothing named", "()", in_order, 6, false, false, " ALL 1:3,6:7,10", "1:3,6:7,10"},
    {"UIDs", "(ALL)", in_order, 6, true, false, " UID ALL 10,20,30,60,70,100", NULL},
    {"of nothing", "(MIN MAX ALL COUNT)", in_order, 0, false, false, " COUNT 0", ""},
    {"ends", "(MAX MIN)", in_order, 6, false, false, " MIN 1 MAX 10", "1,10"},
    {"ends and all", "(MAX MIN ALL COUNT)", in_order, 6, false, false, " MIN 1 MAX 10 ALL 1:3,6:7,10 COUNT 6",
     "1:3,6:7,10"},
    {"the first only", "(MIN SAVE)", in_order, 6, false, false, " MIN 1", "1"},
    {"the last only", "(MAX SAVE)", in_order, 6, false, false, " MAX 10", "10"},
    {"a count saves all", "(SAVE COUNT MIN)", in_order, 6, false, false, " MIN 1 COUNT 6", "1:3,6:7,10"},
    {"saved and not told", "(SAVE)", in_order, 6, false, false, NULL, "1:3,6:7,10"},
    {"a window", "(PARTIAL 2:3)", in_order, 6, false, false, " PARTIAL (2:3 2:3)", "2:3"},
    {"as it was written", "(PARTIAL 3:2)", in_order, 6, false, false, " PARTIAL (3:2 2:3)", NULL},
    {"from the end", "(PARTIAL -1:-2)", in_order, 6, true, false, " UID PARTIAL (-1:-2 70,100)", "7,10"},
    {"outside", "(PARTIAL 7:9 COUNT)", in_order, 6, false, false, " PARTIAL (7:9 NIL) COUNT 6", "1:3,6:7,10"},
    {"a window and an end", "(PARTIAL 2:3 MAX SAVE)", in_order, 6, false, false, " MAX 10 PARTIAL (2:3 2:3)",
     "2:3,10"},
    {"an end inside the window", "(PARTIAL 1:2 MIN)", in_order, 6, false, false, " MIN 1 PARTIAL (1:2 1:2)",
     "1:2"},
    {"modseq of all", "(COUNT)", in_order, 6, false, true, " COUNT 6 MODSEQ 9000", NULL},
    {"modseq of an end", "(MIN)", in_order, 6, false, true, " MIN 1 MODSEQ 100", NULL},
    {"modseq of both ends", "(MIN MAX)", in_order, 6, false, true, " MIN 1 MAX 10 MODSEQ 1000", NULL},
    {"modseq of a window", "(PARTIAL 4:5)", in_order, 6, false, true, " PARTIAL (4:5 6:7) MODSEQ 700", NULL},
    {"modseq of nothing", "(ALL)", in_order, 0, false, true, "", NULL},
    {"sorted", "(ALL MIN MAX)", sorted, 6, false, false, " MIN 6 MAX 10 ALL 6:7,3,2,1,10", "1:3,6:7,10"},
    {"a window of what is sorted", "(PARTIAL 2:4)", sorted, 6, false, false, " PARTIAL (2:4 7,3,2)", "2:3,7"},
    {"scores", "(RELEVANCY ALL)", in_order, 6, false, false, " ALL 1:3,6:7,10 RELEVANCY (100 20 3 40 50 60)",
     NULL},
    {"scores of a window", "(PARTIAL 2:3 RELEVANCY)", in_order, 6, false, false,
     " PARTIAL (2:3 2:3) RELEVANCY (20 3)", NULL},
    {"scores of nothing", "(RELEVANCY ALL)", in_order, 0, false, false, " RELEVANCY ()", NULL},
    {"nothing but an update", "(UPDATE)", in_order, 6, false, false, "", "1:3,6:7,10"},
};

static void check_saved(size_t i, const struct esearch *e, struct arena *a)
{
    struct imap_spans spans;
    struct buf text;

    buf_init(&text, 1000);
    CHECK(cases[i].note, esearch_saves(e, a, &spans));
    struct imap_set_writer w = {.out = &text};
    for (size_t n = 0; n < spans.count; n++)
        for (uint32_t p = spans.items[n].first; p < spans.items[n].end; p++)
            imap_set_writer_add(&w, p + 1, p + 1);
    imap_set_writer_end(&w);
    CHECK_SLICE(cases[i].note, buf_slice(&text), slice_of(cases[i].saved));
    buf_finish(&text);
}

static void check_case(size_t i, struct view *v, size_t most)
{
    struct arena a;
    struct imap_reader r;
    struct buf out, expected;
    struct esearch e = {.tag = SLICE("a1"), .uid = cases[i].uid, .view = v, .found = cases[i].found,
                        .count = cases[i].count, .scores = scores, .modseq = cases[i].modseq};

    arena_init(&a, 1 << 20);
    buf_init(&out, 10000);
    buf_init(&expected, 10000);
    imap_reader_init(&r, slice_of(cases[i].options), &a, &limits);
    esearch_read_options(&r, &e.options);
    CHECK(cases[i].note, !r.failed && imap_at_end(&r));
    while (!esearch_write_some(&e, &out, most))
        ;
    if (cases[i].answer != NULL)
        buf_addf(&expected, "* ESEARCH (TAG \"a1\")%s\r\n", cases[i].answer);
    CHECK_SLICE(cases[i].note, buf_slice(&out), buf_slice(&expected));
    if (cases[i].saved != NULL)
        check_saved(i, &e, &a);
    buf_finish(&out);
    buf_finish(&expected);
    arena_finish(&a);
}

int main(void)
{
    struct view *v = make_view(10);

    test_windows();
    test_span_windows();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check_case(i, v, 1000);
        check_case(i, v, 1); /* however often it is interrupted */
    }
    view_release(&v);
    return check_done();
}
