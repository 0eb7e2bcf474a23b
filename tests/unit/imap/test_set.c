/*
 * tests/unit/imap/test_set.c - which messages of a view a sequence set names.
 */
#include "imap/set.h"

#include "store/view_internal.h"
#include "tests/unit/check.h"

static const struct imap_limits limits = {.sets = 100, .nesting = 10};

/* UIDs 10, 20, ... */
static struct view *view_of(uint32_t count)
{
    struct view *v = view_create(1, 2);

    for (uint32_t i = 1; i <= count; i++)
        view_add(&v, (struct view_packed){.uid = i * 10});
    return v;
}

static struct imap_set set_of(struct arena *a, const char *text)
{
    struct imap_reader r;

    imap_reader_init(&r, slice_of(text), a, &limits);
    return imap_read_set(&r);
}

/* Positions as "first-end ...". */
static void write_spans(struct buf *b, const struct imap_spans *s)
{
    buf_reset(b);
    for (size_t i = 0; i < s->count; i++)
        buf_addf(b, "%s%u-%u", i > 0 ? " " : "", s->items[i].first, s->items[i].end);
}

static void check_numbers(struct arena *a, struct buf *b)
{
    static const struct {
        const char *note;
        uint32_t messages;
        const char *set, *spans; /* NULL: refused */
    } cases[] = {
        {"one", 5, "3", "2-3"},
        {"the first", 5, "1", "0-1"},
        {"all", 5, "1:*", "0-5"},
        {"last", 5, "*", "4-5"},
        {"out of order, touching", 5, "4,1:3", "0-4"},
        {"apart", 5, "1,3,5", "0-1 2-3 4-5"},
        {"the last and one more", 5, "5:6", NULL},
        {"one more", 5, "6", NULL},
        {"star in an empty mailbox", 0, "*", NULL},
        {"all of an empty mailbox", 0, "1:*", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct view *v = view_of(cases[i].messages);
        struct imap_spans spans;
        bool ok = imap_spans_of_numbers(a, v, set_of(a, cases[i].set), &spans);
        CHECK(cases[i].note, ok == (cases[i].spans != NULL));
        if (ok) {
            write_spans(b, &spans);
            CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].spans));
        }
        view_release(&v);
    }
}

static void check_uids(struct arena *a, struct buf *b)
{
    static const struct {
        const char *note;
        uint32_t messages;
        const char *set, *spans, *uids;
    } cases[] = {
        {"one", 5, "30", "2-3", "30-30"},
        {"none", 5, "35", "", ""},
        {"around one", 5, "25:35", "2-3", "30-30"},
        {"all", 5, "1:*", "0-5", "10-50"},
        {"from above the last: the last", 5, "60:*", "4-5", "50-50"},
        {"below the first", 5, "1:9", "", ""},
        {"two that touch in the view", 5, "10:20,25:30", "0-3", "10-30"},
        {"two apart", 5, "10,30:40", "0-1 2-4", "10-10 30-40"},
        {"an empty mailbox", 0, "1:*", "", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct view *v = view_of(cases[i].messages);
        struct imap_spans spans = imap_spans_of_uids(a, v, set_of(a, cases[i].set));
        write_spans(b, &spans);
        CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].spans));
        struct imap_set uids = imap_spans_uids(a, v, &spans);
        buf_reset(b);
        for (size_t k = 0; k < uids.count; k++)
            buf_addf(b, "%s%u-%u", k > 0 ? " " : "", uids.ranges[k].first, uids.ranges[k].last);
        CHECK_SLICE(cases[i].note, buf_slice(b), slice_of(cases[i].uids));
        view_release(&v);
    }
}

int main(void)
{
    struct arena a;
    struct buf b;

    arena_init(&a, 1 << 20);
    buf_init(&b, 1 << 16);
    check_numbers(&a, &b);
    check_uids(&a, &b);
    buf_finish(&b);
    arena_finish(&a);
    return check_done();
}
