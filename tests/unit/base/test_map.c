/* base/map: against a plain array, with many removals. */
#include "base/map.h"

#include "tests/unit/check.h"

enum { KEYS = 400, STEPS = 40000 };

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void test_text(void)
{
    struct map   m;
    char         values[KEYS][16];
    bool         present[KEYS] = {false}, right = true;
    size_t       count = 0;
    uint32_t     state = 7;

    map_init(&m);
    CHECK("empty", map_get(&m, SLICE("x")) == NULL && map_remove(&m, SLICE("x")) == NULL);
    for (unsigned i = 0; i < KEYS; i++)
        (void)snprintf(values[i], sizeof values[i], "key %u", i);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned     i = next_random(&state) % KEYS;
        struct slice key = slice_of(values[i]);
        void        *want = present[i] ? values[i] : NULL;

        right = right && map_get(&m, key) == want;
        if (next_random(&state) % 2 == 0) {
            right = right && map_put(&m, key, values[i]) == want;
            count += !present[i];
            present[i] = true;
        } else {
            right = right && map_remove(&m, key) == want;
            count -= present[i];
            present[i] = false;
        }
        right = right && m.count == count;
    }
    CHECK("as an array would", right);

    size_t       at = 0, walked = 0;
    struct slice key;
    void        *value;
    while (map_next(&m, &at, &key, &value)) {
        right = right && slice_eq(key, slice_of(value));
        walked++;
    }
    CHECK("walk", right && walked == count);
    map_finish(&m);
}

static void test_text_keys(void)
{
    struct map m;
    char       key[] = "abc";
    int        one, two;

    map_init(&m);
    CHECK("new", map_put(&m, slice_of(key), &one) == NULL);
    key[0] = 'X';
    CHECK("key copied", map_get(&m, SLICE("abc")) == &one);
    CHECK("replaced", map_put(&m, SLICE("abc"), &two) == &one);
    CHECK("one entry", m.count == 1);
    CHECK("empty key", map_put(&m, SLICE(""), &one) == NULL && map_get(&m, slice_of(NULL)) == &one);
    CHECK("NUL in keys", map_put(&m, slice_make("a\0b", 3), &one) == NULL && map_get(&m, SLICE("a")) == NULL);
    map_finish(&m);
}

static void test_numbers(void)
{
    struct idmap m;
    int          values[KEYS];
    bool         present[KEYS] = {false}, right = true;
    size_t       count = 0;
    uint32_t     state = 11;

    idmap_init(&m);
    CHECK("empty", idmap_get(&m, 0) == NULL && idmap_remove(&m, 0) == NULL);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = next_random(&state) % KEYS;
        uint64_t key = (uint64_t)i << 20; /* 0 is a key like others */
        void    *want = present[i] ? &values[i] : NULL;

        right = right && idmap_get(&m, key) == want;
        if (next_random(&state) % 2 == 0) {
            right = right && idmap_put(&m, key, &values[i]) == want;
            count += !present[i];
            present[i] = true;
        } else {
            right = right && idmap_remove(&m, key) == want;
            count -= present[i];
            present[i] = false;
        }
    }
    size_t   at = 0, walked = 0;
    uint64_t key;
    void    *value;
    while (idmap_next(&m, &at, &key, &value)) {
        right = right && value == &values[key >> 20];
        walked++;
    }
    CHECK("as an array would", right && walked == count && m.count == count);
    idmap_finish(&m);
}

int main(void)
{
    test_text();
    test_text_keys();
    test_numbers();
    CHECK("hash is steady", hash_bytes(SLICE("a")) == hash_bytes(SLICE("a")));
    CHECK("hash sees bytes", hash_bytes(SLICE("a")) != hash_bytes(SLICE("b")));
    return check_done();
}
