/*
 * base/address.h - an address in the one form in which addresses compare.
 *
 * Layer: base, because the directory and auth must agree on it.  Domains become
 * A-labels in lower case (RFC 5890, TR46 mapping by libidn2), local parts NFC and
 * case folded.  Local parts of other people's domains may tell cases apart
 * (RFC 5321 section 2.4), so the part is kept as it came as well.
 *
 * Accepted are dot-strings, in quotes or not (RFC 5321 section 4.1.2: the two name
 * the same mailbox), with UTF-8 (RFC 6531 section 3.3).  Quoted strings that are
 * no dot-string inside (blanks, @, escapes) are refused: nobody has such a mailbox,
 * and much that sits behind a mail server takes them for something else.
 */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include "base/slice.h"

enum {
    LOCAL_PART_MAX = 64,   /* octets, RFC 5321 section 4.5.3.1.1 */
    DOMAIN_MAX = 255,      /* section 4.5.3.1.2 */
    ADDRESS_MAX = 254,     /* section 4.5.3.1.3, without the angle brackets */
    ADDRESS_KEY_MAX = 512, /* case folding may make a local part three times as long */
};

struct address_key {
    struct slice given; /* the local part as it came, without quotes; in the caller's bytes */
    size_t local_len, len;
    char text[ADDRESS_KEY_MAX]; /* "ann@example.org" */
};

static inline struct slice key_text(const struct address_key *k)
{
    return slice_make(k->text, k->len);
}

static inline struct slice key_local(const struct address_key *k)
{
    return slice_make(k->text, k->local_len);
}

static inline struct slice key_domain(const struct address_key *k)
{
    return slice_from(key_text(k), k->local_len + 1);
}

/* "ann@example.org".  false: no such address can be; *out is undefined then. */
bool address_key_parse(struct slice address, struct address_key *out);
/* From its two parts; an empty `local` makes "@domain". */
bool address_key_join(struct slice local, struct slice domain, struct address_key *out);

struct domain_key {
    size_t len;
    char text[DOMAIN_MAX + 1];
};

static inline struct slice domain_text(const struct domain_key *k)
{
    return slice_make(k->text, k->len);
}

/* A domain name or an address literal ("[192.0.2.1]"). */
bool domain_key_parse(struct slice domain, struct domain_key *out);

#endif
