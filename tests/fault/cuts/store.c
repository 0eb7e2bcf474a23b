/*
 * tests/fault/cuts/store.c - mailboxes under power cuts: volumes, account files, node.db, deliveries.
 *
 * Two threads, two accounts each.  Each does one thing after the other to its accounts and notes what it begins,
 * what was acknowledged and what the account shows then: all of it, UIDs, flags, MODSEQs, counts, usage, what could
 * be undeleted.  After a cut the account must show exactly what it showed before or after what was under way, and
 * what it showed after if that was acknowledged; of changes that are made in steps every message that both have, and
 * every one that was acknowledged.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scoped.h"
#include "cuts.h"
#include "deliver/deliver.h"
#include "disk.h"
#include "storage/volume.h"
#include "store/annotation.h"
#include "store/flag_run.h"
#include "store/import.h"
#include "store/internal.h"
#include "store/past.h"
#include "store/view.h"

enum { THREADS = 2, ACCOUNTS = 4, STEPS = 20, DATE = 1000000000, SETTLE_SECONDS = 20, NAME_BYTES = 40 };

struct world {
    char dir[200];
    struct volumes *volumes;
    struct store *store;
    struct directory *directory;
    struct deliver *deliver;
};

struct actor {
    struct world *w;
    uint64_t rng, next; /* number of the next message */
    uint64_t first;     /* of its accounts */
};

static void world_open(struct world *w, const char *dir)
{
    char volumes[240], directory[240];
    struct volume_limits vl;
    struct store_limits sl;
    struct directory_limits dl;
    struct deliver_limits limits;
    struct fail why;

    (void)snprintf(w->dir, sizeof w->dir, "%s", dir);
    (void)snprintf(volumes, sizeof volumes, "%s/volumes", dir);
    (void)snprintf(directory, sizeof directory, "%s/directory.db", dir);
    volume_limits_default(&vl);
    vl.volume_bytes = 128 << 10;
    vl.prewrite_bytes = 32 << 10;
    vl.reserve_percent = 0;
    vl.reserve_bytes = 0;
    vl.free_after_seconds = 0;
    vl.compress_from = 40 << 10;
    store_limits_default(&sl);
    sl.handle_bytes = 3 * 172 * 1024; /* so that account files are closed and opened */
    sl.view_file_messages = 4;
    directory_limits_default(&dl);
    deliver_limits_default(&limits);
    limits.retry_seconds = 1;
    limits.mark_seconds = 1;
    if (!volumes_open(volumes, &vl, &w->volumes, &why) || !store_open(dir, w->volumes, &sl, &w->store, &why) ||
        !directory_open(directory, &dl, &w->directory, &why) ||
        !deliver_open(w->store, w->volumes, w->directory, &limits, &w->deliver, &why))
        cuts_die("opening", &why);
}

static void world_close(struct world *w)
{
    deliver_close(&w->deliver, 10);
    directory_close(&w->directory);
    store_close(&w->store);
    volumes_close(&w->volumes);
}

/* ---- what an account shows ---- */

struct shown {
    struct buf *out;
    struct world *w;
    const struct view *view;
    bool bodies; /* read and compare them */
    bool wrong;
};

static bool body_is_whole(struct world *w, const struct message_info *m, uint64_t number)
{
    struct store_body *b = store_body_open(w->store, m->ref, m->prefix, m->size);
    SCOPED(scoped_free) char *got = xmalloc(m->size + 1);
    struct buf want;
    struct fail why;

    buf_init(&want, SIZE_MAX / 2);
    buf_add(&want, m->prefix);
    cuts_message(number, &want);
    bool ok = want.len == m->size && store_body_read(b, 0, got, m->size, &why) && memcmp(got, want.data, m->size) == 0;
    buf_finish(&want);
    store_body_release(&b);
    return ok;
}

static bool show_message(void *ctx, const struct message_info *m)
{
    struct shown *s = ctx;
    uint64_t number = (uint64_t)(m->internal_date - DATE);
    bool found;
    uint32_t position = view_find(s->view, m->uid, &found);

    if (!found)
        return true; /* expunged, and kept */
    struct view_entry e = view_at(s->view, position);
    buf_addf(s->out, "m %llu: uid %u flags %u keywords %u modseq %llu size %llu id %llu\n", (unsigned long long)number, m->uid, e.flags,
             e.keyword_set, (unsigned long long)e.modseq, (unsigned long long)m->size, (unsigned long long)m->message_id);
    if (s->bodies && !body_is_whole(s->w, m, number)) {
        printf("message %llu (uid %u, record %llx) is not whole\n", (unsigned long long)number, m->uid, (unsigned long long)m->ref);
        s->wrong = true;
    }
    return true;
}

static bool show_box(struct shown *s, struct account *a, const struct mailbox_info *box, struct fail *why)
{
    static const struct uid_range all = {1, UINT32_MAX};
    struct view *v = NULL;

    buf_addf(s->out, "box %llu %.*s: uidvalidity %u uidnext %u modseq %llu messages %u unseen %u deleted %u bytes %llu/%llu use %d sub %d level %d\n",
             (unsigned long long)box->id, (int)box->name.len, box->name.ptr, box->uidvalidity, box->uidnext,
             (unsigned long long)box->highest_modseq, box->messages, box->unseen, box->deleted, (unsigned long long)box->bytes,
             (unsigned long long)box->deleted_bytes, (int)box->use, box->subscribed, box->no_select);
    if (box->no_select)
        return true;
    if (!view_open(a, box->id, &v, why))
        return false;
    s->view = v;
    uint32_t count = view_count(v);
    size_t before = s->out->len;
    bool ok = message_fetch(a, box->id, &all, 1, 0, show_message, s, why);
    size_t lines = 0;
    for (size_t i = before; i < s->out->len; i++)
        lines += s->out->data[i] == '\n';
    if (ok && lines != count) {
        printf("%.*s has %u messages, %zu can be fetched\n", (int)box->name.len, box->name.ptr, count, lines);
        s->wrong = true;
    }
    view_release(&v);
    return ok;
}

static bool show_rest(struct shown *s, struct account *a, struct fail *why)
{
    static const struct past_filter any = {.moved = true};
    struct past *p = NULL;
    struct annotation *list;
    struct arena arena;
    size_t count;

    arena_init(&arena, 1 << 20);
    bool ok = annotation_list(a, 0, ANNOTATION_SHARED, SLICE(""), &arena, &list, &count, why);
    for (size_t i = 0; ok && i < count; i++)
        buf_addf(s->out, "annotation %.*s: %.*s\n", (int)list[i].name.len, list[i].name.ptr, (int)list[i].value.len, list[i].value.ptr);
    arena_finish(&arena);
    ok = ok && past_expunged(a, &any, &p, why);
    for (size_t i = 0; ok && i < p->count; i++)
        buf_addf(s->out, "past %llu in %llu was %u\n", (unsigned long long)p->list[i].message_id,
                 (unsigned long long)p->list[i].box->id, p->list[i].uid);
    past_destroy(&p);
    return ok;
}

/* false: it could not be read, or not all of it was right. */
static bool show(struct world *w, uint64_t id, bool bodies, struct buf *out)
{
    struct shown s = {.out = out, .w = w, .bodies = bodies};
    const struct mailbox_list *l = NULL;
    struct account_usage usage;
    struct account *a = NULL;
    struct fail why;

    if (!store_account(w->store, id, &a, &why)) {
        if (why.reason == FAIL_NOT_FOUND)
            buf_addf(out, "none\n");
        else
            printf("account %llu: %s\n", (unsigned long long)id, why.text);
        return why.reason == FAIL_NOT_FOUND;
    }
    bool ok = account_usage(a, &usage, &why) && mailbox_list(a, &l, &why);
    if (ok)
        buf_addf(out, "usage: %llu bytes %llu messages modseq %llu\n", (unsigned long long)usage.bytes,
                 (unsigned long long)usage.messages, (unsigned long long)usage.highest_modseq);
    for (size_t i = 0; ok && i < l->count; i++)
        ok = show_box(&s, a, &l->items[i], &why);
    for (size_t i = 0; ok && i < l->subscribed_only_count; i++)
        buf_addf(out, "subscribed: %.*s\n", (int)l->subscribed_only[i].len, l->subscribed_only[i].ptr);
    ok = ok && show_rest(&s, a, &why);
    if (!ok)
        printf("account %llu: %s\n", (unsigned long long)id, why.text);
    mailbox_list_release(&l);
    account_release(&a);
    return ok && !s.wrong;
}

static void note_state(struct world *w, uint64_t id)
{
    struct buf out;

    buf_init(&out, SIZE_MAX / 2);
    if (!show(w, id, false, &out))
        cuts_die("showing", NULL);
    record_note(TRACE_STATE, id, 0, out.data, out.len);
    buf_finish(&out);
}

static void begin(uint64_t id, const char *what, unsigned bits)
{
    record_note(TRACE_BEGIN, id, bits, what, strlen(what));
}

static void done(struct world *w, uint64_t id, bool ok, const struct fail *why)
{
    if (!ok)
        cuts_die("a change", why);
    record_note(TRACE_DONE, id, 0, NULL, 0);
    note_state(w, id);
}

/* ---- what is done ---- */

struct act {
    struct actor *actor;
    struct world *w;
    struct account *a;
    uint64_t id;
    uint64_t box, other; /* two of its mailboxes */
    uint64_t *rng;
    struct fail why;
};

static uint64_t some_box(struct act *t)
{
    const struct mailbox_list *l = NULL;
    uint64_t id = 1;

    if (mailbox_list(t->a, &l, &t->why) && l->count > 0) {
        const struct mailbox_info *box = &l->items[rng_below(t->rng, l->count)];
        if (rng_below(t->rng, 2) == 0 && !box->no_select)
            id = box->id;
    }
    mailbox_list_release(&l);
    return id;
}

static struct body *message_body(uint64_t number)
{
    static const struct body_limits limits = {.memory_max = 1 << 20, .size_max = 1 << 20, .spool_dir = "/tmp"};
    struct body *b = body_create(&limits);
    struct buf text;

    buf_init(&text, 1 << 20);
    cuts_message(number, &text);
    if (!body_add(b, buf_slice(&text), NULL))
        cuts_die("a body", NULL);
    buf_finish(&text);
    return b;
}

static bool do_append(struct act *t)
{
    struct slice keyword = SLICE("$Forwarded");
    struct append_item items[3] = {0};
    struct body *bodies[3];
    size_t count = 1 + rng_below(t->rng, ARRAY_LEN(items));
    uint32_t uidvalidity;
    uint64_t modseq;

    for (size_t i = 0; i < count; i++) {
        bodies[i] = message_body(t->actor->next);
        items[i] = (struct append_item){.body = bodies[i], .internal_date = DATE + (int64_t)t->actor->next++,
                                        .flags = (uint32_t)rng_below(t->rng, 32), .keywords = &keyword,
                                        .keyword_count = rng_below(t->rng, 2)};
    }
    begin(t->id, "append", 0);
    bool ok = message_append(t->a, t->box, items, count, &uidvalidity, &modseq, &t->why);
    for (size_t i = 0; i < count; i++)
        body_destroy(&bodies[i]);
    return ok;
}

static struct uid_range some_range(struct act *t)
{
    uint32_t first = 1 + (uint32_t)rng_below(t->rng, 20);

    return (struct uid_range){first, first + (uint32_t)rng_below(t->rng, 8)};
}

static bool do_flags(struct act *t)
{
    struct uid_range r = some_range(t);
    struct slice keyword = SLICE("$Junk");
    struct flag_change change = {.op = (enum flag_op)rng_below(t->rng, 3), .flags = (uint32_t)rng_below(t->rng, 32),
                                 .keywords = &keyword, .keyword_count = rng_below(t->rng, 2)};
    uint64_t modseq;

    begin(t->id, "flags", 0);
    return message_flags(t->a, t->box, &r, 1, &change, NULL, &modseq, &t->why);
}

static bool do_expunge(struct act *t)
{
    struct uid_range r = some_range(t);
    struct uid_set gone = {0};
    uint64_t modseq;

    begin(t->id, "expunge", 0);
    bool ok = message_expunge(t->a, t->box, &r, 1, true, &gone, &modseq, &t->why);
    uid_set_finish(&gone);
    return ok;
}

static bool do_copy(struct act *t)
{
    struct uid_range r = some_range(t);
    struct copy_result result = {0};
    bool move = rng_below(t->rng, 2) == 0 && t->box != t->other;

    begin(t->id, move ? "move" : "copy", 0);
    bool ok = message_copy(t->a, t->box, &r, 1, t->other, move, &result, &t->why);
    uid_set_finish(&result.source);
    return ok;
}

static bool do_mailbox(struct act *t)
{
    char name[NAME_BYTES], other[NAME_BYTES];
    uint64_t id;
    bool ok;

    (void)snprintf(name, sizeof name, "box%u/in%u", (unsigned)rng_below(t->rng, 3), (unsigned)rng_below(t->rng, 2));
    (void)snprintf(other, sizeof other, "box%u", (unsigned)rng_below(t->rng, 3));
    switch (rng_below(t->rng, 5)) {
    case 0:
        begin(t->id, "rename", 0);
        ok = mailbox_rename(t->a, slice_of(other), slice_of(name), &t->why);
        break;
    case 1:
        begin(t->id, "delete", 0);
        ok = mailbox_delete(t->a, slice_of(name), &t->why);
        break;
    case 2:
        begin(t->id, "subscribe", 0);
        ok = mailbox_subscribe(t->a, slice_of(name), rng_below(t->rng, 3) > 0, &t->why);
        break;
    default:
        begin(t->id, "create", 0);
        ok = mailbox_create(t->a, slice_of(rng_below(t->rng, 2) ? name : other), USE_NONE, &id, &t->why);
        break;
    }
    return ok || t->why.kind == FAIL_PERM; /* there is one, there is none: nothing was changed */
}

static bool do_annotation(struct act *t)
{
    char value[NAME_BYTES];

    (void)snprintf(value, sizeof value, "value %u", (unsigned)rng_below(t->rng, 1000));
    struct annotation one = {.name = SLICE("/comment"), .value = slice_of(value), .gone = rng_below(t->rng, 4) == 0};
    begin(t->id, "annotation", 0);
    return annotation_set(t->a, 0, &one, 1, NULL, &t->why);
}

static bool is_for_both(uint64_t number)
{
    return number % 2 == 0;
}

/* One to three messages, each to one or both of the actor's accounts. */
static bool do_deliver(struct act *t)
{
    bool ok = true;

    for (uint64_t i = 0; i < 2; i++)
        begin(t->actor->first + i, "deliver", NOTE_LOOSE);
    for (uint64_t left = 1 + rng_below(t->rng, 3); ok && left > 0; left--) {
        uint64_t number = t->actor->next++;
        bool both = is_for_both(number);
        struct route_target targets[2];
        for (uint64_t i = 0; i < 2; i++)
            targets[i] = (struct route_target){.local = true, .account = both ? t->actor->first + i : t->id, .address = SLICE("u@x.test")};
        struct delivery_recipient to = {.address = SLICE("u@x.test"),
                                        .route = {.kind = ROUTE_LOCAL, .targets = targets, .count = both ? 2 : 1}};
        struct body *b = message_body(number);
        struct delivery in = {.sender = SLICE("ann@y.test"), .recipients = &to, .recipient_count = 1, .body = b,
                              .received = DATE + (int64_t)number, .trace = SLICE("trace")};
        ok = deliver_message(t->w->deliver, &in, &t->why);
        for (uint64_t i = 0; ok && i < (both ? 2 : 1); i++)
            record_note(TRACE_HAVE, targets[i].account, number, NULL, 0);
        body_destroy(&b);
    }
    if (ok && !deliver_settle_within(t->w->deliver, SETTLE_SECONDS))
        ok = fail_set(&t->why, FAIL_TEMP, FAIL_OTHER, "deliveries do not settle");
    for (uint64_t i = 0; ok && i < 2; i++)
        if (t->actor->first + i != t->id)
            note_state(t->w, t->actor->first + i);
    return ok;
}

/* What was expunged goes, and its bytes: punched or compacted. */
static bool do_purge(struct act *t)
{
    struct uid_range r = {1, rng_below(t->rng, 2) == 0 ? UINT32_MAX : 10};
    struct purge_result result;
    struct uid_set gone = {0};
    uint64_t modseq;

    deliver_save_mark(t->w->deliver);
    begin(t->id, "purge", NOTE_LOOSE);
    bool ok = message_expunge(t->a, t->box, &r, 1, true, &gone, &modseq, &t->why);
    uid_set_finish(&gone);
    return ok && past_purge(t->a, true, &result, &t->why) && release_announce(t->w->store, &t->why) &&
           release_reclaim(t->w->store, clock_now(), &t->why);
}

static bool do_undelete(struct act *t)
{
    static const struct past_filter any = {.moved = false};
    struct past_result result;
    struct past *p = NULL;
    char under[NAME_BYTES];

    begin(t->id, "undelete", NOTE_LOOSE);
    (void)snprintf(under, sizeof under, "back%u", (unsigned)rng_below(t->rng, 1000000));
    bool ok = past_expunged(t->a, &any, &p, &t->why) &&
              (rng_below(t->rng, 2) == 0 ? past_bring_back(t->a, p, &result, &t->why)
                                         : past_restore(t->a, p, slice_of(under), &result, &t->why));
    past_destroy(&p);
    return ok || t->why.kind == FAIL_PERM;
}

static bool do_snapshot(struct act *t)
{
    begin(t->id, "snapshot", 0);
    return store_snapshot(t->w->store, t->id, &t->why);
}

/* A backup's copy; while it lasts nothing is given back. */
static bool do_backup(struct act *t)
{
    char path[260];

    begin(t->id, "backup", 0);
    (void)snprintf(path, sizeof path, "%s/copy-%llu", t->w->dir, (unsigned long long)t->id);
    store_lease_begin(t->w->store);
    bool ok = store_copy_account(t->w->store, t->id, path, &t->why);
    store_lease_end(t->w->store);
    (void)unlink(path);
    return ok;
}

/* Its file is closed, with all that is in the WAL. */
static bool do_evict(struct act *t)
{
    begin(t->id, "evict", 0);
    flag_runs_settle_idle(t->a, INT64_MAX);
    view_files_keep(t->a, INT64_MAX);
    (void)pthread_mutex_lock(&t->a->file_lock);
    if (t->a->pins == 0)
        account_close_file(t->a);
    (void)pthread_mutex_unlock(&t->a->file_lock);
    return true;
}

static bool do_recount(struct act *t)
{
    unsigned differences = 0;

    begin(t->id, "recount", 0);
    if (!store_recount(t->a, NULL, NULL, &differences, &t->why))
        return false;
    return differences == 0 || fail_set(&t->why, FAIL_PERM, FAIL_OTHER, "%u counts were wrong", differences);
}

static bool do_import(struct act *t)
{
    struct import_place place;
    struct appender *p = NULL;
    struct appended got;
    char name[NAME_BYTES];

    (void)snprintf(name, sizeof name, "source %llu", (unsigned long long)t->actor->next);
    begin(t->id, "import", NOTE_LOOSE);
    bool ok = import_open(t->a, slice_of(name), t->box, 0, &place, &t->why);
    if (ok)
        p = appender_create(t->a, t->box);
    for (unsigned i = 0; ok && i < 3; i++) {
        uint64_t number = t->actor->next++;
        struct body *b = message_body(number);
        struct import_origin origin = {.source = place.source, .uid = 100 + i};
        struct append_item item = {.body = b, .internal_date = DATE + (int64_t)number, .origin = &origin};
        memcpy(origin.digest, &number, sizeof number);
        ok = appender_add(p, &item, &t->why);
        body_destroy(&b);
    }
    ok = ok && appender_commit(p, &got, &t->why) && import_close(t->a, t->box, 0, &t->why);
    appender_destroy(&p);
    return ok;
}

/* The file is as an older version left it, and is brought up to date when it is opened next. */
static bool do_upgrade(struct act *t)
{
    static const char back_to_2[] =
        "BEGIN; DROP TABLE import_source; DROP TABLE imported; DROP TABLE script; DROP TABLE quota_told; DROP TABLE uidl_again;"
        "DROP INDEX message_line_extra; DROP INDEX message_uidl; ALTER TABLE message DROP COLUMN line_extra;"
        "ALTER TABLE message DROP COLUMN uidl; ALTER TABLE account DROP COLUMN kept_since; PRAGMA user_version=2; COMMIT";

    begin(t->id, "upgrade", 0);
    (void)do_evict(t);
    (void)pthread_mutex_lock(&t->a->file_lock);
    char path[STORE_PATH_BYTES];
    sqlite3 *old = NULL;
    bool ok = account_path(t->w->store, "accounts", t->id, "mail.db", path, &t->why) && t->a->db == NULL;
    if (ok && (sqlite3_open_v2(path, &old, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
               sqlite3_exec(old, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL", NULL, NULL, NULL) != SQLITE_OK ||
               sqlite3_exec(old, back_to_2, NULL, NULL, NULL) != SQLITE_OK))
        ok = fail_set(&t->why, FAIL_PERM, FAIL_OTHER, "making an old file: %s", sqlite3_errmsg(old));
    (void)sqlite3_close(old);
    (void)pthread_mutex_unlock(&t->a->file_lock);
    return ok;
}

static bool do_rebuild(struct act *t)
{
    begin(t->id, "rebuild", NOTE_LOOSE);
    return store_rebuild(t->w->store, t->id, NULL, NULL, &t->why);
}

static const struct {
    bool (*run)(struct act *t);
    unsigned weight;
} acts[] = {
    {do_append, 20}, {do_flags, 14},   {do_expunge, 8}, {do_copy, 8},   {do_mailbox, 8}, {do_annotation, 3}, {do_deliver, 20},
    {do_purge, 8},   {do_undelete, 4}, {do_snapshot, 3}, {do_backup, 2}, {do_evict, 4},   {do_recount, 1},    {do_import, 3},
    {do_upgrade, 2}, {do_rebuild, 1},
};

static void act_once(struct actor *actor)
{
    struct act t = {.actor = actor, .w = actor->w, .id = actor->first + rng_below(&actor->rng, 2), .rng = &actor->rng};
    unsigned all = 0;
    size_t which = 0;

    if (!store_account(t.w->store, t.id, &t.a, &t.why))
        cuts_die("account", &t.why);
    t.box = some_box(&t);
    t.other = some_box(&t);
    for (size_t i = 0; i < ARRAY_LEN(acts); i++)
        all += acts[i].weight;
    unsigned chosen = (unsigned)rng_below(t.rng, all);
    while (chosen >= acts[which].weight)
        chosen -= acts[which++].weight;
    bool ok = acts[which].run(&t);
    done(t.w, t.id, ok, &t.why);
    account_release(&t.a);
}

static void *act_on(void *ctx)
{
    struct actor *actor = ctx;

    for (unsigned i = 0; i < STEPS; i++)
        act_once(actor);
    return NULL;
}

/* What was shown after a start is a promise too, whatever it was before. */
static void live(const char *dir, uint64_t seed, unsigned life)
{
    struct world w;
    struct actor actors[THREADS];
    pthread_t threads[THREADS];
    struct fail why;

    world_open(&w, dir);
    if (!deliver_settle_within(w.deliver, SETTLE_SECONDS))
        cuts_die("settling after a start", NULL);
    for (uint64_t id = 1; id <= ACCOUNTS; id++) {
        struct account *a = NULL;
        if (!store_account(w.store, id, &a, &why)) {
            begin(id, "create account", 0);
            if (!store_account_create(w.store, id, &why))
                cuts_die("making an account", &why);
            record_note(TRACE_DONE, id, 0, NULL, 0);
        }
        account_release(&a);
        note_state(&w, id);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){.w = &w, .rng = seed * 31 + life * 7 + i, .next = life * 100000 + i * 10000 + 1, .first = 1 + 2 * i};
        if (pthread_create(&threads[i], NULL, act_on, &actors[i]) != 0)
            cuts_die("a thread", NULL);
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    world_close(&w);
}

/* ---- after the cut ---- */

static bool has_message(const char *text, size_t len, uint64_t number)
{
    char line[40];

    int n = snprintf(line, sizeof line, "m %llu:", (unsigned long long)number);
    return memmem(text, len, line, (size_t)n) != NULL;
}

static bool same(const struct entry *e, const struct buf *now)
{
    return e != NULL && e->bytes == now->len && memcmp(e->payload, now->data, now->len) == 0;
}

static void tell(uint64_t id, const struct promise *p, const struct buf *now)
{
    printf("account %llu is not as it should be (%.*s%s)\n", (unsigned long long)id, p->begun != NULL ? (int)p->begun->bytes : 0,
           p->begun != NULL ? p->begun->payload : "", p->done ? ", acknowledged" : "");
    if (p->before != NULL && !p->done)
        printf("---- before:\n%.*s", (int)p->before->bytes, p->before->payload);
    if (p->after != NULL)
        printf("---- after:\n%.*s", (int)p->after->bytes, p->after->payload);
    printf("---- is:\n%.*s", (int)now->len, now->data);
}

/* Steps: every message that was there before and is there after, and all that were acknowledged. */
static bool check_loosely(uint64_t id, const struct promise *p, const struct buf *now)
{
    bool ok = true;

    for (size_t i = 0; i < p->have_count; i++)
        if (!has_message(now->data, now->len, p->have[i])) {
            printf("account %llu: message %llu was acknowledged and is lost\n", (unsigned long long)id, (unsigned long long)p->have[i]);
            ok = false;
        }
    const char *at = p->before != NULL ? p->before->payload : NULL, *end = at != NULL ? at + p->before->bytes : NULL;
    for (const char *next; at != NULL && at < end; at = next) {
        next = memchr(at, '\n', (size_t)(end - at));
        next = next != NULL ? next + 1 : end;
        if (at[0] != 'm' || at[1] != ' ')
            continue;
        uint64_t number = strtoull(at + 2, NULL, 10);
        if ((p->after == NULL || has_message(p->after->payload, p->after->bytes, number)) && !has_message(now->data, now->len, number)) {
            printf("account %llu: message %llu was there before and after %.*s and is lost\n", (unsigned long long)id,
                   (unsigned long long)number, (int)p->begun->bytes, p->begun->payload);
            ok = false;
        }
    }
    return ok;
}

static bool check_account(struct world *w, uint64_t id, const struct promise *p)
{
    struct buf now;

    buf_init(&now, SIZE_MAX / 2);
    bool ok = show(w, id, true, &now);
    record_note(TRACE_STATE, id, 0, now.data, now.len);
    if (ok && p->loose && !p->done) {
        ok = check_loosely(id, p, &now);
    } else if (ok && p->before == NULL && p->begun == NULL) {
        ok = slice_eq(buf_slice(&now), SLICE("none\n"));
    } else if (ok) {
        bool first = p->before == NULL && slice_eq(buf_slice(&now), SLICE("none\n"));
        ok = (!p->done && (same(p->before, &now) || first)) || (p->begun != NULL && (same(p->after, &now) || p->after == NULL));
        if (!ok)
            tell(id, p, &now);
    }
    buf_finish(&now);
    return ok;
}

static bool is_delivering(const struct promise *p)
{
    return p->begun != NULL && !p->done && slice_eq(slice_make(p->begun->payload, p->begun->bytes), SLICE("deliver"));
}

/* What came to one of two accounts in the deliveries that were under way came to the other: all recipients or none. */
static bool check_one_of_two(const struct buf *now, const struct buf *other, const struct promise *p)
{
    bool ok = true;

    for (size_t at = 0; at + 2 < now->len; at++) {
        if ((at > 0 && now->data[at - 1] != '\n') || now->data[at] != 'm' || now->data[at + 1] != ' ')
            continue;
        uint64_t number = strtoull(now->data + at + 2, NULL, 10);
        if (!is_for_both(number) || (p->before != NULL && has_message(p->before->payload, p->before->bytes, number)) ||
            has_message(other->data, other->len, number))
            continue;
        printf("message %llu came to one of its two recipients\n", (unsigned long long)number);
        ok = false;
    }
    return ok;
}

static bool check_both(struct world *w, uint64_t first, const struct promise *promises)
{
    struct buf now[2];
    bool ok = true;

    if (!is_delivering(&promises[first]) || !is_delivering(&promises[first + 1]))
        return true;
    for (unsigned i = 0; i < 2; i++) {
        buf_init(&now[i], SIZE_MAX / 2);
        ok = show(w, first + i, false, &now[i]) && ok;
    }
    for (unsigned i = 0; ok && i < 2; i++)
        ok = check_one_of_two(&now[i], &now[1 - i], &promises[first + i]);
    buf_finish(&now[0]);
    buf_finish(&now[1]);
    return ok;
}

/* It can be used: one more message, with a UID that nobody was given. */
static bool check_use(struct world *w, uint64_t id)
{
    struct account *a = NULL;
    struct act t = {.w = w, .id = id};
    struct body *b = message_body(id);
    struct append_item item = {.body = b, .internal_date = DATE + (int64_t)id};
    uint32_t uidvalidity;
    uint64_t modseq;

    bool ok = store_account(w->store, id, &a, &t.why);
    if (!ok && t.why.reason == FAIL_NOT_FOUND)
        ok = store_account_create(w->store, id, &t.why) && store_account(w->store, id, &a, &t.why);
    ok = ok && message_append(a, 1, &item, 1, &uidvalidity, &modseq, &t.why);
    if (!ok)
        printf("account %llu cannot be used: %s\n", (unsigned long long)id, t.why.text);
    body_destroy(&b);
    account_release(&a);
    return ok;
}

static void finding(void *ctx, const char *text)
{
    (void)ctx;
    printf("check: %s\n", text);
}

static bool check(const char *dir, const struct promise *promises, const struct trace *t, uint64_t cut, bool use)
{
    (void)t, (void)cut;

    struct world w;
    struct check_totals totals = {0};
    struct fail why;

    world_open(&w, dir);
    bool ok = deliver_settle_within(w.deliver, SETTLE_SECONDS);
    if (!ok)
        printf("deliveries do not settle\n");
    for (uint64_t id = 1; id <= ACCOUNTS; id++)
        ok = check_account(&w, id, &promises[id]) && ok;
    for (uint64_t first = 1; first < ACCOUNTS; first += 2)
        ok = check_both(&w, first, promises) && ok;
    for (uint64_t id = 1; use && id <= ACCOUNTS; id++)
        ok = check_use(&w, id) && ok;
    if (!store_check(w.store, finding, NULL, NULL, &totals, &why) || totals.problems > 0) {
        printf("check finds %llu problems\n", (unsigned long long)totals.problems);
        ok = false;
    }
    world_close(&w);
    return ok;
}

const struct cuts_case cuts_store = {.name = "store", .lives = 6, .live = live, .subjects = ACCOUNTS, .check = check};
