/*
 * store/mailbox_change.c - mailboxes made, deleted, renamed, subscribed to.
 *
 * Layer: store.  Rare and small: each in a transaction of its own, after which
 * the account's list is read anew.
 */
#include "base/clock.h"
#include "base/scoped.h"
#include "store/internal.h"

struct restructure {
    struct slice name, to; /* checked */
    enum special_use use;
    bool anyway; /* over quota too */
    bool alone;  /* shared with nobody, whatever the level above is */
    uint64_t id;
    bool on;
    bool had_acl;
};

/* The mailbox of that name while mailboxes are being made: by `state`, which the change has not touched yet.
 */
static const struct mailbox_row *row_named(struct change *c, struct slice name)
{
    const struct mailbox_state *box = state_mailbox_named(c->account->state, name);

    return box != NULL ? &box->row : NULL;
}

/* It begins with the rights that others have in `like`. */
static bool new_mailbox(struct change *c, uint64_t parent, uint64_t like, struct slice leaf, enum special_use use,
                        bool no_select, uint64_t *id, struct fail *why)
{
    const struct store_limits *l = &c->account->store->limits;
    uint32_t uidvalidity;

    if (c->account->state->box_count + (c->row.next_mailbox - c->account->state->row.next_mailbox) >=
        l->mailboxes)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "the account has %u mailboxes already", l->mailboxes);
    if (!node_new_uidvalidity(c->account->store, &uidvalidity, why))
        return false;
    *id = c->row.next_mailbox++;
    c->restructured = true;
    change_event(c, *id, WATCH_MADE, SLICE(""));
    return db_run(c->db, SQL_MAILBOX_NEW, why, "iitiiii", (int64_t)*id, (int64_t)parent, leaf,
                  (int64_t)uidvalidity, (int64_t)use, (int64_t)no_select, (int64_t)change_modseq(c)) &&
           (like == 0 || db_run(c->db, SQL_ACL_INHERIT, why, "ii", (int64_t)like, (int64_t)*id));
}

/* The levels above `name`, made where they are missing; *leaf is the last one. */
static bool make_levels(struct change *c, struct slice name, bool alone, uint64_t *parent, struct slice *leaf,
                        struct fail *why)
{
    size_t at = 0;

    *parent = 0;
    for (;;) {
        struct slice rest = slice_from(name, at);
        size_t end = slice_find_char(rest, '/');
        if (end == rest.len) {
            *leaf = rest;
            return true;
        }
        at += end;
        const struct mailbox_row *level = row_named(c, slice_sub(name, 0, at));
        if (level != NULL)
            *parent = level->id;
        else if (!new_mailbox(c, *parent, alone ? 0 : *parent, slice_sub(rest, 0, end), USE_NONE, true, parent, why))
            return false;
        at++;
    }
}

static bool exists(struct slice name, struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_EXISTS, "there is a mailbox \"" PRIslice "\" already",
                    SLICE_ARG(name));
}

static bool missing(struct slice name, struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no mailbox \"" PRIslice "\"", SLICE_ARG(name));
}

static bool create(struct change *c, void *ctx, struct fail *why)
{
    struct restructure *r = ctx;
    const struct mailbox_row *there = row_named(c, r->name);
    uint64_t parent;
    uint32_t uidvalidity;
    struct slice leaf;

    if (there != NULL && !there->no_select)
        return exists(r->name, why);
    if (!r->anyway && !quota_admits_mailbox(c, why))
        return false;
    if (there != NULL) {
        r->id = there->id;
        c->restructured = true;
        change_event(c, there->id, WATCH_MADE, SLICE(""));
        return node_new_uidvalidity(c->account->store, &uidvalidity, why) &&
               db_run(c->db, SQL_MAILBOX_REVIVE, why, "iiii", (int64_t)there->id, (int64_t)uidvalidity,
                      (int64_t)r->use, (int64_t)change_modseq(c));
    }
    return make_levels(c, r->name, r->alone, &parent, &leaf, why) &&
           new_mailbox(c, parent, r->alone ? 0 : parent, leaf, r->use, false, &r->id, why);
}

static bool has_children(const struct account_state *s, uint64_t id)
{
    for (size_t i = 0; i < s->box_count; i++) {
        if (s->boxes[i].row.parent == id)
            return true;
    }
    return false;
}

/* All messages of a mailbox go where expunged ones are kept. */
static bool empty(struct change *c, uint64_t id, struct fail *why)
{
    struct change_box *box = change_box(c, id, why);

    if (box == NULL || !change_view(c, box, why))
        return false;
    struct view_runs runs = view_runs_find(box->view, NULL, 0, run_take_all, NULL);
    bool ok = expunge_runs(c, box, &runs, why);
    view_runs_finish(&runs);
    return ok;
}

/* With children, another row that only holds the level takes its place: ids are never used twice. */
static bool delete (struct change *c, void *ctx, struct fail *why)
{
    struct restructure *r = ctx;
    const struct mailbox_row *there = row_named(c, r->name);
    uint64_t stand_in = 0;

    if (there == NULL)
        return missing(r->name, why);
    bool children = has_children(c->account->state, there->id);
    if (there->no_select && children)
        return fail_set(why, FAIL_PERM, FAIL_HAS_CHILDREN, "\"" PRIslice "\" has mailboxes below it",
                        SLICE_ARG(r->name));
    if (!there->no_select && !empty(c, there->id, why))
        return false;
    c->restructured = true;
    change_event(c, there->id, WATCH_DELETED, r->name);
    if (!db_run(c->db, SQL_MAILBOX_BURY, why, "iii", (int64_t)there->id, (int64_t)change_modseq(c),
                clock_now()) ||
        !db_run(c->db, SQL_ANNOTATION_BURY, why, "i", (int64_t)there->id) ||
        !db_run(c->db, SQL_SEEN_BURY, why, "i", (int64_t)there->id))
        return false;
    if (children && !(new_mailbox(c, there->parent, there->id, there->leaf, USE_NONE, true, &stand_in, why) &&
                      db_run(c->db, SQL_MAILBOX_ADOPT, why, "ii", (int64_t)there->id, (int64_t)stand_in)))
        return false;
    r->had_acl = state_mailbox(c->account->state, there->id)->acl_count > 0;
    return db_run(c->db, SQL_ACL_BURY, why, "i", (int64_t)there->id) &&
           db_run(c->db, SQL_URLAUTH_RESET, why, "i", (int64_t)there->id);
}

static unsigned levels_of(struct slice name)
{
    unsigned levels = 1;

    for (size_t i = 0; i < name.len; i++)
        levels += name.ptr[i] == '/';
    return levels;
}

/* What hangs below moves along: its names must fit too. */
static bool names_below_fit(const struct account *a, struct slice from, struct slice to, struct fail *why)
{
    const struct store_limits *l = &a->store->limits;
    const struct account_state *s = a->state;

    for (size_t i = 0; i < s->box_count; i++) {
        struct slice name = s->boxes[i].row.name;
        if (name.len <= from.len || !slice_starts(name, from) || name.ptr[from.len] != '/')
            continue;
        if (name.len - from.len + to.len > l->name_bytes ||
            levels_of(name) - levels_of(from) + levels_of(to) > l->name_levels)
            return fail_set(why, FAIL_PERM, FAIL_LIMIT, "a mailbox below it would have too long a name");
    }
    return true;
}

/*
 * RFC 3501 section 6.3.5: the messages of INBOX move to a new mailbox, INBOX stays.  As with every other
 * mailbox that is renamed, who could read them before can afterwards, and nobody else.
 */
static bool rename_inbox(struct change *c, const struct mailbox_row *inbox, struct restructure *r,
                         struct fail *why)
{
    struct restructure made = {.name = r->to};

    if (!create(c, &made, why) || !db_run(c->db, SQL_ACL_BURY, why, "i", (int64_t)made.id) ||
        !db_run(c->db, SQL_ACL_INHERIT, why, "ii", (int64_t)inbox->id, (int64_t)made.id))
        return false;
    change_events_cut(c, c->event_count - 1); /* it is not told as a new one */
    change_event(c, made.id, WATCH_RENAMED, inbox->name);
    return copy_move_all(c, inbox->id, made.id, why) &&
           db_run(c->db, SQL_ANNOTATION_COPY, why, "iii", (int64_t)inbox->id, (int64_t)made.id,
                  (int64_t)change_modseq(c)); /* RFC 5464 section 4.1 */
}

static bool rename_mailbox(struct change *c, void *ctx, struct fail *why)
{
    struct restructure *r = ctx;
    const struct mailbox_row *from = row_named(c, r->name);
    uint64_t parent;
    struct slice leaf;

    if (from == NULL)
        return missing(r->name, why);
    if (row_named(c, r->to) != NULL)
        return exists(r->to, why);
    if (mailbox_name_is_inbox(r->name))
        return rename_inbox(c, from, r, why);
    if (slice_starts(r->to, r->name) && r->to.ptr[r->name.len] == '/')
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "a mailbox cannot move below itself");
    c->restructured = true;
    change_event(c, from->id, WATCH_RENAMED, r->name);
    return names_below_fit(c->account, r->name, r->to, why) && make_levels(c, r->to, false, &parent, &leaf, why) &&
           db_run(c->db, SQL_MAILBOX_PLACE, why, "iiti", (int64_t)from->id, (int64_t)parent, leaf,
                  (int64_t)change_modseq(c));
}

static bool subscribe(struct change *c, void *ctx, struct fail *why)
{
    const struct restructure *r = ctx;
    const struct store_limits *l = &c->account->store->limits;

    if (r->on && c->account->state->subscribed_count >= l->mailboxes)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "the account has %u subscriptions already", l->mailboxes);
    if (!db_run(c->db, r->on ? SQL_SUBSCRIBE : SQL_UNSUBSCRIBE, why, "t", r->name))
        return false;
    if (db_changes(c->db) > 0) {
        change_event(c, 0, WATCH_SUBSCRIBED, r->name);
        c->restructured = true;
    }
    return true;
}

static bool restructure(struct account *a, struct slice name, const struct slice *to, change_fn *apply,
                        struct restructure *r, struct fail *why)
{
    struct arena arena;

    arena_init(&arena, 1 << 20);
    bool ok = mailbox_name_check(&arena, name, &a->store->limits, &r->name, why) &&
              (to == NULL || mailbox_name_check(&arena, *to, &a->store->limits, &r->to, why)) &&
              change_run(a, CHANGE_ALONE, apply, r, why);
    arena_finish(&arena);
    return ok;
}

bool mailbox_create(struct account *a, struct slice name, enum special_use use, uint64_t *id,
                    struct fail *why)
{
    struct restructure r = {.use = use};

    if (!restructure(a, name, NULL, create, &r, why))
        return false;
    if (id != NULL)
        *id = r.id;
    return true;
}

bool mailbox_create_alone(struct account *a, struct slice name, enum special_use use, uint64_t *id, struct fail *why)
{
    struct restructure r = {.use = use, .alone = true};

    if (!restructure(a, name, NULL, create, &r, why))
        return false;
    *id = r.id;
    return true;
}

bool mailbox_create_anyway(struct account *a, struct slice name, uint64_t *id, struct fail *why)
{
    struct restructure r = {.anyway = true, .alone = true};

    if (!restructure(a, name, NULL, create, &r, why))
        return false;
    *id = r.id;
    return true;
}

bool mailbox_delete(struct account *a, struct slice name, struct fail *why)
{
    struct restructure r = {.id = 0};

    if (mailbox_name_is_inbox(name))
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "INBOX cannot be deleted");
    if (!restructure(a, name, NULL, delete, &r, why))
        return false;
    if (r.had_acl) {
        share_lock(a->store);
        (void)share_tidy(a, NULL); /* the next change of rights does it too */
        share_unlock(a->store);
    }
    return true;
}

bool mailbox_rename(struct account *a, struct slice from, struct slice to, struct fail *why)
{
    struct restructure r = {.id = 0};

    return restructure(a, from, &to, rename_mailbox, &r, why);
}

bool mailbox_subscribe(struct account *a, struct slice name, bool on, struct fail *why)
{
    struct restructure r = {.on = on};

    return restructure(a, name, NULL, subscribe, &r, why);
}
