/*
 * main/main.c - the program: a command, or a role of the server.
 *
 * Layer: main.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

#include "main/command.h"
#include "main/role.h"

/* Called by another name: /usr/sbin/sendmail, mailq, newaliases. */
static const struct { const char *name, *option; } sendmail_names[] = {
    {"sendmail", NULL}, {"mailq", "-bp"}, {"newaliases", "-bi"}};

static bool is_sendmail(const char *program, const char **option)
{
    const char *slash = strrchr(program, '/'), *name = slash != NULL ? slash + 1 : program;

    for (size_t i = 0; i < ARRAY_LEN(sendmail_names); i++) {
        if (strcmp(sendmail_names[i].name, name) == 0) {
            *option = sendmail_names[i].option;
            return true;
        }
    }
    return false;
}

/* As "posthorn sendmail [OPTION] ..." */
static int sendmail_main(int argc, char **argv, const char *option)
{
    static char word[] = "sendmail";
    char      **words = xcalloc((size_t)argc + 3, sizeof *words);
    int         count = 0, status;

    words[count++] = argv[0];
    words[count++] = word;
    if (option != NULL)
        words[count++] = xstrdup(option);
    for (int i = 1; i < argc; i++)
        words[count++] = argv[i];
    status = command_main(count, words);
    if (option != NULL)
        free(words[2]);
    free(words);
    return status;
}

int main(int argc, char **argv)
{
    static char version[] = "version";
    const char *option = NULL;

    json_set_alloc_funcs(xmalloc, free); /* what it does without memory depends on where: half an answer, or a wrong one */
    if (argc > 0 && is_sendmail(argv[0], &option))
        return sendmail_main(argc, argv, option);

    if (argc > 1 && strcmp(argv[1], "--role") == 0)
        return role_main(argc - 2, argv + 2);
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    return command_main(argc, argv);
}
