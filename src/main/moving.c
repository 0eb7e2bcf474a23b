/*
 * main/moving.c - mail moves in or out: what import, export and takeover do alike.
 *
 * Layer: main.
 */
#include "main/moving.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/unicode.h"
#include "main/config.h"
#include "main/moving_internal.h"
#include "transfer/wire.h"

enum { BODY_MEMORY = 256 << 10, BODY_MOST = 1 << 30 };

/* ---- begin and end ---- */

static const char *option_or_null(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < OPTIONS_MAX && cli->command->options[i].name != NULL; i++)
        if (slice_eq(slice_of(cli->command->options[i].name), slice_of(name)))
            return cli->values[i];
    return NULL;
}

static FILE *open_report(const char *path, struct fail *why)
{
    int   fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (file == NULL)
        (void)fail_errno(why, errno, "%s", path);
    return file;
}

struct moving *moving_begin(struct cli *cli, const char *verb)
{
    const char    *report = option_or_null(cli, "report");
    struct config *config;
    struct fail    why;

    if (!cli_config(cli, &config))
        return NULL;
    struct moving *m = xcalloc(1, sizeof *m);
    m->cli = cli;
    m->verb = verb;
    m->config = config;
    m->dry_run = option_or_null(cli, "dry-run") != NULL;
    reach_init(&m->reach, config);
    (void)pthread_mutex_init(&m->lock, NULL);
    bar_begin(&m->bar, verb);
    if (report == NULL || (m->report = open_report(report, &why)) != NULL)
        return m;
    (void)cli_failed(cli, &why);
    reach_finish(&m->reach);
    config_destroy(&m->config);
    (void)pthread_mutex_destroy(&m->lock);
    free(m);
    return NULL;
}

static void free_remarks(struct remarks *r)
{
    for (size_t i = 0; i < SHOWN_MOST; i++) {
        free(r->shown[i].what);
        free(r->shown[i].reason);
    }
}

int moving_end(struct moving **moving)
{
    struct moving *m = *moving;

    reach_finish(&m->reach);
    bar_clear(&m->bar);
    moving_summary(m);
    int status = moving_is_clean(m) ? DONE : FAILED;
    if (m->report != NULL && fclose(m->report) != 0) {
        fprintf(stderr, "posthorn: the report could not be written\n");
        status = FAILED;
    }
    free_remarks(&m->left_out);
    free_remarks(&m->notes);
    free_remarks(&m->errors);
    config_destroy(&m->config);
    (void)pthread_mutex_destroy(&m->lock);
    free(m);
    *moving = NULL;
    return status;
}

const struct body_limits *moving_bodies(void)
{
    static const struct body_limits limits = {.memory_max = BODY_MEMORY, .size_max = BODY_MOST, .spool_dir = "/var/tmp"};

    return &limits;
}

/* ---- remarks ---- */

/* One line of UTF-8, whatever is in it; a terminal finds no command in it, those of ISO 6429 (U+0080 to 9F) neither. */
static char *one_line(struct slice text)
{
    struct buf clean;

    buf_init(&clean, SIZE_MAX);
    utf8_add_clean(&clean, text);
    for (size_t i = 0; i < clean.len; i++) {
        const unsigned char c = (unsigned char)clean.data[i], before = i > 0 ? (unsigned char)clean.data[i - 1] : 0;
        if (c < ' ' || c == 0x7f)
            clean.data[i] = '?';
        else if (before == 0xc2 && c < 0xa0)
            clean.data[i - 1] = clean.data[i] = '?';
    }
    char *line = xslicedup(buf_slice(&clean));
    buf_finish(&clean);
    return line;
}

static void remark(struct moving *m, struct remarks *r, const char *kind, struct slice what, struct slice reason)
{
    char *one = one_line(what), *two = one_line(reason);

    (void)pthread_mutex_lock(&m->lock);
    if (m->report != NULL)
        fprintf(m->report, "%s: %s: %s\n", kind, one, two);
    if (r->count < SHOWN_MOST) {
        r->shown[r->count] = (struct remark){one, two};
        one = two = NULL;
    }
    r->count++;
    (void)pthread_mutex_unlock(&m->lock);
    free(one);
    free(two);
}

void moving_left_out(struct moving *m, const char *what, const char *reason)
{
    remark(m, &m->left_out, "left out", slice_of(what), slice_of(reason));
}

void moving_note(struct moving *m, const char *what, const char *reason)
{
    remark(m, &m->notes, "note", slice_of(what), slice_of(reason));
}

/* ---- what passes through ---- */

/* Between who tells and who keeps: counts, draws the bar, keeps what was left out. */
struct tap {
    struct moving              *moving;
    const struct transfer_into *to;
    bool                        counts; /* nobody else knows how many there were */
    uint64_t                    before, bytes_before;
};

static bool tap_mailbox(void *ctx, const struct transfer_mailbox *m, struct fail *why)
{
    struct tap *t = ctx;

    t->moving->totals.mailboxes += t->counts && !m->no_select;
    return t->to->mailbox(t->to->ctx, m, why);
}

static bool tap_has(void *ctx, const struct transfer_message *m)
{
    struct tap *t = ctx;

    return t->to->has(t->to->ctx, m);
}

static bool tap_known(void *ctx, bool (*each)(void *each_ctx, const struct transfer_digest *d), void *each_ctx,
                      struct fail *why)
{
    struct tap *t = ctx;

    return t->to->known == NULL || t->to->known(t->to->ctx, each, each_ctx, why);
}

static uint64_t tap_durable(void *ctx)
{
    struct tap *t = ctx;

    return t->to->durable != NULL ? t->to->durable(t->to->ctx) : 0;
}

static bool tap_message(void *ctx, const struct transfer_message *m, struct fail *why)
{
    struct tap *t = ctx;
    struct bar *b = &t->moving->bar;

    if (!t->to->message(t->to->ctx, m, why))
        return false;
    b->messages++;
    b->bytes += m->body != NULL ? body_size(m->body) : 0;
    if (t->counts && m->body != NULL) {
        t->moving->totals.messages++;
        t->moving->totals.bytes += body_size(m->body);
    } else if (t->counts) {
        t->moving->totals.known++;
    }
    bar_step(b);
    return true;
}

static bool tap_mailbox_end(void *ctx, bool whole, struct fail *why)
{
    struct tap *t = ctx;

    return t->to->mailbox_end(t->to->ctx, whole, why);
}

static bool tap_subscription(void *ctx, struct slice name, struct fail *why)
{
    struct tap *t = ctx;

    return t->to->subscription == NULL || t->to->subscription(t->to->ctx, name, why);
}

static bool tap_script(void *ctx, struct slice name, bool active, struct slice text, struct fail *why)
{
    struct tap *t = ctx;

    t->moving->totals.scripts += t->counts;
    return t->to->script == NULL || t->to->script(t->to->ctx, name, active, text, why);
}

static void tap_left_out(void *ctx, struct slice what, const char *reason)
{
    struct tap *t = ctx;

    bar_clear(&t->moving->bar);
    remark(t->moving, &t->moving->left_out, "left out", what, slice_of(reason));
}

static void tap_progress(void *ctx, uint64_t messages, uint64_t bytes, uint64_t all_messages, uint64_t all_bytes)
{
    struct tap *t = ctx;
    struct bar *b = &t->moving->bar;

    b->all_messages = all_messages > 0 ? t->before + all_messages : 0;
    b->all_bytes = all_bytes > 0 ? t->bytes_before + all_bytes : 0;
    b->messages = messages > 0 ? t->before + messages : b->messages;
    b->bytes = bytes > 0 ? t->bytes_before + bytes : b->bytes;
    bar_step(b);
}

static struct transfer_into tap_into(struct tap *t, struct moving *m, const struct transfer_into *to, bool counts)
{
    *t = (struct tap){.moving = m, .to = to, .counts = counts, .before = m->bar.messages, .bytes_before = m->bar.bytes};
    return (struct transfer_into){
        .ctx = t,
        .mailbox = tap_mailbox,
        .has = tap_has,
        .known = tap_known,
        .durable = tap_durable,
        .message = tap_message,
        .mailbox_end = tap_mailbox_end,
        .subscription = tap_subscription,
        .script = tap_script,
        .left_out = tap_left_out,
        .progress = tap_progress,
    };
}

/* With --dry-run: who keeps nothing. */
static bool nothing_mailbox(void *ctx, const struct transfer_mailbox *m, struct fail *why)
{
    (void)ctx, (void)m, (void)why;
    return true;
}

static bool nothing_has(void *ctx, const struct transfer_message *m)
{
    (void)ctx, (void)m;
    return false;
}

static bool nothing_message(void *ctx, const struct transfer_message *m, struct fail *why)
{
    (void)ctx, (void)m, (void)why;
    return true;
}

static bool nothing_end(void *ctx, bool whole, struct fail *why)
{
    (void)ctx, (void)whole, (void)why;
    return true;
}

static const struct transfer_into nothing = {
    .mailbox = nothing_mailbox, .has = nothing_has, .message = nothing_message, .mailbox_end = nothing_end};

/* ---- the stream ---- */

static bool io_read(void *ctx, void *out, size_t n, size_t *got, struct fail *why)
{
    return control_stream_read(ctx, out, n, got, why);
}

static bool io_write(void *ctx, struct slice bytes, struct fail *why)
{
    return control_stream_write(ctx, bytes, why);
}

static void io_stop(void *ctx)
{
    control_stream_stop(ctx);
}

static void io_unread(void *ctx, struct slice bytes)
{
    control_stream_unread(ctx, bytes);
}

static struct wire_io io_of(struct control_client *c)
{
    return (struct wire_io){.read = io_read, .write = io_write, .stop = io_stop, .unread = io_unread, .ctx = c};
}

static void far_note(void *ctx, bool left_out, struct slice what, struct slice reason)
{
    struct moving *m = ctx;

    remark(m, left_out ? &m->left_out : &m->notes, left_out ? "left out" : "note", what, reason);
}

struct stream_job {
    struct moving              *moving;
    transfer_read              *read; /* import */
    void                       *ctx;
    const struct transfer_into *into; /* export */
};

static bool talk_import(void *ctx, struct control_client *c, const json_t *ready, struct fail *why)
{
    struct stream_job       *job = ctx;
    const struct wire_events events = {.note = far_note, .ctx = job->moving};
    struct wire_io           io = io_of(c);
    struct wire_sender      *to = wire_sender_create(&io, &events, why);
    struct fail              story = {0};
    struct tap               tap;

    (void)ready;
    if (to == NULL) {
        control_stream_stop(c);
        return false;
    }
    struct transfer_into into = wire_sender_into(to), tapped = tap_into(&tap, job->moving, &into, false);
    bool                 told = job->read(job->ctx, &tapped, &story);
    bool                 ok = wire_sender_end(to, told ? NULL : &story, why);
    wire_sender_destroy(&to);
    return ok;
}

static bool talk_export(void *ctx, struct control_client *c, const json_t *ready, struct fail *why)
{
    struct stream_job    *job = ctx;
    struct wire_io        io = io_of(c);
    struct wire_receiver *from = wire_receiver_create(&io, moving_bodies());
    struct tap            tap;
    struct transfer_into  tapped = tap_into(&tap, job->moving, job->into, true);

    (void)ready;
    bool ok = wire_receive(from, &tapped, NULL, why);
    wire_receiver_destroy(&from);
    return ok;
}

static void add_number(uint64_t *to, const json_t *result, const char *name)
{
    *to += (uint64_t)json_integer_value(json_object_get(result, name));
}

static void add_totals(struct totals *t, const json_t *result)
{
    add_number(&t->mailboxes, result, "mailboxes");
    add_number(&t->new_mailboxes, result, "new_mailboxes");
    add_number(&t->messages, result, "messages");
    add_number(&t->bytes, result, "bytes");
    add_number(&t->known, result, "known");
    add_number(&t->flags, result, "flags");
    add_number(&t->gone, result, "gone");
    add_number(&t->renumbered, result, "renumbered");
    add_number(&t->scripts, result, "scripts");
}

static bool stream(struct moving *m, json_t *request, bool import, struct stream_job *job, struct fail *why)
{
    json_t *result = NULL;

    if (!reach_role(&m->reach, ROLE_MAIL, why)) {
        json_decref(request);
        return false;
    }
    struct control_client *c = &m->reach.controls[ROLE_MAIL].client;
    struct fail            story = {0};
    bool ok = control_ask_stream(c, request, import ? talk_import : talk_export, job, &result, &story);
    if (result != NULL && import)
        add_totals(&m->totals, result);
    const char *error = json_string_value(json_object_get(result, "error"));
    if (error != NULL && story.text[0] == '\0')
        (void)fail_set(&story, json_is_true(json_object_get(result, "temporary")) ? FAIL_TEMP : FAIL_PERM, FAIL_OTHER,
                       "%s", error);
    ok = ok && error == NULL;
    json_decref(result);
    if (!ok)
        *why = story;
    return ok;
}

static void set_text(json_t *request, const char *name, const char *value)
{
    if (value != NULL)
        (void)json_object_set_new(request, name, admin_json(slice_of(value)));
}

static json_t *request_for(const struct moving_target *t, const char *what)
{
    json_t *request = json_pack("{s:s, s:b, s:b}", "do", what, "over_quota", (int)t->over_quota, "keep_gone",
                                (int)t->keep_gone);

    set_text(request, "address", t->address);
    set_text(request, "mailbox", t->mailbox);
    set_text(request, "prefix", t->prefix);
    return request;
}

static bool finish_account(struct moving *m, const struct moving_target *t, bool ok, const struct fail *story,
                           struct fail *why)
{
    m->accounts++;
    m->done += ok;
    bar_clear(&m->bar);
    if (!ok)
        remark(m, &m->errors, "failed", slice_of(t->address), slice_of(story->text));
    if (!ok && why != NULL)
        *why = *story;
    return ok;
}

bool moving_import(struct moving *m, const struct moving_target *to, transfer_read *read, void *ctx, struct fail *why)
{
    struct stream_job job = {.moving = m, .read = read, .ctx = ctx};
    struct fail       story = {0};
    bool              ok;

    if (m->dry_run) {
        struct tap           tap;
        struct transfer_into tapped = tap_into(&tap, m, &nothing, true);
        ok = read(ctx, &tapped, &story);
    } else {
        ok = stream(m, request_for(to, "transfer.import"), true, &job, &story);
    }
    return finish_account(m, to, ok, &story, why);
}

bool moving_export(struct moving *m, const struct moving_target *from, const struct transfer_into *into,
                   struct fail *why)
{
    struct stream_job job = {.moving = m, .into = into};
    struct fail       story = {0};
    bool              ok = stream(m, request_for(from, "transfer.export"), false, &job, &story);

    return finish_account(m, from, ok, &story, why);
}

int moving_import_command(struct cli *cli, transfer_read *read, void *ctx)
{
    struct moving *m = moving_begin(cli, "import");

    if (m == NULL)
        return FAILED;
    const struct moving_target to = {
        .address = cli->arguments[cli->argument_count - 1],
        .mailbox = option_or_null(cli, "mailbox"),
        .prefix = option_or_null(cli, "prefix"),
        .over_quota = option_or_null(cli, "over-quota") != NULL,
        .keep_gone = option_or_null(cli, "keep-gone") != NULL,
    };
    (void)moving_import(m, &to, read, ctx, NULL);
    return moving_end(&m);
}
