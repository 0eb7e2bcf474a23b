/*
 * main/command_past.c - posthorn account undelete, restore, purge, recount.
 *
 * Layer: main.  Times are read here, in the zone of who types them.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/when.h"
#include "main/ask.h"
#include "main/command.h"

static const char *text_of(const json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));

    return text != NULL ? text : "";
}

static long long number_of(const json_t *object, const char *field)
{
    return (long long)json_integer_value(json_object_get(object, field));
}

static void put(json_t *object, const char *field, json_t *value)
{
    if (json_object_set_new(object, field, value) != 0)
        die_no_memory(0);
}

static bool put_text(const struct cli *cli, json_t *request, const char *field)
{
    const char *value = cli_option(cli, field);

    if (value == NULL)
        return true;
    json_t *text = json_string(value);
    if (text == NULL) {
        (void)cli_usage(cli, "--%s is not UTF-8", field);
        return false;
    }
    put(request, field, text);
    return true;
}

static bool read_time(const struct cli *cli, const char *option, int64_t *out)
{
    struct fail why;

    if (when_parse(slice_of(cli_option(cli, option)), clock_now(), out, &why))
        return true;
    (void)cli_usage(cli, "--%s: %s", option, why.text);
    return false;
}

static bool put_time(const struct cli *cli, json_t *request, const char *option)
{
    int64_t at;

    if (cli_option(cli, option) == NULL)
        return true;
    if (!read_time(cli, option, &at))
        return false;
    put(request, option, json_integer((json_int_t)at));
    return true;
}

/* "12,15" */
static bool put_messages(const struct cli *cli, json_t *request)
{
    const char *value = cli_option(cli, "message");
    struct slice rest = slice_of(value != NULL ? value : "");
    json_t *ids = json_array();

    while (rest.len > 0) {
        uint64_t id;
        if (!slice_to_u64(slice_trim(slice_cut(&rest, ',')), INT64_MAX, &id) || id == 0) {
            (void)cli_usage(cli, "--message takes numbers that --list shows, with commas between");
            json_decref(ids);
            return false;
        }
        if (json_array_append_new(ids, json_integer((json_int_t)id)) != 0)
            die_no_memory(0);
    }
    if (value != NULL)
        put(request, "messages", ids);
    else
        json_decref(ids);
    return true;
}

static json_t *request_for(const struct cli *cli, const char *what)
{
    json_t *request = json_pack("{s:s, s:s}", "do", what, "address", cli->arguments[0]);

    if (request == NULL)
        (void)cli_usage(cli, "the address is not UTF-8");
    return request;
}

/* ---- lists ---- */

struct listing {
    const struct cli *cli;
    json_t *rows; /* with --json */
};

/* What others wrote reaches no terminal as it is. */
static void print_clean(const char *text, int width)
{
    for (int i = 0; *text != '\0' && (width == 0 || i < width); i += ((unsigned char)*text & 0xc0) != 0x80, text++)
        putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

static void show_message(void *ctx, const json_t *line)
{
    const struct listing *l = ctx;

    if (l->cli->json) {
        if (json_array_append(l->rows, (json_t *)(uintptr_t)line) != 0) /* counted, not changed */
            die_no_memory(0);
        return;
    }
    const long long at = number_of(line, "expunged");
    printf("%10lld  %-19s %9lld  ", number_of(line, "message"), at > 0 ? when_text(at).text : "still there",
           number_of(line, "size"));
    print_clean(text_of(line, "mailbox"), 0);
    printf("  ");
    print_clean(text_of(line, "from"), 40);
    printf("  ");
    print_clean(text_of(line, "subject"), 60);
    putchar('\n');
}

static bool ask_with_list(struct cli *cli, json_t *request, json_t **result)
{
    struct listing l = {.cli = cli, .rows = json_array()};
    const bool list = cli_option(cli, "list") != NULL;

    if (list)
        put(request, "list", json_true());
    bool ok = cli_ask_slowly(cli, request, show_message, &l, result);
    if (ok && list)
        put(*result, "list", json_incref(l.rows));
    json_decref(l.rows);
    return ok;
}

static void print_kept(const json_t *result)
{
    const long long since = number_of(result, "kept_since");

    if (since > 0)
        printf("what was expunged before %s is no longer kept\n", when_text(since).text);
}

static int finish(const struct cli *cli, json_t *result)
{
    int status = cli_done(cli, result, "%s", "");

    json_decref(result);
    return status;
}

static void print_done(const struct cli *cli, const json_t *result, const char *where)
{
    const long long messages = number_of(result, "messages"), bytes = number_of(result, "bytes"),
                    made = number_of(result, "mailboxes");

    if (cli_option(cli, "list") != NULL)
        printf("%lld messages, %lld bytes\n", messages, bytes);
    else if (messages == 0)
        printf("account %s: nothing to bring back\n", text_of(result, "address"));
    else
        printf("account %s: %lld messages (%lld bytes) are %s%s (mailboxes made: %lld)\n", text_of(result, "address"),
               messages, bytes, where, text_of(result, "into"), made);
}

/* ---- the commands ---- */

int command_account_undelete(struct cli *cli)
{
    json_t *request = request_for(cli, "account.undelete"), *result = NULL;

    if (request == NULL)
        return USAGE;
    if (!put_text(cli, request, "mailbox") || !put_time(cli, request, "since") || !put_messages(cli, request)) {
        json_decref(request);
        return USAGE;
    }
    if (cli_option(cli, "moved") != NULL)
        put(request, "moved", json_true());
    if (!ask_with_list(cli, request, &result))
        return FAILED;
    if (!cli->json) {
        print_done(cli, result, "back");
        print_kept(result);
    }
    return finish(cli, result);
}

int command_account_restore(struct cli *cli)
{
    json_t *request = request_for(cli, "account.restore"), *result = NULL;
    int64_t at = 0;

    if (request == NULL)
        return USAGE;
    if (cli_option(cli, "at") == NULL) {
        json_decref(request);
        return cli_usage(cli, "--at says of which time: --at \"2026-11-20 14:00\", --at -2d");
    }
    if (!read_time(cli, "at", &at) || !put_text(cli, request, "mailbox") || !put_text(cli, request, "into")) {
        json_decref(request);
        return USAGE;
    }
    put(request, "at", json_integer((json_int_t)at));
    if (json_object_get(request, "into") == NULL) {
        struct when_text when = when_text(at);
        when.text[sizeof "2026-11-20 14:00" - 1] = '\0';
        put(request, "into", json_sprintf("Restored %s", when.text));
    }
    if (!ask_with_list(cli, request, &result))
        return FAILED;
    if (!cli->json) {
        print_done(cli, result, "in ");
        if (number_of(result, "messages") > 0)
            printf("their flags are those of now, or of when they were expunged: what they were then is not known\n");
    }
    return finish(cli, result);
}

int command_account_purge(struct cli *cli)
{
    const bool all = cli_option(cli, "all-expunged") != NULL;
    json_t *request = request_for(cli, "account.purge"), *result = NULL;
    char question[400];

    if (request == NULL)
        return USAGE;
    (void)snprintf(question, sizeof question, "Give back all that was expunged in %s, for good (yes/no)?", cli->arguments[0]);
    if (all && cli_option(cli, "yes") == NULL && !ask_yes(question)) {
        struct fail why;
        json_decref(request);
        (void)fail_set(&why, FAIL_PERM, FAIL_INVALID, "nothing given back (--yes does it without asking)");
        return cli_failed(cli, &why);
    }
    put(request, "all", json_boolean(all));
    if (!cli_ask(cli, request, &result))
        return FAILED;
    if (!cli->json) {
        printf("account %s: %lld messages (%lld bytes) given back\n", text_of(result, "address"),
               number_of(result, "messages"), number_of(result, "bytes"));
        if (number_of(result, "waiting") > 0)
            printf("%lld came in too lately to go already: ask again in a minute\n", number_of(result, "waiting"));
    }
    return finish(cli, result);
}

static void show_difference(void *ctx, const json_t *line)
{
    const struct listing *l = ctx;
    const char *mailbox = text_of(line, "mailbox"), *error = text_of(line, "error");

    if (l->cli->json) {
        if (json_array_append(l->rows, (json_t *)(uintptr_t)line) != 0)
            die_no_memory(0);
    } else if (error[0] != '\0') {
        printf("%s: %s\n", text_of(line, "address"), error);
    } else {
        printf("%s: ", text_of(line, "address"));
        print_clean(mailbox, 0);
        printf("%s%s: %lld were counted, there are %lld\n", mailbox[0] != '\0' ? ": " : "", text_of(line, "what"),
               number_of(line, "was"), number_of(line, "is"));
    }
}

/* `of`: what the argument is. */
static int recount(struct cli *cli, const char *of)
{
    struct listing l = {.cli = cli, .rows = json_array()};
    json_t *request = json_pack("{s:s}", "do", "account.recount"), *result = NULL;

    if (cli->argument_count > 0 && json_object_set_new(request, of, json_string(cli->arguments[0])) != 0) {
        json_decref(request);
        json_decref(l.rows);
        return cli_usage(cli, "the %s is not UTF-8", of);
    }
    bool ok = cli_ask_slowly(cli, request, show_difference, &l, &result);
    if (ok) {
        put(result, "list", json_incref(l.rows));
        (void)cli_done(cli, result, "%lld accounts recounted, %lld counts were wrong and are right now%s\n",
                       number_of(result, "accounts"), number_of(result, "differences"),
                       number_of(result, "failed") > 0 ? "; some could not be counted" : "");
        ok = number_of(result, "failed") == 0;
    }
    json_decref(l.rows);
    json_decref(result);
    return ok ? DONE : FAILED;
}

int command_account_recount(struct cli *cli)
{
    return recount(cli, "address");
}

int command_domain_recount(struct cli *cli)
{
    return recount(cli, "domain");
}
