/*
 * main/intake_header.h - what a program's header lacks.
 *
 * Layer: main, private to intake.c.
 */
#ifndef MAIN_INTAKE_HEADER_H
#define MAIN_INTAKE_HEADER_H

#include "base/arena.h"
#include "base/buf.h"

struct intake_author {
    struct slice address; /* who sends */
    struct slice name;    /* their name in full, perhaps empty */
    struct slice domain;  /* of addresses without one */
};

/*
 * RFC 5322 section 3.6: Date, Message-ID and From are added on top where they are missing; addresses without a
 * domain get one.  All else stays as it is.
 */
void intake_complete_header(struct buf *out, struct arena *a, struct slice header, const struct intake_author *author,
                            const char *hostname, int64_t now);

#endif
