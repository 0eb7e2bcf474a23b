/*
 * main/command_domain.c - posthorn domain ..., posthorn alias ...
 *
 * Layer: main.
 */
#include <stdio.h>

#include "main/command.h"
#include "main/config.h"
#include "main/config_limits.h"
#include "base/scoped.h"

static int finish(const struct cli *cli, json_t *result, const char *what, const char *done)
{
    int status = cli_done(cli, result, "%s %s %s\n", what, cli->arguments[0], done);

    json_decref(result);
    return status;
}

static int change(struct cli *cli, json_t *request, const char *what, const char *done)
{
    json_t *result = NULL;

    return cli_ask(cli, request, &result) ? finish(cli, result, what, done) : FAILED;
}

int command_domain_add(struct cli *cli)
{
    return change(cli, json_pack("{s:s, s:s}", "do", "domain.add", "domain", cli->arguments[0]), "domain", "added");
}

int command_domain_remove(struct cli *cli)
{
    return change(cli, json_pack("{s:s, s:s}", "do", "domain.remove", "domain", cli->arguments[0]), "domain",
                  "removed");
}

int command_domain_list(struct cli *cli)
{
    json_t       *result = NULL;
    const json_t *domain;
    size_t        i;

    if (!cli_ask(cli, json_pack("{s:s}", "do", "domain.list"), &result))
        return FAILED;
    if (!cli->json) {
        json_array_foreach (json_object_get(result, "domains"), i, domain)
            printf("%s\n", json_string_value(domain));
    }
    int status = cli_done(cli, result, "%s", "");
    json_decref(result);
    return status;
}

/* ---- quotas ---- */

/* Options, what the request calls them, and the limit of the config that is written the same way. */
static const struct { const char *option, *field, *limit, *words; size_t offset; bool each; } quotas[] = {
    {"storage", "storage", "quota_bytes", "bytes", offsetof(struct config, store.quota_bytes), false},
    {"messages", "messages", "quota_messages", "messages", offsetof(struct config, store.quota_messages), false},
    {"account-storage", "account_storage", "quota_bytes", "bytes of each account",
     offsetof(struct config, store.quota_bytes), true},
    {"account-messages", "account_messages", "quota_messages", "messages of each account",
     offsetof(struct config, store.quota_messages), true},
    {"account-mailboxes", "account_mailboxes", "quota_mailboxes", "mailboxes of each account",
     offsetof(struct config, store.quota_mailboxes), true},
};

static bool add_limits(const struct cli *cli, json_t *request, struct fail *why)
{
    SCOPED(scoped_free) struct config *c = xcalloc(1, sizeof *c);

    for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
        const char *value = cli_option(cli, quotas[i].option);
        json_t     *limit = NULL;
        uint64_t    n;
        if (value == NULL)
            continue;
        if (strcmp(value, "none") == 0) {
            limit = json_integer(0);
        } else if (quotas[i].each && strcmp(value, "default") == 0) {
            limit = json_null();
        } else {
            if (!config_limit_set(config_limit_find("store", quotas[i].limit), slice_of(value), c, why))
                return fail_set(why, FAIL_PERM, FAIL_INVALID, "--%s takes a number%s, none%s", quotas[i].option,
                                strstr(quotas[i].option, "storage") != NULL ? " (or KB, MB, GB)" : "",
                                quotas[i].each ? ", default" : "");
            memcpy(&n, (const char *)c + quotas[i].offset, sizeof n);
            limit = json_integer((json_int_t)n);
        }
        if (json_object_set_new(request, quotas[i].field, limit) != 0)
            die_no_memory(0);
    }
    return true;
}

static void print_quota(const json_t *result)
{
    printf("domain %s\n", json_string_value(json_object_get(result, "domain")));
    for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
        const json_t *q = json_object_get(json_object_get(result, "quota"), quotas[i].field),
                     *limit = json_object_get(q, "limit"), *used = json_object_get(q, "used");
        printf("%-26s", quotas[i].words);
        if (used != NULL)
            printf(" %16lld of", (long long)json_integer_value(used));
        if (json_is_null(limit) && quotas[i].each)
            printf(" what the config says\n");
        else if (json_integer_value(limit) > 0)
            printf(" %lld\n", (long long)json_integer_value(limit));
        else
            printf(" any number\n");
    }
}

int command_domain_quota(struct cli *cli)
{
    json_t     *request = json_pack("{s:s, s:s}", "do", "domain.quota", "domain", cli->arguments[0]), *result = NULL;
    struct fail why;

    if (request == NULL)
        return cli_usage(cli, "the domain is not UTF-8");
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

int command_alias_add(struct cli *cli)
{
    json_t *members = json_array();

    for (size_t i = 1; i < cli->argument_count; i++)
        (void)json_array_append_new(members, json_string(cli->arguments[i]));
    return change(cli, json_pack("{s:s, s:s, s:o}", "do", "alias.add", "address", cli->arguments[0], "members", members),
                  "alias", "added");
}

int command_alias_remove(struct cli *cli)
{
    const char *member = cli->argument_count > 1 ? cli->arguments[1] : "";

    return change(cli, json_pack("{s:s, s:s, s:s}", "do", "alias.remove", "address", cli->arguments[0], "member", member),
                  "alias", member[0] != '\0' ? "has a member less" : "removed");
}

int command_alias_list(struct cli *cli)
{
    json_t       *result = NULL;
    const json_t *alias, *member;
    size_t        i, j;

    if (!cli_ask(cli, json_pack("{s:s}", "do", "alias.list"), &result))
        return FAILED;
    if (!cli->json) {
        json_array_foreach (json_object_get(result, "aliases"), i, alias) {
            printf("%s:", json_string_value(json_object_get(alias, "address")));
            json_array_foreach (json_object_get(alias, "members"), j, member)
                printf(" %s", json_string_value(member));
            printf("\n");
        }
    }
    int status = cli_done(cli, result, "%s", "");
    json_decref(result);
    return status;
}
