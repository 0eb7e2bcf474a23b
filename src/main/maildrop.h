/*
 * main/maildrop.h - how programs on this machine hand mail over: a folder that anybody may write into.
 *
 * Layer: main.  `posthorn sendmail` writes a file there, whether the server runs or not; the mail role takes it
 * (main/intake.h).  The folder belongs to the mail role's user, mode 3733: others may make files in it, cannot list it, and
 * cannot remove each other's; what they make belongs to its group, so that the mail role, and nobody else,
 * can read it.  A file is whole once its owner's execute bit is set: it is made under its final, random name,
 * written, marked and fsynced, so that nobody needs to read (or sync) the folder itself.
 *
 *     posthorn-drop 1
 *     sender ann@example.org            not there: the file's owner at the first domain; empty: <>
 *     name Ann+20Example
 *     options RET=HDRS
 *     to bob@example.net NOTIFY=FAILURE
 *                                       (an empty line, then the message, with CRLF)
 *
 * Addresses and names are in xtext (queue/envelope.h), options in its words.
 */
#ifndef MAIN_MAILDROP_H
#define MAIN_MAILDROP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/fail.h"
#include "queue/envelope.h"

enum { MAILDROP_RECIPIENTS_MAX = 100000, MAILDROP_HEAD_MAX = 32 << 20, MAILDROP_MODE = 03733 };

struct maildrop_recipient {
    struct slice             address; /* perhaps without a domain */
    struct recipient_options options;
};

struct maildrop {
    bool                       has_sender;
    struct slice               sender, name;
    struct envelope_options    options;
    struct maildrop_recipient *recipients;
    size_t                     recipient_count;
};

/* The head, its empty line included. */
void maildrop_write(struct buf *out, const struct maildrop *d);
/* From the head (up to its empty line, which is not needed); strict.  Slices lie in the arena. */
bool maildrop_read(struct arena *a, struct slice head, struct maildrop *out);

/* A file being written. */
struct maildrop_file {
    int  fd;
    char path[512];
};
bool maildrop_create(const char *folder, struct maildrop_file *out, struct fail *why);
/* Whole and on stable storage when it returns true; closed and gone otherwise. */
bool maildrop_commit(struct maildrop_file *f, struct fail *why);
/* Closed and removed. */
void maildrop_abandon(struct maildrop_file *f);

#endif
