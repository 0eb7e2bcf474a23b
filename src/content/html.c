/*
 * content/html.c - see content/html.h.
 *
 * Layer: content.
 *
 * The bytes become UTF-8 first (message/decode.h), so libxml2's own converters have
 * nothing to do.  They are fed in small pieces, with a look at the clock between
 * them.  White space waits in `gap` until text follows it, so that none is written at
 * the start, at the end or twice.
 */
#include "content/html.h"

#include <dlfcn.h>
#include <libxml/HTMLparser.h>
#include <stdlib.h>
#include <time.h>

#include "base/fail.h"
#include "base/unicode.h"
#include "message/decode.h"

enum { PIECE = 4096 };

/* ---- the library ---- */

struct html_library {
    void *handle;
    void (*init)(void);
    typeof(&htmlCreatePushParserCtxt) create;
    typeof(&htmlCtxtUseOptions) use_options;
    typeof(&htmlParseChunk) parse;
    typeof(&htmlFreeParserCtxt) release;
};

/* A data pointer becomes one to a function in the way POSIX asks for (dlsym). */
static bool find(void *library, const char *name, void *function)
{
    void *at = dlsym(library, name);

    memcpy(function, &at, sizeof at);
    return at != NULL;
}

struct html_library *html_library_open(struct fail *why)
{
    struct html_library *x = xcalloc(1, sizeof *x);

    x->handle = dlopen("libxml2.so.2", RTLD_NOW | RTLD_LOCAL);
    if (x->handle != NULL && find(x->handle, "xmlInitParser", &x->init) &&
        find(x->handle, "htmlCreatePushParserCtxt", &x->create) &&
        find(x->handle, "htmlCtxtUseOptions", &x->use_options) &&
        find(x->handle, "htmlParseChunk", &x->parse) && find(x->handle, "htmlFreeParserCtxt", &x->release)) {
        x->init();
        return x;
    }
    (void)fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "libxml2 cannot be used: %s", dlerror());
    html_library_close(&x);
    return NULL;
}

/* What it allocated for good stays: unloading a library that other threads used gains nothing. */
void html_library_close(struct html_library **x)
{
    if (*x == NULL)
        return;
    free(*x);
    *x = NULL;
}

/* ---- elements ---- */

static bool is_one_of(const xmlChar *name, const char *const *list, size_t count)
{
    for (size_t low = 0, high = count; low < high;) {
        size_t middle = (low + high) / 2;
        int order = strcmp((const char *)name, list[middle]);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* Those that stand in a line of text; all others begin a new one.  Sorted. */
static bool is_inline(const xmlChar *name)
{
    static const char *const list[] = {
        "a",    "abbr", "acronym", "b",     "bdi",  "bdo",    "big", "cite", "code",   "data", "del",
        "dfn",  "em",   "font",    "i",     "img",  "ins",    "kbd", "label", "mark",  "meter", "nobr",
        "o:p",  "q",    "rp",      "rt",    "ruby", "s",      "samp", "small", "span", "strike", "strong",
        "sub",  "sup",  "time",    "tt",    "u",    "var",    "wbr",
    };

    return is_one_of(name, list, ARRAY_LEN(list));
}

static bool is_unseen(const xmlChar *name)
{
    static const char *const list[] = {"script", "style", "template"};

    return is_one_of(name, list, ARRAY_LEN(list));
}

/* ---- text ---- */

enum gap { GAP_NONE, GAP_SPACE, GAP_LINE };

struct maker {
    struct buf *out;
    const struct html_limits *limits;
    size_t start;     /* of our text in `out` */
    unsigned depth;   /* of elements */
    unsigned unseen;  /* depth below a script, style or template; 0: none */
    enum gap gap;
    bool too_deep;
};

static void widen(struct maker *m, enum gap gap)
{
    if (gap > m->gap)
        m->gap = gap;
}

static void put(struct maker *m, struct slice word)
{
    if (m->gap != GAP_NONE && m->out->len > m->start)
        buf_add_char(m->out, m->gap == GAP_LINE ? '\n' : ' ');
    m->gap = GAP_NONE;
    buf_add(m->out, word);
}

/* White space, and characters without a width that only say where a line may or may not break. */
static size_t space_length(struct slice s, bool *is_seen)
{
    static const struct { struct slice bytes; bool seen; } others[] = {
        {{"\xc2\xa0", 2}, true},      /* no-break space */
        {{"\xc2\xad", 2}, false},     /* soft hyphen */
        {{"\xe2\x80\x8b", 3}, false}, /* zero width space */
        {{"\xe2\x81\xa0", 3}, false}, /* word joiner */
        {{"\xef\xbb\xbf", 3}, false}, /* the same, once a byte order mark */
    };

    *is_seen = true;
    if (s.ptr[0] == ' ' || (s.ptr[0] >= '\t' && s.ptr[0] <= '\r'))
        return 1;
    for (size_t i = 0; (unsigned char)s.ptr[0] >= 0x80 && i < ARRAY_LEN(others); i++) {
        *is_seen = others[i].seen;
        if (slice_starts(s, others[i].bytes))
            return others[i].bytes.len;
    }
    return 0;
}

static void put_text(struct maker *m, struct slice s)
{
    while (s.len > 0) {
        size_t word = 0, space = 0;
        bool seen = false;

        while (word < s.len && (space = space_length(slice_from(s, word), &seen)) == 0)
            word++;
        if (word > 0)
            put(m, slice_sub(s, 0, word));
        if (space > 0 && seen)
            widen(m, GAP_SPACE);
        s = slice_from(s, word + space);
    }
}

/* ---- what the parser says ---- */

static void put_alt(struct maker *m, const xmlChar *const *attributes)
{
    for (; attributes != NULL && attributes[0] != NULL; attributes += 2) {
        if (attributes[1] == NULL || strcmp((const char *)attributes[0], "alt") != 0)
            continue;
        widen(m, GAP_SPACE);
        put_text(m, slice_of((const char *)attributes[1]));
        widen(m, GAP_SPACE);
    }
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar **attributes)
{
    struct maker *m = ctx;

    if (++m->depth > m->limits->depth)
        m->too_deep = true;
    if (m->unseen > 0)
        return;
    if (is_unseen(name))
        m->unseen = m->depth;
    if (!is_inline(name))
        widen(m, GAP_LINE);
    put_alt(m, (const xmlChar *const *)attributes);
}

static void on_end(void *ctx, const xmlChar *name)
{
    struct maker *m = ctx;

    if (m->depth == m->unseen)
        m->unseen = 0;
    if (m->depth > 0)
        m->depth--;
    if (m->unseen == 0 && !is_inline(name))
        widen(m, GAP_LINE);
}

static void on_text(void *ctx, const xmlChar *text, int len)
{
    struct maker *m = ctx;

    if (m->unseen == 0 && len > 0)
        put_text(m, slice_make((const char *)text, (size_t)len));
}

/* ---- charset ---- */

static bool ends_name(char c)
{
    return c == '"' || c == '\'' || c == ';' || c == '>' || c == '/' || (unsigned char)c <= ' ';
}

struct slice html_meta_charset(struct slice document)
{
    enum { LOOK = 1024 }; /* as far as browsers look */
    static const char word[] = "charset";
    struct slice s = slice_sub(document, 0, LOOK);

    for (size_t i = 0; i + sizeof word < s.len; i++) {
        if (strncasecmp(s.ptr + i, word, sizeof word - 1) != 0)
            continue;
        size_t at = i + sizeof word - 1;
        while (at < s.len && (unsigned char)s.ptr[at] <= ' ')
            at++;
        if (at == s.len || s.ptr[at] != '=')
            continue;
        at++;
        while (at < s.len && (s.ptr[at] == '"' || s.ptr[at] == '\'' || (unsigned char)s.ptr[at] <= ' '))
            at++;
        size_t end = at;
        while (end < s.len && !ends_name(s.ptr[end]))
            end++;
        return slice_sub(s, at, end - at);
    }
    return SLICE("");
}

static struct slice charset_of(struct slice document, struct slice said)
{
    if (slice_starts(document, SLICE("\xef\xbb\xbf")))
        return SLICE("utf-8");
    if (slice_starts(document, SLICE("\xff\xfe")))
        return SLICE("utf-16le");
    if (slice_starts(document, SLICE("\xfe\xff")))
        return SLICE("utf-16be");
    if (charset_is_known(said) && !slice_eq_nocase(said, SLICE("us-ascii")))
        return said;
    struct slice meta = html_meta_charset(document);
    /* Whoever could read the meta element in ASCII does not read UTF-16. */
    return charset_is_known(meta) && !slice_starts_nocase(meta, SLICE("utf-16")) ? meta : SLICE("utf-8");
}

/*
 * The parser reads nothing after the end of html or body; mail is full of footers that
 * stand there.  These end tags become line breaks of the same length.
 */
static void open_ends(struct buf *clean)
{
    static const struct slice ends[] = {{"</html", 6}, {"</body", 6}};
    struct slice rest = buf_slice(clean);

    for (const char *at; rest.len > 0 && (at = memchr(rest.ptr, '<', rest.len)) != NULL;) {
        size_t i = (size_t)(at - rest.ptr);
        rest = slice_from(rest, i);
        for (size_t e = 0; e < ARRAY_LEN(ends); e++)
            if (slice_starts_nocase(rest, ends[e]))
                memcpy(clean->data + (rest.ptr - clean->data), "<br   ", 6);
        rest = slice_from(rest, 1);
    }
}

/* As UTF-8 without control characters, at some of which the parser would stop. */
static void add_clean(struct slice document, struct slice charset, struct buf *out)
{
    struct charset_decoder *d = charset_decoder_create(charset);

    charset_decoder_feed(d, document, out);
    charset_decoder_finish(d, out);
    charset_decoder_destroy(&d);
    for (size_t i = 0; i < out->len; i++)
        if ((unsigned char)out->data[i] < ' ' || out->data[i] == 0x7f)
            out->data[i] = out->data[i] == '\n' ? '\n' : ' ';
    open_ends(out);
}

/* ---- parsing ---- */

static int64_t thread_ms(void)
{
    struct timespec t = {0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool within_limits(const struct maker *m, int64_t until, struct fail *why)
{
    if (m->too_deep)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "elements are nested deeper than %u", m->limits->depth);
    if (m->out->failed)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "its text is longer than %zu bytes", m->out->max);
    if (thread_ms() > until)
        return fail_set(why, FAIL_PERM, FAIL_LIMIT, "it took longer than %u ms", m->limits->ms);
    return true;
}

static bool parse(const struct html_library *x, struct slice document, struct maker *m, struct fail *why)
{
    htmlSAXHandler said = {
        .startElement = on_start, .endElement = on_end, .characters = on_text, .ignorableWhitespace = on_text};
    int64_t until = thread_ms() + m->limits->ms;
    htmlParserCtxtPtr parser = x->create(&said, m, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);
    bool ok = true;

    if (parser == NULL)
        return fail_set(why, FAIL_TEMP, FAIL_OTHER, "no memory for the parser");
    (void)x->use_options(parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
                                      HTML_PARSE_NONET | HTML_PARSE_IGNORE_ENC);
    while (ok && document.len > 0) {
        struct slice piece = slice_sub(document, 0, PIECE);
        (void)x->parse(parser, piece.ptr, (int)piece.len, 0);
        document = slice_from(document, piece.len);
        ok = within_limits(m, until, why);
    }
    if (ok) {
        (void)x->parse(parser, NULL, 0, 1);
        ok = within_limits(m, until, why);
    }
    x->release(parser);
    return ok;
}

bool html_to_text(const struct html_library *x, struct slice document, struct slice charset,
                  const struct html_limits *limits, struct buf *out, struct fail *why)
{
    struct maker m = {.out = out, .limits = limits, .start = out->len};
    struct buf clean;

    buf_init(&clean, SIZE_MAX / 2);
    add_clean(document, charset_of(document, charset), &clean);
    bool ok = parse(x, buf_slice(&clean), &m, why);
    buf_finish(&clean);
    return ok;
}
