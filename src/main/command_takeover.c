/*
 * main/command_takeover.c - posthorn import postfix-dovecot
 *
 * Layer: main.  Reads how a Postfix and a Dovecot were set up, says what it would do, and does it: domains, accounts
 * with their password hashes and quotas, aliases, mail.  All of it may be done again: what is there is used again, a
 * hash is not put over a password that was used here, and mail goes on from the last run.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/scoped.h"
#include "main/ask.h"
#include "main/config.h"
#include "main/moving.h"
#include "main/takeover_box.h"
#include "main/takeover_config.h"
#include "transfer/dovecot.h"
#include "transfer/files.h"
#include "transfer/maildir.h"
#include "transfer/mbox_source.h"

enum { ARENA_MOST = 1 << 30, NAMES_MOST = 64 << 20, INCLUDES_MOST = 10 };

/* Room for one more at the end of an array that lives in the arena. */
static void *one_more(struct box *b, void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    size_t more = *room > 0 ? *room * 2 : 32;
    void *out = arena_alloc_array(&b->arena, more, size);
    if (count > 0)
        memcpy(out, items, count * size);
    *room = more;
    return out;
}

static void note(void *ctx, const char *what, const char *reason)
{
    struct box *b = ctx;

    for (size_t i = 0; i < b->note_count; i++)
        if (strcmp(b->notes[i].what, what) == 0 && strcmp(b->notes[i].reason, reason) == 0)
            return;
    b->notes = one_more(b, b->notes, b->note_count, &b->note_room, sizeof *b->notes);
    b->notes[b->note_count++] = (struct note){arena_cstr(&b->arena, slice_of(what)), arena_cstr(&b->arena, slice_of(reason))};
}

void takeover_note(struct box *b, struct slice what, const char *reason)
{
    note(b, arena_cstr(&b->arena, what), reason);
}

static bool has(const struct list *l, struct slice s)
{
    for (size_t i = 0; i < l->count; i++)
        if (slice_eq_nocase(l->items[i], s))
            return true;
    return false;
}

/* ---- what is there ---- */

static bool is_wanted(struct slice wanted, struct slice domain)
{
    bool any = wanted.len == 0;

    for (struct slice w = postfix_word(&wanted); w.len > 0 && !any; w = postfix_word(&wanted))
        any = slice_eq_nocase(w, domain);
    return any;
}

static void add_domain(void *ctx, struct slice key, struct slice value)
{
    struct box *b = ctx;

    (void)value;
    if (slice_find_char(key, '@') < key.len || slice_find_char(key, '.') == key.len || slice_starts(key, SLICE("localhost")) ||
        slice_starts(key, SLICE("[")) || slice_starts(key, SLICE("!")) || has(&b->domains, key) || !is_wanted(b->wanted, key))
        return;
    b->domains.items = one_more(b, b->domains.items, b->domains.count, &b->domains.room, sizeof *b->domains.items);
    b->domains.items[b->domains.count++] = arena_keep(&b->arena, key);
}

static void add_name(void *ctx, struct slice key, struct slice value)
{
    struct box *b = ctx;

    (void)value;
    if (slice_starts(key, SLICE("@")))
        takeover_note(b, key, "is a mailbox for a whole domain: posthorn alias add @DOMAIN ACCOUNT does the same");
    else if (slice_find_char(key, '@') < key.len)
        buf_add(&b->names, key), buf_add_char(&b->names, ' ');
}

static struct slice with_domain(struct box *b, struct slice name)
{
    if (slice_find_char(name, '@') < name.len || b->local.len == 0)
        return name;
    return arena_printf(&b->arena, PRIslice "@" PRIslice, SLICE_ARG(name), SLICE_ARG(b->local));
}

static struct slice domain_of(struct slice address)
{
    return slice_from(address, slice_find_char(address, '@') + 1);
}

/* On the heap. */
static char *small(struct slice address)
{
    char *out = xslicedup(address);

    for (char *c = out; *c != '\0'; c++)
        *c = ascii_lower(*c);
    return out;
}

static bool is_person(const struct box *b, struct slice address)
{
    char *key = small(address);
    bool is = map_get(&b->addresses, slice_of(key)) != NULL;

    free(key);
    return is;
}

static void add_person(void *ctx, const struct dovecot_user *u)
{
    struct box *b = ctx;
    struct slice address = with_domain(b, u->name);

    if (slice_find_char(address, '@') == address.len || !has(&b->domains, domain_of(address))) {
        if (is_wanted(b->wanted, domain_of(address)) || slice_find_char(address, '@') == address.len)
            takeover_note(b, address, "has no domain that Postfix receives mail for");
        return;
    }
    if (is_person(b, address)) {
        takeover_note(b, address, "is there twice, as a name with its domain and as one without: the first counts");
        return;
    }
    char *key = small(address);
    (void)map_put(&b->addresses, slice_of(key), b);
    free(key);
    b->people = one_more(b, b->people, b->people_count, &b->people_room, sizeof *b->people);
    b->people[b->people_count++] = (struct person){.user = *u, .address = address};
    if (u->hash.len == 0)
        takeover_note(b, address, "has no password that could be read: posthorn account passwd sets one");
}

static void add_members(struct box *b, struct slice address, struct slice value, unsigned depth, struct buf *members);

/* ":include:/path": a file of members, with comments (aliases(5)). */
static void include_members(struct box *b, struct slice address, struct slice path, unsigned depth, struct buf *members)
{
    struct slice text = SLICE("");
    struct fail why = {0};
    bool there = false, fit = slice_starts(path, SLICE("/")) && depth < INCLUDES_MOST;

    if (!fit || !box_file(b->root, path, &b->arena, &text, &there, &why) || !there)
        takeover_note(b, arena_printf(&b->arena, PRIslice ": :include:" PRIslice, SLICE_ARG(address), SLICE_ARG(path)),
                   !fit ? "is no whole path, or included too deep" : why.text[0] != '\0' ? why.text : "is not there: its members are missing");
    while (text.len > 0) {
        struct slice line = slice_trim(slice_cut(&text, '\n'));
        if (!slice_starts(line, SLICE("#")))
            add_members(b, address, line, depth + 1, members);
    }
}

static void add_members(struct box *b, struct slice address, struct slice value, unsigned depth, struct buf *members)
{
    static const struct slice include = {.ptr = ":include:", .len = 9};

    for (struct slice w = postfix_word(&value); w.len > 0; w = postfix_word(&value)) {
        struct slice member = w.len > 1 && w.ptr[0] == '\\' ? slice_from(w, 1) : w;
        if (slice_starts_nocase(member, include))
            include_members(b, address, slice_from(member, include.len), depth, members);
        else if (strchr("|/:\"@", member.ptr[0]) != NULL)
            takeover_note(b, arena_printf(&b->arena, PRIslice ": " PRIslice, SLICE_ARG(address), SLICE_ARG(w)),
                       w.ptr[0] == '@' ? "leads to a whole domain: make an alias for each address" : "is no address: commands and files are not carried");
        else
            buf_addf(members, "%s" PRIslice, members->len > 0 ? " " : "", SLICE_ARG(with_domain(b, member)));
    }
}

/* What follows a name in an alias, each checked; true if anything is left. */
static bool take_members(struct box *b, struct slice address, struct slice value, struct alias *out)
{
    struct buf members;

    buf_init(&members, 1 << 20);
    add_members(b, address, value, 0, &members);
    *out = (struct alias){.address = address, .members = arena_keep(&b->arena, buf_slice(&members))};
    buf_finish(&members);
    return out->members.len > 0;
}

static void add_alias(void *ctx, struct slice key, struct slice value)
{
    struct box *b = ctx;
    bool bare = slice_find_char(key, '@') == key.len;
    struct slice address = with_domain(b, key);
    struct alias a;

    if (value.len == 0 || (bare && slice_find_char(key, '.') < key.len)) /* the domain itself, of virtual(5) */
        return;
    if (!has(&b->domains, domain_of(address))) {
        if (is_wanted(b->wanted, domain_of(address)))
            takeover_note(b, address, "is an alias of a domain that Postfix does not receive mail for");
        return;
    }
    if (!take_members(b, address, value, &a) || slice_eq_nocase(a.members, address))
        return;
    if (is_person(b, address)) {
        takeover_note(b, address, "has an account and leads elsewhere too: its owner's Sieve script, or an account of another name, does that");
        return;
    }
    b->aliases = one_more(b, b->aliases, b->alias_count, &b->alias_room, sizeof *b->aliases);
    b->aliases[b->alias_count++] = a;
}

/* Aliases of the local(8) kind are for the people of the machine; those that lead nowhere here are no loss. */
static void add_local_alias(void *ctx, struct slice key, struct slice value)
{
    struct box *b = ctx;

    if (b->local.len > 0 && slice_find_char(key, '@') == key.len)
        add_alias(ctx, arena_printf(&b->arena, PRIslice "@" PRIslice, SLICE_ARG(key), SLICE_ARG(b->local)), value);
}

/* A row of smtpd_sender_login_maps: whom `key` may be written by.  Everybody may write as himself already. */
static void add_grants(void *ctx, struct slice key, struct slice value)
{
    struct box *b = ctx;
    struct slice sender = with_domain(b, key);

    for (struct slice w = postfix_word(&value); w.len > 0; w = postfix_word(&value)) {
        struct slice login = with_domain(b, w);
        if (slice_eq_nocase(login, sender))
            continue;
        if (!is_person(b, login)) {
            if (is_wanted(b->wanted, domain_of(login)))
                takeover_note(b, arena_printf(&b->arena, "smtpd_sender_login_maps: " PRIslice, SLICE_ARG(sender)),
                           arena_cstr(&b->arena, arena_printf(&b->arena, "may be sent as by " PRIslice ", who has no account", SLICE_ARG(w))));
            continue;
        }
        b->grants = one_more(b, b->grants, b->grant_count, &b->grant_room, sizeof *b->grants);
        b->grants[b->grant_count++] = (struct grant){.address = arena_keep(&b->arena, login), .sender = arena_keep(&b->arena, sender)};
    }
}

static bool read_names(struct box *b, struct fail *why)
{
    const char *path = cli_option(b->cli, "users");
    struct slice text, line;
    bool there;

    if (path == NULL)
        return true;
    int at = path[0] == '/';
    if (!box_file(at ? "" : ".", slice_of(path + at), &b->arena, &text, &there, why))
        return false;
    if (!there)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "%s is not there", path);
    while (text.len > 0) {
        line = slice_trim(slice_cut(&text, '\n'));
        buf_add(&b->names, line), buf_add_char(&b->names, ' ');
    }
    return true;
}

static void see_network(void *ctx, struct slice key, struct slice value)
{
    bool *beyond = ctx;

    (void)value;
    *beyond = *beyond || !(slice_starts(key, SLICE("127.")) || slice_starts(key, SLICE("[::1]")) || slice_starts(key, SLICE("[::ffff:127.")));
}

/* Settings that takeover_config_write() carries, where it is not asked to; not those that say what is so here anyway. */
static void note_config(struct box *b)
{
    static const char *const lists[] = {"transport_maps", "relay_domains", "relayhost", "message_size_limit"};
    const struct postfix *p = b->postfix;
    struct slice certificate = postfix_get(p, "smtpd_tls_cert_file");
    bool beyond = false;

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (postfix_is_set(p, lists[i]))
            note(b, lists[i], "goes into posthorn.conf only by --write-config FILE");
    if (postfix_is_set(p, "recipient_delimiter") && !slice_eq(postfix_get(p, "recipient_delimiter"), SLICE("+")))
        note(b, "recipient_delimiter", "goes into posthorn.conf only by --write-config FILE");
    if (postfix_is_set(p, "mynetworks"))
        postfix_each(p, "mynetworks", see_network, &beyond);
    if (beyond)
        note(b, "mynetworks", "may relay without a password there; goes into posthorn.conf only by --write-config FILE");
    if (postfix_is_set(p, "smtpd_tls_chain_files") || (certificate.len > 0 && slice_find(certificate, SLICE("ssl-cert-snakeoil")) == certificate.len))
        note(b, "smtpd_tls_cert_file", "certificate and key go into posthorn.conf only by --write-config FILE");
}

static bool read_box(struct box *b, struct fail *why)
{
    const struct box_notes notes = {.note = note, .ctx = b};
    struct slice text, rest;
    bool there;

    if (!postfix_read(b->root, &b->arena, &notes, &b->postfix, why) || !dovecot_read(b->root, &b->arena, &notes, &b->dovecot, why) ||
        !read_names(b, why))
        return false;
    postfix_each(b->postfix, "mydestination", add_domain, b);
    rest = postfix_get(b->postfix, "myorigin");
    if (slice_starts(rest, SLICE("/")) && box_file(b->root, rest, &b->arena, &text, &there, why))
        rest = slice_trim(text);
    b->local = has(&b->domains, rest) ? rest : b->domains.count > 0 ? b->domains.items[0] : SLICE("");
    postfix_each(b->postfix, "virtual_mailbox_domains", add_domain, b);
    postfix_each(b->postfix, "virtual_alias_domains", add_domain, b);
    postfix_each(b->postfix, "virtual_mailbox_maps", add_name, b);
    dovecot_each_user(b->dovecot, buf_slice(&b->names), add_person, b);
    postfix_each(b->postfix, "virtual_alias_maps", add_alias, b);
    SCOPED(scoped_close) int aliases = files_start(b->root, "/etc/aliases", NULL);
    if (aliases >= 0 || postfix_is_set(b->postfix, "alias_maps")) /* the default may name what was never there */
        postfix_each(b->postfix, "alias_maps", add_local_alias, b);
    postfix_each(b->postfix, "smtpd_sender_login_maps", add_grants, b);
    static const char *const said[][2] = {
        {"sender_bcc_maps", "is not carried"},
        {"recipient_bcc_maps", "is not carried"},
        {"content_filter", "is not carried: posthorn.conf has rspamd and milters"},
        {"smtpd_milters", "are not carried: posthorn.conf has milters"},
    };
    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        if (postfix_get(b->postfix, said[i][0]).len > 0)
            note(b, said[i][0], said[i][1]);
    if (cli_option(b->cli, "write-config") == NULL)
        note_config(b);
    postfix_note_unused(b->postfix);
    postfix_note_services(b->postfix);
    if (slice_find(dovecot_get(b->dovecot, "mail_plugins"), SLICE("acl")) < dovecot_get(b->dovecot, "mail_plugins").len)
        note(b, "acl", "who may see whose mailboxes is not carried: IMAP's SETACL gives it again");
    if (b->people_count == 0)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "no user was found there (--users FILE names them)");
    return true;
}

/* ---- the plan ---- */

static void print_plan(const struct box *b)
{
    printf("domains (%zu):\n", b->domains.count);
    for (size_t i = 0; i < b->domains.count; i++)
        printf("    " PRIslice "\n", SLICE_ARG(b->domains.items[i]));
    printf("accounts (%zu):\n", b->people_count);
    for (size_t i = 0; i < b->people_count; i++) {
        const struct person *p = &b->people[i];
        struct slice hash = p->user.hash, scheme = slice_starts(hash, SLICE("{")) ? slice_sub(hash, 1, slice_find_char(hash, '}') - 1) : SLICE("");
        printf("    " PRIslice "  password: " PRIslice "  mail: " PRIslice, SLICE_ARG(p->address),
               SLICE_ARG(scheme.len > 0 ? scheme : SLICE("none")), SLICE_ARG(p->user.location.len > 0 ? p->user.location : SLICE("not known")));
        if (p->user.quota > 0)
            printf("  quota: %llu bytes", (unsigned long long)p->user.quota);
        printf("\n");
    }
    printf("aliases (%zu):\n", b->alias_count);
    for (size_t i = 0; i < b->alias_count; i++)
        printf("    " PRIslice " -> " PRIslice "\n", SLICE_ARG(b->aliases[i].address), SLICE_ARG(b->aliases[i].members));
    printf("senders (%zu):\n", b->grant_count);
    for (size_t i = 0; i < b->grant_count; i++)
        printf("    " PRIslice " may send as " PRIslice "\n", SLICE_ARG(b->grants[i].address), SLICE_ARG(b->grants[i].sender));
    if (b->note_count > 0)
        printf("not taken over:\n");
    for (size_t i = 0; i < b->note_count; i++)
        printf("    %s: %s\n", b->notes[i].what, b->notes[i].reason);
}

/* ---- mail ---- */

/* What cannot be opened is there: reading it says why. */
static bool is_there(const struct box *b, const char *path)
{
    struct fail why = {0};
    SCOPED(scoped_close) int fd = files_start(b->root, path, &why);

    return fd >= 0 || why.reason != FAIL_NOT_FOUND;
}

static void move_one(struct box *b, struct moving *m, const struct person *p)
{
    struct dovecot_place place = dovecot_place(p->user.location);
    struct arena *a = &b->arena;
    struct fail why = {0};
    struct maildir *from = NULL;
    const char *path = arena_cstr(a, place.path);
    struct slice uidl = dovecot_get(b->dovecot, "pop3_uidl_format");
    const struct moving_target to = {.address = arena_cstr(a, p->address), .over_quota = cli_option(b->cli, "over-quota") != NULL,
                                     .keep_gone = cli_option(b->cli, "keep-gone") != NULL};

    if (uidl.len == 0)
        uidl = dovecot_get(b->dovecot, "protocol pop3/pop3_uidl_format");
    const struct maildir_options options = {
        .root = b->root,
        .control = place.control.len > 0 ? arena_cstr(a, place.control) : NULL,
        .inbox = place.inbox.len > 0 ? arena_cstr(a, place.inbox) : NULL,
        .sieve_home = p->user.home.len > 0 ? arena_cstr(a, p->user.home) : NULL,
        .uidl_format = uidl.len > 0 ? arena_cstr(a, uidl) : NULL,
        .bodies = moving_bodies(),
    };
    if (place.kind.len > 0 && path[0] != '/') {
        moving_left_out(m, to.address, arena_cstr(a, arena_printf(a, "its mail is in \"%s\", and nobody knows where that begins", path)));
    } else if (slice_eq(place.kind, SLICE("mbox"))) {
        struct mbox_source source = {.root = b->root, .path = path, .bodies = *moving_bodies()};
        struct mbox_source inbox = {.root = b->root, .path = options.inbox, .bodies = *moving_bodies(), .mailbox = SLICE("INBOX")};
        bool any = options.inbox != NULL && is_there(b, options.inbox);
        if (any)
            (void)moving_import(m, &to, mbox_source_read, &inbox, NULL);
        if (is_there(b, path))
            (void)moving_import(m, &to, mbox_source_read, &source, NULL);
        else if (!any)
            moving_note(m, to.address, "has no mail yet");
    } else if (!slice_eq(place.kind, SLICE("maildir"))) {
        moving_left_out(m, to.address, "its mail is in no Maildir and no mbox: posthorn import imap brings it while Dovecot runs");
    } else if (!is_there(b, path)) {
        moving_note(m, to.address, "has no mail yet");
    } else if (!maildir_open(path, &options, &from, &why)) {
        moving_left_out(m, to.address, why.text);
    } else {
        (void)moving_import(m, &to, maildir_read, from, NULL);
        maildir_destroy(&from);
    }
}

static int move_all(struct box *b)
{
    struct moving *m = moving_begin(b->cli, "import");
    bool mail = cli_option(b->cli, "only-accounts") == NULL && cli_option(b->cli, "skip-mail") == NULL;

    if (m == NULL)
        return FAILED;
    for (size_t i = 0; i < b->people_count && mail; i++)
        if (b->people[i].id != 0)
            move_one(b, m, &b->people[i]);
    for (size_t i = 0; i < b->note_count; i++)
        moving_left_out(m, b->notes[i].what, b->notes[i].reason);
    return moving_end(&m);
}

static int takeover(struct box *b)
{
    const char *to = cli_option(b->cli, "write-config");
    struct fail why = {0};

    if (!read_box(b, &why))
        return cli_failed(b->cli, &why);
    const struct takeover_config config = {.root = b->root, .postfix = b->postfix, .dovecot = b->dovecot, .arena = &b->arena,
                                           .notes = {.note = note, .ctx = b}};
    if (to != NULL && !takeover_config_write(&config, to, &why))
        return cli_failed(b->cli, &why);
    if (!b->cli->json)
        print_plan(b);
    if (cli_option(b->cli, "dry-run") != NULL)
        return b->note_count > 0 ? FAILED : DONE;
    if (cli_option(b->cli, "yes") == NULL && !ask_yes("Take over all this (yes/no)?")) {
        (void)fail_set(&why, FAIL_PERM, FAIL_INVALID, "nothing done (--yes does it without asking)");
        return cli_failed(b->cli, &why);
    }
    (void)fflush(stdout);
    if (!takeover_make(b, &why))
        return cli_failed(b->cli, &why);
    if (!b->cli->json)
        printf("accounts and aliases are there; %u passwords taken over, %u kept because the account is in use here\n", b->made, b->kept);
    return move_all(b);
}

int command_import_postfix_dovecot(struct cli *cli)
{
    const char *root = cli_option(cli, "root"), *domains = cli_option(cli, "domain");
    struct box b = {.cli = cli, .root = root != NULL ? root : "/", .wanted = slice_of(domains != NULL ? domains : "")};

    (void)signal(SIGPIPE, SIG_IGN);
    arena_init(&b.arena, ARENA_MOST);
    buf_init(&b.names, NAMES_MOST);
    map_init(&b.addresses);
    int status = takeover(&b);
    buf_finish(&b.names);
    map_finish(&b.addresses);
    arena_finish(&b.arena);
    return status;
}
