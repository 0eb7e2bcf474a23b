/*
 * imap/mailbox.c - CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.
 *
 * Layer: imap.  RFC 3501 sections 6.3.3 to 6.3.7, RFC 6154.
 */
#include "imap/special_use.h"
#include "imap/target.h"

#include "base/fail.h"

static const struct {
    enum special_use use;
    const char *name;
    bool creatable; /* the others would be views over all mailboxes */
} uses[] = {
    {USE_ALL, "\\All", false},         {USE_ARCHIVE, "\\Archive", true}, {USE_DRAFTS, "\\Drafts", true},
    {USE_FLAGGED, "\\Flagged", false}, {USE_JUNK, "\\Junk", true},       {USE_SENT, "\\Sent", true},
    {USE_TRASH, "\\Trash", true},
};

const char *imap_special_use_name(enum special_use use)
{
    for (size_t i = 0; i < ARRAY_LEN(uses); i++)
        if (uses[i].use == use)
            return uses[i].name;
    return NULL;
}

bool imap_special_use_read(struct slice text, enum special_use *out)
{
    *out = USE_NONE;
    for (size_t i = 0; i < ARRAY_LEN(uses); i++)
        if (uses[i].creatable && slice_eq_nocase(text, slice_of(uses[i].name)))
            *out = uses[i].use;
    return *out != USE_NONE || text.len == 0;
}

/*
 * create-param = "USE" SP "(" [use-attr *(SP use-attr)] ")"        RFC 6154 section 6
 *
 * *usable is false if it names what no mailbox here can be.
 */
static enum special_use read_use(struct imap_reader *r, bool *usable)
{
    enum special_use use = USE_NONE;

    if (!imap_accept_word(r, "USE"))
        imap_fail(r, "USE");
    imap_expect_space(r);
    imap_expect(r, '(');
    while (!r->failed && imap_peek(r) != ')') {
        enum special_use named = USE_NONE;
        if (!imap_accept(r, '\\'))
            imap_fail(r, "a special use such as \\Sent");
        struct slice name = imap_read_atom(r);
        for (size_t i = 0; i < ARRAY_LEN(uses); i++)
            if (uses[i].creatable && slice_eq_nocase(name, slice_of(uses[i].name + 1)))
                named = uses[i].use;
        *usable = *usable && named != USE_NONE && (use == USE_NONE || use == named);
        use = named;
        if (!imap_accept(r, ' '))
            break;
    }
    imap_expect(r, ')');
    return use;
}

/* RFC 9051 section 6.3.9.7: its name, where that is not what the client called it. */
static void tell_name(struct imap_session *s, struct account *a, uint64_t id, struct slice old)
{
    struct mailbox_info info;
    struct imap_target target;
    struct fail why;

    if (!(s->enabled & IMAP_REV2) || !mailbox_get(a, id, &s->arena, &info, NULL) ||
        !imap_find(s, imap_name_of(s, a, info.name), RIGHT_LOOKUP, &target, &why))
        return;
    struct imap_list_line line = {.name = target.name, .old = old, .info = &target.info};
    if (!slice_eq(line.name, old))
        imap_write_list_line(s, conn_out(s->conn), &line);
}

/* resp-text-code =/ "MAILBOXID" SP "(" objectid ")"                RFC 8474 section 4.1 */
static void answer_created(struct imap_session *s, struct account *a, uint64_t id, struct slice name)
{
    struct buf code;

    tell_name(s, a, id, name);
    buf_init(&code, 200);
    imap_write_mailboxid(&code, a, id);
    imap_ok(s, "[MAILBOXID (" PRIslice ")] Made", SLICE_ARG(buf_slice(&code)));
    buf_finish(&code);
}

/* create = "CREATE" SP mailbox [SP "(" create-param ")"]           RFC 3501 section 6.3.3 */
void imap_create(struct imap_session *s, struct imap_reader *args)
{
    enum special_use use = USE_NONE;
    bool usable = true;
    struct imap_target place;
    struct fail why;
    uint64_t id;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    if (imap_accept(args, ' ')) {
        imap_expect(args, '(');
        use = read_use(args, &usable);
        imap_expect(args, ')');
    }
    imap_expect_end(args);
    if (slice_ends(name, SLICE("/")))
        name.len--; /* "there will be mailboxes below it": no news to us */
    if (args->failed)
        imap_bad_args(s, args);
    else if (!usable)
        imap_no(s, "[USEATTR] A mailbox has one of \\Archive \\Drafts \\Junk \\Sent \\Trash");
    else if (!imap_find_place(s, name, &place, &why))
        imap_no_because(s, &why);
    else if (use != USE_NONE && place.account != s->account)
        imap_no(s, "[USEATTR] Special uses are for mailboxes of one's own");
    else if (!mailbox_create(place.account, place.info.name, use, &id, &why))
        imap_no_because(s, &why);
    else
        answer_created(s, place.account, id, name);
}

/* delete = "DELETE" SP mailbox                         RFC 3501 section 6.3.4 */
void imap_delete(struct imap_session *s, struct imap_reader *args)
{
    struct imap_target target;
    struct fail why;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!imap_find(s, name, RIGHT_DELETE_MAILBOX, &target, &why) ||
        !mailbox_delete(target.account, target.info.name, &why)) {
        imap_no_because(s, &why);
        return;
    }
    if (s->state == IMAP_SELECTED && s->box.account == target.account && s->box.mailbox == target.info.id) {
        imap_deselect(s);
        conn_write(s->conn, SLICE("* OK [CLOSED] It was the selected one\r\n"));
    }
    imap_ok(s, "Deleted");
}

/*
 * Inferiors move along.  Between accounts nothing is renamed: the messages would change
 * their owner.
 */
static bool rename_mailbox(struct imap_session *s, struct slice from, struct slice to, struct fail *why)
{
    struct imap_target source, place;

    if (!imap_find(s, from, RIGHT_DELETE_MAILBOX, &source, why) ||
        !imap_find_place(s, to, &place, why))
        return false;
    if (source.account != place.account)
        return fail_set(why, FAIL_PERM, FAIL_NOT_ALLOWED, "A mailbox cannot move to another account");
    if (!mailbox_rename(source.account, source.info.name, place.info.name, why))
        return false;
    tell_name(s, source.account, source.info.id, source.name);
    return true;
}

/* rename = "RENAME" SP mailbox SP mailbox              RFC 3501 section 6.3.5 */
void imap_rename(struct imap_session *s, struct imap_reader *args)
{
    struct fail why;

    imap_expect_space(args);
    struct slice from = imap_read_mailbox(args);
    imap_expect_space(args);
    struct slice to = imap_read_mailbox(args);
    imap_expect_end(args);
    if (slice_ends(to, SLICE("/")))
        to.len--;
    if (args->failed)
        imap_bad_args(s, args);
    else if (!rename_mailbox(s, from, to, &why))
        imap_no_because(s, &why);
    else
        imap_ok(s, "Renamed");
}

/* By name, which need not be a mailbox's; one that is, by the name it is listed by. */
static void set_subscribed(struct imap_session *s, struct imap_reader *args, bool on)
{
    struct imap_target target;
    struct fail why;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (imap_find(s, name, RIGHT_LOOKUP, &target, &why))
        name = target.name;
    if (!mailbox_subscribe(s->account, name, on, &why))
        imap_no_because(s, &why);
    else
        imap_ok(s, on ? "Subscribed" : "Not subscribed any more");
}

/* subscribe = "SUBSCRIBE" SP mailbox                   RFC 3501 section 6.3.6 */
void imap_subscribe(struct imap_session *s, struct imap_reader *args)
{
    set_subscribed(s, args, true);
}

/* unsubscribe = "UNSUBSCRIBE" SP mailbox               RFC 3501 section 6.3.7 */
void imap_unsubscribe(struct imap_session *s, struct imap_reader *args)
{
    set_subscribed(s, args, false);
}
