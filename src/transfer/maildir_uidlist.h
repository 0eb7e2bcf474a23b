/*
 * transfer/maildir_uidlist.h - Dovecot's list of the UIDs of a Maildir.
 *
 * Layer: transfer.
 *
 *     3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
 *     25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,
 *     25017 W2481 P0000000a.uidl :1276533073.M242911P3632.kurkku:2,F
 *
 * Version 1 (before Dovecot 1.1) has "1 1275660208 25022" and "25006 1276528487...".
 */
#ifndef TRANSFER_MAILDIR_UIDLIST_H
#define TRANSFER_MAILDIR_UIDLIST_H

#include "base/slice.h"

struct uidlist_head {
    unsigned     version; /* 1 or 3 */
    uint32_t     uidvalidity, uidnext;
    struct slice guid; /* points into the text */
};
struct uidlist_line {
    uint32_t     uid;
    struct slice name; /* without flags */
    struct slice uidl; /* empty: none of its own */
};

/* The first line; *rest goes on after it.  False: it is none that is understood. */
bool uidlist_head(struct slice *rest, struct uidlist_head *out);
/* The next line that makes sense; false at the end.  *bad counts those that make none. */
bool uidlist_next(struct slice *rest, unsigned version, struct uidlist_line *out, unsigned *bad);

#endif
