/*
 * net/slots.c - the table of connections, and who owns one.
 *
 * Layer: net.
 *
 * conn.state is one atomic word: generation (32 bits), marks, state.
 *
 *     FREE -> RUNNING          slot_take
 *     PARKED -> RUNNING        conn_claim: epoll gave its event to this worker
 *     PARKED -> QUEUED         conn_mark: somebody woke it
 *     QUEUED -> RUNNING        the worker that took it from the queue
 *     RUNNING -> PARKED        conn_park, only if no mark has come meanwhile
 *     RUNNING -> QUEUED        conn_requeue
 *     RUNNING -> FREE          slot_give_back, with the next generation
 *
 * A mark never gets lost: set on a parked connection it queues it, set on any
 * other it is seen when that one wants to park.  Each transition is one
 * compare-and-swap that releases what the owner wrote and acquires what the
 * owner before has written.
 *
 * A worker may hold an event for a connection that another worker has just
 * ended.  So slots are never unmapped, only used again, and the event carries
 * the generation it was meant for.
 */
#include <sys/mman.h>

#include "net/loop.h"

static unsigned state_of(uint64_t word)
{
    return (unsigned)(word & CONN_STATE);
}

struct conn *slot_at(struct net *n, size_t index)
{
    size_t chunk = index / SLOTS_PER_CHUNK;

    if (chunk >= atomic_load_explicit(&n->chunks_used, memory_order_acquire))
        return NULL;
    return atomic_load_explicit(&n->chunks[chunk], memory_order_acquire) + index % SLOTS_PER_CHUNK;
}

uint64_t slot_number(const struct conn *c)
{
    uint64_t generation = atomic_load_explicit(&c->state, memory_order_relaxed) >> 32;

    return generation << 32 | c->index;
}

/*
 * Pages of their own: among what comes and goes on the heap, slots that stay for ever would keep whole
 * pages from being given back (10,000 idle sessions held 0.9 KB each of such holes).
 */
static struct conn *map_slots(void)
{
    const size_t bytes = SLOTS_PER_CHUNK * sizeof(struct conn);
    void *chunk = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (chunk == MAP_FAILED)
        die_no_memory(bytes);
    return chunk;
}

/* net.lock is held. */
static void add_chunk(struct net *n)
{
    size_t at = n->chunks_used;
    struct conn *chunk = map_slots();

    for (size_t i = SLOTS_PER_CHUNK; i-- > 0;) {
        chunk[i].net = n;
        chunk[i].index = (uint32_t)(at * SLOTS_PER_CHUNK + i);
        chunk[i].next = n->free_slots;
        n->free_slots = &chunk[i];
    }
    atomic_store_explicit(&n->chunks[at], chunk, memory_order_release);
    atomic_store_explicit(&n->chunks_used, at + 1, memory_order_release);
}

struct conn *slot_take(struct net *n)
{
    struct conn *c = NULL;

    (void)pthread_mutex_lock(&n->lock);
    if (!n->stopping && n->open < n->limits.connections_max) {
        if (n->free_slots == NULL)
            add_chunk(n);
        c = n->free_slots;
        n->free_slots = c->next;
        c->next = NULL;
        n->open++;
        /* Before net_stop can say that no more are taken: it tells every slot that is not free. */
        (void)atomic_fetch_or_explicit(&c->state, CONN_RUNNING, memory_order_acquire);
    }
    (void)pthread_mutex_unlock(&n->lock);
    return c;
}

/* Everything but what makes the slot itself. */
static void slot_clear(struct conn *c)
{
    c->row = NULL;
    c->row_is_ours = false;
    c->session = NULL;
    c->ssl = NULL;
    c->armed = 0;
    c->added = c->readable = c->fresh = c->eof = c->woken = c->delay_over = false;
    c->ticked = c->tick_seen = c->broken = c->start_tls = false;
    c->late = c->kicked = c->stopping = c->killed = false;
    c->tls_wants_out = c->tls_partial = c->consumed = c->counted = false;
    c->want = 0;
    c->crowded = c->is_stranger = false;
    c->hello_need = 0;
    c->bucket = c->held = 0;
    c->older = c->newer = NULL;
    c->phase_at = c->phase_since = c->idle_at = c->command_at = 0;
    c->output_at = c->tick_at = c->delay_at = 0;
    c->tick_seconds = 0;
    c->worker = NULL;
    c->tls = false;
    c->bytes_in = c->bytes_out = 0;
}

void slot_give_back(struct conn *c)
{
    struct net *n = c->net;
    uint64_t generation = ((slot_number(c) >> 32) + 1) & 0x7fffffff; /* see NUMBER_IS_LISTENER */

    slot_clear(c);
    atomic_store_explicit(&c->state, generation << 32 | CONN_FREE, memory_order_release);
    (void)pthread_mutex_lock(&n->lock);
    c->next = n->free_slots;
    n->free_slots = c;
    n->open--;
    (void)pthread_cond_broadcast(&n->fewer);
    (void)pthread_mutex_unlock(&n->lock);
}

void conn_mark(struct conn *c, unsigned mark)
{
    uint64_t old = atomic_load_explicit(&c->state, memory_order_relaxed);
    uint64_t new;

    do {
        if (state_of(old) == CONN_FREE)
            return; /* net_stop tells every slot */
        new = old | mark;
        if (state_of(old) == CONN_PARKED)
            new = (new & ~(uint64_t)CONN_STATE) | CONN_QUEUED;
    } while (!atomic_compare_exchange_weak_explicit(&c->state, &old, new, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (state_of(old) == CONN_PARKED)
        queue_push(c->net, c);
}

struct conn *conn_claim(struct net *n, uint64_t number, unsigned marks)
{
    struct conn *c = slot_at(n, (uint32_t)number);
    uint64_t new, old;

    if (c == NULL)
        return NULL;
    old = atomic_load_explicit(&c->state, memory_order_relaxed);
    do {
        if (old >> 32 != number >> 32 || state_of(old) == CONN_FREE)
            return NULL; /* it has gone, and perhaps another is there now */
        new = old | marks;
        if (state_of(old) == CONN_PARKED)
            new |= CONN_RUNNING;
    } while (!atomic_compare_exchange_weak_explicit(&c->state, &old, new, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return state_of(old) == CONN_PARKED ? c : NULL;
}

unsigned conn_take_marks(struct conn *c)
{
    uint64_t old = atomic_fetch_and_explicit(&c->state, ~(uint64_t)CONN_MARKS, memory_order_acq_rel);

    return (unsigned)old & CONN_MARKS;
}

bool conn_park(struct conn *c)
{
    uint64_t running = (atomic_load_explicit(&c->state, memory_order_relaxed) & ~(uint64_t)CONN_MARKS);
    uint64_t parked = (running & ~(uint64_t)CONN_STATE) | CONN_PARKED;

    return atomic_compare_exchange_strong_explicit(&c->state, &running, parked, memory_order_release,
                                                   memory_order_relaxed);
}

void conn_queue(struct conn *c)
{
    /* RUNNING (3) becomes QUEUED (2): one bit. */
    (void)atomic_fetch_and_explicit(&c->state, ~(uint64_t)(CONN_RUNNING ^ CONN_QUEUED), memory_order_release);
}

void conn_requeue(struct conn *c)
{
    if (slow_takes(c))
        return;
    conn_queue(c);
    queue_push(c->net, c);
}
