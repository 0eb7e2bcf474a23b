/*
 * main/command_import_mbox.c - posthorn import mbox, posthorn import imap
 *
 * Layer: main.  Both read where the command runs: files as whoever called it, a server with the password it was given.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "main/ask.h"
#include "main/moving.h"
#include "transfer/imap_source.h"
#include "transfer/mbox_source.h"

enum { SECRET_MAX = 64 * 1024, NAMES_MAX = 1000 };

int command_import_mbox(struct cli *cli)
{
    struct slice       address = slice_of(cli->arguments[1]);
    struct mbox_source source = {.path = cli->arguments[0], .bodies = *moving_bodies(),
                                 .inbox = slice_sub(address, 0, slice_find_char(address, '@'))};
    const char        *dialect = cli_option(cli, "dialect");

    if (dialect != NULL && !mbox_dialect_of(slice_of(dialect), &source.dialect))
        return cli_usage(cli, "--dialect is mboxo, mboxrd, mboxcl or mboxcl2");
    if (cli_option(cli, "mailbox") != NULL)
        source.mailbox = slice_of(cli_option(cli, "mailbox"));
    return moving_import_command(cli, mbox_source_read, &source);
}

/* ---- a server ---- */

struct typed {
    struct imap_source source;
    char               host[256], port[8];
    struct buf         secret;
    struct slice       only[NAMES_MAX], skip[NAMES_MAX];
};

/* HOST, HOST:PORT, [ADDRESS]:PORT. */
static bool take_host(struct cli *cli, struct typed *t)
{
    bool         starttls = cli_option(cli, "starttls") != NULL, plain = cli_option(cli, "plaintext") != NULL;
    struct slice all = slice_of(cli->arguments[0]), host = all, port = starttls || plain ? SLICE("143") : SLICE("993");
    size_t       colon = slice_rfind_char(all, ':');
    uint64_t     n = 0;

    if (all.len > 0 && all.ptr[0] == '[' && slice_find_char(all, ']') < all.len) {
        size_t end = slice_find_char(all, ']');
        host = slice_sub(all, 1, end - 1);
        if (end + 1 < all.len)
            port = all.ptr[end + 1] == ':' ? slice_from(all, end + 2) : SLICE("");
    } else if (colon < all.len && slice_find_char(all, ':') == colon) {
        host = slice_sub(all, 0, colon);
        port = slice_from(all, colon + 1);
    }
    if (host.len == 0 || host.len >= sizeof t->host || !slice_to_u64(port, 65535, &n) || n == 0)
        return false;
    (void)snprintf(t->host, sizeof t->host, PRIslice, SLICE_ARG(host));
    (void)snprintf(t->port, sizeof t->port, "%u", (unsigned)n);
    t->source.host.host = t->host;
    t->source.host.port = t->port;
    t->source.host.tls = plain ? IMAP_CLEAR : starttls || n == 143 ? IMAP_STARTTLS : IMAP_TLS;
    return true;
}

static size_t take_names(const char *text, struct slice *out)
{
    size_t count = 0;

    for (struct slice rest = slice_of(text); rest.len > 0 && count < NAMES_MAX;) {
        struct slice name = slice_trim(slice_cut(&rest, ','));
        if (name.len > 0)
            out[count++] = name;
    }
    return count;
}

/* The first line of a file. */
static bool read_secret(const char *path, struct buf *out, struct fail *why)
{
    if (!io_read_file(path, out, why))
        return false;
    out->len = slice_find_char(buf_slice(out), '\n');
    if (out->len > 0 && out->data[out->len - 1] == '\r')
        out->len--;
    return out->len > 0 || fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: its first line is empty", path);
}

static bool take_secret(struct cli *cli, struct typed *t, struct fail *why)
{
    const char *token = cli_option(cli, "token-file"), *file = token != NULL ? token : cli_option(cli, "password-file");

    if (file != NULL && !read_secret(file, &t->secret, why))
        return false;
    if (file == NULL && !ask_password_once(t->source.host.user, cli_option(cli, "password-stdin") != NULL, &t->secret, why))
        return false;
    buf_add_char(&t->secret, '\0');
    if (strlen(t->secret.data) + 1 != t->secret.len)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "there is a NUL in the password");
    t->source.host.password = token == NULL ? t->secret.data : NULL;
    t->source.host.token = token != NULL ? t->secret.data : NULL;
    return true;
}

static void say(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "%s\n", text);
}

static int take_options(struct cli *cli, struct typed *t)
{
    const char *format = cli_option(cli, "pop3-uidl-format");
    uint64_t    seconds;
    struct buf  uidl;

    if (!take_host(cli, t))
        return cli_usage(cli, "%s is not HOST or HOST:PORT", cli->arguments[0]);
    if (cli_option(cli, "user") == NULL)
        return cli_usage(cli, "--user NAME is missing: who signs in there?");
    if (!cli_number(cli, "timeout", 1, 86400, 300, &seconds))
        return USAGE;
    buf_init(&uidl, 200);
    bool good = format == NULL || imap_uidl_write(&uidl, slice_of(format), UINT32_MAX, UINT32_MAX);
    buf_finish(&uidl);
    if (!good)
        return cli_usage(cli, "--pop3-uidl-format: only %%u and %%v can be known over IMAP, as in %%08Xu%%08Xv");
    t->source.host.user = cli_option(cli, "user");
    t->source.host.insecure = cli_option(cli, "insecure") != NULL;
    t->source.host.authorities = cli_option(cli, "ca");
    t->source.host.seconds = (unsigned)seconds;
    t->source.shared = cli_option(cli, "shared") != NULL;
    t->source.uidl_format = slice_of(format);
    t->source.only = t->only;
    t->source.only_count = take_names(cli_option(cli, "only"), t->only);
    t->source.skip = t->skip;
    t->source.skip_count = take_names(cli_option(cli, "skip"), t->skip);
    t->source.bodies = *moving_bodies();
    t->source.say = say;
    return DONE;
}

int command_import_imap(struct cli *cli)
{
    struct typed *t = xcalloc(1, sizeof *t);
    struct fail   why;
    int           status = take_options(cli, t);

    buf_init(&t->secret, SECRET_MAX);
    (void)signal(SIGPIPE, SIG_IGN);
    if (status == DONE)
        status = take_secret(cli, t, &why) ? moving_import_command(cli, imap_source_read, &t->source) : cli_failed(cli, &why);
    buf_wipe(&t->secret);
    free(t);
    return status;
}
