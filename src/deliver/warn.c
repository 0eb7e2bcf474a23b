/*
 * deliver/warn.c - who has little room left is told, and a domain's postmaster.
 *
 * Layer: deliver.  The keeper does it, some moments after the change that reached a configured percentage.  A warning
 * is a message like any other, from the null reverse-path; it reserves nothing, so it comes in where nothing else
 * does, and that it fills the mailbox a little more is no reason for the next one.  First it is kept, then it is noted
 * that it was told: after a crash in between it comes twice.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "deliver/internal.h"

enum { WARNING_MAX = 64 << 10, WARNING_ARENA = 1 << 20, SETTLE_SECONDS = 5, LARGEST = 5 };

/* What is full, and what was told of it. */
struct fullness {
    struct quota_amount used, most;
    unsigned level[2], told[2];
};

static void find_levels(const struct deliver *d, struct fullness *f)
{
    f->level[QUOTA_STORAGE] = quota_level(&d->warnings, f->used.bytes, f->most.bytes);
    f->level[QUOTA_MESSAGE] = quota_level(&d->warnings, f->used.messages, f->most.messages);
}

static bool read_account(struct deliver *d, struct account *a, struct fullness *f, struct fail *why)
{
    struct quota q;

    if (!quota_read(a, &q, why) || !quota_read_told(a, f->told, why))
        return false;
    f->used = (struct quota_amount){q.used[QUOTA_STORAGE], q.used[QUOTA_MESSAGE]};
    f->most = (struct quota_amount){q.most[QUOTA_STORAGE], q.most[QUOTA_MESSAGE]};
    find_levels(d, f);
    return true;
}

static bool read_domain(struct deliver *d, const struct quota_domain *domain, struct fullness *f, struct fail *why)
{
    if (!quota_domain_used(d->store, domain, &f->used, why))
        return false;
    quota_read_domain_told(d->store, domain->id, f->told);
    f->most = domain->most;
    find_levels(d, f);
    return true;
}

static bool is_news(const struct fullness *f)
{
    return f->level[0] > f->told[0] || f->level[1] > f->told[1];
}

/* ---- the text ---- */

struct size_text { char text[32]; };

static struct size_text size_text(uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
    struct size_text out;
    uint64_t whole = bytes, rest = 0;
    size_t unit = 0;

    while (whole >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        rest = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit++;
    }
    if (unit > 0 && whole < 100)
        (void)snprintf(out.text, sizeof out.text, "%llu.%llu %s", (unsigned long long)whole, (unsigned long long)rest, units[unit]);
    else
        (void)snprintf(out.text, sizeof out.text, "%llu %s", (unsigned long long)whole, units[unit]);
    return out;
}

static unsigned percent(uint64_t used, uint64_t most)
{
    if (most == 0)
        return 100;
    return most > UINT64_MAX / 100 || used > UINT64_MAX / 100 ? (unsigned)(used / (most / 100)) : (unsigned)(used * 100 / most);
}

/* "83" of the resource that is fuller. */
static unsigned fullest(const struct fullness *f)
{
    unsigned bytes = f->most.bytes != QUOTA_UNLIMITED ? percent(f->used.bytes, f->most.bytes) : 0,
             messages = f->most.messages != QUOTA_UNLIMITED ? percent(f->used.messages, f->most.messages) : 0;

    return bytes > messages ? bytes : messages;
}

static void write_header(struct deliver *d, struct buf *out, struct slice to, const char *domain, const char *what,
                         unsigned full, int64_t now)
{
    const struct log_id id = log_new_id();

    buf_addf(out, "From: Postmaster <postmaster@%s>\r\nTo: <" PRIslice ">\r\n", domain, SLICE_ARG(to));
    buf_addf(out, "Subject: %s is %u%% full\r\nDate: %s\r\n", what, full, clock_rfc5322(now).text);
    buf_addf(out, "Message-ID: <%s.quota@%s>\r\n", id.text, d->limits.hostname);
    buf_add(out, SLICE("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                       "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
}

static void write_fullness(struct buf *out, const struct fullness *f)
{
    if (f->most.bytes != QUOTA_UNLIMITED)
        buf_addf(out, "    %s of %s (%u%%)\r\n", size_text(f->used.bytes).text, size_text(f->most.bytes).text,
                 percent(f->used.bytes, f->most.bytes));
    if (f->most.messages != QUOTA_UNLIMITED)
        buf_addf(out, "    %llu of %llu messages (%u%%)\r\n", (unsigned long long)f->used.messages,
                 (unsigned long long)f->most.messages, percent(f->used.messages, f->most.messages));
}

/* Where room can be made. */
static void write_largest(struct buf *out, struct account *a)
{
    const struct mailbox_list *list;
    const struct mailbox_info *largest[LARGEST] = {NULL};

    if (!mailbox_list(a, &list, NULL))
        return;
    for (size_t i = 0; i < list->count; i++) {
        const struct mailbox_info *box = &list->items[i];
        for (size_t k = 0; box != NULL && box->messages > 0 && k < LARGEST; k++) {
            if (largest[k] != NULL && largest[k]->bytes >= box->bytes)
                continue;
            const struct mailbox_info *next = largest[k];
            largest[k] = box;
            box = next;
        }
    }
    buf_add(out, SLICE("\r\nThe largest folders:\r\n\r\n"));
    for (size_t k = 0; k < LARGEST && largest[k] != NULL; k++)
        buf_addf(out, "    " PRIslice ": %s, %u message%s\r\n", SLICE_ARG(largest[k]->name),
                 size_text(largest[k]->bytes).text, largest[k]->messages, largest[k]->messages == 1 ? "" : "s");
    mailbox_list_release(&list);
}

static void write_account_warning(struct deliver *d, struct buf *out, struct account *a, struct slice address,
                                  const struct fullness *f, int64_t now)
{
    char domain[256];
    const size_t at = slice_rfind_char(address, '@') + 1;

    (void)snprintf(domain, sizeof domain, PRIslice, SLICE_ARG(slice_from(address, at < address.len ? at : 0)));
    write_header(d, out, address, domain, "Your mailbox", fullest(f), now);
    buf_addf(out, "The mailbox " PRIslice " holds\r\n\r\n", SLICE_ARG(address));
    write_fullness(out, f);
    buf_add(out, SLICE("\r\nWhen it is full, new mail for it is refused: its senders are told to try again later,\r\n"
                       "and get it back if that does not help. Nothing that is there is lost.\r\n"
                       "\r\nTo make room, delete messages that you no longer need, large ones first, and empty\r\n"
                       "Trash and Junk. What is moved to Trash still counts.\r\n"));
    write_largest(out, a);
}

static void write_domain_warning(struct deliver *d, struct buf *out, const struct quota_domain *domain, struct slice to,
                                 const struct fullness *f, int64_t now)
{
    char what[300];

    (void)snprintf(what, sizeof what, "The mail of %s", domain->name);
    write_header(d, out, to, domain->name, what, fullest(f), now);
    buf_addf(out, "All accounts of %s together hold\r\n\r\n", domain->name);
    write_fullness(out, f);
    buf_addf(out,
             "\r\nWhen that is full, new mail for any of them is refused. Make room, or allow more:\r\n\r\n"
             "    posthorn account list\r\n    posthorn domain quota %s --storage SIZE --messages N\r\n",
             domain->name);
}

/* ---- sending ---- */

static bool send_warning(struct deliver *d, struct slice to, const struct buf *text, struct arena *arena, int64_t now,
                         struct fail *why)
{
    const struct body_limits limits = {.memory_max = WARNING_MAX, .size_max = WARNING_MAX, .spool_dir = "/nonexistent"};
    const struct log_id trace = log_new_id();
    struct delivery_recipient r = {.address = to};
    struct delivery in = {
        .recipients = &r, .recipient_count = 1, .received = now, .trace = slice_of(trace.text)};
    struct body *body = body_create(&limits);

    bool ok = directory_route(d->directory, to, arena, &r.route, why);
    if (ok && r.route.kind != ROUTE_LOCAL && r.route.kind != ROUTE_REMOTE) {
        log_event(LOG_INFO, "deliver.no_warning", LOG_TEXT("to", to), LOG_CSTR("reason", "nobody gets mail there"));
    } else if (ok) {
        in.body = body;
        ok = body_add(body, buf_slice(text), why) && deliver_now(d, &in, why);
        if (ok)
            log_event(LOG_INFO, "deliver.warning", LOG_CSTR("trace", trace.text), LOG_TEXT("to", to));
    }
    body_destroy(&body);
    return ok;
}

/* The levels that are told now: as they are once the warning is there, as far as that is the warning's doing. */
static void count_warning_in(const struct deliver *d, struct fullness *f, size_t size)
{
    f->used.bytes += size;
    f->used.messages++;
    find_levels(d, f);
}

static void lower_of(unsigned out[2], const unsigned a[2], const unsigned b[2])
{
    for (size_t r = 0; r < 2; r++)
        out[r] = a[r] < b[r] ? a[r] : b[r];
}

static bool warn_account(struct deliver *d, uint64_t id, struct arena *arena, struct buf *text, struct fail *why)
{
    struct directory_account found;
    struct account *a = NULL;
    struct fullness f;
    unsigned told[2];
    const int64_t now = clock_now();

    if (!store_account(d->store, id, &a, why))
        return why->reason == FAIL_NOT_FOUND;
    bool ok = read_account(d, a, &f, why);
    memcpy(told, f.level, sizeof told);
    if (ok && is_news(&f) && directory_account(d->directory, id, arena, &found, why)) {
        write_account_warning(d, text, a, found.address, &f, now);
        ok = send_warning(d, found.address, text, arena, now, why);
        if (ok) {
            count_warning_in(d, &f, text->len);
            struct fullness after = f;
            (void)deliver_settle_within(d, SETTLE_SECONDS);
            ok = read_account(d, a, &after, why);
            lower_of(told, f.level, after.level);
        }
    }
    ok = ok && (memcmp(told, f.told, sizeof told) == 0 || quota_write_told(a, told, why));
    account_release(&a);
    return ok;
}

/* The domain of that id. */
struct domain_search {
    struct deliver *d;
    uint64_t id;
    struct quota_domain found;
};

static bool is_that(void *ctx, struct slice name)
{
    struct domain_search *s = ctx;
    struct domain_quota q;

    if (!directory_domain_quota(s->d->directory, name, &q, NULL) || q.id != s->id)
        return true;
    deliver_domain_quota(&q, &s->found);
    return false;
}

static bool warn_domain(struct deliver *d, uint64_t id, struct arena *arena, struct buf *text, struct fail *why)
{
    struct domain_search s = {.d = d, .id = id};
    struct fullness f;
    unsigned told[2];
    const int64_t now = clock_now();

    if (!directory_each_domain(d->directory, is_that, &s, why))
        return false;
    if (s.found.id == 0)
        return true;
    bool ok = read_domain(d, &s.found, &f, why);
    struct slice to = arena_printf(arena, "postmaster@%s", s.found.name);
    memcpy(told, f.level, sizeof told);
    if (ok && is_news(&f) && directory_has_name(d->directory, to)) {
        write_domain_warning(d, text, &s.found, to, &f, now);
        ok = send_warning(d, to, text, arena, now, why);
        if (ok) {
            count_warning_in(d, &f, text->len);
            struct fullness after = f;
            (void)deliver_settle_within(d, SETTLE_SECONDS);
            ok = read_domain(d, &s.found, &after, why);
            lower_of(told, f.level, after.level);
        }
    }
    return ok && (memcmp(told, f.told, sizeof told) == 0 || quota_write_domain_told(d->store, id, told, why));
}

void warn_all(struct deliver *d)
{
    bool is_domain;
    uint64_t id;

    while (!__atomic_load_n(&d->stopping, __ATOMIC_RELAXED) && quota_take_crossed(d->store, &is_domain, &id)) {
        struct fail why = {0};
        struct arena arena;
        struct buf text;

        arena_init(&arena, WARNING_ARENA);
        buf_init(&text, WARNING_MAX);
        if (!(is_domain ? warn_domain : warn_account)(d, id, &arena, &text, &why))
            log_event(LOG_WARNING, "deliver.no_warning", LOG_U64(is_domain ? "domain" : "account", id), LOG_FAIL(&why));
        buf_finish(&text);
        arena_finish(&arena);
    }
}

static void wake_keeper(void *ctx)
{
    struct deliver *d = ctx;

    (void)pthread_cond_signal(&d->keep);
}

void warn_begin(struct deliver *d)
{
    d->warnings = (struct quota_warnings){.percents = d->limits.quota_warnings,
                                          .count = d->limits.quota_warning_count,
                                          .crossed = wake_keeper,
                                          .ctx = d};
    if (d->warnings.count > 0)
        quota_set_warnings(d->store, &d->warnings);
}

void warn_end(struct deliver *d)
{
    quota_set_warnings(d->store, NULL);
}
