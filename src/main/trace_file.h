/*
 * main/trace_file.h - log lines that follow one message are kept for a while, so that `posthorn trace` can tell its way.
 *
 * Layer: main.  A file a day, FOLDER/2026-11-22, of the log's own lines (those with a field "trace"); written
 * without fsync, some at a time: a process that is killed loses those of its last tenth of a second.  One for each process:
 * set up at its start.
 */
#ifndef MAIN_TRACE_FILE_H
#define MAIN_TRACE_FILE_H

#include "base/fail.h"

/* From here on lines are kept, each day's for `days` days; 0: none are. */
bool trace_file_open(const char *folder, unsigned days, struct fail *why);
/* What came so far is in the file when it returns. */
void trace_file_write(void);
/* The same, and no more will come.  Fine when none were kept. */
void trace_file_close(void);

#endif
