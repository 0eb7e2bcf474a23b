/*
 * transfer/postfix.c - see transfer/postfix.h.
 *
 * Layer: transfer.
 */
#include "transfer/postfix.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/scoped.h"
#include "transfer/files.h"
#include "transfer/foreign_sql.h"
#include "transfer/postfix_internal.h"

enum { FILE_MOST = 64 << 20, DEPTH_MOST = 20, VALUE_MOST = 1 << 20, STALE_SECONDS = 3600 /* postmap runs after an edit */, NAMES_MOST = 10000 /* in one value, those in them included */ };

static const struct {
    const char *name, *value;
} defaults[] = {
    {"myhostname", "localhost"},
    {"mydomain", ""},
    {"myorigin", "$myhostname"},
    {"mydestination", "$myhostname, localhost.$mydomain, localhost"},
    {"alias_maps", "hash:/etc/aliases"},
    {"virtual_alias_maps", "$virtual_maps"},
    {"virtual_alias_domains", "$virtual_alias_maps"},
    {"virtual_mailbox_domains", "$virtual_mailbox_maps"},
    {"message_size_limit", "10240000"},
    {"mynetworks", "127.0.0.0/8"},
    {"config_directory", "/etc/postfix"},
    {"smtp_sasl_auth_enable", "no"},
};

bool box_file(const char *root, struct slice path, struct arena *a, struct slice *out, bool *there, struct fail *why)
{
    SCOPED(buf_wipe) struct buf text = {0}; /* hashes and keys are read so too */
    const char *name = arena_cstr(a, path);
    struct fail local = {0};
    struct stat st;
    SCOPED(scoped_close) int fd = files_start(root, name, &local);

    buf_init(&text, FILE_MOST);
    *out = SLICE("");
    *there = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (!*there) {
        if (fd < 0 && local.reason != FAIL_NOT_FOUND && why != NULL)
            *why = local;
        return fd >= 0 || local.reason == FAIL_NOT_FOUND;
    }
    if (!files_read_open(fd, name, &text, why))
        return false;
    *out = arena_keep(a, buf_slice(&text));
    return true;
}

struct slice postfix_word(struct slice *rest)
{
    size_t from = 0, to;
    int depth = 0;

    while (from < rest->len && strchr(", \t\r\n", rest->ptr[from]) != NULL)
        from++;
    for (to = from; to < rest->len; to++) {
        char c = rest->ptr[to];
        depth += (c == '{') - (c == '}');
        if (depth <= 0 && strchr(", \t\r\n", c) != NULL)
            break;
    }
    struct slice word = slice_sub(*rest, from, to - from);
    *rest = slice_from(*rest, to);
    return word;
}

/* One logical line: what begins with a blank goes on; comments and empty lines between do not count. */
bool postfix_line(struct arena *a, struct slice *rest, struct slice *out)
{
    struct buf b;
    bool any = false;

    buf_init(&b, VALUE_MOST);
    while (rest->len > 0) {
        bool more = rest->ptr[0] == ' ' || rest->ptr[0] == '\t';
        struct slice peek = *rest, line = slice_cut(&peek, '\n'), trimmed = slice_trim(line);
        if (trimmed.len == 0 || trimmed.ptr[0] == '#') {
            *rest = peek;
            continue;
        }
        if (any && !more)
            break;
        buf_add(&b, any ? SLICE(" ") : SLICE(""));
        buf_add(&b, trimmed);
        any = true;
        *rest = peek;
    }
    *out = arena_keep(a, buf_slice(&b));
    buf_finish(&b);
    return any;
}

static const struct postfix_setting *find(const struct postfix *p, struct slice name)
{
    for (const struct postfix_setting *s = p->last; s != NULL; s = s->before)
        if (slice_eq(s->name, name))
            return s;
    return NULL;
}

static struct slice raw(const struct postfix *p, struct slice name)
{
    const struct postfix_setting *s = find(p, name);

    if (s != NULL)
        return s->value;
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
        if (slice_eq(name, slice_of(defaults[i].name)))
            return slice_of(defaults[i].value);
    return SLICE("");
}

static size_t name_length(struct slice s)
{
    size_t n = 0;

    while (n < s.len && ((s.ptr[n] | 32) >= 'a' ? (s.ptr[n] | 32) <= 'z' : s.ptr[n] >= '0' && s.ptr[n] <= '9'))
        n++;
    while (n < s.len && (s.ptr[n] == '_' || ((s.ptr[n] | 32) >= 'a' && (s.ptr[n] | 32) <= 'z') || (s.ptr[n] >= '0' && s.ptr[n] <= '9')))
        n++;
    return n;
}

static void expand(const struct postfix *p, struct slice text, unsigned depth, unsigned *left, struct buf *out);

/* What stands behind "${": "name}", "name?value}", "name:value}". */
static size_t expand_braces(const struct postfix *p, struct slice s, unsigned depth, unsigned *left, struct buf *out)
{
    size_t n = name_length(s), end = n;
    int open = 1;

    while (end < s.len && (open += (s.ptr[end] == '{') - (s.ptr[end] == '}')) > 0)
        end++;
    struct slice value = raw(p, slice_sub(s, 0, n)), other = n + 1 < end ? slice_sub(s, n + 1, end - n - 1) : SLICE("");
    char mark = n < end ? s.ptr[n] : '}';
    if (slice_starts(other, SLICE("{")) && slice_ends(other, SLICE("}")))
        other = slice_sub(other, 1, other.len - 2);
    if (mark == '?' && value.len > 0)
        expand(p, other, depth + 1, left, out);
    else if (mark == ':' && value.len == 0)
        expand(p, other, depth + 1, left, out);
    else if (mark != '?' && mark != ':')
        expand(p, value, depth + 1, left, out);
    return end < s.len ? end + 1 : end;
}

static void expand(const struct postfix *p, struct slice text, unsigned depth, unsigned *left, struct buf *out)
{
    if (depth > DEPTH_MOST || *left == 0)
        return;
    --*left;
    for (size_t i = 0; i < text.len && !out->failed;) {
        struct slice rest = slice_from(text, i + 1);
        if (text.ptr[i] != '$') {
            buf_add_char(out, text.ptr[i++]);
        } else if (rest.len > 0 && rest.ptr[0] == '$') {
            buf_add_char(out, '$');
            i += 2;
        } else if (rest.len > 0 && (rest.ptr[0] == '{' || rest.ptr[0] == '(')) {
            i += 2 + expand_braces(p, slice_from(rest, 1), depth, left, out);
        } else {
            size_t n = name_length(rest);
            expand(p, raw(p, slice_sub(rest, 0, n)), depth + 1, left, out);
            i += 1 + n;
        }
    }
}

struct slice postfix_get(const struct postfix *p, const char *name)
{
    struct slice value = raw(p, slice_of(name));
    unsigned left = NAMES_MOST;
    struct buf out;

    if (slice_eq(slice_of(name), SLICE("mydomain")) && value.len == 0) {
        struct slice host = postfix_get(p, "myhostname");
        (void)slice_cut(&host, '.');
        return host.len > 0 ? host : SLICE("localdomain");
    }
    buf_init(&out, VALUE_MOST);
    expand(p, value, 0, &left, &out);
    value = arena_keep(p->arena, slice_trim(buf_slice(&out)));
    buf_finish(&out);
    return value;
}

bool postfix_parse(const char *root, struct slice text, struct arena *a, const struct box_notes *notes, struct postfix **out,
                   struct fail *why)
{
    struct postfix *p = arena_new(a, struct postfix);
    struct slice line;

    *p = (struct postfix){.root = root, .arena = a, .notes = *notes};
    while (postfix_line(a, &text, &line)) {
        struct postfix_setting *s = arena_new(a, struct postfix_setting);
        struct slice value = line;
        s->name = slice_trim(slice_cut(&value, '='));
        s->value = slice_trim(value);
        s->before = p->last;
        p->last = s;
    }
    if (find(p, SLICE("mydomain")) == NULL) {
        struct postfix_setting *s = arena_new(a, struct postfix_setting);
        *s = (struct postfix_setting){.name = SLICE("mydomain"), .value = postfix_get(p, "mydomain"), .before = p->last};
        p->last = s;
    }
    *out = p;
    (void)why;
    return true;
}

bool postfix_read(const char *root, struct arena *a, const struct box_notes *notes, struct postfix **out, struct fail *why)
{
    struct slice text;
    bool there;

    if (!box_file(root, SLICE("etc/postfix/main.cf"), a, &text, &there, why))
        return false;
    if (!there)
        return fail_set(why, FAIL_PERM, FAIL_NOT_FOUND, "there is no etc/postfix/main.cf in %s", root);
    return postfix_parse(root, text, a, notes, out, why);
}

/* ---- maps ---- */

struct listing {
    const struct postfix *p;
    const char *setting;
    void (*each)(void *ctx, struct slice key, struct slice value);
    void *ctx;
};

static void cannot(const struct listing *l, struct slice map, const char *reason)
{
    l->p->notes.note(l->p->notes.ctx, arena_cstr(l->p->arena, arena_printf(l->p->arena, "%s: " PRIslice, l->setting, SLICE_ARG(map))),
                     reason);
}

/* What was served is the database; the text may have gone another way since. */
static void compare_ages(const struct listing *l, struct slice map, struct slice path)
{
    static const char *const databases[] = {"db", "lmdb", "cdb", "dir"};
    struct stat text, made;
    struct arena *a = l->p->arena;

    if (stat(arena_cstr(a, arena_printf(a, "%s/" PRIslice, l->p->root, SLICE_ARG(path))), &text) != 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(databases); i++)
        if (stat(arena_cstr(a, arena_printf(a, "%s/" PRIslice ".%s", l->p->root, SLICE_ARG(path), databases[i])), &made) == 0 &&
            made.st_mtim.tv_sec > text.st_mtim.tv_sec + STALE_SECONDS)
            cannot(l, map, "the database is newer than the text that was read: compare them (postmap -s shows the database)");
}

static void list_text(const struct listing *l, struct slice map, struct slice path)
{
    struct slice text, line;
    struct fail why = {0};
    bool there, aliases = strcmp(l->setting, "alias_maps") == 0;

    if (!box_file(l->p->root, path, l->p->arena, &text, &there, &why)) {
        cannot(l, map, why.text);
        return;
    }
    if (!there) {
        cannot(l, map, "its text file is not there: write it again (postmap -s shows a table), or make these by hand");
        return;
    }
    compare_ages(l, map, path);
    while (postfix_line(l->p->arena, &text, &line)) {
        struct slice value = line, key;
        if (aliases) {
            key = slice_trim(slice_cut(&value, ':'));
        } else {
            size_t n = 0;
            while (n < line.len && line.ptr[n] != ' ' && line.ptr[n] != '\t')
                n++;
            key = slice_sub(line, 0, n);
            value = slice_from(line, n);
        }
        l->each(l->ctx, key, slice_trim(value));
    }
}

static void row(void *ctx, const struct foreign_row *r)
{
    const struct listing *l = ctx;

    if (r->count >= 2)
        l->each(l->ctx, arena_keep(l->p->arena, r->values[0]), arena_keep(l->p->arena, r->values[1]));
}

static const char *or_null(struct arena *a, struct slice s)
{
    return s.len > 0 ? arena_cstr(a, s) : NULL;
}

static void list_sql(const struct listing *l, struct slice map, struct slice type, struct slice path)
{
    struct arena *a = l->p->arena;
    struct postfix *cf;
    struct slice text, query, hosts, file;
    struct fail why = {0};
    bool there;

    if (!box_file(l->p->root, path, a, &text, &there, &why) || !there ||
        !postfix_parse(l->p->root, text, a, &l->p->notes, &cf, &why)) {
        cannot(l, map, why.text[0] != '\0' ? why.text : "the file is not there");
        return;
    }
    bool sqlite = slice_eq(type, SLICE("sqlite")), mysql = slice_eq(type, SLICE("mysql"));
    query = raw(cf, SLICE("query"));
    if (query.len == 0 && raw(cf, SLICE("table")).len > 0)
        query = arena_printf(a, "SELECT " PRIslice " FROM " PRIslice " WHERE " PRIslice " = '%%s' " PRIslice,
                             SLICE_ARG(raw(cf, SLICE("select_field"))), SLICE_ARG(raw(cf, SLICE("table"))),
                             SLICE_ARG(raw(cf, SLICE("where_field"))), SLICE_ARG(raw(cf, SLICE("additional_conditions"))));
    if (!foreign_sql_list_of(a, query, mysql, &query)) {
        cannot(l, map, "this query cannot be turned into a list: give the addresses by --users FILE, aliases by posthorn alias add");
        return;
    }
    hosts = raw(cf, SLICE("hosts"));
    hosts = postfix_word(&hosts);
    if (slice_starts(hosts, SLICE("unix:")))
        hosts = slice_from(hosts, 5);
    if (slice_starts(hosts, SLICE("inet:")))
        hosts = slice_from(hosts, 5);
    struct slice port = hosts;
    bool has_port = !slice_starts(hosts, SLICE("/")) && slice_find_char(hosts, ':') == slice_rfind_char(hosts, ':') && slice_find_char(hosts, ':') < hosts.len;
    hosts = has_port ? slice_cut(&port, ':') : hosts;
    file = arena_printf(a, "%s/" PRIslice, l->p->root, SLICE_ARG(raw(cf, SLICE("dbpath"))));
    const struct foreign_sql db = {
        .kind = sqlite ? SQL_SQLITE : mysql ? SQL_MYSQL : SQL_PGSQL,
        .host = or_null(a, hosts),
        .port = has_port ? or_null(a, port) : NULL,
        .user = or_null(a, raw(cf, SLICE("user"))),
        .password = or_null(a, raw(cf, SLICE("password"))),
        .database = arena_cstr(a, sqlite ? file : raw(cf, SLICE("dbname"))),
    };
    struct listing copy = *l;
    if (!foreign_sql_ask(&db, query, row, &copy, &why))
        cannot(l, map, why.text);
}

static void list_map(const struct listing *l, struct slice map, unsigned depth)
{
    struct slice rest = map, type = slice_cut(&rest, ':'), inner = rest;

    if (slice_starts(inner, SLICE("{")) && slice_ends(inner, SLICE("}")))
        inner = slice_sub(inner, 1, inner.len - 2);
    static const char *const by_text[] = {"hash", "btree", "lmdb", "dbm", "cdb", "texthash"};
    for (size_t i = 0; i < ARRAY_LEN(by_text); i++)
        if (slice_eq(type, slice_of(by_text[i]))) {
            list_text(l, map, rest);
            return;
        }
    if (slice_eq(type, SLICE("sqlite")) || slice_eq(type, SLICE("mysql")) || slice_eq(type, SLICE("pgsql"))) {
        list_sql(l, map, type, rest);
    } else if (slice_eq(type, SLICE("proxy")) && depth < DEPTH_MOST) {
        list_map(l, rest, depth + 1);
    } else if (slice_eq(type, SLICE("inline"))) {
        for (struct slice w = postfix_word(&inner); w.len > 0; w = postfix_word(&inner)) {
            struct slice value = slice_starts(w, SLICE("{")) && w.len > 1 ? slice_sub(w, 1, w.len - 2) : w, key = slice_cut(&value, '=');
            l->each(l->ctx, slice_trim(key), slice_trim(value));
        }
    } else if (slice_eq(type, SLICE("unionmap")) && depth < DEPTH_MOST) {
        for (struct slice w = postfix_word(&inner); w.len > 0; w = postfix_word(&inner))
            list_map(l, w, depth + 1);
    } else if (slice_eq(type, SLICE("static"))) {
        cannot(l, map, "it answers the same for every address: a catch-all is posthorn alias add @DOMAIN MEMBER");
    } else {
        cannot(l, map, "such a table cannot be listed: give the addresses by --users FILE, aliases by posthorn alias add");
    }
}

void postfix_each(const struct postfix *p, const char *setting, void (*each)(void *ctx, struct slice key, struct slice value),
                  void *ctx)
{
    const struct listing l = {.p = p, .setting = setting, .each = each, .ctx = ctx};
    struct slice rest = postfix_get(p, setting);

    for (struct slice w = postfix_word(&rest); w.len > 0; w = postfix_word(&rest)) {
        if (w.ptr[0] == '/')
            list_text(&l, w, w);
        else if (slice_find_char(w, ':') < w.len && w.ptr[0] != '[')
            list_map(&l, w, 0);
        else
            each(ctx, w, SLICE(""));
    }
}
