/*
 * storage/files.h - volumes open for reading, least recently used out first.
 *
 * Layer: storage.  Thread-safe.  A file that was replaced (compaction) or removed
 * stays readable for those who hold it.
 */
#ifndef STORAGE_FILES_H
#define STORAGE_FILES_H

#include <pthread.h>

#include "base/map.h"
#include "storage/format.h"

struct volume_file {
    uint32_t id;
    int fd;
    struct volume_header header;
    unsigned char *table; /* the offset table as it is in the file; NULL: never compacted */
    unsigned users;
    bool header_damaged; /* its tag was taken from its first record */
    bool current;        /* still the one that files_get finds */
    struct volume_file *newer, *older;
};

struct files {
    pthread_mutex_t lock;
    int dir_fd;
    struct idmap by_id;
    struct volume_file *newest, *oldest;
    unsigned count, max;
    uint64_t forgotten; /* how often files_forget was called */
};

struct volume_name {
    char text[16];
};
struct volume_name volume_name(uint32_t id); /* "0000002a.vol" */
bool volume_name_parse(const char *name, uint32_t *id);

void files_init(struct files *f, int dir_fd, unsigned max);
void files_finish(struct files *f);
/* FAIL_NOT_FOUND if there is no such volume; FAIL_PERM if its header or table is damaged. */
struct volume_file *files_get(struct files *f, uint32_t id, struct fail *why);
void files_put(struct files *f, struct volume_file *file);
/* Another file has this number now, or none. */
void files_forget(struct files *f, uint32_t id);

/* Where a record lies in this file; false if it is not in it any more. */
bool file_offset(const struct volume_file *file, volume_ref ref, uint64_t *at);

/* As pread, but whole: *got is less than `n` only at the end of the file. */
bool file_pread(int fd, void *out, size_t n, uint64_t at, size_t *got, struct fail *why);

#endif
