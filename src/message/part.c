/*
 * message/part.c - finding a part by its number.
 *
 * Layer: message.
 */
#include "message/message.h"

static const struct mime_part *nth_child(const struct mime_part *part, uint32_t n)
{
    const struct mime_part *child = n > 0 ? part->first_child : NULL;

    while (child != NULL && --n > 0)
        child = child->next;
    return child;
}

/*
 * A message (the root, or the one inside a message/rfc822 part) numbers the
 * parts of its multipart, or has itself as part 1; a multipart that is a part
 * numbers its own; a message/rfc822 part goes on with the message inside.
 */
const struct mime_part *mime_part_find(const struct mime_part *root, const uint32_t *path, size_t depth)
{
    const struct mime_part *part = root;
    bool is_whole_message = true;

    for (size_t i = 0; i < depth && part != NULL; i++) {
        if (!is_whole_message && part->is_message) {
            part = part->first_child;
            is_whole_message = true;
        }
        if (part->is_multipart)
            part = nth_child(part, path[i]);
        else if (!is_whole_message || path[i] != 1)
            part = NULL;
        is_whole_message = false;
    }
    return part;
}
