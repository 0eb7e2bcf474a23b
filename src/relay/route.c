/*
 * relay/route.c - the routing table: which mail goes which way.
 *
 * Layer: relay.
 */
#include "relay/route.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/fail.h"

enum { PORT_SMTP = 25, PORT_SUBMISSIONS = 465, PORT_LMTP = 24 };

/* ---- which row ---- */

/* An address as rows see it; what cannot be taken apart has no domain and fits only "*". */
struct subject {
    struct slice address;
    struct domain_key domain;
};

static struct slice domain_part(struct slice address)
{
    size_t at = slice_rfind_char(address, '@');

    return at < address.len ? slice_from(address, at + 1) : (struct slice){0};
}

static void subject_of(struct slice address, struct subject *out)
{
    out->address = address;
    if (!domain_key_parse(domain_part(address), &out->domain))
        out->domain.len = 0;
}

static bool fits(const char *pattern, const struct subject *s)
{
    struct slice p = slice_of(pattern), domain = domain_text(&s->domain);
    struct domain_key key;

    if (slice_eq(p, SLICE("*")))
        return true;
    if (slice_eq(p, SLICE("<>")))
        return s->address.len == 0;
    if (slice_find_char(p, '@') < p.len)
        return slice_eq_nocase(p, s->address);
    bool below = slice_starts(p, SLICE("."));
    if (domain.len == 0 || !domain_key_parse(below ? slice_from(p, 1) : p, &key))
        return false;
    if (!below)
        return slice_eq(domain_text(&key), domain);
    return domain.len > key.len + 1 && slice_ends(domain, domain_text(&key)) && domain.ptr[domain.len - key.len - 1] == '.';
}

static bool fits_any(const char *const *patterns, const struct subject *s)
{
    if (patterns == NULL)
        return true;
    for (; *patterns != NULL; patterns++) {
        if (fits(*patterns, s))
            return true;
    }
    return false;
}

static bool is_account(const char *const *accounts, struct slice account)
{
    if (accounts == NULL)
        return true;
    for (; *accounts != NULL; accounts++) {
        if (account.len > 0 && slice_eq_nocase(slice_of(*accounts), account))
            return true;
    }
    return false;
}

const struct route_row *route_find(const struct route_table *t, struct slice sender, struct slice account, struct slice recipient)
{
    struct subject from, to;

    if (t == NULL || t->count == 0)
        return NULL;
    subject_of(sender, &from);
    subject_of(recipient, &to);
    for (size_t i = 0; i < t->count; i++) {
        const struct route_row *r = &t->rows[i];
        if (is_account(r->accounts, account) && fits_any(r->recipient_domains, &to) && fits_any(r->sender_domains, &from))
            return r;
    }
    return NULL;
}

/* ---- the queue's destinations ---- */

bool route_domain(struct slice recipient, struct buf *out)
{
    struct domain_key key;

    if (!domain_key_parse(domain_part(recipient), &key))
        return false;
    buf_add(out, domain_text(&key));
    return true;
}

static void destination(void *table, const struct queue_message *m, struct slice recipient, struct buf *out)
{
    struct slice account = m->options.account != 0 ? m->options.source : (struct slice){0};
    const struct route_row *row = route_find(table, m->sender, account, recipient);

    if (row != NULL && (row->hosts != NULL || row->defer != NULL || row->reject != NULL))
        buf_addf(out, "route:%s", row->name);
    else if (!route_domain(recipient, out))
        buf_add(out, SLICE("invalid")); /* reserved (RFC 2606): its mail is returned as what no domain can be called */
}

struct queue_router route_router(const struct route_table *t)
{
    return (struct queue_router){.destination = destination, .ctx = (void *)(uintptr_t)t};
}

/* ---- hosts ---- */

static bool set_path(const char *path, struct route_host *out)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);

    _Static_assert(sizeof un.sun_path <= sizeof out->name, "a path fits the name");
    if (n >= sizeof un.sun_path)
        return false;
    memcpy(un.sun_path, path, n + 1);
    memcpy(out->name, path, n + 1);
    memcpy(&out->address, &un, sizeof un);
    out->address_len = sizeof un;
    out->kind = ROUTE_HOST_PATH;
    out->port = 0;
    return true;
}

/* The name is an IP address (also in SMTP's way, "IPv6:2001:db8::1"). */
static bool set_address(struct route_host *out)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)out->port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)out->port)};
    const char *text = out->name;

    if (slice_starts_nocase(slice_of(text), SLICE("IPv6:")))
        text += 5;
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        memcpy(&out->address, &four, sizeof four);
        out->address_len = sizeof four;
    } else if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1) {
        memcpy(&out->address, &six, sizeof six);
        out->address_len = sizeof six;
    } else {
        return false;
    }
    out->kind = ROUTE_HOST_ADDRESS;
    return true;
}

/* "host", "host:port", "[host]", "[host]:port", and an IPv6 address as it is. */
static bool split(const char *text, struct slice *host, struct slice *port)
{
    struct slice rest = slice_of(text);

    *port = (struct slice){0};
    if (slice_starts(rest, SLICE("["))) {
        rest = slice_from(rest, 1);
        if (slice_find_char(rest, ']') == rest.len)
            return false;
        *host = slice_cut(&rest, ']');
        if (rest.len > 0 && rest.ptr[0] != ':')
            return false;
        *port = slice_from(rest, 1);
        return rest.len != 1;
    }
    if (slice_find_char(rest, ':') != slice_rfind_char(rest, ':')) {
        *host = rest;
        return true;
    }
    bool has_port = slice_find_char(rest, ':') < rest.len;
    *host = slice_cut(&rest, ':');
    *port = rest;
    return !has_port || rest.len > 0;
}

bool route_host_parse(const char *text, enum route_protocol protocol, bool wrapped, struct route_host *out, struct fail *why)
{
    struct slice host, port;
    struct domain_key key;
    uint64_t number = protocol == ROUTE_LMTP ? PORT_LMTP : wrapped ? PORT_SUBMISSIONS : PORT_SMTP;

    *out = (struct route_host){.kind = ROUTE_HOST_NAME};
    if (text[0] == '/') {
        if (protocol != ROUTE_LMTP)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"%s\" is a path: only LMTP goes to a Unix socket", text);
        return set_path(text, out) || fail_set(why, FAIL_PERM, FAIL_INVALID, "the path \"%s\" is too long", text);
    }
    bool ok = split(text, &host, &port) && (port.len == 0 || (slice_to_u64(port, 65535, &number) && number > 0)) &&
              host.len > 0 && host.len < sizeof out->name;
    if (ok) {
        memcpy(out->name, host.ptr, host.len);
        out->port = (unsigned)number;
        ok = set_address(out);
        if (!ok && domain_key_parse(host, &key) && key.text[0] != '[') {
            memcpy(out->name, key.text, key.len);
            out->name[key.len] = '\0';
            ok = true;
        }
    }
    return ok || fail_set(why, FAIL_PERM, FAIL_INVALID, "\"%s\" is no host: a name or an IP address, with or without a port", text);
}
