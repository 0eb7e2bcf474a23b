/*
 * imap/uidbatches.c - UIDBATCHES: the mailbox in batches of so many messages.
 *
 * Layer: imap.  RFC 10022.  Batches are counted from the newest message; each is told as the range from its
 * highest UID to its lowest.
 */
#include "imap/session.h"

enum { BATCH_MIN = 500 }; /* messages; every server must take this many */

struct batches {
    uint64_t size;
    uint64_t at, last; /* batches, from 1 */
    bool any;
};

/* uidbatches-resp = "UIDBATCHES" SP search-correlator [SP uid-range *("," uid-range)] */
static enum turn write_batches(struct imap_session *s)
{
    struct batches *b = s->step_data;
    uint64_t count = view_count(s->box.view);
    struct buf *out = conn_out(s->conn);

    for (; b->at <= b->last && (b->at - 1) * b->size < count; b->at++) {
        uint64_t end = count - (b->at - 1) * b->size, first = end > b->size ? end - b->size : 0;
        uint32_t highest = view_at(s->box.view, (uint32_t)(end - 1)).uid;
        uint32_t lowest = view_at(s->box.view, (uint32_t)first).uid;
        if (conn_is_full(s->conn))
            return TURN_MORE;
        buf_add_char(out, b->any ? ',' : ' ');
        buf_add_u64(out, highest);
        if (lowest != highest) {
            buf_add_char(out, ':');
            buf_add_u64(out, lowest);
        }
        b->any = true;
    }
    buf_add(out, SLICE("\r\n"));
    imap_ok(s, "Those are the batches");
    return TURN_PARK;
}

/* uidbatches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number] */
void imap_uidbatches(struct imap_session *s, struct imap_reader *args)
{
    struct batches *b = arena_new(&s->arena, struct batches);
    unsigned most = s->service->limits.message_limit; /* 0: none */
    uint64_t size, first = 1, last = UINT32_MAX;

    imap_expect_space(args);
    size = imap_read_number(args, 1, UINT32_MAX);
    if (imap_accept(args, ' ')) {
        first = imap_read_number(args, 1, UINT32_MAX);
        imap_expect(args, ':');
        last = imap_read_number(args, 1, UINT32_MAX);
    }
    imap_expect_end(args);
    if (args->failed) {
        imap_bad_args(s, args);
        return;
    }
    /* A batch that no command may work on at once is of no use (RFC 9738). */
    if (most != 0 && size > most) {
        imap_no(s, "[MESSAGELIMIT %u] Expected batches of at most %u messages", most, most);
        return;
    }
    if (size < BATCH_MIN && size != most) {
        imap_no(s, "[TOOFEW] A batch has at least %d messages", BATCH_MIN);
        return;
    }
    if (b == NULL || !imap_unpark(s)) {
        imap_no(s, "[UNAVAILABLE] The mailbox cannot be read now");
        return;
    }
    *b = (struct batches){
        .size = size, .at = first < last ? first : last, .last = first < last ? last : first};
    struct buf *out = conn_out(s->conn);
    buf_add(out, SLICE("* UIDBATCHES (TAG "));
    imap_write_string(out, s->tag);
    buf_add_char(out, ')');
    s->step_data = b;
    s->step = write_batches;
}
