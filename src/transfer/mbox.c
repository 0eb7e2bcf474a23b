/*
 * transfer/mbox.c - one mbox file, message by message.
 *
 * Layer: transfer.
 */
#include "transfer/mbox.h"

#include <stdlib.h>

#include "transfer/from_line.h"

enum {
    WINDOW = 256 * 1024,
    AHEAD = 64 * 1024, /* so much of the file is in sight where a line begins; longer lines come in pieces */
    GATHER = 32 * 1024,
    ARENA_MAX = 4 << 20,
    LOOK_MAX = 32 << 20
};

/* What the guess rests on. */
struct look {
    uint64_t messages, with_length, fitting;
    bool     quoted, deeper, bare; /* ">From ", ">>From ", "From " within a text whose end is known */
};

struct mbox {
    struct mbox_input in;
    enum mbox_dialect dialect;
    struct mbox_base  base;
    struct look       look;
    struct arena      arena;
    struct buf        header, told; /* as it stands; what goes to the sink next */
    uint64_t          start;        /* of the window, in the file */
    size_t            at, len;      /* in the window */
    bool              eof;          /* nothing comes behind the window */
    bool              in_line;      /* the piece before did not end its line */
    char              window[WINDOW];
};

/* A line with its end, or a piece of one. */
struct line {
    struct slice text;
    bool         begins, ends;
};

static const char *const dialect_names[] = {[MBOX_GUESS] = "guess", [MBOX_O] = "mboxo", [MBOX_RD] = "mboxrd", [MBOX_CL] = "mboxcl",
                                            [MBOX_CL2] = "mboxcl2"};

const char *mbox_dialect_name(enum mbox_dialect d)
{
    return dialect_names[d];
}

bool mbox_dialect_of(struct slice name, enum mbox_dialect *out)
{
    for (size_t i = MBOX_O; i < ARRAY_LEN(dialect_names); i++)
        if (slice_eq_nocase(name, slice_of(dialect_names[i]))) {
            *out = (enum mbox_dialect)i;
            return true;
        }
    return false;
}

/* ---- the window ---- */

void mbox_seek(struct mbox *m, uint64_t offset)
{
    m->start = offset;
    m->at = m->len = 0;
    m->eof = m->in_line = false;
}

static bool fill(struct mbox *m, struct fail *why)
{
    if (m->eof || m->len - m->at >= AHEAD)
        return true;
    memmove(m->window, m->window + m->at, m->len - m->at);
    m->start += m->at;
    m->len -= m->at;
    m->at = 0;
    while (m->len < WINDOW && !m->eof) {
        size_t got = 0;
        if (!m->in.read_at(m->in.ctx, m->start + m->len, m->window + m->len, WINDOW - m->len, &got, why))
            return false;
        m->len += got;
        m->eof = got == 0;
    }
    return true;
}

static uint64_t position(const struct mbox *m)
{
    return m->start + m->at;
}

/* The line at the window's place, which stays there; empty at the end of the file. */
static bool peek(struct mbox *m, struct line *out, struct fail *why)
{
    if (!fill(m, why))
        return false;
    struct slice left = slice_make(m->window + m->at, m->len - m->at);
    size_t       lf = slice_find_char(slice_sub(left, 0, AHEAD), '\n');

    out->begins = !m->in_line;
    out->ends = lf < left.len && lf < AHEAD;
    out->text = slice_sub(left, 0, out->ends ? lf + 1 : AHEAD);
    if (!out->ends && out->text.len > 1 && out->text.len < left.len && out->text.ptr[out->text.len - 1] == '\r')
        out->text.len--; /* the LF may be next */
    return true;
}

static void take(struct mbox *m, struct slice text)
{
    m->at += text.len;
    m->in_line = text.len > 0 && text.ptr[text.len - 1] != '\n';
}

static bool is_empty_line(struct slice text)
{
    return slice_eq(text, SLICE("\n")) || slice_eq(text, SLICE("\r\n"));
}

/* ---- where messages begin ---- */

static bool is_field(struct slice text)
{
    size_t n = 0;

    if (slice_starts(text, SLICE(">From ")))
        return true;
    while (n < text.len && n < 80 && text.ptr[n] > ' ' && text.ptr[n] <= '~' && text.ptr[n] != ':')
        n++;
    return n > 0 && n < text.len && text.ptr[n] == ':';
}

/* Fields that stand first in mail that was received or kept, for From_ lines that nobody can read. */
static bool is_usual_field(struct slice text)
{
    static const char *const names[] = {"Return-Path:", "Received:", "Delivered-To:", "X-IMAP", "X-Mozilla-Status:", "X-GM-THRID:",
                                        "X-Gmail-Labels:", "X-UID", "Status:", "X-Status:", "Message-ID:", "X-Account-Key:"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_starts_nocase(text, slice_of(names[i])))
            return true;
    return false;
}

static bool begins_message(const struct mbox *m, const struct line *line, bool behind_empty)
{
    struct slice     next = slice_from(slice_make(m->window, m->len), m->at + line->text.len);
    struct from_line parts;

    if (!line->begins || !slice_starts(line->text, SLICE("From ")))
        return false;
    if (from_line_read(line->text, &parts))
        return behind_empty || is_field(next);
    return behind_empty && is_usual_field(next);
}

/* Is `text` "From " with `least` or more ">" in front? */
static bool is_quoted(struct slice text, size_t least)
{
    size_t depth = 0;

    while (depth < text.len && text.ptr[depth] == '>')
        depth++;
    return depth >= least && slice_starts(slice_from(text, depth), SLICE("From "));
}

static void look_at(struct look *l, struct slice text, bool known_end)
{
    if (text.len == 0 || (text.ptr[0] != '>' && text.ptr[0] != 'F'))
        return;
    l->bare = l->bare || (known_end && slice_starts(text, SLICE("From ")));
    l->quoted = l->quoted || slice_starts(text, SLICE(">From "));
    l->deeper = l->deeper || is_quoted(text, 2);
}

/* ---- giving out ---- */

struct telling {
    struct mbox             *m;
    const struct mbox_sink  *sink;
    struct mbox_message     *message;
};

static bool flush(struct telling *t, struct fail *why)
{
    struct fail refusal;

    if (t->sink != NULL && !t->message->refused && t->m->told.len > 0 &&
        !t->sink->add(t->sink->ctx, buf_slice(&t->m->told), &refusal)) {
        if (refusal.kind != FAIL_PERM) {
            *why = refusal;
            return false;
        }
        t->message->refused = true;
        t->message->refusal = refusal;
    }
    buf_reset(&t->m->told);
    return true;
}

/* A line of the text, its quoting taken off, with CRLF. */
static bool tell_line(struct telling *t, struct slice text, bool begins, struct fail *why)
{
    enum mbox_dialect d = t->m->dialect;

    if (begins && (d == MBOX_O ? slice_starts(text, SLICE(">From ")) : d != MBOX_CL2 && is_quoted(text, 1)))
        text = slice_from(text, 1);
    bool lf = slice_ends(text, SLICE("\n"));
    buf_add(&t->m->told, lf ? slice_sub(text, 0, text.len - 1) : text);
    if (lf)
        buf_add(&t->m->told, slice_ends(text, SLICE("\r\n")) ? SLICE("\n") : SLICE("\r\n"));
    return t->m->told.len < GATHER || flush(t, why);
}

/* ---- a message ---- */

/* Up to the empty line, which is taken. *ended: there was one. */
static bool read_header(struct mbox *m, bool *ended, struct fail *why)
{
    struct line line;

    buf_reset(&m->header);
    for (*ended = false;;) {
        if (!peek(m, &line, why))
            return false;
        if (line.text.len == 0 || begins_message(m, &line, false))
            return true;
        if (line.begins && is_empty_line(line.text)) {
            take(m, line.text);
            *ended = true;
            return true;
        }
        if (line.text.len > MBOX_HEADER_MAX - m->header.len) /* no header any more: the rest counts as text */
            return true;
        buf_add(&m->header, line.text);
        take(m, line.text);
    }
}

/* Up to `n` bytes of the file, fewer only at its end. */
static bool look_up(struct mbox *m, uint64_t offset, char *out, size_t n, size_t *got, struct fail *why)
{
    size_t more = 1;

    for (*got = 0; *got < n && more > 0; *got += more)
        if (!m->in.read_at(m->in.ctx, offset + *got, out + *got, n - *got, &more, why))
            return false;
    return true;
}

/* Stands the file's end or a From_ line behind so many bytes? */
static bool fits(struct mbox *m, uint64_t length, bool *beyond, struct fail *why)
{
    char     behind[16];
    uint64_t end = position(m) + length;
    size_t   got = 0, at = 0;

    if (length > INT64_MAX - position(m) || !look_up(m, end - 1, behind, 1, &got, why))
        return false;
    *beyond = got == 0;
    if (*beyond || !look_up(m, end, behind, sizeof behind, &got, why))
        return false;
    while (at < got && at < 4 && (behind[at] == '\r' || behind[at] == '\n'))
        at++;
    return at == got || slice_starts(slice_make(behind + at, got - at), SLICE("From "));
}

static bool text_by_length(struct telling *t, uint64_t left, struct fail *why)
{
    struct line line;

    while (left > 0) {
        if (!peek(t->m, &line, why))
            return false;
        struct slice text = slice_sub(line.text, 0, left < line.text.len ? (size_t)left : line.text.len);
        if (text.len == 0)
            break;
        if (line.begins)
            look_at(&t->m->look, text, true);
        if (!tell_line(t, text, line.begins, why))
            return false;
        take(t->m, text);
        left -= text.len;
    }
    do {
        if (!peek(t->m, &line, why))
            return false;
        if (is_empty_line(line.text))
            take(t->m, line.text);
    } while (is_empty_line(line.text));
    t->m->in_line = false;
    return true;
}

/* Up to the next From_ line; the empty line before that belongs to neither. */
static bool text_by_lines(struct telling *t, struct fail *why)
{
    bool        behind_empty = true, held = false;
    struct line line;

    for (;;) {
        if (!peek(t->m, &line, why))
            return false;
        if (line.text.len == 0 || begins_message(t->m, &line, behind_empty))
            return true;
        if (held && !tell_line(t, SLICE("\n"), false, why))
            return false;
        held = behind_empty = line.begins && is_empty_line(line.text);
        if (line.begins)
            look_at(&t->m->look, line.text, false);
        if (!held && !tell_line(t, line.text, line.begins, why))
            return false;
        take(t->m, line.text);
    }
}

/* The From_ line, taken. */
static void read_from(struct mbox *m, struct slice line, struct mbox_message *out)
{
    struct from_line parts;

    if (from_line_read(line, &parts)) {
        out->sender = arena_keep(&m->arena, parts.sender);
        out->has_date = true;
        out->date = parts.date;
        out->zone = parts.zone;
    }
    take(m, line);
}

static bool read_message(struct mbox *m, const struct mbox_sink *sink, struct mbox_message *out, struct fail *why)
{
    struct telling     t = {.m = m, .sink = sink, .message = out};
    struct mbox_fields fields = {.content_length_counts = m->dialect != MBOX_O && m->dialect != MBOX_RD};
    bool               ended, beyond = false;

    if (!read_header(m, &ended, why))
        return false;
    buf_reset(&m->told);
    mbox_header_read(&m->arena, buf_slice(&m->header), &m->told, &fields, out);
    if (m->look.messages == 0) { /* the first, looked at when the file is opened */
        m->base = fields.base;
        m->base.has_labels = out->has_labels;
    }
    if (ended)
        buf_add(&m->told, SLICE("\r\n"));
    m->look.messages++;
    m->look.with_length += fields.has_length;
    struct fail unread = {.text = ""};
    bool        counted = ended && fields.content_length_counts && fields.has_length && fits(m, fields.length, &beyond, &unread);
    m->look.fitting += counted;
    if (!(counted ? text_by_length(&t, fields.length, why) : text_by_lines(&t, why)) || !flush(&t, why))
        return false;
    out->cut_short = beyond && m->eof && m->at == m->len;
    return true;
}

enum mbox_step mbox_next(struct mbox *m, const struct mbox_sink *sink, struct mbox_message *out, struct fail *why)
{
    struct line line;

    *out = (struct mbox_message){0};
    arena_reset(&m->arena);
    for (;;) {
        if (!peek(m, &line, why))
            return MBOX_FAILED;
        if (line.text.len == 0)
            return MBOX_END;
        if (!is_empty_line(line.text))
            break;
        take(m, line.text);
    }
    out->offset = position(m);
    read_from(m, line.text, out);
    if (!read_message(m, sink, out, why))
        return MBOX_FAILED;
    out->end = position(m);
    return MBOX_MESSAGE;
}

/* ---- opening ---- */

static enum mbox_dialect guess(const struct look *l)
{
    if (l->fitting > 0 && l->fitting * 2 >= l->messages)
        return l->quoted && !l->bare ? MBOX_CL : MBOX_CL2;
    return l->deeper ? MBOX_RD : MBOX_O;
}

static bool look(struct mbox *m, enum mbox_dialect wanted, struct fail *why)
{
    struct mbox_message first;
    struct line         line;
    enum mbox_step      step;

    if (!peek(m, &line, why))
        return false;
    while (is_empty_line(line.text)) {
        take(m, line.text);
        if (!peek(m, &line, why))
            return false;
    }
    if (line.text.len > 0 && !slice_starts(line.text, SLICE("From ")))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "no mbox: it does not begin with \"From \"");
    mbox_seek(m, 0);
    do
        step = mbox_next(m, NULL, &first, why);
    while (step == MBOX_MESSAGE && wanted == MBOX_GUESS && first.end < LOOK_MAX);
    m->dialect = wanted != MBOX_GUESS ? wanted : guess(&m->look);
    mbox_seek(m, 0);
    return step != MBOX_FAILED;
}

bool mbox_open(const struct mbox_input *in, enum mbox_dialect dialect, struct mbox **out, struct fail *why)
{
    struct mbox *m = xcalloc(1, sizeof *m);

    m->in = *in;
    m->dialect = dialect;
    arena_init(&m->arena, ARENA_MAX);
    buf_init(&m->header, MBOX_HEADER_MAX);
    buf_init(&m->told, 2 * MBOX_HEADER_MAX + GATHER + 2 * AHEAD);
    if (!look(m, dialect, why))
        mbox_close(&m);
    *out = m;
    return m != NULL;
}

void mbox_close(struct mbox **m)
{
    if (*m == NULL)
        return;
    arena_finish(&(*m)->arena);
    buf_finish(&(*m)->header);
    buf_finish(&(*m)->told);
    free(*m);
    *m = NULL;
}

enum mbox_dialect mbox_found(const struct mbox *m)
{
    return m->dialect;
}

const struct mbox_base *mbox_base_of(const struct mbox *m)
{
    return &m->base;
}
