/*
 * message/content.c - the Content-* fields of one part (RFC 2045, 2183, 2557, 3282, 1864).
 *
 * Layer: message.  Of a field that is there twice the first one counts.
 */
#include "message/content.h"

#include "message/header.h"
#include "message/lex.h"
#include "message/parameter.h"

struct reading {
    struct arena *arena;
    const struct message_limits *limits;
    struct mime_part *part;
    bool has_type;
};

/* content = "Content-Type" ":" type "/" subtype *(";" parameter); anything else is no type (RFC 2045
 * section 5.2). */
static void read_type(struct reading *r, struct slice text)
{
    struct lex l = {.in = text};

    lex_skip(&l, NULL);
    struct slice type = lex_until(&l, "/;()\"");
    lex_skip(&l, NULL);
    if (r->has_type || type.len == 0 || !lex_accept(&l, '/'))
        return;
    lex_skip(&l, NULL);
    struct slice subtype = lex_until(&l, "/;()\"");
    if (subtype.len == 0)
        return;
    r->has_type = true;
    r->part->type = type;
    r->part->subtype = subtype;
    r->part->parameter_count =
        parameters_parse(r->arena, slice_from(text, l.at), r->limits->parameters, &r->part->parameters);
}

static void read_disposition(struct reading *r, struct slice text)
{
    struct lex l = {.in = text};

    lex_skip(&l, NULL);
    struct slice disposition = lex_until(&l, ";()\"");
    if (disposition.len == 0 || r->part->disposition.len > 0)
        return;
    r->part->disposition = disposition;
    r->part->disposition_parameter_count = parameters_parse(
        r->arena, slice_from(text, l.at), r->limits->parameters, &r->part->disposition_parameters);
}

static void read_encoding(struct reading *r, struct slice text)
{
    struct lex l = {.in = text};

    lex_skip(&l, NULL);
    if (r->part->encoding.len == 0)
        r->part->encoding = lex_until(&l, ";()\"");
}

/* Language-List = language-tag *("," language-tag) */
static void read_language(struct reading *r, struct slice text)
{
    struct lex l = {.in = text};

    if (r->part->language_count > 0)
        return;
    r->part->languages = arena_new_array(r->arena, struct slice, r->limits->parameters);
    while (r->part->languages != NULL && r->part->language_count < r->limits->parameters && !lex_at_end(&l)) {
        lex_skip(&l, NULL);
        struct slice tag = lex_until(&l, ",;()\"");

        if (tag.len > 0)
            r->part->languages[r->part->language_count++] = tag;
        else if (lex_peek(&l) == '"')
            (void)lex_quoted(&l);
        else
            (void)(lex_accept(&l, ',') || lex_accept(&l, ';') || lex_accept(&l, ')'));
    }
}

/* A URI may be folded anywhere (RFC 2557 section 4.4.2). */
static void read_location(struct reading *r, struct slice text)
{
    char *joined = arena_alloc(r->arena, text.len);
    size_t len = 0;

    if (joined == NULL || r->part->location.len > 0)
        return;
    for (size_t i = 0; i < text.len; i++)
        if (!lex_is_blank(text.ptr[i]))
            joined[len++] = text.ptr[i];
    r->part->location = slice_make(joined, len);
}

static void read_id(struct reading *r, struct slice text)
{
    if (r->part->id.len == 0)
        r->part->id = text;
}

static void read_description(struct reading *r, struct slice text)
{
    if (r->part->description.len == 0)
        r->part->description = text;
}

static void read_md5(struct reading *r, struct slice text)
{
    if (r->part->md5.len == 0)
        r->part->md5 = text;
}

static const struct {
    const char *name; /* after "Content-" */
    void (*read)(struct reading *r, struct slice text);
} fields[] = {
    {"type", read_type},
    {"transfer-encoding", read_encoding},
    {"disposition", read_disposition},
    {"id", read_id},
    {"description", read_description},
    {"md5", read_md5},
    {"language", read_language},
    {"location", read_location},
};

void content_read(struct arena *a, const struct message_limits *limits, struct slice header, bool in_digest,
                  struct mime_part *part)
{
    struct reading r = {.arena = a, .limits = limits, .part = part};
    struct header_field field;

    for (size_t at = 0; header_next(header, &at, &field);) {
        if (!slice_starts_nocase(field.name, SLICE("content-")))
            continue;
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
            if (slice_eq_nocase(slice_from(field.name, 8), slice_of(fields[i].name)))
                fields[i].read(&r, header_unfold(a, arena_keep(a, field.body)));
    }
    if (part->type.len == 0 || part->subtype.len == 0) {
        part->type = in_digest ? SLICE("message") : SLICE("text");
        part->subtype = in_digest ? SLICE("rfc822") : SLICE("plain");
    }
    if (part->encoding.len == 0)
        part->encoding = SLICE("7bit");
}
