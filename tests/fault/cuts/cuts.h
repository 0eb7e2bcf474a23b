/*
 * tests/fault/cuts/cuts.h - a part of the program under power cuts: how it is kept busy, and what must hold afterwards.
 */
#ifndef CUTS_CUTS_H
#define CUTS_CUTS_H

#include "base/fail.h"
#include "base/buf.h"
#include "trace.h"

/* What the notes of a trace up to some entry promise of one subject. */
struct promise {
    const struct entry *before; /* its last TRACE_STATE; NULL: there was none yet */
    const struct entry *after;  /* the next one; NULL: there is none any more */
    const struct entry *begun;  /* what was begun after `before`; NULL: nothing */
    bool done;                  /* and acknowledged: only `after` will do */
    bool loose;
    uint64_t have[64];          /* messages that were acknowledged after `before` */
    size_t have_count;
};

struct cuts_case {
    const char *name;
    unsigned lives;
    /* Opens what is in the folder, shows it, keeps it busy for a while, closes it.  Life 0 finds nothing. */
    void (*live)(const char *dir, uint64_t seed, unsigned life);
    uint64_t subjects; /* from 1 on */
    /*
     * Opens what a power cut before entry `cut` left and compares; false: something is wrong, and was told on
     * standard output.  promises[n] are those to subject n.  What it shows it notes, if it is recorded; `use`: then it
     * is put to use, and changed.
     */
    bool (*check)(const char *dir, const struct promise *promises, const struct trace *t, uint64_t cut, bool use);
};
extern const struct cuts_case cuts_store, cuts_queue;

/* Ends the process: a call that must not fail did. */
_Noreturn void cuts_die(const char *what, const struct fail *why);

/* Bytes of a message that is made from its number alone. */
void cuts_message(uint64_t number, struct buf *out);

#endif
