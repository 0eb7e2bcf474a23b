/*
 * tests/unit/transfer/recorder.h - a transfer_into that writes down what it is told, as text.
 *
 *     mailbox INBOX uidvalidity=7 uidnext=4
 *     message uid=1 flags=SF date=3600+60 keywords=a,b uidl=x key=y "Subject: ..."
 *     end whole
 *     left out PATH: REASON
 */
#ifndef TESTS_UNIT_TRANSFER_RECORDER_H
#define TESTS_UNIT_TRANSFER_RECORDER_H

#include "base/buf.h"
#include "store/store.h"
#include "tests/unit/check.h"
#include "transfer/transfer.h"

struct recorder {
    struct buf text;
    bool       show_keys;
    uint64_t   messages;
    /* Keys that `has` says yes to, each behind a blank. */
    const char *known;
};

static inline void recorder_body(struct recorder *r, const struct body *b)
{
    char        piece[4096];
    size_t      got = 0;
    struct fail why;

    buf_add(&r->text, SLICE(" \""));
    for (uint64_t at = 0; at < body_size(b) && body_read(b, at, piece, sizeof piece, &got, &why); at += got)
        for (size_t i = 0; i < got; i++)
            if (piece[i] == '\r')
                buf_add(&r->text, SLICE("\\r"));
            else if (piece[i] == '\n')
                buf_add(&r->text, SLICE("\\n"));
            else
                buf_add_char(&r->text, piece[i] == '\0' ? '@' : piece[i]);
    buf_add_char(&r->text, '"');
}

static inline bool recorder_mailbox(void *ctx, const struct transfer_mailbox *m, struct fail *why)
{
    struct recorder *r = ctx;

    (void)why;
    buf_addf(&r->text, "mailbox " PRIslice " uidvalidity=%u uidnext=%u%s%s", SLICE_ARG(m->name), m->uidvalidity, m->uidnext,
             m->use == USE_SENT ? " sent" : m->use == USE_ARCHIVE ? " archive" : m->use == USE_TRASH ? " trash" : "", m->no_select ? " noselect" : "");
    buf_add(&r->text, SLICE("\n"));
    return true;
}

static inline bool recorder_has(void *ctx, const struct transfer_message *m)
{
    const struct recorder *r = ctx;
    char                   key[300];

    if (r->known == NULL)
        return false;
    if (m->key.len > 0)
        (void)snprintf(key, sizeof key, " " PRIslice, SLICE_ARG(m->key));
    else
        (void)snprintf(key, sizeof key, " %u", m->uid);
    return strstr(r->known, key) != NULL;
}

static inline bool recorder_message(void *ctx, const struct transfer_message *m, struct fail *why)
{
    struct recorder *r = ctx;

    (void)why;
    r->messages++;
    buf_addf(&r->text, "message uid=%u flags=%s%s%s%s%s date=%lld%+d keywords=", m->uid, m->flags & STORE_SEEN ? "S" : "",
             m->flags & STORE_ANSWERED ? "A" : "", m->flags & STORE_FLAGGED ? "F" : "", m->flags & STORE_DELETED ? "D" : "",
             m->flags & STORE_DRAFT ? "T" : "", (long long)m->internal_date, m->internal_zone);
    for (size_t i = 0; i < m->keyword_count; i++)
        buf_addf(&r->text, "%s" PRIslice, i > 0 ? "," : "", SLICE_ARG(m->keywords[i]));
    if (m->uidl.len > 0)
        buf_addf(&r->text, " uidl=" PRIslice, SLICE_ARG(m->uidl));
    if (r->show_keys)
        buf_addf(&r->text, " key=" PRIslice, SLICE_ARG(m->key));
    if (m->body != NULL)
        recorder_body(r, m->body);
    else
        buf_add(&r->text, SLICE(" known"));
    buf_add(&r->text, SLICE("\n"));
    return true;
}

static inline bool recorder_end(void *ctx, bool whole, struct fail *why)
{
    struct recorder *r = ctx;

    (void)why;
    buf_add(&r->text, whole ? SLICE("end whole\n") : SLICE("end\n"));
    return true;
}

static inline bool recorder_subscription(void *ctx, struct slice name, struct fail *why)
{
    struct recorder *r = ctx;

    (void)why;
    buf_addf(&r->text, "subscription " PRIslice "\n", SLICE_ARG(name));
    return true;
}

static inline bool recorder_script(void *ctx, struct slice name, bool active, struct slice text, struct fail *why)
{
    struct recorder *r = ctx;

    (void)why;
    buf_addf(&r->text, "script " PRIslice "%s " PRIslice "\n", SLICE_ARG(name), active ? " active" : "", SLICE_ARG(text));
    return true;
}

static inline void recorder_left_out(void *ctx, struct slice what, const char *reason)
{
    struct recorder *r = ctx;

    buf_addf(&r->text, "left out " PRIslice ": %s\n", SLICE_ARG(what), reason);
}

static inline struct transfer_into recorder_into(struct recorder *r)
{
    *r = (struct recorder){0};
    buf_init(&r->text, 64 << 20);
    return (struct transfer_into){.ctx = r,
                                  .mailbox = recorder_mailbox,
                                  .has = recorder_has,
                                  .message = recorder_message,
                                  .mailbox_end = recorder_end,
                                  .subscription = recorder_subscription,
                                  .script = recorder_script,
                                  .left_out = recorder_left_out};
}

static inline void recorder_finish(struct recorder *r)
{
    buf_finish(&r->text);
}

#endif
