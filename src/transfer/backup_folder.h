/*
 * transfer/backup_folder.h - the folder of a backup: files that never change, and lists of which belong together.
 *
 * Layer: transfer.  A file lies in the folder under its name and the number of the backup that brought it
 * ("mail/volumes/0000002a.vol.7"); it is written once and never again.  A backup is a list of files, backup-NUMBER.json,
 * put in place when all of them are on the disk: so a backup that was interrupted has harmed nothing, one that is newer
 * shares with an older what has not changed, and the folder may be copied by any program at any time, lists last.
 */
#ifndef TRANSFER_BACKUP_FOLDER_H
#define TRANSFER_BACKUP_FOLDER_H

#include "base/arena.h"
#include "base/fail.h"

struct backup_folder;

enum { BACKUP_DIGEST_TEXT = 65 }; /* BLAKE2b, 256 bits, hex, NUL */

struct backup_file {
    const char *name;   /* what it is: "mail/node.db" */
    const char *stored; /* where it lies in the folder */
    const char *path;   /* of what does not lie in the data folder: where it was; else NULL */
    const char *stamp;  /* what its source said of its state (the same text: the same bytes); "" if nothing */
    uint64_t    bytes;
    unsigned    mode; /* permissions that it had */
    const char *owner, *group; /* of what does not lie in the data folder: names, since numbers differ between machines; else NULL */
    char        digest[BACKUP_DIGEST_TEXT];
};

/* One backup. */
struct backup_list {
    uint64_t            number;
    int64_t             made; /* seconds since 1970: when it began */
    const char         *hostname, *version;
    struct backup_file *files; /* ordered by name */
    size_t              count;
    struct arena        arena;
};

/* How many bytes were read since the last call: for progress. */
struct backup_moved {
    void (*moved)(void *ctx, uint64_t bytes);
    void *ctx;
};

/*
 * `write`: for a backup to be made; the folder is made if need be, must be empty or one of ours, and nobody else may have
 * it open.
 */
bool backup_folder_open(const char *path, bool write, struct backup_folder **out, struct fail *why);
void backup_folder_close(struct backup_folder **f); /* fine on NULL */
const char *backup_folder_path(const struct backup_folder *f); /* absolute */

/* The numbers of the backups in it, the newest first; the caller frees them. */
bool backup_folder_numbers(const struct backup_folder *f, uint64_t **numbers, size_t *count, struct fail *why);
/* FAIL_NOT_FOUND; any other FAIL_PERM: it is damaged, or of a newer program.  0: the newest. */
bool backup_list_load(const struct backup_folder *f, uint64_t number, struct backup_list **out, struct fail *why);
void backup_list_free(struct backup_list **l);
const struct backup_file *backup_list_find(const struct backup_list *l, const char *name);

/* Is every byte what it was?  FAIL_NOT_FOUND, FAIL_PERM: it is not. */
bool backup_file_verify(const struct backup_folder *f, const struct backup_file *file, const struct backup_moved *moved,
                        struct fail *why);
/* The same, and a copy of it in the new file `path`; fsynced. */
bool backup_file_copy(const struct backup_folder *f, const struct backup_file *file, const char *path, unsigned mode,
                      const struct backup_moved *moved, struct fail *why);

/* ---- making one ---- */

struct backup_writer;

struct backup_figures {
    uint64_t files, bytes;               /* of the backup */
    uint64_t copied_files, copied_bytes; /* of them, what was not there already */
};

/* Removes what an interrupted one has left.  Everything outlives it. */
struct backup_writer *backup_writer_create(struct backup_folder *f, const char *hostname, const char *version,
                                           const struct backup_moved *moved, struct fail *why);
void backup_writer_destroy(struct backup_writer **w); /* fine on NULL */

/* Is it in the backup before, in the same state and (unless that is UINT64_MAX) of that length?  Then it is in this one. */
bool backup_writer_keep(struct backup_writer *w, const char *name, const char *stamp, uint64_t bytes);
/*
 * The first file->bytes (UINT64_MAX: all) of `fd`, which stays the caller's, as file->name; of *file name, path, stamp,
 * bytes and mode count.  FAIL_PERM if there are not so many.
 */
bool backup_writer_add(struct backup_writer *w, const struct backup_file *file, int fd, struct fail *why);
/* It is on the disk, and is a backup.  The newest `keep` stay, with what they need; the others' files go. */
bool backup_writer_finish(struct backup_writer *w, unsigned keep, struct fail *why);
uint64_t                     backup_writer_number(const struct backup_writer *w);
const struct backup_figures *backup_writer_figures(const struct backup_writer *w);

#endif
