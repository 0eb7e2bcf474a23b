/*
 * main/takeover_box.h - what a takeover has found, as its two files share it.
 *
 * Layer: main; private to command_takeover.c and takeover_make.c.
 */
#ifndef MAIN_TAKEOVER_BOX_H
#define MAIN_TAKEOVER_BOX_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "main/command.h"
#include "transfer/dovecot.h"

struct list {
    struct slice *items;
    size_t count, room;
};

struct person {
    struct dovecot_user user;
    struct slice address;
    uint64_t id;
};

struct alias {
    struct slice address, members; /* separated by blanks */
};

struct grant {
    struct slice address, sender; /* sender: an address, or "@domain" */
};

struct note {
    const char *what, *reason;
};

struct box {
    struct cli *cli;
    const char *root;
    struct arena arena;
    struct postfix *postfix;
    struct dovecot *dovecot;
    struct slice local, wanted; /* local: where names without a domain are; wanted: --domain, empty: all */
    struct list domains;
    struct buf names;
    struct person *people;
    struct map addresses; /* theirs, in small letters */
    struct alias *aliases;
    struct grant *grants;
    struct note *notes;
    size_t people_count, people_room, alias_count, alias_room, grant_count, grant_room, note_count, note_room;
    unsigned made, kept; /* hashes set, and left because the account was used */
};

/* In the plan, and among what was left out. */
void takeover_note(struct box *b, struct slice what, const char *reason);

/* Makes domains, accounts with their passwords, aliases and grants; those that are there are used again. */
bool takeover_make(struct box *b, struct fail *why);

#endif
