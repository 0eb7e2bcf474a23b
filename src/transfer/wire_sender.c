/*
 * transfer/wire_sender.c - what is told becomes a stream of bytes.
 *
 * Layer: transfer.  The caller's thread writes; a thread of the sender's reads what comes
 * back until the other side's last word, which it always gives.
 */
#include <pthread.h>
#include <stdlib.h>

#include "transfer/wire_frame.h"

enum { HAVE_MOST = 1 << 24 }; /* digests of one mailbox: 256 MB */

struct wire_sender {
    const struct wire_io     *io;
    const struct wire_events *events;
    struct buf                out;
    uint32_t                  uidvalidity; /* of the present mailbox */
    bool                      said_end, joined;
    pthread_t                 thread;

    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t  news;
    bool            over, done; /* the other side said its last word, and it was good */
    struct fail     failed;     /* else */
    bool            told_all;   /* digests of the present mailbox */
    struct transfer_digest *have;
    size_t          have_count, have_cap;
};

/* ---- what comes back ---- */

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct transfer_digest));
}

static bool take_digests(struct wire_sender *s, struct wire_cursor *c)
{
    size_t n = c->rest.len / sizeof *s->have;

    if (c->rest.len % sizeof *s->have != 0 || n > HAVE_MOST - s->have_count)
        return false;
    if (s->have_count + n > s->have_cap) {
        s->have_cap = (s->have_count + n) * 2;
        s->have = xrealloc(s->have, s->have_cap * sizeof *s->have);
    }
    if (n > 0)
        memcpy(s->have + s->have_count, c->rest.ptr, c->rest.len);
    s->have_count += n;
    c->rest = SLICE("");
    return true;
}

/* `lock` held.  False: that is no frame of who keeps. */
static bool take_back(struct wire_sender *s, uint8_t type, struct wire_cursor *c)
{
    switch (type) {
    case WIRE_HAVE:
        return !s->told_all && take_digests(s, c);
    case WIRE_HAVE_ALL:
        if (s->told_all)
            return false;
        if (s->have_count > 0)
            qsort(s->have, s->have_count, sizeof *s->have, compare);
        s->told_all = true;
        return wire_got_all(c);
    case WIRE_FAILED:
        wire_get_fail(c, &s->failed);
        s->over = true;
        return wire_got_all(c);
    case WIRE_DONE:
        s->done = s->over = wire_got_all(c);
        return s->over;
    default:
        return false;
    }
}

static bool pass_on(struct wire_sender *s, uint8_t type, struct wire_cursor *c)
{
    const struct wire_events *e = s->events;

    if (type == WIRE_DURABLE) {
        uint64_t messages = wire_get(c, 8);
        if (e != NULL && e->durable != NULL)
            e->durable(e->ctx, messages);
    } else {
        bool         left_out = wire_get(c, 1) != 0;
        struct slice what = wire_get_text(c), reason = wire_get_text(c);
        if (e != NULL && e->note != NULL && wire_got_all(c))
            e->note(e->ctx, left_out, what, reason);
    }
    return wire_got_all(c);
}

static void *listen_back(void *arg)
{
    struct wire_sender *s = arg;
    struct wire_reader  in;
    struct wire_cursor  c;
    struct fail         why = {0};
    uint8_t             type;
    bool                over = false;

    wire_reader_init(&in, s->io);
    while (!over) {
        bool ok = wire_next(&in, &type, &c.rest, &why);
        c.failed = false;
        if (ok && (type == WIRE_DURABLE || type == WIRE_NOTE)) {
            if (pass_on(s, type, &c))
                continue;
            ok = false;
            (void)fail_set(&why, FAIL_PERM, FAIL_INVALID, "not understood what came back");
        }
        (void)pthread_mutex_lock(&s->lock);
        if (!ok || !take_back(s, type, &c)) {
            s->failed = why;
            if (ok)
                (void)fail_set(&s->failed, FAIL_PERM, FAIL_INVALID, "not understood what came back");
            s->over = true;
            s->done = false;
        }
        over = s->over;
        (void)pthread_cond_broadcast(&s->news);
        (void)pthread_mutex_unlock(&s->lock);
    }
    if (s->io->unread != NULL && in.used < in.in.len)
        s->io->unread(s->io->ctx, slice_from(buf_slice(&in.in), in.used));
    wire_reader_finish(&in);
    return NULL;
}

/* ---- what is told ---- */

/* The other side's failure, if it has said one. */
static bool still_good(struct wire_sender *s, struct fail *why)
{
    (void)pthread_mutex_lock(&s->lock);
    bool over = s->over;
    if (over && s->done)
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "the other side ended too early");
    else if (over && why != NULL)
        *why = s->failed;
    (void)pthread_mutex_unlock(&s->lock);
    return !over;
}

/* Why writing failed is told best by what the other side said before it went. */
static bool flush(struct wire_sender *s, struct fail *why)
{
    bool ok = s->io->write(s->io->ctx, buf_slice(&s->out), why);

    buf_reset(&s->out);
    return ok || (still_good(s, why) && false);
}

static bool flush_some(struct wire_sender *s, struct fail *why)
{
    return s->out.len < WIRE_BUFFER || flush(s, why);
}

static bool end_frame(struct wire_sender *s, size_t begun, const char *what, struct fail *why)
{
    if (!wire_end(&s->out, begun))
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "%s with too much about it", what);
    return flush_some(s, why);
}

static bool tell_mailbox(void *ctx, const struct transfer_mailbox *m, struct fail *why)
{
    struct wire_sender *s = ctx;

    if (!still_good(s, why))
        return false;
    (void)pthread_mutex_lock(&s->lock);
    s->have_count = 0;
    s->told_all = false;
    (void)pthread_mutex_unlock(&s->lock);
    s->uidvalidity = m->uidvalidity;
    size_t begun = wire_begin(&s->out, WIRE_MAILBOX);
    wire_put(&s->out, m->uidvalidity, 4);
    wire_put(&s->out, m->uidnext, 4);
    wire_put(&s->out, (uint64_t)m->use, 1);
    wire_put(&s->out, m->subscribed, 1);
    wire_put(&s->out, m->no_select, 1);
    wire_put_text(&s->out, m->name);
    wire_put_text(&s->out, m->source);
    if (!end_frame(s, begun, "a mailbox", why) || !flush(s, why))
        return false;
    (void)pthread_mutex_lock(&s->lock);
    while (!s->told_all && !s->over)
        (void)pthread_cond_wait(&s->news, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
    return still_good(s, why);
}

/* Nobody else touches the digests once they are all there. */
static bool has(void *ctx, const struct transfer_message *m)
{
    struct wire_sender    *s = ctx;
    struct transfer_digest d = transfer_digest(s->uidvalidity, m);

    return s->have_count > 0 && bsearch(&d, s->have, s->have_count, sizeof d, compare) != NULL;
}

static bool known(void *ctx, bool (*each)(void *each_ctx, const struct transfer_digest *d), void *each_ctx,
                  struct fail *why)
{
    struct wire_sender *s = ctx;

    (void)why;
    for (size_t i = 0; i < s->have_count; i++)
        if (!each(each_ctx, &s->have[i]))
            break;
    return true;
}

static bool send_piece(struct wire_sender *s, struct slice piece, struct fail *why)
{
    size_t begun = wire_begin(&s->out, WIRE_PIECE);

    buf_add(&s->out, piece);
    return end_frame(s, begun, "a piece", why);
}

static bool send_pieces(struct wire_sender *s, struct slice text, struct fail *why)
{
    while (text.len > 0) {
        struct slice piece = slice_sub(text, 0, WIRE_FRAME_MAX);
        text = slice_from(text, piece.len);
        if (!still_good(s, why) || !send_piece(s, piece, why))
            return false;
    }
    return true;
}

static bool send_body(struct wire_sender *s, const struct body *body, struct fail *why)
{
    struct slice all;
    uint64_t     size = body_size(body);
    size_t       got = 0;

    if (body_in_memory(body, &all))
        return send_pieces(s, all, why);
    char *piece = xmalloc(WIRE_FRAME_MAX);
    bool  ok = true;
    for (uint64_t at = 0; ok && at < size; at += got) {
        ok = still_good(s, why) && body_read(body, at, piece, WIRE_FRAME_MAX, &got, why) &&
             (got > 0 || fail_set(why, FAIL_TEMP, FAIL_OTHER, "a message became shorter")) &&
             send_piece(s, slice_make(piece, got), why);
    }
    free(piece);
    return ok;
}

static bool tell_message(void *ctx, const struct transfer_message *m, struct fail *why)
{
    struct wire_sender *s = ctx;

    if (!still_good(s, why))
        return false;
    size_t begun = wire_begin(&s->out, WIRE_MESSAGE);
    wire_put(&s->out, m->uid, 4);
    wire_put(&s->out, m->flags, 4);
    wire_put(&s->out, (uint64_t)m->internal_date, 8);
    wire_put(&s->out, (uint64_t)(uint32_t)m->internal_zone, 4);
    wire_put(&s->out, m->body != NULL, 1);
    wire_put(&s->out, m->body != NULL ? body_size(m->body) : 0, 8);
    wire_put_text(&s->out, m->uidl);
    wire_put_text(&s->out, m->key);
    for (size_t i = 0; i < m->keyword_count; i++)
        wire_put_text(&s->out, m->keywords[i]);
    return end_frame(s, begun, "a message", why) && (m->body == NULL || send_body(s, m->body, why));
}

static bool tell_mailbox_end(void *ctx, bool whole, struct fail *why)
{
    struct wire_sender *s = ctx;
    size_t              begun = wire_begin(&s->out, WIRE_MAILBOX_END);

    wire_put(&s->out, whole, 1);
    return still_good(s, why) && end_frame(s, begun, "an end", why) && flush(s, why);
}

static bool tell_subscription(void *ctx, struct slice name, struct fail *why)
{
    struct wire_sender *s = ctx;
    size_t              begun = wire_begin(&s->out, WIRE_SUBSCRIPTION);

    buf_add(&s->out, name);
    return still_good(s, why) && end_frame(s, begun, "a subscription", why);
}

static bool tell_script(void *ctx, struct slice name, bool active, struct slice text, struct fail *why)
{
    struct wire_sender *s = ctx;

    if (text.len > WIRE_SCRIPT_MAX)
        return fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "a script of more than %d bytes", WIRE_SCRIPT_MAX);
    size_t begun = wire_begin(&s->out, WIRE_SCRIPT);
    wire_put(&s->out, active, 1);
    wire_put(&s->out, text.len, 8);
    buf_add(&s->out, name);
    return still_good(s, why) && end_frame(s, begun, "a script", why) && send_pieces(s, text, why);
}

static void tell_left_out(void *ctx, struct slice what, const char *reason)
{
    struct wire_sender *s = ctx;
    size_t              begun = wire_begin(&s->out, WIRE_LEFT_OUT);

    wire_put_text(&s->out, slice_sub(what, 0, 2000));
    wire_put_text(&s->out, slice_sub(slice_of(reason), 0, 2000));
    (void)wire_end(&s->out, begun);
}

static void tell_progress(void *ctx, uint64_t messages, uint64_t bytes, uint64_t all_messages, uint64_t all_bytes)
{
    struct wire_sender *s = ctx;
    size_t              begun = wire_begin(&s->out, WIRE_PROGRESS);

    wire_put(&s->out, messages, 8);
    wire_put(&s->out, bytes, 8);
    wire_put(&s->out, all_messages, 8);
    wire_put(&s->out, all_bytes, 8);
    (void)wire_end(&s->out, begun);
}

struct transfer_into wire_sender_into(struct wire_sender *s)
{
    return (struct transfer_into){
        .ctx = s,
        .mailbox = tell_mailbox,
        .has = has,
        .known = known,
        .message = tell_message,
        .mailbox_end = tell_mailbox_end,
        .subscription = tell_subscription,
        .script = tell_script,
        .left_out = tell_left_out,
        .progress = tell_progress,
    };
}

/* ---- beginning and end ---- */

struct wire_sender *wire_sender_create(const struct wire_io *io, const struct wire_events *events, struct fail *why)
{
    struct wire_sender *s = xcalloc(1, sizeof *s);

    s->io = io;
    s->events = events;
    s->told_all = true; /* until somebody asks */
    buf_init(&s->out, SIZE_MAX);
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->news, NULL);
    int errnum = pthread_create(&s->thread, NULL, listen_back, s);
    if (errnum != 0) {
        s->said_end = s->joined = true;
        wire_sender_destroy(&s);
        (void)fail_errno(why, errnum, "a thread for the stream");
    }
    return s;
}

bool wire_sender_end(struct wire_sender *s, const struct fail *failed, struct fail *why)
{
    struct fail local = {0};

    if (!s->said_end) {
        s->said_end = true;
        size_t begun = wire_begin(&s->out, WIRE_END);
        wire_put(&s->out, failed == NULL, 1);
        if (failed != NULL)
            wire_put_fail(&s->out, failed);
        (void)wire_end(&s->out, begun);
        if (!flush(s, &local) && s->io->stop != NULL)
            s->io->stop(s->io->ctx);
    }
    if (!s->joined) {
        (void)pthread_join(s->thread, NULL);
        s->joined = true;
    }
    if (failed != NULL && why != NULL)
        *why = *failed;
    else if (!s->done && why != NULL)
        *why = s->failed;
    return failed == NULL && s->done;
}

void wire_sender_destroy(struct wire_sender **sender)
{
    struct wire_sender *s = *sender;
    const struct fail   gone = {.kind = FAIL_TEMP, .text = "the transfer was given up"};

    if (s == NULL)
        return;
    if (!s->joined)
        (void)wire_sender_end(s, &gone, NULL);
    buf_finish(&s->out);
    free(s->have);
    (void)pthread_cond_destroy(&s->news);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
    *sender = NULL;
}
