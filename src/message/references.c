/*
 * message/references.c - what a message says of the messages it belongs to.
 *
 * Layer: message.
 */
#include "message/references.h"

#include "base/map.h"
#include "base/unicode.h"
#include "message/header.h"
#include "message/lex.h"

enum { FIRST_KEPT = 10, ID_BYTES_MAX = 4096 };

uint64_t header_id_hash(struct slice id)
{
    char text[ID_BYTES_MAX]; /* nobody needs the rest of a longer one */
    struct slice inside = id;
    size_t len = 0;

    if (inside.len >= 2 && inside.ptr[0] == '<' && inside.ptr[inside.len - 1] == '>')
        inside = slice_sub(inside, 1, inside.len - 2);
    for (size_t i = 0; i < inside.len && len < sizeof text; i++) {
        char c = inside.ptr[i];
        if (c == '\\' && i + 1 < inside.len)
            c = inside.ptr[++i];
        else if (c == '"' || lex_is_blank(c))
            continue;
        text[len++] = c;
    }
    uint64_t hash = hash_for_good(slice_make(text, len));
    return hash != 0 ? hash : 1;
}

/* The fields that threads are made of: the first of each. */
struct fields {
    struct slice message_id, in_reply_to, references, subject;
};

static struct fields find_fields(struct slice block)
{
    static const struct slice names[] = {
        {"message-id", 10}, {"in-reply-to", 11}, {"references", 10}, {"subject", 7}};
    struct header_field field;
    struct fields f = {0};
    struct slice *bodies[] = {&f.message_id, &f.in_reply_to, &f.references, &f.subject};

    for (size_t at = 0; header_next(block, &at, &field);)
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (field.name.len == names[i].len && bodies[i]->ptr == NULL &&
                slice_eq_nocase(field.name, names[i]))
                *bodies[i] = field.body;
    return f;
}

/* Messages whose subjects differ only in white space belong together (RFC 8621 section 3). */
static uint64_t subject_hash(struct slice subject_body)
{
    struct buf base, folded;

    buf_init(&base, subject_body.len * 4 + 16);
    (void)header_base_subject(&base, subject_body);
    buf_init(&folded, base.len * 4 + 16);
    unicode_casefold(&folded, buf_slice(&base));
    size_t len = 0;
    for (size_t i = 0; i < folded.len; i++)
        if (!lex_is_blank(folded.data[i]))
            folded.data[len++] = folded.data[i];
    uint64_t hash = hash_for_good(slice_make(folded.data, len));
    buf_finish(&folded);
    buf_finish(&base);
    return hash;
}

struct hashes {
    uint64_t list[REFERENCES_MAX];
    size_t count;
};

/* Of many ids the first ones and the last ones: the thread's beginning and the near ancestors. */
static void hash_ids(struct arena *a, struct slice body, struct hashes *out)
{
    struct slice *ids;
    size_t count = header_message_ids(a, body, &ids), skip = 0;

    if (count > REFERENCES_MAX)
        skip = count - REFERENCES_MAX;
    out->count = 0;
    for (size_t i = 0; i < count; i++)
        if (i < FIRST_KEPT || i >= FIRST_KEPT + skip)
            out->list[out->count++] = header_id_hash(ids[i]);
}

static void put_u64(char *to, uint64_t n)
{
    for (size_t i = 0; i < sizeof n; i++)
        to[i] = (char)(unsigned char)(n >> (8 * i));
}

uint64_t references_at(struct slice ids, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < sizeof value; i++)
        value |= (uint64_t)(unsigned char)ids.ptr[n * sizeof value + i] << (8 * i);
    return value;
}

static struct slice write_ids(struct arena *a, uint64_t own, const struct hashes *ancestors)
{
    char *text = arena_alloc(a, (ancestors->count + 1) * sizeof own);

    if (text == NULL)
        return slice_make(NULL, 0);
    put_u64(text, own);
    for (size_t i = 0; i < ancestors->count; i++)
        put_u64(text + (i + 1) * sizeof own, ancestors->list[i]);
    return slice_make(text, (ancestors->count + 1) * sizeof own);
}

static void add_key(struct message_references *out, uint64_t *keys, uint64_t id, uint64_t subject)
{
    char both[2 * sizeof id];

    put_u64(both, id);
    put_u64(both + sizeof id, subject);
    uint64_t key = hash_for_good(slice_make(both, sizeof both));

    for (size_t i = 0; i < out->key_count; i++)
        if (keys[i] == key)
            return;
    keys[out->key_count++] = key;
}

void message_references_read(struct arena *a, struct slice header_block, struct message_references *out)
{
    struct fields f = find_fields(header_block);
    struct slice id = header_message_id(f.message_id);
    struct hashes ancestors, replied = {.count = 0};
    uint64_t own = id.len > 0 ? header_id_hash(id) : 0, subject = 0;
    uint64_t *keys = arena_new_array(a, uint64_t, THREAD_KEYS_MAX);

    *out = (struct message_references){.keys = keys};
    hash_ids(a, f.references, &ancestors);
    if (f.in_reply_to.len > 0)
        hash_ids(a, f.in_reply_to, &replied);
    if (keys != NULL && (own != 0 || ancestors.count > 0 || replied.count > 0)) {
        subject = subject_hash(f.subject);
        for (size_t i = 0; i < replied.count && out->key_count < THREAD_KEYS_MAX / 2; i++)
            add_key(out, keys, replied.list[i], subject);
        for (size_t i = ancestors.count; i > 0 && out->key_count < THREAD_KEYS_MAX - 1; i--)
            add_key(out, keys, ancestors.list[i - 1], subject);
        if (own != 0)
            add_key(out, keys, own, subject);
    }
    /* Of In-Reply-To the first valid id, and only if there is no References (RFC 5256 section 3, step 1). */
    if (ancestors.count == 0 && replied.count > 0) {
        ancestors.list[0] = replied.list[0];
        ancestors.count = 1;
    }
    out->ids = write_ids(a, own, &ancestors);
}
