/*
 * main/command_init.c - posthorn init: a new server in one go.
 *
 * Layer: main.  Asks on a terminal for what the options do not say.  Writes the
 * config, makes a certificate if none is given, the first domain and the first account,
 * and says what to do next.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "main/ask.h"
#include "main/command.h"
#include "main/config.h"
#include "main/setup.h"

enum { ANSWER_MAX = 1000, PASSWORD_MAX = 16 * 1024 };

struct init {
    struct arena arena; /* all answers */
    const char  *hostname, *domain, *account, *data, *certificate, *key;
    struct buf   password;
};

static const char *option_or(const struct cli *cli, const char *name, const char *otherwise)
{
    const char *value = cli_option(cli, name);

    return value != NULL ? value : otherwise;
}

/* The option, or the answer to the question. */
static bool settle(struct cli *cli, struct init *in, const char *option, const char *question, const char *otherwise,
                   const char **out, struct fail *why)
{
    struct buf answer;

    *out = cli_option(cli, option);
    if (*out != NULL)
        return true;
    if (!ask_possible())
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "--%s is needed (there is no terminal to ask)", option);
    buf_init(&answer, ANSWER_MAX);
    bool ok = ask_line(question, otherwise, &answer, why);
    *out = arena_cstr(&in->arena, slice_trim(buf_slice(&answer)));
    buf_finish(&answer);
    if (ok && **out == '\0')
        ok = fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is needed", option);
    return ok;
}

/* "mail.example.org" suggests "example.org". */
static const char *domain_of(const char *hostname)
{
    const char *dot = strchr(hostname, '.');

    return dot != NULL && strchr(dot + 1, '.') != NULL ? dot + 1 : hostname;
}

static bool ask_all(struct cli *cli, struct init *in, struct fail *why)
{
    char own_name[256] = "";
    bool from_stdin = cli_option(cli, "password-stdin") != NULL;

    (void)gethostname(own_name, sizeof own_name - 1);
    if (!settle(cli, in, "hostname", "Name of this mail server (as its MX records say)", own_name, &in->hostname, why) ||
        !settle(cli, in, "domain", "First domain to receive mail for", domain_of(in->hostname), &in->domain, why))
        return false;
    const char *suggested = arena_printf(&in->arena, "postmaster@%s", in->domain).ptr;
    return settle(cli, in, "account", "First account", suggested, &in->account, why) &&
           ask_password(in->account, from_stdin, &in->password, why);
}

/* Given, or made in the data folder. */
static bool find_certificate(struct cli *cli, struct init *in, struct fail *why)
{
    const char *certificate = cli_option(cli, "certificate"), *key = cli_option(cli, "key");

    if ((certificate == NULL) != (key == NULL))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "--certificate and --key go together");
    if (certificate != NULL) {
        in->certificate = certificate;
        in->key = key;
        return true;
    }
    in->certificate = arena_printf(&in->arena, "%s/certificate.pem", in->data).ptr;
    in->key = arena_printf(&in->arena, "%s/key.pem", in->data).ptr;
    return io_make_dirs(in->data, 0755, why) && setup_certificate(in->hostname, in->certificate, in->key, why);
}

static bool make_server(struct cli *cli, struct init *in, struct config **c, struct fail *why)
{
    const char *user = option_or(cli, "user", "posthorn");
    struct config_draft draft = {
        .hostname = in->hostname,
        .data = in->data,
        .runtime = option_or(cli, "runtime", "/run/posthorn"),
        .user = user,
        .certificate = in->certificate,
        .key = in->key,
        .log_level = "info",
        .address = "*",
        .lmtp_address = "",
    };
    struct reach r;

    if (!setup_config(&draft, cli->config_path, c, why))
        return false;
    reach_init(&r, *c);
    bool ok = setup_domain(&r, in->domain, why) && setup_account(&r, in->account, buf_slice(&in->password), why);
    reach_finish(&r);
    if (!ok)
        (void)unlink(cli->config_path); /* so that the next try needs no --force */
    return ok;
}

static int say_done(const struct cli *cli, const struct init *in)
{
    bool    self_signed = cli_option(cli, "certificate") == NULL;
    json_t *result = json_pack("{s:s, s:s, s:s, s:s, s:s}", "config", cli->config_path, "hostname", in->hostname, "domain",
                               in->domain, "account", in->account, "certificate", in->certificate);
    int status = cli_done(
        cli, result,
        "Written: %s, mail in %s.\n"
        "\n"
        "Next:\n"
        "  1. In the DNS:   %s.  MX  10 %s.     and an address record for %s\n"
        "  2. Start:        systemctl enable --now posthorn      (or: posthorn serve)\n"
        "%s"
        "  %d. Sign in as    %s   at %s, ports 993 (IMAP) or 995 (POP3) and 465 (sending)\n"
        "  More accounts:   posthorn account add ADDRESS\n",
        cli->config_path, in->data, in->domain, in->hostname, in->hostname,
        self_signed ? "  3. Certificate:  a self-signed one was made; put a real one's paths into the config,\n"
                      "                   then systemctl restart posthorn\n"
                    : "",
        self_signed ? 4 : 3, in->account, in->hostname);
    json_decref(result);
    return status;
}

int command_init(struct cli *cli)
{
    struct init    in = {.data = option_or(cli, "data", "/var/lib/posthorn")};
    struct config *c = NULL;
    struct fail    why;
    bool           ok;

    if (access(cli->config_path, F_OK) == 0 && cli_option(cli, "force") == NULL) {
        (void)fail_set(&why, FAIL_PERM, FAIL_EXISTS, "%s is there already (--force replaces it)", cli->config_path);
        return cli_failed(cli, &why);
    }
    arena_init(&in.arena, 1024 * 1024);
    buf_init(&in.password, PASSWORD_MAX);
    ok = ask_all(cli, &in, &why) && find_certificate(cli, &in, &why) && make_server(cli, &in, &c, &why);
    int status = ok ? say_done(cli, &in) : cli_failed(cli, &why);
    if (in.password.data != NULL)
        explicit_bzero(in.password.data, in.password.cap);
    buf_finish(&in.password);
    config_destroy(&c);
    arena_finish(&in.arena);
    return status;
}
