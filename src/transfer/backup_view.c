/*
 * transfer/backup_view.c - see transfer/backup_view.h.
 *
 * Layer: transfer.
 */
#include "transfer/backup_view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scoped.h"

enum { LEVELS = 32 };

struct backup_view {
    char           *folder;
    struct volumes *volumes;
};

char *backup_stored_path(const struct backup_folder *f, const struct backup_file *file)
{
    char *path;

    if (asprintf(&path, "%s/%s", backup_folder_path(f), file->stored) < 0)
        die_no_memory(0);
    return path;
}

struct backup_account_name backup_account_name(uint64_t id)
{
    struct backup_account_name name;

    (void)snprintf(name.text, sizeof name.text, "mail/accounts/%02x/%02x/%016llx/mail.db", (unsigned)(id & 0xff),
                   (unsigned)(id >> 8 & 0xff), (unsigned long long)id);
    return name;
}

bool backup_account_id(const char *name, uint64_t *id)
{
    struct slice path = slice_of(name);

    if (!slice_starts(path, SLICE("mail/accounts/")) || path.len < 36)
        return false;
    *id = strtoull(name + sizeof "mail/accounts/00/00/" - 1, NULL, 16);
    return strcmp(backup_account_name(*id).text, name) == 0;
}

static void empty_folder(int parent, const char *name, unsigned level)
{
    int                  fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR                 *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) == 0 || level == LEVELS)
            continue;
        empty_folder(dirfd(dir), entry->d_name, level + 1);
        (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
    }
    (void)closedir(dir);
}

void backup_remove_tree(const char *path)
{
    empty_folder(AT_FDCWD, path, 0);
    (void)rmdir(path);
}

static bool link_volumes(const struct backup_folder *f, const struct backup_list *l, const char *part, const char *into, struct fail *why)
{
    char head[40];

    (void)snprintf(head, sizeof head, "%s/volumes/", part);
    for (size_t i = 0; i < l->count; i++) {
        const char *name = l->files[i].name;
        if (!slice_starts(slice_of(name), slice_of(head)))
            continue;
        SCOPED(scoped_free) char *target = backup_stored_path(f, &l->files[i]);
        SCOPED(scoped_free) char *path = NULL;
        if (asprintf(&path, "%s/%s", into, name + strlen(head)) < 0)
            die_no_memory(0);
        if (symlink(target, path) != 0)
            return fail_errno(why, errno, "%s", path);
    }
    return true;
}

bool backup_view_open(const struct backup_folder *f, const struct backup_list *l, const char *part, struct backup_view **out,
                      struct fail *why)
{
    struct backup_view  *v = xcalloc(1, sizeof *v);
    const char          *temporary = getenv("TMPDIR");
    struct volume_limits limits;

    if (asprintf(&v->folder, "%s/posthorn-backup-XXXXXX", temporary != NULL && temporary[0] == '/' ? temporary : "/tmp") < 0)
        die_no_memory(0);
    if (mkdtemp(v->folder) == NULL) {
        (void)fail_errno(why, errno, "%s", v->folder);
        free(v->folder);
        free(v);
        return false;
    }
    SCOPED(scoped_free) char *volumes = NULL;
    if (asprintf(&volumes, "%s/volumes", v->folder) < 0)
        die_no_memory(0);
    volume_limits_default(&limits);
    bool ok = (mkdir(volumes, 0700) == 0 || fail_errno(why, errno, "%s", volumes)) && link_volumes(f, l, part, volumes, why) &&
              volumes_open_read_only(volumes, &limits, &v->volumes, why);
    if (!ok) {
        backup_view_close(&v);
        return false;
    }
    *out = v;
    return true;
}

void backup_view_close(struct backup_view **vp)
{
    struct backup_view *v = *vp;

    if (v == NULL)
        return;
    *vp = NULL;
    volumes_close(&v->volumes);
    backup_remove_tree(v->folder);
    free(v->folder);
    free(v);
}

struct volumes *backup_view_volumes(const struct backup_view *v)
{
    return v->volumes;
}

const char *backup_view_folder(const struct backup_view *v)
{
    return v->folder;
}
