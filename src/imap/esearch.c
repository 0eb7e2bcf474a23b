/*
 * imap/esearch.c - the ESEARCH response.
 *
 * Layer: imap.
 */
#include "imap/esearch.h"

#include <stdlib.h>

enum { NUMBERS_AT_ONCE = 4096 };

/* ---- what is asked for ---- */

struct imap_window imap_read_window(struct imap_reader *r)
{
    struct imap_window w = {.from_end = imap_accept(r, '-')};

    w.first = (uint32_t)imap_read_number(r, 1, UINT32_MAX);
    imap_expect(r, ':');
    if (w.from_end)
        imap_expect(r, '-');
    w.last = (uint32_t)imap_read_number(r, 1, UINT32_MAX);
    return w;
}

/*
 * search-return-opt = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE" / "UPDATE" / "CONTEXT" / "RELEVANCY" /
 *                     "PARTIAL" SP partial-range
 */
static void read_option(struct imap_reader *r, struct esearch_options *out)
{
    static const struct {
        const char *name;
        unsigned bit;
    } options[] = {
        {"MIN", RETURN_MIN},         {"MAX", RETURN_MAX},       {"ALL", RETURN_ALL},
        {"COUNT", RETURN_COUNT},     {"SAVE", RETURN_SAVE},     {"UPDATE", RETURN_UPDATE},
        {"CONTEXT", RETURN_CONTEXT}, {"PARTIAL", RETURN_PARTIAL}, {"RELEVANCY", RETURN_RELEVANCY},
    };
    unsigned bit = 0;

    for (size_t i = 0; i < ARRAY_LEN(options) && bit == 0; i++)
        if (imap_accept_word(r, options[i].name))
            bit = options[i].bit;
    if (bit == 0)
        imap_fail(r, "MIN, MAX, ALL, COUNT, SAVE, PARTIAL, UPDATE, CONTEXT or RELEVANCY");
    if (bit == RETURN_PARTIAL) {
        if (out->returns & RETURN_PARTIAL)
            imap_fail(r, "one PARTIAL only");
        imap_expect_space(r);
        out->window = imap_read_window(r);
    }
    out->returns |= bit;
}

/* search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"      RFC 4466 */
void esearch_read_options(struct imap_reader *r, struct esearch_options *out)
{
    *out = (struct esearch_options){0};
    imap_expect(r, '(');
    if (!imap_accept(r, ')')) {
        do
            read_option(r, out);
        while (imap_accept(r, ' '));
        imap_expect(r, ')');
    }
    if (out->returns == 0)
        out->returns = RETURN_ALL;
    if ((out->returns & RETURN_PARTIAL) && (out->returns & RETURN_ALL))
        imap_fail(r, "PARTIAL or ALL, not both"); /* RFC 9394 section 3.1 */
}

/* ---- what is answered ---- */

static uint32_t number_at(const struct esearch *e, size_t i)
{
    return e->uid ? view_at(e->view, e->found[i]).uid : e->found[i] + 1;
}

static uint64_t highest_of(const struct esearch *e, size_t first, size_t end)
{
    uint64_t highest = 0;

    for (size_t i = first; i < end; i++) {
        uint64_t one = view_at(e->view, e->found[i]).modseq;
        highest = one > highest ? one : highest;
    }
    return highest;
}

/* Are all that were found returned or counted, or only some places of them? */
static bool returns_some(const struct esearch *e)
{
    unsigned returns = e->options.returns;

    return (returns & (RETURN_MIN | RETURN_MAX | RETURN_PARTIAL)) && !(returns & (RETURN_ALL | RETURN_COUNT));
}

/* The places of `found` that are returned, one after the other; false: no more. */
struct places { size_t first, end; };
static size_t places_of(const struct esearch *e, struct places out[3])
{
    unsigned returns = e->options.returns;
    size_t n = 0;

    if (e->count == 0)
        return 0;
    if (!returns_some(e)) {
        out[n++] = (struct places){0, e->count};
        return n;
    }
    if (returns & RETURN_MIN)
        out[n++] = (struct places){0, 1};
    if (returns & RETURN_MAX)
        out[n++] = (struct places){e->count - 1, e->count};
    if (returns & RETURN_PARTIAL) {
        struct places p;
        imap_window_of(e->options.window, e->count, &p.first, &p.end);
        out[n++] = p;
    }
    return n;
}

uint64_t esearch_modseq(const struct esearch *e)
{
    struct places places[3];
    size_t n = places_of(e, places);
    uint64_t highest = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t one = highest_of(e, places[i].first, places[i].end);
        highest = one > highest ? one : highest;
    }
    return highest;
}

static void write_number(struct buf *out, struct slice name, uint64_t n)
{
    buf_add(out, name);
    buf_add_u64(out, n);
}

/* Numbers [e->at, end) of what was found; false: `most` are written and more are left. */
static bool write_numbers(struct esearch *e, struct buf *out, size_t end, size_t most)
{
    size_t stop = end - e->at > most ? e->at + most : end;

    e->set.out = out;
    for (; e->at < stop; e->at++) {
        uint32_t n = number_at(e, e->at);
        imap_set_writer_add(&e->set, n, n);
    }
    if (e->at < end)
        return false;
    imap_set_writer_end(&e->set);
    return true;
}

/* RELEVANCY (4 99 42), of what ALL or PARTIAL returns (RFC 6203 section 4). */
static bool write_scores(struct esearch *e, struct buf *out, size_t first, size_t end, size_t most)
{
    size_t stop = end - e->at > most ? e->at + most : end;

    for (; e->at < stop; e->at++) {
        if (e->at > first)
            buf_add_char(out, ' ');
        buf_add_u64(out, e->scores[e->at]);
    }
    return e->at == end;
}

/* "* ESEARCH (TAG "a" MAILBOX "b" UIDVALIDITY 1) UID" */
static void write_correlator(const struct esearch *e, struct buf *out)
{
    buf_add(out, SLICE("* ESEARCH (TAG "));
    imap_write_string(out, e->tag);
    if (e->mailbox.len > 0) {
        buf_add(out, SLICE(" MAILBOX "));
        buf_add(out, e->mailbox);
        write_number(out, SLICE(" UIDVALIDITY "), e->uidvalidity);
    }
    buf_add_char(out, ')');
    if (e->uid)
        buf_add(out, SLICE(" UID"));
}

static void write_ends(const struct esearch *e, struct buf *out)
{
    unsigned returns = e->options.returns;

    if ((returns & RETURN_MIN) && e->count > 0)
        write_number(out, SLICE(" MIN "), number_at(e, 0));
    if ((returns & RETURN_MAX) && e->count > 0)
        write_number(out, SLICE(" MAX "), number_at(e, e->count - 1));
}

/* The window as the client wrote it: RFC 9394 section 3.1, "the original range". */
static void write_window(const struct esearch *e, struct buf *out)
{
    const char *sign = e->options.window.from_end ? "-" : "";

    buf_addf(out, " PARTIAL (%s%u:%s%u ", sign, e->options.window.first, sign, e->options.window.last);
}

static void write_end(const struct esearch *e, struct buf *out)
{
    uint64_t modseq = e->modseq ? esearch_modseq(e) : 0;

    if (modseq > 0)
        write_number(out, SLICE(" MODSEQ "), modseq);
    buf_add(out, SLICE("\r\n"));
}

/* What ALL or PARTIAL returns. */
static struct places listed(const struct esearch *e)
{
    struct places p = {0, 0};

    if (e->options.returns & RETURN_ALL)
        p.end = e->count;
    else if (e->options.returns & RETURN_PARTIAL)
        imap_window_of(e->options.window, e->count, &p.first, &p.end);
    return p;
}

enum { STAGE_BEGIN, STAGE_LIST, STAGE_MIDDLE, STAGE_SCORES, STAGE_END, STAGE_DONE };

static void begin(struct esearch *e, struct buf *out, struct places list)
{
    write_correlator(e, out);
    write_ends(e, out);
    if (e->options.returns & RETURN_PARTIAL)
        write_window(e, out);
    else if (list.end > list.first)
        buf_add(out, SLICE(" ALL "));
    e->at = list.first;
    e->stage = STAGE_LIST;
}

static void middle(struct esearch *e, struct buf *out, struct places list)
{
    bool partial = (e->options.returns & RETURN_PARTIAL) != 0;

    if (partial)
        buf_add(out, list.first == list.end ? SLICE("NIL)") : SLICE(")"));
    if (e->options.returns & RETURN_COUNT)
        write_number(out, SLICE(" COUNT "), e->count);
    e->at = list.first;
    e->stage = STAGE_END;
    if ((e->options.returns & RETURN_RELEVANCY) && e->scores != NULL &&
        (e->options.returns & (RETURN_ALL | RETURN_PARTIAL))) {
        buf_add(out, SLICE(" RELEVANCY ("));
        e->stage = STAGE_SCORES;
    }
}

bool esearch_write_some(struct esearch *e, struct buf *out, size_t most)
{
    struct places list = listed(e);

    if (e->options.returns == RETURN_SAVE)
        return true;
    if (e->stage == STAGE_BEGIN)
        begin(e, out, list);
    if (e->stage == STAGE_LIST) {
        if (!write_numbers(e, out, list.end, most))
            return false;
        e->stage = STAGE_MIDDLE;
    }
    if (e->stage == STAGE_MIDDLE)
        middle(e, out, list);
    if (e->stage == STAGE_SCORES) {
        if (!write_scores(e, out, list.first, list.end, most))
            return false;
        buf_add_char(out, ')');
        e->stage = STAGE_END;
    }
    if (e->stage == STAGE_END)
        write_end(e, out);
    e->stage = STAGE_DONE;
    return true;
}

bool esearch_write(struct imap_session *s, struct esearch *e)
{
    while (!esearch_write_some(e, conn_out(s->conn), NUMBERS_AT_ONCE))
        if (conn_is_full(s->conn))
            return false;
    return true;
}

/*
 * mailbox-data =/ "SEARCH" [1*(SP nz-number) SP "(" "MODSEQ" SP mod-sequence-value ")"]
 * sort-data    =  "SORT" [1*(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]]
 */
bool esearch_write_plain(struct imap_session *s, struct esearch *e, struct slice name)
{
    struct buf *out = conn_out(s->conn);

    if (!e->begun) {
        buf_add(out, SLICE("* "));
        buf_add(out, name);
    }
    e->begun = true;
    while (e->at < e->count) {
        if (conn_is_full(s->conn))
            return false;
        buf_add_char(out, ' ');
        buf_add_u64(out, number_at(e, e->at++));
    }
    if (e->modseq && e->count > 0) {
        buf_add(out, SLICE(" (MODSEQ "));
        buf_add_u64(out, esearch_modseq(e));
        buf_add_char(out, ')');
    }
    buf_add(out, SLICE("\r\n"));
    return true;
}

/* ---- what is kept ---- */

static int by_position(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

bool esearch_saves(const struct esearch *e, struct arena *a, struct imap_spans *out)
{
    struct places places[3];
    size_t n = places_of(e, places), all = 0, kept = 0;
    bool sorted = true;

    *out = (struct imap_spans){0};
    for (size_t i = 0; i < n; i++)
        all += places[i].end - places[i].first;
    if (all == 0)
        return true;
    uint32_t *list = arena_new_array(a, uint32_t, all);
    if (list == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        for (size_t at = places[i].first; at < places[i].end; at++) {
            sorted = sorted && (kept == 0 || list[kept - 1] < e->found[at]);
            list[kept++] = e->found[at];
        }
    if (!sorted)
        qsort(list, kept, sizeof *list, by_position);
    return imap_spans_of_positions(a, list, kept, out);
}
