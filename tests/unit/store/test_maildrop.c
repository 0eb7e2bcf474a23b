/* store/maildrop.h: what POP3 sees; unique-ids that never change. */
#include "room.h"

#include "store/maildrop.h"

enum { MOST = 40 };

struct seen {
    size_t count;
    uint32_t uid[MOST];
    uint64_t size[MOST], octets[MOST];
    char uidl[MOST][UIDL_MAX + 1];
};

static bool note(void *ctx, const struct maildrop_message *m)
{
    struct seen *s = ctx;

    if (s->count == MOST)
        return false;
    s->uid[s->count] = m->uid;
    s->size[s->count] = m->size;
    s->octets[s->count] = m->octets;
    (void)snprintf(s->uidl[s->count], sizeof s->uidl[0], PRIslice, SLICE_ARG(m->uidl));
    s->count++;
    return true;
}

static struct seen look(struct account *a, uint64_t box)
{
    struct seen s = {0};
    struct fail why;

    if (!store_maildrop_read(a, box, 1, UINT32_MAX, note, &s, &why))
        room_die("maildrop", &why);
    return s;
}

static const char *uidl_of(const struct seen *s, uint32_t uid)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->uid[i] == uid)
            return s->uidl[i];
    return "none";
}

static uint32_t bring(const struct room *r, struct account *a, uint64_t box, const char *text, const char *uidl)
{
    struct body *b = room_body(r, slice_of(text));
    struct append_item item = {.body = b, .internal_date = 1234567890, .uidl = slice_of(uidl)};
    uint32_t uidvalidity;
    uint64_t modseq;
    struct fail why;

    if (!message_append(a, box, &item, 1, &uidvalidity, &modseq, &why))
        room_die("append", &why);
    body_destroy(&b);
    return item.uid;
}

static uint32_t copy_to(struct account *a, uint64_t from, uint32_t uid, uint64_t to, bool move)
{
    struct uid_range range = {uid, uid};
    struct copy_result out = {0};
    struct fail why;

    if (!message_copy(a, from, &range, 1, to, move, &out, &why))
        room_die("copy", &why);
    uid_set_finish(&out.source);
    return out.first_uid;
}

static void test_names(void)
{
    char long_one[72];

    memset(long_one, 'x', sizeof long_one);
    CHECK("a usual one", uidl_is_valid(SLICE("UID123-1234567890")));
    CHECK("both ends", uidl_is_valid(SLICE("!~")));
    CHECK("70 octets", uidl_is_valid(slice_make(long_one, 70)));
    CHECK("71 octets", !uidl_is_valid(slice_make(long_one, 71)));
    CHECK("nothing", !uidl_is_valid(SLICE("")));
    CHECK("a blank", !uidl_is_valid(SLICE("a b")));
    CHECK("a control character", !uidl_is_valid(SLICE("a\x7f")));
    CHECK("not ASCII", !uidl_is_valid(SLICE("\xc3\xa4")));
}

static void test_sizes(struct room *r)
{
    struct account *a = room_account(r, 3);
    uint64_t inbox = room_mailbox(a, SLICE("INBOX"));

    (void)bring(r, a, inbox, "Subject: a\r\n\r\nb\r\n", "");
    (void)bring(r, a, inbox, "Subject: a\n\nb\n.\r\n\nc", "");
    (void)bring(r, a, inbox, "\n", "");
    struct seen s = look(a, inbox);
    CHECK("three", s.count == 3);
    CHECK("CRLF as it is", s.octets[0] == s.size[0] && s.size[0] == 17);
    CHECK("bare line feeds count twice, and the last line gets an end", s.size[1] == 19 && s.octets[1] == 25);
    CHECK("at the very beginning", s.octets[2] == 2);
    account_release(&a);
}

static void test_unchanging(struct room *r)
{
    struct account *a = room_account(r, 4);
    uint64_t inbox = room_mailbox(a, SLICE("INBOX")), archive = room_mailbox(a, SLICE("Archive"));
    uint32_t first = bring(r, a, inbox, "Subject: 1\r\n\r\n", ""), kept = bring(r, a, inbox, "Subject: 2\r\n\r\n", "old-2");
    struct seen s = look(a, inbox);
    char made[UIDL_MAX + 1];

    (void)snprintf(made, sizeof made, "%s", uidl_of(&s, first));
    CHECK("made of the record", strlen(made) == 24);
    CHECK("kept", strcmp(uidl_of(&s, kept), "old-2") == 0);

    uint32_t there = copy_to(a, inbox, first, archive, true);
    uint32_t back = copy_to(a, archive, there, inbox, true);
    s = look(a, inbox);
    CHECK("moved away and back", strcmp(uidl_of(&s, back), made) == 0);
    CHECK("also under its old UID, as long as it is kept", strcmp(uidl_of(&s, first), made) == 0);

    uint32_t twin = copy_to(a, inbox, back, inbox, false), twin_of_kept = copy_to(a, inbox, kept, inbox, false);
    s = look(a, inbox);
    char expected[UIDL_MAX + 1];
    (void)snprintf(expected, sizeof expected, "%.24s.%u", made, twin);
    CHECK("the first stays", strcmp(uidl_of(&s, back), made) == 0);
    CHECK("its twin differs", strcmp(uidl_of(&s, twin), expected) == 0);
    CHECK("the twin of one with a kept name too",
          strcmp(uidl_of(&s, twin_of_kept), "old-2") != 0 && strchr(uidl_of(&s, twin_of_kept), '.') != NULL);

    struct uid_range gone = {back, back};
    struct fail why;
    CHECK("expunged", message_expunge(a, inbox, &gone, 1, true, NULL, NULL, &why));
    s = look(a, inbox);
    CHECK("the twin keeps its own", strcmp(uidl_of(&s, twin), expected) == 0);

    uint32_t again = bring(r, a, inbox, "Subject: 3\r\n\r\n", "old-2"), bad = bring(r, a, inbox, "\r\n", "a b");
    s = look(a, inbox);
    CHECK("two that brought the same", strcmp(uidl_of(&s, again), "old-2") != 0);
    CHECK("an invalid one is not kept", strlen(uidl_of(&s, bad)) == 24);
    uint32_t self = bring(r, a, archive, "Subject: 1\r\n\r\n", made);
    CHECK("what is a message's own by its reference is not another's",
          strcmp(uidl_of(&(struct seen[]){look(a, archive)}[0], self), made) != 0);
    account_release(&a);

    struct seen before = s;
    a = room_account(r, 4);
    CHECK("snapshot", store_snapshot(r->store, 4, &why));
    account_release(&a);
    room_close(r);
    room_open(r);
    CHECK("rebuilt", store_rebuild(r->store, 4, NULL, NULL, &why));
    a = room_account(r, 4);
    s = look(a, room_mailbox(a, SLICE("INBOX")));
    bool same = s.count == before.count;
    for (size_t i = 0; same && i < s.count; i++)
        same = strcmp(s.uidl[i], before.uidl[i]) == 0 && s.octets[i] == before.octets[i];
    CHECK("and the same as before", same);
    account_release(&a);
}

/* The account's file is lost: what was brought along stands in the records. */
static void test_lost(struct room *r)
{
    struct account *a = room_account(r, 5);
    uint64_t inbox = room_mailbox(a, SLICE("INBOX"));
    char command[400];
    struct fail why;
    bool kept = false, made = false;

    (void)bring(r, a, inbox, "Subject: 1\r\n\r\n", "from-elsewhere");
    (void)bring(r, a, inbox, "Subject: 2\n\n", "");
    struct seen before = look(a, inbox);
    account_release(&a);
    room_close(r);
    (void)snprintf(command, sizeof command, "find '%s' -path '*accounts*' -name 'mail.db*' -path '*/5/*' -delete", r->dir);
    CHECK("lost", system(command) == 0);
    room_open(r);
    CHECK("rebuilt", store_rebuild(r->store, 5, NULL, NULL, &why));
    a = room_account(r, 5);
    const struct mailbox_list *l;
    CHECK("listed", mailbox_list(a, &l, &why));
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i].no_select)
            continue;
        struct seen s = look(a, l->items[i].id);
        for (size_t k = 0; k < s.count; k++) {
            kept = kept || strcmp(s.uidl[k], "from-elsewhere") == 0;
            made = made || (strcmp(s.uidl[k], before.uidl[1]) == 0 && s.octets[k] == before.octets[1]);
        }
    }
    CHECK("the one that was brought along", kept);
    CHECK("and the made one", made);
    mailbox_list_release(&l);
    account_release(&a);
}

int main(void)
{
    struct room r;

    room_init(&r);
    test_names();
    test_sizes(&r);
    test_unchanging(&r);
    test_lost(&r);
    room_finish(&r);
    return check_done();
}
