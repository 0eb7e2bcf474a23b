/*
 * admin/trace.c - the whole way of a message, from the lines that each role keeps (main/trace_file.h).
 *
 * Layer: admin.  Runs in both roles that keep some; each tells what it knows, in order of time, and whoever asks puts
 * it together.
 *
 *     {"do": "trace", "ids": ["k3f9"]}  or  {"do": "trace", "ids": ["<a@b.example>"]}
 *       ->  {"progress": {"time": ..., "event": "smtp.accepted", "fields": {...}}} ...  {"traces": ["k3f9", "k3fa"]}
 *
 * A Message-ID leads to the traces under which it came in, a trace to those of the notifications about it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/internal.h"

enum { DAYS_MAX = 4000, NAME_BYTES = 10, IDS_MAX = 1000, CUT_AT = 200 };

void admin_limits_default(struct admin_limits *l)
{
    *l = (struct admin_limits){.trace_days = 14, .backup_silence_seconds = 600};
}

/* What is looked for; grows while it is found. */
struct search {
    struct admin_call *call;
    json_t            *traces;  /* array of strings */
    json_t            *known;   /* the same as an object, to look up */
    struct slice       message_ids[IDS_MAX];
    size_t             message_id_count;
    bool               grew;
    char              *line; /* getline's */
    size_t             room;
};

static void add_trace(struct search *s, struct slice trace)
{
    char name[64];

    if (trace.len == 0 || trace.len >= sizeof name || json_array_size(s->traces) >= IDS_MAX)
        return;
    (void)snprintf(name, sizeof name, PRIslice, SLICE_ARG(trace));
    if (json_object_get(s->known, name) != NULL || json_object_set_new(s->known, name, json_true()) != 0)
        return;
    (void)json_array_append_new(s->traces, json_string(name));
    s->grew = true;
}

/* ---- lines ---- */

/* key=value or key="va\"lue" from the front of *rest; false at the end.  The value lies in the arena if it was quoted. */
static bool next_field(struct arena *a, struct slice *rest, struct slice *key, struct slice *value)
{
    *rest = slice_trim(*rest);
    if (rest->len == 0)
        return false;
    *key = slice_cut(rest, '=');
    if (rest->len == 0 || rest->ptr[0] != '"') {
        *value = slice_cut(rest, ' ');
        return true;
    }
    char  *text = arena_alloc(a, rest->len);
    size_t len = 0, at = 1;
    if (text == NULL)
        return false;
    for (; at < rest->len && rest->ptr[at] != '"'; at++) {
        if (rest->ptr[at] == '\\' && at + 1 < rest->len && rest->ptr[at + 1] != 'x')
            at++;
        text[len++] = rest->ptr[at];
    }
    *value = slice_make(text, len);
    *rest = slice_from(*rest, at + 1);
    (void)slice_cut(rest, ' '); /* "..." behind a value that was cut */
    return true;
}

static bool is_message_id(const struct search *s, struct slice value)
{
    for (size_t i = 0; i < s->message_id_count; i++) {
        struct slice id = s->message_ids[i];
        if (value.len > 0 && (slice_eq(id, value) || (id.len > CUT_AT && slice_starts(id, slice_sub(value, 0, CUT_AT)))))
            return true;
    }
    return false;
}

static bool is_known(const struct search *s, struct slice trace)
{
    char name[64];

    if (trace.len >= sizeof name)
        return false;
    (void)snprintf(name, sizeof name, PRIslice, SLICE_ARG(trace));
    return json_object_get(s->known, name) != NULL;
}

/* Most lines are others', and are not taken apart. */
static bool may_be_meant(const struct search *s, struct slice line)
{
    const json_t *trace;
    size_t        i;

    json_array_foreach (s->traces, i, trace) {
        if (slice_find(line, slice_of(json_string_value(trace))) < line.len)
            return true;
    }
    for (i = 0; i < s->message_id_count; i++) {
        struct slice id = slice_sub(s->message_ids[i], 0, CUT_AT); /* up to what the log would write in another way */
        size_t       n = 0;
        while (n < id.len && id.ptr[n] > ' ' && id.ptr[n] < 0x7f && id.ptr[n] != '"' && id.ptr[n] != '\\')
            n++;
        if (slice_find(line, slice_sub(id, 0, n)) < line.len)
            return true;
    }
    return false;
}

/* Learns of traces; with `tell`, says what the line says if it is one of them. */
static void take_line(struct search *s, struct slice line, bool tell)
{
    struct arena a;
    struct slice rest = line, time = slice_cut(&rest, ' '), level = slice_cut(&rest, ' '), event = slice_cut(&rest, ' '), key, value,
                 trace = {0};
    json_t      *fields = json_object();
    bool         wanted = false;

    (void)level;
    arena_init(&a, 64 * 1024);
    while (next_field(&a, &rest, &key, &value)) {
        char name[40];
        (void)snprintf(name, sizeof name, PRIslice, SLICE_ARG(key));
        if (slice_eq(key, SLICE("trace")))
            trace = value;
        wanted = wanted || (slice_eq(key, SLICE("message_id")) && is_message_id(s, value));
        (void)json_object_set_new(fields, name, admin_json(value));
    }
    if (wanted)
        add_trace(s, trace);
    if (is_known(s, trace)) {
        const json_t *notice = json_object_get(fields, "notice");
        add_trace(s, slice_make(json_string_value(notice), json_string_length(notice)));
        if (tell) {
            json_t *told = json_pack("{s:o, s:o, s:O}", "time", admin_json(time), "event", admin_json(event), "fields", fields);
            s->call->progress->tell(s->call->progress->ctx, told);
            json_decref(told);
        }
    }
    json_decref(fields);
    arena_finish(&a);
}

/* ---- files ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool read_day(struct search *s, int folder, const char *name, bool tell, struct fail *why)
{
    int     fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE   *in = fd >= 0 ? fdopen(fd, "r") : NULL;
    ssize_t n;

    if (in == NULL) {
        bool gone = errno == ENOENT;
        if (fd >= 0)
            (void)close(fd);
        return gone || fail_errno(why, errno, "%s", name);
    }
    while ((n = getline(&s->line, &s->room, in)) > 0) {
        struct slice line = slice_trim(slice_make(s->line, (size_t)n));
        if (may_be_meant(s, line))
            take_line(s, line, tell);
    }
    (void)fclose(in);
    return true;
}

static bool read_days(struct search *s, int folder, char **names, size_t count, bool tell, struct fail *why)
{
    for (size_t i = 0; i < count; i++) {
        if (!read_day(s, folder, names[i], tell, why))
            return false;
    }
    return true;
}

/* The files of the folder, the oldest first; each name is the caller's to free. */
static size_t list_days(int folder, char **names)
{
    int            fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR           *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    size_t         count = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL && count < DAYS_MAX) {
        if (strlen(entry->d_name) == NAME_BYTES && entry->d_name[4] == '-')
            names[count++] = xstrdup(entry->d_name);
    }
    (void)closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    return count;
}

static bool run_search(struct search *s, struct fail *why)
{
    int    folder = s->call->on->trace_dir != NULL ? open(s->call->on->trace_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    char **names = arena_new_array(&s->call->arena, char *, DAYS_MAX);
    bool   ok = true;

    if (folder < 0 || names == NULL)
        return true; /* nothing was kept */
    if (s->call->on->trace_write != NULL)
        s->call->on->trace_write();
    size_t count = list_days(folder, names);
    do { /* until no more of them are found: a message, its notification, ... */
        s->grew = false;
        ok = read_days(s, folder, names, count, false, why);
    } while (ok && s->grew);
    ok = ok && (json_array_size(s->traces) == 0 || read_days(s, folder, names, count, true, why));
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    (void)close(folder);
    return ok;
}

bool admin_trace(struct admin_call *c, struct fail *why)
{
    struct search *s = arena_new(&c->arena, struct search);
    const json_t  *ids = json_object_get(c->request, "ids"), *id;
    size_t         i;

    s->call = c;
    s->traces = json_array();
    s->known = json_object();
    admin_put(c, "traces", s->traces);
    json_array_foreach (ids, i, id) {
        struct slice text = slice_make(json_string_value(id), json_string_length(id));
        if (slice_find_char(text, '@') == text.len)
            add_trace(s, text);
        else if (s->message_id_count < IDS_MAX)
            s->message_ids[s->message_id_count++] = text;
    }
    bool ok = run_search(s, why);
    free(s->line);
    json_decref(s->known);
    return ok;
}
