/*
 * imap/quota.c - GETQUOTA, GETQUOTAROOT, SETQUOTA.
 *
 * Layer: imap.  RFC 9208.  An account is one quota root: "" is one's own, that of
 * another account, whose mailbox is shared, has the account's address for a name
 * (which one's own may be called by, too).  Where all accounts of a domain have limits
 * together, that is a second root, "@" and the domain, of each of their mailboxes; its
 * accounts see it.  SETQUOTA and the roots of accounts that share nothing are for
 * administrators.
 */
#include "imap/target.h"

#include "base/fail.h"
#include "directory/directory.h"
#include "store/quota.h"

static const struct {
    const char *name;
    uint64_t unit;
} resources[QUOTA_RESOURCES] = {
    [QUOTA_STORAGE] = {"STORAGE", 1024}, /* RFC 9208 section 5.1 */
    [QUOTA_MESSAGE] = {"MESSAGE", 1},
    [QUOTA_MAILBOX] = {"MAILBOX", 1},
};

/* ---- roots ---- */

/* The account of a root; released at the end of the command if it is not the session's. */
struct root {
    struct slice name; /* as the client knows it */
    struct account *account;
    struct account *taken; /* to be released, or NULL */
    bool is_domain;        /* it is that of `domain`, and the account does not matter */
    struct quota_domain domain;
};

static bool address_of(struct imap_session *s, uint64_t account, struct slice *out, struct fail *why)
{
    struct directory_account found;

    if (!directory_account(s->service->login->directory, account, &s->arena, &found, why))
        return false;
    *out = found.address;
    return true;
}

static bool is_administrator(struct imap_session *s)
{
    const struct imap_service *service = s->service;
    struct directory_account found;

    for (size_t i = 0; i < service->administrator_count; i++)
        if (directory_login(service->login->directory, slice_of(service->administrators[i]), &s->arena, &found,
                            NULL) &&
            found.id == account_id(s->account))
            return true;
    return false;
}

static bool no_root(struct fail *why)
{
    return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no such quota root, or it is not for you to see");
}

/* May this client read any mailbox of that account? */
static bool shares_with_us(struct imap_session *s, struct account *a)
{
    const struct mailbox_list *list = NULL;
    struct slice me = imap_my_address(s);
    bool any = false;

    if (!mailbox_list(a, &list, NULL))
        return false;
    for (size_t i = 0; i < list->count && !any; i++)
        any = (imap_rights_in(s, a, &list->items[i], me) & RIGHT_READ) != 0;
    mailbox_list_release(&list);
    return any;
}

static bool has_limits(const struct quota_domain *d)
{
    return d->most.bytes != QUOTA_UNLIMITED || d->most.messages != QUOTA_UNLIMITED;
}

/* "@example.org": one's own domain's, and for administrators those of others. */
static bool find_domain(struct imap_session *s, struct slice name, struct root *out, struct fail *why)
{
    struct domain_quota found;
    struct quota_domain mine;

    if (!directory_domain_quota(s->service->login->directory, name, &found, why))
        return why->reason == FAIL_NOT_FOUND ? no_root(why) : false;
    const bool is_mine = quota_domain_of(s->account, &mine) && mine.id == found.id;
    if (!is_administrator(s) && !(is_mine && has_limits(&mine)))
        return no_root(why);
    out->is_domain = true;
    out->domain = (struct quota_domain){
        .id = found.id,
        .most = {found.limits[DOMAIN_BYTES] > 0 ? (uint64_t)found.limits[DOMAIN_BYTES] : QUOTA_UNLIMITED,
                 found.limits[DOMAIN_MESSAGES] > 0 ? (uint64_t)found.limits[DOMAIN_MESSAGES] : QUOTA_UNLIMITED}};
    memcpy(out->domain.name, found.name, sizeof out->domain.name);
    return true;
}

static bool find_root(struct imap_session *s, struct slice name, struct root *out, struct fail *why)
{
    struct directory_account found;

    *out = (struct root){.name = name, .account = s->account};
    if (name.len == 0)
        return true;
    if (name.ptr[0] == '@')
        return find_domain(s, slice_from(name, 1), out, why);
    if (!directory_login(s->service->login->directory, name, &s->arena, &found, why))
        return why->reason == FAIL_NOT_FOUND ? no_root(why) : false;
    if (found.id == account_id(s->account))
        return true;
    if (!store_account(s->service->store, found.id, &out->taken, why))
        return false;
    out->account = out->taken;
    return is_administrator(s) || shares_with_us(s, out->taken) || no_root(why);
}

/* ---- answering ---- */

/*
 * quota-response = "QUOTA" SP quota-root-name SP quota-list                     RFC 9208 section 7
 * quota-list = "(" [quota-resource *(SP quota-resource)] ")"                    section 4.2.1: may be empty
 *
 * Kilobytes are rounded up, limit and usage alike: who is not over the limit is not shown to be.
 */
static bool read_domain(struct imap_session *s, const struct quota_domain *d, struct quota *out, struct fail *why)
{
    struct quota_amount used;

    if (!quota_domain_used(s->service->store, d, &used, why))
        return false;
    *out = (struct quota){
        .used = {[QUOTA_STORAGE] = used.bytes, [QUOTA_MESSAGE] = used.messages},
        .most = {[QUOTA_STORAGE] = d->most.bytes, [QUOTA_MESSAGE] = d->most.messages, [QUOTA_MAILBOX] = QUOTA_UNLIMITED}};
    return true;
}

static bool tell_quota(struct imap_session *s, const struct root *root, struct fail *why)
{
    struct buf *out = conn_out(s->conn);
    struct quota q;
    bool any = false;

    if (!(root->is_domain ? read_domain(s, &root->domain, &q, why) : quota_read(root->account, &q, why)))
        return false;
    buf_add(out, SLICE("* QUOTA "));
    imap_write_string(out, root->name);
    buf_add(out, SLICE(" ("));
    for (size_t i = 0; i < QUOTA_RESOURCES; i++) {
        const uint64_t unit = resources[i].unit;
        if (q.most[i] == QUOTA_UNLIMITED)
            continue;
        buf_addf(out, "%s%s ", any ? " " : "", resources[i].name);
        buf_add_u64(out, q.used[i] / unit + (q.used[i] % unit > 0));
        buf_add_char(out, ' ');
        buf_add_u64(out, q.most[i] / unit + (q.most[i] % unit > 0));
        any = true;
    }
    buf_add(out, SLICE(")\r\n"));
    return true;
}

/* getquota = "GETQUOTA" SP quota-root-name             RFC 9208 section 4.1.1 */
void imap_getquota(struct imap_session *s, struct imap_reader *args)
{
    struct root root = {.taken = NULL};
    struct fail why;

    imap_expect_space(args);
    struct slice name = imap_read_astring(args);
    imap_expect_end(args);
    if (args->failed)
        imap_bad_args(s, args);
    else if (!find_root(s, name, &root, &why) || !tell_quota(s, &root, &why))
        imap_no_because(s, &why);
    else
        imap_ok(s, "That is it");
    account_release(&root.taken);
}

/* The root of a mailbox, or of one that could be made with that name (RFC 9208 section 4.1.2). */
static bool root_of(struct imap_session *s, struct slice name, struct root *out, struct fail *why)
{
    struct imap_target target;

    *out = (struct root){.name = SLICE(""), .account = s->account};
    if (!imap_find(s, name, RIGHT_READ, &target, why) &&
        (why->reason != FAIL_NOT_FOUND || !imap_find_place(s, name, &target, why)))
        return false;
    out->account = target.account;
    return target.account == s->account || address_of(s, account_id(target.account), &out->name, why);
}

static bool shows_domain(struct imap_session *s, const struct quota_domain *d)
{
    struct quota_domain mine;

    return (quota_domain_of(s->account, &mine) && mine.id == d->id) || is_administrator(s);
}

/* getquotaroot = "GETQUOTAROOT" SP mailbox             RFC 9208 section 4.1.2 */
void imap_getquotaroot(struct imap_session *s, struct imap_reader *args)
{
    struct buf *out = conn_out(s->conn);
    struct root root, domain = {.is_domain = true};
    struct fail why;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!root_of(s, name, &root, &why)) {
        imap_no_because(s, &why);
        return;
    }
    buf_add(out, SLICE("* QUOTAROOT "));
    imap_write_mailbox(s, out, name);
    buf_add_char(out, ' ');
    imap_write_string(out, root.name);
    /* Of a mailbox of another domain's account it is not ours to see. */
    const bool together = quota_domain_of(root.account, &domain.domain) && has_limits(&domain.domain) &&
                          shows_domain(s, &domain.domain);
    if (together) {
        domain.name = arena_printf(&s->arena, "@%s", domain.domain.name);
        buf_add_char(out, ' ');
        imap_write_string(out, domain.name);
    }
    buf_add(out, SLICE("\r\n"));
    if (!tell_quota(s, &root, &why) || (together && !tell_quota(s, &domain, &why)))
        imap_no_because(s, &why);
    else
        imap_ok(s, "That is it");
}

/* ---- SETQUOTA ---- */

/* What is not in the list is not limited (RFC 9208 section 4.1.3). */
struct wanted {
    struct quota_change limits[QUOTA_RESOURCES];
    bool named[QUOTA_RESOURCES];
    struct slice unknown; /* a resource that there is none of here */
};

/* setquota-resource = resource-name SP resource-limit;  resource-limit = number64 */
static void read_limit(struct imap_reader *r, struct wanted *w)
{
    struct slice name = imap_read_atom(r);
    size_t i = 0;

    imap_expect_space(r);
    while (i < QUOTA_RESOURCES && !slice_eq_nocase(name, slice_of(resources[i].name)))
        i++;
    if (i == QUOTA_RESOURCES) {
        w->unknown = name;
        (void)imap_read_number(r, 0, QUOTA_MOST);
        return;
    }
    if (w->named[i])
        imap_fail(r, "each resource once");
    w->named[i] = true;
    w->limits[i].most = imap_read_number(r, 0, QUOTA_MOST / resources[i].unit) * resources[i].unit;
}

/* setquota-list = "(" [setquota-resource *(SP setquota-resource)] ")" */
static void read_limits(struct imap_reader *r, struct wanted *w)
{
    *w = (struct wanted){.unknown = SLICE("")};
    for (size_t i = 0; i < QUOTA_RESOURCES; i++)
        w->limits[i] = (struct quota_change){.resource = (enum quota_resource)i, .most = QUOTA_UNLIMITED};
    imap_expect(r, '(');
    if (imap_accept(r, ')'))
        return;
    do
        read_limit(r, w);
    while (imap_accept(r, ' '));
    imap_expect(r, ')');
}

static bool set_domain(struct imap_session *s, struct root *root, const struct wanted *w, struct fail *why)
{
    struct domain_quota_change changes[] = {{.which = DOMAIN_BYTES}, {.which = DOMAIN_MESSAGES}};
    const enum quota_resource of[] = {QUOTA_STORAGE, QUOTA_MESSAGE};

    if (w->named[QUOTA_MAILBOX])
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "the mailboxes of a domain are not counted");
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        const uint64_t most = w->limits[of[i]].most;
        if (most == 0)
            return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "a domain's limit is at least 1");
        changes[i].limit = most == QUOTA_UNLIMITED ? 0 : (int64_t)most;
    }
    struct slice name = slice_from(root->name, 1);
    return directory_domain_quota_set(s->service->login->directory, name, changes, ARRAY_LEN(changes), why) &&
           find_domain(s, name, root, why);
}

static bool set_root(struct imap_session *s, struct root *root, const struct wanted *w, struct fail *why)
{
    return root->is_domain ? set_domain(s, root, w, why) : quota_set(root->account, w->limits, QUOTA_RESOURCES, why);
}

/* setquota = "SETQUOTA" SP quota-root-name SP setquota-list            RFC 9208 section 4.1.3 */
void imap_setquota(struct imap_session *s, struct imap_reader *args)
{
    struct root root = {.taken = NULL};
    struct wanted wanted;
    struct fail why;

    imap_expect_space(args);
    struct slice name = imap_read_astring(args);
    imap_expect_space(args);
    read_limits(args, &wanted);
    imap_expect_end(args);
    if (args->failed)
        imap_bad_args(s, args);
    else if (!is_administrator(s))
        imap_no(s, "[NOPERM] Quotas are set by administrators");
    else if (wanted.unknown.len > 0)
        imap_no(s, "[CANNOT] STORAGE, MESSAGE and MAILBOX can be limited");
    else if (!find_root(s, name, &root, &why) || !set_root(s, &root, &wanted, &why) ||
             !tell_quota(s, &root, &why))
        imap_no_because(s, &why);
    else
        imap_ok(s, "Set");
    account_release(&root.taken);
}
