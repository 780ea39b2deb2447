/*
 * core/io/head.h: the head of an HTTP/1.1 request, decoded.
 *
 * Only for the port that serves upgrades. RFC 9112, sections 2 to 5: one
 * request line, header fields, an empty line; no folding, no bare CR.
 */
#ifndef TUNNELHOST_IO_HEAD_H
#define TUNNELHOST_IO_HEAD_H

#include "core/io/server.h"

#define HEAD_CAP 8192

struct request_head {
	char method[16];
	bool upgrade;			/* Connection: upgrade was there */
	struct server_strings strings;	/* protocol: the Upgrade token */
};

/*
 * > 0: the length of the head; ERR_AGAIN: not complete; ERR_TOO_LARGE,
 * ERR_PROTOCOL.
 */
ssize_t head_decode(const uint8_t *data, size_t len,
		    struct request_head *out);

#endif
