/*
 * transfer/keeper.c - mail that comes into an account of ours.
 *
 * Layer: transfer.  New messages gather in an appender; what the source changed of
 * messages that are there waits until the mailbox's end.
 */
#include "transfer/keeper.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/unicode.h"
#include "store/annotation.h"
#include "transfer/keeper_internal.h"
#include "transfer/keeper_name.h"

enum {
    BATCH_MESSAGES = 1000,
    BATCH_BYTES = 16 << 20,
    BATCH_MS = 2000,
};

void keeper_note_of(struct keeper *k, bool left_out, struct slice what, const char *reason)
{
    if (left_out)
        k->sum.left_out++;
    else
        k->sum.notes++;
    k->note(k->note_ctx, left_out, what, reason);
}

/* ---- new messages ---- */

static bool commit_once(struct keeper *k, struct appended *out, struct fail *why)
{
    struct fail first;

    if (appender_commit(k->appender, out, &first))
        return true;
    if (first.reason != FAIL_LIMIT || !k->batch_keywords) {
        *why = first;
        return false;
    }
    /* Their keywords are more than an account may have: the messages come without them. */
    appender_drop_keywords(k->appender);
    if (!appender_commit(k->appender, out, why))
        return false;
    char text[300];
    (void)snprintf(text, sizeof text, "the keywords of %zu messages: %s", appender_count(k->appender), first.text);
    keeper_note_of(k, true, k->name, text);
    return true;
}

/* What waits becomes durable. */
static bool commit_batch(struct keeper *k, struct fail *why)
{
    struct appended out = {0};
    struct fail     local = {0};

    if (k->appender == NULL)
        return true;
    size_t count = appender_count(k->appender);
    bool   ok = count == 0 || commit_once(k, &out, &local);
    appender_destroy(&k->appender);
    k->batch_keywords = false;
    if (!ok) {
        if (why != NULL)
            *why = local;
        return fail_at(why, "\"" PRIslice "\"", SLICE_ARG(k->name));
    }
    k->sum.messages += count;
    k->sum.bytes += k->batch_bytes;
    k->sum.renumbered += out.renumbered;
    k->durable += count;
    k->batch_bytes = 0;
    return true;
}

static bool is_full(const struct keeper *k)
{
    return appender_count(k->appender) >= BATCH_MESSAGES || k->batch_bytes >= BATCH_BYTES ||
           clock_mono_ms() - k->batch_since_ms >= BATCH_MS;
}

/* Those that a keyword may be called; the others are told of once a mailbox. */
static size_t good_keywords(struct keeper *k, const struct transfer_message *m, struct slice *out)
{
    size_t n = 0;

    for (size_t i = 0; i < m->keyword_count; i++) {
        struct slice name = m->keywords[i];
        bool         good = name.len > 0 && name.len <= KEYWORD_MOST && n < KEYWORDS_MOST;
        for (size_t at = 0; good && at < name.len; at++)
            good = name.ptr[at] > ' ' && name.ptr[at] < 0x7f && strchr("(){%*\"\\]", name.ptr[at]) == NULL;
        if (good) {
            out[n++] = name;
        } else if (!k->told_keyword) {
            k->told_keyword = true;
            char text[300];
            (void)snprintf(text, sizeof text, "the keyword \"" PRIslice "\" cannot be kept (this one and others like it)",
                           SLICE_ARG(name));
            keeper_note_of(k, true, k->name, text);
        }
    }
    return n;
}

static int64_t state_of(const struct transfer_message *m, const struct slice *keywords, size_t count)
{
    return keeper_state(m->flags, keywords, count);
}

static bool add_message(struct keeper *k, const struct transfer_message *m, const struct slice *keywords, size_t count,
                        const struct transfer_digest *digest, struct fail *why)
{
    struct import_origin origin = {.source = k->place.source, .uid = k->keeps_uids ? m->uid : 0,
                                   .state = state_of(m, keywords, count)};
    struct append_item   item = {
          .body = m->body, .flags = m->flags, .keywords = keywords, .keyword_count = count, .uidl = m->uidl,
          .internal_date = m->internal_date, .internal_zone = m->internal_zone, .origin = &origin};
    struct fail local;

    memcpy(origin.source_name, k->place.name, sizeof origin.source_name);
    memcpy(origin.digest, digest->bytes, sizeof origin.digest);
    if (k->appender == NULL) {
        k->appender = appender_create(k->account, k->place.mailbox);
        k->batch_since_ms = clock_mono_ms();
        if (k->options.over_quota)
            appender_over_quota(k->appender);
    }
    if (!appender_add(k->appender, &item, &local)) {
        /* What came before it is good. */
        bool kept = commit_batch(k, why);
        if (kept && why != NULL)
            *why = local;
        return false;
    }
    k->batch_bytes += body_size(m->body);
    k->batch_keywords = k->batch_keywords || count > 0;
    return !is_full(k) || commit_batch(k, why);
}

static bool take_message(void *ctx, const struct transfer_message *m, struct fail *why)
{
    struct keeper         *k = ctx;
    struct transfer_digest digest = transfer_digest(k->uidvalidity, m);
    struct known_row      *row = known_find(&k->known, &digest);
    struct slice           keywords[KEYWORDS_MOST];
    size_t                 count = good_keywords(k, m, keywords);

    if (k->no_select)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "messages for \"" PRIslice "\", which holds none", SLICE_ARG(k->name));
    if (row == NULL && m->body == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_INVALID, "a message was left away that is not here: run it again");
    if (row == NULL)
        return add_message(k, m, keywords, count, &digest, why);
    row->told = true;
    k->sum.known++;
    k->durable++;
    return keeper_compare(k, row, m->flags, keywords, count, why);
}

static bool has(void *ctx, const struct transfer_message *m)
{
    const struct keeper   *k = ctx;
    struct transfer_digest digest = transfer_digest(k->uidvalidity, m);

    return known_find(&k->known, &digest) != NULL;
}

static bool tell_known(void *ctx, bool (*each)(void *each_ctx, const struct transfer_digest *d), void *each_ctx,
                       struct fail *why)
{
    const struct keeper   *k = ctx;
    struct transfer_digest d;

    (void)why;
    for (size_t i = 0; i < k->known.count; i++) {
        memcpy(d.bytes, k->known.rows[i].row.digest, sizeof d.bytes);
        if (!each(each_ctx, &d))
            break;
    }
    return true;
}

static uint64_t durable(void *ctx)
{
    const struct keeper *k = ctx;

    return k->durable;
}

/* ---- mailboxes ---- */

/* The source may be another by where its mail goes. */
static struct slice source_name(struct keeper *k, const struct transfer_mailbox *m)
{
    const struct keeper_options *o = &k->options;

    return arena_printf(&k->arena, PRIslice "%s" PRIslice "%s" PRIslice,
                        SLICE_ARG(m->source.len > 0 ? m->source : m->name), o->mailbox.len > 0 ? " into " : "",
                        SLICE_ARG(o->mailbox), o->prefix.len > 0 ? " below " : "", SLICE_ARG(o->prefix));
}

/* The mailbox of that name; made if there is none. */
static bool name_mailbox(struct keeper *k, struct slice name, uint64_t *id, bool *made, struct fail *why)
{
    struct mailbox_info info;
    struct fail         local;

    *made = false;
    if (mailbox_find(k->account, name, &k->arena, &info, &local) && !info.no_select) {
        *id = info.id;
        return true;
    }
    *made = mailbox_create(k->account, name, USE_NONE, id, why);
    k->sum.new_mailboxes += *made;
    return *made;
}

/* Another mailbox has that use, and nothing in it: it goes over to this one. */
static bool give_use(struct keeper *k, enum special_use use, struct fail *why)
{
    const struct mailbox_list *list;
    const enum special_use     none = USE_NONE;
    uint64_t                   other = 0;
    bool                       taken = false, mine = false;

    if (use == USE_NONE || !mailbox_list(k->account, &list, why))
        return use == USE_NONE;
    for (size_t i = 0; i < list->count; i++) {
        const struct mailbox_info *info = &list->items[i];
        mine = mine || (info->id == k->place.mailbox && info->use != USE_NONE);
        if (info->use != use || info->id == k->place.mailbox)
            continue;
        taken = taken || info->messages > 0 || info->uidnext > 1;
        other = info->id;
    }
    mailbox_list_release(&list);
    if (taken || mine)
        return true;
    return (other == 0 || annotation_set(k->account, other, NULL, 0, &none, why)) &&
           annotation_set(k->account, k->place.mailbox, NULL, 0, &use, why);
}

static bool find_place(struct keeper *k, const struct transfer_mailbox *m, struct fail *why)
{
    struct slice source = source_name(k, m);
    bool         mended, found, made;
    uint64_t     id;

    if (!import_find(k->account, source, &k->place, &found, why))
        return false;
    if (found)
        return import_open(k->account, source, k->place.mailbox, 0, &k->place, why);
    k->name = keeper_name(&k->arena, m->name, &k->options, &mended);
    if (!name_mailbox(k, k->name, &id, &made, why))
        return false;
    if (mended && !made) {
        k->name = keeper_name_apart(&k->arena, k->name, m->name);
        if (!name_mailbox(k, k->name, &id, &made, why))
            return false;
    }
    if (mended) {
        char text[400];
        (void)snprintf(text, sizeof text, "is called \"" PRIslice "\" here: its name is not allowed", SLICE_ARG(k->name));
        keeper_note_of(k, false, m->name, text);
    }
    /* What goes below a prefix or into one mailbox stands beside what is here, and does not take its part. */
    const bool own_name = k->options.prefix.len == 0 && k->options.mailbox.len == 0;
    return import_open(k->account, source, id, m->uidvalidity, &k->place, why) && give_use(k, own_name ? m->use : USE_NONE, why);
}

static bool take_mailbox(void *ctx, const struct transfer_mailbox *m, struct fail *why)
{
    struct keeper *k = ctx;
    bool           mended;

    keeper_leave(k);
    arena_reset(&k->arena);
    k->name = arena_keep(&k->arena, m->name);
    k->uidvalidity = m->uidvalidity;
    k->uidnext = m->uidnext;
    k->no_select = m->no_select;
    k->told_keyword = false;
    if (m->subscribed && !mailbox_subscribe(k->account, keeper_name(&k->arena, m->name, &k->options, &mended), true, why))
        return false;
    if (m->no_select)
        return true;
    if (!find_place(k, m, why) || !known_load(&k->known, k->account, k->place.source, why))
        return fail_at(why, "\"" PRIslice "\"", SLICE_ARG(m->name));
    k->keeps_uids = m->uidvalidity != 0 && m->uidvalidity == k->place.uidvalidity;
    k->sum.mailboxes++;
    k->renumbered_before = k->sum.renumbered;
    k->messages_before = k->sum.messages;
    return true;
}

/* What clients will notice. */
static void note_uids(struct keeper *k)
{
    char text[200];

    if (k->uidvalidity == 0 || k->sum.messages == k->messages_before)
        return;
    if (!k->keeps_uids) {
        keeper_note_of(k, false, k->name, "there was mail in it already: its messages got new UIDs");
    } else if (k->sum.renumbered > k->renumbered_before) {
        (void)snprintf(text, sizeof text, "%llu messages got new UIDs, since others had come in meanwhile",
                       (unsigned long long)(k->sum.renumbered - k->renumbered_before));
        keeper_note_of(k, false, k->name, text);
    }
}

static bool end_mailbox(void *ctx, bool whole, struct fail *why)
{
    struct keeper *k = ctx;

    if (k->no_select)
        return true;
    if (!commit_batch(k, why) || !keeper_settle(k, whole && !k->options.keep_gone, why) ||
        (k->keeps_uids && k->uidnext > 1 && !import_close(k->account, k->place.mailbox, k->uidnext, why)))
        return false;
    note_uids(k);
    keeper_leave(k);
    return true;
}

void keeper_leave(struct keeper *k)
{
    appender_destroy(&k->appender);
    k->batch_bytes = 0;
    keeper_drop_wishes(k);
    known_finish(&k->known);
}

/* ---- what else comes ---- */

static bool take_subscription(void *ctx, struct slice name, struct fail *why)
{
    struct keeper *k = ctx;
    struct arena   arena;
    bool           mended;

    arena_init(&arena, 1 << 20);
    bool ok = mailbox_subscribe(k->account, keeper_name(&arena, name, &k->options, &mended), true, why);
    arena_finish(&arena);
    k->sum.subscriptions += ok;
    return ok;
}

static bool take_script(void *ctx, struct slice name, bool active, struct slice text, struct fail *why)
{
    struct keeper *k = ctx;

    if (!utf8_valid(name)) {
        keeper_note_of(k, true, SLICE("a Sieve script"), "its name is no UTF-8");
        return true;
    }
    bool ok = script_put(k->account, name, active, text, why);
    k->sum.scripts += ok;
    return ok;
}

static void leave_out(void *ctx, struct slice what, const char *reason)
{
    keeper_note_of(ctx, true, what, reason);
}

struct transfer_into keeper_into(struct keeper *k)
{
    return (struct transfer_into){
        .ctx = k,
        .mailbox = take_mailbox,
        .has = has,
        .known = tell_known,
        .durable = durable,
        .message = take_message,
        .mailbox_end = end_mailbox,
        .subscription = take_subscription,
        .script = take_script,
        .left_out = leave_out,
    };
}

struct keeper *keeper_create(struct account *a, const struct keeper_options *options, keeper_note *note, void *ctx)
{
    struct keeper *k = xcalloc(1, sizeof *k);

    k->account = account_ref(a);
    k->options = *options;
    k->note = note;
    k->note_ctx = ctx;
    arena_init(&k->arena, 4 << 20);
    return k;
}

bool keeper_finish(struct keeper *k, struct fail *why)
{
    return commit_batch(k, why);
}

const struct keeper_summary *keeper_summary(const struct keeper *k)
{
    return &k->sum;
}

void keeper_destroy(struct keeper **keeper)
{
    struct keeper *k = *keeper;

    if (k == NULL)
        return;
    (void)commit_batch(k, NULL); /* what came is good, however the transfer ended */
    keeper_leave(k);
    arena_finish(&k->arena);
    account_release(&k->account);
    free(k);
    *keeper = NULL;
}
