/*
 * main/moving_internal.h - what the files of moving share.
 *
 * Layer: main; private to moving*.c.
 */
#ifndef MAIN_MOVING_INTERNAL_H
#define MAIN_MOVING_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "main/moving.h"
#include "main/reach.h"

enum { SHOWN_MOST = 20 };

/* Words for the person who moves: the first are shown, all go to the report. */
struct remarks {
    struct remark {
        char *what, *reason;
    } shown[SHOWN_MOST];
    uint64_t count;
};

/* How far it is, for the bar. */
struct bar {
    bool        terminal;
    const char *verb;
    int64_t     begun_ms, drawn_ms;
    uint64_t    messages, bytes, all_messages, all_bytes;
    bool        shown; /* there is one on the line */
};

struct moving {
    struct cli     *cli;
    const char     *verb;
    struct config  *config;
    struct reach    reach;
    bool            dry_run;
    FILE           *report; /* NULL: none */
    struct bar      bar;
    pthread_mutex_t lock; /* over the remarks: they come from two threads */
    struct remarks  left_out, notes, errors;
    uint64_t        accounts, done; /* done: without an error */
    struct totals {
        uint64_t mailboxes, new_mailboxes, messages, bytes, known, flags, gone, renumbered, scripts;
    } totals;
};

void bar_begin(struct bar *b, const char *verb);
void bar_step(struct bar *b);  /* draws it now and then */
void bar_clear(struct bar *b); /* the line is free for something else */

/* What was done, as text or JSON. */
void moving_summary(struct moving *m);
bool moving_is_clean(const struct moving *m);

#endif
