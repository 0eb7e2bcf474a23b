/*
 * policy/lists.c - DNS lists of clients and domains.
 *
 * Layer: policy.  RFC 5782.  All lists are asked at once, at the first RCPT of a message: so the log says who wrote to whom,
 * a recipient's permission counts, and who signs in is not asked about.  A list that does not answer names nobody.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "base/address.h"
#include "net/dns.h"
#include "policy/internal.h"

enum { DNS_BYTES = 1 << 20 };

/* ---- which answers count ---- */

/* "127.0.0.2", "127.0.0.4-11", "127.0.0.0&6": exact, a range of the last octet, bits of the last octet. */
struct pattern {
    unsigned char octets[4];
    unsigned      high, mask; /* mask 0: a range from octets[3] to high */
};

static bool parse_pattern(struct slice text, struct pattern *out)
{
    struct slice rest = text;
    uint64_t n;

    *out = (struct pattern){0};
    for (int i = 0; i < 3; i++) {
        if (!slice_to_u64(slice_cut(&rest, '.'), 255, &n))
            return false;
        out->octets[i] = (unsigned char)n;
    }
    const size_t mark = slice_find_char(rest, '-') < rest.len ? slice_find_char(rest, '-') : slice_find_char(rest, '&');
    if (!slice_to_u64(slice_sub(rest, 0, mark), 255, &n))
        return false;
    out->octets[3] = (unsigned char)n;
    out->high = (unsigned)n;
    if (mark == rest.len)
        return out->octets[0] == 127;
    if (!slice_to_u64(slice_from(rest, mark + 1), 255, &n))
        return false;
    if (rest.ptr[mark] == '-')
        out->high = (unsigned)n;
    else
        out->mask = (unsigned)n;
    return out->octets[0] == 127 && (out->mask > 0 || (rest.ptr[mark] == '-' && out->high >= out->octets[3]));
}

static bool pattern_has(const struct pattern *p, const unsigned char *octets)
{
    if (memcmp(p->octets, octets, 3) != 0)
        return false;
    return p->mask != 0 ? (octets[3] & p->mask) != 0 : octets[3] >= p->octets[3] && octets[3] <= p->high;
}

/* An answer outside 127/8 is no list's; 127.255.255/24 is how lists say "you must not ask like this". */
static bool counts(const struct policy_dnslist *l, const struct in_addr *answer, bool *refused)
{
    unsigned char octets[4];
    struct pattern p;

    memcpy(octets, answer, sizeof octets);
    for (size_t i = 0; i < l->answer_count; i++)
        if (parse_pattern(slice_of(l->answers[i]), &p) && pattern_has(&p, octets))
            return true;
    if (octets[0] == 127 && octets[1] == 255 && octets[2] == 255)
        *refused = true;
    return l->answer_count == 0 && octets[0] == 127 && !*refused;
}

bool policy_dnslist_check(const struct policy_dnslist *l, struct fail *why)
{
    struct pattern p;
    struct domain_key key;

    if (!domain_key_parse(slice_of(l->zone), &key) || l->zone[0] == '[')
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "is no domain name");
    if (l->action == ACCESS_DISCARD || l->action == ACCESS_REDIRECT || l->action == ACCESS_NEXT)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "has an action that is not reject, defer, tag or allow");
    for (size_t i = 0; i < l->answer_count; i++)
        if (!parse_pattern(slice_of(l->answers[i]), &p))
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "answers: \"%s\" is none of 127.0.0.2, 127.0.0.4-11, 127.0.0.0&6",
                            l->answers[i]);
    return true;
}

/* ---- asking ---- */

/* RFC 5782 sections 2.1 and 2.4: octets or nibbles backwards. */
static void add_address(struct buf *out, const struct in6_addr *a)
{
    const unsigned char *b = a->s6_addr;

    if (IN6_IS_ADDR_V4MAPPED(a)) {
        buf_addf(out, "%u.%u.%u.%u.", b[15], b[14], b[13], b[12]);
        return;
    }
    for (int i = 15; i >= 0; i--)
        buf_addf(out, "%x.%x.", b[i] & 15u, b[i] >> 4);
}

/* false: there is nothing that this list could be asked about. */
static bool question(const struct policy_check *c, const struct policy_dnslist *l, struct buf *out)
{
    const struct policy_facts *f = &c->facts;
    struct slice domain = f->helo;
    struct domain_key key;

    if (l->of == DNSLIST_CLIENT) {
        if (!f->has_peer)
            return false;
        add_address(out, &f->address);
    } else {
        if (l->of == DNSLIST_SENDER)
            domain = slice_from(f->sender, slice_rfind_char(f->sender, '@') + 1);
        if (domain.len == 0 || domain.ptr[0] == '[' || slice_find_char(domain, '.') == domain.len || !domain_key_parse(domain, &key))
            return false;
        buf_addf(out, PRIslice ".", SLICE_ARG(domain_text(&key)));
    }
    buf_add(out, slice_of(l->zone));
    return !out->failed;
}

static void start_asking(struct policy_check *c, struct dns_call **calls)
{
    struct policy *p = c->policy;
    struct buf name;

    buf_init(&name, 600);
    for (size_t i = 0; i < p->config->dnslist_count; i++) {
        buf_reset(&name);
        if (!guard_open(&p->list_guards[i], p->limits->helper_failures, p->limits->helper_pause_seconds) ||
            !question(c, &p->config->dnslists[i], &name))
            continue;
        buf_add_char(&name, '\0');
        if (!name.failed)
            calls[i] = dns_ask_start(p->setting.dns, name.data, DNS_A, (struct waker){0});
    }
    buf_finish(&name);
}

static bool is_hit(struct policy_check *c, size_t at, const struct dns_answer *answer)
{
    struct policy *p = c->policy;
    const struct policy_dnslist *l = &p->config->dnslists[at];
    bool hit = false, refused = false;

    if (answer->status == DNS_FAILED) {
        if (guard_failed(&p->list_guards[at], p->limits->helper_failures, p->limits->helper_pause_seconds))
            log_event(LOG_WARNING, "policy.list_away", LOG_CSTR("list", l->zone), LOG_CSTR("error", answer->why));
        check_note(c, "%s does not answer: %s", l->zone, answer->why);
        return false;
    }
    guard_answered(&p->list_guards[at]);
    for (size_t i = 0; answer->status == DNS_FOUND && i < answer->count; i++)
        hit = counts(l, &answer->records[i].a, &refused) || hit;
    if (refused && !hit) {
        log_event(LOG_WARNING, "policy.list_refuses", LOG_CSTR("list", l->zone),
                  LOG_CSTR("error", "it does not answer this resolver (127.255.255.x)"));
        check_note(c, "%s does not answer this resolver", l->zone);
    } else {
        check_note(c, "%s %s", l->zone, hit ? "has it" : "does not have it");
    }
    return hit;
}

/* ---- what follows ---- */

struct findings {
    const struct policy_dnslist *worst; /* of those that refuse: the heaviest */
    int64_t score;
    bool allowed, tagged;
};

static void add_finding(struct findings *f, const struct policy_dnslist *l)
{
    if (l->action == ACCESS_ALLOW) {
        f->allowed = f->allowed || l->weight > 0;
        return;
    }
    if (l->action == ACCESS_TAG) {
        f->tagged = true;
        return;
    }
    f->score += l->weight;
    if (f->worst == NULL || l->weight > f->worst->weight)
        f->worst = l;
}

static bool refuse(struct policy_check *c, const struct policy_dnslist *l)
{
    const bool temp = l->action == ACCESS_DEFER;
    const struct policy_facts *f = &c->facts;
    struct slice who = l->of == DNSLIST_CLIENT ? f->peer : l->of == DNSLIST_HELO ? f->helo : f->sender;

    return check_say(c, temp ? POLICY_DEFER : POLICY_REJECT, temp ? 450 : 550, temp ? "4.7.1" : "5.7.1", "dnslist",
                     PRIslice " is listed by %s%s%s", SLICE_ARG(who), l->zone, l->text[0] != '\0' ? ": " : "", l->text);
}

bool step_lists(struct policy_check *c)
{
    struct policy *p = c->policy;
    const size_t count = p->config->dnslist_count;
    struct findings found = {0};
    struct arena a;

    if (count == 0 || p->setting.dns == NULL || c->session->listed_asked)
        return true;
    struct dns_call **calls = xcalloc(count, sizeof(struct dns_call *));
    arena_init(&a, DNS_BYTES);
    start_asking(c, calls);
    for (size_t i = 0; i < count; i++) {
        struct dns_answer answer;
        if (calls[i] == NULL)
            continue;
        dns_call_end(&calls[i], &a, &answer);
        if (is_hit(c, i, &answer))
            add_finding(&found, &p->config->dnslists[i]);
    }
    arena_finish(&a);
    free(calls);
    if (!found.allowed && found.worst != NULL && found.score >= (int64_t)p->limits->dnslist_threshold)
        return refuse(c, found.worst); /* asked again for the next recipient: DNS remembers */
    c->session->listed_asked = true;
    c->session->marks[SCOPE_MESSAGE].junk = c->session->marks[SCOPE_MESSAGE].junk || (found.tagged && !found.allowed);
    if (found.allowed)
        c->session->marks[SCOPE_MESSAGE].listed_good = true;
    return true;
}
