/* relay/memory: what is remembered of addresses. */
#include "relay/memory.h"

#include "tests/unit/check.h"

int main(void)
{
    struct host_memory *m = host_memory_create();
    struct arena a;
    char name[40];

    arena_init(&a, 1024 * 1024);
    CHECK("nothing", host_memory_is_dead(m, SLICE("192.0.2.1:25"), &a) == NULL && !host_memory_has_no_tls(m, SLICE("192.0.2.1:25")));
    host_memory_dead(m, SLICE("192.0.2.1:25"), 60, "timed out");
    const char *why = host_memory_is_dead(m, SLICE("192.0.2.1:25"), &a);
    CHECK_SLICE("dead, and why", slice_of(why), SLICE("timed out"));
    CHECK("another is not", host_memory_is_dead(m, SLICE("192.0.2.1:26"), &a) == NULL);
    host_memory_no_tls(m, SLICE("192.0.2.1:25"), 60);
    CHECK("its TLS is another matter", host_memory_has_no_tls(m, SLICE("192.0.2.1:25")) && !host_memory_has_no_tls(m, SLICE("192.0.2.2:25")));
    host_memory_dead(m, SLICE("192.0.2.2:25"), 0, "x");
    CHECK("for no time", host_memory_is_dead(m, SLICE("192.0.2.2:25"), &a) == NULL);
    for (unsigned i = 0; i < 25000; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        host_memory_dead(m, slice_of(name), 60, "x");
    }
    CHECK("the last is known however many there were", host_memory_is_dead(m, slice_of(name), &a) != NULL);
    CHECK("the first is forgotten", host_memory_is_dead(m, SLICE("n0"), &a) == NULL);
    arena_finish(&a);
    host_memory_destroy(&m);
    host_memory_destroy(&m);
    return check_done();
}
