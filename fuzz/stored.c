/*
 * fuzz/stored.c - a damaged account: its file, its rows, the files derived from it.
 *
 * A store with an account of all kinds of things is made once.  The first byte says what is damaged: bytes of the account's
 * file, of a view's file (with or without the right CRC), of the search index, or single values of the account's rows
 * (then the input is a list of column, row, kind, length and value).  Then an IMAP session reads and changes all there is,
 * and `posthorn check`'s code looks it over.  None of them crashes, whatever it finds; damaged view files change no answer.
 */
#include <dirent.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/body.h"
#include "base/encode.h"
#include "base/log.h"
#include "directory/directory.h"
#include "fuzz.h"
#include "imap/server.h"
#include "room.h"
#include "session.h"
#include "storage/volume.h"
#include "store/index.h"
#include "store/store.h"

enum { FILES_MAX = 16, COLUMNS_MAX = 400, CHANGE_BYTES = 5, VIEW_CRC_AT = 8 };
enum damage { DAMAGE_PAGES, DAMAGE_ROWS, DAMAGE_VIEW, DAMAGE_INDEX, DAMAGES };

static const char script[] =
    "a LOGIN u p\r\nb SELECT INBOX\r\n"
    "c FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[] INTERNALDATE RFC822.SIZE PREVIEW EMAILID THREADID SAVEDATE UID)\r\n"
    "d FETCH 1:* (BODY.PEEK[1] BODY.PEEK[HEADER.FIELDS (SUBJECT)] BINARY.SIZE[1] BODY.PEEK[2.1.TEXT]<1.2>)\r\n"
    "e SEARCH TEXT hello\r\nf SEARCH SUBJECT re FROM x LARGER 5 KEYWORD k\r\ng SORT (SUBJECT DATE FROM TO SIZE) UTF-8 ALL\r\n"
    "h THREAD REFERENCES UTF-8 ALL\r\ni LIST \"\" * RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN SIZE UIDNEXT HIGHESTMODSEQ))\r\n";
static const char changes[] =
    "j STORE 1 +FLAGS (x \\Deleted)\r\nk COPY 1:2 Sent\r\nl UID EXPUNGE 1\r\nm GETMETADATA INBOX (/shared/comment)\r\n"
    "n GETACL INBOX\r\no GETQUOTAROOT INBOX\r\np CREATE new\r\nq RENAME Team Crew\r\nr DELETE Trash\r\n"
    "s APPEND INBOX {3+}\r\na\r\n\r\nt SELECT Crew\r\nu SELECT INBOX (QRESYNC (1 1))\r\nv LOGOUT\r\n";

static struct { struct room_path path; struct slice bytes; enum damage damage; bool damaged; } files[FILES_MAX];
static size_t file_count;
static struct { char table[40], name[40]; } columns[COLUMNS_MAX];
static size_t column_count;
static struct room_path folder, account_folder;
static struct volumes *volumes;
static uint64_t account;
static struct buf expected; /* what `script` is answered when nothing is damaged */

/* ---- the store as it was ---- */

static struct store *open_store(void)
{
    struct store_limits limits;
    struct store *st;
    struct fail why;

    store_limits_default(&limits);
    limits.view_file_messages = 1;
    limits.snapshot_hours = 0;
    room_must(store_open(folder.text, volumes, &limits, &st, &why), "store", &why);
    return st;
}

static void play(struct store *st, const char *said_by_client, struct buf *out)
{
    const struct login_service logins = {.allow_plaintext = true, .directory = session_store()->directory};
    struct imap_service service = {.hostname = "fuzz", .spool_dir = folder.text, .login = &logins, .store = st};
    const struct session_way way = {.step = SIZE_MAX, .damaged = true};

    session_sign_in(account);
    imap_limits_default(&service.limits);
    (void)session_play(&imap_protocol, &service, slice_of(said_by_client), &way, out);
}

static const char life[] =
    "a LOGIN u p\r\nb CREATE Team/a\r\n"
    "c APPEND INBOX (\\Seen k) {76+}\r\nSubject: hello\r\nFrom: \"X\" <x@y.example>\r\nMessage-ID: <1@a>\r\n\r\nhello there\r\n\r\n"
    "d APPEND INBOX {196+}\r\nSubject: Re: hello\r\nIn-Reply-To: <1@a>\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: inner\r\n\r\nin\r\n--b\r\n\r\nthree\r\n--b--\r\n\r\n"
    "e APPEND INBOX {9+}\r\nA: b\r\n\r\nc\r\nf APPEND Team/a {9+}\r\nA: b\r\n\r\nc\r\n"
    "g SELECT INBOX\r\nh STORE 3 +FLAGS (\\Flagged l m)\r\ni COPY 1:* Archive\r\nj SETACL Team/a anyone lr\r\n"
    "k SETMETADATA INBOX (/shared/comment \"x\")\r\nl APPEND INBOX {3+}\r\n\r\nx\r\nm STORE 4 +FLAGS (\\Deleted)\r\nn EXPUNGE\r\n"
    "o SUBSCRIBE nowhere\r\np LOGOUT\r\n";

static struct room_path below(const struct room_path *place, const char *name)
{
    struct room_path p;

    room_must(snprintf(p.text, sizeof p.text, "%s/%s", place->text, name) < (int)sizeof p.text, name, NULL);
    return p;
}

static bool keep_file(const char *name)
{
    enum damage d = slice_eq(slice_of(name), SLICE("mail.db")) ? DAMAGE_PAGES :
                    slice_starts(slice_of(name), SLICE("view-")) ? DAMAGE_VIEW :
                    slice_eq(slice_of(name), SLICE("index.db")) ? DAMAGE_INDEX : DAMAGES;

    if (name[0] == '.' || file_count == FILES_MAX)
        return false;
    files[file_count].path = below(&account_folder, name);
    files[file_count].bytes = room_read(files[file_count].path.text);
    files[file_count++].damage = d;
    return true;
}

static void keep_files(void)
{
    DIR *dir = opendir(account_folder.text);
    const struct dirent *e;

    room_must(dir != NULL, account_folder.text, NULL);
    while ((e = readdir(dir)) != NULL)
        (void)keep_file(e->d_name);
    (void)closedir(dir);
}

static void list_columns(void)
{
    sqlite3 *db;
    sqlite3_stmt *q;

    for (size_t i = 0; i < file_count; i++) {
        if (files[i].damage != DAMAGE_PAGES)
            continue;
        room_must(sqlite3_open(files[i].path.text, &db) == SQLITE_OK, "open", NULL);
        room_must(sqlite3_prepare_v2(db, "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'",
                                     -1, &q, NULL) == SQLITE_OK, "columns", NULL);
        for (; sqlite3_step(q) == SQLITE_ROW && column_count < COLUMNS_MAX; column_count++) {
            (void)snprintf(columns[column_count].table, sizeof columns[0].table, "%s", (const char *)sqlite3_column_text(q, 0));
            (void)snprintf(columns[column_count].name, sizeof columns[0].name, "%s", (const char *)sqlite3_column_text(q, 1));
        }
        (void)sqlite3_finalize(q);
        (void)sqlite3_close(db);
    }
    room_must(column_count > 20, "columns", NULL);
}

static void set_up(void)
{
    struct volume_limits v;
    struct fail why;
    struct buf said;

    folder = room_path("damaged");
    volume_limits_default(&v);
    v.volume_bytes = 4 << 20;
    v.prewrite_bytes = 0;
    v.reserve_percent = 0;
    v.reserve_bytes = 0;
    room_must(mkdir(folder.text, 0700) == 0, "folder", NULL);
    (void)session_store();
    log_set_level(LOG_ERROR + 1);
    account = session_new_account(SLICE("u0@example.test"));
    room_must(volumes_open(room_path("damaged/volumes").text, &v, &volumes, &why), "volumes", &why);
    struct store *st = open_store();
    room_must(store_account_create(st, account, &why), "account", &why);
    buf_init(&said, 1 << 20);
    play(st, life, &said);
    if (slice_find(buf_slice(&said), SLICE(" BAD ")) < said.len)
        fprintf(stderr, PRIslice "\n", SLICE_ARG(buf_slice(&said)));
    room_must(slice_find(buf_slice(&said), SLICE("p OK")) < said.len && slice_find(buf_slice(&said), SLICE(" BAD ")) == said.len,
              "the account's life", NULL);
    room_must(index_catch_up(st, account, &why), "index", &why);
    buf_reset(&said);
    play(st, script, &said); /* makes the views that are kept */
    buf_finish(&said);
    store_close(&st);
    char name[60];
    (void)snprintf(name, sizeof name, "accounts/%02x/%02x/%016llx", (unsigned)(account & 0xff), (unsigned)(account >> 8 & 0xff),
                   (unsigned long long)account);
    account_folder = below(&folder, name);
    keep_files();
    list_columns();
}

/* ---- damage ---- */

static void restore(void)
{
    DIR *dir = opendir(account_folder.text);
    const struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL)
        if (e->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), e->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)mkdir(account_folder.text, 0700);
    for (size_t i = 0; i < file_count; i++)
        room_write(files[i].path.text, files[i].bytes);
}

/* Each change: offset (3), what and how much, value. */
static struct slice changed(struct slice from, struct slice list)
{
    char *bytes = xmalloc(from.len + 1);
    size_t len = from.len;

    memcpy(bytes, from.ptr, len);
    for (; list.len >= CHANGE_BYTES && len > 0; list = slice_from(list, CHANGE_BYTES)) {
        const unsigned char *c = (const unsigned char *)list.ptr;
        size_t at = ((size_t)c[0] | (size_t)c[1] << 8 | (size_t)c[2] << 16) % len, n = (size_t)(c[3] >> 2) + 1;
        n = n < len - at ? n : len - at;
        switch (c[3] & 3) {
        case 0: bytes[at] = (char)c[4]; break;
        case 1: memset(bytes + at, c[4], n); break;
        case 2: bytes[at] = (char)(bytes[at] ^ 1 << (c[4] & 7)); break;
        case 3: len = c[4] == 0xff ? at : len; break;
        }
    }
    return slice_make(bytes, len);
}

/* The file of that kind, of views the one that the first byte names. */
static void damage_file(enum damage what, struct slice list, bool right)
{
    unsigned which = what == DAMAGE_VIEW ? fuzz_take(&list) : 0, seen = 0;

    for (size_t i = 0; i < file_count; i++) {
        if (files[i].damage != what || seen++ != which % 3)
            continue;
        struct slice bytes = changed(files[i].bytes, list);
        char *p = (char *)(uintptr_t)bytes.ptr;
        if (right && bytes.len > VIEW_CRC_AT + 4) {
            memset(p + VIEW_CRC_AT, 0, 4);
            uint32_t crc = crc32c(0, p, bytes.len);
            for (int b = 0; b < 4; b++)
                p[VIEW_CRC_AT + b] = (char)(crc >> 8 * b);
        }
        room_write(files[i].path.text, bytes);
        free(p);
    }
}

static void bind_value(sqlite3_stmt *q, unsigned kind, struct slice value)
{
    int64_t number = 0;

    for (size_t i = 0; i < value.len && i < 8; i++)
        number = (int64_t)((uint64_t)number << 8 | (unsigned char)value.ptr[i]);
    switch (kind % 4) {
    case 0: (void)sqlite3_bind_int64(q, 1, number); break;
    case 1: (void)sqlite3_bind_blob(q, 1, value.len > 0 ? value.ptr : "", (int)value.len, SQLITE_TRANSIENT); break;
    case 2: (void)sqlite3_bind_text(q, 1, value.len > 0 ? value.ptr : "", (int)value.len, SQLITE_TRANSIENT); break;
    case 3: (void)sqlite3_bind_int64(q, 1, -number); break;
    }
}

static void damage_rows(struct slice list)
{
    sqlite3 *db;
    sqlite3_stmt *q;

    for (size_t i = 0; i < file_count; i++)
        if (files[i].damage == DAMAGE_PAGES)
            room_must(sqlite3_open(files[i].path.text, &db) == SQLITE_OK, "open", NULL);
    (void)sqlite3_exec(db, "PRAGMA synchronous = OFF; PRAGMA ignore_check_constraints = ON", NULL, NULL, NULL);
    while (list.len > 4) {
        char sql[300];
        size_t column = fuzz_take(&list) % column_count;
        unsigned row = fuzz_take(&list) % 8, kind = fuzz_take(&list), n = fuzz_take(&list);
        struct slice value = slice_sub(list, 0, n);
        const char *t = columns[column].table, *c = columns[column].name;
        list = slice_from(list, value.len);
        (void)snprintf(sql, sizeof sql, "UPDATE \"%s\" SET \"%s\" = ?1 WHERE rowid = (SELECT rowid FROM \"%s\" LIMIT 1 OFFSET %u)", t, c, t, row);
        if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK) {
            (void)snprintf(sql, sizeof sql, "UPDATE \"%s\" SET \"%s\" = ?1", t, c);
            if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
                continue;
        }
        bind_value(q, kind, value);
        (void)sqlite3_step(q);
        (void)sqlite3_finalize(q);
    }
    (void)sqlite3_close(db);
}

static void damage(enum damage what, struct slice list, bool right)
{
    switch (what) {
    case DAMAGE_PAGES:
    case DAMAGE_INDEX: damage_file(what, list, false); break;
    case DAMAGE_VIEW: damage_file(what, list, right); break;
    case DAMAGE_ROWS: damage_rows(list); break;
    case DAMAGES: break;
    }
}

static void look_at(struct buf *said)
{
    struct store *st = open_store();
    struct check_totals totals;
    struct buf rest;
    struct fail why;

    buf_init(&rest, 1 << 26);
    play(st, script, said);
    (void)store_check(st, NULL, NULL, NULL, &totals, &why);
    play(st, "a LOGIN u p\r\nb SELECT INBOX\r\n", &rest);
    play(st, changes, &rest);
    (void)store_check(st, NULL, NULL, NULL, &totals, &why);
    store_close(&st);
    buf_finish(&rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    struct buf said;

    if (file_count == 0) {
        set_up();
        restore();
        buf_init(&expected, 1 << 26);
        look_at(&expected);
    }
    const unsigned how = fuzz_take(&in);
    const enum damage what = (enum damage)(how % DAMAGES);
    const bool right = (how & 4) != 0;
    restore();
    damage(what, in, right);
    buf_init(&said, 1 << 26);
    look_at(&said);
    FUZZ_CHECK(what != DAMAGE_VIEW || right || slice_eq(buf_slice(&said), buf_slice(&expected)));
    buf_finish(&said);
    return 0;
}
