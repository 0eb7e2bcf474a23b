/*
 * policy/edit.h - a message whose header and body helpers may change.
 *
 * Layer: policy.  The header lies in memory as a list of fields; the body stays where it is until somebody replaces it.
 * What helpers say can break no line: control characters go, line ends become folding.
 */
#ifndef POLICY_EDIT_H
#define POLICY_EDIT_H

#include "base/arena.h"
#include "base/body.h"
#include "base/fail.h"

struct edit_field {
    struct slice name; /* empty: a line that is no field */
    struct slice value; /* between colon and last line end, as it came */
    struct slice raw;  /* all of it with its line ends */
    bool         own;  /* ours: helpers neither see nor count it */
};
struct edit {
    struct arena       arena;
    struct edit_field *fields;
    size_t             count, cap;
    struct body       *source; /* shared */
    uint64_t           body_at; /* where its body begins */
    struct body       *body;   /* instead of it; NULL: none */
    bool               after_cr; /* the last byte of a new body was CR */
    bool               changed;
};

/* The first `own_fields` are ours.  FAIL_TEMP: it cannot be read, or its header is larger than 64 MB. */
bool edit_open(struct edit *e, struct body *message, unsigned own_fields, struct fail *why);
void edit_close(struct edit *e);

/* At `position` from the top, ours included; beyond the end: at the end.  false: no name that a field can have. */
bool edit_insert(struct edit *e, size_t position, struct slice name, struct slice value);
/* The index-th field of that name, from 1; an empty value removes it.  One that is not there is added at the end. */
bool edit_change(struct edit *e, size_t index, struct slice name, struct slice value);
/* Removes the index-th of that name (negative: from the last), 0: all. */
void edit_remove(struct edit *e, struct slice name, int64_t index);
/* NULL: there is none. */
const struct edit_field *edit_find(const struct edit *e, struct slice name);

/* More of a new body, which takes the place of the old one with the first piece. */
bool edit_add_body(struct edit *e, const struct body_limits *limits, struct slice piece, struct fail *why);
/* Up to n bytes of the body as it is now. */
bool edit_read_body(const struct edit *e, uint64_t offset, void *out, size_t n, size_t *got, struct fail *why);

/* The message as it is now; NULL in *out if nothing has changed. */
bool edit_write(const struct edit *e, const struct body_limits *limits, struct body **out, struct fail *why);

#endif
