/*
 * policy/access.c - see policy/access.h.
 *
 * Layer: policy.  A table is a hash map of patterns in the form in which they compare; each lookup asks for the few keys
 * that could match, the narrowest first.  A file that has changed makes a new set, which takes the old one's place.
 */
#include "policy/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/address.h"
#include "base/block.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/map.h"
#include "net/net.h"

enum {
    FILE_MAX = 256 << 20,
    PREFIXES = 129,
    NETWORK_KEY = 18, /* 'n', prefix, 16 bytes */
    NAME_MAX_BYTES = 512,
};

struct entry {
    struct access_answer answer;
};

struct entry_set {
    struct map   entries; /* key to struct entry in the arena */
    struct arena arena;
    bool         prefixes[PREFIXES]; /* of networks that occur */
    bool         has_names, has_all;
};

struct file_state {
    struct timespec changed;
    ino_t           inode;
    off_t           size;
    bool            there;
};

struct access_table {
    const struct policy_access *config;
    unsigned          entries_max;
    pthread_mutex_t   lock; /* all below */
    struct entry_set *set;
    struct file_state state;
    int64_t           looked_ms; /* when the file was last looked at */
};

/* ---- keys ---- */

struct key {
    size_t len;
    char   bytes[NAME_MAX_BYTES + 2];
};

static struct slice key_slice(const struct key *k)
{
    return slice_make(k->bytes, k->len);
}

/* One letter for the kind, then the text without case. */
static bool key_of_text(char kind, struct slice text, struct key *out)
{
    if (text.len == 0 || text.len > NAME_MAX_BYTES)
        return false;
    out->bytes[0] = kind;
    for (size_t i = 0; i < text.len; i++)
        out->bytes[1 + i] = ascii_lower(text.ptr[i]);
    out->len = text.len + 1;
    return true;
}

static bool key_of_domain(char kind, struct slice domain, struct key *out)
{
    struct domain_key d;

    if (domain.len > 0 && domain.ptr[domain.len - 1] == '.')
        domain.len--;
    return domain_key_parse(domain, &d) ? key_of_text(kind, domain_text(&d), out) : key_of_text(kind, domain, out);
}

static bool key_of_address(struct slice address, struct key *out)
{
    struct address_key a;

    return address_key_parse(address, &a) ? key_of_text('a', key_text(&a), out) : key_of_text('a', address, out);
}

/* `prefix` counts in the 128 bits of IPv6; what lies behind it is zero. */
static void key_of_network(const struct in6_addr *address, unsigned prefix, struct key *out)
{
    out->bytes[0] = 'n';
    out->bytes[1] = (char)prefix;
    for (unsigned i = 0; i < 16; i++) {
        const unsigned bits = prefix > i * 8 ? (prefix - i * 8 < 8 ? prefix - i * 8 : 8) : 0;
        out->bytes[2 + i] = (char)(address->s6_addr[i] & (unsigned char)(0xff00u >> bits));
    }
    out->len = NETWORK_KEY;
}

static bool network_of(struct slice pattern, struct in6_addr *address, unsigned *prefix)
{
    struct net_block block;

    if (!net_block_parse(pattern, &block, NULL))
        return false;
    if (block.address.ss_family == AF_INET) {
        memset(address, 0, sizeof *address);
        address->s6_addr[10] = address->s6_addr[11] = 0xff;
        memcpy(&address->s6_addr[12], &((const struct sockaddr_in *)&block.address)->sin_addr, 4);
        *prefix = block.prefix + 96;
    } else {
        *address = ((const struct sockaddr_in6 *)&block.address)->sin6_addr;
        *prefix = block.prefix;
    }
    return true;
}

/* ---- making a set ---- */

static void set_destroy(struct entry_set **s)
{
    if (*s == NULL)
        return;
    map_finish(&(*s)->entries);
    arena_finish(&(*s)->arena);
    free(*s);
    *s = NULL;
}

static bool pattern_key(struct entry_set *s, struct slice pattern, struct key *out)
{
    struct in6_addr address;
    unsigned        prefix;

    if (slice_eq(pattern, SLICE("*"))) {
        s->has_all = true;
        return key_of_text('*', SLICE("*"), out);
    }
    if (slice_eq(pattern, SLICE("<>")))
        return key_of_text('z', SLICE("<>"), out);
    if (network_of(pattern, &address, &prefix)) {
        s->prefixes[prefix] = true;
        key_of_network(&address, prefix, out);
        return true;
    }
    size_t at = slice_rfind_char(pattern, '@');
    if (at < pattern.len && at + 1 == pattern.len)
        return key_of_text('l', slice_sub(pattern, 0, at), out);
    if (at < pattern.len && at > 0)
        return key_of_address(pattern, out);
    s->has_names = true;
    if (pattern.len > 1 && pattern.ptr[0] == '.')
        return key_of_domain('s', slice_from(pattern, 1), out);
    if (at == 0)
        pattern = slice_from(pattern, 1); /* "@example.org" */
    return slice_find_char(pattern, '/') == pattern.len && slice_find_char(pattern, '*') == pattern.len &&
           key_of_domain('d', pattern, out);
}

static bool add_entry(struct entry_set *s, struct slice pattern, const struct access_answer *answer, struct fail *why)
{
    struct key key;

    if (!pattern_key(s, pattern, &key))
        return fail_set(why, FAIL_PERM, FAIL_INVALID,
                        "\"" PRIslice "\" is no pattern: addresses, domains, .subdomains, networks, user@, <> and * are", SLICE_ARG(pattern));
    struct entry *e = arena_new(&s->arena, struct entry);
    if (e == NULL)
        return fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "too much text");
    e->answer = *answer;
    e->answer.pattern = arena_keep(&s->arena, pattern);
    (void)map_put(&s->entries, key_slice(&key), e);
    return true;
}

static bool is_status(struct slice word)
{
    return word.len >= 5 && word.len <= 11 && (word.ptr[0] == '4' || word.ptr[0] == '5') && word.ptr[1] == '.' &&
           ascii_is_digit(word.ptr[2]) && slice_rfind_char(word, '.') > 2;
}

/* "5.7.1 text": the status code in front of it. */
static void take_text(struct slice text, struct access_answer *out)
{
    struct slice rest = text, word = slice_cut(&rest, ' ');

    if (is_status(word)) {
        out->status = word;
        text = slice_trim(rest);
    }
    out->text = text;
}

static bool is_number(struct slice word)
{
    uint64_t n;

    return slice_to_u64(word, UINT32_MAX, &n);
}

/* "554 text" and "450 text", as Postfix has them. */
static bool take_reply_code(struct slice word, struct slice rest, struct access_answer *out)
{
    uint64_t code = 0;

    if (word.len != 3 || !slice_to_u64(word, 599, &code) || code < 400)
        return false;
    out->code = (unsigned)code;
    out->action = code < 500 ? ACCESS_DEFER : ACCESS_REJECT;
    take_text(rest, out);
    return true;
}

static bool take_action(struct slice words, struct access_answer *out, struct fail *why)
{
    static const struct { const char *word; enum access_action action; } others[] = {
        {"ok", ACCESS_ALLOW},         {"permit", ACCESS_ALLOW},     {"accept", ACCESS_ALLOW}, {"dunno", ACCESS_NEXT},
        {"defer_if_permit", ACCESS_DEFER}, {"junk", ACCESS_TAG}, {"hold", ACCESS_TAG},
    };
    struct slice rest = words, word = slice_cut(&rest, ' ');
    bool known;

    rest = slice_trim(rest);
    if (take_reply_code(word, rest, out))
        return true;
    known = access_action_parse(word, &out->action);
    for (size_t i = 0; !known && i < ARRAY_LEN(others); i++) {
        known = slice_eq_nocase(word, slice_of(others[i].word));
        if (known)
            out->action = others[i].action;
    }
    if (!known && is_number(word)) {
        out->action = ACCESS_ALLOW;
        return true;
    }
    if (!known)
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "\"" PRIslice "\" is no action", SLICE_ARG(word));
    if (out->action == ACCESS_REDIRECT) {
        out->to = rest;
        return slice_find_char(rest, '@') < rest.len ||
               fail_set(why, FAIL_PERM, FAIL_INVALID, "redirect needs an address");
    }
    take_text(rest, out);
    return true;
}

static void default_answer(const struct policy_access *a, struct access_answer *out)
{
    *out = (struct access_answer){.action = a->action, .to = slice_of(a->to)};
    take_text(slice_of(a->text), out);
}

/* "pattern action ..." */
static bool add_line(struct entry_set *s, const struct policy_access *a, struct slice line, struct fail *why)
{
    struct access_answer answer;
    size_t end = 0;

    default_answer(a, &answer);
    while (end < line.len && line.ptr[end] != ' ' && line.ptr[end] != '\t')
        end++;
    struct slice pattern = slice_sub(line, 0, end), words = slice_trim(slice_from(line, end));
    for (size_t i = 0; i < words.len; i++)
        if ((unsigned char)words.ptr[i] < ' ' && words.ptr[i] != '\t')
            return fail_set(why, FAIL_PERM, FAIL_INVALID, "a control character");
    if (words.len > 0) {
        answer = (struct access_answer){0};
        if (!take_action(words, &answer, why))
            return false;
        answer.text = arena_keep(&s->arena, answer.text);
        answer.status = arena_keep(&s->arena, answer.status);
        answer.to = arena_keep(&s->arena, answer.to);
    }
    return add_entry(s, pattern, &answer, why);
}

/* The next logical line, which goes on where the next begins with a blank; false at the end. */
static bool next_line(struct slice *rest, unsigned *number, struct buf *line, unsigned *first)
{
    buf_reset(line);
    while (rest->len > 0) {
        struct slice peek = *rest, text = slice_cut(&peek, '\n');
        const bool goes_on = text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t');
        struct slice trimmed = slice_trim(text);
        const bool empty = trimmed.len == 0 || trimmed.ptr[0] == '#';
        if (line->len > 0 && !goes_on && !empty)
            return true;
        *rest = peek;
        (*number)++;
        if (empty)
            continue;
        if (line->len == 0)
            *first = *number;
        else
            buf_add_char(line, ' ');
        buf_add(line, trimmed);
    }
    return line->len > 0;
}

static bool add_text(struct entry_set *s, const struct policy_access *a, const char *path, struct slice text, unsigned entries_max,
                     struct fail *why)
{
    struct buf line;
    unsigned   number = 0, first = 0;
    bool       ok = true;

    buf_init(&line, 64 << 10);
    for (struct slice rest = text; ok && next_line(&rest, &number, &line, &first);) {
        if (line.failed)
            ok = fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "line too long");
        else if (s->entries.count >= entries_max)
            ok = fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "more than %u entries (policy.table_entries)", entries_max);
        else
            ok = add_line(s, a, buf_slice(&line), why);
        if (!ok)
            (void)fail_at(why, "%s:%u", path, first);
    }
    buf_finish(&line);
    return ok;
}

static struct entry_set *set_make(const struct policy_access *a, const char *path, struct slice text, unsigned entries_max,
                                  struct fail *why)
{
    struct entry_set *s = xcalloc(1, sizeof *s);
    struct access_answer answer;
    bool ok = true;

    map_init(&s->entries);
    arena_init(&s->arena, SIZE_MAX / 4);
    default_answer(a, &answer);
    for (size_t i = 0; ok && i < a->match_count; i++)
        ok = add_entry(s, slice_of(a->match[i]), &answer, why);
    if (!ok || !add_text(s, a, path, text, entries_max, why))
        set_destroy(&s);
    return s;
}

/* ---- the file ---- */

static struct file_state look_at(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return (struct file_state){0};
    return (struct file_state){.changed = st.st_mtim, .inode = st.st_ino, .size = st.st_size, .there = true};
}

static bool same_state(const struct file_state *a, const struct file_state *b)
{
    return a->there == b->there && a->inode == b->inode && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static struct entry_set *read_set(const struct access_table *t, struct fail *why)
{
    struct buf text;
    struct entry_set *s = NULL;

    buf_init(&text, FILE_MAX);
    if (t->config->file[0] == '\0' || io_read_file(t->config->file, &text, why))
        s = set_make(t->config, t->config->file, buf_slice(&text), t->entries_max, why);
    buf_finish(&text);
    return s;
}

/* With the lock, at most once a second.  A file that is wrong or gone leaves what there was. */
static void refresh(struct access_table *t)
{
    const int64_t now = clock_mono_ms();
    struct fail why;

    if (t->config->file[0] == '\0' || now - t->looked_ms < 1000)
        return;
    t->looked_ms = now;
    block_begin();
    struct file_state state = look_at(t->config->file);
    if (!same_state(&state, &t->state)) {
        struct entry_set *s = read_set(t, &why);
        t->state = state;
        if (s == NULL) {
            log_event(LOG_ERROR, "policy.table_not_read", LOG_CSTR("table", t->config->name), LOG_FAIL(&why));
        } else {
            set_destroy(&t->set);
            t->set = s;
            log_event(LOG_INFO, "policy.table_read", LOG_CSTR("table", t->config->name), LOG_U64("entries", s->entries.count));
        }
    }
    block_end();
}

static struct access_table *table_new(const struct policy_access *a, unsigned entries_max)
{
    struct access_table *t = xcalloc(1, sizeof *t);

    t->config = a;
    t->entries_max = entries_max;
    (void)pthread_mutex_init(&t->lock, NULL);
    return t;
}

bool access_table_open(const struct policy_access *a, unsigned entries_max, struct access_table **out, struct fail *why)
{
    struct access_table *t = table_new(a, entries_max);

    t->state = look_at(a->file);
    t->looked_ms = clock_mono_ms();
    t->set = read_set(t, why);
    if (t->set == NULL) {
        access_table_close(&t);
        return fail_at(why, "access \"%s\"", a->name);
    }
    *out = t;
    return true;
}

bool access_table_of_text(const struct policy_access *a, struct slice text, unsigned entries_max, struct access_table **out,
                          struct fail *why)
{
    struct entry_set *s = set_make(a, "text", text, entries_max, why);

    if (s == NULL)
        return false;
    *out = table_new(a, entries_max);
    (*out)->set = s;
    return true;
}

void access_table_close(struct access_table **t)
{
    if (*t == NULL)
        return;
    set_destroy(&(*t)->set);
    (void)pthread_mutex_destroy(&(*t)->lock);
    free(*t);
    *t = NULL;
}

const struct policy_access *access_table_config(const struct access_table *t)
{
    return t->config;
}

bool access_table_has_names(struct access_table *t)
{
    (void)pthread_mutex_lock(&t->lock);
    bool has = t->set->has_names;
    (void)pthread_mutex_unlock(&t->lock);
    return has;
}

bool policy_access_check(const struct policy_access *a, struct fail *why)
{
    struct entry_set *s = set_make(a, "", SLICE(""), UINT32_MAX, why);

    if (s == NULL)
        return false;
    set_destroy(&s);
    if (a->match_count == 0 && a->file[0] == '\0')
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "needs match or file");
    if (a->action == ACCESS_REDIRECT && a->to[0] == '\0')
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "redirects and needs to = \"address\"");
    return true;
}

/* ---- lookups ---- */

static const struct entry *get(const struct entry_set *s, const struct key *key)
{
    return map_get(&s->entries, key_slice(key));
}

static const struct entry *find_network(const struct entry_set *s, const struct in6_addr *address)
{
    struct key key;
    const struct entry *e = NULL;

    for (unsigned left = PREFIXES; e == NULL && left > 0; left--) {
        if (s->prefixes[left - 1]) {
            key_of_network(address, left - 1, &key);
            e = get(s, &key);
        }
    }
    return e;
}

/* The name itself, then what is above it, level by level. */
static const struct entry *find_name(const struct entry_set *s, struct slice name)
{
    struct key key, above;
    const struct entry *e;

    if (!s->has_names || !key_of_domain('d', name, &key))
        return NULL;
    e = get(s, &key);
    for (struct slice rest = slice_from(key_slice(&key), 1); e == NULL;) {
        (void)slice_cut(&rest, '.');
        if (rest.len == 0 || !key_of_text('s', rest, &above))
            break;
        e = get(s, &above);
    }
    return e;
}

/* Without "+detail". */
static const struct entry *find_address(const struct entry_set *s, struct slice path)
{
    const size_t at = slice_rfind_char(path, '@');
    const struct slice local = slice_sub(path, 0, at), domain = slice_from(path, at < path.len ? at + 1 : at);
    const size_t plus = slice_find_char(local, '+');
    const struct entry *e = NULL;
    char plain[NAME_MAX_BYTES];
    struct key key;

    if (key_of_address(path, &key))
        e = get(s, &key);
    if (e == NULL && plus > 0 && plus < local.len && path.len < sizeof plain) {
        int n = snprintf(plain, sizeof plain, PRIslice "@" PRIslice, SLICE_ARG(slice_sub(local, 0, plus)), SLICE_ARG(domain));
        if (n > 0 && (size_t)n < sizeof plain && key_of_address(slice_make(plain, (size_t)n), &key))
            e = get(s, &key);
    }
    if (e == NULL && key_of_text('l', local, &key))
        e = get(s, &key);
    return e == NULL && domain.len > 0 ? find_name(s, domain) : e;
}

static const struct entry *find(const struct entry_set *s, const struct access_subject *subject)
{
    const struct entry *e = NULL;
    struct key key;

    if (subject->address != NULL)
        e = find_network(s, subject->address);
    if (e == NULL && subject->name.len > 0)
        e = find_name(s, subject->name);
    if (e == NULL && subject->is_path && subject->path.len == 0 && key_of_text('z', SLICE("<>"), &key))
        e = get(s, &key);
    if (e == NULL && subject->is_path && subject->path.len > 0)
        e = find_address(s, subject->path);
    if (e == NULL && s->has_all && key_of_text('*', SLICE("*"), &key))
        e = get(s, &key);
    return e;
}

bool access_table_ask(struct access_table *t, const struct access_subject *s, struct arena *a, struct access_answer *out)
{
    (void)pthread_mutex_lock(&t->lock);
    refresh(t);
    const struct entry *e = find(t->set, s);
    if (e != NULL) {
        *out = e->answer;
        out->status = arena_keep(a, out->status);
        out->text = arena_keep(a, out->text);
        out->to = arena_keep(a, out->to);
        out->pattern = arena_keep(a, out->pattern);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return e != NULL && out->action != ACCESS_NEXT;
}
