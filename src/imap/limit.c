/*
 * imap/limit.c - how many messages one command works on (MESSAGELIMIT).
 *
 * Layer: imap.  RFC 9738.
 */
#include "imap/limit.h"

#include "imap/lasting.h"

static unsigned most(const struct imap_session *s)
{
    return s->service->limits.message_limit;
}

/* Is it one of those that count? */
static bool counts(const struct view *v, uint32_t position, uint32_t only_with)
{
    return only_with == 0 || (view_at(v, position).flags & only_with) != 0;
}

void imap_limit_spans(struct imap_session *s, struct imap_spans *spans, uint32_t only_with)
{
    uint64_t left = most(s);
    uint32_t position = 0;

    if (left == 0 || imap_spans_size(spans) <= left)
        return;
    for (size_t i = spans->count; i-- > 0;) {
        for (position = spans->items[i].end; position > spans->items[i].first && left > 0; position--)
            left -= counts(s->box.view, position - 1, only_with) ? 1 : 0;
        if (left > 0)
            continue;
        bool all = i == 0 && position == spans->items[0].first;
        spans->items[i].first = position;
        spans->items += i;
        spans->count -= i;
        if (!all)
            imap_lasting(s)->limited_uid = view_at(s->box.view, position).uid;
        return;
    }
}

bool imap_limit_allows(struct imap_session *s, uint64_t messages)
{
    const struct imap_limits *l = &s->service->limits;
    unsigned limit = l->message_limit != 0 && (l->save_limit == 0 || l->message_limit < l->save_limit)
                         ? l->message_limit
                         : l->save_limit;

    if (limit == 0 || messages <= limit)
        return true;
    imap_no(s, "[MESSAGELIMIT %u] Expected at most %u messages at once", limit, limit);
    return false;
}

/* Those of both. */
static struct imap_spans common(struct arena *a, const struct imap_spans *x, const struct imap_spans *y)
{
    struct imap_spans out = {.items = arena_new_array(a, struct imap_span, x->count + y->count)};
    size_t i = 0, k = 0;

    while (out.items != NULL && i < x->count && k < y->count) {
        uint32_t first = x->items[i].first > y->items[k].first ? x->items[i].first : y->items[k].first;
        uint32_t end = x->items[i].end < y->items[k].end ? x->items[i].end : y->items[k].end;
        if (first < end)
            out.items[out.count++] = (struct imap_span){first, end};
        if (x->items[i].end < y->items[k].end)
            i++;
        else
            k++;
    }
    return out;
}

/* What every match must be among: the sets at the top of the program (RFC 9738 section 3.1). */
static struct imap_spans candidates(struct imap_session *s, struct search *tree)
{
    struct imap_span *all = arena_new(&s->arena, struct imap_span);
    struct imap_spans found = {.items = all, .count = all != NULL};
    struct search *key = tree->op == SEARCH_AND ? tree->children : tree;

    if (all == NULL)
        return found;
    *all = (struct imap_span){0, view_count(s->box.view)};
    for (; key != NULL; key = tree->op == SEARCH_AND ? key->next : NULL) {
        struct imap_set set = {.ranges = key->ranges, .count = key->range_count};
        struct imap_spans these;
        if (key->op == SEARCH_UIDS)
            these = imap_spans_of_uids(&s->arena, s->box.view, set);
        else if (key->op != SEARCH_POSITIONS || !imap_spans_of_numbers(&s->arena, s->box.view, set, &these))
            continue;
        found = common(&s->arena, &found, &these);
    }
    return found;
}

void imap_limit_search(struct imap_session *s, struct search_run *run, struct search *tree)
{
    struct imap_spans_at at = {0};
    uint32_t *positions, position;
    size_t count = 0;

    if (most(s) == 0 || view_count(s->box.view) <= most(s))
        return;
    struct imap_spans spans = candidates(s, tree);
    imap_limit_spans(s, &spans, 0);
    positions = arena_new_array(&s->arena, uint32_t, (size_t)imap_spans_size(&spans) + 1);
    while (positions != NULL && imap_spans_next(&spans, &at, &position))
        positions[count++] = position;
    if (positions != NULL)
        search_only(run, positions, count);
}

bool imap_limit_allows_search(struct imap_session *s, struct search *tree)
{
    if (most(s) == 0 || view_count(s->box.view) <= most(s))
        return true;
    struct imap_spans spans = candidates(s, tree);
    if (imap_spans_size(&spans) <= most(s))
        return true;
    imap_no(s, "[MESSAGELIMIT %u] Expected at most %u messages to be looked at: a set of UIDs narrows them down", most(s),
            most(s));
    return false;
}

/*
 * resp-text-code =/ "MESSAGELIMIT" SP message-limit [SP uniqueid]: the lowest UID that was worked on.  An
 * answer that has a code already keeps it, and an untagged NO comes before.
 */
void imap_limit_answer(struct imap_session *s)
{
    uint32_t uid = s->lasting != NULL ? s->lasting->limited_uid : 0;

    if (uid == 0 || !slice_starts(s->answer, SLICE("OK ")))
        return;
    if (slice_starts(s->answer, SLICE("OK ["))) {
        conn_printf(s->conn, "* NO [MESSAGELIMIT %u %u] The rest was left alone\r\n", most(s), uid);
        return;
    }
    struct slice with = arena_printf(&s->arena, "OK [MESSAGELIMIT %u %u] " PRIslice ", the rest was left alone", most(s),
                                     uid, SLICE_ARG(slice_from(s->answer, 3)));
    if (with.len > 0)
        s->answer = with;
}
