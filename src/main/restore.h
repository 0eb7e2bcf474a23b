/*
 * main/restore.h - the two ways in which posthorn restore puts a backup back.
 *
 * Layer: main, private to the command.
 */
#ifndef MAIN_RESTORE_H
#define MAIN_RESTORE_H

#include "main/backup_show.h"

struct config;

struct restoring {
    struct cli           *cli;
    struct backup_folder *folder;
    struct backup_list   *list;
    struct config        *config; /* NULL: not loaded yet */
    struct backup_show    show;
    json_t               *notes; /* what the person should know */
};

__attribute__((format(printf, 2, 3))) void restore_note(struct restoring *r, const char *fmt, ...);

/* Into an empty data folder.  *result: what was done. */
bool restore_whole(struct restoring *r, bool release_queue, json_t **result, struct fail *why);

/*
 * One account's mail into one that is there (--into, --mailbox-prefix), beside what it has; by the way of an import.  Says
 * what it did; the exit status.
 */
int restore_account(struct restoring *r, const char *address);

#endif
