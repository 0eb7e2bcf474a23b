/*
 * imap/frame.c - where does a command end?
 *
 * Layer: imap.
 */
#include "imap/frame.h"

struct announcement {
    size_t brace; /* where in the line it begins */
    uint64_t octets;
    bool synchronising, binary;
};

/*
 * literal  = "{" number ["+"] "}" CRLF *CHAR8      RFC 3501 section 9, RFC 7888 section 8
 * literal8 = "~{" number ["+"] "}" CRLF *OCTET     RFC 3516 section 7
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
    out->binary = out->brace > 0 && line.ptr[out->brace - 1] == '~';
    if (!slice_to_u64(slice_sub(line, begin, end - begin), UINT64_MAX - 1, &out->octets))
        out->octets = UINT64_MAX;
    return true;
}

/* After the word that begins at `at`, and its space; 0: there is none. */
static size_t after_word(struct slice command, size_t at)
{
    size_t space = at + slice_find_char(slice_from(command, at), ' ');

    return space < command.len && space > at ? space + 1 : 0;
}

static bool is_word(struct slice command, size_t at, size_t next, struct slice word)
{
    return next > 0 && slice_eq_nocase(slice_sub(command, at, next - 1 - at), word);
}

/*
 * Where the mailbox stands in "tag APPEND mailbox", "tag [UID] REPLACE number mailbox"; 0 if it is another
 * command.
 */
static size_t mailbox_place(struct slice command)
{
    size_t name = after_word(command, 0), next = name > 0 ? after_word(command, name) : 0;

    if (is_word(command, name, next, SLICE("APPEND")))
        return next;
    if (is_word(command, name, next, SLICE("UID"))) {
        name = next;
        next = after_word(command, name);
    }
    return is_word(command, name, next, SLICE("REPLACE")) ? after_word(command, next) : 0;
}

/*
 * cat-part = "TEXT" SP literal / "URL" SP astring          RFC 4469 section 5
 *
 * Is the literal at `brace` the astring?  The word must stand after `floor`: a mailbox may be called URL too.
 */
static bool is_url(struct slice command, size_t floor, size_t brace)
{
    return brace >= floor + 5 && slice_eq_nocase(slice_sub(command, brace - 4, 4), SLICE("URL ")) &&
           (command.ptr[brace - 5] == ' ' || command.ptr[brace - 5] == '(');
}

/* A message is every literal but one that stands in the mailbox's place or is a URL. */
static bool is_message(struct slice command, bool going_on, size_t brace)
{
    size_t mailbox = going_on ? 0 : mailbox_place(command);

    if (!going_on && (mailbox == 0 || brace <= mailbox))
        return false;
    return !is_url(command, mailbox, brace);
}

static enum frame_kind ended(struct frame *f, enum frame_kind kind)
{
    *f = (struct frame){0};
    return kind;
}

static enum frame_kind find(struct frame *f, struct slice input, size_t limit, bool going_on,
                            struct frame_found *out)
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
        out->binary = a.binary;
        if (is_message(slice_sub(input, 0, end), going_on, f->line + a.brace)) {
            out->announced = f->line + a.brace - a.binary;
            return ended(f, FRAME_MESSAGE);
        }
        if (a.octets > limit - end)
            return ended(f, a.synchronising ? FRAME_TOO_LARGE : FRAME_OVERRUN);
        f->line = f->scanned = end + (size_t)a.octets;
        if (a.synchronising)
            return FRAME_INVITE;
    }
}

enum frame_kind frame_next(struct frame *f, struct slice input, size_t limit, struct frame_found *out)
{
    return find(f, input, limit, false, out);
}

enum frame_kind frame_go_on(struct frame *f, struct slice input, size_t limit, struct frame_found *out)
{
    return find(f, input, limit, true, out);
}
