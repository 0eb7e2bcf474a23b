/*
 * content/limits.c - what is right unless the config says otherwise; reasons in content/server.h.
 *
 * Layer: content.
 */
#include "content/server.h"

void content_limits_default(struct content_limits *l)
{
    *l = (struct content_limits){
        .html_bytes = 4 * 1024 * 1024,
        .html_depth = 2000,
        .html_ms = 2000,
        .answer_seconds = 10,
    };
}
