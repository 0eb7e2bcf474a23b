/*
 * base/scoped.h - what you open closes itself.
 *
 * Layer: base.  SCOPED(fn) calls fn(&variable) when the variable goes out of
 * scope.  Initialise first; hand over by setting it to NULL (or -1).
 */
#ifndef BASE_SCOPED_H
#define BASE_SCOPED_H

#include <stdlib.h>
#include <unistd.h>

#define SCOPED(fn) __attribute__((cleanup(fn)))

static inline void scoped_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

static inline void scoped_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

#endif
