/*
 * imap/thread.c - THREAD and UID THREAD.
 *
 * Layer: imap.  RFC 5256 section 3 (BASE.6.4.THREAD).
 */
#include "imap/arrange.h"
#include "imap/thread_write.h"

enum { NUMBERS_AT_ONCE = 1024 };

struct thread_command {
    struct arrange        arrange;
    enum thread_algorithm algorithm;
    struct threading    *run;
    struct thread_writer  writer;
    bool                  threaded, begun;
};

static void end_thread(struct imap_session *s)
{
    struct thread_command *c = s->step_data;

    threading_end(&c->run);
    arrange_end(&c->arrange);
}

/* thread-alg = "ORDEREDSUBJECT" / "REFERENCES" / thread-alg-ext */
enum thread_algorithm imap_read_thread_algorithm(struct imap_reader *r)
{
    if (imap_accept_word(r, "ORDEREDSUBJECT"))
        return THREAD_ORDEREDSUBJECT;
    if (imap_accept_word(r, "REFERENCES"))
        return THREAD_REFERENCES;
    if (!imap_accept_word(r, "REFS"))
        imap_fail(r, "ORDEREDSUBJECT, REFERENCES or REFS");
    return THREAD_REFS;
}

static int thread_found(struct imap_session *s, struct thread_command *c)
{
    struct fail why;

    if (c->run == NULL) {
        struct sort_request q = arrange_request(s, &c->arrange);
        c->run = threading_start(&q, c->algorithm);
    }
    int status = threading_continue(c->run, ARRANGE_BUDGET_MS, &c->writer.forest, &why);
    if (status < 0)
        imap_no_because(s, &why);
    c->threaded = status == 1;
    return status;
}

/* thread-data = "THREAD" [SP 1*thread-list]; false: call again */
static bool write_threads(struct imap_session *s, struct thread_command *c)
{
    if (!c->begun)
        buf_add(conn_out(s->conn), SLICE("* THREAD"));
    c->begun = true;
    while (!thread_write_some(&c->writer, conn_out(s->conn), NUMBERS_AT_ONCE))
        if (conn_is_full(s->conn))
            return false;
    buf_add(conn_out(s->conn), SLICE("\r\n"));
    return true;
}

static enum turn thread_step(struct imap_session *s)
{
    struct thread_command *c = s->step_data;

    if (!c->threaded) {
        int status = arrange_search(s, &c->arrange);
        if (status == 1)
            status = thread_found(s, c);
        if (status == 0)
            arrange_progress(s, &c->arrange);
        if (status != 1)
            return status == 0 ? TURN_AGAIN : TURN_PARK;
    }
    if (!write_threads(s, c))
        return TURN_MORE;
    imap_ok(s, "Threaded");
    return TURN_PARK;
}

/* thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria */
void imap_thread(struct imap_session *s, struct imap_reader *r)
{
    struct thread_command *c = arena_new(&s->arena, struct thread_command);

    if (c == NULL || !imap_unpark(s)) {
        imap_no(s, "[UNAVAILABLE] The mailbox cannot be threaded now");
        return;
    }
    imap_expect_space(r);
    c->algorithm = imap_read_thread_algorithm(r);
    arrange_read(s, r, &c->arrange);
    if (!arrange_begin(s, r, &c->arrange))
        return;
    c->writer.view = c->arrange.view;
    c->writer.uid = s->by_uid;
    s->step_data = c;
    s->cleanup = end_thread;
    s->step = thread_step;
}
