/*
 * directory/aliases_text.h - reads the form of /etc/aliases.
 *
 * Layer: directory, private to it.  Pure parsing; the form as sendmail and Postfix have it (aliases(5)):
 *
 *     # a comment
 *     postmaster: root
 *     root: ann, "bob smith"@example.org,
 *         carl                               a line that begins with a blank goes on
 *     staff: :include:/etc/staff             a file of addresses
 */
#ifndef DIRECTORY_ALIASES_TEXT_H
#define DIRECTORY_ALIASES_TEXT_H

#include "base/arena.h"

enum alias_value { ALIAS_ADDRESS, ALIAS_INCLUDE /* a path */, ALIAS_REFUSED /* a command, a file */ };

struct aliases_reader {
    /* Each value in turn, with quotes and a leading backslash taken off.  Slices live during the call. */
    void (*value)(void *ctx, unsigned line, struct slice name, enum alias_value kind, struct slice value);
    /* What could not be read; it is passed over. */
    void (*wrong)(void *ctx, unsigned line, const char *text);
    void *ctx;
};

/* The whole file.  `a` holds one value at a time. */
void aliases_read(struct slice text, struct arena *a, const struct aliases_reader *r);
/* A file that :include: names: addresses by commas or lines.  `name` is handed through. */
void aliases_read_list(struct slice text, struct slice name, struct arena *a, const struct aliases_reader *r);

#endif
