/*
 * tests/unit/message/tree.h - a message parsed in pieces, and its tree as text.
 */
#ifndef TESTS_MESSAGE_TREE_H
#define TESTS_MESSAGE_TREE_H

#include "message/message.h"

/* Fed in one piece up to `first`, then in pieces of `step` bytes. */
static inline struct mime_part *tree_parse(struct arena *a, const struct message_limits *limits,
                                           struct slice message, size_t first, size_t step)
{
    struct message_parser *p = message_parser_create(a, limits);

    message_parser_feed(p, slice_sub(message, 0, first));
    for (size_t at = first; at < message.len; at += step)
        message_parser_feed(p, slice_sub(message, at, step));
    return message_parser_finish(p);
}

static inline void tree_show_parameters(struct buf *out, const struct mime_parameter *parameters,
                                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addf(out, ";" PRIslice "=" PRIslice, SLICE_ARG(parameters[i].name),
                 SLICE_ARG(parameters[i].value));
}

/* Everything that packing keeps. */
static inline void tree_show_all(struct buf *out, const struct mime_part *part)
{
    buf_addf(out, "(%d%d %zu-%zu-%zu %zu+%zu ", part->is_multipart, part->is_message,
             (size_t)part->header_offset, (size_t)part->body_offset, (size_t)part->end_offset,
             (size_t)part->header_lines, (size_t)part->body_lines);
    const struct slice texts[] = {part->type,        part->subtype,     part->id,
                                  part->description, part->encoding,    part->md5,
                                  part->location,    part->disposition, part->envelope};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        buf_addf(out, "[" PRIslice "]", SLICE_ARG(texts[i]));
    tree_show_parameters(out, part->parameters, part->parameter_count);
    tree_show_parameters(out, part->disposition_parameters, part->disposition_parameter_count);
    for (size_t i = 0; i < part->language_count; i++)
        buf_addf(out, "," PRIslice, SLICE_ARG(part->languages[i]));
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next)
        tree_show_all(out, child);
    buf_addf(out, ")");
}

/* "text/plain[body]" for a leaf, "multipart/mixed(...)", "message/rfc822(...)": what the tables compare. */
static inline void tree_show(struct buf *out, const struct mime_part *part, struct slice message)
{
    buf_addf(out, PRIslice "/" PRIslice, SLICE_ARG(part->type), SLICE_ARG(part->subtype));
    if (part->first_child == NULL) {
        buf_addf(out, "[" PRIslice "]%zu",
                 SLICE_ARG(slice_sub(message, part->body_offset, part->end_offset - part->body_offset)),
                 (size_t)part->body_lines);
        return;
    }
    buf_addf(out, "(");
    for (const struct mime_part *child = part->first_child; child != NULL; child = child->next) {
        tree_show(out, child, message);
        if (child->next != NULL)
            buf_addf(out, " ");
    }
    buf_addf(out, ")");
}

#endif
