/*
 * main/role_queue.c - the role that holds the outbound spool and speaks with other servers.
 *
 * Layer: main.  Takes over what the mail role hands it, sends it, and hands notifications and reports home.  Offline (a
 * command found no server running) nothing is sent: the spool can be looked at and changed.
 */
#include <stdlib.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/io.h"
#include "deliver/home.h"
#include "main/config.h"
#include "main/config_route.h"
#include "main/control.h"
#include "main/folder_lock.h"
#include "main/role.h"
#include "main/trace_file.h"
#include "net/dns.h"
#include "net/fetch.h"
#include "net/tls_client.h"
#include "queue/server.h"
#include "relay/relay.h"
#include "trust/mta_sts.h"
#include "trust/tls_report.h"

enum {
    STOP_SECONDS = 20, /* for attempts that are past their last dot */
    LOCK_SECONDS = 2 * STOP_SECONDS + 20,
    BATCH_BESIDE = 64 << 20, /* of a batch, beside the largest message: other messages, envelopes */
};

struct queue_work {
    struct config       *config;
    int                  lock; /* the folder, locked; -1 */
    struct queue        *queue;
    struct queue_server *server;
    struct ipc_server   *mail; /* hands over, takes back */
    struct home_client  *home;
    struct dns_client   *dns;
    struct fetch_client *fetch;
    struct mta_sts      *sts;
    struct tls_report   *report;
    struct tls_client   *tls;
    struct relay        *relay;
    struct control      *control;
    struct admin         admin;
};

/* ---- home ---- */

static bool deliver_home(void *ctx, struct slice sender, struct slice recipient, const struct body *body, struct fail *why)
{
    return home_deliver(ctx, sender, recipient, body, false, why);
}

static bool mail_report(void *ctx, struct slice to, struct slice message, struct fail *why)
{
    const struct body_limits limits = {.memory_max = message.len, .size_max = message.len, .spool_dir = "/nonexistent"};
    struct body             *body = body_create(&limits);
    bool ok = body_add(body, message, why) && home_deliver(ctx, SLICE(""), to, body, true, why);

    body_destroy(&body);
    return ok;
}

/* ---- start and stop ---- */

static void queue_stop(void *work)
{
    struct queue_work *w = work;

    control_stop(&w->control);
    if (w->queue != NULL)
        queue_stop_claims(w->queue); /* who waits to hear what became of something waits no longer */
    ipc_server_destroy(&w->mail);
    /* A web server that does not answer must not hold up the end; and what ends so is nobody's fault to be reported. */
    relay_stop_begin(w->relay);
    if (w->sts != NULL)
        mta_sts_report(w->sts, NULL);
    if (w->fetch != NULL)
        fetch_client_leave(w->fetch);
    relay_stop(&w->relay, STOP_SECONDS);
    queue_close(&w->queue);
    queue_server_destroy(&w->server);
    mta_sts_close(&w->sts);
    tls_report_close(&w->report);
    tls_client_destroy(&w->tls);
    home_client_destroy(&w->home);
    fetch_client_destroy(&w->fetch);
    dns_client_destroy(&w->dns);
    if (w->lock >= 0)
        (void)close(w->lock);
    free(w);
}

static bool open_spool(struct queue_work *w, struct config *c, bool offline, struct fail *why)
{
    const char *dir = config_data_path(c, "queue");

    if (!io_make_dirs(dir, 0700, why) || !folder_lock(dir, LOCK_SECONDS, &w->lock, why))
        return false;
    const struct queue_setting setting = {
        .dir = dir,
        .hostname = c->hostname,
        .limits = c->queue,
        .volumes = &c->volume,
        .router = route_router(config_routes(c)),
        .home = {.deliver = w->home != NULL ? deliver_home : NULL, .ctx = w->home},
        .offline = offline,
    };
    if (!queue_open(&setting, &w->queue, why))
        return false;
    w->admin = (struct admin){.queue = w->queue, .trace_dir = config_data_path(c, "queue/trace"), .trace_write = trace_file_write,
                               .backup_dir = config_data_path(c, "queue/backup"),
                               .backup_silence_seconds = c->admin.backup_silence_seconds};
    return true;
}

/* What asks other roles; none of it is needed offline. */
static bool open_askers(struct queue_work *w, struct config *c, struct fail *why)
{
    w->home = home_client_create(&c->ipc, why);
    w->dns = w->home != NULL ? dns_client_create(&c->dns, &c->ipc, why) : NULL;
    w->fetch = w->dns != NULL ? fetch_client_create(&c->fetch, &c->ipc, why) : NULL;
    return w->fetch != NULL;
}

static bool open_trust(struct queue_work *w, struct config *c, struct fail *why)
{
    const struct tls_report_setting report = {
        .dir = config_data_path(c, "queue/reports"),
        .hostname = c->hostname,
        .contact = c->tls_report_contact,
        .send = c->tls_reports,
        .dns = w->dns,
        .fetch = w->fetch,
        .sender = {.mail = mail_report, .ctx = w->home},
    };

    if (!io_make_dirs(report.dir, 0700, why) || !tls_report_open(&report, &w->report, why) ||
        !tls_client_create(c->tls_authorities[0] != '\0' ? c->tls_authorities : NULL, &w->tls, why))
        return false;
    if (!c->mta_sts)
        return true;
    const char *dir = config_data_path(c, "queue/sts");
    if (!io_make_dirs(dir, 0700, why) || !mta_sts_open(dir, w->dns, w->fetch, &w->sts, why))
        return false;
    mta_sts_report(w->sts, w->report);
    return true;
}

static bool open_relay(struct queue_work *w, struct config *c, struct fail *why)
{
    struct relay_setting setting = {
        .hostname = c->hostname,
        .limits = c->relay,
        .client = c->smtp_client,
        .routes = config_routes(c),
        .queue = w->queue,
        .dns = w->dns,
        .sts = w->sts,
        .report = w->report,
        .tls = w->tls,
    };

    setting.own = config_own(c, &setting.own_count);
    return relay_start(&setting, &w->relay, why);
}

static bool open_server(struct queue_work *w, struct config *c, struct fail *why)
{
    w->server = queue_server_create(w->queue, config_data_path(c, "queue/spool"), c->smtp.message_bytes + BATCH_BESIDE);
    struct ipc_service service = queue_server_service(w->server);
    w->mail = ipc_server_create(&c->ipc, &service, why);
    return w->mail != NULL;
}

static void *queue_start(struct config *c, const struct role_start *start, struct fail *why)
{
    struct queue_work *w = xcalloc(1, sizeof *w);
    bool               ok;

    w->config = c;
    w->lock = -1;
    if (start->offline)
        ok = open_spool(w, c, true, why) && control_attach(start->control, c, &w->admin, &w->control, why);
    else
        ok = open_askers(w, c, why) && open_spool(w, c, false, why) && open_trust(w, c, why) && open_server(w, c, why) &&
             open_relay(w, c, why) && (start->control < 0 || control_start(start->control, c, &w->admin, &w->control, why));
    if (ok)
        return w;
    queue_stop(w);
    return NULL;
}

static void queue_note(void *work, const struct role_note *note)
{
    struct queue_work *w = work;
    struct fail        why;

    if (w->dns != NULL && role_asks(note, ROLE_RESOLVER)) {
        dns_client_attach(w->dns, note->fd);
    } else if (w->fetch != NULL && role_asks(note, ROLE_FETCH)) {
        fetch_client_attach(w->fetch, note->fd);
    } else if (w->home != NULL && role_asks(note, ROLE_MAIL)) {
        home_client_attach(w->home, note->fd);
        queue_home_is_back(w->queue);
    } else if (w->mail != NULL && role_answers(note, ROLE_MAIL)) {
        if (!ipc_server_attach(w->mail, note->fd, &why))
            log_event(LOG_ERROR, "role.peer_failed", LOG_FAIL(&why));
    } else if (note->fd >= 0) {
        (void)close(note->fd);
    }
}

const struct role_work role_queue = {.start = queue_start, .note = queue_note, .stop = queue_stop};
