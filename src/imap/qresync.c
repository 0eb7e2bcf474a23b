/*
 * imap/qresync.c - what a client missed while it was away.
 *
 * Layer: imap.  RFC 7162 section 3.2.  The view says what changed, passing over the
 * chunks in which nothing did; the log of expunges what went.  Where the log does
 * not go back far enough, everything the client knows and the mailbox lacks went.
 */
#include "imap/qresync.h"

#include "base/fail.h"

enum { LINE_MAX_BYTES = 8000 }; /* RFC 7162 section 4: lines of about 8192 octets */

/* ---- arguments ---- */

/* known-uids, known-sequence-set, known-uid-set = sequence-set; "*" is not allowed, and SELECT empties "$" */
static struct imap_set read_known(struct imap_reader *r)
{
    struct imap_set set = imap_read_set(r);

    if (set.saved)
        imap_fail(r, "a set of numbers");
    for (size_t i = 0; i < set.count; i++)
        if (set.ranges[i].first == 0 || set.ranges[i].last == 0)
            imap_fail(r, "a set without \"*\"");
    return set;
}

static uint64_t set_size(const struct imap_set *set)
{
    uint64_t size = 0;

    for (size_t i = 0; i < set->count; i++)
        size += (uint64_t)set->ranges[i].last - set->ranges[i].first + 1;
    return size;
}

/* The same, of which each number is above the one before. */
static struct imap_set read_ascending(struct imap_reader *r)
{
    struct imap_set set = read_known(r);

    for (size_t i = 0; i < set.count; i++)
        if (set.ranges[i].last < set.ranges[i].first ||
            (i > 0 && set.ranges[i].first <= set.ranges[i - 1].last))
            imap_fail(r, "a set in ascending order");
    return set;
}

/* seq-match-data = "(" known-sequence-set SP known-uid-set ")" */
static void read_match_data(struct imap_reader *r, struct imap_qresync *q)
{
    imap_expect(r, '(');
    q->match_numbers = read_ascending(r);
    imap_expect_space(r);
    q->match_uids = read_ascending(r);
    imap_expect(r, ')');
    if (!r->failed && set_size(&q->match_numbers) != set_size(&q->match_uids))
        imap_fail(r, "as many UIDs as message numbers");
}

/*
 * select-param =/ "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids]
 *                 [SP seq-match-data] ")"               RFC 7162 section 7
 */
void imap_read_qresync(struct imap_reader *r, struct imap_qresync *q)
{
    if (q->given)
        imap_fail(r, "QRESYNC once");
    q->given = true;
    imap_expect_space(r);
    imap_expect(r, '(');
    q->uidvalidity = (uint32_t)imap_read_number(r, 1, UINT32_MAX);
    imap_expect_space(r);
    q->modseq = imap_read_number(r, 1, IMAP_MODSEQ_MAX);
    bool more = imap_accept(r, ' ');
    if (more && imap_peek(r) != '(') {
        q->known = read_known(r);
        more = imap_accept(r, ' ');
    }
    if (more)
        read_match_data(r, q);
    imap_expect(r, ')');
}

/* ---- VANISHED ---- */

void imap_vanished_add(struct imap_vanished *v, uint32_t first, uint32_t last)
{
    struct buf *out = conn_out(v->s->conn);

    if (v->w.out != NULL && out->len - v->began > LINE_MAX_BYTES)
        imap_vanished_finish(v);
    if (v->w.out == NULL) {
        v->began = out->len;
        v->w = (struct imap_set_writer){.out = out};
        buf_add(out, v->earlier ? SLICE("* VANISHED (EARLIER) ") : SLICE("* VANISHED "));
    }
    imap_set_writer_add(&v->w, first, last);
}

void imap_vanished_finish(struct imap_vanished *v)
{
    if (v->w.out == NULL)
        return;
    imap_set_writer_end(&v->w);
    buf_add(v->w.out, SLICE("\r\n"));
    v->w.out = NULL;
}

/* Those UIDs of a range that the view does not have: whatever lies between the messages it has. */
static void vanish_gaps(struct imap_vanished *v, const struct view *view, uint32_t first, uint32_t last)
{
    struct view_cursor c;
    struct view_entry e;
    bool found;

    view_cursor_init(&c, view, view_find(view, first, &found));
    while (view_next(&c, &e) && e.uid <= last) {
        if (e.uid > first)
            imap_vanished_add(v, first, e.uid - 1);
        if (e.uid == last)
            return;
        first = e.uid + 1;
    }
    imap_vanished_add(v, first, last);
}

/*
 * What both sets have, but for what the view has: an expunge that came after the view is told of as one.
 * The log's UIDs are few where the changes are, so neither loop depends on the size of the mailbox.
 */
static void vanish_logged(struct imap_vanished *v, const struct view *view, const struct imap_set *uids,
                          const struct uid_set *gone)
{
    size_t i = 0;

    for (size_t k = 0; k < gone->count; k++) {
        struct uid_range g = gone->ranges[k];
        while (i < uids->count && uids->ranges[i].last < g.first)
            i++;
        for (size_t at = i; at < uids->count && uids->ranges[at].first <= g.last; at++) {
            uint32_t first = uids->ranges[at].first > g.first ? uids->ranges[at].first : g.first;
            uint32_t last = uids->ranges[at].last < g.last ? uids->ranges[at].last : g.last;
            vanish_gaps(v, view, first, last);
        }
    }
}

bool imap_tell_vanished(struct imap_session *s, struct imap_set uids, uint64_t since)
{
    const struct view *view = s->box.view;
    struct imap_vanished v = {.s = s, .earlier = true};
    uint32_t highest = view_uidnext(view) - 1; /* no UID above it has been given out */
    struct uid_set gone = {.count = 0};
    bool complete;
    struct fail why;

    uids = imap_set_resolve(&s->arena, uids, highest);
    while (uids.count > 0 && uids.ranges[uids.count - 1].first > highest)
        uids.count--;
    if (uids.count == 0)
        return true;
    if (uids.ranges[uids.count - 1].last > highest)
        uids.ranges[uids.count - 1].last = highest;
    if (!message_vanished(s->box.account, s->box.mailbox, since, &gone, &complete, &why)) {
        imap_no_because(s, &why);
        return false;
    }
    if (complete)
        vanish_logged(&v, view, &uids, &gone);
    for (size_t i = 0; i < uids.count && !complete; i++)
        vanish_gaps(&v, view, uids.ranges[i].first, uids.ranges[i].last);
    imap_vanished_finish(&v);
    uid_set_finish(&gone);
    return true;
}

/* ---- SELECT ---- */

struct resync {
    struct imap_set    known; /* count 0: all */
    uint64_t           since;
    struct view       *view;
    struct view_cursor cursor;
    size_t             known_at;
    const char        *ok;
};

/* The n-th number of a set, n from 0. */
static uint32_t nth(const struct imap_set *set, uint64_t n)
{
    size_t i = 0;

    for (;; i++) {
        uint64_t size = (uint64_t)set->ranges[i].last - set->ranges[i].first + 1;
        if (n < size)
            return set->ranges[i].first + (uint32_t)n;
        n -= size;
    }
}

static bool pair_matches(const struct imap_qresync *q, const struct view *v, uint64_t n)
{
    uint32_t number = nth(&q->match_numbers, n);

    return number <= view_count(v) && view_at(v, number - 1).uid == nth(&q->match_uids, n);
}

/*
 * The highest UID up to which the client's numbers are those of the mailbox, so that it knows of every
 * expunge there (section 3.2.5.2).  An expunge moves all numbers behind it: what matches is a prefix.
 */
static uint32_t known_up_to(const struct imap_qresync *q, const struct view *v)
{
    uint64_t low = 0, high = set_size(&q->match_uids); /* the first `low` match, from `high` on none does */

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (pair_matches(q, v, middle))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? nth(&q->match_uids, low - 1) : 0;
}

/* The part of a set that is above `low`. */
static struct imap_set above(struct arena *a, struct imap_set set, uint32_t low)
{
    struct imap_set out = {.ranges = arena_new_array(a, struct uid_range, set.count)};

    for (size_t i = 0; i < set.count && out.ranges != NULL; i++) {
        struct uid_range r = set.ranges[i];
        if (r.last <= low)
            continue;
        out.ranges[out.count++] = (struct uid_range){r.first > low ? r.first : low + 1, r.last};
    }
    return out;
}

static bool is_known(struct resync *c, uint32_t uid)
{
    if (c->known.count == 0)
        return true;
    while (c->known_at < c->known.count && c->known.ranges[c->known_at].last < uid)
        c->known_at++;
    return c->known_at < c->known.count && c->known.ranges[c->known_at].first <= uid;
}

static void end_resync(struct imap_session *s)
{
    struct resync *c = s->step_data;

    view_release(&c->view);
}

static enum turn resync_step(struct imap_session *s)
{
    struct resync *c = s->step_data;
    struct buf *out = conn_out(s->conn);
    struct view_entry e;

    while (view_next_changed(&c->cursor, c->since, &e)) {
        if (is_known(c, e.uid))
            imap_write_flag_fetch(s, out, c->cursor.position - 1, &e);
        if (conn_is_full(s->conn))
            return TURN_MORE;
    }
    imap_ok(s, "%s", c->ok);
    return TURN_PARK;
}

void imap_resynchronise(struct imap_session *s, const struct imap_qresync *q, const char *ok)
{
    struct uid_range all = {1, view_uidnext(s->box.view) - 1};
    struct resync *c = arena_new(&s->arena, struct resync);

    if (q->uidvalidity != s->box.uidvalidity) {
        imap_ok(s, "%s, but the UIDVALIDITY is another", ok);
        return;
    }
    if (c == NULL) {
        imap_deselect(s); /* NO to SELECT: none is selected */
        imap_no(s, "[LIMIT] The command is too large");
        return;
    }
    *c = (struct resync){
        .known = imap_set_resolve(&s->arena, q->known, 0),
        .since = q->modseq,
        .view = view_ref(s->box.view),
        .ok = ok,
    };
    view_cursor_init(&c->cursor, c->view, 0);
    s->step_data = c;
    s->cleanup = end_resync;
    struct imap_set uids = c->known.count > 0 ? c->known : (struct imap_set){.ranges = &all, .count = all.last > 0};
    if (imap_tell_vanished(s, above(&s->arena, uids, known_up_to(q, c->view)), q->modseq))
        s->step = resync_step;
    else
        imap_deselect(s);
}
