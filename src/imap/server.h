/*
 * imap/server.h - keeps and synchronises mail on the server.
 *
 * Layer: imap.  RFC 3501 and the extensions named in docs/; later RFC 9051.
 */
#ifndef IMAP_SERVER_H
#define IMAP_SERVER_H

#include "net/conn.h"
#include "policy/login.h"

struct store;

struct imap_limits {
    size_t   command_bytes;   /* a command without APPEND's literal; default 64 KB */
    uint64_t append_bytes;    /* default 50 MB; APPENDLIMIT */
    unsigned urlauth;         /* 1: URLs may let others read messages (RFC 4467); default 0 */
    unsigned append_messages; /* in one APPEND (RFC 3502); default 10000 */
    unsigned sets;            /* ranges in one sequence set; default 10000 */
    unsigned nesting;         /* parentheses; default 50 */
    unsigned bad_commands;    /* in a row before the session is closed; default 20 */
    unsigned login_attempts;  /* default 3 */
    unsigned contexts;        /* searches of one session that are updated (RFC 5267); default 16 */
    unsigned saved_ranges;    /* neighbours among what "$" holds (RFC 5182); default 100000, 8 bytes each */
    const char *jmap_url;     /* JMAPACCESS (RFC 9698): where the accounts can be reached by JMAP; "" nowhere */
    bool     compress;        /* COMPRESS=DEFLATE is offered; default true */
    unsigned message_limit;   /* messages one command works on (RFC 9738); 0, the default: no limit */
    unsigned save_limit;      /* and that one COPY or APPEND puts away; 0, the default: no limit */
    unsigned command_cpu_seconds; /* processor time of one command; default 120; 0: any */
    unsigned idle_tick_seconds; /* "* OK Still here"; default 120 */
};
void imap_limits_default(struct imap_limits *l);

struct imap_service {
    const char                 *hostname;
    const char                 *spool_dir;
    struct imap_limits          limits;
    struct store               *store;
    const struct login_service *login;
    const char *const          *administrators; /* addresses of accounts that may set quotas */
    size_t                      administrator_count;
};

extern const struct conn_protocol imap_protocol;

#endif
