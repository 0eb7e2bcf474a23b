/*
 * main/role_mail.c - the role that holds all sessions, the mail store and the directory.
 *
 * Layer: main.  Opens the rooms from the bottom up and closes them from the top down.
 * Offline (a command found no server running) it is the same without a network.
 */
#include <stdlib.h>
#include <unistd.h>

#include "admin/admin.h"
#include "auth/client.h"
#include "base/io.h"
#include "content/client.h"
#include "deliver/home.h"
#include "deliver/srs.h"
#include "main/certificate.h"
#include "main/config.h"
#include "main/control.h"
#include "main/folder_lock.h"
#include "main/intake.h"
#include "main/role.h"
#include "main/trace_file.h"
#include "net/tls.h"
#include "net/tls_signer.h"
#include "policy/policy.h"
#include "queue/client.h"
#include "queue/queue.h"

enum {
    POLICY_BODY_MEMORY = 256 << 10, /* of a changed message; what is larger lies in a spool file */
    STOP_SECONDS = 20, /* for sessions to finish, and again for what they delivered */
    HOME_BESIDE = 1024 * 1024, /* what a notification holds beside the message that it returns */
    LOCK_SECONDS = 2 * STOP_SECONDS + 20, /* for a predecessor to finish */
};

struct mail_work {
    const struct config *config;
    int                  lock; /* the data folder, locked; -1 */
    struct volumes      *volumes;
    struct store        *store;
    struct directory    *directory;
    struct srs          *srs;
    struct deliver      *deliver;
    struct auth_client  *auth;
    struct content_client *content;
    struct dns_client   *dns;
    struct fetch_client *fetch;
    struct policy       *policy;
    struct queue_client *queue;
    struct deliver_outbound outbound;
    struct home_server  *home;
    struct ipc_server   *home_ipc; /* the queue role asks */
    struct text_source   text;
    struct tls_remote_keys *remote_keys;
    struct tls_signer    signer; /* the certificate's key is in the auth role */
    struct tls_context  *tls;
    struct net          *net;
    struct intake       *intake;
    struct control      *control;
    struct admin         admin;

    struct login_service login;
    struct smtp_service  smtp[3]; /* by enum smtp_kind */
    struct imap_service  imap;
    struct pop3_service  pop3;
};

/* ---- services ---- */

static void end_sessions(void *ctx, uint64_t account)
{
    struct mail_work *w = ctx;

    (void)net_kick_account(w->net, account);
}

static void make_services(struct mail_work *w, struct config *c, const char *spool)
{
    w->login = (struct login_service){
        .auth = w->auth,
        .directory = w->directory,
        .allow_plaintext = c->allow_plaintext_login,
    };
    for (int kind = 0; kind < (int)ARRAY_LEN(w->smtp); kind++) {
        w->smtp[kind] = (struct smtp_service){
            .kind = (enum smtp_kind)kind,
            .hostname = c->hostname,
            .spool_dir = spool,
            .limits = c->smtp,
            .directory = w->directory,
            .deliver = w->deliver,
            .volumes = w->volumes,
            .policy = policy_is_idle(w->policy) ? NULL : w->policy,
            .login = kind == SMTP_SUBMISSION ? &w->login : NULL,
            .relay_networks = c->sending.relay_networks,
            .relay_network_count = c->sending.relay_network_count,
            .relay_domains = c->sending.relay_domains,
            .relay_domain_count = c->sending.relay_domain_count,
            .xclient_from = c->sending.xclient_from,
            .xclient_from_count = c->sending.xclient_from_count,
            .future_release_seconds = c->queue.future_release_seconds,
            .mend_lf_for = c->mend_lf_for,
            .mend_lf_count = c->mend_lf_count,
        };
    }
    w->imap = (struct imap_service){
        .hostname = c->hostname,
        .spool_dir = spool,
        .limits = c->imap,
        .store = w->store,
        .login = &w->login,
        .administrators = c->administrators,
        .administrator_count = c->administrator_count,
    };
    w->pop3 = (struct pop3_service){
        .hostname = c->hostname,
        .limits = c->pop3,
        .store = w->store,
        .login = &w->login,
    };
}

static void bind_service(struct mail_work *w, enum config_protocol protocol, struct net_listener *row)
{
    switch (protocol) {
    case PROTOCOL_SMTP:
        row->protocol = &smtp_protocol;
        row->service = &w->smtp[SMTP_MX];
        return;
    case PROTOCOL_SUBMISSION:
        row->protocol = &smtp_protocol;
        row->service = &w->smtp[SMTP_SUBMISSION];
        return;
    case PROTOCOL_LMTP:
        row->protocol = &smtp_protocol;
        row->service = &w->smtp[SMTP_LMTP];
        return;
    case PROTOCOL_IMAP:
        row->protocol = &imap_protocol;
        row->service = &w->imap;
        return;
    case PROTOCOL_POP3:
        row->protocol = &pop3_protocol;
        row->service = &w->pop3;
        return;
    }
    bug("protocol %d", (int)protocol);
}

static bool listen_all(struct mail_work *w, const struct config *c, const int *fds, struct fail *why)
{
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct config_listener *l = &c->listeners[i];
        struct net_listener           row = {
                      .name = l->name,
                      .fd = fds[i],
                      .tls = l->tls,
                      .tls_context = l->tls != NET_TLS_NONE ? w->tls : NULL,
                      .idle_seconds = l->idle_seconds,
                      .proxy = l->proxy,
                      .proxy_sources = c->proxy_from,
                      .proxy_source_count = c->proxy_from_count,
        };
        bind_service(w, l->protocol, &row);
        if (!net_listen(w->net, &row, why))
            return fail_at(why, "listener %s", l->name);
    }
    return true;
}

/* ---- HTML into text, in another process ---- */

static enum text_result make_text(void *ctx, struct slice html, struct slice charset, struct buf *out)
{
    struct mail_work *w = ctx;

    switch (content_html(w->content, html, charset, out)) {
    case CONTENT_MADE: return TEXT_MADE;
    case CONTENT_REFUSED: return TEXT_REFUSED;
    case CONTENT_AWAY: return TEXT_AWAY;
    }
    bug("content's result");
}

static bool open_text_source(struct mail_work *w, const struct config *c, struct fail *why)
{
    w->content = content_client_create(&c->content, &c->ipc, why);
    if (w->content == NULL)
        return false;
    w->text = (struct text_source){.html = make_text, .ctx = w, .html_max = (size_t)c->content.html_bytes};
    store_set_text_source(w->store, &w->text);
    return true;
}

/* ---- start and stop ---- */

static void mail_stop(void *work)
{
    struct mail_work *w = work;

    control_stop(&w->control);
    intake_stop(&w->intake);
    if (w->net != NULL)
        net_stop(w->net, STOP_SECONDS);
    /* `auth` may still speak of changed passwords: first its client ends, then what it would call. */
    auth_client_destroy(&w->auth);
    net_destroy(&w->net);
    policy_close(&w->policy);
    fetch_client_destroy(&w->fetch);
    dns_client_destroy(&w->dns);
    tls_context_destroy(&w->tls);
    tls_remote_keys_end(&w->remote_keys);
    ipc_server_destroy(&w->home_ipc);
    home_server_destroy(&w->home);
    deliver_close(&w->deliver, STOP_SECONDS);
    queue_client_destroy(&w->queue); /* which deliver asked */
    srs_close(&w->srs);
    directory_close(&w->directory);
    store_close(&w->store);
    content_client_destroy(&w->content); /* which the store's background asked */
    volumes_close(&w->volumes);
    if (w->lock >= 0)
        (void)close(w->lock);
    free(w);
}

static bool hand_over(void *ctx, const struct queue_message *messages, size_t count, bool *taken, struct fail *why)
{
    return queue_client_take(ctx, messages, count, taken, why);
}

static bool hand_over_first(void *ctx, const struct queue_message *messages, size_t count, enum queue_tried *fates, struct fail *why)
{
    return queue_client_try(ctx, messages, count, fates, why);
}

static bool ask_outcomes(void *ctx, struct queue_over *out, size_t most, size_t *count, struct fail *why)
{
    return queue_client_outcomes(ctx, out, most, count, why);
}

/* With what it needs to give mail away. */
static bool open_deliver(struct mail_work *w, struct config *c, struct fail *why)
{
    if (!srs_open(config_data_path(c, "mail/srs.keys"), c->sending.srs_domain, &w->srs, why))
        return false;
    c->deliver.srs = w->srs;
    if (c->sending.aliases_file[0] != '\0')
        directory_use_aliases(w->directory, c->sending.aliases_file);
    w->queue = queue_client_create(&c->ipc, why);
    if (w->queue == NULL)
        return false;
    w->outbound = (struct deliver_outbound){.take = hand_over, .attempt = hand_over_first, .outcomes = ask_outcomes, .ctx = w->queue};
    c->deliver.outbound = &w->outbound;
    return deliver_open(w->store, w->volumes, w->directory, &c->deliver, &w->deliver, why);
}

static bool open_rooms(struct mail_work *w, struct config *c, struct fail *why)
{
    const char *mail = config_data_path(c, "mail");

    c->deliver.note_path = config_data_path(c, "mail/parsing");
    c->deliver.hostname = c->hostname;
    c->deliver.quota_warnings = c->quota_warnings;
    c->deliver.quota_warning_count = c->quota_warning_count;
    if (!folder_lock(mail, LOCK_SECONDS, &w->lock, why) || !io_make_dirs(config_data_path(c, "mail/spool"), 0700, why) ||
        !volumes_open(config_data_path(c, "mail/volumes"), &c->volume, &w->volumes, why) ||
        !store_open(mail, w->volumes, &c->store, &w->store, why) || !open_text_source(w, c, why) ||
        !directory_open(config_data_path(c, "mail/directory.db"), &c->directory, &w->directory, why) ||
        !open_deliver(w, c, why))
        return false;
    w->admin = (struct admin){
        .directory = w->directory,
        .store = w->store,
        .volumes = w->volumes,
        .deliver = w->deliver,
        .trace_dir = config_data_path(c, "mail/trace"),
        .trace_write = trace_file_write,
        .backup_dir = config_data_path(c, "mail/backup"),
        .backup_silence_seconds = c->admin.backup_silence_seconds,
        .spool_dir = config_data_path(c, "mail/spool"),
    };
    return true;
}

/* What programs of this machine send. */
static bool open_intake(struct mail_work *w, struct config *c, struct fail *why)
{
    const struct intake_setting setting = {
        .folder = config_data_path(c, "maildrop"),
        .spool_dir = config_data_path(c, "mail/spool"),
        .hostname = c->hostname,
        .trusted = c->sendmail_trusted,
        .trusted_count = c->sendmail_trusted_count,
        .message_bytes = c->smtp.message_bytes,
        .received_fields = c->smtp.received_fields,
        .hold_seconds = c->queue.future_release_seconds,
        .policy = w->policy,
        .directory = w->directory,
        .deliver = w->deliver,
        .volumes = w->volumes,
    };

    return intake_start(&setting, &w->intake, why);
}

static bool has_room(void *volumes, uint64_t bytes, struct fail *why)
{
    return volume_has_space(volumes, bytes, why);
}

/* Who may come in, and whom that must ask. */
static bool open_policy(struct mail_work *w, struct config *c, struct fail *why)
{
    w->dns = dns_client_create(&c->dns, &c->ipc, why);
    w->fetch = w->dns != NULL ? fetch_client_create(&c->fetch, &c->ipc, why) : NULL;
    if (w->fetch == NULL)
        return false;
    const struct policy_setting setting = {
        .config = &c->admission,
        .dir = config_data_path(c, "mail/policy"),
        .hostname = c->hostname,
        .body = {.memory_max = POLICY_BODY_MEMORY,
                 .size_max = c->smtp.message_bytes,
                 .spool_dir = config_data_path(c, "mail/spool"),
                 .has_room = has_room,
                 .room_ctx = w->volumes},
        .dns = w->dns,
        .fetch = w->fetch,
    };
    return policy_open(&setting, &w->policy, why);
}

/* The queue role's notifications and reports. */
static bool open_home(struct mail_work *w, struct config *c, struct fail *why)
{
    w->home = home_server_create(w->deliver, config_data_path(c, "mail/spool"), c->smtp.message_bytes + HOME_BESIDE);
    struct ipc_service service = home_server_service(w->home);
    w->home_ipc = ipc_server_create(&c->ipc, &service, why);
    return w->home_ipc != NULL;
}

static void warn_of_certificate(const struct mail_work *w)
{
    struct certificate_warning warning = certificate_warning(w->config);

    if (warning.text[0] != '\0')
        log_event(LOG_WARNING, "tls.certificate", LOG_CSTR("warning", warning.text));
}

static bool open_network(struct mail_work *w, struct config *c, const struct role_start *start, struct fail *why)
{
    if (start->listener_count != c->listener_count)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%zu sockets for %zu listeners", start->listener_count,
                        c->listener_count);
    w->auth = auth_client_create(&c->ipc, why);
    if (w->auth == NULL)
        return false;
    if (c->certificate[0] != '\0') {
        w->signer = (struct tls_signer){.sign = auth_sign, .ctx = w->auth};
        w->remote_keys = tls_remote_keys_begin(why);
        w->tls = w->remote_keys != NULL ? tls_context_create_remote(c->certificate, &w->signer, why) : NULL;
        if (w->tls == NULL)
            return false;
        warn_of_certificate(w);
    }
    w->net = net_create(&c->net, why);
    if (w->net == NULL)
        return false;
    w->admin.net = w->net;
    auth_client_on_change(w->auth, end_sessions, w);
    auth_client_offer(w->auth, &c->auth);
    if (!open_policy(w, c, why))
        return false;
    w->admin.policy = w->policy;
    make_services(w, c, config_data_path(c, "mail/spool"));
    return listen_all(w, c, start->listeners, why) && store_index_start(w->store, why) &&
           open_home(w, c, why) && open_intake(w, c, why) && net_start(w->net, why);
}

static void *mail_start(struct config *c, const struct role_start *start, struct fail *why)
{
    struct mail_work *w = xcalloc(1, sizeof *w);
    bool              ok;

    w->config = c;
    w->lock = -1;
    ok = open_rooms(w, c, why);
    if (ok && start->offline)
        ok = control_attach(start->control, c, &w->admin, &w->control, why);
    else if (ok)
        ok = open_network(w, c, start, why) && control_start(start->control, c, &w->admin, &w->control, why);
    if (!ok) {
        mail_stop(w);
        return NULL;
    }
    return w;
}

static void reload_certificate(struct mail_work *w)
{
    struct fail why;

    if (w->tls == NULL)
        return;
    if (tls_context_reload(w->tls, &why))
        log_event(LOG_INFO, "tls.reloaded", LOG_CSTR("certificate", w->config->certificate));
    else
        log_event(LOG_ERROR, "tls.reload_failed", LOG_FAIL(&why));
    warn_of_certificate(w);
}

/* A role that is there (again); takes the descriptor. */
static void take_peer(struct mail_work *w, const struct role_note *note)
{
    struct fail why;

    if (role_asks(note, ROLE_RESOLVER)) {
        dns_client_attach(w->dns, note->fd);
    } else if (role_asks(note, ROLE_FETCH)) {
        fetch_client_attach(w->fetch, note->fd);
    } else if (role_asks(note, ROLE_CONTENT)) {
        content_client_attach(w->content, note->fd);
    } else if (role_asks(note, ROLE_AUTH)) {
        auth_client_attach(w->auth, note->fd);
    } else if (role_asks(note, ROLE_QUEUE)) {
        queue_client_attach(w->queue, note->fd);
        deliver_queue_is_back(w->deliver);
    } else if (role_answers(note, ROLE_QUEUE)) {
        if (!ipc_server_attach(w->home_ipc, note->fd, &why))
            log_event(LOG_ERROR, "role.peer_failed", LOG_FAIL(&why));
    } else {
        (void)close(note->fd);
    }
}

static void mail_note(void *work, const struct role_note *note)
{
    struct mail_work *w = work;

    if (note->fd >= 0)
        take_peer(w, note);
    else if (note->what == ROLE_RELOAD)
        reload_certificate(w);
}

const struct role_work role_mail = {.start = mail_start, .note = mail_note, .stop = mail_stop};
