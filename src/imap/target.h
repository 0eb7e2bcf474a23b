/*
 * imap/target.h - which mailbox does a name mean, and what may this client do with it?
 *
 * Layer: imap; inside the room only.  Every command that takes a mailbox name asks
 * here, so that one of another account (RFC 4314) is reached everywhere or nowhere.
 */
#ifndef IMAP_TARGET_H
#define IMAP_TARGET_H

#include "imap/session.h"

struct imap_target {
    struct account     *account; /* the session's for as long as it lives */
    struct mailbox_info info;    /* its name is the account's own; slices in the command's arena */
    unsigned            rights;  /* RIGHT_ bits */
};

/*
 * FAIL_NOT_FOUND: no such mailbox, or one that this client may not know of.  FAIL_NO_PERMISSION:
 * one of `rights` is missing.  A mailbox that only is a level above others is found: look at
 * info.no_select.
 */
bool imap_find(struct imap_session *s, struct slice name, unsigned rights, struct imap_target *out,
               struct fail *why);

/* What this client calls a mailbox of `a`; in the command's arena, or `own` itself. */
struct slice imap_name_of(struct imap_session *s, struct account *a, struct slice own);

#endif
