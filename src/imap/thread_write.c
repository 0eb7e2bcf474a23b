/*
 * imap/thread_write.c - the THREAD response.
 *
 * Layer: imap.  Goes down to first children and up by parents, without recursion: what
 * is open is known from the tree itself.
 */
#include "imap/thread_write.h"

#include "store/view.h"

static const struct thread_node *at(const struct thread_writer *w, int32_t node)
{
    return &w->forest.nodes[node];
}

/* Has the node a sibling, so that each stands in parentheses of its own? */
static bool is_split(const struct thread_writer *w, int32_t node)
{
    int32_t parent = at(w, node)->parent;

    return parent != THREAD_NONE && at(w, at(w, parent)->first_child)->next != THREAD_NONE;
}

/*
 * thread-list    = "(" (thread-members / thread-nested) ")"
 * thread-members = nz-number *(SP nz-number) [SP thread-nested]
 * thread-nested  = 2*thread-list
 */
static void open_node(struct thread_writer *w, struct buf *out)
{
    const struct thread_node *n = at(w, w->node);
    bool after_number = n->parent != THREAD_NONE && !at(w, n->parent)->is_dummy;
    bool is_first = n->parent != THREAD_NONE && at(w, n->parent)->first_child == w->node;

    if (n->parent == THREAD_NONE) {
        buf_add_char(out, '(');
    } else if (is_split(w, w->node)) {
        w->splits++;
        if (w->splits > THREAD_SPLITS_MAX || (after_number && is_first))
            buf_add_char(out, ' ');
        if (w->splits <= THREAD_SPLITS_MAX)
            buf_add_char(out, '(');
    } else {
        buf_add_char(out, ' ');
    }
    if (!n->is_dummy)
        buf_add_u64(out, w->uid ? view_at(w->view, n->position).uid : (uint64_t)n->position + 1);
}

static void close_node(struct thread_writer *w, struct buf *out)
{
    if (at(w, w->node)->parent == THREAD_NONE) {
        buf_add_char(out, ')');
    } else if (is_split(w, w->node)) {
        if (w->splits <= THREAD_SPLITS_MAX)
            buf_add_char(out, ')');
        w->splits--;
    }
}

/* To the next node, closing what ends. */
static void move_on(struct thread_writer *w, struct buf *out)
{
    if (at(w, w->node)->first_child != THREAD_NONE) {
        w->node = at(w, w->node)->first_child;
        return;
    }
    for (;;) {
        const struct thread_node *n = at(w, w->node);
        close_node(w, out);
        if (n->next != THREAD_NONE || n->parent == THREAD_NONE) {
            w->node = n->next;
            return;
        }
        w->node = n->parent;
    }
}

bool thread_write_some(struct thread_writer *w, struct buf *out, size_t most)
{
    if (!w->begun) {
        w->begun = true;
        w->node = w->forest.first_root;
        if (w->node != THREAD_NONE)
            buf_add_char(out, ' ');
    }
    for (; w->node != THREAD_NONE && most > 0; most--) {
        open_node(w, out);
        move_on(w, out);
    }
    return w->node == THREAD_NONE;
}
