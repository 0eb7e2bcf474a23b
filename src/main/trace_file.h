/*
 * main/trace_file.h - log lines that follow one message are kept for a while, so that `posthorn trace` can tell its way.
 *
 * Layer: main.  A file a day, FOLDER/2026-11-22, of the log's own lines (those with a field "trace"); written
 * without fsync, one write(2) a line.  One for each process: set up at its start.
 */
#ifndef MAIN_TRACE_FILE_H
#define MAIN_TRACE_FILE_H

#include "base/fail.h"

/* From here on lines are kept, each day's for `days` days; 0: none are. */
bool trace_file_open(const char *folder, unsigned days, struct fail *why);

#endif
