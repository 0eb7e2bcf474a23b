/*
 * tests/unit/storage/folder.h - a folder of its own for each test, gone behind it.
 */
#ifndef TESTS_STORAGE_FOLDER_H
#define TESTS_STORAGE_FOLDER_H

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

struct folder {
    char path[PATH_MAX / 2];
};

static inline struct folder folder_make(void)
{
    struct folder f;
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(f.path, sizeof f.path, "%s/posthorn-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(f.path) == NULL)
        bug("no temporary folder %s", f.path);
    return f;
}

struct folder_file {
    char path[PATH_MAX];
};

static inline struct folder_file folder_file(const struct folder *f, const char *name)
{
    struct folder_file file;

    (void)snprintf(file.path, sizeof file.path, "%s/%s", f->path, name);
    return file;
}

/* Calls `each` for every file; the sum of what it gives. */
static inline uint64_t folder_each(const struct folder *f,
                                   uint64_t (*each)(const char *path, const char *name))
{
    DIR *dir = opendir(f->path);
    const struct dirent *entry;
    uint64_t sum = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            sum += each(folder_file(f, entry->d_name).path, entry->d_name);
    if (dir != NULL)
        (void)closedir(dir);
    return sum;
}

static inline uint64_t folder_count_one(const char *path, const char *name)
{
    (void)path;
    (void)name;
    return 1;
}

static inline uint64_t folder_bytes_one(const char *path, const char *name)
{
    struct stat st;

    (void)name;
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static inline uint64_t folder_remove_one(const char *path, const char *name)
{
    (void)name;
    return (uint64_t)(unlink(path) == 0);
}

static inline uint64_t folder_count(const struct folder *f)
{
    return folder_each(f, folder_count_one);
}

/* Blocks that are taken, not lengths. */
static inline uint64_t folder_bytes(const struct folder *f)
{
    return folder_each(f, folder_bytes_one);
}

static inline void folder_remove(const struct folder *f)
{
    (void)folder_each(f, folder_remove_one);
    (void)rmdir(f->path);
}

static inline int folder_open(const struct folder *f, const char *name)
{
    int fd = open(folder_file(f, name).path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        bug("cannot open %s", name);
    return fd;
}

static inline void folder_flip(int fd, off_t at, int bit)
{
    unsigned char byte;

    if (pread(fd, &byte, 1, at) != 1)
        bug("nothing to flip");
    byte ^= (unsigned char)(1 << bit);
    if (pwrite(fd, &byte, 1, at) != 1)
        bug("cannot flip");
}

/* Every file of `from`, as it is at this moment, into `to`. */
static inline void folder_copy(const struct folder *from, const struct folder *to)
{
    DIR *dir = opendir(from->path);
    const struct dirent *entry;
    char bytes[65536];

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        int in = open(folder_file(from, entry->d_name).path, O_RDONLY | O_CLOEXEC),
            out = folder_open(to, entry->d_name);
        ssize_t n;
        while ((n = read(in, bytes, sizeof bytes)) > 0)
            if (write(out, bytes, (size_t)n) != n)
                bug("cannot copy %s", entry->d_name);
        (void)close(in);
        (void)close(out);
    }
    if (dir != NULL)
        (void)closedir(dir);
}

#endif
