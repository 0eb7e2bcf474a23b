/*
 * transfer/wire_frame.c - frames of the stream: written into a buffer, read out of one.
 *
 * Layer: transfer.
 */
#include "transfer/wire_frame.h"

#include <stdio.h>

size_t wire_begin(struct buf *out, enum wire_type type)
{
    size_t begun = out->len;

    wire_put(out, (uint64_t)type, 1);
    wire_put(out, 0, 4);
    return begun;
}

bool wire_end(struct buf *out, size_t begun)
{
    size_t len = out->len - begun - WIRE_HEAD;

    if (len > WIRE_FRAME_MAX) {
        out->len = begun;
        return false;
    }
    for (unsigned i = 0; i < 4; i++)
        out->data[begun + 1 + i] = (char)(len >> (8 * i) & 0xff);
    return true;
}

void wire_put(struct buf *out, uint64_t value, unsigned bytes)
{
    char text[8];

    for (unsigned i = 0; i < bytes; i++)
        text[i] = (char)(value >> (8 * i) & 0xff);
    buf_add(out, slice_make(text, bytes));
}

void wire_put_text(struct buf *out, struct slice text)
{
    wire_put(out, text.len, 4);
    buf_add(out, text);
}

void wire_put_fail(struct buf *out, const struct fail *f)
{
    wire_put(out, (uint64_t)f->kind, 1);
    wire_put(out, (uint64_t)f->reason, 1);
    wire_put_text(out, slice_of(f->code));
    wire_put_text(out, slice_of(f->text));
}

uint64_t wire_get(struct wire_cursor *c, unsigned bytes)
{
    uint64_t value = 0;

    if (c->failed || c->rest.len < bytes) {
        c->failed = true;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)(unsigned char)c->rest.ptr[i] << (8 * i);
    c->rest = slice_from(c->rest, bytes);
    return value;
}

struct slice wire_get_text(struct wire_cursor *c)
{
    uint64_t len = wire_get(c, 4);

    if (c->failed || c->rest.len < len) {
        c->failed = true;
        return SLICE("");
    }
    struct slice text = slice_sub(c->rest, 0, (size_t)len);
    c->rest = slice_from(c->rest, (size_t)len);
    return text;
}

void wire_get_fail(struct wire_cursor *c, struct fail *f)
{
    uint64_t     kind = wire_get(c, 1), reason = wire_get(c, 1);
    struct slice code = wire_get_text(c), text = wire_get_text(c);
    char         short_code[sizeof f->code];

    (void)snprintf(short_code, sizeof short_code, PRIslice, SLICE_ARG(code));
    (void)fail_code(f, kind == FAIL_PERM ? FAIL_PERM : FAIL_TEMP,
                    reason <= FAIL_DAMAGED ? (enum fail_reason)reason : FAIL_OTHER, short_code, PRIslice, SLICE_ARG(text));
}

bool wire_got_all(const struct wire_cursor *c)
{
    return !c->failed && c->rest.len == 0;
}

void wire_reader_init(struct wire_reader *r, const struct wire_io *io)
{
    *r = (struct wire_reader){.io = io};
    buf_init(&r->in, WIRE_BUFFER + WIRE_FRAME_MAX + WIRE_HEAD);
}

void wire_reader_finish(struct wire_reader *r)
{
    buf_finish(&r->in);
}

/* At least `n` bytes that were not used yet. */
static bool fill(struct wire_reader *r, size_t n, struct fail *why)
{
    size_t got;

    if (r->in.len - r->used >= n)
        return true;
    buf_drop(&r->in, r->used);
    r->used = 0;
    while (r->in.len < n) {
        char *room = buf_room(&r->in, WIRE_BUFFER);
        if (room == NULL)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "too long a frame");
        if (!r->io->read(r->io->ctx, room, WIRE_BUFFER, &got, why))
            return false;
        if (got == 0)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the other side ended too early");
        buf_grew(&r->in, got);
    }
    return true;
}

bool wire_next(struct wire_reader *r, uint8_t *type, struct slice *frame, struct fail *why)
{
    if (!fill(r, WIRE_HEAD, why))
        return false;
    struct wire_cursor head = {slice_sub(buf_slice(&r->in), r->used, WIRE_HEAD), false};
    *type = (uint8_t)wire_get(&head, 1);
    size_t len = (size_t)wire_get(&head, 4);
    if (len > WIRE_FRAME_MAX)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "a frame of %zu bytes", len);
    if (!fill(r, WIRE_HEAD + len, why))
        return false;
    *frame = slice_sub(buf_slice(&r->in), r->used + WIRE_HEAD, len);
    r->used += WIRE_HEAD + len;
    return true;
}
