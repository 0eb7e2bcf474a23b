/*
 * relay/limits.c - the defaults.
 *
 * Layer: relay.
 */
#include "relay/relay.h"

void relay_limits_default(struct relay_limits *l)
{
    *l = (struct relay_limits){
        .hosts = 5,
        .addresses = 5,
        .recipients = 100,
        .reuse_messages = 100,
        .reuse_seconds = 5,
        .dead_seconds = 60,
        .port = 25,
        .ipv6 = true,
    };
}
