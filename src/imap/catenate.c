/*
 * imap/catenate.c - CATENATE: what a URL names becomes part of a new message.
 *
 * Layer: imap.  RFC 4469, RFC 5092.  URLs are relative to this server and this
 * user's session; what they name is copied as FETCH BODY would send it, without
 * setting \Seen.
 */
#include "imap/append.h"

#include "base/fail.h"
#include "imap/url_fetch.h"

enum { COPY_BYTES = 64 * 1024 };

/* resp-text-code =/ "BADURL" SP url-resp-text: the URL, as far as that can be said there. */
static void bad_url(struct imap_session *s, struct slice url, const char *text)
{
    char *shown = arena_alloc(&s->arena, url.len + 1);

    for (size_t i = 0; shown != NULL && i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];
        shown[i] = c < ' ' || c > '~' || c == ']' || c == '\\' ? '?' : (char)c;
    }
    imap_no(s, "[BADURL " PRIslice "] %s", SLICE_ARG(slice_make(shown, shown != NULL ? url.len : 0)), text);
}

static void drop_source(struct append *a)
{
    if (a->source.read != NULL)
        a->source.release(a->source.ctx);
    a->source = (struct conn_source){0};
}

bool append_url(struct imap_session *s, struct append *a, struct slice text)
{
    struct imap_url url;
    struct section found;
    struct fail why = {0};

    if (!imap_url_read(&s->arena, &s->service->limits, text, &url) || url.host.len > 0 || url.has_auth) {
        bad_url(s, text, "That is no URL of a message or a part of one on this server");
        return false;
    }
    if (!imap_url_open(s, &url, ITEM_SECTION, &found, &why)) {
        bad_url(s, text, why.text);
        return false;
    }
    a->source = found.source;
    a->source_at = found.offset;
    a->source_left = found.length;
    if (found.length > s->service->limits.append_bytes - body_size(a->body)) {
        imap_no(s, "[TOOBIG] At most %llu octets", (unsigned long long)s->service->limits.append_bytes);
        return false;
    }
    if (a->source.read == NULL)
        return append_bytes(s, a, found.text);
    return true;
}

bool append_copy_some(struct imap_session *s, struct append *a)
{
    size_t n = a->source_left < COPY_BYTES ? (size_t)a->source_left : COPY_BYTES;
    char piece[COPY_BYTES];

    if (!a->source.read(a->source.ctx, a->source_at, piece, n)) {
        imap_no(s, "[UNAVAILABLE] What a URL names cannot be read");
        return false;
    }
    a->source_at += n;
    a->source_left -= n;
    if (a->source_left == 0)
        drop_source(a);
    return append_bytes(s, a, slice_make(piece, n));
}
