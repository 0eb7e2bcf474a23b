/*
 * main/config.h - the one config file, read and checked.
 *
 * Layer: main.  libconfuse syntax, described in posthorn.conf(5).  Whatever is
 * wrong is told as "file:line: what".  A config is made once and never changed;
 * every pointer in it lives as long as it does.
 */
#ifndef MAIN_CONFIG_H
#define MAIN_CONFIG_H

#include "admin/admin.h"
#include "auth/server.h"
#include "base/arena.h"
#include "base/fail.h"
#include "base/log.h"
#include "content/server.h"
#include "deliver/deliver.h"
#include "directory/directory.h"
#include "fetch/server.h"
#include "imap/server.h"
#include "main/role.h"
#include "net/dns.h"
#include "net/ipc.h"
#include "net/net.h"
#include "policy/config.h"
#include "pop3/server.h"
#include "relay/relay.h"
#include "smtp/server.h"
#include "storage/volume.h"
#include "store/store.h"

#define CONFIG_DEFAULT_PATH "/etc/posthorn.conf"

enum config_protocol { PROTOCOL_SMTP, PROTOCOL_SUBMISSION, PROTOCOL_LMTP, PROTOCOL_IMAP, PROTOCOL_POP3 };

struct config_listener {
    const char          *name;
    const char          *address; /* "*", an IP address, or the path of a Unix socket */
    unsigned             port;    /* 0 for a Unix socket */
    enum config_protocol protocol;
    enum net_tls         tls;
    bool                 proxy;        /* a PROXY header is believed from `proxy_from` */
    unsigned             idle_seconds; /* a client may be silent that long */
};

/* Mail that goes on from here. */
struct config_sending {
    const struct net_block *relay_networks; /* clients that may send to anybody */
    size_t                  relay_network_count;
    const char *const      *relay_domains; /* A-labels; ".example.org": what is below it */
    size_t                  relay_domain_count;
    const struct net_block *xclient_from;
    size_t                  xclient_from_count;
    const char             *srs_domain;   /* "": the directory's first */
    const char             *aliases_file; /* "": none */
};

enum { CONFIG_WARNINGS_MAX = 8 };

struct config {
    const char  *path; /* of the file, for messages */
    struct slice text; /* all of it */

    const char    *hostname;
    const char    *data;       /* mail in data/mail, secrets in data/auth */
    const char    *runtime;    /* control sockets */
    const char    *users[ROLE_COUNT]; /* of the roles; used when started as root.  "": no switch */
    const char    *admin_user; /* may use the control sockets beside root.  "": nobody */
    bool           admin_uid_known; /* ... and its number, found when a role starts */
    uid_t          admin_uid;
    const char    *certificate, *key; /* "": no TLS */
    bool           allow_plaintext_login;
    bool           sandbox; /* the roles are shut in (main/sandbox.h) */
    enum log_level log_level;

    struct config_listener *listeners;
    size_t                  listener_count;
    struct net_block       *proxy_from;
    size_t                  proxy_from_count;
    struct net_block       *mend_lf_for; /* clients whose bare LF is turned into CRLF */
    size_t                  mend_lf_count;
    const char            **administrators; /* accounts that may do by mail protocols what others may not */
    size_t                  administrator_count;
    const char            **sendmail_trusted; /* users of this machine who may send as anybody */
    size_t                  sendmail_trusted_count;
    struct route_table      routes; /* passwords are not in it: config_routes() in config_route.h */
    const char            **route_passwords; /* their files, by row; NULL: none */
    const char            **dns_servers; /* NULL-ended; NULL: those of resolv.conf */

    const char **helpers; /* that `fetch` may reach, from every option that names one; NULL-ended, or NULL */
    size_t       helper_count;
    const char  *fetch_authorities; /* a PEM file; "": the system's */
    const char  *tls_authorities;   /* the same for the certificates of mail servers */
    bool         mta_sts;           /* policies of other domains are asked for (RFC 8461) */
    bool         tls_reports;       /* counted and sent (RFC 8460) */
    const char  *tls_report_contact; /* "": postmaster at the host name */

    struct config_sending   sending;
    unsigned                quota_warnings[CONFIG_WARNINGS_MAX];
    size_t                  quota_warning_count;

    struct policy_config    admission; /* who may come in */
    struct admin_limits     admin;
    struct net_limits       net;
    struct ipc_limits       ipc;
    struct dns_limits       dns;
    struct queue_limits     queue;
    struct relay_limits     relay;
    struct smtp_client_limits smtp_client;
    struct smtp_limits      smtp;
    struct imap_limits      imap;
    struct pop3_limits      pop3;
    struct store_limits     store;
    struct volume_limits    volume;
    struct deliver_limits   deliver;
    struct directory_limits directory;
    struct auth_limits      auth;
    struct content_limits   content;
    struct fetch_limits     fetch;
    struct policy_limits    policy;

    struct arena arena; /* everything above */
};

/* FAIL_PERM and "file:line: ..." if it is not right; FAIL_TEMP if it cannot be read. */
bool config_load(const char *path, struct config **out, struct fail *why);
/* The same from text; `path` is for messages only. */
bool config_parse(const char *path, struct slice text, struct config **out, struct fail *why);
/* Fine on NULL; leaves *c NULL. */
void config_destroy(struct config **c);

const char *config_protocol_name(enum config_protocol protocol);
const char *config_tls_name(enum net_tls tls);
/* The option that names the role's user. */
const char *config_user_option(enum role role);

/* "data/mail" and the like, in the config's arena. */
const char *config_data_path(struct config *c, const char *below);
const char *config_runtime_path(struct config *c, const char *below);

/*
 * Options that name a helper for `fetch` to reach (fetch/where.h says how one is written) add it while the config is read;
 * the text must live as long as the config.
 */
void config_add_helper(struct config *c, const char *helper);
const char *const *config_helpers(const struct config *c);

/* Is it a word that log_level takes? */
bool config_log_level_known(const char *name);

#endif
