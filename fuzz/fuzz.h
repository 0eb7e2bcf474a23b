/*
 * fuzz/fuzz.h - what the fuzz targets share.
 *
 * A target is one file with LLVMFuzzerTestOneInput().  It states properties with
 * FUZZ_CHECK and lets the sanitizers find the rest.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(ok)                                                                                       \
    do {                                                                                                     \
        if (!(ok)) {                                                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #ok);                                 \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* The first byte of the input, taken off: which variant to try. */
static inline unsigned fuzz_take(struct slice *in)
{
    unsigned byte = in->len > 0 ? (unsigned char)in->ptr[0] : 0;

    *in = slice_from(*in, 1);
    return byte;
}

#endif
