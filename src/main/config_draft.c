/*
 * main/config_draft.c - writes a new config file, with comments.
 *
 * Layer: main.
 */
#include "main/config_draft.h"

#include <stdio.h>

#include "main/config_limits.h"

/* "text", with what libconfuse would take for something else hidden from it. */
static void add_string(struct buf *out, const char *text)
{
    buf_add_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\' || *text == '$')
            buf_add_char(out, '\\');
        buf_add_char(out, *text);
    }
    buf_add_char(out, '"');
}

static void add_setting(struct buf *out, const char *comment, const char *name, const char *value)
{
    if (comment != NULL)
        buf_addf(out, "\n# %s\n", comment);
    buf_addf(out, "%s = ", name);
    add_string(out, value);
    buf_add_char(out, '\n');
}

static void add_listener(struct buf *out, const char *name, const char *address, unsigned port, const char *protocol,
                         const char *tls)
{
    buf_addf(out, "listener \"%s\" {\n    address = ", name);
    add_string(out, address);
    if (port != 0)
        buf_addf(out, "\n    port = %u", port);
    buf_addf(out, "\n    protocol = %s\n    tls = %s\n}\n", protocol, tls);
}

static void add_listeners(const struct config_draft *d, struct buf *out)
{
    static const struct { const char *name; unsigned port; const char *protocol, *tls; } rows[] = {
        {"smtp", 25, "smtp", "starttls"},
        {"submission", 587, "submission", "starttls"},
        {"submissions", 465, "submission", "implicit"},
        {"imap", 143, "imap", "starttls"},
        {"imaps", 993, "imap", "implicit"},
        {"pop3", 110, "pop3", "starttls"},
        {"pop3s", 995, "pop3", "implicit"},
    };
    char path[200];

    buf_add(out, SLICE("\n# Where clients connect.  \"*\" is every address; a path is a Unix socket.\n"
                       "# protocol: smtp (other servers), submission (users), lmtp (another mail server here), imap, pop3.\n"
                       "# tls: none, starttls, implicit.\n"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        add_listener(out, rows[i].name, d->address, d->port_base + rows[i].port, rows[i].protocol, rows[i].tls);
    if (d->lmtp_address[0] != '\0') {
        add_listener(out, "lmtp", d->lmtp_address, d->port_base + 24, "lmtp", "none");
    } else {
        (void)snprintf(path, sizeof path, "%s/lmtp", d->runtime);
        add_listener(out, "lmtp", path, 0, "lmtp", "none");
    }
}

/* The demo's mail for elsewhere. */
static void add_smarthost(const char *smarthost, struct buf *out)
{
    if (smarthost[0] == '\0') {
        buf_add(out, SLICE("\n# A demo sends nothing outside: what is for elsewhere waits in the queue.\nroute \"outside\" {\n    defer = "
                           "\"4.3.2 this is a demo, which sends nothing outside unless told where to (posthorn demo --smarthost HOST:PORT)\"\n}\n"));
        return;
    }
    buf_add(out, SLICE("\n# Mail for elsewhere goes there, whoever that is.\nroute \"smarthost\" {\n    hosts = {"));
    add_string(out, smarthost);
    buf_add(out, SLICE("}\n    tls = may\n}\n"));
}

/* The limits of `auth` that auth_limits_cheap sets otherwise than they are. */
static void add_cheap_hashes(struct buf *out)
{
    static struct config usual, cheap; /* too large for the stack; only their limits are used */
    struct buf           was, is;

    config_limits_default(&usual);
    config_limits_default(&cheap);
    auth_limits_cheap(&cheap.auth);
    buf_init(&was, 100);
    buf_init(&is, 100);
    buf_add(out, SLICE("\n# Never for real passwords: these are no secret, so hashing them well would only cost time.\n"
                       "auth {\n"));
    for (size_t i = 0; i < config_limit_count; i++) {
        buf_reset(&was);
        buf_reset(&is);
        config_limit_show(&config_limits[i], &usual, &was);
        config_limit_show(&config_limits[i], &cheap, &is);
        if (!slice_eq(buf_slice(&was), buf_slice(&is)))
            buf_addf(out, "    %s = \"" PRIslice "\"\n", config_limits[i].name, SLICE_ARG(buf_slice(&is)));
    }
    buf_add(out, SLICE("}\n"));
    buf_finish(&was);
    buf_finish(&is);
}

void config_draft_write(const struct config_draft *d, struct buf *out)
{
    buf_add(out, SLICE("# Posthorn's configuration; posthorn.conf(5) explains every setting.\n"
                       "# After a change: posthorn config check, then systemctl restart posthorn.\n"));
    add_setting(out, "The name other servers know this one by: what the MX record of your domains says.", "hostname",
                d->hostname);
    add_setting(out, "Mail, secrets and their databases.", "data", d->data);
    add_setting(out, "Control sockets.", "runtime", d->runtime);
    add_setting(out, "The parts of the server run as these users when started as root (\"\": no change of users).",
                "user", d->user);
    for (int r = 0; r < ROLE_COUNT; r++) {
        char name[128] = "";
        if (r == ROLE_MAIL)
            continue;
        if (d->user[0] != '\0')
            (void)snprintf(name, sizeof name, "%s-%s", d->user, role_name((enum role)r));
        add_setting(out, NULL, config_user_option((enum role)r), name);
    }
    add_setting(out, "PEM files.  posthorn reads them again when told to (systemctl reload posthorn).", "certificate",
                d->certificate);
    add_setting(out, NULL, "key", d->key);
    buf_addf(out, "\n# May passwords come over a connection without TLS, also from other machines?\n"
                  "allow_plaintext_login = %s\n",
             d->allow_plaintext_login ? "true" : "false");
    add_setting(out, "debug, info, warning or error.", "log_level", d->log_level);
    if (d->no_sandbox)
        buf_add(out, SLICE("sandbox = false\n"));
    if (d->administrator != NULL) {
        buf_add(out, SLICE("\n# Accounts that may set quotas by IMAP.\nadministrators = {"));
        add_string(out, d->administrator);
        buf_add(out, SLICE("}\n"));
    }
    if (!d->cheap_hashes)
        buf_add(out, SLICE("\n# An account gets a message when so many percent of its quota are used, a domain's postmaster too.\n"
                           "quota_warnings = {80, 95}\n"));
    add_listeners(d, out);
    if (d->smarthost != NULL)
        add_smarthost(d->smarthost, out);
    if (d->urlauth)
        buf_add(out, SLICE("\n# RFC 4467: users may authorize URLs that let others read a message.\n"
                           "imap {\n    urlauth = 1\n}\n"));
    if (d->cheap_hashes)
        add_cheap_hashes(out);
    else
        buf_add(out, SLICE("\n# Every limit has a default and a line in posthorn.conf(5), for example:\n"
                           "# smtp {\n#     message_bytes = \"50 MB\"\n# }\n"));
}
