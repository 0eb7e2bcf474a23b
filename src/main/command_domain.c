/*
 * main/command_domain.c - posthorn domain ..., posthorn alias ...
 *
 * Layer: main.
 */
#include <stdio.h>

#include "main/command.h"

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
