/*
 * imap/fetch_section.c - BODY[section]<partial>.
 *
 * Layer: imap.  RFC 3501 section 6.4.5.  Offsets in a kept structure count from
 * the message's own first byte; what a recipient sees has a prefix of header
 * lines before it, which belongs to the root's header.
 */
#include "imap/fetch.h"

#include "base/fail.h"
#include "message/header.h"
#include "message/message.h"

enum {
    FIELDS_HEADER_MAX = 1024 * 1024, /* HEADER.FIELDS looks at so much of a header */
    FIELDS_COSTLY = 64 * 1024,       /* more than that at a time is not fair to others */
};

struct range {
    uint64_t begin, end;
};

/* What `item` names of the message; false: there is no such part. */
static bool find_range(const struct fetch_item *item, const struct fetch_message *m, struct range *out)
{
    uint64_t prefix = m->info->prefix.len, size = m->info->size;
    const struct mime_part *root = m->root, *part = root;

    if (item->depth == 0 && item->part == PART_ALL) {
        *out = (struct range){0, size};
        return true;
    }
    if (root == NULL)
        return false;
    if (item->depth > 0)
        part = mime_part_find(root, item->path, item->depth);
    if (part == NULL)
        return false;

    bool inner = item->depth > 0 && item->part != PART_ALL && item->part != PART_MIME;
    if (inner && !part->is_message)
        return false; /* only a message/rfc822 part has HEADER and TEXT */
    if (inner)
        part = part->first_child;
    if (part == NULL)
        return false;
    switch (item->part) {
    case PART_ALL:
    case PART_TEXT: *out = (struct range){prefix + part->body_offset, prefix + part->end_offset}; break;
    case PART_HEADER:
    case PART_FIELDS:
    case PART_FIELDS_NOT:
    case PART_MIME:
        *out = (struct range){part == root ? 0 : prefix + part->header_offset, prefix + part->body_offset};
        break;
    }
    return out->begin <= out->end && out->end <= size;
}

static struct store_body *body_of(struct imap_session *s, struct fetch_message *m)
{
    if (m->body == NULL)
        m->body = store_body_open(s->service->store, m->info->ref, m->info->prefix, m->info->size);
    return m->body;
}

static bool read_source(void *ctx, uint64_t offset, void *out, size_t n)
{
    struct fail why;

    if (store_body_read(ctx, offset, out, n, &why))
        return true;
    log_event(LOG_ERROR, "imap.body", LOG_FAIL(&why));
    return false;
}

static void release_source(void *ctx)
{
    struct store_body *body = ctx;

    store_body_release(&body);
}

/* " {n}" CRLF, the bytes following */
static void write_announcement(struct imap_session *s, const struct fetch_item *item, uint64_t n)
{
    struct buf *out = conn_out(s->conn);

    buf_add(out, item->label);
    buf_add(out, SLICE(" {"));
    buf_add_u64(out, n);
    buf_add(out, SLICE("}\r\n"));
}

/* What <origin.length> leaves of `n` bytes. */
static struct range cut_partial(const struct fetch_item *item, uint64_t n)
{
    uint64_t begin = item->partial && item->offset < n ? item->offset : item->partial ? n : 0;
    uint64_t end = item->partial && item->length < n - begin ? begin + item->length : n;

    return (struct range){begin, end};
}

static bool is_listed(const struct fetch_item *item, struct slice name)
{
    for (size_t i = 0; i < item->field_count; i++)
        if (slice_eq_nocase(item->fields[i], name))
            return true;
    return false;
}

/* HEADER.FIELDS and HEADER.FIELDS.NOT: the lines chosen and the empty one, put together in memory. */
static void write_fields(struct imap_session *s, struct fetch *f, const struct fetch_item *item,
                         struct fetch_message *m, struct range r)
{
    size_t n = r.end - r.begin < FIELDS_HEADER_MAX ? (size_t)(r.end - r.begin) : FIELDS_HEADER_MAX;
    char *header = arena_alloc(&f->scratch, n + 1);
    struct fail why;
    struct header_field field;
    struct buf lines;

    if (header == NULL || !store_body_read(body_of(s, m), r.begin, header, n, &why)) {
        buf_add(conn_out(s->conn), item->label);
        buf_add(conn_out(s->conn), SLICE(" NIL"));
        return;
    }
    f->costly = f->costly || n > FIELDS_COSTLY;
    buf_init(&lines, n + 8);
    for (size_t at = 0; header_next(slice_make(header, n), &at, &field);)
        if (is_listed(item, field.name) == (item->part == PART_FIELDS))
            buf_add(&lines, field.raw);
    buf_add(&lines, SLICE("\r\n"));
    struct range cut = cut_partial(item, lines.len);
    write_announcement(s, item, cut.end - cut.begin);
    buf_add(conn_out(s->conn),
            slice_sub(buf_slice(&lines), (size_t)cut.begin, (size_t)(cut.end - cut.begin)));
    buf_finish(&lines);
}

void fetch_write_section(struct imap_session *s, struct fetch *f, const struct fetch_item *item,
                         struct fetch_message *m)
{
    struct range r = {0};

    if (!find_range(item, m, &r)) {
        buf_add(conn_out(s->conn), item->label);
        buf_add(conn_out(s->conn), SLICE(" NIL"));
        return;
    }
    if (item->part == PART_FIELDS || item->part == PART_FIELDS_NOT) {
        write_fields(s, f, item, m, r);
        return;
    }
    struct range cut = cut_partial(item, r.end - r.begin);
    write_announcement(s, item, cut.end - cut.begin);
    if (cut.end > cut.begin)
        conn_send_source(s->conn,
                         (struct conn_source){.read = read_source,
                                              .release = release_source,
                                              .ctx = store_body_ref(body_of(s, m))},
                         r.begin + cut.begin, cut.end - cut.begin);
}
