/*
 * policy/milter_link.h - one milter and one SMTP session.
 *
 * Layer: policy, private.
 */
#ifndef POLICY_MILTER_LINK_H
#define POLICY_MILTER_LINK_H

#include "policy/internal.h"
#include "policy/milter_wire.h"

struct milter_link {
    const struct policy_milter *config;
    struct guard         *guard;
    int                   fd;
    bool                  opened;     /* tried once in this session */
    bool                  broken;     /* it did not answer: as the config says, for the rest of the session */
    bool                  accepted;   /* wants to hear nothing more of this client */
    bool                  skipped;    /* nor of this message */
    bool                  in_message; /* has been told of MAIL */
    struct milter_options options;
    char                 *macros[MILTER_MACRO_STAGES]; /* that it asked for by name; NULL: the usual ones */
    struct buf            in;         /* what has been read */
    size_t                given;      /* bytes of the packet in front of it, which the next call drops */
};

/* ---- milter_link.c: bytes; false: broken, and logged ---- */

bool link_open(struct policy_check *c, struct milter_link *l);
bool link_send(struct policy_check *c, struct milter_link *l, const struct buf *out);
/* The next packet; data until the next call.  Progress is waited through. */
bool link_receive(struct policy_check *c, struct milter_link *l, unsigned seconds, char *reply, struct slice *data);
bool link_break(struct policy_check *c, struct milter_link *l, const char *what);
/* Without waiting and without an answer: ABORT, QUIT. */
void link_tell(struct milter_link *l, char command);
void link_close(struct milter_link *l);

/* ---- milter_macros.c ---- */

/* A macro packet for the command, if it has macros. */
void macros_add(struct policy_check *c, const struct milter_link *l, struct buf *out, enum milter_macro_stage stage, char command);

/* ---- milter_message.c ---- */

struct edit;
/* Header, body and end of the message; what the milter changes goes into `e` and the check.  false: a no. */
bool milter_message(struct policy_check *c, struct milter_link *l, struct edit *e);

/* ---- milter.c ---- */

/* What a reply other than "continue" means at this stage.  false: a no, which is in the check. */
bool milter_obey(struct policy_check *c, struct milter_link *l, char reply, struct slice data);
/* It does not answer: what the config says about that; false: a no. */
bool milter_unavailable(struct policy_check *c, struct milter_link *l);
const char *milter_by(struct policy_check *c, const struct milter_link *l);

#endif
