/*
 * transfer/maildir_names.h - what the names in a Maildir say.
 *
 * Layer: transfer.  Maildir as D. J. Bernstein describes it, Maildir++ and what Dovecot adds.
 */
#ifndef TRANSFER_MAILDIR_NAMES_H
#define TRANSFER_MAILDIR_NAMES_H

#include "base/arena.h"
#include "base/buf.h"

/* Of "1234.M5P6.host,S=90:2,FSa" the part before the ":2,": unique for ever, while the rest changes. */
struct slice maildir_base(struct slice name);
/* STORE_ bits, $Forwarded as *passed, and keyword letters as bits of *keywords ('a' is bit 0). */
uint32_t maildir_flags(struct slice name, bool *passed, uint32_t *keywords);

/*
 * ".Work.2024" or "Work/2024" of a mailbox here: levels separated by `separator`, each in modified UTF-7 or UTF-8,
 * with Dovecot's \2e escapes.  A '/' within a level becomes '_'.
 */
struct slice maildir_mailbox_name(struct arena *a, struct slice folder, char separator);

/*
 * The format of Dovecot's pop3_uidl_format: %u (UID), %v (UIDVALIDITY), %f (the base name), %g (GUID: the same),
 * with width, leading 0 and X (hexadecimal) between; also as %{uid | hex(8)}.  False: it says something else.
 */
bool maildir_uidl(struct buf *out, struct slice format, uint32_t uid, uint32_t uidvalidity, struct slice base);

#endif
