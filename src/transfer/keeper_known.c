/*
 * transfer/keeper_known.c - what a mailbox got in earlier runs, while a run goes through it.
 *
 * Layer: transfer.
 */
#include "transfer/keeper_known.h"

#include <stdlib.h>

enum { ROWS_AT_ONCE = 4096 };

static int compare_digests(const void *a, const void *b)
{
    return memcmp(((const struct known_row *)a)->row.digest, ((const struct known_row *)b)->row.digest, IMPORT_DIGEST);
}

static int compare_uids(const void *a, const void *b)
{
    uint32_t x = ((const struct known_row *)a)->row.uid, y = ((const struct known_row *)b)->row.uid;

    return x < y ? -1 : x > y;
}

void known_by_digest(struct known *k)
{
    if (k->count > 0)
        qsort(k->rows, k->count, sizeof *k->rows, compare_digests);
}

void known_by_uid(struct known *k)
{
    if (k->count > 0)
        qsort(k->rows, k->count, sizeof *k->rows, compare_uids);
}

bool known_load(struct known *k, struct account *a, uint64_t source, struct fail *why)
{
    struct import_row *some = xcalloc(ROWS_AT_ONCE, sizeof *some);
    uint32_t           after = 0;
    size_t             got = ROWS_AT_ONCE;
    bool               ok = true;

    *k = (struct known){.rows = NULL};
    while (ok && got == ROWS_AT_ONCE) {
        ok = import_rows(a, source, after, some, ROWS_AT_ONCE, &got, why);
        if (!ok || got == 0)
            break;
        if (k->count + got > k->cap) {
            k->cap = (k->count + got) * 2;
            k->rows = xrealloc(k->rows, k->cap * sizeof *k->rows);
        }
        for (size_t i = 0; i < got; i++)
            k->rows[k->count++] = (struct known_row){.row = some[i]};
        after = some[got - 1].uid;
    }
    free(some);
    if (ok)
        known_by_digest(k);
    else
        known_finish(k);
    return ok;
}

void known_finish(struct known *k)
{
    free(k->rows);
    *k = (struct known){.rows = NULL};
}

struct known_row *known_find(const struct known *k, const struct transfer_digest *d)
{
    struct known_row wanted = {.told = false};

    memcpy(wanted.row.digest, d->bytes, IMPORT_DIGEST);
    return k->count > 0 ? bsearch(&wanted, k->rows, k->count, sizeof *k->rows, compare_digests) : NULL;
}
