/*
 * smtp/client_reply.c - a reply, as another server writes it.
 *
 * Layer: smtp.
 */
#include "smtp/client_reply.h"

enum { EHLO_ROOM = 16 * 1024 };

void reply_reader_init(struct reply_reader *r, size_t bytes, unsigned lines)
{
    *r = (struct reply_reader){.lines_max = lines, .keep = bytes};
    buf_init(&r->text, bytes > EHLO_ROOM ? bytes : EHLO_ROOM);
}

static void line_starts(struct reply_reader *r)
{
    r->head_len = 0;
    r->in_text = r->last = r->cr = false;
    r->line_begin = r->text.len;
}

void reply_reader_start(struct reply_reader *r)
{
    buf_reset(&r->text);
    r->code = r->lines = 0;
    r->done = r->too_long = false;
    r->status = (struct slice){NULL, 0};
    line_starts(r);
}

void reply_reader_finish(struct reply_reader *r)
{
    buf_finish(&r->text);
}

/*
 * status-code = class "." subject "." detail
 * class = "2" / "4" / "5"; subject, detail = 1*3digit                         RFC 3463 section 2
 */
struct slice reply_status(struct slice text, unsigned code)
{
    size_t at = 2;

    if (text.len < 5 || text.ptr[1] != '.' || (unsigned)(text.ptr[0] - '0') != code / 100)
        return slice_make(text.ptr, 0);
    for (unsigned part = 0; part < 2; part++) {
        size_t begin = at;

        while (at < text.len && at - begin < 3 && ascii_is_digit(text.ptr[at]))
            at++;
        if (at == begin)
            return slice_make(text.ptr, 0);
        if (part == 0 && (at >= text.len || text.ptr[at++] != '.'))
            return slice_make(text.ptr, 0);
    }
    if (at < text.len && text.ptr[at] != ' ' && text.ptr[at] != '\n')
        return slice_make(text.ptr, 0);
    return slice_sub(text, 0, at);
}

/* What is over the bound is dropped without making the buffer fail. */
static void add_text(struct reply_reader *r, struct slice s)
{
    size_t room = r->text.max - r->text.len;
    char *to = buf_room(&r->text, s.len < room ? s.len : room);

    if (to == NULL)
        return;
    if (s.len > room)
        s.len = room;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        to[i] = c == '\t' ? ' ' : c < 0x20 || c > 0x7e ? '?' : (char)c;
    }
    buf_grew(&r->text, s.len);
}

/* A code begins the line?  Then the reply's code is this one, whatever the lines before said. */
static bool read_head(struct reply_reader *r)
{
    if (r->head_len < 3 || r->head[0] < '2' || r->head[0] > '5' || !ascii_is_digit(r->head[1]) || !ascii_is_digit(r->head[2]))
        return false;
    r->code = (unsigned)(r->head[0] - '0') * 100 + (unsigned)(r->head[1] - '0') * 10 + (unsigned)(r->head[2] - '0');
    r->last = r->head_len < 4 || r->head[3] != '-';
    return true;
}

static void text_begins(struct reply_reader *r)
{
    bool coded = read_head(r);

    if (r->text.len > 0 && r->text.len < r->text.max)
        buf_add_char(&r->text, '\n');
    r->line_begin = r->text.len;
    r->in_text = true;
    if (!coded)
        add_text(r, slice_make(r->head, r->head_len));
    else if (r->head_len == 4 && r->head[3] != '-' && r->head[3] != ' ')
        add_text(r, slice_make(r->head + 3, 1));
}

static void line_ends(struct reply_reader *r)
{
    if (!r->in_text)
        text_begins(r);
    if (r->code != 0) {
        struct slice status = reply_status(slice_from(buf_slice(&r->text), r->line_begin), r->code);

        if (status.len > 0 && status.len <= sizeof(r->status_text)) {
            memcpy(r->status_text, status.ptr, status.len);
            r->status = slice_make(r->status_text, status.len);
        }
    }
    r->done = r->last;
    r->too_long = ++r->lines > r->lines_max;
    if (!r->done)
        line_starts(r);
}

size_t reply_reader_feed(struct reply_reader *r, struct slice in)
{
    size_t at = 0;

    while (at < in.len && !r->done && !r->too_long) {
        char c = in.ptr[at];

        if (c == '\n') {
            at++;
            line_ends(r);
        } else if (c == '\r') { /* shows only if no LF follows */
            at++;
            if (r->cr && r->in_text)
                add_text(r, SLICE("?"));
            r->cr = true;
        } else if (!r->in_text) {
            at++;
            r->cr = false;
            r->head[r->head_len++] = c;
            if (r->head_len == sizeof(r->head))
                text_begins(r);
        } else {
            size_t end = at;

            if (r->cr)
                add_text(r, SLICE("?"));
            r->cr = false;
            while (end < in.len && in.ptr[end] != '\n' && in.ptr[end] != '\r')
                end++;
            add_text(r, slice_sub(in, at, end - at));
            at = end;
        }
    }
    return at;
}

struct smtp_reply_text reply_reader_take(const struct reply_reader *r, struct arena *a)
{
    struct smtp_reply_text reply = {.code = r->code};

    reply.text = arena_keep(a, slice_trim(slice_sub(buf_slice(&r->text), 0, r->keep)));
    reply.status = arena_keep(a, r->status);
    return reply;
}
