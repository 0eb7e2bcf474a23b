/*
 * tests/unit/store/test_index.c - a search with the index finds what a search without it
 * finds, whatever happened to the mail and to the index.
 *
 *     test_store_index [SEED [ROUNDS]]
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/crash_note.h"
#include "base/encode.h"
#include "base/log.h"
#include "store/grams.h"
#include "store/index.h"
#include "store/search.h"
#include "tests/unit/store/room.h"

static struct room room;
static struct fail why;
static struct account *account;
static uint64_t inbox, archive;
static unsigned seed = 1, used, searches;

static unsigned roll(unsigned n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16 & 0x7fff) % n;
}

/* ---- grams ---- */

static void test_grams(void)
{
    static const struct { const char *text, *query; } cases[] = {
        {"", NULL},
        {"ab", NULL},
        {"abc", "\"abc\""},
        {"abcd", "\"bcd\" AND \"abc\""},
        {"aaaa", "\"aaa\""},
        {"a\"b", "\"a\"\"b\""},
        {"ab\ncd", NULL},
        {"ab\ncde", "\"cde\""},
        {"zä", NULL},
        {"zäh", "\"zäh\""},
        {"日", NULL},
        {"日本", "\"日本\""},
        {"日本語", "\"日本\" AND \"本語\""},
        {"a日本", "\"a日本\" AND \"日本\""},
        {"the quizzical", "\"izz\" AND \"zzi\" AND \"qui\" AND \"uiz\" AND \"zic\" AND \" qu\""},
        {"ab日", "\"ab日\""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf query;
        buf_init(&query, 1000);
        bool any = grams_query(slice_of(cases[i].text), &query);
        CHECK(cases[i].text, any == (cases[i].query != NULL));
        if (any)
            CHECK_SLICE(cases[i].text, buf_slice(&query), slice_of(cases[i].query));
        buf_finish(&query);
    }
    struct grams *g = grams_create();
    grams_add(g, SLICE("abcab"));
    grams_add(g, SLICE("abcé"));
    CHECK("once each", grams_count(g) == 4); /* abc bca cab bcé */
    grams_reset(g);
    grams_add(g, SLICE("abcé"));
    CHECK("forgotten", grams_count(g) == 2 && !grams_overflowed(g));
    grams_reset(g);
    for (unsigned i = 0; i < 300000; i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "%c%c%c", (char)(32 + i % 90), (char)(32 + i / 90 % 90),
                       (char)(32 + i / 8100 % 90));
        grams_add(g, slice_of(text));
    }
    CHECK("too many", grams_overflowed(g));
    grams_destroy(&g);
    CHECK("tail", grams_tail(SLICE("abc")) == 2 && grams_tail(SLICE("aé日")) == 5 && grams_tail(SLICE("a")) == 1);
}

/* ---- HTML: a source that drops tags, refuses some and is away at times ---- */

static _Atomic bool away;

static enum text_result drop_tags(void *ctx, struct slice html, struct slice charset, struct buf *out)
{
    bool inside = false;

    (void)ctx, (void)charset;
    if (away)
        return TEXT_AWAY;
    if (slice_find(html, SLICE("REFUSE")) < html.len)
        return TEXT_REFUSED;
    for (size_t i = 0; i < html.len; i++) {
        if (html.ptr[i] == '<')
            inside = true;
        else if (html.ptr[i] == '>')
            inside = false;
        else if (!inside)
            buf_add_char(out, html.ptr[i]);
    }
    return TEXT_MADE;
}

static const struct text_source source = {.html = drop_tags, .html_max = 1 << 20};

/* ---- messages ---- */

static const char *const words[] = {
    "alpha",  "bravo",  "charlie", "delta",  "echo",   "Foxtrot", "GOLF",    "hotel",    "straße", "Grüße",
    "naïve",  "café",   "Σίσυφος", "привет", "МОСКВА", "日本語",  "東京都",  "こんにちは", "한국어", "😀😃",
    "x1y2z3", "a-b-c",  "http://example.org/path?query=1", "aaaa", "abab", "\"quoted\"", "100%", "ﬁsh",
    "q\u0307\u0323q", "q\u0323\u0307q", "ｶﾞＡＢＣ", "dıŞ",
};

static void add_words(struct buf *b, unsigned count, const char *between)
{
    for (unsigned i = 0; i < count; i++) {
        buf_add(b, slice_of(words[roll(ARRAY_LEN(words))]));
        buf_add(b, slice_of(roll(8) == 0 ? "\r\n" : between));
        if (roll(20) == 0)
            buf_addf(b, "rare%u ", roll(2000));
    }
}

static void write_message(struct buf *b)
{
    buf_reset(b);
    buf_addf(b, "From: Person %u <p%u@example.org>\r\nTo: list%u@example.net\r\nSubject: ", roll(50), roll(50),
             roll(5));
    if (roll(2) == 0)
        buf_add(b, SLICE("=?utf-8?q?Gr=C3=BC=C3=9Fe_aus?= =?iso-2022-jp?b?GyRCRnxLXBsoQg==?= "));
    buf_addf(b, "topic%u words\r\nMessage-ID: <%u.%u@example.org>\r\nX-Tag: tag%u\r\n", roll(30), roll(1000),
             roll(1000), roll(10));
    switch (roll(6)) {
    case 0:
        buf_add(b, SLICE("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: "
                         "quoted-printable\r\n\r\nGr=FC=DFe an alle, caf=E9=\r\n bravo\r\n"));
        break;
    case 1:
        buf_add(b, SLICE("Content-Type: text/html; charset=utf-8\r\n\r\n<p>al<b>pha</b> "));
        add_words(b, 20, "</i> <i>");
        buf_add(b, roll(10) == 0 ? SLICE("REFUSE <a href=x>") : SLICE("</p>\r\n"));
        break;
    case 2:
        buf_add(b, SLICE("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"));
        add_words(b, 20, " ");
        buf_add(b, SLICE("\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner words\r\n\r\n"));
        add_words(b, 5, " ");
        buf_add(b, SLICE("\r\n--b\r\nContent-Type: image/png\r\n\r\nhiddenword\r\n--b--\r\n"));
        break;
    case 3:
        buf_add(b, SLICE("Content-Type: text/plain; charset=utf-8\r\n\r\n"));
        add_words(b, roll(40) == 0 ? 12000 : 30, ""); /* some over 64 KB, read piece by piece */
        break;
    default:
        buf_add(b, SLICE("Content-Type: text/plain; charset=utf-8\r\n\r\n"));
        add_words(b, 30, " ");
    }
}

static void append(unsigned count)
{
    struct buf text;

    buf_init(&text, 1 << 22);
    for (unsigned i = 0; i < count; i++) {
        write_message(&text);
        if (room_append(&room, account, roll(4) == 0 ? archive : inbox, buf_slice(&text), 0) == 0)
            CHECK("append", false);
    }
    buf_finish(&text);
}

/* ---- searches ---- */

static void search(uint64_t mailbox, enum search_op op, enum collation c, struct slice needle, struct buf *out)
{
    struct arena arena;
    struct view *view = NULL;
    const uint32_t *found = NULL;
    size_t count = 0;
    int status = 0;

    arena_init(&arena, 1 << 20);
    buf_reset(out);
    if (!view_open(account, mailbox, &view, &why))
        room_die("view", &why);
    struct search *key = arena_new(&arena, struct search);
    *key = (struct search){.op = op, .text = needle, .collation = c, .field = SLICE("subject")};
    struct search_run *run = search_start(account, mailbox, view, key, &arena);
    while (status == 0)
        status = search_continue(run, 1000, &found, &count, &why);
    if (status < 0)
        room_die("search", &why);
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%u ", view_at(view, found[i]).uid);
    search_end(&run);
    view_release(&view);
    arena_finish(&arena);
}

/* A piece of a word, a word, or two words as they may stand side by side. */
static struct slice some_needle(char *space, size_t size)
{
    const char *one = words[roll(ARRAY_LEN(words))], *two = words[roll(ARRAY_LEN(words))];

    switch (roll(5)) {
    case 0: (void)snprintf(space, size, "rare%u", roll(2000)); break;
    case 1: (void)snprintf(space, size, "%s %s", one, two); break;
    case 2: (void)snprintf(space, size, "p%u@exam", roll(60)); break;
    case 3: (void)snprintf(space, size, "topic%u w", roll(40)); break;
    default: (void)snprintf(space, size, "%s", one);
    }
    struct slice s = slice_of(space);
    while (s.len > 4 && roll(3) == 0) { /* cut at whole characters */
        size_t n = 1;
        while (n < s.len && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
            n++;
        s = slice_from(s, n);
    }
    return s;
}

static void compare(unsigned times)
{
    static const enum search_op ops[] = {SEARCH_BODY, SEARCH_TEXT, SEARCH_TEXT, SEARCH_HEADER, SEARCH_SUBJECT,
                                         SEARCH_FROM, SEARCH_TO};
    struct index_set *index = room.store->index;
    struct buf with, without;
    char space[200];

    buf_init(&with, 1 << 20);
    buf_init(&without, 1 << 20);
    for (unsigned i = 0; i < times; i++) {
        enum search_op op = ops[roll(ARRAY_LEN(ops))];
        enum collation c = (enum collation)roll(COLLATION_COUNT);
        uint64_t mailbox = roll(3) == 0 ? archive : inbox;
        struct slice needle = some_needle(space, sizeof space);
        struct uid_set maybe = {.ranges = NULL};
        used += index_candidates(account, mailbox, needle, 10000, &maybe);
        uid_set_finish(&maybe);
        searches++;
        search(mailbox, op, c, needle, &with);
        room.store->index = NULL;
        search(mailbox, op, c, needle, &without);
        room.store->index = index;
        if (!slice_eq(buf_slice(&with), buf_slice(&without)))
            fprintf(stderr, "op %d, collation %d, \"" PRIslice "\"\n", (int)op, (int)c, SLICE_ARG(needle));
        CHECK_SLICE("with and without", buf_slice(&with), buf_slice(&without));
    }
    buf_finish(&with);
    buf_finish(&without);
}

/* ---- what happens to mail and index ---- */

static void start(void)
{
    room_open(&room);
    store_set_text_source(room.store, &source);
    account = room_account(&room, 1);
    inbox = room_mailbox(account, SLICE("INBOX"));
    archive = room_mailbox(account, SLICE("Archive"));
}

static void stop(void)
{
    account_release(&account);
    room_close(&room);
}

static void change_mail(void)
{
    struct uid_range range = {roll(200) + 1, 0};
    struct copy_result copied = {.modseq = 0};
    struct uid_set gone = {.ranges = NULL};
    uint64_t modseq;

    range.last = range.first + roll(10);
    if (roll(2) == 0)
        CHECK("copy", message_copy(account, inbox, &range, 1, archive, roll(2) == 0, &copied, &why));
    else
        CHECK("expunge", message_expunge(account, inbox, &range, 1, true, &gone, &modseq, &why));
    uid_set_finish(&copied.source);
    uid_set_finish(&gone);
}

/* Another process works on it and is killed: with all committed, or in the middle. */
static void crash(void)
{
    bool middle = roll(2) == 0;

    stop();
    pid_t child = fork();
    if (child == 0) {
        start();
        append(30);
        bool ok = index_catch_up(room.store, 1, &why);
        append(5);
        if (middle) {
            struct index_file *f = index_file_lock(room.store, 1);
            ok = ok && index_file_add(f, index_file_position(f).covered + 1, SLICE("\3abc"), false, &why);
        }
        _exit(ok ? 0 : 1);
    }
    int status = 1;
    (void)waitpid(child, &status, 0);
    CHECK("child", status == 0);
    for (unsigned i = 0; i < 35 * 40; i++)
        (void)roll(2); /* other messages than the child's */
    start();
}

static void damage_index(void)
{
    char path[STORE_PATH_BYTES];
    char garbage[512];

    stop();
    (void)snprintf(path, sizeof path, "%s/accounts/01/00/0000000000000001/index.db", room.dir);
    int fd = open(path, O_WRONLY);
    struct stat s;
    CHECK("there is an index", fd >= 0 && fstat(fd, &s) == 0);
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (char)roll(256);
    off_t at = roll(2) == 0 ? 0 : s.st_size / 2 / 4096 * 4096;
    CHECK("damaged", fd >= 0 && pwrite(fd, garbage, sizeof garbage, at) == (ssize_t)sizeof garbage);
    (void)close(fd);
    start();
}

static void one_step(void)
{
    switch (roll(10)) {
    case 0:
    case 1:
    case 2: append(roll(30)); break;
    case 3: change_mail(); break;
    case 4:
    case 5: (void)index_catch_up(room.store, 1, &why); break;
    case 6:
        away = true;
        append(3);
        (void)index_catch_up(room.store, 1, &why); /* gets as far as the first HTML */
        away = false;
        break;
    case 7:
        stop();
        start();
        break;
    case 8: crash(); break;
    default: CHECK("rebuild", store_rebuild(room.store, 1, NULL, NULL, &why)); break;
    }
}

/* ---- messages that were in work at two crashes ---- */

static void crash_twice_over(uint64_t print)
{
    char path[128];

    stop();
    (void)snprintf(path, sizeof path, "%s/working", room.dir);
    for (int i = 0; i < 2; i++) {
        struct crash_note *note = NULL;
        CHECK("note", crash_note_open(path, &note, &why));
        CHECK("in work", crash_note_enter(note, print));
        crash_note_close(&note);
    }
    start();
}

static bool note_envelope(void *ctx, const struct message_info *m)
{
    *(bool *)ctx = slice_find(m->envelope, SLICE("poisoned subject")) < m->envelope.len;
    return true;
}

/* An APPEND that crashes the parser again and again is kept unparsed the third time. */
static void test_append_poison(void)
{
    struct slice text = SLICE("Subject: poisoned subject\r\n\r\npoisonous body\r\n");
    bool parsed = true;

    crash_twice_over(((uint64_t)crc32c(0, text.ptr, text.len) << 32 | (uint32_t)text.len) | 1);
    uint32_t uid = room_append(&room, account, inbox, text, 0);
    CHECK("kept", uid != 0 && message_fetch(account, inbox, &(struct uid_range){uid, uid}, 1, FETCH_ENVELOPE,
                                            note_envelope, &parsed, &why));
    CHECK("unparsed", !parsed);
}

/* One that crashes the indexer is left to the true search, and so found all the same. */
static void test_index_poison(void)
{
    struct index_lag lag;
    struct buf found;

    CHECK("caught up", index_catch_up(room.store, 1, &why));
    uint32_t uid = room_append(&room, account, inbox, SLICE("Subject: x\r\n\r\nonly here: xyzzyplugh\r\n"), 0);
    CHECK("looked at", index_lag(account, &lag, &why) && lag.waiting == 1);
    struct index_file *f = index_file_lock(room.store, 1);
    uint64_t id = index_file_position(f).covered + 1;
    index_file_unlock(&f);
    crash_twice_over((1 * 0x9e3779b97f4a7c15U ^ id) | (uint64_t)1 << 63);
    CHECK("caught up", index_catch_up(room.store, 1, &why));
    CHECK("nothing waits", index_lag(account, &lag, &why) && lag.waiting == 0);
    buf_init(&found, 1 << 16);
    search(inbox, SEARCH_BODY, COLLATION_UNICODE_CASEMAP, SLICE("xyzzyplugh"), &found);
    char want[16];
    (void)snprintf(want, sizeof want, "%u ", uid);
    CHECK_SLICE("found", buf_slice(&found), slice_of(want));
    search(inbox, SEARCH_BODY, COLLATION_UNICODE_CASEMAP, SLICE("nothing of the kind"), &found);
    CHECK_SLICE("and not for all", buf_slice(&found), SLICE(""));
    buf_finish(&found);
}

/* One that knows of messages which the account has not: the account was put back by hand. */
static void test_ahead(void)
{
    struct uid_set maybe = {.ranges = NULL};

    CHECK("caught up", index_catch_up(room.store, 1, &why));
    CHECK("used", index_candidates(account, inbox, SLICE("xyzzyplugh"), 10000, &maybe));
    uid_set_finish(&maybe);
    maybe = (struct uid_set){.ranges = NULL};
    struct index_file *f = index_file_lock(room.store, 1);
    CHECK("ahead", index_file_add(f, index_file_position(f).covered + 1, SLICE("\3abc"), false, &why));
    index_file_unlock(&f);
    CHECK("not used", !index_candidates(account, inbox, SLICE("xyzzyplugh"), 10000, &maybe));
    CHECK("made anew", index_catch_up(room.store, 1, &why) &&
                           index_candidates(account, inbox, SLICE("xyzzyplugh"), 10000, &maybe));
    uid_set_finish(&maybe);
}

/* ---- the background ---- */

static void sleep_to_the_next_second(void)
{
    time_t now = time(NULL);

    while (time(NULL) == now)
        (void)usleep(10000);
}

/* What a process did not finish the next one does, also where no mail comes in any more. */
static void test_goes_on(void)
{
    struct index_lag lag = {.waiting = 0};
    char path[STORE_PATH_BYTES];

    away = false;
    CHECK("caught up", index_catch_up(room.store, 1, &why));
    CHECK("first", room_append(&room, account, inbox, SLICE("Subject: s\r\n\r\nb\r\n"), 0) != 0);
    CHECK("html", room_append(&room, account, inbox, SLICE("Content-Type: text/html\r\n\r\n<p>h</p>\r\n"), 0) != 0);
    away = true;
    CHECK("breaks off", !index_catch_up(room.store, 1, &why));
    away = false;
    stop();
    /* As if the account had last been written to long before: only its index says that it is not done. */
    (void)snprintf(path, sizeof path, "%s/accounts/01/00/0000000000000001/index.db", room.dir);
    sleep_to_the_next_second();
    CHECK("newer", chmod(path, 0600) == 0);
    room_open(&room); /* nobody opens the account but the background */
    store_set_text_source(room.store, &source);
    CHECK("starts", store_index_start(room.store, &why));
    int64_t until = clock_mono_ms() + 20000;
    struct stat s = {0};
    while (stat(path, &s) == 0 && s.st_mtime == 0 && clock_mono_ms() < until)
        (void)usleep(10000);
    account = room_account(&room, 1);
    CHECK("lag", index_lag(account, &lag, &why));
    CHECK("it is finished", lag.there && lag.waiting == 0);
}

enum { SEARCHES = 30, TOGETHER = 4 };

static void *append_many(void *ctx)
{
    struct account *a = ctx;

    for (int i = 0; i < 150; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "Subject: together\r\n\r\nwritten number%d beside a search\r\n", i);
        if (room_append(&room, a, inbox, slice_of(text), 0) == 0)
            CHECK("append", false);
    }
    return NULL;
}

/* What was appended before a search began is found, whether the index has it yet or not. */
static void test_background(void)
{
    pthread_t threads[TOGETHER];
    struct index_lag lag;
    struct buf found;

    CHECK("caught up", index_catch_up(room.store, 1, &why));
    CHECK("starts", store_index_start(room.store, &why));
    for (int i = 0; i < TOGETHER; i++)
        CHECK("thread", pthread_create(&threads[i], NULL, append_many, account) == 0);
    buf_init(&found, 1 << 20);
    for (int i = 0; i < SEARCHES; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "Subject: mine\r\n\r\nsearched%dxyz\r\n", i);
        uint32_t uid = room_append(&room, account, inbox, slice_of(text), 0);
        (void)snprintf(text, sizeof text, "searched%dxyz", i);
        search(inbox, SEARCH_BODY, COLLATION_UNICODE_CASEMAP, slice_of(text), &found);
        (void)snprintf(text, sizeof text, "%u ", uid);
        CHECK_SLICE("found at once", buf_slice(&found), slice_of(text));
    }
    for (int i = 0; i < TOGETHER; i++)
        (void)pthread_join(threads[i], NULL);
    int64_t until = clock_mono_ms() + 60000;
    do { /* the last few would wait half a minute for more */
        CHECK("lag", index_lag(account, &lag, &why));
    } while (lag.waiting >= 100 && clock_mono_ms() < until && usleep(10000) == 0);
    CHECK("it catches up", lag.waiting < 100);
    search(inbox, SEARCH_BODY, COLLATION_UNICODE_CASEMAP, SLICE("number77 beside"), &found);
    unsigned count = 0;
    for (size_t i = 0; i < found.len; i++)
        count += found.data[i] == ' ';
    CHECK("once each", count == TOGETHER);
    buf_finish(&found);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 40;

    if (argc > 1)
        seed = (unsigned)atoi(argv[1]);
    printf("seed %u, %u rounds\n", seed, rounds);
    log_set_level(LOG_ERROR);
    test_grams();
    room_init(&room);
    room_close(&room);
    start();
    append(300);
    CHECK("first", index_catch_up(room.store, 1, &why));
    compare(60);
    CHECK("the index is used", used > 20);
    for (unsigned i = 0; i < rounds; i++) {
        one_step();
        compare(8);
    }
    test_append_poison();
    test_index_poison();
    test_ahead();
    test_goes_on();
    stop();
    start();
    test_background();
    /* Damaged at its head: a new one is made.  In the middle: found out when that is read, or not read. */
    CHECK("again", index_catch_up(room.store, 1, &why));
    damage_index();
    (void)index_catch_up(room.store, 1, &why);
    CHECK("anew", index_catch_up(room.store, 1, &why));
    struct index_lag lag;
    if (!index_check(account, &lag, &why)) { /* nobody had read it yet */
        CHECK("damaged in the middle", why.kind == FAIL_PERM);
        stop(); /* else it would not be tried again so soon */
        start();
        CHECK("anew, once it was looked at", index_catch_up(room.store, 1, &why));
    }
    CHECK("sound", index_check(account, &lag, &why));
    CHECK("nothing waits", index_lag(account, &lag, &why) && lag.there && lag.waiting == 0);
    printf("%u of %u searches used the index\n", used, searches);
    account_release(&account);
    room_finish(&room);
    return check_done();
}
