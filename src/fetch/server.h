/*
 * fetch/server.h - the side that speaks with web servers.
 *
 * Layer: fetch.  Holds nothing, keeps nothing; asks the resolver role for addresses.  What is connected to: https at public
 * addresses and port 443 or above 1023; beside them only the helpers.
 */
#ifndef FETCH_SERVER_H
#define FETCH_SERVER_H

#include "net/fetch.h"

struct dns_client;

struct fetch_setting {
    struct fetch_limits limits;
    const char *const  *helpers;     /* that may be reached although they are private or not https (fetch/where.h); NULL-ended */
    const char         *authorities; /* whose certificates are believed: a PEM file; "": the system's */
    struct dns_client  *dns;
};

struct fetch_server;
/* What *setting points to must outlive it.  libcurl is loaded with the first request.  FAIL_INVALID: a helper is none. */
bool fetch_server_create(const struct fetch_setting *setting, struct fetch_server **out, struct fail *why);
/* After its ipc_servers are gone.  Fine on NULL; leaves *s NULL. */
void fetch_server_destroy(struct fetch_server **s);
/* For ipc_server_create(), any number of times: its `threads` are how many requests run at once. */
struct ipc_service fetch_server_service(struct fetch_server *s);

#endif
