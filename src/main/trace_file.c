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
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

enum {
    DAY_BYTES = 10, /* 2026-11-22, with which every line begins */
    LINES_BYTES = 64 * 1024,
    WRITE_MS = 100, /* lines wait that long for others */
};

/* Set up before the process's threads; then `lock` is over all of it but folder and days. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  work = PTHREAD_COND_INITIALIZER; /* there are lines, or it is the end */
static int             folder = -1, file = -1;
static unsigned        days;
static char            day[DAY_BYTES + 1];
static char            lines[LINES_BYTES];
static size_t          waiting; /* bytes of `lines` */
static bool            ending;
static pthread_t       writer;

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

/* With the lock held.  A full disk: lines are lost, mail is not. */
static void write_lines(const char *text, size_t len)
{
    while (len > 0 && file >= 0) {
        ssize_t n = write(file, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void write_waiting(void)
{
    write_lines(lines, waiting);
    waiting = 0;
}

static void keep(struct slice line)
{
    if (line.len <= DAY_BYTES)
        return;
    (void)pthread_mutex_lock(&lock);
    if (memcmp(line.ptr, day, DAY_BYTES) != 0) {
        write_waiting();
        begin_day(line);
    }
    if (line.len > sizeof lines - waiting)
        write_waiting();
    if (line.len > sizeof lines) {
        write_lines(line.ptr, line.len);
    } else {
        if (waiting == 0)
            (void)pthread_cond_signal(&work);
        memcpy(lines + waiting, line.ptr, line.len);
        waiting += line.len;
    }
    (void)pthread_mutex_unlock(&lock);
}

/* Sleeps while there is nothing. */
static void *write_all(void *none)
{
    const struct timespec pause = {.tv_nsec = WRITE_MS * 1000000L};

    (void)pthread_mutex_lock(&lock);
    while (!ending) {
        if (waiting == 0) {
            (void)pthread_cond_wait(&work, &lock);
            continue;
        }
        (void)pthread_mutex_unlock(&lock);
        (void)nanosleep(&pause, NULL);
        (void)pthread_mutex_lock(&lock);
        write_waiting();
    }
    (void)pthread_mutex_unlock(&lock);
    return none;
}

void trace_file_write(void)
{
    (void)pthread_mutex_lock(&lock);
    write_waiting();
    (void)pthread_mutex_unlock(&lock);
}

void trace_file_close(void)
{
    if (folder < 0)
        return;
    (void)pthread_mutex_lock(&lock);
    ending = true;
    (void)pthread_cond_signal(&work);
    (void)pthread_mutex_unlock(&lock);
    (void)pthread_join(writer, NULL);
    log_set_trace(NULL);
    trace_file_write();
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
    int err = pthread_create(&writer, NULL, write_all, NULL);
    if (err != 0) {
        (void)close(folder);
        folder = -1;
        return fail_errno(why, err, "%s", path);
    }
    log_set_trace(keep);
    return true;
}
