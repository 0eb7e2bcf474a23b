/*
 * tests/unit/net/fake_dns.h - a resolver role inside a test: a dns_client that answers from a table.
 *
 *     static const struct fake_dns_row rows[] = {
 *         {"example.net", DNS_MX, .secure = true, .records = {"10 mx.example.net", "20 b.example.net"}},
 *         {"mx.example.net", DNS_A, .records = {"192.0.2.1"}},
 *         {"alias.example", DNS_A, .canonical = "mx.example.net", .records = {"192.0.2.1"}},
 *         {"broken.example", DNS_MX, .status = DNS_FAILED},
 *     };
 *     struct fake_dns *f = fake_dns_start(rows, ARRAY_LEN(rows));
 *     ... f->client ...
 *     fake_dns_stop(&f);
 *
 * Records as text: A, AAAA an address; MX "10 host" ("0 ": null MX); CNAME, PTR a name; TXT the text; TLSA "3 1 1 hex".
 * A name with rows of other types only has DNS_NO_DATA; one without any is DNS_NO_NAME.
 */
#ifndef TESTS_FAKE_DNS_H
#define TESTS_FAKE_DNS_H

#include <stdatomic.h>

#include "net/dns.h"

struct fake_dns_row {
    const char *name; /* in lower case */
    enum dns_type type;
    enum dns_status status; /* DNS_FOUND with no records is DNS_NO_DATA */
    bool secure;
    const char *canonical; /* NULL: the name */
    uint32_t ttl;          /* 0: not kept */
    const char *records[12]; /* NULL-ended */
};

struct fake_dns {
    struct dns_client *client;
    struct ipc_server *server;
    const struct fake_dns_row *rows;
    size_t count;
    atomic_uint asked; /* questions that reached the role */
};

struct fake_dns *fake_dns_start(const struct fake_dns_row *rows, size_t count);
void fake_dns_stop(struct fake_dns **f);

#endif
