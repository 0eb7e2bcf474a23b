/*
 * imap/fetch_args.h - what FETCH asks for.
 *
 * Layer: imap; inside the room only.  RFC 3501 sections 6.4.5 and 9, RFC 7162
 * section 3.1.4.
 */
#ifndef IMAP_FETCH_ARGS_H
#define IMAP_FETCH_ARGS_H

#include "imap/set.h"

enum fetch_kind {
    ITEM_UID,
    ITEM_FLAGS,
    ITEM_MODSEQ,
    ITEM_INTERNALDATE,
    ITEM_SIZE,
    ITEM_EMAILID, /* RFC 8474 */
    ITEM_THREADID,
    ITEM_ENVELOPE,
    ITEM_BODY,
    ITEM_BODYSTRUCTURE,
    ITEM_SAVEDATE, /* RFC 8514 */
    ITEM_PREVIEW,  /* RFC 8970 */
    ITEM_SECTION,
    ITEM_BINARY,      /* RFC 3516 */
    ITEM_BINARY_SIZE,
};

enum fetch_part {
    PART_ALL,        /* [] or [1.2] */
    PART_HEADER,     /* [HEADER], [1.2.HEADER] */
    PART_FIELDS,     /* [HEADER.FIELDS (...)] */
    PART_FIELDS_NOT, /* [HEADER.FIELDS.NOT (...)] */
    PART_TEXT,
    PART_MIME,
};

struct fetch_item {
    enum fetch_kind    kind;
    struct slice       label; /* as the response names it */
    struct fetch_item *next;

    /* ITEM_SECTION; of the others, those that section-binary has */
    enum fetch_part part;
    uint32_t       *path;
    size_t          depth;
    struct slice   *fields;
    size_t          field_count;
    bool            partial;
    uint64_t        offset, length; /* partial: <offset.length> */
};

struct fetch_args {
    struct imap_set    set;
    struct fetch_item *items; /* in the order asked for, each once */
    bool               sets_seen, has_modseq;
    bool               changed; /* CHANGEDSINCE was given */
    bool               vanished; /* and VANISHED (RFC 7162 section 3.2.6) */
    uint64_t           changed_since;
    bool               windowed; /* PARTIAL was given: only for UID FETCH (RFC 9394 section 3.3) */
    struct imap_window window;
};

/* section-spec: what stands between "[" and "]", into `item`.  For IMAP URLs too. */
void fetch_section_read(struct imap_reader *r, struct fetch_item *item);

/* "(" fetch-att *(SP fetch-att) ")", into args->items. */
void fetch_items_read(struct imap_reader *r, struct fetch_args *args);
/* All of FETCH's arguments, from the space before the set to the end. */
struct fetch_args fetch_args_read(struct imap_reader *r);

#endif
