/*
 * imap/context.c - searches whose results are kept up to date.
 *
 * Layer: imap.  RFC 5267 section 4.3.
 */
#include "imap/context.h"

#include <stdlib.h>

#include "base/fail.h"
#include "imap/lasting.h"

enum {
    PROGRAM_MAX = 4 * 1024 * 1024, /* a search program and its tree */
    SORTED_MAX = 10000,            /* results of one that is sorted: they are sorted anew when one is added */
    BUDGET_MS = 8,
};

struct imap_context {
    struct imap_context *next;
    struct slice tag;
    bool uid;
    struct search *tree;
    struct uid_set results; /* neighbours in the mailbox are one range, as in "$" */

    imap_context_sort *sort; /* NULL: in the order of the mailbox */
    const void *criteria;
    uint32_t *order; /* UIDs, likewise */
    size_t order_count;

    struct arena arena; /* program, tag, criteria; this struct lies apart */
};

struct imap_contexts {
    struct imap_context *first;
    unsigned count;
    struct search_run *run; /* of the context that is being told of */
};

/* What contexts need of the news, in the command's arena. */
struct context_news {
    uint32_t *gone, *gone_uids; /* positions in the view before */
    size_t gone_count;
    bool gone_told;
    uint32_t *candidates; /* positions in the view now: changed or new */
    size_t candidate_count;
    struct imap_context *at; /* to be told of next */
};

/* ---- making ---- */

static void destroy(struct imap_context *c)
{
    uid_set_finish(&c->results);
    free(c->order);
    arena_finish(&c->arena);
    free(c);
}

void imap_context_drop(struct imap_context **c)
{
    if (*c != NULL)
        destroy(*c);
    *c = NULL;
}

void imap_contexts_finish(struct imap_contexts **allp)
{
    struct imap_contexts *all = *allp;
    struct imap_context *next;

    if (all == NULL)
        return;
    search_end(&all->run);
    for (struct imap_context *c = all->first; c != NULL; c = next) {
        next = c->next;
        destroy(c);
    }
    free(all);
    *allp = NULL;
}

static struct imap_contexts *contexts_of(const struct imap_session *s)
{
    return s->lasting != NULL ? s->lasting->contexts : NULL;
}

static struct imap_context **find(struct imap_contexts *all, struct slice tag)
{
    struct imap_context **at = &all->first;

    while (*at != NULL && !slice_eq((*at)->tag, tag))
        at = &(*at)->next;
    return at;
}

/* Numbers become the UIDs that they mean now: they do not follow what happens (section 4.3, last paragraph). */
static bool freeze_numbers(struct search *k, const struct view *v, struct arena *a)
{
    for (struct search *c = k->children; c != NULL; c = c->next)
        if (!freeze_numbers(c, v, a))
            return false;
    if (k->op != SEARCH_POSITIONS)
        return true;
    struct uid_range *uids = arena_new_array(a, struct uid_range, k->range_count);
    if (uids == NULL)
        return false;
    for (size_t i = 0; i < k->range_count; i++)
        uids[i] = (struct uid_range){view_at(v, k->ranges[i].first - 1).uid, view_at(v, k->ranges[i].last - 1).uid};
    k->op = SEARCH_UIDS;
    k->ranges = uids;
    return true;
}

/* The program read once more, into memory that lasts. */
static bool read_program(struct imap_session *s, struct imap_context *c, const struct search_args *args)
{
    struct search_scope scope = search_scope_selected(s);
    struct search_args again = {.charset = args->charset};
    struct imap_reader r;

    scope.last_uid = UINT32_MAX; /* "5:*" includes what is yet to come */
    imap_reader_init(&r, arena_keep(&c->arena, args->keys), &c->arena, &s->service->limits);
    search_keys_read(&r, &scope, &again);
    c->tree = again.tree;
    c->tag = arena_keep(&c->arena, s->tag);
    return !r.failed && !c->arena.failed && freeze_numbers(c->tree, s->box.view, &c->arena);
}

bool imap_context_prepare(struct imap_session *s, const struct search_args *args, struct imap_context **out)
{
    struct imap_contexts *all = contexts_of(s);
    struct imap_context *c;

    *out = NULL;
    if (!(args->options.returns & RETURN_UPDATE))
        return true;
    if (all != NULL && *find(all, s->tag) != NULL) {
        imap_bad(s, "Expected another tag: a search of this one is being updated");
        return false;
    }
    c = xcalloc(1, sizeof *c);
    arena_init(&c->arena, PROGRAM_MAX);
    if (!read_program(s, c, args)) {
        destroy(c); /* too large: begin() says so */
        return true;
    }
    c->uid = s->by_uid;
    *out = c;
    return true;
}

void imap_context_order(struct imap_context *c, imap_context_sort *sort, const void *criteria, size_t size)
{
    if (c == NULL)
        return;
    c->sort = sort;
    c->criteria = arena_keep(&c->arena, slice_make(criteria, size)).ptr;
}

static int by_position(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Keeps what was found; false: it is too much. */
static bool keep_results(struct imap_session *s, struct imap_context *c, const struct esearch *found)
{
    struct imap_spans spans = {0};
    uint32_t *list = arena_new_array(&s->arena, uint32_t, found->count);

    if (list == NULL && found->count > 0)
        return false;
    if (found->count > 0)
        memcpy(list, found->found, found->count * sizeof *list);
    if (c->sort != NULL) {
        if (found->count > SORTED_MAX)
            return false;
        if (found->count > 1)
            qsort(list, found->count, sizeof *list, by_position);
        c->order = xcalloc(found->count + 1, sizeof *c->order);
        c->order_count = found->count;
        for (size_t i = 0; i < found->count; i++)
            c->order[i] = view_at(s->box.view, found->found[i]).uid;
    }
    if (!imap_spans_of_positions(&s->arena, list, found->count, &spans) ||
        spans.count > s->service->limits.saved_ranges)
        return false;
    for (size_t i = 0; i < spans.count; i++)
        uid_set_add_range(&c->results, view_at(s->box.view, spans.items[i].first).uid,
                          view_at(s->box.view, spans.items[i].end - 1).uid);
    return true;
}

static void refuse_update(struct imap_session *s, struct slice tag, const char *text)
{
    struct buf *out = conn_out(s->conn);

    buf_add(out, SLICE("* NO [NOUPDATE "));
    imap_write_string(out, tag);
    buf_addf(out, "] %s\r\n", text);
}

void imap_context_begin(struct imap_session *s, struct imap_context **cp, const struct esearch *found)
{
    struct imap_lasting *lasting = imap_lasting(s);
    struct imap_context *c = *cp;

    if (!(found->options.returns & RETURN_UPDATE))
        return;
    *cp = NULL;
    if (lasting->contexts == NULL)
        lasting->contexts = xcalloc(1, sizeof *lasting->contexts);
    if (c == NULL || lasting->contexts->count >= s->service->limits.contexts || !keep_results(s, c, found)) {
        imap_context_drop(&c);
        refuse_update(s, s->tag, "Too many searches are updated, or one finds too much");
        return;
    }
    c->next = lasting->contexts->first;
    lasting->contexts->first = c;
    lasting->contexts->count++;
}

/* ---- results ---- */

/* `old` without `gone` and with `more`, both ascending; every one of `gone` was in it, none of `more`. */
static struct uid_set changed_results(const struct uid_set *old, const uint32_t *gone, size_t gone_count,
                                      const uint32_t *more, size_t more_count)
{
    struct uid_set out = {0};
    size_t g = 0, m = 0;

    for (size_t i = 0; i < old->count; i++) {
        uint64_t first = old->ranges[i].first;
        uint32_t last = old->ranges[i].last;
        while (m < more_count && more[m] < first)
            uid_set_add_range(&out, more[m], more[m]), m++;
        for (; g < gone_count && gone[g] <= last; g++) {
            if (gone[g] > first)
                uid_set_add_range(&out, (uint32_t)first, gone[g] - 1);
            first = (uint64_t)gone[g] + 1;
        }
        if (first <= last)
            uid_set_add_range(&out, (uint32_t)first, last);
    }
    for (; m < more_count; m++)
        uid_set_add_range(&out, more[m], more[m]);
    return out;
}

static void change_results(struct imap_context *c, const uint32_t *gone, size_t gone_count, const uint32_t *more,
                           size_t more_count)
{
    struct uid_set now = changed_results(&c->results, gone, gone_count, more, more_count);

    uid_set_finish(&c->results);
    c->results = now;
}

/* ---- telling ---- */

/* Messages that came or went: numbers for the client, UIDs for the results. */
struct update {
    uint32_t *numbers, *uids;
    size_t count;
};

static bool update_init(struct update *u, struct arena *a, size_t most)
{
    u->numbers = arena_new_array(a, uint32_t, most);
    u->uids = arena_new_array(a, uint32_t, most);
    u->count = 0;
    return u->numbers != NULL && u->uids != NULL;
}

static void update_add(struct update *u, uint32_t position, uint32_t uid)
{
    u->numbers[u->count] = position + 1;
    u->uids[u->count++] = uid;
}

/* ret-data-addto = "ADDTO" SP "(" context-position SP sequence-set ")"; 0: in the order of the mailbox */
static void write_update(struct buf *out, const struct imap_context *c, const char *what, const struct update *u)
{
    struct imap_set_writer w = {.out = out};

    if (u->count == 0)
        return;
    buf_addf(out, " %s (0 ", what);
    for (size_t i = 0; i < u->count; i++) {
        uint32_t n = c->uid ? u->uids[i] : u->numbers[i];
        imap_set_writer_add(&w, n, n);
    }
    imap_set_writer_end(&w);
    buf_add_char(out, ')');
}

static bool update_has(const struct update *u, uint32_t uid, uint32_t *number)
{
    size_t low = 0, high = u->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (u->uids[mid] < uid)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == u->count || u->uids[low] != uid)
        return false;
    *number = u->numbers[low];
    return true;
}

/* From the last to the first, so that each position still means what the client thinks. */
static void write_removed_in_order(struct buf *out, struct imap_context *c, const struct update *gone)
{
    size_t kept = 0, told = 0;
    uint32_t number;

    if (gone->count == 0)
        return;
    buf_add(out, SLICE(" REMOVEFROM ("));
    for (size_t i = c->order_count; i > 0; i--)
        if (update_has(gone, c->order[i - 1], &number))
            buf_addf(out, "%s%zu %u", told++ > 0 ? " " : "", i, c->uid ? c->order[i - 1] : number);
    buf_add_char(out, ')');
    for (size_t i = 0; i < c->order_count; i++)
        if (!update_has(gone, c->order[i], &number))
            c->order[kept++] = c->order[i];
    c->order_count = kept;
}

/* From the first to the last: what stands before is in its place already. */
static void write_added_in_order(struct buf *out, struct imap_context *c, const struct view *v, const uint32_t *sorted,
                                 size_t count, const struct update *more)
{
    size_t told = 0;

    c->order = xrealloc(c->order, (count + 1) * sizeof *c->order);
    buf_add(out, SLICE(" ADDTO ("));
    for (size_t i = 0; i < count; i++) {
        uint32_t uid = view_at(v, sorted[i]).uid, number;
        c->order[i] = uid;
        if (update_has(more, uid, &number))
            buf_addf(out, "%s%zu %u", told++ > 0 ? " " : "", i + 1, c->uid ? uid : number);
    }
    c->order_count = count;
    buf_add_char(out, ')');
}

static void begin_line(struct buf *out, const struct imap_context *c)
{
    buf_add(out, SLICE("* ESEARCH (TAG "));
    imap_write_string(out, c->tag);
    buf_add_char(out, ')');
    if (c->uid)
        buf_add(out, SLICE(" UID"));
}

/* All results as positions of the view, sorted; false: it cannot be done now. */
static bool sort_results(struct imap_session *s, const struct imap_context *c, uint32_t **out, size_t *count,
                         struct fail *why)
{
    struct imap_set uids = {.ranges = c->results.ranges, .count = c->results.count};
    struct imap_spans spans = imap_spans_of_uids(&s->arena, s->box.view, uids);
    struct imap_spans_at at = {0};

    *count = (size_t)imap_spans_size(&spans);
    *out = arena_new_array(&s->arena, uint32_t, *count);
    if (*count > SORTED_MAX || *out == NULL)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "too many results");
    for (size_t i = 0; imap_spans_next(&spans, &at, &(*out)[i]);)
        if (++i == *count)
            break;
    return c->sort(s, c->criteria, *out, *count, why);
}

static bool tell_sorted(struct imap_session *s, struct imap_context *c, const struct update *gone,
                        const struct update *more, struct fail *why)
{
    struct buf *out = conn_out(s->conn);
    uint32_t *sorted = NULL;
    size_t count = 0;

    change_results(c, gone->uids, gone->count, more->uids, more->count);
    if (more->count > 0 && !sort_results(s, c, &sorted, &count, why))
        return false;
    begin_line(out, c);
    write_removed_in_order(out, c, gone);
    if (more->count > 0)
        write_added_in_order(out, c, s->box.view, sorted, count, more);
    buf_add(out, SLICE("\r\n"));
    return true;
}

static bool tell_update(struct imap_session *s, struct imap_context *c, const struct update *gone,
                        const struct update *more, struct fail *why)
{
    struct buf *out = conn_out(s->conn);

    if (gone->count + more->count == 0)
        return true;
    if (c->sort != NULL)
        return tell_sorted(s, c, gone, more, why);
    begin_line(out, c);
    write_update(out, c, "REMOVEFROM", gone);
    write_update(out, c, "ADDTO", more);
    buf_add(out, SLICE("\r\n"));
    change_results(c, gone->uids, gone->count, more->uids, more->count);
    return true;
}

/* ---- with the news ---- */

static uint32_t *candidates_of(const struct imap_session *s, const struct imap_news *n, struct arena *a, size_t *count)
{
    uint32_t all = view_count(s->box.view);
    size_t at = 0, changed = n->diff.changed_count;
    uint32_t *list = arena_new_array(a, uint32_t, changed + n->diff.added);

    if (list == NULL)
        return NULL;
    /* Those that changed stand before those that are new. */
    if (changed > 0)
        memcpy(list, n->diff.changed, changed * sizeof *list);
    at = changed;
    for (uint32_t p = all - n->diff.added; p < all; p++)
        list[at++] = p;
    *count = at;
    return list;
}

void imap_contexts_gather(struct imap_session *s, struct imap_news *n, const struct view *then)
{
    struct imap_contexts *all = contexts_of(s);
    struct context_news *c;

    if (all == NULL || all->first == NULL)
        return;
    c = arena_new(&s->arena, struct context_news);
    if (c == NULL)
        return;
    c->at = all->first;
    c->candidates = candidates_of(s, n, &s->arena, &c->candidate_count);
    c->gone_uids = arena_new_array(&s->arena, uint32_t, n->diff.gone_count);
    c->gone = arena_new_array(&s->arena, uint32_t, n->diff.gone_count);
    for (size_t i = 0; c->gone != NULL && c->gone_uids != NULL && i < n->diff.gone_count; i++) {
        c->gone[i] = n->diff.gone[i];
        c->gone_uids[c->gone_count++] = view_at(then, n->diff.gone[i]).uid;
    }
    n->contexts = c;
}

void imap_contexts_tell_gone(struct imap_session *s, struct imap_news *n)
{
    struct context_news *news = n->contexts;
    struct imap_contexts *all = contexts_of(s);
    struct update gone;
    const struct update none = {0};
    struct fail why;

    if (news == NULL || news->gone_told || all == NULL)
        return;
    news->gone_told = true;
    for (struct imap_context *c = all->first; c != NULL && news->gone_count > 0; c = c->next) {
        if (!update_init(&gone, &s->arena, news->gone_count))
            return;
        for (size_t i = 0; i < news->gone_count; i++)
            if (uid_set_has(&c->results, news->gone_uids[i]))
                update_add(&gone, news->gone[i], news->gone_uids[i]);
        (void)tell_update(s, c, &gone, &none, &why);
    }
}

/* RECENT and NEW mean what is recent by now. */
static void refresh_recent(const struct imap_session *s, struct search *k)
{
    for (struct search *c = k->children; c != NULL; c = c->next)
        refresh_recent(s, c);
    if (!k->recent)
        return;
    k->op = s->box.recent.count > 0 ? SEARCH_UIDS : SEARCH_NOTHING;
    k->ranges = s->box.recent.ranges;
    k->range_count = s->box.recent.count;
}

/* One that cannot be kept up to date any more. */
static void lose(struct imap_session *s, struct imap_contexts *all, struct imap_context *c, const struct fail *why)
{
    struct imap_context **at = find(all, c->tag);

    log_event(LOG_WARNING, "imap.update_failed", LOG_CSTR("session", conn_session_id(s->conn).text), LOG_FAIL(why));
    refuse_update(s, c->tag, "This search is no longer updated");
    *at = c->next;
    all->count--;
    destroy(c);
}

static bool compare(struct imap_session *s, struct imap_context *c, const struct context_news *news,
                    const uint32_t *found, size_t count, struct fail *why)
{
    struct update gone, more;
    size_t f = 0;

    if (!update_init(&gone, &s->arena, news->candidate_count) || !update_init(&more, &s->arena, news->candidate_count))
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "too much has changed");
    for (size_t i = 0; i < news->candidate_count; i++) {
        uint32_t position = news->candidates[i], uid = view_at(s->box.view, position).uid;
        while (f < count && found[f] < position)
            f++;
        bool is = f < count && found[f] == position, was = uid_set_has(&c->results, uid);
        if (is != was)
            update_add(is ? &more : &gone, position, uid);
    }
    return tell_update(s, c, &gone, &more, why);
}

bool imap_contexts_tell(struct imap_session *s, struct imap_news *n)
{
    struct context_news *news = n->contexts;
    struct imap_contexts *all = contexts_of(s);
    const uint32_t *found;
    size_t count;
    struct fail why;

    while (news != NULL && all != NULL && news->at != NULL && news->candidate_count > 0) {
        struct imap_context *c = news->at;
        if (conn_is_full(s->conn))
            return false;
        if (all->run == NULL) {
            refresh_recent(s, c->tree);
            all->run = search_start(s->box.account, s->box.mailbox, s->box.view, c->tree, &s->arena);
            search_only(all->run, news->candidates, news->candidate_count);
        }
        int status = search_continue(all->run, BUDGET_MS, &found, &count, &why);
        if (status == 0)
            return false;
        news->at = c->next;
        bool ok = status > 0 && compare(s, c, news, found, count, &why);
        search_end(&all->run);
        if (!ok)
            lose(s, all, c, &why);
    }
    return true;
}

/* ---- CANCELUPDATE ---- */

/* cancelupdate = "CANCELUPDATE" 1*(SP quoted)          RFC 5267 section 5 */
void imap_cancelupdate(struct imap_session *s, struct imap_reader *args)
{
    struct imap_contexts *all = contexts_of(s);
    size_t begin = args->at;
    bool known = true;

    do {
        imap_expect_space(args);
        struct slice tag = imap_read_string(args);
        known = known && all != NULL && *find(all, tag) != NULL;
    } while (imap_peek(args) == ' ');
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!known) {
        imap_no(s, "[CANNOT] There is no search of that tag that is updated");
        return;
    }
    for (args->at = begin; !imap_at_end(args);) {
        imap_expect_space(args);
        struct imap_context **at = find(all, imap_read_string(args)), *c = *at;
        if (c == NULL) /* named twice */
            continue;
        *at = c->next;
        all->count--;
        destroy(c);
    }
    imap_ok(s, "No further updates");
}
