/*
 * queue/limits.c - the defaults.
 *
 * Layer: queue.
 */
#include "queue/queue.h"

void queue_limits_default(struct queue_limits *l)
{
    *l = (struct queue_limits){
        .retry_first_seconds = 300,
        .retry_most_seconds = 4 * 3600,
        .lifetime_seconds = 5 * 24 * 3600,
        .bounce_lifetime_seconds = 5 * 24 * 3600,
        .delay_warning_seconds = 4 * 3600,
        .destination_sessions = 20,
        .sessions = 200,
        .cold_sessions = 50,
        .first_try_messages = 2000,
        .first_try_bytes = 64u << 20,
        .first_try_seconds = 3,
        .fresh_bytes = 16u << 20,
        .future_release_seconds = 7 * 24 * 3600,
    };
}
