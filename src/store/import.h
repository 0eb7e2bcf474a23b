/*
 * store/import.h - mail that moves in, and what is remembered of where it came from.
 *
 * Layer: store.  A source is one mailbox elsewhere, by whatever name its reader gives it.
 * What came from it is remembered by message, in the transaction that makes the message's
 * rows (append_item.origin): so a second run neither brings it twice nor misses any,
 * however the first one ended.  What is deleted here stays remembered, and does not
 * come back.
 *
 *     import_begin -> import_open -> import_rows (what is there already) -> appender ... -> import_settle -> import_close -> import_end
 */
#ifndef STORE_IMPORT_H
#define STORE_IMPORT_H

#include "store/store.h"

enum {
    IMPORT_DIGEST = 16,
    IMPORT_UID_MOST = 0xf0000000, /* higher UIDs are not kept: there would be none left for new mail */
};

/*
 * One import into an account at a time: two that are told the same at once would both not find it.  Waits ten seconds for
 * one that is about to end, then FAIL_TEMP.
 */
bool import_begin(struct account *a, struct fail *why);
void import_end(struct account *a);

/* Of one message (struct append_item); its record has it too, so that what is made anew from the records knows it. */
struct import_origin {
    uint64_t source;
    uint8_t  source_name[IMPORT_DIGEST]; /* of struct import_place */
    uint32_t uid; /* it had, to be kept if it is above all others; 0: no wish */
    uint8_t  digest[IMPORT_DIGEST];
    int64_t  state; /* a hash of flags and keywords as they are at the source */
};

/* Where a source's mail is here. */
struct import_place {
    uint64_t source;
    uint64_t mailbox;
    uint32_t uidvalidity; /* of the mailbox: the source's own if UIDs can be kept */
    uint8_t  name[IMPORT_DIGEST]; /* what the source is remembered by */
};

/* Has mail come from this source before, and is its mailbox still there? */
bool import_find(struct account *a, struct slice source, struct import_place *out, bool *found, struct fail *why);
/*
 * Remembers that the source's mail goes into this mailbox.  An empty one into which no other source's mail went
 * takes `uidvalidity` (0: it need not), and its UIDs begin anew; what was expunged from it stays for undelete.
 */
bool import_open(struct account *a, struct slice source, uint64_t mailbox, uint32_t uidvalidity,
                 struct import_place *out, struct fail *why);
/* The mailbox's next UID is at least that. */
bool import_close(struct account *a, uint64_t mailbox, uint32_t uidnext, struct fail *why);

/* One message of an earlier run. */
struct import_row {
    uint8_t  digest[IMPORT_DIGEST];
    uint32_t uid;
    bool     gone;   /* for import_settle: to be forgotten */
    int64_t  state;
    uint64_t modseq; /* what it had when it was last as it is at the source: a higher one means touched here */
};
/* Those with UIDs above `after`, in order. */
bool import_rows(struct account *a, uint64_t source, uint32_t after, struct import_row *out, size_t max, size_t *count,
                 struct fail *why);
/* Writes state and modseq of rows, or forgets them. */
bool import_settle(struct account *a, uint64_t source, const struct import_row *rows, size_t count, struct fail *why);

/* Sieve scripts, kept for when they can be run.  Names are the account's own; one is active at most. */
bool script_put(struct account *a, struct slice name, bool active, struct slice text, struct fail *why);
/* Stops when `each` says false; slices are valid during it.  Nothing of the store may be called meanwhile. */
bool script_each(struct account *a, bool (*each)(void *ctx, struct slice name, bool active, struct slice text),
                 void *ctx, struct fail *why);

#endif
