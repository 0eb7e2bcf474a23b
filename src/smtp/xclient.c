/*
 * smtp/xclient.c - a proxy says who its client is.
 *
 * Layer: smtp.  Postfix's XCLIENT (https://www.postfix.org/XCLIENT_README.html), from the networks the config
 * lists and from nobody else.  What is said holds for the rest of the session, which begins anew with a
 * greeting: access, relaying, logs and the Received field know only the client from here on.  DESTADDR, DESTPORT
 * and PORT are read and not used.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "smtp/session.h"

struct smtp_told {
    struct sockaddr_storage peer; /* AF_UNSPEC: the proxy does not know; such a client is in no network */
    bool has_peer;
};

struct sockaddr_storage smtp_peer(const struct smtp_session *s)
{
    return s->told != NULL && s->told->has_peer ? s->told->peer : conn_peer(s->conn);
}

struct conn_address smtp_peer_text(const struct smtp_session *s)
{
    struct conn_address out = {"unknown"};
    const struct sockaddr_storage peer = smtp_peer(s);
    const void *address = peer.ss_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)&peer)->sin6_addr
                                                     : (const void *)&((const struct sockaddr_in *)&peer)->sin_addr;

    if (s->told == NULL || !s->told->has_peer)
        return conn_peer_text(s->conn);
    if (peer.ss_family != AF_UNSPEC)
        (void)inet_ntop(peer.ss_family, address, out.text, sizeof out.text);
    return out;
}

bool smtp_offers_xclient(const struct smtp_session *s)
{
    const struct sockaddr_storage peer = conn_peer(s->conn); /* whoever is really there */

    for (size_t i = 0; i < s->service->xclient_from_count; i++)
        if (net_block_contains(&s->service->xclient_from[i], &peer))
            return s->service->kind != SMTP_LMTP;
    return false;
}

/* What one command says; slices in its line or the arena. */
struct telling {
    struct arena *arena;
    struct sockaddr_storage peer;
    bool has_peer;
    struct slice helo, login;
    bool basic; /* PROTO=SMTP */
};

static bool is_unknown(struct slice value)
{
    return slice_eq_nocase(value, SLICE("[UNAVAILABLE]")) || slice_eq_nocase(value, SLICE("[TEMPUNAVAIL]"));
}

/* "192.0.2.1", "IPV6:2001:db8::1" */
static bool take_addr(struct telling *t, struct slice value)
{
    struct net_block block;

    if (is_unknown(value)) {
        t->peer = (struct sockaddr_storage){0};
        t->has_peer = true;
        return true;
    }
    if (slice_starts_nocase(value, SLICE("IPV6:")))
        value = slice_from(value, 5);
    if (slice_find_char(value, '/') < value.len || !net_block_parse(value, &block, NULL))
        return false;
    t->peer = block.address;
    t->has_peer = true;
    return true;
}

static bool take_helo(struct telling *t, struct slice value)
{
    if (!is_unknown(value))
        t->helo = value;
    return is_unknown(value) || smtp_is_client_name(value);
}

static bool take_login(struct telling *t, struct slice value)
{
    t->login = is_unknown(value) ? SLICE("") : value;
    return true;
}

static bool take_proto(struct telling *t, struct slice value)
{
    t->basic = slice_eq_nocase(value, SLICE("SMTP"));
    return t->basic || slice_eq_nocase(value, SLICE("ESMTP"));
}

static bool take_nothing(struct telling *t, struct slice value)
{
    (void)t;
    (void)value;
    return true;
}

static const struct { const char *name; bool (*take)(struct telling *t, struct slice value); } attributes[] = {
    {"NAME", take_nothing},     {"ADDR", take_addr},   {"PORT", take_nothing},     {"PROTO", take_proto},
    {"HELO", take_helo},        {"LOGIN", take_login}, {"DESTADDR", take_nothing}, {"DESTPORT", take_nothing},
};

static bool take_attribute(struct telling *t, struct slice word)
{
    struct slice value = word, name = slice_cut(&value, '='), plain;

    if (name.len == word.len || !xtext_decode(t->arena, value, &plain))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
        if (slice_eq_nocase(name, slice_of(attributes[i].name)))
            return attributes[i].take(t, plain);
    return false;
}

/*
 * Signed in at the proxy: true also where that does not matter.  Who is not named is nobody, as with Postfix: the proxy may
 * speak for another client now.
 */
static bool sign_in(struct smtp_session *s, const struct telling *t)
{
    struct directory_account account;
    struct fail why;

    if (s->service->kind != SMTP_SUBMISSION)
        return true;
    if (t->login.len > 0 &&
        (!directory_login(s->service->directory, t->login, t->arena, &account, &why) || account.disabled))
        return false;
    free(s->user);
    s->user = t->login.len > 0 ? xslicedup(account.address) : NULL;
    s->account = t->login.len > 0 ? account.id : 0;
    conn_set_account(s->conn, s->account);
    conn_set_label(s->conn, s->account != 0 ? account.address : SLICE(""));
    conn_set_phase(s->conn, s->account != 0 ? CONN_READY : CONN_BEFORE_LOGIN, 0);
    return true;
}

static void log_told(const struct smtp_session *s)
{
    struct log_id session = conn_session_id(s->conn);
    struct conn_address proxy = conn_peer_text(s->conn), peer = smtp_peer_text(s);

    log_event(LOG_INFO, "smtp.xclient", LOG_CSTR("session", session.text), LOG_CSTR("proxy", proxy.text),
              LOG_CSTR("peer", peer.text), LOG_CSTR("user", s->user != NULL ? s->user : "-"));
}

static void begin_anew(struct smtp_session *s, const struct telling *t)
{
    if (s->told == NULL)
        s->told = xcalloc(1, sizeof *s->told);
    if (t->has_peer) {
        s->told->has_peer = true;
        s->told->peer = t->peer;
    }
    smtp_transaction_end(s);
    free(s->client_name);
    s->client_name = t->helo.len > 0 ? xslicedup(t->helo) : NULL;
    s->extended = !t->basic;
    policy_session_end(&s->policy);
    log_told(s);
    smtp_begin(s);
}

void smtp_xclient(struct smtp_session *s, struct slice args)
{
    struct arena a;
    struct telling t = {.arena = &a};
    bool ok = args.len > 0;

    if (!smtp_offers_xclient(s)) {
        smtp_reply(s, 550, "5.7.1", "XCLIENT is not for you");
        return;
    }
    arena_init(&a, 64 << 10);
    while (ok && args.len > 0) {
        struct slice word = slice_cut(&args, ' ');
        ok = word.len == 0 || take_attribute(&t, word);
    }
    if (!ok)
        smtp_reply(s, 501, "5.5.4", "XCLIENT takes NAME, ADDR, PORT, PROTO, HELO, LOGIN, DESTADDR, DESTPORT=xtext");
    else if (!sign_in(s, &t))
        smtp_reply(s, 550, "5.7.1", "there is no such account to be signed in as");
    else
        begin_anew(s, &t);
    arena_finish(&a);
}
