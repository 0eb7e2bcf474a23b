/*
 * store/sort_table.h - what messages of a mailbox are sorted and threaded by, in memory.
 *
 * Layer: store; private to sort*.c and thread*.c.
 *
 * A table holds one row for each message, ordered by UID, and of the columns only those
 * that somebody has asked for.  A message's row never changes, so a table is only ever
 * added to.  Tables are kept for the next who asks, within store_limits.sort_bytes, and
 * shared: while more than one has it, a table is copied before rows are added.
 */
#ifndef STORE_SORT_TABLE_H
#define STORE_SORT_TABLE_H

#include "base/collation.h"
#include "store/internal.h"
#include "store/sort_texts.h"

/* Columns of texts. */
enum sort_text_column {
    TEXT_SUBJECT,
    TEXT_FROM,
    TEXT_TO,
    TEXT_CC,
    TEXT_DISPLAYFROM,
    TEXT_DISPLAYTO,
    TEXT_COLUMNS
};
/* Texts of one kind share one set. */
enum sort_text_kind { KIND_SUBJECT, KIND_ADDRESS, KIND_DISPLAY, KIND_COUNT };

enum sort_columns {
    COLUMN_SUBJECT = 1 << TEXT_SUBJECT, /* and is_reply */
    COLUMN_FROM = 1 << TEXT_FROM,
    COLUMN_TO = 1 << TEXT_TO,
    COLUMN_CC = 1 << TEXT_CC,
    COLUMN_DISPLAYFROM = 1 << TEXT_DISPLAYFROM,
    COLUMN_DISPLAYTO = 1 << TEXT_DISPLAYTO,
    COLUMN_DATE = 1 << TEXT_COLUMNS,
    COLUMN_REFERENCES = 2 << TEXT_COLUMNS,
    COLUMN_ROW = 4 << TEXT_COLUMNS, /* arrival and size, which without it are 0: to read them costs a third more */
};

struct sort_table {
    _Atomic unsigned refs;
    uint64_t account_id, mailbox_id;
    uint32_t uidvalidity;
    enum collation collation;
    unsigned columns;

    uint32_t count, cap;
    uint32_t through; /* all messages up to this UID were read */
    uint32_t *uid;
    int64_t *arrival; /* internal date, UTC */
    uint32_t *size;   /* four gigabytes and more are one size */
    int64_t *date;    /* sent date (RFC 5256 section 2.2) */
    uint32_t *text[TEXT_COLUMNS];
    bool *is_reply;
    uint64_t *reference_at; /* in `references`; the own id first */
    uint64_t *references;
    uint64_t reference_count, reference_cap;
    struct buf base, key; /* of the text that is added */
    struct sort_texts texts[KIND_COUNT];

    /* In the store's list of kept ones. */
    struct sort_table *newer, *older;
    uint64_t cost;
    int64_t used_ms;
};

static inline enum sort_text_kind sort_kind_of(enum sort_text_column column)
{
    return column == TEXT_SUBJECT                                   ? KIND_SUBJECT
           : column == TEXT_DISPLAYFROM || column == TEXT_DISPLAYTO ? KIND_DISPLAY
                                                                    : KIND_ADDRESS;
}

static inline uint64_t sort_references_end(const struct sort_table *t, uint32_t row)
{
    return row + 1 < t->count ? t->reference_at[row + 1] : t->reference_count;
}

/* ---- sort_table.c ---- */

struct sort_table *sort_table_create(const struct sort_table *like, unsigned columns);
struct sort_table *sort_table_copy(const struct sort_table *from);
void sort_table_release(struct sort_table **t);
/* The row of a UID, or UINT32_MAX.  *hint: where to look first; starts 0. */
uint32_t sort_table_row(const struct sort_table *t, uint32_t uid, uint32_t *hint);
/* The rows of messages by position, UINT32_MAX for those that have none (sort.c). */
void sort_find_rows(const struct sort_table *t, const struct view *v, const uint32_t *found, size_t count,
                    uint32_t *rows);
/* Adds the row of a message whose UID is above all; its envelope and references must have been fetched. */
void sort_table_add(struct sort_table *t, const struct message_info *m, struct arena *scratch);
/* FETCH_ bits of what sort_table_add looks at. */
unsigned sort_table_wants(unsigned columns);

/* The kept one for that mailbox and collation, counted; NULL: none. */
struct sort_table *sort_table_find(struct store *st, uint64_t account_id, uint64_t mailbox_id,
                                   uint32_t uidvalidity, enum collation c);
/*
 * Takes a kept one back, so that rows may be added: true if the caller is now the only one who
 * has it.  Who asks meanwhile reads the mailbox anew.
 */
bool sort_table_take(struct store *st, struct sort_table *t);
/* Keeps it in place of an older one, if it fits the budget. */
void sort_table_keep(struct store *st, struct sort_table *t);

/* ---- sort_build.c: a table that has what is needed, made in steps ---- */

struct sort_build {
    struct account *account;
    uint64_t mailbox_id;
    struct view *view;
    enum collation collation;
    unsigned columns;

    struct sort_table *table; /* complete once sort_build_step said 1 */
    bool own;                 /* nobody else has it: rows may be added */
    bool alone;               /* of a view that has what the mailbox has no more: not kept */
    struct arena scratch;
    uint32_t position; /* of the view, up to which it was read */
    int64_t until_ms;
    unsigned looks;
};

void sort_build_begin(struct sort_build *b, struct account *a, uint64_t mailbox_id, struct view *v,
                      enum collation c, unsigned columns);
/* 1: b->table is there.  0: call again.  -1: failed. */
int sort_build_step(struct sort_build *b, int64_t until_ms, struct fail *why);
void sort_build_end(struct sort_build *b);

#endif
