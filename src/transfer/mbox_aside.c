/*
 * transfer/mbox_aside.c - subscriptions and Sieve scripts beside a tree of mbox files.
 *
 * Layer: transfer.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/unicode.h"
#include "transfer/mbox_source.h"

enum { FILE_MAX = 4 << 20, NAMES_MAX = 64 << 20 };

/* A whole regular file; false: there is none that can be read. */
static bool read_file(int folder, const char *name, struct buf *out)
{
    SCOPED(scoped_close) int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat              st;
    ssize_t                  got = 1;

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    while (got > 0) {
        char *room = buf_room(out, 64 * 1024);
        if (room == NULL)
            return false;
        got = read(fd, room, 64 * 1024);
        if (got > 0)
            buf_grew(out, (size_t)got);
    }
    return got == 0;
}

/* A name with all its levels. */
static struct slice name_of(struct arena *a, struct slice line)
{
    struct slice text;

    return utf7_decode(a, line, &text) ? text : arena_keep(a, line);
}

void mbox_aside_read(struct mbox_aside *a, int folder)
{
    struct buf text;

    arena_init(&a->names, NAMES_MAX);
    a->subscribed = NULL;
    buf_init(&text, FILE_MAX + 64 * 1024);
    if (read_file(folder, ".subscriptions", &text)) {
        a->subscribed = xcalloc(1, sizeof *a->subscribed);
        map_init(a->subscribed);
        for (struct slice rest = buf_slice(&text); rest.len > 0;) {
            struct slice line = slice_trim(slice_cut(&rest, '\n'));
            if (line.len > 0)
                (void)map_put(a->subscribed, name_of(&a->names, line), a);
        }
    }
    buf_finish(&text);
}

bool mbox_aside_is_subscribed(struct mbox_aside *a, struct slice mailbox)
{
    return a->subscribed == NULL || map_remove(a->subscribed, mailbox) != NULL;
}

static bool tell_script(int sieve, const char *file, struct slice active, const struct transfer_into *into, struct fail *why)
{
    struct slice name = slice_of(file);
    struct arena a;
    struct buf   text;
    bool         ok = true;

    if (!slice_ends(name, SLICE(".sieve")) || name.ptr[0] == '.')
        return true;
    arena_init(&a, 64 * 1024);
    buf_init(&text, FILE_MAX + 64 * 1024);
    if (read_file(sieve, file, &text))
        ok = into->script(into->ctx, name_of(&a, slice_sub(name, 0, name.len - 6)), slice_eq(active, name), buf_slice(&text), why);
    else
        into->left_out(into->ctx, name, "the Sieve script cannot be read");
    buf_finish(&text);
    arena_finish(&a);
    return ok;
}

static bool tell_scripts(int folder, const struct transfer_into *into, struct fail *why)
{
    char                 target[4096];
    ssize_t              len = readlinkat(folder, ".dovecot.sieve", target, sizeof target);
    struct slice         active = slice_make(target, len > 0 ? (size_t)len : 0);
    int                  fd = openat(folder, "sieve", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR                 *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;
    bool                 ok = true;

    if (slice_starts(active, SLICE("sieve/")))
        active = slice_from(active, 6);
    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return true;
    }
    while (ok && (e = readdir(dir)) != NULL)
        ok = tell_script(fd, e->d_name, active, into, why);
    (void)closedir(dir);
    return ok;
}

bool mbox_aside_tell(struct mbox_aside *a, int folder, const struct transfer_into *into, struct fail *why)
{
    struct slice name;
    size_t       at = 0;
    void        *value;

    while (a->subscribed != NULL && into->subscription != NULL && map_next(a->subscribed, &at, &name, &value))
        if (!into->subscription(into->ctx, name, why))
            return false;
    return into->script == NULL || tell_scripts(folder, into, why);
}

void mbox_aside_finish(struct mbox_aside *a)
{
    if (a->subscribed != NULL)
        map_finish(a->subscribed);
    free(a->subscribed);
    arena_finish(&a->names);
}
