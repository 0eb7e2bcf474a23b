/*
 * smtp/header.c - what a message's header says against it.
 *
 * Layer: smtp.
 */
#include "base/address.h"
#include "message/address.h"
#include "message/header.h"
#include "smtp/session.h"

enum { FROM_MAX = 100, HEADER_ARENA = 4 << 20 };

/* ---- submission: who says he wrote it? ---- */

static bool may_send_as(const struct smtp_session *s, const struct address *from, struct arena *a, bool *may,
                        struct fail *why)
{
    struct slice address = arena_printf(a, PRIslice "@" PRIslice, SLICE_ARG(from->mailbox), SLICE_ARG(from->host));

    return directory_may_send_as(s->service->directory, s->account, address, may, why);
}

/* Each address of a From or Sender field must be the sender's. */
static bool field_is_own(const struct smtp_session *s, const struct header_field *field, struct arena *a,
                         struct fail *why)
{
    struct address *list;
    size_t count = address_list_parse(a, field->body, FROM_MAX, &list);

    if (count >= FROM_MAX)
        return fail_code(why, FAIL_PERM, FAIL_LIMIT, "5.7.1", "the " PRIslice " field names too many", SLICE_ARG(field->name));
    for (size_t i = 0; i < count; i++) {
        bool may = false;
        if (list[i].is_group_start || list[i].is_group_end || list[i].mailbox.len == 0)
            continue;
        if (!may_send_as(s, &list[i], a, &may, why))
            return false;
        if (!may)
            return fail_code(why, FAIL_PERM, FAIL_NO_PERMISSION, "5.7.1",
                             "the " PRIslice " field names " PRIslice "@" PRIslice
                             ", which is no address of yours to send as",
                             SLICE_ARG(field->name), SLICE_ARG(list[i].mailbox), SLICE_ARG(list[i].host));
    }
    return true;
}

bool smtp_header_is_own(const struct smtp_session *s, struct slice header, struct fail *why)
{
    struct header_field field;
    struct arena a;
    bool ok = true;

    if (s->account == 0 || !s->service->limits.check_from)
        return true;
    arena_init(&a, HEADER_ARENA);
    for (size_t at = 0; ok && header_next(header, &at, &field);) {
        if (slice_eq_nocase(field.name, SLICE("From")) || slice_eq_nocase(field.name, SLICE("Sender")))
            ok = field_is_own(s, &field, &a, why);
        arena_reset(&a);
    }
    arena_finish(&a);
    return ok;
}

/* ---- forwards: was it here before? ---- */

static bool leads_elsewhere(const struct delivery_recipient *r)
{
    for (size_t i = 0; r->route.kind == ROUTE_LOCAL && i < r->route.count; i++)
        if (!r->route.targets[i].local)
            return true;
    return false;
}

static bool is_same_address(struct slice one, struct slice other)
{
    struct address_key a, b;

    return address_key_parse(one, &a) && address_key_parse(other, &b) && slice_eq(key_text(&a), key_text(&b));
}

/* The header with what we put on top of it, as far as it is in the body. */
static bool read_header(const struct smtp_transaction *tx, size_t most, struct buf *out, struct fail *why)
{
    const uint64_t size = body_size(tx->body);
    size_t n = size < most ? (size_t)size : most, got = 0;
    char *room = buf_room(out, n);

    if (room == NULL || !body_read(tx->body, 0, room, n, &got, why))
        return false;
    buf_grew(out, got);
    return true;
}

bool smtp_header_loops(const struct smtp_session *s, struct fail *why)
{
    const struct smtp_transaction *tx = s->tx;
    const size_t most = (size_t)tx->scanner.header_bytes + SMTP_ADDED_MAX;
    struct header_field field;
    struct buf header;
    bool loops = false, forwards = false;

    for (size_t i = 0; i < tx->recipient_count && !forwards; i++)
        forwards = leads_elsewhere(&tx->recipients[i]);
    if (!forwards)
        return false;
    buf_init(&header, most);
    if (!read_header(tx, most, &header, why))
        loops = true; /* `why` says what it is instead */
    for (size_t at = 0; !loops && header_next(buf_slice(&header), &at, &field);) {
        if (!slice_eq_nocase(field.name, SLICE("Delivered-To")))
            continue;
        for (size_t i = 0; i < tx->recipient_count && !loops; i++)
            if (leads_elsewhere(&tx->recipients[i]) &&
                is_same_address(slice_trim(field.body), tx->recipients[i].address)) {
                loops = true;
                (void)fail_code(why, FAIL_PERM, FAIL_LIMIT, "5.4.6",
                                "mail loop: it was forwarded from " PRIslice " before",
                                SLICE_ARG(tx->recipients[i].address));
            }
    }
    buf_finish(&header);
    return loops;
}
