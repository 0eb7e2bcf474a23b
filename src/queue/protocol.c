/*
 * queue/protocol.c - messages' details in one row of bytes.
 *
 * Layer: queue.
 */
#include "queue/protocol.h"

enum { OPTIONS_MAX = 64 << 10, TIME_BITS = 40 };

/* ---- writing ---- */

static void put_number(struct buf *out, uint64_t n, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_add_char(out, (char)(n >> (8 * i) & 0xff));
}

static void put_text(struct buf *out, struct slice text)
{
    if (text.len > UINT32_MAX) {
        out->failed = true;
        return;
    }
    put_number(out, text.len, 4);
    buf_add(out, text);
}

static void put_options(struct buf *out, const struct envelope_options *o, const struct recipient_options *r)
{
    struct buf text;

    buf_init(&text, OPTIONS_MAX);
    if (o != NULL)
        envelope_options_write(&text, o);
    else
        recipient_options_write(&text, r);
    put_text(out, buf_slice(&text));
    out->failed = out->failed || text.failed;
    buf_finish(&text);
}

void pack_write(struct buf *out, const struct queue_message *m)
{
    put_number(out, m->id, 8);
    put_number(out, (uint64_t)m->received, 8);
    put_number(out, body_size(m->body), 8);
    put_text(out, m->sender);
    put_text(out, m->trace);
    put_options(out, &m->options, NULL);
    put_number(out, m->recipient_count, 4);
    for (size_t i = 0; i < m->recipient_count; i++) {
        put_text(out, m->recipients[i].address);
        put_text(out, m->recipients[i].prefix);
        put_options(out, NULL, &m->recipients[i].options);
    }
}

/* ---- reading ---- */

enum { RECIPIENT_BYTES_MIN = 3 * 4 };

struct reader {
    struct slice rest;
    bool failed;
};

static struct slice get_bytes(struct reader *r, size_t n)
{
    struct slice out = slice_sub(r->rest, 0, n);

    if (r->failed || out.len < n) {
        r->failed = true;
        return SLICE("");
    }
    r->rest = slice_from(r->rest, n);
    return out;
}

static uint64_t get_number(struct reader *r, size_t bytes)
{
    struct slice field = get_bytes(r, bytes);
    uint64_t n = 0;

    for (size_t i = 0; i < field.len; i++)
        n |= (uint64_t)(unsigned char)field.ptr[i] << (8 * i);
    return n;
}

static struct slice get_text(struct reader *r)
{
    return get_bytes(r, (size_t)get_number(r, 4));
}

/* What ends in commands to other servers and in headers. */
static struct slice get_line(struct reader *r, size_t most)
{
    struct slice text = get_text(r);

    if (!ipc_is_line(text, most))
        r->failed = true;
    return text;
}

static void get_recipients(struct reader *r, struct arena *a, struct queue_message *m)
{
    size_t count = (size_t)get_number(r, 4);

    if (r->failed || count == 0 || count > r->rest.len / RECIPIENT_BYTES_MIN) {
        r->failed = true;
        return;
    }
    struct queue_recipient *list = arena_new_array(a, struct queue_recipient, count);
    for (size_t i = 0; list != NULL && i < count && !r->failed; i++) {
        list[i].address = get_line(r, PACK_ADDRESS_MAX);
        list[i].prefix = get_text(r);
        r->failed = !recipient_options_read(a, get_text(r), &list[i].options) || r->failed || list[i].address.len == 0 ||
                    !ipc_is_line(list[i].options.orcpt, OPTIONS_MAX);
    }
    m->recipients = list;
    m->recipient_count = count;
}

static void get_message(struct reader *r, struct arena *a, struct queue_message *m, uint64_t *size)
{
    m->id = get_number(r, 8);
    m->received = (int64_t)get_number(r, 8);
    *size = get_number(r, 8);
    m->sender = get_line(r, PACK_ADDRESS_MAX);
    m->trace = get_line(r, PACK_TRACE_MAX);
    r->failed = !envelope_options_read(a, get_text(r), &m->options) || r->failed || m->id == 0 || m->received < 0 ||
                m->received >> TIME_BITS != 0 || !ipc_is_line(m->options.envid, OPTIONS_MAX) ||
                !ipc_is_line(m->options.source, OPTIONS_MAX);
    if (!r->failed)
        get_recipients(r, a, m);
}

bool pack_read(struct slice details, size_t count, struct arena *a, struct queue_message **messages, uint64_t **sizes,
               struct fail *why)
{
    struct reader r = {.rest = details};

    *messages = count > 0 && count <= PACK_MESSAGES_MAX ? arena_new_array(a, struct queue_message, count) : NULL;
    *sizes = arena_new_array(a, uint64_t, count);
    for (size_t i = 0; *messages != NULL && i < count && !r.failed; i++)
        get_message(&r, a, &(*messages)[i], &(*sizes)[i]);
    if (*messages == NULL || a->failed || r.failed || r.rest.len > 0)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed message");
    return true;
}

/* ---- what is over ---- */

void over_write(struct buf *out, const struct queue_over *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_number(out, list[i].id, 8);
        put_number(out, list[i].taken, 1);
    }
}

bool over_read(struct slice text, struct queue_over *list, size_t most, size_t *count)
{
    struct reader r = {.rest = text};

    *count = text.len / OVER_BYTES;
    if (text.len % OVER_BYTES != 0 || *count > most)
        return false;
    for (size_t i = 0; i < *count; i++) {
        list[i].id = get_number(&r, 8);
        list[i].taken = get_number(&r, 1) == 1;
    }
    return !r.failed;
}
