/*
 * fuzz/wire.c - the stream of a transfer, as either side may send it.
 *
 * A receiver never tells what no sender may: messages outside of a mailbox, more of a body than was announced.
 */
#include "fuzz.h"
#include "transfer/wire.h"

struct stream { struct slice in; };
struct told { bool in_mailbox; };

static bool io_read(void *ctx, void *out, size_t n, size_t *got, struct fail *why)
{
    struct stream *s = ctx;
    struct slice   piece = slice_sub(s->in, 0, n < 77 ? n : 77);

    (void)why;
    if (piece.len > 0)
        memcpy(out, piece.ptr, piece.len);
    s->in = slice_from(s->in, piece.len);
    *got = piece.len;
    return true;
}

static bool io_write(void *ctx, struct slice bytes, struct fail *why)
{
    (void)ctx, (void)bytes, (void)why;
    return true;
}

static bool mailbox(void *ctx, const struct transfer_mailbox *m, struct fail *why)
{
    struct told *t = ctx;

    (void)why;
    FUZZ_CHECK(m->name.len > 0);
    t->in_mailbox = true;
    return true;
}

static bool has(void *ctx, const struct transfer_message *m)
{
    (void)ctx, (void)m;
    return false;
}

static bool message(void *ctx, const struct transfer_message *m, struct fail *why)
{
    const struct told *t = ctx;

    (void)why;
    FUZZ_CHECK(t->in_mailbox && (m->flags & ~(uint32_t)STORE_FLAGS) == 0 && m->key.len <= 250);
    FUZZ_CHECK(m->body == NULL || body_size(m->body) <= 100000);
    return true;
}

static bool mailbox_end(void *ctx, bool whole, struct fail *why)
{
    struct told *t = ctx;

    (void)whole, (void)why;
    FUZZ_CHECK(t->in_mailbox);
    t->in_mailbox = false;
    return true;
}

static bool script(void *ctx, struct slice name, bool active, struct slice text, struct fail *why)
{
    (void)ctx, (void)active, (void)text, (void)why;
    FUZZ_CHECK(name.len > 0);
    return true;
}

static void left_out(void *ctx, struct slice what, const char *reason)
{
    (void)ctx, (void)what, (void)reason;
}

static void send(struct slice in)
{
    struct stream        s = {in};
    const struct wire_io io = {.read = io_read, .write = io_write, .ctx = &s};
    struct wire_sender  *to = wire_sender_create(&io, NULL, NULL);

    if (to == NULL)
        return;
    struct transfer_into          into = wire_sender_into(to);
    const struct transfer_mailbox box = {.name = SLICE("INBOX")};
    const struct transfer_message m = {.key = SLICE("k")};
    struct fail                   why;
    if (into.mailbox(into.ctx, &box, &why)) {
        (void)into.has(into.ctx, &m);
        (void)into.message(into.ctx, &m, &why);
    }
    (void)wire_sender_end(to, NULL, &why);
    wire_sender_destroy(&to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct body_limits bodies = {.memory_max = 100000, .size_max = 100000, .spool_dir = "/tmp"};
    struct told                     told = {false};
    const struct transfer_into      into = {.ctx = &told, .mailbox = mailbox, .has = has, .message = message,
                                            .mailbox_end = mailbox_end, .script = script, .left_out = left_out};
    struct stream                   s = {slice_make(data, size)};
    const struct wire_io            io = {.read = io_read, .write = io_write, .ctx = &s};
    struct fail                     why;

    if (size > 0 && data[0] == 'K') { /* from who keeps */
        send(slice_make(data + 1, size - 1));
        return 0;
    }
    struct wire_receiver *r = wire_receiver_create(&io, &bodies);
    (void)wire_receive(r, &into, NULL, &why);
    wire_receiver_destroy(&r);
    return 0;
}
