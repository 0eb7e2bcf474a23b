/*
 * transfer/writer_internal.h - what the writers share.
 *
 * Layer: transfer, private to it.
 */
#ifndef TRANSFER_WRITER_INTERNAL_H
#define TRANSFER_WRITER_INTERNAL_H

#include <stdio.h>

#include "base/map.h"
#include "transfer/writer.h"

enum { WRITER_LETTERS = 26, WRITER_NAME_MAX = 4000 };

/* The mailbox that is being written. */
struct writer_box {
    bool        open, skip; /* skip: it cannot be written, which was said */
    struct buf  name;       /* for people */
    uint32_t    uidvalidity, uidnext;
    struct map  keywords;   /* to their number, from 1 */
    struct buf  keyword_names; /* each with a blank in front, in the order of their numbers */
    size_t      keyword_count;
    int         folder, cur, tmp; /* Maildir */
    struct map  there;            /* Maildir, resume: file names without flags, to the whole names */
    FILE       *list;             /* Maildir: dovecot-uidlist as it grows */
    FILE       *file;             /* mbox */
    uint64_t    base_at;          /* mbox: where X-IMAPbase stands; 0: nowhere yet */
};

struct writer {
    struct writer_options options;
    struct writer_summary summary;
    int                   root;
    struct writer_box     box;
    struct buf            subscriptions;
};

void writer_leave_out(struct writer *w, struct slice what, const char *reason);
/* The number of a keyword in the present mailbox, from 1. */
size_t writer_keyword(struct writer_box *b, struct slice name);

/* One level of a name as a file's name: modified UTF-7; for Maildir with "." as "\2e". */
void writer_add_level(struct buf *out, struct slice level, bool maildir);
/* Opens (and makes) a folder in another; -1 and *why. */
int  writer_folder(int parent, const char *name, struct fail *why);
/* A new file; -1 and errno. */
int  writer_file(int folder, const char *name);

bool maildir_begin(struct writer *w, const struct transfer_mailbox *m, struct fail *why);
bool maildir_message(struct writer *w, const struct transfer_message *m, struct fail *why);
bool maildir_end(struct writer *w, struct fail *why);
void maildir_close(struct writer_box *b);

bool mbox_begin(struct writer *w, const struct transfer_mailbox *m, struct fail *why);
bool mbox_message(struct writer *w, const struct transfer_message *m, struct fail *why);
bool mbox_end(struct writer *w, struct fail *why);
void mbox_close_file(struct writer_box *b);

/* ---- lines of a body ---- */

struct body_lines {
    const struct body *body;
    uint64_t           offset; /* behind what was read */
    size_t             at, len;
    bool               in_line;
    char               data[64 * 1024];
};
struct body_line {
    struct slice text; /* with its end; a long line comes in pieces */
    bool         begins;
};
void body_lines_init(struct body_lines *l, const struct body *b);
/* An empty line->text at the end; false: it cannot be read. */
bool body_lines_next(struct body_lines *l, struct body_line *line, struct fail *why);

/* What a body is made of: `clean` if every CR and every LF is one of a CRLF. */
struct body_look {
    bool     clean;
    uint64_t crlf, bare_lf;
};
bool body_look(const struct body *b, struct body_look *out, struct fail *why);

#endif
