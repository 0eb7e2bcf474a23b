/*
 * imap/section.c - the bytes that BODY[section]<partial> names.
 *
 * Layer: imap.
 */
#include "imap/section.h"

#include <stdlib.h>

#include "base/fail.h"
#include "base/log.h"
#include "message/decode.h"
#include "message/header.h"

enum {
    FIELDS_HEADER_MAX = 1024 * 1024, /* HEADER.FIELDS looks at so much of a header */
    FIELDS_TEXT_MAX = 64 * 1024,     /* of chosen lines held in memory; more are read when they are sent */
    COSTLY = 64 * 1024,              /* more than that at a time is not fair to others */
};

bool section_find(const struct fetch_item *item, const struct fetch_message *m, struct section_range *out,
                  const struct mime_part **found)
{
    uint64_t prefix = m->info->prefix.len, size = m->info->size;
    const struct mime_part *root = m->root, *part = root;

    *found = root;
    if (item->depth == 0 && item->part == PART_ALL) {
        *out = (struct section_range){0, size};
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
    *found = part;
    switch (item->part) {
    case PART_ALL:
    case PART_TEXT:
        *out = (struct section_range){prefix + part->body_offset, prefix + part->end_offset};
        break;
    case PART_HEADER:
    case PART_FIELDS:
    case PART_FIELDS_NOT:
    case PART_MIME:
        *out = (struct section_range){part == root ? 0 : prefix + part->header_offset,
                                      prefix + part->body_offset};
        break;
    }
    return out->begin <= out->end && out->end <= size;
}

struct section_range section_cut(const struct fetch_item *item, uint64_t n)
{
    uint64_t begin = !item->partial ? 0 : item->offset < n ? item->offset : n;
    uint64_t end = item->partial && item->length < n - begin ? begin + item->length : n;

    return (struct section_range){begin, end};
}

static bool read_plain(void *ctx, uint64_t offset, void *out, size_t n)
{
    struct fail why;

    if (store_body_read(ctx, offset, out, n, &why))
        return true;
    log_event(LOG_ERROR, "imap.body", LOG_FAIL(&why));
    return false;
}

static void release_plain(void *ctx)
{
    struct store_body *body = ctx;

    store_body_release(&body);
}

struct conn_source section_plain_source(struct store_body *body)
{
    return (struct conn_source){.read = read_plain, .release = release_plain, .ctx = store_body_ref(body)};
}

/* ---- HEADER.FIELDS: chosen lines, and the empty one ---- */

/* Lines that are read from the message when they are sent. */
struct lines {
    struct store_body *body;
    size_t count, cap;
    struct line_run {
        uint64_t at;  /* in the message */
        uint64_t end; /* in what is sent, behind its last byte */
    } *runs;
};

static void lines_add(struct lines *l, uint64_t at, uint64_t length)
{
    struct line_run *last = l->count > 0 ? &l->runs[l->count - 1] : NULL;
    uint64_t sent = last != NULL ? last->end : 0, before = l->count > 1 ? l->runs[l->count - 2].end : 0;

    if (last != NULL && last->at + (last->end - before) == at) {
        last->end += length;
        return;
    }
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 8 : l->cap * 2;
        l->runs = xrealloc(l->runs, l->cap * sizeof *l->runs);
    }
    l->runs[l->count++] = (struct line_run){.at = at, .end = sent + length};
}

static uint64_t lines_length(const struct lines *l)
{
    return l->count > 0 ? l->runs[l->count - 1].end : 0;
}

static bool read_lines(void *ctx, uint64_t offset, void *out, size_t n)
{
    const struct lines *l = ctx;
    uint64_t begin = 0;
    char *to = out;

    for (size_t i = 0; i < l->count && n > 0; begin = l->runs[i++].end) {
        if (offset >= l->runs[i].end)
            continue;
        uint64_t left = l->runs[i].end - offset;
        size_t some = n < left ? n : (size_t)left;
        if (!read_plain(l->body, l->runs[i].at + (offset - begin), to, some))
            return false;
        to += some;
        offset += some;
        n -= some;
    }
    for (uint64_t at = offset - lines_length(l); n > 0; n--)
        *to++ = at++ == 0 ? '\r' : '\n';
    return true;
}

static void release_lines(void *ctx)
{
    struct lines *l = ctx;

    store_body_release(&l->body);
    free(l->runs);
    free(l);
}

static bool is_listed(const struct fetch_item *item, struct slice name)
{
    for (size_t i = 0; i < item->field_count; i++)
        if (slice_eq_nocase(item->fields[i], name))
            return true;
    return false;
}

/* A message's header is read once, however many sections look at it. */
static bool read_header(struct arena *scratch, struct fetch_message *m, struct section_range r, struct fail *why)
{
    size_t n = r.end - r.begin < FIELDS_HEADER_MAX ? (size_t)(r.end - r.begin) : FIELDS_HEADER_MAX;

    if (m->header != NULL && m->header_begin == r.begin && m->header_length == n)
        return true;
    m->header = arena_alloc(scratch, n + 1);
    m->header_begin = r.begin;
    m->header_length = n;
    if (m->header != NULL && store_body_read(m->body, r.begin, m->header, n, why))
        return true;
    if (m->header == NULL)
        fail_set(why, FAIL_PERM, FAIL_LIMIT, "too many headers at once");
    m->header = NULL;
    return false;
}

static enum section_found open_fields(struct arena *scratch, const struct fetch_item *item,
                                      struct fetch_message *m, struct section_range r, struct section *out,
                                      struct fail *why)
{
    struct header_field field;
    struct buf text;
    struct lines lines = {.body = m->body};

    if (!read_header(scratch, m, r, why))
        return SECTION_FAILED;
    struct slice header = slice_make(m->header, m->header_length);
    buf_init(&text, FIELDS_TEXT_MAX);
    for (size_t at = 0; header_next(header, &at, &field);) {
        if (is_listed(item, field.name) != (item->part == PART_FIELDS))
            continue;
        buf_add(&text, field.raw);
        lines_add(&lines, m->header_begin + (uint64_t)(field.raw.ptr - header.ptr), field.raw.len);
    }
    buf_add(&text, SLICE("\r\n"));
    struct section_range cut = section_cut(item, lines_length(&lines) + 2);
    out->length = cut.end - cut.begin;
    out->costly = header.len > COSTLY;
    if (!text.failed)
        out->text = arena_keep(scratch, slice_sub(buf_slice(&text), (size_t)cut.begin, (size_t)out->length));
    if (text.failed || out->text.len < out->length) {
        struct lines *kept = xmalloc(sizeof *kept);
        *kept = lines;
        (void)store_body_ref(m->body);
        out->offset = cut.begin;
        out->source = (struct conn_source){.read = read_lines, .release = release_lines, .ctx = kept};
    } else {
        free(lines.runs);
    }
    buf_finish(&text);
    return SECTION_FOUND;
}

/* ---- all of them ---- */

static bool is_leaf(const struct fetch_item *item, const struct mime_part *part)
{
    return item->depth > 0 && part != NULL && !part->is_multipart && !part->is_message;
}

bool section_can_decode(const struct fetch_item *item, const struct fetch_message *m)
{
    struct section_range r;
    const struct mime_part *part;

    return !section_find(item, m, &r, &part) || !is_leaf(item, part) ||
           transfer_encoding_of(part->encoding) != ENCODING_UNKNOWN;
}

enum section_found section_open(struct store *st, struct arena *scratch, const struct fetch_item *item,
                                struct fetch_message *m, struct section *out, struct fail *why)
{
    struct section_range r;
    const struct mime_part *part;

    *out = (struct section){0};
    if (!section_find(item, m, &r, &part))
        return SECTION_NONE;
    if (m->body == NULL)
        m->body = store_body_open(st, m->info->ref, m->info->prefix, m->info->size);
    if (!store_body_intact(m->body, why))
        return SECTION_FAILED;
    if (item->kind != ITEM_SECTION)
        return section_decode(scratch, item, m->body, r, is_leaf(item, part) ? part : NULL, out, why);
    if (item->part == PART_FIELDS || item->part == PART_FIELDS_NOT)
        return open_fields(scratch, item, m, r, out, why);
    struct section_range cut = section_cut(item, r.end - r.begin);
    out->offset = r.begin + cut.begin;
    out->length = cut.end - cut.begin;
    if (out->length > 0)
        out->source = section_plain_source(m->body);
    return SECTION_FOUND;
}
