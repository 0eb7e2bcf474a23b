/*
 * pop3/send.c - RETR and TOP.
 *
 * Layer: pop3.  A message of usual size is read into what is to be sent.  A larger one is never
 * in memory: it is read once to learn what stuffing adds, in turns, and then queued as a source
 * that net reads while the socket drains.  For that, what is added is remembered before every
 * 16 KB of it, in 4 bytes.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/block.h"
#include "base/log.h"
#include "base/scoped.h"
#include "pop3/session.h"
#include "pop3/stuff.h"

enum {
    WHOLE_MAX = 64 * 1024, /* read in one go */
    PIECE = 64 * 1024,
    GRAIN = 16 * 1024,
    AT_ONCE = 1024 * 1024, /* looked at in one turn */
};

/* A large message on its way. */
struct sending {
    struct store_body *body;
    uint64_t size;   /* of what is sent of it, as it is kept */
    uint64_t octets; /* as the maildrop says */
    uint64_t at;     /* looked at so far */
    uint64_t more;   /* octets that are added up to there */
    char last;
    bool is_top, ended;
    struct stuff_top top;
    uint32_t position;
    uint32_t *added; /* before each grain */
    size_t grains;
};

static void sending_free(void *data)
{
    struct sending *m = data;

    store_body_release(&m->body);
    free(m->added);
    free(m);
}

/* What comes behind the text. */
static void end_message(struct buf *out, char last)
{
    if (last != '\n')
        buf_add(out, SLICE("\r\n"));
    buf_add(out, SLICE(".\r\n"));
}

static void begin_answer(struct pop3_session *s, bool is_top, uint64_t octets)
{
    if (is_top)
        pop3_ok(s, "this is its top");
    else
        pop3_ok(s, "%llu octets", (unsigned long long)octets);
}

/* ---- usual ones ---- */

/* *done false: it is a TOP that needs more than the first piece. */
static bool send_whole(struct pop3_session *s, struct store_body *body, struct sending *m, bool *done, struct fail *why)
{
    struct buf *out = conn_out(s->conn);
    const size_t before = out->len;
    size_t n = m->size < WHOLE_MAX ? (size_t)m->size : WHOLE_MAX;
    char last = '\n';

    begin_answer(s, m->is_top, m->octets);
    char *text = buf_room(out, n);
    if (text == NULL || !store_body_read(body, 0, text, n, why)) {
        out->len = before; /* nothing was promised yet */
        return text != NULL || fail_set(why, FAIL_TEMP, FAIL_LIMIT, "no room for the message");
    }
    if (m->is_top)
        n = stuff_top(&m->top, slice_make(text, n), &m->ended);
    *done = !m->is_top || m->ended || n == m->size;
    if (!*done) {
        out->len = before;
        return true;
    }
    if (stuff_extra(&last, slice_make(text, n)) == 0) {
        buf_grew(out, n);
    } else {
        SCOPED(scoped_free) char *copy = xmalloc(n);
        memcpy(copy, text, n);
        last = '\n';
        stuff_write(out, &last, slice_make(copy, n));
    }
    end_message(out, last);
    return true;
}

/* ---- large ones ---- */

/* The grain in which octet `offset` of what is sent lies. */
static size_t grain_at(const struct sending *m, uint64_t offset)
{
    size_t low = 0, high = m->grains;

    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if ((uint64_t)middle * GRAIN + m->added[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool read_stuffed(void *ctx, uint64_t offset, void *to, size_t n)
{
    const struct sending *m = ctx;
    const size_t grain = grain_at(m, offset);
    const uint64_t from = (uint64_t)grain * GRAIN, before = from > 0; /* the octet in front says how it begins */
    const size_t skip = (size_t)(offset - (from + m->added[grain]));
    const uint64_t left = m->size - from;
    const size_t len = skip + n < left ? skip + n : (size_t)left; /* what is sent is never shorter */
    SCOPED(scoped_free) char *text = xmalloc(len + 1);
    struct fail why;
    struct buf out;

    if (!store_body_read(m->body, from - before, text, len + (size_t)before, &why)) {
        log_event(LOG_ERROR, "pop3.body", LOG_FAIL(&why));
        return false;
    }
    char last = before != 0 ? text[0] : '\n';
    buf_init(&out, 2 * len + 1);
    stuff_write(&out, &last, slice_make(text + before, len));
    const bool ok = !out.failed && out.len >= skip + n;
    if (ok)
        memcpy(to, out.data + skip, n);
    buf_finish(&out);
    return ok;
}

static void release_sending(void *ctx)
{
    sending_free(ctx);
}

/* Looks at the next piece; false with *why. */
static bool look_at_piece(struct sending *m, char *piece, struct fail *why)
{
    size_t n = m->size - m->at < PIECE ? (size_t)(m->size - m->at) : PIECE;

    if (!store_body_read(m->body, m->at, piece, n, why))
        return false;
    if (m->is_top) {
        n = stuff_top(&m->top, slice_make(piece, n), &m->ended);
        if (m->ended)
            m->size = m->at + n;
    }
    for (size_t at = 0; at < n; at += GRAIN) {
        const size_t some = n - at < GRAIN ? n - at : GRAIN;
        m->added[m->grains++] = (uint32_t)m->more;
        m->more += stuff_extra(&m->last, slice_make(piece + at, some));
    }
    m->at += n;
    return m->more <= UINT32_MAX || fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "the message has too many lines to be sent");
}

static void send_large(struct pop3_session *s, struct sending *m)
{
    const struct conn_source source = {.read = read_stuffed, .release = release_sending, .ctx = m};
    const char last = m->last;

    begin_answer(s, m->is_top, m->octets);
    if (!m->is_top)
        pop3_note_sent(s, m->position);
    s->step_free = NULL; /* it is the connection's from here on */
    pop3_end_step(s);
    conn_send_source(s->conn, source, 0, m->size + m->more);
    end_message(conn_out(s->conn), last);
}

static enum turn look_step(struct pop3_session *s)
{
    struct sending *m = s->step_data;
    SCOPED(scoped_free) char *piece = xmalloc(PIECE);
    struct fail why = {0};
    bool ok = pop3_need_view(s);

    if (!ok) {
        pop3_end_step(s);
        return TURN_PARK;
    }
    block_begin();
    for (size_t done = 0; ok && done < AT_ONCE && m->at < m->size && !m->ended; done += PIECE)
        ok = look_at_piece(m, piece, &why);
    block_end();
    if (!ok) {
        pop3_err_because(s, m->is_top ? "TOP" : "RETR", &why);
        pop3_end_step(s);
        return TURN_PARK;
    }
    if (m->at < m->size)
        return TURN_AGAIN;
    send_large(s, m);
    return TURN_PARK;
}

static void look_at_large(struct pop3_session *s, struct store_body *body, const struct sending *begun)
{
    struct sending *m = xmalloc(sizeof *m);

    *m = *begun;
    m->body = store_body_ref(body);
    m->last = '\n';
    m->added = xmalloc((size_t)((m->size + PIECE - 1) / PIECE) * (PIECE / GRAIN) * sizeof *m->added);
    s->step = look_step;
    s->step_data = m;
    s->step_free = sending_free;
}

/* ---- the commands ---- */

static void send_message(struct pop3_session *s, const char *command, struct sending *m, const struct maildrop_message *row)
{
    const struct stuff_top top = m->top;
    bool done = false, ok = true;
    struct fail why;

    m->size = row->size;
    m->octets = row->octets;
    struct store_body *body = store_body_open(account_store(s->account), row->ref, row->prefix, row->size);
    if (m->is_top || row->size <= WHOLE_MAX)
        ok = send_whole(s, body, m, &done, &why);
    if (!ok) {
        pop3_err_because(s, command, &why);
    } else if (done) {
        if (!m->is_top)
            pop3_note_sent(s, m->position);
    } else {
        m->top = top; /* from the beginning */
        m->ended = false;
        look_at_large(s, body, m);
    }
    store_body_release(&body);
}

void pop3_retr(struct pop3_session *s, struct slice args)
{
    struct sending m = {.is_top = false};
    struct maildrop_message row;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    if (pop3_find(s, "RETR", args, &m.position, &arena, &row))
        send_message(s, "RETR", &m, &row);
    arena_finish(&arena);
}

/* TOP msg n                                              RFC 1939 section 7 */
void pop3_top(struct pop3_session *s, struct slice args)
{
    struct slice number = slice_cut(&args, ' ');
    struct sending m = {.is_top = true};
    struct maildrop_message row;
    struct arena arena;

    if (!slice_to_u64(slice_trim(args), UINT64_MAX, &m.top.lines)) {
        pop3_bad(s, "TOP takes a message number and a number of lines");
        return;
    }
    arena_init(&arena, 1 << 20);
    if (pop3_find(s, "TOP", number, &m.position, &arena, &row))
        send_message(s, "TOP", &m, &row);
    arena_finish(&arena);
}
