/*
 * fuzz/imap_search.c - what SEARCH looks for.
 *
 * A tree that was read is whole: every key has the children and ranges its kind
 * needs, ranges ascend and stay apart, numbers exist, and nothing nests deeper
 * than allowed.
 */
#include "fuzz.h"
#include "imap/search_args.h"

enum { MESSAGES = 100 };

static struct uid_range recent[] = {{150, 160}, {170, 200}};
static const struct imap_limits limits = {.sets = 50, .nesting = 8};
static struct uid_range saved[] = {{7, 9}, {20, 20}};

/* Filters that name others, themselves, and what is no search. */
static bool find_filter(struct imap_session *s, struct arena *a, struct slice name, struct slice *keys)
{
    (void)s;
    (void)a;
    *keys = name.len == 1 ? SLICE("SEEN 1:5") : name.len == 2 ? SLICE("FILTER a NOT FILTER b") :
            name.len == 3 ? SLICE("FILTER abc") : SLICE("OR SEEN");
    return name.len < 5;
}

static const struct search_scope scope = {
    .messages = MESSAGES, .last_uid = 200, .recent = recent, .recent_count = 2, .now = 1700000000,
    .saved = {.ranges = saved, .count = 2}, .filter = find_filter};

static size_t count_children(const struct search *key)
{
    size_t n = 0;

    for (const struct search *c = key->children; c != NULL; c = c->next)
        n++;
    return n;
}

static void check_ranges(const struct search *key)
{
    for (size_t i = 0; i < key->range_count; i++) {
        FUZZ_CHECK(key->ranges[i].first <= key->ranges[i].last);
        FUZZ_CHECK(i == 0 || key->ranges[i - 1].last < key->ranges[i].first);
        FUZZ_CHECK(key->op != SEARCH_POSITIONS ||
                   (key->ranges[i].first >= 1 && key->ranges[i].last <= MESSAGES));
    }
}

static void check_key(const struct search *key, unsigned depth)
{
    size_t children = count_children(key);

    FUZZ_CHECK(depth <= 2 * limits.nesting + 2);
    FUZZ_CHECK(key->op != SEARCH_NOT || children == 1);
    FUZZ_CHECK(key->op != SEARCH_OR || children == 2);
    FUZZ_CHECK(key->op != SEARCH_AND || children >= 1);
    FUZZ_CHECK((key->op == SEARCH_NOT || key->op == SEARCH_OR || key->op == SEARCH_AND) == (children > 0));
    FUZZ_CHECK(key->op != SEARCH_FLAGS || key->flags != 0);
    FUZZ_CHECK((key->op == SEARCH_POSITIONS || key->op == SEARCH_UIDS) == (key->range_count > 0));
    check_ranges(key);
    for (const struct search *c = key->children; c != NULL; c = c->next)
        check_key(c, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct imap_reader r;

    arena_init(&a, 64 << 20);
    imap_reader_init(&r, slice_make(data, size), &a, &limits);
    struct search_args args = search_args_read(&r, &scope);
    FUZZ_CHECK(r.at <= size);
    FUZZ_CHECK(r.failed || args.tree != NULL);
    if (!r.failed)
        check_key(args.tree, 0);
    arena_finish(&a);
    return 0;
}
