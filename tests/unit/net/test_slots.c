/* net/slots: states and marks, one step at a time; events that come too late. */
#include "net/loop.h"
#include "tests/unit/check.h"

static struct net *new_net(unsigned connections)
{
    struct net_limits limits;
    struct fail why;

    net_limits_default(&limits);
    limits.connections_max = connections;
    struct net *n = net_create(&limits, &why); /* never started: nobody but us */
    if (n == NULL)
        bug("%s", why.text);
    return n;
}

static void test_states(void)
{
    struct net *n = new_net(10);
    struct conn *c = slot_take(n);
    uint64_t number = slot_number(c);

    CHECK("parks", conn_park(c));
    CHECK("its event", conn_claim(n, number, MARK_READABLE) == c);
    CHECK("has an owner: another event only marks", conn_claim(n, number, MARK_WRITABLE) == NULL);
    CHECK("so it cannot park", !conn_park(c));
    CHECK("both are seen", conn_take_marks(c) == (MARK_READABLE | MARK_WRITABLE));
    conn_mark(c, MARK_WOKEN);
    CHECK("woken while it runs: not parked", !conn_park(c) && !n->queued);
    CHECK("seen", conn_take_marks(c) == MARK_WOKEN && conn_take_marks(c) == 0);
    CHECK("parks", conn_park(c));
    conn_mark(c, MARK_WOKEN);
    conn_mark(c, MARK_TIME);
    CHECK("woken while parked: queued, once", n->queued && n->queue == c && c->next == NULL);
    CHECK("an event for a queued one only marks", conn_claim(n, number, MARK_READABLE) == NULL);
    n->queue = NULL; /* as a worker takes it */
    n->queue_end = &n->queue;
    n->queued = false;
    atomic_fetch_or(&c->state, CONN_RUNNING);
    CHECK("all marks", conn_take_marks(c) == (MARK_WOKEN | MARK_TIME | MARK_READABLE));
    slot_give_back(c);
    net_destroy(&n);
}

static void test_too_late(void)
{
    struct net *n = new_net(10);
    struct conn *c = slot_take(n);
    uint64_t before = slot_number(c);

    slot_give_back(c);
    CHECK("gone", conn_claim(n, before, MARK_READABLE) == NULL);
    conn_mark(c, MARK_STOP);
    struct conn *again = slot_take(n);
    CHECK("the same slot with another number", again == c && slot_number(c) != before);
    CHECK("nothing of what came between", conn_take_marks(c) == 0);
    CHECK("parks", conn_park(c));
    CHECK("an event for the one before", conn_claim(n, before, MARK_READABLE) == NULL);
    CHECK("has not marked this one",
          conn_claim(n, slot_number(c), MARK_WRITABLE) == c && conn_take_marks(c) == MARK_WRITABLE);
    CHECK("a number nobody ever had", conn_claim(n, 4711, MARK_READABLE) == NULL);
    slot_give_back(c);
    net_destroy(&n);
}

static void test_all(void)
{
    enum { ALL = 100 };
    struct net *n = new_net(ALL);
    struct conn *c[ALL];
    bool taken = true;

    for (int i = 0; i < ALL; i++) {
        c[i] = slot_take(n);
        taken = taken && c[i] != NULL && slot_at(n, c[i]->index) == c[i];
    }
    CHECK("as many as there may be", taken && slot_take(n) == NULL);
    for (int i = 0; i < ALL; i++)
        slot_give_back(c[i]);
    CHECK("and again", (c[0] = slot_take(n)) != NULL);
    slot_give_back(c[0]);
    n->stopping = true;
    CHECK("none any more", slot_take(n) == NULL);
    n->stopping = false;
    net_destroy(&n);
}

int main(void)
{
    test_states();
    test_too_late();
    test_all();
    return check_done();
}
