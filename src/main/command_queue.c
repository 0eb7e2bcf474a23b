/*
 * main/command_queue.c - posthorn queue ...
 *
 * Layer: main.  Asks the queue role, of the running server or started for it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
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

/* ---- what was asked for ---- */

/* "90", "15m", "4h", "2d": seconds; false: none of these. */
static bool read_duration(const char *text, json_int_t *out)
{
    static const struct { char unit; json_int_t seconds; } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    struct slice digits = slice_of(text);
    json_int_t   factor = 1;
    uint64_t     n;

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (digits.len > 0 && digits.ptr[digits.len - 1] == units[i].unit) {
            factor = units[i].seconds;
            digits.len--;
            break;
        }
    }
    if (!slice_to_u64(digits, 1000000000, &n))
        return false;
    *out = (json_int_t)n * factor;
    return true;
}

static bool put_duration(const struct cli *cli, json_t *request, const char *name)
{
    const char *value = cli_option(cli, name);
    json_int_t  seconds;

    if (value == NULL)
        return true;
    if (!read_duration(value, &seconds)) {
        (void)cli_usage(cli, "--%s is a time such as 90s, 15m, 4h or 2d", name);
        return false;
    }
    (void)json_object_set_new(request, name, json_integer(seconds));
    return true;
}

/* Options that are the request's fields of the same name; NULL: said why not. */
static json_t *filtered(const struct cli *cli, const char *name)
{
    static const char *const texts[] = {"sender", "recipient", "domain", "reason"};
    json_t     *request = json_pack("{s:s}", "do", name);
    const char *account = cli_option(cli, "account");
    uint64_t    id;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *value = cli_option(cli, texts[i]);
        if (value != NULL && json_object_set_new(request, texts[i], json_string(value)) != 0) {
            (void)cli_usage(cli, "--%s is not UTF-8", texts[i]);
            json_decref(request);
            return NULL;
        }
    }
    bool ok = put_duration(cli, request, "older") && put_duration(cli, request, "younger");
    if (ok && account != NULL && json_object_set_new(request, "account", slice_to_u64(slice_of(account), INT64_MAX, &id) && id > 0
                                                                             ? json_integer((json_int_t)id) : json_string(account)) != 0) {
        (void)cli_usage(cli, "--account is not UTF-8");
        ok = false;
    }
    if (!ok) {
        json_decref(request);
        return NULL;
    }
    return request;
}

/* A message's id as the list and the log write it: hexadecimal. */
static bool read_id(const char *text, json_int_t *out)
{
    char              *end;
    unsigned long long n = strtoull(text, &end, 16);

    *out = (json_int_t)n;
    return strlen(text) <= 15 && text[0] != '\0' && *end == '\0' && n > 0 && strpbrk(text, "-+ xX") == NULL;
}

/* Ids of messages behind the verb. */
static bool put_messages(struct cli *cli, json_t *request)
{
    json_t *messages = json_array();

    for (size_t i = 0; i < cli->argument_count; i++) {
        json_int_t n;
        if (!read_id(cli->arguments[i], &n)) {
            (void)cli_usage(cli, "%s is no message's id (posthorn queue list shows them)", cli->arguments[i]);
            json_decref(messages);
            return false;
        }
        (void)json_array_append_new(messages, json_integer(n));
    }
    if (cli->argument_count > 0)
        (void)json_object_set_new(request, "messages", messages);
    else
        json_decref(messages);
    return true;
}

/* ---- words for people ---- */

struct short_text { char text[24]; };

static struct short_text duration(long long seconds)
{
    static const struct { long long seconds; const char *unit; } units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}};
    struct short_text out;

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (seconds >= 2 * units[i].seconds) {
            (void)snprintf(out.text, sizeof out.text, "%lld%s", seconds / units[i].seconds, units[i].unit);
            return out;
        }
    }
    (void)snprintf(out.text, sizeof out.text, "%llds", seconds > 0 ? seconds : 0);
    return out;
}

static struct short_text bytes(long long n)
{
    struct short_text out;

    if (n >= 10LL << 20)
        (void)snprintf(out.text, sizeof out.text, "%lld MB", n >> 20);
    else if (n >= 10 << 10)
        (void)snprintf(out.text, sizeof out.text, "%lld KB", n >> 10);
    else
        (void)snprintf(out.text, sizeof out.text, "%lld B", n);
    return out;
}

/* Quotes nothing, but lets no control character of a server's reply reach the terminal. */
static void print_reason(const char *indent, const char *reason)
{
    if (reason[0] == '\0')
        return;
    (void)fputs(indent, stdout);
    for (const char *p = reason; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '\n')
            printf("\n%s", indent);
        else
            putchar(c < ' ' || c == 0x7f || (c == 0xc2 && (unsigned char)p[1] < 0xa0) ? ' ' : c);
    }
    putchar('\n');
}

static void print_recipient(const json_t *row)
{
    const char *state = text_of(row, "state");
    long long   attempts = number_of(row, "attempts"), next = number_of(row, "next") - clock_now();

    printf("    %-40s %s", text_of(row, "recipient"), state);
    if (attempts > 0)
        printf(", %lld attempt%s", attempts, attempts == 1 ? "" : "s");
    if (strcmp(state, "waiting") == 0)
        printf(next > 0 ? ", next in %s" : ", due now", duration(next).text);
    putchar('\n');
    print_reason("        ", text_of(row, "reason"));
}

static void print_message(const json_t *row)
{
    const char *sender = text_of(row, "sender");

    printf("%llx  %s  %s old  from <%s>  trace %s\n", (unsigned long long)number_of(row, "message"), bytes(number_of(row, "size")).text,
           duration(clock_now() - number_of(row, "received")).text, sender, text_of(row, "trace"));
}

/* ---- list ---- */

struct listing {
    const struct cli *cli;
    json_t           *all; /* --json: every row */
    long long         message, messages;
};

static void take_rows(void *ctx, const json_t *line)
{
    struct listing *l = ctx;
    const json_t   *rows = json_object_get(line, "rows"), *row;
    size_t          i;

    json_array_foreach (rows, i, row) {
        if (l->all != NULL) {
            (void)json_array_append(l->all, (json_t *)(uintptr_t)row);
            continue;
        }
        if (number_of(row, "message") != l->message) {
            l->message = number_of(row, "message");
            l->messages++;
            print_message(row);
        }
        print_recipient(row);
    }
}

int command_queue_list(struct cli *cli)
{
    struct listing l = {.cli = cli, .all = cli->json ? json_array() : NULL};
    json_t        *result = NULL, *request = filtered(cli, "queue.list");

    if (request == NULL)
        return USAGE;
    if (!cli_ask_queue_slowly(cli, request, take_rows, &l, &result)) {
        json_decref(l.all);
        return FAILED;
    }
    if (l.all != NULL)
        (void)json_object_set_new(result, "rows", l.all);
    int status = cli_done(cli, result, "%lld messages, %lld recipients\n", l.messages, number_of(result, "listed"));
    json_decref(result);
    return status;
}

/* ---- show ---- */

static void keep_text(void *ctx, const json_t *line)
{
    struct buf   *text = ctx;
    const json_t *piece = json_object_get(line, "text");

    buf_add(text, slice_make(json_string_value(piece), json_string_length(piece)));
}

/* A time in this machine's zone, and how far it is. */
static void print_time(const char *name, long long at)
{
    long long away = at - clock_now();

    if (at > 0)
        printf("%-11s %s (%s%s%s)\n", name, clock_rfc5322(at).text, away > 0 ? "in " : "", duration(away > 0 ? away : -away).text,
               away > 0 ? "" : " ago");
}

static void print_shown(const json_t *result, struct slice text)
{
    const json_t *rows = json_object_get(result, "recipients"), *first = json_array_get(rows, 0), *row;
    size_t        i;

    printf("message     %llx\n", (unsigned long long)number_of(first, "message"));
    printf("trace       %s\n", text_of(first, "trace"));
    printf("sender      <%s>\n", text_of(first, "sender"));
    printf("size        %lld bytes\n", number_of(first, "size"));
    if (number_of(first, "priority") != 0)
        printf("priority    %lld\n", number_of(first, "priority"));
    print_time("received", number_of(first, "received"));
    print_time("given up", number_of(first, "expires"));
    printf("recipients\n");
    json_array_foreach (rows, i, row) {
        print_recipient(row);
    }
    putchar('\n');
    for (size_t k = 0; k < text.len; k++) {
        unsigned char c = (unsigned char)text.ptr[k];
        if (c != '\r')
            putchar((c < ' ' && c != '\n' && c != '\t') || c == 0x7f ? '?' : c);
    }
}

int command_queue_show(struct cli *cli)
{
    json_t    *request = json_pack("{s:s, s:b}", "do", "queue.show", "body", cli_option(cli, "body") != NULL), *result = NULL;
    json_int_t message;
    struct buf text;

    if (read_id(cli->arguments[0], &message))
        (void)json_object_set_new(request, "message", json_integer(message));
    (void)json_object_set_new(request, "trace", json_string(cli->arguments[0]));
    buf_init(&text, SIZE_MAX);
    if (!cli_ask_queue_slowly(cli, request, keep_text, &text, &result)) {
        buf_finish(&text);
        return FAILED;
    }
    if (cli->json)
        (void)json_object_set_new(result, "text", json_stringn(text.data != NULL ? text.data : "", text.len));
    else
        print_shown(result, buf_slice(&text));
    buf_finish(&text);
    int status = cli_done(cli, result, "%s", "");
    json_decref(result);
    return status;
}

/* ---- steering ---- */

static int steer(struct cli *cli, const char *name, const char *done, const char *flag)
{
    json_t *result = NULL, *request = filtered(cli, name);

    if (request == NULL)
        return USAGE;
    if (!put_messages(cli, request)) {
        json_decref(request);
        return USAGE;
    }
    if (cli_option(cli, "all") != NULL)
        (void)json_object_set_new(request, "all", json_true());
    if (flag != NULL && cli_option(cli, flag) != NULL)
        (void)json_object_set_new(request, flag, json_true());
    if (!cli_ask_queue(cli, request, &result))
        return FAILED;
    long long changed = number_of(result, "changed");
    int status = cli_done(cli, result, "%lld recipient%s %s\n", changed, changed == 1 ? "" : "s", done);
    json_decref(result);
    return status;
}

int command_queue_hold(struct cli *cli)
{
    return steer(cli, "queue.hold", "held", NULL);
}

int command_queue_release(struct cli *cli)
{
    return steer(cli, "queue.release", "released", NULL);
}

int command_queue_retry(struct cli *cli)
{
    return steer(cli, "queue.retry", "due now", NULL);
}

int command_queue_remove(struct cli *cli)
{
    bool bounce = cli_option(cli, "bounce") != NULL;

    return steer(cli, "queue.remove", bounce ? "returned to the sender" : "removed", "bounce");
}

int command_queue_undo(struct cli *cli)
{
    json_t *result = NULL;

    if (!cli_ask_queue(cli, json_pack("{s:s, s:s}", "do", "queue.undo", "trace", cli->arguments[0]), &result))
        return FAILED;
    int status = cli_done(cli, result, "taken back: %s\n", text_of(result, "trace"));
    json_decref(result);
    return status;
}

/* ---- figures ---- */

int command_queue_stats(struct cli *cli)
{
    json_t *s = NULL;

    if (!cli_ask_queue(cli, json_pack("{s:s}", "do", "queue.stats"), &s))
        return FAILED;
    int status = cli_done(cli, s,
                          "%lld messages for %lld recipients at %lld destinations\n"
                          "%lld waiting, %lld on their way, %lld held\n"
                          "since the start: %lld taken over, %lld sent, %lld put off, %lld returned\n",
                          number_of(s, "messages"), number_of(s, "recipients"), number_of(s, "destinations"),
                          number_of(s, "waiting"), number_of(s, "active"), number_of(s, "held"), number_of(s, "taken"),
                          number_of(s, "sent"), number_of(s, "deferred"), number_of(s, "bounced"));
    json_decref(s);
    return status;
}
