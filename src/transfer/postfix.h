/*
 * transfer/postfix.h - reads how a Postfix was set up: main.cf and the maps it names.
 *
 * Layer: transfer.  As postconf(5) has it: continuation lines, $name, ${name}, ${name?value}, ${name:value}, the
 * last of two settings counts, defaults of the settings that a takeover looks at.  Nothing of Postfix is run.
 */
#ifndef TRANSFER_POSTFIX_H
#define TRANSFER_POSTFIX_H

#include "base/arena.h"
#include "base/fail.h"

struct postfix;

/* Told what cannot be taken over, and what a person can do about it. */
struct box_notes {
    void (*note)(void *ctx, const char *what, const char *reason);
    void *ctx;
};

/* `root`: "/" or the folder of a copy.  All lives in the arena.  FAIL_NOT_FOUND without a main.cf. */
bool postfix_read(const char *root, struct arena *a, const struct box_notes *notes, struct postfix **out, struct fail *why);
/* The text of a main.cf instead of a file's. */
bool postfix_parse(const char *root, struct slice text, struct arena *a, const struct box_notes *notes, struct postfix **out,
                   struct fail *why);
/* Expanded; empty if it is neither set nor known. */
struct slice postfix_get(const struct postfix *p, const char *name);
/*
 * All entries of the maps (and, where a list may have them, the words) that a setting names.  A bare word has an
 * empty value.  Those that cannot be listed are noted.
 */
void postfix_each(const struct postfix *p, const char *setting, void (*each)(void *ctx, struct slice key, struct slice value),
                  void *ctx);
/*
 * Settings of main.cf that are not empty and that neither a takeover uses, nor other settings name, nor are known to leave
 * alone what happens to mail, as they are: each is noted, once.
 */
void postfix_note_unused(const struct postfix *p);
/* Services of master.cf that there is no counterpart of, and what they set for themselves: each is noted. */
void postfix_note_services(const struct postfix *p);
/* Does main.cf itself say so, and not nothing? */
bool postfix_is_set(const struct postfix *p, const char *name);
/* The next of what a list holds, separated by commas and blanks; empty at its end. */
struct slice postfix_word(struct slice *rest);

/* A text file below `root` (files_start()), at most 64 MB, in the arena; *there false: none. */
bool box_file(const char *root, struct slice path, struct arena *a, struct slice *out, bool *there, struct fail *why);

#endif
