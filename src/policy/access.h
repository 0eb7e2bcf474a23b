/*
 * policy/access.h - access tables: who is named, and what is done with them.
 *
 * Layer: policy.  A pattern is
 *
 *     192.0.2.1  192.0.2.0/24  2001:db8::/32   addresses and networks of clients
 *     mail.example.org                         that name (a client's by a confirmed PTR), that domain of an address
 *     .example.org                             all names below it
 *     ann@example.org                          an address; with a detail (ann+x@example.org) too, unless that is named
 *     postmaster@                              that local part at any domain
 *     <>                                       the null reverse-path
 *     *                                        everything
 *
 * The narrowest pattern of a table counts; names compare without case, domains as A-labels.  There are no regular
 * expressions.  A file has a pattern and an action on each line, as Postfix's access(5):
 *
 *     pattern [allow | reject [TEXT] | defer [TEXT] | tag | discard | redirect ADDRESS | next | 4NN TEXT | 5NN TEXT]
 *
 * "#" begins a comment, a line that begins with a blank goes on with the one before; without an action it is the table's.
 * OK, PERMIT, DUNNO, HOLD and numbers alone are read as Postfix reads them (HOLD: tag).
 */
#ifndef POLICY_ACCESS_H
#define POLICY_ACCESS_H

#include <netinet/in.h>

#include "base/arena.h"
#include "policy/config.h"

struct access_table;

/* FAIL_PERM and FAIL_INVALID: a pattern, or "file:line: what". */
bool access_table_open(const struct policy_access *a, unsigned entries_max, struct access_table **out, struct fail *why);
/* Fine on NULL; leaves *t NULL. */
void access_table_close(struct access_table **t);

/* What is looked up; only what the stage has. */
struct access_subject {
    const struct in6_addr *address; /* IPv4 as ::ffff:a.b.c.d; NULL: none */
    struct slice name;              /* a host name or domain; "": none */
    bool         is_path;           /* `path` is an address, "" for <> */
    struct slice path;
};
struct access_answer {
    enum access_action action;
    unsigned           code;   /* 0: what suits the action */
    struct slice       status; /* may be empty */
    struct slice       text, to;
    struct slice       pattern;
};
/* false: the table says nothing.  The answer's slices are in `a`.  Reads the file again when it has changed. */
bool access_table_ask(struct access_table *t, const struct access_subject *s, struct arena *a, struct access_answer *out);
const struct policy_access *access_table_config(const struct access_table *t);
/* Has it patterns that are names? */
bool access_table_has_names(struct access_table *t);

/* For tests and the fuzzer: a table of that text instead of a file. */
bool access_table_of_text(const struct policy_access *a, struct slice text, unsigned entries_max, struct access_table **out,
                          struct fail *why);

#endif
