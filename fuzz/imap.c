/*
 * fuzz/imap.c - framing and the words of commands.
 *
 * The same frames come out however the bytes are split; a reader never passes the
 * end of its command, and what fails says what it expected.
 */
#include "fuzz.h"
#include "imap/acl.h"
#include "imap/fetch_args.h"
#include "imap/frame.h"
#include "imap/list_match.h"
#include "imap/metadata.h"
#include "imap/search_args.h"

enum { LIMIT = 4096 };

static const struct imap_limits limits = {.sets = 50, .nesting = 8};

/* The frame at the start of `input`, shown `step` bytes more at a time; its invitations are counted. */
static enum frame_kind frame_by(struct slice input, size_t step, bool going_on, struct frame_found *found,
                                unsigned *invited)
{
    struct frame f = {0};

    *invited = 0;
    for (size_t shown = step < input.len ? step : input.len;;) {
        struct slice seen = slice_sub(input, 0, shown);
        enum frame_kind kind = going_on ? frame_go_on(&f, seen, LIMIT, found) : frame_next(&f, seen, LIMIT, found);
        if (kind == FRAME_INVITE) {
            ++*invited;
        } else if (kind == FRAME_PARTIAL && shown < input.len) {
            shown = shown + step < input.len ? shown + step : input.len;
        } else {
            return kind;
        }
    }
}

static void read_arguments(struct slice text)
{
    static const struct search_scope scope = {.messages = 100, .last_uid = 200};
    struct arena a;
    struct imap_reader r;
    int zone;

    arena_init(&a, 16 << 20);
    imap_reader_init(&r, text, &a, &limits);
    (void)imap_read_tag(&r);
    imap_expect_space(&r);
    struct slice name = imap_read_atom(&r);
    if (slice_eq_nocase(name, SLICE("FETCH"))) {
        (void)fetch_args_read(&r);
    } else if (slice_eq_nocase(name, SLICE("SEARCH"))) {
        (void)search_args_read(&r, &scope);
    } else if (slice_eq_nocase(name, SLICE("STORE"))) {
        (void)imap_read_store_flags(&r);
    } else if (slice_eq_nocase(name, SLICE("LIST"))) {
        imap_expect_space(&r);
        struct slice pattern = imap_read_list_mailbox(&r);
        struct list_pattern p = list_pattern_make(&a, SLICE(""), pattern);
        (void)list_pattern_matches(&p, SLICE("a/b/c"), true);
    } else if (slice_eq_nocase(name, SLICE("GETMETADATA"))) {
        imap_expect_space(&r);
        struct imap_entries e = imap_read_entries(&r);
        for (size_t i = 0; i < e.count; i++)
            FUZZ_CHECK(slice_starts(e.names[i], SLICE("/")) && !slice_ends(e.names[i], SLICE("/")));
    } else if (slice_eq_nocase(name, SLICE("SETMETADATA"))) {
        size_t count;
        imap_expect_space(&r);
        const struct annotation *list = imap_read_entry_values(&r, &count);
        for (size_t i = 0; list != NULL && !r.failed && i < count; i++)
            FUZZ_CHECK(list[i].name.len > 1 && (list[i].gone ? list[i].value.len == 0 : true));
    } else if (slice_eq_nocase(name, SLICE("SETACL"))) {
        struct buf again;
        unsigned rights, same;
        imap_expect_space(&r);
        buf_init(&again, 16);
        if (imap_parse_rights(imap_read_astring(&r), &rights)) {
            imap_write_rights(&again, rights);
            FUZZ_CHECK(imap_parse_rights(buf_slice(&again), &same) && (same & rights) == rights);
        }
        buf_finish(&again);
    } else {
        imap_expect_space(&r);
        (void)imap_read_mailbox(&r);
        imap_expect_space(&r);
        (void)imap_read_flag_list(&r);
        imap_expect_space(&r);
        (void)imap_read_date_time(&r, &zone);
    }
    imap_expect_end(&r);
    FUZZ_CHECK(r.at <= text.len);
    FUZZ_CHECK(r.failed == (r.expected != NULL));
    arena_finish(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    size_t step = 1 + fuzz_take(&in) % 16;
    bool going_on = false; /* behind a message */

    while (in.len > 0) {
        struct frame_found one = {0}, two = {0};
        unsigned invited_one, invited_two;
        enum frame_kind kind = frame_by(in, in.len, going_on, &one, &invited_one);
        enum frame_kind again = frame_by(in, step, going_on, &two, &invited_two);
        FUZZ_CHECK(kind == again && invited_one == invited_two);
        if (kind == FRAME_PARTIAL || kind == FRAME_OVERRUN)
            break;
        FUZZ_CHECK(one.length == two.length && one.octets == two.octets);
        FUZZ_CHECK(one.announced == two.announced && one.announced < one.length && one.binary == two.binary);
        going_on = kind == FRAME_MESSAGE;
        FUZZ_CHECK(one.length > 0 && one.length <= in.len && one.length <= LIMIT);
        read_arguments(slice_trim(slice_sub(in, 0, one.length)));
        in = slice_from(in, one.length);
    }
    return 0;
}
