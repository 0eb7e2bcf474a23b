/*
 * pop3/server.h - lets a client fetch what lies in INBOX.
 *
 * Layer: pop3.  RFC 1939 and the extensions named in docs/pop3.md.
 */
#ifndef POP3_SERVER_H
#define POP3_SERVER_H

#include "net/conn.h"
#include "policy/login.h"

struct store;

struct pop3_limits {
    size_t   line_bytes;     /* of a command; default 1000 (RFC 2449 section 4 asks for 255) */
    unsigned bad_commands;   /* in a row before the session is closed; default 20 */
    unsigned login_attempts; /* default 3 */
    bool     mark_seen;      /* QUIT sets \Seen of what was fetched with RETR; default true */
};
void pop3_limits_default(struct pop3_limits *l);

/* What a listener's row gives to pop3_protocol as `service`; must outlive net. */
struct pop3_service {
    const char                 *hostname;
    struct pop3_limits          limits;
    struct store               *store;
    const struct login_service *login;
};

extern const struct conn_protocol pop3_protocol;

#endif
