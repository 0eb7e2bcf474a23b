/*
 * admin/policy.c - which rule would decide about a client, a sender, a recipient?
 *
 * Layer: admin.
 */
#include <arpa/inet.h>

#include "admin/internal.h"
#include "policy/policy.h"

enum { LINES_MAX = 64 << 10 };

static bool take_client(struct slice text, struct arena *a, struct policy_facts *f, struct fail *why)
{
    const char *address = arena_cstr(a, text);

    f->peer = text;
    f->has_peer = true;
    f->address.s6_addr[10] = f->address.s6_addr[11] = 0xff;
    if (inet_pton(AF_INET, address, &f->address.s6_addr[12]) == 1 || inet_pton(AF_INET6, address, &f->address) == 1)
        return true;
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"%s\" is no address of a client", address);
}

bool admin_policy_test(struct admin_call *c, struct fail *why)
{
    struct policy_facts f = {.kind = POLICY_MX, .helo = admin_text_or_empty(c, "helo"), .sender = admin_text_or_empty(c, "from"),
                             .session = SLICE("test"), .trace = SLICE("test")};
    json_t *lines = json_array();
    struct buf out;

    admin_put(c, "lines", lines);
    struct slice client = {0};
    if (!admin_text(c, "client", &client, why) || !admin_text(c, "to", &f.recipient, why) || !take_client(client, &c->arena, &f, why))
        return false;
    buf_init(&out, LINES_MAX);
    bool ok = policy_explain(c->on->policy, &f, &out, why);
    for (struct slice rest = buf_slice(&out); ok && rest.len > 0;)
        (void)json_array_append_new(lines, admin_json(slice_cut(&rest, '\n')));
    buf_finish(&out);
    return ok;
}
