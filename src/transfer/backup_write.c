/*
 * transfer/backup_write.c - a backup's folder, written.
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

#include "base/clock.h"
#include "base/io.h"
#include "base/map.h"
#include "base/scoped.h"
#include "transfer/backup_internal.h"

enum { LIST_MAX = 1 << 30, LEVELS = 16 };

/* What may lie in the folder beside the lists, and be removed there. */
static const char *const parts[] = {"auth", "config", "mail", "maildrop", "queue"};

struct backup_writer {
    struct backup_folder     *folder;
    const struct backup_moved *moved;
    struct backup_list       *before; /* NULL: this is the first */
    struct backup_list        list;
    size_t                    cap;
    char                     *made_folder; /* the last that is known to be there */
    struct backup_figures     figures;
};

/* ---- what no list names ---- */

static bool name_files(const struct backup_list *l, struct map *names)
{
    for (size_t i = 0; i < l->count; i++)
        (void)map_put(names, slice_of(l->files[i].stored), names);
    return true;
}

static void remove_unnamed(int parent, const char *name, struct buf *path, const struct map *named, unsigned level)
{
    int                  fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR                 *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    size_t               len = path->len;
    struct stat          st;

    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        buf_addf(path, "/%s", entry->d_name);
        if (S_ISDIR(st.st_mode) && level < LEVELS) {
            remove_unnamed(dirfd(dir), entry->d_name, path, named, level + 1);
            (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR); /* if it is empty now */
        } else if (map_get(named, buf_slice(path)) == NULL) {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
        path->len = len;
    }
    (void)closedir(dir);
}

/* Every list that is there counts, also one that cannot be read: then nothing is removed. */
static bool tidy(const struct backup_folder *f, struct fail *why)
{
    SCOPED(scoped_free) uint64_t *numbers = NULL;
    struct map named;
    size_t     count;
    bool       ok = backup_folder_numbers(f, &numbers, &count, why);

    map_init(&named);
    for (size_t i = 0; ok && i < count; i++) {
        struct backup_list *l = NULL;
        ok = backup_list_load(f, numbers[i], &l, why) && name_files(l, &named);
        backup_list_free(&l);
    }
    for (size_t i = 0; ok && i < ARRAY_LEN(parts); i++) {
        struct buf path;
        buf_init(&path, 65536);
        buf_add(&path, slice_of(parts[i]));
        remove_unnamed(f->fd, parts[i], &path, &named, 0);
        buf_finish(&path);
    }
    map_finish(&named);
    return ok;
}

/* ---- begin and end ---- */

struct backup_writer *backup_writer_create(struct backup_folder *f, const char *hostname, const char *version,
                                           const struct backup_moved *moved, struct fail *why)
{
    struct backup_writer *w = xcalloc(1, sizeof *w);
    struct fail           none = {0};

    w->folder = f;
    w->moved = moved;
    arena_init(&w->list.arena, SIZE_MAX);
    bool ok = backup_list_load(f, 0, &w->before, &none);
    if (!ok && none.reason != FAIL_NOT_FOUND) {
        *why = none;
        (void)fail_at(why, "the backup before");
        backup_writer_destroy(&w);
        return NULL;
    }
    if (!tidy(f, why)) {
        backup_writer_destroy(&w);
        return NULL;
    }
    w->list.number = w->before != NULL ? w->before->number + 1 : 1;
    w->list.made = clock_now();
    w->list.hostname = arena_cstr(&w->list.arena, slice_of(hostname));
    w->list.version = arena_cstr(&w->list.arena, slice_of(version));
    return w;
}

void backup_writer_destroy(struct backup_writer **wp)
{
    struct backup_writer *w = *wp;

    if (w == NULL)
        return;
    *wp = NULL;
    backup_list_free(&w->before);
    free(w->list.files);
    free(w->made_folder);
    arena_finish(&w->list.arena);
    free(w);
}

uint64_t backup_writer_number(const struct backup_writer *w)
{
    return w->list.number;
}

const struct backup_figures *backup_writer_figures(const struct backup_writer *w)
{
    return &w->figures;
}

static bool drop_older(const struct backup_writer *w, unsigned keep, struct fail *why)
{
    SCOPED(scoped_free) uint64_t *numbers = NULL;
    size_t count;

    if (!backup_folder_numbers(w->folder, &numbers, &count, why))
        return false;
    for (size_t i = keep; i < count; i++)
        if (unlinkat(w->folder->fd, backup_list_name(numbers[i]).text, 0) != 0)
            return fail_errno(why, errno, "%s/%s", w->folder->path, backup_list_name(numbers[i]).text);
    return count <= keep || io_fsync(w->folder->fd) == 0 || fail_errno(why, errno, "%s", w->folder->path);
}

static int by_name(const void *a, const void *b)
{
    const struct backup_file *x = a, *y = b;

    return strcmp(x->name, y->name);
}

bool backup_writer_finish(struct backup_writer *w, unsigned keep, struct fail *why)
{
    struct backup_name name = backup_list_name(w->list.number);
    SCOPED(scoped_free) char *path = NULL;
    struct buf         text;

    if (asprintf(&path, "%s/%s", w->folder->path, name.text) < 0)
        die_no_memory(0);
    if (w->list.count > 0)
        qsort(w->list.files, w->list.count, sizeof *w->list.files, by_name);
    /* Small files, and the folders' entries of all; it tells of every write that failed since the folder was opened (Linux 5.8). */
    if (syncfs(w->folder->fd) != 0)
        return fail_errno(why, errno, "%s", w->folder->path);
    buf_init(&text, LIST_MAX);
    bool ok = backup_list_write(&w->list, &text) || fail_set(why, FAIL_PERM, FAIL_INVALID, "a file's name is not UTF-8");
    ok = ok && io_replace_file(path, buf_slice(&text), 0600, why);
    buf_finish(&text);
    return ok && drop_older(w, keep > 0 ? keep : 1, why) && tidy(w->folder, why);
}

/* ---- files ---- */

static void take_in(struct backup_writer *w, const struct backup_file *file)
{
    struct arena *a = &w->list.arena;

    if (w->list.count == w->cap) {
        w->cap = w->cap > 0 ? w->cap * 2 : 256;
        w->list.files = xrealloc(w->list.files, w->cap * sizeof *w->list.files);
    }
    struct backup_file *mine = &w->list.files[w->list.count++];
    *mine = *file;
    mine->name = arena_cstr(a, slice_of(file->name));
    mine->stored = arena_cstr(a, slice_of(file->stored));
    mine->stamp = arena_cstr(a, slice_of(file->stamp != NULL ? file->stamp : ""));
    mine->path = file->path != NULL ? arena_cstr(a, slice_of(file->path)) : NULL;
    mine->owner = file->owner != NULL ? arena_cstr(a, slice_of(file->owner)) : NULL;
    mine->group = file->group != NULL ? arena_cstr(a, slice_of(file->group)) : NULL;
    w->figures.files++;
    w->figures.bytes += file->bytes;
}

/* What the backup before has under that name, if it is really there. */
static const struct backup_file *file_before(const struct backup_writer *w, const char *name)
{
    const struct backup_file *old = w->before != NULL ? backup_list_find(w->before, name) : NULL;
    struct stat               st;

    if (old == NULL || fstatat(w->folder->fd, old->stored, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size != old->bytes)
        return NULL;
    return old;
}

bool backup_writer_keep(struct backup_writer *w, const char *name, const char *stamp, uint64_t bytes)
{
    const struct backup_file *old = stamp[0] != '\0' ? file_before(w, name) : NULL;

    if (old == NULL || strcmp(old->stamp, stamp) != 0 || (bytes != UINT64_MAX && bytes != old->bytes))
        return false;
    take_in(w, old);
    return true;
}

/* The folder that `stored` lies in; most often it is that of the file before. */
static bool make_folder(struct backup_writer *w, const char *stored, struct fail *why)
{
    struct slice below = slice_of(stored);
    SCOPED(scoped_free) char *path = NULL;

    below = slice_sub(below, 0, slice_rfind_char(below, '/'));
    if (asprintf(&path, "%s/" PRIslice, w->folder->path, SLICE_ARG(below)) < 0)
        die_no_memory(0);
    if (w->made_folder != NULL && strcmp(w->made_folder, path) == 0)
        return true;
    if (!io_make_dirs(path, 0700, why))
        return false;
    free(w->made_folder);
    w->made_folder = path;
    path = NULL;
    return true;
}

/* The same bytes as before, though it was not known before they were read: they need not lie there twice. */
static bool take_old(struct backup_writer *w, struct backup_file *mine)
{
    const struct backup_file *old = file_before(w, mine->name);

    if (old == NULL || old->bytes != mine->bytes || strcmp(old->digest, mine->digest) != 0)
        return false;
    (void)unlinkat(w->folder->fd, mine->stored, 0);
    mine->stored = old->stored;
    return true;
}

bool backup_writer_add(struct backup_writer *w, const struct backup_file *file, int fd, struct fail *why)
{
    SCOPED(scoped_free) char *stored = NULL;
    struct backup_file mine = *file;

    if (asprintf(&stored, "%s.%llu", file->name, (unsigned long long)w->list.number) < 0)
        die_no_memory(0);
    mine.stored = stored;
    if (!make_folder(w, stored, why))
        return false;
    SCOPED(scoped_close) int out = openat(w->folder->fd, stored, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return fail_errno(why, errno, "%s/%s", w->folder->path, stored);
    if (!backup_copy_bytes(fd, out, file->bytes, &mine.bytes, mine.digest, w->moved, why)) {
        (void)unlinkat(w->folder->fd, stored, 0);
        return fail_at(why, "%s", file->name);
    }
    (void)posix_fadvise(out, 0, 0, POSIX_FADV_DONTNEED);
    if (!take_old(w, &mine)) {
        w->figures.copied_files++;
        w->figures.copied_bytes += mine.bytes;
    }
    take_in(w, &mine);
    return true;
}
