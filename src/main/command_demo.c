/*
 * main/command_demo.c - posthorn demo: a self-contained server for trying things out.
 *
 * Layer: main.  On loopback everybody knows the passwords and may use them without
 * TLS; bound elsewhere they are random and TLS is required.  Nothing is sent outside but to the --smarthost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/io.h"
#include "base/scoped.h"
#include "main/command.h"
#include "main/config.h"
#include "main/listen.h"
#include "main/serve.h"
#include "main/setup.h"

enum { PORT_BASE = 2000, PORT_BASE_MAX = 64000, ACCOUNTS = 3, ACCOUNTS_MAX = 100000 };

#define DEMO_DOMAIN "example.test"

struct demo {
    const char *address;
    bool        loopback;
    uint64_t    base, accounts;
};

static bool is_loopback(const char *address)
{
    struct in_addr  v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, address, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static void make_password(const struct demo *d, const char *user, char *out, size_t size)
{
    if (d->loopback)
        (void)snprintf(out, size, "demo-%s", user);
    else
        (void)snprintf(out, size, "%016llx", (unsigned long long)random_u64());
}

static bool make_accounts(const struct demo *d, struct config *c, struct fail *why)
{
    struct reach r;
    bool         ok;

    reach_init(&r, c);
    ok = setup_domain(&r, DEMO_DOMAIN, why);
    for (uint64_t i = 0; ok && i < d->accounts; i++) {
        char user[24], address[64], password[40];

        (void)snprintf(user, sizeof user, "u%llu", (unsigned long long)i);
        (void)snprintf(address, sizeof address, "%s@%s", user, DEMO_DOMAIN);
        make_password(d, user, password, sizeof password);
        ok = setup_account(&r, address, slice_of(password), why);
        if (ok && !d->loopback)
            printf("account   %s (password %s)\n", address, password);
    }
    reach_finish(&r);
    return ok;
}

static void print_where(const struct demo *d, const struct config *c)
{
    printf("domain    %s\n", DEMO_DOMAIN);
    if (d->loopback) {
        printf("accounts  u0@%s (password demo-u0)", DEMO_DOMAIN);
        if (d->accounts > 1)
            printf(" ... u%llu@%s (password demo-u%llu)", (unsigned long long)d->accounts - 1, DEMO_DOMAIN,
                   (unsigned long long)d->accounts - 1);
        printf("\n");
    }
    printf("data      %s\n", c->data);
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct config_listener *l = &c->listeners[i];
        printf("%-11s %s:%u%s\n", l->name, l->address, l->port,
               l->tls == NET_TLS_IMPLICIT ? " (TLS)" : l->tls == NET_TLS_STARTTLS ? " (STARTTLS)" : "");
    }
    printf("commands  posthorn --help; with --config %s they are for this server\n", c->path);
    (void)fflush(stdout);
}

/* A second demo in the same folder would change the first one's passwords and then find its ports taken. */
static bool not_running(struct config *c, struct fail *why)
{
    int fd = listen_connect(listen_control_path(c, ROLE_MAIL), SOCK_STREAM, NULL);

    if (fd < 0)
        return true;
    (void)close(fd);
    return fail_set(why, FAIL_TEMP, FAIL_EXISTS, "a server is running in %s already", c->data);
}

static void say_ready(void *ctx)
{
    (void)ctx;
    printf("ready\n");
    (void)fflush(stdout);
}

/* The folder, made if need be, as a path from the root; the caller frees it. */
static char *demo_folder(const char *dir, struct fail *why)
{
    char *path = NULL;

    if (io_make_dirs(dir, 0755, why)) {
        path = realpath(dir, NULL);
        if (path == NULL)
            (void)fail_errno(why, errno, "%s", dir);
    }
    return path;
}

static bool make_config(const struct demo *d, const struct cli *cli, const char *dir, struct config **out, struct fail *why)
{
    const char  *log = cli_option(cli, "log"), *smarthost = cli_option(cli, "smarthost");
    struct arena a;

    arena_init(&a, 64 * 1024);
    struct config_draft draft = {
        .hostname = "localhost",
        .data = dir,
        .runtime = dir,
        .user = "", /* a demo is whoever started it */
        .certificate = arena_printf(&a, "%s/certificate.pem", dir).ptr,
        .key = arena_printf(&a, "%s/key.pem", dir).ptr,
        .log_level = log != NULL ? log : "warning",
        .no_sandbox = cli_option(cli, "no-sandbox") != NULL,
        .administrator = "u0@" DEMO_DOMAIN,
        .address = d->address,
        .lmtp_address = d->loopback ? d->address : "127.0.0.1",
        .port_base = (unsigned)d->base,
        .allow_plaintext_login = d->loopback,
        .urlauth = d->loopback,
        .cheap_hashes = d->loopback,
        .smarthost = smarthost != NULL ? smarthost : "",
    };
    bool ok = setup_certificate(draft.hostname, draft.certificate, draft.key, why) &&
              setup_config(&draft, arena_printf(&a, "%s/posthorn.conf", dir).ptr, out, why);
    arena_finish(&a);
    return ok;
}

int command_demo(struct cli *cli)
{
    const char    *dir = cli_option(cli, "dir"), *address = cli_option(cli, "bind"), *log = cli_option(cli, "log"),
                  *smarthost = cli_option(cli, "smarthost");
    struct demo    d = {.address = address != NULL ? address : "127.0.0.1"};
    struct config *c = NULL;
    struct fail    why;
    struct route_host host;

    if (!cli_number(cli, "port-base", 0, PORT_BASE_MAX, PORT_BASE, &d.base) ||
        !cli_number(cli, "accounts", 1, ACCOUNTS_MAX, ACCOUNTS, &d.accounts))
        return USAGE;
    if (log != NULL && !config_log_level_known(log))
        return cli_usage(cli, "--log is debug, info, warning or error");
    if (smarthost != NULL && !route_host_parse(smarthost, ROUTE_SMTP, false, &host, &why))
        return cli_usage(cli, "--smarthost: %s", why.text);
    d.loopback = is_loopback(d.address);

    SCOPED(scoped_free) char *path = demo_folder(dir != NULL ? dir : "demo-data", &why);
    if (path == NULL || !make_config(&d, cli, path, &c, &why))
        return cli_failed(cli, &why);
    bool ok = not_running(c, &why) && make_accounts(&d, c, &why);
    if (ok) {
        print_where(&d, c);
        ok = serve_run(c, say_ready, NULL, &why);
    }
    config_destroy(&c);
    return ok ? DONE : cli_failed(cli, &why);
}
