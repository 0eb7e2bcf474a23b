/*
 * main/command_probe.c - posthorn probe host:port
 *
 * Layer: main.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "main/ask.h"
#include "main/command.h"
#include "main/probe.h"

static const struct { const char *port; enum probe_protocol protocol; bool tls; } ports[] = {
    {"25", PROBE_SMTP, false}, {"587", PROBE_SMTP, false}, {"465", PROBE_SMTP, true},  {"24", PROBE_LMTP, false},
    {"143", PROBE_IMAP, false}, {"993", PROBE_IMAP, true}, {"110", PROBE_POP3, false}, {"995", PROBE_POP3, true},
};

/* host, host:port, [address]:port, or an IPv6 address alone. */
static bool split(const char *text, struct probe *p)
{
    struct slice all = slice_of(text), host = all, port = SLICE("25");
    size_t       colon = slice_rfind_char(all, ':');

    if (all.len > 0 && all.ptr[0] == '[') {
        size_t end = slice_find_char(all, ']');
        host = slice_sub(all, 1, end - 1);
        if (end + 1 < all.len && all.ptr[end + 1] == ':')
            port = slice_from(all, end + 2);
        else if (end + 1 != all.len)
            return false;
    } else if (colon < all.len && slice_find_char(all, ':') == colon) {
        host = slice_sub(all, 0, colon);
        port = slice_from(all, colon + 1);
    }
    uint64_t n;
    if (host.len == 0 || host.len >= sizeof p->host || !slice_to_u64(port, 65535, &n) || n == 0)
        return false;
    (void)snprintf(p->host, sizeof p->host, PRIslice, SLICE_ARG(host));
    (void)snprintf(p->port, sizeof p->port, "%u", (unsigned)n);
    return true;
}

/* No line end may come from the command line into a command. */
static bool is_one_line(const char *text)
{
    return text == NULL || strpbrk(text, "\r\n") == NULL;
}

static bool take(struct cli *cli, struct probe *p)
{
    uint64_t seconds;

    if (!split(cli->arguments[0], p)) {
        (void)cli_usage(cli, "%s is not host:port", cli->arguments[0]);
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        if (strcmp(ports[i].port, p->port) == 0) {
            p->protocol = ports[i].protocol;
            p->tls = ports[i].tls;
        }
    }
    p->tls = (p->tls || cli_option(cli, "tls") != NULL) && cli_option(cli, "starttls") == NULL;
    p->must_start = cli_option(cli, "starttls") != NULL;
    p->never_start = cli_option(cli, "no-tls") != NULL;
    p->insecure = cli_option(cli, "insecure") != NULL;
    p->wire = cli_option(cli, "verbose") != NULL;
    p->user = cli_option(cli, "user");
    p->from = cli_option(cli, "from");
    p->to = cli_option(cli, "to");
    if ((p->from == NULL) != (p->to == NULL)) {
        (void)cli_usage(cli, "a test message needs --from and --to");
        return false;
    }
    if (!is_one_line(p->user) || !is_one_line(p->from) || !is_one_line(p->to)) {
        (void)cli_usage(cli, "no line ends in addresses and names");
        return false;
    }
    if (!cli_number(cli, "timeout", 1, 3600, 20, &seconds))
        return false;
    p->seconds = (unsigned)seconds;
    return true;
}

int command_probe(struct cli *cli)
{
    struct probe p = {0};
    struct buf   password;
    struct fail  why;

    if (!take(cli, &p))
        return USAGE;
    buf_init(&password, 1000);
    if (p.user != NULL) {
        if (!ask_password_once(p.user, cli_option(cli, "password-stdin") != NULL, &password, &why))
            return cli_failed(cli, &why);
        buf_add_char(&password, '\0');
        p.password = password.data;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    p.steps = cli->json ? json_array() : NULL;
    bool ok = probe_run(&p);
    buf_wipe(&password);
    if (cli->json) {
        json_t *result = json_pack("{s:s, s:s, s:b, s:o}", "host", p.host, "port", p.port, "ok", ok, "steps", p.steps);
        (void)cli_done(cli, result, "%s", "");
        json_decref(result);
    }
    return ok ? DONE : FAILED;
}
