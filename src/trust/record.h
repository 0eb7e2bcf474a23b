/*
 * trust/record.h - TXT records of the form "v=...; name=value; ..." and what is said in them.
 *
 * Layer: trust, private to it.
 */
#ifndef TRUST_RECORD_H
#define TRUST_RECORD_H

#include "base/slice.h"

/*
 * record = version 1*(field-delim field) [field-delim]      RFC 8461 section 3.1, RFC 8460 section 3
 * field-delim = *WSP ";" *WSP
 */
struct record_reader { struct slice rest; };

/* Does the record begin with this version ("v=STSv1") and a delimiter?  Then *r stands behind it. */
bool record_begin(struct slice text, struct slice version, struct record_reader *r);
/*
 * The next field; false at the end, or where something is wrong: then *valid is false.  A name is a letter or digit and
 * up to 31 letters, digits, "_", "-", "."; a value visible ASCII and blanks but ";".
 */
bool record_next(struct record_reader *r, struct slice *name, struct slice *value, bool *valid);
/* 1*(%x21-3A / %x3C / %x3E-7E): what an extension's value is made of. */
bool record_value_is_plain(struct slice value);

/* "v=STSv1; id=20160831085700Z;": 1 to 32 letters and digits.  false: it is none, or not valid. */
bool sts_record_parse(struct slice text, struct slice *id);

/* "v=TLSRPTv1; rua=mailto:a@example.org,https://example.org/": up to RUA_MAX of them, as they stand there. */
enum { RUA_MAX = 4 };
bool tls_report_record_parse(struct slice text, struct slice rua[RUA_MAX], size_t *count);

/* The address of a mailto URI (RFC 6068), its percent-encoding undone into `room`; other header fields are left out. */
bool mailto_parse(struct slice uri, char *room, size_t size, struct slice *address);

#endif
