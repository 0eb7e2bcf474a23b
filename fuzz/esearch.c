/*
 * fuzz/esearch.c - what an ESEARCH response says is what was found.
 *
 * The input chooses options, order and messages; the response, however often it is interrupted, is read back:
 * every item that was asked for is there, ranges ascend, and the numbers are those found, in their order.
 */
#include "fuzz.h"
#include "imap/esearch.h"
#include "store/view_internal.h"

#include <stdlib.h>

enum { MESSAGES = 200, FOUND_MAX = 64 };

struct input {
    const uint8_t *data;
    size_t size, at;
};

static uint8_t take(struct input *in)
{
    return in->at < in->size ? in->data[in->at++] : 0;
}

static struct view *make_view(void)
{
    struct view *v = view_create(1, 1);

    for (uint32_t i = 1; i <= MESSAGES; i++)
        view_add(&v, (struct view_packed){.uid = i + i / 7 * 3, .modseq = i});
    return v;
}

/* sequence-set, expanded. */
static size_t read_set(struct imap_reader *r, uint32_t *out, size_t room)
{
    size_t count = 0;

    do {
        uint32_t first = (uint32_t)imap_read_number(r, 1, UINT32_MAX);
        uint32_t last = imap_accept(r, ':') ? (uint32_t)imap_read_number(r, 1, UINT32_MAX) : first;
        FUZZ_CHECK(!r->failed && first <= last);
        for (uint32_t n = first; n <= last; n++) {
            FUZZ_CHECK(count < room);
            out[count++] = n;
        }
    } while (imap_accept(r, ','));
    return count;
}

static uint32_t number(const struct esearch *e, size_t i)
{
    return e->uid ? view_at(e->view, e->found[i]).uid : e->found[i] + 1;
}

static void check_list(struct imap_reader *r, const struct esearch *e, size_t first, size_t end)
{
    uint32_t told[FOUND_MAX];
    size_t count = read_set(r, told, FOUND_MAX);

    FUZZ_CHECK(count == end - first);
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(told[i] == number(e, first + i));
}

static void check_window(struct imap_reader *r, const struct esearch *e, size_t first, size_t end)
{
    imap_expect_space(r);
    imap_expect(r, '(');
    struct imap_window w = imap_read_window(r);
    FUZZ_CHECK(w.first == e->options.window.first && w.last == e->options.window.last &&
               w.from_end == e->options.window.from_end);
    imap_expect_space(r);
    if (first == end)
        FUZZ_CHECK(imap_accept_word(r, "NIL"));
    else
        check_list(r, e, first, end);
    imap_expect(r, ')');
}

static void check_scores(struct imap_reader *r, const struct esearch *e, size_t first, size_t end)
{
    imap_expect_space(r);
    imap_expect(r, '(');
    for (size_t i = first; i < end; i++) {
        if (i > first)
            imap_expect_space(r);
        FUZZ_CHECK(imap_read_number(r, 1, 100) == e->scores[i]);
    }
    imap_expect(r, ')');
}

static void check_answer(const struct esearch *e, struct slice text, struct arena *a)
{
    static const struct imap_limits limits = {.sets = 1000, .nesting = 5};
    unsigned returns = e->options.returns, told = 0;
    size_t first = 0, end = e->count;
    struct imap_reader r;

    imap_reader_init(&r, slice_sub(text, 0, text.len - 2), a, &limits);
    if (returns & RETURN_PARTIAL)
        imap_window_of(e->options.window, e->count, &first, &end);
    r.at = sizeof "* ESEARCH (TAG \"t\")" - 1;
    if (e->uid)
        r.at += sizeof " UID" - 1;
    while (!imap_at_end(&r)) {
        imap_expect_space(&r);
        if (imap_accept_word(&r, "MIN")) {
            imap_expect_space(&r);
            FUZZ_CHECK(imap_read_number(&r, 1, UINT32_MAX) == number(e, 0));
            told |= RETURN_MIN;
        } else if (imap_accept_word(&r, "MAX")) {
            imap_expect_space(&r);
            FUZZ_CHECK(imap_read_number(&r, 1, UINT32_MAX) == number(e, e->count - 1));
            told |= RETURN_MAX;
        } else if (imap_accept_word(&r, "COUNT")) {
            imap_expect_space(&r);
            FUZZ_CHECK(imap_read_number(&r, 0, UINT32_MAX) == e->count);
            told |= RETURN_COUNT;
        } else if (imap_accept_word(&r, "ALL")) {
            imap_expect_space(&r);
            check_list(&r, e, 0, e->count);
            told |= RETURN_ALL;
        } else if (imap_accept_word(&r, "PARTIAL")) {
            check_window(&r, e, first, end);
            told |= RETURN_PARTIAL;
        } else if (imap_accept_word(&r, "RELEVANCY")) {
            check_scores(&r, e, first, end);
            told |= RETURN_RELEVANCY;
        } else {
            FUZZ_CHECK(imap_accept_word(&r, "MODSEQ"));
            imap_expect_space(&r);
            FUZZ_CHECK(imap_read_number(&r, 1, MESSAGES) == esearch_modseq(e));
        }
        FUZZ_CHECK(!r.failed);
    }
    FUZZ_CHECK((told & ~returns) == 0);
    FUZZ_CHECK((told & (RETURN_COUNT | RETURN_PARTIAL)) == (returns & (RETURN_COUNT | RETURN_PARTIAL)));
    if (e->count > 0)
        FUZZ_CHECK((told & (RETURN_MIN | RETURN_MAX | RETURN_ALL)) ==
                   (returns & (RETURN_MIN | RETURN_MAX | RETURN_ALL)));
}

/* What is saved is what the options say, as spans that ascend and stay apart. */
static void check_saved(const struct esearch *e, struct arena *a)
{
    struct imap_spans spans;

    FUZZ_CHECK(esearch_saves(e, a, &spans));
    FUZZ_CHECK(imap_spans_size(&spans) <= e->count);
    for (size_t i = 0; i < spans.count; i++) {
        FUZZ_CHECK(spans.items[i].first < spans.items[i].end);
        FUZZ_CHECK(i == 0 || spans.items[i - 1].end < spans.items[i].first);
    }
    if (e->options.returns & (RETURN_ALL | RETURN_COUNT))
        FUZZ_CHECK(imap_spans_size(&spans) == e->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.data = data, .size = size};
    struct view *v = make_view();
    uint32_t found[FOUND_MAX];
    uint8_t scores[FOUND_MAX];
    bool taken[MESSAGES] = {false};
    struct esearch e = {.tag = SLICE("t"), .view = v, .found = found};
    struct arena a;
    struct buf out;

    e.options.returns = (unsigned)take(&in) | (unsigned)(take(&in) & 1) << 8;
    if (e.options.returns & RETURN_PARTIAL)
        e.options.returns &= ~(unsigned)RETURN_ALL;
    e.uid = take(&in) & 1;
    e.modseq = take(&in) & 1;
    e.options.window = (struct imap_window){1 + (uint32_t)take(&in), 1 + (uint32_t)take(&in), take(&in) & 1};
    size_t most = 1 + take(&in) % 8;
    while (in.at < in.size && e.count < FOUND_MAX) {
        uint32_t p = take(&in) % MESSAGES;
        if (!taken[p]) {
            scores[e.count] = (uint8_t)(1 + p % 100);
            found[e.count++] = p;
        }
        taken[p] = true;
    }
    e.scores = scores;
    arena_init(&a, 1 << 20);
    buf_init(&out, 1 << 20);
    while (!esearch_write_some(&e, &out, most))
        ;
    FUZZ_CHECK((out.len == 0) == (e.options.returns == RETURN_SAVE));
    if (out.len > 0)
        check_answer(&e, buf_slice(&out), &a);
    check_saved(&e, &a);
    buf_finish(&out);
    arena_finish(&a);
    view_release(&v);
    return 0;
}
