/*
 * main/commands.h - the table of commands.
 *
 * Layer: main.
 */
#ifndef MAIN_COMMANDS_H
#define MAIN_COMMANDS_H

#include "main/command.h"

extern const struct command commands[];
extern const size_t         command_count;

#endif
