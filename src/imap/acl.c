/*
 * imap/acl.c - GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS.
 *
 * Layer: imap.  RFC 4314.  The old rights c and d (section 2.1.1) mean kx and te.
 */
#include "imap/acl.h"

#include "base/fail.h"
#include "imap/target.h"
#include "store/acl.h"

static const struct {
    char     letter;
    unsigned right;
} letters[] = {
    {'l', RIGHT_LOOKUP}, {'r', RIGHT_READ},   {'s', RIGHT_SEEN},           {'w', RIGHT_WRITE},
    {'i', RIGHT_INSERT}, {'p', RIGHT_POST},   {'k', RIGHT_CREATE},         {'x', RIGHT_DELETE_MAILBOX},
    {'t', RIGHT_DELETE_MESSAGES},             {'e', RIGHT_EXPUNGE},        {'a', RIGHT_ADMINISTER},
};
enum {
    VIRTUAL_C = RIGHT_CREATE | RIGHT_DELETE_MAILBOX,
    VIRTUAL_D = RIGHT_DELETE_MESSAGES | RIGHT_EXPUNGE,
};

/* Section 2.1.1: whoever has one of those that c stands for is told c. */
void imap_write_rights(struct buf *out, unsigned rights)
{
    for (size_t i = 0; i < ARRAY_LEN(letters); i++)
        if (rights & letters[i].right)
            buf_add_char(out, letters[i].letter);
    if (rights & VIRTUAL_C)
        buf_add_char(out, 'c');
    if (rights & VIRTUAL_D)
        buf_add_char(out, 'd');
}

bool imap_parse_rights(struct slice text, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned right = text.ptr[i] == 'c' ? VIRTUAL_C : text.ptr[i] == 'd' ? VIRTUAL_D : 0;
        for (size_t k = 0; k < ARRAY_LEN(letters); k++)
            if (letters[k].letter == text.ptr[i])
                right = letters[k].right;
        if (right == 0)
            return false;
        *out |= right;
    }
    return true;
}

static void write_rights(struct buf *out, unsigned rights)
{
    if (rights == 0)
        buf_add(out, SLICE("\"\""));
    else
        imap_write_rights(out, rights);
}

/* ---- whom an identifier names ---- */

/*
 * `known`: it must be somebody's (to give rights to); entries of accounts that are gone can be
 * looked at and taken away.  false: answered.
 */
static bool normalise(struct imap_session *s, struct slice written, bool known, struct slice *out)
{
    struct directory_account who;
    struct slice name = written;
    bool negative = name.len > 0 && name.ptr[0] == '-';
    struct fail why;

    if (negative)
        name = slice_from(name, 1);
    if (slice_eq(name, ACL_ANYONE) || slice_eq(name, ACL_AUTHENTICATED)) {
        *out = written;
        return true;
    }
    if (directory_login(s->service->login->directory, name, &s->arena, &who, &why)) {
        *out = negative ? arena_printf(&s->arena, "-" PRIslice, SLICE_ARG(who.address)) : who.address;
        return true;
    }
    if (why.reason != FAIL_NOT_FOUND && why.reason != FAIL_INVALID) {
        imap_no_because(s, &why);
        return false;
    }
    if (known || name.len == 0) {
        imap_no(s, "[CANNOT] Rights are for accounts here, \"anyone\" and \"authenticated\"");
        return false;
    }
    *out = written;
    return true;
}

/* The address of the account's user: "" if the directory has lost it. */
static struct slice owner_of(struct imap_session *s, struct account *a)
{
    struct directory_account who;

    return directory_account(s->service->login->directory, account_id(a), &s->arena, &who, NULL) ? who.address
                                                                                                  : SLICE("");
}

/* false: answered. */
static bool find(struct imap_session *s, struct slice name, unsigned rights, struct imap_target *t)
{
    struct fail why;

    if (imap_find(s, name, rights, t, &why))
        return true;
    imap_no_because(s, &why);
    return false;
}

/* The commands' first line: "* ACL name" */
static void begin(struct imap_session *s, const char *response, const struct imap_target *t)
{
    buf_addf(conn_out(s->conn), "* %s ", response);
    imap_write_mailbox(s, conn_out(s->conn), t->name);
}

/* ---- commands ---- */

static void write_entry(struct buf *out, struct slice identifier, unsigned rights)
{
    buf_add_char(out, ' ');
    imap_write_astring(out, identifier);
    buf_add_char(out, ' ');
    write_rights(out, rights);
}

/*
 * getacl   = "GETACL" SP mailbox                                    RFC 4314 section 3.3
 * acl-data = "ACL" SP mailbox *(SP identifier SP rights)
 */
void imap_getacl(struct imap_session *s, struct imap_reader *args)
{
    struct buf *out = conn_out(s->conn);
    struct imap_target target;
    struct acl_entry *list;
    size_t count;
    struct fail why;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!find(s, name, RIGHT_ADMINISTER, &target))
        return;
    if (!acl_list(target.account, target.info.id, &s->arena, &list, &count, &why)) {
        imap_no_because(s, &why);
        return;
    }
    struct slice owner = owner_of(s, target.account);
    begin(s, "ACL", &target);
    write_entry(out, owner, acl_rights(list, count, owner, true));
    for (size_t i = 0; i < count; i++)
        if (!slice_eq(list[i].identifier, owner))
            write_entry(out, list[i].identifier, list[i].rights);
    buf_add(out, SLICE("\r\n"));
    imap_ok(s, "Those are they");
}

static void change(struct imap_session *s, struct slice name, struct slice written, enum acl_op op, unsigned rights,
                   bool deletes)
{
    struct imap_target target;
    struct slice identifier;
    struct fail why;

    if (!find(s, name, RIGHT_ADMINISTER, &target) ||
        !normalise(s, written, op != ACL_REMOVE && rights != 0, &identifier))
        return;
    unsigned base = slice_eq(identifier, owner_of(s, target.account)) ? RIGHTS_ALL : 0;
    if (!acl_set(target.account, target.info.id, identifier, op, deletes ? base : rights, base, &why))
        imap_no_because(s, &why);
    else
        imap_ok(s, "Changed");
}

/*
 * setacl     = "SETACL" SP mailbox SP identifier SP mod-rights      RFC 4314 section 3.1
 * mod-rights = astring ; ["+" / "-"] rights
 */
void imap_setacl(struct imap_session *s, struct imap_reader *args)
{
    enum acl_op op = ACL_REPLACE;
    unsigned rights = 0;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_space(args);
    struct slice identifier = imap_read_astring(args);
    imap_expect_space(args);
    struct slice text = imap_read_astring(args);
    if (text.len > 0 && (text.ptr[0] == '+' || text.ptr[0] == '-')) {
        op = text.ptr[0] == '+' ? ACL_ADD : ACL_REMOVE;
        text = slice_from(text, 1);
    }
    if (!args->failed && !imap_parse_rights(text, &rights))
        imap_fail(args, "rights, out of lrswipkxtea");
    imap_expect_end(args);
    if (args->failed)
        imap_bad_args(s, args);
    else
        change(s, name, identifier, op, rights, false);
}

/* deleteacl = "DELETEACL" SP mailbox SP identifier                  RFC 4314 section 3.2 */
void imap_deleteacl(struct imap_session *s, struct imap_reader *args)
{
    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_space(args);
    struct slice identifier = imap_read_astring(args);
    imap_expect_end(args);
    if (args->failed)
        imap_bad_args(s, args);
    else
        change(s, name, identifier, ACL_REPLACE, 0, true);
}

/*
 * listrights      = "LISTRIGHTS" SP mailbox SP identifier           RFC 4314 section 3.4
 * listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)
 *
 * What is always granted, then what can be, each by itself.
 */
void imap_listrights(struct imap_session *s, struct imap_reader *args)
{
    struct buf *out = conn_out(s->conn);
    struct imap_target target;
    struct slice identifier;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_space(args);
    struct slice written = imap_read_astring(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!find(s, name, RIGHT_ADMINISTER, &target) || !normalise(s, written, true, &identifier))
        return;
    bool owner = slice_eq(identifier, owner_of(s, target.account));
    begin(s, "LISTRIGHTS", &target);
    write_entry(out, identifier, owner ? ACL_OWNERS : 0);
    for (size_t i = 0; i < ARRAY_LEN(letters); i++)
        if (!owner || !(letters[i].right & ACL_OWNERS))
            buf_addf(out, " %c", letters[i].letter);
    buf_add(out, SLICE(" c d\r\n"));
    imap_ok(s, "Those are they");
}

/* myrights = "MYRIGHTS" SP mailbox                                  RFC 4314 section 3.5 */
void imap_myrights(struct imap_session *s, struct imap_reader *args)
{
    enum { ANY_OF = RIGHT_LOOKUP | RIGHT_READ | RIGHT_INSERT | RIGHT_CREATE | RIGHT_DELETE_MAILBOX | RIGHT_ADMINISTER };
    struct imap_target target;

    imap_expect_space(args);
    struct slice name = imap_read_mailbox(args);
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    if (!find(s, name, 0, &target))
        return;
    if (!(target.rights & ANY_OF)) {
        imap_no(s, "[NONEXISTENT] there is no such mailbox");
        return;
    }
    begin(s, "MYRIGHTS", &target);
    buf_add_char(conn_out(s->conn), ' ');
    write_rights(conn_out(s->conn), target.rights);
    conn_write(s->conn, SLICE("\r\n"));
    imap_ok(s, "Those are they");
}
