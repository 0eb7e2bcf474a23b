/*
 * store/sort.c - messages by date, size, text.
 *
 * Layer: store.  Every criterion becomes a number of each message: a date, a size, the rank
 * of a text.  Then the messages are put in order by the last criterion, by the one before,
 * and so on to the first, each time keeping the order of equals.
 */
#include "store/sort.h"

#include <stdlib.h>

#include "base/clock.h"
#include "store/sort_order.h"
#include "store/sort_table.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

/* ---- numbers ---- */

static void one_pass(const struct sort_item *from, struct sort_item *to, size_t count, uint64_t base,
                     unsigned shift)
{
    size_t at[DIGITS] = {0}, sum = 0;

    for (size_t i = 0; i < count; i++)
        at[(from[i].key - base) >> shift & (DIGITS - 1)]++;
    for (size_t i = 0; i < DIGITS; i++) {
        size_t n = at[i];
        at[i] = sum;
        sum += n;
    }
    for (size_t i = 0; i < count; i++)
        to[at[(from[i].key - base) >> shift & (DIGITS - 1)]++] = from[i];
}

void sort_items(struct sort_item *items, struct sort_item *spare, size_t count)
{
    struct sort_item *from = items, *to = spare;
    uint64_t min = UINT64_MAX, max = 0;
    bool ordered = true;

    for (size_t i = 0; i < count; i++) {
        min = items[i].key < min ? items[i].key : min;
        max = items[i].key > max ? items[i].key : max;
        ordered = ordered && (i == 0 || items[i - 1].key <= items[i].key);
    }
    if (ordered)
        return;
    for (unsigned shift = 0; shift < 64 && (max - min) >> shift != 0; shift += DIGIT_BITS) {
        one_pass(from, to, count, min, shift);
        struct sort_item *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
}

/* ---- a run ---- */

struct sort_run {
    struct sort_request request;
    struct sort_criterion *criteria;
    size_t criterion_count, left; /* criteria not yet applied, the first ones */
    struct sort_build build;
    bool built;
    struct sort_ranking *ranking; /* under way */
    const struct sort_ranks *ranks[KIND_COUNT];
    uint32_t *rows; /* of each found; UINT32_MAX: it is gone for good */
    struct sort_item *items, *spare;
    uint32_t *order;
};

static bool text_column(enum sort_key key, enum sort_text_column *out)
{
    switch (key) {
    case SORT_CC: *out = TEXT_CC; return true;
    case SORT_FROM: *out = TEXT_FROM; return true;
    case SORT_SUBJECT: *out = TEXT_SUBJECT; return true;
    case SORT_TO: *out = TEXT_TO; return true;
    case SORT_DISPLAYFROM: *out = TEXT_DISPLAYFROM; return true;
    case SORT_DISPLAYTO: *out = TEXT_DISPLAYTO; return true;
    case SORT_ARRIVAL:
    case SORT_DATE:
    case SORT_SIZE:
    case SORT_RELEVANCY: return false;
    }
    bug("sort key %d", (int)key);
}

static unsigned columns_of(const struct sort_criterion *criteria, size_t count)
{
    unsigned columns = 0;

    for (size_t i = 0; i < count; i++) {
        enum sort_text_column text;
        if (text_column(criteria[i].key, &text))
            columns |= 1u << text;
        else
            columns |= criteria[i].key == SORT_DATE ? COLUMN_DATE | COLUMN_ROW : COLUMN_ROW;
    }
    return columns;
}

struct sort_run *sort_start(const struct sort_request *q, const struct sort_criterion *criteria, size_t count)
{
    struct sort_run *r = xcalloc(1, sizeof *r);

    r->request = *q;
    r->criteria = xcalloc(count + 1, sizeof *criteria);
    if (count > 0)
        memcpy(r->criteria, criteria, count * sizeof *criteria);
    r->criterion_count = r->left = count;
    sort_build_begin(&r->build, q->account, q->mailbox_id, q->view, q->collation,
                     columns_of(criteria, count));
    return r;
}

void sort_end(struct sort_run **rp)
{
    struct sort_run *r = *rp;

    if (r == NULL)
        return;
    sort_ranking_end(&r->ranking);
    sort_build_end(&r->build);
    free(r->criteria);
    free(r->rows);
    free(r->items);
    free(r->spare);
    free(r->order);
    free(r);
    *rp = NULL;
}

static void find_rows(struct sort_run *r)
{
    const struct sort_request *q = &r->request;

    r->rows = xcalloc(q->count + 1, sizeof *r->rows);
    sort_find_rows(r->build.table, q->view, q->found, q->count, r->rows);
    r->items = xcalloc(q->count + 1, sizeof *r->items);
    r->spare = xcalloc(q->count + 1, sizeof *r->spare);
    for (size_t i = 0; i < q->count; i++)
        r->items[i].index = (uint32_t)i;
}

void sort_find_rows(const struct sort_table *t, const struct view *v, const uint32_t *found, size_t count,
                    uint32_t *rows)
{
    struct view_cursor at = {.view = NULL};
    struct view_entry e;
    uint32_t hint = 0;

    for (size_t i = 0; i < count; i++) {
        if (at.view == NULL || at.position != found[i])
            view_cursor_init(&at, v, found[i]);
        (void)view_next(&at, &e);
        rows[i] = sort_table_row(t, e.uid, &hint);
    }
}

/* The ranks that the criteria need; false: not all of them yet. */
static bool make_ranks(struct sort_run *r, int64_t until_ms)
{
    enum sort_text_column text;

    for (size_t i = 0; i < r->criterion_count; i++) {
        if (!text_column(r->criteria[i].key, &text))
            continue;
        enum sort_text_kind kind = sort_kind_of(text);
        if (r->ranks[kind] == NULL &&
            !sort_texts_rank(&r->build.table->texts[kind], &r->ranking, until_ms, &r->ranks[kind]))
            return false;
    }
    return true;
}

/* The number of a found message; one that is gone for good has the lowest. */
static uint64_t number_of(const struct sort_run *r, enum sort_key key, uint32_t found)
{
    const struct sort_table *t = r->build.table;
    uint32_t row = r->rows[found];
    enum sort_text_column text;

    if (key == SORT_RELEVANCY) /* the best come first */
        return r->request.scores != NULL ? UINT8_MAX - r->request.scores[found] : 0;
    if (row == UINT32_MAX)
        return 0;
    if (text_column(key, &text))
        return r->ranks[sort_kind_of(text)]->of[t->text[text][row]];
    if (key == SORT_SIZE)
        return t->size[row];
    return sort_key_signed(key == SORT_DATE ? t->date[row] : t->arrival[row]);
}

static void apply(struct sort_run *r, const struct sort_criterion *c)
{
    for (size_t i = 0; i < r->request.count; i++) {
        uint64_t n = number_of(r, c->key, r->items[i].index);
        r->items[i].key = c->reverse ? ~n : n;
    }
    sort_items(r->items, r->spare, r->request.count);
}

static void finish(struct sort_run *r)
{
    r->order = xcalloc(r->request.count + 1, sizeof *r->order);
    for (size_t i = 0; i < r->request.count; i++)
        r->order[i] = r->request.found[r->items[i].index];
}

int sort_continue(struct sort_run *r, unsigned budget_ms, const uint32_t **out, struct fail *why)
{
    int64_t until_ms = clock_mono_ms() + budget_ms;

    if (!r->built) {
        int status = sort_build_step(&r->build, until_ms, why);
        if (status != 1)
            return status;
        r->built = true;
        find_rows(r);
    }
    if (!make_ranks(r, until_ms))
        return 0;
    while (r->left > 0) {
        if (clock_mono_ms() >= until_ms)
            return 0;
        apply(r, &r->criteria[--r->left]);
    }
    if (r->order == NULL)
        finish(r);
    *out = r->order;
    return 1;
}
