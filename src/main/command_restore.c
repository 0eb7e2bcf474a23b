/*
 * main/command_restore.c - posthorn restore FOLDER.
 *
 * Layer: main.
 */
#include <stdarg.h>
#include <stdio.h>

#include "main/config.h"
#include "main/restore.h"

void restore_note(struct restoring *r, const char *fmt, ...)
{
    char    text[4400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)json_array_append_new(r->notes, json_string(text));
}

static long long number_of(const json_t *o, const char *field)
{
    return (long long)json_integer_value(json_object_get(o, field));
}

static void print_notes(const struct restoring *r)
{
    const json_t *text;
    size_t        i;

    if (!r->cli->json)
        json_array_foreach (r->notes, i, text)
            printf("%s\n", json_string_value(text));
}

static int tell_whole(const struct restoring *r, const json_t *result)
{
    long long held = number_of(result, "held");
    char      queue[200] = "";

    if (held > 0)
        (void)snprintf(queue, sizeof queue,
                       "%lld recipients in the queue are held, because they may have got their mail after the backup was made:\n"
                       "posthorn queue list shows them, posthorn queue release --all lets them go\n",
                       held);
    return cli_done(r->cli, result, "backup %llu of %s is restored: %lld accounts, %lld messages in the queue\n%s",
                    (unsigned long long)r->list->number, r->list->hostname, number_of(result, "accounts"),
                    number_of(result, "queued"), queue);
}

static void forget(struct restoring *r)
{
    backup_list_free(&r->list);
    backup_folder_close(&r->folder);
    config_destroy(&r->config);
    json_decref(r->notes);
}

static int finish(struct restoring *r, bool ok, json_t *result, const struct fail *why)
{
    int status;

    backup_show_clear(&r->show);
    if (!ok) {
        status = cli_failed(r->cli, why);
    } else {
        print_notes(r);
        (void)json_object_set(result, "notes", r->notes);
        status = tell_whole(r, result);
        json_decref(result);
    }
    forget(r);
    return status;
}

int command_restore(struct cli *cli)
{
    struct restoring r = {.cli = cli};
    const char      *account = cli_option(cli, "account");
    struct fail      why = {0};
    json_t          *result = NULL;
    uint64_t         number;

    if (!cli_number(cli, "number", 1, INT64_MAX, 0, &number))
        return USAGE;
    if (account == NULL && (cli_option(cli, "into") != NULL || cli_option(cli, "mailbox-prefix") != NULL))
        return cli_usage(cli, "--into and --mailbox-prefix go with --account");
    if (account != NULL && cli_option(cli, "release-queue") != NULL)
        return cli_usage(cli, "--release-queue does not go with --account");
    log_set_level(LOG_WARNING); /* the rooms are opened in this process */
    r.notes = json_array();
    backup_show_init(&r.show, cli);
    bool ok = backup_folder_open(cli->arguments[0], false, &r.folder, &why) &&
              backup_list_load(r.folder, number, &r.list, &why);
    if (ok && account != NULL) {
        int status = restore_account(&r, account);
        forget(&r);
        return status;
    }
    ok = ok && restore_whole(&r, cli_option(cli, "release-queue") != NULL, &result, &why);
    return finish(&r, ok, result, &why);
}
