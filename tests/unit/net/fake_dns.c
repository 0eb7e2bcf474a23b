/* See fake_dns.h. */
#include "tests/unit/net/fake_dns.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "net/dns_wire.h"

static unsigned number(struct slice *rest)
{
    uint64_t n = 0;

    if (!slice_to_u64(slice_cut(rest, ' '), 65535, &n))
        bug("fake_dns: a number is missing");
    return (unsigned)n;
}

static struct slice from_hex(struct slice hex, struct arena *a)
{
    char *out = arena_alloc(a, hex.len / 2 + 1);
    unsigned byte;

    for (size_t i = 0; i + 1 < hex.len; i += 2) {
        char two[3] = {hex.ptr[i], hex.ptr[i + 1], '\0'};
        byte = (unsigned)strtoul(two, NULL, 16);
        out[i / 2] = (char)byte;
    }
    return slice_make(out, hex.len / 2);
}

static struct dns_record read_record(enum dns_type type, const char *text, struct arena *a)
{
    struct dns_record r = {.ttl = 60};
    struct slice rest = slice_of(text);

    switch (type) {
    case DNS_A:
        if (inet_pton(AF_INET, text, &r.a) != 1)
            bug("fake_dns: %s", text);
        break;
    case DNS_AAAA:
        if (inet_pton(AF_INET6, text, &r.aaaa) != 1)
            bug("fake_dns: %s", text);
        break;
    case DNS_MX:
        r.mx.preference = number(&rest);
        r.mx.host = arena_cstr(a, rest);
        break;
    case DNS_CNAME:
    case DNS_PTR: r.name = arena_cstr(a, rest); break;
    case DNS_TXT: r.text = rest; break;
    case DNS_TLSA:
        r.tlsa.usage = number(&rest);
        r.tlsa.selector = number(&rest);
        r.tlsa.matching = number(&rest);
        r.tlsa.data = from_hex(rest, a);
        break;
    }
    return r;
}

static void fill(const struct fake_dns_row *row, struct arena *a, struct dns_answer *out)
{
    out->status = row->status;
    out->secure = row->secure;
    out->ttl = row->ttl;
    if (row->canonical != NULL)
        out->canonical = row->canonical;
    if (row->status == DNS_FAILED)
        dns_answer_failed(out, "the fake says so");
    if (row->status != DNS_FOUND)
        return;
    out->records = arena_new_array(a, struct dns_record, ARRAY_LEN(row->records));
    while (out->count < ARRAY_LEN(row->records) && row->records[out->count] != NULL) {
        out->records[out->count] = read_record(row->type, row->records[out->count], a);
        out->count++;
    }
    if (out->count == 0)
        out->status = DNS_NO_DATA;
}

static bool handle(void *fake, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    struct fake_dns *f = fake;
    struct arena a;
    struct dns_answer out = {.status = DNS_NO_NAME, .why = ""};

    (void)why;
    arena_init(&a, 1024 * 1024);
    struct slice name = ipc_get_bytes(r);
    enum dns_type type = (enum dns_type)ipc_get_u64(r);
    (void)atomic_fetch_add(&f->asked, 1);
    out.canonical = arena_cstr(&a, name);
    for (size_t i = 0; i < f->count; i++) {
        if (!slice_eq(slice_of(f->rows[i].name), name))
            continue;
        if (f->rows[i].type == type) {
            fill(&f->rows[i], &a, &out);
            break;
        }
        out.status = DNS_NO_DATA;
    }
    dns_answer_add(answer, type, &out);
    arena_finish(&a);
    return true;
}

struct fake_dns *fake_dns_start(const struct fake_dns_row *rows, size_t count)
{
    struct fake_dns *f = xcalloc(1, sizeof *f);
    struct ipc_service service = {.name = "fake resolver", .handle = handle, .ctx = f};
    struct ipc_limits ipc;
    struct dns_limits limits;
    int ends[2];
    struct fail why;

    f->rows = rows;
    f->count = count;
    ipc_limits_default(&ipc);
    dns_limits_default(&limits);
    f->client = dns_client_create(&limits, &ipc, &why);
    f->server = ipc_server_create(&ipc, &service, &why);
    if (f->client == NULL || f->server == NULL || !ipc_socket_pair(ends, &why) || !ipc_server_attach(f->server, ends[1], &why))
        bug("fake_dns: %s", why.text);
    dns_client_attach(f->client, ends[0]);
    return f;
}

void fake_dns_stop(struct fake_dns **f)
{
    if (*f == NULL)
        return;
    dns_client_destroy(&(*f)->client);
    ipc_server_destroy(&(*f)->server);
    free(*f);
    *f = NULL;
}
