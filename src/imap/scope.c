/*
 * imap/scope.c - which mailboxes?
 *
 * Layer: imap.  RFC 5465 section 6, RFC 7377 section 2.2.
 */
#include "imap/scope.h"

enum { NAMES_MAX = 10000 };

/* one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")"      RFC 5465 section 8 */
static void read_names(struct imap_reader *r, struct imap_scope *scope)
{
    bool several;
    size_t cap = 0;

    imap_expect_space(r);
    several = imap_accept(r, '(');
    do {
        if (scope->count == cap) {
            size_t more = cap == 0 ? 4 : cap * 2;
            struct slice *grown = more <= NAMES_MAX ? arena_new_array(r->arena, struct slice, more) : NULL;
            if (grown == NULL) {
                imap_fail(r, "fewer mailboxes");
                return;
            }
            if (cap > 0)
                memcpy(grown, scope->names, cap * sizeof *grown);
            scope->names = grown;
            cap = more;
        }
        scope->names[scope->count] = imap_read_mailbox(r);
        scope->count += r->failed ? 0 : 1;
    } while (several && imap_accept(r, ' '));
    if (several)
        imap_expect(r, ')');
}

/*
 * filter-mailboxes = "selected" / "selected-delayed" / "inboxes" / "personal" / "subscribed" /
 *                    ("subtree" / "subtree-one" / "mailboxes") SP one-or-more-mailbox
 */
struct imap_scope imap_read_scope(struct imap_reader *r)
{
    static const struct {
        const char *name;
        enum imap_scope_kind kind;
        bool names;
    } kinds[] = {
        {"selected", SCOPE_SELECTED, false},       {"selected-delayed", SCOPE_SELECTED_DELAYED, false},
        {"inboxes", SCOPE_INBOXES, false},         {"personal", SCOPE_PERSONAL, false},
        {"subscribed", SCOPE_SUBSCRIBED, false},   {"subtree", SCOPE_SUBTREE, true},
        {"subtree-one", SCOPE_SUBTREE_ONE, true},  {"mailboxes", SCOPE_MAILBOXES, true},
    };
    struct imap_scope scope = {0};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!imap_accept_word(r, kinds[i].name))
            continue;
        scope.kind = kinds[i].kind;
        if (kinds[i].names)
            read_names(r, &scope);
        return scope;
    }
    imap_fail(r, "selected, inboxes, personal, subscribed, subtree or mailboxes");
    return scope;
}

/* How many levels `name` stands below `top`; -1: it does not. */
static int levels_below(struct slice name, struct slice top)
{
    int levels = 1;

    if (top.len == 0)
        top = slice_sub(name, 0, 0);
    else if (slice_eq(name, top))
        return 0;
    else if (!slice_starts(name, top) || name.ptr[top.len] != '/')
        return -1;
    for (size_t i = top.len + 1; i < name.len; i++)
        levels += name.ptr[i] == '/';
    return levels;
}

bool imap_scope_has(const struct imap_scope *scope, struct slice name, bool own, bool subscribed)
{
    switch (scope->kind) {
    case SCOPE_SELECTED:
    case SCOPE_SELECTED_DELAYED: return false;
    case SCOPE_INBOXES:
    case SCOPE_PERSONAL: return own;
    case SCOPE_SUBSCRIBED: return subscribed;
    case SCOPE_SUBTREE:
    case SCOPE_SUBTREE_ONE:
    case SCOPE_MAILBOXES: break;
    }
    for (size_t i = 0; i < scope->count; i++) {
        int levels = levels_below(name, scope->names[i]);
        if (scope->kind == SCOPE_MAILBOXES ? levels == 0
            : scope->kind == SCOPE_SUBTREE_ONE ? levels == 0 || levels == 1
                                               : levels >= 0 && (scope->names[i].len > 0 || own))
            return true;
    }
    return false;
}
