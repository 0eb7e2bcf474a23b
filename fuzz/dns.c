/*
 * fuzz/dns.c - what a DNS server answers: whatever it is, reading it ends, stays within its bytes, and what is read can be
 * told to the other roles and is the same there.
 */
#include "net/dns_wire.h"

#include "fuzz.h"

static void same(const struct dns_answer *a, const struct dns_answer *b, enum dns_type type)
{
    FUZZ_CHECK(a->status == b->status && a->count == b->count && a->ttl == b->ttl);
    FUZZ_CHECK(strcmp(a->canonical, b->canonical) == 0);
    for (size_t i = 0; i < a->count; i++) {
        if (type == DNS_MX)
            FUZZ_CHECK(a->records[i].mx.preference == b->records[i].mx.preference && strcmp(a->records[i].mx.host, b->records[i].mx.host) == 0);
        else if (type == DNS_TXT)
            FUZZ_CHECK(slice_eq(a->records[i].text, b->records[i].text));
        else if (type == DNS_TLSA)
            FUZZ_CHECK(slice_eq(a->records[i].tlsa.data, b->records[i].tlsa.data));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};
    struct slice in = slice_make(data, size);
    enum dns_type type = types[fuzz_take(&in) % ARRAY_LEN(types)];
    struct arena a;
    struct dns_answer out, told;
    struct ipc_message m;
    bool authentic;

    arena_init(&a, 4 * 1024 * 1024);
    dns_message_read(in, "a.example", type, &a, &out, &authentic);
    FUZZ_CHECK((out.status == DNS_FOUND) == (out.count > 0));
    FUZZ_CHECK(out.status != DNS_FAILED || out.why[0] != '\0');
    ipc_message_init(&m, DNS_MSG_ASK);
    dns_answer_add(&m, type, &out);
    if (!m.bytes.failed && !a.failed) {
        struct ipc_reader r = {.rest = buf_slice(&m.bytes)};
        bool got = dns_answer_get(&r, type, &a, &told);
        FUZZ_CHECK(got || a.failed);
        if (got)
            same(&out, &told, type);
    }
    ipc_message_finish(&m);
    arena_finish(&a);
    return 0;
}
