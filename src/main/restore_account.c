/*
 * main/restore_account.c - one account out of a backup, into an account of the running server.
 *
 * Layer: main.  The backup's volumes are read where they lie, and a copy of the account's file beside them: a store of its
 * own in this process, which tells the account as an export would; the mail role keeps it as it keeps an import.  So nothing
 * that is there is touched, and what was interrupted goes on from there when it is run again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "directory/directory.h"
#include "main/moving.h"
#include "main/restore.h"
#include "transfer/backup_view.h"
#include "transfer/teller.h"

struct scratch {
    struct restoring   *r;
    struct backup_view *view;
    struct store       *store;
    struct account     *account;
    bool                beside; /* below a prefix */
};

/* A file of the list, where the scratch folder's store and directory look for it. */
static bool bring(struct scratch *s, const char *name, char **path, struct fail *why)
{
    const struct backup_file *file = backup_list_find(s->r->list, name);
    const char               *below = slice_starts(slice_of(name), SLICE("mail/")) ? name + sizeof "mail/" - 1 : name;

    if (asprintf(path, "%s/%s", backup_view_folder(s->view), below) < 0)
        die_no_memory(0);
    struct slice folder = slice_of(*path);
    SCOPED(scoped_free) char *text = xslicedup(slice_sub(folder, 0, slice_rfind_char(folder, '/')));
    if (file == NULL)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "%s is not in the backup", name);
    return io_make_dirs(text, 0700, why) && backup_file_copy(s->r->folder, file, *path, 0600, NULL, why);
}

static bool find_id(struct scratch *s, const char *address, uint64_t *id, struct fail *why)
{
    SCOPED(scoped_free) char *path = NULL;
    struct directory_limits  limits;
    struct directory        *directory = NULL;
    struct directory_account account;
    struct arena             arena;

    arena_init(&arena, 1 << 16);
    directory_limits_default(&limits);
    bool ok = bring(s, "mail/directory.db", &path, why) && directory_open(path, &limits, &directory, why);
    if (ok && !(ok = directory_login(directory, slice_of(address), &arena, &account, why)))
        (void)fail_at(why, "in the backup");
    if (ok)
        *id = account.id;
    directory_close(&directory);
    arena_finish(&arena);
    return ok;
}

static bool open_scratch(struct scratch *s, const char *address, struct fail *why)
{
    SCOPED(scoped_free) char *file = NULL;
    SCOPED(scoped_free) char *node = NULL;
    struct store_limits limits;
    uint64_t            id = 0;

    store_limits_default(&limits);
    limits.search_index = 0;
    limits.snapshot_hours = 0;
    limits.view_file_messages = 0;
    return backup_view_open(s->r->folder, s->r->list, "mail", &s->view, why) && find_id(s, address, &id, why) &&
           bring(s, backup_account_name(id).text, &file, why) && bring(s, "mail/node.db", &node, why) &&
           store_open(backup_view_folder(s->view), backup_view_volumes(s->view), &limits, &s->store, why) &&
           store_account(s->store, id, &s->account, why);
}

static void close_scratch(struct scratch *s)
{
    account_release(&s->account);
    store_close(&s->store);
    backup_view_close(&s->view);
}

static bool tell(void *ctx, const struct transfer_into *into, struct fail *why)
{
    const struct scratch       *s = ctx;
    const struct teller_options options = {.bodies = moving_bodies(), .fresh = true, .beside = s->beside};

    return teller_tell(s->account, &options, into, why);
}

int restore_account(struct restoring *r, const char *address)
{
    const char    *into = cli_option(r->cli, "into"), *prefix = cli_option(r->cli, "mailbox-prefix");
    struct scratch s = {.r = r};
    struct fail    why = {0};
    int            status;

    if (prefix == NULL)
        prefix = into == NULL ? "Restored" : "";
    s.beside = prefix[0] != '\0'; /* beside what is there: the filter that is in use stays */
    const struct moving_target to = {
        .address = into != NULL ? into : address,
        .prefix = prefix[0] != '\0' ? prefix : NULL,
        .over_quota = true,
        .keep_gone = true,
    };
    if (!open_scratch(&s, address, &why)) {
        status = cli_failed(r->cli, &why);
    } else {
        struct moving *m = moving_begin(r->cli, "restore");
        status = FAILED;
        if (m != NULL) {
            moving_note(m, address, "rights given to others, annotations and limits are not carried along");
            if (s.beside)
                moving_note(m, address, "Sieve scripts stay as they are");
            (void)moving_import(m, &to, tell, &s, NULL);
            status = moving_end(&m);
        }
    }
    close_scratch(&s);
    return status;
}
