/*
 * tests/unit/store/test_thread.c - who is whose parent: against a slow and simple model, and hostile.
 */
#include "store/thread_link.h"

#include "base/fail.h"
#include "tests/unit/check.h"

enum { MESSAGES = 12, IDS = 14, REFERENCES = 6 };

struct sample {
    uint64_t own[MESSAGES];
    uint64_t ids[MESSAGES][REFERENCES];
    size_t count[MESSAGES];
};

/* ---- the model: RFC 5256 section 3 step 1 as it stands there, walking up ---- */

struct model {
    int parent[MESSAGES + IDS + 1]; /* nodes: messages, then one for each id */
    int node_of[IDS + 1];
};

static bool descends(const struct model *m, int x, int from)
{
    for (; x >= 0; x = m->parent[x])
        if (x == from)
            return true;
    return false;
}

static void model_link(struct model *m, int parent, int child)
{
    if (!descends(m, parent, child))
        m->parent[child] = parent;
}

static void model_run(struct model *m, const struct sample *s)
{
    for (int i = 0; i < MESSAGES + IDS + 1; i++)
        m->parent[i] = LINK_NONE;
    for (int id = 0; id <= IDS; id++)
        m->node_of[id] = MESSAGES + id;
    for (int i = MESSAGES; i-- > 0;)
        if (s->own[i] != 0)
            m->node_of[s->own[i]] = i;
    for (int i = 0; i < MESSAGES; i++) {
        int last = LINK_NONE;
        for (size_t k = 0; k < s->count[i]; k++) {
            int node = m->node_of[s->ids[i][k]];
            if (last != LINK_NONE && m->parent[node] == LINK_NONE)
                model_link(m, last, node);
            last = node;
        }
        if (last == LINK_NONE || m->parent[i] != last) {
            m->parent[i] = LINK_NONE;
            if (last != LINK_NONE)
                model_link(m, last, i);
        }
    }
}

/* The nearest message above. */
static int message_above(const int *parent, int x)
{
    for (x = parent[x]; x >= MESSAGES; x = parent[x])
        ;
    return x;
}

static int top_of(const int *parent, int x)
{
    while (parent[x] != LINK_NONE)
        x = parent[x];
    return x;
}

/* ---- against it ---- */

static uint64_t state;

static unsigned draw(unsigned n)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

static void draw_sample(struct sample *s)
{
    for (int i = 0; i < MESSAGES; i++) {
        s->own[i] = draw(4) == 0 ? 0 : 1 + draw(IDS);
        s->count[i] = draw(REFERENCES + 1);
        for (size_t k = 0; k < s->count[i]; k++)
            s->ids[i][k] = 1 + draw(IDS);
    }
}

static void link_sample(struct thread_links *l, const struct sample *s)
{
    thread_links_init(l, MESSAGES);
    for (uint32_t i = 0; i < MESSAGES; i++)
        thread_links_own(l, i, s->own[i]);
    for (uint32_t i = 0; i < MESSAGES; i++)
        thread_links_references(l, i, s->ids[i], s->count[i]);
}

static bool same_as_model(const struct sample *s, const struct thread_links *l, const struct model *m, const bool *gone)
{
    (void)s;
    for (int i = 0; i < MESSAGES; i++) {
        int above = l->parent[i], top = top_of(m->parent, i);
        unsigned siblings = 0; /* messages right below the same dummy root */
        for (int k = 0; k < MESSAGES; k++)
            siblings += message_above(m->parent, k) == LINK_NONE && top_of(m->parent, k) == top;
        if (message_above(m->parent, i) != LINK_NONE) {
            if (above != message_above(m->parent, i))
                return false;
        } else if (top < MESSAGES || siblings < 2) {
            if (above != LINK_NONE)
                return false;
        } else if (above < MESSAGES || gone[above]) {
            return false;
        }
    }
    return true;
}

static void test_model(void)
{
    state = 42;
    for (unsigned round = 0; round < 20000; round++) {
        struct sample s;
        struct model m;
        struct thread_links l;

        draw_sample(&s);
        model_run(&m, &s);
        link_sample(&l, &s);
        bool *gone = xcalloc(l.count + 1, sizeof *gone);
        thread_links_prune(&l, gone);
        if (!same_as_model(&s, &l, &m, gone)) {
            CHECK("as the model has it", false);
            fprintf(stderr, "round %u of seed 42\n", round);
            round = 20000;
        }
        free(gone);
        thread_links_finish(&l);
    }
    CHECK("20,000 rounds", true);
}

/* ---- hostile ---- */

/*
 * A chain of ancestors as deep as it gets, and messages that already have children moved below
 * its end one after the other: with walking up every move would cost the whole depth.
 */
static void test_deep(void)
{
    enum { DEEP = 50000 };
    struct thread_links l;
    bool *gone;

    thread_links_init(&l, 3 * DEEP);
    for (uint32_t i = 0; i < 3 * DEEP; i++)
        thread_links_own(&l, i, i + 1);
    for (uint32_t i = 1; i < DEEP; i++)
        thread_links_references(&l, i, (uint64_t[]){i}, 1);
    for (uint32_t i = 0; i < DEEP; i++) {
        uint32_t child = DEEP + 2 * i, moved = child + 1;
        thread_links_references(&l, child, (uint64_t[]){1, moved + 1}, 2); /* `moved` gets a parent and a child */
        thread_links_references(&l, moved, (uint64_t[]){DEEP}, 1);
    }
    for (uint32_t i = 0; i < DEEP; i++)
        thread_links_references(&l, 0, (uint64_t[]){DEEP}, 1); /* would be a loop */
    gone = xcalloc(l.count + 1, sizeof *gone);
    thread_links_prune(&l, gone);
    CHECK("no loop", l.parent[0] == LINK_NONE);
    CHECK("the chain", l.parent[DEEP - 1] == DEEP - 2);
    CHECK("below its end", l.parent[DEEP + 1] == DEEP - 1 && l.parent[DEEP] == DEEP + 1);
    free(gone);
    thread_links_finish(&l);
}

static void test_self(void)
{
    struct thread_links l;
    bool gone[8] = {false};

    thread_links_init(&l, 2);
    thread_links_own(&l, 0, 7);
    thread_links_own(&l, 1, 8);
    thread_links_references(&l, 0, (uint64_t[]){7, 7, 7}, 3);
    thread_links_references(&l, 1, (uint64_t[]){8, 7, 8, 7}, 4);
    thread_links_prune(&l, gone);
    CHECK("itself", l.parent[0] == 1 && l.parent[1] == LINK_NONE);
    thread_links_finish(&l);
}

int main(void)
{
    test_model();
    test_deep();
    test_self();
    return check_done();
}
