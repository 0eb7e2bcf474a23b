/*
 * transfer/imap_fetch.c - the messages of one mailbox of an IMAP server.
 *
 * Layer: transfer.  A window of messages at a time: first what is said of them (UID, flags, date, size), then the bodies
 * that the keeper lacks, in batches by size, the next one asked for while the last one comes.  They are told
 * in ascending order, whatever the order in which they come.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "transfer/imap_source.h"

enum {
    WINDOW = 500,
    BATCH_MESSAGES = 50,
    BATCH_BYTES = 4 << 20,
    IN_FLIGHT = 2,
    ALONE_TRIES = 4,
    UIDS_MAX = 100 * 1000 * 1000,
    WINDOW_ARENA = 64 << 20
};

struct slot {
    enum slot_state {
        SLOT_UNHEARD, /* nothing was said of it yet */
        SLOT_WAITS,   /* for its body */
        SLOT_ALONE,   /* the same, in a command of its own: a batch with it went wrong */
        SLOT_HERE,
        SLOT_KNOWN,   /* the keeper has it */
        SLOT_MISSING, /* OK was said, but nothing came: is it still there? */
        SLOT_DONE     /* told, left out, or gone */
    } state;
    uint32_t      uid, flags;
    unsigned      tries;
    struct slice *keywords;
    size_t        keyword_count;
    int64_t       date;
    int           zone;
    uint64_t      size;
    struct body  *body;
};

struct batch {
    unsigned tag;
    size_t   from, to; /* slots */
};

struct messages {
    struct imap_run           *run;
    const struct imap_mailbox *mailbox;
    uint32_t                   uidvalidity;
    uint32_t                  *uids;
    size_t                     count, cap;
    struct slot                slots[WINDOW];
    size_t                     slot_count, next; /* next: to be told */
    struct arena               arena; /* of the window */
    struct batch               batches[IN_FLIGHT];
    size_t                     flying;
    bool                       whole, failed; /* failed: the keeper, or our own disk; *why says it */
    struct fail                why;
};

/* ---- helpers ---- */

static void leave_out(struct messages *m, struct slot *s, const char *reason)
{
    struct buf what;

    buf_init(&what, 4000);
    buf_addf(&what, PRIslice ", UID %u", SLICE_ARG(slice_sub(m->mailbox->name, 0, 3000)), s->uid);
    m->run->into->left_out(m->run->into->ctx, buf_slice(&what), reason);
    buf_finish(&what);
    m->whole = false;
    s->state = SLOT_DONE;
}

static struct slot *find_slot(struct messages *m, uint32_t uid)
{
    size_t low = 0, high = m->slot_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->slots[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->slot_count && m->slots[low].uid == uid ? &m->slots[low] : NULL;
}

/* The mailbox on this connection, and still the same. */
static enum imap_step at_mailbox(struct messages *m, struct fail *why)
{
    bool           refused;
    enum imap_step step = imap_source_examine(m->run, m->mailbox, &refused, why);

    if (step != IMAP_STEP_DONE)
        return step;
    if (refused)
        return IMAP_STEP_FATAL;
    if (m->run->uidvalidity == m->uidvalidity)
        return IMAP_STEP_DONE;
    (void)fail_set(why, FAIL_TEMP, FAIL_OTHER, "UIDVALIDITY of " PRIslice " changed meanwhile", SLICE_ARG(m->mailbox->name));
    return IMAP_STEP_FATAL;
}

/* ---- which UIDs there are ---- */

static bool on_search(void *ctx, struct imap_link *l, const struct imap_answer *a)
{
    struct messages *m = ctx;

    if (a->kind != IMAP_DATA || !slice_eq_nocase(a->word, SLICE("SEARCH")))
        return false;
    for (;;) {
        while (imap_in_accept(&l->in, ' '))
            ;
        int c = imap_in_peek(&l->in);
        if (c < '0' || c > '9')
            break;
        uint32_t uid = (uint32_t)imap_in_number(&l->in, UINT32_MAX);
        if (m->count == UIDS_MAX || uid == 0) {
            (void)imap_in_fail(&l->in, "impossible UIDs");
            break;
        }
        if (m->count == m->cap) {
            m->cap = m->cap > 0 ? 2 * m->cap : 1024;
            m->uids = xrealloc(m->uids, m->cap * sizeof *m->uids);
        }
        m->uids[m->count++] = uid;
    }
    imap_in_end(&l->in);
    return true;
}

static int by_uid(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static enum imap_step search(struct imap_run *r, void *ctx, struct fail *why)
{
    struct messages   *m = ctx;
    struct imap_result result;
    enum imap_step     step = at_mailbox(m, why);
    size_t             kept = 0;

    m->count = 0;
    if (step != IMAP_STEP_DONE || r->exists == 0)
        return step;
    if (!imap_link_run(&r->link, on_search, m, &result, why, "UID SEARCH ALL"))
        return IMAP_STEP_LINK;
    if (result.status != IMAP_OK) {
        (void)imap_refused(&result, FAIL_OTHER, "UID SEARCH", why);
        return IMAP_STEP_FATAL;
    }
    if (m->count > 0)
        qsort(m->uids, m->count, sizeof *m->uids, by_uid);
    for (size_t i = 0; i < m->count; i++)
        if (kept == 0 || m->uids[i] != m->uids[kept - 1])
            m->uids[kept++] = m->uids[i];
    m->count = kept;
    return IMAP_STEP_DONE;
}

/* ---- what is said of them ---- */

/* Gmail: does a message of All Mail stand in a mailbox that is taken anyway? */
static bool is_elsewhere(const struct imap_run *r, struct slice label)
{
    for (size_t i = 0; i < r->mailbox_count; i++) {
        const struct imap_mailbox *box = &r->mailboxes[i];
        if (box->all_mail || box->no_select)
            continue;
        if (slice_eq(label, box->wire) || (slice_eq_nocase(label, SLICE("\\Inbox")) && slice_eq(box->name, SLICE("INBOX"))) ||
            (slice_eq_nocase(label, SLICE("\\Sent")) && box->use == USE_SENT) ||
            (slice_starts_nocase(label, SLICE("\\Draft")) && box->use == USE_DRAFTS))
            return true;
    }
    return false;
}

static void keep_facts(struct messages *m, struct slot *s, const struct imap_fetched *f)
{
    bool elsewhere = false;

    s->flags = f->flags;
    s->date = f->has_date ? f->date : clock_now();
    s->zone = f->has_date ? f->zone : 0;
    s->size = f->size;
    s->keywords = arena_new_array(&m->arena, struct slice, f->keyword_count + 1);
    s->keyword_count = 0;
    for (size_t i = 0; i < f->keyword_count && s->keywords != NULL; i++)
        s->keywords[s->keyword_count++] = arena_keep(&m->arena, f->keywords[i]);
    if (f->important && s->keywords != NULL)
        s->keywords[s->keyword_count++] = SLICE("$Important"); /* RFC 8457 */
    for (size_t i = 0; i < f->label_count && m->mailbox->all_mail && !elsewhere; i++)
        elsewhere = is_elsewhere(m->run, f->labels[i]);
    if (f->keywords_cut && !elsewhere)
        leave_out(m, s, "it has more than 512 keywords; the others did not come along");
    s->state = elsewhere ? SLOT_DONE : SLOT_WAITS;
    m->run->moved++;
}

static bool on_facts(void *ctx, struct imap_link *l, const struct imap_answer *a)
{
    struct messages    *m = ctx;
    struct imap_fetched f;

    if (a->kind != IMAP_DATA || !slice_eq_nocase(a->word, SLICE("FETCH")))
        return false;
    imap_in_fetched(&l->in, NULL, &f);
    struct slot *s = !l->in.failed && f.has_flags ? find_slot(m, f.uid) : NULL;
    if (s != NULL && s->state == SLOT_UNHEARD)
        keep_facts(m, s, &f);
    return true;
}

static bool fetch_facts(struct messages *m, uint32_t from, uint32_t to, struct imap_result *result, struct fail *why)
{
    return imap_link_run(&m->run->link, on_facts, m, result, why, "UID FETCH %u:%u (UID FLAGS INTERNALDATE RFC822.SIZE%s)", from, to,
                         m->run->gmail ? " X-GM-LABELS" : "");
}

static enum imap_step facts(struct imap_run *r, void *ctx, struct fail *why)
{
    struct messages   *m = ctx;
    struct imap_result result;
    enum imap_step     step = at_mailbox(m, why);

    (void)r;
    if (step != IMAP_STEP_DONE)
        return step;
    if (!fetch_facts(m, m->slots[0].uid, m->slots[m->slot_count - 1].uid, &result, why))
        return IMAP_STEP_LINK;
    for (size_t i = 0; i < m->slot_count; i++) {
        struct slot *s = &m->slots[i];
        if (s->state == SLOT_UNHEARD && result.status == IMAP_OK)
            s->state = SLOT_MISSING;
        if (s->state != SLOT_UNHEARD)
            continue;
        struct imap_result one; /* the server stumbles over one of them: which? */
        if (!fetch_facts(m, s->uid, s->uid, &one, why))
            return IMAP_STEP_LINK;
        if (s->state == SLOT_UNHEARD && one.status != IMAP_OK) {
            (void)imap_refused(&one, FAIL_OTHER, "FETCH", why);
            leave_out(m, s, why->text);
        } else if (s->state == SLOT_UNHEARD) {
            s->state = SLOT_MISSING;
        }
    }
    return IMAP_STEP_DONE;
}

/* ---- telling ---- */

static struct transfer_message told_of(struct messages *m, const struct slot *s, struct buf *uidl)
{
    struct transfer_message t = {.uid = s->uid,
                                 .flags = s->flags,
                                 .keywords = s->keywords,
                                 .keyword_count = s->keyword_count,
                                 .internal_date = s->date,
                                 .internal_zone = s->zone,
                                 .body = s->body};
    struct slice            format = m->run->source->uidl_format;

    if (format.len > 0 && slice_eq(m->mailbox->name, SLICE("INBOX")) && imap_uidl_write(uidl, format, s->uid, m->uidvalidity))
        t.uidl = buf_slice(uidl);
    return t;
}

static void ask_keeper(struct messages *m)
{
    const struct transfer_into *into = m->run->into;
    struct buf                  uidl;

    buf_init(&uidl, 200);
    for (size_t i = 0; i < m->slot_count; i++) {
        struct transfer_message t = told_of(m, &m->slots[i], &uidl);
        if (m->slots[i].state == SLOT_WAITS && into->has != NULL && into->has(into->ctx, &t))
            m->slots[i].state = SLOT_KNOWN;
        buf_reset(&uidl);
    }
    buf_finish(&uidl);
}

/* All that can be told now. */
static bool tell_ready(struct messages *m)
{
    struct imap_run *r = m->run;
    struct buf       uidl;

    buf_init(&uidl, 200);
    for (; m->next < m->slot_count && !m->failed; m->next++) {
        struct slot *s = &m->slots[m->next];
        if (s->state == SLOT_UNHEARD || s->state == SLOT_WAITS || s->state == SLOT_ALONE)
            break;
        if (s->state != SLOT_HERE && s->state != SLOT_KNOWN)
            continue;
        struct transfer_message t = told_of(m, s, &uidl);
        r->told++;
        r->told_bytes += s->body != NULL ? body_size(s->body) : 0;
        r->moved++;
        m->failed = !r->into->message(r->into->ctx, &t, &m->why);
        buf_reset(&uidl);
        body_destroy(&s->body);
        s->state = SLOT_DONE;
        if (r->into->progress != NULL)
            r->into->progress(r->into->ctx, r->told, r->told_bytes, r->all, 0);
    }
    buf_finish(&uidl);
    return !m->failed;
}

/* ---- bodies ---- */

static bool waits(const struct slot *s)
{
    return s->state == SLOT_WAITS || s->state == SLOT_ALONE;
}

/* Asks for the next ones behind slot `from`; *to is where it ended. False: the link failed. */
static bool send_batch(struct messages *m, size_t from, size_t *to, struct fail *why)
{
    uint64_t bytes = 0;
    size_t   end;

    while (from < m->slot_count && !waits(&m->slots[from]))
        from++;
    *to = from;
    if (from == m->slot_count)
        return true;
    for (end = from; end < m->slot_count && m->slots[end].state == SLOT_WAITS && end - from < BATCH_MESSAGES && bytes < BATCH_BYTES; end++)
        bytes += m->slots[end].size;
    if (end == from)
        end = from + 1; /* alone */
    if (!imap_link_send(&m->run->link, why, "UID FETCH %u:%u (UID BODY.PEEK[])", m->slots[from].uid, m->slots[end - 1].uid))
        return false;
    m->batches[m->flying++] = (struct batch){m->run->link.tag, from, end};
    *to = end;
    return true;
}

static void take_body(struct messages *m, struct body **body, const struct imap_fetched *f)
{
    struct slot *s = f->has_body ? find_slot(m, f->uid) : NULL;

    if (s == NULL || !waits(s))
        return;
    if (f->taken.refused && f->taken.refusal.kind == FAIL_TEMP) {
        m->failed = true;
        m->why = f->taken.refusal;
    } else if (f->taken.refused) {
        leave_out(m, s, f->taken.refusal.text);
    } else if (f->taken.nil) {
        s->state = SLOT_MISSING;
    } else {
        s->body = *body;
        *body = NULL;
        s->state = SLOT_HERE;
    }
}

/* The server's last word on a batch: what did not come of it? */
static void end_batch(struct messages *m, const struct imap_answer *a)
{
    struct imap_result result = {a->status, a->code, a->text};
    size_t             i = 0;

    while (i < m->flying && m->batches[i].tag != imap_link_tag(a->tag))
        i++;
    if (i == m->flying)
        return;
    struct batch b = m->batches[i];
    for (m->flying--; i < m->flying; i++)
        m->batches[i] = m->batches[i + 1];
    for (size_t k = b.from; k < b.to; k++) {
        struct slot *s = &m->slots[k];
        struct fail  why;
        if (!waits(s))
            continue;
        if (b.to - b.from > 1) {
            s->state = SLOT_ALONE;
        } else if (a->status == IMAP_OK) {
            s->state = SLOT_MISSING;
        } else {
            (void)imap_refused(&result, FAIL_OTHER, "FETCH", &why);
            leave_out(m, s, why.text);
        }
    }
}

/* The link failed: those that were asked for are asked for one by one; the first of them may be why. */
static void after_break(struct messages *m, const struct fail *why)
{
    bool first = true;

    for (size_t i = 0; i < m->flying; i++)
        for (size_t k = m->batches[i].from; k < m->batches[i].to; k++) {
            struct slot *s = &m->slots[k];
            if (!waits(s))
                continue;
            if (first && s->state == SLOT_ALONE && ++s->tries >= ALONE_TRIES)
                leave_out(m, s, why->text);
            else
                s->state = SLOT_ALONE;
            first = false;
        }
    m->flying = 0;
}

static bool hear_one(struct messages *m, struct fail *why)
{
    struct imap_link   *l = &m->run->link;
    struct imap_answer  a = imap_link_hear(l, why);
    struct imap_fetched f;

    if (a.kind == IMAP_FAILED)
        return false;
    if (a.kind == IMAP_TAGGED) {
        end_batch(m, &a);
    } else if (a.kind == IMAP_DATA && slice_eq_nocase(a.word, SLICE("FETCH"))) {
        struct body *body = body_create(&m->run->source->bodies);
        imap_in_fetched(&l->in, body, &f);
        if (!l->in.failed)
            take_body(m, &body, &f);
        body_destroy(&body);
    } else if (a.kind == IMAP_DATA) {
        imap_in_end(&l->in);
    }
    return true; /* a reader that failed says so with the next answer */
}

static enum imap_step bodies(struct imap_run *r, void *ctx, struct fail *why)
{
    struct messages *m = ctx;
    enum imap_step   step = at_mailbox(m, why);
    size_t           at = 0;

    if (step != IMAP_STEP_DONE)
        return step;
    m->flying = 0;
    for (;;) {
        bool ok = tell_ready(m);
        while (ok && m->flying < IN_FLIGHT && at < m->slot_count && !m->failed)
            if (!send_batch(m, at, &at, why)) {
                after_break(m, why);
                return IMAP_STEP_LINK;
            }
        if (m->failed) {
            *why = m->why;
            imap_link_close(&r->link); /* answers are on their way that nobody waits for */
            return IMAP_STEP_FATAL;
        }
        if (m->flying == 0) {
            size_t left = 0;
            while (left < m->slot_count && !waits(&m->slots[left]))
                left++;
            if (left == m->slot_count)
                return IMAP_STEP_DONE;
            at = left; /* those that must be asked for alone */
            continue;
        }
        if (!hear_one(m, why)) {
            after_break(m, why);
            return IMAP_STEP_LINK;
        }
    }
}

/* ---- what did not come ---- */

struct present {
    struct messages *messages;
    size_t           count;
};

static bool on_present(void *ctx, struct imap_link *l, const struct imap_answer *a)
{
    struct present *p = ctx;

    if (a->kind != IMAP_DATA || !slice_eq_nocase(a->word, SLICE("SEARCH")))
        return false;
    while (imap_in_accept(&l->in, ' '))
        ;
    p->count += imap_in_peek(&l->in) >= '0' && imap_in_peek(&l->in) <= '9';
    imap_in_end(&l->in);
    return true;
}

/* Messages that are gone by now are no loss. */
static enum imap_step missing(struct imap_run *r, void *ctx, struct fail *why)
{
    struct messages *m = ctx;
    enum imap_step   step = at_mailbox(m, why);

    for (size_t i = 0; i < m->slot_count && step == IMAP_STEP_DONE; i++) {
        struct slot       *s = &m->slots[i];
        struct present     p = {.messages = m};
        struct imap_result result;
        if (s->state != SLOT_MISSING)
            continue;
        if (!imap_link_run(&r->link, on_present, &p, &result, why, "UID SEARCH UID %u", s->uid))
            return IMAP_STEP_LINK;
        if (p.count > 0 || result.status != IMAP_OK)
            leave_out(m, s, "the server lists it but does not give it");
        s->state = SLOT_DONE;
    }
    return step;
}

/* ---- all of it ---- */

static void begin_window(struct messages *m, size_t from)
{
    arena_reset(&m->arena);
    m->slot_count = m->count - from < WINDOW ? m->count - from : WINDOW;
    m->next = 0;
    memset(m->slots, 0, m->slot_count * sizeof m->slots[0]);
    for (size_t i = 0; i < m->slot_count; i++)
        m->slots[i].uid = m->uids[from + i];
}

static bool tell_window(struct messages *m, struct fail *why)
{
    bool ok = imap_repeat(m->run, facts, m, why);

    if (ok) {
        ask_keeper(m);
        ok = imap_repeat(m->run, bodies, m, why) && imap_repeat(m->run, missing, m, why);
    }
    for (size_t i = 0; i < m->slot_count; i++)
        body_destroy(&m->slots[i].body);
    return ok;
}

bool imap_tell_messages(struct imap_run *r, const struct imap_mailbox *box, bool *whole, struct fail *why)
{
    struct messages *m = xcalloc(1, sizeof *m);

    m->run = r;
    m->mailbox = box;
    m->uidvalidity = r->uidvalidity;
    m->whole = true;
    arena_init(&m->arena, WINDOW_ARENA);
    bool ok = imap_repeat(r, search, m, why);
    for (size_t from = 0; ok && from < m->count; from += WINDOW) {
        begin_window(m, from);
        ok = tell_window(m, why);
    }
    *whole = m->whole;
    arena_finish(&m->arena);
    free(m->uids);
    free(m);
    return ok;
}
