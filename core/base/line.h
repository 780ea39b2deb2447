/*
 * core/base/line.h: text from outside, made fit to be shown or sent.
 */
#ifndef TUNNELHOST_BASE_LINE_H
#define TUNNELHOST_BASE_LINE_H

#include <stddef.h>

/*
 * `len` bytes as one NUL-terminated line of at most cap - 1 bytes: control
 * characters and what is no UTF-8 become spaces, white space at both ends goes,
 * and a cut falls between characters.
 */
void line_of(const char *text, size_t len, char *out, size_t cap);

/*
 * Percent-encodes all but RFC 3986's unreserved characters, for one path
 * segment or query value. Length, or ERR_TOO_LARGE.
 */
int url_encode(const char *text, char *out, size_t cap);

#endif
