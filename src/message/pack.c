/*
 * message/pack.c - the tree of parts as a compact row, and back.
 *
 * Layer: message.
 *
 *     packed = version (1 byte) crc32c of the rest (4 bytes, little-endian) part
 *     part   = flags header-offset header-length body-length header-lines body-lines
 *              type subtype id description encoding md5 location disposition envelope
 *              parameters disposition-parameters languages count *part
 *
 * Numbers are base-128, low groups first, high bit on all but the last; a string
 * is its length and its bytes; a list is its count and its items.
 */
#include "base/encode.h"
#include "message/message.h"

enum { PACK_VERSION = 1, PACK_HEAD = 5, FLAG_MULTIPART = 1, FLAG_MESSAGE = 2 };

static void pack_number(struct buf *out, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        buf_add_char(out, (char)(n | 0x80));
    buf_add_char(out, (char)n);
}

static void pack_string(struct buf *out, struct slice s)
{
    pack_number(out, s.len);
    buf_add(out, s);
}

static void pack_parameters(struct buf *out, const struct mime_parameter *parameters, size_t count)
{
    pack_number(out, count);
    for (size_t i = 0; i < count; i++) {
        pack_string(out, parameters[i].name);
        pack_string(out, parameters[i].value);
    }
}

static void pack_part(struct buf *out, const struct mime_part *part)
{
    size_t children = 0;

    buf_add_char(out,
                 (char)((part->is_multipart ? FLAG_MULTIPART : 0) | (part->is_message ? FLAG_MESSAGE : 0)));
    pack_number(out, part->header_offset);
    pack_number(out, part->body_offset - part->header_offset);
    pack_number(out, part->end_offset - part->body_offset);
    pack_number(out, part->header_lines);
    pack_number(out, part->body_lines);
    pack_string(out, part->type);
    pack_string(out, part->subtype);
    pack_string(out, part->id);
    pack_string(out, part->description);
    pack_string(out, part->encoding);
    pack_string(out, part->md5);
    pack_string(out, part->location);
    pack_string(out, part->disposition);
    pack_string(out, part->envelope);
    pack_parameters(out, part->parameters, part->parameter_count);
    pack_parameters(out, part->disposition_parameters, part->disposition_parameter_count);
    pack_number(out, part->language_count);
    for (size_t i = 0; i < part->language_count; i++)
        pack_string(out, part->languages[i]);
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next)
        children++;
    pack_number(out, children);
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next)
        pack_part(out, child);
}

void mime_pack(struct buf *out, const struct mime_part *root)
{
    size_t start = out->len;
    char *head = buf_room(out, PACK_HEAD);

    if (head == NULL)
        return;
    buf_grew(out, PACK_HEAD);
    pack_part(out, root);
    if (out->failed) {
        out->len = start;
        return;
    }
    uint32_t crc = crc32c(0, out->data + start + PACK_HEAD, out->len - start - PACK_HEAD);
    out->data[start] = PACK_VERSION;
    for (int i = 0; i < 4; i++)
        out->data[start + 1 + (size_t)i] = (char)(crc >> (8 * i));
}

struct unpacker {
    struct arena *arena;
    struct slice rest;
    bool failed;
};

static uint64_t unpack_number(struct unpacker *u)
{
    uint64_t n = 0;

    for (unsigned shift = 0; shift < 63 && u->rest.len > 0; shift += 7) {
        unsigned char byte = (unsigned char)u->rest.ptr[0];

        u->rest = slice_from(u->rest, 1);
        n |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return n;
    }
    u->failed = true;
    return 0;
}

/* Into the packed bytes themselves; mime_unpack makes them the arena's first. */
static struct slice unpack_string(struct unpacker *u)
{
    uint64_t len = unpack_number(u);
    struct slice s;

    if (u->failed || len > u->rest.len) {
        u->failed = true;
        return slice_make(NULL, 0);
    }
    s = slice_sub(u->rest, 0, (size_t)len);
    u->rest = slice_from(u->rest, s.len);
    return s;
}

/* A count of things that each take at least a byte, and room for them. */
static void *unpack_list(struct unpacker *u, size_t size, size_t *count)
{
    uint64_t n = unpack_number(u);
    void *items = NULL;

    if (n > u->rest.len)
        u->failed = true;
    if (!u->failed && n > 0) {
        items = arena_alloc_array(u->arena, (size_t)n, size);
        u->failed = items == NULL;
    }
    *count = u->failed ? 0 : (size_t)n;
    return items;
}

static struct mime_parameter *unpack_parameters(struct unpacker *u, size_t *count)
{
    struct mime_parameter *parameters = unpack_list(u, sizeof(*parameters), count);

    for (size_t i = 0; i < *count; i++) {
        parameters[i].name = unpack_string(u);
        parameters[i].value = unpack_string(u);
    }
    return parameters;
}

static uint64_t unpack_end(struct unpacker *u, uint64_t start)
{
    uint64_t length = unpack_number(u);

    u->failed |= length > UINT64_MAX - start;
    return start + length;
}

static void unpack_part(struct unpacker *u, struct mime_part *part, unsigned depth)
{
    uint64_t flags = unpack_number(u);

    part->is_multipart = (flags & FLAG_MULTIPART) != 0;
    part->is_message = (flags & FLAG_MESSAGE) != 0;
    part->header_offset = unpack_number(u);
    part->body_offset = unpack_end(u, part->header_offset);
    part->end_offset = unpack_end(u, part->body_offset);
    part->header_lines = unpack_number(u);
    part->body_lines = unpack_number(u);
    part->type = unpack_string(u);
    part->subtype = unpack_string(u);
    part->id = unpack_string(u);
    part->description = unpack_string(u);
    part->encoding = unpack_string(u);
    part->md5 = unpack_string(u);
    part->location = unpack_string(u);
    part->disposition = unpack_string(u);
    part->envelope = unpack_string(u);
    part->parameters = unpack_parameters(u, &part->parameter_count);
    part->disposition_parameters = unpack_parameters(u, &part->disposition_parameter_count);
    part->languages = unpack_list(u, sizeof(*part->languages), &part->language_count);
    for (size_t i = 0; i < part->language_count; i++)
        part->languages[i] = unpack_string(u);

    uint64_t children = unpack_number(u);
    bool consistent =
        part->is_message ? children == 1 && !part->is_multipart : part->is_multipart == (children > 0);
    if (!consistent || (children > 0 && depth == MIME_DEPTH_MAX))
        u->failed = true;
    struct mime_part **link = &part->first_child;
    for (uint64_t i = 0; i < children && !u->failed; i++) {
        struct mime_part *child = arena_new(u->arena, struct mime_part);

        if (child == NULL) {
            u->failed = true;
            return;
        }
        child->parent = part;
        *link = child;
        link = &child->next;
        unpack_part(u, child, depth + 1);
    }
}

struct mime_part *mime_unpack(struct arena *a, struct slice packed)
{
    uint32_t crc = 0;

    if (packed.len < PACK_HEAD || packed.ptr[0] != PACK_VERSION)
        return NULL;
    for (int i = 0; i < 4; i++)
        crc |= (uint32_t)(unsigned char)packed.ptr[1 + i] << (8 * i);
    struct slice rest = slice_from(packed, PACK_HEAD);
    if (crc32c(0, rest.ptr, rest.len) != crc)
        return NULL;

    struct unpacker u = {.arena = a, .rest = arena_keep(a, rest)};
    struct mime_part *root = arena_new(a, struct mime_part);
    if (root == NULL || u.rest.len != rest.len)
        return NULL;
    unpack_part(&u, root, 0);
    return u.failed || u.rest.len > 0 ? NULL : root;
}
