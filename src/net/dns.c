/*
 * net/dns.c - DNS, asked of the resolver role.
 *
 * Layer: net.
 */
#include "net/dns.h"

void dns_limits_default(struct dns_limits *l)
{
    *l = (struct dns_limits){.seconds = 20, .answers = 20000};
}
