/*
 * store/facts.c - what is computed once from a message's bytes and kept beside it.
 *
 * Layer: store.
 */
#include <stdlib.h>

#include "base/crash_note.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/scoped.h"
#include "message/envelope.h"
#include "store/internal.h"

enum {
    PIECE_BYTES = 64 * 1024,
    PREVIEW_BYTES = 4096,         /* of the text part that are looked at; of HTML, which begins with ... */
    PREVIEW_ENOUGH = 100,         /* bytes of preview that are worth showing */
    PREVIEW_BYTES_MAX = 64 * 1024, /* ... style sheets and the like, so much if need be */
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

/* Line feeds in `text` without a carriage return in front; *last is the byte before it, then its own last. */
static uint64_t count_bare_lf(struct slice text, char *last)
{
    uint64_t n = 0;

    for (size_t at = 0; at < text.len; at++) {
        const char *lf = memchr(text.ptr + at, '\n', text.len - at);
        if (lf == NULL)
            break;
        at = (size_t)(lf - text.ptr);
        n += (at > 0 ? lf[-1] : *last) != '\r';
    }
    if (text.len > 0)
        *last = text.ptr[text.len - 1];
    return n;
}

/* A last line without an end gets one. */
static uint64_t end_extra(uint64_t size, char last)
{
    return size > 0 && last != '\n' ? 2 : 0;
}

static bool feed_all(struct message_parser *p, const struct source *s, uint64_t *line_extra, struct fail *why)
{
    char last = 0;
    struct slice all;

    if (s->body != NULL && body_in_memory(s->body, &all)) {
        message_parser_feed(p, all);
        *line_extra = count_bare_lf(all, &last) + end_extra(all.len, last);
        return true;
    }
    SCOPED(scoped_free) char *piece = xmalloc(PIECE_BYTES);
    for (uint64_t at = 0; at < s->size;) {
        size_t n = s->size - at < PIECE_BYTES ? (size_t)(s->size - at) : PIECE_BYTES;
        if (!source_read(s, at, piece, n, why))
            return false;
        message_parser_feed(p, slice_make(piece, n));
        *line_extra += count_bare_lf(slice_make(piece, n), &last);
        at += n;
    }
    *line_extra += end_extra(s->size, last);
    return true;
}

/* A copy in `a`; what did not fit its buffer is left out, to be shown as empty. */
static struct slice keep(struct arena *a, struct buf *b)
{
    struct slice s = b->failed ? SLICE("") : arena_keep(a, buf_slice(b));

    buf_reset(b);
    return s;
}

static bool preview_of(const struct source *s, const struct mime_part *part, size_t most, struct buf *out,
                       struct fail *why)
{
    uint64_t length = part->end_offset - part->body_offset;
    size_t n = length < most ? (size_t)length : most;
    SCOPED(scoped_free) char *text = xmalloc(n);

    if (!source_read(s, part->body_offset, text, n, why))
        return false;
    buf_reset(out);
    preview_write(out, part, slice_make(text, n));
    return true;
}

static bool preview(const struct source *s, const struct mime_part *root, struct buf *out, struct fail *why)
{
    const struct mime_part *part = preview_part(root);

    if (part == NULL || part->end_offset <= part->body_offset)
        return true;
    if (!preview_of(s, part, PREVIEW_BYTES, out, why))
        return false;
    bool all = part->end_offset - part->body_offset <= PREVIEW_BYTES || out->len >= PREVIEW_ENOUGH;
    return all || !slice_eq_nocase(part->subtype, SLICE("html")) ||
           preview_of(s, part, PREVIEW_BYTES_MAX, out, why);
}

/* Was none of the header cut off, nor the envelope for its length? */
static bool says_all(const struct mime_part *root, struct slice envelope)
{
    return envelope.len > 0 && root->header.len == root->body_offset - root->header_offset;
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
    uint64_t line_extra = 0;
    bool ok = feed_all(parser, s, &line_extra, why);
    if (ok) {
        struct message_facts facts = {.size = s->size, .line_extra = (int64_t)line_extra};
        const struct mime_part *root = message_parser_finish(parser);
        envelope_write(&text, root->header, &limits);
        facts.envelope = keep(a, &text);
        facts.repeats = says_all(root, facts.envelope) ? (int)envelope_repeats(root->header) : -1;
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

void message_facts_plain(struct arena *a, uint64_t size, struct message_facts *out)
{
    static const char no_ids[8];
    struct message_limits limits;
    struct buf packed;

    message_limits_default(&limits);
    struct mime_part *root = message_parser_finish(message_parser_create(a, &limits));
    root->end_offset = size;
    buf_init(&packed, 4096);
    mime_pack(&packed, root);
    *out = (struct message_facts){.size = size,
                                  .repeats = -1,
                                  .line_extra = -1,
                                  .envelope = SLICE("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
                                  .references.ids = arena_keep(a, slice_make(no_ids, sizeof no_ids)),
                                  .structure = arena_keep(a, buf_slice(&packed))};
    buf_finish(&packed);
}

struct message_facts message_facts_keep(struct arena *a, const struct message_facts *f)
{
    struct message_facts kept = *f;
    uint64_t *keys = arena_new_array(a, uint64_t, f->references.key_count);

    for (size_t i = 0; keys != NULL && i < f->references.key_count; i++)
        keys[i] = f->references.keys[i];
    kept.references.keys = keys;
    kept.references.ids = arena_keep(a, f->references.ids);
    kept.envelope = arena_keep(a, f->envelope);
    kept.structure = arena_keep(a, f->structure);
    kept.preview = arena_keep(a, f->preview);
    return kept;
}

/* ---- at most twice ---- */

/* A note names a message by this: the same whenever it is parsed, and never 0. */
static uint64_t print_of(const struct source *s)
{
    char tail[4096];
    const size_t n = s->size < sizeof tail ? (size_t)s->size : sizeof tail;

    if (s->body == NULL)
        return (uint64_t)s->ref << 1 | 1;
    if (!source_read(s, s->size - n, tail, n, NULL))
        return 1;
    return ((uint64_t)crc32c(0, tail, n) << 32 | (uint32_t)s->size) | 1;
}

static bool compute_once(struct store *st, const struct source *s, struct arena *a, struct message_facts *out,
                         struct fail *why)
{
    uint64_t print = print_of(s);
    bool ok = true;

    if (crash_note_enter(st->note, print)) {
        ok = compute(s, a, out, why);
    } else {
        log_event(LOG_ERROR, "store.unparsed", LOG_HEX("ref", s->ref), LOG_U64("bytes", s->size),
                  LOG_CSTR("error", "in work at two crashes: kept without being parsed"));
        message_facts_plain(a, s->size, out);
    }
    crash_note_leave(st->note, print);
    return ok;
}

bool facts_of_body(struct store *st, const struct body *body, struct arena *a, struct message_facts *out,
                   struct fail *why)
{
    const struct source s = {.body = body, .size = body_size(body)};

    return compute_once(st, &s, a, out, why);
}

bool facts_of_record(struct store *st, volume_ref ref, uint64_t size, struct arena *a,
                     struct message_facts *out, struct fail *why)
{
    const struct source s = {.volumes = st->volumes, .ref = ref, .size = size};

    return compute_once(st, &s, a, out, why);
}

bool facts_line_extra(struct store *st, volume_ref ref, uint64_t size, uint64_t *out, struct fail *why)
{
    const struct source s = {.volumes = st->volumes, .ref = ref, .size = size};
    SCOPED(scoped_free) char *piece = xmalloc(PIECE_BYTES);
    uint64_t all = 0;
    char last = 0;

    for (uint64_t at = 0; at < size;) {
        size_t n = size - at < PIECE_BYTES ? (size_t)(size - at) : PIECE_BYTES;
        if (!source_read(&s, at, piece, n, why))
            return false;
        all += count_bare_lf(slice_make(piece, n), &last);
        at += n;
    }
    *out = all + end_extra(size, last);
    return true;
}
