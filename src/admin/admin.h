/*
 * admin/admin.h - what an administrator can do, once, for command line and HTTP alike.
 *
 * Layer: admin.  A request is a JSON object {"do": "domain.add", ...}; what comes
 * back is a JSON object, after any number of lines about how far it is.  Knows
 * neither sockets nor terminals.  Passwords are not here: they live in the auth
 * role and are set there (admin/secrets.h).
 *
 *     {"do": "account.add", "address": "ann@example.org"}  ->  {"address": ..., "id": 7}
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <jansson.h>

#include "base/fail.h"

struct deliver;
struct directory;
struct net;
struct policy;
struct queue;
struct store;
struct volumes;

struct admin_limits {
    unsigned trace_days; /* that lines for `posthorn trace` are kept; 0: none are; default 14 */
    unsigned backup_silence_seconds; /* of a backup's command, then its lease ends; default 600 */
};
void admin_limits_default(struct admin_limits *l);

/* What the commands work on; all of it outlives them. */
struct admin {
    struct directory *directory;
    struct store     *store;
    struct volumes   *volumes;
    struct deliver   *deliver; /* NULL while the server is not running */
    struct net       *net;     /* NULL while the server is not running */
    struct policy    *policy;  /* the same */
    const char       *trace_dir; /* where this role keeps its lines (main/trace_file.h); NULL: nowhere */
    const char       *backup_dir; /* where this role puts copies of databases for a backup */
    unsigned          backup_silence_seconds;
    const char       *spool_dir;  /* for messages too large for memory */
    void (*trace_write)(void); /* puts into them what waits; NULL: nothing does */
    struct queue     *queue;   /* in the queue role, which has nothing else of these; NULL in the mail role */
};

/* How a long command tells how far it is: {"finding": "..."}, {"done": 7, "all": 100}. */
struct admin_progress {
    void (*tell)(void *ctx, const json_t *line);
    void *ctx;
};

/*
 * A command that moves many bytes (an import, a backup) reads and writes the connection itself once it has
 * told its client, by a line of progress with "ready", that it is ready; when it returns the client has sent all it will.
 */
struct admin_stream {
    /* Up to `n` bytes of what follows the request's line; *got 0: the client is gone.  Waits. */
    bool (*read)(void *ctx, void *out, size_t n, size_t *got, struct fail *why);
    bool (*write)(void *ctx, struct slice bytes, struct fail *why);
    void (*patience)(void *ctx, unsigned seconds); /* `read` waits at most so long, then it fails; 0: for ever */
    void (*stop)(void *ctx); /* breaks the connection: whoever waits in `read` comes back */
    void *ctx;
};

/*
 * Runs one request, from any thread.  True: *result is a new object, the caller's.
 * FAIL_INVALID if the request is not understood, otherwise what went wrong.
 */
bool admin_run(const struct admin *a, const json_t *request, const struct admin_progress *progress,
               const struct admin_stream *stream, json_t **result, struct fail *why);

/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD (a text that was cut may end in half a letter). */
json_t *admin_json(struct slice text);

#endif
