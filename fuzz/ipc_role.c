/*
 * fuzz/ipc_role.c - notes between the supervisor and its roles: of any bytes, with any number of descriptors, none of which stays
 * behind.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "fuzz.h"
#include "main/role.h"
#include "net/ipc.h"

enum { DESCRIPTORS = 12 };

/* The lowest number that is free. */
static int next_descriptor(void)
{
    int fd = dup(0);

    FUZZ_CHECK(fd >= 0);
    (void)close(fd);
    return fd;
}

static void send_note(int socket, struct slice bytes, unsigned descriptors)
{
    struct iovec part = {(void *)(uintptr_t)bytes.ptr, bytes.len};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    } control = {0};

    if (descriptors > 0) {
        int fds[DESCRIPTORS] = {0}; /* standard input, again and again */
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(descriptors * sizeof(int))};
        memcpy(CMSG_DATA(&control.header), fds, descriptors * sizeof(int));
    }
    FUZZ_CHECK(sendmsg(socket, &m, MSG_NOSIGNAL) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make(data, size);
    struct role_note note;
    struct fail why;
    int ends[2];

    FUZZ_CHECK(ipc_socket_pair(ends, &why));
    int before = next_descriptor();
    unsigned descriptors = fuzz_take(&in) % (DESCRIPTORS + 1);
    send_note(ends[0], slice_sub(in, 0, 1000), descriptors);
    if (role_receive(ends[1], &note)) {
        FUZZ_CHECK(memchr(note.text, '\0', sizeof note.text) != NULL && (note.fd >= 0) == (descriptors > 0));
        for (int peer = 0; peer < ROLE_COUNT; peer++)
            FUZZ_CHECK(!(role_asks(&note, (enum role)peer) && role_answers(&note, (enum role)peer)));
        if (note.fd >= 0)
            (void)close(note.fd);
    }
    FUZZ_CHECK(next_descriptor() == before);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return 0;
}
