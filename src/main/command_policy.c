/*
 * main/command_policy.c - posthorn policy test.
 *
 * Layer: main.
 */
#include <stdio.h>

#include "main/command.h"

static const char *value_of(const struct cli *cli, const char *option, const char *otherwise)
{
    const char *value = cli_option(cli, option);

    return value != NULL ? value : otherwise;
}

int command_policy_test(struct cli *cli)
{
    json_t       *result = NULL;
    const json_t *line;
    size_t        i;

    if (cli_option(cli, "client") == NULL || cli_option(cli, "to") == NULL)
        return cli_usage(cli, "--client and --to are needed");
    if (!cli_ask(cli,
                 json_pack("{s:s, s:s, s:s, s:s, s:s}", "do", "policy.test", "client", cli_option(cli, "client"), "helo",
                           value_of(cli, "helo", "client.example.org"), "from", value_of(cli, "from", ""), "to", cli_option(cli, "to")),
                 &result))
        return FAILED;
    if (!cli->json) {
        json_array_foreach (json_object_get(result, "lines"), i, line)
            printf("%s\n", json_string_value(line));
    }
    int status = cli_done(cli, result, "%s", "");
    json_decref(result);
    return status;
}
