/*
 * imap/target.h - which mailbox does a name mean, and what may this client do with it?
 *
 * Layer: imap; inside the room only.  Every command that takes a mailbox name asks
 * here, so that one of another account (RFC 4314) is reached everywhere or nowhere.
 *
 * Mailboxes of other accounts stand below "Shared/ADDRESS/" (the Other Users'
 * Namespace, RFC 2342), where ADDRESS is the account's as the directory writes it.
 */
#ifndef IMAP_TARGET_H
#define IMAP_TARGET_H

#include "imap/session.h"

#define IMAP_SHARED SLICE("Shared") /* the top level that users cannot make */

struct imap_target {
    struct account     *account; /* held until some sixty others were used after it; for longer: account_ref() */
    struct mailbox_info info;    /* its name is the account's own; slices in the command's arena */
    struct slice        name;    /* what this client calls it */
    unsigned            rights;  /* RIGHT_ bits */
};

/*
 * FAIL_NOT_FOUND: no such mailbox, or one that this client may not know of.  FAIL_NO_PERMISSION:
 * one of `rights` is missing.  A mailbox that only is a level above others is found: look at
 * info.no_select.
 */
bool imap_find(struct imap_session *s, struct slice name, unsigned rights, struct imap_target *out,
               struct fail *why);

/*
 * Where a mailbox that is to be made would be: the account, and in out->info.name its name there,
 * out->name the client's.  FAIL_NO_PERMISSION: the right k is missing in the nearest level that is there.
 * FAIL_NOT_ALLOWED: the name is not for users' own mailboxes.
 */
bool imap_find_place(struct imap_session *s, struct slice name, struct imap_target *out, struct fail *why);

/* What this client calls a mailbox of `a`; in the command's arena, or `own` itself. */
struct slice imap_name_of(struct imap_session *s, struct account *a, struct slice own);

/* The address of who is logged in, in the command's arena; empty if the directory has lost it. */
struct slice imap_my_address(struct imap_session *s);
/* The client's rights in a mailbox of `a`; `me` is imap_my_address(). */
unsigned imap_rights_in(struct imap_session *s, struct account *a, const struct mailbox_info *info, struct slice me);

/*
 * The selected mailbox is another's: rights in it may have changed, and its owner been disabled.  Brings
 * s->box.rights up to date; false: said BYE, who may not read it must not stay.
 */
bool imap_may_stay(struct imap_session *s);

/* The handle of another account, kept for the session (lasting.h). */
bool imap_other(struct imap_session *s, uint64_t id, struct account **out, struct fail *why);
struct imap_others;
void imap_others_free(struct imap_others **o); /* fine on NULL */

#endif
