/*
 * transfer/keeper_settle.c - what changed at the source of messages that are here.
 *
 * Layer: transfer.  A message whose modseq is above the one it had when it was last as it is
 * at the source was touched here: it is left alone, for good.
 */
#include <stdlib.h>

#include "base/map.h"
#include "store/view.h"
#include "transfer/keeper_internal.h"

enum { SETTLE_AT_ONCE = 2000 };

/* ---- flags and keywords as one text ---- */

static int compare_names(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Ordered, small letters, separated by spaces. */
static void add_keywords(struct buf *out, const struct slice *keywords, size_t count)
{
    struct slice names[KEYWORDS_MOST];
    struct buf   small;

    buf_init(&small, SIZE_MAX);
    for (size_t i = 0; i < count; i++)
        for (size_t at = 0; at < keywords[i].len; at++)
            buf_add_char(&small, ascii_lower(keywords[i].ptr[at]));
    for (size_t i = 0, at = 0; i < count; at += keywords[i++].len)
        names[i] = slice_sub(buf_slice(&small), at, keywords[i].len);
    if (count > 1)
        qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(out, ' ');
        buf_add(out, names[i]);
    }
    buf_finish(&small);
}

int64_t keeper_state(uint32_t flags, const struct slice *keywords, size_t count)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_addf(&text, "%u ", flags & STORE_FLAGS);
    add_keywords(&text, keywords, count);
    int64_t state = (int64_t)hash_for_good(buf_slice(&text));
    buf_finish(&text);
    return state;
}

bool keeper_compare(struct keeper *k, struct known_row *row, uint32_t flags, const struct slice *keywords, size_t count,
                    struct fail *why)
{
    int64_t    state = keeper_state(flags, keywords, count);
    struct buf names;

    (void)why;
    if (state == row->row.state)
        return true;
    row->changed = true;
    row->row.state = state;
    if (k->wish_count == k->wish_cap) {
        k->wish_cap = k->wish_cap > 0 ? 2 * k->wish_cap : 256;
        k->wishes = xrealloc(k->wishes, k->wish_cap * sizeof *k->wishes);
    }
    buf_init(&names, SIZE_MAX);
    for (size_t i = 0; i < count; i++) { /* as they are written there */
        if (i > 0)
            buf_add_char(&names, ' ');
        buf_add(&names, keywords[i]);
    }
    k->wishes[k->wish_count++] = (struct flag_wish){.row = row, .flags = flags & STORE_FLAGS, .keywords = buf_slice(&names)};
    return true;
}

/* ---- setting them ---- */

/* The same wish stands together, by UID. */
static int compare_wishes(const void *a, const void *b)
{
    const struct flag_wish *x = a, *y = b;

    if (x->row->row.state != y->row->row.state)
        return x->row->row.state < y->row->row.state ? -1 : 1;
    return x->row->row.uid < y->row->row.uid ? -1 : x->row->row.uid > y->row->row.uid;
}

static size_t split_names(struct slice text, struct slice *out)
{
    size_t n = 0;

    while (text.len > 0 && n < KEYWORDS_MOST)
        out[n++] = slice_cut(&text, ' ');
    return n;
}

static bool set_flags(struct keeper *k, const struct flag_wish *w, const struct uid_set *uids, uint64_t modseq,
                      struct uid_set *refused, uint64_t *new_modseq, struct fail *why)
{
    struct slice       names[KEYWORDS_MOST];
    struct flag_change change = {.op = FLAGS_REPLACE, .flags = w->flags, .keywords = names,
                                 .keyword_count = split_names(w->keywords, names), .conditional = true,
                                 .unchanged_since = modseq};

    return message_flags(k->account, k->place.mailbox, uids->ranges, uids->count, &change, refused, new_modseq, why);
}

/* Is it here, and was it not touched since? */
static bool is_untouched(struct keeper *k, const struct view *v, const struct known_row *row, int64_t wanted,
                         bool *same)
{
    bool     found;
    uint32_t at = view_find(v, row->row.uid, &found);

    *same = false;
    if (!found)
        return false;
    struct view_entry  e = view_at(v, at);
    struct keyword_set set = account_keyword_set(k->account, e.keyword_set);
    *same = set.count <= KEYWORDS_MOST && keeper_state(e.flags, set.names, set.count) == wanted;
    return e.modseq <= row->row.modseq;
}

/* Wishes [from, to), which are all the same. */
static bool set_group(struct keeper *k, const struct view *v, size_t from, size_t to, struct fail *why)
{
    struct uid_set uids = {.count = 0}, refused = {.count = 0};
    uint64_t       modseq = view_modseq(v), set_at = modseq;
    bool           ok = true, same;

    for (size_t i = from; i < to; i++) {
        struct known_row *row = k->wishes[i].row;
        if (is_untouched(k, v, row, row->row.state, &same) && !same) {
            uid_set_add(&uids, row->row.uid);
            k->sum.flags++;
        } else if (same) {
            row->row.modseq = modseq; /* a run that was cut short had set them, or somebody here */
        }
    }
    if (uids.count > 0) {
        ok = set_flags(k, &k->wishes[from], &uids, modseq, &refused, &set_at, why);
        for (size_t i = from; ok && i < to; i++) {
            struct known_row *row = k->wishes[i].row;
            if (uid_set_has(&uids, row->row.uid) && !uid_set_has(&refused, row->row.uid))
                row->row.modseq = set_at;
        }
    }
    uid_set_finish(&uids);
    uid_set_finish(&refused);
    return ok;
}

static bool set_all(struct keeper *k, const struct view *v, struct fail *why)
{
    bool ok = true;

    if (k->wish_count > 0)
        qsort(k->wishes, k->wish_count, sizeof *k->wishes, compare_wishes);
    for (size_t from = 0, to; ok && from < k->wish_count; from = to) {
        for (to = from + 1; to < k->wish_count && k->wishes[to].row->row.state == k->wishes[from].row->row.state; to++)
            ;
        ok = set_group(k, v, from, to, why);
    }
    return ok;
}

void keeper_drop_wishes(struct keeper *k)
{
    for (size_t i = 0; i < k->wish_count; i++) {
        union {
            const char *text;
            void       *memory;
        } names = {.text = k->wishes[i].keywords.ptr};
        free(names.memory);
    }
    free(k->wishes);
    k->wishes = NULL;
    k->wish_count = k->wish_cap = 0;
}

/* ---- taking out ---- */

/* Not told in this run, though all was: they are gone at the source. */
static bool take_out_gone(struct keeper *k, const struct view *v, struct fail *why)
{
    struct uid_set gone = {.count = 0};
    bool           found;

    known_by_uid(&k->known);
    for (size_t i = 0; i < k->known.count; i++) {
        struct known_row *row = &k->known.rows[i];
        if (row->told)
            continue;
        row->row.gone = row->changed = true;
        uint32_t at = view_find(v, row->row.uid, &found);
        if (found && view_at(v, at).modseq <= row->row.modseq)
            uid_set_add(&gone, row->row.uid);
    }
    k->sum.gone += uid_set_size(&gone);
    bool ok = gone.count == 0 ||
              message_expunge(k->account, k->place.mailbox, gone.ranges, gone.count, true, NULL, NULL, why);
    uid_set_finish(&gone);
    return ok;
}

static bool remember(struct keeper *k, struct fail *why)
{
    struct import_row *rows = xcalloc(SETTLE_AT_ONCE, sizeof *rows);
    size_t             n = 0;
    bool               ok = true;

    for (size_t i = 0; ok && i < k->known.count; i++) {
        if (k->known.rows[i].changed)
            rows[n++] = k->known.rows[i].row;
        if (n == SETTLE_AT_ONCE || i + 1 == k->known.count) {
            ok = import_settle(k->account, k->place.source, rows, n, why);
            n = 0;
        }
    }
    free(rows);
    return ok;
}

bool keeper_settle(struct keeper *k, bool gone, struct fail *why)
{
    struct view *v = NULL;
    bool         ok = true;

    if (k->known.count == 0)
        return true;
    ok = view_open(k->account, k->place.mailbox, &v, why) && set_all(k, v, why);
    keeper_drop_wishes(k);
    ok = ok && (!gone || take_out_gone(k, v, why)) && remember(k, why);
    view_release(&v);
    return ok;
}
