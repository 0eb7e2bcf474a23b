/*
 * net/fetch.c - requests to the outside, asked of the fetch role.
 *
 * Layer: net.
 */
#include "net/fetch.h"

void fetch_limits_default(struct fetch_limits *l)
{
    *l = (struct fetch_limits){.answer_bytes = 1024 * 1024, .seconds = 30, .requests = 16};
}
