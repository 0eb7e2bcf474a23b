/*
 * tests/unit/imap/test_thread_write.c - the THREAD response.
 */
#include "imap/thread_write.h"

#include "base/fail.h"
#include "tests/unit/check.h"

enum { NONE = THREAD_NONE, DUMMY = 0 };

/* A forest of `parents` (in the order of siblings); number 0: a dummy. */
static struct thread_node *forest(const int32_t *parents, const uint32_t *numbers, int32_t count, int32_t *first_root)
{
    struct thread_node *n = xcalloc((size_t)count, sizeof *n);
    int32_t *last = xcalloc((size_t)count + 1, sizeof *last);

    *first_root = NONE;
    for (int32_t i = 0; i <= count; i++)
        last[i] = NONE;
    for (int32_t i = 0; i < count; i++)
        n[i] = (struct thread_node){parents[i], NONE, NONE, numbers[i] - 1, numbers[i] == 0};
    for (int32_t i = 0; i < count; i++) {
        int32_t *at = &last[parents[i] == NONE ? count : parents[i]];
        *(*at != NONE ? &n[*at].next : parents[i] == NONE ? first_root : &n[parents[i]].first_child) = i;
        *at = i;
    }
    free(last);
    return n;
}

static void check_written(const char *note, const int32_t *parents, const uint32_t *numbers, int32_t count, const char *want)
{
    for (size_t most = 1; most < 10; most += 8) { /* in steps of any size */
        struct thread_writer w = {.uid = false};
        struct buf out;
        struct thread_node *nodes = forest(parents, numbers, count, &w.forest.first_root);

        w.forest.nodes = nodes;
        buf_init(&out, 1 << 20);
        while (!thread_write_some(&w, &out, most))
            ;
        CHECK_SLICE(note, buf_slice(&out), slice_of(want));
        buf_finish(&out);
        free(nodes);
    }
}

static void test_shapes(void)
{
    check_written("nothing", NULL, NULL, 0, "");
    check_written("RFC 5256 section 4", (int32_t[]){NONE, NONE, 1, 2, 3, 2, 5, 6},
                  (uint32_t[]){2, 3, 6, 4, 23, 44, 7, 96}, 8, " (2)(3 6 (4 23)(44 7 96))");
    check_written("siblings of what is not there", (int32_t[]){NONE, 0, 0}, (uint32_t[]){DUMMY, 3, 5}, 3, " ((3)(5))");
    check_written("a dummy's child that splits", (int32_t[]){NONE, 0, 1, 1, 0, 4, NONE},
                  (uint32_t[]){DUMMY, 1, 2, 3, 4, 5, 6}, 7, " ((1 (2)(3))(4 5))(6)");
}

/* Every message answers the one before and has a sibling: parentheses in parentheses, up to a limit. */
static void test_depth(void)
{
    enum { DEEP = 20000 };
    int32_t *parents = xcalloc(2 * DEEP, sizeof *parents);
    uint32_t *numbers = xcalloc(2 * DEEP, sizeof *numbers);
    struct thread_writer w = {.uid = false};
    unsigned depth = 0, deepest = 0, found = 0;
    struct buf out;

    for (int32_t i = 0; i < 2 * DEEP; i++) {
        parents[i] = i < 2 ? (i == 0 ? NONE : 0) : (i / 2 - 1) * 2;
        numbers[i] = (uint32_t)i + 1;
    }
    struct thread_node *nodes = forest(parents, numbers, 2 * DEEP, &w.forest.first_root);
    w.forest.nodes = nodes;
    buf_init(&out, 1 << 22);
    while (!thread_write_some(&w, &out, 100))
        ;
    for (size_t i = 0; i < out.len; i++) {
        depth += out.data[i] == '(';
        depth -= out.data[i] == ')';
        deepest = depth > deepest ? depth : deepest;
        found += i > 0 && ascii_is_digit(out.data[i]) && !ascii_is_digit(out.data[i - 1]);
    }
    CHECK("balanced", depth == 0 && !out.failed);
    CHECK("limited", deepest == THREAD_SPLITS_MAX + 1);
    CHECK("all are there", found == 2 * DEEP);
    buf_finish(&out);
    free(nodes);
    free(parents);
    free(numbers);
}

int main(void)
{
    test_shapes();
    test_depth();
    return check_done();
}
