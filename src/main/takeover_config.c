/*
 * main/takeover_config.c - see main/takeover_config.h.
 *
 * Layer: main.  Above each line stands what it was made from.  What cannot be said here stays a comment.
 */
#include "main/takeover_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/address.h"
#include "base/io.h"
#include "net/net.h"
#include "relay/route.h"

enum { FILE_MOST = 4 << 20, MESSAGE_LEAST = 64 << 10 };

struct writing {
    const struct takeover_config *t;
    const char *path; /* whole */
    struct buf out, list;
    unsigned passwords;
    struct slice host, user, password; /* looked for, found */
    struct fail *why;
    bool failed;
};

static void add_string(struct buf *out, struct slice text)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\' || text.ptr[i] == '$')
            buf_add_char(out, '\\');
        buf_add_char(out, text.ptr[i]);
    }
    buf_add_char(out, '"');
}

/* One line, whatever is in it. */
static void add_comment(struct writing *w, const char *name, struct slice value)
{
    buf_addf(&w->out, "\n# %s = ", name);
    for (size_t i = 0; i < value.len; i++)
        buf_add_char(&w->out, (unsigned char)value.ptr[i] < ' ' ? ' ' : value.ptr[i]);
    buf_add_char(&w->out, '\n');
}

static void add_line(struct writing *w, const char *name, struct slice value)
{
    buf_addf(&w->out, "%s = ", name);
    add_string(&w->out, value);
    buf_add_char(&w->out, '\n');
}

/* A comment in the file, a note in the plan. */
static void not_carried(struct writing *w, const char *what, struct slice value)
{
    struct slice text = arena_printf(w->t->arena, "%s: " PRIslice, what, SLICE_ARG(value));

    buf_add(&w->out, SLICE("# not carried: "));
    for (size_t i = 0; i < text.len; i++)
        buf_add_char(&w->out, (unsigned char)text.ptr[i] < ' ' ? ' ' : text.ptr[i]);
    buf_add_char(&w->out, '\n');
    w->t->notes.note(w->t->notes.ctx, arena_cstr(w->t->arena, text), "cannot be carried by --write-config: set it by hand");
}

static struct slice get(const struct writing *w, const char *name)
{
    return postfix_get(w->t->postfix, name);
}

/* ---- certificate ---- */

/* Of a copied machine a file is where the copy has it. */
static struct slice place_of(const struct writing *w, struct slice path)
{
    struct arena *a = w->t->arena;
    struct slice whole = strcmp(w->t->root, "/") == 0 ? path : arena_printf(a, "%s" PRIslice, w->t->root, SLICE_ARG(path));

    return slice_starts(path, SLICE("/")) && access(arena_cstr(a, whole), F_OK) == 0 ? whole : SLICE("");
}

static bool holds_certificate(const struct writing *w, struct slice path)
{
    union {
        const char *text;
        void       *memory;
    } secret;
    struct slice text;
    bool there = false;

    if (!box_file(w->t->root, path, w->t->arena, &text, &there, NULL) || !there)
        return true;
    bool holds = slice_find(text, SLICE("-----BEGIN CERTIFICATE-----")) < text.len;
    secret.text = text.ptr;
    explicit_bzero(secret.memory, text.len); /* a key is in it */
    return holds;
}

static void add_certificate(struct writing *w)
{
    struct slice certificate = get(w, "smtpd_tls_cert_file"), key = get(w, "smtpd_tls_key_file"), chain = get(w, "smtpd_tls_chain_files");
    const char *name = "smtpd_tls_cert_file";

    if (chain.len > 0) { /* a key stands before its certificates, in one file or in two; then another key may follow */
        name = "smtpd_tls_chain_files";
        key = postfix_word(&chain);
        certificate = holds_certificate(w, key) ? key : postfix_word(&chain);
        struct slice more = postfix_word(&chain);
        if (more.len > 0)
            not_carried(w, "smtpd_tls_chain_files: one key and its certificates are enough here", more);
    } else if (certificate.len == 0) {
        name = "ssl_cert";
        certificate = dovecot_get(w->t->dovecot, "ssl_cert");
        key = dovecot_get(w->t->dovecot, "ssl_key");
        certificate = slice_trim(slice_starts(certificate, SLICE("<")) ? slice_from(certificate, 1) : certificate);
        key = slice_trim(slice_starts(key, SLICE("<")) ? slice_from(key, 1) : key);
    }
    if (key.len == 0)
        key = certificate;
    if (certificate.len == 0)
        return;
    add_comment(w, name, certificate);
    struct slice certificate_at = place_of(w, certificate), key_at = place_of(w, key);
    if (certificate_at.len == 0 || key_at.len == 0) {
        not_carried(w, "certificate and key are not there or cannot be seen", certificate);
        return;
    }
    add_line(w, "certificate", certificate_at);
    add_line(w, "key", key_at);
}

/* ---- lists ---- */

static void add_to_list(struct writing *w, struct slice item)
{
    if (w->list.len > 0)
        buf_add(&w->list, SLICE(", "));
    add_string(&w->list, item);
}

static void add_network(void *ctx, struct slice key, struct slice value)
{
    struct writing *w = ctx;
    struct slice rest = key, block = key;
    struct net_block parsed;

    (void)value;
    if (slice_starts(key, SLICE("["))) { /* "[2001:db8::]/32" */
        struct slice inner = slice_from(key, 1);
        rest = inner;
        inner = slice_cut(&rest, ']');
        block = arena_printf(w->t->arena, PRIslice PRIslice, SLICE_ARG(inner), SLICE_ARG(rest));
    }
    if (slice_starts(block, SLICE("127.")) || slice_starts(block, SLICE("::1/")) || slice_eq(block, SLICE("::1")))
        return;
    if (net_block_parse(block, &parsed, NULL))
        add_to_list(w, block);
    else
        not_carried(w, "mynetworks", key);
}

static void add_relay_domain(void *ctx, struct slice key, struct slice value)
{
    struct writing *w = ctx;
    bool below = slice_starts(key, SLICE("."));
    struct domain_key parsed;

    (void)value;
    if (!domain_key_parse(below ? slice_from(key, 1) : key, &parsed)) {
        not_carried(w, "relay_domains", key);
        return;
    }
    add_to_list(w, key);
    if (!below) /* parent_domain_matches_subdomains */
        add_to_list(w, arena_printf(w->t->arena, "." PRIslice, SLICE_ARG(key)));
}

static void add_list(struct writing *w, const char *setting, const char *name, void (*each)(void *ctx, struct slice key, struct slice value))
{
    struct slice value = get(w, setting);

    if (value.len == 0)
        return;
    buf_reset(&w->list);
    add_comment(w, setting, value);
    postfix_each(w->t->postfix, setting, each, w);
    if (w->list.len > 0)
        buf_addf(&w->out, "%s = {" PRIslice "}\n", name, SLICE_ARG(buf_slice(&w->list)));
}

/* ---- routes ---- */

static void find_password(void *ctx, struct slice key, struct slice value)
{
    struct writing *w = ctx;

    if (w->user.len > 0 || !slice_eq_nocase(key, w->host))
        return;
    w->user = arena_keep(w->t->arena, slice_cut(&value, ':'));
    w->password = arena_keep(w->t->arena, value);
}

static bool write_file(const char *path, struct slice text, struct fail *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_errno(why, errno, "%s", path);
    bool ok = io_write_all(fd, text, why);
    if (close(fd) != 0 && ok)
        ok = fail_errno(why, errno, "%s", path);
    if (!ok)
        (void)unlink(path);
    return ok;
}

static bool add_password(struct writing *w, struct slice destination)
{
    struct arena *a = w->t->arena;

    w->host = destination;
    w->user = w->password = SLICE("");
    if (slice_eq_nocase(get(w, "smtp_sasl_auth_enable"), SLICE("yes")))
        postfix_each(w->t->postfix, "smtp_sasl_password_maps", find_password, w);
    if (w->user.len == 0 || w->password.len == 0 || w->failed)
        return false;
    struct slice file = arena_printf(a, "%s.%u.password", w->path, w->passwords + 1);
    if (!write_file(arena_cstr(a, file), arena_printf(a, PRIslice "\n", SLICE_ARG(w->password)), w->why)) {
        w->failed = true;
        return false;
    }
    w->passwords++;
    buf_add(&w->out, SLICE("    # from smtp_sasl_password_maps; queue_user must be able to read the file\n    user = "));
    add_string(&w->out, w->user);
    buf_add(&w->out, SLICE("\n    password_file = "));
    add_string(&w->out, file);
    buf_add_char(&w->out, '\n');
    return true;
}

/* smtp_tls_security_level, and what a password needs. */
static void add_tls(struct writing *w, bool password, bool smtp)
{
    struct slice level = get(w, "smtp_tls_security_level");
    bool wrapped = slice_eq_nocase(get(w, "smtp_tls_wrappermode"), SLICE("yes"));
    const char *tls = slice_eq(level, SLICE("encrypt"))                                         ? "must"
                      : slice_eq(level, SLICE("verify")) || slice_eq(level, SLICE("secure"))    ? "verify"
                      : slice_eq(level, SLICE("dane-only"))                                     ? "dane"
                      : slice_eq(level, SLICE("none")) && !password && !wrapped                 ? "none"
                                                                                                : NULL;

    if (tls == NULL || !smtp)
        return;
    buf_addf(&w->out, "    # smtp_tls_security_level = " PRIslice "\n    tls = %s\n", SLICE_ARG(level), tls);
    if (wrapped)
        buf_add(&w->out, SLICE("    # smtp_tls_wrappermode = yes\n    wrapped = true\n"));
}

/* "[host]:port", "host:port", "unix:/path", "inet:host:port" as a route has it; empty: it cannot be said. */
static struct slice host_of(const struct writing *w, struct slice next, bool lmtp)
{
    struct slice host = next, port = SLICE("");
    struct route_host parsed;
    struct fail why;

    if (lmtp && slice_starts(next, SLICE("unix:")))
        return slice_starts(slice_from(next, 5), SLICE("/")) ? slice_from(next, 5) : SLICE("");
    if (lmtp && slice_starts(host, SLICE("inet:")))
        host = slice_from(host, 5);
    if (slice_starts(host, SLICE("["))) {
        port = slice_from(host, 1);
        host = slice_cut(&port, ']');
        port = slice_starts(port, SLICE(":")) ? slice_from(port, 1) : SLICE("");
        if (slice_starts_nocase(host, SLICE("ipv6:")))
            host = slice_from(host, 5);
    } else {
        port = host;
        host = slice_cut(&port, ':');
    }
    static const char *const services[][2] = {{"smtp", "25"}, {"submission", "587"}, {"smtps", "465"}, {"submissions", "465"}, {"lmtp", "24"}};
    for (size_t i = 0; i < ARRAY_LEN(services); i++)
        if (slice_eq(port, slice_of(services[i][0])))
            port = slice_of(services[i][1]);
    bool v6 = slice_find_char(host, ':') < host.len;
    host = arena_printf(w->t->arena, "%s" PRIslice "%s%s" PRIslice, v6 ? "[" : "", SLICE_ARG(host), v6 ? "]" : "", port.len > 0 ? ":" : "",
                        SLICE_ARG(port));
    return route_host_parse(arena_cstr(w->t->arena, host), lmtp ? ROUTE_LMTP : ROUTE_SMTP, false, &parsed, &why) ? host : SLICE("");
}

static void add_route(struct writing *w, struct slice title, struct slice recipient, struct slice next, bool lmtp)
{
    struct slice host = next.len > 0 ? host_of(w, next, lmtp) : SLICE("");

    if ((next.len > 0 || lmtp) && host.len == 0) {
        not_carried(w, "route", next);
        return;
    }
    if (host.len > 0 && !lmtp && !slice_starts(next, SLICE("[")))
        buf_add(&w->out, SLICE("# its MX was asked for; here it is the host itself\n"));
    buf_add(&w->out, SLICE("route "));
    add_string(&w->out, title);
    buf_add(&w->out, SLICE(" {\n"));
    if (recipient.len > 0) {
        buf_add(&w->out, SLICE("    recipient_domain = {"));
        add_string(&w->out, recipient);
        buf_add(&w->out, SLICE("}\n"));
    }
    if (host.len > 0) {
        buf_add(&w->out, SLICE("    hosts = {"));
        add_string(&w->out, host);
        buf_add(&w->out, SLICE("}\n"));
    }
    if (lmtp)
        buf_add(&w->out, SLICE("    protocol = lmtp\n"));
    add_tls(w, host.len > 0 && !lmtp && add_password(w, next), !lmtp);
    buf_add(&w->out, SLICE("}\n"));
}

static bool is_pattern(struct slice key)
{
    struct domain_key parsed;
    size_t at = slice_rfind_char(key, '@');
    struct slice domain = at < key.len ? slice_from(key, at + 1) : slice_starts(key, SLICE(".")) ? slice_from(key, 1) : key;

    return slice_eq(key, SLICE("*")) || (at != 0 && domain_key_parse(domain, &parsed));
}

static void add_transport(void *ctx, struct slice key, struct slice value)
{
    struct writing *w = ctx;
    struct slice next = value, kind = slice_cut(&next, ':');
    bool lmtp = slice_eq(kind, SLICE("lmtp"));

    add_comment(w, "transport_maps", arena_printf(w->t->arena, PRIslice " " PRIslice, SLICE_ARG(key), SLICE_ARG(value)));
    if ((!lmtp && !slice_eq(kind, SLICE("smtp")) && !slice_eq(kind, SLICE("relay"))) || !is_pattern(key))
        not_carried(w, "a route sends by SMTP or LMTP", arena_printf(w->t->arena, PRIslice " " PRIslice, SLICE_ARG(key), SLICE_ARG(value)));
    else
        add_route(w, arena_printf(w->t->arena, "transport " PRIslice, SLICE_ARG(key)), key, next, lmtp);
}

/* ---- all ---- */

static void add_all(struct writing *w)
{
    struct slice host = get(w, "myhostname"), limit = get(w, "message_size_limit"), mark = get(w, "recipient_delimiter"), relay = get(w, "relayhost");
    unsigned long long bytes = strtoull(arena_cstr(w->t->arena, limit), NULL, 10), most = 4ULL * 1024 * 1024 * 1024 - 1;

    buf_addf(&w->out, "# Made from the settings in %s by posthorn import postfix-dovecot; to be put at the end of posthorn.conf.\n"
                      "# Above each line stands what it was.  posthorn config check looks at the whole.\n", w->t->root);
    if (slice_find_char(host, '.') < host.len) {
        add_comment(w, "myhostname", host);
        add_line(w, "hostname", host);
    }
    add_certificate(w);
    add_list(w, "mynetworks", "relay_networks", add_network);
    add_list(w, "relay_domains", "relay_domains", add_relay_domain);
    add_comment(w, "message_size_limit", limit);
    bytes = bytes == 0 || bytes > most ? most : bytes < MESSAGE_LEAST ? MESSAGE_LEAST : bytes;
    buf_addf(&w->out, "smtp {\n    message_bytes = %llu\n}\n", bytes);
    if (mark.len > 0) {
        add_comment(w, "recipient_delimiter", mark);
        buf_add(&w->out, SLICE("directory {\n    separator = "));
        add_string(&w->out, slice_sub(mark, 0, 1));
        buf_add(&w->out, SLICE("\n}\n"));
    }
    postfix_each(w->t->postfix, "transport_maps", add_transport, w);
    if (relay.len > 0) {
        add_comment(w, "relayhost", relay);
        add_route(w, SLICE("relayhost"), SLICE(""), relay, false);
    }
    buf_add(&w->out, SLICE("\n# Until everybody has signed in once, SCRAM fails for accounts whose passwords are hashes of another kind:\n"
                           "# auth { mechanisms = \"PLAIN LOGIN\" } offers only what works at once.\n"));
}

/* Absolute, so that password_file can name what lies beside it. */
static bool whole_path(const char *path, struct arena *a, const char **out, struct fail *why)
{
    char here[4096];

    if (path[0] != '/' && getcwd(here, sizeof here) == NULL) {
        (void)fail_errno(why, errno, "the working directory");
        return false;
    }
    *out = path[0] == '/' ? path : arena_cstr(a, arena_printf(a, "%s/%s", here, path));
    if (*out == NULL) {
        (void)fail_set(why, FAIL_TEMP, FAIL_LIMIT, "no memory for a path");
        return false;
    }
    return true;
}

bool takeover_config_write(const struct takeover_config *t, const char *path, struct fail *why)
{
    struct writing w = {.t = t, .why = why};

    if (!whole_path(path, t->arena, &w.path, why))
        return false;
    if (access(w.path, F_OK) == 0)
        return fail_set(why, FAIL_PERM, FAIL_EXISTS, "%s is there already and stays as it is", path);
    buf_init(&w.out, FILE_MOST);
    buf_init(&w.list, FILE_MOST);
    add_all(&w);
    bool ok = !w.failed && (!w.out.failed || fail_set(why, FAIL_PERM, FAIL_LIMIT, "too much for one config")) &&
              write_file(w.path, buf_slice(&w.out), why);
    for (unsigned i = 1; i <= w.passwords && !ok; i++)
        (void)unlink(arena_cstr(t->arena, arena_printf(t->arena, "%s.%u.password", w.path, i)));
    buf_finish(&w.list);
    buf_finish(&w.out);
    return ok;
}
