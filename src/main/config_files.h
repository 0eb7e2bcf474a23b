/*
 * main/config_files.h - the files that a config names: a backup has them beside the config itself.
 *
 * Layer: main.  Whoever adds an option that names a file adds it here.
 */
#ifndef MAIN_CONFIG_FILES_H
#define MAIN_CONFIG_FILES_H

#include <stdbool.h>

struct config;

/* Calls `each` with every path (some may be empty, or named twice) until it says false; did it never? */
bool config_each_file(const struct config *c, bool (*each)(void *ctx, const char *path), void *ctx);

#endif
