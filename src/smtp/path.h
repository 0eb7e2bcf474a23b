/*
 * smtp/path.h - what MAIL and RCPT say: a path and its parameters.
 *
 * Layer: smtp.  Pure parsing over slices; results point into the input or the arena.
 */
#ifndef SMTP_PATH_H
#define SMTP_PATH_H

#include "base/arena.h"

struct smtp_path {
    struct slice
        address; /* without brackets and source route; local part quoted only where it must be; "" for <> */
    struct slice local;  /* quotes and escapes taken off */
    struct slice domain; /* "" for <> and for a local part alone; address literals with their brackets */
    bool ascii;          /* false: SMTPUTF8 is needed */
};

/*
 * Reads a path from the start of *in and moves *in past its ">".  <> and a local
 * part alone ("<postmaster>") are read too: the caller says where they may stand.
 * false: not a path; *in is where it was.
 */
bool smtp_read_path(struct slice *in, struct arena *a, struct smtp_path *out);

/* A name as EHLO gives it: a domain or an address literal (RFC 5321 section 4.1.1.1), also one with
 * underscores. */
bool smtp_is_client_name(struct slice name);

struct smtp_parameter {
    struct slice keyword, value;
}; /* value.ptr is NULL if there was no "=" */
enum smtp_parameter_found { PARAMETER_END, PARAMETER_OK, PARAMETER_BAD };
/* The next parameter after a path: *in begins with its space, or is empty. */
enum smtp_parameter_found smtp_read_parameter(struct slice *in, struct smtp_parameter *out);

/* xtext = *( xchar / hexchar )                                  RFC 3461 section 4 */
bool smtp_is_xtext(struct slice s);

#endif
