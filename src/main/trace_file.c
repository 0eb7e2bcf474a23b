/*
 * main/trace_file.c - log lines that follow one message are kept for a while.
 *
 * Layer: main.
 */
#include "main/trace_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

enum { DAY_BYTES = 10 }; /* 2026-11-22, with which every line begins */

/* Set up before the process's threads; then `lock` is over day and file. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int             folder = -1, file = -1;
static unsigned        days;
static char            day[DAY_BYTES + 1];

static bool is_day(const char *name)
{
    for (size_t i = 0; i < DAY_BYTES; i++) {
        if (i == 4 || i == 7 ? name[i] != '-' : !ascii_is_digit(name[i]))
            return false;
    }
    return name[DAY_BYTES] == '\0';
}

/* The oldest, as long as there are more than are to be kept.  The names' order is that of the days. */
static void remove_old(void)
{
    for (;;) {
        int            fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR           *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;
        char           oldest[DAY_BYTES + 1] = "";
        unsigned       count = 0;

        if (dir == NULL) {
            if (fd >= 0)
                (void)close(fd);
            return;
        }
        while ((entry = readdir(dir)) != NULL) {
            if (!is_day(entry->d_name))
                continue;
            count++;
            if (oldest[0] == '\0' || strcmp(entry->d_name, oldest) < 0)
                memcpy(oldest, entry->d_name, sizeof oldest);
        }
        (void)closedir(dir);
        if (count <= days || unlinkat(folder, oldest, 0) != 0)
            return;
    }
}

/* With the lock held. */
static void begin_day(struct slice line)
{
    if (file >= 0)
        (void)close(file);
    memcpy(day, line.ptr, DAY_BYTES);
    file = openat(folder, day, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    remove_old();
}

static void keep(struct slice line)
{
    if (line.len <= DAY_BYTES)
        return;
    (void)pthread_mutex_lock(&lock);
    if (memcmp(line.ptr, day, DAY_BYTES) != 0)
        begin_day(line);
    while (file >= 0 && write(file, line.ptr, line.len) < 0 && errno == EINTR)
        ; /* a full disk: the line is lost, mail is not */
    (void)pthread_mutex_unlock(&lock);
}

bool trace_file_open(const char *path, unsigned keep_days, struct fail *why)
{
    if (keep_days == 0)
        return true;
    if (!io_make_dirs(path, 0700, why))
        return false;
    days = keep_days;
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return fail_errno(why, errno, "%s", path);
    log_set_trace(keep);
    return true;
}
