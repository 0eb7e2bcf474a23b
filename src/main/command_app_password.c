/*
 * main/command_app_password.c - posthorn account app-password ...
 *
 * Layer: main.  The account is looked up where accounts are, the password made and kept in
 * the auth role, from where it comes here and nowhere else.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/control.h"
#include "main/command.h"
#include "main/config.h"
#include "main/reach.h"

struct app_command {
    struct cli   *cli;
    struct reach *reach;
    uint64_t      account;
    const char   *address; /* canonical */
    struct slice  name;
};

/* "imap,smtp" as auth has it: separated by blanks. */
static void take_services(const struct cli *cli, struct buf *out)
{
    const char *given = cli_option(cli, "for");

    for (; given != NULL && *given != '\0'; given++)
        buf_add_char(out, *given == ',' ? ' ' : *given);
}

static int add(struct app_command *a)
{
    struct buf  services, password;
    struct fail why;

    buf_init(&services, 200);
    buf_init(&password, 200);
    take_services(a->cli, &services);
    bool ok = !services.failed || fail_set(&why, FAIL_PERM, FAIL_INVALID, "--for is too long");
    ok = ok && auth_control_app_add(a->reach->auth, a->account, a->name, buf_slice(&services), &password, &why);
    int status = FAILED;
    if (ok) {
        json_t *result = json_pack("{s:s, s:s%, s:s%}", "address", a->address, "name", a->name.ptr, a->name.len,
                                   "password", password.data, password.len);
        status = cli_done(a->cli, result, PRIslice "\n", SLICE_ARG(buf_slice(&password)));
        json_decref(result);
    } else {
        status = cli_failed(a->cli, &why);
    }
    buf_wipe(&password);
    buf_finish(&services);
    return status;
}

static int take_back(struct app_command *a)
{
    struct fail why;

    if (!auth_control_app_remove(a->reach->auth, a->account, a->name, &why))
        return cli_failed(a->cli, &why);
    json_t *result = json_pack("{s:s, s:s%}", "address", a->address, "name", a->name.ptr, a->name.len);
    int     status = cli_done(a->cli, result, "app password " PRIslice " of %s: removed, the account's sessions end\n",
                              SLICE_ARG(a->name), a->address);
    json_decref(result);
    return status;
}

static bool collect(void *ctx, const struct auth_app_password *p)
{
    json_t *row = json_pack("{s:s%, s:s%, s:I, s:I, s:s%, s:s%}", "name", p->name.ptr, p->name.len, "services",
                            p->services.len > 0 ? p->services.ptr : "", p->services.len, "created",
                            (json_int_t)p->created, "last_used", (json_int_t)p->last_used, "last_service",
                            p->last_service.len > 0 ? p->last_service.ptr : "", p->last_service.len, "last_peer",
                            p->last_peer.len > 0 ? p->last_peer.ptr : "", p->last_peer.len);

    return json_array_append_new(ctx, row) == 0;
}

static void format_time(int64_t seconds, char out[32])
{
    time_t    at = (time_t)seconds;
    struct tm tm;

    (void)snprintf(out, 32, "never");
    if (seconds != 0 && localtime_r(&at, &tm) != NULL)
        (void)strftime(out, 32, "%Y-%m-%d %H:%M", &tm);
}

static void print_row(const json_t *row)
{
    char        created[32], used[32];
    const char *services = json_string_value(json_object_get(row, "services"));

    format_time((int64_t)json_integer_value(json_object_get(row, "created")), created);
    format_time((int64_t)json_integer_value(json_object_get(row, "last_used")), used);
    printf("%-24s %-20s made %s  used %s %s %s\n", json_string_value(json_object_get(row, "name")),
           services[0] != '\0' ? services : "all", created, used,
           json_string_value(json_object_get(row, "last_service")), json_string_value(json_object_get(row, "last_peer")));
}

static int list(struct app_command *a)
{
    struct fail   why;
    json_t       *rows = json_array();
    const json_t *row;
    size_t        i;
    int           status;

    if (auth_control_app_list(a->reach->auth, a->account, collect, rows, &why)) {
        json_t *result = json_pack("{s:s, s:O}", "address", a->address, "app_passwords", rows);
        if (!a->cli->json)
            json_array_foreach (rows, i, row)
                print_row(row);
        status = cli_done(a->cli, result, "%s", "");
        json_decref(result);
    } else {
        status = cli_failed(a->cli, &why);
    }
    json_decref(rows);
    return status;
}

static const struct {
    const char *verb;
    size_t      arguments;
    int       (*run)(struct app_command *a);
} verbs[] = {{"add", 3, add}, {"list", 2, list}, {"remove", 3, take_back}};

static int run(struct cli *cli, int (*verb)(struct app_command *a))
{
    struct config *c = NULL;
    struct reach   r;
    json_t        *account = NULL;
    struct fail    why;
    int            status;

    if (!cli_config(cli, &c))
        return FAILED;
    reach_init(&r, c);
    if (reach_ask(&r, json_pack("{s:s, s:s}", "do", "account.find", "address", cli->arguments[1]), &account, &why) &&
        reach_auth(&r, &why)) {
        struct app_command a = {
            .cli = cli,
            .reach = &r,
            .account = (uint64_t)json_integer_value(json_object_get(account, "id")),
            .address = json_string_value(json_object_get(account, "address")),
            .name = cli->argument_count > 2 ? slice_of(cli->arguments[2]) : SLICE(""),
        };
        status = verb(&a);
    } else {
        status = cli_failed(cli, &why);
    }
    json_decref(account);
    reach_finish(&r);
    config_destroy(&c);
    return status;
}

int command_account_app_password(struct cli *cli)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(cli->arguments[0], verbs[i].verb) != 0)
            continue;
        if (cli->argument_count != verbs[i].arguments)
            return cli_usage(cli, "app-password %s takes ADDRESS%s", verbs[i].verb, verbs[i].arguments == 3 ? " NAME" : "");
        return run(cli, verbs[i].run);
    }
    return cli_usage(cli, "app-password is followed by add, list or remove");
}
