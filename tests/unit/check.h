/*
 * tests/unit/check.h - tests are tables with names.
 *
 *     CHECK("null reverse-path", ok == (c->local != NULL));
 *
 * Prints the failures and a closing line; the program's exit status says the rest.
 * Each unit test is one program: int main(void) { ...; return check_done(); }
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

static unsigned check_passed, check_failed;

#define CHECK(note, ok)                                                                      \
    do {                                                                                     \
        if (ok) {                                                                            \
            check_passed++;                                                                  \
        } else {                                                                             \
            check_failed++;                                                                  \
            fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, (note), #ok);     \
        }                                                                                    \
    } while (0)

#define CHECK_SLICE(note, got, want)                                                                   \
    do {                                                                                               \
        struct slice got_ = (got), want_ = (want);                                                     \
        if (slice_eq(got_, want_)) {                                                                   \
            check_passed++;                                                                            \
        } else {                                                                                       \
            check_failed++;                                                                            \
            fprintf(stderr, "%s:%d: %s: got \"" PRIslice "\", want \"" PRIslice "\"\n", __FILE__,      \
                    __LINE__, (note), SLICE_ARG(got_), SLICE_ARG(want_));                              \
        }                                                                                              \
    } while (0)

static inline int check_done(void)
{
    printf("%u passed, %u failed\n", check_passed, check_failed);
    return check_failed == 0 && check_passed > 0 ? 0 : 1;
}

#endif
