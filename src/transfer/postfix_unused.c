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

/* Where files are, how it works inside, what Dovecot's settings say better, and TLS that is good here without settings. */
static const char *const harmless[] = {
    "alias_database", "biff", "command_directory", "compatibility_level", "config_directory", "daemon_directory", "data_directory",
    "debug_peer_level", "debugger_command", "default_privs", "home_mailbox", "html_directory", "inet_interfaces", "inet_protocols", "local_transport",
    "mail_name", "mail_owner", "mailbox_size_limit", "mailbox_transport", "mailq_path", "maillog_file", "manpage_directory",
    "meta_directory", "mynetworks_style", "newaliases_path", "process_id_directory", "queue_directory", "readme_directory", "sample_directory",
    "sendmail_path", "setgid_group", "shlib_directory", "smtp_sasl_security_options", "smtp_sasl_tls_security_options", "smtp_tls_CAfile",
    "smtp_tls_CApath", "smtp_tls_loglevel", "smtp_tls_note_starttls_offer", "smtp_tls_session_cache_database", "smtp_use_tls", "smtpd_banner",
    "smtpd_sasl_auth_enable", "smtpd_sasl_authenticated_header", "smtpd_sasl_local_domain", "smtpd_sasl_path", "smtpd_sasl_security_options",
    "smtpd_sasl_tls_security_options", "smtpd_sasl_type", "smtpd_tls_CAfile", "smtpd_tls_CApath", "smtpd_tls_auth_only", "smtpd_tls_dh1024_param_file",
    "smtpd_tls_loglevel", "smtpd_tls_received_header", "smtpd_tls_security_level", "smtpd_tls_session_cache_database", "smtpd_use_tls",
    "append_dot_mydomain", "tls_random_source", "unknown_local_recipient_reject_code", "virtual_gid_maps", "virtual_mailbox_base", "virtual_minimum_uid",
    "virtual_transport", "virtual_uid_maps", "smtpd_helo_required", "disable_vrfy_command", "strict_rfc821_envelopes",
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

void postfix_note_unused(const struct postfix *p)
{
    for (const struct postfix_setting *s = p->last; s != NULL; s = s->before)
        if (s->value.len > 0 && s->name.len > 0 && !is_one(s->name, used, ARRAY_LEN(used)) && !is_one(s->name, harmless, ARRAY_LEN(harmless)) &&
            !is_older(p, s) && !is_named(p, s->name))
            p->notes.note(p->notes.ctx, arena_cstr(p->arena, arena_printf(p->arena, "main.cf: " PRIslice, SLICE_ARG(s->name))),
                          "is set there and has no effect here: see what it did in postconf(5), and posthorn.conf(5)");
}
