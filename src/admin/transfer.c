/*
 * admin/transfer.c - mail that moves in and out of an account, beside the request (transfer/wire.h).
 *
 * Layer: admin.  The files are the command's: what comes here is a stream.
 *
 *     {"do": "transfer.import", "address": ..., "mailbox": ..., "prefix": ..., "over_quota": true, "keep_gone": true}
 *     {"do": "transfer.export", "address": ..., "mailbox": ...}
 */
#include "admin/internal.h"
#include "base/log.h"
#include "store/import.h"
#include "transfer/keeper.h"
#include "transfer/teller.h"
#include "transfer/wire.h"

enum {
    BODY_MEMORY = 256 << 10,
    BODY_MOST = 1 << 30, /* one message; larger ones are left out, and said */
};

static bool has_room(void *store, uint64_t bytes, struct fail *why)
{
    return store_has_space(store, bytes, why);
}

static struct body_limits body_limits(const struct admin_call *c)
{
    return (struct body_limits){.memory_max = BODY_MEMORY,
                                .size_max = BODY_MOST,
                                .spool_dir = c->on->spool_dir,
                                .has_room = has_room,
                                .room_ctx = c->on->store};
}

/* The client may begin. */
static void tell_ready(const struct admin_call *c, const struct directory_account *a)
{
    json_t *line = json_pack("{s:{s:o}}", "ready", "address", admin_json(a->address));

    c->progress->tell(c->progress->ctx, line);
    json_decref(line);
}

/* The account, and the stream that is beside the request. */
static bool begin(struct admin_call *c, struct directory_account *who, struct account **open, struct wire_io *io,
                  struct fail *why)
{
    if (c->stream == NULL)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "only over the control socket");
    if (!admin_account(c, who, why) || !store_account(c->on->store, who->id, open, why))
        return false;
    *io = (struct wire_io){.read = c->stream->read, .write = c->stream->write, .stop = c->stream->stop, .ctx = c->stream->ctx};
    return true;
}

static void put_failure(struct admin_call *c, const struct fail *why)
{
    admin_put(c, "error", admin_json(slice_of(why->text)));
    admin_put(c, "temporary", json_boolean(why->kind == FAIL_TEMP));
}

/* ---- in ---- */

static void note(void *ctx, bool left_out, struct slice what, const char *reason)
{
    wire_note(ctx, left_out, what, reason);
}

static bool finish(void *ctx, struct fail *why)
{
    return keeper_finish(ctx, why);
}

static void put_summary(struct admin_call *c, const struct keeper_summary *s)
{
    const struct {
        const char *name;
        uint64_t    value;
    } numbers[] = {
        {"mailboxes", s->mailboxes}, {"new_mailboxes", s->new_mailboxes}, {"messages", s->messages},
        {"bytes", s->bytes},         {"known", s->known},                 {"flags", s->flags},
        {"gone", s->gone},           {"renumbered", s->renumbered},       {"scripts", s->scripts},
    };

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        admin_put(c, numbers[i].name, json_integer((json_int_t)numbers[i].value));
}

/* What failed after the stream began stands in the result: what came before it is there, and is counted. */
bool admin_transfer_import(struct admin_call *c, struct fail *why)
{
    const struct keeper_options options = {
        .mailbox = admin_text_or_empty(c, "mailbox"),
        .prefix = admin_text_or_empty(c, "prefix"),
        .over_quota = json_is_true(json_object_get(c->request, "over_quota")),
        .keep_gone = json_is_true(json_object_get(c->request, "keep_gone")),
    };
    struct body_limits       bodies = body_limits(c);
    struct directory_account who = {0};
    struct account          *open = NULL;
    struct wire_io           io;
    struct fail              local = {0};

    if (!begin(c, &who, &open, &io, why))
        return false;
    if (!import_begin(open, why)) {
        account_release(&open);
        return false;
    }
    struct wire_receiver *from = wire_receiver_create(&io, &bodies);
    struct keeper        *keeper = keeper_create(open, &options, note, from);
    struct transfer_into  into = keeper_into(keeper);
    tell_ready(c, &who);
    bool ok = wire_receive(from, &into, finish, &local);
    const struct keeper_summary *sum = keeper_summary(keeper);
    if (!ok)
        (void)keeper_finish(keeper, NULL); /* what had come before is good */
    log_event(ok ? LOG_INFO : LOG_WARNING, "account.imported", LOG_U64("account", who.id),
              LOG_U64("messages", sum->messages), LOG_U64("bytes", sum->bytes), LOG_U64("known", sum->known),
              LOG_U64("gone", sum->gone), LOG_CSTR("error", local.text));
    put_summary(c, sum);
    if (!ok)
        put_failure(c, &local);
    keeper_destroy(&keeper);
    wire_receiver_destroy(&from);
    import_end(open);
    account_release(&open);
    return true;
}

/* ---- out ---- */

bool admin_transfer_export(struct admin_call *c, struct fail *why)
{
    struct body_limits          bodies = body_limits(c);
    const struct teller_options options = {.mailbox = admin_text_or_empty(c, "mailbox"), .bodies = &bodies};
    struct directory_account    who = {0};
    struct account             *open = NULL;
    struct wire_io              io;
    struct fail                 local = {0};

    if (!begin(c, &who, &open, &io, why))
        return false;
    tell_ready(c, &who);
    struct wire_sender *to = wire_sender_create(&io, NULL, &local);
    if (to != NULL) {
        struct transfer_into into = wire_sender_into(to);
        bool                 told = teller_tell(open, &options, &into, &local);
        struct fail          story = local;
        (void)wire_sender_end(to, told ? NULL : &story, &local);
        wire_sender_destroy(&to);
    } else {
        c->stream->stop(c->stream->ctx); /* the client waits for a stream */
    }
    if (local.text[0] != '\0')
        put_failure(c, &local);
    log_event(local.text[0] == '\0' ? LOG_INFO : LOG_WARNING, "account.exported", LOG_U64("account", who.id),
              LOG_CSTR("error", local.text));
    account_release(&open);
    return true;
}
