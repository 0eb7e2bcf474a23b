/*
 * transfer/postfix_internal.h - what the files of postfix share.
 *
 * Layer: transfer; private to postfix*.c.
 */
#ifndef TRANSFER_POSTFIX_INTERNAL_H
#define TRANSFER_POSTFIX_INTERNAL_H

#include "transfer/postfix.h"

struct postfix_setting {
    struct slice name, value; /* as they stand there */
    const struct postfix_setting *before;
};

struct postfix {
    const char *root;
    struct arena *arena;
    struct box_notes notes;
    const struct postfix_setting *last;
};

/* One logical line of main.cf, master.cf or a table. */
bool postfix_line(struct arena *a, struct slice *rest, struct slice *out);

#endif
