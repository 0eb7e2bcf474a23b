/*
 * main/config_syntax.h - what libconfuse does not notice by itself.
 *
 * Layer: main, private to config.c.
 */
#ifndef MAIN_CONFIG_SYNTAX_H
#define MAIN_CONFIG_SYNTAX_H

#include "base/slice.h"

struct fail;

/*
 * libconfuse takes the end of the file for the end of any section that is still
 * open, so a forgotten brace would silently move options into another section.
 * Finds braces, strings and comments that are never closed, and NUL bytes; tells
 * "path:line: what".
 */
bool config_syntax_check(const char *path, struct slice text, struct fail *why);

#endif
