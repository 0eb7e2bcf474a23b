/*
 * policy/names.c - names: the client's by its address, the one it gives, the sender's domain.
 *
 * Layer: policy.  What DNS cannot say just now is never held against a client as if it had said no.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "base/address.h"
#include "net/dns.h"
#include "policy/internal.h"

enum { NAMES_MOST = 5, DNS_BYTES = 256 << 10 };

static bool is_ipv4(const struct in6_addr *a)
{
    return IN6_IS_ADDR_V4MAPPED(a);
}

static const char *ptr_name(struct arena *a, const struct in6_addr *address)
{
    const unsigned char *b = address->s6_addr;
    struct buf name;

    if (is_ipv4(address))
        return arena_printf(a, "%u.%u.%u.%u.in-addr.arpa", b[15], b[14], b[13], b[12]).ptr;
    buf_init(&name, 100);
    for (int i = 15; i >= 0; i--)
        buf_addf(&name, "%x.%x.", b[i] & 15u, b[i] >> 4);
    buf_add(&name, SLICE("ip6.arpa"));
    const char *kept = arena_cstr(a, buf_slice(&name));
    buf_finish(&name);
    return kept;
}

/* Does that name have that address? */
static enum client_name confirm(struct policy *p, const char *name, const struct in6_addr *address, struct arena *a)
{
    struct dns_answer answer;

    dns_ask(p->setting.dns, name, is_ipv4(address) ? DNS_A : DNS_AAAA, a, &answer);
    if (answer.status == DNS_FAILED)
        return NAME_UNSURE;
    for (size_t i = 0; answer.status == DNS_FOUND && i < answer.count; i++) {
        if (is_ipv4(address) ? memcmp(&answer.records[i].a, &address->s6_addr[12], 4) == 0
                             : memcmp(&answer.records[i].aaaa, address, sizeof *address) == 0)
            return NAME_CONFIRMED;
    }
    return NAME_NONE;
}

static void ask_client_name(struct policy_check *c, struct arena *a)
{
    struct policy_session *ps = c->session;
    struct dns_answer ptr;

    dns_ask(c->policy->setting.dns, ptr_name(a, &c->facts.address), DNS_PTR, a, &ptr);
    ps->name_state = ptr.status == DNS_FAILED ? NAME_UNSURE : NAME_NONE;
    for (size_t i = 0; ptr.status == DNS_FOUND && i < ptr.count && i < NAMES_MOST; i++) {
        enum client_name state = confirm(c->policy, ptr.records[i].name, &c->facts.address, a);
        if (state != NAME_NONE)
            ps->name_state = state;
        if (state == NAME_CONFIRMED) {
            ps->name = xstrdup(ptr.records[i].name);
            break;
        }
    }
    check_note(c, "the client's name is %s", ps->name != NULL ? ps->name : "not known");
}

struct slice client_name(struct policy_check *c)
{
    struct arena a;

    if (c->session->name_state == NAME_NOT_ASKED && c->facts.has_peer && c->policy->setting.dns != NULL) {
        arena_init(&a, DNS_BYTES);
        ask_client_name(c, &a);
        arena_finish(&a);
    }
    return slice_of(c->session->name);
}

/* ---- HELO ---- */

static bool is_literal(struct slice name)
{
    return name.len > 0 && name.ptr[0] == '[';
}

/* The client's own address between brackets is right, another's is not. */
static bool literal_is_true(const struct policy_facts *f)
{
    struct in6_addr said = {0};
    char text[64] = "";
    struct slice inside = slice_sub(f->helo, 1, f->helo.len - 2);

    if (slice_starts_nocase(inside, SLICE("IPv6:")))
        inside = slice_from(inside, 5);
    if (!f->has_peer || inside.len >= sizeof text)
        return true;
    memcpy(text, inside.ptr, inside.len);
    said.s6_addr[10] = said.s6_addr[11] = 0xff;
    if (inet_pton(AF_INET, text, &said.s6_addr[12]) != 1 && inet_pton(AF_INET6, text, &said) != 1)
        return false;
    return memcmp(&said, &f->address, sizeof said) == 0;
}

/* A name that can be one on the Internet: more than one label, the last not a number. */
static bool is_full_name(struct slice name)
{
    struct domain_key d;
    struct slice last = slice_from(name, slice_rfind_char(name, '.') + 1);
    uint64_t n;

    return domain_key_parse(name, &d) && slice_find_char(name, '.') < name.len && last.len > 0 &&
           !slice_to_u64(last, UINT64_MAX, &n);
}

static bool has_address(struct policy *p, const char *name, struct arena *a, bool *sure)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_MX};
    struct dns_answer answer;

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        dns_ask(p->setting.dns, name, types[i], a, &answer);
        if (answer.status == DNS_FOUND && answer.count > 0)
            return true;
        if (answer.status == DNS_FAILED)
            *sure = false;
    }
    return false;
}

bool step_helo(struct policy_check *c)
{
    const char *mode = c->policy->limits->helo_check;
    const struct slice name = c->facts.helo;
    bool sure = true;

    if (strcmp(mode, "off") == 0)
        return true;
    if (is_literal(name))
        return literal_is_true(&c->facts) ||
               check_say(c, POLICY_REJECT, 550, "5.7.1", "helo", "<" PRIslice "> is not your address", SLICE_ARG(name));
    if (!is_full_name(name))
        return check_say(c, POLICY_REJECT, 550, "5.7.1", "helo", "<" PRIslice "> is not a full host name: send yours with EHLO",
                         SLICE_ARG(name));
    if (slice_eq_nocase(name, slice_of(c->policy->setting.hostname)))
        return check_say(c, POLICY_REJECT, 550, "5.7.1", "helo", "<" PRIslice "> is my name, not yours", SLICE_ARG(name));
    if (strcmp(mode, "resolves") != 0 || c->policy->setting.dns == NULL)
        return true;
    struct arena a;
    arena_init(&a, DNS_BYTES);
    bool found = has_address(c->policy, arena_cstr(&a, name), &a, &sure);
    arena_finish(&a);
    if (found)
        return true;
    return sure ? check_say(c, POLICY_REJECT, 550, "5.7.1", "helo", "<" PRIslice "> has no address in DNS", SLICE_ARG(name))
                : check_say(c, POLICY_DEFER, 450, "4.7.1", "helo", "<" PRIslice ">: DNS does not answer just now", SLICE_ARG(name));
}

/* ---- the sender's domain ---- */

/* MX (but the null MX of RFC 7505), A or AAAA: can a bounce go there?              RFC 5321 section 5.1 */
bool step_sender_domain(struct policy_check *c)
{
    const struct slice sender = c->facts.sender;
    const size_t at = slice_rfind_char(sender, '@');
    struct domain_key key;
    struct dns_answer mx;
    struct arena a;
    bool ok, sure = true;

    if (!c->policy->limits->sender_domain_check || sender.len == 0 || c->policy->setting.dns == NULL)
        return true;
    struct slice domain = slice_from(sender, at + 1);
    if (is_literal(domain))
        return true;
    if (at >= sender.len || !domain_key_parse(domain, &key))
        return check_say(c, POLICY_REJECT, 550, "5.1.8", "sender-domain", "<" PRIslice "> has no domain that can be", SLICE_ARG(sender));
    arena_init(&a, DNS_BYTES);
    const char *name = arena_cstr(&a, domain_text(&key));
    dns_ask(c->policy->setting.dns, name, DNS_MX, &a, &mx);
    if (mx.status == DNS_FOUND && mx.count == 1 && mx.records[0].mx.host[0] == '\0') {
        ok = check_say(c, POLICY_REJECT, 550, "5.7.27", "sender-domain", "<" PRIslice ">: that domain takes no mail (null MX)",
                       SLICE_ARG(sender));
    } else if (mx.status == DNS_FOUND && mx.count > 0) {
        ok = true;
    } else {
        sure = mx.status != DNS_FAILED;
        ok = (mx.status != DNS_NO_NAME || !sure) && has_address(c->policy, name, &a, &sure);
        if (!ok && sure)
            (void)check_say(c, POLICY_REJECT, 550, "5.1.8", "sender-domain", "<" PRIslice ">: that domain does not exist", SLICE_ARG(sender));
        else if (!ok)
            (void)check_say(c, POLICY_DEFER, 450, "4.1.8", "sender-domain", "<" PRIslice ">: DNS does not answer just now",
                            SLICE_ARG(sender));
    }
    arena_finish(&a);
    return ok;
}
