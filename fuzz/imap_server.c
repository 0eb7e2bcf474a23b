/*
 * fuzz/imap_server.c - what an IMAP server may say to an import, cut anywhere.
 *
 * However it is cut, the same is understood; nothing is kept beyond its bound.
 */
#include "fuzz.h"
#include "transfer/imap_in.h"

struct bytes { struct slice left; size_t step; };
struct seen { uint64_t answers, digest; bool failed; enum fail_kind kind; };

static ssize_t read_bytes(void *ctx, void *out, size_t n, struct fail *why)
{
    struct bytes *b = ctx;
    struct slice piece = slice_sub(b->left, 0, n < b->step ? n : b->step);

    (void)why;
    if (piece.len > 0)
        memcpy(out, piece.ptr, piece.len);
    b->left = slice_from(b->left, piece.len);
    return (ssize_t)piece.len;
}

static void add(struct seen *s, struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        s->digest = s->digest * 1099511628211u + (unsigned char)text.ptr[i];
}

static struct seen read_all(struct slice bytes, size_t step)
{
    static const struct body_limits limits = {.memory_max = 1 << 16, .size_max = 1 << 16, .spool_dir = "/tmp"};
    static struct imap_in in;
    static struct imap_fetched f;
    struct bytes b = {bytes, step};
    struct seen s = {0};

    imap_in_init(&in, read_bytes, &b);
    while (!in.failed) {
        struct imap_answer a = imap_in_answer(&in);
        if (a.kind == IMAP_FAILED)
            break;
        s.answers++;
        add(&s, a.text);
        add(&s, a.code);
        FUZZ_CHECK(a.text.len <= 1000);
        if (a.kind == IMAP_DATA && slice_eq_nocase(a.word, SLICE("FETCH"))) {
            struct body *body = body_create(&limits);
            struct slice text = {0};
            imap_in_fetched(&in, body, &f);
            FUZZ_CHECK(f.keyword_count <= IMAP_KEYWORDS_MAX && f.label_count <= IMAP_KEYWORDS_MAX && body_size(body) <= limits.size_max);
            if (!in.failed && body_in_memory(body, &text))
                add(&s, text);
            for (size_t i = 0; !in.failed && i < f.keyword_count; i++)
                add(&s, f.keywords[i]);
            s.digest += in.failed ? 0 : f.uid + f.flags + (uint64_t)f.date + f.size;
            body_destroy(&body);
        } else if (a.kind == IMAP_DATA) {
            imap_in_skip(&in);
            if (!in.failed)
                imap_in_end(&in);
        }
    }
    s.failed = in.failed;
    s.kind = in.why.kind;
    imap_in_finish(&in);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    size_t step = 1 + fuzz_take(&in);
    struct seen whole = read_all(in, SIZE_MAX), cut = read_all(in, step);

    FUZZ_CHECK(whole.answers == cut.answers && whole.digest == cut.digest && whole.failed && cut.failed);
    return 0;
}
