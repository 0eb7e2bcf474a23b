/*
 * smtp/client_lines.c - a message's bytes as they go over the wire.
 *
 * Layer: smtp.  Runs of good lines are copied in one piece.
 */
#include "smtp/client_lines.h"

void line_writer_init(struct line_writer *w, bool dots)
{
    *w = (struct line_writer){.dots = dots};
}

static void end_line(struct line_writer *w, struct buf *out)
{
    buf_add(out, SLICE("\r\n"));
    w->in_line = false;
}

/* Behind a CR that was held back, or that stands at `at`: CRLF goes out; gives how many bytes of `in` it took. */
static size_t take_line_end(struct line_writer *w, struct slice in, size_t at, struct buf *out)
{
    end_line(w, out);
    return at < in.len && in.ptr[at] == '\n' ? 1 : 0;
}

void line_writer_feed(struct line_writer *w, struct slice in, struct buf *out)
{
    size_t at = 0, run = 0; /* [run, at) is good and not copied yet */

    if (in.len == 0)
        return;
    if (w->cr) {
        w->cr = false;
        run = at = take_line_end(w, in, 0, out);
    }
    while (at < in.len) {
        if (!w->in_line && w->dots && in.ptr[at] == '.') {
            buf_add(out, slice_sub(in, run, at - run));
            buf_add_char(out, '.');
            run = at;
        }
        const char *line = in.ptr + at;
        const char *lf = memchr(line, '\n', in.len - at);
        size_t len = lf != NULL ? (size_t)(lf - line) : in.len - at;
        const char *cr = memchr(line, '\r', len);

        if (lf != NULL && cr != NULL && cr == lf - 1) { /* a good line */
            at += len + 1;
            w->in_line = false;
            continue;
        }
        if (cr != NULL)
            len = (size_t)(cr - line);
        w->in_line |= len > 0;
        at += len;
        if (at == in.len)
            break;
        buf_add(out, slice_sub(in, run, at - run));
        if (at + 1 == in.len && in.ptr[at] == '\r') {
            w->cr = true;
            run = ++at;
            break;
        }
        if (in.ptr[at] == '\r')
            at += 1 + take_line_end(w, in, at + 1, out);
        else
            at += take_line_end(w, in, at, out);
        run = at;
    }
    buf_add(out, slice_sub(in, run, at - run));
}

void line_writer_finish(struct line_writer *w, struct buf *out)
{
    if (w->cr || w->in_line)
        end_line(w, out);
    w->cr = false;
    if (w->dots)
        buf_add(out, SLICE(".\r\n"));
}
