/*
 * main/command_backup_verify.c - posthorn backup verify FOLDER.
 *
 * Layer: main.  Needs neither the server nor a config.  First every byte against its digest, then what the bytes mean:
 * every database, and for every message of an account and of the queue its record.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/scoped.h"
#include "main/backup_show.h"
#include "main/backup_talk.h"
#include "main/command.h"
#include "queue/queue.h"
#include "storage/db.h"
#include "store/store.h"
#include "transfer/backup_folder.h"
#include "transfer/backup_view.h"

struct verifying {
    const struct cli     *cli;
    struct backup_folder *folder;
    struct backup_list   *list;
    struct backup_show    show;
    uint64_t              bytes;
    uint64_t              accounts, messages, queued;
    json_t               *findings;
};

static void find(void *ctx, const char *finding)
{
    struct verifying *v = ctx;

    backup_show_clear(&v->show);
    if (!v->cli->json)
        printf("%s\n", finding);
    (void)json_array_append_new(v->findings, json_string(finding));
}

static void check_bytes(struct verifying *v)
{
    for (size_t i = 0; i < v->list->count; i++)
        v->bytes += v->list->files[i].bytes;
    backup_show_begin(&v->show, "bytes", v->bytes);
    for (size_t i = 0; i < v->list->count; i++) {
        struct fail why;
        if (!backup_file_verify(v->folder, &v->list->files[i], &v->show.moved, &why))
            find(v, why.text);
    }
}

/* ---- what the bytes mean ---- */

/* One of an older format is looked at in a copy that may be brought up to date. */
static bool check_older(struct verifying *v, const struct backup_view *view, const struct backup_file *file, uint64_t id,
                        uint64_t *messages, struct fail *why)
{
    SCOPED(scoped_free) char *path = NULL;

    if (asprintf(&path, "%s/mail.db", backup_view_folder(view)) < 0)
        die_no_memory(0);
    bool ok = backup_file_copy(v->folder, file, path, 0600, NULL, why) &&
              store_check_copy(path, true, id, backup_view_volumes(view), find, v, messages, why);
    (void)unlink(path);
    return ok;
}

static void check_account(struct verifying *v, const struct backup_view *view, const struct backup_file *file, uint64_t id)
{
    v->show.moved.moved(v->show.moved.ctx, file->bytes);
    SCOPED(scoped_free) char *path = backup_stored_path(v->folder, file);
    uint64_t    messages = 0;
    struct fail why = {0};

    bool ok = store_check_copy(path, false, id, backup_view_volumes(view), find, v, &messages, &why);
    if (!ok && why.reason == FAIL_INVALID)
        ok = check_older(v, view, file, id, &messages, &why);
    if (!ok)
        find(v, why.text);
    v->accounts++;
    v->messages += messages;
}

static void check_mail(struct verifying *v)
{
    struct backup_view *view = NULL;
    struct fail         why;
    uint64_t            id;

    if (!backup_view_open(v->folder, v->list, "mail", &view, &why)) {
        find(v, why.text);
        return;
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < v->list->count; i++)
        bytes += backup_account_id(v->list->files[i].name, &id) ? v->list->files[i].bytes : 0;
    backup_show_begin(&v->show, "accounts", bytes);
    for (size_t i = 0; i < v->list->count; i++) {
        if (backup_account_id(v->list->files[i].name, &id))
            check_account(v, view, &v->list->files[i], id);
    }
    backup_view_close(&view);
}

static void check_queue(struct verifying *v)
{
    const struct backup_file *file = backup_list_find(v->list, "queue/queue.db");
    struct backup_view       *view = NULL;
    struct fail               why;

    if (file == NULL)
        return; /* check_needed says so */
    SCOPED(scoped_free) char *path = backup_stored_path(v->folder, file);
    if (!backup_view_open(v->folder, v->list, "queue", &view, &why) ||
        !queue_check_copy(path, backup_view_volumes(view), find, v, &v->queued, &why))
        find(v, why.text);
    backup_view_close(&view);
}

static void check_needed(struct verifying *v)
{
    static const char *const databases[] = {"mail/node.db", "mail/directory.db", "auth/auth.db", "queue/queue.db"};

    for (size_t i = 0; i < ARRAY_LEN(databases); i++) {
        const struct backup_file *file = backup_list_find(v->list, databases[i]);
        struct fail               why;
        if (file == NULL) {
            (void)fail_set(&why, FAIL_PERM, FAIL_NOT_FOUND, "%s is not in the backup", databases[i]);
            find(v, why.text);
            continue;
        }
        SCOPED(scoped_free) char *path = backup_stored_path(v->folder, file);
        if (!db_check_file(path, &why))
            find(v, why.text);
    }
    if (backup_list_find(v->list, "config/posthorn.conf") == NULL)
        find(v, "config/posthorn.conf is not in the backup");
}

/* ---- the command ---- */

static int tell(const struct verifying *v)
{
    size_t    problems = json_array_size(v->findings);
    char      made[40] = "";
    time_t    at = (time_t)v->list->made;
    struct tm tm;
    json_t   *result = json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "number", (json_int_t)v->list->number, "made",
                                 (json_int_t)v->list->made, "hostname", v->list->hostname, "files", (json_int_t)v->list->count, "bytes",
                                 (json_int_t)v->bytes, "accounts", (json_int_t)v->accounts, "messages", (json_int_t)v->messages, "queued",
                                 (json_int_t)v->queued, "problems", (json_int_t)problems, "findings", v->findings);

    if (localtime_r(&at, &tm) != NULL)
        (void)strftime(made, sizeof made, "%Y-%m-%d %H:%M:%S", &tm);
    (void)cli_done(v->cli, result, "backup %llu of %s, %s: %zu files, %llu MB, %llu accounts, %llu messages, %llu in the queue: %zu problems\n",
                   (unsigned long long)v->list->number, v->list->hostname, made, v->list->count, (unsigned long long)(v->bytes >> 20),
                   (unsigned long long)v->accounts, (unsigned long long)v->messages, (unsigned long long)v->queued, problems);
    json_decref(result);
    return problems == 0 ? DONE : FAILED;
}

int command_backup_verify(struct cli *cli)
{
    struct verifying v = {.cli = cli};
    struct fail      why;
    uint64_t         number;
    int              status;

    if (!cli_number(cli, "number", 1, INT64_MAX, 0, &number))
        return USAGE;
    backup_show_init(&v.show, cli);
    v.findings = json_array();
    backup_stand_back();
    if (!backup_folder_open(cli->arguments[0], false, &v.folder, &why) || !backup_list_load(v.folder, number, &v.list, &why)) {
        status = cli_failed(cli, &why);
    } else {
        check_bytes(&v);
        check_needed(&v);
        check_mail(&v);
        check_queue(&v);
        backup_show_clear(&v.show);
        status = tell(&v);
    }
    backup_list_free(&v.list);
    backup_folder_close(&v.folder);
    json_decref(v.findings);
    return status;
}
