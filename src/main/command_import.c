/*
 * main/command_import.c - posthorn import maildir, posthorn import eml
 *
 * Layer: main.
 */
#include <string.h>

#include "main/moving.h"
#include "transfer/eml.h"
#include "transfer/maildir.h"

int command_import_maildir(struct cli *cli)
{
    const char    *format = cli_option(cli, "pop3-uidl-format");
    struct fail    why = {0};
    struct maildir *from = NULL;

    if (format != NULL && strcmp(format, "none") == 0)
        format = "";
    const struct maildir_options options = {
        .control = cli_option(cli, "control"), .uidl_format = format, .bodies = moving_bodies()};
    if (!maildir_open(cli->arguments[0], &options, &from, &why))
        return cli_failed(cli, &why);
    int status = moving_import_command(cli, maildir_read, from);
    maildir_destroy(&from);
    return status;
}

int command_import_eml(struct cli *cli)
{
    struct fail why = {0};
    struct eml *from = NULL;

    if (!eml_open(cli->arguments[0], moving_bodies(), &from, &why))
        return cli_failed(cli, &why);
    int status = moving_import_command(cli, eml_read, from);
    eml_destroy(&from);
    return status;
}
