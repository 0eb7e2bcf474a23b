/*
 * main/config.c - the one config file, read and checked.
 *
 * Layer: main.  Every value is checked while libconfuse still knows its line
 * (validate_*); what is built from the values afterwards (take_*) cannot fail.
 */
#include "main/config.h"

#include <arpa/inet.h>
#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/scoped.h"
#include "main/config_fetch.h"
#include "main/config_quota.h"
#include "main/config_sending.h"
#include "main/config_limits.h"
#include "main/config_policy.h"
#include "main/config_route.h"
#include "main/config_syntax.h"

enum {
    FILE_MAX = 1024 * 1024,
    ARENA_MAX = 16 * FILE_MAX,
    ROOM_OPTIONS_MAX = 40, /* limits of one room */
};

/* libconfuse's callbacks get no context: what is being read, and where the one error message goes. */
static _Thread_local const char  *parse_path;
static _Thread_local struct fail *parse_error;

static void on_error(cfg_t *cfg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    char text[200];

    (void)vsnprintf(text, sizeof text, fmt, ap);
    (void)fail_set(parse_error, FAIL_PERM, FAIL_INVALID, "%s:%d: %s", parse_path, cfg->line, text);
}

/* ---- words ---- */

static const char *const protocol_names[] = {
    [PROTOCOL_SMTP] = "smtp",
    [PROTOCOL_SUBMISSION] = "submission",
    [PROTOCOL_LMTP] = "lmtp",
    [PROTOCOL_IMAP] = "imap",
    [PROTOCOL_POP3] = "pop3",
};
static const char *const tls_names[] = {
    [NET_TLS_NONE] = "none",
    [NET_TLS_STARTTLS] = "starttls",
    [NET_TLS_IMPLICIT] = "implicit",
};
static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARNING] = "warning",
    [LOG_ERROR] = "error",
};

const char *config_protocol_name(enum config_protocol protocol)
{
    return protocol_names[protocol];
}

const char *config_tls_name(enum net_tls tls)
{
    return tls_names[tls];
}

/* Its place among the names, or -1. */
static int word_index(const char *word, const char *const *names, size_t count)
{
    for (size_t i = 0; word != NULL && i < count; i++) {
        if (strcmp(names[i], word) == 0)
            return (int)i;
    }
    return -1;
}
#define WORD_INDEX(word, names) word_index((word), (names), ARRAY_LEN(names))

/* ---- checks while the line is known ---- */

static const char *last_value(cfg_opt_t *opt)
{
    return cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
}

static int validate_word(cfg_t *cfg, cfg_opt_t *opt, const char *const *names, size_t count)
{
    char   list[100] = "";
    size_t at = 0;

    if (word_index(last_value(opt), names, count) >= 0)
        return 0;
    for (size_t i = 0; i < count && at < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i > 0 ? ", " : "", names[i]);
    cfg_error(cfg, "%s is one of %s", cfg_opt_name(opt), list);
    return -1;
}

static int validate_protocol(cfg_t *cfg, cfg_opt_t *opt)
{
    return validate_word(cfg, opt, protocol_names, ARRAY_LEN(protocol_names));
}

static int validate_tls(cfg_t *cfg, cfg_opt_t *opt)
{
    return validate_word(cfg, opt, tls_names, ARRAY_LEN(tls_names));
}

bool config_log_level_known(const char *name)
{
    return WORD_INDEX(name, level_names) >= 0;
}

static int validate_log_level(cfg_t *cfg, cfg_opt_t *opt)
{
    return validate_word(cfg, opt, level_names, ARRAY_LEN(level_names));
}

static int validate_blocks(cfg_t *cfg, cfg_opt_t *opt)
{
    struct net_block block;
    struct fail      why;

    for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
        if (!net_block_parse(slice_of(cfg_opt_getnstr(opt, i)), &block, &why)) {
            cfg_error(cfg, "%s: %s", cfg_opt_name(opt), why.text);
            return -1;
        }
    }
    return 0;
}

static int validate_addresses(cfg_t *cfg, cfg_opt_t *opt)
{
    for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
        struct slice address = slice_of(cfg_opt_getnstr(opt, i));
        size_t at = slice_find_char(address, '@');
        if (at == 0 || at + 1 >= address.len) {
            cfg_error(cfg, "%s: \"%s\" is not an account's address", cfg_opt_name(opt), address.ptr);
            return -1;
        }
    }
    return 0;
}

static int validate_dns_servers(cfg_t *cfg, cfg_opt_t *opt)
{
    struct sockaddr_storage address;
    struct fail             why;

    for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
        if (!dns_server_address(cfg_opt_getnstr(opt, i), &address, &why)) {
            cfg_error(cfg, "dns_servers: %s", why.text);
            return -1;
        }
    }
    return 0;
}

static int validate_path(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *path = last_value(opt);

    if (path != NULL && (path[0] == '/' || path[0] == '\0'))
        return 0;
    cfg_error(cfg, "%s is a path from the root (it begins with /)", cfg_opt_name(opt));
    return -1;
}

/* RFC 5321 section 2.3.5: letters, digits, hyphens and dots. */
static int validate_hostname(cfg_t *cfg, cfg_opt_t *opt)
{
    struct slice name = slice_of(last_value(opt));
    bool         ok = name.len > 0 && name.len <= 253 && name.ptr[0] != '.' && name.ptr[0] != '-';

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        ok = ok && (ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '.');
    }
    if (ok)
        return 0;
    cfg_error(cfg, "hostname is a domain name of letters, digits, hyphens and dots");
    return -1;
}

static int validate_limit(cfg_t *cfg, cfg_opt_t *opt)
{
    const struct config_limit *limit = config_limit_find(cfg_name(cfg), cfg_opt_name(opt));
    struct fail                why;

    if (limit == NULL)
        bug("no limit %s.%s", cfg_name(cfg), cfg_opt_name(opt));
    if (config_limit_set(limit, slice_of(last_value(opt)), NULL, &why))
        return 0;
    cfg_error(cfg, "%s", why.text);
    return -1;
}

static bool is_address(const char *address)
{
    struct in6_addr out; /* the larger of the two */

    return address != NULL && (address[0] == '/' || strcmp(address, "*") == 0 ||
                               inet_pton(AF_INET, address, &out) == 1 || inet_pton(AF_INET6, address, &out) == 1);
}

static bool is_loopback(const char *address)
{
    static const char *const blocks[] = {"127.0.0.0/8", "::1/128"};
    struct net_block         here, block;

    if (!net_block_parse(slice_of(address), &here, NULL))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        if (net_block_parse(slice_of(blocks[i]), &block, NULL) && net_block_contains(&block, &here.address))
            return true;
    }
    return false;
}

/* A whole listener: do its parts go together? */
static int validate_listener(cfg_t *cfg, cfg_opt_t *opt)
{
    cfg_t      *l = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    const char *address = cfg_getstr(l, "address");
    bool        is_unix = address != NULL && address[0] == '/';
    long        port = cfg_getint(l, "port"), idle = cfg_getint(l, "idle_seconds");
    const char *what = NULL;

    if (!is_address(address))
        what = "has an address that is neither an IP address nor \"*\" nor a path";
    else if (cfg_size(l, "protocol") == 0)
        what = "needs a protocol";
    else if (is_unix && port != 0)
        what = "is a Unix socket and has no port";
    else if (!is_unix && (port < 1 || port > 65535))
        what = "needs a port from 1 to 65535";
    else if (is_unix && cfg_size(l, "tls") > 0 && strcmp(cfg_getstr(l, "tls"), "none") != 0)
        what = "is a Unix socket and needs no TLS";
    else if (idle < 0 || idle > 24 * 3600)
        what = "has an idle_seconds that is not from 1 to 86400";
    else if (!is_unix && strcmp(cfg_getstr(l, "protocol"), "lmtp") == 0 && !is_loopback(address))
        what = "lets anybody who reaches it deliver: LMTP needs a Unix socket or a loopback address";
    if (what == NULL)
        return 0;
    cfg_error(cfg, "listener \"%s\" %s", cfg_title(l), what);
    return -1;
}

/* ---- the options ---- */

/* Every limit of `room`, ended by CFG_END.  libconfuse copies them. */
static void limit_options(const char *room, cfg_opt_t options[ROOM_OPTIONS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < config_limit_count; i++) {
        if (strcmp(config_limits[i].room, room) != 0)
            continue;
        if (n == ROOM_OPTIONS_MAX - 1)
            bug("more limits in %s than ROOM_OPTIONS_MAX", room);
        options[n++] = (cfg_opt_t)CFG_STR(config_limits[i].name, NULL, CFGF_NODEFAULT);
    }
    options[n] = (cfg_opt_t)CFG_END();
}

static const char *const limit_rooms[] = {"admin", "net",    "ipc",     "dns",       "smtp",      "imap", "pop3", "store",
                                          "volume", "deliver", "directory", "auth", "content", "fetch", "policy", "queue", "relay",
                                          "smtp_client"};

static cfg_t *make_parser(void)
{
    cfg_opt_t listener[] = {
        CFG_STR("address", "*", CFGF_NONE),
        CFG_INT("port", 0, CFGF_NONE),
        CFG_STR("protocol", NULL, CFGF_NODEFAULT),
        CFG_STR("tls", NULL, CFGF_NODEFAULT),
        CFG_BOOL("proxy", cfg_false, CFGF_NONE),
        CFG_INT("idle_seconds", 0, CFGF_NONE),
        CFG_END(),
    };
    cfg_opt_t route[] = {CONFIG_ROUTE_OPTIONS};
    cfg_opt_t rooms[ARRAY_LEN(limit_rooms)][ROOM_OPTIONS_MAX];
    for (size_t i = 0; i < ARRAY_LEN(limit_rooms); i++)
        limit_options(limit_rooms[i], rooms[i]);

    cfg_opt_t fixed[] = {
        CFG_STR("hostname", NULL, CFGF_NODEFAULT),
        CFG_STR("data", "/var/lib/posthorn", CFGF_NONE),
        CFG_STR("runtime", "/run/posthorn", CFGF_NONE),
        CFG_STR("user", "posthorn", CFGF_NONE),
        CFG_STR("queue_user", "posthorn-queue", CFGF_NONE),
        CFG_STR("auth_user", "posthorn-auth", CFGF_NONE),
        CFG_STR("content_user", "posthorn-content", CFGF_NONE),
        CFG_STR("fetch_user", "posthorn-fetch", CFGF_NONE),
        CFG_STR("resolver_user", "posthorn-resolver", CFGF_NONE),
        CFG_STR("admin_user", "", CFGF_NONE),
        CFG_STR("certificate", "", CFGF_NONE),
        CFG_STR("key", "", CFGF_NONE),
        CFG_BOOL("allow_plaintext_login", cfg_false, CFGF_NONE),
        CFG_BOOL("sandbox", cfg_true, CFGF_NONE),
        CFG_STR("log_level", "info", CFGF_NONE),
        CONFIG_FETCH_OPTIONS,
        CONFIG_SENDING_OPTIONS,
        CONFIG_QUOTA_OPTIONS,
        CFG_STR_LIST("proxy_from", NULL, CFGF_NODEFAULT),
        CFG_STR_LIST("mend_lf_for", NULL, CFGF_NODEFAULT),
        CFG_STR_LIST("administrators", NULL, CFGF_NODEFAULT),
        CFG_STR_LIST("sendmail_trusted", NULL, CFGF_NODEFAULT),
        CFG_STR_LIST("dns_servers", NULL, CFGF_NODEFAULT),
        CFG_SEC("listener", listener, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
        CFG_SEC("route", route, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    };
    cfg_opt_t options[ARRAY_LEN(fixed) + ARRAY_LEN(limit_rooms) + CONFIG_POLICY_SECTIONS + 1];
    size_t n = ARRAY_LEN(fixed);
    memcpy(options, fixed, sizeof fixed);
    for (size_t i = 0; i < ARRAY_LEN(limit_rooms); i++)
        options[n++] = (cfg_opt_t)CFG_SEC(limit_rooms[i], rooms[i], CFGF_NONE);
    config_policy_sections(&options[n]);
    n += CONFIG_POLICY_SECTIONS;
    options[n] = (cfg_opt_t)CFG_END();

    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    if (cfg == NULL)
        die_no_memory(sizeof options);
    cfg_set_error_function(cfg, on_error);
    return cfg;
}

static void set_checks(cfg_t *cfg)
{
    static const struct { const char *option; cfg_validate_callback_t check; } checks[] = {
        {"hostname", validate_hostname},     {"data", validate_path},
        {"runtime", validate_path},          {"certificate", validate_path},
        {"key", validate_path},              {"log_level", validate_log_level},
        {"proxy_from", validate_blocks},     {"mend_lf_for", validate_blocks},
        {"listener", validate_listener},     {"listener|protocol", validate_protocol},
        {"listener|tls", validate_tls},      {"administrators", validate_addresses},
        {"relay_networks", validate_blocks}, {"xclient_from", validate_blocks},
        {"relay_domains", config_sending_validate_domains}, {"srs_domain", config_sending_validate_domain},
        {"aliases_file", validate_path}, {"quota_warnings", config_quota_validate_warnings},
        {"fetch_helpers", config_fetch_validate_helpers}, {"fetch_authorities", validate_path},
        {"tls_authorities", validate_path},
        {"tls_report_contact", config_fetch_validate_contact},
        {"dns_servers", validate_dns_servers}, {"route", config_route_validate},
    };
    char name[100];

    for (size_t i = 0; i < ARRAY_LEN(checks); i++)
        (void)cfg_set_validate_func(cfg, checks[i].option, checks[i].check);
    config_policy_set_checks(cfg);
    for (size_t i = 0; i < config_limit_count; i++) {
        (void)snprintf(name, sizeof name, "%s|%s", config_limits[i].room, config_limits[i].name);
        (void)cfg_set_validate_func(cfg, name, validate_limit);
    }
}

/* ---- from libconfuse's values to ours ---- */

const char *config_user_option(enum role role)
{
    static const char *const names[ROLE_COUNT] = {
        [ROLE_MAIL] = "user",
        [ROLE_QUEUE] = "queue_user",
        [ROLE_AUTH] = "auth_user",
        [ROLE_CONTENT] = "content_user",
        [ROLE_FETCH] = "fetch_user",
        [ROLE_RESOLVER] = "resolver_user",
    };

    return names[role];
}

static const char *take_text(struct config *c, cfg_t *cfg, const char *name)
{
    return arena_cstr(&c->arena, slice_of(cfg_getstr(cfg, name)));
}

static struct net_block *take_blocks(struct config *c, cfg_t *cfg, const char *name, size_t *count)
{
    unsigned          n = cfg_size(cfg, name);
    struct net_block *blocks = arena_new_array(&c->arena, struct net_block, n);

    for (unsigned i = 0; blocks != NULL && i < n; i++)
        (void)net_block_parse(slice_of(cfg_getnstr(cfg, name, i)), &blocks[i], NULL); /* checked before */
    *count = blocks != NULL ? n : 0;
    return blocks;
}

static const char **take_texts(struct config *c, cfg_t *cfg, const char *name, size_t *count)
{
    unsigned     n = cfg_size(cfg, name);
    const char **texts = arena_new_array(&c->arena, const char *, n);

    for (unsigned i = 0; texts != NULL && i < n; i++)
        texts[i] = arena_cstr(&c->arena, slice_of(cfg_getnstr(cfg, name, i)));
    *count = texts != NULL ? n : 0;
    return texts;
}

/* The same, NULL-ended; NULL if there are none. */
static const char **take_list(struct config *c, cfg_t *cfg, const char *name)
{
    unsigned     n = cfg_size(cfg, name);
    const char **texts = n > 0 ? arena_new_array(&c->arena, const char *, n + 1) : NULL;

    for (unsigned i = 0; texts != NULL && i < n; i++)
        texts[i] = arena_cstr(&c->arena, slice_of(cfg_getnstr(cfg, name, i)));
    return texts;
}

static unsigned default_idle(enum config_protocol protocol)
{
    switch (protocol) {
    case PROTOCOL_SMTP:
    case PROTOCOL_SUBMISSION:
    case PROTOCOL_LMTP: return 300;  /* RFC 5321 section 4.5.3.2.7 */
    case PROTOCOL_IMAP: return 1800; /* RFC 3501 section 5.4 */
    case PROTOCOL_POP3: return 600;  /* RFC 1939 section 3 */
    }
    bug("protocol %d", (int)protocol);
}

static void take_listener(struct config *c, cfg_t *l, struct config_listener *out)
{
    const char *tls = cfg_size(l, "tls") > 0 ? cfg_getstr(l, "tls") : NULL;

    out->name = arena_cstr(&c->arena, slice_of(cfg_title(l)));
    out->address = take_text(c, l, "address");
    out->port = (unsigned)cfg_getint(l, "port");
    out->protocol = (enum config_protocol)WORD_INDEX(cfg_getstr(l, "protocol"), protocol_names);
    if (tls != NULL)
        out->tls = (enum net_tls)WORD_INDEX(tls, tls_names);
    else
        out->tls = out->address[0] == '/' || c->certificate[0] == '\0' ? NET_TLS_NONE : NET_TLS_STARTTLS;
    out->proxy = cfg_getbool(l, "proxy") != cfg_false;
    out->idle_seconds = (unsigned)cfg_getint(l, "idle_seconds");
    if (out->idle_seconds == 0)
        out->idle_seconds = default_idle(out->protocol);
}

/* What a mail server listens on when the file names nothing: RFC 8314's ports and LMTP beside. */
static void default_listeners(struct config *c)
{
    const struct config_listener rows[] = {
        {"smtp", "*", 25, PROTOCOL_SMTP, NET_TLS_STARTTLS, false, 0},
        {"submission", "*", 587, PROTOCOL_SUBMISSION, NET_TLS_STARTTLS, false, 0},
        {"submissions", "*", 465, PROTOCOL_SUBMISSION, NET_TLS_IMPLICIT, false, 0},
        {"imap", "*", 143, PROTOCOL_IMAP, NET_TLS_STARTTLS, false, 0},
        {"imaps", "*", 993, PROTOCOL_IMAP, NET_TLS_IMPLICIT, false, 0},
        {"pop3", "*", 110, PROTOCOL_POP3, NET_TLS_STARTTLS, false, 0},
        {"pop3s", "*", 995, PROTOCOL_POP3, NET_TLS_IMPLICIT, false, 0},
        {"lmtp", config_runtime_path(c, "lmtp"), 0, PROTOCOL_LMTP, NET_TLS_NONE, false, 0},
    };

    c->listener_count = ARRAY_LEN(rows);
    c->listeners = arena_new_array(&c->arena, struct config_listener, ARRAY_LEN(rows));
    if (c->listeners == NULL)
        return;
    memcpy(c->listeners, rows, sizeof rows);
    for (size_t i = 0; i < c->listener_count; i++)
        c->listeners[i].idle_seconds = default_idle(c->listeners[i].protocol);
}

static void take_listeners(struct config *c, cfg_t *cfg)
{
    unsigned n = cfg_size(cfg, "listener");

    if (n == 0) {
        default_listeners(c);
        return;
    }
    c->listeners = arena_new_array(&c->arena, struct config_listener, n);
    if (c->listeners == NULL)
        return;
    c->listener_count = n;
    for (unsigned i = 0; i < n; i++)
        take_listener(c, cfg_getnsec(cfg, "listener", i), &c->listeners[i]);
}

static void take_limits(struct config *c, cfg_t *cfg)
{
    for (size_t i = 0; i < config_limit_count; i++) {
        cfg_t *room = cfg_getsec(cfg, config_limits[i].room);
        if (cfg_size(room, config_limits[i].name) > 0)
            (void)config_limit_set(&config_limits[i], slice_of(cfg_getstr(room, config_limits[i].name)), c,
                                   NULL); /* checked before */
    }
}

static void take_all(struct config *c, cfg_t *cfg)
{
    c->hostname = take_text(c, cfg, "hostname");
    c->data = take_text(c, cfg, "data");
    c->runtime = take_text(c, cfg, "runtime");
    for (int r = 0; r < ROLE_COUNT; r++)
        c->users[r] = take_text(c, cfg, config_user_option((enum role)r));
    c->admin_user = take_text(c, cfg, "admin_user");
    c->certificate = take_text(c, cfg, "certificate");
    c->key = take_text(c, cfg, "key");
    c->allow_plaintext_login = cfg_getbool(cfg, "allow_plaintext_login") != cfg_false;
    c->sandbox = cfg_getbool(cfg, "sandbox") != cfg_false;
    c->log_level = (enum log_level)WORD_INDEX(cfg_getstr(cfg, "log_level"), level_names);
    c->proxy_from = take_blocks(c, cfg, "proxy_from", &c->proxy_from_count);
    c->mend_lf_for = take_blocks(c, cfg, "mend_lf_for", &c->mend_lf_count);
    c->administrators = take_texts(c, cfg, "administrators", &c->administrator_count);
    c->sendmail_trusted = take_texts(c, cfg, "sendmail_trusted", &c->sendmail_trusted_count);
    config_fetch_take(c, cfg);
    config_sending_take(c, cfg);
    config_quota_take(c, cfg);
    c->dns_servers = take_list(c, cfg, "dns_servers");
    config_route_take(c, cfg);
    config_limits_default(c);
    take_limits(c, cfg);
    config_policy_take(c, cfg);
    take_listeners(c, cfg);
}

/* What only shows when everything is known. */
static bool check_whole(const struct config *c, struct fail *why)
{
    const char *what = NULL, *name = "";

    if (c->hostname[0] == '\0')
        what = "hostname is not set";
    else if (c->data[0] == '\0' || c->runtime[0] == '\0')
        what = "data and runtime cannot be empty";
    else if ((c->certificate[0] == '\0') != (c->key[0] == '\0'))
        what = "certificate and key go together";
    for (size_t i = 0; what == NULL && i < c->listener_count; i++) {
        const struct config_listener *l = &c->listeners[i];
        name = l->name;
        if (l->tls != NET_TLS_NONE && c->certificate[0] == '\0')
            what = "speaks TLS, so certificate and key must be set";
        else if (l->proxy && c->proxy_from_count == 0)
            what = "believes PROXY headers, so proxy_from must name their sources";
    }
    if (what == NULL)
        return (auth_limits_check(&c->auth, why) || fail_at(why, "%s: auth", c->path)) &&
               (policy_limits_check(&c->policy, why) || fail_at(why, "%s: policy", c->path));
    if (name[0] != '\0')
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: listener \"%s\" %s", c->path, name, what);
    return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: %s", c->path, what);
}

static bool parse_text(cfg_t *cfg, const char *path, struct slice text, struct fail *why)
{
    if (text.len == 0)
        return true; /* fmemopen refuses it */
    FILE *in = fmemopen((void *)(uintptr_t)text.ptr, text.len, "r");
    if (in == NULL)
        return fail_errno(why, errno, "%s", path);
    struct fail said = {.kind = FAIL_PERM, .reason = FAIL_INVALID};
    parse_path = path;
    parse_error = &said;
    bool ok = cfg_parse_fp(cfg, in) == CFG_SUCCESS;
    parse_error = NULL;
    (void)fclose(in);
    if (!ok && said.text[0] == '\0')
        (void)fail_set(&said, FAIL_PERM, FAIL_INVALID, "%s: cannot be parsed", path);
    if (!ok)
        *why = said;
    return ok;
}

bool config_parse(const char *path, struct slice text, struct config **out, struct fail *why)
{
    struct fail    unused = {0};
    cfg_t         *cfg;
    struct config *c = xcalloc(1, sizeof *c);

    arena_init(&c->arena, ARENA_MAX);
    c->path = arena_cstr(&c->arena, slice_of(path));
    c->text = arena_keep(&c->arena, text);
    why = why != NULL ? why : &unused;

    cfg = make_parser();
    set_checks(cfg);
    bool ok = config_syntax_check(path, text, why) && parse_text(cfg, path, text, why);
    if (ok) {
        take_all(c, cfg);
        ok = config_fetch_take_others(c, why) && check_whole(c, why);
    }
    if (ok && c->arena.failed)
        ok = fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "%s: too much", path);
    (void)cfg_free(cfg);
    if (!ok) {
        config_destroy(&c);
        return false;
    }
    *out = c;
    return true;
}

bool config_load(const char *path, struct config **out, struct fail *why)
{
    struct buf text;

    buf_init(&text, FILE_MAX);
    bool ok = io_read_file(path, &text, why) && config_parse(path, buf_slice(&text), out, why);
    buf_finish(&text);
    return ok;
}

void config_destroy(struct config **c)
{
    if (*c == NULL)
        return;
    struct arena arena = (*c)->arena;
    arena_finish(&arena);
    free(*c);
    *c = NULL;
}

static const char *below_of(struct config *c, const char *top, const char *below)
{
    return arena_printf(&c->arena, "%s/%s", top, below).ptr;
}

const char *config_data_path(struct config *c, const char *below)
{
    return below_of(c, c->data, below);
}

const char *config_runtime_path(struct config *c, const char *below)
{
    return below_of(c, c->runtime, below);
}
