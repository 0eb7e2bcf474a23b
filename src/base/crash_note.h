/*
 * base/crash_note.h - which messages were being parsed when the program crashed?
 *
 * Layer: base.  A small file in memory (mapped, so that noting costs no system
 * call and outlives a crash).  A message that was in work at two crashes is not
 * parsed a third time: whoever sends it again and again cannot keep us down.
 */
#ifndef BASE_CRASH_NOTE_H
#define BASE_CRASH_NOTE_H

#include "base/fail.h"

struct crash_note;

/* Makes or reads `path`; what is noted there was in work at a crash. */
bool crash_note_open(const char *path, struct crash_note **out, struct fail *why);
void crash_note_close(struct crash_note **n);

/*
 * `what` (a fingerprint, not 0) is in work from here on.  True: it may be parsed.
 * false: it was in work at two crashes.  Either way crash_note_leave() follows.
 * With NULL for a note all may be parsed.
 */
bool crash_note_enter(struct crash_note *n, uint64_t what);
void crash_note_leave(struct crash_note *n, uint64_t what);

#endif
