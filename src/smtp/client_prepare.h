/*
 * smtp/client_prepare.h - what a message needs, what the peer can, and the message's bytes.
 *
 * Layer: smtp, private to the client.
 */
#ifndef SMTP_CLIENT_PREPARE_H
#define SMTP_CLIENT_PREPARE_H

#include "message/downconvert.h"
#include "smtp/client_envelope.h"

/* One message on its way to one peer. */
struct sending {
    struct smtp_client *c;
    struct smtp_client_message *m;
    struct arena *a;
    struct offer offer;
    struct slice *addresses;  /* of the recipients, as the peer sees them */
    struct downconvert *plan; /* not NULL: the message goes out converted */
    bool in_memory;           /* all of it, prefix included, is in c->body */
    bool chunk;               /* BDAT; else DATA */
};

/*
 * Decides how the message goes.  Recipients that cannot be reached this way get a reply of ours.  false: the source could
 * not be read.  sending_finish() in any case.
 */
bool sending_prepare(struct sending *s, struct fail *why);
void sending_finish(struct sending *s);
/* A reply of ours to all recipients that have none. */
void sending_refuse(struct sending *s, unsigned code, const char *status, const char *text);

/* The bytes for DATA or for one BDAT, all in c->out behind what is there: only if s->in_memory. */
void sending_add_body(struct sending *s);
/* The bytes for DATA, written piece by piece, with the final dot. */
bool sending_write_data(struct sending *s, struct fail *why);

#endif
