/*
 * queue/rebuild.c - queue.db was lost: its rows from the records.
 *
 * Layer: queue, private.  The volumes hold what waits, and also what was sent not long ago and whose space was not given back
 * yet; nothing but the lost database could tell one from the other.  So everything comes back, held: the administrator looks
 * (posthorn queue list) and releases or removes.  Nothing is thrown away before, and nothing is sent twice unseen.
 *
 * A mark beside the database says that this is not finished: it is made before the database is, and a start that finds it goes
 * through the records again.  What has its rows already is passed over.
 */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "queue/internal.h"

enum { PATH_MAX_BYTES = 4096 };

static void path_of(const struct queue *q, const char *name, struct buf *out)
{
    buf_init(out, PATH_MAX_BYTES);
    buf_addf(out, "%s/%s", q->dir, name);
    buf_add_char(out, '\0');
}

bool rebuild_prepare(struct queue *q, struct fail *why)
{
    struct buf database, mark;

    path_of(q, "queue.db", &database);
    path_of(q, "rebuild", &mark);
    bool ok = !database.failed && !mark.failed;
    if (!ok)
        (void)fail_set(why, FAIL_PERM, FAIL_INVALID, "%s: the path is too long", q->dir);
    else if (access(database.data, F_OK) != 0 && errno == ENOENT)
        ok = io_replace_file(mark.data, SLICE("queue.db is made from the records in volumes/\n"), 0600, why);
    q->rebuilds = ok && access(mark.data, F_OK) == 0;
    buf_finish(&database);
    buf_finish(&mark);
    return ok;
}

struct restoring {
    struct op op;
    struct queue_message message;
    uint64_t ref, size;
    bool taken; /* there are rows of it now */
    struct due_list due;
};

static bool is_there(struct queue *q, uint64_t ref, bool *yes, struct fail *why)
{
    struct db_stmt *s = db_stmt(q->db, SQL_HAS_MESSAGE, why);

    if (s == NULL)
        return false;
    db_bind_i64(s, 1, (int64_t)ref);
    *yes = db_step(s, why);
    return db_done(s, why);
}

/* The mail role may have handed it over anew, not knowing what became of it: then it has a record of its own by now. */
static bool run_restoring(struct queue *q, struct op *o, struct fail *why)
{
    struct restoring *r = (struct restoring *)o;
    bool              there, known = false;

    due_reset(&r->due);
    r->taken = false;
    if (!is_there(q, r->ref, &there, why) || (r->message.id != 0 && !take_is_known(q, r->message.id, &known, why)))
        return false;
    if (there || known)
        return true;
    if (r->message.id != 0) {
        if (!db_run(q->db, SQL_ADD_TAKEN, why, "i", (int64_t)r->message.id))
            return false;
        q->delta.taken++;
    }
    r->taken = true;
    return take_write(q, &r->message, r->ref, r->size, TAKE_HELD, &r->due, why);
}

/* A record as the message that it was; false: it cannot be. */
static bool read_record(const struct record *rec, struct arena *a, struct queue_message *out)
{
    struct queue_recipient *list = arena_new_array(a, struct queue_recipient, rec->target_count);

    *out = (struct queue_message){.sender = rec->sender, .trace = rec->trace, .received = rec->internal_date, .recipients = list};
    if (list == NULL || rec->kind != RECORD_DELIVERY || !envelope_options_read(a, rec->options, &out->options))
        return false;
    for (size_t i = 0; i < rec->target_count; i++) {
        const struct record_target *t = &rec->targets[i];
        if (t->kind != RECORD_OUTBOUND || !recipient_options_read(a, t->options, &list[i].options))
            return false;
        list[i].address = t->recipient;
        list[i].prefix = t->prefix;
        out->id = t->account;
    }
    out->recipient_count = rec->target_count;
    return rec->target_count > 0;
}

bool rebuild_record(struct queue *q, volume_ref ref, const struct record *rec, uint64_t *restored)
{
    struct restoring r = {.op = {.run = run_restoring}, .ref = ref, .size = rec->size};
    struct fail      why = {0};
    struct arena     a;

    arena_init(&a, CLAIM_ARENA);
    due_init(&r.due);
    bool ok = read_record(rec, &a, &r.message);
    if (!ok)
        log_event(LOG_ERROR, "queue.not_restored", LOG_HEX("queue_id", ref), LOG_TEXT("trace", rec->trace),
                  LOG_CSTR("reason", "its record cannot be understood"));
    else if (!commit_wait(q, &r.op, &why))
        log_event(LOG_ERROR, "queue.not_restored", LOG_HEX("queue_id", ref), LOG_TEXT("trace", rec->trace), LOG_FAIL(&why));
    *restored += ok && why.text[0] == '\0' && r.taken;
    due_finish(&r.due);
    arena_finish(&a);
    return why.text[0] == '\0';
}

void rebuild_finish(struct queue *q, uint64_t restored)
{
    struct buf mark;

    if (restored > 0)
        log_event(LOG_ERROR, "queue.restored", LOG_U64("messages", restored),
                  LOG_CSTR("hint", "queue.db was lost. All that was found is held, also what had left lately: see posthorn queue list, "
                                   "and release or remove it"));
    path_of(q, "rebuild", &mark);
    if (unlink(mark.data) != 0 && errno != ENOENT)
        log_event(LOG_ERROR, "queue.restored", LOG_I64("errno", errno));
    buf_finish(&mark);
    __atomic_store_n(&q->rebuilds, false, __ATOMIC_RELEASE);
}
