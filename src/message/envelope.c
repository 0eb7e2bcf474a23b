/*
 * message/envelope.c - ENVELOPE of a header block (RFC 9051 section 7.5.2).
 *
 * Layer: message.
 */
#include "message/envelope.h"

#include "message/address.h"
#include "message/header.h"
#include "message/imap_text.h"

enum { FIELD_COUNT = ENVELOPE_MESSAGE_ID + 1 };

#define STRING(name)                                                                                         \
    {                                                                                                        \
        name, sizeof(name) - 1, false                                                                        \
    }
#define ADDRESSES(name)                                                                                      \
    {                                                                                                        \
        name, sizeof(name) - 1, true                                                                         \
    }

static const struct {
    const char *name;
    size_t len;
    bool is_addresses;
} fields[FIELD_COUNT] = {
    [ENVELOPE_DATE] = STRING("date"),
    [ENVELOPE_SUBJECT] = STRING("subject"),
    [ENVELOPE_FROM] = ADDRESSES("from"),
    [ENVELOPE_SENDER] = ADDRESSES("sender"),
    [ENVELOPE_REPLY_TO] = ADDRESSES("reply-to"),
    [ENVELOPE_TO] = ADDRESSES("to"),
    [ENVELOPE_CC] = ADDRESSES("cc"),
    [ENVELOPE_BCC] = ADDRESSES("bcc"),
    [ENVELOPE_IN_REPLY_TO] = STRING("in-reply-to"),
    [ENVELOPE_MESSAGE_ID] = STRING("message-id"),
};

/* FIELD_COUNT: it is none of them. */
static unsigned field_named(struct slice name)
{
    unsigned i = 0;

    while (i < FIELD_COUNT && (name.len != fields[i].len || !slice_eq_nocase(name, slice_make(fields[i].name, fields[i].len))))
        i++;
    return i;
}

bool envelope_field_named(struct slice name, enum envelope_field *out)
{
    unsigned i = field_named(name);

    *out = (enum envelope_field)i;
    return i < FIELD_COUNT && !fields[i].is_addresses;
}

/* The fields of one header that an envelope is made of, in the order they stand there. */
enum { FOUND_MAX = 64 };
struct found {
    struct {
        enum envelope_field field;
        struct slice body;
    } items[FOUND_MAX];
    size_t count;
};

static void find_fields(struct slice header_block, struct found *found)
{
    struct header_field field;

    found->count = 0;
    for (size_t at = 0; found->count < ARRAY_LEN(found->items) && header_next(header_block, &at, &field);) {
        unsigned which = field_named(field.name);
        if (which == FIELD_COUNT)
            continue;
        found->items[found->count].field = (enum envelope_field)which;
        found->items[found->count++].body = field.body;
    }
}

unsigned envelope_repeats(struct slice header_block)
{
    struct header_field field;
    unsigned seen = 0, repeated = 0, count = 0;

    for (size_t at = 0; header_next(header_block, &at, &field);) {
        unsigned which = field_named(field.name);
        if (which == FIELD_COUNT)
            continue;
        if (++count > FOUND_MAX) /* the envelope leaves some out */
            return (1u << FIELD_COUNT) - 1;
        repeated |= seen & 1u << which;
        seen |= 1u << which;
    }
    return repeated;
}

/* addr = "(" name SP adl SP mailbox SP host ")"; a group's start and end have no host. */
static void write_address(struct buf *out, const struct address *address)
{
    buf_add_char(out, '(');
    imap_text_nstring(out, address->name);
    buf_add_char(out, ' ');
    imap_text_nstring(out, address->route);
    buf_add_char(out, ' ');
    if (address->is_group_end)
        buf_add(out, SLICE("NIL"));
    else
        imap_text_string(out, address->mailbox);
    buf_add_char(out, ' ');
    if (address->is_group_start || address->is_group_end)
        buf_add(out, SLICE("NIL"));
    else
        imap_text_string(out, address->host);
    buf_add_char(out, ')');
}

/* NIL if absent, "" if present but empty; of several fields the first. */
static void write_string(struct buf *out, struct arena *arena, const struct found *found,
                         enum envelope_field field)
{
    for (size_t i = 0; i < found->count; i++) {
        if (found->items[i].field == field) {
            imap_text_string(out, header_unfold(arena, found->items[i].body));
            return;
        }
    }
    buf_add(out, SLICE("NIL"));
}

/* The addresses of all fields of that name; false, with nothing written, if there are none. */
static bool write_addresses(struct buf *out, struct arena *arena, const struct found *found,
                            enum envelope_field field, size_t max)
{
    size_t written = 0;

    for (size_t i = 0; i < found->count && written < max; i++) {
        struct address *list;

        if (found->items[i].field != field)
            continue;
        size_t count = address_list_parse(arena, found->items[i].body, max - written, &list);
        for (size_t k = 0; k < count; k++) {
            if (written++ == 0)
                buf_add_char(out, '(');
            write_address(out, &list[k]);
        }
    }
    if (written > 0)
        buf_add_char(out, ')');
    return written > 0;
}

/* A copy of what already stands in `out`. */
static void write_again(struct buf *out, size_t start, size_t len)
{
    char *room = buf_room(out, len);

    if (room == NULL)
        return;
    memcpy(room, out->data + start, len);
    buf_grew(out, len);
}

void envelope_write(struct buf *out, struct slice header_block, const struct message_limits *limits)
{
    struct arena arena;
    struct found found;
    size_t from = 0, from_len = 0;

    arena_init(&arena, SIZE_MAX / 2);
    find_fields(header_block, &found);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        enum envelope_field field = (enum envelope_field)i;
        size_t start = out->len + 1;

        buf_add_char(out, i == 0 ? '(' : ' ');
        if (!fields[i].is_addresses)
            write_string(out, &arena, &found, field);
        else if (write_addresses(out, &arena, &found, field, limits->addresses))
            from_len = field == ENVELOPE_FROM ? out->len - start : from_len;
        else if ((field == ENVELOPE_SENDER || field == ENVELOPE_REPLY_TO) && from_len > 0)
            write_again(out, from, from_len);
        else
            buf_add(out, SLICE("NIL"));
        from = field == ENVELOPE_FROM ? start : from;
    }
    buf_add_char(out, ')');
    arena_finish(&arena);
}
