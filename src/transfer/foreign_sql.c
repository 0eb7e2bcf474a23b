/*
 * transfer/foreign_sql.c - see transfer/foreign_sql.h.
 *
 * Layer: transfer.
 */
#include "transfer/foreign_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/scoped.h"

enum { ANSWER_MOST = 256 << 20, QUERY_MOST = 32 << 10 /* fits into a pipe */, WORDS = 20, ARENA = 1 << 20 };

extern char **environ;

/* ---- running the client ---- */

static char **environment(struct arena *a, const struct foreign_sql *db)
{
    const char *name = db->kind == SQL_MYSQL ? "MYSQL_PWD" : "PGPASSWORD";
    size_t n = 0;

    while (environ[n] != NULL)
        n++;
    char **out = arena_new_array(a, char *, n + 2);
    memcpy(out, environ, n * sizeof *out);
    if (db->kind != SQL_SQLITE && db->password != NULL)
        out[n] = (char *)(uintptr_t)arena_printf(a, "%s=%s%c", name, db->password, '\0').ptr;
    return out;
}

static void arguments(const struct foreign_sql *db, const char *out[WORDS])
{
    size_t n = 0;
    bool given = db->host != NULL && db->host[0] != '\0';

    switch (db->kind) {
    case SQL_SQLITE: {
        static const char *const words[] = {"sqlite3", "-readonly", "-safe", "-batch", "-bail", "-init", "/dev/null", "-header",
                                            "-separator", "\t"};
        memcpy(out, words, sizeof words);
        n = ARRAY_LEN(words);
        break;
    }
    case SQL_MYSQL:
        out[n++] = "mysql", out[n++] = "--no-defaults", out[n++] = "-B";
        if (given)
            out[n++] = db->host[0] == '/' ? "-S" : "-h", out[n++] = db->host;
        if (db->port != NULL)
            out[n++] = "-P", out[n++] = db->port;
        if (db->user != NULL)
            out[n++] = "-u", out[n++] = db->user;
        break;
    case SQL_PGSQL:
        out[n++] = "psql", out[n++] = "-X", out[n++] = "-w", out[n++] = "-A", out[n++] = "-F", out[n++] = "\t";
        out[n++] = "-P", out[n++] = "footer=off";
        if (given)
            out[n++] = "-h", out[n++] = db->host;
        if (db->port != NULL)
            out[n++] = "-p", out[n++] = db->port;
        if (db->user != NULL)
            out[n++] = "-U", out[n++] = db->user;
        break;
    }
    if (db->database != NULL)
        out[n++] = db->database;
    out[n] = NULL;
}

static bool start(const struct foreign_sql *db, int in, int out, pid_t *pid, struct fail *why)
{
    SCOPED(arena_finish) struct arena a;
    posix_spawn_file_actions_t files;
    const char *words[WORDS];

    arena_init(&a, ARENA);
    arguments(db, words);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_adddup2(&files, in, 0);
    (void)posix_spawn_file_actions_adddup2(&files, out, 1);
    int error = posix_spawnp(pid, words[0], &files, NULL, (char **)(uintptr_t)words, environment(&a, db));
    (void)posix_spawn_file_actions_destroy(&files);
    return error == 0 || fail_set(why, FAIL_PERM, FAIL_OTHER, "%s cannot be run (%s): install it, or give --users FILE", words[0],
                                  errno_text(error));
}

static bool read_all(int fd, struct buf *out, struct fail *why)
{
    for (;;) {
        char *room = buf_room(out, 65536);
        ssize_t n = room != NULL ? read(fd, room, 65536) : 0;
        if (room == NULL)
            return fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "the database answers too much");
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(why, errno, "the database's client");
        if (n == 0)
            return true;
        buf_grew(out, (size_t)n);
    }
}

/*
 * One SELECT on one line and nothing else: the clients have commands of their own ("\\!" of psql and mysql runs a
 * program), and a copied machine's files are a stranger's.
 */
static bool is_harmless(struct slice query)
{
    for (size_t i = 0; i < query.len; i++)
        if (query.ptr[i] == '\\' || query.ptr[i] == ';' || (unsigned char)query.ptr[i] < ' ')
            return false;
    return slice_starts_nocase(query, SLICE("select "));
}

/* Nor may a name be an option of theirs. */
static bool is_name(const char *text)
{
    return text == NULL || text[0] != '-';
}

static bool run(const struct foreign_sql *db, struct slice query, struct buf *answer, struct fail *why)
{
    int in[2], out[2], status = 0;
    pid_t pid = 0;

    query = slice_trim(query);
    if (slice_ends(query, SLICE(";")))
        query.len--;
    if (!is_harmless(query))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "the query is not one SELECT on one line, without backslashes: give --users FILE");
    if (!is_name(db->host) || !is_name(db->port) || !is_name(db->user) || !is_name(db->database))
        return fail_set(why, FAIL_PERM, FAIL_INVALID, "a name that begins with -: give --users FILE");
    if (query.len > QUERY_MOST)
        return fail_set(why, FAIL_PERM, FAIL_TOO_BIG, "the query is too long");
    if (pipe2(in, O_CLOEXEC) != 0)
        return fail_errno(why, errno, "pipe");
    if (pipe2(out, O_CLOEXEC) != 0) {
        (void)close(in[0]), (void)close(in[1]);
        return fail_errno(why, errno, "pipe");
    }
    bool ok = write(in[1], query.ptr, query.len) == (ssize_t)query.len && write(in[1], ";\n", 2) == 2 &&
              start(db, in[0], out[1], &pid, why);
    (void)close(in[0]), (void)close(in[1]), (void)close(out[1]);
    ok = ok && read_all(out[0], answer, why);
    (void)close(out[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (ok && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        ok = fail_set(why, FAIL_PERM, FAIL_OTHER, "the database refused the query (status %d)", status);
    return ok;
}

/* mysql writes "\\t", "\\n", "\\\\" and "\\0" for what would break its lines, and NULL for no value; in place. */
static struct slice mysql_value(char *text, size_t len)
{
    size_t n = 0;

    if (slice_eq(slice_make(text, len), SLICE("NULL")))
        return SLICE("");
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '\\' && i + 1 < len) {
            c = text[++i];
            c = c == 't' ? '\t' : c == 'n' ? '\n' : c == '0' ? '\0' : c;
        }
        text[n++] = c;
    }
    return slice_make(text, n);
}

bool foreign_sql_ask(const struct foreign_sql *db, struct slice query, void (*each)(void *ctx, const struct foreign_row *row),
                     void *ctx, struct fail *why)
{
    SCOPED(buf_finish) struct buf answer = {0};
    struct foreign_row row = {0};

    buf_init(&answer, ANSWER_MOST);
    if (!run(db, query, &answer, why))
        return false;
    struct slice rest = buf_slice(&answer), line = slice_cut(&rest, '\n');
    while (line.len > 0 && row.count < FOREIGN_COLUMNS)
        row.names[row.count++] = slice_cut(&line, '\t');
    while (rest.len > 0) {
        line = slice_cut(&rest, '\n');
        for (size_t i = 0; i < row.count; i++) {
            struct slice value = slice_cut(&line, '\t');
            row.values[i] = db->kind == SQL_MYSQL && value.len > 0 ? mysql_value(answer.data + (value.ptr - answer.data), value.len) : value;
        }
        each(ctx, &row);
    }
    return true;
}

/* ---- from one to all ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Finds "column = 'what'": the whole of it, and the column. */
static bool find_condition(struct slice q, const char *what, size_t *from, size_t *to, struct slice *column)
{
    size_t at = slice_find(q, slice_of(what)), end = at + strlen(what);

    if (at == q.len)
        return false;
    while (at > 0 && is_space(q.ptr[at - 1]))
        at--;
    if (at == 0 || q.ptr[at - 1] != '=')
        return false;
    at--;
    while (at > 0 && is_space(q.ptr[at - 1]))
        at--;
    size_t name_end = at;
    while (at > 0 && !is_space(q.ptr[at - 1]) && strchr("(),=<>'", q.ptr[at - 1]) == NULL)
        at--;
    *column = slice_sub(q, at, name_end - at);
    *from = at, *to = end;
    return column->len > 0;
}

static bool without(struct arena *a, struct slice *q, const char *what, struct slice *column)
{
    size_t from, to;

    if (!find_condition(*q, what, &from, &to, column))
        return false;
    *column = arena_keep(a, *column);
    *q = arena_printf(a, PRIslice "1=1" PRIslice, SLICE_ARG(slice_sub(*q, 0, from)), SLICE_ARG(slice_from(*q, to)));
    return true;
}

bool foreign_sql_list_of(struct arena *a, struct slice lookup, bool mysql, struct slice *out)
{
    struct slice q = slice_trim(lookup), column, domain, key;

    if (!slice_starts_nocase(q, SLICE("select ")))
        return false;
    if (slice_ends(q, SLICE(";")))
        q.len--;
    if (without(a, &q, "'%s'", &column))
        key = column;
    else if (without(a, &q, "'%u'", &column) && without(a, &q, "'%d'", &domain))
        key = mysql ? arena_printf(a, "CONCAT(" PRIslice ",'@'," PRIslice ")", SLICE_ARG(column), SLICE_ARG(domain))
                    : arena_printf(a, PRIslice "||'@'||" PRIslice, SLICE_ARG(column), SLICE_ARG(domain));
    else
        return false;
    if (slice_find_char(q, '%') < q.len || slice_find_nocase(q, SLICE(" union ")) < q.len)
        return false;
    *out = arena_printf(a, "SELECT (" PRIslice ") AS posthorn_key, " PRIslice, SLICE_ARG(key), SLICE_ARG(slice_from(q, 7)));
    return true;
}
