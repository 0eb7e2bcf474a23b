/*
 * imap/copy_across.c - COPY and MOVE into a mailbox of another account.
 *
 * Layer: imap.  An account owns its bodies, so a copy in another one is a record
 * of its own.  All copies become visible at once, or none.  MOVE then takes the
 * messages out of the source: a crash between the two leaves both, and the client,
 * which heard no OK, may do it again.
 */
#include "imap/copy.h"

#include "base/body.h"
#include "base/fail.h"
#include "base/scoped.h"

enum { MEMORY_MAX = 256 * 1024, PIECE = 64 * 1024 };

struct crossing {
    struct imap_target target;
    struct imap_spans spans;
    struct imap_spans_at at;
    bool move;
    struct appender *appender;
    struct copy_result result; /* source: what was copied so far */
};

static void end_crossing(struct imap_session *s)
{
    struct crossing *c = s->step_data;

    appender_destroy(&c->appender);
    uid_set_finish(&c->result.source);
}

static bool has_room(void *store, uint64_t bytes, struct fail *why)
{
    return store_has_space(store, bytes, why);
}

/* One message: what the session's view says of its flags, and its bytes. */
struct one {
    struct imap_session *s;
    struct crossing *c;
    struct view_entry entry;
    struct fail *why;
    bool ok, seen;
};

static bool copy_bytes(struct store_body *from, struct body *to, struct fail *why)
{
    SCOPED(scoped_free) char *piece = xmalloc(PIECE);
    uint64_t size = store_body_size(from);

    for (uint64_t at = 0; at < size;) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        if (!store_body_read(from, at, piece, n, why) || !body_add(to, slice_make(piece, n), why))
            return false;
        at += n;
    }
    return true;
}

static bool copy_one(void *ctx, const struct message_info *info)
{
    struct one *o = ctx;
    struct store *store = o->s->service->store;
    unsigned rights = o->c->target.rights;
    struct keyword_set keywords = account_keyword_set(o->s->box.account, o->entry.keyword_set);
    SCOPED(store_body_release) struct store_body *from =
        store_body_open(store, info->ref, info->prefix, info->size);
    SCOPED(body_destroy) struct body *body = body_create(&(struct body_limits){
        .memory_max = MEMORY_MAX,
        .size_max = UINT64_MAX,
        .spool_dir = o->s->service->spool_dir,
        .has_room = has_room,
        .room_ctx = store,
    });
    struct append_item item = {
        .body = body,
        .flags = o->entry.flags & imap_flags_by(rights),
        .keywords = keywords.names,
        .keyword_count = rights & RIGHT_WRITE ? keywords.count : 0,
        .internal_date = info->internal_date,
        .internal_zone = info->internal_zone,
    };

    o->seen = true;
    o->ok = copy_bytes(from, body, o->why) && appender_add(o->c->appender, &item, o->why);
    return false;
}

/* All are there: they become visible, and those moved go. */
static void finish(struct imap_session *s, struct crossing *c)
{
    struct appended out;
    struct fail why;
    uint64_t modseq;

    if (appender_count(c->appender) == 0) {
        imap_ok(s, "None of those");
        return;
    }
    if (!appender_commit(c->appender, &out, &why)) {
        imap_no_target(s, &why);
        return;
    }
    c->result.uidvalidity = out.uidvalidity;
    c->result.first_uid = out.first_uid;
    if (c->move && !message_expunge(s->box.account, s->box.mailbox, c->result.source.ranges,
                                    c->result.source.count, true, NULL, &modseq, &why))
        imap_no_because(s, &why);
    else
        imap_answer_copied(s, &c->result, c->move, c->target.rights);
}

static enum turn copy_step(struct imap_session *s)
{
    struct crossing *c = s->step_data;
    uint32_t position;

    while (imap_spans_next(&c->spans, &c->at, &position)) {
        struct fail why;
        struct one o = {.s = s, .c = c, .entry = view_at(s->box.view, position), .why = &why, .ok = true};
        struct uid_range range = {o.entry.uid, o.entry.uid};

        if (appender_count(c->appender) == s->service->limits.append_messages) {
            imap_no(s, "[LIMIT] At most %u messages at once into a mailbox of another account",
                    s->service->limits.append_messages);
            return TURN_PARK;
        }
        if ((o.entry.flags & VIEW_GONE) == 0 &&
            (!message_fetch(s->box.account, s->box.mailbox, &range, 1, 0, copy_one, &o, &why) || !o.ok)) {
            imap_no_target(s, &why);
            return TURN_PARK;
        }
        if (o.seen)
            uid_set_add(&c->result.source, o.entry.uid);
        if (conn_turn_over(s->conn))
            return TURN_AGAIN;
    }
    finish(s, c);
    return TURN_PARK;
}

void imap_copy_across(struct imap_session *s, const struct imap_target *target, const struct imap_spans *spans,
                      bool move)
{
    struct crossing *c = arena_new(&s->arena, struct crossing);

    if (c == NULL) {
        imap_no(s, "[LIMIT] The command is too large");
        return;
    }
    c->target = *target;
    c->spans = *spans;
    c->move = move;
    c->appender = appender_create(target->account, target->info.id);
    appender_for(c->appender, imap_seen_user_in(s, target->account));
    s->step_data = c;
    s->cleanup = end_crossing;
    s->step = copy_step;
}
