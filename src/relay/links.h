/*
 * relay/links.h - connections to other servers: in use by one thread, or kept for a while for what comes next.
 *
 * Layer: relay, private.
 */
#ifndef RELAY_LINKS_H
#define RELAY_LINKS_H

#include "base/fail.h"
#include "smtp/client.h"

struct route_row;

struct link {
    struct smtp_client     *client;
    char                   *way;     /* whose mail it is for: see attempt.c */
    const struct route_row *row;     /* NULL: none */
    char                   *host, *address;
    bool                    strict;  /* fit for REQUIRETLS */
    unsigned                messages;/* that were sent over it */
    int64_t                 opened_ms, idle_ms;
    struct link            *before, *after; /* on one of the two lists */
};

struct links;
/* Starts the thread that closes what was kept too long. */
bool links_create(unsigned keep_seconds, struct links **out, struct fail *why);
/* None may be in use any more.  Fine on NULL; leaves *l NULL. */
void links_destroy(struct links **l);

/* A connection that was just opened; in use by the caller.  Takes `client`. */
struct link *links_add(struct links *l, struct smtp_client *client, const char *way, const struct route_row *row, const char *host,
                       const char *address, bool strict);
/* One that was kept for this way and can still be used, else NULL. */
struct link *links_take(struct links *l, const char *way, const struct route_row *row, bool strict);
/* Keeps it for the next; leaves *k NULL. */
void links_keep(struct links *l, struct link **k);
/* Closes it; fine on NULL; leaves *k NULL. */
void links_close(struct links *l, struct link **k);
/* Ends all that are in use; `unless_final`: but those whose last dot has been sent. */
void links_break(struct links *l, bool unless_final);

#endif
