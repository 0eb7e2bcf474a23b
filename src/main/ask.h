/*
 * main/ask.h - questions to the person at the terminal.
 *
 * Layer: main.
 */
#ifndef MAIN_ASK_H
#define MAIN_ASK_H

#include "base/buf.h"

struct fail;

/* Is there a person to ask? */
bool ask_possible(void);

/* Prints the question and reads one line into `out`; the `otherwise` (may be NULL) stands for an empty one. */
bool ask_line(const char *question, const char *otherwise, struct buf *out, struct fail *why);

/* Twice, without showing it.  `from_stdin`: one line of standard input instead, once. */
bool ask_password(const char *whose, bool from_stdin, struct buf *out, struct fail *why);

/* One that is set elsewhere, so once. */
bool ask_password_once(const char *whose, bool from_stdin, struct buf *out, struct fail *why);

/* "yes" or not. */
bool ask_yes(const char *question);

#endif
