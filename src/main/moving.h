/*
 * main/moving.h - mail moves in or out: what import, export and takeover do alike.
 *
 * Layer: main.  The connection to the mail role with the stream of transfer/wire.h, the bar
 * on a terminal, the list of what was left out, the summary and the exit status.  Where
 * mail is read or written is the caller's: a transfer_read, or a transfer_into.
 *
 *     struct moving *m = moving_begin(cli, "import");
 *     moving_import(m, &to, maildir_read, maildir, &why);      any number of accounts
 *     return moving_end(&m);                                   says the summary; 0, or 1
 */
#ifndef MAIN_MOVING_H
#define MAIN_MOVING_H

#include "main/command.h"
#include "transfer/transfer.h"

struct moving;

/*
 * `verb`: "import" or "export", for texts.  Looks at the command's options --report, --dry-run (where it has
 * them) and --json.  NULL: said why.
 */
struct moving *moving_begin(struct cli *cli, const char *verb);

struct moving_target {
    const char *address;
    const char *mailbox;    /* import: all goes in there; export: only this one; NULL: no such wish */
    const char *prefix;     /* import: in front of all names; NULL */
    bool        over_quota, keep_gone;
};

/*
 * One account.  False: it did not go through (what came so far stays, and a second run goes on from there); the
 * story is noted for moving_end and in *why (may be NULL).  With --dry-run everything is read and nothing kept.
 */
bool moving_import(struct moving *m, const struct moving_target *to, transfer_read *read, void *ctx, struct fail *why);
bool moving_export(struct moving *m, const struct moving_target *from, const struct transfer_into *into,
                   struct fail *why);

/*
 * Import of one account as a command does it: the address is its last argument, --mailbox, --prefix,
 * --over-quota and --keep-gone are its options (IMPORT_OPTIONS).  The same as begin, import, end.
 */
int moving_import_command(struct cli *cli, transfer_read *read, void *ctx);
#define IMPORT_OPTIONS                                                                                                    \
    {"mailbox", "NAME", "put everything into this mailbox"}, {"prefix", "NAME", "put the mailboxes below this one"},      \
        {"over-quota", NULL, "go on where the account's quota ends"},                                                     \
        {"keep-gone", NULL, "keep what is gone at the source since the last run"},                                        \
        {"dry-run", NULL, "read everything and say what would come; keep nothing"},                                       \
    {                                                                                                                     \
        "report", "FILE", "write all that was left out, and all notes, to this file"                                      \
    }

/* How bodies are kept while they pass through the command: a little in memory, else in a file without a name. */
const struct body_limits *moving_bodies(void);

/* Something left out that no transfer told: in the summary, the report and the exit status. */
void moving_left_out(struct moving *m, const char *what, const char *reason);
/* Worth knowing, no failure. */
void moving_note(struct moving *m, const char *what, const char *reason);

/* Prints the summary (with --json: one object) and frees.  0: all went and nothing was left out; else 1. */
int moving_end(struct moving **m);

#endif
