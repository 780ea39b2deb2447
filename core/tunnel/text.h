/*
 * core/tunnel/text.h: other people's words, made fit for a log.
 *
 * What a relay or a coordinator says may hold line ends and terminal
 * sequences, and an error about a URL may hold the resume token.
 */
#ifndef TUNNELHOST_TUNNEL_TEXT_H
#define TUNNELHOST_TUNNEL_TEXT_H

#include <stddef.h>

#define TEXT_CLEAN_CAP 256

/* Printable ASCII stays, the rest becomes '?'; cut to what fits. */
void text_clean(const char *text, size_t len, char out[TEXT_CLEAN_CAP]);
/* Stars out the value of every `resume_token=`, in place. */
void text_redact(char *text);

#endif
