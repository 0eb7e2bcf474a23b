/*
 * imap/section.h - the bytes that BODY[section]<partial> or BINARY[section]<partial> names.
 *
 * Layer: imap; inside the room only.  RFC 3501 section 6.4.5, RFC 3516.  For FETCH,
 * which sends them, and for IMAP URLs (CATENATE, URLFETCH), which name the same.
 * Offsets in a kept structure count from the message's own first byte; what a
 * recipient sees has a prefix of header lines before it, which belongs to the
 * root's header.
 */
#ifndef IMAP_SECTION_H
#define IMAP_SECTION_H

#include "imap/fetch_args.h"
#include "message/message.h"
#include "net/conn.h"
#include "store/store.h"

/* A message that is being answered. */
struct fetch_message {
    const struct message_info *info;
    const struct mime_part    *root; /* NULL if its structure cannot be read */
    struct store_body         *body; /* opened when needed; the caller's to release */

    /* The header block that HEADER.FIELDS last looked at, in the scratch arena. */
    char    *header;
    uint64_t header_begin;
    size_t   header_length;
};

struct section {
    struct slice       text;   /* all of it, where source.read is NULL; in the arena given */
    struct conn_source source; /* else from here; the caller's to release or to hand on */
    uint64_t           offset; /* in the source, of the first byte asked for */
    uint64_t           length;
    bool               has_nul; /* BINARY: it must be a literal8 */
    bool               costly;  /* others should have their turn now */
};

enum section_found {
    SECTION_FOUND,
    SECTION_NONE,        /* there is no such part */
    SECTION_UNKNOWN_CTE, /* BINARY: nobody knows how to decode it */
    SECTION_FAILED,      /* `why` */
};

/* `item`: ITEM_SECTION or ITEM_BINARY; of ITEM_BINARY_SIZE only `length` is true. */
enum section_found section_open(struct store *st, struct arena *scratch, const struct fetch_item *item,
                                struct fetch_message *m, struct section *out, struct fail *why);
/* Can BINARY decode that part (or is there none)? */
bool section_can_decode(const struct fetch_item *item, const struct fetch_message *m);

/* ---- between section.c and binary.c ---- */

/* Bytes of the message as a recipient sees it. */
struct section_range {
    uint64_t begin, end;
};
/* What `item` names of the message; *part is where it lies.  false: there is no such part. */
bool section_find(const struct fetch_item *item, const struct fetch_message *m, struct section_range *out,
                  const struct mime_part **part);
/* What <origin.length> leaves of `n` bytes. */
struct section_range section_cut(const struct fetch_item *item, uint64_t n);
struct conn_source section_plain_source(struct store_body *body);
/* Decoded bytes of a part: `encoded` are those of the message. */
enum section_found section_decode(struct arena *scratch, const struct fetch_item *item, struct store_body *body,
                                  struct section_range encoded, const struct mime_part *part,
                                  struct section *out, struct fail *why);

#endif
