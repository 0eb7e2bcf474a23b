/*
 * admin/backup.c - a role's side of a backup: it holds still, and makes copies of what changes in place.
 *
 * Layer: admin.  {"do": "backup.begin"} is a conversation, because the connection's life is the lease's: when it ends,
 * in order or not, so does the lease.  After {"ready": true} the client sends words, a line each, and each is answered
 * by lines of progress of which the last is {"done": true} or {"failed": "..."}:
 *
 *     node, directory, queue   a copy of that database: FOLDER/node.db and so on
 *     accounts                 {"account": 7, "stamp": "..."} for each (store_account_stamp)
 *     account 7                a copy of its file: FOLDER/account.db; {"gone": true} if there is no such account any more
 *     volumes                  {"volume": 42, "bytes": ..., "generation": "..."} for each (volume_extents)
 *     still                    nothing: the client is there
 *     end                      the request's result
 *
 * A client that says nothing for admin.backup_silence_seconds has lost its lease, and the connection: stopped for good, on a
 * terminal that is gone, it would hold back freeing for ever.  What it says later fails, so no backup comes of it.
 *
 * Files are read by the client, which is no role: it has the rights to.  What order is right: store/backup.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "admin/internal.h"
#include "base/io.h"
#include "base/log.h"
#include "base/scoped.h"
#include "deliver/deliver.h"
#include "queue/queue.h"
#include "storage/volume.h"
#include "store/store.h"

enum { WORD_MAX = 100, SETTLE_SECONDS = 5, PATH_BYTES = 4096 };

struct lease {
    struct admin_call *call;
    char               path[PATH_BYTES]; /* of the copy being made */
};

static void tell_new(const struct lease *l, json_t *line)
{
    if (line == NULL)
        die_no_memory(0);
    l->call->progress->tell(l->call->progress->ctx, line);
    json_decref(line);
}

static const char *copy_path(struct lease *l, const char *name)
{
    int len = snprintf(l->path, sizeof l->path, "%s/%s", l->call->on->backup_dir, name);

    return len > 0 && (size_t)len < sizeof l->path ? l->path : "/nonexistent/path-too-long";
}

/* ---- the words ---- */

static bool copy_node(struct lease *l, uint64_t id, struct fail *why)
{
    (void)id;
    return store_copy_node(l->call->on->store, copy_path(l, "node.db"), why);
}

static bool copy_directory(struct lease *l, uint64_t id, struct fail *why)
{
    (void)id;
    return directory_copy(l->call->on->directory, copy_path(l, "directory.db"), why);
}

static bool copy_queue(struct lease *l, uint64_t id, struct fail *why)
{
    (void)id;
    return queue_copy(l->call->on->queue, copy_path(l, "queue.db"), why);
}

static bool copy_account(struct lease *l, uint64_t id, struct fail *why)
{
    struct fail told = {0};

    if (store_copy_account(l->call->on->store, id, copy_path(l, "account.db"), &told))
        return true;
    if (told.reason == FAIL_NOT_FOUND) {
        tell_new(l, json_pack("{s:b}", "gone", 1));
        return true;
    }
    *why = told;
    return false;
}

static bool tell_account(void *ctx, uint64_t id)
{
    const struct lease *l = ctx;
    struct store_stamp stamp;
    struct fail        why;

    if (store_account_stamp(l->call->on->store, id, &stamp, &why))
        tell_new(l, json_pack("{s:I, s:s}", "account", (json_int_t)id, "stamp", stamp.text));
    else if (why.reason != FAIL_NOT_FOUND) /* the copy will tell what is wrong with it */
        tell_new(l, json_pack("{s:I, s:s}", "account", (json_int_t)id, "stamp", ""));
    return true;
}

static bool tell_accounts(struct lease *l, uint64_t id, struct fail *why)
{
    (void)id;
    return store_each_account(l->call->on->store, tell_account, l, why);
}

static bool tell_volumes(struct lease *l, uint64_t id, struct fail *why)
{
    const struct admin *on = l->call->on;
    SCOPED(scoped_free) struct volume_extent *list = NULL;
    size_t count;

    (void)id;
    if (!volume_extents(on->queue != NULL ? queue_volumes(on->queue) : on->volumes, &list, &count, why))
        return false;
    for (size_t i = 0; i < count; i++)
        tell_new(l, json_pack("{s:I, s:I, s:s}", "volume", (json_int_t)list[i].id, "bytes", (json_int_t)list[i].bytes,
                              "generation", list[i].generation));
    return true;
}

static bool say_nothing(struct lease *l, uint64_t id, struct fail *why)
{
    (void)l, (void)id, (void)why;
    return true;
}

static const struct {
    const char *word;
    bool (*run)(struct lease *l, uint64_t id, struct fail *why);
    bool in_mail, in_queue;
} words[] = {
    {"node", copy_node, true, false},         {"accounts", tell_accounts, true, false}, {"account", copy_account, true, false},
    {"directory", copy_directory, true, false}, {"queue", copy_queue, false, true},     {"volumes", tell_volumes, true, true},
    {"still", say_nothing, true, true},
};

static void run_word(struct lease *l, struct slice line)
{
    struct slice word = slice_cut(&line, ' ');
    bool         in_queue = l->call->on->queue != NULL, ok = false;
    uint64_t     id = 0;
    struct fail  why = {0};

    (void)fail_set(&why, FAIL_PERM, FAIL_INVALID, "no such word in a backup");
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!slice_eq(word, slice_of(words[i].word)) || !(in_queue ? words[i].in_queue : words[i].in_mail) ||
            (line.len > 0 && !slice_to_u64(line, INT64_MAX, &id)))
            continue;
        ok = words[i].run(l, id, &why);
        break;
    }
    if (ok)
        tell_new(l, json_pack("{s:b}", "done", 1));
    else
        tell_new(l, json_pack("{s:o}", "failed", admin_json(slice_of(why.text))));
}

/* ---- the conversation ---- */

/* One line, without its end; false: the client is gone, or is none of ours. */
static bool next_line(const struct admin_stream *s, struct buf *in, struct fail *why)
{
    char   byte;
    size_t got;

    buf_reset(in);
    while (s->read(s->ctx, &byte, 1, &got, why)) {
        if (got == 0)
            return fail_set(why, FAIL_TEMP, FAIL_OTHER, "the backup ended before its end");
        if (byte == '\n')
            return true;
        buf_add_char(in, byte);
        if (in->failed)
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "a line of a backup is too long");
    }
    return false;
}

static bool converse(struct admin_call *c, struct fail *why)
{
    struct lease l = {.call = c};
    struct buf   in;
    bool         ok;

    buf_init(&in, WORD_MAX);
    tell_new(&l, json_pack("{s:b}", "ready", 1));
    c->stream->patience(c->stream->ctx, c->on->backup_silence_seconds);
    while ((ok = next_line(c->stream, &in, why)) && !slice_eq(buf_slice(&in), SLICE("end")))
        run_word(&l, buf_slice(&in));
    buf_finish(&in);
    if (ok)
        c->stream->patience(c->stream->ctx, 0);
    else
        c->stream->stop(c->stream->ctx);
    return ok;
}

/* The folder for the copies, which is empty; locked while there is a descriptor: one backup at a time. */
static int open_folder(const char *path, struct fail *why)
{
    int fd = io_make_dirs(path, 0700, why) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;

    if (fd < 0) {
        if (errno != 0)
            (void)fail_errno(why, errno, "%s", path);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "another backup is being made");
        return -1;
    }
    return fd;
}

static void empty_folder(int fd)
{
    static const char *const names[] = {"node.db",  "node.db.new",  "directory.db", "directory.db.new",
                                        "queue.db", "queue.db.new", "account.db",   "account.db.new"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)unlinkat(fd, names[i], 0);
}

bool admin_backup_begin(struct admin_call *c, struct fail *why)
{
    const struct admin *on = c->on;

    if (c->stream == NULL || c->progress == NULL || on->backup_dir == NULL)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "a backup needs a connection of its own");
    SCOPED(scoped_close) int folder = open_folder(on->backup_dir, why);
    if (folder < 0)
        return false;
    empty_folder(folder);
    if (on->deliver != NULL) /* what is on its way gets its rows; what does not, a restore will give them */
        (void)deliver_settle_within(on->deliver, SETTLE_SECONDS);
    if (on->queue != NULL)
        queue_lease_begin(on->queue);
    else
        store_lease_begin(on->store);
    log_event(LOG_INFO, "backup.begin");
    bool ok = converse(c, why);
    if (on->queue != NULL)
        queue_lease_end(on->queue);
    else
        store_lease_end(on->store);
    empty_folder(folder);
    log_event(LOG_INFO, "backup.end", LOG_CSTR("whole", ok ? "yes" : "no"), LOG_CSTR("why", ok ? "" : why->text));
    return ok;
}
