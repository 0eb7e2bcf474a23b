/*
 * base/crash_note.c - which messages were being parsed when the program crashed?
 *
 * Layer: base.
 */
#include "base/crash_note.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/scoped.h"

enum { SLOTS = 128, CRASHES_MAX = 2 };

/* One line of the file; `what` 0: free. */
struct slot {
    uint64_t what;
    uint32_t in_work; /* threads */
    uint32_t crashes;
};

struct crash_note {
    pthread_mutex_t lock;
    struct slot *slots; /* the mapped file */
};

/* What was in work is a suspect now; a suspect that no longer is one was cleared by leave(). */
static void count_crashes(struct slot *slots)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].in_work > 0)
            slots[i].crashes++;
        slots[i].in_work = 0;
        if (slots[i].crashes == 0)
            slots[i].what = 0;
    }
}

bool crash_note_open(const char *path, struct crash_note **out, struct fail *why)
{
    SCOPED(scoped_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const size_t size = SLOTS * sizeof(struct slot);

    if (fd < 0)
        return fail_errno(why, errno, "%s", path);
    int failed = posix_fallocate(fd, 0, (off_t)size); /* a full disk must not be found out by SIGBUS */
    if (failed != 0)
        return fail_errno(why, failed, "%s", path);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return fail_errno(why, errno, "%s", path);

    struct crash_note *n = xcalloc(1, sizeof *n);
    (void)pthread_mutex_init(&n->lock, NULL);
    n->slots = map;
    count_crashes(n->slots);
    *out = n;
    return true;
}

void crash_note_close(struct crash_note **n)
{
    if (*n == NULL)
        return;
    (void)munmap((*n)->slots, SLOTS * sizeof(struct slot));
    (void)pthread_mutex_destroy(&(*n)->lock);
    free(*n);
    *n = NULL;
}

static struct slot *find(struct crash_note *n, uint64_t what)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (n->slots[i].what == what)
            return &n->slots[i];
    return NULL;
}

/* A free slot; else that of a suspect that is not in work; NULL if all are in work. */
static struct slot *find_room(struct crash_note *n)
{
    struct slot *s = find(n, 0);

    for (size_t i = 0; s == NULL && i < SLOTS; i++)
        if (n->slots[i].in_work == 0)
            s = &n->slots[i];
    return s;
}

bool crash_note_enter(struct crash_note *n, uint64_t what)
{
    bool may = true;

    if (n == NULL)
        return true;
    (void)pthread_mutex_lock(&n->lock);
    struct slot *s = find(n, what);
    if (s == NULL && (s = find_room(n)) != NULL)
        *s = (struct slot){.what = what};
    if (s != NULL) {
        may = s->crashes < CRASHES_MAX;
        s->in_work++;
    }
    (void)pthread_mutex_unlock(&n->lock);
    return may;
}

void crash_note_leave(struct crash_note *n, uint64_t what)
{
    if (n == NULL)
        return;
    (void)pthread_mutex_lock(&n->lock);
    struct slot *s = find(n, what);
    if (s != NULL && s->in_work > 0 && --s->in_work == 0 && s->crashes < CRASHES_MAX)
        *s = (struct slot){0}; /* parsed, and we are still here */
    (void)pthread_mutex_unlock(&n->lock);
}
