/*
 * main/command_backup.c - posthorn backup FOLDER.
 *
 * Layer: main.  The order is what makes the copy consistent: see store/backup.c for the mail role's part of it.  What
 * programs of this machine have put into the maildrop comes before all else, so that it is here or in the spool; the
 * queue comes after the volumes' extents are known, so that a message that moves from one role to the other is in one of
 * the copies or in both, which know it by its delivery id.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/control.h"
#include "base/clock.h"
#include "base/scoped.h"
#include "main/backup_show.h"
#include "main/backup_talk.h"
#include "main/command.h"
#include "main/config.h"
#include "main/config_files.h"
#include "main/privilege.h"
#include "main/reach.h"
#include "transfer/backup_folder.h"
#include "transfer/backup_view.h"

enum { KEEP_MOST = 1000, KEEP_DEFAULT = 1, PATH_TEXT = 4096 };

struct account { uint64_t id; char *stamp; };
struct volume { uint64_t id, bytes; char *generation; };

struct backing {
    const struct cli     *cli;
    struct config        *config;
    struct reach          reach;
    struct backup_folder *folder;
    struct backup_writer *writer;
    struct backup_show    show;
    int                   data; /* the data folder */
    struct account       *accounts;
    size_t                account_count, account_cap;
    struct volume        *volumes;
    size_t                volume_count, volume_cap;
    bool                  gone; /* the account just asked for */
    int64_t               began_ms, still_ms; /* still_ms: when the roles heard of us last */
    struct control_client *leases[2];         /* of these there is one; NULL: none */
    struct backup_moved   moved;              /* for the writer: shows it, and says that we are there */
    json_t               *notes; /* what the person should know */
};

static void note_missing(struct backing *b, const char *path)
{
    char text[PATH_TEXT];

    (void)snprintf(text, sizeof text, "%s, which the config names, is not there", path);
    (void)json_array_append_new(b->notes, json_string(text));
}

/* ---- the leases ---- */

/* A lease that was lost shows with the next word, if not here. */
static void still(struct backing *b)
{
    int64_t now = clock_mono_ms();

    if (now - b->still_ms < BACKUP_STILL_MS)
        return;
    b->still_ms = now;
    for (size_t i = 0; i < ARRAY_LEN(b->leases); i++)
        if (b->leases[i] != NULL && !backup_talk_still(b->leases[i], NULL))
            b->leases[i] = NULL;
}

static void moved(void *ctx, uint64_t bytes)
{
    struct backing *b = ctx;

    b->show.moved.moved(b->show.moved.ctx, bytes);
    still(b);
}

/* ---- files ---- */

/* `from` below the data folder, as `name`. */
static bool add(struct backing *b, const char *from, const char *name, uint64_t bytes, const char *stamp, struct fail *why)
{
    SCOPED(scoped_close) int fd = backup_open_below(b->data, from, why);
    const struct backup_file file = {.name = name, .stamp = stamp, .bytes = bytes, .mode = 0600};

    return fd >= 0 && backup_writer_add(b->writer, &file, fd, why);
}

/* A file that need not be there. */
static bool add_if_there(struct backing *b, const char *name, struct fail *why)
{
    struct fail none = {0};

    if (add(b, name, name, UINT64_MAX, "", &none) || none.reason == FAIL_NOT_FOUND)
        return true;
    *why = none;
    return false;
}

/* Every file of a folder that is there; what goes away meanwhile has gone where it belongs. */
static bool add_folder(struct backing *b, const char *folder, struct fail *why)
{
    struct fail          none = {0};
    int                  fd = backup_open_folder_below(b->data, folder, &none);
    DIR                 *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    char                 name[PATH_TEXT];
    struct stat          st;
    bool                 ok = true;

    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        if (none.reason == FAIL_NOT_FOUND)
            return true;
        *why = none;
        return false;
    }
    while (ok && (entry = readdir(dir)) != NULL) {
        int len = snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
        if (len < 0 || (size_t)len >= sizeof name || entry->d_name[0] == '.' ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        ok = add_if_there(b, name, why);
    }
    (void)closedir(dir);
    return ok;
}

/* ---- the config, and the files that it names ---- */

static bool add_outside(struct backing *b, const char *path, const char *name, struct fail *why)
{
    SCOPED(scoped_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* links are fine: root's own config says so */
    struct stat st;

    if (fd < 0 && errno == ENOENT) {
        note_missing(b, path);
        return true;
    }
    if (fd < 0 || fstat(fd, &st) != 0)
        return fail_errno(why, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return true; /* a device, a socket: nothing to keep */
    char owner[PRIVILEGE_NAME], group[PRIVILEGE_NAME];
    const struct backup_file file = {.name = name, .path = path, .stamp = "", .bytes = UINT64_MAX, .mode = st.st_mode & 0777,
                                     .owner = privilege_user_name(st.st_uid, owner), .group = privilege_group_name(st.st_gid, group)};
    return backup_writer_add(b->writer, &file, fd, why);
}

struct outside { struct backing *b; struct fail *why; const char *seen[512]; size_t count; };

/* One that the config names, once. */
static bool add_named(void *ctx, const char *path)
{
    struct outside *o = ctx;
    char            name[PATH_TEXT];

    if (path == NULL || path[0] != '/')
        return true;
    for (size_t i = 0; i < o->count; i++)
        if (strcmp(o->seen[i], path) == 0)
            return true;
    if (o->count == ARRAY_LEN(o->seen))
        return fail_set(o->why, FAIL_PERM, FAIL_LIMIT, "the config names more than %zu files", o->count);
    o->seen[o->count++] = path;
    int len = snprintf(name, sizeof name, "config/files%s", path);
    return len > 0 && (size_t)len < sizeof name ? add_outside(o->b, path, name, o->why)
                                               : fail_set(o->why, FAIL_PERM, FAIL_LIMIT, "%s: the path is too long", path);
}

static bool add_config(struct backing *b, struct fail *why)
{
    SCOPED(scoped_free) char *path = realpath(b->config->path, NULL);
    struct outside o = {.b = b, .why = why};

    if (path == NULL)
        return fail_errno(why, errno, "%s", b->config->path);
    return add_outside(b, path, "config/posthorn.conf", why) && config_each_file(b->config, add_named, &o);
}

/* ---- the mail role ---- */

static void take_account(void *ctx, const json_t *line)
{
    struct backing *b = ctx;
    const char     *stamp = json_string_value(json_object_get(line, "stamp"));

    if (!json_is_integer(json_object_get(line, "account")) || stamp == NULL)
        return;
    if (b->account_count == b->account_cap) {
        b->account_cap = b->account_cap > 0 ? b->account_cap * 2 : 64;
        b->accounts = xrealloc(b->accounts, b->account_cap * sizeof *b->accounts);
    }
    b->accounts[b->account_count++] =
        (struct account){.id = (uint64_t)json_integer_value(json_object_get(line, "account")), .stamp = xstrdup(stamp)};
}

static void take_gone(void *ctx, const json_t *line)
{
    struct backing *b = ctx;

    b->gone = b->gone || json_is_true(json_object_get(line, "gone"));
}

static bool add_account(struct backing *b, struct control_client *c, const struct account *a, struct fail *why)
{
    const struct backup_account_name name = backup_account_name(a->id);
    char word[40];

    still(b);
    if (backup_writer_keep(b->writer, name.text, a->stamp, UINT64_MAX))
        return true;
    (void)snprintf(word, sizeof word, "account %llu", (unsigned long long)a->id);
    b->gone = false;
    if (!backup_talk_say(c, word, take_gone, b, why))
        return fail_at(why, "account %llu", (unsigned long long)a->id);
    return b->gone || add(b, "mail/backup/account.db", name.text, UINT64_MAX, a->stamp, why);
}

static void take_volume(void *ctx, const json_t *line)
{
    struct backing *b = ctx;
    const char     *generation = json_string_value(json_object_get(line, "generation"));

    if (!json_is_integer(json_object_get(line, "volume")) || generation == NULL)
        return;
    if (b->volume_count == b->volume_cap) {
        b->volume_cap = b->volume_cap > 0 ? b->volume_cap * 2 : 64;
        b->volumes = xrealloc(b->volumes, b->volume_cap * sizeof *b->volumes);
    }
    b->volumes[b->volume_count++] = (struct volume){
        .id = (uint64_t)json_integer_value(json_object_get(line, "volume")),
        .bytes = (uint64_t)json_integer_value(json_object_get(line, "bytes")),
        .generation = xstrdup(generation),
    };
}

static void forget_volumes(struct backing *b)
{
    for (size_t i = 0; i < b->volume_count; i++)
        free(b->volumes[i].generation);
    b->volume_count = 0;
}

/* Those of a role, as they were told; first what is there already, so that it is known how much there is to do. */
static bool add_volumes(struct backing *b, const struct volume *list, size_t count, const char *what, const char *folder,
                        struct fail *why)
{
    SCOPED(scoped_free) bool *kept = xcalloc(count + 1, sizeof *kept);
    char     name[100];
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "%s/%08llx.vol", folder, (unsigned long long)list[i].id);
        kept[i] = backup_writer_keep(b->writer, name, list[i].generation, list[i].bytes);
        bytes += kept[i] ? 0 : list[i].bytes;
    }
    backup_show_begin(&b->show, what, bytes);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "%s/%08llx.vol", folder, (unsigned long long)list[i].id);
        if (!kept[i] && !add(b, name, name, list[i].bytes, list[i].generation, why))
            return false;
    }
    return true;
}

static bool add_rows(struct backing *b, struct control_client *c, struct fail *why)
{
    backup_show_begin(&b->show, "accounts", 0);
    if (!backup_talk_say(c, "node", NULL, NULL, why) ||
        !add(b, "mail/backup/node.db", "mail/node.db", UINT64_MAX, "", why) ||
        !backup_talk_say(c, "accounts", take_account, b, why))
        return false;
    for (size_t i = 0; i < b->account_count; i++)
        if (!add_account(b, c, &b->accounts[i], why))
            return false;
    return backup_talk_say(c, "directory", NULL, NULL, why) &&
           add(b, "mail/backup/directory.db", "mail/directory.db", UINT64_MAX, "", why) &&
           add_if_there(b, "mail/srs.keys", why) && add_folder(b, "mail/policy", why);
}

/* ---- the others ---- */

static bool add_auth(struct backing *b, struct fail *why)
{
    struct buf path;

    buf_init(&path, PATH_TEXT);
    bool ok = reach_auth(&b->reach, why) && auth_control_copy(b->reach.auth, &path, why) &&
              add(b, "auth/auth.db.backup", "auth/auth.db", UINT64_MAX, "", why);
    buf_finish(&path);
    (void)unlinkat(b->data, "auth/auth.db.backup", 0);
    return ok;
}

static bool add_queue(struct backing *b, struct control_client *c, struct fail *why)
{
    return backup_talk_say(c, "queue", NULL, NULL, why) && add(b, "queue/backup/queue.db", "queue/queue.db", UINT64_MAX, "", why) &&
           backup_talk_say(c, "volumes", take_volume, b, why) &&
           add_volumes(b, b->volumes, b->volume_count, "queue", "queue/volumes", why) && add_folder(b, "queue/reports", why) &&
           add_folder(b, "queue/sts", why);
}

static bool copy_all(struct backing *b, struct fail *why)
{
    if (!reach_role(&b->reach, ROLE_QUEUE, why) || !reach_role(&b->reach, ROLE_MAIL, why))
        return false;

    struct control_client *mail = &b->reach.controls[ROLE_MAIL].client, *queue = &b->reach.controls[ROLE_QUEUE].client;
    if (!add_folder(b, "maildrop", why) || !backup_talk_begin(queue, why))
        return false;
    b->leases[0] = queue;
    if (!backup_talk_begin(mail, why))
        return false;
    b->leases[1] = mail;
    if (!add_rows(b, mail, why) || !add_auth(b, why) || !backup_talk_say(mail, "volumes", take_volume, b, why))
        return false;

    struct volume *list = b->volumes;
    size_t         count = b->volume_count;
    b->volumes = NULL;
    b->volume_count = b->volume_cap = 0;
    bool ok = add_queue(b, queue, why);
    b->leases[0] = NULL;
    ok = ok && backup_talk_end(queue, why);
    forget_volumes(b);
    free(b->volumes);
    b->volumes = list;
    b->volume_count = count;
    ok = ok && add_volumes(b, list, count, "volumes", "mail/volumes", why);
    b->leases[1] = NULL;
    return ok && backup_talk_end(mail, why) && add_config(b, why);
}

/* ---- the command ---- */

static int tell(const struct backing *b)
{
    const struct backup_figures *f = backup_writer_figures(b->writer);
    double   seconds = (double)(clock_mono_ms() - b->began_ms) / 1000;
    json_t  *result = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:O}", "folder", backup_folder_path(b->folder), "number",
                                (json_int_t)backup_writer_number(b->writer), "files", (json_int_t)f->files, "bytes",
                                (json_int_t)f->bytes, "copied_files", (json_int_t)f->copied_files, "copied_bytes",
                                (json_int_t)f->copied_bytes, "accounts", (json_int_t)b->account_count, "seconds", seconds, "notes", b->notes);
    const json_t *text;
    size_t        i;

    if (!b->cli->json)
        json_array_foreach (b->notes, i, text)
            fprintf(stderr, "%s\n", json_string_value(text));
    (void)cli_done(b->cli, result, "backup %llu in %s: %llu files, %llu MB; copied %llu files, %llu MB in %.1f s\n",
                   (unsigned long long)backup_writer_number(b->writer), backup_folder_path(b->folder), (unsigned long long)f->files,
                   (unsigned long long)(f->bytes >> 20), (unsigned long long)f->copied_files,
                   (unsigned long long)(f->copied_bytes >> 20), seconds);
    json_decref(result);
    return DONE;
}

static bool run(struct backing *b, const char *folder, unsigned keep, struct fail *why)
{
    b->data = open(b->config->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->data < 0)
        return fail_errno(why, errno, "%s", b->config->data);
    if (!backup_folder_open(folder, true, &b->folder, why))
        return false;
    b->writer = backup_writer_create(b->folder, b->config->hostname, POSTHORN_VERSION, &b->moved, why);
    return b->writer != NULL && copy_all(b, why) && backup_writer_finish(b->writer, keep, why);
}

static int make_backup(struct cli *cli, const char *folder)
{
    struct backing b = {.cli = cli, .data = -1, .began_ms = clock_mono_ms()};
    struct fail    why = {0};
    uint64_t       keep;

    if (!cli_number(cli, "keep", 1, KEEP_MOST, KEEP_DEFAULT, &keep))
        return USAGE;
    if (!cli_config(cli, &b.config))
        return FAILED;
    b.notes = json_array();
    backup_show_init(&b.show, cli);
    b.moved = (struct backup_moved){.moved = moved, .ctx = &b};
    reach_init(&b.reach, b.config);
    backup_stand_back();
    bool ok = run(&b, folder, (unsigned)keep, &why);
    backup_show_clear(&b.show);
    int status = ok ? tell(&b) : cli_failed(cli, &why);
    reach_finish(&b.reach);
    backup_writer_destroy(&b.writer);
    backup_folder_close(&b.folder);
    forget_volumes(&b);
    free(b.volumes);
    for (size_t i = 0; i < b.account_count; i++)
        free(b.accounts[i].stamp);
    free(b.accounts);
    if (b.data >= 0)
        (void)close(b.data);
    json_decref(b.notes);
    config_destroy(&b.config);
    return status;
}

int command_backup(struct cli *cli)
{
    return make_backup(cli, cli->arguments[0]);
}
