/*
 * transfer/teller.c - an account of ours, told to whoever keeps it elsewhere.
 *
 * Layer: transfer.
 */
#include "transfer/teller.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/import.h"
#include "store/maildrop.h"
#include "store/view.h"

enum { UIDS_AT_ONCE = 500, PIECE = 64 * 1024, SCRIPTS_MOST = 64 << 20 };

struct telling {
    struct account              *account;
    const struct teller_options *options;
    const struct transfer_into  *into;
    struct fail                 *why;
    bool                         ok;

    const struct mailbox_info *box;
    struct view               *view;
    char                      *piece; /* PIECE bytes */
    struct arena               arena; /* unique-ids of some messages */
    struct uidl_of {
        uint32_t     uid;
        struct slice uidl;
    } uidls[UIDS_AT_ONCE];
    size_t   uidl_count;
    uint64_t messages, all, bytes, all_bytes; /* told, and to be told */
};

/* ---- one message ---- */

/* Its bytes; NULL if they cannot be read, and *why. */
static struct body *read_body(struct telling *t, const struct message_info *m, struct fail *why)
{
    struct store_body *from = store_body_open(account_store(t->account), m->ref, m->prefix, m->size);
    struct body       *body = body_create(t->options->bodies);
    bool               ok = true;

    for (uint64_t at = 0; ok && at < m->size;) {
        size_t n = m->size - at < PIECE ? (size_t)(m->size - at) : PIECE;
        ok = store_body_read(from, at, t->piece, n, why) && body_add(body, slice_make(t->piece, n), why);
        at += n;
    }
    store_body_release(&from);
    if (!ok)
        body_destroy(&body);
    return body;
}

static struct slice uidl_of(const struct telling *t, uint32_t uid)
{
    for (size_t i = 0; i < t->uidl_count; i++)
        if (t->uidls[i].uid == uid)
            return t->uidls[i].uidl;
    return SLICE("");
}

static void leave_out(struct telling *t, uint32_t uid, const char *reason)
{
    char what[400];

    (void)snprintf(what, sizeof what, PRIslice ", UID %u", SLICE_ARG(t->box->name), uid);
    t->into->left_out(t->into->ctx, slice_of(what), reason);
}

static bool tell_message(void *ctx, const struct message_info *m)
{
    struct telling *t = ctx;
    struct fail     local = {0};
    bool            found;
    uint32_t        at = view_find(t->view, m->uid, &found);

    if (!found)
        return true; /* it was expunged before */
    struct view_entry       e = view_at(t->view, at);
    struct keyword_set      keywords = account_keyword_set(t->account, e.keyword_set);
    struct transfer_message out = {
        .uid = m->uid, .flags = e.flags & STORE_FLAGS, .keywords = keywords.names, .keyword_count = keywords.count,
        .internal_date = m->internal_date, .internal_zone = m->internal_zone, .uidl = uidl_of(t, m->uid)};
    struct body *body = NULL;

    if (!t->into->has(t->into->ctx, &out)) {
        body = read_body(t, m, &local);
        if (body == NULL && local.kind == FAIL_TEMP) {
            *t->why = local;
            t->ok = false;
            return false;
        }
        if (body == NULL) {
            leave_out(t, m->uid, local.text);
            return true;
        }
    }
    out.body = body;
    t->ok = t->into->message(t->into->ctx, &out, t->why);
    body_destroy(&body);
    t->messages++;
    t->bytes += m->size;
    return t->ok;
}

static bool note_uidl(void *ctx, const struct maildrop_message *m)
{
    struct telling *t = ctx;

    if (t->uidl_count < UIDS_AT_ONCE)
        t->uidls[t->uidl_count++] = (struct uidl_of){m->uid, arena_keep(&t->arena, m->uidl)};
    return true;
}

/* ---- one mailbox ---- */

/* Messages of the view from `position` on. */
static bool tell_some(struct telling *t, uint32_t position, uint32_t count)
{
    struct uid_range range = {view_at(t->view, position).uid, view_at(t->view, position + count - 1).uid};

    arena_reset(&t->arena);
    t->uidl_count = 0;
    /* Only the maildrop's mean anything to anybody. */
    if (slice_eq(t->box->name, SLICE("INBOX")) &&
        !store_maildrop_read(t->account, t->box->id, range.first, range.last, note_uidl, t, t->why))
        return false;
    if (!message_fetch(t->account, t->box->id, &range, 1, 0, tell_message, t, t->why))
        return false;
    if (t->ok && t->into->progress != NULL)
        t->into->progress(t->into->ctx, t->messages, t->bytes, t->all, t->all_bytes);
    return t->ok;
}

static bool tell_messages(struct telling *t)
{
    uint32_t count = view_count(t->view);

    for (uint32_t at = 0; at < count; at += UIDS_AT_ONCE) {
        if (!tell_some(t, at, count - at < UIDS_AT_ONCE ? count - at : UIDS_AT_ONCE))
            return false;
    }
    return true;
}

static bool tell_mailbox(struct telling *t, const struct mailbox_info *box)
{
    char                    source[120];
    struct transfer_mailbox m = {.name = box->name, .use = t->options->beside ? USE_NONE : box->use, .subscribed = box->subscribed,
                                 .no_select = box->no_select};

    (void)snprintf(source, sizeof source, "posthorn %llu %llu", (unsigned long long)account_id(t->account),
                   (unsigned long long)box->id);
    m.source = slice_of(source);
    if (box->no_select)
        return t->into->mailbox(t->into->ctx, &m, t->why) && t->into->mailbox_end(t->into->ctx, true, t->why);
    if (!view_open(t->account, box->id, &t->view, t->why))
        return t->why->reason == FAIL_NOT_FOUND; /* deleted this moment */
    if (t->options->fresh) { /* keys are UIDs: the source's name says of which */
        int len = snprintf(source, sizeof source, "posthorn %llu %llu %u", (unsigned long long)account_id(t->account),
                           (unsigned long long)box->id, view_uidvalidity(t->view));
        m.source = slice_make(source, len > 0 ? (size_t)len : 0);
    } else {
        m.uidvalidity = view_uidvalidity(t->view);
        m.uidnext = view_uidnext(t->view);
    }
    t->box = box;
    bool ok = t->into->mailbox(t->into->ctx, &m, t->why) && tell_messages(t) &&
              t->into->mailbox_end(t->into->ctx, true, t->why);
    view_release(&t->view);
    return ok;
}

/* ---- the account ---- */

static bool is_wanted(const struct telling *t, struct slice name)
{
    struct slice only = t->options->mailbox;

    return only.len == 0 || slice_eq(name, only) ||
           (slice_starts(name, only) && name.len > only.len && name.ptr[only.len] == '/');
}

static bool tell_mailboxes(struct telling *t, const struct mailbox_list *list)
{
    bool any = false;

    for (size_t i = 0; i < list->count; i++) {
        if (!is_wanted(t, list->items[i].name))
            continue;
        any = true;
        t->all += list->items[i].messages;
        t->all_bytes += list->items[i].bytes;
    }
    if (!any)
        return fail_set(t->why, FAIL_PERM, FAIL_NOT_FOUND, "there is no mailbox \"" PRIslice "\"",
                        SLICE_ARG(t->options->mailbox));
    for (size_t i = 0; i < list->count; i++) {
        if (is_wanted(t, list->items[i].name) && !tell_mailbox(t, &list->items[i]))
            return false;
    }
    for (size_t i = 0; t->into->subscription != NULL && i < list->subscribed_only_count; i++) {
        if (is_wanted(t, list->subscribed_only[i]) &&
            !t->into->subscription(t->into->ctx, list->subscribed_only[i], t->why))
            return false;
    }
    return true;
}

/* While they are read nothing else of the account may be, so they are told afterwards. */
struct script {
    struct script *next;
    struct slice   name, text;
    bool           active;
};

struct scripts {
    struct arena   arena;
    struct script *first, **tail;
};

static bool keep_script(void *ctx, struct slice name, bool active, struct slice text)
{
    struct scripts *all = ctx;
    struct script  *s = arena_new(&all->arena, struct script);

    if (s == NULL)
        return false;
    *s = (struct script){.name = arena_keep(&all->arena, name), .text = arena_keep(&all->arena, text), .active = active};
    *all->tail = s;
    all->tail = &s->next;
    return !all->arena.failed;
}

static bool tell_scripts(struct telling *t)
{
    struct scripts all = {.first = NULL};

    all.tail = &all.first;
    arena_init(&all.arena, SCRIPTS_MOST);
    bool ok = script_each(t->account, keep_script, &all, t->why);
    for (const struct script *s = all.first; ok && s != NULL; s = s->next)
        ok = t->into->script(t->into->ctx, s->name, s->active, s->text, t->why);
    arena_finish(&all.arena);
    return ok;
}

bool teller_tell(struct account *a, const struct teller_options *options, const struct transfer_into *into,
                 struct fail *why)
{
    struct fail                local = {0};
    struct telling             t = {.account = a, .options = options, .into = into, .why = &local, .ok = true};
    const struct mailbox_list *list = NULL;

    t.piece = xmalloc(PIECE);
    arena_init(&t.arena, 4 << 20);
    bool ok = mailbox_list(a, &list, &local) && tell_mailboxes(&t, list) &&
              (into->script == NULL || options->beside || options->mailbox.len > 0 || tell_scripts(&t));
    mailbox_list_release(&list);
    arena_finish(&t.arena);
    free(t.piece);
    if (!ok && why != NULL)
        *why = local;
    return ok;
}
