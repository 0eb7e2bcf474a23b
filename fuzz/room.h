/*
 * fuzz/room.h - a temporary folder for targets that need files, in memory where there is /dev/shm.
 */
#ifndef FUZZ_ROOM_H
#define FUZZ_ROOM_H

#include "base/fail.h"
#include "base/slice.h"

/* Made when first asked for, below $FUZZ_ROOM if that is set; gone with the program unless it crashes. */
const char *room_folder(void);
struct room_path { char text[200]; };
struct room_path room_path(const char *name);
/* The whole file, from malloc. */
struct slice room_read(const char *path);
void room_write(const char *path, struct slice bytes);
/* A folder and all that is in it. */
void room_remove(const char *path);
/* What must be true for a target to make sense at all. */
void room_must(bool ok, const char *what, const struct fail *why);

#endif
