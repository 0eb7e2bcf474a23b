/*
 * transfer/postfix_unused.c - see transfer/postfix.h: what is set in main.cf and has no counterpart here.
 *
 * Layer: transfer.
 */
#include "transfer/postfix_internal.h"

/* Looked at by a takeover, or named with better words by it. */
static const char *const used[] = {
    "alias_maps", "content_filter", "message_size_limit", "mydestination", "mydomain", "myhostname", "mynetworks", "myorigin", "recipient_bcc_maps",
    "recipient_delimiter", "relay_domains", "relayhost", "sender_bcc_maps", "smtp_sasl_auth_enable", "smtp_sasl_password_maps",
    "smtp_tls_security_level", "smtp_tls_wrappermode", "smtpd_milters", "smtpd_sender_login_maps", "smtpd_tls_cert_file",
    "smtpd_tls_chain_files", "smtpd_tls_key_file", "transport_maps", "virtual_alias_domains", "virtual_alias_maps", "virtual_mailbox_domains",
    "virtual_mailbox_maps", "virtual_maps",
};

/* Harmless with these values; one that ends in '*' is a beginning. */
static const struct {
    const char *name, *values[6];
} neutral[] = {
    {"inet_interfaces", {"all"}},
    {"inet_protocols", {"all", "ipv4, ipv6", "ipv6, ipv4"}},
    {"mailbox_size_limit", {"0"}},
    {"virtual_mailbox_limit", {"0"}},
    {"local_transport", {"local*", "virtual*", "dovecot*", "lmtp:unix:private/dovecot*"}},
    {"mailbox_transport", {"dovecot*", "lmtp:unix:private/dovecot*"}},
    {"virtual_transport", {"virtual*", "dovecot*", "lmtp:unix:private/dovecot*"}},
    {"smtpd_tls_auth_only", {"yes"}},
    {"smtpd_tls_security_level", {"may", "none"}},
    {"mailbox_command", {"/usr/lib/dovecot/deliver*", "/usr/lib/dovecot/dovecot-lda*"}},
};

/* What is done here without being told. */
static const char *const usual_restrictions[] = {
    "permit_mynetworks", "permit_sasl_authenticated", "reject_unauth_destination", "defer_unauth_destination", "reject_unlisted_recipient", "permit",
};

/* Where files are, how it works inside, what Dovecot's settings say better, and TLS that is good here without settings. */
static const char *const harmless[] = {
    "alias_database", "biff", "command_directory", "compatibility_level", "config_directory", "daemon_directory", "data_directory",
    "debug_peer_level", "debugger_command", "default_privs", "home_mailbox", "html_directory", 
    "mail_name", "mail_owner", "mailq_path", "maillog_file", "manpage_directory",
    "meta_directory", "mynetworks_style", "newaliases_path", "process_id_directory", "queue_directory", "readme_directory", "sample_directory",
    "sendmail_path", "setgid_group", "shlib_directory", "smtp_sasl_security_options", "smtp_sasl_tls_security_options", "smtp_tls_CAfile",
    "smtp_tls_CApath", "smtp_tls_loglevel", "smtp_tls_note_starttls_offer", "smtp_tls_session_cache_database", "smtp_use_tls", "smtpd_banner",
    "smtpd_sasl_auth_enable", "smtpd_sasl_authenticated_header", "smtpd_sasl_local_domain", "smtpd_sasl_path", "smtpd_sasl_security_options",
    "smtpd_sasl_tls_security_options", "smtpd_sasl_type", "smtpd_tls_CAfile", "smtpd_tls_CApath", "smtpd_tls_dh1024_param_file",
    "smtpd_tls_loglevel", "smtpd_tls_received_header", "smtpd_tls_session_cache_database", "smtpd_use_tls",
    "append_dot_mydomain", "tls_random_source", "unknown_local_recipient_reject_code", "virtual_gid_maps", "virtual_mailbox_base", "virtual_minimum_uid",
    "virtual_uid_maps", "smtpd_helo_required", "disable_vrfy_command", "strict_rfc821_envelopes",
};

static bool is_one(struct slice name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(name, slice_of(names[i])))
            return true;
    return false;
}

/* "$name", "${name" or "$(name" in a value: then the other setting is what counts. */
static bool is_named(const struct postfix *p, struct slice name)
{
    for (const struct postfix_setting *s = p->last; s != NULL; s = s->before)
        for (size_t i = 0; i + 1 < s->value.len; i++) {
            if (s->value.ptr[i] != '$')
                continue;
            size_t at = i + 1 + (s->value.ptr[i + 1] == '{' || s->value.ptr[i + 1] == '(');
            struct slice rest = slice_from(s->value, at);
            char next = rest.len > name.len ? rest.ptr[name.len] : ' ';
            bool ends = next != '_' && (next < '0' || next > '9') && ((next | 32) < 'a' || (next | 32) > 'z');
            if (slice_starts(rest, name) && ends)
                return true;
        }
    return false;
}

static bool is_older(const struct postfix *p, const struct postfix_setting *s)
{
    for (const struct postfix_setting *other = p->last; other != s; other = other->before)
        if (slice_eq(other->name, s->name))
            return true;
    return false;
}

static bool is_neutral(struct slice name, struct slice value)
{
    for (size_t i = 0; i < ARRAY_LEN(neutral); i++)
        for (size_t k = 0; k < ARRAY_LEN(neutral[i].values) && slice_eq(name, slice_of(neutral[i].name)); k++) {
            struct slice good = slice_of(neutral[i].values[k]);
            if (slice_ends(good, SLICE("*")) ? slice_starts(value, slice_sub(good, 0, good.len - 1)) : good.len > 0 && slice_eq(value, good))
                return true;
        }
    return false;
}

/* smtpd_*_restrictions that say what is done anyway; with `reject`, only for who has signed in. */
static bool is_usual(struct slice name, struct slice value, bool reject)
{
    bool usual = slice_starts(name, SLICE("smtpd_")) && slice_ends(name, SLICE("_restrictions"));

    for (struct slice w = postfix_word(&value); w.len > 0 && usual; w = postfix_word(&value))
        usual = is_one(w, usual_restrictions, ARRAY_LEN(usual_restrictions)) ||
                (reject && (slice_eq(w, SLICE("reject")) || slice_starts(w, SLICE("$mua_"))));
    return usual;
}

bool postfix_is_set(const struct postfix *p, const char *name)
{
    for (const struct postfix_setting *s = p->last; s != NULL; s = s->before)
        if (slice_eq(s->name, slice_of(name)))
            return s->value.len > 0;
    return false;
}

void postfix_note_unused(const struct postfix *p)
{
    for (const struct postfix_setting *s = p->last; s != NULL; s = s->before) {
        struct slice value = postfix_get(p, arena_cstr(p->arena, s->name));
        if (s->value.len == 0 || s->name.len == 0 || is_one(s->name, used, ARRAY_LEN(used)) ||
            is_one(s->name, harmless, ARRAY_LEN(harmless)) || is_older(p, s) || is_named(p, s->name) || is_neutral(s->name, value) ||
            is_usual(s->name, value, false))
            continue;
        const char *what = arena_cstr(p->arena, arena_printf(p->arena, "main.cf: " PRIslice " = " PRIslice, SLICE_ARG(s->name),
                                                             SLICE_ARG(slice_sub(s->value, 0, 200))));
        if (slice_ends(s->name, SLICE("_transport")) || slice_eq(s->name, SLICE("mailbox_command")))
            p->notes.note(p->notes.ctx, what, "another program delivers mail there: here it goes into the account, and what that program did is not done");
        else if (slice_ends(s->name, SLICE("mailbox_size_limit")) || slice_ends(s->name, SLICE("mailbox_limit")))
            p->notes.note(p->notes.ctx, what, "is not carried: posthorn account quota limits an account, posthorn domain quota a domain");
        else
            p->notes.note(p->notes.ctx, what, "is set there and has no effect here: see what it did in postconf(5), and posthorn.conf(5)");
    }
}

/* ---- master.cf ---- */

/* Of a server as Debian sets it up. */
static const char *const usual_commands[] = {
    "smtpd", "pickup", "cleanup", "qmgr", "nqmgr", "tlsmgr", "trivial-rewrite", "bounce", "verify", "flush", "proxymap", "smtp", "showq",
    "error", "retry", "discard", "local", "virtual", "lmtp", "anvil", "scache", "postlogd", "dnsblog", "tlsproxy",
};
static const char *const usual_pipes[] = {"dovecot", "maildrop", "uucp", "ifmail", "bsmtp", "scalemail-backend", "mailman"};
/* Ports that are served here too. */
static const char *const usual_ports[] = {"smtp", "25", "submission", "587", "submissions", "smtps", "465"};
static const char *const usual_overrides[] = {
    "syslog_name", "smtpd_tls_wrappermode", "smtpd_tls_security_level", "smtpd_tls_auth_only", "smtpd_reject_unlisted_recipient",
    "milter_macro_daemon_name", "smtp_helo_timeout", "smtp_connect_timeout", "smtp_fallback_relay", "smtpd_proxy_filter",
};

static void note_service(const struct postfix *p, struct slice service, struct slice type, struct slice command, const char *reason)
{
    p->notes.note(p->notes.ctx, arena_cstr(p->arena, arena_printf(p->arena, "master.cf: " PRIslice " " PRIslice " " PRIslice, SLICE_ARG(service),
                                                                  SLICE_ARG(type), SLICE_ARG(command))), reason);
}

/* "-o name=value", "-o { name = value }" of a server that takes mail. */
static void note_overrides(const struct postfix *p, struct slice service, struct slice args)
{
    for (struct slice w = postfix_word(&args); w.len > 0; w = postfix_word(&args)) {
        if (!slice_starts(w, SLICE("-o")))
            continue;
        struct slice value = w.len > 2 ? slice_from(w, 2) : postfix_word(&args);
        if (slice_starts(value, SLICE("{")) && slice_ends(value, SLICE("}")))
            value = slice_sub(value, 1, value.len - 2);
        struct slice name = slice_trim(slice_cut(&value, '='));
        value = slice_trim(value);
        bool filter = slice_eq(name, SLICE("smtpd_proxy_filter")) && value.len > 0;
        if (!filter && (value.len == 0 || is_one(name, usual_overrides, ARRAY_LEN(usual_overrides)) || is_one(name, harmless, ARRAY_LEN(harmless)) ||
                        is_usual(name, value, true)))
            continue;
        p->notes.note(p->notes.ctx,
                      arena_cstr(p->arena, arena_printf(p->arena, "master.cf: " PRIslice ": -o " PRIslice "=" PRIslice, SLICE_ARG(service),
                                                        SLICE_ARG(name), SLICE_ARG(slice_sub(value, 0, 200)))),
                      "is set there and has no effect here: see what it did in postconf(5), and posthorn.conf(5)");
    }
}

static void look_at_service(const struct postfix *p, struct slice line)
{
    struct slice service = postfix_word(&line), type = postfix_word(&line), command = SLICE("");

    for (int i = 0; i < 6; i++) /* private, unprivileged, chroot, wakeup, processes, command */
        command = postfix_word(&line);
    if (command.len == 0)
        return;
    if (slice_eq(command, SLICE("pipe"))) {
        if (!is_one(service, usual_pipes, ARRAY_LEN(usual_pipes)))
            note_service(p, service, type, command, "mail is piped to a program there: that is not carried");
    } else if (slice_eq(command, SLICE("postscreen"))) {
        note_service(p, service, type, command, "its tests are not carried: posthorn.conf has lists, greylisting and rates");
    } else if (!is_one(command, usual_commands, ARRAY_LEN(usual_commands))) {
        note_service(p, service, type, command, "a service that there is none of here: milters and rspamd are in posthorn.conf");
    } else if (slice_eq(command, SLICE("smtpd"))) {
        if (slice_eq(type, SLICE("inet")) && !is_one(service, usual_ports, ARRAY_LEN(usual_ports)))
            note_service(p, service, type, command, "is not listened on here: posthorn.conf has listeners");
        note_overrides(p, service, line);
    }
}

void postfix_note_services(const struct postfix *p)
{
    struct slice text, line;
    struct fail why = {0};
    bool there;

    if (!box_file(p->root, SLICE("etc/postfix/master.cf"), p->arena, &text, &there, &why))
        p->notes.note(p->notes.ctx, "master.cf", why.text);
    while (text.len > 0 && postfix_line(p->arena, &text, &line))
        look_at_service(p, line);
}
