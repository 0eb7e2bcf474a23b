/*
 * fuzz/replay.c - a fuzz target without a fuzzer: runs it on files, then on mutations of them.
 *
 *     replay_NAME [-seconds=S] [-seed=N] [-dict=FILE] [-keep=FILE] FILE-OR-FOLDER...
 *
 * For the ordinary sanitizer build, where `make check` runs every case that was ever found and, for a moment, what
 * comes of changing them blindly.  The seed is printed; with it the same inputs come in the same order (how many of them,
 * the clock says).  The input at which the target died is left in the file named by -keep.  The last line says how many
 * executions there were.
 */
#include <dirent.h>
#include <sanitizer/common_interface_defs.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 16, WORD_MAX = 64 };

struct input { char *bytes; size_t len; };
struct list { struct input *items; size_t count, room; };

static struct list cases, words;
static struct input now;       /* what the target runs on */
static const char *keep_path;
static uint64_t executions, random_state;

static void list_add(struct list *l, const void *bytes, size_t len)
{
    if (l->count == l->room) {
        l->room = l->room * 2 + 16;
        l->items = realloc(l->items, l->room * sizeof l->items[0]);
    }
    char *copy = malloc(len + 1);
    if (l->items == NULL || copy == NULL)
        abort();
    if (len > 0)
        memcpy(copy, bytes, len);
    l->items[l->count++] = (struct input){copy, len};
}

static void keep_input(void)
{
    FILE *f = keep_path != NULL ? fopen(keep_path, "wb") : NULL;

    if (f == NULL)
        return;
    (void)fwrite(now.bytes, 1, now.len, f);
    (void)fclose(f);
    fprintf(stderr, "the input is in %s\n", keep_path);
}

/* xorshift64*: the same everywhere. */
static uint64_t random_below(uint64_t n)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return n == 0 ? 0 : (random_state * 2685821657736338717u >> 11) % n;
}

/* The target gets exactly that many bytes from malloc, so that reading past them is seen. */
static void run(const char *bytes, size_t len)
{
    now.bytes = malloc(len > 0 ? len : 1);
    now.len = len;
    if (now.bytes == NULL)
        abort();
    if (len > 0)
        memcpy(now.bytes, bytes, len);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)now.bytes, len);
    free(now.bytes);
    now = (struct input){0};
    executions++;
}

static void read_file(const char *path, struct list *to)
{
    static char bytes[INPUT_MAX];
    FILE *f = fopen(path, "rb");

    if (f == NULL) {
        perror(path);
        exit(2);
    }
    list_add(to, bytes, fread(bytes, 1, sizeof bytes, f));
    (void)fclose(f);
}

static void read_path(const char *path)
{
    struct stat st;
    struct dirent **names;

    if (stat(path, &st) != 0)
        return;
    if (!S_ISDIR(st.st_mode)) {
        read_file(path, &cases);
        return;
    }
    int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char file[4096];
        if (names[i]->d_name[0] != '.' && snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name) < (int)sizeof file)
            read_path(file);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

/* The quoted words of a dictionary: name="...", with \\, \" and \xNN. */
static void read_words(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[1024];

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char word[WORD_MAX], *p = line[0] == '#' ? NULL : strchr(line, '"');
        size_t n = 0;
        for (p = p != NULL ? p + 1 : NULL; p != NULL && *p != '"' && *p != '\0' && n < sizeof word; p++) {
            unsigned code;
            if (*p == '\\' && p[1] == 'x' && sscanf(p + 2, "%2x", &code) == 1) {
                word[n++] = (char)code;
                p += 3;
            } else {
                p += *p == '\\';
                word[n++] = *p;
            }
        }
        if (n > 0)
            list_add(&words, word, n);
    }
    if (f != NULL)
        (void)fclose(f);
}

/* Replaces `gone` bytes at `at` by `s`, as far as there is room. */
static void splice(char *bytes, size_t *len, size_t at, size_t gone, const char *s, size_t n)
{
    if (*len - gone + n > INPUT_MAX)
        return;
    memmove(bytes + at + n, bytes + at + gone, *len - at - gone);
    if (n > 0)
        memcpy(bytes + at, s, n);
    *len = *len - gone + n;
}

static void mutate(char *bytes, size_t *len)
{
    const size_t at = random_below(*len + 1), left = *len - at;
    const struct input *other = &cases.items[random_below(cases.count)];
    const struct input *word = words.count > 0 ? &words.items[random_below(words.count)] : NULL;
    char c = (char)random_below(256);

    switch (random_below(word != NULL ? 8 : 6)) {
    case 0:
        if (left > 0)
            bytes[at] = (char)(bytes[at] ^ (1 << random_below(8)));
        break;
    case 1:
        if (left > 0)
            bytes[at] = c;
        break;
    case 2: splice(bytes, len, at, 0, &c, 1); break;
    case 3: splice(bytes, len, at, random_below((left < 16 ? left : 16) + 1), NULL, 0); break;
    case 4: splice(bytes, len, at, random_below(left + 1), NULL, 0); break;
    case 5: {
        const size_t from = random_below(other->len + 1);
        splice(bytes, len, at, random_below(left + 1), other->bytes + from, random_below(other->len - from + 1));
        break;
    }
    default: splice(bytes, len, at, random_below((left < word->len ? left : word->len) + 1), word->bytes, word->len); break;
    }
}

static double seconds_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_mutations(double until)
{
    static char bytes[INPUT_MAX];

    while (seconds_now() < until) {
        const struct input *begin = &cases.items[random_below(cases.count)];
        size_t len = begin->len;
        if (len > 0)
            memcpy(bytes, begin->bytes, len);
        for (uint64_t n = 1 + random_below(5); n > 0; n--)
            mutate(bytes, &len);
        run(bytes, len);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = (uint64_t)time(NULL);
    double seconds = 0;

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-seconds=", 9) == 0)
            seconds = strtod(argv[i] + 9, NULL);
        else if (strncmp(argv[i], "-seed=", 6) == 0)
            seed = strtoull(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "-dict=", 6) == 0)
            read_words(argv[i] + 6);
        else if (strncmp(argv[i], "-keep=", 6) == 0)
            keep_path = argv[i] + 6;
        else
            read_path(argv[i]);
    }
    __sanitizer_set_death_callback(keep_input);
    random_state = seed * 2654435761u + 1;
    printf("seed %llu\n", (unsigned long long)seed);
    (void)fflush(stdout);
    run("", 0);
    for (size_t i = 0; i < cases.count; i++)
        run(cases.items[i].bytes, cases.items[i].len);
    if (cases.count == 0)
        list_add(&cases, "", 0);
    run_mutations(seconds_now() + seconds);
    printf("%llu executions\n", (unsigned long long)executions);
    return 0;
}
