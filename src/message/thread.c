/*
 * message/thread.c - what threads are made of: message ids and base subjects.
 *
 * Layer: message.
 */
#include "message/header.h"
#include "message/lex.h"

/*
 * msg-id = [CFWS] "<" id-left "@" id-right ">" [CFWS]  (RFC 5322 section 3.6.4).
 * The next one, with its brackets, as written; empty at the end.  Phrases that
 * old programs put between them (section 4.5.4) are passed over.
 */
static struct slice next_id(struct lex *l)
{
    for (;;) {
        lex_skip(l, NULL);
        if (lex_at_end(l))
            return slice_make(NULL, 0);

        size_t start = l->at;
        if (lex_peek(l) == '"') {
            (void)lex_quoted(l);
        } else if (lex_accept(l, '<')) {
            while (!lex_at_end(l) && lex_peek(l) != '>' && lex_peek(l) != '<') {
                if (lex_peek(l) == '"')
                    (void)lex_quoted(l);
                else
                    l->at++;
            }
            if (lex_accept(l, '>') && l->at - start > 2)
                return slice_sub(l->in, start, l->at - start);
        } else {
            l->at++;
        }
    }
}

struct slice header_message_id(struct slice body)
{
    struct lex l = {.in = body};

    return next_id(&l);
}

/* An id broken over two lines is still one. */
static struct slice without_blanks(struct arena *a, struct slice id)
{
    size_t len = 0;

    while (len < id.len && !lex_is_blank(id.ptr[len]))
        len++;
    if (len == id.len)
        return id;

    char *text = arena_alloc(a, id.len);
    if (text == NULL)
        return slice_make(NULL, 0);
    len = 0;
    for (size_t i = 0; i < id.len; i++)
        if (!lex_is_blank(id.ptr[i]))
            text[len++] = id.ptr[i];
    return slice_make(text, len);
}

size_t header_message_ids(struct arena *a, struct slice body, struct slice **out)
{
    struct lex l = {.in = body};
    struct slice *ids = NULL;
    size_t count = 0, cap = 0;

    for (struct slice id; (id = next_id(&l)).len > 0;) {
        if (count == cap) {
            struct slice *more = arena_new_array(a, struct slice, cap == 0 ? 8 : cap * 2);

            if (more == NULL)
                break;
            if (count > 0)
                memcpy(more, ids, count * sizeof(*ids));
            ids = more;
            cap = cap == 0 ? 8 : cap * 2;
        }
        ids[count++] = without_blanks(a, id);
    }
    *out = ids;
    return count;
}

/* subj-blob = "[" *BLOBCHAR "]" *WSP; where it ends, or `at` if there is none. */
static size_t blob_end(struct slice s, size_t at)
{
    size_t end = at;

    if (end >= s.len || s.ptr[end] != '[')
        return at;
    for (end++; end < s.len && s.ptr[end] != '[' && s.ptr[end] != ']';)
        end++;
    if (end >= s.len || s.ptr[end] != ']')
        return at;
    for (end++; end < s.len && s.ptr[end] == ' ';)
        end++;
    return end;
}

/* subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"; where it ends, or `at` if there is none. */
static size_t refwd_end(struct slice s, size_t at)
{
    struct slice rest = slice_from(s, at);
    size_t end = at;

    if (slice_starts_nocase(rest, SLICE("fwd")))
        end += 3;
    else if (slice_starts_nocase(rest, SLICE("re")) || slice_starts_nocase(rest, SLICE("fw")))
        end += 2;
    else
        return at;
    while (end < s.len && s.ptr[end] == ' ')
        end++;
    end = blob_end(s, end);
    return end < s.len && s.ptr[end] == ':' ? end + 1 : at;
}

/* Steps 3 to 5: subj-leaders, then blobs as long as something remains. */
static struct slice strip_leaders(struct slice s, bool *is_reply)
{
    size_t at = 0;

    for (;;) {
        size_t blobs = at, next;

        if (at < s.len && s.ptr[at] == ' ') {
            at++;
            continue;
        }
        while ((next = blob_end(s, blobs)) > blobs)
            blobs = next;
        size_t after = refwd_end(s, blobs);
        if (after > blobs) {
            *is_reply = true;
            at = after;
            continue;
        }
        while ((next = blob_end(s, at)) > at && next < s.len)
            at = next;
        return slice_from(s, at);
    }
}

/* Step 2: subj-trailer = "(fwd)" / WSP, until none is left. */
static struct slice strip_trailers(struct slice s, bool *is_reply)
{
    for (;;) {
        if (s.len > 0 && s.ptr[s.len - 1] == ' ') {
            s.len--;
        } else if (s.len >= 5 && slice_eq_nocase(slice_from(s, s.len - 5), SLICE("(fwd)"))) {
            *is_reply = true;
            s.len -= 5;
        } else {
            return s;
        }
    }
}

/* Step 1: decoded, every run of blanks one blank. */
static void fold_blanks(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        bool blank = lex_is_blank(text.ptr[i]);

        if (!blank)
            buf_add_char(out, text.ptr[i]);
        else if (out->len == 0 || out->data[out->len - 1] != ' ')
            buf_add_char(out, ' ');
    }
}

/* Printable ASCII with single blanks, and no encoded words: it says what it says. */
static bool is_simple(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], before = i > 0 ? s.ptr[i - 1] : '\0';
        if (c < ' ' || c > '~' || (c == ' ' && before == ' ') || (c == '?' && before == '='))
            return false;
    }
    return true;
}

/* Steps 2 to 6. */
static struct slice strip_all(struct slice base, bool *is_reply)
{
    for (;;) {
        base = strip_leaders(strip_trailers(base, is_reply), is_reply);
        /* Step 6: "[fwd:" subject "]" */
        if (!slice_starts_nocase(base, SLICE("[fwd:")) || !slice_ends(base, SLICE("]")))
            return base;
        *is_reply = true;
        base = slice_sub(base, 5, base.len - 6);
    }
}

bool header_base_subject(struct buf *out, struct slice subject_body)
{
    struct buf decoded, folded;
    bool is_reply = false;

    if (is_simple(subject_body)) {
        buf_add(out, strip_all(subject_body, &is_reply));
        return is_reply;
    }

    buf_init(&decoded, subject_body.len * 4 + 16);
    header_decode_text(&decoded, subject_body);
    buf_init(&folded, decoded.len + 1);
    fold_blanks(&folded, buf_slice(&decoded));

    buf_add(out, strip_all(buf_slice(&folded), &is_reply));
    buf_finish(&folded);
    buf_finish(&decoded);
    return is_reply;
}
