/*
 * main/command_server.c - posthorn serve, session, status, check, rebuild, config check, version.
 *
 * Layer: main.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "main/certificate.h"
#include "main/command.h"
#include "main/config.h"
#include "main/reach.h"
#include "main/serve.h"
#include "net/tls.h"

int command_serve(struct cli *cli)
{
    struct config *c = NULL;
    struct fail    why;

    if (!cli_config(cli, &c))
        return FAILED;
    bool ok = serve_run(c, NULL, NULL, &why);
    config_destroy(&c);
    return ok ? DONE : cli_failed(cli, &why);
}

int command_version(struct cli *cli)
{
    json_t *result = json_pack("{s:s}", "version", POSTHORN_VERSION);
    int     status = cli_done(cli, result, "posthorn %s\n", POSTHORN_VERSION);

    json_decref(result);
    return status;
}

/* ---- asking the roles ---- */

static bool ask_role(const struct cli *cli, enum role role, json_t *request,
                     void (*progress)(void *ctx, const json_t *line), void *ctx, json_t **result)
{
    struct config *c = NULL;
    struct reach   r;
    struct fail    why;
    bool           ok = false;

    if (!cli_config(cli, &c)) {
        json_decref(request);
        return false;
    }
    reach_init(&r, c);
    if (!reach_role(&r, role, &why))
        json_decref(request);
    else
        ok = control_ask(&r.controls[role].client, request, progress, ctx, result, &why);
    reach_finish(&r);
    config_destroy(&c);
    if (!ok)
        (void)cli_failed(cli, &why);
    return ok;
}

bool cli_ask_slowly(const struct cli *cli, json_t *request, void (*progress)(void *ctx, const json_t *line), void *ctx,
                    json_t **result)
{
    return ask_role(cli, ROLE_MAIL, request, progress, ctx, result);
}

bool cli_ask(const struct cli *cli, json_t *request, json_t **result)
{
    return ask_role(cli, ROLE_MAIL, request, NULL, NULL, result);
}

bool cli_ask_queue(const struct cli *cli, json_t *request, json_t **result)
{
    return ask_role(cli, ROLE_QUEUE, request, NULL, NULL, result);
}

bool cli_ask_queue_slowly(const struct cli *cli, json_t *request, void (*progress)(void *ctx, const json_t *line), void *ctx,
                          json_t **result)
{
    return ask_role(cli, ROLE_QUEUE, request, progress, ctx, result);
}

static const char *text_of(const json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));

    return text != NULL ? text : "";
}

static long long number_of(const json_t *object, const char *field)
{
    return (long long)json_integer_value(json_object_get(object, field));
}

/* ---- sessions ---- */

static void print_session(const json_t *s)
{
    char      since[32] = "";
    time_t    at = (time_t)number_of(s, "since");
    struct tm tm;

    if (localtime_r(&at, &tm) != NULL)
        (void)strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S", &tm);
    printf("%-10s %-6s %-4s %-28s %-24s since %s  %lld in %lld out\n", text_of(s, "id"), text_of(s, "protocol"),
           json_is_true(json_object_get(s, "tls")) ? "tls" : "", text_of(s, "who"), text_of(s, "peer"), since,
           number_of(s, "in"), number_of(s, "out"));
}

int command_session_list(struct cli *cli)
{
    json_t       *result = NULL;
    const json_t *session;
    size_t        i;

    if (!cli_ask(cli, json_pack("{s:s}", "do", "session.list"), &result))
        return FAILED;
    if (!cli->json) {
        json_array_foreach (json_object_get(result, "sessions"), i, session)
            print_session(session);
    }
    int status = cli_done(cli, result, "%s", "");
    json_decref(result);
    return status;
}

/* What has an "@" in it is an account's address. */
int command_session_kick(struct cli *cli)
{
    json_t     *result = NULL;
    const char *whom = cli->arguments[0], *by = strchr(whom, '@') != NULL ? "address" : "session";

    if (!cli_ask(cli, json_pack("{s:s, s:s}", "do", "session.kick", by, whom), &result))
        return FAILED;
    int status = cli_done(cli, result, "%lld sessions ended\n", number_of(result, "sessions_ended"));
    json_decref(result);
    return status;
}

/* ---- health ---- */

static void print_status(const json_t *s)
{
    printf("the server is %srunning\n", json_is_true(json_object_get(s, "running")) ? "" : "not ");
    printf("%lld volumes, %lld sealed after errors\n", number_of(s, "volumes"), number_of(s, "volumes_sealed"));
    printf("%lld deliveries waiting for their rows, %lld being tried again\n", number_of(s, "deliveries_waiting"),
           number_of(s, "deliveries_retrying"));
    printf("%lld messages for other servers waiting for the queue\n", number_of(s, "deliveries_leaving"));
    printf("%lld messages waiting for the search index\n", number_of(s, "index_waiting"));
}

/* Into the result, and for people as a line: does the certificate end soon?  true: it has ended. */
static bool warn_of_certificate(const struct cli *cli, json_t *result)
{
    struct config *c = NULL;

    if (!cli_config(cli, &c))
        return false;
    struct certificate_warning w = certificate_warning(c);
    if (w.text[0] != '\0') {
        (void)json_object_set_new(result, "certificate", json_string(w.text));
        if (!cli->json)
            printf("%s\n", w.text);
    }
    config_destroy(&c);
    return w.ended;
}

int command_status(struct cli *cli)
{
    json_t *result = NULL;

    if (!cli_ask(cli, json_pack("{s:s}", "do", "status"), &result))
        return FAILED;
    if (!cli->json)
        print_status(result);
    (void)warn_of_certificate(cli, result);
    int status = cli_done(cli, result, "%s", "");
    json_decref(result);
    return status;
}

/* Findings are printed as they come; how far it is, on a terminal, in one line that changes. */
static void show_progress(void *ctx, const json_t *line)
{
    const struct cli *cli = ctx;
    const char       *finding = json_string_value(json_object_get(line, "finding"));
    bool              terminal = isatty(STDERR_FILENO) == 1;

    if (finding != NULL)
        fprintf(cli->json ? stderr : stdout, "%s%s\n", terminal ? "\r\033[K" : "", finding);
    else if (terminal)
        fprintf(stderr, "\r%lld of %lld", number_of(line, "done"), number_of(line, "all"));
}

static void end_progress(void)
{
    if (isatty(STDERR_FILENO) == 1)
        fprintf(stderr, "\r\033[K");
}

int command_check(struct cli *cli)
{
    json_t *result = NULL;
    bool    ok = cli_ask_slowly(cli, json_pack("{s:s}", "do", "check"), show_progress, cli, &result);

    end_progress();
    if (!ok)
        return FAILED;
    long long problems = number_of(result, "problems"), behind = number_of(result, "not_indexed");
    bool      ended = warn_of_certificate(cli, result);
    char      waiting[80] = "";

    if (behind > 0)
        (void)snprintf(waiting, sizeof waiting, "; %lld messages wait for the search index", behind);
    (void)cli_done(cli, result, "%lld accounts, %lld mailboxes, %lld messages, %lld records: %lld problems%s\n",
                   number_of(result, "accounts"), number_of(result, "mailboxes"), number_of(result, "messages"),
                   number_of(result, "records"), problems, waiting);
    json_decref(result);
    return problems == 0 && !ended ? DONE : FAILED;
}

int command_rebuild(struct cli *cli)
{
    json_t *result = NULL, *request = json_pack("{s:s}", "do", "rebuild");

    if (cli->argument_count > 0)
        (void)json_object_set_new(request, "address", json_string(cli->arguments[0]));
    bool ok = cli_ask_slowly(cli, request, show_progress, cli, &result);
    end_progress();
    if (!ok)
        return FAILED;
    long long failed = number_of(result, "failed");
    (void)cli_done(cli, result, "%lld accounts rebuilt, %lld failed\n", number_of(result, "rebuilt"), failed);
    json_decref(result);
    return failed == 0 ? DONE : FAILED;
}

/* ---- the config ---- */

int command_config_check(struct cli *cli)
{
    struct config *c = NULL;
    struct fail    why;

    if (!cli_config(cli, &c))
        return FAILED;
    if (c->certificate[0] != '\0') {
        struct tls_context *tls = tls_context_create(c->certificate, c->key, &why);
        if (tls == NULL) {
            config_destroy(&c);
            return cli_failed(cli, &why);
        }
        tls_context_destroy(&tls);
    }
    json_t *result = json_pack("{s:s, s:s, s:i}", "config", cli->config_path, "hostname", c->hostname, "listeners",
                               (int)c->listener_count);
    int status = cli_done(cli, result, "%s is right: %s, %zu listeners\n", cli->config_path, c->hostname,
                          c->listener_count);
    json_decref(result);
    config_destroy(&c);
    return status;
}
