/*
 * transfer/files_start.c - the path at which reading begins, walked with care.
 *
 * Layer: transfer.  Level by level below open folders, so that what was looked at is what is opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"
#include "transfer/files.h"

enum { LINKS_MOST = 40, PATH_MOST = 64 << 10, TARGET_MOST = 4096, SELF_TEXT = 64 };

struct way {
    const char *shown; /* as it was given */
    int         root, at;
    struct stat root_stat;
    struct buf  rest; /* still to be walked */
    unsigned    links;
    bool        has_owner;
    uid_t       owner; /* of links that are neither root's nor ours */
};

static int look(int at, const char *name)
{
    return openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

static void step_to(struct way *w, int fd)
{
    scoped_close(&w->at);
    w->at = fd;
}

static bool go_up(struct way *w, struct fail *why)
{
    struct stat st;

    if (fstat(w->at, &st) == 0 && st.st_dev == w->root_stat.st_dev && st.st_ino == w->root_stat.st_ino)
        return true;
    int above = look(w->at, "..");
    if (above < 0)
        return fail_errno(why, errno, "%s", w->shown);
    step_to(w, above);
    return true;
}

static bool is_trusted(struct way *w, const struct stat *link)
{
    if (link->st_uid == 0 || link->st_uid == geteuid())
        return true;
    bool ok = !w->has_owner || w->owner == link->st_uid;
    w->has_owner = true;
    w->owner = link->st_uid;
    return ok;
}

static bool no_link(const struct way *w, struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_NO_PERMISSION,
                    "%s is behind a symbolic link of user %lu, which is not followed: name the place itself", w->shown,
                    (unsigned long)w->owner);
}

/* What a link leads to goes in front of what is still to be walked. */
static bool follow(struct way *w, int link, const struct stat *st, struct fail *why)
{
    char       target[TARGET_MOST];
    ssize_t    n = readlinkat(link, "", target, sizeof target);
    struct buf rest;

    if (!is_trusted(w, st))
        return no_link(w, why);
    if (n <= 0 || (size_t)n == sizeof target || ++w->links > LINKS_MOST)
        return fail_errno(why, n < 0 ? errno : ELOOP, "%s", w->shown);
    buf_init(&rest, PATH_MOST);
    buf_add(&rest, slice_make(target, (size_t)n));
    buf_add_char(&rest, '/');
    buf_add(&rest, buf_slice(&w->rest));
    buf_finish(&w->rest);
    w->rest = rest;
    if (target[0] == '/')
        step_to(w, fcntl(w->root, F_DUPFD_CLOEXEC, 0));
    return (w->at >= 0 && !rest.failed) || fail_errno(why, rest.failed ? ENAMETOOLONG : errno, "%s", w->shown);
}

static bool step(struct way *w, const char *name, struct fail *why)
{
    struct stat st;
    int         next = look(w->at, name);

    if (next < 0 && errno == ENOENT)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "%s: No such file or directory", w->shown);
    if (next < 0 || fstat(next, &st) != 0) {
        int error = errno;
        scoped_close(&next);
        return fail_errno(why, error, "%s", w->shown);
    }
    if (S_ISLNK(st.st_mode)) {
        bool ok = follow(w, next, &st, why);
        (void)close(next);
        return ok;
    }
    step_to(w, next);
    return true;
}

static bool walk(struct way *w, struct fail *why)
{
    while (w->rest.len > 0) {
        struct slice rest = buf_slice(&w->rest), level = slice_cut(&rest, '/');
        char        *name = xslicedup(level);
        buf_drop(&w->rest, w->rest.len - rest.len);
        bool ok = level.len == 0 || strcmp(name, ".") == 0 ||
                  (strcmp(name, "..") == 0 ? go_up(w, why) : step(w, name, why));
        free(name);
        if (!ok)
            return false;
    }
    return true;
}

static int open_it(const struct way *w, struct fail *why)
{
    char        self[SELF_TEXT];
    struct stat st;

    if (w->has_owner && (fstat(w->at, &st) != 0 || st.st_uid != w->owner)) {
        (void)no_link(w, why);
        return -1;
    }
    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", w->at);
    int fd = open(self, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        (void)fail_errno(why, errno, "%s", w->shown);
    return fd;
}

int files_start(const char *root, const char *path, struct fail *why)
{
    struct way w = {.shown = path, .at = -1};
    int        fd = -1;

    buf_init(&w.rest, PATH_MOST);
    buf_add(&w.rest, slice_of(path));
    w.root = open(root != NULL && root[0] != '\0' ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (w.root >= 0 && fstat(w.root, &w.root_stat) == 0)
        w.at = root == NULL && path[0] != '/' ? open(".", O_PATH | O_DIRECTORY | O_CLOEXEC) : fcntl(w.root, F_DUPFD_CLOEXEC, 0);
    if (w.at < 0)
        (void)fail_errno(why, errno, "%s", root != NULL ? root : path);
    else if (w.rest.failed)
        (void)fail_errno(why, ENAMETOOLONG, "a path");
    else if (walk(&w, why))
        fd = open_it(&w, why);
    scoped_close(&w.at);
    scoped_close(&w.root);
    buf_finish(&w.rest);
    return fd;
}

char *files_path(int fd, struct fail *why)
{
    char self[SELF_TEXT], *path;

    (void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    path = realpath(self, NULL);
    if (path == NULL)
        (void)fail_errno(why, errno, "the path of what is read");
    return path;
}
