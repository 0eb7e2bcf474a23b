/*
 * main/hold_down.h - what a role may take that parses what strangers wrote.
 *
 * Layer: main.
 */
#ifndef MAIN_HOLD_DOWN_H
#define MAIN_HOLD_DOWN_H

#include <stdint.h>

#include "base/fail.h"

/*
 * Limits this process for good: bytes of data and stacks, open files.  Whatever a parser does, the
 * machine stays usable.  A program built with sanitizers, which reserves terabytes, keeps its memory.
 */
bool hold_down(uint64_t memory, uint64_t files, struct fail *why);

#endif
