/*
 * imap/news.c - what has happened to the selected mailbox, told when it may be.
 *
 * Layer: imap.  RFC 3501 sections 5.2, 7.3.1, 7.4.1.  The session's view is what
 * the client has been told, no more and no less: sequence numbers mean positions
 * in it, and it changes only here, together with the lines that say so.
 */
#include "imap/context.h"
#include "imap/notify.h"
#include "imap/qresync.h"
#include "imap/saved.h"

#include <stdlib.h>

#include "base/fail.h"
#include "base/map.h"

static void lose_mailbox(struct imap_session *s, const struct fail *why)
{
    if (why->reason == FAIL_NOT_FOUND) {
        imap_bye(s, "The selected mailbox was deleted");
        return;
    }
    log_event(LOG_WARNING, "imap.failed", LOG_CSTR("session", conn_session_id(s->conn).text), LOG_FAIL(why));
    imap_bye(s, "The selected mailbox cannot be read now");
}

bool imap_open_view(struct imap_session *s, struct account *a, uint64_t mailbox_id, bool take, struct view **out,
                    uint32_t *first_recent, struct fail *why)
{
    if (a == s->account)
        return view_open_recent(a, mailbox_id, take, out, first_recent, why);
    if (!view_open_for(a, mailbox_id, account_id(s->account), out, why))
        return false;
    *first_recent = view_uidnext(*out);
    return true;
}

bool imap_unpark(struct imap_session *s)
{
    struct fail why;

    if (s->box.view != NULL)
        return true;
    if (view_restore_for(s->box.account, s->box.mailbox, imap_seen_user(s), s->box.token, &s->box.view, &why))
        return true;
    lose_mailbox(s, &why);
    return false;
}

void imap_add_recent(struct imap_session *s, uint32_t first, uint32_t end)
{
    if (first >= end)
        return;
    uid_set_add(&s->box.recent, first);
    s->box.recent.ranges[s->box.recent.count - 1].last = end - 1;
}

uint32_t imap_count_recent(const struct imap_session *s)
{
    uint32_t count = 0;
    bool found;

    for (size_t i = 0; i < s->box.recent.count; i++) {
        uint32_t first = view_find(s->box.view, s->box.recent.ranges[i].first, &found);
        uint32_t end = view_find(s->box.view, s->box.recent.ranges[i].last, &found);
        count += end + (found ? 1 : 0) - first;
    }
    return count;
}

/* Those that the client's rights let it change (RFC 4314 section 5.1.1). */
static void write_permanent_flags(struct buf *out, unsigned rights, const struct keyword_set *keywords)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {{STORE_ANSWERED, "\\Answered"}, {STORE_FLAGGED, "\\Flagged"}, {STORE_DELETED, "\\Deleted"},
                 {STORE_SEEN, "\\Seen"},         {STORE_DRAFT, "\\Draft"}};
    bool any = false;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!(imap_flags_by(rights) & names[i].flag))
            continue;
        if (any)
            buf_add_char(out, ' ');
        any = true;
        buf_add(out, slice_of(names[i].name));
    }
    if (!(rights & RIGHT_WRITE))
        return;
    for (size_t i = 0; i < keywords->count; i++) {
        buf_add_char(out, ' ');
        buf_add(out, keywords->names[i]);
    }
    buf_add(out, SLICE(" \\*"));
}

static int by_text(const void *one, const void *other)
{
    return slice_cmp(*(const struct slice *)one, *(const struct slice *)other);
}

/* Those of the messages in the view. */
static struct keyword_set keywords_in_view(struct imap_session *s)
{
    struct keyword_set out = {.count = 0};
    struct idmap sets;
    struct map names;
    struct view_cursor at;
    struct view_entry e;
    struct slice key;
    size_t walk = 0;
    void *found;

    idmap_init(&sets);
    map_init(&names);
    view_cursor_init(&at, s->box.view, 0);
    while (view_next(&at, &e)) {
        if (e.keyword_set == 0 || idmap_put(&sets, e.keyword_set, s) != NULL)
            continue;
        struct keyword_set set = account_keyword_set(s->box.account, e.keyword_set);
        for (size_t i = 0; i < set.count; i++)
            map_put(&names, set.names[i], s);
    }
    struct slice *list = arena_new_array(&s->arena, struct slice, names.count + 1);
    while (list != NULL && map_next(&names, &walk, &key, &found))
        list[out.count++] = arena_keep(&s->arena, key);
    if (out.count > 0)
        qsort(list, out.count, sizeof *list, by_text);
    out.names = list;
    map_finish(&names);
    idmap_finish(&sets);
    return out;
}

/* One's own account's; of another account those in this mailbox alone: the others name what is not shared. */
static struct keyword_set keywords_of(struct imap_session *s)
{
    return s->box.account == s->account ? account_keywords(s->account, &s->arena) : keywords_in_view(s);
}

static uint32_t mark_of(const struct keyword_set *keywords)
{
    uint64_t mark = keywords->count;

    for (size_t i = 0; i < keywords->count; i++)
        mark += hash_bytes(keywords->names[i]);
    return (uint32_t)mark;
}

void imap_tell_flags(struct imap_session *s)
{
    static const struct slice system_flags = {"\\Answered \\Flagged \\Deleted \\Seen \\Draft", 40};
    struct keyword_set keywords = keywords_of(s);
    struct buf *out = conn_out(s->conn);

    buf_add(out, SLICE("* FLAGS ("));
    buf_add(out, system_flags);
    for (size_t i = 0; i < keywords.count; i++) {
        buf_add_char(out, ' ');
        buf_add(out, keywords.names[i]);
    }
    buf_add(out, SLICE(")\r\n* OK [PERMANENTFLAGS ("));
    if (!s->box.read_only)
        write_permanent_flags(out, s->box.rights, &keywords);
    buf_add(out, SLICE(")] These are kept\r\n"));
    s->box.keywords_told = mark_of(&keywords);
}

/* Keywords that the client has not heard of are told before the messages that have them. */
static void tell_new_keywords(struct imap_session *s, const struct imap_news *n)
{
    const struct view *v = s->box.view;
    uint32_t count = view_count(v);
    bool any = false;

    for (size_t i = 0; i < n->diff.changed_count && !any; i++)
        any = view_at(v, n->diff.changed[i]).keyword_set != 0;
    for (uint32_t i = count - n->diff.added; i < count && !any; i++)
        any = view_at(v, i).keyword_set != 0;
    if (!any)
        return;
    struct keyword_set keywords = keywords_of(s);
    if (mark_of(&keywords) != s->box.keywords_told)
        imap_tell_flags(s);
}

/* VANISHED names by UID what EXPUNGE names by number (RFC 7162 section 3.2.10, RFC 9586 section 3.5). */
static bool name_gone(struct imap_session *s, struct imap_news *n, const struct view *then)
{
    n->gone_left = n->diff.gone_count;
    n->catches_up = view_whole_modseq(then) != view_modseq(then);
    if (n->gone_left == 0 || !(s->enabled & (IMAP_QRESYNC | IMAP_UIDONLY)))
        return true;
    n->gone_uids = arena_new_array(&s->arena, uint32_t, n->gone_left);
    for (size_t i = 0; i < n->gone_left && n->gone_uids != NULL; i++)
        n->gone_uids[i] = view_at(then, n->diff.gone[i]).uid;
    return n->gone_uids != NULL;
}

struct imap_news *imap_news_gather(struct imap_session *s, bool expunges)
{
    struct view *now = NULL, *then;
    struct imap_news *n;
    struct fail why;
    bool keeps_gone = false;
    uint32_t first_recent;

    if (s->state != IMAP_SELECTED || !imap_unpark(s))
        return NULL;
    then = s->box.view;
    if (!imap_open_view(s, s->box.account, s->box.mailbox, !s->box.read_only, &now, &first_recent, &why)) {
        lose_mailbox(s, &why);
        return NULL;
    }
    if (now == then) {
        view_release(&now);
        return NULL;
    }
    if (view_uidvalidity(now) != s->box.uidvalidity) {
        imap_bye(s, "The selected mailbox was rebuilt");
        view_release(&now);
        return NULL;
    }
    if (!expunges) {
        struct view *kept = view_keep_gone(then, now);
        keeps_gone = kept != now;
        view_release(&now);
        now = kept;
    }
    n = arena_new(&s->arena, struct imap_news);
    if (n == NULL || !view_diff(then, now, &s->arena, &n->diff) || !name_gone(s, n, then)) {
        imap_bye(s, "Too much has happened");
        view_release(&now);
        return NULL;
    }
    if (n->diff.added > 0)
        imap_add_recent(s, first_recent > view_uidnext(then) ? first_recent : view_uidnext(then),
                        view_uidnext(now));
    s->box.view = now;
    s->box.has_gone = keeps_gone;
    imap_contexts_gather(s, n, then);
    view_release(&then);
    return n->diff.gone_count + n->diff.changed_count + n->diff.added > 0 ? n : NULL;
}

/*
 * message-data  = nz-number SP "FETCH" SP msg-att
 * uidfetch-resp = uniqueid SP "UIDFETCH" SP msg-att     RFC 9586 section 4
 */
void imap_begin_fetch(const struct imap_session *s, struct buf *b, uint32_t position, uint32_t uid)
{
    bool uidonly = (s->enabled & IMAP_UIDONLY) != 0;

    buf_add(b, SLICE("* "));
    buf_add_u64(b, uidonly ? uid : (uint64_t)position + 1);
    buf_add(b, uidonly ? SLICE(" UIDFETCH (") : SLICE(" FETCH ("));
}

bool imap_tells_uid(const struct imap_session *s)
{
    return !(s->enabled & IMAP_UIDONLY) &&
           (s->by_uid || (s->enabled & (IMAP_CONDSTORE | IMAP_REV2)) || imap_notify_of(s) != NULL);
}

void imap_write_flag_fetch(struct imap_session *s, struct buf *b, uint32_t position,
                           const struct view_entry *e)
{
    imap_begin_fetch(s, b, position, e->uid);
    if (imap_tells_uid(s)) {
        buf_add(b, SLICE("UID "));
        buf_add_u64(b, e->uid);
        buf_add_char(b, ' ');
    }
    buf_add(b, SLICE("FLAGS "));
    imap_write_flags(b, s->box.account, e->flags, e->keyword_set, imap_is_recent(s, e->uid));
    if (s->enabled & IMAP_CONDSTORE) {
        buf_add(b, SLICE(" MODSEQ ("));
        buf_add_u64(b, e->modseq);
        buf_add_char(b, ')');
    }
    buf_add(b, SLICE(")\r\n"));
}

void imap_write_counts(const struct imap_session *s, struct buf *out)
{
    buf_add(out, SLICE("* "));
    buf_add_u64(out, view_count(s->box.view));
    buf_add(out, SLICE(" EXISTS\r\n"));
    if (s->enabled & IMAP_REV2)
        return;
    buf_add(out, SLICE("* "));
    buf_add_u64(out, imap_count_recent(s));
    buf_add(out, SLICE(" RECENT\r\n"));
}

static void tell_arrivals(struct imap_session *s, const struct imap_news *n)
{
    struct buf *out = conn_out(s->conn);

    tell_new_keywords(s, n);
    if (n->diff.added == 0)
        return;
    imap_write_counts(s, out);
}

/* From the last to the first, so that each number still means what the client thinks. */
static bool tell_expunged(struct imap_session *s, struct imap_news *n)
{
    struct buf *out = conn_out(s->conn);

    while (n->gone_left > 0) {
        if (conn_is_full(s->conn))
            return false;
        buf_add(out, SLICE("* "));
        buf_add_u64(out, (uint64_t)n->diff.gone[--n->gone_left] + 1);
        buf_add(out, SLICE(" EXPUNGE\r\n"));
    }
    return true;
}

static void tell_vanished(struct imap_session *s, struct imap_news *n)
{
    struct imap_vanished v = {.s = s};

    for (size_t i = 0; i < n->diff.gone_count; i++)
        imap_vanished_add(&v, n->gone_uids[i], n->gone_uids[i]);
    imap_vanished_finish(&v);
    n->gone_left = 0;
}

void imap_tell_held_modseq(struct imap_session *s)
{
    if (s->state == IMAP_SELECTED && s->box.has_gone && (s->enabled & IMAP_CONDSTORE))
        conn_printf(s->conn, "* OK [HIGHESTMODSEQ %llu] Some messages are gone, of which you will hear\r\n",
                    (unsigned long long)view_whole_modseq(s->box.view));
}

bool imap_news_tell(struct imap_session *s, struct imap_news *n)
{
    struct buf *out = conn_out(s->conn);

    imap_contexts_tell_gone(s, n);
    if (n->gone_uids != NULL && n->gone_left > 0)
        tell_vanished(s, n);
    else if (!tell_expunged(s, n))
        return false;
    if (!n->started)
        tell_arrivals(s, n);
    n->started = true;
    if ((imap_notify_wants(s) & (WATCH_NEW | WATCH_FLAGS)) == WATCH_NEW) /* not FlagChange; a snapshot is given up whole */
        n->changed_at = n->diff.changed_count;
    while (n->changed_at < n->diff.changed_count) {
        if (conn_is_full(s->conn))
            return false;
        uint32_t position = n->diff.changed[n->changed_at++];
        if (n->own != NULL && imap_spans_have(n->own, position))
            continue;
        struct view_entry e = view_at(s->box.view, position);
        imap_write_flag_fetch(s, out, position, &e);
    }
    if (!imap_contexts_tell(s, n))
        return false;
    /* RFC 7162 section 6: the number that was kept low while expunges were held back */
    if (n->catches_up && !s->box.has_gone && (s->enabled & IMAP_CONDSTORE))
        buf_addf(out, "* OK [HIGHESTMODSEQ %llu] You know all of it\r\n",
                 (unsigned long long)view_modseq(s->box.view));
    n->catches_up = false;
    n->fetched = n->fetched || imap_notify_fetch(s, n);
    return n->fetched;
}

void imap_enable_condstore(struct imap_session *s)
{
    if (s->enabled & IMAP_CONDSTORE)
        return;
    s->enabled |= IMAP_CONDSTORE;
    if (s->state == IMAP_SELECTED && imap_unpark(s))
        conn_printf(s->conn, "* OK [HIGHESTMODSEQ %llu] MODSEQ is told from now on\r\n",
                    (unsigned long long)view_modseq(s->box.view));
}

bool imap_resolve(struct imap_session *s, struct imap_set set, struct imap_spans *out)
{
    if (!imap_unpark(s)) {
        imap_no(s, "[UNAVAILABLE] The mailbox cannot be read now");
        return false;
    }
    if (set.saved)
        *out = imap_saved_spans(s);
    else if (s->by_uid)
        *out = imap_spans_of_uids(&s->arena, s->box.view, set);
    else if (!imap_spans_of_numbers(&s->arena, s->box.view, set, out)) {
        imap_bad(s, "Expected message numbers from 1 to %u", view_count(s->box.view));
        return false;
    }
    return true;
}
