/*
 * queue/envelope.c - what a sender asked for beyond the addresses, and its text form.
 *
 * Layer: queue.
 *
 *     ENVID=QQ314159 RET=HDRS BODY=8BITMIME UTF8 PRIORITY=-3 BY=1795345867;RT ACCOUNT=7 SOURCE=ann@example.org
 *     NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;ann@example.org
 *
 * Each word has one place and one spelling.  So reading need not know every way in which a text can
 * be wrong: what was read is written again, and must come out as the text that it was read from.
 */
#include "queue/envelope.h"

/* ---- xtext, RFC 3461 section 4 ---- */

static bool is_xchar(char c)
{
    return c >= '!' && c <= '~' && c != '+' && c != '=';
}

void xtext_encode(struct buf *out, struct slice in)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.ptr[i];
        if (is_xchar((char)c))
            buf_add_char(out, (char)c);
        else
            buf_add(out, slice_make((const char[]){'+', hex[c >> 4], hex[c & 15]}, 3));
    }
}

/* hexchar has upper case letters only; -1: none. */
static int hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool xtext_decode(struct arena *a, struct slice in, struct slice *out)
{
    char  *text = arena_alloc(a, in.len > 0 ? in.len : 1);
    size_t len = 0;

    if (text == NULL)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        if (is_xchar(in.ptr[i])) {
            text[len++] = in.ptr[i];
            continue;
        }
        int high = i + 2 < in.len ? hex_digit(in.ptr[i + 1]) : -1, low = i + 2 < in.len ? hex_digit(in.ptr[i + 2]) : -1;
        if (in.ptr[i] != '+' || high < 0 || low < 0)
            return false;
        text[len++] = (char)(high << 4 | low);
        i += 2;
    }
    *out = slice_make(text, len);
    return true;
}

/* ---- writing ---- */

static const char *const ret_names[] = {[RET_UNSAID] = "", [RET_FULL] = "FULL", [RET_HDRS] = "HDRS"};
static const char *const body_names[] = {[BODY_7BIT] = "", [BODY_8BITMIME] = "8BITMIME", [BODY_BINARYMIME] = "BINARYMIME"};
static const char *const by_names[] = {[BY_UNSAID] = "", [BY_NOTIFY] = "N", [BY_RETURN] = "R"};
static const struct { unsigned bit; const char *name; } notify_names[] = {
    {NOTIFY_NEVER, "NEVER"}, {NOTIFY_SUCCESS, "SUCCESS"}, {NOTIFY_FAILURE, "FAILURE"}, {NOTIFY_DELAY, "DELAY"}};

/* One text at a time: a blank goes in front of every word but its first. */
struct writer {
    struct buf *out;
    bool        any;
};

static void write_name(struct writer *w, const char *name)
{
    if (w->any)
        buf_add_char(w->out, ' ');
    w->any = true;
    buf_add(w->out, slice_of(name));
}

static void write_text(struct writer *w, const char *name, struct slice value)
{
    if (value.len == 0)
        return;
    write_name(w, name);
    buf_add_char(w->out, '=');
    xtext_encode(w->out, value);
}

static void write_number(struct writer *w, const char *name, int64_t value)
{
    if (value == 0)
        return;
    write_name(w, name);
    buf_addf(w->out, "=%lld", (long long)value);
}

void envelope_options_write(struct buf *out, const struct envelope_options *o)
{
    struct writer w = {.out = out};

    write_text(&w, "ENVID", o->envid);
    write_text(&w, "RET", slice_of(ret_names[o->ret]));
    write_text(&w, "BODY", slice_of(body_names[o->body]));
    if (o->utf8)
        write_name(&w, "UTF8");
    if (o->requiretls)
        write_name(&w, "REQUIRETLS");
    write_number(&w, "PRIORITY", o->priority);
    write_number(&w, "HOLD", o->hold_until > 0 ? o->hold_until : 0);
    if (o->by_mode != BY_UNSAID) {
        write_name(&w, "BY");
        buf_addf(out, "=%lld;%s%s", (long long)o->by, by_names[o->by_mode], o->by_trace ? "T" : "");
    }
    if (o->account != 0) {
        write_name(&w, "ACCOUNT");
        buf_addf(out, "=%llu", (unsigned long long)o->account);
    }
    write_text(&w, "SOURCE", o->source);
}

void recipient_options_write(struct buf *out, const struct recipient_options *o)
{
    struct writer w = {.out = out};
    bool          any = false;

    for (size_t i = 0; i < ARRAY_LEN(notify_names); i++) {
        if ((o->notify & notify_names[i].bit) == 0)
            continue;
        if (any)
            buf_add_char(out, ',');
        else
            write_name(&w, "NOTIFY=");
        any = true;
        buf_add(out, slice_of(notify_names[i].name));
    }
    write_text(&w, "ORCPT", o->orcpt);
}

/* ---- reading ---- */

/* Its place among `count` names; 0 (which has no name) if it is none of them. */
static int find_name(const char *const *names, size_t count, struct slice text)
{
    for (size_t i = 1; i < count; i++) {
        if (slice_eq(slice_of(names[i]), text))
            return (int)i;
    }
    return 0;
}

/* Times are sums of what is read here: far enough from where such sums would overflow. */
enum { NUMBER_BITS = 40 };

static bool read_number(struct slice text, int64_t *out)
{
    bool     minus = text.len > 0 && text.ptr[0] == '-';
    uint64_t n;

    if (!slice_to_u64(slice_from(text, minus), (uint64_t)1 << NUMBER_BITS, &n))
        return false;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return true;
}

/* time ";" ("N" / "R") ["T"] */
static bool read_by(struct slice text, struct envelope_options *o)
{
    struct slice mode = text, time = slice_cut(&mode, ';');

    o->by_trace = slice_ends(mode, SLICE("T"));
    o->by_mode = (enum envelope_by)find_name(by_names, ARRAY_LEN(by_names), slice_sub(mode, 0, mode.len - o->by_trace));
    return read_number(time, &o->by);
}

static bool read_envelope_word(struct arena *a, struct slice name, struct slice value, struct envelope_options *o)
{
    int64_t n = 0;
    bool    ok = true;

    if (slice_eq(name, SLICE("ENVID"))) {
        ok = xtext_decode(a, value, &o->envid);
    } else if (slice_eq(name, SLICE("RET"))) {
        o->ret = (enum envelope_ret)find_name(ret_names, ARRAY_LEN(ret_names), value);
    } else if (slice_eq(name, SLICE("BODY"))) {
        o->body = (enum envelope_body)find_name(body_names, ARRAY_LEN(body_names), value);
    } else if (slice_eq(name, SLICE("UTF8"))) {
        o->utf8 = true;
    } else if (slice_eq(name, SLICE("REQUIRETLS"))) {
        o->requiretls = true;
    } else if (slice_eq(name, SLICE("PRIORITY"))) {
        ok = read_number(value, &n) && n >= -9 && n <= 9;
        o->priority = ok ? (int)n : 0;
    } else if (slice_eq(name, SLICE("HOLD"))) {
        ok = read_number(value, &o->hold_until) && o->hold_until > 0;
    } else if (slice_eq(name, SLICE("BY"))) {
        ok = read_by(value, o);
    } else if (slice_eq(name, SLICE("ACCOUNT"))) {
        ok = slice_to_u64(value, UINT64_MAX, &o->account);
    } else {
        ok = slice_eq(name, SLICE("SOURCE")) && xtext_decode(a, value, &o->source);
    }
    return ok;
}

static bool read_notify(struct slice list, unsigned *out)
{
    while (list.len > 0) {
        struct slice name = slice_cut(&list, ',');
        size_t       i = 0;
        while (i < ARRAY_LEN(notify_names) && !slice_eq(slice_of(notify_names[i].name), name))
            i++;
        if (i == ARRAY_LEN(notify_names))
            return false;
        *out |= notify_names[i].bit;
    }
    return true;
}

static bool read_recipient_word(struct arena *a, struct slice name, struct slice value, struct recipient_options *o)
{
    if (slice_eq(name, SLICE("NOTIFY")))
        return read_notify(value, &o->notify);
    return slice_eq(name, SLICE("ORCPT")) && xtext_decode(a, value, &o->orcpt);
}

/* Takes the buffer's memory back. */
static bool is_text(struct buf *written, struct slice text)
{
    bool same = !written->failed && slice_eq(buf_slice(written), text);

    buf_finish(written);
    return same;
}

bool envelope_options_read(struct arena *a, struct slice text, struct envelope_options *out)
{
    struct envelope_options o = {0};
    struct buf              again;

    for (struct slice rest = text; rest.len > 0;) {
        struct slice value = slice_cut(&rest, ' '), name = slice_cut(&value, '=');
        if (!read_envelope_word(a, name, value, &o))
            return false;
    }
    buf_init(&again, text.len + 1);
    envelope_options_write(&again, &o);
    if (!is_text(&again, text))
        return false;
    *out = o;
    return true;
}

bool recipient_options_read(struct arena *a, struct slice text, struct recipient_options *out)
{
    struct recipient_options o = {0};
    struct buf               again;

    for (struct slice rest = text; rest.len > 0;) {
        struct slice value = slice_cut(&rest, ' '), name = slice_cut(&value, '=');
        if (!read_recipient_word(a, name, value, &o))
            return false;
    }
    buf_init(&again, text.len + 1);
    recipient_options_write(&again, &o);
    if (!is_text(&again, text))
        return false;
    *out = o;
    return true;
}
