/*
 * net/foreign.c - does a line belong to another protocol?
 *
 * Layer: net.
 */
#include "net/foreign.h"

static bool begins_with_one(struct slice line, const char *const *words, size_t count)
{
    const struct slice word = slice_cut(&line, ' ');

    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(word, slice_of(words[i])))
            return true;
    return false;
}

/*
 * request-line = method SP request-target SP HTTP-version      RFC 9112 section 3
 * Any method by the version; those that a form, a script or a proxy sends (RFC 9110 section 9.3) without it too.
 */
static bool is_request(struct slice line)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    const size_t at = slice_rfind_char(line, ' ');

    return (at < line.len && slice_starts(slice_from(line, at + 1), SLICE("HTTP/"))) ||
           begins_with_one(line, methods, ARRAY_LEN(methods));
}

/* A handshake record (RFC 8446 section 5.1), or a ClientHello in the form of SSL 2 (RFC 5246 appendix E.2). */
static bool is_tls(struct slice line)
{
    const unsigned char *at = (const unsigned char *)line.ptr;

    return line.len >= 3 && ((at[0] == 22 && at[1] == 3) || ((at[0] & 0x80) != 0 && at[2] == 1));
}

bool foreign_line(struct slice line)
{
    return is_tls(line) || is_request(line);
}

bool foreign_hello(struct slice line)
{
    static const char *const greetings[] = {"EHLO", "HELO", "LHLO"};

    return begins_with_one(line, greetings, ARRAY_LEN(greetings));
}
