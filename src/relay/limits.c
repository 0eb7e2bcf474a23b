/*
 * relay/limits.c - the defaults.
 *
 * Layer: relay.
 */
#include "relay/relay.h"

void relay_limits_default(struct relay_limits *l)
{
    *l = (struct relay_limits){.hosts = 5, .addresses = 5, .reuse_messages = 100, .reuse_seconds = 5};
}
