/*
 * imap/fetch.c - FETCH and UID FETCH.
 *
 * Layer: imap.  RFC 3501 section 6.4.5, RFC 7162 section 3.1.4.  UIDs, flags and
 * modseqs come from the session's view without asking anybody; the rest from the
 * store, some hundred messages at a time; bodies are sent by reference.
 */
#include "imap/fetch.h"
#include "imap/limit.h"
#include "imap/qresync.h"

#include "base/clock.h"
#include "base/fail.h"
#include "message/envelope.h"

enum {
    SCRATCH_MAX = 64 * 1024 * 1024,
    FLAGS_MAX = 16 * 1024 * 1024, /* of one message: more keywords than any limit allows */
};

static void end_fetch(struct imap_session *s)
{
    struct fetch *f = s->step_data;

    imap_fetch_end(&f);
}

/* A mailbox's messages have few different sets of flags: the last one written is kept as text. */
static void write_flags(struct imap_session *s, struct fetch *f, struct buf *out, const struct view_entry *e)
{
    bool recent = imap_is_recent(s, e->uid);

    if (f->flags.len == 0 || f->flags_of != e->flags || f->keywords_of != e->keyword_set ||
        f->recent_of != recent) {
        buf_reset(&f->flags);
        buf_add(&f->flags, SLICE("FLAGS "));
        imap_write_flags(&f->flags, s->box.account, e->flags, e->keyword_set, recent);
        f->flags_of = e->flags;
        f->keywords_of = e->keyword_set;
        f->recent_of = recent;
    }
    buf_add(out, buf_slice(&f->flags));
}

static void write_modseq(struct buf *out, const struct view_entry *e)
{
    buf_add(out, SLICE("MODSEQ ("));
    buf_add_u64(out, e->modseq);
    buf_add_char(out, ')');
}

/* Needs nothing of the message's row. */
static bool is_bare(const struct fetch_item *item)
{
    return item->kind == ITEM_ENVELOPE || item->kind == ITEM_BODY || item->kind == ITEM_BODYSTRUCTURE;
}

static bool in_view(const struct fetch_item *item)
{
    return item->kind == ITEM_UID || item->kind == ITEM_FLAGS || item->kind == ITEM_MODSEQ;
}

/* RFC 9051 section 7.5.2 shows what RFC 2231 encoded as UTF-8; before, nobody could expect that. */
static void write_structure(struct imap_session *s, const struct mime_part *root, bool extended)
{
    struct buf *out = conn_out(s->conn);
    unsigned form = (extended ? BODY_EXTENDED : 0) | (imap_speaks_utf8(s) ? BODY_UTF8 : 0);

    buf_add(out, extended ? SLICE("BODYSTRUCTURE ") : SLICE("BODY "));
    if (root != NULL)
        bodystructure_write(out, root, form);
    else
        buf_add(out, SLICE("(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)"));
}

/* fetch-threadid-resp = "THREADID" SP ( "(" objectid ")" / nil )      RFC 8474 section 5.3 */
static void write_thread(const struct imap_session *s, struct buf *out, uint64_t thread_id)
{
    buf_add(out, SLICE("THREADID "));
    if (thread_id == 0) { /* a damaged message from before there were threads */
        buf_add(out, SLICE("NIL"));
        return;
    }
    buf_add_char(out, '(');
    imap_write_threadid(out, imap_foreign(s), thread_id);
    buf_add_char(out, ')');
}

static void write_view_item(struct imap_session *s, struct fetch *f, const struct fetch_item *item,
                            const struct view_entry *e)
{
    struct buf *out = conn_out(s->conn);

    if (item->kind == ITEM_FLAGS) {
        write_flags(s, f, out, e);
    } else if (item->kind == ITEM_MODSEQ) {
        write_modseq(out, e);
    } else {
        buf_add(out, SLICE("UID "));
        buf_add_u64(out, e->uid);
    }
}

/* `m` is NULL where plan() found that the view knows all that was asked for. */
static void write_item(struct imap_session *s, struct fetch *f, const struct fetch_item *item,
                       const struct view_entry *e, struct fetch_message *m)
{
    struct buf *out = conn_out(s->conn);

    if (in_view(item)) {
        write_view_item(s, f, item, e);
        return;
    }
    if (m == NULL)
        bug("item %d is not in the view", (int)item->kind);
    switch (item->kind) {
    case ITEM_UID:
    case ITEM_FLAGS:
    case ITEM_MODSEQ: break;
    case ITEM_INTERNALDATE:
        buf_add(out, SLICE("INTERNALDATE "));
        imap_write_date_time(out, m->info->internal_date, m->info->internal_zone);
        break;
    case ITEM_SIZE:
        buf_add(out, SLICE("RFC822.SIZE "));
        buf_add_u64(out, m->info->size);
        break;
    case ITEM_EMAILID:
        buf_add(out, SLICE("EMAILID ("));
        imap_write_emailid(out, imap_foreign(s), m->info->message_id);
        buf_add_char(out, ')');
        break;
    case ITEM_THREADID: write_thread(s, out, m->info->thread_id); break;
    case ITEM_ENVELOPE:
        buf_add(out, SLICE("ENVELOPE "));
        buf_add(out, m->info->envelope.len > 0 ? m->info->envelope
                                               : SLICE("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"));
        break;
    case ITEM_BODY: write_structure(s, m->root, false); break;
    case ITEM_BODYSTRUCTURE: write_structure(s, m->root, true); break;
    case ITEM_SAVEDATE:
        buf_add(out, SLICE("SAVEDATE "));
        imap_write_date_time(out, m->info->saved_date, clock_zone_minutes(m->info->saved_date));
        break;
    case ITEM_PREVIEW:
        buf_add(out, SLICE("PREVIEW "));
        imap_write_string(out, m->info->preview);
        break;
    case ITEM_SECTION:
    case ITEM_BINARY:
    case ITEM_BINARY_SIZE: fetch_write_section(s, f, item, m); break;
    }
}

static bool asks_for(const struct fetch *f, enum fetch_kind kind)
{
    for (const struct fetch_item *i = f->args.items; i != NULL; i = i->next)
        if (i->kind == kind)
            return true;
    return false;
}

/*
 * false: others have their turn now, or output must drain; f->resume is the item to go on with.  So a
 * message of which much is asked holds neither a worker nor memory for all of it.
 */
static bool write_message(struct imap_session *s, struct fetch *f, const struct fetch_entry *e,
                          struct fetch_message *m)
{
    const struct fetch_item *item = f->resume != NULL ? f->resume : f->args.items;
    struct buf *out = conn_out(s->conn);

    if (f->resume == NULL)
        imap_begin_fetch(s, out, e->position, e->entry.uid);
    f->resume = NULL;
    while (item != NULL) {
        write_item(s, f, item, &e->entry, m);
        item = item->next;
        if (item != NULL)
            buf_add_char(conn_out(s->conn), ' ');
        if (item != NULL && !f->only_view && (f->costly || conn_is_full(s->conn))) {
            f->resume = item;
            return false;
        }
    }
    out = conn_out(s->conn);
    if (e->with_flags && !asks_for(f, ITEM_FLAGS)) {
        buf_add_char(out, ' ');
        write_flags(s, f, out, &e->entry);
    }
    if (e->with_flags && (s->enabled & IMAP_CONDSTORE) && !asks_for(f, ITEM_MODSEQ)) {
        buf_add_char(out, ' ');
        write_modseq(out, &e->entry);
    }
    buf_add(out, SLICE(")\r\n"));
    return true;
}

/* The next message of the set that CHANGEDSINCE lets through; false at the end. */
static bool next_message(struct fetch *f, const struct view *v, struct fetch_entry *out)
{
    for (;;) {
        uint32_t position;
        bool found = imap_spans_next(&f->spans, &f->at, &position);
        if (!found)
            return false;
        if (f->cursor.view == NULL || f->cursor.position != position)
            view_cursor_init(&f->cursor, v, position);
        view_next(&f->cursor, &out->entry);
        out->position = position;
        out->with_flags = false;
        if (f->news != NULL) {
            const struct view_diff *d = &f->news->diff;
            while (f->news_at < d->changed_count && d->changed[f->news_at] < position)
                f->news_at++;
            out->with_flags = f->news_at < d->changed_count && d->changed[f->news_at] == position;
        }
        if (!f->args.changed || out->entry.modseq > f->args.changed_since)
            return true;
    }
}

static enum turn answer_from_view(struct imap_session *s, struct fetch *f)
{
    struct fetch_entry e;

    while (next_message(f, s->box.view, &e)) {
        (void)write_message(s, f, &e, NULL);
        if (conn_is_full(s->conn))
            return TURN_MORE;
    }
    imap_ok(s, "Fetched");
    return TURN_PARK;
}

/* A part in an encoding that nobody knows fails the FETCH, but not for the other messages. */
static bool can_decode(const struct fetch *f, const struct fetch_message *m)
{
    for (const struct fetch_item *i = f->args.items; i != NULL; i = i->next)
        if ((i->kind == ITEM_BINARY || i->kind == ITEM_BINARY_SIZE) && !section_can_decode(i, m))
            return false;
    return true;
}

struct batch_ctx {
    struct imap_session *s;
    struct fetch *f;
};

static bool answer_message(void *ctx, const struct message_info *info)
{
    struct imap_session *s = ((struct batch_ctx *)ctx)->s;
    struct fetch *f = ((struct batch_ctx *)ctx)->f;
    struct fetch_message m = {.info = info};

    while (f->batch_at < f->batch_count && f->batch[f->batch_at].entry.uid < info->uid) {
        if (f->resume != NULL)
            return false;
        f->batch_at++;
        f->missing = true;
    }
    if (f->batch_at == f->batch_count || f->batch[f->batch_at].entry.uid != info->uid)
        return true; /* not one of ours */
    if (f->needs_root)
        m.root = mime_unpack(&f->scratch, info->structure);
    bool decodes = f->resume != NULL || can_decode(f, &m);
    f->unknown_cte = f->unknown_cte || !decodes;
    if (!decodes || write_message(s, f, &f->batch[f->batch_at], &m))
        f->batch_at++;
    store_body_release(&m.body);
    arena_reset(&f->scratch);
    return !conn_is_full(s->conn) && !f->costly;
}

/* The UIDs of what is left of the batch, neighbours joined. */
static size_t batch_ranges(const struct fetch *f, struct uid_range *out)
{
    size_t count = 0;

    for (size_t i = f->batch_at; i < f->batch_count; i++) {
        const struct fetch_entry *e = &f->batch[i];
        if (i > f->batch_at && f->batch[i - 1].position + 1 == e->position)
            out[count - 1].last = e->entry.uid;
        else
            out[count++] = (struct uid_range){e->entry.uid, e->entry.uid};
    }
    return count;
}

static enum turn answer_from_store(struct imap_session *s, struct fetch *f)
{
    struct uid_range ranges[FETCH_BATCH];
    struct batch_ctx ctx = {s, f};
    struct fail why;

    for (;;) {
        if (f->batch_at == f->batch_count) {
            f->batch_at = f->batch_count = 0;
            while (f->batch_count < FETCH_BATCH && next_message(f, s->box.view, &f->batch[f->batch_count]))
                f->batch_count++;
            if (f->batch_count == 0)
                break;
        }
        size_t count = batch_ranges(f, ranges);
        if (!message_fetch(s->box.account, s->box.mailbox, ranges, count, f->what, answer_message, &ctx, &why)) {
            if (f->resume != NULL)
                break;
            imap_no_because(s, &why);
            return TURN_PARK;
        }
        if (conn_is_full(s->conn))
            return TURN_MORE;
        if (f->costly) {
            f->costly = false;
            return TURN_AGAIN;
        }
        if (f->resume != NULL)
            break;
        f->missing = f->missing || f->batch_at < f->batch_count;
        f->batch_at = f->batch_count;
    }
    if (f->resume != NULL) { /* half of a response is out, and its message is not to be had any more */
        s->closing = true;
        return TURN_CLOSE;
    }
    if (f->failed.text[0] != '\0')
        imap_no_because(s, &f->failed); /* a client that believed the NIL would keep an empty message */
    else if (f->missing)
        imap_no(s, "[EXPUNGEISSUED] Some of the messages are gone");
    else if (f->unknown_cte)
        imap_no(s, "[UNKNOWN-CTE] The Content-Transfer-Encoding of a part is not known");
    else
        imap_ok(s, "Fetched");
    return TURN_PARK;
}

static enum turn fetch_step(struct imap_session *s)
{
    struct fetch *f = s->step_data;

    if (f->news != NULL && !imap_news_tell(s, f->news))
        return TURN_MORE;
    return f->only_view ? answer_from_view(s, f) : answer_from_store(s, f);
}

/* What the items need beyond the view. */
static void plan(struct fetch *f)
{
    bool bare = true;

    f->only_view = true;
    for (const struct fetch_item *i = f->args.items; i != NULL; i = i->next) {
        bool structure = i->kind == ITEM_BODY || i->kind == ITEM_BODYSTRUCTURE ||
                         (i->kind >= ITEM_SECTION && (i->depth > 0 || i->part != PART_ALL));
        f->only_view = f->only_view && in_view(i);
        bare = bare && (in_view(i) || is_bare(i));
        if (i->kind == ITEM_PREVIEW)
            f->what |= FETCH_PREVIEW;
        if (i->kind == ITEM_ENVELOPE)
            f->what |= FETCH_ENVELOPE;
        if (i->kind == ITEM_THREADID)
            f->what |= FETCH_THREAD;
        if (structure) {
            f->what |= FETCH_STRUCTURE;
            f->needs_root = true;
        }
    }
    if (bare)
        f->what |= FETCH_BARE;
}

/*
 * BODY[...] sets \Seen (RFC 3501 section 6.4.5): on all messages of the set that lack it, at once
 * and before anything is answered, so that the flags in the answers are what is true.  false: answered.
 */
static bool set_seen(struct imap_session *s, struct fetch *f)
{
    struct flag_change change = {.op = FLAGS_ADD, .flags = STORE_SEEN, .user = imap_seen_user(s)};
    struct imap_spans_at at = {0};
    struct imap_spans unseen = {0};
    uint32_t position;
    uint64_t modseq;
    struct fail why;

    if (!(s->box.rights & RIGHT_SEEN)) /* RFC 4314 section 4: then it is not set */
        return true;
    unseen.items = arena_new_array(&s->arena, struct imap_span, (size_t)imap_spans_size(&f->spans));
    if (unseen.items == NULL) {
        imap_no(s, "[LIMIT] Too many messages at once");
        return false;
    }
    while (imap_spans_next(&f->spans, &at, &position)) {
        struct view_entry e = view_at(s->box.view, position);
        if ((e.flags & (STORE_SEEN | VIEW_GONE)) || (f->args.changed && e.modseq <= f->args.changed_since))
            continue;
        if (unseen.count > 0 && unseen.items[unseen.count - 1].end == position)
            unseen.items[unseen.count - 1].end++;
        else
            unseen.items[unseen.count++] = (struct imap_span){position, position + 1};
    }
    if (unseen.count == 0)
        return true;
    struct imap_set uids = imap_spans_uids(&s->arena, s->box.view, &unseen);
    if (!message_flags(s->box.account, s->box.mailbox, uids.ranges, uids.count, &change, NULL, &modseq, &why)) {
        imap_no_because(s, &why);
        return false;
    }
    f->news = imap_news_gather(s, false);
    if (f->news != NULL)
        f->news->own = &f->spans;
    if (!s->closing)
        return true;
    imap_no(s, "[UNAVAILABLE] The mailbox is not there");
    return false;
}

/* A client that knows modseqs hears the one that goes with the flags (RFC 7162 section 3.1). */
static void add_modseq(struct arena *a, struct fetch *f)
{
    struct fetch_item **tail = &f->args.items;
    struct fetch_item *item = arena_new(a, struct fetch_item);

    if (item == NULL || !asks_for(f, ITEM_FLAGS) || asks_for(f, ITEM_MODSEQ))
        return;
    while (*tail != NULL)
        tail = &(*tail)->next;
    item->kind = ITEM_MODSEQ;
    *tail = item;
}

/* RFC 9051 appendix E: BODY[], BODY[HEADER] and BODY[TEXT] are all there is. */
static bool has_old_items(const struct fetch *f)
{
    for (const struct fetch_item *i = f->args.items; i != NULL; i = i->next)
        if (i->kind == ITEM_SECTION && slice_starts(i->label, SLICE("RFC822")))
            return true;
    return false;
}

static void put_uid_first(struct arena *a, struct fetch_args *args)
{
    struct fetch_item *uid = NULL, **link;

    for (link = &args->items; *link != NULL && (*link)->kind != ITEM_UID;)
        link = &(*link)->next;
    uid = *link;
    if (uid != NULL)
        *link = uid->next;
    else
        uid = arena_new(a, struct fetch_item);
    if (uid == NULL)
        return;
    uid->kind = ITEM_UID;
    uid->next = args->items;
    args->items = uid;
}

/* RFC 7162 section 3.2.6; false: answered. */
static bool vanished_allowed(struct imap_session *s, const struct fetch_args *args)
{
    if (!(s->enabled & IMAP_QRESYNC))
        imap_bad(s, "Expected ENABLE QRESYNC before VANISHED");
    else if (!s->by_uid)
        imap_bad(s, "Expected UID FETCH with VANISHED");
    else if (!args->changed)
        imap_bad(s, "Expected CHANGEDSINCE with VANISHED");
    return s->answer.len == 0;
}

static void begin(struct imap_session *s, struct fetch *f)
{
    if (s->enabled & IMAP_CONDSTORE)
        add_modseq(&s->arena, f);
    plan(f);
    buf_init(&f->flags, FLAGS_MAX);
    arena_init(&f->scratch, SCRATCH_MAX);
}

struct fetch *imap_fetch_begin(struct imap_session *s, const struct fetch_item *items, struct imap_spans spans)
{
    struct fetch *f = arena_new(&s->arena, struct fetch);
    struct fetch_item **tail;

    if (f == NULL)
        return NULL;
    tail = &f->args.items;
    for (; items != NULL; items = items->next) { /* a list of our own: it may grow */
        *tail = arena_new(&s->arena, struct fetch_item);
        if (*tail == NULL)
            return NULL;
        **tail = *items;
        tail = &(*tail)->next;
    }
    *tail = NULL;
    f->spans = spans;
    begin(s, f);
    return f;
}

/* The step is made for commands: what it answers is put aside. */
bool imap_fetch_more(struct imap_session *s, struct fetch *f)
{
    struct slice answer = s->answer;
    void *step_data = s->step_data;

    s->answer = (struct slice){0};
    s->step_data = f;
    (void)fetch_step(s);
    bool done = s->answer.len > 0 || s->closing;
    s->answer = answer;
    s->step_data = step_data;
    return done;
}

void imap_fetch_end(struct fetch **f)
{
    if (*f == NULL)
        return;
    buf_finish(&(*f)->flags);
    arena_finish(&(*f)->scratch);
    *f = NULL;
}

void imap_fetch(struct imap_session *s, struct imap_reader *r)
{
    struct fetch *f = arena_new(&s->arena, struct fetch);

    if (f == NULL) {
        imap_no(s, "[LIMIT] The command is too large");
        return;
    }
    f->args = fetch_args_read(r);
    if (r->failed) {
        imap_bad_args(s, r);
        return;
    }
    if (f->args.windowed && !s->by_uid) {
        imap_bad(s, "Expected UID FETCH for PARTIAL");
        return;
    }
    if (f->args.vanished && !vanished_allowed(s, &f->args))
        return;
    if ((s->enabled & IMAP_REV2) && has_old_items(f)) {
        imap_bad(s, "IMAP4rev2 has BODY[], BODY[HEADER] and BODY[TEXT] in place of RFC822 items");
        return;
    }
    if (f->args.has_modseq)
        imap_enable_condstore(s);
    if (!imap_resolve(s, f->args.set, &f->spans))
        return;
    if (f->args.windowed)
        f->spans = imap_spans_window(&s->arena, &f->spans, f->args.window);
    imap_limit_spans(s, &f->spans, 0);
    if (s->by_uid && !(s->enabled & IMAP_UIDONLY))
        put_uid_first(&s->arena, &f->args);
    begin(s, f);
    s->step_data = f;
    s->cleanup = end_fetch;
    if (f->args.sets_seen && !s->box.read_only && (s->box.rights & RIGHT_SEEN) && !set_seen(s, f))
        return;
    if (f->args.vanished && !imap_tell_vanished(s, f->args.set, f->args.changed_since)) {
        s->news = f->news; /* the view has moved on already */
        return;
    }
    s->step = fetch_step;
}
