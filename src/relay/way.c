/*
 * relay/way.c - the hosts that a message may go to, in their order.
 *
 * Layer: relay.
 */
#include "relay/way.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/fail.h"

static bool verdict(struct verdict *v, bool permanent, const char *status, struct slice text)
{
    *v = (struct verdict){.permanent = permanent, .status = status, .text = text.ptr != NULL ? text.ptr : "it could not be sent"};
    return false;
}

/* ---- order ---- */

static int by_preference(const void *a, const void *b)
{
    const struct way_host *x = a, *y = b;

    return x->preference < y->preference ? -1 : x->preference > y->preference;
}

/* Shuffled, then sorted in a way that keeps the order of equals (insertion; there are few). */
void way_sort(struct way_host *hosts, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)(random_u64() % i);
        struct way_host held = hosts[i - 1];
        hosts[i - 1] = hosts[other];
        hosts[other] = held;
    }
    for (size_t i = 1; i < count; i++) {
        struct way_host held = hosts[i];
        size_t at = i;
        for (; at > 0 && by_preference(&hosts[at - 1], &held) > 0; at--)
            hosts[at] = hosts[at - 1];
        hosts[at] = held;
    }
}

/* ---- the hosts ---- */

static void set_fixed(struct way_host *h, const struct route_host *from, struct arena *a)
{
    h->name = arena_cstr(a, slice_of(from->name));
    h->port = from->port;
    h->is_name = from->kind == ROUTE_HOST_NAME;
    if (h->is_name)
        return;
    h->addresses = arena_new(a, struct way_address);
    if (h->addresses == NULL)
        return;
    h->addresses->at = from->address;
    h->addresses->len = from->address_len;
    (void)snprintf(h->addresses->text, sizeof h->addresses->text, "%s", from->name);
    h->count = 1;
    h->state = WAY_READY;
}

static bool find_route(const struct route_row *row, struct arena *a, struct way *out, struct verdict *why)
{
    size_t n = 0;

    while (row->hosts[n] != NULL)
        n++;
    out->hosts = arena_new_array(a, struct way_host, n);
    for (size_t i = 0; out->hosts != NULL && i < n; i++) {
        struct route_host host;
        struct fail wrong;
        if (!route_host_parse(row->hosts[i], row->protocol, row->wrapped, &host, &wrong))
            continue; /* the config was checked */
        set_fixed(&out->hosts[out->count], &host, a);
        out->hosts[out->count].preference = (unsigned)i;
        out->count++;
    }
    out->mx_secure = true; /* nobody but the config says so (RFC 7672 section 2.2.3) */
    return out->count > 0 || verdict(why, false, "4.3.5", SLICE("the route has no hosts"));
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
static bool find_literal(const struct relay_setting *s, const char *domain, struct arena *a, struct way *out, struct verdict *why)
{
    struct route_host host;
    struct fail wrong;

    if (!route_host_parse(domain, ROUTE_SMTP, false, &host, &wrong) || host.kind != ROUTE_HOST_ADDRESS)
        return verdict(why, true, "5.1.2", arena_printf(a, "%s is no address that mail can be sent to", domain));
    host.port = s->limits.port;
    if (host.address.ss_family == AF_INET)
        ((struct sockaddr_in *)&host.address)->sin_port = htons((uint16_t)host.port);
    else
        ((struct sockaddr_in6 *)&host.address)->sin6_port = htons((uint16_t)host.port);
    out->hosts = arena_new(a, struct way_host);
    if (out->hosts == NULL)
        return verdict(why, false, "4.3.0", SLICE("out of memory"));
    set_fixed(out->hosts, &host, a);
    out->count = 1;
    return true;
}

static void add_host(struct way *w, const char *name, unsigned preference, unsigned port)
{
    w->hosts[w->count++] = (struct way_host){.name = name, .preference = preference, .port = port, .is_name = true};
}

static bool find_mx(const struct relay_setting *s, const char *domain, struct arena *a, struct way *out, struct verdict *why)
{
    struct dns_answer mx;

    dns_ask(s->dns, domain, DNS_MX, a, &mx);
    out->by_mx = true;
    out->mx_secure = mx.secure;
    switch (mx.status) {
    case DNS_FOUND: break;
    case DNS_FAILED: return verdict(why, false, "4.4.3", arena_printf(a, "the mail servers of %s could not be looked up: %s", domain, mx.why));
    case DNS_NO_NAME: return verdict(why, true, "5.1.2", arena_printf(a, "the domain %s does not exist", domain));
    case DNS_NO_DATA:                            /* the domain itself is its MX (RFC 5321 section 5.1) */
        out->hosts = arena_new(a, struct way_host);
        if (out->hosts != NULL)
            add_host(out, domain, 0, s->limits.port);
        return out->hosts != NULL || verdict(why, false, "4.3.0", SLICE("out of memory"));
    }
    if (mx.count == 1 && mx.records[0].mx.host[0] == '\0')
        return verdict(why, true, "5.1.10", arena_printf(a, "the domain %s does not take mail (null MX)", domain));
    out->hosts = arena_new_array(a, struct way_host, mx.count);
    for (size_t i = 0; out->hosts != NULL && i < mx.count; i++) {
        if (mx.records[i].mx.host[0] != '\0') /* beside others it means nothing */
            add_host(out, mx.records[i].mx.host, mx.records[i].mx.preference, s->limits.port);
    }
    if (out->count == 0)
        return verdict(why, true, "5.4.4", arena_printf(a, "the MX records of %s name no host", domain));
    way_sort(out->hosts, out->count);
    return true;
}

static bool is_our_name(const struct relay_setting *s, const char *name)
{
    return slice_eq_nocase(slice_of(name), slice_of(s->hostname));
}

/* From the first that is us on, and those that are as good as it. */
static void drop_from_name(const struct relay_setting *s, struct way *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (!is_our_name(s, w->hosts[i].name))
            continue;
        while (i > 0 && w->hosts[i - 1].preference == w->hosts[i].preference)
            i--;
        w->count = i;
        w->is_us = true;
    }
}

void way_loop(const struct way *w, struct arena *a, struct verdict *why)
{
    (void)verdict(why, true, "5.4.6",
                   arena_printf(a, "mail for %s loops: DNS says that this server takes it, and this server does not know the domain", w->domain));
}

bool way_find(const struct relay_setting *s, const struct route_row *row, const char *domain, struct arena *a, struct way *out,
              struct verdict *why)
{
    *out = (struct way){.row = row, .domain = domain};
    if (row != NULL && row->hosts != NULL)
        return find_route(row, a, out, why);
    if (domain[0] == '[')
        return find_literal(s, domain, a, out, why);
    if (!find_mx(s, domain, a, out, why))
        return false;
    drop_from_name(s, out);
    if (out->count == 0)
        way_loop(out, a, why);
    return out->count > 0;
}

/* ---- addresses ---- */

/* Is it an address of this machine?  Only such can be bound to. */
static bool is_local(const struct sockaddr_storage *address, socklen_t len)
{
    struct sockaddr_storage any_port = *address;

    if (any_port.ss_family == AF_INET)
        ((struct sockaddr_in *)&any_port)->sin_port = 0;
    else
        ((struct sockaddr_in6 *)&any_port)->sin6_port = 0;
    int fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool local = fd >= 0 && bind(fd, (struct sockaddr *)&any_port, len) == 0;
    if (fd >= 0)
        (void)close(fd);
    return local;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool is_us(const struct relay_setting *s, const struct way_host *h)
{
    for (size_t i = 0; i < h->count; i++) {
        for (size_t k = 0; k < s->own_count; k++) {
            const struct relay_own *own = &s->own[k];
            if (own->port == h->port && (own->address.ss_family == AF_UNSPEC ? is_local(&h->addresses[i].at, h->addresses[i].len)
                                                                             : same_address(&own->address, &h->addresses[i].at)))
                return true;
        }
    }
    return false;
}

/* Places in random order. */
static size_t *shuffled(size_t count, struct arena *a)
{
    size_t *order = arena_new_array(a, size_t, count);

    for (size_t i = 0; order != NULL && i < count; i++) {
        size_t other = (size_t)(random_u64() % (i + 1));
        order[i] = order[other];
        order[other] = i;
    }
    return order;
}

static void add_address(struct way_host *h, const struct dns_record *r, bool six)
{
    struct way_address *at = &h->addresses[h->count++];
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)h->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)h->port)};

    if (six) {
        in6.sin6_addr = r->aaaa;
        memcpy(&at->at, &in6, sizeof in6);
        at->len = sizeof in6;
        (void)inet_ntop(AF_INET6, &in6.sin6_addr, at->text, sizeof at->text);
    } else {
        in4.sin_addr = r->a;
        memcpy(&at->at, &in4, sizeof in4);
        at->len = sizeof in4;
        (void)inet_ntop(AF_INET, &in4.sin_addr, at->text, sizeof at->text);
    }
}

/* Both families in turn, IPv6 first; each in random order. */
static void take_addresses(struct way_host *h, const struct dns_answer *a4, const struct dns_answer *a6, struct arena *a)
{
    size_t *order4 = shuffled(a4->count, a), *order6 = shuffled(a6->count, a);

    h->addresses = arena_new_array(a, struct way_address, a4->count + a6->count);
    if (order4 == NULL || order6 == NULL || h->addresses == NULL)
        return;
    for (size_t i = 0; i < a4->count || i < a6->count; i++) {
        if (i < a6->count)
            add_address(h, &a6->records[order6[i]], true);
        if (i < a4->count)
            add_address(h, &a4->records[order4[i]], false);
    }
}

static void resolve(const struct relay_setting *s, struct way_host *h, struct arena *a)
{
    struct dns_call *six = s->limits.ipv6 ? dns_ask_start(s->dns, h->name, DNS_AAAA, (struct waker){0}) : NULL;
    struct dns_answer a4, a6 = {.status = DNS_NO_DATA};

    dns_ask(s->dns, h->name, DNS_A, a, &a4); /* both at once */
    dns_call_end(&six, a, &a6);
    take_addresses(h, &a4, &a6, a);
    h->answer = a4.count > 0 || a6.count == 0 ? a4 : a6;
    if (h->count > 0) {
        h->state = WAY_READY;
    } else if (a4.status == DNS_FAILED || a6.status == DNS_FAILED) {
        h->state = WAY_LATER;
        h->why = a4.status == DNS_FAILED ? a4.why : a6.why;
    } else {
        h->state = WAY_NO_ADDRESS;
        h->why = a4.status == DNS_NO_NAME ? "there is no such host" : "it has no address";
    }
}

size_t way_resolve(const struct relay_setting *s, struct way *w, size_t from, size_t most, struct arena *a)
{
    size_t at = from;
    bool us = false;

    for (; at < w->count && at - from < most && w->hosts[at].preference == w->hosts[from].preference; at++) {
        if (w->hosts[at].state == WAY_UNRESOLVED)
            resolve(s, &w->hosts[at], a);
        us = us || (w->row == NULL || w->row->hosts == NULL ? w->hosts[at].state == WAY_READY && is_us(s, &w->hosts[at]) : false);
    }
    if (!us)
        return at;
    w->count = from;
    w->is_us = true;
    return from;
}
