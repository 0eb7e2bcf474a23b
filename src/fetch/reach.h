/*
 * fetch/reach.h - a host's addresses, and connections to helpers.
 *
 * Layer: fetch.
 */
#ifndef FETCH_REACH_H
#define FETCH_REACH_H

#include "base/arena.h"
#include "fetch/where.h"

struct dns_client;

struct reach {
    struct sockaddr_storage *addresses; /* in the arena, with the port */
    size_t                   count;
};
/*
 * Where `to` can be reached: its address, loopback for "localhost", or what DNS says.  All that are not public are left
 * out unless it is a helper.  FAIL_TEMP (FAIL_NOT_FOUND: it has no address), FAIL_PERM FAIL_NOT_ALLOWED.
 */
bool reach_find(struct dns_client *dns, const struct fetch_url *to, bool helper, struct arena *a, struct reach *out, struct fail *why);

/* A connected, blocking socket to a helper of the kinds HELPER_UNIX and HELPER_INET, the caller's; -1 and FAIL_TEMP. */
int reach_connect(struct dns_client *dns, const struct fetch_helper *helper, int64_t deadline_ms, struct fail *why);

#endif
