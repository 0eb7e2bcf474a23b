/*
 * transfer/imap_in.c - what an IMAP server says, read with bounds.
 *
 * Layer: transfer.
 */
#include "transfer/imap_in.h"

#include <stdio.h>

#include "message/header.h"
#include "store/store.h"

enum { TEXT_MAX = 1000 };

void imap_in_init(struct imap_in *in, ssize_t (*read)(void *ctx, void *out, size_t n, struct fail *why), void *ctx)
{
    in->read = read;
    in->ctx = ctx;
    in->at = in->len = 0;
    in->failed = false;
    arena_init(&in->arena, IMAP_IN_ARENA);
}

void imap_in_finish(struct imap_in *in)
{
    arena_finish(&in->arena);
}

bool imap_in_fail(struct imap_in *in, const char *what)
{
    if (!in->failed)
        (void)fail_set(&in->why, FAIL_PERM, FAIL_INVALID, "the server's answer is no IMAP: %s", what);
    in->failed = true;
    return false;
}

static bool fill(struct imap_in *in)
{
    if (in->failed)
        return false;
    if (in->at < in->len)
        return true;
    ssize_t got = in->read(in->ctx, in->buf, sizeof in->buf, &in->why);
    if (got <= 0) {
        if (got == 0)
            (void)fail_set(&in->why, FAIL_TEMP, FAIL_OTHER, "the server broke off the connection");
        in->failed = true;
        return false;
    }
    in->at = 0;
    in->len = (size_t)got;
    return true;
}

int imap_in_peek(struct imap_in *in)
{
    return fill(in) ? (unsigned char)in->buf[in->at] : -1;
}

bool imap_in_accept(struct imap_in *in, char c)
{
    if (imap_in_peek(in) != (unsigned char)c)
        return false;
    in->at++;
    return true;
}

void imap_in_expect(struct imap_in *in, char c)
{
    char what[40];

    if (imap_in_accept(in, c) || in->failed)
        return;
    (void)snprintf(what, sizeof what, "0x%02x where 0x%02x must stand", (unsigned)imap_in_peek(in), (unsigned)(unsigned char)c);
    (void)imap_in_fail(in, what);
}

/* ---- tokens ---- */

static bool ends_atom(int c, bool brackets)
{
    return c <= ' ' || c == '(' || c == ')' || c == '"' || c == 0x7f || (!brackets && (c == '[' || c == ']'));
}

static struct slice keep(struct imap_in *in, const struct buf *b)
{
    struct slice s = arena_keep(&in->arena, buf_slice(b));

    if (b->failed || in->arena.failed)
        (void)imap_in_fail(in, "too much in one answer");
    return s;
}

struct slice imap_in_atom(struct imap_in *in, bool brackets)
{
    struct buf   b;
    struct slice s;

    buf_init(&b, IMAP_IN_TOKEN_MAX);
    while (!b.failed && !ends_atom(imap_in_peek(in), brackets))
        buf_add_char(&b, in->buf[in->at++]);
    s = keep(in, &b);
    if (s.len == 0 && !in->failed)
        (void)imap_in_fail(in, "a word is missing");
    buf_finish(&b);
    return s;
}

uint64_t imap_in_number(struct imap_in *in, uint64_t limit)
{
    uint64_t n = 0;
    unsigned digits = 0;

    for (int c; (c = imap_in_peek(in)) >= '0' && c <= '9'; digits++, in->at++) {
        uint64_t d = (uint64_t)(c - '0');
        if (n > (limit - d) / 10) {
            (void)imap_in_fail(in, "a number is too large");
            return 0;
        }
        n = n * 10 + d;
    }
    if (digits == 0)
        (void)imap_in_fail(in, "a number is missing");
    return in->failed ? 0 : n;
}

/* literal = "{" number ["+"] "}" CRLF *CHAR8 */
static uint64_t literal_size(struct imap_in *in)
{
    uint64_t n = 0;
    unsigned digits = 0;

    imap_in_expect(in, '{');
    for (int c; (c = imap_in_peek(in)) >= '0' && c <= '9' && digits < 18; digits++, in->at++)
        n = n * 10 + (uint64_t)(c - '0');
    (void)imap_in_accept(in, '+');
    imap_in_expect(in, '}');
    (void)imap_in_accept(in, '\r');
    imap_in_expect(in, '\n');
    if (digits == 0)
        (void)imap_in_fail(in, "a literal without a size");
    return in->failed ? 0 : n;
}

/* So many bytes that are there already, at most `left`; empty when failed. */
static struct slice some(struct imap_in *in, uint64_t left)
{
    if (left == 0 || !fill(in))
        return (struct slice){0};
    struct slice s = slice_make(in->buf + in->at, in->len - in->at);
    if (s.len > left)
        s.len = (size_t)left;
    in->at += s.len;
    return s;
}

static void read_quoted(struct imap_in *in, struct buf *b)
{
    imap_in_expect(in, '"');
    for (int c; (c = imap_in_peek(in)) != '"';) {
        if (c < 0 || c == '\r' || c == '\n' || b->failed) {
            (void)imap_in_fail(in, "a string without its end");
            return;
        }
        in->at++;
        if (c == '\\' && (c = imap_in_peek(in)) >= 0)
            in->at++;
        buf_add_char(b, (char)c);
    }
    in->at++;
}

static void read_literal(struct imap_in *in, struct buf *b)
{
    for (uint64_t left = literal_size(in); left > 0 && !in->failed && !b->failed;) {
        struct slice piece = some(in, left);
        buf_add(b, piece);
        left -= piece.len;
    }
}

struct slice imap_in_astring(struct imap_in *in, bool *nil)
{
    int          c = imap_in_peek(in);
    struct buf   b;
    struct slice s;

    if (nil != NULL)
        *nil = false;
    if (c != '"' && c != '{') {
        s = imap_in_atom(in, true);
        if (nil != NULL)
            *nil = slice_eq_nocase(s, SLICE("NIL"));
        return s;
    }
    buf_init(&b, IMAP_IN_TOKEN_MAX);
    if (c == '"')
        read_quoted(in, &b);
    else
        read_literal(in, &b);
    s = keep(in, &b);
    buf_finish(&b);
    return s;
}

static void skip_quoted(struct imap_in *in)
{
    imap_in_expect(in, '"');
    for (int c; (c = imap_in_peek(in)) != '"'; in->at++) {
        if (c < 0 || c == '\r' || c == '\n') {
            (void)imap_in_fail(in, "a string without its end");
            return;
        }
        if (c == '\\') {
            in->at++;
            if (imap_in_peek(in) < 0)
                return;
        }
    }
    in->at++;
}

static void skip_literal(struct imap_in *in)
{
    for (uint64_t left = literal_size(in); left > 0 && !in->failed;)
        left -= some(in, left).len;
}

/* One token of a value. */
static void skip_token(struct imap_in *in)
{
    int c = imap_in_peek(in);

    if (c == '"')
        skip_quoted(in);
    else if (c == '{')
        skip_literal(in);
    else
        while (!ends_atom(imap_in_peek(in), true))
            in->at++;
}

void imap_in_skip(struct imap_in *in)
{
    unsigned depth = 0;

    do {
        int c = imap_in_peek(in);
        if (c == '(' && ++depth <= IMAP_IN_DEPTH)
            in->at++;
        else if (c == '(')
            (void)imap_in_fail(in, "too many lists in each other");
        else if (c == ')' && depth > 0 && depth-- > 0)
            in->at++;
        else if (c == ' ' && depth > 0)
            in->at++;
        else if (c != '"' && c != '{' && ends_atom(c, true))
            (void)imap_in_fail(in, "a value is missing");
        else
            skip_token(in);
    } while (depth > 0 && !in->failed);
}

struct slice imap_in_text(struct imap_in *in)
{
    struct buf   b;
    struct slice s;

    buf_init(&b, TEXT_MAX);
    for (int c; (c = imap_in_peek(in)) >= 0 && c != '\r' && c != '\n'; in->at++)
        buf_add_char(&b, (char)c);
    b.failed = false;
    s = keep(in, &b);
    buf_finish(&b);
    return s;
}

void imap_in_end(struct imap_in *in)
{
    for (int c; (c = imap_in_peek(in)) >= 0 && c != '\n';)
        if (c == '"')
            skip_quoted(in);
        else if (c == '{')
            skip_literal(in);
        else
            in->at++;
    (void)imap_in_accept(in, '\n');
}

void imap_in_body(struct imap_in *in, struct body *body, struct imap_in_taken *taken)
{
    int c = imap_in_peek(in);

    *taken = (struct imap_in_taken){0};
    if (c != '{') { /* NIL, or a short one in quotes */
        struct slice s = imap_in_astring(in, &taken->nil);
        if (!in->failed && !taken->nil && body != NULL)
            taken->refused = !body_add(body, s, &taken->refusal);
        return;
    }
    for (uint64_t left = literal_size(in); left > 0 && !in->failed;) {
        struct slice piece = some(in, left);
        left -= piece.len;
        if (body != NULL && !taken->refused)
            taken->refused = !body_add(body, piece, &taken->refusal);
    }
}

/* ---- responses ---- */

/* resp-text = ["[" resp-text-code "]" SP] text                              RFC 9051 section 9 */
static void read_status(struct imap_in *in, struct imap_answer *out)
{
    out->text = imap_in_text(in);
    if (slice_starts(out->text, SLICE("[")) && slice_find_char(out->text, ']') < out->text.len) {
        size_t end = slice_find_char(out->text, ']');
        out->code = slice_sub(out->text, 1, end - 1);
        out->text = slice_trim(slice_from(out->text, end + 1));
    }
    imap_in_end(in);
}

static bool status_of(struct slice word, enum imap_status *out)
{
    static const char *const names[] = {[IMAP_OK] = "OK", [IMAP_NO] = "NO", [IMAP_BAD] = "BAD", [IMAP_BYE] = "BYE", [IMAP_PREAUTH] = "PREAUTH"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq_nocase(word, slice_of(names[i]))) {
            *out = (enum imap_status)i;
            return true;
        }
    return false;
}

static void read_untagged(struct imap_in *in, struct imap_answer *out)
{
    uint64_t n;

    out->word = imap_in_atom(in, false);
    (void)imap_in_accept(in, ' ');
    if (slice_to_u64(out->word, UINT32_MAX, &n)) {
        out->has_number = true;
        out->number = (uint32_t)n;
        out->word = imap_in_atom(in, false);
        (void)imap_in_accept(in, ' ');
    }
    out->kind = !out->has_number && status_of(out->word, &out->status) ? IMAP_STATUS : IMAP_DATA;
    if (out->kind == IMAP_STATUS)
        read_status(in, out);
}

struct imap_answer imap_in_answer(struct imap_in *in)
{
    struct imap_answer out = {.kind = IMAP_FAILED};

    arena_reset(&in->arena);
    if (imap_in_accept(in, '+')) {
        (void)imap_in_accept(in, ' ');
        out.kind = IMAP_CONTINUE;
        out.text = imap_in_text(in);
        imap_in_end(in);
    } else if (imap_in_accept(in, '*')) {
        imap_in_expect(in, ' ');
        read_untagged(in, &out);
    } else {
        out.kind = IMAP_TAGGED;
        out.tag = imap_in_atom(in, true);
        imap_in_expect(in, ' ');
        struct slice word = in->failed ? SLICE("") : imap_in_atom(in, false);
        if (!in->failed && !status_of(word, &out.status))
            (void)imap_in_fail(in, "neither OK nor NO nor BAD");
        (void)(in->failed || imap_in_accept(in, ' '));
        if (!in->failed)
            read_status(in, &out);
    }
    if (in->failed)
        out.kind = IMAP_FAILED;
    return out;
}

/* ---- one message's data ---- */

static void read_flags(struct imap_in *in, struct imap_fetched *out)
{
    static const struct { const char *name; uint32_t flag; } flags[] = {{"\\Seen", STORE_SEEN},
                                                                        {"\\Answered", STORE_ANSWERED},
                                                                        {"\\Flagged", STORE_FLAGGED},
                                                                        {"\\Deleted", STORE_DELETED},
                                                                        {"\\Draft", STORE_DRAFT}};

    imap_in_expect(in, '(');
    out->has_flags = true;
    while (!in->failed && !imap_in_accept(in, ')')) {
        struct slice word = imap_in_atom(in, true);
        for (size_t i = 0; i < ARRAY_LEN(flags); i++)
            out->flags |= slice_eq_nocase(word, slice_of(flags[i].name)) ? flags[i].flag : 0;
        if (word.len > 0 && word.ptr[0] != '\\' && out->keyword_count < IMAP_KEYWORDS_MAX)
            out->keywords[out->keyword_count++] = word;
        else
            out->keywords_cut = out->keywords_cut || (word.len > 0 && word.ptr[0] != '\\');
        (void)imap_in_accept(in, ' ');
    }
}

static void read_labels(struct imap_in *in, struct imap_fetched *out)
{
    if (imap_in_peek(in) != '(') {
        imap_in_skip(in);
        return;
    }
    imap_in_expect(in, '(');
    while (!in->failed && !imap_in_accept(in, ')')) {
        struct slice label = imap_in_astring(in, NULL);
        if (slice_eq_nocase(label, SLICE("\\Important")))
            out->important = true;
        else if (!in->failed && out->label_count < IMAP_KEYWORDS_MAX)
            out->labels[out->label_count++] = label;
        (void)imap_in_accept(in, ' ');
    }
}

static void read_item(struct imap_in *in, struct body *body, struct imap_fetched *out)
{
    struct slice name = imap_in_atom(in, false);
    bool         section = !in->failed && imap_in_accept(in, '['), whole = section && imap_in_peek(in) == ']';

    while (section && !in->failed && !imap_in_accept(in, ']'))
        if (imap_in_peek(in) < ' ')
            (void)imap_in_fail(in, "a section without its end");
        else
            in->at++;
    if (section && imap_in_peek(in) == '<')
        (void)imap_in_atom(in, false);
    imap_in_expect(in, ' ');
    if (in->failed)
        return;
    if (slice_eq_nocase(name, SLICE("UID"))) {
        out->uid = (uint32_t)imap_in_number(in, UINT32_MAX);
    } else if (slice_eq_nocase(name, SLICE("FLAGS"))) {
        read_flags(in, out);
    } else if (slice_eq_nocase(name, SLICE("RFC822.SIZE"))) {
        out->size = imap_in_number(in, INT64_MAX);
    } else if (slice_eq_nocase(name, SLICE("INTERNALDATE"))) {
        struct slice text = imap_in_astring(in, NULL);
        out->has_date = !in->failed && header_parse_date(text, &out->date, &out->zone);
    } else if (slice_eq_nocase(name, SLICE("X-GM-LABELS"))) {
        read_labels(in, out);
    } else if (slice_eq_nocase(name, SLICE("BODY")) && whole) {
        out->has_body = true;
        imap_in_body(in, body, &out->taken);
    } else {
        imap_in_skip(in);
    }
}

void imap_in_fetched(struct imap_in *in, struct body *body, struct imap_fetched *out)
{
    memset(out, 0, sizeof *out);
    imap_in_expect(in, '(');
    while (!in->failed && !imap_in_accept(in, ')')) {
        read_item(in, body, out);
        (void)(in->failed || imap_in_accept(in, ' '));
    }
    if (!in->failed)
        imap_in_end(in);
}
