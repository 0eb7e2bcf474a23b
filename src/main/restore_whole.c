/*
 * main/restore_whole.c - a backup becomes a data folder.
 *
 * Layer: main.  All of it is made in a folder beside, DATA/restoring, and renamed into place when it is whole: the mail
 * role's part last, so that what was interrupted is no server's data.  What clients know is older than what they will
 * see, and newer than what is in the backup: so UIDVALIDITYs, ids and the volumes' references go on above all that may
 * have been given out after it (store/renew.c, volumes_skip).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "directory/directory.h"
#include "main/config.h"
#include "main/config_files.h"
#include "main/listen.h"
#include "main/maildrop.h"
#include "main/privilege.h"
#include "main/restore.h"
#include "queue/queue.h"
#include "store/store.h"
#include "transfer/backup_view.h"

enum { LEVELS = 32, VOLUMES_SKIPPED = 4096 };

/* The parts of the data folder, in the order in which they are put in place. */
static const struct { const char *name; enum role role; } parts[] = {
    {"auth", ROLE_AUTH}, {"queue", ROLE_QUEUE}, {"maildrop", ROLE_MAIL}, {"mail", ROLE_MAIL},
};

/* ---- is there room for it? ---- */

/* false: there is a file in it, or who knows. */
static bool is_bare(int parent, const char *name, unsigned level)
{
    int                  fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR                 *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    bool                 bare = dir != NULL && level < LEVELS;

    if (dir == NULL) {
        int errnum = errno;
        if (fd >= 0)
            (void)close(fd);
        return fd < 0 && errnum == ENOENT;
    }
    while (bare && (entry = readdir(dir)) != NULL)
        bare = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_bare(fd, entry->d_name, level + 1);
    (void)closedir(dir);
    return bare;
}

static bool data_is_empty(struct config *c, struct fail *why)
{
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (!is_bare(AT_FDCWD, config_data_path(c, parts[i].name), 0))
            return fail_set(why, FAIL_PERM, FAIL_EXISTS, "%s is not empty: move it away first, if nobody needs it",
                            config_data_path(c, parts[i].name));
    return true;
}

static bool nobody_serves(struct config *c, struct fail *why)
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        const char *path = listen_control_path(c, (enum role)role);
        int         fd = path != NULL ? listen_connect(path, listen_control_type((enum role)role), NULL) : -1;
        if (fd < 0)
            continue;
        (void)close(fd);
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the server is running: stop it first");
    }
    return true;
}

/* ---- config ---- */

static bool make_folder_of(const char *path, unsigned mode, struct fail *why)
{
    struct slice folder = slice_of(path);
    SCOPED(scoped_free) char *text = xslicedup(slice_sub(folder, 0, slice_rfind_char(folder, '/')));

    return text[0] == '\0' || strcmp(text, path) == 0 || io_make_dirs(text, mode, why);
}

/* A lost config comes back where the command expects it. */
static bool load_config(struct restoring *r, struct fail *why)
{
    const char               *path = r->cli->config_path;
    const struct backup_file *file = backup_list_find(r->list, "config/posthorn.conf");

    if (access(path, F_OK) != 0 && errno == ENOENT && file != NULL) {
        if (!make_folder_of(path, 0755, why) || !backup_file_copy(r->folder, file, path, file->mode, NULL, why))
            return false;
        restore_note(r, "%s is from the backup", path);
    }
    return config_load(path, &r->config, why);
}

struct putting { struct restoring *r; struct fail *why; };

/* One that the config names: it comes back unless there is one. */
static bool put_named(void *ctx, const char *path)
{
    struct putting   *p = ctx;
    struct restoring *r = p->r;

    for (size_t i = 0; path != NULL && i < r->list->count; i++) {
        const struct backup_file *file = &r->list->files[i];
        if (file->path == NULL || strcmp(file->path, path) != 0 || strcmp(file->name, "config/posthorn.conf") == 0)
            continue;
        if (access(path, F_OK) == 0)
            return true;
        if (!make_folder_of(path, 0755, p->why) || !backup_file_copy(r->folder, file, path, file->mode, NULL, p->why))
            return false;
        if (privilege_name_owner(path, file->owner, file->group))
            restore_note(r, "%s is from the backup", path);
        else
            restore_note(r, "%s is from the backup; it was %s:%s's and cannot be here: see who may read it", path,
                         file->owner != NULL ? file->owner : "?", file->group != NULL ? file->group : "?");
        return true;
    }
    return true;
}

/* ---- the files ---- */

static bool is_data(const struct backup_file *file)
{
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t n = strlen(parts[i].name);
        if (strncmp(file->name, parts[i].name, n) == 0 && file->name[n] == '/')
            return true;
    }
    return false;
}

static bool copy_files(struct restoring *r, const char *beside, struct fail *why)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < r->list->count; i++)
        bytes += is_data(&r->list->files[i]) ? r->list->files[i].bytes : 0;
    backup_show_begin(&r->show, "files", bytes);
    for (size_t i = 0; i < r->list->count; i++) {
        const struct backup_file *file = &r->list->files[i];
        SCOPED(scoped_free) char *path = NULL;
        if (!is_data(file))
            continue;
        if (asprintf(&path, "%s/%s", beside, file->name) < 0)
            die_no_memory(0);
        if (!make_folder_of(path, 0700, why) || !backup_file_copy(r->folder, file, path, 0600, &r->show.moved, why))
            return false;
    }
    return true;
}

/* ---- what may not go on as it was ---- */

struct renewing {
    struct restoring *r;
    struct store     *store;
    uint64_t          accounts, made;
    struct fail      *why;
    bool              failed;
};

static bool renew_account(void *ctx, uint64_t id)
{
    struct renewing *n = ctx;

    n->failed = !store_renew(n->store, id, n->why);
    n->accounts++;
    return !n->failed;
}

/* One that came or went while the backup was made may have a name and no mail. */
static bool make_account(void *ctx, const struct directory_account *a)
{
    struct renewing *n = ctx;
    struct account  *open = NULL;
    struct fail      none = {0};

    if (!store_account(n->store, a->id, &open, &none) && none.reason == FAIL_NOT_FOUND) {
        n->failed = !store_account_create(n->store, a->id, n->why);
        n->made++;
    }
    account_release(&open);
    return !n->failed;
}

static bool renew_all(struct renewing *n, const char *mail, struct fail *why)
{
    struct config    *c = n->r->config;
    struct directory *directory = NULL;
    SCOPED(scoped_free) char *path = NULL;

    if (asprintf(&path, "%s/directory.db", mail) < 0)
        die_no_memory(0);
    bool ok = store_each_account(n->store, renew_account, n, why) && !n->failed &&
              directory_open(path, &c->directory, &directory, why) &&
              directory_each_account(directory, make_account, n, why) && !n->failed;
    directory_close(&directory);
    return ok;
}

static bool renew_mail(struct restoring *r, const char *beside, json_t *result, struct fail *why)
{
    SCOPED(scoped_free) char *mail = NULL;
    SCOPED(scoped_free) char *folder = NULL;
    struct renewing     n = {.r = r, .why = why};
    struct volumes     *volumes = NULL;
    struct store_limits limits = r->config->store;

    limits.search_index = 0; /* the server makes it */
    if (asprintf(&mail, "%s/mail", beside) < 0 || asprintf(&folder, "%s/mail/volumes", beside) < 0)
        die_no_memory(0);
    backup_show_begin(&r->show, "accounts", 0);
    bool ok = io_make_dirs(folder, 0700, why) && volumes_skip(folder, VOLUMES_SKIPPED, why) &&
              volumes_open_read_only(folder, &r->config->volume, &volumes, why) &&
              store_open(mail, volumes, &limits, &n.store, why) && renew_all(&n, mail, why);
    store_close(&n.store);
    volumes_close(&volumes);
    (void)json_object_set_new(result, "accounts", json_integer((json_int_t)n.accounts));
    if (n.made > 0)
        restore_note(r, "%llu accounts were made or removed while the backup was made: they are empty", (unsigned long long)n.made);
    return ok;
}

/* What was sent since the backup is in it still: nothing leaves before somebody has looked. */
static bool renew_queue(struct restoring *r, const char *beside, bool release, json_t *result, struct fail *why)
{
    const struct queue_filter all = {0};
    SCOPED(scoped_free) char *dir = NULL;
    SCOPED(scoped_free) char *folder = NULL;
    struct queue             *queue = NULL;
    struct queue_stats        stats = {0};
    uint64_t                  held = 0;

    if (asprintf(&dir, "%s/queue", beside) < 0 || asprintf(&folder, "%s/queue/volumes", beside) < 0)
        die_no_memory(0);
    const struct queue_setting setting = {
        .dir = dir,
        .hostname = r->config->hostname,
        .limits = r->config->queue,
        .volumes = &r->config->volume,
        .offline = true,
    };
    bool ok = io_make_dirs(folder, 0700, why) && volumes_skip(folder, VOLUMES_SKIPPED, why) && queue_open(&setting, &queue, why) &&
              (release || queue_hold(queue, &all, &held, why));
    if (ok) {
        queue_settle(queue);
        queue_stats(queue, &stats);
    }
    queue_close(&queue);
    (void)json_object_set_new(result, "queued", json_integer((json_int_t)stats.messages));
    (void)json_object_set_new(result, "held", json_integer((json_int_t)held));
    return ok;
}

/* ---- into place ---- */

static bool put_in_place(struct restoring *r, const char *beside, struct fail *why)
{
    struct config *c = r->config;

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        SCOPED(scoped_free) char *from = NULL;
        const char *to = config_data_path(c, parts[i].name);
        if (asprintf(&from, "%s/%s", beside, parts[i].name) < 0)
            die_no_memory(0);
        if (access(from, F_OK) != 0)
            continue;
        if (!privilege_give(c, parts[i].role, from, why))
            return false;
        backup_remove_tree(to); /* empty folders: data_is_empty() has looked, and the folder is locked */
        if (rename(from, to) != 0)
            return fail_errno(why, errno, "%s", to);
    }
    return io_sync_dir(c->data, why);
}

/* Before anything is in its place. */
static bool sync_all(const char *beside, struct fail *why)
{
    SCOPED(scoped_close) int fd = open(beside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return (fd >= 0 && syncfs(fd) == 0) || fail_errno(why, errno, "%s", beside);
}

static bool restore_beside(struct restoring *r, const char *beside, bool release_queue, json_t *result, struct fail *why)
{
    struct putting p = {.r = r, .why = why};

    return io_make_dirs(beside, 0700, why) && copy_files(r, beside, why) && renew_mail(r, beside, result, why) &&
           renew_queue(r, beside, release_queue, result, why) && sync_all(beside, why) && put_in_place(r, beside, why) &&
           config_each_file(r->config, put_named, &p);
}

/* Held while one is made; -1 and *why. */
static int lock_data(const struct config *c, struct fail *why)
{
    int fd = open(c->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        (void)fail_errno(why, errno, "%s", c->data);
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        fd = -1;
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "another restore into %s is running", c->data);
    }
    return fd;
}

bool restore_whole(struct restoring *r, bool release_queue, json_t **result, struct fail *why)
{
    if (!load_config(r, why) || !nobody_serves(r->config, why) || !data_is_empty(r->config, why) ||
        !io_make_dirs(r->config->data, 0755, why))
        return false;
    SCOPED(scoped_close) int lock = lock_data(r->config, why);
    if (lock < 0 || !data_is_empty(r->config, why))
        return false;

    const char *beside = config_data_path(r->config, "restoring");
    json_t     *o = json_pack("{s:I, s:s, s:s}", "number", (json_int_t)r->list->number, "hostname", r->list->hostname, "data",
                              r->config->data);
    backup_remove_tree(beside); /* what an interrupted one has left */
    bool ok = restore_beside(r, beside, release_queue, o, why);
    backup_remove_tree(beside);
    if (ok)
        *result = o;
    else
        json_decref(o);
    return ok;
}
