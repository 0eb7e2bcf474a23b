/*
 * main/command_account.c - posthorn account ...
 *
 * Layer: main.  An account's name and mail are the mail role's, its password the auth
 * role's: it goes from here to there and passes nobody else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/control.h"
#include "main/ask.h"
#include "main/command.h"
#include "main/config.h"
#include "main/reach.h"

enum { PASSWORD_MAX = 16 * 1024 };

static json_t *about(const char *request, const char *address)
{
    return json_pack("{s:s, s:s}", "do", request, "address", address);
}

static const char *text_of(const json_t *result, const char *field)
{
    const char *text = json_string_value(json_object_get(result, field));

    return text != NULL ? text : "";
}

static uint64_t id_of(const json_t *result)
{
    return (uint64_t)json_integer_value(json_object_get(result, "id"));
}

static void forget(struct buf *password)
{
    if (password->data != NULL)
        explicit_bzero(password->data, password->cap);
    buf_finish(password);
}

static bool set_password(struct reach *r, const json_t *account, struct slice password, struct fail *why)
{
    return reach_auth(r, why) && auth_control_set_password(r->auth, id_of(account),
                                                           slice_of(text_of(account, "address")), password, why);
}

/* The account `request` gives back, with the password that is asked for first. */
static int with_password(struct cli *cli, const char *request, const char *done)
{
    struct config *c = NULL;
    struct reach   r;
    struct buf     password;
    json_t        *account = NULL;
    struct fail    why;

    if (!cli_config(cli, &c))
        return FAILED;
    reach_init(&r, c);
    buf_init(&password, PASSWORD_MAX);
    bool ok = ask_password(cli->arguments[0], cli_option(cli, "password-stdin") != NULL, &password, &why) &&
              reach_ask(&r, about(request, cli->arguments[0]), &account, &why);
    if (ok && !set_password(&r, account, buf_slice(&password), &why))
        ok = fail_at(&why, "the account %s has no password yet", text_of(account, "address"));
    int status = ok ? cli_done(cli, account, "account %s: %s\n", text_of(account, "address"), done) : cli_failed(cli, &why);
    json_decref(account);
    forget(&password);
    reach_finish(&r);
    config_destroy(&c);
    return status;
}

int command_account_add(struct cli *cli)
{
    return with_password(cli, "account.add", "added");
}

int command_account_passwd(struct cli *cli)
{
    return with_password(cli, "account.find", "password changed, its sessions end");
}

static int simple(struct cli *cli, const char *request, const char *done)
{
    json_t *account = NULL;

    if (!cli_ask(cli, about(request, cli->arguments[0]), &account))
        return FAILED;
    int status = cli_done(cli, account, "account %s: %s\n", text_of(account, "address"), done);
    json_decref(account);
    return status;
}

int command_account_disable(struct cli *cli)
{
    return simple(cli, "account.disable", "disabled");
}

int command_account_enable(struct cli *cli)
{
    return simple(cli, "account.enable", "enabled");
}

/* The name and the mail first; then the password, without which there is nothing to sign in to any more. */
int command_account_remove(struct cli *cli)
{
    char           question[400];
    struct config *c = NULL;
    struct reach   r;
    json_t        *account = NULL;
    struct fail    why;

    (void)snprintf(question, sizeof question, "Remove %s and all its mail for good (yes/no)?", cli->arguments[0]);
    if (cli_option(cli, "yes") == NULL && !ask_yes(question)) {
        (void)fail_set(&why, FAIL_PERM, FAIL_INVALID, "nothing removed (--yes does it without asking)");
        return cli_failed(cli, &why);
    }
    if (!cli_config(cli, &c))
        return FAILED;
    reach_init(&r, c);
    bool ok = reach_ask(&r, about("account.remove", cli->arguments[0]), &account, &why);
    if (ok && (!reach_auth(&r, &why) || !auth_control_remove(r.auth, id_of(account), &why)))
        ok = why.reason == FAIL_NOT_FOUND || fail_at(&why, "its mail is removed, its password is not");
    int status = ok ? cli_done(cli, account, "account %s: removed\n", text_of(account, "address"))
                    : cli_failed(cli, &why);
    json_decref(account);
    reach_finish(&r);
    config_destroy(&c);
    return status;
}

static void print_account(const json_t *row)
{
    char        created[32] = "";
    time_t      at = (time_t)json_integer_value(json_object_get(row, "created"));
    struct tm   tm;
    const char *error = text_of(row, "error");

    if (localtime_r(&at, &tm) != NULL)
        (void)strftime(created, sizeof created, "%Y-%m-%d", &tm);
    printf("%-32s %8lld messages %12lld bytes  since %s%s%s%s\n", text_of(row, "address"),
           (long long)json_integer_value(json_object_get(row, "messages")),
           (long long)json_integer_value(json_object_get(row, "bytes")), created,
           json_is_true(json_object_get(row, "disabled")) ? "  disabled" : "", error[0] != '\0' ? "  " : "", error);
}

int command_account_list(struct cli *cli)
{
    json_t       *result = NULL;
    const json_t *row;
    size_t        i;

    if (!cli_ask(cli, json_pack("{s:s}", "do", "account.list"), &result))
        return FAILED;
    if (!cli->json) {
        json_array_foreach (json_object_get(result, "accounts"), i, row)
            print_account(row);
    }
    int status = cli_done(cli, result, "%s", "");
    json_decref(result);
    return status;
}
