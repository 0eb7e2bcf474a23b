/*
 * fuzz/thread.c - messages linked by whatever ids and references they bring.
 *
 * No node is its own ancestor, every parent is a message or a dummy that stays, a dummy that
 * stays has two children at least; linking the same again gives the same.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "store/thread_link.h"

enum { MESSAGES_MAX = 64, REFERENCES_MAX_HERE = 16 };

/* Each message: a byte for its id, one for how many references, and these. */
static uint32_t link_all(struct thread_links *l, const uint8_t *data, size_t size)
{
    uint32_t messages = 0;
    size_t at;

    for (at = 0; at + 1 < size && messages < MESSAGES_MAX; messages++)
        at += 2 + data[at + 1] % REFERENCES_MAX_HERE;
    thread_links_init(l, messages);
    at = 0;
    for (uint32_t i = 0; i < messages; i++) {
        thread_links_own(l, i, data[at]);
        at += 2 + data[at + 1] % REFERENCES_MAX_HERE;
    }
    at = 0;
    for (uint32_t i = 0; i < messages; i++) {
        uint64_t ids[REFERENCES_MAX_HERE];
        size_t count = data[at + 1] % REFERENCES_MAX_HERE, n = 0;
        for (size_t k = 0; k < count && at + 2 + k < size; k++)
            if (data[at + 2 + k] != 0)
                ids[n++] = data[at + 2 + k];
        thread_links_references(l, i, ids, n);
        at += 2 + count;
    }
    return messages;
}

static void check_tree(const struct thread_links *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        uint32_t steps = 0;
        for (int32_t x = (int32_t)i; x != LINK_NONE; x = l->parent[x])
            FUZZ_CHECK(steps++ <= l->count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct thread_links l, again;
    uint32_t messages = link_all(&l, data, size);

    check_tree(&l);
    bool *gone = calloc(l.count + 1, sizeof *gone);
    unsigned *children = calloc(l.count + 1, sizeof *children);
    thread_links_prune(&l, gone);
    check_tree(&l);
    for (uint32_t i = 0; i < messages; i++) {
        FUZZ_CHECK(!gone[i]);
        if (l.parent[i] == LINK_NONE)
            continue;
        FUZZ_CHECK(!gone[l.parent[i]]);
        children[l.parent[i]]++;
    }
    for (uint32_t i = messages; i < l.count; i++)
        FUZZ_CHECK(gone[i] ? children[i] == 0 : children[i] >= 2 && l.parent[i] == LINK_NONE);
    (void)link_all(&again, data, size);
    bool *gone_again = calloc(again.count + 1, sizeof *gone_again);
    thread_links_prune(&again, gone_again);
    FUZZ_CHECK(again.count == l.count && memcmp(again.parent, l.parent, l.count * sizeof *l.parent) == 0);
    free(gone);
    free(gone_again);
    free(children);
    thread_links_finish(&l);
    thread_links_finish(&again);
    return 0;
}
