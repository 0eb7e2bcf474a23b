/*
 * main/intake.h - takes what programs of this machine put into the maildrop (main/maildrop.h).
 *
 * Layer: main; in the mail role, while the server runs.  One thread, woken by the kernel when a file is closed.
 * A file is removed once its message is on stable storage, and not before: a crash between the two makes
 * one message twice, never none.  What cannot be taken now stays and is tried again.
 *
 * The file's owner is who sends.  Root, the mail role's user and the users in `trusted` may name any sender;
 * others are NAME@first-domain, and may name what an account of that address may send as.  Those others have the rates of an
 * account; what is over them waits in its file.
 */
#ifndef MAIN_INTAKE_H
#define MAIN_INTAKE_H

#include "base/fail.h"

struct deliver;
struct directory;
struct policy;
struct volumes;

struct intake_setting {
    const char        *folder, *spool_dir, *hostname;
    const char *const *trusted; /* names of users */
    size_t             trusted_count;
    uint64_t           message_bytes;
    unsigned           received_fields; /* more are a loop */
    unsigned           hold_seconds;    /* a message waits at most so long if its sender wants it to */
    struct policy     *policy;          /* rates, as for accounts that submit; may be NULL */
    struct directory  *directory;
    struct deliver    *deliver;
    struct volumes    *volumes;
};

struct intake;

/* All that the setting points to outlives it. */
bool intake_start(const struct intake_setting *setting, struct intake **out, struct fail *why);
/* Finishes the message it is at.  Fine on NULL; leaves *t NULL. */
void intake_stop(struct intake **t);

#endif
