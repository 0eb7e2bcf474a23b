/* base/encode: RFC 4648's vectors, strictness, CRC32C's two ways. */
#include "base/encode.h"

#include "tests/unit/check.h"

static void test_base64(void)
{
    static const struct { const char *note, *plain, *text; } good[] = { /* RFC 4648 section 10 */
        {"empty", "", ""},
        {"one", "f", "Zg=="},
        {"two", "fo", "Zm8="},
        {"three", "foo", "Zm9v"},
        {"four", "foob", "Zm9vYg=="},
        {"five", "fooba", "Zm9vYmE="},
        {"six", "foobar", "Zm9vYmFy"},
        {"last letters", "\xfb\xff\xbf", "+/+/"},
    };
    static const struct { const char *note, *text; } bad[] = {
        {"no padding", "Zg"},
        {"half padding", "Zg="},
        {"padding alone", "===="},
        {"three pads", "Z==="},
        {"padding inside", "Zg==Zm9v"},
        {"pad before digit", "Zg=v"},
        {"bits left over, one", "Zh=="},
        {"bits left over, two", "Zm9="},
        {"line end", "Zm9v\r\n=="},
        {"blank", "Zm 9"},
        {"URL alphabet", "-_-_"},
        {"high byte", "Zm9\xf6"},
    };
    struct buf b;

    buf_init(&b, 100);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        buf_reset(&b);
        base64_encode(&b, slice_of(good[i].plain));
        CHECK_SLICE(good[i].note, buf_slice(&b), slice_of(good[i].text));
        buf_reset(&b);
        CHECK(good[i].note, base64_decode(&b, slice_of(good[i].text)));
        CHECK_SLICE(good[i].note, buf_slice(&b), slice_of(good[i].plain));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        buf_reset(&b);
        buf_add(&b, SLICE("before"));
        CHECK(bad[i].note, !base64_decode(&b, slice_of(bad[i].text)));
        CHECK_SLICE(bad[i].note, buf_slice(&b), SLICE("before"));
        CHECK(bad[i].note, !b.failed);
    }
    buf_finish(&b);

    buf_init(&b, 3);
    CHECK("digits missing", !base64_decode(&b, slice_sub(SLICE("Zm9v"), 0, 2)));
    CHECK("fits", base64_decode(&b, SLICE("Zm9v")));
    CHECK("does not fit", !base64_decode(&b, SLICE("Zm9v")) && b.len == 3 && !b.failed);
    base64_encode(&b, SLICE("foo"));
    CHECK("encoded does not fit", b.failed);
    buf_finish(&b);
}

static void test_hex(void)
{
    struct buf b;

    buf_init(&b, 100);
    hex_encode(&b, slice_make("\x00\x7f\xff", 3));
    CHECK_SLICE("encode", buf_slice(&b), SLICE("007fff"));
    buf_reset(&b);
    CHECK("decode", hex_decode(&b, SLICE("007FfF")));
    CHECK_SLICE("decoded", buf_slice(&b), slice_make("\x00\x7f\xff", 3));
    CHECK("odd", !hex_decode(&b, SLICE("0")));
    CHECK("no digit", !hex_decode(&b, SLICE("0g")) && !hex_decode(&b, SLICE("@0")));
    CHECK("left as it was", b.len == 3 && !b.failed);
    buf_finish(&b);
}

static void test_crc(void)
{
    unsigned char zeros[32] = {0}, ones[32], rising[32], many[1000];
    bool          same = true, split = true;

    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < sizeof rising; i++)
        rising[i] = (unsigned char)i;
    /* RFC 3720 appendix B.4 */
    CHECK("zeros", crc32c(0, zeros, 32) == 0x8a9136aa);
    CHECK("ones", crc32c(0, ones, 32) == 0x62a8ab43);
    CHECK("rising", crc32c(0, rising, 32) == 0x46dd794e);
    CHECK("check value", crc32c(0, "123456789", 9) == 0xe3069283);
    CHECK("nothing", crc32c(0, NULL, 0) == 0);

    random_bytes(many, sizeof many);
    uint32_t whole = crc32c(0, many, sizeof many);
    for (size_t i = 0; i <= sizeof many; i++) {
        same = same && crc32c(7, many, i) == crc32c_by_table(7, many, i);
        split = split && crc32c(crc32c(0, many, i), many + i, sizeof many - i) == whole;
    }
    CHECK("table and instruction agree", same);
    CHECK("in two steps", split);
}

int main(void)
{
    test_base64();
    test_hex();
    test_crc();
    CHECK("random numbers differ", random_u64() != random_u64());
    return check_done();
}
