/*
 * store/search.c - a search from beginning to end, with pauses.
 *
 * Layer: store.  See store/search.h; the rounds are described in
 * store/search_internal.h.  The first round goes over the whole view at once (a
 * few nanoseconds a message); the other two go together over those that are left,
 * and stop when the time is up.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "store/search_internal.h"

enum {
    RANGES_MAX = 512,     /* handed to one message_fetch */
    INDEX_FROM = 64,      /* messages to be looked at: with fewer the index is not worth asking */
    INDEX_ASKS = 16,      /* for so many keys of a search */
    LOOKS_PER_TIME = 32,  /* rows between two looks at the clock, unless bytes were read */
    ENTRIES_PER_TIME = 16 * 1024 /* of the view, likewise */
};

struct positions {
    uint32_t *list;
    uint8_t *scores; /* of each; NULL: no key is fuzzy */
    size_t count, cap;
};

/* A message that the view alone did not decide. */
struct candidate {
    uint32_t position, uid;
};

struct search_run {
    struct account *account;
    uint64_t mailbox_id;
    struct view *view;
    struct search_key *key;
    struct search_text *text;
    unsigned wants; /* FETCH_ bits */
    bool envelopes; /* a round between, in which only the envelope is there */
    struct view_cursor viewing; /* the first round, */
    const uint32_t *only;       /* or these positions in its stead */
    size_t only_count, only_at;
    bool asked; /* the index */
    bool viewed;
    struct positions found;
    size_t found_by_view;   /* the first of them */
    struct candidate *left; /* by position */
    size_t left_count, left_cap, next;
    size_t kept; /* of those before `next`, for the round after that of envelopes */

    /* One call of search_continue. */
    int64_t until_ms;
    unsigned looks;
    bool stopped; /* the time is up */
    bool failed;
    struct fail why;
};

struct search_run *search_start(struct account *a, uint64_t mailbox_id, struct view *v, struct search *tree,
                                struct arena *arena)
{
    struct search_run *r = xcalloc(1, sizeof *r);

    r->account = a;
    r->mailbox_id = mailbox_id;
    r->view = v;
    r->key = search_key_make(tree, arena);
    view_cursor_init(&r->viewing, v, 0);
    if (r->key != NULL) {
        r->wants = search_key_wants(r->key);
        r->envelopes = search_key_wants_envelope(r->key);
        r->text = search_text_create(account_store(a));
    }
    return r;
}

void search_end(struct search_run **rp)
{
    struct search_run *r = *rp;

    if (r == NULL)
        return;
    search_key_finish(r->key);
    search_text_destroy(&r->text);
    free(r->found.list);
    free(r->found.scores);
    free(r->left);
    free(r);
    *rp = NULL;
}

static void add_found(struct search_run *r, uint32_t position, uint32_t uid)
{
    if (r->found.count == r->found.cap) {
        r->found.cap = r->found.cap > 0 ? r->found.cap * 2 : 64;
        r->found.list = xrealloc(r->found.list, r->found.cap * sizeof *r->found.list);
        if (r->key->has_fuzzy)
            r->found.scores = xrealloc(r->found.scores, r->found.cap);
    }
    if (r->key->has_fuzzy) {
        unsigned score = search_key_score(r->key, uid);
        r->found.scores[r->found.count] = (uint8_t)(score > 0 ? score : 100); /* matches by another key, exactly */
    }
    r->found.list[r->found.count++] = position;
}

static void add_left(struct search_run *r, uint32_t position, uint32_t uid)
{
    if (r->left_count == r->left_cap) {
        r->left_cap = r->left_cap > 0 ? r->left_cap * 2 : 64;
        r->left = xrealloc(r->left, r->left_cap * sizeof *r->left);
    }
    r->left[r->left_count++] = (struct candidate){.position = position, .uid = uid};
}

/* ---- the first round ---- */

void search_only(struct search_run *r, const uint32_t *positions, size_t count)
{
    static const uint32_t none;

    r->only = count > 0 ? positions : &none;
    r->only_count = count;
}

/* The next entry that is to be looked at. */
static bool next_entry(struct search_run *r, struct search_subject *m)
{
    if (r->only == NULL) {
        m->position = r->viewing.position;
        return view_next(&r->viewing, &m->entry);
    }
    if (r->only_at == r->only_count)
        return false;
    m->position = r->only[r->only_at++];
    m->entry = view_at(r->view, m->position);
    return true;
}

static void ask_index(struct search_run *r)
{
    size_t all = r->only == NULL ? view_count(r->view) : r->only_count;
    struct index_asks asks = {.left = INDEX_ASKS, .most = INDEX_FROM + all / 4};

    if (all >= INDEX_FROM)
        search_key_ask_index(r->account, r->mailbox_id, r->key, &asks);
    r->asked = true;
}

static void look_at_view(struct search_run *r)
{
    struct search_subject m = {.text = r->text};
    uint32_t looks = 0;

    if (!r->asked)
        ask_index(r);
    while (next_entry(r, &m)) {
        switch (search_ask(r->account, r->key, &m)) {
        case ANSWER_YES: add_found(r, m.position, m.entry.uid); break;
        case ANSWER_LATER: add_left(r, m.position, m.entry.uid); break;
        case ANSWER_NO: break;
        }
        if (++looks % ENTRIES_PER_TIME == 0 && clock_mono_ms() >= r->until_ms) {
            r->stopped = true;
            return;
        }
    }
    r->viewed = true;
    r->found_by_view = r->found.count;
}

/* ---- the other two ---- */

static bool time_is_up(struct search_run *r, bool read_bytes)
{
    r->looks++;
    r->stopped = (read_bytes || r->looks % LOOKS_PER_TIME == 0) && clock_mono_ms() >= r->until_ms;
    return r->stopped;
}

/* For message_fetch: one row. */
static bool look_at_row(void *ctx, const struct message_info *info)
{
    struct search_run *r = ctx;

    /* Rows may have gone since the view was made, or stand between those that are asked for. */
    while (r->next < r->left_count && r->left[r->next].uid < info->uid)
        r->next++;
    if (r->next == r->left_count || r->left[r->next].uid != info->uid)
        return true;

    struct search_subject m = {
        .position = r->left[r->next].position, .info = info, .text = r->text, .until_ms = r->until_ms};
    m.entry = view_at(r->view, m.position);
    search_text_begin(r->text, info);
    enum search_answer answer = search_ask(r->account, r->key, &m);
    if (answer == ANSWER_LATER && r->envelopes) {
        r->left[r->kept++] = r->left[r->next++];
        return !time_is_up(r, false);
    }
    if (answer == ANSWER_LATER) {
        m.bytes = true;
        answer = search_ask(r->account, r->key, &m);
    }
    if (m.failed) {
        r->failed = true;
        r->why = m.why;
        return false;
    }
    if (answer == ANSWER_LATER) { /* paused: its other keys are for the next time */
        r->stopped = true;
        return false;
    }
    if (answer == ANSWER_YES)
        add_found(r, m.position, m.entry.uid);
    r->next++;
    return !time_is_up(r, m.bytes);
}

/* Some of those that are left, as ranges of UIDs; those that stand side by side in the view are one. */
static size_t next_ranges(const struct search_run *r, struct uid_range ranges[RANGES_MAX], size_t *end)
{
    size_t count = 0, i = r->next;

    for (; i < r->left_count; i++) {
        const struct candidate *c = &r->left[i];
        if (count > 0 && c->position == c[-1].position + 1) {
            ranges[count - 1].last = c->uid;
            continue;
        }
        if (count == RANGES_MAX)
            break;
        ranges[count++] = (struct uid_range){c->uid, c->uid};
    }
    *end = i;
    return count;
}

/* Those that the view decided stand before those that it did not, each in order. */
static void merge_found(struct search_run *r)
{
    struct positions *p = &r->found, all = {.count = 0};
    size_t a = 0, b = r->found_by_view;

    if (a == b || b == p->count || p->list[b - 1] < p->list[b])
        return;
    all.list = xcalloc(p->count, sizeof *all.list);
    if (p->scores != NULL)
        all.scores = xcalloc(p->count, 1);
    while (all.count < p->count) {
        size_t from = b == p->count || (a < r->found_by_view && p->list[a] < p->list[b]) ? a++ : b++;
        if (p->scores != NULL)
            all.scores[all.count] = p->scores[from];
        all.list[all.count++] = p->list[from];
    }
    free(p->list);
    free(p->scores);
    p->list = all.list;
    p->scores = all.scores;
    p->cap = p->count;
}

/* What the envelopes did not decide is looked at whole. */
static void end_envelopes(struct search_run *r)
{
    merge_found(r);
    r->found_by_view = r->found.count;
    r->left_count = r->kept;
    r->next = 0;
    r->envelopes = false;
}

static bool look_at_rows(struct search_run *r, struct fail *why)
{
    struct uid_range ranges[RANGES_MAX];
    size_t end;

    while (r->next < r->left_count && !r->stopped) {
        size_t count = next_ranges(r, ranges, &end);
        bool ok = message_fetch(r->account, r->mailbox_id, ranges, count, r->envelopes ? FETCH_ENVELOPE | FETCH_BARE : r->wants,
                                look_at_row, r, why);
        if (r->failed)
            *why = r->why;
        if (!ok || r->failed)
            return false;
        if (!r->stopped)
            r->next = end; /* the last ones may have no rows any more */
        if (r->envelopes && r->next == r->left_count)
            end_envelopes(r);
    }
    return true;
}

void search_progress(const struct search_run *r, uint32_t *done, uint32_t *total)
{
    *total = view_count(r->view);
    /* What the view decided costs next to nothing; what is left, all there is. */
    *done = !r->viewed ? 0 : r->left_count == 0 ? *total : (uint32_t)((uint64_t)*total * r->next / r->left_count);
}

const uint8_t *search_scores(const struct search_run *r)
{
    return r->key != NULL && r->key->has_fuzzy ? r->found.scores : NULL;
}

int search_continue(struct search_run *r, unsigned budget_ms, const uint32_t **out, size_t *count,
                    struct fail *why)
{
    r->until_ms = clock_mono_ms() + budget_ms;
    r->stopped = r->failed = false;
    if (r->key == NULL) {
        (void)fail_set(why, FAIL_PERM, FAIL_LIMIT, "the search is too large");
        return -1;
    }
    if (!r->viewed)
        look_at_view(r);
    if (!r->viewed)
        return 0;
    if (r->next < r->left_count && !look_at_rows(r, why))
        return -1;
    if (r->next < r->left_count)
        return 0;
    merge_found(r);
    *out = r->found.list;
    *count = r->found.count;
    return 1;
}
