/*
 * transfer/keeper_known.h - what a mailbox got in earlier runs, while a run goes through it.
 *
 * Layer: transfer; private to the keeper.
 */
#ifndef TRANSFER_KEEPER_KNOWN_H
#define TRANSFER_KEEPER_KNOWN_H

#include "store/import.h"
#include "transfer/transfer.h"

/* 48 bytes a message, ordered by digest. */
struct known_row {
    struct import_row row;
    bool              told; /* in this run */
    bool              changed;
};

struct known {
    struct known_row *rows;
    size_t            count, cap;
};

bool known_load(struct known *k, struct account *a, uint64_t source, struct fail *why);
void known_finish(struct known *k);
struct known_row *known_find(const struct known *k, const struct transfer_digest *d);
void known_by_uid(struct known *k);    /* orders them so; known_find is over then */
void known_by_digest(struct known *k);

#endif
