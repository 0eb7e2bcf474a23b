/*
 * transfer/wire_receiver.c - a stream of bytes is told on.
 *
 * Layer: transfer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "transfer/wire_frame.h"

enum {
    NAME_MOST = 8192,
    KEY_MOST = 250,
    SOURCE_MOST = 500,
    UIDL_MOST = 250,
    KEYWORDS_MOST = 8192, /* of one message; as many as fit into a frame */
    FLUSH_FROM = 8192,    /* bytes that go back at once */
};

/* A body, or a script, whose pieces come. */
struct arriving {
    enum { NOTHING, A_MESSAGE, A_SCRIPT } what;
    struct arena            arena; /* what its head said */
    struct transfer_message message;
    struct body            *body; /* NULL: it is thrown away */
    struct slice            name;
    bool                    active;
    struct buf              text;
    uint64_t                left;
};

struct wire_receiver {
    const struct wire_io       *io;
    const struct body_limits   *bodies;
    const struct transfer_into *into;
    struct wire_reader          in;
    struct buf                  out;
    struct arriving             now;
    bool                        in_mailbox;
    bool                        over, sender_failed;
    uint64_t                    said_durable;
};

static bool invalid(struct fail *why, const char *what)
{
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "the stream holds a wrong %s", what);
}

/* ---- back to who tells ---- */

static bool flush(struct wire_receiver *r, struct fail *why)
{
    bool ok = r->out.len == 0 || r->io->write(r->io->ctx, buf_slice(&r->out), why);

    buf_reset(&r->out);
    return ok;
}

void wire_note(struct wire_receiver *r, bool left_out, struct slice what, const char *reason)
{
    size_t begun = wire_begin(&r->out, WIRE_NOTE);

    wire_put(&r->out, left_out, 1);
    wire_put_text(&r->out, slice_sub(what, 0, 2000));
    wire_put_text(&r->out, slice_sub(slice_of(reason), 0, 2000));
    (void)wire_end(&r->out, begun);
}

static bool say_durable(struct wire_receiver *r, struct fail *why)
{
    uint64_t now = r->into->durable != NULL ? r->into->durable(r->into->ctx) : 0;

    if (now == r->said_durable)
        return r->out.len < FLUSH_FROM || flush(r, why);
    r->said_durable = now;
    size_t begun = wire_begin(&r->out, WIRE_DURABLE);
    wire_put(&r->out, now, 8);
    return wire_end(&r->out, begun) && flush(r, why);
}

struct known {
    struct wire_receiver *receiver;
    size_t                begun;
    struct fail          *why;
    bool                  ok;
};

static bool tell_digest(void *ctx, const struct transfer_digest *d)
{
    struct known *k = ctx;
    struct buf   *out = &k->receiver->out;

    buf_add(out, slice_make(d->bytes, sizeof d->bytes));
    if (out->len - k->begun - WIRE_HEAD + sizeof d->bytes <= WIRE_FRAME_MAX)
        return true;
    k->ok = wire_end(out, k->begun) && flush(k->receiver, k->why);
    k->begun = wire_begin(out, WIRE_HAVE);
    return k->ok;
}

static bool say_known(struct wire_receiver *r, struct fail *why)
{
    struct known k = {.receiver = r, .why = why, .ok = true};

    if (r->into->known != NULL) {
        k.begun = wire_begin(&r->out, WIRE_HAVE);
        bool ok = r->into->known(r->into->ctx, tell_digest, &k, why) && k.ok;
        (void)wire_end(&r->out, k.begun);
        if (!ok)
            return false;
    }
    size_t begun = wire_begin(&r->out, WIRE_HAVE_ALL);
    return wire_end(&r->out, begun) && flush(r, why);
}

/* ---- what comes ---- */

static bool take_mailbox(struct wire_receiver *r, struct wire_cursor *c, struct fail *why)
{
    struct transfer_mailbox m = {.uidvalidity = (uint32_t)wire_get(c, 4), .uidnext = (uint32_t)wire_get(c, 4)};
    uint64_t                use = wire_get(c, 1);

    m.subscribed = wire_get(c, 1) != 0;
    m.no_select = wire_get(c, 1) != 0;
    m.name = wire_get_text(c);
    m.source = wire_get_text(c);
    if (!wire_got_all(c) || use > USE_TRASH || m.name.len == 0 || m.name.len > NAME_MOST || m.source.len > SOURCE_MOST)
        return invalid(why, "mailbox");
    m.use = (enum special_use)use;
    if (!r->into->mailbox(r->into->ctx, &m, why))
        return false;
    r->in_mailbox = true;
    return say_known(r, why);
}

static bool finish_message(struct wire_receiver *r, struct fail *why)
{
    struct arriving *n = &r->now;

    n->what = NOTHING;
    n->message.body = n->body;
    bool ok = r->into->message(r->into->ctx, &n->message, why);
    body_destroy(&n->body);
    arena_reset(&n->arena);
    return ok && say_durable(r, why);
}

static bool finish_arriving(struct wire_receiver *r, struct fail *why)
{
    struct arriving *n = &r->now;

    if (n->what == A_MESSAGE)
        return finish_message(r, why);
    n->what = NOTHING;
    bool ok = r->into->script == NULL ||
              r->into->script(r->into->ctx, n->name, n->active, buf_slice(&n->text), why);
    buf_finish(&n->text);
    arena_reset(&n->arena);
    return ok;
}

static bool read_keywords(struct arriving *n, struct wire_cursor *c)
{
    struct slice *names = NULL;
    size_t        count = 0;
    struct wire_cursor again = *c;

    for (; !again.failed && again.rest.len > 0 && count <= KEYWORDS_MOST; count++)
        (void)wire_get_text(&again);
    if (again.failed || count > KEYWORDS_MOST)
        return false;
    names = arena_new_array(&n->arena, struct slice, count);
    for (size_t i = 0; i < count; i++)
        names[i] = arena_keep(&n->arena, wire_get_text(c));
    n->message.keywords = names;
    n->message.keyword_count = count;
    return true;
}

static bool take_message(struct wire_receiver *r, struct wire_cursor *c, struct fail *why)
{
    struct arriving         *n = &r->now;
    struct transfer_message *m = &n->message;
    char                     reason[64];

    *m = (struct transfer_message){.uid = (uint32_t)wire_get(c, 4), .flags = (uint32_t)wire_get(c, 4) & STORE_FLAGS};
    m->internal_date = (int64_t)wire_get(c, 8);
    m->internal_zone = (int)(int32_t)wire_get(c, 4);
    bool     has_body = wire_get(c, 1) != 0;
    uint64_t size = wire_get(c, 8);
    m->uidl = arena_keep(&n->arena, wire_get_text(c));
    m->key = arena_keep(&n->arena, wire_get_text(c));
    if (!read_keywords(n, c) || !wire_got_all(c) || !r->in_mailbox || m->uidl.len > UIDL_MOST ||
        m->key.len > KEY_MOST || m->internal_zone < -1440 || m->internal_zone > 1440)
        return invalid(why, "message");
    n->what = A_MESSAGE;
    n->left = has_body ? size : 0;
    if (!has_body)
        return finish_message(r, why);
    if (size > r->bodies->size_max) {
        (void)snprintf(reason, sizeof reason, "larger than %llu bytes", (unsigned long long)r->bodies->size_max);
        r->into->left_out(r->into->ctx, m->key, reason);
    } else {
        n->body = body_create(r->bodies);
    }
    if (n->left > 0)
        return true;
    return finish_message(r, why);
}

static bool take_script(struct wire_receiver *r, struct wire_cursor *c, struct fail *why)
{
    struct arriving *n = &r->now;

    n->active = wire_get(c, 1) != 0;
    n->left = wire_get(c, 8);
    if (c->failed || n->left > WIRE_SCRIPT_MAX || c->rest.len == 0 || c->rest.len > NAME_MOST)
        return invalid(why, "script");
    n->name = arena_keep(&n->arena, c->rest);
    n->what = A_SCRIPT;
    buf_init(&n->text, WIRE_SCRIPT_MAX);
    return n->left > 0 || finish_arriving(r, why);
}

static bool take_piece(struct wire_receiver *r, struct slice piece, struct fail *why)
{
    struct arriving *n = &r->now;

    if (n->what == NOTHING || piece.len > n->left || piece.len == 0)
        return invalid(why, "piece");
    n->left -= piece.len;
    if (n->what == A_SCRIPT)
        buf_add(&n->text, piece);
    else if (n->body != NULL && !body_add(n->body, piece, why))
        return false;
    if (n->left > 0)
        return true;
    if (n->what == A_MESSAGE && n->body == NULL) { /* it was too big */
        n->what = NOTHING;
        arena_reset(&n->arena);
        return true;
    }
    return finish_arriving(r, why);
}

static bool take_mailbox_end(struct wire_receiver *r, struct wire_cursor *c, struct fail *why)
{
    bool whole = wire_get(c, 1) != 0;

    if (!wire_got_all(c) || !r->in_mailbox)
        return invalid(why, "end of a mailbox");
    r->in_mailbox = false;
    return r->into->mailbox_end(r->into->ctx, whole, why) && say_durable(r, why);
}

static bool take_notice(struct wire_receiver *r, uint8_t type, struct wire_cursor *c, struct fail *why)
{
    const struct transfer_into *into = r->into;

    if (type == WIRE_LEFT_OUT) {
        struct slice what = wire_get_text(c), reason = wire_get_text(c);
        if (!wire_got_all(c))
            return invalid(why, "notice");
        char *text = xslicedup(reason);
        into->left_out(into->ctx, what, text);
        free(text);
        return true;
    }
    uint64_t messages = wire_get(c, 8), bytes = wire_get(c, 8), all = wire_get(c, 8), all_bytes = wire_get(c, 8);
    if (!wire_got_all(c))
        return invalid(why, "notice");
    if (into->progress != NULL)
        into->progress(into->ctx, messages, bytes, all, all_bytes);
    return true;
}

static bool take_end(struct wire_receiver *r, struct wire_cursor *c, struct fail *why)
{
    bool good = wire_get(c, 1) != 0;

    r->over = true;
    if (!good) {
        r->sender_failed = true;
        wire_get_fail(c, why);
        return wire_got_all(c) ? false : invalid(why, "end");
    }
    return (wire_got_all(c) && r->now.what == NOTHING && !r->in_mailbox) || invalid(why, "end");
}

static bool take(struct wire_receiver *r, uint8_t type, struct slice frame, struct fail *why)
{
    struct wire_cursor c = {frame, false};

    if (type == WIRE_END)
        return take_end(r, &c, why);
    if (type == WIRE_PIECE)
        return take_piece(r, frame, why);
    if (r->now.what != NOTHING)
        return invalid(why, "frame within a body");
    switch (type) {
    case WIRE_MAILBOX:
        return take_mailbox(r, &c, why);
    case WIRE_MESSAGE:
        return take_message(r, &c, why);
    case WIRE_MAILBOX_END:
        return take_mailbox_end(r, &c, why);
    case WIRE_SUBSCRIPTION:
        if (frame.len == 0 || frame.len > NAME_MOST)
            return invalid(why, "subscription");
        return r->into->subscription == NULL || r->into->subscription(r->into->ctx, frame, why);
    case WIRE_SCRIPT:
        return take_script(r, &c, why);
    case WIRE_LEFT_OUT:
    case WIRE_PROGRESS:
        return take_notice(r, type, &c, why);
    default:
        return invalid(why, "frame");
    }
}

/* After a failure of ours: the rest is read and thrown away, so that the stream ends where it should. */
static void read_to_end(struct wire_receiver *r)
{
    struct slice frame;
    uint8_t      type;

    while (!r->over && wire_next(&r->in, &type, &frame, NULL))
        r->over = type == WIRE_END;
}

static bool say_failed(struct wire_receiver *r, const struct fail *why)
{
    size_t begun = wire_begin(&r->out, WIRE_FAILED);

    wire_put_fail(&r->out, why);
    (void)wire_end(&r->out, begun);
    return flush(r, NULL);
}

bool wire_receive(struct wire_receiver *r, const struct transfer_into *into,
                  bool (*finish)(void *ctx, struct fail *why), struct fail *why)
{
    struct fail  local = {0};
    struct slice frame;
    uint8_t      type;
    bool         ok = true;

    r->into = into;
    while (ok && !r->over)
        ok = wire_next(&r->in, &type, &frame, &local) && take(r, type, frame, &local);
    ok = ok && (finish == NULL || finish(into->ctx, &local)) && say_durable(r, &local);
    if (ok) {
        size_t begun = wire_begin(&r->out, WIRE_DONE);
        ok = wire_end(&r->out, begun) && flush(r, &local);
    } else {
        (void)say_failed(r, &local);
        read_to_end(r);
    }
    if (!ok && why != NULL)
        *why = local;
    return ok;
}

struct wire_receiver *wire_receiver_create(const struct wire_io *io, const struct body_limits *bodies)
{
    struct wire_receiver *r = xcalloc(1, sizeof *r);

    r->io = io;
    r->bodies = bodies;
    wire_reader_init(&r->in, io);
    buf_init(&r->out, SIZE_MAX);
    arena_init(&r->now.arena, 4 << 20);
    return r;
}

void wire_receiver_destroy(struct wire_receiver **receiver)
{
    struct wire_receiver *r = *receiver;

    if (r == NULL)
        return;
    body_destroy(&r->now.body);
    if (r->now.what == A_SCRIPT)
        buf_finish(&r->now.text);
    arena_finish(&r->now.arena);
    wire_reader_finish(&r->in);
    buf_finish(&r->out);
    free(r);
    *receiver = NULL;
}
