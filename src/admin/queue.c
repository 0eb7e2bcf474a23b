/*
 * admin/queue.c - what waits to leave, and steering it.  These commands run in the queue role.
 *
 * Layer: admin.
 *
 *     {"do": "queue.list", "domain": "example.net", "older": 3600}  ->  {"progress": {"rows": [...]}} ... {"listed": 12}
 *     {"do": "queue.hold", "messages": [7, 9]}                      ->  {"changed": 3}
 */
#include "queue/queue.h"

#include "admin/internal.h"

enum { BATCH = 200, HEADER_MAX = 256 * 1024, PIECE = 32 * 1024 };

/* ---- which ---- */

static bool read_number(const struct admin_call *c, const char *field, int64_t *out, struct fail *why)
{
    const json_t *value = json_object_get(c->request, field);

    if (value == NULL)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "%s is a number", field);
    *out = json_integer_value(value);
    return true;
}

static bool read_filter(const struct admin_call *c, struct queue_filter *f, struct fail *why)
{
    const bool named = json_is_string(json_object_get(c->request, "account"));
    int64_t    account = 0;

    *f = (struct queue_filter){
        .source = named ? admin_text_or_empty(c, "account") : SLICE(""),
        .sender = admin_text_or_empty(c, "sender"),
        .recipient = admin_text_or_empty(c, "recipient"),
        .domain = admin_text_or_empty(c, "domain"),
        .reason = admin_text_or_empty(c, "reason"),
    };
    if (!read_number(c, "older", &f->older_than, why) || !read_number(c, "younger", &f->younger_than, why) ||
        (!named && !read_number(c, "account", &account, why)))
        return false;
    f->account = (uint64_t)account;
    return true;
}

static bool is_any(const struct queue_filter *f)
{
    return f->sender.len == 0 && f->recipient.len == 0 && f->domain.len == 0 && f->reason.len == 0 && f->older_than == 0 &&
           f->younger_than == 0 && f->account == 0 && f->source.len == 0;
}

/* ---- list ---- */

static const char *state_name(enum queue_state state)
{
    switch (state) {
    case QUEUE_WAITING: return "waiting";
    case QUEUE_ACTIVE: return "active";
    case QUEUE_HELD: return "held";
    }
    bug("state %d", (int)state);
}

static json_t *row_json(const struct queue_row *r)
{
    json_t *row = json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:s}", "message", (json_int_t)r->message, "sender",
                            admin_json(r->sender), "recipient", admin_json(r->recipient), "destination",
                            admin_json(r->destination), "trace", admin_json(r->trace), "reason", admin_json(r->reason),
                            "state", state_name(r->state));

    if (row == NULL || json_object_update_new(row, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "attempts",
                                                             (json_int_t)r->attempts, "received", (json_int_t)r->received,
                                                             "next", (json_int_t)r->next, "expires", (json_int_t)r->expires,
                                                             "size", (json_int_t)r->size, "priority",
                                                             (json_int_t)r->priority)) != 0)
        die_no_memory(0);
    return row;
}

/* A part of a list: whole messages, so that it can be gone on with behind the last. */
struct batch {
    json_t      *rows;
    struct slice trace; /* only of that; empty: any */
    uint64_t     last;  /* message */
    size_t       seen;
    bool         more;
};

static bool add_row(void *ctx, const struct queue_row *r)
{
    struct batch *b = ctx;

    if (b->seen >= BATCH && r->message != b->last) {
        b->more = true;
        return false;
    }
    b->seen++;
    b->last = r->message;
    if ((b->trace.len == 0 || slice_eq(b->trace, r->trace)) && json_array_append_new(b->rows, row_json(r)) != 0)
        die_no_memory(0);
    return true;
}

/* Rows in batches, so that nobody is kept waiting while somebody reads a long list. */
static bool each_batch(struct admin_call *c, const struct queue_filter *f, struct slice trace,
                       void (*take)(struct admin_call *c, json_t *rows), struct fail *why)
{
    struct batch b = {.trace = trace, .more = true};

    while (b.more) {
        b.more = false;
        b.seen = 0;
        b.rows = json_array();
        bool ok = queue_each(c->on->queue, f, b.last, add_row, &b, why);
        if (ok)
            take(c, b.rows);
        json_decref(b.rows);
        if (!ok)
            return false;
    }
    return true;
}

static void tell_rows(struct admin_call *c, json_t *rows)
{
    json_t *line = json_pack("{s:O}", "rows", rows);
    json_int_t listed = json_integer_value(json_object_get(c->result, "listed"));

    admin_put(c, "listed", json_integer(listed + (json_int_t)json_array_size(rows)));
    if (json_array_size(rows) > 0)
        c->progress->tell(c->progress->ctx, line);
    json_decref(line);
}

bool admin_queue_list(struct admin_call *c, struct fail *why)
{
    struct queue_filter f;

    admin_put(c, "listed", json_integer(0));
    return read_filter(c, &f, why) && each_batch(c, &f, admin_text_or_empty(c, "trace"), tell_rows, why);
}

/* ---- show ---- */

static void keep_rows(struct admin_call *c, json_t *rows)
{
    json_t *all = json_object_get(c->result, "recipients");

    if (json_array_extend(all, rows) != 0)
        die_no_memory(0);
}

/* Up to the header's end, or all of it. */
static bool tell_text(struct admin_call *c, uint64_t message, uint64_t size, bool body, struct fail *why)
{
    char *piece = arena_alloc(&c->arena, PIECE);

    for (uint64_t at = 0; at < size && (body || at < HEADER_MAX);) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE, end;
        if (!queue_peek(c->on->queue, message, at, piece, n, why))
            return false;
        end = slice_find(slice_make(piece, n), SLICE("\r\n\r\n"));
        bool over = !body && end < n;
        json_t *line = json_pack("{s:o}", "text", admin_json(slice_make(piece, over ? end + 2 : n)));
        c->progress->tell(c->progress->ctx, line);
        json_decref(line);
        if (over)
            return true;
        at += n;
    }
    return true;
}

/* By the queue's number ("message"); if that is none, by the trace id ("trace"). */
bool admin_queue_show(struct admin_call *c, struct fail *why)
{
    struct queue_filter f = {0};
    struct slice        trace = admin_text_or_empty(c, "trace");
    int64_t             message = 0;
    const json_t       *rows, *first;

    admin_put(c, "recipients", json_array());
    if (!read_number(c, "message", &message, why))
        return false;
    f.message = (uint64_t)message;
    if (message == 0 && trace.len == 0)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "which message?");
    if (message != 0 && !each_batch(c, &f, SLICE(""), keep_rows, why))
        return false;
    rows = json_object_get(c->result, "recipients");
    f.message = 0;
    if (json_array_size(rows) == 0 && trace.len > 0 && !each_batch(c, &f, trace, keep_rows, why))
        return false;
    first = json_array_get(rows, 0);
    if (first == NULL)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "it is not in the queue (posthorn trace tells what became of it)");
    return tell_text(c, (uint64_t)json_integer_value(json_object_get(first, "message")),
                     (uint64_t)json_integer_value(json_object_get(first, "size")),
                     json_is_true(json_object_get(c->request, "body")), why);
}

/* ---- steering ---- */

typedef bool steer(struct queue *q, const struct queue_filter *f, uint64_t *changed, struct fail *why);

static bool with_dsn(struct queue *q, const struct queue_filter *f, uint64_t *changed, struct fail *why)
{
    return queue_remove(q, f, true, changed, why);
}

static bool silently(struct queue *q, const struct queue_filter *f, uint64_t *changed, struct fail *why)
{
    return queue_remove(q, f, false, changed, why);
}

/* The messages that are named, each under the filter too; without names all that the filter lets through. */
static bool steer_all(struct admin_call *c, steer *run, struct fail *why)
{
    const json_t       *messages = json_object_get(c->request, "messages"), *message;
    struct queue_filter f;
    uint64_t            changed = 0, all = 0;
    size_t              i;

    if (!read_filter(c, &f, why))
        return false;
    if (messages == NULL && is_any(&f) && !json_is_true(json_object_get(c->request, "all")))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "which messages?  Name them, filter them, or say all");
    json_array_foreach (messages, i, message) {
        f.message = (uint64_t)json_integer_value(message);
        if (f.message == 0)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "a message's number is missing");
        if (!run(c->on->queue, &f, &changed, why))
            return false;
        all += changed;
    }
    if (messages == NULL) {
        if (!run(c->on->queue, &f, &changed, why))
            return false;
        all = changed;
    }
    admin_put(c, "changed", json_integer((json_int_t)all));
    return true;
}

bool admin_queue_hold(struct admin_call *c, struct fail *why)
{
    return steer_all(c, queue_hold, why);
}

bool admin_queue_release(struct admin_call *c, struct fail *why)
{
    return steer_all(c, queue_release, why);
}

bool admin_queue_retry(struct admin_call *c, struct fail *why)
{
    return steer_all(c, queue_retry, why);
}

bool admin_queue_remove(struct admin_call *c, struct fail *why)
{
    return steer_all(c, json_is_true(json_object_get(c->request, "bounce")) ? with_dsn : silently, why);
}

bool admin_queue_undo(struct admin_call *c, struct fail *why)
{
    struct slice trace = {0};

    if (!admin_text(c, "trace", &trace, why) || !queue_undo(c->on->queue, 0, trace, why))
        return false;
    admin_put(c, "trace", admin_json(trace));
    return true;
}

/* ---- figures ---- */

bool admin_queue_stats(struct admin_call *c, struct fail *why)
{
    struct queue_stats s;

    (void)why;
    queue_stats(c->on->queue, &s);
    const struct { const char *name; uint64_t value; } figures[] = {
        {"messages", s.messages}, {"recipients", s.recipients}, {"waiting", s.waiting},   {"active", s.active},
        {"held", s.held},         {"destinations", s.destinations}, {"taken", s.taken},   {"sent", s.sent},
        {"deferred", s.deferred}, {"bounced", s.bounced},
    };
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        admin_put(c, figures[i].name, json_integer((json_int_t)figures[i].value));
    return true;
}
