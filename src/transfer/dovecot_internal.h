/*
 * transfer/dovecot_internal.h - what the files of dovecot share.
 *
 * Layer: transfer; private to dovecot*.c.
 */
#ifndef TRANSFER_DOVECOT_INTERNAL_H
#define TRANSFER_DOVECOT_INTERNAL_H

#include "transfer/dovecot.h"

struct dovecot_setting {
    struct slice name, value; /* "passdb 2/driver" */
    const struct dovecot_setting *before;
};

struct dovecot {
    const char *root;
    struct arena *arena;
    struct box_notes notes;
    const struct dovecot_setting *last;
    unsigned blocks; /* of passdb and userdb together, numbered from 1 */
};

#endif
