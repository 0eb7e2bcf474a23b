/*
 * main/config_route.c - see main/config_route.h.
 *
 * Layer: main.
 */
#include "main/config_route.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/address.h"
#include "base/io.h"

enum { PASSWORD_MAX = 1000 };

static const char *const protocol_names[] = {[ROUTE_SMTP] = "smtp", [ROUTE_LMTP] = "lmtp"};
static const char *const tls_names[] = {
    [ROUTE_TLS_POLICY] = "policy", [ROUTE_TLS_NONE] = "none",     [ROUTE_TLS_MAY] = "may",
    [ROUTE_TLS_MUST] = "must",     [ROUTE_TLS_VERIFY] = "verify", [ROUTE_TLS_DANE] = "dane",
};

static int word_index(const char *word, const char *const *names, size_t count)
{
    for (size_t i = 0; word != NULL && i < count; i++) {
        if (strcmp(names[i], word) == 0)
            return (int)i;
    }
    return -1;
}

/* ---- checks while the line is known ---- */

static bool is_pattern(const char *text)
{
    struct slice p = slice_of(text);
    struct domain_key key;

    if (slice_eq(p, SLICE("*")) || slice_eq(p, SLICE("<>")))
        return true;
    size_t at = slice_rfind_char(p, '@');
    if (at < p.len)
        return at > 0 && domain_key_parse(slice_from(p, at + 1), &key);
    return domain_key_parse(slice_starts(p, SLICE(".")) ? slice_from(p, 1) : p, &key);
}

/* What is wrong with the patterns of an option; NULL: nothing. */
static const char *wrong_patterns(cfg_t *r, const char *option)
{
    for (unsigned i = 0; i < cfg_size(r, option); i++) {
        if (!is_pattern(cfg_getnstr(r, option, i)))
            return cfg_getnstr(r, option, i);
    }
    return NULL;
}

static bool is_address(const char *text)
{
    struct in6_addr out; /* the larger of the two */

    return inet_pton(AF_INET, text, &out) == 1 || inet_pton(AF_INET6, text, &out) == 1;
}

static bool is_loopback_host(const struct route_host *h)
{
    static const char *const blocks[] = {"127.0.0.0/8", "::1/128"};
    struct net_block block;

    if (h->kind != ROUTE_HOST_ADDRESS)
        return h->kind == ROUTE_HOST_PATH;
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        if (net_block_parse(slice_of(blocks[i]), &block, NULL) && net_block_contains(&block, &h->address))
            return true;
    }
    return false;
}

/* Hosts that can be used; *local: all are on this machine. */
static bool check_hosts(cfg_t *r, bool *local, struct fail *why)
{
    enum route_protocol protocol = (enum route_protocol)word_index(cfg_getstr(r, "protocol"), protocol_names, ARRAY_LEN(protocol_names));
    struct route_host host;

    *local = true;
    for (unsigned i = 0; i < cfg_size(r, "hosts"); i++) {
        if (!route_host_parse(cfg_getnstr(r, "hosts", i), protocol, cfg_getbool(r, "wrapped") != cfg_false, &host, why))
            return false;
        *local = *local && is_loopback_host(&host);
    }
    return true;
}

/* Do the parts go together? */
static const char *wrong_whole(cfg_t *r, bool local)
{
    bool hosts = cfg_size(r, "hosts") > 0, user = cfg_getstr(r, "user")[0] != '\0';
    bool goes = cfg_getstr(r, "defer")[0] == '\0' && cfg_getstr(r, "reject")[0] == '\0';
    int tls = word_index(cfg_getstr(r, "tls"), tls_names, ARRAY_LEN(tls_names));

    if (cfg_title(r)[0] == '\0')
        return "needs a name";
    if (cfg_getstr(r, "defer")[0] != '\0' && cfg_getstr(r, "reject")[0] != '\0')
        return "either waits (defer) or fails (reject)";
    if (!goes && (hosts || user))
        return "goes nowhere (defer, reject) and needs no hosts";
    if (user != (cfg_getstr(r, "password_file")[0] != '\0'))
        return "needs user and password_file together";
    if (user && !hosts)
        return "has a password, and no hosts that it is for";
    if (strcmp(cfg_getstr(r, "protocol"), "lmtp") == 0 && !hosts)
        return "speaks LMTP and needs hosts";
    if (cfg_getbool(r, "wrapped") != cfg_false && (tls == ROUTE_TLS_NONE || tls == ROUTE_TLS_MAY))
        return "is wrapped in TLS, so tls is must, verify or dane";
    if (user && !local && (tls == ROUTE_TLS_NONE || tls == ROUTE_TLS_MAY))
        return "would send its password without TLS (tls is must, verify or dane)";
    if (cfg_getstr(r, "password_file")[0] != '\0' && cfg_getstr(r, "password_file")[0] != '/')
        return "has a password_file that is no path from the root";
    return NULL;
}

int config_route_validate(cfg_t *cfg, cfg_opt_t *opt)
{
    static const char *const patterns[] = {"recipient_domain", "sender_domain"};
    cfg_t *r = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    struct fail why;
    bool local;

    if (word_index(cfg_getstr(r, "protocol"), protocol_names, ARRAY_LEN(protocol_names)) < 0) {
        cfg_error(cfg, "route \"%s\": protocol is smtp or lmtp", cfg_title(r));
        return -1;
    }
    if (word_index(cfg_getstr(r, "tls"), tls_names, ARRAY_LEN(tls_names)) < 0) {
        cfg_error(cfg, "route \"%s\": tls is policy, none, may, must, verify or dane", cfg_title(r));
        return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        const char *wrong = wrong_patterns(r, patterns[i]);
        if (wrong != NULL) {
            cfg_error(cfg, "route \"%s\": %s: \"%s\" is no domain, .domain, address, <> or *", cfg_title(r), patterns[i], wrong);
            return -1;
        }
    }
    for (unsigned i = 0; i < cfg_size(r, "source"); i++) {
        if (!is_address(cfg_getnstr(r, "source", i))) {
            cfg_error(cfg, "route \"%s\": source: \"%s\" is no IP address", cfg_title(r), cfg_getnstr(r, "source", i));
            return -1;
        }
    }
    if (!check_hosts(r, &local, &why)) {
        cfg_error(cfg, "route \"%s\": %s", cfg_title(r), why.text);
        return -1;
    }
    const char *wrong = wrong_whole(r, local);
    if (wrong != NULL) {
        cfg_error(cfg, "route \"%s\" %s", cfg_title(r), wrong);
        return -1;
    }
    return 0;
}

/* ---- from libconfuse's values to ours ---- */

static const char *const *take_list(struct config *c, cfg_t *r, const char *name)
{
    unsigned n = cfg_size(r, name);
    const char **texts = n > 0 ? arena_new_array(&c->arena, const char *, n + 1) : NULL;

    for (unsigned i = 0; texts != NULL && i < n; i++)
        texts[i] = arena_cstr(&c->arena, slice_of(cfg_getnstr(r, name, i)));
    return texts;
}

/* NULL if it is empty. */
static const char *take_text(struct config *c, cfg_t *r, const char *name)
{
    const char *text = cfg_getstr(r, name);

    return text[0] != '\0' ? arena_cstr(&c->arena, slice_of(text)) : NULL;
}

static void take_route(struct config *c, cfg_t *r, struct route_row *out, const char **password_file)
{
    *out = (struct route_row){
        .name = arena_cstr(&c->arena, slice_of(cfg_title(r))),
        .sender_domains = take_list(c, r, "sender_domain"),
        .recipient_domains = take_list(c, r, "recipient_domain"),
        .accounts = take_list(c, r, "account"),
        .hosts = take_list(c, r, "hosts"),
        .protocol = (enum route_protocol)word_index(cfg_getstr(r, "protocol"), protocol_names, ARRAY_LEN(protocol_names)),
        .tls = (enum route_tls)word_index(cfg_getstr(r, "tls"), tls_names, ARRAY_LEN(tls_names)),
        .wrapped = cfg_getbool(r, "wrapped") != cfg_false,
        .user = take_text(c, r, "user"),
        .sources = take_list(c, r, "source"),
        .helo = take_text(c, r, "helo"),
        .xclient = cfg_getbool(r, "xclient") != cfg_false,
        .defer = take_text(c, r, "defer"),
        .reject = take_text(c, r, "reject"),
    };
    *password_file = take_text(c, r, "password_file");
}

void config_route_take(struct config *c, cfg_t *cfg)
{
    unsigned n = cfg_size(cfg, "route");
    struct route_row *rows = arena_new_array(&c->arena, struct route_row, n);
    const char **files = arena_new_array(&c->arena, const char *, n);

    if (rows == NULL || files == NULL)
        return; /* the arena remembers */
    for (unsigned i = 0; i < n; i++)
        take_route(c, cfg_getnsec(cfg, "route", i), &rows[i], &files[i]);
    c->routes = (struct route_table){.rows = rows, .count = n};
    c->route_passwords = files;
}

/* ---- for the role that sends ---- */

/* The first line of the file. */
static void read_password(struct config *c, struct route_row *row, const char *path)
{
    struct buf text;
    struct fail why;

    buf_init(&text, PASSWORD_MAX);
    if (io_read_file(path, &text, &why)) {
        struct slice rest = buf_slice(&text), line = slice_cut(&rest, '\n');
        if (slice_ends(line, SLICE("\r")))
            line.len--;
        row->password = arena_cstr(&c->arena, line);
    } else {
        log_event(LOG_ERROR, "route.password", LOG_CSTR("route", row->name), LOG_FAIL(&why));
        row->defer = arena_printf(&c->arena, "the password for route \"%s\" cannot be read on this server", row->name).ptr;
    }
    buf_wipe(&text);
}

const struct route_table *config_routes(struct config *c)
{
    struct route_row *rows = arena_new_array(&c->arena, struct route_row, c->routes.count);

    if (rows != NULL && c->routes.count > 0) {
        memcpy(rows, c->routes.rows, c->routes.count * sizeof *rows);
        for (size_t i = 0; i < c->routes.count; i++) {
            if (c->route_passwords[i] != NULL)
                read_password(c, &rows[i], c->route_passwords[i]);
        }
        c->routes.rows = rows;
    }
    return &c->routes;
}

const struct relay_own *config_own(struct config *c, size_t *count)
{
    struct relay_own *own = arena_new_array(&c->arena, struct relay_own, c->listener_count);
    struct net_block address;

    *count = 0;
    for (size_t i = 0; own != NULL && i < c->listener_count; i++) {
        const struct config_listener *l = &c->listeners[i];
        if (l->protocol != PROTOCOL_SMTP || l->port == 0)
            continue;
        own[*count].port = l->port;
        if (strcmp(l->address, "*") == 0)
            own[(*count)++].address.ss_family = AF_UNSPEC;
        else if (net_block_parse(slice_of(l->address), &address, NULL))
            own[(*count)++].address = address.address;
    }
    return own;
}
