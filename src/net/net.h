/*
 * net/net.h - the parking loop: listeners, workers, sessions.
 *
 * Layer: net.  One epoll shared by all workers, one-shot, one event a wait; as
 * many running workers as cores ("tokens"), a surplus one whenever somebody
 * stands between block_begin() and block_end().  Used by main/ alone; protocols
 * see net/conn.h.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "net/conn.h"

struct net;
struct tls_context; /* net/tls.h */
struct fail;

struct net_limits {
    unsigned workers;                 /* unblocked workers; 0: as many as cores */
    unsigned workers_max;             /* with those that wait; default 64 */
    unsigned connections_max;         /* 0, or more than open files allow: as many as they allow */
    unsigned connections_per_address; /* default 100 (IPv6: per /64); loopback is exempt */
    unsigned connections_per_network; /* default 1000: /24, IPv6 /48; loopback exempt */
    unsigned sessions_per_account;    /* signed in; default 200 */
    uint64_t memory_bytes;            /* of all sessions together; 0: a third of the machine's */
    unsigned connections_per_second_per_address; /* new ones; default 100, loopback exempt */
    unsigned command_seconds;         /* default 60 */
    unsigned before_login_seconds;    /* default 60 */
    unsigned body_seconds;            /* default 300, plus 1 s for each KB */
    unsigned turn_commands;           /* default 64 */
    unsigned turn_ms;                 /* default 10 */
};
void net_limits_default(struct net_limits *l);

/* A listener is a row. */
struct net_listener {
    const char                 *name;      /* "imaps": for logs */
    int                         fd;        /* bound and listening; owned by net from here on */
    const struct conn_protocol *protocol;
    void                       *service;
    enum net_tls { NET_TLS_NONE, NET_TLS_STARTTLS, NET_TLS_IMPLICIT } tls;
    struct tls_context         *tls_context; /* for the two with TLS; shared, not owned */
    unsigned                    idle_seconds; /* CONN_READY */
    bool                        proxy;       /* believe PROXY v1/v2 headers from proxy_sources */
    const struct net_block     *proxy_sources; /* or NULL */
    size_t                      proxy_source_count;
};

/* An address block such as 192.0.2.0/24. */
struct net_block { struct sockaddr_storage address; unsigned prefix; };
bool net_block_parse(struct slice text, struct net_block *out, struct fail *why);
bool net_block_contains(const struct net_block *b, const struct sockaddr_storage *address);

struct net *net_create(const struct net_limits *limits, struct fail *why);
bool        net_listen(struct net *n, const struct net_listener *row, struct fail *why);
/* Also serves a descriptor that is already connected (sockets between roles, tests). */
bool        net_adopt(struct net *n, int fd, const struct net_listener *row, struct fail *why);
bool        net_start(struct net *n, struct fail *why); /* starts the workers and returns */
/*
 * Clean end: refuse what is new, let running commands finish, say last words,
 * close; at most `seconds` for all of it.  Then every session is closed.
 */
void        net_stop(struct net *n, unsigned seconds);
void        net_destroy(struct net **n);

/* For the administrator. */
struct net_session_info {
    struct log_id       id;
    const char         *protocol;
    struct conn_address peer;
    char                label[121];
    uint64_t            account_id;
    int64_t             since; /* seconds since 1970 */
    bool                tls;
    uint64_t            in, out; /* bytes */
};
/* Calls `each` for every session there is now (a copy is handed over); stops when it says false. */
void     net_each_session(struct net *n, bool (*each)(void *ctx, const struct net_session_info *s), void *ctx);
/* Ends one session by id / all of an account (but `except`); returns how many were told. */
unsigned net_kick_session(struct net *n, struct slice id);
unsigned net_kick_account(struct net *n, uint64_t account_id);

#endif
