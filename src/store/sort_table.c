/*
 * store/sort_table.c - what messages of a mailbox are sorted and threaded by, in memory.
 *
 * Layer: store.
 */
#include "store/sort_table.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "message/envelope.h"
#include "message/header.h"

/* ---- one table ---- */

struct sort_table *sort_table_create(const struct sort_table *like, unsigned columns)
{
    struct sort_table *t = xcalloc(1, sizeof *t);

    atomic_init(&t->refs, 1);
    t->account_id = like->account_id;
    t->mailbox_id = like->mailbox_id;
    t->uidvalidity = like->uidvalidity;
    t->collation = like->collation;
    t->columns = columns;
    buf_init(&t->base, SIZE_MAX / 2);
    buf_init(&t->key, SIZE_MAX / 2);
    for (size_t i = 0; i < KIND_COUNT; i++)
        sort_texts_init(&t->texts[i]);
    return t;
}

/* The array of a column that there is. */
static void *resized(void *old, bool wanted, size_t count, size_t size)
{
    return wanted ? xrealloc(old, count * size) : NULL;
}

static void set_capacity(struct sort_table *t, uint32_t cap)
{
    t->cap = cap;
    t->uid = resized(t->uid, true, cap, sizeof *t->uid);
    t->arrival = resized(t->arrival, true, cap, sizeof *t->arrival);
    t->size = resized(t->size, true, cap, sizeof *t->size);
    t->date = resized(t->date, (t->columns & COLUMN_DATE) != 0, cap, sizeof *t->date);
    for (unsigned i = 0; i < TEXT_COLUMNS; i++)
        t->text[i] = resized(t->text[i], (t->columns >> i & 1) != 0, cap, sizeof *t->text[i]);
    t->is_reply = resized(t->is_reply, (t->columns & COLUMN_SUBJECT) != 0, cap, sizeof *t->is_reply);
    t->reference_at =
        resized(t->reference_at, (t->columns & COLUMN_REFERENCES) != 0, cap, sizeof *t->reference_at);
}

static void copy_column(void *to, const void *from, size_t count, size_t size)
{
    if (from != NULL && count > 0)
        memcpy(to, from, count * size);
}

struct sort_table *sort_table_copy(const struct sort_table *from)
{
    struct sort_table *t = sort_table_create(from, from->columns);

    for (size_t i = 0; i < KIND_COUNT; i++) {
        sort_texts_finish(&t->texts[i]);
        sort_texts_copy(&t->texts[i], &from->texts[i]);
    }
    set_capacity(t, from->count + from->count / 8 + 64);
    t->count = from->count;
    t->through = from->through;
    copy_column(t->uid, from->uid, t->count, sizeof *t->uid);
    copy_column(t->arrival, from->arrival, t->count, sizeof *t->arrival);
    copy_column(t->size, from->size, t->count, sizeof *t->size);
    copy_column(t->date, from->date, t->count, sizeof *t->date);
    for (size_t i = 0; i < TEXT_COLUMNS; i++)
        copy_column(t->text[i], from->text[i], t->count, sizeof *t->text[i]);
    copy_column(t->is_reply, from->is_reply, t->count, sizeof *t->is_reply);
    copy_column(t->reference_at, from->reference_at, t->count, sizeof *t->reference_at);
    t->reference_count = t->reference_cap = from->reference_count;
    if (t->reference_count > 0) {
        t->references = xmalloc(t->reference_count * sizeof *t->references);
        copy_column(t->references, from->references, t->reference_count, sizeof *t->references);
    }
    return t;
}

void sort_table_release(struct sort_table **tp)
{
    struct sort_table *t = *tp;

    *tp = NULL;
    if (t == NULL || atomic_fetch_sub(&t->refs, 1) > 1)
        return;
    free(t->uid);
    free(t->arrival);
    free(t->size);
    free(t->date);
    for (size_t i = 0; i < TEXT_COLUMNS; i++)
        free(t->text[i]);
    free(t->is_reply);
    free(t->reference_at);
    free(t->references);
    buf_finish(&t->base);
    buf_finish(&t->key);
    for (size_t i = 0; i < KIND_COUNT; i++)
        sort_texts_finish(&t->texts[i]);
    free(t);
}

static uint64_t cost_of(const struct sort_table *t)
{
    uint64_t row = sizeof *t->uid + sizeof *t->arrival + sizeof *t->size, cost = sizeof *t;

    row += t->date != NULL ? sizeof *t->date : 0;
    row += t->is_reply != NULL ? sizeof *t->is_reply : 0;
    row += t->reference_at != NULL ? sizeof *t->reference_at : 0;
    for (size_t i = 0; i < TEXT_COLUMNS; i++)
        row += t->text[i] != NULL ? sizeof *t->text[i] : 0;
    for (size_t i = 0; i < KIND_COUNT; i++)
        cost += sort_texts_cost(&t->texts[i]);
    return cost + row * t->cap + t->reference_cap * sizeof *t->references;
}

uint32_t sort_table_row(const struct sort_table *t, uint32_t uid, uint32_t *hint)
{
    uint32_t low = *hint, high = t->count;

    if (low < high && t->uid[low] == uid) {
        *hint = low + 1;
        return low;
    }
    low = 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->uid[middle] < uid)
            low = middle + 1;
        else
            high = middle;
    }
    *hint = low + 1;
    return low < t->count && t->uid[low] == uid ? low : UINT32_MAX;
}

/* ---- a row ---- */

unsigned sort_table_wants(unsigned columns)
{
    const unsigned others = COLUMN_REFERENCES | COLUMN_ROW;

    return ((columns & ~others) != 0 ? FETCH_ENVELOPE : 0u) |
           ((columns & COLUMN_REFERENCES) != 0 ? FETCH_REFERENCES : 0u) | ((columns & others) == 0 ? FETCH_BARE : 0u);
}

static uint32_t add_text(struct sort_table *t, enum sort_text_kind kind, struct slice text)
{
    if (text.len == 0)
        return 0;
    buf_reset(&t->key);
    collation_key(t->collation, &t->key, text);
    return sort_texts_add(&t->texts[kind], buf_slice(&t->key));
}

static void set_subject(struct sort_table *t, uint32_t row, struct slice raw, struct arena *scratch)
{
    struct slice subject = SLICE("");

    (void)envelope_text_string(scratch, raw, &subject);
    buf_reset(&t->base);
    t->is_reply[row] = header_base_subject(&t->base, subject);
    t->text[TEXT_SUBJECT][row] = add_text(t, KIND_SUBJECT, buf_slice(&t->base));
}

/* RFC 5957 section 3. */
static uint32_t display_text(struct sort_table *t, const struct address *who, struct arena *scratch)
{
    struct buf name;

    buf_init(&name, SIZE_MAX / 2);
    header_decode_text(&name, who->name);
    if (name.len == 0 && who->mailbox.len > 0) {
        struct slice address = who->host.len > 0 ? arena_printf(scratch, PRIslice "@" PRIslice,
                                                                SLICE_ARG(who->mailbox), SLICE_ARG(who->host))
                                                 : who->mailbox;
        buf_add(&name, address);
    }
    uint32_t number = add_text(t, KIND_DISPLAY, buf_slice(&name));
    buf_finish(&name);
    return number;
}

/* The first address of a field, for the column of its mailbox and that of how it is shown. */
static void set_address(struct sort_table *t, uint32_t row, struct slice raw, uint32_t *mailboxes,
                        uint32_t *displays, struct arena *scratch)
{
    struct address first = {0};
    bool any = envelope_text_address(scratch, raw, &first);

    if (mailboxes != NULL)
        mailboxes[row] = any ? add_text(t, KIND_ADDRESS, first.mailbox) : 0;
    if (displays != NULL)
        displays[row] = any ? display_text(t, &first, scratch) : 0;
}

static void set_date(struct sort_table *t, uint32_t row, struct slice raw, struct arena *scratch)
{
    struct slice date;
    int zone;

    if (!envelope_text_string(scratch, raw, &date) || !header_parse_date(date, &t->date[row], &zone))
        t->date[row] = t->arrival[row];
}

static void set_references(struct sort_table *t, uint32_t row, struct slice ids)
{
    size_t count = references_count(ids);

    t->reference_at[row] = t->reference_count;
    if (count > t->reference_cap - t->reference_count) {
        t->reference_cap = t->reference_cap + t->reference_cap / 2 + count + 64;
        t->references = xrealloc(t->references, t->reference_cap * sizeof *t->references);
    }
    for (size_t i = 0; i < count; i++)
        t->references[t->reference_count++] = references_at(ids, i);
}

/* Of the envelope, that is looked at. */
static enum envelope_field last_field(unsigned columns)
{
    const unsigned to_or_cc = COLUMN_TO | COLUMN_DISPLAYTO | COLUMN_CC, from = COLUMN_FROM | COLUMN_DISPLAYFROM;

    return (columns & to_or_cc) != 0 ? ENVELOPE_CC : (columns & from) != 0 ? ENVELOPE_FROM : ENVELOPE_SUBJECT;
}

void sort_table_add(struct sort_table *t, const struct message_info *m, struct arena *scratch)
{
    struct slice texts[ENVELOPE_MESSAGE_ID + 1] = {{0}};
    uint32_t row = t->count;

    if (t->count == t->cap)
        set_capacity(t, t->cap + t->cap / 2 + 64);
    t->uid[row] = m->uid;
    t->arrival[row] = m->internal_date;
    t->size[row] = m->size < UINT32_MAX ? (uint32_t)m->size : UINT32_MAX;
    if (sort_table_wants(t->columns) & FETCH_ENVELOPE)
        envelope_texts(m->envelope, last_field(t->columns), texts);
    if (t->columns & COLUMN_DATE)
        set_date(t, row, texts[ENVELOPE_DATE], scratch);
    if (t->columns & COLUMN_SUBJECT)
        set_subject(t, row, texts[ENVELOPE_SUBJECT], scratch);
    if (t->columns & (COLUMN_FROM | COLUMN_DISPLAYFROM))
        set_address(t, row, texts[ENVELOPE_FROM], t->text[TEXT_FROM], t->text[TEXT_DISPLAYFROM], scratch);
    if (t->columns & (COLUMN_TO | COLUMN_DISPLAYTO))
        set_address(t, row, texts[ENVELOPE_TO], t->text[TEXT_TO], t->text[TEXT_DISPLAYTO], scratch);
    if (t->columns & COLUMN_CC)
        set_address(t, row, texts[ENVELOPE_CC], t->text[TEXT_CC], NULL, scratch);
    if (t->columns & COLUMN_REFERENCES)
        set_references(t, row, m->references);
    t->count++;
    t->through = m->uid;
    arena_reset(scratch);
}

/* ---- those that are kept ---- */

static void unlink_table(struct store *st, struct sort_table *t)
{
    if (t->newer != NULL)
        t->newer->older = t->older;
    else
        st->sorts.newest = t->older;
    if (t->older != NULL)
        t->older->newer = t->newer;
    else
        st->sorts.oldest = t->newer;
    t->newer = t->older = NULL;
    st->sorts.bytes -= t->cost;
}

static void link_table(struct store *st, struct sort_table *t)
{
    t->newer = NULL;
    t->older = st->sorts.newest;
    if (t->older != NULL)
        t->older->newer = t;
    else
        st->sorts.oldest = t;
    st->sorts.newest = t;
    st->sorts.bytes += t->cost;
    t->used_ms = clock_mono_ms();
}

static bool is_for(const struct sort_table *t, uint64_t account_id, uint64_t mailbox_id, enum collation c)
{
    return t->account_id == account_id && t->mailbox_id == mailbox_id && t->collation == c;
}

struct sort_table *sort_table_find(struct store *st, uint64_t account_id, uint64_t mailbox_id,
                                   uint32_t uidvalidity, enum collation c)
{
    struct sort_table *t;

    (void)pthread_mutex_lock(&st->sorts.lock);
    for (t = st->sorts.newest; t != NULL && !is_for(t, account_id, mailbox_id, c);)
        t = t->older;
    if (t != NULL && t->uidvalidity == uidvalidity) {
        unlink_table(st, t);
        link_table(st, t);
        (void)atomic_fetch_add(&t->refs, 1);
    } else {
        t = NULL;
    }
    (void)pthread_mutex_unlock(&st->sorts.lock);
    return t;
}

/* Out of the list and, unless somebody uses it, away; the list's lock held. */
static void drop(struct store *st, struct sort_table *t)
{
    unlink_table(st, t);
    sort_table_release(&t);
}

bool sort_table_take(struct store *st, struct sort_table *t)
{
    struct sort_table *kept;

    (void)pthread_mutex_lock(&st->sorts.lock);
    for (kept = st->sorts.newest; kept != NULL && kept != t;)
        kept = kept->older;
    /* The list's and the caller's; only under this lock do they become more. */
    bool alone = kept != NULL && atomic_load(&t->refs) == 2;
    if (alone)
        drop(st, t);
    (void)pthread_mutex_unlock(&st->sorts.lock);
    for (size_t i = 0; alone && i < KIND_COUNT; i++)
        sort_texts_settle(&t->texts[i]);
    return alone;
}

void sort_table_keep(struct store *st, struct sort_table *t)
{
    struct sort_table *same;

    (void)pthread_mutex_lock(&st->sorts.lock);
    for (same = st->sorts.newest; same != NULL && !is_for(same, t->account_id, t->mailbox_id, t->collation);)
        same = same->older;
    if (same != NULL)
        drop(st, same);
    t->cost = cost_of(t);
    if (t->cost <= st->limits.sort_bytes) {
        (void)atomic_fetch_add(&t->refs, 1);
        link_table(st, t);
    }
    while (st->sorts.bytes > st->limits.sort_bytes && st->sorts.oldest != NULL)
        drop(st, st->sorts.oldest);
    (void)pthread_mutex_unlock(&st->sorts.lock);
}

uint64_t sort_tables_drop(struct store *st, uint64_t account_id, int64_t unused_since_ms)
{
    uint64_t before, after;

    (void)pthread_mutex_lock(&st->sorts.lock);
    before = st->sorts.bytes;
    for (struct sort_table *t = st->sorts.oldest, *newer; t != NULL; t = newer) {
        newer = t->newer;
        if ((account_id == 0 || t->account_id == account_id) && t->used_ms <= unused_since_ms)
            drop(st, t);
    }
    after = st->sorts.bytes;
    (void)pthread_mutex_unlock(&st->sorts.lock);
    return before - after;
}
