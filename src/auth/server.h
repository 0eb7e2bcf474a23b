/*
 * auth/server.h - the side that holds secrets.
 *
 * Layer: auth.  Runs in the `auth` process: password hashes in auth.db (a folder of
 * its own, of which `mail` sees nothing), SASL, throttling.  main/ opens it, makes
 * one ipc server for `mail` and one for the administrator's control socket
 * out of the two services below, and says whom to tell of changes.
 */
#ifndef AUTH_SERVER_H
#define AUTH_SERVER_H

#include "net/ipc.h"

struct auth_server;

struct auth_limits {
    /*
     * Argon2id's cost (RFC 9106).  19 MiB and two passes are what OWASP asks for
     * at least: some 25 ms.  No more, because mail clients do not log in now and
     * then: after a restart every phone of every user comes at once.
     */
    unsigned hash_passes;      /* default 2 */
    uint64_t hash_memory;      /* bytes; default 19 MiB */
    unsigned hash_runs;        /* at one time, for memory's sake; 0: as many as cores */
    unsigned hash_waiting;     /* for one of those runs, at most (auth/hash_queue.h); default 48 */
    unsigned scram_iterations; /* of the keys kept for SCRAM-SHA-256; default 100,000; 0: none are kept */

    const char *mechanisms; /* that are offered where they can be, by preference, separated by blanks */

    /*
     * Tokens (OAUTHBEARER, XOAUTH2) of one issuer, off unless it is said whose they must be, for whom, and how they are
     * checked: by the issuer's keys (JWKS: a path, an https URL, or "discover"), by asking it, or both.  RFC 7519, RFC 7517.
     */
    const char *oauth_issuer, *oauth_audience, *oauth_jwks;
    const char *oauth_introspection; /* an https URL (RFC 7662) for tokens that are no JWTs; default none */
    const char *oauth_client;        /* the name by which the issuer knows us ... */
    const char *oauth_secret_file;   /* ... and the file with our secret */
    const char *oauth_claim;      /* names the account; default "email" */
    const char *oauth_scope;      /* words that must be in it; default none */
    unsigned oauth_skew_seconds;  /* between the issuer's clock and ours; default 60 */

    unsigned password_bytes; /* default 1024 */
    unsigned app_passwords;  /* of one account; default 50 */
    unsigned cached_logins;  /* verified ones, remembered by an HMAC; default 16,384; 0: none */
    unsigned cached_seconds; /* default 3600 */

    unsigned delay_ms;        /* after the first failure of a peer or login; doubles.  Default 1000 */
    unsigned delay_ms_max;    /* default 15,000 */
    unsigned peer_failures;   /* so many and the peer (IPv6: /64; never loopback) is refused; default 50 */
    unsigned login_failures;  /* ... and the login, but for peers that signed in to it lately, which have ten times as many; default 100 */
    unsigned failure_seconds; /* failures count half after this; default 600 */
    unsigned throttled;       /* peers, and logins, remembered; default 65,536 */

    unsigned requests;   /* steps of logins, in a second, whoever they are of: more than clients can cause; default 20,000; 0: any number */
    unsigned signatures; /* of TLS handshakes, in a second; default 5000; 0: any */

    unsigned exchanges;        /* begun and not ended; default 10,000 */
    unsigned exchange_seconds; /* default 120 */
    unsigned save_seconds;     /* last uses of credentials are written that often; default 60 */
};
void auth_limits_default(struct auth_limits *l);
/* Do the settings go together?  FAIL_INVALID says what is wrong. */
bool auth_limits_check(const struct auth_limits *l, struct fail *why);
/* The least that works: for tests and `posthorn demo` on loopback, never for real passwords. */
void auth_limits_cheap(struct auth_limits *l);

/* Makes the database if there is none; starts a thread for upkeep. */
bool auth_server_open(const char *path, const struct auth_limits *limits, struct auth_server **out,
                      struct fail *why);
/* Both ipc servers must be gone.  Fine on NULL. */
void auth_server_close(struct auth_server **s);

/*
 * For ipc_server_create.  The pool should have more threads than hash_runs and hash_waiting: the others
 * answer from the cache meanwhile.
 */
struct ipc_service auth_server_service(struct auth_server *s);
struct ipc_service auth_server_control(struct auth_server *s);
struct tls_keys;
/* Who signs TLS handshakes, and outlives the server; before the first request.  Without it nobody does. */
void auth_server_sign_with(struct auth_server *s, struct tls_keys *keys);
struct fetch_client;
/* Who asks the issuer of tokens; before the first request.  Without it none is asked. */
void auth_server_use(struct auth_server *s, struct fetch_client *fetch);
/* Does it ask anybody at all? */
bool auth_limits_need_fetch(const struct auth_limits *l);
/* Who hears of changed credentials: the server that `mail` is connected to, or NULL. */
void auth_server_tell(struct auth_server *s, struct ipc_server *mail);

/* What the control socket does, for who is in the process: `posthorn init`, `posthorn demo`, tests. */
bool auth_server_set_password(struct auth_server *s, uint64_t account, struct slice login,
                              struct slice password, struct fail *why);

#endif
