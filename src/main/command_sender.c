/*
 * main/command_sender.c - posthorn account sender ..., posthorn account sent-copy ...
 *
 * Layer: main.
 */
#include <stdio.h>
#include <string.h>

#include "main/command.h"

static const char *text_of(const json_t *result, const char *field)
{
    const char *text = json_string_value(json_object_get(result, field));

    return text != NULL ? text : "";
}

static int list(struct cli *cli)
{
    json_t       *result = NULL;
    const json_t *sender;
    size_t        i;

    if (!cli_ask(cli, json_pack("{s:s, s:s}", "do", "account.sender_list", "address", cli->arguments[1]), &result))
        return FAILED;
    if (!cli->json) {
        json_array_foreach (json_object_get(result, "senders"), i, sender)
            printf("%s\n", json_string_value(sender));
    }
    int status = cli_done(cli, result, "%s", "");
    json_decref(result);
    return status;
}

static int change(struct cli *cli, const char *request, const char *done)
{
    json_t *result = NULL;

    if (!cli_ask(cli,
                 json_pack("{s:s, s:s, s:s}", "do", request, "address", cli->arguments[1], "sender", cli->arguments[2]),
                 &result))
        return FAILED;
    int status = cli_done(cli, result, "account %s: %s send as %s\n", text_of(result, "address"), done,
                          text_of(result, "sender"));
    json_decref(result);
    return status;
}

int command_account_sender(struct cli *cli)
{
    const char *verb = cli->arguments[0];

    if (strcmp(verb, "list") == 0 && cli->argument_count == 2)
        return list(cli);
    if (strcmp(verb, "add") == 0 && cli->argument_count == 3)
        return change(cli, "account.sender_add", "may");
    if (strcmp(verb, "remove") == 0 && cli->argument_count == 3)
        return change(cli, "account.sender_remove", "may no longer");
    return cli_usage(cli, "it is list ADDRESS, add ADDRESS SENDER or remove ADDRESS SENDER");
}

int command_account_sent_copy(struct cli *cli)
{
    const char *word = cli->arguments[0];
    const bool  on = strcmp(word, "on") == 0;
    json_t     *result = NULL;

    if (!on && strcmp(word, "off") != 0)
        return cli_usage(cli, "it is on ADDRESS or off ADDRESS");
    if (!cli_ask(cli,
                 json_pack("{s:s, s:s, s:b}", "do", "account.sent_copy", "address", cli->arguments[1], "on", (int)on),
                 &result))
        return FAILED;
    int status = cli_done(cli, result, "account %s: what it sends %s put into its Sent mailbox\n",
                          text_of(result, "address"), on ? "is" : "is not");
    json_decref(result);
    return status;
}
