/*
 * fuzz/imap_grammar.c - reads responses production by production.
 *
 * A reader that has failed stays failed: the productions need no questions between them.
 */
#include "imap_grammar.h"

#include <string.h>

#include "base/unicode.h"

enum { DEPTH_MAX = 1000 };

static void broken(struct imap_grammar *g, const char *production)
{
    if (g->broken != NULL)
        return;
    g->broken = production;
    g->at = g->rest.ptr;
}

static bool more(const struct imap_grammar *g)
{
    return g->broken == NULL && g->rest.len > 0;
}

static unsigned char peek(const struct imap_grammar *g)
{
    return more(g) ? (unsigned char)g->rest.ptr[0] : 0;
}

static void skip(struct imap_grammar *g, size_t n)
{
    g->rest = slice_from(g->rest, n);
}

static bool accept(struct imap_grammar *g, const char *text)
{
    if (g->broken != NULL || !slice_starts_nocase(g->rest, slice_of(text)))
        return false;
    skip(g, strlen(text));
    return true;
}

static void expect(struct imap_grammar *g, const char *text, const char *production)
{
    if (!accept(g, text))
        broken(g, production);
}

static void space(struct imap_grammar *g)
{
    expect(g, " ", "SP");
}

/* ---- words ---- */

static uint64_t number_to(struct imap_grammar *g, uint64_t min, uint64_t max, const char *production)
{
    uint64_t n = 0;
    size_t digits = 0;

    while (digits < g->rest.len && ascii_is_digit(g->rest.ptr[digits]))
        digits++;
    if (!slice_to_u64(slice_sub(g->rest, 0, digits), max, &n) || n < min || (digits > 1 && g->rest.ptr[0] == '0'))
        broken(g, production);
    skip(g, digits);
    return n;
}

static uint32_t number(struct imap_grammar *g) { return (uint32_t)number_to(g, 0, UINT32_MAX, "number"); }
static uint32_t nz_number(struct imap_grammar *g) { return (uint32_t)number_to(g, 1, UINT32_MAX, "nz-number"); }
static uint64_t number64(struct imap_grammar *g) { return number_to(g, 0, INT64_MAX, "number64"); }
static void mod_sequence(struct imap_grammar *g) { (void)number_to(g, 1, INT64_MAX, "mod-sequence-value"); }

/* atom-specials without "]", RFC 9051 */
static bool is_astring_char(unsigned char c)
{
    return c > ' ' && c < 0x7f && strchr("(){%*\"\\", c) == NULL;
}

static struct slice atom(struct imap_grammar *g)
{
    size_t n = 0;

    while (n < g->rest.len && is_astring_char((unsigned char)g->rest.ptr[n]) && g->rest.ptr[n] != ']')
        n++;
    if (n == 0)
        broken(g, "atom");
    struct slice a = slice_sub(g->rest, 0, n);
    skip(g, n);
    return g->broken == NULL ? a : SLICE("");
}

static void utf8_only_if_enabled(struct imap_grammar *g, struct slice s)
{
    if (!slice_is_ascii(s) && (!g->utf8 || !utf8_valid(s)))
        broken(g, "UTF-8 for who has not enabled it, or none");
}

static struct slice quoted(struct imap_grammar *g)
{
    size_t n = 1;

    for (; n < g->rest.len && g->rest.ptr[n] != '"'; n++) {
        if (g->rest.ptr[n] == '\\') {
            n++;
            if (n == g->rest.len || (g->rest.ptr[n] != '"' && g->rest.ptr[n] != '\\'))
                broken(g, "quoted-specials");
        } else if (g->rest.ptr[n] == '\r' || g->rest.ptr[n] == '\n' || g->rest.ptr[n] == '\0') {
            broken(g, "QUOTED-CHAR");
        }
    }
    if (n >= g->rest.len)
        broken(g, "quoted");
    struct slice s = slice_sub(g->rest, 1, g->broken == NULL ? n - 1 : 0);
    utf8_only_if_enabled(g, s);
    skip(g, n + 1);
    return s;
}

/* Behind "{". */
static struct slice literal(struct imap_grammar *g, bool nul)
{
    uint64_t n = number64(g);

    expect(g, "}\r\n", "literal");
    if (n > g->rest.len)
        broken(g, "literal: fewer octets than announced");
    struct slice s = slice_sub(g->rest, 0, g->broken == NULL ? (size_t)n : 0);
    if (!nul && slice_find_char(s, '\0') < s.len)
        broken(g, "CHAR8");
    skip(g, s.len);
    return s;
}

static struct slice string(struct imap_grammar *g)
{
    if (peek(g) == '"')
        return quoted(g);
    expect(g, "{", "string");
    return literal(g, false);
}

static bool nil(struct imap_grammar *g)
{
    return accept(g, "NIL");
}

static void nstring(struct imap_grammar *g)
{
    if (!nil(g))
        (void)string(g);
}

static void astring(struct imap_grammar *g)
{
    size_t n = 0;

    if (peek(g) == '"' || peek(g) == '{') {
        (void)string(g);
        return;
    }
    while (n < g->rest.len && is_astring_char((unsigned char)g->rest.ptr[n]))
        n++;
    if (n == 0)
        broken(g, "astring");
    skip(g, n);
}

#define mailbox astring

/* What stands between parentheses, with one space between; `one` reads it. */
static void list_of(struct imap_grammar *g, void (*one)(struct imap_grammar *g), unsigned at_least, const char *production)
{
    unsigned n = 0;

    expect(g, "(", production);
    while (g->broken == NULL && peek(g) != ')') {
        if (n++ > 0)
            space(g);
        one(g);
    }
    expect(g, ")", production);
    if (n < at_least)
        broken(g, production);
}

/* uid-set: numbers and ranges without "*" */
static void number_set(struct imap_grammar *g)
{
    do {
        (void)nz_number(g);
        if (accept(g, ":"))
            (void)nz_number(g);
    } while (accept(g, ","));
}

/* ---- flags ---- */

static void flag_of(struct imap_grammar *g, bool star)
{
    if (star && accept(g, "\\*"))
        return;
    (void)accept(g, "\\");
    (void)atom(g);
}

static void flag(struct imap_grammar *g) { flag_of(g, false); }
static void flag_perm(struct imap_grammar *g) { flag_of(g, true); }

/* ---- response codes ---- */

static void string_word(struct imap_grammar *g) { (void)string(g); }

static void objectid_list(struct imap_grammar *g)
{
    expect(g, "(", "objectid");
    struct slice id = atom(g);
    for (size_t i = 0; i < id.len; i++)
        if (!ascii_is_digit(id.ptr[i]) && !ascii_is_alpha(id.ptr[i]) && id.ptr[i] != '-' && id.ptr[i] != '_')
            broken(g, "objectid");
    if (id.len > 255)
        broken(g, "objectid");
    expect(g, ")", "objectid");
}

static void capabilities(struct imap_grammar *g)
{
    bool rev = false;

    do {
        struct slice name = atom(g);
        rev = rev || slice_eq_nocase(name, SLICE("IMAP4rev1")) || slice_eq_nocase(name, SLICE("IMAP4rev2"));
    } while (accept(g, " "));
    if (!rev)
        broken(g, "capability-data: IMAP4rev1");
}

static void code_copyuid(struct imap_grammar *g)
{
    (void)nz_number(g);
    space(g);
    number_set(g);
    space(g);
    number_set(g);
}

static void code_appenduid(struct imap_grammar *g)
{
    (void)nz_number(g);
    space(g);
    number_set(g);
}

static void charset(struct imap_grammar *g) { astring(g); }
static void code_charsets(struct imap_grammar *g) { list_of(g, charset, 1, "BADCHARSET"); }
static void code_permanent(struct imap_grammar *g) { list_of(g, flag_perm, 0, "PERMANENTFLAGS"); }
static void code_number(struct imap_grammar *g) { (void)nz_number(g); }
static void code_any_number(struct imap_grammar *g) { (void)number64(g); }

static void code_metadata(struct imap_grammar *g)
{
    if (accept(g, "LONGENTRIES ") || accept(g, "MAXSIZE "))
        (void)number64(g);
    else if (!accept(g, "TOOMANY") && !accept(g, "NOPRIVATE"))
        broken(g, "METADATA");
}

/* RFC 9585: "(" tag [SP progress [SP goal]] ")" */
static void code_inprogress(struct imap_grammar *g)
{
    expect(g, "(", "INPROGRESS");
    if (!nil(g))
        (void)quoted(g);
    space(g);
    if (!nil(g))
        (void)number64(g);
    space(g);
    if (!nil(g))
        (void)number64(g);
    expect(g, ")", "INPROGRESS");
}

/* RFC 9738 section 4: MESSAGELIMIT SP nz-number [SP nz-number] */
static void code_messagelimit(struct imap_grammar *g)
{
    (void)nz_number(g);
    if (accept(g, " "))
        (void)nz_number(g);
}

static void code_modified(struct imap_grammar *g) { number_set(g); }

static void code_text(struct imap_grammar *g)
{
    size_t n = 0;

    while (n < g->rest.len && g->rest.ptr[n] != ']' && g->rest.ptr[n] != '\r' && g->rest.ptr[n] != '\n')
        n++;
    if (n == 0)
        broken(g, "resp-text-code: atom SP 1*text");
    skip(g, n);
}

/* With what must follow; NULL: nothing may. */
static const struct code {
    const char *name;
    void (*rest)(struct imap_grammar *g);
} codes[] = {
    {"ALERT", NULL}, {"PARSE", NULL}, {"READ-ONLY", NULL}, {"READ-WRITE", NULL}, {"TRYCREATE", NULL}, {"CLOSED", NULL},
    {"UIDNOTSTICKY", NULL}, {"UNAVAILABLE", NULL}, {"AUTHENTICATIONFAILED", NULL}, {"AUTHORIZATIONFAILED", NULL},
    {"EXPIRED", NULL}, {"PRIVACYREQUIRED", NULL}, {"CONTACTADMIN", NULL}, {"NOPERM", NULL}, {"INUSE", NULL},
    {"EXPUNGEISSUED", NULL}, {"CORRUPTION", NULL}, {"SERVERBUG", NULL}, {"CLIENTBUG", NULL}, {"CANNOT", NULL},
    {"LIMIT", NULL}, {"OVERQUOTA", NULL}, {"ALREADYEXISTS", NULL}, {"NONEXISTENT", NULL}, {"NOTSAVED", NULL},
    {"HASCHILDREN", NULL}, {"UNKNOWN-CTE", NULL}, {"NOMODSEQ", NULL}, {"TOOBIG", NULL}, {"UIDREQUIRED", NULL},
    {"COMPRESSIONACTIVE", NULL}, {"NOTIFICATIONOVERFLOW", NULL}, {"USEATTR", NULL}, {"TOOFEW", NULL},
    {"CAPABILITY", capabilities}, {"PERMANENTFLAGS", code_permanent}, {"UIDNEXT", code_number}, {"UIDVALIDITY", code_number},
    {"UNSEEN", code_number}, {"APPENDUID", code_appenduid}, {"COPYUID", code_copyuid}, {"HIGHESTMODSEQ", mod_sequence},
    {"MODIFIED", code_modified}, {"MAILBOXID", objectid_list}, {"METADATA", code_metadata}, {"INPROGRESS", code_inprogress},
    {"MESSAGELIMIT", code_messagelimit}, {"SAVELIMIT", code_any_number}, {"NOUPDATE", string_word}, {"BADURL", code_text},
    {"URLMECH", code_text}, {"BADEVENT", code_text}, {"UNDEFINED-FILTER", code_text},
};

/* resp-text-code, behind "[" */
static void resp_text_code(struct imap_grammar *g)
{
    struct slice name = atom(g);

    if (slice_eq_nocase(name, SLICE("BADCHARSET")) || slice_eq_nocase(name, SLICE("BADCOMPARATOR"))) {
        if (accept(g, " "))
            code_charsets(g);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (!slice_eq_nocase(name, slice_of(codes[i].name)))
            continue;
        if (codes[i].rest != NULL) {
            space(g);
            codes[i].rest(g);
        }
        return;
    }
    broken(g, "resp-text-code: unknown here");
}

/* resp-text = ["[" resp-text-code "]" SP] text CRLF */
static void resp_text(struct imap_grammar *g)
{
    size_t n = 0;

    if (accept(g, "[")) {
        resp_text_code(g);
        expect(g, "] ", "resp-text-code: ] SP");
    }
    while (n < g->rest.len && g->rest.ptr[n] != '\r' && g->rest.ptr[n] != '\n' && g->rest.ptr[n] != '\0')
        n++;
    if (n == 0)
        broken(g, "resp-text: text");
    utf8_only_if_enabled(g, slice_sub(g->rest, 0, n));
    skip(g, n);
}

/* ---- FETCH ---- */

static void address(struct imap_grammar *g)
{
    expect(g, "(", "address");
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            space(g);
        nstring(g);
    }
    expect(g, ")", "address");
}

/* env-from etc.: "(" 1*address ")" / nil */
static void addresses(struct imap_grammar *g)
{
    if (nil(g))
        return;
    expect(g, "(", "env-from");
    do
        address(g);
    while (g->broken == NULL && peek(g) == '(');
    expect(g, ")", "env-from");
}

static void envelope(struct imap_grammar *g)
{
    expect(g, "(", "envelope");
    for (int i = 0; i < 10; i++) {
        if (i > 0)
            space(g);
        if (i >= 2 && i < 8)
            addresses(g);
        else
            nstring(g);
    }
    expect(g, ")", "envelope");
}

static void string_pair(struct imap_grammar *g)
{
    (void)string(g);
    space(g);
    (void)string(g);
}

static void body_param(struct imap_grammar *g)
{
    if (!nil(g))
        list_of(g, string_pair, 1, "body-fld-param");
}

/* [SP dsp [SP lang [SP loc]]] */
static void body_ext(struct imap_grammar *g)
{
    if (!accept(g, " "))
        return;
    if (!nil(g)) {
        expect(g, "(", "body-fld-dsp");
        (void)string(g);
        space(g);
        body_param(g);
        expect(g, ")", "body-fld-dsp");
    }
    if (!accept(g, " "))
        return;
    if (peek(g) == '(')
        list_of(g, string_word, 1, "body-fld-lang");
    else
        nstring(g);
    if (accept(g, " "))
        nstring(g);
}

static void body(struct imap_grammar *g, bool extended, unsigned depth);

static void body_multi(struct imap_grammar *g, bool extended, unsigned depth)
{
    do
        body(g, extended, depth + 1);
    while (g->broken == NULL && peek(g) == '(');
    space(g);
    (void)string(g);
    if (!accept(g, " "))
        return;
    if (!extended)
        broken(g, "body: extension data not asked for");
    body_param(g);
    body_ext(g);
}

static void body_single(struct imap_grammar *g, bool extended, unsigned depth)
{
    struct slice type = string(g);

    space(g);
    struct slice subtype = string(g);
    space(g);
    body_param(g);
    space(g);
    nstring(g);
    space(g);
    nstring(g);
    space(g);
    (void)string(g);
    space(g);
    (void)number64(g);
    if (g->broken == NULL && slice_eq_nocase(type, SLICE("message")) &&
        (slice_eq_nocase(subtype, SLICE("rfc822")) || slice_eq_nocase(subtype, SLICE("global")))) {
        space(g);
        envelope(g);
        space(g);
        body(g, extended, depth + 1);
        space(g);
        (void)number64(g);
    } else if (g->broken == NULL && slice_eq_nocase(type, SLICE("text"))) {
        space(g);
        (void)number64(g);
    }
    if (!accept(g, " "))
        return;
    if (!extended)
        broken(g, "body: extension data not asked for");
    nstring(g);
    body_ext(g);
}

/* RFC 9051 section 9, body */
static void body(struct imap_grammar *g, bool extended, unsigned depth)
{
    if (depth > DEPTH_MAX) {
        broken(g, "body: too deep");
        return;
    }
    expect(g, "(", "body");
    if (peek(g) == '(')
        body_multi(g, extended, depth);
    else
        body_single(g, extended, depth);
    expect(g, ")", "body");
}

/* date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE */
static void date_time(struct imap_grammar *g)
{
    static const char shape[] = "\"dd-mmm-dddd dd:dd:dd zdddd\"", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct slice s = slice_sub(g->rest, 0, sizeof shape - 1);
    bool right = s.len == sizeof shape - 1;

    for (size_t i = 0; right && i < s.len; i++) {
        char c = s.ptr[i];
        right = shape[i] == 'd' ? ascii_is_digit(c) || (i == 1 && c == ' ') : shape[i] == 'm' || (shape[i] == 'z' ? c == '+' || c == '-' : c == shape[i]);
    }
    size_t month = right ? slice_find_nocase(slice_of(months), slice_sub(s, 4, 3)) : 1;
    if (!right || month % 3 != 0 || month >= sizeof months - 1)
        broken(g, "date-time");
    skip(g, s.len);
}

static void section_part(struct imap_grammar *g)
{
    do
        (void)nz_number(g);
    while (g->rest.len > 1 && peek(g) == '.' && ascii_is_digit(g->rest.ptr[1]) && accept(g, "."));
}

/* section = "[" [section-spec] "]" */
static void section(struct imap_grammar *g, bool binary)
{
    bool part = ascii_is_digit((char)peek(g)), text = !part && peek(g) != ']';

    if (part) {
        section_part(g);
        text = accept(g, ".");
    }
    if (text && binary)
        broken(g, "section-binary");
    if (text && (accept(g, "HEADER.FIELDS.NOT ") || accept(g, "HEADER.FIELDS ")))
        list_of(g, astring, 1, "header-list");
    else if (text && !accept(g, "HEADER") && !accept(g, "TEXT") && !(part && accept(g, "MIME")))
        broken(g, "section-text");
    expect(g, "]", "section");
    if (accept(g, "<")) {
        (void)number64(g);
        expect(g, ">", "section: <number>");
    }
}

static void binary(struct imap_grammar *g)
{
    if (accept(g, "~{"))
        (void)literal(g, true);
    else
        nstring(g);
}

static void in_parentheses(struct imap_grammar *g, void (*one)(struct imap_grammar *g))
{
    expect(g, "(", "(");
    one(g);
    expect(g, ")", ")");
}

/* msg-att-dynamic / msg-att-static, and those of RFC 3516, 7162, 8474, 8514, 8970 */
static void msg_att(struct imap_grammar *g)
{
    if (accept(g, "FLAGS "))
        list_of(g, flag, 0, "FLAGS");
    else if (accept(g, "MODSEQ "))
        in_parentheses(g, mod_sequence);
    else if (accept(g, "UID "))
        (void)nz_number(g);
    else if (accept(g, "INTERNALDATE "))
        date_time(g);
    else if (accept(g, "RFC822.SIZE "))
        (void)number64(g);
    else if (accept(g, "RFC822.HEADER ") || accept(g, "RFC822.TEXT ") || accept(g, "RFC822 "))
        nstring(g);
    else if (accept(g, "ENVELOPE "))
        envelope(g);
    else if (accept(g, "BODYSTRUCTURE "))
        body(g, true, 0);
    else if (accept(g, "BODY "))
        body(g, false, 0);
    else if (accept(g, "BODY[")) {
        section(g, false);
        space(g);
        binary(g);
    } else if (accept(g, "BINARY[")) {
        section(g, true);
        space(g);
        binary(g);
    } else if (accept(g, "BINARY.SIZE[")) {
        section(g, true);
        space(g);
        (void)number64(g);
    } else if (accept(g, "EMAILID "))
        objectid_list(g);
    else if (accept(g, "THREADID ")) {
        if (!nil(g))
            objectid_list(g);
    } else if (accept(g, "SAVEDATE ")) {
        if (!nil(g))
            date_time(g);
    } else if (accept(g, "PREVIEW "))
        nstring(g);
    else
        broken(g, "msg-att");
}

/* ---- the other responses ---- */

static void enabled_response(struct imap_grammar *g)
{
    while (accept(g, " ")) {
        struct slice name = atom(g);
        if (slice_eq_nocase(name, SLICE("IMAP4rev2")) || slice_eq_nocase(name, SLICE("UTF8=ACCEPT")))
            g->utf8 = true;
    }
}

static void flags_response(struct imap_grammar *g)
{
    space(g);
    list_of(g, flag, 0, "FLAGS");
}

static void capability_response(struct imap_grammar *g)
{
    space(g);
    capabilities(g);
}

/* tagged-ext-comp, loosely: strings, atoms and lists */
static void extension(struct imap_grammar *g)
{
    if (peek(g) == '(')
        list_of(g, extension, 0, "tagged-ext-comp");
    else
        astring(g);
}

static void list_item(struct imap_grammar *g)
{
    astring(g);
    space(g);
    list_of(g, extension, 0, "tagged-ext-val");
}

static void list_attribute(struct imap_grammar *g)
{
    expect(g, "\\", "mbx-list-flags");
    (void)atom(g);
}

/* mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox [SP mbox-list-extended] */
static void list_response(struct imap_grammar *g)
{
    space(g);
    list_of(g, list_attribute, 0, "mbx-list-flags");
    space(g);
    if (!nil(g) && quoted(g).len == 0)
        broken(g, "mailbox-list: delimiter");
    space(g);
    mailbox(g);
    if (accept(g, " "))
        list_of(g, list_item, 0, "mbox-list-extended");
}

static void search_response(struct imap_grammar *g)
{
    while (accept(g, " ")) {
        if (accept(g, "(MODSEQ ")) {
            mod_sequence(g);
            expect(g, ")", "search-sort-mod-seq");
            return;
        }
        (void)nz_number(g);
    }
}

static void esearch_context(struct imap_grammar *g)
{
    (void)number(g);
    space(g);
    number_set(g);
}

static void esearch_partial(struct imap_grammar *g)
{
    bool back = accept(g, "(-");

    if (!back)
        expect(g, "(", "PARTIAL");
    (void)nz_number(g);
    expect(g, back ? ":-" : ":", "partial-range");
    (void)nz_number(g);
    space(g);
    if (!nil(g))
        number_set(g);
    expect(g, ")", "PARTIAL");
}

static void relevancy(struct imap_grammar *g) { (void)number_to(g, 1, 100, "score"); }

static void esearch_data(struct imap_grammar *g)
{
    if (accept(g, "MIN ") || accept(g, "MAX "))
        (void)nz_number(g);
    else if (accept(g, "COUNT "))
        (void)number(g);
    else if (accept(g, "ALL "))
        number_set(g);
    else if (accept(g, "MODSEQ "))
        mod_sequence(g);
    else if (accept(g, "PARTIAL "))
        esearch_partial(g);
    else if (accept(g, "ADDTO ") || accept(g, "REMOVEFROM "))
        list_of(g, esearch_context, 1, "ADDTO");
    else if (accept(g, "RELEVANCY "))
        list_of(g, relevancy, 0, "RELEVANCY");
    else
        broken(g, "search-return-data");
}

/* esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data) */
static void esearch_response(struct imap_grammar *g)
{
    if (accept(g, " (TAG ")) {
        (void)string(g);
        if (accept(g, " MAILBOX ")) {
            mailbox(g);
            expect(g, " UIDVALIDITY ", "search-correlator");
            (void)nz_number(g);
        }
        expect(g, ")", "search-correlator");
    }
    (void)accept(g, " UID");
    while (accept(g, " "))
        esearch_data(g);
}

static void thread_list(struct imap_grammar *g, unsigned depth)
{
    unsigned lists = 0;
    bool numbers = false;

    if (depth > DEPTH_MAX)
        return;
    expect(g, "(", "thread-list");
    if (peek(g) != '(') {
        numbers = true;
        (void)nz_number(g);
        while (g->broken == NULL && accept(g, " ") && peek(g) != '(')
            (void)nz_number(g);
    }
    for (; g->broken == NULL && peek(g) == '('; lists++)
        thread_list(g, depth + 1);
    if (lists == 1 || (lists == 0 && !numbers))
        broken(g, "thread-nested = 2*thread-list");
    expect(g, ")", "thread-list");
}

static void thread_response(struct imap_grammar *g)
{
    if (!accept(g, " "))
        return;
    do
        thread_list(g, 0);
    while (g->broken == NULL && peek(g) == '(');
}

static void status_att(struct imap_grammar *g)
{
    if (accept(g, "MESSAGES ") || accept(g, "UNSEEN ") || accept(g, "DELETED ") || accept(g, "RECENT "))
        (void)number(g);
    else if (accept(g, "UIDNEXT ") || accept(g, "UIDVALIDITY "))
        (void)nz_number(g);
    else if (accept(g, "SIZE ") || accept(g, "DELETED-STORAGE "))
        (void)number64(g);
    else if (accept(g, "HIGHESTMODSEQ "))
        (void)number64(g);
    else if (accept(g, "APPENDLIMIT ")) {
        if (!nil(g))
            (void)number64(g);
    } else if (accept(g, "MAILBOXID "))
        objectid_list(g);
    else
        broken(g, "status-att-val");
}

static void status_response(struct imap_grammar *g)
{
    space(g);
    mailbox(g);
    space(g);
    list_of(g, status_att, 0, "status-att-list");
}

static void namespace_response(struct imap_grammar *g)
{
    for (int i = 0; i < 3; i++) {
        space(g);
        if (nil(g))
            continue;
        expect(g, "(", "namespace");
        do {
            expect(g, "(", "namespace-descr");
            (void)string(g);
            space(g);
            if (!nil(g) && quoted(g).len == 0)
                broken(g, "namespace-descr");
            expect(g, ")", "namespace-descr");
        } while (g->broken == NULL && peek(g) == '(');
        expect(g, ")", "namespace");
    }
}

static void vanished_response(struct imap_grammar *g)
{
    if (!accept(g, " (EARLIER)"))
        g->knows_exists = false;
    space(g);
    number_set(g);
}

static void rights(struct imap_grammar *g)
{
    if (accept(g, "\"\""))
        return;
    struct slice letters = atom(g);
    for (size_t i = 0; i < letters.len; i++)
        if ((letters.ptr[i] < 'a' || letters.ptr[i] > 'z') && !ascii_is_digit(letters.ptr[i]))
            broken(g, "rights");
}

static void acl_response(struct imap_grammar *g)
{
    space(g);
    mailbox(g);
    while (accept(g, " ")) {
        astring(g);
        space(g);
        rights(g);
    }
}

static void listrights_response(struct imap_grammar *g)
{
    space(g);
    mailbox(g);
    space(g);
    astring(g);
    do {
        space(g);
        rights(g);
    } while (g->broken == NULL && peek(g) == ' ');
}

static void myrights_response(struct imap_grammar *g)
{
    space(g);
    mailbox(g);
    space(g);
    rights(g);
}

static void entry_value(struct imap_grammar *g)
{
    astring(g);
    space(g);
    binary(g);
}

static void metadata_response(struct imap_grammar *g)
{
    space(g);
    mailbox(g);
    space(g);
    if (peek(g) == '(') {
        list_of(g, entry_value, 1, "entry-values");
        return;
    }
    do
        astring(g);
    while (accept(g, " "));
}

static void quota_resource(struct imap_grammar *g)
{
    (void)atom(g);
    space(g);
    (void)number64(g);
    space(g);
    (void)number64(g);
}

static void quota_response(struct imap_grammar *g)
{
    space(g);
    astring(g);
    space(g);
    list_of(g, quota_resource, 0, "quota-list");
}

static void astrings(struct imap_grammar *g)
{
    do {
        space(g);
        astring(g);
    } while (g->broken == NULL && peek(g) == ' ');
}

static void id_pair(struct imap_grammar *g)
{
    (void)string(g);
    space(g);
    nstring(g);
}

static void id_response(struct imap_grammar *g)
{
    space(g);
    if (!nil(g))
        list_of(g, id_pair, 0, "id-params-list");
}

static void comparator_response(struct imap_grammar *g)
{
    space(g);
    astring(g);
    if (accept(g, " "))
        list_of(g, astring, 0, "comp-list");
}

static void language_response(struct imap_grammar *g)
{
    space(g);
    list_of(g, astring, 1, "lang-tag-quoted");
}

/* RFC 5524 section 3.2: url-metadata-el */
static void url_element(struct imap_grammar *g)
{
    expect(g, "(", "url-metadata-el");
    if (accept(g, "BODYPARTSTRUCTURE ")) {
        if (!nil(g))
            body(g, true, 0);
    } else if (accept(g, "BODY ") || accept(g, "BINARY ")) {
        binary(g);
    } else {
        broken(g, "url-metadata-el");
    }
    expect(g, ")", "url-metadata-el");
}

static void urlfetch_response(struct imap_grammar *g)
{
    while (accept(g, " ")) {
        astring(g);
        space(g);
        if (peek(g) != '(') {
            nstring(g);
            continue;
        }
        url_element(g);
        while (slice_starts(g->rest, SLICE(" (")) && accept(g, " "))
            url_element(g);
    }
}

static void uidbatches_response(struct imap_grammar *g)
{
    expect(g, " (TAG ", "uidbatches-response");
    (void)string(g);
    expect(g, ")", "uidbatches-response");
    if (accept(g, " "))
        number_set(g);
}

static void jmapaccess_response(struct imap_grammar *g)
{
    space(g);
    (void)string(g);
}

static void condition(struct imap_grammar *g)
{
    space(g);
    resp_text(g);
}

static const struct response {
    const char *name;
    void (*rest)(struct imap_grammar *g);
} responses[] = {
    {"OK", condition}, {"NO", condition}, {"BAD", condition}, {"BYE", condition},
    {"CAPABILITY", capability_response}, {"ENABLED", enabled_response}, {"FLAGS", flags_response},
    {"LIST", list_response}, {"LSUB", list_response}, {"SEARCH", search_response}, {"SORT", search_response},
    {"ESEARCH", esearch_response}, {"THREAD", thread_response}, {"STATUS", status_response},
    {"NAMESPACE", namespace_response}, {"VANISHED", vanished_response}, {"ACL", acl_response},
    {"LISTRIGHTS", listrights_response}, {"MYRIGHTS", myrights_response}, {"METADATA", metadata_response},
    {"QUOTA", quota_response}, {"QUOTAROOT", astrings}, {"ID", id_response}, {"COMPARATOR", comparator_response},
    {"LANGUAGE", language_response}, {"GENURLAUTH", astrings}, {"URLFETCH", urlfetch_response},
    {"UIDBATCHES", uidbatches_response}, {"JMAPACCESS", jmapaccess_response},
};

static void must_exist(struct imap_grammar *g, uint64_t n)
{
    if (n == 0 || (g->knows_exists && n > g->exists))
        broken(g, "a message number above EXISTS");
}

/* message-data = nz-number SP ("EXPUNGE" / ("FETCH" SP msg-att)), number SP ("EXISTS" / "RECENT") */
static void numbered(struct imap_grammar *g)
{
    uint32_t n = number(g);

    space(g);
    if (accept(g, "EXISTS")) {
        g->exists = n;
        g->knows_exists = true;
    } else if (accept(g, "RECENT")) {
        return;
    } else if (accept(g, "EXPUNGE")) {
        must_exist(g, n);
        g->exists -= g->knows_exists;
    } else if (accept(g, "FETCH ")) {
        must_exist(g, n);
        list_of(g, msg_att, 1, "msg-att");
    } else if (accept(g, "UIDFETCH ")) {
        list_of(g, msg_att, 0, "msg-att");
    } else {
        broken(g, "message-data");
    }
}

static void untagged(struct imap_grammar *g)
{
    if (ascii_is_digit((char)peek(g))) {
        numbered(g);
        return;
    }
    struct slice name = atom(g);
    for (size_t i = 0; i < ARRAY_LEN(responses); i++)
        if (slice_eq_nocase(name, slice_of(responses[i].name))) {
            responses[i].rest(g);
            return;
        }
    broken(g, "response-data");
}

static void add_digest(struct imap_grammar *g, struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        g->digest = (g->digest ^ (unsigned char)text.ptr[i]) * 1099511628211u;
}

/* response-tagged = tag SP resp-cond-state CRLF; tag = 1*<any ASTRING-CHAR except "+"> */
static void tagged(struct imap_grammar *g)
{
    size_t n = slice_find_char(g->rest, ' ');
    struct slice tag = slice_sub(g->rest, 0, n);

    for (size_t i = 0; i < tag.len; i++)
        if (!is_astring_char((unsigned char)tag.ptr[i]) || tag.ptr[i] == '+')
            broken(g, "tag");
    if (n == 0 || n == g->rest.len)
        broken(g, "tag");
    skip(g, n + 1);
    struct slice state = slice_sub(g->rest, 0, 2);
    if (accept(g, "OK "))
        g->ok++;
    else if (accept(g, "NO "))
        g->no++;
    else if (accept(g, "BAD "))
        g->bad++;
    else
        broken(g, "resp-cond-state");
    if (g->broken == NULL) {
        add_digest(g, tag);
        add_digest(g, state);
    }
    g->tagged++;
    resp_text(g);
}

/* continue-req = "+" SP (resp-text / base64) CRLF */
static void continue_req(struct imap_grammar *g)
{
    g->continues++;
    space(g);
    if (!slice_starts(g->rest, SLICE("\r\n"))) /* an empty challenge */
        resp_text(g);
}

void imap_grammar_check(struct imap_grammar *g, struct slice said)
{
    g->rest = said;
    if (!slice_starts(said, SLICE("* OK ")) && !slice_starts(said, SLICE("* BYE ")) && !slice_starts(said, SLICE("* PREAUTH ")))
        broken(g, "greeting");
    while (more(g)) {
        if (accept(g, "* "))
            untagged(g);
        else if (accept(g, "+"))
            continue_req(g);
        else
            tagged(g);
        expect(g, "\r\n", "CRLF");
    }
}
