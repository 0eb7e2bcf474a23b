/*
 * transfer/dovecot_users.c - who has mail there, with which password and where.
 *
 * Layer: transfer.
 */
#include "base/buf.h"
#include "base/map.h"
#include "transfer/dovecot_internal.h"
#include "transfer/foreign_sql.h"

enum { USERS_MOST = 1000000 };

struct gathering {
    struct dovecot *d;
    struct dovecot_user *users;
    size_t count, room;
    struct map places; /* of a name in small letters: how many users stand before it, plus one */
    /* of the database that is read */
    struct dovecot_user *one;
    struct slice scheme;
    bool passwords, bare; /* passwords: a passdb; bare: extra fields stand without userdb_ */
};

static struct slice block_get(const struct dovecot *d, unsigned block, const char *kind, const char *name)
{
    return dovecot_get(d, arena_cstr(d->arena, arena_printf(d->arena, "%s %u/%s", kind, block, name)));
}

/* %u, %n, %d, %h, %Lu, %{user}, %{user | username}, as far as they stand in paths and queries. */
static struct slice expanded(struct gathering *g, struct slice text, const struct dovecot_user *u)
{
    struct slice domain = u->name, local = slice_cut(&domain, '@');
    struct buf out;

    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < text.len; i++) {
        struct slice rest = slice_from(text, i), name;
        if (rest.ptr[0] != '%' || rest.len < 2) {
            buf_add_char(&out, rest.ptr[0]);
            continue;
        }
        if (rest.ptr[1] == '{') {
            size_t end = slice_find_char(rest, '}');
            name = slice_sub(rest, 2, end > 2 ? end - 2 : 0);
            i += end;
        } else {
            size_t at = 1;
            while (at + 1 < rest.len && (rest.ptr[at] == 'L' || rest.ptr[at] == 'E'))
                at++;
            name = slice_sub(rest, at, 1);
            i += at;
        }
        bool is_local = slice_eq(name, SLICE("n")) || slice_eq(name, SLICE("username")) || slice_find(name, SLICE("| username")) < name.len ||
                        slice_find(name, SLICE("|username")) < name.len;
        bool is_domain = slice_eq(name, SLICE("d")) || slice_eq(name, SLICE("domain")) || slice_find(name, SLICE("| domain")) < name.len ||
                         slice_find(name, SLICE("|domain")) < name.len;
        if (slice_eq(name, SLICE("%")))
            buf_add_char(&out, '%');
        else if (slice_eq(name, SLICE("h")) || slice_eq(name, SLICE("home")))
            buf_add(&out, u->home);
        else if (is_local || is_domain)
            buf_add(&out, is_local ? local : domain);
        else if (slice_eq(name, SLICE("u")) || slice_starts(name, SLICE("user")))
            buf_add(&out, u->name);
        else
            buf_addf(&out, "%%" PRIslice, SLICE_ARG(name)); /* not known: no such folder will be found, and it is said */
    }
    struct slice kept = arena_keep(g->d->arena, buf_slice(&out));
    buf_finish(&out);
    return kept;
}

static struct slice lower_of(struct gathering *g, struct slice name)
{
    char *out = arena_alloc(g->d->arena, name.len + 1);

    for (size_t i = 0; i < name.len; i++)
        out[i] = ascii_lower(name.ptr[i]);
    return slice_make(out, name.len);
}

static struct dovecot_user *user_of(struct gathering *g, struct slice name)
{
    struct slice key = lower_of(g, name);
    const size_t place = (size_t)(uintptr_t)map_get(&g->places, key);

    if (place > 0)
        return &g->users[place - 1];
    if (g->count == g->room) {
        size_t room = g->room > 0 ? g->room * 2 : 64;
        struct dovecot_user *more = arena_new_array(g->d->arena, struct dovecot_user, room);
        if (g->count > 0)
            memcpy(more, g->users, g->count * sizeof *more);
        g->users = more;
        g->room = room;
    }
    g->users[g->count] = (struct dovecot_user){.name = arena_keep(g->d->arena, name)};
    (void)map_put(&g->places, key, (void *)(uintptr_t)(g->count + 1));
    return &g->users[g->count++];
}

/* "*:storage=1G", "*:bytes=1000000"; the first number counts. */
static uint64_t quota_of(struct slice rule)
{
    size_t at = slice_find(rule, SLICE("storage=")), bytes = slice_find(rule, SLICE("bytes="));
    uint64_t n = 0, unit = 1;

    if (at == rule.len && bytes == rule.len)
        return 0;
    struct slice number = slice_from(rule, at < rule.len ? at + 8 : bytes + 6);
    size_t digits = 0;
    while (digits < number.len && number.ptr[digits] >= '0' && number.ptr[digits] <= '9')
        digits++;
    char suffix = digits < number.len ? (char)(number.ptr[digits] | 32) : at < rule.len ? 'k' : 'b';
    unit = suffix == 'k' ? 1U << 10 : suffix == 'm' ? 1U << 20 : suffix == 'g' ? 1U << 30 : suffix == 't' ? (uint64_t)1 << 40 : 1;
    return slice_to_u64(slice_sub(number, 0, digits), INT64_MAX / unit, &n) ? n * unit : 0;
}

/* One field of a user, by the name that a database gives it. */
static void take(struct gathering *g, struct dovecot_user *u, struct slice name, struct slice value)
{
    bool prefixed = slice_starts(name, SLICE("userdb_"));

    value = arena_keep(g->d->arena, value);
    if (g->passwords && slice_eq(name, SLICE("password"))) {
        if (value.len > 0 && value.ptr[0] != '{' && u->hash.len == 0)
            value = arena_printf(g->d->arena, "{" PRIslice "}" PRIslice, SLICE_ARG(g->scheme), SLICE_ARG(value));
        u->hash = u->hash.len == 0 ? value : u->hash;
        return;
    }
    if (!prefixed && g->passwords && !g->bare)
        return;
    name = prefixed ? slice_from(name, 7) : name;
    if (slice_eq(name, SLICE("home")) && value.len > 0)
        u->home = expanded(g, value, u);
    else if ((slice_eq(name, SLICE("mail")) || slice_eq(name, SLICE("mail_location"))) && value.len > 0)
        u->location = value;
    else if (slice_starts(name, SLICE("quota_rule")) || slice_eq(name, SLICE("quota_storage_size")))
        u->quota = quota_of(slice_find_char(value, '=') < value.len ? value : arena_printf(g->d->arena, "bytes=" PRIslice, SLICE_ARG(value)));
}

/* "a=b c=d" */
static void take_words(struct gathering *g, struct dovecot_user *u, struct slice words)
{
    while (words.len > 0) {
        struct slice value = slice_cut(&words, ' '), name = slice_cut(&value, '=');
        if (name.len > 0)
            take(g, u, name, value);
    }
}

/* user:password:uid:gid:gecos:home:shell:extra; `system`: /etc/passwd, of which only people count. */
static void take_passwd(struct gathering *g, struct slice text, bool system)
{
    while (text.len > 0) {
        struct slice line = slice_trim(slice_cut(&text, '\n')), fields[8] = {{0}};
        uint64_t id = 0;
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        for (size_t i = 0; i < 7; i++)
            fields[i] = slice_cut(&line, ':');
        fields[7] = line;
        if (fields[0].len == 0 || (system && (!slice_to_u64(fields[2], 60000, &id) || id < 1000)))
            continue;
        struct dovecot_user *u = user_of(g, fields[0]);
        if (g->passwords && !system)
            take(g, u, SLICE("password"), fields[1]);
        if (fields[5].len > 0)
            u->home = fields[5];
        take_words(g, u, fields[7]);
    }
}

static void read_passwd(struct gathering *g, struct slice path, bool system)
{
    struct slice text;
    struct fail why = {0};
    bool there;

    if (box_file(g->d->root, path, g->d->arena, &text, &there, &why) && there)
        take_passwd(g, text, system);
    else
        g->d->notes.note(g->d->notes.ctx, arena_cstr(g->d->arena, path), why.text[0] != '\0' ? why.text : "the file is not there");
}

/* The hashes of those that are known already: a system's other users have no mail here. */
static void read_shadow(struct gathering *g)
{
    struct slice text;
    struct fail why = {0};
    bool there;

    if (!box_file(g->d->root, SLICE("etc/shadow"), g->d->arena, &text, &there, &why) || !there) {
        g->d->notes.note(g->d->notes.ctx, "etc/shadow", "cannot be read: its users come without passwords");
        return;
    }
    while (text.len > 0) {
        struct slice line = slice_cut(&text, '\n'), name = slice_cut(&line, ':'), hash = slice_cut(&line, ':');
        for (size_t i = 0; i < g->count; i++)
            if (slice_eq(g->users[i].name, name) && g->users[i].hash.len == 0 && hash.len > 1)
                g->users[i].hash = arena_printf(g->d->arena, "{CRYPT}" PRIslice, SLICE_ARG(hash));
    }
}

/* ---- SQL ---- */

static void listed_row(void *ctx, const struct foreign_row *r)
{
    struct gathering *g = ctx;
    struct slice user = SLICE(""), domain = SLICE("");

    for (size_t i = 0; i < r->count; i++) {
        if (slice_eq(r->names[i], SLICE("domain")))
            domain = r->values[i];
        else if (slice_eq(r->names[i], SLICE("user")) || slice_eq(r->names[i], SLICE("username")) || r->count == 1)
            user = r->values[i];
    }
    if (user.len > 0 && domain.len > 0 && slice_find_char(user, '@') == user.len)
        user = arena_printf(g->d->arena, PRIslice "@" PRIslice, SLICE_ARG(user), SLICE_ARG(domain));
    if (user.len > 0 && g->count < USERS_MOST)
        (void)user_of(g, user);
}

static void user_row(void *ctx, const struct foreign_row *r)
{
    struct gathering *g = ctx;

    for (size_t i = 0; i < r->count; i++)
        take(g, g->one, r->names[i], r->values[i]);
}

/* "host=db dbname=mail user=reader password=secret", or a path. */
static struct foreign_sql sql_of(const struct dovecot *d, struct slice driver, struct slice connect)
{
    struct foreign_sql db = {.kind = slice_eq(driver, SLICE("sqlite")) ? SQL_SQLITE : slice_eq(driver, SLICE("mysql")) ? SQL_MYSQL : SQL_PGSQL};

    if (db.kind == SQL_SQLITE)
        db.database = arena_cstr(d->arena, arena_printf(d->arena, "%s/" PRIslice, d->root, SLICE_ARG(connect)));
    for (struct slice w = postfix_word(&connect); w.len > 0 && db.kind != SQL_SQLITE; w = postfix_word(&connect)) {
        struct slice value = w, name = slice_cut(&value, '=');
        const char **to = slice_eq(name, SLICE("host")) ? &db.host : slice_eq(name, SLICE("port")) ? &db.port : slice_eq(name, SLICE("dbname")) ? &db.database
                          : slice_eq(name, SLICE("user")) ? &db.user : slice_eq(name, SLICE("password")) ? &db.password : NULL;
        if (to != NULL)
            *to = arena_cstr(d->arena, value);
    }
    return db;
}

static bool is_plain(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (strchr("'\"\\;`", name.ptr[i]) != NULL || (unsigned char)name.ptr[i] < ' ')
            return false;
    return true;
}

static void read_sql(struct gathering *g, struct slice path)
{
    struct dovecot *d = g->d, *conf;
    struct slice text;
    struct fail why = {0};
    bool there;

    if (!box_file(d->root, path, d->arena, &text, &there, &why) || !there ||
        !dovecot_parse(d->root, text, d->arena, &d->notes, &conf, &why)) {
        d->notes.note(d->notes.ctx, arena_cstr(d->arena, path), "the file is not there or cannot be read");
        return;
    }
    const struct foreign_sql db = sql_of(d, dovecot_get(conf, "driver"), dovecot_get(conf, "connect"));
    struct slice query = dovecot_get(conf, g->passwords ? "password_query" : "user_query"), list = dovecot_get(conf, "iterate_query"),
                 scheme = dovecot_get(conf, "default_pass_scheme");
    g->scheme = scheme.len > 0 ? scheme : SLICE("CRYPT");
    if (list.len > 0 && !foreign_sql_ask(&db, list, listed_row, g, &why)) {
        d->notes.note(d->notes.ctx, arena_cstr(d->arena, path), why.text);
        return;
    }
    for (size_t i = 0; i < g->count && query.len > 0; i++) {
        if (!is_plain(g->users[i].name))
            continue;
        g->one = &g->users[i];
        if (!foreign_sql_ask(&db, expanded(g, query, g->one), user_row, g, &why)) {
            d->notes.note(d->notes.ctx, arena_cstr(d->arena, path), why.text);
            return;
        }
    }
}

/* ---- the databases, one after the other ---- */

static struct slice word_of(struct slice args, const char *name)
{
    for (struct slice w = postfix_word(&args); w.len > 0; w = postfix_word(&args)) {
        struct slice value = w;
        if (slice_eq(slice_cut(&value, '='), slice_of(name)))
            return value;
    }
    return SLICE("");
}

static void read_block(struct gathering *g, unsigned block, const char *kind)
{
    struct slice driver = block_get(g->d, block, kind, "driver"), args = block_get(g->d, block, kind, "args"), path;

    if (block_get(g->d, block, kind, "block").len == 0)
        return;
    g->passwords = strcmp(kind, "passdb") == 0;
    if (slice_eq(block_get(g->d, block, kind, "master"), SLICE("yes"))) {
        g->d->notes.note(g->d->notes.ctx, "master users", "are not taken over: the administrator of Posthorn reads no mail by a password");
        return;
    }
    if (slice_eq(block_get(g->d, block, kind, "deny"), SLICE("yes"))) {
        g->d->notes.note(g->d->notes.ctx, arena_cstr(g->d->arena, args), "who may not sign in there could here: posthorn account disable");
        return;
    }
    /* "scheme=CRYPT username_format=%u /etc/dovecot/users" */
    size_t slash = slice_find_char(args, '/');
    path = slice_trim(slice_from(args, slash));
    g->scheme = word_of(slice_sub(args, 0, slash), "scheme");
    if (g->scheme.len == 0)
        g->scheme = SLICE("CRYPT");
    g->bare = false;
    if (slice_eq(driver, SLICE("passwd-file"))) {
        read_passwd(g, expanded(g, path, &(struct dovecot_user){0}), false);
    } else if (slice_eq(driver, SLICE("sql"))) {
        read_sql(g, path);
    } else if (slice_eq(driver, SLICE("passwd")) || slice_eq(driver, SLICE("pam")) || slice_eq(driver, SLICE("shadow"))) {
        if (g->passwords)
            g->scheme = SLICE("CRYPT");
        read_passwd(g, SLICE("etc/passwd"), true);
        read_shadow(g);
    } else if (slice_eq(driver, SLICE("static")) || slice_eq(driver, SLICE("prefetch"))) {
        for (size_t i = 0; i < g->count && !g->passwords; i++)
            take_words(g, &g->users[i], args);
    } else {
        g->d->notes.note(g->d->notes.ctx, arena_cstr(g->d->arena, arena_printf(g->d->arena, "%s { driver = " PRIslice " }", kind, SLICE_ARG(driver))),
                         "its users cannot be listed: give them by --users FILE, and new passwords by posthorn account passwd");
    }
    for (size_t i = 0; i < g->count && !g->passwords; i++) {
        if (g->users[i].home.len == 0)
            take_words(g, &g->users[i], block_get(g->d, block, kind, "default_fields"));
        take_words(g, &g->users[i], block_get(g->d, block, kind, "override_fields"));
    }
}

/* "~" in front of a place is the home; empty where that is not known: then nobody knows where the mail is. */
static struct slice at_home(struct gathering *g, struct slice location, struct slice home)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < location.len; i++) {
        bool is = location.ptr[i] == '~' && i > 0 && (location.ptr[i - 1] == ':' || location.ptr[i - 1] == '=') &&
                  (i + 1 == location.len || location.ptr[i + 1] == '/' || location.ptr[i + 1] == ':');
        if (is && home.len == 0) {
            buf_finish(&out);
            return SLICE("");
        }
        buf_add(&out, is ? home : slice_sub(location, i, 1));
    }
    struct slice kept = arena_keep(g->d->arena, buf_slice(&out));
    buf_finish(&out);
    return kept;
}

static bool names_home(struct slice location)
{
    return slice_find(location, SLICE("%h")) < location.len || slice_find(location, SLICE("%{home")) < location.len;
}

/* Mail and scripts in other places than a user's own. */
static void note_places(const struct dovecot *d)
{
    static const char *const global[] = {"plugin/sieve_before", "plugin/sieve_after", "plugin/sieve_default", "plugin/sieve_global"};
    struct slice sieve = dovecot_get(d, "plugin/sieve");

    for (const struct dovecot_setting *s = d->last; s != NULL; s = s->before)
        if (slice_starts(s->name, SLICE("namespace")) && slice_ends(s->name, SLICE("/location")) && s->value.len > 0)
            d->notes.note(d->notes.ctx, arena_cstr(d->arena, arena_printf(d->arena, PRIslice " = " PRIslice, SLICE_ARG(s->name), SLICE_ARG(s->value))),
                          "the mail of this namespace is not carried: posthorn import maildir brings it");
    for (size_t i = 0; i < ARRAY_LEN(global); i++)
        if (dovecot_get(d, global[i]).len > 0)
            d->notes.note(d->notes.ctx, global[i], "scripts for all users are not carried");
    if (sieve.len > 0 && slice_find(sieve, SLICE("~/")) == sieve.len)
        d->notes.note(d->notes.ctx, "plugin/sieve", "scripts are looked for in the home (.dovecot.sieve and sieve/) and are somewhere else");
}

static void tell_all(struct gathering *g, void (*each)(void *ctx, const struct dovecot_user *u), void *ctx)
{
    struct dovecot *d = g->d;
    struct slice location = dovecot_get(d, "mail_location"), driver = dovecot_get(d, "mail_driver"), path = dovecot_get(d, "mail_path");
    uint64_t quota = quota_of(dovecot_get(d, "plugin/quota_rule"));

    if (driver.len > 0 && path.len > 0) /* 2.4 */
        location = arena_printf(d->arena, PRIslice ":" PRIslice, SLICE_ARG(driver), SLICE_ARG(path));
    for (size_t i = 0; i < g->count; i++) {
        struct dovecot_user *u = &g->users[i];
        struct slice l = u->location.len > 0 ? u->location : location;
        u->location = u->home.len == 0 && names_home(l) ? SLICE("") : at_home(g, expanded(g, l, u), u->home);
        u->quota = u->quota > 0 ? u->quota : quota;
        each(ctx, u);
    }
}

void dovecot_each_in_passwd(struct dovecot *d, struct slice text, void (*each)(void *ctx, const struct dovecot_user *u), void *ctx)
{
    struct gathering g = {.d = d, .passwords = true, .scheme = SLICE("CRYPT")};

    map_init(&g.places);
    take_passwd(&g, text, false);
    tell_all(&g, each, ctx);
    map_finish(&g.places);
}

void dovecot_each_user(struct dovecot *d, struct slice names, void (*each)(void *ctx, const struct dovecot_user *u), void *ctx)
{
    struct gathering g = {.d = d};

    map_init(&g.places);
    note_places(d);
    for (struct slice w = postfix_word(&names); w.len > 0; w = postfix_word(&names))
        (void)user_of(&g, w);
    for (unsigned i = 1; i <= d->blocks; i++)
        read_block(&g, i, "passdb");
    for (unsigned i = 1; i <= d->blocks; i++)
        read_block(&g, i, "userdb");
    tell_all(&g, each, ctx);
    map_finish(&g.places);
}
