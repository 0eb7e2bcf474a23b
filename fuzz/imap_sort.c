/*
 * fuzz/imap_sort.c - sort criteria and threading algorithms.
 *
 * What was read names each key once; a reader that failed says what it expected.
 */
#include "fuzz.h"
#include "imap/arrange.h"

static const struct imap_limits limits = {.sets = 50, .nesting = 8};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sort_criterion criteria[SORT_RELEVANCY + 1];
    struct imap_reader r;
    struct arena a;
    unsigned seen = 0;

    arena_init(&a, 1 << 20);
    imap_reader_init(&r, slice_make(data, size), &a, &limits);
    size_t count = imap_read_sort_criteria(&r, criteria);
    FUZZ_CHECK(r.failed ? count == 0 || r.expected != NULL : count > 0 && count <= SORT_RELEVANCY + 1);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(!(seen >> criteria[i].key & 1));
        seen |= 1u << criteria[i].key;
    }
    imap_reader_init(&r, slice_make(data, size), &a, &limits);
    (void)imap_read_thread_algorithm(&r);
    FUZZ_CHECK(r.at <= size);
    arena_finish(&a);
    return 0;
}
