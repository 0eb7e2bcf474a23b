/*
 * smtp/client_limits.c - how long another server is waited for: RFC 5321 section 4.5.3.2.
 *
 * Layer: smtp.
 */
#include "smtp/client.h"

void smtp_client_limits_default(struct smtp_client_limits *l)
{
    *l = (struct smtp_client_limits){
        .connect_seconds = 30,
        .greeting_seconds = 300,
        .command_seconds = 300,
        .data_seconds = 180,
        .final_seconds = 600,
        .message_seconds = 3600,
        .reply_bytes = 4096,
        .reply_lines = 20000,
    };
}
