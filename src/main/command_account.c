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
#include "main/config_limits.h"
#include "base/scoped.h"
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

/* `hash`: what is to be set is no password but what another server made of it. */
static bool set_password(struct reach *r, const json_t *account, struct slice password, bool hash, struct fail *why)
{
    return reach_auth(r, why) &&
           (hash ? auth_control_set_hash : auth_control_set_password)(r->auth, id_of(account),
                                                                      slice_of(text_of(account, "address")), password, why);
}

/* The account `request` gives back, with the password that is asked for first. */
static int with_password(struct cli *cli, const char *request, const char *done)
{
    const char    *hash = cli_option(cli, "hash");
    struct config *c = NULL;
    struct reach   r;
    struct buf     password;
    json_t        *account = NULL;
    struct fail    why;

    if (!cli_config(cli, &c))
        return FAILED;
    reach_init(&r, c);
    buf_init(&password, PASSWORD_MAX);
    if (hash != NULL)
        buf_add(&password, slice_of(hash));
    bool ok = (hash != NULL ||
               ask_password(cli->arguments[0], cli_option(cli, "password-stdin") != NULL, &password, &why)) &&
              reach_ask(&r, about(request, cli->arguments[0]), &account, &why);
    if (ok && !set_password(&r, account, buf_slice(&password), hash != NULL, &why))
        ok = fail_at(&why, "the account %s has no password yet", text_of(account, "address"));
    int status = ok ? cli_done(cli, account, "account %s: %s\n", text_of(account, "address"), done) : cli_failed(cli, &why);
    json_decref(account);
    buf_wipe(&password);
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

/* ---- quotas ---- */

/* What the options are called is what the request calls it; each is written as the config's limit is. */
static const struct { const char *name, *limit; size_t offset; } quotas[] = {
    {"storage", "quota_bytes", offsetof(struct config, store.quota_bytes)},
    {"messages", "quota_messages", offsetof(struct config, store.quota_messages)},
    {"mailboxes", "quota_mailboxes", offsetof(struct config, store.quota_mailboxes)},
};

static bool add_limits(const struct cli *cli, json_t *request, struct fail *why)
{
    SCOPED(scoped_free) struct config *c = xcalloc(1, sizeof *c);
    uint64_t n;

    for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
        const char *value = cli_option(cli, quotas[i].name);
        json_t     *limit = NULL;
        if (value == NULL)
            continue;
        if (strcmp(value, "default") == 0) {
            limit = json_null();
        } else if (strcmp(value, "none") == 0) {
            limit = json_integer(0);
        } else {
            if (!config_limit_set(config_limit_find("store", quotas[i].limit), slice_of(value), c, why))
                return fail_set(why, FAIL_PERM, FAIL_INVALID, "--%s takes a number%s, none or default", quotas[i].name,
                                i == 0 ? " (or KB, MB, GB)" : "");
            memcpy(&n, (const char *)c + quotas[i].offset, sizeof n);
            limit = json_integer((json_int_t)n);
        }
        if (json_object_set_new(request, quotas[i].name, limit) != 0)
            die_no_memory(0);
    }
    return true;
}

static void print_quota(const json_t *result)
{
    printf("account %s\n", text_of(result, "address"));
    for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
        const json_t *q = json_object_get(json_object_get(result, "quota"), quotas[i].name),
                     *limit = json_object_get(q, "limit");
        printf("%-10s %16lld", quotas[i].name, (long long)json_integer_value(json_object_get(q, "used")));
        if (json_is_integer(limit))
            printf(" of %lld", (long long)json_integer_value(limit));
        else
            printf(", no limit");
        printf("%s\n", json_is_true(json_object_get(q, "own")) ? "" : " (default)");
    }
}

int command_account_quota(struct cli *cli)
{
    json_t     *request = about("account.quota", cli->arguments[0]), *result = NULL;
    struct fail why;

    if (!add_limits(cli, request, &why)) {
        json_decref(request);
        return cli_usage(cli, "%s", why.text);
    }
    if (!cli_ask(cli, request, &result))
        return FAILED;
    if (!cli->json)
        print_quota(result);
    int status = cli_done(cli, result, "%s", "");
    json_decref(result);
    return status;
}

/* The fullest of its limits, in percent; -1 without any. */
static long long percent_full(const json_t *row)
{
    long long most = -1;

    for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
        const json_t *q = json_object_get(json_object_get(row, "quota"), quotas[i].name),
                     *limit = json_object_get(q, "limit");
        double used = (double)json_integer_value(json_object_get(q, "used"));
        if (!json_is_integer(limit))
            continue;
        double top = (double)json_integer_value(limit);
        long long percent = top > 0 ? (long long)(used * 100 / top) : 100;
        most = percent > most ? percent : most;
    }
    return most;
}

static void print_account(const json_t *row)
{
    char        full[32] = "";
    long long   percent = percent_full(row);
    char        created[32] = "";
    time_t      at = (time_t)json_integer_value(json_object_get(row, "created"));
    struct tm   tm;
    const char *error = text_of(row, "error");

    if (localtime_r(&at, &tm) != NULL)
        (void)strftime(created, sizeof created, "%Y-%m-%d", &tm);
    if (percent >= 0)
        (void)snprintf(full, sizeof full, "  %lld%% of quota", percent);
    printf("%-32s %8lld messages %12lld bytes  since %s%s%s%s%s\n", text_of(row, "address"),
           (long long)json_integer_value(json_object_get(row, "messages")),
           (long long)json_integer_value(json_object_get(row, "bytes")), created, full,
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
