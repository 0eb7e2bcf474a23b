/*
 * main/folder_lock.h - one process at a time has a folder.
 *
 * Layer: main.
 */
#ifndef MAIN_FOLDER_LOCK_H
#define MAIN_FOLDER_LOCK_H

#include "base/fail.h"

/*
 * A successor waits until its predecessor is gone, for `seconds` at most; there is no way to hear of that but to
 * ask again.  *lock is the folder's descriptor: closing it gives the folder up; -1 if false.
 */
bool folder_lock(const char *path, unsigned seconds, int *lock, struct fail *why);

#endif
