/*
 * fuzz/imap_url.c - IMAP URLs, as CATENATE and URLFETCH give them.
 *
 * What is read points at what was written, and an absolute path with a section's
 * label put together from the parts reads the same.
 */
#include "fuzz.h"
#include "imap/url.h"

static const struct imap_limits limits = {.sets = 50, .nesting = 8};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct imap_url url, again;
    struct arena a;

    arena_init(&a, 16 << 20);
    if (imap_url_read(&a, &limits, text, &url)) {
        FUZZ_CHECK(url.uid > 0 && url.section.kind == ITEM_SECTION && url.section.depth <= limits.nesting);
        FUZZ_CHECK(!url.section.partial || url.section.length > 0);
        FUZZ_CHECK(slice_find_char(url.mailbox, '\0') == url.mailbox.len);
        FUZZ_CHECK(!url.has_auth || slice_starts(text, url.rump));
        FUZZ_CHECK(url.mechanism.len == 0 || url.token.len >= 32);
        if (url.mailbox.len > 0) {
            struct buf b;
            buf_init(&b, 1 << 20);
            buf_add_char(&b, '/');
            for (size_t i = 0; i < url.mailbox.len; i++)
                buf_addf(&b, "%%%02X", (unsigned)(unsigned char)url.mailbox.ptr[i]);
            buf_addf(&b, "/;UID=%u", url.uid);
            FUZZ_CHECK(imap_url_read(&a, &limits, buf_slice(&b), &again));
            FUZZ_CHECK(slice_eq(again.mailbox, url.mailbox) && again.uid == url.uid);
            buf_finish(&b);
        }
    }
    arena_finish(&a);
    return 0;
}
