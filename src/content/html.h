/*
 * content/html.h - HTML as its reader sees it.
 *
 * Layer: content.  By libxml2's HTML push parser, SAX only: no tree, no network, no
 * entities but HTML's own.  The library is loaded, not linked, so that only the role
 * that parses has it in its address space.
 */
#ifndef CONTENT_HTML_H
#define CONTENT_HTML_H

#include "base/buf.h"

struct fail;

struct html_limits {
    unsigned depth; /* of elements in each other */
    unsigned ms;    /* of this thread's processor time */
};

/* libxml2, loaded; used by any number of threads.  NULL and FAIL_PERM if it is not installed. */
struct html_library;
struct html_library *html_library_open(struct fail *why);
/* Fine on NULL; leaves *x NULL. */
void html_library_close(struct html_library **x);

/*
 * Appends the text of a document, UTF-8, to `out`: entities decoded, white space run
 * together, a line for each block, inline elements joined; the contents of script,
 * style and template left out, those of title and alt kept.  The charset is that of a
 * byte order mark, else `charset` (of Content-Type; "": not said), else what a meta
 * element near the start says, else UTF-8.
 *
 * false and FAIL_PERM FAIL_LIMIT beyond a limit (that of `out` is its own max).
 */
bool html_to_text(const struct html_library *x, struct slice document, struct slice charset,
                  const struct html_limits *limits, struct buf *out, struct fail *why);

/* What the document itself says its charset is; empty if nothing. */
struct slice html_meta_charset(struct slice document);

#endif
