/*
 * fuzz/room.c - see fuzz/room.h.
 */
#include "room.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

enum { OPEN_FILES = 20 };

static char folder[120];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    (void)remove(path);
    return 0;
}

void room_remove(const char *path)
{
    (void)nftw(path, remove_one, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

static void clean_up(void)
{
    room_remove(folder);
}

static bool make_in(const char *place)
{
    return snprintf(folder, sizeof folder, "%s/posthorn-fuzz-XXXXXX", place) < (int)sizeof folder && mkdtemp(folder) != NULL;
}

const char *room_folder(void)
{
    const char *given = getenv("FUZZ_ROOM");

    if (folder[0] != '\0')
        return folder;
    if ((given == NULL || !make_in(given)) && !make_in("/dev/shm") && !make_in("/tmp"))
        abort();
    (void)atexit(clean_up);
    return folder;
}

struct room_path room_path(const char *name)
{
    struct room_path p;

    (void)snprintf(p.text, sizeof p.text, "%s/%s", room_folder(), name);
    return p;
}

void room_must(bool ok, const char *what, const struct fail *why)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, why != NULL ? why->text : "");
    abort();
}

struct slice room_read(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    room_must(fd >= 0 && fstat(fd, &st) == 0, path, NULL);
    char *bytes = xmalloc((size_t)st.st_size + 1);
    room_must(read(fd, bytes, (size_t)st.st_size) == (ssize_t)st.st_size, path, NULL);
    (void)close(fd);
    return slice_make(bytes, (size_t)st.st_size);
}

void room_write(const char *path, struct slice bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    room_must(fd >= 0 && (bytes.len == 0 || write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len), path, NULL);
    (void)close(fd);
}
