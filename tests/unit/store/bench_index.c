/*
 * tests/unit/store/bench_index.c - what the search index costs and gains, without protocols.
 *
 *     bench-index FOLDER [MESSAGES]
 *
 * Messages of 4 KB whose words are as common as words are (the n-th is n times as rare
 * as the first), each with one word that only one of them has.
 */
#include <math.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "store/index.h"
#include "store/search.h"
#include "tests/unit/store/room.h"

enum { VOCABULARY = 20000 };

static struct room room;
static struct fail why;
static struct account *account;
static uint64_t inbox;
static uint64_t state = 88172645463325252U;

static uint64_t roll(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static double now_ms(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static char vocabulary[VOCABULARY][16];

static void make_vocabulary(void)
{
    static const char *const parts[] = {"an", "ber", "con", "der", "er", "fa", "ge", "ing", "ka", "le", "mo", "ne",
                                        "or", "per", "qui", "ra", "st", "ti", "un", "ver", "wa", "sch", "ex", "tion"};

    for (size_t i = 0; i < VOCABULARY; i++) {
        size_t n = 1 + roll() % 4;
        vocabulary[i][0] = '\0';
        for (size_t p = 0; p < n; p++)
            (void)snprintf(vocabulary[i] + strlen(vocabulary[i]), 16 - strlen(vocabulary[i]), "%s",
                           parts[roll() % ARRAY_LEN(parts)]);
    }
}

static const char *word(void)
{
    double u = (double)(roll() % 1000000) / 1e6;

    return vocabulary[(size_t)(exp(u * log(VOCABULARY)) - 1) % VOCABULARY];
}

/* Six letters as in a foreign name. */
struct unique {
    char text[8];
};
static struct unique unique_word(unsigned n)
{
    struct unique u;
    uint64_t mix = (n + 1) * 0x9e3779b97f4a7c15U;

    for (size_t i = 0; i < 6; i++, mix /= 26)
        u.text[i] = (char)('a' + mix % 26);
    u.text[6] = '\0';
    return u;
}

static void write_message(struct buf *b, unsigned n)
{
    buf_reset(b);
    buf_addf(b, "From: %s %s <%s@example.org>\r\nTo: bob@example.test\r\nSubject: %s %s %s\r\n"
             "Message-ID: <%llx@example.org>\r\nDate: Sun, 22 Nov 2026 10:51:07 +0000\r\n\r\n",
             word(), word(), word(), word(), word(), word(), (unsigned long long)roll());
    buf_addf(b, "%s ", unique_word(n).text);
    while (b->len < 4096)
        buf_addf(b, roll() % 12 == 0 ? "%s\r\n" : "%s ", word());
}

static void fill(unsigned messages)
{
    struct buf text;
    struct append_item items[200] = {0};
    uint32_t uidvalidity;
    uint64_t modseq;

    buf_init(&text, 1 << 16);
    for (unsigned n = 0; n < messages; n += 200) {
        for (unsigned i = 0; i < 200; i++) {
            write_message(&text, n + i);
            items[i].body = room_body(&room, buf_slice(&text));
        }
        if (!message_append(account, inbox, items, 200, &uidvalidity, &modseq, &why))
            room_die("append", &why);
        for (unsigned i = 0; i < 200; i++) {
            struct body *b = (struct body *)(uintptr_t)items[i].body;
            body_destroy(&b);
        }
    }
    buf_finish(&text);
}

static void search(const char *what, enum search_op op, const char *needle)
{
    struct arena arena;
    struct view *view = NULL;
    const uint32_t *found = NULL;
    size_t count = 0;
    int status = 0;

    arena_init(&arena, 1 << 20);
    if (!view_open(account, inbox, &view, &why))
        room_die("view", &why);
    double began = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_THREAD_CPUTIME_ID);
    struct search *key = arena_new(&arena, struct search);
    *key = (struct search){.op = op, .text = slice_of(needle)};
    struct search_run *run = search_start(account, inbox, view, key, &arena);
    while (status == 0)
        status = search_continue(run, 1000, &found, &count, &why);
    printf("%-34s %-20s %8.2f ms wall %8.2f ms CPU, %zu found\n", what, needle, now_ms(CLOCK_MONOTONIC) - began,
           now_ms(CLOCK_THREAD_CPUTIME_ID) - cpu, count);
    search_end(&run);
    view_release(&view);
    arena_finish(&arena);
}

static void searches(const char *what, unsigned messages)
{
    struct unique u = unique_word(messages / 2);
    const char *unique = u.text;

    for (int i = 0; i < 2; i++) {
        search(what, SEARCH_BODY, unique);
        search(what, SEARCH_TEXT, unique);
        search(what, SEARCH_TEXT, vocabulary[VOCABULARY - 5]);
        search(what, SEARCH_TEXT, vocabulary[400]);
        search(what, SEARCH_TEXT, "notthereatall");
        search(what, SEARCH_SUBJECT, unique);
    }
}

int main(int argc, char **argv)
{
    unsigned messages = argc > 2 ? (unsigned)atoi(argv[2]) : 10000;
    struct stat s;
    char path[STORE_PATH_BYTES];

    if (argc < 2)
        return 2;
    (void)setenv("TMPDIR", argv[1], 1);
    make_vocabulary();
    room_init(&room);
    account = room_account(&room, 1);
    inbox = room_mailbox(account, SLICE("INBOX"));
    fill(messages);
    struct index_set *index = room.store->index;
    room.store->index = NULL;
    searches("scanned", messages);
    room.store->index = index;

    double began = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_THREAD_CPUTIME_ID);
    if (!index_catch_up(room.store, 1, &why))
        room_die("index", &why);
    double wall = now_ms(CLOCK_MONOTONIC) - began, used = now_ms(CLOCK_THREAD_CPUTIME_ID) - cpu;
    (void)snprintf(path, sizeof path, "%s/accounts/01/00/0000000000000001/index.db", room.dir);
    (void)stat(path, &s);
    printf("indexing: %.0f us wall, %.0f us CPU each; index %.1f MB (and its WAL), %.0f bytes each\n",
           wall * 1e3 / messages, used * 1e3 / messages, (double)s.st_size / 1e6, (double)s.st_size / messages);
    searches("indexed", messages);
    account_release(&account);
    room_finish(&room);
    return 0;
}
