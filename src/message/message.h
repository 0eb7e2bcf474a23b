/*
 * message/message.h - a message taken apart, once, while it comes in.
 *
 * Layer: message.  RFC 5322 and MIME (RFC 2045-2049, 2231, 6532) over any bytes
 * at all: never a crash, never more than linear time, never an error.  What is
 * malformed is read as a careful mail program would read it.
 *
 * The parser is fed pieces of any size and keeps only header blocks and a tree
 * of parts with offsets, so a message of a gigabyte needs a few kilobytes.  The
 * result lives in the arena that was given.  Offsets count from the first byte fed.
 */
#ifndef MESSAGE_MESSAGE_H
#define MESSAGE_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"

struct message_limits {
    size_t header_bytes; /* of one header block that are looked at; the rest is skipped; default 256 KB */
    unsigned depth;      /* of nested parts, at most MIME_DEPTH_MAX; deeper ones are leaves; default 50 */
    unsigned parts;      /* in all; later ones belong to the last; default 2000 */
    unsigned parameters; /* of one field; default 100 */
    unsigned addresses;  /* of one field; default 5000 */
};
void message_limits_default(struct message_limits *l);

/*
 * Decoded per RFC 2231: continuations joined; where the value named a charset it
 * is UTF-8 and the name ends in "*" (RFC 9051 section 7.5.2).
 */
struct mime_parameter {
    struct slice name, value;
};

/* The value of `name` (case folded), "name*" before "name"; false if there is none. */
bool mime_parameter_find(const struct mime_parameter *parameters, size_t count, struct slice name,
                         struct slice *value);

/* No tree is deeper than this, whatever the limits say: what walks it may recurse. */
enum { MIME_DEPTH_MAX = 100 };

/*
 * One body part; the root is the message itself.  Texts are as written; they are
 * empty where the field is absent, but for type and subtype ("text", "plain") and
 * encoding ("7bit").
 */
struct mime_part {
    struct mime_part *parent, *next, *first_child; /* message/rfc822 has one child: the message inside */
    bool is_multipart; /* it has parts; a "multipart" type without any is a leaf */
    bool is_message;   /* message/rfc822 or message/global with a child */

    uint64_t header_offset; /* the header, its empty line included, is [header_offset, body_offset) */
    uint64_t body_offset;   /* the body is [body_offset, end_offset) */
    uint64_t end_offset;
    uint64_t header_lines, body_lines; /* line ends (CRLF or LF) in each of them */

    struct slice type, subtype;
    struct mime_parameter *parameters; /* of Content-Type, in order */
    size_t parameter_count;
    struct slice id, description, encoding, md5, location;
    struct slice disposition;
    struct mime_parameter *disposition_parameters;
    size_t disposition_parameter_count;
    struct slice *languages;
    size_t language_count;

    struct slice header;   /* the root's and message/rfc822 children's, cut at header_bytes; not packed */
    struct slice envelope; /* ENVELOPE of that header, for message/rfc822 children */
};

struct message_parser;

/* The arena (room for 16 KB at least) must outlive the parser and carries the result. */
struct message_parser *message_parser_create(struct arena *a, const struct message_limits *limits);
void message_parser_feed(struct message_parser *p, struct slice piece);
/* Ends it; the root part, never NULL (the arena's limit reached: a root without children). */
struct mime_part *message_parser_finish(struct message_parser *p);

/*
 * The part that IMAP calls "1.2.3" (RFC 9051 section 6.4.5; numbers in `path`), or NULL.
 * No numbers: the root.  A non-multipart message has one part, 1, itself.
 */
const struct mime_part *mime_part_find(const struct mime_part *root, const uint32_t *path, size_t depth);

/*
 * A compact form of the tree for keeping, and back.  Versioned; reading refuses
 * (NULL) what is damaged.  Reading what was written gives an equal tree (without `header`).
 */
void mime_pack(struct buf *out, const struct mime_part *root);
struct mime_part *mime_unpack(struct arena *a, struct slice packed);

#endif
