/*
 * imap/frame.c - where does a command end?
 *
 * Layer: imap.
 */
#include "imap/frame.h"

struct announcement {
    size_t brace; /* where in the line it begins */
    uint64_t octets;
    bool synchronising;
};

/*
 * literal = "{" number ["+"] "}" CRLF *CHAR8      RFC 3501 section 9, RFC 7888 section 8
 *
 * `line` ends in LF.  A number too large to count is still an announcement.
 */
static bool read_announcement(struct slice line, struct announcement *out)
{
    size_t at = line.len - 1;

    if (at > 0 && line.ptr[at - 1] == '\r')
        at--;
    if (at == 0 || line.ptr[at - 1] != '}')
        return false;
    size_t end = at - 1;
    out->synchronising = end == 0 || line.ptr[end - 1] != '+';
    if (!out->synchronising)
        end--;
    size_t begin = end;
    while (begin > 0 && ascii_is_digit(line.ptr[begin - 1]))
        begin--;
    if (begin == end || begin == 0 || line.ptr[begin - 1] != '{')
        return false;
    out->brace = begin - 1;
    if (!slice_to_u64(slice_sub(line, begin, end - begin), UINT64_MAX - 1, &out->octets))
        out->octets = UINT64_MAX;
    return true;
}

/* Length of "tag APPEND " at the start of a command, 0 if it is another. */
static size_t append_prefix(struct slice command)
{
    size_t space = slice_find_char(command, ' ');

    if (!slice_starts_nocase(slice_from(command, space), SLICE(" APPEND ")))
        return 0;
    return space + SLICE(" APPEND ").len;
}

/* APPEND's message is every literal but one that stands in the mailbox's place. */
static bool is_message(struct slice command, size_t brace)
{
    size_t mailbox = append_prefix(command);

    return mailbox != 0 && brace != mailbox;
}

static enum frame_kind ended(struct frame *f, enum frame_kind kind)
{
    *f = (struct frame){0};
    return kind;
}

enum frame_kind frame_next(struct frame *f, struct slice input, size_t limit, struct frame_found *out)
{
    for (;;) {
        struct slice rest = slice_from(input, f->scanned);
        size_t at = slice_find_char(rest, '\n');

        if (at == rest.len) {
            if (input.len > limit)
                return ended(f, FRAME_OVERRUN);
            if (f->scanned < input.len)
                f->scanned = input.len;
            return FRAME_PARTIAL;
        }
        size_t end = f->scanned + at + 1;
        if (end > limit)
            return ended(f, FRAME_OVERRUN);

        struct announcement a;
        *out = (struct frame_found){.length = end};
        if (!read_announcement(slice_sub(input, f->line, end - f->line), &a))
            return ended(f, FRAME_COMMAND);
        out->octets = a.octets;
        out->synchronising = a.synchronising;
        if (is_message(slice_sub(input, 0, end), f->line + a.brace))
            return ended(f, FRAME_MESSAGE);
        if (a.octets > limit - end)
            return ended(f, a.synchronising ? FRAME_TOO_LARGE : FRAME_OVERRUN);
        f->line = f->scanned = end + (size_t)a.octets;
        if (a.synchronising)
            return FRAME_INVITE;
    }
}
