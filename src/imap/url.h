/*
 * imap/url.h - IMAP URLs.
 *
 * Layer: imap; inside the room only.  RFC 5092, as far as it names messages and
 * their parts.  Pure: reads text, asks nobody.
 */
#ifndef IMAP_URL_H
#define IMAP_URL_H

#include "imap/fetch_args.h"

struct imap_url {
    struct slice      user, host; /* "imap://user@host:port/..."; host empty: the URL is relative */
    struct slice      mailbox;    /* UTF-8; empty: the one that is selected */
    uint32_t          uidvalidity, uid; /* uidvalidity 0: not given */
    struct fetch_item section;    /* an ITEM_SECTION; its partial length is UINT64_MAX up to the end */

    /* URLAUTH (RFC 4467) */
    bool         has_auth;
    int64_t      expires;   /* seconds since 1970; INT64_MAX: never */
    struct slice access;    /* "anonymous", "authuser", "user+...", "submit+...", decoded */
    struct slice rump;      /* the URL up to and with its access */
    struct slice mechanism; /* empty: this is only a rump */
    struct slice token;     /* hexadecimal */
};

/* Into the arena.  false: that is no URL of a message or of a part of one. */
bool imap_url_read(struct arena *a, const struct imap_limits *limits, struct slice text, struct imap_url *out);

#endif
