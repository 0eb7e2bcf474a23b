/*
 * transfer/imap_source.c - mail from a running IMAP server: mailbox by mailbox, over as many connections as it takes.
 *
 * Layer: transfer.
 */
#include "transfer/imap_source.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAMES_MAX = 256 << 20, PAUSE_MAX_MS = 30 * 1000, TRIES = 8, PAUSE_MS = 1000 };

/* ---- over and over ---- */

static bool open_link(struct imap_run *r, struct fail *why)
{
    r->selected = NULL;
    if (!imap_link_open(&r->link, why)) {
        if (!r->was_open) /* wrong from the first: nobody wants to wait for that */
            why->kind = FAIL_PERM;
        return false;
    }
    return r->was_open = true;
}

static void say(const struct imap_run *r, const char *text)
{
    if (r->source->say != NULL)
        r->source->say(r->source->say_ctx, text);
}

bool imap_repeat(struct imap_run *r, enum imap_step (*step)(struct imap_run *r, void *ctx, struct fail *why), void *ctx, struct fail *why)
{
    unsigned tries = r->source->tries > 0 ? r->source->tries : TRIES;
    unsigned first = r->source->pause_ms > 0 ? r->source->pause_ms : PAUSE_MS, pause = first;
    char     text[400];

    for (unsigned tried = 1;; tried++) {
        uint64_t       before = r->moved;
        bool           open = imap_link_is_open(&r->link) || open_link(r, why);
        enum imap_step result = open ? step(r, ctx, why) : why->kind == FAIL_PERM ? IMAP_STEP_FATAL : IMAP_STEP_LINK;
        if (result == IMAP_STEP_DONE)
            return true;
        if (result == IMAP_STEP_FATAL)
            return false;
        imap_link_close(&r->link);
        if (r->moved != before) {
            tried = 1;
            pause = first;
        }
        if (tried >= tries)
            return fail_at(why, "given up after %u tries", tries);
        (void)snprintf(text, sizeof text, "%s; trying again in %u s", why->text, (pause + 999) / 1000);
        say(r, text);
        (void)poll(NULL, 0, (int)pause);
        pause = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
    }
}

/* ---- a mailbox ---- */

static bool on_examine(void *ctx, struct imap_link *l, const struct imap_answer *a)
{
    struct imap_run *r = ctx;
    uint64_t         n;

    (void)l;
    if (a->kind == IMAP_DATA && a->has_number && slice_eq_nocase(a->word, SLICE("EXISTS")))
        r->exists = a->number;
    if (a->kind == IMAP_STATUS && slice_starts_nocase(a->code, SLICE("UIDVALIDITY ")) && slice_to_u64(slice_trim(slice_from(a->code, 12)), UINT32_MAX, &n))
        r->uidvalidity = (uint32_t)n;
    if (a->kind == IMAP_STATUS && slice_starts_nocase(a->code, SLICE("UIDNEXT ")) && slice_to_u64(slice_trim(slice_from(a->code, 8)), UINT32_MAX, &n))
        r->uidnext = (uint32_t)n;
    return false;
}

enum imap_step imap_source_examine(struct imap_run *r, const struct imap_mailbox *m, bool *refused, struct fail *why)
{
    struct imap_result result;
    struct buf         name;

    *refused = false;
    if (r->selected == m)
        return IMAP_STEP_DONE;
    r->uidvalidity = r->uidnext = r->exists = 0;
    buf_init(&name, 1 << 16);
    imap_link_add_quoted(&name, m->wire);
    bool ok = imap_link_run(&r->link, on_examine, r, &result, why, "EXAMINE " PRIslice, SLICE_ARG(buf_slice(&name)));
    buf_finish(&name);
    if (!ok)
        return IMAP_STEP_LINK;
    *refused = result.status != IMAP_OK;
    if (*refused)
        (void)imap_refused(&result, FAIL_OTHER, "EXAMINE", why);
    r->selected = *refused ? NULL : m;
    return IMAP_STEP_DONE;
}

struct opening {
    const struct imap_mailbox *mailbox;
    bool                       refused;
    struct fail                refusal;
};

static enum imap_step open_mailbox(struct imap_run *r, void *ctx, struct fail *why)
{
    struct opening *o = ctx;
    enum imap_step  step = imap_source_examine(r, o->mailbox, &o->refused, why);

    o->refusal = *why;
    return step;
}

static bool tell_level(struct imap_run *r, const struct imap_mailbox *m, struct transfer_mailbox *told, struct fail *why)
{
    bool needed = false;

    for (size_t i = 0; i < r->mailbox_count && !needed; i++)
        needed = slice_starts(r->mailboxes[i].name, m->name) && r->mailboxes[i].name.len > m->name.len && r->mailboxes[i].name.ptr[m->name.len] == '/';
    told->no_select = true;
    return !needed || (r->into->mailbox(r->into->ctx, told, why) && r->into->mailbox_end(r->into->ctx, true, why));
}

static bool tell_mailbox(struct imap_run *r, const struct imap_mailbox *m, struct fail *why)
{
    struct transfer_mailbox told = {.name = m->name, .use = m->use, .subscribed = m->subscribed};
    struct opening          o = {.mailbox = m, .refusal = {.text = ""}};
    struct buf              source;
    bool                    whole = true, ok;

    buf_init(&source, 500);
    buf_addf(&source, "imap:%.200s@%.200s/", r->source->host.user, r->source->host.host);
    for (size_t i = source.len; i > 0 && source.data[i - 1] != '@'; i--) /* a host's name has no case */
        source.data[i - 1] = ascii_lower(source.data[i - 1]);
    buf_add(&source, slice_sub(m->wire, 0, 500 - source.len));
    told.source = buf_slice(&source);
    if (m->no_select) {
        ok = tell_level(r, m, &told, why);
    } else if (!imap_repeat(r, open_mailbox, &o, why)) {
        ok = false;
    } else if (o.refused) {
        r->into->left_out(r->into->ctx, m->name, o.refusal.text);
        ok = true;
    } else {
        told.uidvalidity = r->uidvalidity;
        told.uidnext = r->uidnext;
        ok = r->into->mailbox(r->into->ctx, &told, why) && imap_tell_messages(r, m, &whole, why) && r->into->mailbox_end(r->into->ctx, whole, why);
    }
    buf_finish(&source);
    return ok;
}

bool imap_source_read(void *ctx, const struct transfer_into *into, struct fail *why)
{
    const struct imap_source *s = ctx;
    struct imap_run          *r = xcalloc(1, sizeof *r);
    struct imap_result        result;
    struct fail               unheard;

    r->source = s;
    r->into = into;
    arena_init(&r->names, NAMES_MAX);
    imap_link_init(&r->link, &s->host);
    bool ok = imap_repeat(r, imap_list_all, NULL, why);
    for (size_t i = 0; ok && i < r->mailbox_count; i++)
        ok = tell_mailbox(r, &r->mailboxes[i], why);
    if (ok && r->mailbox_count == 0)
        ok = fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, s->only_count > 0 ? "the server has no such mailbox" : "the server lists no mailbox");
    if (imap_link_is_open(&r->link))
        (void)imap_link_run(&r->link, NULL, NULL, &result, &unheard, "LOGOUT");
    imap_link_finish(&r->link);
    arena_finish(&r->names);
    free(r->mailboxes);
    free(r);
    return ok;
}

/* ---- UIDLs ---- */

bool imap_uidl_write(struct buf *out, struct slice format, uint32_t uid, uint32_t uidvalidity)
{
    size_t from = out->len;

    for (size_t i = 0; i < format.len; i++) {
        char text[40];
        bool zero = false, hex = false, upper = false;
        unsigned width = 0;
        if (format.ptr[i] != '%') {
            buf_add_char(out, format.ptr[i]);
            continue;
        }
        if (++i < format.len && format.ptr[i] == '0')
            zero = true;
        for (; i < format.len && ascii_is_digit(format.ptr[i]) && width < 100; i++)
            width = width * 10 + (unsigned)(format.ptr[i] - '0');
        if (i < format.len && (format.ptr[i] == 'X' || format.ptr[i] == 'x')) {
            hex = true;
            upper = format.ptr[i++] == 'X';
        }
        if (i == format.len || width > 30 || (format.ptr[i] != 'u' && format.ptr[i] != 'v'))
            return false;
        uint32_t n = format.ptr[i] == 'u' ? uid : uidvalidity;
        int      len = hex ? snprintf(text, sizeof text, upper ? "%X" : "%x", n) : snprintf(text, sizeof text, "%u", n);
        for (unsigned pad = (unsigned)len; pad < width; pad++)
            buf_add_char(out, zero ? '0' : ' ');
        buf_add(out, slice_make(text, (size_t)len));
    }
    return !out->failed && out->len > from && out->len - from <= 70;
}
