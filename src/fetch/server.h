/*
 * fetch/server.h - the side that speaks with web servers.
 *
 * Layer: fetch.
 */
#ifndef FETCH_SERVER_H
#define FETCH_SERVER_H

#include "net/fetch.h"

struct dns_client;

struct fetch_server;
/* `helpers`: addresses that may be reached although they are private or not https; NULL-ended, outlive it. */
bool fetch_server_create(const struct fetch_limits *limits, const char *const *helpers, struct dns_client *dns, struct fetch_server **out,
                         struct fail *why);
/* After its ipc_server is gone.  Fine on NULL; leaves *s NULL. */
void fetch_server_destroy(struct fetch_server **s);
struct ipc_service fetch_server_service(struct fetch_server *s);

#endif
