/*
 * imap/sort.c - SORT and UID SORT.
 *
 * Layer: imap.  RFC 5256 section 3 (BASE.6.4.SORT), RFC 5957 (DISPLAYFROM, DISPLAYTO), RFC 5267
 * section 3 (ESORT) and 4 (CONTEXT=SORT), RFC 6203 section 6 (RELEVANCY), RFC 7162 section 3.1.6 (MODSEQ).
 */
#include "imap/arrange.h"
#include "imap/comparator.h"
#include "imap/context.h"
#include "imap/saved.h"

/* Each key once. */
enum { CRITERIA_MAX = SORT_RELEVANCY + 1 };

struct criteria {
    struct sort_criterion list[CRITERIA_MAX];
    size_t                count;
};

struct sort_command {
    struct arrange        arrange;
    struct criteria       criteria;
    struct imap_context  *context; /* RETURN (UPDATE) */
    struct sort_run      *run;
    struct esearch        answer;
    bool                  sorted;
};

static void end_sort(struct imap_session *s)
{
    struct sort_command *c = s->step_data;

    sort_end(&c->run);
    imap_context_drop(&c->context);
    arrange_end(&c->arrange);
}

/* ---- arguments ---- */

/*
 * sort-criterion = ["REVERSE" SP] sort-key
 * sort-key       = "ARRIVAL" / "CC" / "DATE" / "FROM" / "SIZE" / "SUBJECT" / "TO" /
 *                  "DISPLAYFROM" / "DISPLAYTO" / "RELEVANCY"
 */
static void read_criterion(struct imap_reader *r, struct sort_criterion *out)
{
    static const struct {
        const char *name;
        enum sort_key key;
    } keys[] = {
        {"ARRIVAL", SORT_ARRIVAL},         {"CC", SORT_CC},     {"DATE", SORT_DATE},
        {"FROM", SORT_FROM},               {"SIZE", SORT_SIZE}, {"SUBJECT", SORT_SUBJECT},
        {"TO", SORT_TO},                   {"DISPLAYFROM", SORT_DISPLAYFROM},
        {"DISPLAYTO", SORT_DISPLAYTO},     {"RELEVANCY", SORT_RELEVANCY},
    };

    out->reverse = imap_accept_word(r, "REVERSE");
    if (out->reverse)
        imap_expect_space(r);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (imap_accept_word(r, keys[i].name)) {
            out->key = keys[i].key;
            return;
        }
    }
    imap_fail(r, "ARRIVAL, CC, DATE, DISPLAYFROM, DISPLAYTO, FROM, RELEVANCY, SIZE, SUBJECT or TO");
}

/* A key that was named before can change nothing any more. */
static bool is_repeated(const struct sort_criterion *list, size_t count, enum sort_key key)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].key == key)
            return true;
    return false;
}

/* sort-criteria = "(" sort-criterion *(SP sort-criterion) ")" */
size_t imap_read_sort_criteria(struct imap_reader *r, struct sort_criterion out[SORT_RELEVANCY + 1])
{
    size_t count = 0;

    imap_expect(r, '(');
    do {
        struct sort_criterion one;
        read_criterion(r, &one);
        if (r->failed)
            return 0;
        if (!is_repeated(out, count, one.key))
            out[count++] = one;
    } while (imap_accept(r, ' '));
    imap_expect(r, ')');
    return count;
}

/* sort = ["UID" SP] "SORT" [search-return-opts] SP sort-criteria SP search-criteria */
static void read_sort(struct imap_session *s, struct imap_reader *r, struct sort_command *c)
{
    struct search_args *args = &c->arrange.args;

    imap_expect_space(r);
    if (imap_accept_word(r, "RETURN")) {
        imap_expect_space(r);
        esearch_read_options(r, &args->options);
        imap_expect_space(r);
    }
    c->criteria.count = imap_read_sort_criteria(r, c->criteria.list);
    arrange_read(s, r, &c->arrange);
    for (size_t i = 0; i < c->criteria.count; i++)
        if (c->criteria.list[i].key == SORT_RELEVANCY && !args->fuzzy)
            imap_fail(r, "a FUZZY key with RELEVANCY"); /* RFC 6203 section 6 */
}

/* ---- the answer ---- */

/* The scores of RELEVANCY in the order of what was sorted; NULL: there are none, or no room. */
static const uint8_t *scores_in_order(struct imap_session *s, const struct sort_command *c)
{
    const struct arrange *a = &c->arrange;
    const uint8_t *scores = search_scores(a->search);
    uint8_t *out = scores != NULL ? arena_new_array(&s->arena, uint8_t, a->count) : NULL;

    for (size_t i = 0; out != NULL && i < a->count; i++) {
        size_t low = 0, high = a->count; /* a->found ascends */
        while (low < high) {
            size_t mid = low + (high - low) / 2;
            if (a->found[mid] < c->answer.found[i])
                low = mid + 1;
            else
                high = mid;
        }
        out[i] = scores[low];
    }
    return out;
}

static int sort_found(struct imap_session *s, struct sort_command *c)
{
    struct fail why;

    if (c->run == NULL) {
        struct sort_request q = arrange_request(s, &c->arrange);
        c->run = sort_start(&q, c->criteria.list, c->criteria.count);
    }
    int status = sort_continue(c->run, ARRANGE_BUDGET_MS, &c->answer.found, &why);
    if (status < 0) {
        if (c->answer.options.returns & RETURN_SAVE)
            imap_saved_clear(s);
        imap_no_because(s, &why);
    }
    c->answer.count = c->arrange.count;
    c->sorted = status == 1;
    if (status == 1 && (c->answer.options.returns & RETURN_RELEVANCY))
        c->answer.scores = scores_in_order(s, c);
    return status == 1 && !imap_saved_found(s, &c->answer) ? -1 : status;
}

static enum turn sort_step(struct imap_session *s)
{
    struct sort_command *c = s->step_data;

    if (!c->sorted) {
        int status = arrange_search(s, &c->arrange);
        if (status == 1)
            status = sort_found(s, c);
        if (status == 0)
            arrange_progress(s, &c->arrange);
        if (status != 1)
            return status == 0 ? TURN_AGAIN : TURN_PARK;
    }
    if (c->answer.options.returns != 0 ? !esearch_write(s, &c->answer) : !esearch_write_plain(s, &c->answer, SLICE("SORT")))
        return TURN_MORE;
    imap_context_begin(s, &c->context, &c->answer);
    imap_ok(s, "Sorted");
    return TURN_PARK;
}

/* For a context that is told of: few messages, whose keys are in memory mostly. */
static bool sort_positions(struct imap_session *s, const void *criteria, uint32_t *positions, size_t count,
                           struct fail *why)
{
    const struct criteria *c = criteria;
    struct sort_request q = {
        .account = s->box.account,
        .mailbox_id = s->box.mailbox,
        .view = s->box.view,
        .collation = imap_collation(s),
        .found = positions,
        .count = count,
    };
    struct sort_run *run = sort_start(&q, c->list, c->count);
    const uint32_t *sorted;
    int status;

    do
        status = sort_continue(run, 1000, &sorted, why);
    while (status == 0);
    if (status == 1 && count > 0)
        memcpy(positions, sorted, count * sizeof *sorted);
    sort_end(&run);
    return status == 1;
}

void imap_sort(struct imap_session *s, struct imap_reader *r)
{
    struct sort_command *c = arena_new(&s->arena, struct sort_command);

    if (c == NULL || !imap_unpark(s)) {
        imap_no(s, "[UNAVAILABLE] The mailbox cannot be sorted now");
        return;
    }
    read_sort(s, r, c);
    if (!arrange_begin(s, r, &c->arrange))
        return;
    s->step_data = c;
    s->cleanup = end_sort;
    if (!imap_context_prepare(s, &c->arrange.args, &c->context))
        return;
    imap_context_order(c->context, sort_positions, &c->criteria, sizeof c->criteria);
    c->answer = (struct esearch){
        .options = c->arrange.args.options,
        .tag = s->tag,
        .uid = s->by_uid,
        .view = c->arrange.view,
        .modseq = c->arrange.args.modseq,
    };
    s->step = sort_step;
}
