/*
 * message/address.c - address lists (RFC 5322 section 3.4, obsolete forms of 4.4 included).
 *
 * Layer: message.  Reads what people and programs write, not only what the
 * grammar allows: missing brackets, stray commas, names with an "@" in them.
 */
#include "message/address.h"

#include "message/lex.h"

struct list {
    struct arena *arena;
    struct address *items;
    size_t count, cap, max;
    bool in_group;
};

/* The group's end keeps one place free, so that a cut list still closes its group. */
static bool list_is_full(const struct list *list)
{
    return list->count + (list->in_group ? 1 : 0) >= list->max;
}

static void list_add(struct list *list, struct address entry)
{
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 4 : list->cap * 2;
        struct address *items = arena_new_array(list->arena, struct address, cap);

        if (items == NULL)
            return;
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof(*items));
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = entry;
}

/*
 * The words of `raw` joined: quotes, escapes and comments taken off, with one
 * blank where blanks or comments stood if `spaced`, else none.
 */
static struct slice join_words(struct arena *a, struct slice raw, bool spaced)
{
    struct lex l = {.in = slice_trim(raw)};
    size_t len = 0;

    if (lex_atom(&l).len == l.in.len)
        return l.in;

    char *text = arena_alloc(a, l.in.len);
    if (text == NULL)
        return slice_make(NULL, 0);
    for (l.at = 0; !lex_at_end(&l);) {
        size_t before = l.at;

        lex_skip(&l, NULL);
        if (lex_at_end(&l))
            break;
        if (spaced && l.at > before && len > 0)
            text[len++] = ' ';
        struct slice word = lex_peek(&l) == '"' ? lex_unescape(a, lex_quoted(&l)) : lex_atom(&l);
        if (l.at == before) /* a special that has no business here */
            word = slice_sub(l.in, l.at++, 1);
        memcpy(text + len, word.ptr != NULL ? word.ptr : "", word.len);
        len += word.len;
    }
    return slice_make(text, len);
}

/* Moves over words and comments; the raw text they stand in. */
static struct slice take_words(struct lex *l, struct slice *comment)
{
    size_t start = l->at;

    for (;;) {
        lex_skip(l, comment);
        if (lex_peek(l) == '"')
            (void)lex_quoted(l);
        else if (lex_atom(l).len == 0)
            return slice_sub(l->in, start, l->at - start);
    }
}

/* domain = dot-atom / domain-literal / obs-domain, comments between its atoms dropped. */
static struct slice take_domain(struct lex *l, struct arena *a, struct slice *comment)
{
    lex_skip(l, comment);
    if (lex_peek(l) == '[')
        return lex_unescape(a, lex_literal(l));

    size_t start = l->at;
    struct slice atom = lex_atom(l);
    size_t end = l->at;

    while (atom.len > 0) {
        lex_skip(l, comment);
        bool joined = slice_ends(atom, SLICE(".")) || lex_peek(l) == '.';
        if (!joined)
            break;
        atom = lex_atom(l);
        end = l->at;
    }
    return join_words(a, slice_sub(l->in, start, end - start), false);
}

/* After a local part, at '@' or not: the domain.  Of several "@" the last one counts. */
static void take_at_domain(struct lex *l, struct arena *a, struct slice local, struct address *entry,
                           struct slice *comment)
{
    size_t start = (size_t)(local.ptr - l->in.ptr), end = start + local.len;

    while (lex_peek(l) == '@') {
        end = l->at++;
        entry->host = take_domain(l, a, comment);
    }
    entry->mailbox = join_words(a, slice_sub(l->in, start, end - start), false);
}

/* obs-route = *( "," / "@" domain ) ":"; the cursor stays where it is if there is none. */
static struct slice take_route(struct lex *l, struct arena *a)
{
    struct lex ahead = *l;

    if (lex_peek(&ahead) != '@')
        return slice_make(NULL, 0);
    do {
        lex_skip(&ahead, NULL);
        (void)lex_until(&ahead, "()<>:;\"");
    } while (lex_is_blank(lex_peek(&ahead)) && !lex_at_end(&ahead));
    if (lex_peek(&ahead) != ':')
        return slice_make(NULL, 0);

    struct slice route = slice_sub(l->in, l->at, ahead.at - l->at);
    *l = ahead;
    l->at++;
    return join_words(a, route, false);
}

/* angle-addr, at '<'. */
static void take_angle(struct lex *l, struct list *list, struct address *entry, struct slice *comment)
{
    while (lex_accept(l, '<'))
        lex_skip(l, NULL);
    entry->route = take_route(l, list->arena);

    struct slice local = take_words(l, NULL);
    take_at_domain(l, list->arena, local, entry, NULL);
    while (!lex_at_end(l) && lex_peek(l) != '>' && lex_peek(l) != ',') {
        if (take_words(l, NULL).len == 0)
            l->at++;
    }
    while (lex_accept(l, '>'))
        lex_skip(l, comment);
}

/* Anything up to the next "," or ";" that belongs to no address. */
static void skip_rest(struct lex *l, struct slice *comment)
{
    while (!lex_at_end(l)) {
        char c = lex_peek(l);

        if (c == ',' || c == ';')
            return;
        if (take_words(l, comment).len == 0)
            l->at++;
    }
}

static void start_group(struct list *list, struct slice phrase)
{
    /* max - 1: a group needs two places. */
    if (list->in_group || list->count + 1 >= list->max)
        return;
    list_add(list,
             (struct address){.mailbox = join_words(list->arena, phrase, true), .is_group_start = true});
    list->in_group = true;
}

static void end_group(struct list *list)
{
    if (list->in_group)
        list_add(list, (struct address){.is_group_end = true});
    list->in_group = false;
}

static bool is_one_atom(struct slice phrase)
{
    struct lex l = {.in = phrase};

    lex_skip(&l, NULL);
    (void)lex_atom(&l);
    lex_skip(&l, NULL);
    return lex_at_end(&l);
}

/* address = mailbox / group: one of them, or the start of a group, from its first word on. */
static void take_entry(struct lex *l, struct list *list)
{
    struct address entry = {0};
    struct slice comment = {0};
    size_t start = l->at;
    struct slice phrase = take_words(l, &comment);

    if (lex_accept(l, ':')) {
        start_group(list, phrase);
        return;
    }
    if (lex_peek(l) == '@') {
        take_at_domain(l, list->arena, phrase, &entry, &comment);
        lex_skip(l, &comment);
        phrase = slice_sub(l->in, start, lex_peek(l) == '<' ? l->at - start : 0);
    } else if (lex_peek(l) != '<' && is_one_atom(phrase)) {
        entry.mailbox = join_words(list->arena, phrase, false); /* "root": old local mail */
        phrase.len = 0;
    }
    entry.name = join_words(list->arena, phrase, true);
    if (lex_peek(l) == '<')
        take_angle(l, list, &entry, &comment);
    skip_rest(l, &comment);
    if (entry.mailbox.len == 0 && entry.host.len == 0 && entry.name.len == 0)
        return;
    if (entry.name.len == 0)
        entry.name = slice_trim(lex_unescape(list->arena, comment));
    list_add(list, entry);
}

size_t address_list_parse(struct arena *a, struct slice body, size_t max, struct address **out)
{
    struct list list = {.arena = a, .max = max};
    struct lex l = {.in = body};

    while (!list_is_full(&list)) {
        lex_skip(&l, NULL);
        if (lex_at_end(&l))
            break;
        if (lex_accept(&l, ';'))
            end_group(&list);
        else if (!lex_accept(&l, ','))
            take_entry(&l, &list);
    }
    end_group(&list);
    *out = list.items;
    return list.count;
}
