/*
 * main/command_trace.c - posthorn trace: the way of a message, told in order of time.
 *
 * Layer: main.  Each role that saw it tells its part (admin/trace.c); here they become one story.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "main/command.h"

/* What the roles said. */
struct story {
    json_t *lines;
    json_t *ids; /* what is asked for: at first what was typed */
};

static const char *field(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(json_object_get(line, "fields"), name));

    return text != NULL ? text : "";
}

static void keep_line(void *ctx, const json_t *line)
{
    (void)json_array_append(ctx, (json_t *)(uintptr_t)line);
}

/* ---- asking ---- */

static bool has(const json_t *array, const char *text)
{
    const json_t *one;
    size_t        i;

    json_array_foreach (array, i, one) {
        if (strcmp(json_string_value(one), text) == 0)
            return true;
    }
    return false;
}

/* Asks one role; its lines into `lines`, anew.  Sets *grew if it knows of further traces. */
static bool ask_part(struct cli *cli, struct story *s, bool queue, json_t *lines, bool *grew)
{
    json_t       *request = json_pack("{s:s, s:O}", "do", "trace", "ids", s->ids), *result = NULL;
    const json_t *trace;
    size_t        i;

    (void)json_array_clear(lines);
    if (!(queue ? cli_ask_queue_slowly(cli, request, keep_line, lines, &result)
                : cli_ask_slowly(cli, request, keep_line, lines, &result)))
        return false;
    json_array_foreach (json_object_get(result, "traces"), i, trace) {
        if (!has(s->ids, json_string_value(trace))) {
            (void)json_array_append(s->ids, (json_t *)(uintptr_t)trace);
            *grew = true;
        }
    }
    json_decref(result);
    return true;
}

/* Each may learn from the other of a notification's trace, so both are asked until nothing is new. */
static bool ask_all(struct cli *cli, struct story *s)
{
    json_t *mail = json_array(), *queue = json_array();
    bool    ok = true, grew;

    do {
        grew = false;
        ok = ask_part(cli, s, false, mail, &grew) && ask_part(cli, s, true, queue, &grew);
    } while (ok && grew);
    (void)json_array_extend(s->lines, mail);
    (void)json_array_extend(s->lines, queue);
    json_decref(mail);
    json_decref(queue);
    return ok;
}

/* In order of time, without its array's; those of one time as they came. */
struct line {
    const json_t *line;
    size_t        place;
};

static int by_time(const void *a, const void *b)
{
    const struct line *one = a, *other = b;
    int order = strcmp(json_string_value(json_object_get(one->line, "time")), json_string_value(json_object_get(other->line, "time")));

    return order != 0 ? order : one->place < other->place ? -1 : 1;
}

/* ---- telling ---- */

/* Of what comes from outside no control character reaches the terminal: the log has taken them out, this is for what is left. */
static void add_text(struct buf *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        buf_add_char(out, (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p);
}

static void add_word(struct buf *out, const char *before, const json_t *line, const char *name, const char *after)
{
    const char *value = field(line, name);

    if (value[0] == '\0' || strcmp(value, "-") == 0)
        return;
    buf_add(out, slice_of(before));
    add_text(out, value);
    buf_add(out, slice_of(after));
}

static void tell_accepted(struct buf *out, const json_t *line)
{
    uint64_t recipients = 0;
    (void)slice_to_u64(slice_of(field(line, "recipients")), UINT32_MAX, &recipients);

    buf_add(out, SLICE("accepted"));
    add_word(out, " from ", line, "peer", "");
    add_word(out, " from user ", line, "user", "");
    buf_add(out, strcmp(field(line, "tls"), "none") == 0 ? SLICE(" without TLS") : SLICE(""));
    if (strcmp(field(line, "tls"), "none") != 0)
        add_word(out, " over ", line, "tls", "");
    buf_add(out, SLICE(": from <"));
    add_text(out, field(line, "from"));
    add_word(out, "> to <", line, "to", ">");
    if (recipients > 1)
        buf_addf(out, " and %llu more", (unsigned long long)recipients - 1);
    add_word(out, ", ", line, "size", " bytes");
    add_word(out, ", Message-ID ", line, "message_id", "");
}

static void tell_placed(struct buf *out, const json_t *line)
{
    add_word(out, "placed for <", line, "to", ">");
    add_word(out, " in ", line, "mailbox", "");
    add_word(out, ", UID ", line, "uid", "");
    add_word(out, " (account ", line, "account", ")");
}

static void tell_attempt(struct buf *out, const json_t *line, const char *what)
{
    buf_add(out, slice_of(what));
    add_word(out, " <", line, "to", ">");
    add_word(out, ", attempt ", line, "attempt", "");
    add_word(out, ": ", line, "host", "");
    add_word(out, " [", line, "address", "]");
    add_word(out, ", TLS ", line, "tls", "");
    if (strcmp(field(line, "code"), "0") != 0)
        add_word(out, ": ", line, "code", "");
    add_word(out, " ", line, "status", "");
    add_word(out, " ", line, "reply", "");
    add_word(out, " ", line, "error", "");
}

static void tell_sent(struct buf *out, const json_t *line)
{
    tell_attempt(out, line, "sent to");
}

static void tell_deferred(struct buf *out, const json_t *line)
{
    tell_attempt(out, line, "put off for");
}

static void tell_refused_there(struct buf *out, const json_t *line)
{
    tell_attempt(out, line, "refused for");
}

static void tell_no_session(struct buf *out, const json_t *line)
{
    tell_attempt(out, line, "no session with");
}

static void tell_refused(struct buf *out, const json_t *line)
{
    add_word(out, "refused at ", line, "stage", "");
    if (out->len == 0)
        buf_add(out, SLICE("refused"));
    add_word(out, " for <", line, "to", ">");
    add_word(out, " from ", line, "peer", "");
    add_word(out, ": ", line, "code", "");
    add_word(out, " ", line, "text", "");
    add_word(out, " ", line, "error", "");
}

static void tell_notice(struct buf *out, const json_t *line)
{
    add_word(out, "<", line, "to", "> is told of it");
    add_word(out, " (trace ", line, "notice", ")");
}

static void tell_taken(struct buf *out, const json_t *line)
{
    buf_add(out, SLICE("in the queue, to leave"));
    add_word(out, ", as ", line, "queue_id", "");
    add_word(out, ", for ", line, "recipients", " recipients");
}

static void tell_done(struct buf *out, const json_t *line)
{
    add_word(out, "done in the queue: <", line, "to", ">");
}

static void tell_later(struct buf *out, const json_t *line)
{
    add_word(out, "next attempt for <", line, "to", ">");
    add_word(out, " in ", line, "next", " seconds");
}

static void tell_given_up(struct buf *out, const json_t *line)
{
    add_word(out, "given up for <", line, "to", ">");
    add_word(out, ": ", line, "remote", "");
    if (strcmp(field(line, "code"), "0") != 0)
        add_word(out, " ", line, "code", "");
    add_word(out, " ", line, "reply", "");
    buf_add(out, strcmp(field(line, "expired"), "1") == 0 ? SLICE(" (its time was over)") : SLICE(""));
}

static void tell_removed(struct buf *out, const json_t *line)
{
    add_word(out, "removed from the queue: <", line, "to", ">");
}

static const struct {
    const char *event;
    void      (*tell)(struct buf *out, const json_t *line);
} events[] = {
    {"smtp.accepted", tell_accepted},      {"sendmail.accepted", tell_accepted}, {"smtp.refused", tell_refused},
    {"sendmail.refused", tell_refused},    {"deliver.placed", tell_placed},      {"deliver.notice", tell_notice},
    {"sendmail.bounced", tell_notice},     {"queue.notified", tell_notice},        {"relay.sent", tell_sent},
    {"queue.taken", tell_taken},           {"queue.sent", tell_done},           {"queue.deferred", tell_later},
    {"queue.bounced", tell_given_up},      {"queue.removed", tell_removed},
    {"relay.deferred", tell_deferred},     {"relay.refused", tell_refused_there}, {"relay.no_session", tell_no_session},
};

/* An event that has no words of its own is shown as it was logged. */
static void tell_other(struct buf *out, const json_t *line)
{
    const char   *name;
    const json_t *value;

    add_text(out, json_string_value(json_object_get(line, "event")));
    json_object_foreach ((json_t *)(uintptr_t)json_object_get(line, "fields"), name, value) {
        if (strcmp(name, "trace") == 0 || strcmp(name, "role") == 0)
            continue;
        buf_addf(out, " %s=", name);
        add_text(out, json_string_value(value));
    }
}

static void print_line(const json_t *line)
{
    const char *event = json_string_value(json_object_get(line, "event"));
    struct buf  out;

    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (strcmp(events[i].event, event) == 0)
            events[i].tell(&out, line);
    }
    if (out.len == 0)
        tell_other(&out, line);
    printf("%s  %-8s " PRIslice "\n", json_string_value(json_object_get(line, "time")), field(line, "trace"),
           SLICE_ARG(buf_slice(&out)));
    buf_finish(&out);
}

int command_trace(struct cli *cli)
{
    struct story s = {.lines = json_array(), .ids = json_pack("[s]", cli->arguments[0])};

    if (s.ids == NULL)
        return cli_usage(cli, "that is not UTF-8");
    bool ok = ask_all(cli, &s);
    size_t       count = json_array_size(s.lines);
    struct line *lines = xcalloc(count + 1, sizeof *lines);
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct line){json_array_get(s.lines, i), i};
    qsort(lines, count, sizeof *lines, by_time);
    json_t *sorted = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append(sorted, (json_t *)(uintptr_t)lines[i].line);
        if (ok && !cli->json)
            print_line(lines[i].line);
    }
    json_t *result = json_pack("{s:o}", "events", sorted);
    if (ok)
        (void)cli_done(cli, result, "%s", "");
    if (ok && count == 0)
        fprintf(stderr, "posthorn: nothing is known of %s (lines are kept for admin.trace_days)\n", cli->arguments[0]);
    json_decref(result);
    free(lines);
    json_decref(s.lines);
    json_decref(s.ids);
    return ok && count > 0 ? DONE : FAILED;
}
