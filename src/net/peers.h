/*
 * net/peers.h - how many connections an address has, and how fast it makes them.
 *
 * Layer: net, private.  An IPv4 address counts for itself, an IPv6 address for
 * its /64; and both for their network, /24 and /48.  Loopback and Unix sockets are not counted.
 */
#ifndef NET_PEERS_H
#define NET_PEERS_H

#include <sys/socket.h>

#include "base/slice.h"

struct peers;

enum peers_verdict { PEERS_OK, PEERS_TOO_MANY, PEERS_TOO_FAST, PEERS_NETWORK_FULL };

struct peers *peers_create(unsigned connections_max, unsigned per_second_max, unsigned network_max);
void          peers_destroy(struct peers **p);

/* One more from there; PEERS_OK: it is counted until peers_leave().  `now` in ms. */
enum peers_verdict peers_enter(struct peers *p, const struct sockaddr_storage *address, int64_t now);
void               peers_leave(struct peers *p, const struct sockaddr_storage *address, int64_t now);

/* What addresses count as: an IPv4 address, an IPv6 network of 64 bits. */
uint64_t peers_key(const struct sockaddr_storage *address);
/* Loopback (127.0.0.0/8, ::1, mapped ones too) or no IP address at all. */
bool address_is_local(const struct sockaddr_storage *address);
/* ::ffff:192.0.2.1 becomes 192.0.2.1: one client, one address. */
void address_unmap(struct sockaddr_storage *address);

#endif
