/*
 * main/main.c - the program: a command, or a role of the server.
 *
 * Layer: main.
 */
#include <string.h>

#include "main/command.h"
#include "main/role.h"

int main(int argc, char **argv)
{
    static char version[] = "version";

    if (argc > 1 && strcmp(argv[1], "--role") == 0)
        return role_main(argc - 2, argv + 2);
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    return command_main(argc, argv);
}
