/*
 * transfer/keeper_internal.h - what the keeper's files share.
 *
 * Layer: transfer; private to the keeper.
 */
#ifndef TRANSFER_KEEPER_INTERNAL_H
#define TRANSFER_KEEPER_INTERNAL_H

#include "transfer/keeper.h"
#include "transfer/keeper_known.h"

enum { KEYWORD_MOST = 100, KEYWORDS_MOST = 200 }; /* the store's limits, as they are without a config */

/* A message whose flags are others at the source now. */
struct flag_wish {
    struct known_row *row;
    uint32_t          flags;
    struct slice      keywords; /* separated by spaces, ordered, on the heap */
};

struct keeper {
    struct account       *account;
    struct keeper_options options;
    keeper_note          *note;
    void                 *note_ctx;
    struct keeper_summary sum;
    uint64_t              durable; /* of the messages told */

    /* The present mailbox. */
    struct arena        arena;
    struct slice        name;
    uint32_t            uidvalidity, uidnext; /* of the source */
    bool                no_select, keeps_uids, told_keyword;
    uint64_t            renumbered_before, messages_before;
    struct import_place place;
    struct known        known;
    struct flag_wish   *wishes;
    size_t              wish_count, wish_cap;

    /* What gathers. */
    struct appender *appender; /* NULL: nothing */
    uint64_t         batch_bytes;
    int64_t          batch_since_ms;
    bool             batch_keywords;
};

void keeper_note_of(struct keeper *k, bool left_out, struct slice what, const char *reason);
/* Ends with a mailbox; what waits is given back. */
void keeper_leave(struct keeper *k);

/* ---- keeper_settle.c ---- */

/* A hash of flags and keywords that are the same in any order and case. */
int64_t keeper_state(uint32_t flags, const struct slice *keywords, size_t count);
/* A message that is there: are its flags others at the source now than at the last run? */
bool keeper_compare(struct keeper *k, struct known_row *row, uint32_t flags, const struct slice *keywords, size_t count,
                    struct fail *why);
/* At a mailbox's end: flags are set, and with `gone` what the source no longer has is taken out. */
bool keeper_settle(struct keeper *k, bool gone, struct fail *why);

void keeper_drop_wishes(struct keeper *k);

#endif
