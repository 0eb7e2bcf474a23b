/*
 * main/control.h - the mail role's control socket: one JSON object a line, each way.
 *
 * Layer: main.  A request is what admin/admin.h describes.  The answer is any number
 * of {"progress": {...}} and then {"ok": true, "result": {...}} or {"ok": false,
 * "error": "...", "temporary": true}.  A connection may ask again.
 */
#ifndef MAIN_CONTROL_H
#define MAIN_CONTROL_H

#include <jansson.h>

#include "base/buf.h"
#include "base/fail.h"

struct admin;
struct config;

/* ---- the side that answers ---- */

struct control;

/* Answers on a listening socket; admits who privilege_is_admin() admits.  All arguments outlive it. */
bool control_start(int listening_fd, const struct config *c, const struct admin *admin, struct control **out,
                   struct fail *why);
/* Answers on one connected socket until it is closed (a role that a command started). */
bool control_attach(int fd, const struct config *c, const struct admin *admin, struct control **out,
                    struct fail *why);
/* Lets running requests finish.  Fine on NULL; leaves *c NULL. */
void control_stop(struct control **c);

/* ---- the side that asks ---- */

/* A connected socket and what was read from it beyond a line. */
struct control_client {
    struct buf in;
    int        fd;
};

/* Takes `fd`. */
void control_client_open(struct control_client *c, int fd);
void control_client_close(struct control_client *c);

/*
 * Sends a request (whose reference is taken over) and waits for its answer; `progress`, which may
 * be NULL, sees the lines before it.  *result is the caller's.
 */
bool control_ask(struct control_client *c, json_t *request, void (*progress)(void *ctx, const json_t *line), void *ctx,
                 json_t **result, struct fail *why);

/*
 * The same for a command that carries bytes beside its request (struct admin_stream): once it says that it is
 * ready, by {"ready": ...}, `talk` reads and writes them with the two calls below; its failure counts where
 * the command itself says none (*result, NULL at first, is then the caller's all the same).  `talk` may run a second thread: one that reads, one that writes.
 */
bool control_ask_stream(struct control_client *c, json_t *request,
                        bool (*talk)(void *ctx, struct control_client *c, const json_t *ready, struct fail *why),
                        void *ctx, json_t **result, struct fail *why);
/* Up to `n` bytes; *got 0: the server closed the connection. */
bool control_stream_read(struct control_client *c, void *out, size_t n, size_t *got, struct fail *why);
bool control_stream_write(struct control_client *c, struct slice bytes, struct fail *why);
/* Instead of the first: a line, of which `talk`, or who sent its request by _write, makes what it will.  NULL: *why. */
json_t *control_stream_line(struct control_client *c, struct fail *why);
/* Gives back what was read too far: the answer's line may be behind the last bytes of a stream. */
void control_stream_unread(struct control_client *c, struct slice bytes);
/* Whoever waits in one of the two comes back. */
void control_stream_stop(struct control_client *c);

#endif
