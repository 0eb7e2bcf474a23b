/*
 * pop3/drop.c - the maildrop: what is in it, and what is marked to go.
 *
 * Layer: pop3.  RFC 1939 sections 5 and 6.  Lists are written as far as output drains,
 * from rows that are read again where they were left: nothing of them is kept.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/log.h"
#include "pop3/session.h"

/* ---- marks: one bit a message for DELE, behind them one a message for RETR ---- */

static size_t mark_words(const struct pop3_drop *d)
{
    return ((size_t)d->count + 63) / 64;
}

static uint64_t *marks(struct pop3_drop *d)
{
    if (d->marks == NULL)
        d->marks = xcalloc(2 * mark_words(d), sizeof *d->marks);
    return d->marks;
}

static bool is_marked(const struct pop3_drop *d, size_t kind, uint32_t position)
{
    return d->marks != NULL && (d->marks[kind * mark_words(d) + position / 64] >> position % 64 & 1) != 0;
}

bool pop3_is_deleted(const struct pop3_drop *d, uint32_t position)
{
    return is_marked(d, 0, position);
}

void pop3_note_sent(struct pop3_session *s, uint32_t position)
{
    struct pop3_drop *d = &s->drop;

    if (s->service->limits.mark_seen && (view_at(d->view, position).flags & STORE_SEEN) == 0)
        marks(d)[mark_words(d) + position / 64] |= UINT64_C(1) << position % 64;
}

/* ---- the view ---- */

static bool open_drop(struct pop3_session *s, struct fail *why)
{
    struct pop3_drop *d = &s->drop;
    struct mailbox_info inbox;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    bool ok = mailbox_find(s->account, SLICE("INBOX"), &arena, &inbox, why);
    arena_finish(&arena);
    if (!ok || !store_maildrop_open(s->account, inbox.id, &d->view, &d->octets, why))
        return false;
    d->mailbox = inbox.id;
    d->count = view_count(d->view);
    return true;
}

enum turn pop3_open_drop(struct pop3_session *s)
{
    struct fail why;

    s->step = NULL;
    if (!open_drop(s, &why)) {
        pop3_err_because(s, "login", &why);
        pop3_close(s);
        return TURN_PARK;
    }
    s->state = POP3_TRANSACTION;
    pop3_ok(s, "%u messages, %llu octets", s->drop.count, (unsigned long long)s->drop.octets);
    return TURN_PARK;
}

bool pop3_need_view(struct pop3_session *s)
{
    struct pop3_drop *d = &s->drop;
    struct fail why;

    if (d->view != NULL || view_restore(s->account, d->mailbox, d->token, &d->view, &why))
        return true;
    pop3_err_because(s, "view", &why);
    pop3_close(s); /* nothing it says of a number would be true any more */
    return false;
}

void pop3_park_view(struct pop3_session *s)
{
    struct pop3_drop *d = &s->drop;

    if (d->view == NULL)
        return;
    d->token = view_token(d->view);
    view_release(&d->view);
}

void pop3_close_drop(struct pop3_session *s)
{
    view_release(&s->drop.view);
    free(s->drop.marks);
    s->drop.marks = NULL;
}

/* ---- one message ---- */

struct finding {
    struct arena *arena;
    struct maildrop_message *out;
    bool found;
};

static bool take_row(void *ctx, const struct maildrop_message *m)
{
    struct finding *f = ctx;

    *f->out = *m;
    f->out->uidl = arena_keep(f->arena, m->uidl);
    f->out->prefix = arena_keep(f->arena, m->prefix);
    f->found = true;
    return false;
}

/* false: answered. */
static bool take_number(struct pop3_session *s, const char *command, struct slice number, uint32_t *position)
{
    const struct pop3_drop *d = &s->drop;
    uint64_t n;

    if (number.len == 0) {
        pop3_bad(s, "%s needs a message number", command);
        return false;
    }
    if (!slice_to_u64(number, UINT32_MAX, &n)) {
        pop3_bad(s, "%s takes one message number, digits only", command);
        return false;
    }
    if (n == 0 || n > d->count) {
        pop3_err(s, "there is no message %llu: the maildrop has %u", (unsigned long long)n, d->count);
        return false;
    }
    *position = (uint32_t)n - 1;
    if (pop3_is_deleted(d, *position)) {
        pop3_err(s, "message %llu is marked to be deleted", (unsigned long long)n);
        return false;
    }
    return true;
}

bool pop3_find(struct pop3_session *s, const char *command, struct slice number, uint32_t *position,
               struct arena *a, struct maildrop_message *m)
{
    struct finding f = {.arena = a, .out = m};
    struct fail why;

    if (!take_number(s, command, number, position))
        return false;
    const uint32_t uid = view_at(s->drop.view, *position).uid;
    if (!store_maildrop_read(s->account, s->drop.mailbox, uid, uid, take_row, &f, &why)) {
        pop3_err_because(s, command, &why);
        return false;
    }
    if (!f.found)
        pop3_err(s, "message %u is gone: another client took it out", *position + 1);
    return f.found;
}

/* ---- LIST and UIDL ---- */

struct listing {
    struct pop3_session *s;
    bool uidl;
    uint32_t position; /* of the next */
    struct view_cursor cursor;
    struct view_entry next;
    bool more;
    struct buf *out;
};

static void write_line(struct buf *out, uint32_t position, bool uidl, const struct maildrop_message *m)
{
    buf_add_u64(out, (uint64_t)position + 1);
    buf_add_char(out, ' ');
    if (uidl)
        buf_add(out, m->uidl);
    else
        buf_add_u64(out, m->octets);
    buf_add(out, SLICE("\r\n"));
}

static void advance(struct listing *l)
{
    l->more = view_next(&l->cursor, &l->next);
    l->position++;
}

/* Rows of messages that are not in the maildrop lie between them. */
static bool list_one(void *ctx, const struct maildrop_message *m)
{
    struct listing *l = ctx;

    while (l->more && l->next.uid < m->uid)
        advance(l);
    if (!l->more || l->next.uid != m->uid)
        return l->more;
    if (!pop3_is_deleted(&l->s->drop, l->position))
        write_line(l->out, l->position, l->uidl, m);
    advance(l);
    return !conn_is_full(l->s->conn);
}

static enum turn list_step(struct pop3_session *s)
{
    struct listing *l = s->step_data;
    const struct pop3_drop *d = &s->drop;
    struct fail why;

    if (!pop3_need_view(s)) {
        pop3_end_step(s);
        return TURN_ABORT; /* within a list nothing else can be said */
    }
    l->out = conn_out(s->conn);
    view_cursor_init(&l->cursor, d->view, l->position);
    l->more = view_next(&l->cursor, &l->next);
    if (l->more && !store_maildrop_read(s->account, d->mailbox, l->next.uid, view_at(d->view, d->count - 1).uid, list_one,
                                  l, &why)) {
        log_event(LOG_WARNING, "pop3.failed", LOG_CSTR("session", conn_session_id(s->conn).text),
                  LOG_CSTR("command", l->uidl ? "UIDL" : "LIST"), LOG_FAIL(&why));
        pop3_end_step(s);
        return TURN_ABORT;
    }
    if (l->more && conn_is_full(s->conn))
        return TURN_MORE;
    conn_write(s->conn, SLICE(".\r\n"));
    pop3_end_step(s);
    return TURN_PARK;
}

static void list_all(struct pop3_session *s, bool uidl)
{
    struct listing *l = xcalloc(1, sizeof *l);
    const struct pop3_drop *d = &s->drop;

    l->s = s;
    l->uidl = uidl;
    s->step = list_step;
    s->step_data = l;
    s->step_free = free;
    pop3_ok(s, "%u messages, %llu octets", d->count - d->deleted, (unsigned long long)(d->octets - d->deleted_octets));
}

static void list_number(struct pop3_session *s, const char *command, struct slice number, bool uidl)
{
    struct maildrop_message m;
    struct arena arena;
    uint32_t position;

    arena_init(&arena, 1 << 20);
    if (pop3_find(s, command, number, &position, &arena, &m)) {
        conn_write(s->conn, SLICE("+OK "));
        write_line(conn_out(s->conn), position, uidl, &m);
        s->bad_commands = 0;
    }
    arena_finish(&arena);
}

void pop3_list(struct pop3_session *s, struct slice args)
{
    if (args.len == 0)
        list_all(s, false);
    else
        list_number(s, "LIST", args, false);
}

void pop3_uidl(struct pop3_session *s, struct slice args)
{
    if (args.len == 0)
        list_all(s, true);
    else
        list_number(s, "UIDL", args, true);
}

void pop3_stat(struct pop3_session *s, struct slice args)
{
    const struct pop3_drop *d = &s->drop;

    (void)args;
    pop3_ok(s, "%u %llu", d->count - d->deleted, (unsigned long long)(d->octets - d->deleted_octets));
}

/* ---- DELE, RSET, and what QUIT makes of them ---- */

void pop3_dele(struct pop3_session *s, struct slice args)
{
    struct pop3_drop *d = &s->drop;
    struct maildrop_message m;
    struct arena arena;
    uint32_t position;

    arena_init(&arena, 1 << 20);
    if (pop3_find(s, "DELE", args, &position, &arena, &m)) {
        marks(d)[position / 64] |= UINT64_C(1) << position % 64;
        d->deleted++;
        d->deleted_octets += m.octets;
        pop3_ok(s, "message %u will be deleted", position + 1);
    }
    arena_finish(&arena);
}

void pop3_rset(struct pop3_session *s, struct slice args)
{
    struct pop3_drop *d = &s->drop;

    (void)args;
    if (d->marks != NULL)
        memset(d->marks, 0, mark_words(d) * sizeof *d->marks);
    d->deleted = 0;
    d->deleted_octets = 0;
    pop3_ok(s, "%u messages, %llu octets", d->count, (unsigned long long)d->octets);
}

/* UIDs of messages that are marked so, as ranges; between two neighbours in the view lies no other message. */
static struct uid_range *marked_ranges(const struct pop3_drop *d, size_t kind, size_t *count)
{
    struct uid_range *list = NULL;
    struct view_cursor cursor;
    struct view_entry e;
    bool open = false;
    size_t cap = 0;

    *count = 0;
    view_cursor_init(&cursor, d->view, 0);
    for (uint32_t i = 0; view_next(&cursor, &e); i++) {
        const bool is = is_marked(d, kind, i) && (kind == 0 || !is_marked(d, 0, i));
        if (is && open) {
            list[*count - 1].last = e.uid;
        } else if (is) {
            if (*count == cap) {
                cap = cap == 0 ? 16 : cap * 2;
                list = xrealloc(list, cap * sizeof *list);
            }
            list[(*count)++] = (struct uid_range){e.uid, e.uid};
        }
        open = is;
    }
    return list;
}

static bool delete_marked(struct pop3_session *s, struct fail *why)
{
    size_t count;
    struct uid_range *ranges = marked_ranges(&s->drop, 0, &count);
    bool ok = count == 0 || message_expunge(s->account, s->drop.mailbox, ranges, count, true, NULL, NULL, why);

    free(ranges);
    return ok;
}

/* Not what the client asked for: where it fails, the administrator hears of it and nobody else. */
static void mark_seen(struct pop3_session *s)
{
    struct flag_change change = {.op = FLAGS_ADD, .flags = STORE_SEEN};
    struct fail why;
    uint64_t modseq;
    size_t count;
    struct uid_range *ranges = marked_ranges(&s->drop, 1, &count);

    if (count > 0 && !message_flags(s->account, s->drop.mailbox, ranges, count, &change, NULL, &modseq, &why))
        log_event(LOG_WARNING, "pop3.failed", LOG_CSTR("session", conn_session_id(s->conn).text),
                  LOG_CSTR("command", "QUIT"), LOG_FAIL(&why));
    free(ranges);
}

void pop3_update(struct pop3_session *s)
{
    const struct pop3_drop *d = &s->drop;
    struct fail why;

    if (d->marks != NULL) {
        if (!pop3_need_view(s))
            return;
        if (!delete_marked(s, &why)) {
            pop3_err_because(s, "QUIT", &why); /* RFC 1939 section 6 */
            return;
        }
        mark_seen(s);
    }
    if (d->deleted > 0)
        pop3_ok(s, "goodbye: %u deleted, %u left", d->deleted, d->count - d->deleted);
    else
        pop3_ok(s, "goodbye");
}
