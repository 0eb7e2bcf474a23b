/*
 * store/facts.c - what is computed once from a message's bytes and kept beside it.
 *
 * Layer: store.
 */
#include <stdlib.h>

#include "base/scoped.h"
#include "message/envelope.h"
#include "store/internal.h"

enum {
    PIECE_BYTES = 64 * 1024,
    PREVIEW_BYTES = 4096,         /* of the text part that are looked at */
    FACT_BYTES_MAX = 1024 * 1024, /* an envelope or structure longer than that is cut off: absurd mail */
    PARSE_BYTES_MAX = 64 << 20,   /* the parser's arena */
};

/* Where the bytes come from: a body on its way in, or a record. */
struct source {
    const struct body *body;
    struct volumes *volumes;
    volume_ref ref;
    uint64_t size;
};

static bool source_read(const struct source *s, uint64_t offset, char *out, size_t n, struct fail *why)
{
    size_t got;

    if (s->body == NULL)
        return volume_read(s->volumes, s->ref, offset, out, n, why);
    if (!body_read(s->body, offset, out, n, &got, why))
        return false;
    return got == n || fail_set(why, FAIL_TEMP, FAIL_OTHER, "a body ended early");
}

static bool feed_all(struct message_parser *p, const struct source *s, struct fail *why)
{
    struct slice all;

    if (s->body != NULL && body_in_memory(s->body, &all)) {
        message_parser_feed(p, all);
        return true;
    }
    SCOPED(scoped_free) char *piece = xmalloc(PIECE_BYTES);
    for (uint64_t at = 0; at < s->size;) {
        size_t n = s->size - at < PIECE_BYTES ? (size_t)(s->size - at) : PIECE_BYTES;
        if (!source_read(s, at, piece, n, why))
            return false;
        message_parser_feed(p, slice_make(piece, n));
        at += n;
    }
    return true;
}

/* A copy in `a`; what did not fit its buffer is left out, to be shown as empty. */
static struct slice keep(struct arena *a, struct buf *b)
{
    struct slice s = b->failed ? SLICE("") : arena_keep(a, buf_slice(b));

    buf_reset(b);
    return s;
}

static bool preview(const struct source *s, const struct mime_part *root, struct buf *out, struct fail *why)
{
    const struct mime_part *part = preview_part(root);
    char text[PREVIEW_BYTES];
    uint64_t n;

    if (part == NULL || part->end_offset <= part->body_offset)
        return true;
    n = part->end_offset - part->body_offset;
    if (n > sizeof text)
        n = sizeof text;
    if (!source_read(s, part->body_offset, text, (size_t)n, why))
        return false;
    preview_write(out, part, slice_make(text, (size_t)n));
    return true;
}

static bool compute(const struct source *s, struct arena *a, struct message_facts *out, struct fail *why)
{
    struct message_limits limits;
    struct arena parse;
    struct buf text;

    message_limits_default(&limits);
    arena_init(&parse, PARSE_BYTES_MAX);
    buf_init(&text, FACT_BYTES_MAX);
    struct message_parser *parser = message_parser_create(&parse, &limits);
    bool ok = feed_all(parser, s, why);
    if (ok) {
        struct message_facts facts = {.size = s->size};
        const struct mime_part *root = message_parser_finish(parser);
        envelope_write(&text, root->header, &limits);
        facts.envelope = keep(a, &text);
        message_references_read(a, root->header, &facts.references);
        mime_pack(&text, root);
        facts.structure = keep(a, &text);
        ok = preview(s, root, &text, why);
        facts.preview = keep(a, &text);
        *out = facts;
    }
    buf_finish(&text);
    arena_finish(&parse);
    return ok;
}

bool message_facts_compute(const struct body *body, struct arena *a, struct message_facts *out,
                           struct fail *why)
{
    struct source s = {.body = body, .size = body_size(body)};

    return compute(&s, a, out, why);
}

bool facts_of_record(struct volumes *v, volume_ref ref, uint64_t size, struct arena *a,
                     struct message_facts *out, struct fail *why)
{
    struct source s = {.volumes = v, .ref = ref, .size = size};

    return compute(&s, a, out, why);
}
