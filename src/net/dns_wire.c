/*
 * net/dns_wire.c - what the resolver role and those who ask it say to each other.
 *
 * Layer: net.  The side that asks checks every field: the role may have been taken over.
 */
#include "net/dns_wire.h"

/* ---- written by the role ---- */

static void add_record(struct ipc_message *m, enum dns_type type, const struct dns_record *r)
{
    ipc_add_u64(m, r->ttl);
    switch (type) {
    case DNS_A: ipc_add_bytes(m, slice_make(&r->a, sizeof r->a)); break;
    case DNS_AAAA: ipc_add_bytes(m, slice_make(&r->aaaa, sizeof r->aaaa)); break;
    case DNS_MX:
        ipc_add_u64(m, r->mx.preference);
        ipc_add_bytes(m, slice_of(r->mx.host));
        break;
    case DNS_CNAME:
    case DNS_PTR: ipc_add_bytes(m, slice_of(r->name)); break;
    case DNS_TXT: ipc_add_bytes(m, r->text); break;
    case DNS_TLSA:
        ipc_add_u64(m, r->tlsa.usage);
        ipc_add_u64(m, r->tlsa.selector);
        ipc_add_u64(m, r->tlsa.matching);
        ipc_add_bytes(m, r->tlsa.data);
        break;
    }
}

void dns_answer_add(struct ipc_message *m, enum dns_type type, const struct dns_answer *answer)
{
    ipc_add_u64(m, answer->status);
    ipc_add_bool(m, answer->secure);
    ipc_add_u64(m, answer->ttl);
    ipc_add_bytes(m, slice_of(answer->canonical));
    ipc_add_bytes(m, slice_of(answer->why));
    ipc_add_u64(m, answer->count);
    for (size_t i = 0; i < answer->count; i++)
        add_record(m, type, &answer->records[i]);
}

/* ---- read by who asked ---- */

static const char *get_name(struct ipc_reader *r, struct arena *a)
{
    struct slice name = ipc_get_bytes(r);

    if (name.len > 0 && !dns_name_valid(name))
        r->failed = true;
    return arena_cstr(a, name);
}

static unsigned get_number(struct ipc_reader *r, uint64_t most)
{
    uint64_t n = ipc_get_u64(r);

    if (n > most)
        r->failed = true;
    return r->failed ? 0 : (unsigned)n;
}

static void get_address(struct ipc_reader *r, void *out, size_t n)
{
    struct slice bytes = ipc_get_bytes(r);

    if (bytes.len != n)
        r->failed = true;
    else
        memcpy(out, bytes.ptr, n);
}

static void get_record(struct ipc_reader *r, enum dns_type type, struct arena *a, struct dns_record *out)
{
    out->ttl = get_number(r, UINT32_MAX);
    switch (type) {
    case DNS_A: get_address(r, &out->a, sizeof out->a); break;
    case DNS_AAAA: get_address(r, &out->aaaa, sizeof out->aaaa); break;
    case DNS_MX:
        out->mx.preference = get_number(r, UINT16_MAX);
        out->mx.host = get_name(r, a);
        break;
    case DNS_CNAME:
    case DNS_PTR: out->name = get_name(r, a); break;
    case DNS_TXT: out->text = arena_keep(a, ipc_get_bytes(r)); break;
    case DNS_TLSA:
        out->tlsa.usage = get_number(r, UINT8_MAX);
        out->tlsa.selector = get_number(r, UINT8_MAX);
        out->tlsa.matching = get_number(r, UINT8_MAX);
        out->tlsa.data = arena_keep(a, ipc_get_bytes(r));
        break;
    }
}

/* For logs and for senders: one line of visible characters. */
static const char *get_story(struct ipc_reader *r, struct arena *a)
{
    struct slice text = slice_sub(ipc_get_bytes(r), 0, 200);

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < ' ' || text.ptr[i] > '~')
            r->failed = true;
    }
    return arena_cstr(a, text);
}

bool dns_answer_get(struct ipc_reader *r, enum dns_type type, struct arena *a, struct dns_answer *out)
{
    struct dns_answer answer = {.status = (enum dns_status)get_number(r, DNS_FAILED)};

    answer.secure = ipc_get_bool(r);
    answer.ttl = get_number(r, UINT32_MAX);
    if (answer.ttl > DNS_KEPT_MAX)
        answer.ttl = DNS_KEPT_MAX;
    answer.canonical = get_name(r, a);
    answer.why = get_story(r, a);
    answer.count = get_number(r, DNS_RECORDS_MAX);
    if (r->failed || (answer.count > 0) != (answer.status == DNS_FOUND))
        return false;
    answer.records = arena_new_array(a, struct dns_record, answer.count);
    if (answer.records == NULL)
        return false;
    for (size_t i = 0; i < answer.count; i++)
        get_record(r, type, a, &answer.records[i]);
    if (!ipc_end(r) || a->failed)
        return false;
    *out = answer;
    return true;
}
