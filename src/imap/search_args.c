/*
 * imap/search_args.c - what SEARCH looks for.
 *
 * Layer: imap.
 */
#include "imap/search_args.h"

#include "imap/set.h"
#include "message/decode.h"

enum {
    STRING_MAX = 1024 * 1024, /* a search string in UTF-8 */
    KEYS_MAX = 500,           /* each is asked of each message */
    WHOLE_MAX = 50,           /* BODY and TEXT among them: each reads whole messages */
    FILTERS_MAX = 10,         /* filters in filters (RFC 5466 section 3.1: at least 3) */
};

struct reading {
    struct imap_reader *r;
    const struct search_scope *scope;
    struct search_args *args;
    unsigned keys, whole;
    unsigned filters; /* that this is inside of */
    unsigned fuzzy;   /* FUZZY keys that this is inside of */
};

static struct search *new_key(struct reading *g, enum search_op op)
{
    struct search *key = g->keys++ < KEYS_MAX ? arena_new(g->r->arena, struct search) : NULL;

    if (key == NULL)
        imap_fail(g->r, "at most 500 search keys");
    if (key != NULL) {
        key->op = op;
        key->collation = g->scope->collation;
        key->fuzzy = g->fuzzy > 0;
    }
    return key;
}

static struct search *negate(struct reading *g, struct search *of)
{
    struct search *key = new_key(g, SEARCH_NOT);

    if (key != NULL)
        key->children = of;
    return key;
}

static struct search *flag_key(struct reading *g, uint32_t flag)
{
    struct search *key = new_key(g, SEARCH_FLAGS);

    if (key != NULL)
        key->flags = flag;
    return key;
}

static struct search *recent_key(struct reading *g)
{
    struct search *key = new_key(g, g->scope->recent_count > 0 ? SEARCH_UIDS : SEARCH_NOTHING);

    if (key != NULL) {
        key->recent = true;
        key->ranges = g->scope->recent;
        key->range_count = g->scope->recent_count;
    }
    return key;
}

/* "NEW" is "(RECENT UNSEEN)" */
static struct search *new_messages_key(struct reading *g)
{
    struct search *key = new_key(g, SEARCH_AND), *recent = recent_key(g);

    if (key != NULL && recent != NULL) {
        key->children = recent;
        recent->next = negate(g, flag_key(g, STORE_SEEN));
    }
    return key;
}

/* A string in the search's charset, as UTF-8. */
static struct slice read_text(struct reading *g)
{
    struct slice raw = imap_read_astring(g->r), charset = g->args->charset, text;
    struct charset_decoder *d;
    struct buf utf8;

    if (g->r->failed || charset.len == 0 || g->args->bad_charset || g->filters > 0)
        return raw;
    buf_init(&utf8, STRING_MAX);
    d = charset_decoder_create(charset);
    charset_decoder_feed(d, raw, &utf8);
    charset_decoder_finish(d, &utf8);
    charset_decoder_destroy(&d);
    text = arena_keep(g->r->arena, buf_slice(&utf8));
    if (utf8.failed)
        imap_fail(g->r, "a shorter string");
    buf_finish(&utf8);
    return text;
}

/* "$": those UIDs; none: nothing. */
static struct search *saved_key(struct reading *g)
{
    struct imap_set saved = imap_set_resolve(g->r->arena, g->scope->saved, 0);
    struct search *key = new_key(g, saved.count > 0 ? SEARCH_UIDS : SEARCH_NOTHING);

    if (key != NULL) {
        key->ranges = saved.ranges;
        key->range_count = saved.count;
    }
    return key;
}

/* Numbers that the mailbox does not have: refused, but where they may match nothing. */
static void check_numbers(struct reading *g, const struct imap_set *set, size_t began)
{
    uint32_t most = g->scope->messages;

    if (g->scope->any_number)
        return;
    if (set->count == 0 || set->ranges[0].first == 0 || set->ranges[set->count - 1].last > most) {
        g->r->at = began;
        imap_fail(g->r, "message numbers that exist");
    }
}

static struct search *set_key(struct reading *g, enum search_op op)
{
    uint32_t star = op == SEARCH_UIDS ? g->scope->last_uid : g->scope->messages;
    size_t began = g->r->at;
    struct imap_set set = imap_read_set(g->r);

    if (set.saved)
        return saved_key(g);
    struct search *key = new_key(g, op);
    if (op == SEARCH_POSITIONS && g->scope->uid_only && !g->r->failed) {
        g->r->at = began;
        imap_fail(g->r, "UID before the set: UIDONLY was enabled");
        g->args->uid_required = true;
    }
    if (key == NULL || g->r->failed)
        return key;
    set = imap_set_resolve(g->r->arena, set, star);
    key->ranges = set.ranges;
    key->range_count = set.count;
    g->args->numbers = g->args->numbers || op == SEARCH_POSITIONS;
    if (op == SEARCH_POSITIONS)
        check_numbers(g, &set, began);
    return key;
}

/* "UIDAFTER" SP uniqueid / "UIDBEFORE" SP uniqueid     RFC 9738 section 4 */
static struct search *uid_bound_key(struct reading *g, bool after)
{
    imap_expect_space(g->r);
    uint32_t uid = (uint32_t)imap_read_number(g->r, 1, UINT32_MAX);
    struct uid_range range = after ? (struct uid_range){uid + 1, UINT32_MAX} : (struct uid_range){1, uid - 1};
    struct search *key = new_key(g, (after ? uid == UINT32_MAX : uid == 1) ? SEARCH_NOTHING : SEARCH_UIDS);

    if (key == NULL || key->op == SEARCH_NOTHING)
        return key;
    key->ranges = arena_new(g->r->arena, struct uid_range);
    if (key->ranges == NULL) {
        imap_fail(g->r, "a shorter command");
        return NULL;
    }
    *key->ranges = range;
    key->range_count = 1;
    return key;
}

/* "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-value      RFC 7162 section 7 */
static struct search *modseq_key(struct reading *g)
{
    struct search *key = new_key(g, SEARCH_MODSEQ);

    /* One modseq counts for all flags: which one is asked about does not matter. */
    if (imap_peek(g->r) == '"') {
        if (!slice_starts_nocase(imap_read_string(g->r), SLICE("/flags/")))
            imap_fail(g->r, "an entry such as \"/flags/\\\\Seen\"");
        imap_expect_space(g->r);
        if (!imap_accept_word(g->r, "priv") && !imap_accept_word(g->r, "shared") &&
            !imap_accept_word(g->r, "all"))
            imap_fail(g->r, "priv, shared or all");
        imap_expect_space(g->r);
    }
    uint64_t modseq = imap_read_number(g->r, 0, IMAP_MODSEQ_MAX);
    if (key != NULL)
        key->number = modseq;
    g->args->modseq = true;
    return key;
}

/* Keys that are one word. */
static struct search *word_key(struct reading *g, struct slice word)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } flags[] = {
        {"ANSWERED", STORE_ANSWERED}, {"DELETED", STORE_DELETED}, {"DRAFT", STORE_DRAFT},
        {"FLAGGED", STORE_FLAGGED},   {"SEEN", STORE_SEEN},
    };
    bool un = slice_starts_nocase(word, SLICE("UN"));
    struct slice name = un ? slice_from(word, 2) : word;

    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (slice_eq_nocase(name, slice_of(flags[i].name)))
            return un ? negate(g, flag_key(g, flags[i].flag)) : flag_key(g, flags[i].flag);
    if (slice_eq_nocase(word, SLICE("ALL")))
        return new_key(g, SEARCH_ALL);
    if (slice_eq_nocase(word, SLICE("RECENT")))
        return recent_key(g);
    if (slice_eq_nocase(word, SLICE("OLD")))
        return negate(g, recent_key(g));
    if (slice_eq_nocase(word, SLICE("NEW")))
        return new_messages_key(g);
    if (slice_eq_nocase(word, SLICE("SAVEDATESUPPORTED"))) /* by every mailbox: RFC 8514 section 4.3 */
        return new_key(g, SEARCH_ALL);
    return NULL;
}

/* Keys with one argument. */
static struct search *argument_key(struct reading *g, struct slice word)
{
    static const struct {
        const char *name;
        enum search_op op;
        enum { TEXT, DATE, NUMBER, INTERVAL } argument;
    } keys[] = {
        {"BCC", SEARCH_BCC, TEXT},
        {"BODY", SEARCH_BODY, TEXT},
        {"CC", SEARCH_CC, TEXT},
        {"FROM", SEARCH_FROM, TEXT},
        {"SUBJECT", SEARCH_SUBJECT, TEXT},
        {"TEXT", SEARCH_TEXT, TEXT},
        {"TO", SEARCH_TO, TEXT},
        {"BEFORE", SEARCH_BEFORE, DATE},
        {"ON", SEARCH_ON, DATE},
        {"SINCE", SEARCH_SINCE, DATE},
        {"SENTBEFORE", SEARCH_SENT_BEFORE, DATE},
        {"SENTON", SEARCH_SENT_ON, DATE},
        {"SENTSINCE", SEARCH_SENT_SINCE, DATE},
        {"SAVEDBEFORE", SEARCH_SAVED_BEFORE, DATE},
        {"SAVEDON", SEARCH_SAVED_ON, DATE},
        {"SAVEDSINCE", SEARCH_SAVED_SINCE, DATE},
        {"OLDER", SEARCH_OLDER, INTERVAL},
        {"YOUNGER", SEARCH_YOUNGER, INTERVAL},
        {"LARGER", SEARCH_LARGER, NUMBER},
        {"SMALLER", SEARCH_SMALLER, NUMBER},
    };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (!slice_eq_nocase(word, slice_of(keys[i].name)))
            continue;
        struct search *key = new_key(g, keys[i].op);
        if ((keys[i].op == SEARCH_BODY || keys[i].op == SEARCH_TEXT) && ++g->whole > WHOLE_MAX)
            imap_fail(g->r, "at most 50 of BODY and TEXT");
        imap_expect_space(g->r);
        if (key == NULL)
            return NULL;
        switch (keys[i].argument) {
        case TEXT: key->text = read_text(g); break;
        case DATE: key->number = (uint64_t)imap_read_date(g->r); break;
        case NUMBER: key->number = imap_read_number(g->r, 0, INT64_MAX); break;
        case INTERVAL: /* seconds back from now: RFC 5032 section 3 */
            key->number = (uint64_t)(g->scope->now - (int64_t)imap_read_number(g->r, 1, UINT32_MAX));
            break;
        }
        return key;
    }
    return NULL;
}

static struct search *read_key(struct reading *g);

/* search-key *(SP search-key), up to a ")" or the end */
static struct search *read_all_of(struct reading *g)
{
    struct search *all = new_key(g, SEARCH_AND), **tail = all != NULL ? &all->children : NULL;

    do {
        struct search *key = read_key(g);
        if (key == NULL || tail == NULL)
            return NULL;
        *tail = key;
        tail = &key->next;
    } while (imap_accept(g->r, ' '));
    return all;
}

/* "HEADER" SP header-fld-name SP astring */
static struct search *header_key(struct reading *g)
{
    struct search *key = new_key(g, SEARCH_HEADER);

    imap_expect_space(g->r);
    struct slice field = imap_read_astring(g->r);
    imap_expect_space(g->r);
    struct slice text = read_text(g);
    if (key != NULL) {
        key->field = field;
        key->text = text;
    }
    return key;
}

/* "OR" SP search-key SP search-key */
static struct search *or_key(struct reading *g)
{
    struct search *key = new_key(g, SEARCH_OR);

    imap_expect_space(g->r);
    struct search *one = read_key(g);
    imap_expect_space(g->r);
    struct search *other = read_key(g);
    if (key == NULL || one == NULL)
        return NULL;
    key->children = one;
    one->next = other;
    return key;
}

/* "KEYWORD" SP flag-keyword */
static struct search *keyword_key(struct reading *g)
{
    struct search *key = new_key(g, SEARCH_KEYWORD);

    imap_expect_space(g->r);
    struct slice keyword = imap_read_atom(g->r);
    if (key != NULL)
        key->text = keyword;
    return key;
}

/*
 * "EMAILID" SP objectid / "THREADID" SP objectid; objectid = 1*255(ALPHA / DIGIT / "_" / "-")
 *
 * An id that this server never gives matches nothing (RFC 8474 section 6).
 */
static struct search *object_key(struct reading *g, char kind, enum search_op op)
{
    uint64_t number;
    size_t began = g->r->at;

    imap_expect_space(g->r);
    struct slice id = imap_read_atom(g->r);
    for (size_t i = 0; i < id.len; i++)
        if (i == 255 || !(ascii_is_alpha(id.ptr[i]) || ascii_is_digit(id.ptr[i]) || id.ptr[i] == '_' ||
                          id.ptr[i] == '-')) {
            g->r->at = began;
            imap_fail(g->r, "an object id");
        }
    bool ours = imap_parse_objectid(id, kind, g->scope->foreign, &number);
    struct search *key = new_key(g, ours ? op : SEARCH_NOTHING);
    if (key != NULL && ours)
        key->number = number;
    return key;
}

/*
 * "FILTER" SP filter-name; filter-name = 1*<any ATOM-CHAR except "/">      RFC 5466 section 4
 *
 * What the filter says stands for it as one key, in UTF-8.  A chain of filters that does not end, like
 * one that is not well-formed, is as good as none.
 */
static struct search *filter_key(struct reading *g)
{
    const struct search_scope *scope = g->scope;
    struct imap_reader *outer = g->r, inner;
    struct slice keys;

    imap_expect_space(outer);
    struct slice name = imap_read_atom(outer);
    if (slice_find_char(name, '/') < name.len)
        imap_fail(outer, "the name of a filter");
    if (outer->failed)
        return NULL;
    g->args->filtered = true;
    if (scope->any_filter)
        return new_key(g, SEARCH_ALL);
    struct search *key = NULL;
    if (scope->filter != NULL && g->filters < FILTERS_MAX && scope->filter(scope->session, outer->arena, name, &keys)) {
        imap_reader_init(&inner, keys, outer->arena, outer->limits);
        inner.depth = outer->depth;
        g->r = &inner;
        g->filters++;
        key = read_all_of(g);
        imap_expect_end(&inner);
        g->filters--;
        g->r = outer;
        key = inner.failed ? NULL : key;
    }
    if (key == NULL && g->args->undefined.len == 0)
        g->args->undefined = name;
    if (key == NULL)
        imap_fail(outer, "the name of a filter");
    return key;
}

/* Keys with a grammar of their own; NULL with nothing read if `word` is none of them. */
static struct search *special_key(struct reading *g, struct slice word)
{
    if (slice_eq_nocase(word, SLICE("NOT"))) {
        imap_expect_space(g->r);
        return negate(g, read_key(g));
    }
    if (slice_eq_nocase(word, SLICE("FUZZY"))) {
        imap_expect_space(g->r);
        g->args->fuzzy = true;
        g->fuzzy++;
        struct search *key = read_key(g);
        g->fuzzy--;
        return key;
    }
    if (slice_eq_nocase(word, SLICE("OR")))
        return or_key(g);
    if (slice_eq_nocase(word, SLICE("HEADER")))
        return header_key(g);
    if (slice_eq_nocase(word, SLICE("KEYWORD")))
        return keyword_key(g);
    if (slice_eq_nocase(word, SLICE("UNKEYWORD")))
        return negate(g, keyword_key(g));
    if (slice_eq_nocase(word, SLICE("UID"))) {
        imap_expect_space(g->r);
        return set_key(g, SEARCH_UIDS);
    }
    if (slice_eq_nocase(word, SLICE("UIDAFTER")) || slice_eq_nocase(word, SLICE("UIDBEFORE")))
        return uid_bound_key(g, slice_eq_nocase(word, SLICE("UIDAFTER")));
    if (slice_eq_nocase(word, SLICE("FILTER")))
        return filter_key(g);
    if (slice_eq_nocase(word, SLICE("EMAILID")))
        return object_key(g, 'M', SEARCH_EMAILID);
    if (slice_eq_nocase(word, SLICE("THREADID")))
        return object_key(g, 'T', SEARCH_THREADID);
    if (slice_eq_nocase(word, SLICE("MODSEQ"))) {
        imap_expect_space(g->r);
        return modseq_key(g);
    }
    return NULL;
}

/*
 * search-key = "ALL" / "ANSWERED" / ... / "NOT" SP search-key / "OR" SP search-key SP search-key /
 *              sequence-set / "UID" SP sequence-set / "(" search-key *(SP search-key) ")"
 *                                                      RFC 3501 section 9
 */
static struct search *read_key(struct reading *g)
{
    struct imap_reader *r = g->r;
    struct search *key = NULL;
    size_t began = r->at;

    if (!imap_descend(r)) {
        imap_ascend(r);
        return NULL;
    }
    if (imap_accept(r, '(')) {
        key = read_all_of(g);
        imap_expect(r, ')');
    } else if (imap_at_set(r)) {
        key = set_key(g, SEARCH_POSITIONS);
    } else {
        struct slice word = imap_read_atom(r);
        key = word_key(g, word);
        if (key == NULL)
            key = argument_key(g, word);
        if (key == NULL && !r->failed)
            key = special_key(g, word);
        if (key == NULL && !r->failed) {
            r->at = began;
            imap_fail(r, "a search key");
        }
    }
    imap_ascend(r);
    return r->failed ? NULL : key;
}

void search_charset_read(struct imap_reader *r, struct search_args *args)
{
    args->charset = imap_read_astring(r);
    args->bad_charset = !r->failed && !charset_is_known(args->charset);
}

void search_keys_read(struct imap_reader *r, const struct search_scope *scope, struct search_args *args)
{
    struct reading g = {.r = r, .scope = scope, .args = args};

    args->keys = slice_from(r->text, r->at);
    args->tree = read_all_of(&g);
    imap_expect_end(r);
    if ((args->options.returns & RETURN_RELEVANCY) && !args->fuzzy)
        imap_fail(r, "a FUZZY key with RELEVANCY"); /* RFC 6203 section 4 */
}

/* search = "SEARCH" [search-return-opts] [SP "CHARSET" SP astring] 1*(SP search-key) */
struct search_args search_args_read(struct imap_reader *r, const struct search_scope *scope)
{
    struct search_args args = {0};

    imap_expect_space(r);
    if (imap_accept_word(r, "RETURN")) {
        imap_expect_space(r);
        esearch_read_options(r, &args.options);
        imap_expect_space(r);
    }
    if (imap_accept_word(r, "CHARSET")) {
        imap_expect_space(r);
        search_charset_read(r, &args);
        imap_expect_space(r);
    }
    search_keys_read(r, scope, &args);
    return args;
}
