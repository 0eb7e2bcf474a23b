/*
 * admin/health.c - is everything that was kept still there and right?
 *
 * Layer: admin.
 */
#include "admin/internal.h"
#include "deliver/deliver.h"
#include "storage/volume.h"
#include "store/store.h"

enum { SETTLE_SECONDS = 10 }; /* what takes longer has failed, and is a finding */

static void tell(const struct admin_progress *progress, json_t *line)
{
    if (progress != NULL && line != NULL)
        progress->tell(progress->ctx, line);
    json_decref(line);
}

static void tell_finding(void *ctx, const char *finding)
{
    tell(ctx, json_pack("{s:o}", "finding", admin_json(slice_of(finding))));
}

static void tell_done(void *ctx, uint64_t done, uint64_t all)
{
    tell(ctx, json_pack("{s:I, s:I}", "done", (json_int_t)done, "all", (json_int_t)all));
}

/* store_check hands one context to both callbacks: the progress itself. */
static void *as_context(const struct admin_progress *progress)
{
    return (void *)(uintptr_t)progress;
}

static void count_up(struct admin_call *c, const char *name)
{
    admin_put(c, name, json_integer(json_integer_value(json_object_get(c->result, name)) + 1));
}

static void tell_problem(struct admin_call *c, const struct fail *why)
{
    tell_finding(as_context(c->progress), why->text);
    count_up(c, "problems");
}

/* A name whose mail is gone: the store cannot miss what it never heard of. */
static void check_has_mail(struct admin_call *c, const struct directory_account *a)
{
    struct account *open = NULL;
    struct fail     why;

    if (!store_account(c->on->store, a->id, &open, &why) && why.reason == FAIL_NOT_FOUND) {
        (void)fail_at(&why, PRIslice, SLICE_ARG(a->address));
        tell_problem(c, &why);
    }
    account_release(&open);
}

/* Mail that nobody can reach. */
static bool check_has_name(void *ctx, uint64_t id)
{
    struct admin_call       *c = ctx;
    struct directory_account account;
    struct fail              why;

    if (!directory_account(c->on->directory, id, &c->arena, &account, &why)) {
        (void)fail_at(&why, "the mail of account %llu has no name", (unsigned long long)id);
        tell_problem(c, &why);
    }
    return true;
}

bool admin_check(struct admin_call *c, struct fail *why)
{
    struct check_totals t;

    if (c->on->deliver != NULL)
        (void)deliver_settle_within(c->on->deliver, SETTLE_SECONDS); /* rows on their way are no finding */
    if (!store_check(c->on->store, tell_finding, tell_done, as_context(c->progress), &t, why))
        return false;
    admin_put(c, "accounts", json_integer((json_int_t)t.accounts));
    admin_put(c, "mailboxes", json_integer((json_int_t)t.mailboxes));
    admin_put(c, "messages", json_integer((json_int_t)t.messages));
    admin_put(c, "records", json_integer((json_int_t)t.records));
    admin_put(c, "not_indexed", json_integer((json_int_t)t.not_indexed));
    admin_put(c, "problems", json_integer((json_int_t)t.problems));
    return admin_each_account(c, check_has_mail, why) &&
           store_each_account(c->on->store, check_has_name, c, why) && admin_status(c, why);
}

/* One that fails is told and counted; the others may still be saved. */
static void rebuild_account(struct admin_call *c, const struct directory_account *a)
{
    struct fail why;

    if (store_rebuild(c->on->store, a->id, tell_finding, as_context(c->progress), &why)) {
        count_up(c, "rebuilt");
        return;
    }
    (void)fail_at(&why, PRIslice, SLICE_ARG(a->address));
    tell_finding(as_context(c->progress), why.text);
    count_up(c, "failed");
}

/* One account, or without "address" all of them. */
bool admin_rebuild(struct admin_call *c, struct fail *why)
{
    struct directory_account account;

    admin_put(c, "rebuilt", json_integer(0));
    admin_put(c, "failed", json_integer(0));
    if (admin_text_or_empty(c, "address").len == 0)
        return admin_each_account(c, rebuild_account, why);
    if (!admin_account(c, &account, why))
        return false;
    rebuild_account(c, &account);
    return true;
}

bool admin_status(struct admin_call *c, struct fail *why)
{
    struct volume_stats  volumes;
    struct deliver_stats deliver = {0};

    (void)why;
    volume_stats(c->on->volumes, &volumes);
    if (c->on->deliver != NULL)
        deliver_stats(c->on->deliver, &deliver);
    admin_put(c, "running", json_boolean(c->on->net != NULL));
    admin_put(c, "volumes", json_integer((json_int_t)volumes.volumes));
    admin_put(c, "volumes_sealed", json_integer((json_int_t)volumes.sealed));
    admin_put(c, "deliveries_waiting", json_integer((json_int_t)deliver.waiting));
    admin_put(c, "deliveries_retrying", json_integer((json_int_t)deliver.retrying));
    admin_put(c, "deliveries_leaving", json_integer((json_int_t)deliver.leaving));
    admin_put(c, "index_waiting", json_integer((json_int_t)store_index_waiting(c->on->store)));
    return true;
}
