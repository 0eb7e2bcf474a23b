/*
 * main/config_limits.h - every limit of every room as a row.
 *
 * Layer: main.  One list: the config file's options, their ranges and
 * docs/limits.md (which a test compares with it) come from here.
 */
#ifndef MAIN_CONFIG_LIMITS_H
#define MAIN_CONFIG_LIMITS_H

#include "main/config.h"

struct config_limit {
    const char *room; /* the section in the config file */
    const char *name; /* the option; the same as the field */
    enum limit_kind {
        LIMIT_COUNT, /* a number */
        LIMIT_BYTES, /* a number that may carry KB, MB, GB */
        LIMIT_CHAR,  /* one character, or empty for none */
        LIMIT_TEXT,  /* up to `high` printable characters, or empty for none */
        LIMIT_BOOL,  /* true or false */
    } kind;
    size_t   offset, size; /* of the field in struct config */
    uint64_t low, high;    /* what may be set */
};

extern const struct config_limit config_limits[];
extern const size_t              config_limit_count;

/* The rooms' own defaults. */
void config_limits_default(struct config *c);

/* NULL if there is no such limit. */
const struct config_limit *config_limit_find(const char *room, const char *name);

/* FAIL_INVALID says what would be right.  `c` may be NULL: only checked. */
bool config_limit_set(const struct config_limit *limit, struct slice value, struct config *c, struct fail *why);

/* As the config file would have it: "50 MB", "100", "+". */
void config_limit_show(const struct config_limit *limit, const struct config *c, struct buf *out);

#endif
