/*
 * main/config_draft.h - writes a new config file, with comments.
 *
 * Layer: main.  For `posthorn init` and `posthorn demo`.
 */
#ifndef MAIN_CONFIG_DRAFT_H
#define MAIN_CONFIG_DRAFT_H

#include "base/buf.h"

/* What a new server is to be like; texts are never NULL but for `administrator`.  The other roles' users: `user` and "-auth" etc. */
struct config_draft {
    const char *hostname, *data, *runtime, *user, *certificate, *key, *log_level;
    const char *address;       /* where to listen */
    const char *administrator; /* NULL: nobody */
    const char *lmtp_address;  /* "": on a Unix socket in the runtime folder */
    unsigned    port_base;     /* added to every standard port */
    bool        allow_plaintext_login;
    bool        no_sandbox;    /* for debuggers and tests that reach into a role */
    bool        urlauth;       /* the demo: what is off elsewhere can be tried */
    const char *smarthost;     /* NULL: mail for elsewhere goes to its MX; "": it goes nowhere; "host:port": all goes there */
    bool        cheap_hashes;  /* auth_limits_cheap: for the demo's passwords, which everybody knows */
};

void config_draft_write(const struct config_draft *d, struct buf *out);

#endif
