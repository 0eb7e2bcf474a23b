/*
 * net/dns_server.c - the side that asks DNS servers, for the resolver role.
 *
 * Layer: net.  Holds nothing but what libunbound caches, where that is used.
 */
#include <stdlib.h>

#include "base/fail.h"
#include "base/scoped.h"
#include "net/dns_wire.h"

enum { ANSWER_ARENA = 1024 * 1024 };

struct dns_server {
    struct dns_system *system; /* one of the two */
    struct dns_unbound *unbound;
};

bool dns_server_create(const struct dns_limits *limits, const char *const *servers, struct dns_server **out, struct fail *why)
{
    struct dns_server *s = xcalloc(1, sizeof *s);
    bool ok = limits->unbound ? dns_unbound_create(limits, servers, &s->unbound, why)
                              : dns_system_create(limits, servers, &s->system, why);

    if (!ok)
        dns_server_destroy(&s);
    else
        *out = s;
    return ok;
}

void dns_server_destroy(struct dns_server **s)
{
    if (*s == NULL)
        return;
    dns_system_destroy(&(*s)->system);
    dns_unbound_destroy(&(*s)->unbound);
    free(*s);
    *s = NULL;
}

static bool is_known(uint64_t type)
{
    static const enum dns_type types[] = {DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (type == (uint64_t)types[i])
            return true;
    }
    return false;
}

static bool handle(void *server, struct ipc_reader *r, struct ipc_message *answer, struct fail *why)
{
    struct dns_server *s = server;
    SCOPED(arena_finish) struct arena a;
    struct dns_answer found;
    char name[DNS_NAME_MAX + 1];

    arena_init(&a, ANSWER_ARENA);
    struct slice asked = ipc_get_bytes(r);
    uint64_t type = ipc_get_u64(r);
    if (r->type != DNS_MSG_ASK || !ipc_end(r) || !dns_name_valid(asked) || !is_known(type))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "malformed request");
    memcpy(name, asked.ptr, asked.len);
    name[asked.len] = '\0';
    if (s->unbound != NULL)
        dns_unbound_ask(s->unbound, name, (enum dns_type)type, &a, &found);
    else
        dns_system_ask(s->system, name, (enum dns_type)type, &a, &found);
    dns_answer_add(answer, (enum dns_type)type, &found);
    if (answer->bytes.failed) { /* more than a message between roles holds */
        buf_reset(&answer->bytes);
        dns_answer_failed(&found, "the answer is too large");
        dns_answer_add(answer, (enum dns_type)type, &found);
    }
    return true;
}

struct ipc_service dns_server_service(struct dns_server *s)
{
    return (struct ipc_service){.name = "resolver", .handle = handle, .ctx = s};
}
