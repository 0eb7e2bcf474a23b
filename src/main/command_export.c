/*
 * main/command_export.c - posthorn export maildir, posthorn export mbox
 *
 * Layer: main.  The mail role tells the account, the command writes the files, as whoever called it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/scoped.h"
#include "main/moving.h"
#include "transfer/writer.h"

struct exporting {
    struct cli       *cli;
    struct moving    *moving;
    enum writer_format format;
    enum mbox_dialect dialect;
    bool              resume;
};

static void left_out(void *ctx, struct slice what, const char *reason)
{
    char text[1000];

    (void)snprintf(text, sizeof text, PRIslice, SLICE_ARG(slice_sub(what, 0, sizeof text - 1)));
    moving_left_out(ctx, text, reason);
}

static bool is_empty(int folder)
{
    int                  fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR                 *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;
    bool                 empty = dir != NULL;

    while (empty && (e = readdir(dir)) != NULL)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (dir != NULL)
        (void)closedir(dir);
    else if (fd >= 0)
        (void)close(fd);
    return empty;
}

/* One account into the folder, which is open; its failures are told by moving_end. */
static bool export_account(struct exporting *x, const char *address, int folder)
{
    const struct writer_options options = {
        .format = x->format, .dialect = x->dialect, .resume = x->resume, .left_out = left_out, .ctx = x->moving};
    const struct moving_target from = {.address = address, .mailbox = cli_option(x->cli, "mailbox")};
    struct writer             *w = writer_create(folder, &options);
    struct transfer_into       into = writer_into(w);
    struct fail                why;
    bool                       ok = moving_export(x->moving, &from, &into, &why);

    if (ok && !writer_finish(w, &why)) {
        moving_left_out(x->moving, address, why.text);
        ok = false;
    }
    writer_destroy(&w);
    return ok;
}

/* The folder, made if it is not there; -1: said why. */
static int open_folder(struct exporting *x, const char *path)
{
    struct fail why;
    int         fd = -1;

    if (!io_make_dirs(path, 0700, &why)) {
        (void)cli_failed(x->cli, &why);
        return -1;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        (void)fail_errno(&why, errno, "%s", path);
    else if (!x->resume && !is_empty(fd))
        (void)fail_set(&why, FAIL_PERM, FAIL_EXISTS, "%s is not empty (--resume goes on where an interrupted export ended)", path);
    else
        return fd;
    if (fd >= 0)
        (void)close(fd);
    (void)cli_failed(x->cli, &why);
    return -1;
}

static int export_one(struct exporting *x)
{
    SCOPED(scoped_close) int folder = open_folder(x, x->cli->arguments[1]);

    if (folder < 0 || (x->moving = moving_begin(x->cli, "export")) == NULL)
        return FAILED;
    (void)export_account(x, x->cli->arguments[0], folder);
    return moving_end(&x->moving);
}

/* An address as the name of a folder. */
static void folder_name(char *out, size_t size, const char *address)
{
    (void)snprintf(out, size, "%s%s", address[0] == '.' ? "_" : "", address);
    for (char *p = out; *p != '\0'; p++)
        if (*p == '/')
            *p = '_';
}

static int export_all(struct exporting *x)
{
    SCOPED(scoped_close) int folder = open_folder(x, x->cli->arguments[0]);
    json_t                  *result = NULL;
    const json_t            *row;
    size_t                   i;

    if (folder < 0 || !cli_ask(x->cli, json_pack("{s:s}", "do", "account.list"), &result))
        return FAILED;
    x->moving = moving_begin(x->cli, "export");
    json_array_foreach (json_object_get(result, "accounts"), i, row) {
        const char *address = json_string_value(json_object_get(row, "address"));
        char        name[600];
        if (x->moving == NULL || address == NULL)
            continue;
        folder_name(name, sizeof name, address);
        (void)(mkdirat(folder, name, 0700));
        SCOPED(scoped_close) int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner < 0)
            moving_left_out(x->moving, address, errno_text(errno));
        else
            (void)export_account(x, address, inner);
    }
    json_decref(result);
    return x->moving != NULL ? moving_end(&x->moving) : FAILED;
}

static int export_as(struct cli *cli, enum writer_format format, enum mbox_dialect dialect)
{
    struct exporting x = {.cli = cli, .format = format, .dialect = dialect, .resume = cli_option(cli, "resume") != NULL};
    bool             all = cli_option(cli, "all") != NULL;

    if (all != (cli->argument_count == 1))
        return cli_usage(cli, all ? "--all takes a folder and no address" : "an address and a folder are needed, or --all and a folder");
    return all ? export_all(&x) : export_one(&x);
}

int command_export_maildir(struct cli *cli)
{
    return export_as(cli, WRITER_MAILDIR, MBOX_GUESS);
}

int command_export_mbox(struct cli *cli)
{
    enum mbox_dialect dialect = MBOX_RD;
    const char       *name = cli_option(cli, "dialect");

    if (name != NULL && !mbox_dialect_of(slice_of(name), &dialect))
        return cli_usage(cli, "--dialect is mboxo, mboxrd, mboxcl or mboxcl2");
    return export_as(cli, WRITER_MBOX, dialect);
}
