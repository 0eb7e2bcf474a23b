/*
 * store/search_text.c - is a text in this header, these addresses, that body?
 *
 * Layer: store.  Text is compared decoded and in its collation's form (base/collation.h).  Nearly
 * all mail is ASCII without anything to decode: that is folded in one loop into a
 * buffer that is kept, and looked through by memmem().  The rest goes through
 * message/decode.h and message/header.h.  HTML becomes text in another process
 * (struct text_source in store.h); while that cannot be had, it is looked at as it
 * is, tags and all.
 *
 * A message of up to 64 KB is read at once, whatever is looked for in it; of a
 * larger one the parts that are text, piece by piece.
 *
 * The same walk feeds the search index: then nothing is looked for, and all text
 * that a search could look at goes into `grams` (search_text_gather).
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scoped.h"
#include "base/unicode.h"
#include "message/decode.h"
#include "message/envelope.h"
#include "message/header.h"
#include "store/grams.h"
#include "store/search_internal.h"

enum {
    WHOLE_MAX = 64 * 1024,    /* a message up to that size is read at once */
    PIECE = 64 * 1024,        /* otherwise */
    HEADER_MAX = 1024 * 1024, /* of one header block */
    STRUCTURE_MAX = 16 * 1024 * 1024,
};

/* Where a key was left in the middle of a large message, to go on another time. */
struct resume {
    const struct search_key *key; /* NULL: nowhere */
    uint32_t uid;
    unsigned part;              /* of those that are text; those before it do not hold the text */
    uint64_t at;                /* up to there it was looked at */
    struct text_folder *folder; /* of that part */
    struct buf tail;            /* folded, and to be looked at with what follows */
};

struct search_text {
    struct store *store;
    const struct message_info *info;
    struct store_body *body;      /* NULL: not opened yet */
    const struct mime_part *root; /* NULL: not unpacked yet, or damaged */
    bool whole;                   /* all of it is in `bytes` */
    bool damaged;                 /* and told of */
    struct buf bytes, decoded, folded, html;
    struct grams *grams;         /* gathering: all text goes here; else NULL */
    struct fuzzy *fuzzy; /* what is asked about, if that is not exact */
    unsigned part;       /* text parts of the message that were come by */
    struct resume resume;
    enum text_result html_worst; /* while gathering: of all parts that are HTML */
    struct arena arena; /* of one message */
};

struct search_text *search_text_create(struct store *st)
{
    struct search_text *t = xcalloc(1, sizeof *t);

    t->store = st;
    buf_init(&t->bytes, HEADER_MAX);
    buf_init(&t->decoded, 4 * HEADER_MAX);
    buf_init(&t->folded, SIZE_MAX / 2);
    buf_init(&t->html, SIZE_MAX / 2);
    arena_init(&t->arena, STRUCTURE_MAX);
    return t;
}

void search_text_destroy(struct search_text **tp)
{
    struct search_text *t = *tp;

    if (t == NULL)
        return;
    store_body_release(&t->body);
    text_folder_destroy(&t->resume.folder);
    buf_finish(&t->resume.tail);
    buf_finish(&t->bytes);
    buf_finish(&t->decoded);
    buf_finish(&t->folded);
    buf_finish(&t->html);
    arena_finish(&t->arena);
    free(t);
    *tp = NULL;
}

static void forget_resume(struct search_text *t)
{
    text_folder_destroy(&t->resume.folder);
    buf_finish(&t->resume.tail);
    t->resume = (struct resume){.key = NULL};
}

void search_text_begin(struct search_text *t, const struct message_info *info)
{
    store_body_release(&t->body);
    arena_reset(&t->arena);
    t->info = info;
    t->root = NULL;
    t->whole = t->damaged = false;
}

/* ---- looking ---- */

static bool holds(struct slice text, struct slice needle)
{
    return needle.len == 0 || slice_find(text, needle) < text.len;
}

/* Appends ASCII in the form of a collation; false (having appended nothing) if there is anything else in it. */
static bool fold_ascii(struct buf *out, struct slice s, enum collation c)
{
    unsigned char all = 0;
    char *to = buf_room(out, s.len);

    if (to == NULL)
        return false;
    if (c == COLLATION_OCTET) {
        if (!slice_is_ascii(s))
            return false;
        buf_add(out, s);
        return true;
    }
    for (size_t i = 0; i < s.len; i++) {
        all |= (unsigned char)s.ptr[i];
        to[i] = ascii_lower(s.ptr[i]);
    }
    if (all >= 0x80)
        return false;
    buf_grew(out, s.len);
    return true;
}

/* Could there be anything to decode in this text of a header? */
static bool is_plain(struct slice s)
{
    return slice_find(s, SLICE("=?")) == s.len && slice_is_ascii(s);
}

/* Takes out the line ends before blanks: RFC 5322 section 2.2.3. */
static void unfold(struct buf *b)
{
    size_t to = 0;

    for (size_t i = 0; i < b->len; i++) {
        bool crlf = b->data[i] == '\r' && i + 1 < b->len && b->data[i + 1] == '\n';
        size_t end = i + (crlf ? 2 : b->data[i] == '\n');
        if (end > i && end < b->len && (b->data[end] == ' ' || b->data[end] == '\t'))
            i = end;
        b->data[to++] = b->data[i];
    }
    b->len = to;
}

/* Appends the text of a field or phrase, decoded and folded. */
static void fold_header_text(struct search_text *t, struct slice s, enum collation c)
{
    if (is_plain(s)) {
        (void)fold_ascii(&t->folded, s, c);
        return;
    }
    buf_reset(&t->decoded);
    header_decode_text(&t->decoded, s);
    collation_form(c, &t->folded, buf_slice(&t->decoded));
}

/* The end of a piece that, with the start of the next, may hold what the piece did not. */
static size_t tail_length(const struct search_text *t, const struct search_key *k)
{
    if (t->fuzzy != NULL)
        return fuzzy_tail(buf_slice(&t->folded));
    return t->grams != NULL ? grams_tail(buf_slice(&t->folded)) : k->needle.len - 1;
}

/* Is it in what has been folded?  (While gathering: that is taken, and nothing is ever found.) */
static bool folded_holds(struct search_text *t, const struct search_key *k)
{
    if (t->fuzzy != NULL)
        return fuzzy_add(t->fuzzy, buf_slice(&t->folded));
    if (t->grams == NULL)
        return holds(buf_slice(&t->folded), k->needle);
    grams_add(t->grams, buf_slice(&t->folded));
    return false;
}

/* The same where more of the text will follow. */
static bool piece_holds(struct search_text *t, const struct search_key *k)
{
    if (folded_holds(t, k))
        return true;
    size_t keep = tail_length(t, k);
    if (t->folded.len > keep)
        buf_drop(&t->folded, t->folded.len - keep);
    return false;
}

/* ---- the envelope ---- */

bool search_text_subject(struct search_text *t, const struct search_key *k)
{
    struct slice subject;

    if (k->needle.len == 0)
        return true;
    if (!envelope_string(&t->arena, t->info->envelope, ENVELOPE_SUBJECT, &subject))
        return false;
    if (!k->needle_is_ascii && is_plain(subject))
        return false;
    buf_reset(&t->folded);
    fold_header_text(t, subject, k->collation);
    return folded_holds(t, k);
}

bool search_text_field(struct search_text *t, const struct search_key *k, bool *holds)
{
    const struct message_info *m = t->info;
    struct slice value, needle = k->needle;

    if (m->repeats < 0 || ((unsigned)m->repeats & 1u << k->envelope_field) != 0 || slice_trim(needle).len < needle.len)
        return false;
    if (!envelope_string(&t->arena, m->envelope, k->envelope_field, &value)) {
        *holds = false;
        return slice_eq(envelope_text(m->envelope, k->envelope_field), SLICE("")); /* NIL: there is none */
    }
    if (!is_plain(value))
        return false;
    buf_reset(&t->folded);
    (void)fold_ascii(&t->folded, value, k->collation);
    *holds = folded_holds(t, k);
    return true;
}

static enum envelope_field field_of(enum search_op op)
{
    if (op == SEARCH_FROM)
        return ENVELOPE_FROM;
    return op == SEARCH_TO ? ENVELOPE_TO : op == SEARCH_CC ? ENVELOPE_CC : ENVELOPE_BCC;
}

/* As a person would write it: Ann Lee <ann@example.org>. */
static void fold_address(struct search_text *t, const struct address *one, enum collation c)
{
    if (one->name.len > 0) {
        fold_header_text(t, one->name, c);
        buf_add_char(&t->folded, ' ');
    }
    buf_add_char(&t->folded, '<');
    fold_header_text(t, one->mailbox, c);
    buf_add_char(&t->folded, '@');
    fold_header_text(t, one->host, c);
    buf_add(&t->folded, SLICE(">\n"));
}

/*
 * A letter that the needle begins with and the field does not hold, however it is
 * written, rules most messages out before their addresses are read.
 */
static bool may_hold(struct slice raw, const struct search_key *k)
{
    char first = k->needle.ptr[0];

    if (!k->needle_is_ascii)
        return !is_plain(raw);
    if (!ascii_is_alpha(first) && !ascii_is_digit(first))
        return true;
    return memchr(raw.ptr, first, raw.len) != NULL || memchr(raw.ptr, ascii_upper(first), raw.len) != NULL ||
           !is_plain(raw);
}

bool search_text_addresses(struct search_text *t, const struct search_key *k)
{
    struct address *list;
    struct slice raw;

    if (k->needle.len == 0)
        return true;
    raw = envelope_text(t->info->envelope, field_of(k->op));
    if (raw.len == 0 || (t->grams == NULL && t->fuzzy == NULL && !may_hold(raw, k)))
        return false;

    size_t count = envelope_addresses(&t->arena, t->info->envelope, field_of(k->op), &list);
    buf_reset(&t->folded);
    for (size_t i = 0; i < count; i++)
        if (!list[i].is_group_end)
            fold_address(t, &list[i], k->collation);
    return folded_holds(t, k);
}

int64_t search_day(int64_t seconds, int zone_minutes)
{
    enum { DAY = 24 * 3600 };
    int64_t local = seconds + (int64_t)zone_minutes * 60;

    return local / DAY - (local % DAY < 0);
}

bool search_sent_day(struct slice envelope, int64_t *day)
{
    struct arena a;
    struct slice date;
    int64_t seconds;
    int zone;

    arena_init(&a, 4096);
    bool ok = envelope_string(&a, envelope, ENVELOPE_DATE, &date) && header_parse_date(date, &seconds, &zone);
    if (ok)
        *day = search_day(seconds, zone);
    arena_finish(&a);
    return ok;
}

/* ---- the bytes ---- */

/* A message that is damaged matches nothing and is told of; what may be better later ends the search. */
static bool unreadable(struct search_text *t, struct search_subject *m, const struct fail *why)
{
    if (why->kind == FAIL_PERM) {
        log_event(LOG_WARNING, "search.message_unreadable", LOG_HEX("ref", t->info->ref), LOG_FAIL(why));
        t->damaged = true;
        return false;
    }
    m->failed = true;
    m->why = *why;
    return false;
}

/* Bytes [from, to) of the message into `bytes`. */
static bool read_into(struct search_text *t, uint64_t from, uint64_t to, struct search_subject *m)
{
    struct fail why;
    size_t len = (size_t)(to - from);

    buf_reset(&t->bytes);
    char *room = buf_room(&t->bytes, len);
    if (room == NULL)
        bug("%zu bytes at once", len);
    if (!store_body_read(t->body, from, room, len, &why))
        return unreadable(t, m, &why);
    buf_grew(&t->bytes, len);
    return true;
}

/* At most HEADER_MAX bytes [from, to) of the message; *out lives until the next call. */
static bool read_bytes(struct search_text *t, uint64_t from, uint64_t to, struct slice *out,
                       struct search_subject *m)
{
    uint64_t size = store_body_size(t->body);

    to = to < size ? to : size;
    from = from < to ? from : to;
    if (t->damaged)
        return false;
    if (size > WHOLE_MAX) {
        if (!read_into(t, from, to, m))
            return false;
        *out = buf_slice(&t->bytes);
        return true;
    }
    if (!t->whole && !read_into(t, 0, size, m))
        return false;
    t->whole = true;
    *out = slice_sub(buf_slice(&t->bytes), (size_t)from, (size_t)(to - from));
    return true;
}

/* Opens the message and its structure; one whose structure is damaged is one text part without header. */
static void open_message(struct search_text *t)
{
    static const struct mime_part unknown = {.end_offset = UINT64_MAX / 2};

    if (t->body != NULL)
        return;
    t->body = store_body_open(t->store, t->info->ref, t->info->prefix, t->info->size);
    t->root = mime_unpack(&t->arena, t->info->structure);
    if (t->root == NULL)
        t->root = &unknown;
}

/* Offsets of the structure count from the message; those of the body from the prefix before it. */
static uint64_t shifted(const struct search_text *t, uint64_t offset)
{
    return offset + t->info->prefix.len;
}

static bool read_header(struct search_text *t, const struct mime_part *part, struct slice *out,
                        struct search_subject *m)
{
    uint64_t from = part == t->root ? 0 : shifted(t, part->header_offset), to = shifted(t, part->body_offset);

    if (to > from && to - from > HEADER_MAX)
        to = from + HEADER_MAX;
    return read_bytes(t, from, to, out, m);
}

/* All fields of a header block, names included. */
static bool header_holds(struct search_text *t, const struct mime_part *part, const struct search_key *k,
                         struct search_subject *m)
{
    struct header_field f;
    struct slice block;
    size_t at = 0;

    if (!read_header(t, part, &block, m))
        return false;
    buf_reset(&t->folded);
    if (is_plain(block)) {
        if (!k->needle_is_ascii)
            return false;
        (void)fold_ascii(&t->folded, block, k->collation);
        unfold(&t->folded);
        return folded_holds(t, k);
    }
    while (header_next(block, &at, &f)) {
        fold_header_text(t, f.name, k->collation);
        buf_add(&t->folded, SLICE(": "));
        fold_header_text(t, f.body, k->collation);
        buf_add_char(&t->folded, '\n');
    }
    unfold(&t->folded);
    return folded_holds(t, k);
}

bool search_text_header(struct search_text *t, const struct search_key *k, struct search_subject *m)
{
    struct header_field f;
    struct slice block;
    size_t at = 0;

    open_message(t);
    if (!read_header(t, t->root, &block, m))
        return false;
    while (header_next(block, &at, &f)) {
        if (!slice_eq_nocase(f.name, k->field))
            continue;
        buf_reset(&t->folded);
        fold_header_text(t, f.body, k->collation);
        unfold(&t->folded);
        if (folded_holds(t, k))
            return true;
    }
    return false;
}

/* ---- text parts ---- */

/* A part that is text: where it lies and how it is written. */
struct text_part {
    uint64_t from, to; /* in the body */
    enum transfer_encoding encoding;
    struct slice charset;
    bool is_html;
};

static struct text_part text_part_of(const struct search_text *t, const struct mime_part *part)
{
    uint64_t size = store_body_size(t->body);
    struct text_part p = {
        .from = shifted(t, part->body_offset),
        .to = shifted(t, part->end_offset),
        .encoding = transfer_encoding_of(part->encoding),
        .charset = SLICE(""),
        .is_html = part->type.len > 0 && slice_eq_nocase(part->subtype, SLICE("html")),
    };

    (void)mime_parameter_find(part->parameters, part->parameter_count, SLICE("charset"), &p.charset);
    if (p.to > size)
        p.to = size;
    return p;
}

static bool needs_no_decoding(enum transfer_encoding e)
{
    return e != ENCODING_BASE64 && e != ENCODING_QUOTED_PRINTABLE;
}

/*
 * The next piece of a part; empty at its end.  Of a large message to the border of
 * a frame each time, so that none is read twice.
 */
static bool next_piece(struct search_text *t, uint64_t *at, uint64_t to, struct slice *out,
                       struct search_subject *m)
{
    uint64_t end = to;

    if (*at >= to) {
        *out = SLICE("");
        return true;
    }
    if (store_body_size(t->body) > WHOLE_MAX) {
        uint64_t border = *at + PIECE - (*at - t->info->prefix.len) % PIECE;
        end = border < to ? border : to;
    }
    if (!read_bytes(t, *at, end, out, m) || out->len == 0)
        return false;
    *at += out->len;
    return true;
}

/* Is it this part that the key was left in? */
static bool goes_on(const struct search_text *t, unsigned part)
{
    return t->resume.key != NULL && t->resume.part == part;
}

/* The time is up: the key goes on from here when it is asked again. */
static void leave(struct search_text *t, const struct search_key *k, unsigned part, uint64_t at,
                  struct text_folder **f, struct search_subject *m)
{
    t->resume = (struct resume){.key = k, .uid = t->info->uid, .part = part, .at = at, .folder = *f};
    *f = NULL;
    buf_init(&t->resume.tail, SIZE_MAX / 2);
    buf_add(&t->resume.tail, buf_slice(&t->folded));
    m->paused = m->unfinished = true;
}

/* Text that is decoded and folded on the way. */
static bool text_holds(struct search_text *t, const struct text_part *p, unsigned part,
                       const struct search_key *k, struct search_subject *m)
{
    SCOPED(text_folder_destroy) struct text_folder *f = NULL;
    struct slice piece;
    uint64_t at = p->from;

    buf_reset(&t->folded);
    if (goes_on(t, part)) {
        at = t->resume.at;
        f = t->resume.folder;
        t->resume.folder = NULL;
        buf_add(&t->folded, buf_slice(&t->resume.tail));
        forget_resume(t);
    }
    if (!next_piece(t, &at, p->to, &piece, m))
        return false;
    if (f == NULL && at >= p->to && needs_no_decoding(p->encoding) && charset_reads_as_utf8(p->charset) &&
        fold_ascii(&t->folded, piece, k->collation))
        return folded_holds(t, k);
    if (f == NULL)
        f = text_folder_create(p->encoding, p->charset, k->collation);
    while (piece.len > 0) {
        text_folder_feed(f, piece, &t->folded);
        if (piece_holds(t, k))
            return true;
        if (at < p->to && t->grams == NULL && t->fuzzy == NULL && clock_mono_ms() >= m->until_ms) {
            leave(t, k, part, at, &f, m);
            return false;
        }
        if (!next_piece(t, &at, p->to, &piece, m))
            return false;
    }
    text_folder_finish(f, &t->folded);
    return folded_holds(t, k);
}

/* ---- HTML ---- */

/* The part's bytes without their transfer encoding, in `decoded`; false: too many, or not readable. */
static bool read_html(struct search_text *t, const struct text_part *p, size_t max, struct search_subject *m)
{
    struct transfer_decoder d;
    struct slice piece;
    uint64_t at = p->from;

    buf_reset(&t->html);
    if (p->to - p->from > 2 * (uint64_t)max)
        return false;
    transfer_decoder_init(&d, p->encoding);
    do {
        if (!next_piece(t, &at, p->to, &piece, m))
            return false;
        transfer_decoder_feed(&d, piece, &t->html);
    } while (piece.len > 0 && t->html.len <= max);
    transfer_decoder_finish(&d, &t->html);
    return t->html.len <= max;
}

/* HTML as its reader sees it: TEXT_MADE, and *found says whether that holds it.  Else the part's own text is
 * to be looked at. */
static enum text_result html_holds(struct search_text *t, const struct text_part *p,
                                   const struct search_key *k, struct search_subject *m, bool *found)
{
    const struct text_source *source = t->store->text_source;
    struct buf text;

    if (source == NULL || p->to <= p->from || !read_html(t, p, source->html_max, m))
        return TEXT_NONE;
    buf_init(&text, 2 * source->html_max + 4096);
    enum text_result result = source->html(source->ctx, buf_slice(&t->html), p->charset, &text);
    if (result == TEXT_MADE) {
        struct text_folder *f = text_folder_create(ENCODING_8BIT, SLICE("utf-8"), k->collation);
        buf_reset(&t->folded);
        text_folder_feed(f, buf_slice(&text), &t->folded);
        text_folder_finish(f, &t->folded);
        text_folder_destroy(&f);
        *found = folded_holds(t, k);
    }
    buf_finish(&text);
    if (result > t->html_worst)
        t->html_worst = result;
    return result;
}

static bool text_part_holds(struct search_text *t, const struct mime_part *part, const struct search_key *k,
                            struct search_subject *m)
{
    struct text_part p = text_part_of(t, part);
    unsigned number = t->part++;
    bool found = false;

    if (t->resume.key != NULL && number < t->resume.part)
        return false;
    if (p.is_html && !goes_on(t, number) && html_holds(t, &p, k, m, &found) == TEXT_MADE)
        return found;
    return !m->failed && !t->damaged && text_holds(t, &p, number, k, m);
}

/* A tree is no deeper than MIME_DEPTH_MAX. */
static bool part_holds(struct search_text *t, const struct mime_part *part, const struct search_key *k,
                       struct search_subject *m)
{
    if (part->is_message)
        return header_holds(t, part->first_child, k, m) || part_holds(t, part->first_child, k, m);
    if (part->is_multipart) {
        for (const struct mime_part *child = part->first_child;
             child != NULL && !m->failed && !m->unfinished; child = child->next)
            if (part_holds(t, child, k, m))
                return true;
        return false;
    }
    return (part->type.len == 0 || slice_eq_nocase(part->type, SLICE("text"))) &&
           text_part_holds(t, part, k, m);
}

bool search_text_body(struct search_text *t, const struct search_key *k, struct search_subject *m)
{
    if (k->needle.len == 0)
        return true;
    if (t->resume.key != k || t->resume.uid != t->info->uid)
        forget_resume(t);
    open_message(t);
    t->part = 0;
    if (k->op == SEARCH_TEXT && t->resume.key == NULL && header_holds(t, t->root, k, m))
        return true;
    return !m->failed && part_holds(t, t->root, k, m);
}

/* ---- fuzzily ---- */

unsigned search_text_fuzzy(struct search_text *t, const struct search_key *k, struct search_subject *m)
{
    /* Looks everywhere where the key would, and has all of it compared in folded_holds(). */
    struct search_key any = {.op = k->op, .field = k->field, .needle = SLICE("?"), .needle_is_ascii = true};

    fuzzy_begin(k->fuzzy);
    t->fuzzy = k->fuzzy;
    if (k->op == SEARCH_SUBJECT)
        (void)search_text_subject(t, &any);
    else if (k->op == SEARCH_HEADER)
        (void)search_text_header(t, &any, m);
    else if (k->op == SEARCH_BODY || k->op == SEARCH_TEXT)
        (void)search_text_body(t, &any, m);
    else
        (void)search_text_addresses(t, &any);
    t->fuzzy = NULL;
    return m->failed ? 0 : fuzzy_score(k->fuzzy);
}

/* ---- for the index ---- */

bool search_text_is_damaged(const struct search_text *t)
{
    return t->damaged;
}

enum text_result search_text_gather(struct search_text *t, struct grams *grams, struct search_subject *m)
{
    static const enum search_op envelope[] = {SEARCH_SUBJECT, SEARCH_FROM, SEARCH_TO, SEARCH_CC, SEARCH_BCC};
    struct search_key all = {.op = SEARCH_TEXT, .needle = SLICE("?"), .needle_is_ascii = true};

    t->grams = grams;
    t->html_worst = TEXT_NONE;
    (void)search_text_body(t, &all, m);
    for (size_t i = 0; i < ARRAY_LEN(envelope); i++) {
        all.op = envelope[i];
        (void)(all.op == SEARCH_SUBJECT ? search_text_subject(t, &all) : search_text_addresses(t, &all));
    }
    t->grams = NULL;
    return t->html_worst;
}
