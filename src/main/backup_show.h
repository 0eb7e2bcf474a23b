/*
 * main/backup_show.h - how far a backup, its check or a restore is: one line on the terminal that changes.
 *
 * Layer: main.  Nothing where there is no terminal, or with --json.
 */
#ifndef MAIN_BACKUP_SHOW_H
#define MAIN_BACKUP_SHOW_H

#include "main/command.h"
#include "transfer/backup_folder.h"

struct backup_show {
    const struct cli   *cli;
    const char         *what;
    uint64_t            done, all; /* bytes; all 0: not known */
    int64_t             shown_ms;  /* 0: never */
    struct backup_moved moved;     /* adds to `done` */
};

void backup_show_init(struct backup_show *s, const struct cli *cli);
/* Something else is done from here on. */
void backup_show_begin(struct backup_show *s, const char *what, uint64_t all);
/* Clears the line: before anything else is printed. */
void backup_show_clear(struct backup_show *s);

#endif
