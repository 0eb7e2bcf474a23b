/*
 * transfer/backup_view.h - a backup's volumes under the names that storage/ knows, to be read where they lie.
 *
 * Layer: transfer.  A temporary folder with symbolic links; gone with the view.
 */
#ifndef TRANSFER_BACKUP_VIEW_H
#define TRANSFER_BACKUP_VIEW_H

#include "storage/volume.h"
#include "transfer/backup_folder.h"

struct backup_view;

/* `part`: "mail" or "queue". */
bool backup_view_open(const struct backup_folder *f, const struct backup_list *l, const char *part, struct backup_view **out,
                      struct fail *why);
void backup_view_close(struct backup_view **v); /* fine on NULL */

struct volumes *backup_view_volumes(const struct backup_view *v);
const char     *backup_view_folder(const struct backup_view *v); /* a folder of its own for what else is needed, mode 0700 */

/* Where a file of the list lies; in memory the caller frees. */
char *backup_stored_path(const struct backup_folder *f, const struct backup_file *file);

/* "mail/accounts/07/00/0000000000000007/mail.db": the account's file?  Then its id. */
bool backup_account_id(const char *name, uint64_t *id);
/* The name of an account's file. */
struct backup_account_name { char text[64]; };
struct backup_account_name backup_account_name(uint64_t id);

/* A folder and all that is in it; symbolic links are removed, not followed. */
void backup_remove_tree(const char *path);

#endif
