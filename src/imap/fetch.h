/*
 * imap/fetch.h - a FETCH under way.
 *
 * Layer: imap; between fetch.c and fetch_section.c.
 */
#ifndef IMAP_FETCH_H
#define IMAP_FETCH_H

#include "imap/section.h"
#include "imap/session.h"

enum { FETCH_BATCH = 256 }; /* messages asked of the store at once */

/* One message of a batch, as the view shows it. */
struct fetch_entry {
    uint32_t          position;
    struct view_entry entry;
    bool              with_flags; /* FLAGS though nobody asked: they changed with or during this command */
};

struct fetch {
    struct fetch_args     args;
    struct imap_spans     spans;
    struct imap_spans_at  at;      /* the next to look at */
    struct view_cursor    cursor;  /* stands at `at`, where the span began before it */
    struct imap_news     *news;    /* of setting \Seen: told before */
    size_t                news_at; /* in news->diff.changed */
    unsigned              what;    /* FETCH_ bits; of no use when `only_view` */
    bool                  only_view, needs_root;
    bool                  missing; /* a message is gone for good */
    const struct fetch_item *resume; /* of the message at batch_at, whose response has been begun */
    bool                  unknown_cte; /* BINARY cannot decode a part */
    struct fail           failed;  /* why a body could not be read (NIL stands for it); kind and reason of the last */
    bool                  costly;  /* the last message took its time: others have their turn */

    struct fetch_entry    batch[FETCH_BATCH];
    size_t                batch_count, batch_at;

    struct buf            flags;      /* the last FLAGS list written, and what it is of */
    uint32_t              flags_of, keywords_of;
    bool                  recent_of;
    struct arena          scratch;    /* of one message */
};

/* Writes one section: its label, its size, its bytes by reference. */
void fetch_write_section(struct imap_session *s, struct fetch *f, const struct fetch_item *item,
                         struct fetch_message *m);

/*
 * FETCH responses that no FETCH asked for (NOTIFY, CONTEXT): `items` of the messages of `spans`, no \Seen
 * set.  In the arena, but to be ended; NULL when that is full.
 */
struct fetch *imap_fetch_begin(struct imap_session *s, const struct fetch_item *items, struct imap_spans spans);
/* false: call again when output has drained. */
bool imap_fetch_more(struct imap_session *s, struct fetch *f);
void imap_fetch_end(struct fetch **f); /* fine on NULL */

#endif
