/*
 * main/hold_down.c - what a role may take that parses what strangers wrote.
 *
 * Layer: main.
 */
#include "main/hold_down.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Data and stack now. */
static uint64_t data_bytes(void)
{
    unsigned long long pages = 0;
    char               line[200], *at = line;
    FILE              *f = fopen("/proc/self/statm", "re");

    if (f != NULL) {
        if (fgets(line, sizeof line, f) != NULL)
            for (unsigned field = 0; field < 6; field++) /* the sixth */
                pages = strtoull(at, &at, 10);
        (void)fclose(f);
    }
    return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

bool hold_down(uint64_t memory, uint64_t files, struct fail *why)
{
    const struct { int what; rlim_t most; } limits[] = {{RLIMIT_DATA, memory}, {RLIMIT_NOFILE, files}};

    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct rlimit now;
        if (limits[i].what == RLIMIT_DATA && data_bytes() >= limits[i].most)
            continue;
        if (getrlimit((__rlimit_resource_t)limits[i].what, &now) != 0)
            return fail_set(why, FAIL_PERM, FAIL_OTHER, "limits of this role");
        if (now.rlim_max != RLIM_INFINITY && now.rlim_max < limits[i].most)
            continue;
        now.rlim_cur = now.rlim_max = limits[i].most;
        if (setrlimit((__rlimit_resource_t)limits[i].what, &now) != 0)
            return fail_set(why, FAIL_PERM, FAIL_OTHER, "limits of this role");
    }
    return true;
}
