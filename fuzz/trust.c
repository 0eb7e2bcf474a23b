/*
 * fuzz/trust.c - what other domains publish: TXT records, policies, and the files we keep of them.
 */
#include "base/fail.h"
#include "fuzz.h"
#include "trust/mta_sts.h"
#include "trust/record.h"
#include "trust/sts_fetch.h"
#include "trust/sts_file.h"
#include "trust/tls_day.h"

static bool inside(struct slice part, struct slice whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.len <= whole.len && (size_t)(part.ptr - whole.ptr) <= whole.len - part.len);
}

static void fuzz_records(struct slice in)
{
    struct slice id, rua[RUA_MAX], address;
    char         room[64];
    size_t       count = 0;

    if (sts_record_parse(in, &id))
        FUZZ_CHECK(inside(id, in) && id.len >= 1 && id.len <= 32);
    if (tls_report_record_parse(in, rua, &count))
        for (size_t i = 0; i < count; i++)
            FUZZ_CHECK(inside(rua[i], in) && slice_find_char(rua[i], ',') == rua[i].len);
    if (mailto_parse(in, room, sizeof room, &address))
        for (size_t i = 0; i < address.len; i++)
            FUZZ_CHECK(address.ptr[i] > ' ' && address.ptr[i] <= '~');
    (void)sts_type_is_plain(in);
}

static void fuzz_policy(struct slice in)
{
    struct arena      a;
    struct sts_policy p;

    arena_init(&a, 1 << 22);
    if (sts_policy_parse(&a, in, &p, NULL)) {
        FUZZ_CHECK(p.max_age >= 0 && p.max_age <= 31557600 && (p.mode == STS_NONE || p.mx_count > 0));
        for (size_t i = 0; i < p.mx_count; i++) {
            FUZZ_CHECK(inside(p.mx[i], p.text));
            FUZZ_CHECK(slice_starts(p.mx[i], SLICE("*.")) || sts_policy_allows(&p, p.mx[i]));
        }
        (void)sts_policy_allows(&p, in);
    }
    arena_finish(&a);
}

/* What is read is written the same. */
static void fuzz_file(struct slice in)
{
    struct sts_file f = {0};
    struct buf      again;

    if (!sts_file_read(in, &f))
        return;
    buf_init(&again, 1 << 20);
    sts_file_write(&f, &again);
    struct sts_file back = {0};
    FUZZ_CHECK(sts_file_read(buf_slice(&again), &back) && back.fetched == f.fetched && back.used == f.used);
    FUZZ_CHECK(strcmp(back.id, f.id) == 0 && slice_eq(buf_slice(&back.text), buf_slice(&f.text)));
    buf_finish(&again);
    buf_finish(&f.text);
    buf_finish(&back.text);
}

/* Lines of a day's counts make a report, whatever they are. */
static void fuzz_day(struct slice in)
{
    const struct tls_report_about about = {.organization = "a.example", .contact = "b@a.example", .id = "1@a.example", .day = 20000};
    struct tls_day                day;
    struct slice                  key;
    void                         *value;
    size_t                        at = 0;

    tls_day_init(&day);
    while (in.len > 0)
        tls_day_add(&day, slice_cut(&in, '\n'));
    while (map_next(&day.domains, &at, &key, &value)) {
        struct buf json;
        buf_init(&json, 1 << 24);
        tls_domain_json(value, &about, &json);
        FUZZ_CHECK(json.len > 0);
        buf_finish(&json);
    }
    tls_day_finish(&day);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);

    switch (fuzz_take(&in) % 4) {
    case 0: fuzz_records(in); break;
    case 1: fuzz_policy(in); break;
    case 2: fuzz_file(in); break;
    case 3: fuzz_day(in); break;
    }
    return 0;
}
