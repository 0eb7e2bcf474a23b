/*
 * main/backup_talk.h - the command's side of a backup's conversation with a role (admin/backup.c).
 *
 * Layer: main.
 */
#ifndef MAIN_BACKUP_TALK_H
#define MAIN_BACKUP_TALK_H

#include <jansson.h>

#include "main/control.h"

/* The lease begins; ends with the connection or backup_talk_end. */
bool backup_talk_begin(struct control_client *c, struct fail *why);
/* Says a word and hears all lines of its answer but the last; *line is valid during the call. */
bool backup_talk_say(struct control_client *c, const char *word, void (*each)(void *ctx, const json_t *line), void *ctx,
                     struct fail *why);
/* Says that somebody is there, now and then while nothing else is said: a role waits for admin.backup_silence_seconds. */
enum { BACKUP_STILL_MS = 1000 };
bool backup_talk_still(struct control_client *c, struct fail *why);
bool backup_talk_end(struct control_client *c, struct fail *why);

/* A regular file below a folder, by a path without symbolic links, for reading; -1 and *why (FAIL_NOT_FOUND). */
int backup_open_below(int folder, const char *path, struct fail *why);
/* The folder itself, in the same way. */
int backup_open_folder_below(int folder, const char *path, struct fail *why);

/* Others' reads and writes go first. */
void backup_stand_back(void);

#endif
