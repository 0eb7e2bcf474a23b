/*
 * transfer/backup_internal.h - what the backup_*.c files share.
 *
 * Layer: transfer, private.
 */
#ifndef TRANSFER_BACKUP_INTERNAL_H
#define TRANSFER_BACKUP_INTERNAL_H

#include "transfer/backup_folder.h"

struct backup_folder {
    char *path; /* absolute */
    int   fd;
};

struct backup_name { char text[40]; };
struct backup_name backup_list_name(uint64_t number); /* "backup-0000000007.json" */

/* Text of a list, complete with its digest. */
bool backup_list_write(const struct backup_list *l, struct buf *out);

/*
 * The first `bytes` of `in` (UINT64_MAX: all) to `out` (-1: nowhere), zeros as holes; *copied and the digest of them.
 * FAIL_PERM if there are fewer.  A large one is fsynced; smaller ones are many, and wait for a syncfs.
 */
bool backup_copy_bytes(int in, int out, uint64_t bytes, uint64_t *copied, char digest[BACKUP_DIGEST_TEXT],
                       const struct backup_moved *moved, struct fail *why);
/* An existing file below the folder, opened for reading; -1 and *why. */
int backup_open_stored(const struct backup_folder *f, const char *stored, struct fail *why);

#endif
