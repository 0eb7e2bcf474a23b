/*
 * transfer/dovecot.h - reads how a Dovecot was set up, and who has mail there.
 *
 * Layer: transfer.  dovecot.conf with what it includes, as doveconf(1) has it: blocks, the last of two settings
 * counts; users of passwd-files, of SQL databases (by iterate_query) and of the system; with their password
 * hashes, quotas and the place of their mail.  Nothing of Dovecot is run.
 */
#ifndef TRANSFER_DOVECOT_H
#define TRANSFER_DOVECOT_H

#include "transfer/postfix.h"

struct dovecot;

bool dovecot_read(const char *root, struct arena *a, const struct box_notes *notes, struct dovecot **out, struct fail *why);
bool dovecot_parse(const char *root, struct slice text, struct arena *a, const struct box_notes *notes, struct dovecot **out,
                   struct fail *why);
/* "mail_location", "protocol pop3/pop3_uidl_format", "plugin/quota_rule"; empty if it is not set. */
struct slice dovecot_get(const struct dovecot *d, const char *name);

struct dovecot_user {
    struct slice name;     /* as it signs in: "ann@example.org", or "ann" */
    struct slice hash;     /* "{SCHEME}..."; empty: none is known */
    struct slice home;
    struct slice location; /* "maildir:/var/vmail/example.org/ann", expanded; empty: not known */
    uint64_t     quota;    /* bytes; 0: none */
};
/* All that the databases list, and those in `names` (separated by blanks), each once; each user lives in the arena. */
void dovecot_each_user(struct dovecot *d, struct slice names, void (*each)(void *ctx, const struct dovecot_user *u), void *ctx);

/* Those of a passwd-file's text, which is a passdb with the scheme CRYPT. */
void dovecot_each_in_passwd(struct dovecot *d, struct slice text, void (*each)(void *ctx, const struct dovecot_user *u), void *ctx);

/* "maildir:PATH:INDEX=..:CONTROL=.." in pieces. */
struct dovecot_place {
    struct slice kind, path, control, inbox;
};
struct dovecot_place dovecot_place(struct slice location);

#endif
