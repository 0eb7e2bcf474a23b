/*
 * smtp/client_envelope.h - MAIL and RCPT as they are said to one peer, and what cannot be said to it.
 *
 * Layer: smtp, private to the client.
 */
#ifndef SMTP_CLIENT_ENVELOPE_H
#define SMTP_CLIENT_ENVELOPE_H

#include "smtp/client_session.h"

/* What is known of the message before it is offered. */
struct offer {
    bool utf8;      /* SMTPUTF8 is said */
    bool eight;     /* BODY=8BITMIME */
    bool binary;    /* BODY=BINARYMIME, and BDAT */
    uint64_t size;  /* SIZE; 0: not said */
    struct slice sender;
};

/* An address as this peer may see it: a domain outside of ASCII becomes A-labels where SMTPUTF8 is not said.  false: 5.6.7. */
bool client_address(struct slice address, bool utf8, struct arena *a, struct slice *out);
/* May it stand between angle brackets at all? */
bool client_address_is_clean(struct slice address);

/* "MAIL FROM:<...> ..." without its CRLF. */
void client_write_mail(struct buf *out, const struct smtp_client *c, const struct smtp_client_message *m, const struct offer *o);
/* "RCPT TO:<...> ..." */
void client_write_rcpt(struct buf *out, const struct smtp_client *c, const struct smtp_client_recipient *r, struct slice address);

#endif
